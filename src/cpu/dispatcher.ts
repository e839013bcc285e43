/**
 * The dispatcher: how a CPU runs LWPs.
 *
 * It resumes the context of the CPU's current LWP; when that leaves, `miSwitch` has already chosen the next one. The
 * dispatcher marks the old context saved, waits until the new one's is, and goes on. It is the idle thread too: it
 * migrates, steals, and returns when there is nothing to run.
 */
import { cur } from "../sys/current.js";
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import type { Kernel } from "../sys/kernel.js";
import { type Context, type Lwp, LwpRecord } from "../sys/lwp.js";
import { ATTN_HALT, ATTN_SLICE, ATTN_TICK, ATTN_XCALL, RESCHED_ANY } from "../sys/param.js";
import { AT_SWITCH_WAITCTX, delayPoint } from "../kern/delay.js";
import { lwpLock } from "../kern/lwplock.js";
import { schedIdle, waitContextSaved } from "../kern/placement.js";
import { pserializeSwitchpoint } from "../kern/pserialize.js";
import { pstatsBegin } from "../kern/pstats.js";
import { flushKicks } from "../kern/resched.js";
import { clockPoll } from "../kern/softclock.js";
import { atomicAnd } from "../kern/spin.js";
import { contextSaved, miSwitch } from "../kern/switch.js";
import { xcPoll } from "../kern/xcall.js";

const { attention: ATTENTION, curlwp: CURLWP } = CpuRecord.offset;
const CTXSWTCH = LwpRecord.offset.ctxswtch;

/** Why `dispatch` returned. */
export const STOP_IDLE = 0;
/** The slice is over: turn the host's event loop, then come back. */
export const STOP_SLICE = 1;
/** The machine stops. */
export const STOP_HALT = 2;
/** The steps asked for are done. */
export const STOP_STEPS = 3;

/** Runs LWPs on `ci` until there is none, the slice is over, the machine stops, or `steps` contexts were resumed. */
export function dispatch(ci: Cpu, steps: number): number {
  const { k } = ci;
  const saved = { ...cur };
  cur.cpu = ci;
  cur.kicks = 0;
  try {
    return loop(k, ci, steps);
  } finally {
    if (cur.kicks !== 0 && k.g.dead === 0) flushKicks(k);
    Object.assign(cur, saved);
  }
}

function loop(k: Kernel, ci: Cpu, steps: number): number {
  const attention = ci.at + ATTENTION;
  const curlwp = ci.at + CURLWP;
  const { idlelwp } = ci;
  for (let left = steps; ; ) {
    const l = k.lwpAt(k.w[curlwp]);
    cur.lwp = l;
    if (k.w[attention] !== 0) {
      const stop = attend(k, ci);
      if (stop !== STOP_STEPS) return stop;
    }
    if (cur.kicks !== 0) flushKicks(k);
    if (l === idlelwp) {
      if (!idle(ci, l)) return STOP_IDLE;
      continue;
    }
    if (left-- === 0) return STOP_STEPS;
    runContext(k, l);
  }
}

/** What this CPU has been asked for; STOP_STEPS means go on. */
function attend(k: Kernel, ci: Cpu): number {
  const bits = ci.attention;
  if ((bits & ATTN_HALT) !== 0) return STOP_HALT;
  if ((bits & ATTN_TICK) !== 0) clockPoll(ci);
  if ((bits & ATTN_XCALL) !== 0) {
    xcPoll(ci);
    pserializeSwitchpoint(ci);
  }
  if ((bits & ATTN_SLICE) !== 0) {
    atomicAnd(k, ci.at + ATTENTION, ~ATTN_SLICE);
    return STOP_SLICE;
  }
  return STOP_STEPS;
}

function runContext(k: Kernel, l: Lwp): void {
  // A context of this realm was saved here; any other may still be on its way to that.
  const context = l.context ?? contextFromElsewhere(k, l);
  // The steps of leaving: miSwitch has set ctxswtch and unlocked the LWP; now its context is saved.
  if (context.resume(l) && l.w[l.at + CTXSWTCH] !== 0) contextSaved(l);
}

function contextFromElsewhere(k: Kernel, l: Lwp): Context {
  if (l.w[l.at + CTXSWTCH] !== 0) {
    delayPoint(k, AT_SWITCH_WAITCTX);
    waitContextSaved(l);
  }
  return k.slots.contextFor(l);
}

/** One round of the idle thread (SCH-53). False: nothing to do. */
function idle(ci: Cpu, l: Lwp): boolean {
  schedIdle(ci);
  if (cur.kicks !== 0) flushKicks(ci.k);
  // A request for a switch is met by looking at the queue, and gone then (SCH-53).
  if ((ci.attention & RESCHED_ANY) !== 0) atomicAnd(ci.k, ci.at + ATTENTION, ~RESCHED_ANY);
  if (ci.count === 0 && ci.migrating === null) return false;
  lwpLock(l);
  if (!miSwitch(l)) return ci.migrating !== null || ci.count !== 0;
  contextSaved(l);
  return true;
}

/** Lets lwp0, which booted the machine, turn into the statistics thread, so that its CPU can run others. */
export function retireBooter(): void {
  const l = cur.lwp;
  if (pstatsBegin(l)) contextSaved(l);
}

/** Runs host-side code as the CPU, between LWPs: an event of the host that makes LWPs go on. */
export function asCpu<T>(ci: Cpu, body: () => T): T {
  const saved = { ...cur };
  cur.cpu = ci;
  cur.lwp = ci.curlwp;
  cur.kicks = 0;
  try {
    return body();
  } finally {
    if (cur.kicks !== 0 && ci.k.g.dead === 0) flushKicks(ci.k);
    Object.assign(cur, saved);
  }
}
