/**
 * Return to user mode: the end of every operation (LWP-84..87, SCH-38).
 *
 * `userret` is a plain function that a context calls until it returns RET_USER; at RET_SWITCH it leaves its context and
 * calls again when it is resumed, at RET_EXIT it leaves for good and the dispatcher runs the exit. At RET_SIGNAL the handler
 * that stands in `l.sigframe` is to be entered, and `userret` called again when that has returned.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import {
  ATTN_HALT,
  ATTN_SLICE,
  ATTN_TICK,
  ATTN_XCALL,
  LSONPROC,
  LSSUSPENDED,
  LW_LWPCTL,
  LW_PENDSIG,
  LW_USERRET,
  LW_WCORE,
  LW_WEXIT,
  LW_WREBOOT,
  LW_WSUSPEND,
  RESCHED_ANY,
} from "../sys/param.js";
import { cvBroadcast } from "./condvar.js";
import { AT_USERRET_SUSPENDED, delayPoint } from "./delay.js";
import { lwpCtlRefresh } from "./lwpctl.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { kassert } from "./panic.js";
import { pserializeSwitchpoint } from "./pserialize.js";
import { procIsStopping, sigswitch } from "./procstop.js";
import { flushKicks } from "./resched.js";
import { clockPoll } from "./softclock.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";
import { setStat } from "./state.js";
import { miSwitch, preempt } from "./switch.js";
import { xcPoll } from "./xcall.js";
import { cur } from "../sys/current.js";

export const RET_USER = 0;
export const RET_SWITCH = 1;
export const RET_EXIT = 2;
export const RET_SIGNAL = 4;

/** A CPU that reads the clock does so at every 64th user return. */
const SELF_CLOCK_MASK = 63;

const { attention: ATTENTION, curpriority: CURPRIORITY } = CpuRecord.offset;
const { flag: FLAG, kpriority: KPRIORITY, priority: PRIORITY } = LwpRecord.offset;

/** The whole of a return to user mode. */
export function userret(l: Lwp): number {
  const { k, w, at } = l;
  const ci = cur.cpu;
  if (cur.kicks !== 0) flushKicks(k);
  if (k.readsClock === true && (++k.polls & SELF_CLOCK_MASK) === 0) k.port.selfClock(ci);
  if ((w[at + FLAG] & LW_USERRET) !== 0 || w[ci.at + ATTENTION] !== 0) return respond(l, ci);
  return enterUser(l, ci);
}

/** The same where nothing at all is asked; else false, and nothing has changed. For callers that ask nobody for anything. */
export function userretAtOnce(l: Lwp): boolean {
  const { k } = l;
  const ci = cur.cpu;
  if (k.readsClock || k.stepwise || (l.flag & LW_USERRET) !== 0 || ci.attention !== 0) return false;
  l.kpriority = 0;
  ci.curpriority = l.priority;
  return true;
}

/** Does what is asked of the LWP or its CPU. Apart: most returns have none of it. */
function respond(l: Lwp, ci: Cpu): number {
  for (;;) {
    const r = (l.flag & LW_USERRET) !== 0 ? lwpUserret(l) : RET_USER;
    if (r !== RET_USER) return r;
    const { attention } = ci;
    const then = attention === 0 ? RET_USER : poll(l, ci, attention);
    if (then === RET_SWITCH) return then;
    if (then !== AGAIN) return enterUser(l, ci);
  }
}

function enterUser(l: Lwp, ci: Cpu): number {
  const { w, at } = l;
  w[at + KPRIORITY] = 0;
  w[ci.at + CURPRIORITY] = w[at + PRIORITY];
  return l.k.stepwise === true ? step(l) : RET_USER;
}

/** Whether the first return to user mode of a new LWP has anything to do but leave the kernel. */
export function asksForUserret(l: Lwp): boolean {
  return (l.flag & LW_USERRET) !== 0 || l.kpriority !== 0;
}

const AGAIN = 3;

/** What this CPU has been asked for. With preemption off it waits, but for the tick and the end of the machine. */
function poll(l: Lwp, ci: Cpu, wanted: number): number {
  const attention = l.nopreempt === 0 ? wanted : wanted & (ATTN_HALT | ATTN_TICK);
  if ((attention & (ATTN_HALT | ATTN_SLICE)) !== 0) return RET_SWITCH;
  if ((attention & ATTN_TICK) !== 0) {
    clockPoll(ci);
    flushKicks(l.k);
    return AGAIN;
  }
  if ((attention & ATTN_XCALL) !== 0) {
    xcPoll(ci);
    pserializeSwitchpoint(ci);
    flushKicks(l.k);
    return AGAIN;
  }
  if ((attention & RESCHED_ANY) !== 0) return preempt(l) ? RET_SWITCH : AGAIN;
  return RET_USER;
}

