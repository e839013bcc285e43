/**
 * Sleep queues: where an LWP waits, and how it leaves (BLK-4..16, 20..24).
 *
 * A queue is its first and last LWP; it belongs to a spin lock, which covers the LWPs on it. Entering: take the lock,
 * hand the LWP over to it, queue, release the interlock, switch. The lock is held from the enqueue until `miSwitch` has
 * cleared LP_RUNNING, so no wakeup can be lost and a waker on another CPU finds the LWP off its CPU, or at least with
 * its context on the way out (`l.ctxswtch`).
 *
 * Invariants (BLK-100): `wchan` is set exactly while the LWP is on exactly one queue, `l.sleepq`; its state then is
 * SLEEP or STOP, and `l.mutex` is the queue's lock.
 *
 * A sleep is two plain halves around the switch, so that contexts of every kind can use it:
 *
 *   const b = sleepqBlock(l, ticks, catch);   // BLOCK_EARLY, BLOCK_SWITCHED, BLOCK_BACK
 *   if (b === BLOCK_SWITCHED) yield;
 *   const error = sleepqUnblock(l, b, ticks, catch);
 */
import type { Kernel } from "../sys/kernel.js";
import { CpuRecord } from "../sys/cpu.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { EINTR, ERESTART, EWOULDBLOCK } from "../sys/errno.js";
import {
  LP_RUNNING,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LW_CANCELLED,
  LW_PENDSIG,
  LW_SINTR,
  LW_WCORE,
  LW_WEXIT,
  LW_WSUSPEND,
  SOBJ_MUTEX,
  SOBJ_OBJ_LIFO,
  SOBJ_PARK,
  SOBJ_RW,
  SOBJ_SCHED,
  SOBJ_SELECT,
} from "../sys/param.js";
import { packText } from "../sys/record.js";
import { SLEEPQ_HEAD, SLEEPQ_TAIL, SLEEPTAB_BUCKET_WORDS, SLEEPTAB_SIZE } from "../sys/shapes.js";
import { calloutHaltSpin, calloutSchedule } from "./callout.js";
import { AT_SETRUNNABLE_CHOSEN, delayPoint } from "./delay.js";
import { lwpLock, lwpLocked, lwpUnlockTo, lwpUnlock } from "./lwplock.js";
import { kassert } from "./panic.js";
import { schedTakecpu } from "./placement.js";
import { lwpEprio } from "./priority.js";
import { fire, PROBE_WAKEUP, probing } from "./probe.js";
import { schedEnqueue } from "./runq.js";
import { firstsig, isStopSignal, sigispending } from "./sigpending.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";
import { setStat } from "./state.js";
import { miSwitch } from "./switch.js";
import { turnstileDetach } from "./tstab.js";

// The words of a sleep, by address: see runq.ts.
const { sleepqNext: NEXT, sleepqPrev: PREV, wmesg: WMESG, wchan: WCHAN, sleepq: SLEEPQ } = LwpRecord.offset;
const { syncobj: SYNCOBJ, stat: STAT, flag: FLAG, pflag: PFLAG, mutex: MUTEX, cpu: CPU } = LwpRecord.offset;
const { slptime: SLPTIME, slpticks: SLPTICKS, slpticksum: SLPTICKSUM, sleeperr: SLEEPERR } = LwpRecord.offset;
const { mutex: RUNQ, lwplock: LWPLOCK } = CpuRecord.offset;
const LWP_WORDS = LwpRecord.words;

/** The sleep was refused or aborted before any switch. */
export const BLOCK_EARLY = -1;
/** `miSwitch` came back to the same LWP: it was woken while still running. */
export const BLOCK_BACK = 0;
/** The LWP is switched out: leave the context. */
export const BLOCK_SWITCHED = 1;

/** Any of these ends an interruptible sleep at once. */
const ABORTS = LW_CANCELLED | LW_WEXIT | LW_WCORE;

