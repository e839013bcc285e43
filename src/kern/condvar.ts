/**
 * Condition variables: a sleep queue and a message, four words at an address (BLK-60..66).
 *
 * The queue stands in the variable; its lock is that of the bucket of its address. No memory of signals. The
 * interlock may be a spin lock (`p.lock`, `proc_lock`) or an adaptive mutex. The waiting functions may sleep.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { SOBJ_CV, WMESGLEN } from "../sys/param.js";
import { packText, readText } from "../sys/record.js";
import { CV_DEAD, CV_SLEEPQ, CV_WMESG, SLEEPQ_HEAD } from "../sys/shapes.js";
import { AT_SLEEP_ENQUEUED, AT_SLEEP_RELEASED, delayPoint } from "./delay.js";
import { interlockEnter, interlockExit, interlockOwned } from "./mutex.js";
import { kassert } from "./panic.js";
import {
  BLOCK_SWITCHED,
  sleepqBlock,
  sleepqEnqueuePacked,
  sleepqEnter,
  sleepqFirst,
  sleeptabBucket,
  sleepqUnblock,
  sleepqWake,
  type Wmesg,
} from "./sleepq.js";
import { spinEnter } from "./spin.js";

const ALL = 0x7fffffff;

/** Sets up a condition variable; tools show the first eight characters of the message. */
export function cvInit(k: Kernel, cv: number, wmesg: string): void {
  cvInitPacked(k, cv, packText(wmesg));
}

/** The same with a packed message. */
export function cvInitPacked(k: Kernel, cv: number, wmesg: Wmesg): void {
  cvInitWords(k, cv, wmesg[0], wmesg[1]);
}

/** The same with the words of a message. */
export function cvInitWords(k: Kernel, cv: number, first: number, second: number): void {
  const { w } = k;
  w[cv + CV_SLEEPQ] = 0;
  w[cv + CV_SLEEPQ + 1] = 0;
  w[cv + CV_WMESG] = first;
  w[cv + CV_WMESG + 1] = second;
}

const DEAD = packText(CV_DEAD);

/** Whether `cvDestroy` has been here. */
function cvIsDead(k: Kernel, cv: number): boolean {
  return k.w[cv + CV_WMESG] === DEAD[0] && k.w[cv + CV_WMESG + 1] === DEAD[1];
}

/** Nobody may wait. */
export function cvDestroy(k: Kernel, cv: number): void {
  kassert(k, !cvHasWaiters(k, cv), "cvDestroy: it has waiters");
  cvInitWords(k, cv, DEAD[0], DEAD[1]);
}

export function cvWmesg(k: Kernel, cv: number): string {
  return readText(k.w, cv + CV_WMESG, WMESGLEN >> 2);
}

/** Whether somebody waits; without a lock, for diagnostics (BLK-65). */
export function cvHasWaiters(k: Kernel, cv: number): boolean {
  return k.w[cv + CV_SLEEPQ + SLEEPQ_HEAD] !== 0;
}

/** Queues the current LWP with the kernel boost on, unless said, then lets the interlock go (BLK-61). */
export function cvEnter(l: Lwp, cv: number, interlock: number, kpriority = 1): void {
  const { k } = l;
  kassert(k, !cvIsDead(k, cv) && interlockOwned(k, interlock), "cvWait: dead, or interlock not held");
  l.kpriority = kpriority;
  const lock = sleeptabBucket(k.sleeptab, cv);
  spinEnter(k, lock);
  const first = sleepqFirst(k, cv + CV_SLEEPQ);
  kassert(k, first === null || first.cvlock === interlock, "cvWait: others wait with another interlock");
  sleepqEnter(l, lock);
  l.cvlock = interlock;
  sleepqEnqueuePacked(l, cv + CV_SLEEPQ, cv, k.w[cv + CV_WMESG], k.w[cv + CV_WMESG + 1], SOBJ_CV);
  delayPoint(k, AT_SLEEP_ENQUEUED);
  interlockExit(k, interlock);
  delayPoint(k, AT_SLEEP_RELEASED);
}

function* cvSleep(k: Kernel, cv: number, interlock: number, ticks: number, catchSignals: boolean) {
  const l = cur.lwp;
  cvEnter(l, cv, interlock);
  const how = sleepqBlock(l, ticks, catchSignals);
  if (how === BLOCK_SWITCHED) yield;
  const error = sleepqUnblock(l, how, ticks, catchSignals);
  yield* interlockEnter(k, interlock);
  // BLK-63: pass on a wakeup that was perhaps meant for somebody who would have used it.
  if (error !== 0) cvSignal(k, cv);
  return error;
}

/** Waits, whatever comes. May sleep. */
export function* cvWait(k: Kernel, cv: number, interlock: number): Generator<void, void, void> {
  yield* cvSleep(k, cv, interlock, 0, false);
}

/** Waits until woken or interrupted: 0, EINTR, ERESTART. May sleep. */
export function cvWaitSig(k: Kernel, cv: number, interlock: number): Generator<void, number, void> {
  return cvSleep(k, cv, interlock, 0, true);
}

/** Waits at most `ticks` ticks, 0 = for ever: 0, EWOULDBLOCK. May sleep. */
export function cvTimedwait(
  k: Kernel,
  cv: number,
  interlock: number,
  ticks: number,
): Generator<void, number, void> {
  return cvSleep(k, cv, interlock, ticks, false);
}

/** Both: 0, EINTR, ERESTART, EWOULDBLOCK. May sleep. */
export function cvTimedwaitSig(
  k: Kernel,
  cv: number,
  interlock: number,
  ticks: number,
): Generator<void, number, void> {
  return cvSleep(k, cv, interlock, ticks, true);
}

/** Wakes the first waiter in order of priority. The caller holds the interlock. */
export function cvSignal(k: Kernel, cv: number): void {
  if (cvHasWaiters(k, cv)) cvWakeup(k, cv, 1);
}

/** Wakes all. */
export function cvBroadcast(k: Kernel, cv: number): void {
  if (cvHasWaiters(k, cv)) cvWakeup(k, cv, ALL);
}

function cvWakeup(k: Kernel, cv: number, n: number): void {
  const lock = sleeptabBucket(k.sleeptab, cv);
  spinEnter(k, lock);
  sleepqWake(k, cv + CV_SLEEPQ, cv, n, lock);
}
