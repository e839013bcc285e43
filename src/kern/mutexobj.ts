/**
 * Reference-counted mutexes: of one that several owners share, the last one frees it (BLK-45). They are used by address,
 * like any other.
 */
import type { Kernel } from "../sys/kernel.js";
import { type Mutexobj, MutexobjRecord } from "../sys/mutexobj.js";
import { mutexDestroy, mutexInit } from "./mutex.js";
import { kassert } from "./panic.js";
import { poolGet, poolPut } from "./pool.js";
import { atomicAdd } from "./spin.js";

const REFCNT = MutexobjRecord.offset.refcnt;
const MUTEX = MutexobjRecord.offset.mutex;

/** Address of a new mutex with one reference; 0 when the table is full. */
export function mutexObjAlloc(k: Kernel, type: number, ipl: number): number {
  const mo = poolGet(k.mutexobjs);
  if (mo === null) return 0;
  mo.refcnt = 1;
  mutexInit(k, mo.mutex, type, ipl);
  return mo.mutex;
}

/** The record that the mutex at `m` stands in. */
function mutexObjOf(k: Kernel, m: number): Mutexobj {
  const { base, type, limit } = k.mutexobjs;
  const n = (m - MUTEX - base) / type.words;
  kassert(k, Number.isInteger(n) && n >= 0 && n < limit, `mutexObj: no such mutex at ${m}`);
  return k.mutexobjs.view(n + 1);
}

/** One more reference. */
export function mutexObjHold(k: Kernel, m: number): void {
  const mo = mutexObjOf(k, m);
  kassert(k, atomicAdd(k, mo.at + REFCNT, 1) > 0, "mutexObjHold: it is free");
}

/** One less; the last one destroys the mutex, which must be free: true. */
export function mutexObjFree(k: Kernel, m: number): boolean {
  const mo = mutexObjOf(k, m);
  const before = atomicAdd(k, mo.at + REFCNT, -1);
  kassert(k, before > 0, "mutexObjFree: it is free");
  if (before > 1) return false;
  mutexDestroy(k, m);
  poolPut(k.mutexobjs, mo);
  return true;
}