// --- the table: locks and queues by channel ----------------------------------------------------

/** Bucket of a wait channel in a sleep table: its lock, with its queue behind it (BLK-5). */
export function sleeptabBucket(table: number, wchan: number): number {
  return table + ((wchan >> 8) & (SLEEPTAB_SIZE - 1)) * SLEEPTAB_BUCKET_WORDS;
}

/** The queue of a bucket. */
export function bucketQueue(bucket: number): number {
  return bucket + 2;
}

// --- queueing ----------------------------------------------------------------------------------

/** Locks the LWP and hands it over to the queue's lock, which the caller holds. */
export function sleepqEnter(l: Lwp, lock: number): void {
  lwpLock(l);
  lwpUnlockTo(l, lock);
}

/** A wait message, packed. */
export type Wmesg = readonly [number, number];

/** Puts the current LWP on a queue; `wmesg` is its message (BLK-7). */
export function sleepqEnqueue(
  l: Lwp,
  sleepq: number,
  wchan: number,
  wmesg: string | Wmesg,
  sobj: number,
): void {
  const [first, second] = typeof wmesg === "string" ? packText(wmesg) : wmesg;
  sleepqEnqueuePacked(l, sleepq, wchan, first, second, sobj);
}

/** The same; `first` and `second` are the words of the message. */
export function sleepqEnqueuePacked(
  l: Lwp,
  sleepq: number,
  wchan: number,
  first: number,
  second: number,
  sobj: number,
): void {
  const { k, w, at } = l;
  const running = w[at + STAT] === LSONPROC && (w[at + WCHAN] | w[at + SLEEPQ]) === 0;
  kassert(k, running, "sleepqEnqueue: not a running LWP");
  w[at + SYNCOBJ] = sobj;
  w[at + WCHAN] = wchan;
  w[at + SLEEPQ] = sleepq;
  w[at + WMESG] = first;
  w[at + WMESG + 1] = second;
  w[at + SLPTIME] = 0;
  w[at + SLEEPERR] = 0;
  setStat(l, LSSLEEP);
  sleepqInsert(l, sleepq, sobj);
  w[at + SLPTICKS] = w[k.ticksAt];
}

/** Links by the discipline of the object: SORTED, FIFO or LIFO (BLK-6); a program's condition is SORTED, LIFO among equals. */
function sleepqInsert(l: Lwp, q: number, sobj: number): void {
  const { k, w } = l;
  let before = 0;
  if (sobj === SOBJ_PARK) {
    before = w[q + SLEEPQ_HEAD];
  } else if (sobj !== SOBJ_SELECT) {
    // Ahead of those below this.
    const pri = sobj === SOBJ_OBJ_LIFO ? lwpEprio(l) + 1 : lwpEprio(l);
    const tail = w[q + SLEEPQ_TAIL];
    // Mostly all are equals: no walk along them.
    if (tail !== 0 && lwpEprio(k.lwpAt(tail)) < pri) before = w[q + SLEEPQ_HEAD];
    while (before !== 0) {
      const other = k.lwps.view(before);
      if (lwpEprio(other) < pri) break;
      before = w[other.at + NEXT];
    }
  }
  linkBefore(l, q, before);
}

/** Links before LWP number `before`; 0 = at the tail. */
function linkBefore(l: Lwp, q: number, before: number): void {
  const { k, w, at } = l;
  const prev = before === 0 ? w[q + SLEEPQ_TAIL] : w[k.lwpBase + before * LWP_WORDS + PREV];
  w[at + NEXT] = before;
  w[at + PREV] = prev;
  if (prev === 0) w[q + SLEEPQ_HEAD] = l.index;
  else w[k.lwpBase + prev * LWP_WORDS + NEXT] = l.index;
  if (before === 0) w[q + SLEEPQ_TAIL] = l.index;
  else w[k.lwpBase + before * LWP_WORDS + PREV] = l.index;
}

