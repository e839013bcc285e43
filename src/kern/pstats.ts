/**
 * The statistics thread: what lwp0 does once it has booted the machine (MCH-94, SCH-71).
 *
 * About once a second it goes through all processes and LWPs: their age, how long they have slept, their share of a CPU. It
 * sleeps uninterruptibly in between, on itself, as "uvm". Its time-out is no callout: the first CPU looks at its own ticks
 * whether the second is over (`pstatsTick`). So nothing is awake for statistics alone: a machine that does nothing keeps none,
 * and on a simulated one they make no time pass.
 *
 * A process is locked while its LWPs are looked at, a run of them at a time: in between only the one that comes next is held, by
 * a reference.
 *
 * Differs from the original: there are no load averages, estimates of CPU use and limits of run time yet, nor what SCH-72 tells
 * of hogs.
 */
import { type Cpu } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import {
  CTX_KTHREAD,
  LSIDL,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LSZOMB,
  LW_IDLE,
  PRI_VM,
  SACTIVE,
  SCHED_FIFO,
  SOBJ_SLEEP,
  SSTOP,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { lwpAddref, lwpDelref2, procFirstLwp, siblingNext } from "./lwpref.js";
import {
  BLOCK_SWITCHED,
  bucketQueue,
  sleepqBlock,
  sleepqEnqueue,
  sleepqEnter,
  sleepqTimeout,
  sleeptabBucket,
} from "./sleepq.js";
import { atomicAdd, spinEnter, spinExit } from "./spin.js";

/** Number of its function. */
export const KTHREAD_PSTATS = 2;

const CPTICKS = LwpRecord.offset.cpticks;

/** Fixed point of shares: 11 bits, in which CCPU is exp(-1/20): what is left of a share after a second. */
const FSHIFT = 11;
const FSCALE = 1 << FSHIFT;
const CCPU = 1948;
/** LWPs that are looked at before the process is unlocked for a moment. */
const RUN = 256;

/** The caller, lwp0, becomes the thread, and goes to sleep. Whether it has left its CPU, and its context must be saved. */
export function pstatsBegin(l: Lwp): boolean {
  l.ctxkind = CTX_KTHREAD;
  l.entry = KTHREAD_PSTATS;
  l.class = SCHED_FIFO;
  l.priority = PRI_VM;
  return pstatsSleep(l);
}

/** What it runs. May sleep. */
export function* pstatsThread(k: Kernel): Generator<void, void, void> {
  for (;;) {
    schedPstats(k);
    if (pstatsSleep(cur.lwp)) yield;
  }
}

function pstatsSleep(l: Lwp): boolean {
  const { k } = l;
  const bucket = sleeptabBucket(k.sleeptab, l.at);
  k.g.pstatsAt = (k.g.ticks + k.hz) | 0;
  spinEnter(k, bucket);
  sleepqEnter(l, bucket);
  sleepqEnqueue(l, bucketQueue(bucket), l.at, "uvm", SOBJ_SLEEP);
  return sleepqBlock(l, 0, false) === BLOCK_SWITCHED;
}

/**
 * The first CPU has handled ticks: ends the sleep once it has lasted a second. No lock is held. Without time slices the thread
 * takes the CPU from no other: that would go behind its equals (SCH-20).
 */
export function pstatsTick(ci: Cpu): void {
  const { k } = ci;
  if (((ci.tick - k.g.pstatsAt) | 0) < 0) return;
  if (k.g.noSlices !== 0 && (ci.curlwp.flag & LW_IDLE) === 0) return;
  // Not before it sleeps again.
  k.g.pstatsAt = (ci.tick + k.hz) | 0;
  sleepqTimeout(k, LWP0);
}

/** Index of lwp0's record. */
const LWP0 = 1;

/** One pass. No lock is held. Source: sched_pstats. */
export function schedPstats(k: Kernel): void {
  for (let i = 1; i <= k.procs.highWater; i++) {
    const p = lockAt(k, i);
    if (p === null) continue;
    pstatsProc(p);
    spinExit(k, p.lock);
  }
}

/** The process in a record, locked, if one lives there. */
function lockAt(k: Kernel, index: number): Proc | null {
  const { procLock } = k.g;
  spinEnter(k, procLock);
  const p = k.procs.view(index);
  const live = (p.gen & 1) === 1 && (p.stat === SACTIVE || p.stat === SSTOP);
  if (live) spinEnter(k, p.lock);
  spinExit(k, procLock);
  return live ? p : null;
}

function pstatsProc(p: Proc): void {
  const { k } = p;
  p.pctcpu = decayed(p.pctcpu);
  let n = 0;
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    if ((l.flag & LW_IDLE) === 0) pstatsLwp(l);
    // Who throws away an unborn one, as kthreadDestroy does, may not have to wait for this.
    if (++n % RUN !== 0 || l.stat === LSZOMB || l.stat === LSIDL || l.refcnt === 0) continue;
    // It stays on the list as long as somebody holds it.
    lwpAddref(l);
    spinExit(k, p.lock);
    spinEnter(k, p.lock);
    lwpDelref2(l);
  }
}

function pstatsLwp(l: Lwp): void {
  lwpLock(l);
  l.swtime++;
  const { stat } = l;
  if (stat === LSSLEEP || stat === LSSTOP || stat === LSSUSPENDED) l.slptime++;
  let share = decayed(l.pctcpu);
  if (l.slptime === 0) {
    const ticks = l.cpticks;
    if (ticks !== 0) atomicAdd(l.k, l.at + CPTICKS, -ticks);
    share += ((FSCALE - CCPU) * Math.trunc((ticks * FSCALE) / l.k.hz)) >> FSHIFT;
  }
  l.pctcpu = share;
  lwpUnlock(l);
}

function decayed(share: number): number {
  return (share * CCPU) >> FSHIFT;
}