/** On a stepwise machine the context is left once after every operation, so that another may be chosen (R12). */
function step(l: Lwp): number {
  const { k } = l;
  // LWP-84 has it checked at each return; here it costs nobody anything.
  const held = spinOwned(k, l.proc.lock) || spinOwned(k, l.mutex) || spinOwned(k, l.cpu.mutex);
  kassert(k, !held && l.nopreempt === 0, "userret: a lock is held, or preemption is off");
  l.stepped = !l.stepped;
  return l.stepped ? RET_SWITCH : RET_USER;
}

/** The loop over the flags of LW_USERRET, in the order of LWP-85. */
export function lwpUserret(l: Lwp): number {
  const { k } = l;
  kassert(k, l === cur.lwp && l.stat === LSONPROC, "lwpUserret: not the current LWP, or it does not run");
  while ((l.flag & LW_USERRET) !== 0) {
    if ((l.flag & (LW_PENDSIG | LW_WCORE | LW_WEXIT)) === LW_PENDSIG) {
      const r = deliverSignals(l);
      if (r === RET_SWITCH) return r;
      // Signals are taken, or a stop is over: what else is asked for is looked at anew.
      if (r === RET_USER) continue;
    }
    // LWP-86: what is left with only WREBOOT or WCORE set waits as if suspended, and does not spin.
    const halt = (l.flag & (LW_WREBOOT | LW_WCORE)) !== 0 && (l.flag & LW_WEXIT) === 0;
    if (((l.flag & LW_WSUSPEND) !== 0 || halt) && !endsProcess(l)) {
      if (suspendSelf(l)) return RET_SWITCH;
      continue;
    }
    if ((l.flag & LW_WEXIT) !== 0) return RET_EXIT;
    if ((l.flag & LW_LWPCTL) !== 0) lwpCtlRefresh(l);
    // LWP-142: the handler runs in user mode, so after all of this.
    if (l.sigcaught !== 0) return RET_SIGNAL;
  }
  return RET_USER;
}

/**
 * Whether the LWP is one of those of which the first to exit ends the process (prockill.ts). It does not suspend itself before:
 * if all did, nobody would be left to set them running. The original ends the process where it takes the signal.
 */
function endsProcess(l: Lwp): boolean {
  return (l.flag & LW_WEXIT) !== 0 && l.proc.killed !== 0;
}

/**
 * Takes what is pending, up to the first that has a handler: RET_SIGNAL, and the frame for it is ready. While the process is to
 * stop, that comes first.
 */
function deliverSignals(l: Lwp): number {
  const { k } = l;
  const p = l.proc;
  const { lock } = p;
  spinEnter(k, lock);
  for (;;) {
    const exits = (l.flag & LW_WEXIT) !== 0;
    // Not if it was told to exit while it waited for the lock: nobody would tell it again.
    if (!exits && procIsStopping(p)) return sigswitch(l) ? RET_SWITCH : RET_USER;
    // One handler is entered at a time; LW_PENDSIG stays on until nothing is left.
    if (exits || l.sigcaught !== 0) {
      spinExit(k, lock);
      return l.sigcaught === 0 ? RET_USER : RET_SIGNAL;
    }
    const sig = k.slots.issignal(l);
    if (sig !== 0) k.slots.postsig(l, sig);
    else if (!procIsStopping(p)) break;
  }
  lwpLock(l);
  l.flag &= ~LW_PENDSIG;
  lwpUnlock(l);
  spinExit(k, lock);
  return RET_USER;
}

/** Suspends the caller. Continued before it has switched, it is LSONPROC again, and merely yields. */
function suspendSelf(l: Lwp): boolean {
  const { k } = l;
  const p = l.proc;
  spinEnter(k, p.lock);
  // It may have been told while it waited for the lock.
  if (endsProcess(l)) {
    spinExit(k, p.lock);
    return false;
  }
  p.nrlwps--;
  cvBroadcast(k, p.lwpcv);
  lwpLock(l);
  setStat(l, LSSUSPENDED);
  lwpUnlock(l);
  spinExit(k, p.lock);
  flushKicks(k);
  delayPoint(k, AT_USERRET_SUSPENDED);
  lwpLock(l);
  return miSwitch(l);
}
