/**
 * Spin locks, and the atomic words that CPUs share.
 *
 * A lock is two words: the owning CPU's index (0 = free), and how many CPUs sleep for it. Kernel code is never
 * interrupted on its own CPU, so a CPU holds a lock only while it runs kernel code, and never across a switch
 * (R2). Taking a lock twice, or releasing one of another CPU, is a kernel assertion.
 *
 * Contention, in steps: (1) look a bounded number of times, and write nothing: the holder needs the cache line; (2) count
 * oneself as a sleeper, and wait for the word to change; each round the port looks whether the owner's CPU has failed, or the machine is dead, and
 * gives up after `spinoutTicks`. On a machine whose CPUs do not run in parallel a lock is a plain word, and
 * contention is a kernel assertion: nobody else can make progress (R12).
 *
 * `k.mp === true`, here and on other hot paths: a bare test of a field asks V8 for everything that is falsy.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { panic } from "./panic.js";

/** Takes the lock at address `a`. */
export function spinEnter(k: Kernel, a: number): void {
  const me = cur.cpu.index;
  if (k.mp === true) {
    if (k.atomic.cas(a, 0, me) !== 0) contend(k, a, me);
  } else {
    if (k.w[a] !== 0) contend(k, a, me);
    k.w[a] = me;
  }
}

/** Releases it. */
export function spinExit(k: Kernel, a: number): void {
  if (k.w[a] !== cur.cpu.index) unheld(k, a);
  if (k.mp === true) {
    if (k.atomic.release(a) !== 0) Atomics.notify(k.w, a, 1);
  } else {
    k.w[a] = 0;
  }
}

/** Apart, since V8 would make the message on the way of those who hold it. */
function unheld(k: Kernel, a: number): never {
  panic(k, `exiting unheld spin mutex ${a}`);
}

/** Takes it if it is free. */
export function spinTryenter(k: Kernel, a: number): boolean {
  if (k.mp === true) return k.atomic.cas(a, 0, cur.cpu.index) === 0;
  if (k.w[a] !== 0) return false;
  k.w[a] = cur.cpu.index;
  return true;
}

/** Whether this CPU holds it. */
export function spinOwned(k: Kernel, a: number): boolean {
  return k.w[a] === cur.cpu.index;
}

/** Looks at a lock that is held: a few microseconds, which is longer than it is held unless its CPU was descheduled. */
const LOOKS = 300;

function contend(k: Kernel, a: number, me: number): void {
  const { atomic } = k;
  // In lockstep each look is granted.
  let looks = k.mp && k.g.lockstep === 0 ? LOOKS : 0;
  for (let round = 0; ; ) {
    const owner = atomic.load(a);
    if (owner === me) panic(k, `locking against myself: spin mutex ${a}`);
    if (owner === 0) {
      if (atomic.cas(a, 0, me) === 0) return;
      continue;
    }
    if (looks > 0) {
      looks--;
      continue;
    }
    atomic.add(a + 1, 1);
    k.port.relax("spin", round++, a, owner);
    atomic.add(a + 1, -1);
  }
}

/** Takes the run-queue or LWP locks of two CPUs, the lower index first (LWP-18). `a` and `b` differ. */
export function spinEnterTwo(k: Kernel, a: number, b: number): void {
  spinEnter(k, a < b ? a : b);
  spinEnter(k, a < b ? b : a);
}

/** Sets bits of a word that several CPUs write. */
export function atomicOr(k: Kernel, a: number, bits: number): number {
  if (k.mp === true) return k.atomic.or(a, bits);
  const old = k.w[a];
  k.w[a] = old | bits;
  return old;
}

/** Clears all bits but these. */
export function atomicAnd(k: Kernel, a: number, bits: number): number {
  if (k.mp === true) return k.atomic.and(a, bits);
  const old = k.w[a];
  k.w[a] = old & bits;
  return old;
}

/** Adds to a word that several CPUs write, and returns what it was. */
export function atomicAdd(k: Kernel, a: number, n: number): number {
  if (k.mp === true) return k.atomic.add(a, n);
  const old = k.w[a];
  k.w[a] = old + n;
  return old;
}

/** Sets a word that several CPUs write, if it is `from`. */
export function atomicCas(k: Kernel, a: number, from: number, to: number): boolean {
  if (k.mp === true) return k.atomic.cas(a, from, to) === from;
  if (k.w[a] !== from) return false;
  k.w[a] = to;
  return true;
}

/** Writes a word that several CPUs read, after whatever this one did before (release). */
export function atomicStore(k: Kernel, a: number, value: number): void {
  if (k.mp === true) k.atomic.store(a, value);
  else k.w[a] = value;
}

/** Reads a word that several CPUs write, after whatever this one did before. */
export function atomicLoad(k: Kernel, a: number): number {
  return k.mp === true ? k.atomic.load(a) : k.w[a];
}
