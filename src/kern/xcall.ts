/**
 * Cross-calls: running a function on other CPUs (MCH-1..6).
 *
 * Low priority: each CPU has a bound thread, "xcall/N", that sleeps until its CPU has a call pending. One request is in
 * flight, in steps: (1) the requester waits for `head === tail`, all earlier calls taken up; (2) stores the function, adds
 * one to `head` for each target, marks the targets and wakes their threads; its ticket is `head`; (3) each thread adds one to
 * `tail`, runs the function without the lock, adds one to `done`; (4) a thread with nothing more to do wakes those who wait,
 * if all calls have been taken up; (5) who waits for a ticket looks whether all its calls have been taken up, and none runs.
 *
 * High priority: the request goes to the targets' attention words, and each runs it at its next poll, between two LWPs or at
 * a return to user mode, which is where soft interrupts run here. Its function must not sleep.
 *
 * When a low-priority broadcast is done, every CPU has switched to its thread since the call was made.
 *
 * Differs from the original, which waits for `done` to reach the ticket: a later call that is done sooner would count for an
 * earlier one that still runs.
 *
 * A function is a number, `slots.crosscalls`, since it runs in other realms. A ticket is a 64-bit number whose bit 63, the
 * sign, says that the priority was high.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { ATTN_XCALL, LP_INTR, XC_HIGHPRI } from "../sys/param.js";
import { cvBroadcast, cvSignal, cvWait } from "./condvar.js";
import { AT_XCALL_ASKED, delayPoint } from "./delay.js";
import { kcpusetIsset } from "./kcpuset.js";
import { mutexEnter, mutexExit } from "./mutex.js";
import { kassert } from "./panic.js";
import { cpuKick, flushKicks } from "./resched.js";
import { atomicAnd, atomicOr, spinEnter, spinExit } from "./spin.js";

const ATTENTION = CpuRecord.offset.attention;

/** Number of the function that does nothing. */
export const XC_NULLOP = 1;
/** Number, among the kernel threads' functions, of the cross-call threads'. */
export const KTHREAD_XCALL = 1;

/**
 * Starts `func` with `a` and `b` on all CPUs, with flags 0 only on those that run; returns the ticket. The function of a
 * low-priority call may wait for locks for a moment, and allocates nothing. May sleep. Source: xcall(9).
 */
export function xcBroadcast(
  k: Kernel,
  flags: number,
  func: number,
  a = 0,
  b = 0,
): Generator<void, number, void> {
  return (flags & XC_HIGHPRI) !== 0 ? highPriority(k, func, a, b, null) : lowPriority(k, func, a, b, null);
}

/** The same on one CPU. May sleep. Source: xcall(9). */
export function xcUnicast(
  k: Kernel,
  flags: number,
  func: number,
  a: number,
  b: number,
  ci: Cpu,
): Generator<void, number, void> {
  return (flags & XC_HIGHPRI) !== 0 ? highPriority(k, func, a, b, ci) : lowPriority(k, func, a, b, ci);
}

/** Waits until the calls of a ticket are done on all its CPUs. May sleep. Source: xcall(9). */
export function* xcWait(k: Kernel, ticket: number): Generator<void, void, void> {
  const { xc } = k;
  assertThread(k);
  if (ticket < 0) {
    spinEnter(k, xc.hiLock);
    while (xc.hiDone < -ticket) yield* cvWait(k, xc.hiCv, xc.hiLock);
    spinExit(k, xc.hiLock);
    return;
  }
  yield* mutexEnter(k, xc.lock);
  while (!isDone(k, ticket)) yield* cvWait(k, xc.cv, xc.lock);
  mutexExit(k, xc.lock);
}

/** Whether all calls of a ticket have been taken up, and none of them runs. The lock is held. */
function isDone(k: Kernel, ticket: number): boolean {
  if (k.xc.tail < ticket) return false;
  for (let i = 1; i <= k.g.ncpu; i++) {
    const running = k.cpus.view(i).xcallTicket;
    if (running !== 0 && running <= ticket) return false;
  }
  return true;
}

