/**
 * Callouts: tick-driven timers on a wheel of four levels of 256 buckets per CPU (BLK-70..74).
 *
 * A callout is eight words at an address (see sys/shapes.ts). Lock: `calloutLock` of the CPU it belongs to. A newly
 * scheduled callout goes to the tail of that CPU's to-do list; each tick appends that tick's bucket to it; the pass
 * at the end of the tick (softclock.ts) runs what is due, in that order, and files the rest.
 *
 * Invariants: CO_LIST is the list a callout is on, 0 exactly when it is not PENDING; a handler runs on one CPU at a
 * time, named by that CPU's `calloutRunning`.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import {
  CALLOUT_BOUND,
  CALLOUT_FIRED,
  CALLOUT_INVOKING,
  CALLOUT_MPSAFE,
  CALLOUT_PENDING,
  CO_ARG,
  CO_CPU,
  CO_FLAGS,
  CO_FUNC,
  CO_LIST,
  CO_NEXT,
  CO_PREV,
  CO_TIME,
  COLIST_WORDS,
  WHEEL_BITS,
  WHEEL_SIZE,
} from "../sys/shapes.js";
import { kassert } from "./panic.js";
import { spinEnter, spinExit, spinTryenter } from "./spin.js";

const TODO = CpuRecord.offset.todo;
const WHEEL = CpuRecord.offset.wheel;
const RUNNING = CpuRecord.offset.calloutRunning;

/** The handler that ends a timed sleep. */
export const CALLOUT_SLEEPQ_TIMEOUT = 1;
/** The handler that looks after processes that are to stop. */
export const CALLOUT_PROC_STOP = 2;
/** The handler of a process's alarm. */
export const CALLOUT_ALARM = 3;

/** Sets up a callout; one that is not MPSAFE is bound to CPU 0. */
export function calloutInit(k: Kernel, c: number, flags: number): void {
  const w = k.w;
  const free = (flags & CALLOUT_MPSAFE) !== 0;
  w[c + CO_NEXT] = 0;
  w[c + CO_PREV] = 0;
  w[c + CO_LIST] = 0;
  w[c + CO_FLAGS] = free ? CALLOUT_MPSAFE : CALLOUT_BOUND;
  w[c + CO_CPU] = free ? cur.cpu.index : 1;
  w[c + CO_FUNC] = 0;
}

/** Sets the handler (an index of `k.slots.calloutHandlers`) and its argument. */
export function calloutSetfunc(k: Kernel, c: number, func: number, arg: number): void {
  k.w[c + CO_FUNC] = func;
  k.w[c + CO_ARG] = arg;
}

/** The callout must be neither pending nor running, unless its own handler destroys it. */
export function calloutDestroy(k: Kernel, c: number): void {
  const w = k.w;
  kassert(k, (w[c + CO_FLAGS] & CALLOUT_PENDING) === 0, "calloutDestroy: pending");
  const ci = k.cpus.view(w[c + CO_CPU]);
  kassert(k, ci.calloutRunning !== c || ci === cur.cpu, "calloutDestroy: its handler runs");
  w[c + CO_FUNC] = 0;
}

/** Locks the callout's CPU, which may change until it is locked. */
function calloutLock(k: Kernel, c: number): Cpu {
  for (;;) {
    const ci = k.cpus.view(k.w[c + CO_CPU]);
    spinEnter(k, ci.calloutLock);
    if (k.w[c + CO_CPU] === ci.index) return ci;
    spinExit(k, ci.calloutLock);
  }
}

/** Sets the callout to fire in `ticks` ticks; 0 means at the next pass (BLK-71). */
export function calloutSchedule(k: Kernel, c: number, ticks: number): void {
  const w = k.w;
  kassert(k, ticks >= 0 && w[c + CO_FUNC] !== 0, "calloutSchedule: negative time, or no handler");
  let ci = calloutLock(k, c);
  const flags = w[c + CO_FLAGS] & ~(CALLOUT_FIRED | CALLOUT_INVOKING);
  w[c + CO_FLAGS] = flags;
  if ((flags & CALLOUT_PENDING) !== 0) {
    reschedulePending(k, ci, c, ticks);
  } else {
    ci = adopt(k, ci, c);
    w[c + CO_TIME] = dueTick(ci, ticks);
    w[c + CO_FLAGS] |= CALLOUT_PENDING;
    ci.ncallouts++;
    listAppend(k, ci.at + TODO, c);
  }
  spinExit(k, ci.calloutLock);
}

/**
 * The tick in `ticks` from now; 0 means the pass that runs, or the next one. It counts from the machine's tick: this CPU
 * may not have handled the last ones yet, and what it missed must not shorten a timeout (BLK-75).
 */
function dueTick(ci: Cpu, ticks: number): number {
  return ticks === 0 ? ci.tick : (ci.k.g.ticks + ticks) | 0;
}

/** An unbound callout moves to the CPU that schedules it, if that CPU's lock is free. */
function adopt(k: Kernel, ci: Cpu, c: number): Cpu {
  const here = cur.cpu;
  if (here === ci || (k.w[c + CO_FLAGS] & CALLOUT_BOUND) !== 0) return ci;
  if (ci.calloutRunning === c || !spinTryenter(k, here.calloutLock)) return ci;
  k.w[c + CO_CPU] = here.index;
  spinExit(k, ci.calloutLock);
  return here;
}

