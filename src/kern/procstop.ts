/**
 * Stopping and continuing a process (LWP-74, PRC-91..95), whoever asks for it: a signal (signal.ts) or a debugger.
 *
 * A stop, in steps:
 *   (1) `procStop`: PS_STOPPING; every LWP is to look for signals before it returns to user mode (LW_PENDSIG); whoever sleeps
 *       interruptibly is LSSTOP where it sleeps, and keeps its wait channel.
 *   (2) Each of the others stops itself on its way to user mode: `sigswitch`. Nothing that it holds in the kernel is held
 *       across that (LWP-16).
 *   (3) As long as some have not, a callout looks at every tick for new interruptible sleepers.
 *   (4) Whoever sees that none is left in `p.nrlwps` makes the process SSTOP: `procStopDone`.
 *
 * A continue makes it SACTIVE whichever step it has reached: who stands on a sleep queue sleeps on there, undisturbed, and
 * all others become runnable. An LWP that is let into the kernel meanwhile, to suspend itself or to be killed, still has
 * LW_PENDSIG, and so does not get past its user return while the process is stopped.
 *
 * `proc_lock` and `p.lock` are held for all of it, in that order. The callers flush the kicks once they hold no lock.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LW_PENDSIG,
  LW_SINTR,
  LW_WEXIT,
  PK_SYSTEM,
  PS_STOPPING,
  PS_WEXIT,
  SACTIVE,
  SSTOP,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { CALLOUT_MPSAFE } from "../sys/shapes.js";
import { CALLOUT_PROC_STOP, calloutInit, calloutSchedule, calloutSetfunc } from "./callout.js";
import { cvBroadcast } from "./condvar.js";
import { AT_SIGSWITCH_STOPPED, delayPoint } from "./delay.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { kassert } from "./panic.js";
import { flushKicks, lwpNeedUserret } from "./resched.js";
import { spinEnter, spinExit, spinOwned, spinTryenter } from "./spin.js";
import { setStat } from "./state.js";
import { miSwitch } from "./switch.js";
import { setrunnable } from "./synch.js";

/** Sets up the callout of step (3). */
export function procStopInit(k: Kernel): void {
  calloutInit(k, k.g.stopCh, CALLOUT_MPSAFE);
  calloutSetfunc(k, k.g.stopCh, CALLOUT_PROC_STOP, 0);
}

/** Whether the process is to come to a halt, or has. `p.lock` is held. */
export function procIsStopping(p: Proc): boolean {
  return p.stat === SSTOP || (p.sflag & PS_STOPPING) !== 0;
}

/** Begins to stop a process, for signal `sig`; one that stops or exits already is left alone (PRC-91). */
export function procStop(p: Proc, sig: number): void {
  const { k } = p;
  assertLocked(p, "procStop: not locked, or the system's process");
  if (p.stat !== SACTIVE || (p.sflag & (PS_STOPPING | PS_WEXIT)) !== 0) return;
  p.sflag |= PS_STOPPING;
  p.xstat = sig;
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) postStop(l);
  procStopLwps(p);
  if (p.nrlwps === 0) procStopDone(p);
  else calloutSchedule(k, k.g.stopCh, 1);
}

function assertLocked(p: Proc, message: string): void {
  const { k } = p;
  kassert(
    k,
    spinOwned(k, k.g.procLock) && spinOwned(k, p.lock) && (p.flag & PK_SYSTEM) === 0 && p.parent !== null,
    message,
  );
}

/** What `sigpost` does for a stop: nobody is woken for it. */
function postStop(l: Lwp): void {
  lwpLock(l);
  l.flag |= LW_PENDSIG;
  if (l.stat === LSRUN || l.stat === LSONPROC) lwpNeedUserret(l);
  lwpUnlock(l);
}

/** Those who sleep interruptibly stop where they are. */
function procStopLwps(p: Proc): void {
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    lwpLock(l);
    if (l.stat === LSSLEEP && (l.flag & LW_SINTR) !== 0) {
      setStat(l, LSSTOP);
      p.nrlwps--;
    }
    lwpUnlock(l);
  }
}

