/** References on an LWP, and finding one (LWP-29, 30, 77..79). */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LSIDL, LSONPROC, LSRUN, LSSLEEP, LSSTOP, LSSUSPENDED, LSZOMB } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { cvBroadcast, cvWait } from "./condvar.js";
import { lidLookup } from "./lid.js";
import { kassert } from "./panic.js";
import { procFindLocked } from "./pid.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";

/** Adds a reference; `p.lock` is held and the LWP not dead. */
export function lwpAddref(l: Lwp): void {
  const { k } = l;
  kassert(k, spinOwned(k, l.proc.lock), "lwpAddref: the process is not locked");
  kassert(k, l.stat !== LSZOMB && l.refcnt !== 0, "lwpAddref: a dead or draining LWP");
  l.refcnt++;
}

/** Drops a reference. */
export function lwpDelref(l: Lwp): void {
  const { k } = l;
  const lock = l.proc.lock;
  spinEnter(k, lock);
  lwpDelref2(l);
  spinExit(k, lock);
}

/** The same with `p.lock` held; the last one wakes who drains. */
export function lwpDelref2(l: Lwp): void {
  const { k } = l;
  kassert(k, spinOwned(k, l.proc.lock), "lwpDelref2: the process is not locked");
  kassert(k, l.stat !== LSZOMB && l.refcnt > 0, "lwpDelref2: a dead LWP, or no reference");
  l.refcnt--;
  if (l.refcnt === 0) cvBroadcast(k, l.proc.lwpcv);
}

/** Drops the LWP's own reference and waits for the others. `p.lock` is held. May sleep. */
export function* lwpDrainrefs(l: Lwp): Generator<void, void, void> {
  const { k } = l;
  const p = l.proc;
  kassert(k, spinOwned(k, p.lock) && l.refcnt !== 0, "lwpDrainrefs: not locked, or drained before");
  l.refcnt--;
  while (l.refcnt !== 0) yield* cvWait(k, p.lwpcv, p.lock);
}

/** The LWP of `p` with that lid, unless it is LSIDL or LSZOMB. `p.lock` is held. */
export function lwpFind(p: Proc, lid: number): Lwp | null {
  kassert(p.k, spinOwned(p.k, p.lock), "lwpFind: the process is not locked");
  const l = lidLookup(p, lid);
  return l === null || l.stat === LSIDL || l.stat === LSZOMB ? null : l;
}

/**
 * The LWP of a live process, left locked; null, and nothing locked, if there is none. `pid` 0 = the caller's process, `lid`
 * 0 = its newest LWP in whatever state. No lock is held.
 */
export function lwpFind2(k: Kernel, pid: number, lid: number): Lwp | null {
  const p = pid === 0 ? cur.lwp.proc : procFindLocked(k, pid);
  if (p === null) return null;
  if (pid === 0) spinEnter(k, p.lock);
  const l = lid === 0 ? procFirstLwp(p) : lwpFind(p, lid);
  if (l === null) spinExit(k, p.lock);
  return l;
}

/** Whether it is neither unborn nor dead. `p.lock` is held. */
export function lwpAlive(l: Lwp): boolean {
  kassert(l.k, spinOwned(l.k, l.proc.lock), "lwpAlive: the process is not locked");
  switch (l.stat) {
    case LSSLEEP:
    case LSRUN:
    case LSONPROC:
    case LSSTOP:
    case LSSUSPENDED:
      return true;
    default:
      return false;
  }
}

/** First LWP alive, newest first, or null. `p.lock` is held. */
export function lwpFindFirst(p: Proc): Lwp | null {
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) if (lwpAlive(l)) return l;
  return null;
}

/** Newest LWP of a process, or null. */
export function procFirstLwp(p: Proc): Lwp | null {
  return p.lwps === 0 ? null : p.k.lwps.view(p.lwps);
}

/** The next older LWP of its process, or null. */
export function siblingNext(l: Lwp): Lwp | null {
  return l.siblingNext === 0 ? null : l.k.lwps.view(l.siblingNext);
}

/** All LWPs of a process, newest first. For tools and tests. */
export function procLwps(p: Proc): Lwp[] {
  const list: Lwp[] = [];
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) list.push(l);
  return list;
}