/** Sooner: to the to-do list at once. Later: left in its bucket, and filed anew when that comes up. */
function reschedulePending(k: Kernel, ci: Cpu, c: number, ticks: number): void {
  const due = dueTick(ci, ticks);
  const sooner = ((due - k.w[c + CO_TIME]) | 0) < 0;
  k.w[c + CO_TIME] = due;
  if (!sooner) return;
  listRemove(k, c);
  listAppend(k, ci.at + TODO, c);
}

/** Sets handler and time together. */
export function calloutReset(k: Kernel, c: number, ticks: number, func: number, arg: number): void {
  calloutSetfunc(k, c, func, arg);
  calloutSchedule(k, c, ticks);
}

/** Cancels; true if it had fired. Its handler may still run on another CPU (BLK-73). */
export function calloutStop(k: Kernel, c: number): boolean {
  const ci = calloutLock(k, c);
  const fired = cancel(k, ci, c);
  spinExit(k, ci.calloutLock);
  return fired;
}

/** Cancels, and waits out a handler in progress by spinning: for handlers that never sleep. */
export function calloutHaltSpin(k: Kernel, c: number): boolean {
  const ci = calloutLock(k, c);
  const fired = cancel(k, ci, c);
  const running = ci.calloutRunning === c && ci !== cur.cpu;
  spinExit(k, ci.calloutLock);
  if (running) {
    const word = ci.at + RUNNING;
    for (let round = 0; Atomics.load(k.w, word) === c; round++) k.port.relax("callout", round, word, c);
  }
  return fired;
}

/** Whether the handler of `c` runs on another CPU now. */
export function calloutRunsElsewhere(k: Kernel, c: number): boolean {
  const ci = k.cpus.view(k.w[c + CO_CPU]);
  return ci !== cur.cpu && ci.calloutRunning === c;
}

function cancel(k: Kernel, ci: Cpu, c: number): boolean {
  const flags = k.w[c + CO_FLAGS];
  if ((flags & CALLOUT_PENDING) !== 0) {
    listRemove(k, c);
    ci.ncallouts--;
  }
  k.w[c + CO_FLAGS] = flags & ~(CALLOUT_PENDING | CALLOUT_FIRED);
  return (flags & CALLOUT_FIRED) !== 0;
}

export const calloutPending = (k: Kernel, c: number) => (k.w[c + CO_FLAGS] & CALLOUT_PENDING) !== 0;
export const calloutExpired = (k: Kernel, c: number) => (k.w[c + CO_FLAGS] & CALLOUT_FIRED) !== 0;
export const calloutActive = (k: Kernel, c: number) =>
  (k.w[c + CO_FLAGS] & (CALLOUT_PENDING | CALLOUT_FIRED)) !== 0;
export const calloutInvoking = (k: Kernel, c: number) => (k.w[c + CO_FLAGS] & CALLOUT_INVOKING) !== 0;

/** Says that the handler has seen that it was invoked. */
export function calloutAck(k: Kernel, c: number): void {
  const ci = calloutLock(k, c);
  k.w[c + CO_FLAGS] &= ~CALLOUT_INVOKING;
  spinExit(k, ci.calloutLock);
}

/** Moves to the to-do list what this tick's bucket holds, and one bucket of each level that wraps (BLK-70). */
export function wheelTurn(k: Kernel, ci: Cpu): void {
  const tick = ci.tick;
  let level = 0;
  let rest = tick;
  do {
    listMove(k, bucket(ci, level, rest & (WHEEL_SIZE - 1)), ci.at + TODO);
    if ((rest & (WHEEL_SIZE - 1)) !== 0) break;
    rest >>>= WHEEL_BITS;
    level++;
  } while (level < 4);
}

/** Files a pending callout that is not yet due by its distance. */
export function wheelFile(k: Kernel, ci: Cpu, c: number): void {
  const due = k.w[c + CO_TIME];
  const delta = (due - ci.tick) | 0;
  let level = 0;
  while (level < 3 && delta >= 2 ** (WHEEL_BITS * (level + 1))) level++;
  listAppend(k, bucket(ci, level, (due >>> (WHEEL_BITS * level)) & (WHEEL_SIZE - 1)), c);
}

function bucket(ci: Cpu, level: number, slot: number): number {
  return ci.at + WHEEL + (level * WHEEL_SIZE + slot) * COLIST_WORDS;
}

/** Appends `c` to the list whose head stands at `list`. */
function listAppend(k: Kernel, list: number, c: number): void {
  const w = k.w;
  const tail = w[list + 1];
  w[c + CO_NEXT] = 0;
  w[c + CO_PREV] = tail;
  w[c + CO_LIST] = list;
  if (tail === 0) w[list] = c;
  else w[tail + CO_NEXT] = c;
  w[list + 1] = c;
}

/** Takes `c` off the list it is on. */
export function listRemove(k: Kernel, c: number): void {
  const w = k.w;
  const list = w[c + CO_LIST];
  const next = w[c + CO_NEXT];
  const prev = w[c + CO_PREV];
  if (prev === 0) w[list] = next;
  else w[prev + CO_NEXT] = next;
  if (next === 0) w[list + 1] = prev;
  else w[next + CO_PREV] = prev;
  w[c + CO_LIST] = 0;
}

function listMove(k: Kernel, from: number, to: number): void {
  for (let c = k.w[from]; c !== 0; c = k.w[from]) {
    listRemove(k, c);
    listAppend(k, to, c);
  }
}

/** First callout of the to-do list; 0 = none. */
export function todoFirst(ci: Cpu): number {
  return ci.w[ci.at + TODO];
}
