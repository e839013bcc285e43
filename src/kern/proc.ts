/**
 * Processes: process 0, ordinary ones, and how one ends with its last LWP.
 *
 * The end, in steps (PRC-29, as far as there is something to take down): (1) PS_WEXIT, so that nobody waits or starts
 * anything new; (2) every other LWP is told to exit, and waited for; (3) SDYING, lists left; (4) references on the last
 * LWP drained; (5) it is LSZOMB, the process SZOMB and on the list of the dead; (6) process 0, which stands in for init,
 * collects it: frees the last LWP once it is off its CPU, and the process.
 */
import type { Cred } from "../sys/cred.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LPR_DETACHED,
  LWPWAIT_EXITCONTROL,
  LWPWAIT_ONCE,
  PS_STOPPING,
  PS_WEXIT,
  SACTIVE,
  SCHED_OTHER,
  SDEAD,
  SDYING,
  SIDL,
  SSTOP,
  SZOMB,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { calloutDestroy } from "./callout.js";
import { alarmEnd } from "./alarm.js";
import { cvBroadcast, cvInit } from "./condvar.js";
import { kauthCredDup, kauthCredFree, kauthCredHold, lwpDropCreds } from "./cred.js";
import { lwpCreate, lwpStart, type Start } from "./lwpcreate.js";
import { becomeZombie, dropHostSide, unlistAll } from "./lwpexit.js";
import { lwpCtlExit } from "./lwpctl.js";
import { lwpFree } from "./lwpfree.js";
import { lwpDrainrefs, procFirstLwp, siblingNext } from "./lwpref.js";
import { lwpWait1 } from "./lwpwait.js";
import { kassert } from "./panic.js";
import { procAllocPid, procFreePid, procReservePid, procUnreservePid } from "./pid.js";
import { poolGet, poolPut } from "./pool.js";
import { tellToExit } from "./prockill.js";
import { procAdopt, procDisown, procOrphan, vforkDone } from "./procparent.js";
import { CLD_EXITED, CLD_KILLED, fire, PROBE_CREATE, PROBE_EXIT, probing } from "./probe.js";
import { sigactsFree, sigforget, siginit } from "./sigaction.js";
import { lwpFinispecific, procFinispecific } from "./specificdata.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";
import { lwpExitSwitchaway } from "./switch.js";
import { threadKeysFree } from "./threadkey.js";
import { umemFreeProc } from "./umem.js";
import { flushKicks } from "./resched.js";
import { uidKnown } from "./uid.js";

export interface ProcOptions {
  /** Name that tools show. */
  readonly comm: string;
  /** Real uid; 0 passes RLIMIT_NTHR. */
  readonly uid?: number;
  /** Linked program that its LWPs run; 0 = none. */
  readonly program?: number;
  /** Soft RLIMIT_NTHR; the ceiling is `kern.maxlwp`. */
  readonly nthr?: number;
}

/** A process without LWPs, SACTIVE; null when the table is full (EAGAIN). */
export function procCreate(k: Kernel, parent: Proc, options: ProcOptions): Proc | null {
  const { g } = k;
  const cred = credFor(parent, options.uid);
  if (cred === null) return null;
  const reserved = procReservePid(k);
  const p = reserved ? poolGet(k.procs) : null;
  if (p === null) {
    if (reserved) procUnreservePid(k);
    kauthCredFree(cred);
    return null;
  }
  p.stat = SIDL;
  p.comm = options.comm;
  p.cred = cred;
  p.uid = cred.uid;
  p.program = options.program ?? 0;
  p.nthrHard = g.maxlwp;
  p.nthrSoft = Math.min(options.nthr ?? g.maxlwp, g.maxlwp);
  p.fdrefs = 1;
  p.nice = 20;
  siginit(p);
  cvInit(k, p.lwpcv, "lwpwait");
  cvInit(k, p.waitcv, "wait");
  spinEnter(k, g.procLock);
  p.pid = procAllocPid(p);
  procAdopt(p, parent);
  p.listNext = g.allproc;
  if (g.allproc !== 0) k.procs.view(g.allproc).listPrev = p.index;
  g.allproc = p.index;
  g.nprocs++;
  p.stat = SACTIVE;
  spinExit(k, g.procLock);
  fire(k, PROBE_CREATE, p.pid, 0, parent.pid);
  return p;
}

