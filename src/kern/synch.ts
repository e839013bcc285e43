/**
 * Making LWPs go on, whatever holds them: `setrunnable`, `lwpUnsleep`, changes of priority.
 */
import type { Lwp } from "../sys/lwp.js";
import {
  LP_RUNNING,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LW_IDLE,
  LW_SINTR,
  LW_WSUSPEND,
  SOBJ_MUTEX,
  SOBJ_RW,
  SOBJ_SCHED,
} from "../sys/param.js";
import { cvBroadcast } from "./condvar.js";
import { AT_SETRUNNABLE_CHOSEN, delayPoint } from "./delay.js";
import { lwpLocked, lwpSetlock, lwpUnlock } from "./lwplock.js";
import { mutexOwner } from "./mutex.js";
import { kassert, panic } from "./panic.js";
import { schedTakecpu } from "./placement.js";
import { lwpEprio } from "./priority.js";
import { cpuNeedResched } from "./resched.js";
import { schedDequeue, schedEnqueue } from "./runq.js";
import { rwOwner } from "./rwlock.js";
import { sleepqReinsert, sleepqUnsleep } from "./sleepq.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";
import { setStat } from "./state.js";

/** Ends an interruptible sleep, by the object it sleeps on; always unlocks if `cleanup` (LWP-83, BLK-2). */
export function lwpUnsleep(l: Lwp, cleanup: boolean): void {
  const { k } = l;
  kassert(k, lwpLocked(l), "lwpUnsleep: the LWP is not locked");
  const sobj = l.syncobj;
  const lock = sobj === SOBJ_MUTEX || sobj === SOBJ_RW;
  // Locks of programs are waited for interruptibly.
  if (sobj === SOBJ_SCHED || (lock && (l.flag & LW_SINTR) === 0)) {
    panic(k, `lwpUnsleep: LWP ${l.proc.pid}.${l.lid} cannot be woken from outside`);
  }
  sleepqUnsleep(l, cleanup);
}

/**
 * Makes a stopped, suspended or sleeping LWP go on (LWP-115). `p.lock` is held and the LWP is locked; unlocks it.
 */
export function setrunnable(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  kassert(k, spinOwned(k, p.lock) && lwpLocked(l), "setrunnable: process or LWP not locked");
  kassert(k, (l.flag & LW_IDLE) === 0 && l.mutex !== l.cpu.mutex, "setrunnable: idle thread or queued");
  switch (l.stat) {
    case LSSTOP:
      p.nrlwps++;
      break;
    case LSSUSPENDED:
      l.flag &= ~LW_WSUSPEND;
      p.nrlwps++;
      cvBroadcast(k, p.lwpcv);
      break;
    case LSSLEEP:
      kassert(k, l.wchan !== 0, "setrunnable: asleep on nothing");
      break;
    default:
      panic(k, `setrunnable: LWP ${p.pid}.${l.lid} is in state ${l.stat}`);
  }
  if (l.wchan !== 0) {
    // Stopped while asleep: it goes back to sleep for a moment, and is woken from there.
    if (l.stat !== LSSLEEP) setStat(l, LSSLEEP);
    lwpUnsleep(l, true);
    return;
  }
  if ((l.pflag & LP_RUNNING) !== 0) {
    setStat(l, LSONPROC);
    l.slptime = 0;
    lwpUnlock(l);
    return;
  }
  const ci = schedTakecpu(l);
  const old = l.mutex;
  l.cpu = ci;
  delayPoint(k, AT_SETRUNNABLE_CHOSEN);
  spinEnter(k, ci.mutex);
  setStat(l, LSRUN);
  lwpSetlock(l, ci.mutex);
  l.slptime = 0;
  schedEnqueue(l, false);
  spinExit(k, ci.mutex);
  spinExit(k, old);
}

/** Changes the base priority of a locked LWP and puts it where that belongs (BLK-3). */
export function lwpChangepri(l: Lwp, priority: number): void {
  if (l.priority !== priority) requeue(l, () => (l.priority = priority));
}

/** The same for what is lent to it; -1 = nothing. */
export function lwpLendpri(l: Lwp, priority: number): void {
  if (l.inheritedprio !== priority) requeue(l, () => (l.inheritedprio = priority));
}

/** Who holds what `l` sleeps on, if that is a kind of object that has an owner (BLK-2). */
export function syncobjOwner(l: Lwp): Lwp | null {
  if (l.syncobj === SOBJ_MUTEX) return mutexOwner(l.k, l.wchan);
  return l.syncobj === SOBJ_RW ? rwOwner(l.k, l.wchan) : null;
}

function requeue(l: Lwp, change: () => void): void {
  kassert(l.k, lwpLocked(l), "priority change: the LWP is not locked");
  if (l.syncobj !== SOBJ_SCHED) {
    change();
    sleepqReinsert(l);
    return;
  }
  if (l.stat === LSRUN) {
    schedDequeue(l);
    change();
    schedEnqueue(l, false);
  } else {
    change();
  }
  if (lwpEprio(l) > l.cpu.curpriority) cpuNeedResched(l.cpu, 0);
}