function unlink(l: Lwp, q: number): void {
  const { k, w, at } = l;
  const next = w[at + NEXT];
  const prev = w[at + PREV];
  if (prev === 0) w[q + SLEEPQ_HEAD] = next;
  else w[k.lwpBase + prev * LWP_WORDS + NEXT] = next;
  if (next === 0) w[q + SLEEPQ_TAIL] = prev;
  else w[k.lwpBase + next * LWP_WORDS + PREV] = prev;
  w[at + NEXT] = 0;
  w[at + PREV] = 0;
}

/** First LWP of a queue, or null. */
export function sleepqFirst(k: Kernel, q: number): Lwp | null {
  return k.lwpAt(k.w[q + SLEEPQ_HEAD]);
}

/** The LWP behind `l`, or null. */
export function sleepqNext(l: Lwp): Lwp | null {
  return l.k.lwpAt(l.w[l.at + NEXT]);
}

/** All LWPs of a queue, first to last. For tools and tests. */
export function sleepqList(k: Kernel, q: number): Lwp[] {
  const list: Lwp[] = [];
  for (let l = sleepqFirst(k, q); l !== null; l = sleepqNext(l)) list.push(l);
  return list;
}

/** Queues an LWP anew whose priority changed: behind its new equals (BLK-15). */
export function sleepqReinsert(l: Lwp): void {
  const q = l.sleepq;
  const sobj = l.syncobj;
  const alone = l.w[q + SLEEPQ_HEAD] === l.w[q + SLEEPQ_TAIL];
  if (alone || sobj === SOBJ_PARK || sobj === SOBJ_SELECT) return;
  unlink(l, q);
  sleepqInsert(l, q, sobj);
}

// --- waking ------------------------------------------------------------------------------------

/**
 * Takes an LWP off its queue and makes it go on: the single wake primitive (BLK-12). The queue's lock, which
 * covers the LWP, is held and stays held.
 */
export function sleepqRemove(l: Lwp): void {
  const { k, w, at } = l;
  kassert(k, lwpLocked(l), "sleepqRemove: the queue is not locked");
  unlink(l, w[at + SLEEPQ]);
  w[at + SYNCOBJ] = SOBJ_SCHED;
  w[at + WCHAN] = 0;
  w[at + SLEEPQ] = 0;
  w[at + FLAG] &= ~LW_SINTR;
  if (w[at + STAT] !== LSSLEEP) {
    // Stopped or suspended: whoever halted it must restart it.
    w[at + MUTEX] = l.cpu.at + LWPLOCK;
    return;
  }
  w[at + SLPTIME] = 0;
  if ((w[at + PFLAG] & LP_RUNNING) !== 0) {
    // BLK-13: it has not left its CPU, and will merely yield there.
    setStat(l, LSONPROC);
    w[at + MUTEX] = l.cpu.at + LWPLOCK;
    return;
  }
  w[at + SLPTICKSUM] += w[k.ticksAt] - w[at + SLPTICKS];
  const ci = schedTakecpu(l);
  w[at + CPU] = ci.index;
  delayPoint(k, AT_SETRUNNABLE_CHOSEN);
  const runq = ci.at + RUNQ;
  spinEnter(k, runq);
  setStat(l, LSRUN);
  w[at + MUTEX] = runq;
  if (probing(k, PROBE_WAKEUP)) fire(k, PROBE_WAKEUP, l.proc.pid, l.lid, ci.index - 1);
  schedEnqueue(l, false);
  spinExit(k, runq);
}

/** Ends the sleep of a locked LWP; releases the queue's lock if `cleanup` (BLK-9). */
export function sleepqUnsleep(l: Lwp, cleanup: boolean): void {
  const lock = l.mutex;
  if (l.syncobj === SOBJ_MUTEX || l.syncobj === SOBJ_RW) turnstileDetach(l);
  sleepqRemove(l);
  if (cleanup) spinExit(l.k, lock);
}