/** Credentials of a new process: its parent's, or those of another user; null when a table is full. */
function credFor(parent: Proc, uid: number | undefined): Cred | null {
  const { k } = parent;
  // Until there is a reference to them, another LWP of the parent may replace and free them.
  spinEnter(k, parent.lock);
  const master = parent.cred as Cred;
  const same = uid === undefined || uid === master.uid;
  const cred = same ? kauthCredHold(master) : uidKnown(k, uid) ? kauthCredDup(master) : null;
  spinExit(k, parent.lock);
  if (cred !== null && !same) cred.uid = cred.euid = cred.svuid = uid;
  return cred;
}

/** A process whose first LWP runs `start`; null when a table is full (EAGAIN). No lock is held. */
export function procSpawn(k: Kernel, options: ProcOptions, start: Start): Proc | null {
  const p0 = k.procs.view(1);
  const lwp0 = k.lwps.view(1);
  const p = procCreate(k, p0, options);
  if (p === null) return null;
  const l = lwpCreate(lwp0, p, 0, start, SCHED_OTHER);
  if (l === null) {
    procDestroy(p);
    return null;
  }
  l.priority = PRI_NICE0;
  lwpStart(lwp0, l, 0);
  return p;
}

/** Throws a process away that has no LWP yet. */
export function procDestroy(p: Proc): void {
  unlistProc(p.k, p, false);
  freeProc(p.k, p);
}

/** Priority of a time-shared thread of nice 0 that has used no CPU yet (SCH-81). */
const PRI_NICE0 = 43;

/** Tells all other LWPs of the process to exit, and waits until they have (PRC-30). `p.lock` is held. May sleep. */
export function* exitLwps(l: Lwp): Generator<void, void, void> {
  const p = l.proc;
  while (p.nlwps > 1) {
    for (let l2 = procFirstLwp(p); l2 !== null; l2 = siblingNext(l2)) if (l2 !== l) tellToExit(l2);
    // PRC-33: from the start when some are halted, since others may have been created, or suspended themselves, meanwhile.
    // It may say ESRCH when the last detached one has just been freed; the count tells.
    yield* lwpWait1(0, null, LWPWAIT_EXITCONTROL | LWPWAIT_ONCE);
  }
}

/** Ends the caller's process with `status` (as in `wait`). `p.lock` is held. May sleep; never comes back. */
export function* exit1(l: Lwp, status: number): Generator<void, void, void> {
  const { k } = l;
  const p = l.proc;
  kassert(k, spinOwned(k, p.lock) && p.index !== 1, "exit1: not locked, or the system's process");
  // It is past stopping: a stop that is under way is given up.
  p.sflag = (p.sflag | PS_WEXIT) & ~PS_STOPPING;
  if (p.nlwps > 1) yield* exitLwps(l);
  const stopped = p.stat === SSTOP;
  p.stat = SDYING;
  p.xstat = status;
  sigforget(p, null);
  spinExit(k, p.lock);
  alarmEnd(p);
  if (probing(k, PROBE_EXIT)) fireExit(l, status);

  if (p.lwpctl !== 0) lwpCtlExit(l);
  vforkDone(l);
  k.slots.lwpExit?.(l);
  yield* lwpFinispecific(l);
  yield* procFinispecific(p);
  calloutDestroy(k, l.timeoutCh);
  unlistAll(k, l);
  unlistProc(k, p, stopped);
  spinEnter(k, p.lock);
  yield* lwpDrainrefs(l);
  l.prflag &= ~LPR_DETACHED;
  p.fdrefs = 0;
  lwpDropCreds(l);
  becomeZombie(l);
  p.stat = SZOMB;
  p.endTime = k.port.now();
  p.nrlwps--;
  p.nzlwps++;
  p.ndlwps = 0;
  spinExit(k, p.lock);
  dropHostSide(l);
  addZombie(k, p);
  flushKicks(k);
  k.port.procExited(p);
  lwpExitSwitchaway(l);
}