/** The last one has stopped: the parent is told (PRC-92). */
function procStopDone(p: Proc): void {
  const parent = p.parent as Proc;
  p.sflag &= ~PS_STOPPING;
  p.stat = SSTOP;
  p.waited = 0;
  parent.nstopchild++;
  cvBroadcast(p.k, parent.waitcv);
}

/** Handler of the callout: stops new interruptible sleepers, ends what can be ended, and comes again (PRC-93). */
export function procStopCallout(k: Kernel): void {
  const { g } = k;
  let more = false;
  spinEnter(k, g.procLock);
  for (let i = g.allproc; i !== 0; i = k.procs.view(i).listNext) {
    const p = k.procs.view(i);
    spinEnter(k, p.lock);
    if ((p.sflag & PS_STOPPING) !== 0) {
      procStopLwps(p);
      if (p.nrlwps === 0) procStopDone(p);
      else more = true;
    }
    spinExit(k, p.lock);
  }
  spinExit(k, g.procLock);
  if (more) calloutSchedule(k, g.stopCh, 1);
}

/**
 * The caller stops with its process, if that is still to stop (PRC-94). `p.lock` is held, and released. True: leave the
 * context.
 */
export function sigswitch(l: Lwp): boolean {
  const { k } = l;
  const p = l.proc;
  kassert(k, l === cur.lwp && spinOwned(k, p.lock), "sigswitch: not the caller, or not locked");
  if (p.nrlwps === 1 && (p.sflag & PS_STOPPING) !== 0) lastOneStops(p);
  // A continue may have slipped in, or its end: who is told to exit is told once.
  if (procIsStopping(p) && (l.flag & LW_WEXIT) === 0) {
    p.nrlwps--;
    lwpLock(l);
    setStat(l, LSSTOP);
    lwpUnlock(l);
  }
  spinExit(k, p.lock);
  flushKicks(k);
  delayPoint(k, AT_SIGSWITCH_STOPPED);
  // Continued before it has switched, it is LSONPROC again, and merely yields.
  lwpLock(l);
  return miSwitch(l);
}

/** `proc_lock` comes first in the order of locks: if it is not free, `p.lock` is dropped for a moment. */
function lastOneStops(p: Proc): void {
  const { k } = p;
  const { procLock } = k.g;
  if (!spinTryenter(k, procLock)) {
    spinExit(k, p.lock);
    spinEnter(k, procLock);
    spinEnter(k, p.lock);
  }
  if (p.nrlwps === 1 && (p.sflag & PS_STOPPING) !== 0) procStopDone(p);
  spinExit(k, procLock);
}

/** The process, which is stopped or stopping, may run again. As written a process that is only stopping is taken off its parent's count, too. */
export function procActivate(p: Proc): void {
  if (p.stat === SSTOP && p.waited === 0) (p.parent as Proc).nstopchild--;
  p.stat = SACTIVE;
  p.sflag &= ~PS_STOPPING;
}

/**
 * Continues a process (PRC-95). `sig` is what the first interruptible sleeper is woken to take: by a debugger the code in
 * `p.xstat`; 0 for SIGCONT, which wakes nobody.
 */
export function procUnstop(p: Proc, sig = p.xstat): void {
  assertLocked(p, "procUnstop: not locked, or the system's process");
  if (!procIsStopping(p)) return;
  procActivate(p);
  let take = sig;
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    lwpLock(l);
    if (l.stat !== LSSTOP) lwpUnlock(l);
    else if (resume(l, take)) take = 0;
  }
}

/** Continues one stopped LWP; the process is SACTIVE then, and its other LWPs stay as they are (LWP-74). */
export function lwpUnstop(l: Lwp): void {
  const p = l.proc;
  assertLocked(p, "lwpUnstop: not locked, or the system's process");
  lwpLock(l);
  if (l.stat !== LSSTOP) return lwpUnlock(l);
  procActivate(p);
  resume(l, p.xstat);
}

/** Lets a stopped LWP go on, and unlocks it; whether it was taken out of its sleep for `sig`. */
function resume(l: Lwp, sig: number): boolean {
  const taken = l.wchan !== 0 && sig !== 0 && (l.flag & LW_SINTR) !== 0;
  if (l.wchan === 0 || taken) {
    setrunnable(l);
    return taken;
  }
  setStat(l, LSSLEEP);
  l.proc.nrlwps++;
  lwpUnlock(l);
  return false;
}
