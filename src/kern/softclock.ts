/**
 * The clock as a CPU sees it: `hardclock` per tick, and the callouts that are due.
 *
 * The clock of the machine advances the global tick; a CPU runs `hardclock` for the ticks it has missed at its next
 * poll, at most 10 of them: the rest is a jump for which nothing is charged, though callouts still fire.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { LwpRecord } from "../sys/lwp.js";
import type { Kernel } from "../sys/kernel.js";
import {
  ATTN_TICK,
  LW_IDLE,
  RESCHED_KPREEMPT,
  SCHED_FIFO,
  SCHED_RR,
  SPCF_SEENRR,
  SPCF_SHOULDYIELD,
  TICKS_CAUGHT_UP_MAX,
} from "../sys/param.js";
import {
  CALLOUT_FIRED,
  CALLOUT_INVOKING,
  CALLOUT_PENDING,
  CO_ARG,
  CO_CPU,
  CO_FLAGS,
  CO_FUNC,
  CO_TIME,
} from "../sys/shapes.js";
import { calloutRunsElsewhere, calloutStop, listRemove, todoFirst, wheelFile, wheelTurn } from "./callout.js";
import { cvBroadcast, cvWait } from "./condvar.js";
import { AT_CALLOUT_FIRED, delayPoint } from "./delay.js";
import { cpuNeedResched } from "./resched.js";
import { interlockExit, interlockEnter } from "./mutex.js";
import { pstatsTick } from "./pstats.js";
import { atomicAdd, atomicAnd, atomicStore, spinEnter, spinExit } from "./spin.js";

const ATTENTION = CpuRecord.offset.attention;
const RUNNING = CpuRecord.offset.calloutRunning;
const CPTICKS = LwpRecord.offset.cpticks;

/** Handles the ticks this CPU has missed. No lock is held. */
export function clockPoll(ci: Cpu): void {
  const k = ci.k;
  atomicAnd(k, ci.at + ATTENTION, ~ATTN_TICK);
  const missed = (k.g.ticks - ci.tick) | 0;
  for (let i = 0; i < missed; i++) {
    ci.tick = (ci.tick + 1) | 0;
    if (missed - i <= TICKS_CAUGHT_UP_MAX) hardclock(ci);
    if (ci.ncallouts !== 0) {
      spinEnter(k, ci.calloutLock);
      wheelTurn(k, ci);
      spinExit(k, ci.calloutLock);
    }
  }
  if (missed > 0 && ci.index === 1) pstatsTick(ci);
  if (missed > 0 && todoFirst(ci) !== 0) softclock(ci);
}

/** One tick on behalf of what runs (SCH-70). */
function hardclock(ci: Cpu): void {
  const l = ci.onproc;
  if ((l.flag & LW_IDLE) === 0) atomicAdd(ci.k, l.at + CPTICKS, 1);
  if (--ci.ticks <= 0) schedTick(ci);
}

/** The 4.4BSD policy's slice of 100 ms (SCH-80). */
function schedTick(ci: Cpu): void {
  const l = ci.onproc;
  ci.ticks = ci.k.hz / 10;
  if ((l.flag & LW_IDLE) !== 0) return cpuNeedResched(ci, 0);
  if (ci.k.g.noSlices !== 0) return;
  if (l.class === SCHED_FIFO) return;
  if (l.class === SCHED_RR || (ci.flags & SPCF_SHOULDYIELD) !== 0)
    return cpuNeedResched(ci, RESCHED_KPREEMPT);
  if ((ci.flags & SPCF_SEENRR) === 0) {
    ci.flags |= SPCF_SEENRR;
    return;
  }
  ci.flags |= SPCF_SHOULDYIELD;
  cpuNeedResched(ci, 0);
}

/** Runs the callouts that are due, in the order they were filed, and files the rest (BLK-70, 72). */
export function softclock(ci: Cpu): void {
  const k = ci.k;
  const w = k.w;
  spinEnter(k, ci.calloutLock);
  for (let c = todoFirst(ci); c !== 0; c = todoFirst(ci)) {
    listRemove(k, c);
    if (((w[c + CO_TIME] - ci.tick) | 0) > 0) {
      wheelFile(k, ci, c);
      continue;
    }
    if (w[c + CO_TIME] !== ci.tick) ci.calloutLate++;
    w[c + CO_FLAGS] = (w[c + CO_FLAGS] & ~CALLOUT_PENDING) | CALLOUT_FIRED | CALLOUT_INVOKING;
    ci.ncallouts--;
    ci.calloutRunning = c;
    const handler = k.slots.calloutHandlers[w[c + CO_FUNC]];
    const arg = w[c + CO_ARG];
    spinExit(k, ci.calloutLock);
    delayPoint(k, AT_CALLOUT_FIRED);
    handler(k, arg);
    atomicStore(k, ci.at + RUNNING, 0);
    // Not under the callout lock: that is taken with sleep queues locked.
    spinEnter(k, ci.haltLock);
    cvBroadcast(k, ci.haltCv);
    spinExit(k, ci.haltLock);
    spinEnter(k, ci.calloutLock);
  }
  spinExit(k, ci.calloutLock);
}

/**
 * Cancels a callout, and waits for a handler in progress on another CPU; the interlock, 0 = none, is dropped only for
 * that. True if it had fired. What the handler schedules meanwhile is left pending (BLK-73). May sleep.
 */
export function* calloutHalt(k: Kernel, c: number, interlock: number): Generator<void, boolean, void> {
  const fired = calloutStop(k, c);
  if (!calloutRunsElsewhere(k, c)) return fired;
  if (interlock !== 0) interlockExit(k, interlock);
  do {
    const ci = k.cpus.view(k.w[c + CO_CPU]);
    spinEnter(k, ci.haltLock);
    if (ci.calloutRunning === c && ci !== cur.cpu) {
      ci.calloutWait++;
      yield* cvWait(k, ci.haltCv, ci.haltLock);
    }
    spinExit(k, ci.haltLock);
  } while (calloutRunsElsewhere(k, c));
  if (interlock !== 0) yield* interlockEnter(k, interlock);
  return fired;
}
