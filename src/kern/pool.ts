/**
 * Allocation of records: a free list and a high-water mark under one spin lock.
 *
 * Invariants: a record's generation is odd exactly while it is allocated; a record above the high-water mark was
 * never touched; all words of an allocated record but the generation are zero when it is handed out.
 */
import type { Kernel } from "../sys/kernel.js";
import { POOL_FREE, POOL_HIGH, POOL_INUSE, POOL_LOCK, type Pool } from "../sys/kernel.js";
import { COLD_USED, type View } from "../sys/record.js";
import { panic } from "./panic.js";
import { spinEnter, spinExit } from "./spin.js";

/** A zeroed record, or null when the pool's limit is reached. */
export function poolGet<T extends View>(pool: Pool<T>): T | null {
  // All by index: a record of any type in one place would make each access a search.
  const { k, type, base } = pool;
  const index = take(k, pool.header, base, type.words, pool.limit);
  if (index === 0) return null;
  if (type.coldWords > 0) clearCold(pool, index);
  begin(k, base + (index - 1) * type.words, type.words);
  return pool.view(index);
}

/** Clears the cold part of a record that serves again, if it was used. Before the record itself is, which says so. */
export function clearCold<T extends View>(pool: Pool<T>, index: number): void {
  if (pool.k.w[pool.base + (index - 1) * pool.type.words + COLD_USED] === 0) return;
  const at = pool.coldAt(index);
  clear(pool.k, at, at + pool.type.coldWords);
}

/** Clears the words from one even address to another. They are few: a call of the host's `fill` costs more than the loop. */
export function clear(k: Kernel, from: number, to: number): void {
  const { d } = k;
  for (let i = from >> 1; i < to >> 1; i++) d[i] = 0;
}

/** Gives a record back. Its generation changes, so handles to it no longer match. */
export function poolPut<T extends View>(pool: Pool<T>, record: T): void {
  const { index } = record;
  rawPut(pool.k, pool.header, pool.base + (index - 1) * pool.type.words, index);
}

/** The same over a header and a base address, without a cold part; returns the index, or 0. */
export function rawGet(k: Kernel, header: number, base: number, words: number, limit: number): number {
  const index = take(k, header, base, words, limit);
  if (index !== 0) begin(k, base + (index - 1) * words, words);
  return index;
}

/** Takes a free record, or one that was never used, as it is. */
export function take(k: Kernel, header: number, base: number, words: number, limit: number): number {
  const w = k.w;
  spinEnter(k, header + POOL_LOCK);
  let index = w[header + POOL_FREE];
  if (index !== 0) {
    w[header + POOL_FREE] = w[base + (index - 1) * words + 1];
  } else if (w[header + POOL_HIGH] < limit) {
    index = ++w[header + POOL_HIGH];
  } else {
    spinExit(k, header + POOL_LOCK);
    return 0;
  }
  w[header + POOL_INUSE]++;
  spinExit(k, header + POOL_LOCK);
  return index;
}

/** A life of a record begins: it is all zero, but for its generation. One that was never used is so already. */
export function begin(k: Kernel, at: number, words: number): void {
  const w = k.w;
  w[at + 1] = 0;
  if (w[at]++ !== 0) clear(k, at + 2, at + words);
}

export function rawPut(k: Kernel, header: number, at: number, index: number): void {
  const w = k.w;
  if ((w[at] & 1) !== 1) panic(k, `record ${index} freed twice`);
  spinEnter(k, header + POOL_LOCK);
  w[at]++;
  w[at + 1] = w[header + POOL_FREE];
  w[header + POOL_FREE] = index;
  w[header + POOL_INUSE]--;
  spinExit(k, header + POOL_LOCK);
}
