/**
 * Keys of thread-specific data: 256 of each process (THR-50). The values are the threads' own, in their realms; what stands
 * here is which keys there are, and which destructor each has.
 *
 * Invariant: the generation of a key is odd exactly while it is in use, so that a value which was kept under a deleted key is
 * known to be none. One spin lock for each process; no other is taken with it held.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Proc } from "../sys/proc.js";
import {
  TSD_DTORS,
  TSD_GENS,
  TSD_INUSE,
  TSD_KEYS_MAX,
  TSD_LAST,
  TSD_LOCK,
  TSD_WORDS,
} from "../sys/shapes.js";
import { spinEnter, spinExit } from "./spin.js";

/** Address of a process's table. */
function tableOf(p: Proc): number {
  return p.k.threadKeys + (p.index - 1) * TSD_WORDS;
}

/**
 * Makes a key: the next free one after that made last, all around. Its number, 0..255, or -1 when all are in use. `dtor` is a
 * word that says how its destructor is found.
 */
export function threadKeyCreate(p: Proc, dtor: number): number {
  const { k } = p;
  const { w } = k;
  const table = tableOf(p);
  spinEnter(k, table + TSD_LOCK);
  let key = -1;
  for (let i = 1; i <= TSD_KEYS_MAX && key < 0; i++) {
    // The word holds the last one plus one, so that the first is 0.
    const n = (w[table + TSD_LAST] - 1 + i) & (TSD_KEYS_MAX - 1);
    if ((w[table + TSD_GENS + n] & 1) === 0) key = n;
  }
  if (key >= 0) {
    w[table + TSD_LAST] = key + 1;
    w[table + TSD_INUSE]++;
    w[table + TSD_GENS + key]++;
    w[table + TSD_DTORS + key] = dtor;
  }
  spinExit(k, table + TSD_LOCK);
  return key;
}

/** Deletes a key. No destructor runs. False: it was deleted before. */
export function threadKeyDelete(p: Proc, key: number, gen: number): boolean {
  const { k } = p;
  const table = tableOf(p);
  spinEnter(k, table + TSD_LOCK);
  const live = threadKeyIsLive(p, key, gen);
  if (live) {
    k.w[table + TSD_GENS + key]++;
    k.w[table + TSD_INUSE]--;
  }
  spinExit(k, table + TSD_LOCK);
  return live;
}

/** The generation of a key. */
export function threadKeyGen(p: Proc, key: number): number {
  return p.k.w[tableOf(p) + TSD_GENS + key];
}

/** The word of its destructor. */
export function threadKeyDtor(p: Proc, key: number): number {
  return p.k.w[tableOf(p) + TSD_DTORS + key];
}

/** Whether the key that was made with this generation is in use. Takes no lock. */
export function threadKeyIsLive(p: Proc, key: number, gen: number): boolean {
  return (gen & 1) === 1 && threadKeyGen(p, key) === gen;
}

/** Deletes all keys of a process that has ended. */
export function threadKeysFree(p: Proc): void {
  const { w } = p.k;
  const table = tableOf(p);
  w[table + TSD_LAST] = 0;
  if (w[table + TSD_INUSE] === 0) return;
  w[table + TSD_INUSE] = 0;
  for (let key = 0; key < TSD_KEYS_MAX; key++) w[table + TSD_GENS + key] += w[table + TSD_GENS + key] & 1;
}

/** Keys in use, over all processes. For tools and tests. */
export function threadKeysInUse(k: Kernel): number {
  let n = 0;
  for (let i = 0; i < k.procs.highWater; i++) n += k.w[k.threadKeys + i * TSD_WORDS + TSD_INUSE];
  return n;
}
