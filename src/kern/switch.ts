/**
 * Context switches (SCH-30..34).
 *
 * `miSwitch` does all of a switch but the change of contexts: it charges the time, puts the LWP where its state says,
 * picks the next one and leaves it in `ci.curlwp`. If it returns true the caller must leave its context at once (a
 * generator yields, a step function returns); the dispatcher then marks the context saved, waits until the next
 * LWP's is, and resumes that. If it returns false the LWP goes on.
 */
import { CpuRecord, type Cpu } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import {
  LP_RUNNING,
  LSIDL,
  LSONPROC,
  LSRUN,
  LW_IDLE,
  RESCHED_ANY,
  SPCF_SEENRR,
  SPCF_SHOULDYIELD,
} from "../sys/param.js";
import { LWPCTL_CPU_NONE, LWPCTL_CURCPU, LWPCTL_PCTR } from "../sys/shapes.js";
import { AT_EXIT_AWAY, AT_SWITCH_UNLOCKED, delayPoint } from "./delay.js";
import { lwpLock } from "./lwplock.js";
import { kassert } from "./panic.js";
import { schedSteal } from "./placement.js";
import { lwpEprio } from "./priority.js";
import { fire, HOOK_PSERIALIZE, PROBE_SWITCH, probing } from "./probe.js";
import { pserializeSwitchpoint } from "./pserialize.js";
import { runqFirst, schedDequeue, schedEnqueue, schedRotate } from "./runq.js";
import { atomicAnd, atomicStore, spinEnter, spinExit } from "./spin.js";
import { setIdleOnproc, setStat } from "./state.js";

// The words of a switch, by address: see runq.ts.
const {
  attention: ATTENTION,
  lwplock: LWPLOCK,
  mutex: RUNQ,
  flags: FLAGS,
  curpriority: CURPRIORITY,
} = CpuRecord.offset;
const {
  onproc: ONPROC,
  curlwp: CURLWP,
  nswitch: NSWITCH,
  migrating: MIGRATING,
  busy: BUSY,
  count: COUNT,
} = CpuRecord.offset;
const {
  pflag: PFLAG,
  ctxswtch: CTXSWTCH,
  mutex: MUTEX,
  flag: FLAG,
  stat: STAT,
  lwpctl: LWPCTL,
} = LwpRecord.offset;
const {
  targetCpu: TARGETCPU,
  dopreempt: DOPREEMPT,
  stime: STIME,
  rtime: RTIME,
  ncsw: NCSW,
  realm: REALM,
  rticks: RTICKS,
} = LwpRecord.offset;

/** The LWP this CPU should run next, still queued; null = the idle thread (SCH-23). The queue is locked. */
export function schedNextlwp(ci: Cpu): Lwp | null {
  if (ci.w[ci.at + MIGRATING] !== 0) return null;
  // A stolen one keeps the tick when it last ran (SCH-23).
  if (ci.w[ci.at + COUNT] === 0) return schedSteal(ci);
  const l = runqFirst(ci);
  if (l !== null) ci.w[l.at + RTICKS] = ci.w[ci.k.ticksAt];
  return l;
}

/** Picks the next LWP and makes it LSONPROC (SCH-30). */
function nextlwp(ci: Cpu): Lwp {
  const l = schedNextlwp(ci);
  if (l !== null) {
    schedDequeue(l);
    return makeOnproc(ci, l);
  }
  setIdleOnproc(ci.idlelwp);
  return chosen(ci, ci.idlelwp);
}

/** An LWP that was LSRUN here, and is off the queue, runs next. */
function makeOnproc(ci: Cpu, l: Lwp): Lwp {
  setStat(l, LSONPROC);
  ci.w[l.at + MUTEX] = ci.at + LWPLOCK;
  return chosen(ci, l);
}

function chosen(ci: Cpu, l: Lwp): Lwp {
  const { w, at: c } = ci;
  w[l.at + PFLAG] |= LP_RUNNING;
  if ((w[c + ATTENTION] & RESCHED_ANY) !== 0) atomicAnd(ci.k, c + ATTENTION, ~RESCHED_ANY);
  w[c + FLAGS] &= ~(SPCF_SEENRR | SPCF_SHOULDYIELD);
  w[c + CURPRIORITY] = lwpEprio(l);
  return l;
}