/** The probe "exit": why, and with which status or by which signal. */
function fireExit(l: Lwp, status: number): void {
  const signal = status & 0x7f;
  const reason = signal === 0 ? CLD_EXITED : CLD_KILLED;
  fire(l.k, PROBE_EXIT, l.proc.pid, l.lid, reason, signal === 0 ? status >> 8 : signal);
}

/** Off allproc. One that died stopped is no stop any more that its parent has to hear of. */
function unlistProc(k: Kernel, p: Proc, stopped: boolean): void {
  const { g } = k;
  spinEnter(k, g.procLock);
  if (stopped && p.waited === 0 && p.parent !== null) p.parent.nstopchild--;
  if (p.nchildren > 0) procOrphan(p);
  if (p.listPrev === 0) g.allproc = p.listNext;
  else k.procs.view(p.listPrev).listNext = p.listNext;
  if (p.listNext !== 0) k.procs.view(p.listNext).listPrev = p.listPrev;
  g.nprocs--;
  spinExit(k, g.procLock);
}

function addZombie(k: Kernel, p: Proc): void {
  const { g } = k;
  spinEnter(k, g.procLock);
  p.zombieNext = g.zombies;
  g.zombies = p.index;
  const parent = p.parent;
  if (parent !== null) cvBroadcast(k, parent.waitcv);
  spinExit(k, g.procLock);
}

/** A process that has ended, with what it left. */
export interface Collected {
  readonly index: number;
  readonly gen: number;
  readonly pid: number;
  readonly program: number;
  readonly status: number;
  /** From the first instruction of its main to its last exit. */
  readonly seconds: number;
}

/** Collects one dead process, or null. Called between LWPs, by the CPU that stands in for init. */
export function procReap(k: Kernel): Collected | null {
  const { g } = k;
  if (g.zombies === 0) return null;
  spinEnter(k, g.procLock);
  if (g.zombies === 0) {
    spinExit(k, g.procLock);
    return null;
  }
  const p = k.procs.view(g.zombies);
  g.zombies = p.zombieNext;
  spinExit(k, g.procLock);
  // Whoever died last may still hold the lock.
  spinEnter(k, p.lock);
  spinExit(k, p.lock);
  const l = procFirstLwp(p);
  kassert(k, l !== null && p.nlwps === 1 && p.stat === SZOMB, "procReap: more than the last LWP is left");
  lwpFree(l, false, true);
  umemFreeProc(p);
  threadKeysFree(p);
  sigactsFree(k, p);
  p.stat = SDEAD;
  const collected = {
    index: p.index,
    gen: p.gen,
    pid: p.pid,
    program: p.program,
    status: p.xstat,
    seconds: p.endTime - p.startTime,
  };
  freeProc(k, p);
  return collected;
}

/** Nothing of it is left: its id and its record serve again. */
function freeProc(k: Kernel, p: Proc): void {
  const { g } = k;
  spinEnter(k, g.procLock);
  procFreePid(k, p.pid);
  spinExit(k, g.procLock);
  procDisown(k, p);
  kauthCredFree(p.cred as Cred);
  poolPut(k.procs, p);
}

/** All processes, newest first. For tools and tests. */
export function allProcs(k: Kernel): Proc[] {
  const list: Proc[] = [];
  for (let i = k.g.allproc; i !== 0; i = k.procs.view(i).listNext) list.push(k.procs.view(i));
  return list;
}

/** All LWPs, newest first (alllwp). For tools and tests. */
export function allLwps(k: Kernel): Lwp[] {
  const list: Lwp[] = [];
  for (let i = k.g.alllwp; i !== 0; i = k.lwps.view(i).listNext) list.push(k.lwps.view(i));
  return list;
}
