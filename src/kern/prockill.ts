/**
 * Ending a process from outside, as SIGKILL does.
 *
 * In steps: (1) under its lock, `p.killed` is set and every LWP told to exit; (2) the first of them to come to its exit
 * ends the process instead, and so also those that were created meanwhile; the others only end themselves. None of them
 * suspends itself before, whoever may have asked for that.
 */
import type { Kernel } from "../sys/kernel.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { LSSLEEP, LSSTOP, LSSUSPENDED, LSZOMB, LW_SINTR, LW_WEXIT, PS_WEXIT } from "../sys/param.js";
import { ProcRecord, type Proc } from "../sys/proc.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { flushKicks, lwpNeedUserret } from "./resched.js";
import { spinEnter, spinExit } from "./spin.js";
import { setrunnable } from "./synch.js";

/**
 * Ends process `pid` by signal `sig`. False: there is none, or it is ending already. No lock is held. Called by the CPU
 * that collects the dead, so that the record found stays what it is.
 */
export function procKill(k: Kernel, pid: number, sig: number): boolean {
  const p = pid > 0 ? procByPid(k, pid) : null;
  if (p === null) return false;
  spinEnter(k, p.lock);
  const alive = procEndBy(p, sig);
  spinExit(k, p.lock);
  flushKicks(k);
  return alive;
}

const PROC = LwpRecord.offset.proc;
const KILLED = ProcRecord.offset.killed;
const PROC_WORDS = ProcRecord.words;

/** Whether its process is to end by a signal. By address, since the end of every LWP asks. */
export function isKilled(l: Lwp): boolean {
  const { k, w } = l;
  return w[k.procs.base + (w[l.at + PROC] - 1) * PROC_WORDS + KILLED] !== 0;
}

/** The same for a process that is locked. */
export function procEndBy(p: Proc, sig: number): boolean {
  if ((p.sflag & PS_WEXIT) !== 0 || p.killed !== 0) return false;
  p.killed = sig;
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) if (l.stat !== LSZOMB) tellToExit(l);
  return true;
}

/** The flag, and out of any wait that may be interrupted. One that computes is asked to look (PRC-30). */
export function tellToExit(l: Lwp): void {
  lwpLock(l);
  l.flag |= LW_WEXIT;
  const stat = l.stat;
  if (stat === LSSUSPENDED || stat === LSSTOP || (stat === LSSLEEP && (l.flag & LW_SINTR) !== 0)) {
    setrunnable(l);
    return;
  }
  lwpNeedUserret(l);
  lwpUnlock(l);
}

function procByPid(k: Kernel, pid: number): Proc | null {
  const { g } = k;
  spinEnter(k, g.procLock);
  let i = g.allproc;
  while (i !== 0 && k.procs.view(i).pid !== pid) i = k.procs.view(i).listNext;
  spinExit(k, g.procLock);
  return i === 0 ? null : k.procs.view(i);
}