/** Switches away from `l`, the caller's own, which is locked. True: leave the context now. */
export function miSwitch(l: Lwp): boolean {
  const ci = cur.cpu;
  const { k, w, at } = l;
  const c = ci.at;
  const held = w[at + MUTEX];
  kassert(k, w[held] === ci.index && cur.lwp === l, "miSwitch: not the locked current LWP");
  const now = k.exact ? k.port.now() : k.d[k.timeAt];
  const idle = (w[at + FLAG] & LW_IDLE) !== 0;
  if (!idle) chargeTime(l, ci, now);

  const runq = c + RUNQ;
  spinEnter(k, runq);
  let first: Lwp | null = null;
  if (w[at + STAT] === LSONPROC) {
    if (idle) {
      setStat(l, LSIDL);
    } else {
      setStat(l, LSRUN);
      w[at + MUTEX] = runq;
      if ((w[at + TARGETCPU] | w[c + MIGRATING]) === 0) first = schedRotate(ci, l);
      if (first === null) schedEnqueue(l, true);
      if (w[at + TARGETCPU] !== 0) ci.migrating = l;
    }
  }
  const next = first === null ? nextlwp(ci) : makeOnproc(ci, first);
  k.d[(next.at + STIME) >> 1] = now;
  w[c + ONPROC] = next.index;
  w[at + DOPREEMPT] = 0;
  if (next === l) {
    // Back on the same CPU: it is LSONPROC again, covered by the lwplock that is still held.
    spinExit(k, runq);
    spinExit(k, held);
    return false;
  }

  // Release all locks but the one that covers `l` now, mark it, and only then let go of it.
  const covering = w[at + MUTEX];
  spinExit(k, covering === runq ? held : runq);
  w[at + CTXSWTCH] = 1;
  k.d[(at + NCSW) >> 1]++;
  w[at + PFLAG] &= ~LP_RUNNING;
  w[c + NSWITCH]++;
  if ((w[at + LWPCTL] | w[next.at + LWPCTL]) !== 0) publishSwitch(l, next, ci);
  w[c + CURLWP] = next.index;
  if ((w[k.probesAt] & SWITCH_HOOKS) !== 0) tellSwitch(l, next, ci);
  spinExit(k, covering);
  delayPoint(k, AT_SWITCH_UNLOCKED);
  return true;
}

/** Whoever wants to know of each switch: a bit of the word that is asked anyway. */
const SWITCH_HOOKS = (1 << PROBE_SWITCH) | HOOK_PSERIALIZE;

function tellSwitch(l: Lwp, next: Lwp, ci: Cpu): void {
  const { k } = ci;
  if (probing(k, PROBE_SWITCH)) fire(k, PROBE_SWITCH, l.proc.pid, l.lid, l.stat, next.lid, next.proc.pid);
  pserializeSwitchpoint(ci);
}

/** Writes who left and who comes into the words they share with their programs (SCH-33). */
function publishSwitch(l: Lwp | null, next: Lwp, ci: Cpu): void {
  const { uw } = ci.k;
  if (l !== null && l.lwpctl !== 0) uw[l.lwpctl + LWPCTL_CURCPU] = LWPCTL_CPU_NONE;
  if (next.lwpctl === 0) return;
  uw[next.lwpctl + LWPCTL_CURCPU] = ci.index - 1;
  uw[next.lwpctl + LWPCTL_PCTR]++;
}

function chargeTime(l: Lwp, ci: Cpu, now: number): void {
  const { d } = l.k;
  const { at } = l;
  const ran = now - d[(at + STIME) >> 1];
  if (ran === 0) return;
  d[(at + RTIME) >> 1] += ran;
  d[(ci.at + BUSY) >> 1] += ran;
}

/** Leaves the CPU for ever: the LWP is LSZOMB and nothing of it is saved (SCH-34). */
export function lwpExitSwitchaway(l: Lwp): void {
  const ci = l.cpu;
  const { k } = l;
  const now = k.exact ? k.port.now() : k.d[k.timeAt];
  chargeTime(l, ci, now);
  spinEnter(k, ci.mutex);
  const next = nextlwp(ci);
  next.stime = now;
  ci.onproc = next;
  spinExit(k, ci.mutex);
  ci.nswitch++;
  if (next.lwpctl !== 0) publishSwitch(null, next, ci);
  if ((ci.w[k.probesAt] & SWITCH_HOOKS) !== 0) tellSwitch(l, next, ci);
  // From here the LWP's record may be freed at any moment: `curlwp` goes first, LP_RUNNING last.
  const flags = l.pflag & ~LP_RUNNING;
  ci.curlwp = next;
  atomicStore(k, l.at + PFLAG, flags);
  delayPoint(k, AT_EXIT_AWAY);
}

/** The context of `l` is saved: others may take it over (release). One that lives in a realm is taken over by nobody else. */
export function contextSaved(l: Lwp): void {
  const { w, at } = l;
  if (l.k.mp === true && w[at + REALM] === 0) l.k.atomic.store(at + CTXSWTCH, 0);
  else w[at + CTXSWTCH] = 0;
}

/** Gives the CPU to an LWP of the same or a higher priority, if one waits (SCH-31, SYS-33). True: leave the context. */
export function yieldCpu(l: Lwp): boolean {
  l.kpriority = 0;
  lwpLock(l);
  return miSwitch(l);
}

/** The same, not by the LWP's own will. */
export function preempt(l: Lwp): boolean {
  l.kpriority = 0;
  lwpLock(l);
  l.nivcsw++;
  return miSwitch(l);
}
