/**
 * Object caches: objects that stay constructed while nobody uses them (MCH-45).
 *
 * A cache stands before a pool. Getting an object takes a constructed one, or a record of the pool, which is constructed
 * then; putting it back keeps it as it is. The destructor runs only when the record really goes back to its pool.
 *
 * Invariants: an object in the cache is allocated as far as its pool is concerned; its generation has changed since it was
 * used, so that no handle finds it. There is no layer per CPU: the lock of the cache is held for a few words.
 */
import type { Kernel, Pool } from "../sys/kernel.js";
import type { View } from "../sys/record.js";
import { CACHE_COUNT, CACHE_CV, CACHE_FREE, CACHE_LOCK, CACHE_WORDS } from "../sys/shapes.js";
import { cvInit, cvSignal, cvWait } from "./condvar.js";
import { poolGet, poolPut } from "./pool.js";
import { spinEnter, spinExit } from "./spin.js";

/** A kind of cache: the same in every realm. */
export interface PoolCache<T extends View> {
  /** Its number, below CACHES_MAX. */
  readonly index: number;
  /** What those who wait for an object wait with. */
  readonly name: string;
  pool(k: Kernel): Pool<T>;
  /** Makes an object of a zeroed record. */
  construct(record: T): void;
  /** Unmakes it before the record goes back to its pool. */
  destruct(record: T): void;
}

function headerOf(k: Kernel, cache: PoolCache<View>): number {
  return k.caches + cache.index * CACHE_WORDS;
}

/** Sets up an empty cache: once per machine, at boot. */
export function poolCacheInit(k: Kernel, cache: PoolCache<View>): void {
  cvInit(k, headerOf(k, cache) + CACHE_CV, cache.name);
}

/** A constructed object, or null when there is none and the pool is empty. Source: pool_cache_get(9), PR_NOWAIT. */
export function poolCacheTryget<T extends View>(k: Kernel, cache: PoolCache<T>): T | null {
  const header = headerOf(k, cache as PoolCache<View>);
  spinEnter(k, header + CACHE_LOCK);
  const record = takeCached(k, cache, header);
  spinExit(k, header + CACHE_LOCK);
  return record ?? makeNew(k, cache);
}

/** The same, but waits until somebody puts one back. May sleep. Source: pool_cache_get(9), PR_WAITOK. */
export function* poolCacheGet<T extends View>(k: Kernel, cache: PoolCache<T>): Generator<void, T, void> {
  const header = headerOf(k, cache as PoolCache<View>);
  for (;;) {
    const record = poolCacheTryget(k, cache);
    if (record !== null) return record;
    spinEnter(k, header + CACHE_LOCK);
    // Whoever puts one back from here on finds this LWP waiting.
    if (k.w[header + CACHE_FREE] === 0) yield* cvWait(k, header + CACHE_CV, header + CACHE_LOCK);
    spinExit(k, header + CACHE_LOCK);
  }
}

/** Takes an object off the cache, which is locked. */
function takeCached<T extends View>(k: Kernel, cache: PoolCache<T>, header: number): T | null {
  const { w } = k;
  if (w[header + CACHE_FREE] === 0) return null;
  const record = cache.pool(k).view(w[header + CACHE_FREE]);
  w[header + CACHE_FREE] = w[record.at + 1];
  w[header + CACHE_COUNT]--;
  w[record.at + 1] = 0;
  return record;
}

function makeNew<T extends View>(k: Kernel, cache: PoolCache<T>): T | null {
  const record = poolGet(cache.pool(k));
  if (record !== null) cache.construct(record);
  return record;
}

/** Puts an object back; it stays constructed. Source: pool_cache_put(9). */
export function poolCachePut<T extends View>(k: Kernel, cache: PoolCache<T>, record: T): void {
  const { w } = k;
  const header = headerOf(k, cache as PoolCache<View>);
  spinEnter(k, header + CACHE_LOCK);
  w[record.at] += 2;
  w[record.at + 1] = w[header + CACHE_FREE];
  w[header + CACHE_FREE] = record.index;
  w[header + CACHE_COUNT]++;
  cvSignal(k, header + CACHE_CV);
  spinExit(k, header + CACHE_LOCK);
}

/** Gives all unused objects back to the pool; how many there were. Source: pool_cache_invalidate(9). */
export function poolCacheInvalidate<T extends View>(k: Kernel, cache: PoolCache<T>): number {
  const header = headerOf(k, cache as PoolCache<View>);
  for (let n = 0; ; n++) {
    spinEnter(k, header + CACHE_LOCK);
    const record = takeCached(k, cache, header);
    spinExit(k, header + CACHE_LOCK);
    if (record === null) return n;
    cache.destruct(record);
    poolPut(cache.pool(k), record);
  }
}
