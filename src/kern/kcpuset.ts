/**
 * Sets of CPUs with a count of references (MCH-40, 41).
 *
 * Bit i & 31 of word i >> 5 is CPU i, whether there is such a CPU or not. A set belongs to whoever made it; several may
 * share it by counting references, and the last one frees it. Where spin locks are held, a set that is no longer used is put
 * on a list and destroyed later. Words are changed plainly, under a lock of the owner; `kcpusetAtomicSet` and
 * `kcpusetAtomicClear` need none.
 *
 * Differs from the original: sets are there before the first CPU is, so there are no early ones to be converted.
 */
import { EINVAL } from "../sys/errno.js";
import { KCPUSET_WORDS, type Kcpuset, KcpusetRecord } from "../sys/kcpuset.js";
import type { Kernel } from "../sys/kernel.js";
import { MAXCPUS } from "../sys/param.js";
import { kassert, panic } from "./panic.js";
import { type PoolCache, poolCachePut, poolCacheTryget } from "./poolcache.js";
import { atomicAdd, atomicAnd, atomicOr } from "./spin.js";

const REFCNT = KcpusetRecord.offset.refcnt;

/** A free set is constructed: it has no reference and is on no list. Its bits are whatever they were. */
export const KCPUSET_CACHE: PoolCache<Kcpuset> = {
  index: 0,
  name: "kcpuset",
  pool: (k) => k.kcpusets,
  construct: () => {},
  destruct: () => {},
};

/** A new set with one reference, empty if `zero`. A full table is a kernel assertion: its size follows from its users'. */
export function kcpusetCreate(k: Kernel, zero: boolean): Kcpuset {
  const set = poolCacheTryget(k, KCPUSET_CACHE);
  if (set === null) panic(k, "kcpusetCreate: more sets than there is room for");
  set.refcnt = 1;
  set.next = 0;
  if (zero) kcpusetZero(set);
  return set;
}

/** Frees a set of one reference, and all sets behind it on its list. */
export function kcpusetDestroy(set: Kcpuset): void {
  const { k } = set;
  for (let s: Kcpuset | null = set; s !== null; ) {
    kassert(k, s.refcnt <= 1 && (s.gen & 1) === 1, "kcpusetDestroy: in use, or free");
    const next: number = s.next;
    s.refcnt = 0;
    s.next = 0;
    poolCachePut(k, KCPUSET_CACHE, s);
    s = next === 0 ? null : k.kcpusets.view(next);
  }
}

/** One more reference. */
export function kcpusetUse(set: Kcpuset): void {
  kassert(set.k, atomicAdd(set.k, set.at + REFCNT, 1) > 0, "kcpusetUse: it is free");
}

/**
 * One less. The last one destroys the set, or puts it before `list`, a list of such sets: what is returned then is the new
 * list, to be given to `kcpusetDestroy` once no spin lock is held.
 */
export function kcpusetUnuse(set: Kcpuset, list?: Kcpuset | null): Kcpuset | null {
  const { k } = set;
  const before = atomicAdd(k, set.at + REFCNT, -1);
  kassert(k, before > 0, "kcpusetUnuse: it is free");
  if (before > 1) return list ?? null;
  if (list === undefined) {
    kcpusetDestroy(set);
    return null;
  }
  set.next = list === null ? 0 : list.index;
  return set;
}

/** Copies bits in from bytes, as many as there are; the rest stays. EINVAL: more than a set has. */
export function kcpusetCopyin(set: Kcpuset, bytes: Uint8Array): number {
  if (bytes.length > MAXCPUS >> 3) return EINVAL;
  for (let i = 0; i < bytes.length; i++) {
    const at = set.bits + (i >> 2);
    const shift = (i & 3) << 3;
    set.w[at] = (set.w[at] & ~(0xff << shift)) | (bytes[i] << shift);
  }
  return 0;
}