/** Wakes up to `n` LWPs that wait on `wchan`, first to last; releases the lock. The n-th one, or null (BLK-14). */
export function sleepqWake(k: Kernel, q: number, wchan: number, n: number, lock: number): Lwp | null {
  kassert(k, spinOwned(k, lock), "sleepqWake: the queue is not locked");
  let nth: Lwp | null = null;
  let left = n;
  for (let l = sleepqFirst(k, q); l !== null && left > 0; ) {
    const next = sleepqNext(l);
    if (l.wchan === wchan) {
      sleepqRemove(l);
      if (--left === 0) nth = l;
    }
    l = next;
  }
  spinExit(k, lock);
  return nth;
}

/** Handler of a sleep's timeout: whatever sleep the LWP is in now ends (BLK-24). */
export function sleepqTimeout(k: Kernel, index: number): void {
  const l = k.lwps.view(index);
  lwpLock(l);
  if (l.wchan === 0) lwpUnlock(l);
  else sleepqUnsleep(l, true);
}

// --- the sleep itself --------------------------------------------------------------------------

/** First half of a sleep: the LWP is queued and locked (BLK-20, 21). `ticks` 0 = no timeout. */
export function sleepqBlock(l: Lwp, ticks: number, catchSignals: boolean): number {
  if (catchSignals) {
    const flag = l.w[l.at + FLAG] | LW_SINTR;
    l.w[l.at + FLAG] = flag;
    if ((flag & (ABORTS | LW_PENDSIG)) !== 0 && abortedEarly(l)) {
      sleepqUnsleep(l, true);
      return BLOCK_EARLY;
    }
  }
  if (ticks !== 0) calloutSchedule(l.k, l.timeoutCh, ticks);
  return miSwitch(l) ? BLOCK_SWITCHED : BLOCK_BACK;
}

/**
 * The same, interruptibly, for who goes through user mode whenever it is woken: it does not sleep while it is to suspend
 * itself. In the kernel such a suspension waits for the end of the sleep (LWP-72), since who tests and sleeps again would never
 * sleep.
 */
export function sleepqBlockUser(l: Lwp, ticks: number): number {
  if ((l.w[l.at + FLAG] & LW_WSUSPEND) === 0) return sleepqBlock(l, ticks, true);
  sleepqUnsleep(l, true);
  return BLOCK_EARLY;
}

/** Whether a sleep that has just begun must end at once. */
function abortedEarly(l: Lwp): boolean {
  if ((l.flag & ABORTS) === 0) return sigispending(l);
  l.flag &= ~LW_CANCELLED;
  l.sleeperr = EINTR;
  return true;
}

/** Second half, when the LWP runs again: 0, EINTR, ERESTART or EWOULDBLOCK (BLK-21..23). */
export function sleepqUnblock(l: Lwp, how: number, ticks: number, catchSignals: boolean): number {
  const { w, at } = l;
  let error = w[at + SLEEPERR];
  if (how !== BLOCK_EARLY && ticks !== 0 && calloutHaltSpin(l.k, l.timeoutCh)) error = EWOULDBLOCK;
  if (catchSignals && error === 0) {
    const flag = w[at + FLAG];
    if ((flag & ABORTS) !== 0) error = EINTR;
    else if ((flag & LW_PENDSIG) !== 0) error = takeSignal(l);
  }
  return error;
}

/** What a pending signal makes of a sleep that ended without error (BLK-22). */
function takeSignal(l: Lwp): number {
  const { k } = l;
  const p = l.proc;
  spinEnter(k, p.lock);
  let sig = firstsig(l);
  if (sig !== 0 && isStopSignal(sig)) sig = k.slots.issignal(l);
  spinExit(k, p.lock);
  if (sig === 0) return 0;
  return k.slots.sigrestart(l, sig) ? ERESTART : EINTR;
}