function assertThread(k: Kernel): void {
  kassert(k, (cur.lwp.pflag & LP_INTR) === 0, "xcall: from an interrupt");
}

function* lowPriority(
  k: Kernel,
  func: number,
  a: number,
  b: number,
  target: Cpu | null,
): Generator<void, number, void> {
  const { xc, g } = k;
  assertThread(k);
  yield* mutexEnter(k, xc.lock);
  while (xc.head !== xc.tail) yield* cvWait(k, xc.cv, xc.lock);
  xc.func = func;
  xc.arg1 = a;
  xc.arg2 = b;
  if (target === null) {
    xc.broadcast++;
    for (let i = 1; i <= g.ncpu; i++) if (kcpusetIsset(g.running, i - 1)) post(k, k.cpus.view(i));
  } else {
    xc.unicast++;
    post(k, target);
  }
  kassert(k, xc.head > xc.tail, "xcall: no CPU to call");
  const ticket = xc.head;
  mutexExit(k, xc.lock);
  flushKicks(k);
  return ticket;
}

/** Marks one target and wakes its thread; the lock is held. */
function post(k: Kernel, ci: Cpu): void {
  k.xc.head++;
  ci.xcallPending = 1;
  cvSignal(k, ci.xcallCv);
}

/** "xcall/N", for ever. May sleep. */
export function* xcThread(k: Kernel): Generator<void, void, void> {
  const { xc } = k;
  const ci = cur.cpu;
  yield* mutexEnter(k, xc.lock);
  for (;;) {
    while (ci.xcallPending === 0) {
      if (xc.head === xc.tail) cvBroadcast(k, xc.cv);
      yield* cvWait(k, ci.xcallCv, xc.lock);
    }
    ci.xcallPending = 0;
    const { func, arg1, arg2 } = xc;
    xc.tail++;
    ci.xcallTicket = xc.head;
    mutexExit(k, xc.lock);
    const waiting = k.slots.crosscalls[func](k, arg1, arg2);
    if (waiting !== undefined) yield* waiting;
    yield* mutexEnter(k, xc.lock);
    xc.done++;
    ci.xcallTicket = 0;
  }
}

function* highPriority(
  k: Kernel,
  func: number,
  a: number,
  b: number,
  target: Cpu | null,
): Generator<void, number, void> {
  const { xc } = k;
  assertThread(k);
  spinEnter(k, xc.hiLock);
  while (xc.hiDone !== xc.hiHead) yield* cvWait(k, xc.hiCv, xc.hiLock);
  xc.hiFunc = func;
  xc.hiArg1 = a;
  xc.hiArg2 = b;
  xc.hiHead += target === null ? k.g.ncpu : 1;
  const ticket = -xc.hiHead;
  spinExit(k, xc.hiLock);
  delayPoint(k, AT_XCALL_ASKED);
  if (target === null) for (let i = 1; i <= k.g.ncpu; i++) interrupt(k.cpus.view(i));
  else interrupt(target);
  flushKicks(k);
  return ticket;
}

function interrupt(ci: Cpu): void {
  atomicOr(ci.k, ci.at + ATTENTION, ATTN_XCALL);
  cpuKick(ci);
}

/** Runs the high-priority call that this CPU was asked for. No lock is held. */
export function xcPoll(ci: Cpu): void {
  const { k } = ci;
  const { xc } = k;
  atomicAnd(k, ci.at + ATTENTION, ~ATTN_XCALL);
  spinEnter(k, xc.hiLock);
  const { hiFunc, hiArg1, hiArg2 } = xc;
  spinExit(k, xc.hiLock);
  const sleeps = k.slots.crosscalls[hiFunc](k, hiArg1, hiArg2);
  kassert(k, sleeps === undefined, "xcall: the function of a high-priority call may not sleep");
  spinEnter(k, xc.hiLock);
  xc.hiDone++;
  if (xc.hiDone === xc.hiHead) cvBroadcast(k, xc.hiCv);
  spinExit(k, xc.hiLock);
}
