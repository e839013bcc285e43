/**
 * What a program of a stress test has in each realm: the machine, the scratch words that all realms share, and random numbers
 * of its own. Module variables are per process and CPU.
 */
import * as K from "lwp/kernel";
import type * as S from "lwp/syscall";

export type Run<T = void> = Generator<K.Token, T, undefined>;

export let k: K.Kernel;
export let w: Int32Array;
/** Address of the scratch words. */
export let base = 0;
/** This CPU, from 0, and how many there are. */
export let cpu = 0;
export let ncpu = 1;
let random: () => number;

/** Every realm does this before anything else of it runs; true the first time. `seed`: the word where that stands. */
export function enterRealm(seed: number): boolean {
  if (base !== 0) return false;
  k = K.cur.lwp.k;
  w = k.w;
  base = k.scratch;
  cpu = K.cur.cpu.index - 1;
  ncpu = k.g.ncpu;
  const strategy = K.seededStrategy(Math.imul(w[base + seed] + 1, 0x9e3779b1) + cpu);
  random = () => strategy("stress", 0x40000000);
  return true;
}

/** Stores the seed, before any realm is entered. */
export function setSeed(seed: number, value: number): void {
  const { k: kernel } = K.cur.lwp;
  kernel.w[kernel.scratch + seed] = value;
}

export const chance = (n: number): number => random() % n;
export const load = (at: number): number => Atomics.load(w, base + at);
export const store = (at: number, value: number): number => Atomics.store(w, base + at, value);
export const add = (at: number, n: number): number => Atomics.add(w, base + at, n);

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** A deadline one to three ticks from now. */
export function deadline(): S.Timespec {
  const { sec, nsec } = K.wallclockAtTick(k);
  const later = nsec + chance(3) * 1e7 + 1e6;
  return { sec: sec + Math.floor(later / 1e9), nsec: later % 1e9 };
}
