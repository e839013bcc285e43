/**
 * Making LWPs go on, whatever holds them: `setrunnable`, `lwpUnsleep`, changes of priority.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
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
  LW_PENDSIG,
  LW_WREBOOT,
  LW_WSUSPEND,
  PK_SYSTEM,
  PSL_TRACED,
  RESCHED_IMMED,
  SDYING,
  SOBJ_MUTEX,
  SOBJ_RW,
  SOBJ_SCHED,
  SSTOP,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { cvBroadcast } from "./condvar.js";
import { AT_SETRUNNABLE_CHOSEN, delayPoint } from "./delay.js";
import { lwpLock, lwpLocked, lwpSetlock, lwpUnlock } from "./lwplock.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { mutexOwner } from "./mutex.js";
import { kassert, panic } from "./panic.js";
import { schedTakecpu } from "./placement.js";
import { lwpEprio } from "./priority.js";
import { cpuNeedResched, flushKicks, lwpNeedUserret } from "./resched.js";
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
 * Ends the interruptible sleep of a locked LWP, also one that it was stopped in: it then looks for itself when it goes on.
 * Unlocks. False: there was none.
 */
export function lwpInterrupt(l: Lwp): boolean {
  const asleep = l.wchan !== 0 && (l.flag & LW_SINTR) !== 0;
  if (asleep) lwpUnsleep(l, true);
  else lwpUnlock(l);
  return asleep;
}

/**
 * Makes a stopped, suspended or sleeping LWP go on (LWP-115). `p.lock` is held and the LWP is locked; unlocks it.
 */
export function setrunnable(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  kassert(k, spinOwned(k, p.lock) && lwpLocked(l), "setrunnable: process or LWP not locked");
  kassert(k, (l.flag & LW_IDLE) === 0 && l.mutex !== l.cpu.mutex, "setrunnable: idle thread or queued");
  const suspended = l.stat === LSSUSPENDED;
  switch (l.stat) {
    case LSSTOP:
      if ((p.slflag & PSL_TRACED) !== 0 && p.xstat !== 0) {
        // It has a signal of its debugger to take.
        l.flag |= LW_PENDSIG;
        lwpNeedUserret(l);
      }
      p.nrlwps++;
      break;
    case LSSUSPENDED:
      l.flag &= ~LW_WSUSPEND;
      p.nrlwps++;
      break;
    case LSSLEEP:
      kassert(k, l.wchan !== 0, "setrunnable: asleep on nothing");
      break;
    default:
      panic(k, `setrunnable: LWP ${p.pid}.${l.lid} is in state ${l.stat}`);
  }
  goOn(l);
  // Not with the LWP locked, as the original does it: an LWP that goes to sleep takes its own lock with its queue's lock held.
  if (suspended) cvBroadcast(k, p.lwpcv);
}

/** What the LWP does next: it is woken from its sleep, stays on its CPU, or is queued. Unlocks it. */
function goOn(l: Lwp): void {
  const { k } = l;
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

/**
 * Halts every ordinary process for good, the caller's too: the machine shuts down (LWP-116). Each LWP but the caller suspends
 * itself on its way to user mode, and cannot be continued. No lock is held.
 */
export function suspendsched(k: Kernel): void {
  const { g } = k;
  spinEnter(k, g.procLock);
  for (let i = g.allproc; i !== 0; i = k.procs.view(i).listNext) {
    const p = k.procs.view(i);
    spinEnter(k, p.lock);
    if ((p.flag & PK_SYSTEM) === 0) suspendProc(p);
    spinExit(k, p.lock);
  }
  spinExit(k, g.procLock);
  for (let i = 1; i <= g.ncpu; i++) {
    const ci = k.cpus.view(i);
    spinEnter(k, ci.mutex);
    cpuNeedResched(ci, RESCHED_IMMED);
    spinExit(k, ci.mutex);
  }
  flushKicks(k);
}

function suspendProc(p: Proc): void {
  // One that exits is no longer stopped: it counts as dead (differs from the original).
  if (p.stat !== SSTOP && p.stat !== SDYING) {
    if (p.parent !== null) p.parent.nstopchild++;
    p.waited = 0;
    p.stat = SSTOP;
  }
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    if (l === cur.lwp) continue;
    lwpLock(l);
    l.flag |= LW_WREBOOT | LW_WSUSPEND;
    if (l.stat === LSSLEEP && (l.flag & LW_SINTR) !== 0) setrunnable(l);
    else lwpUnlock(l);
  }
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