/** Copies bits out, as many bytes as there is room for. EINVAL: room for more than a set has. */
export function kcpusetCopyout(set: Kcpuset, bytes: Uint8Array): number {
  if (bytes.length > MAXCPUS >> 3) return EINVAL;
  for (let i = 0; i < bytes.length; i++) bytes[i] = set.w[set.bits + (i >> 2)] >> ((i & 3) << 3);
  return 0;
}

export function kcpusetZero(set: Kcpuset): void {
  set.w.fill(0, set.bits, set.bits + KCPUSET_WORDS);
}

export function kcpusetFill(set: Kcpuset): void {
  set.w.fill(-1, set.bits, set.bits + KCPUSET_WORDS);
}

/** `to` becomes the same as `from`. */
export function kcpusetCopy(to: Kcpuset, from: Kcpuset): void {
  to.w.copyWithin(to.bits, from.bits, from.bits + KCPUSET_WORDS);
}

/** Address of the word of CPU `i`. */
function wordOf(set: Kcpuset, i: number): number {
  kassert(set.k, i >= 0 && i < MAXCPUS, "kcpuset: no such CPU");
  return set.bits + (i >> 5);
}

export function kcpusetSet(set: Kcpuset, i: number): void {
  set.w[wordOf(set, i)] |= 1 << (i & 31);
}

export function kcpusetClear(set: Kcpuset, i: number): void {
  set.w[wordOf(set, i)] &= ~(1 << (i & 31));
}

export function kcpusetIsset(set: Kcpuset, i: number): boolean {
  return (set.w[wordOf(set, i)] & (1 << (i & 31))) !== 0;
}

/** Whether any CPU but `i` is in it. */
export function kcpusetIsotherset(set: Kcpuset, i: number): boolean {
  const own = wordOf(set, i);
  for (let at = set.bits; at < set.bits + KCPUSET_WORDS; at++) {
    if ((set.w[at] & ~(at === own ? 1 << (i & 31) : 0)) !== 0) return true;
  }
  return false;
}

export function kcpusetIszero(set: Kcpuset): boolean {
  for (let n = 0; n < KCPUSET_WORDS; n++) if (set.w[set.bits + n] !== 0) return false;
  return true;
}

export function kcpusetMatch(a: Kcpuset, b: Kcpuset): boolean {
  for (let n = 0; n < KCPUSET_WORDS; n++) if (a.w[a.bits + n] !== b.w[b.bits + n]) return false;
  return true;
}

/** Adds the CPUs of `from`. */
export function kcpusetMerge(to: Kcpuset, from: Kcpuset): void {
  for (let n = 0; n < KCPUSET_WORDS; n++) to.w[to.bits + n] |= from.w[from.bits + n];
}

/** Keeps only the CPUs that are in `from` too. */
export function kcpusetIntersect(to: Kcpuset, from: Kcpuset): void {
  for (let n = 0; n < KCPUSET_WORDS; n++) to.w[to.bits + n] &= from.w[from.bits + n];
}

/** How many CPUs are in it. */
export function kcpusetCountset(set: Kcpuset): number {
  let count = 0;
  for (let n = 0; n < KCPUSET_WORDS; n++) {
    for (let bits = set.w[set.bits + n]; bits !== 0; bits &= bits - 1) count++;
  }
  return count;
}

export function kcpusetAtomicSet(set: Kcpuset, i: number): void {
  atomicOr(set.k, wordOf(set, i), 1 << (i & 31));
}

export function kcpusetAtomicClear(set: Kcpuset, i: number): void {
  atomicAnd(set.k, wordOf(set, i), ~(1 << (i & 31)));
}

/** The words of the set, as many as there is room for. */
export function kcpusetExportU32(set: Kcpuset, words: Uint32Array): void {
  for (let n = 0; n < Math.min(words.length, KCPUSET_WORDS); n++) words[n] = set.w[set.bits + n];
}
