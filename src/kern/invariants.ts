/**
 * The kernel's invariants, checked from outside while nothing runs: LWP-14..28, BLK-100, the queues.
 *
 * Returns what is wrong, one line each; an empty list is a sound machine. Used by tests after every step, by the
 * stress program at its end, and by dumps.
 */
import type { Cpu } from "../sys/cpu.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LP_BOUND,
  LP_RUNNING,
  LPR_DETACHED,
  LSIDL,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LSZOMB,
  LW_IDLE,
  LW_SINTR,
  LW_SYSTEM,
  PRI_COUNT,
  SOBJ_CV,
  SOBJ_PARK,
  SOBJ_SCHED,
  SOBJ_SLEEP,
  SZOMB,
  STATE_NAMES,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { procLwps } from "./lwpref.js";
import { lwpEprio } from "./priority.js";
import { allLwps, allProcs } from "./proc.js";
import { isMovable, runqList } from "./runq.js";
import { sleepqList, sleeptabBucket } from "./sleepq.js";
import { coveringLock } from "./state.js";
import { tschain } from "./turnstile.js";

/** The lock of the sleep queue that `l` is on. */
export function sleepLockOf(l: Lwp): number {
  const { k } = l;
  switch (l.syncobj) {
    case SOBJ_PARK:
      return sleeptabBucket(k.parktab, l.wchan);
    case SOBJ_CV:
    case SOBJ_SLEEP:
      return sleeptabBucket(k.sleeptab, l.wchan);
    default:
      return tschain(k, l.wchan);
  }
}

/** Everything that is wrong. The machine must be at rest: no CPU in the middle of kernel code. */
export function checkInvariants(k: Kernel): string[] {
  const wrong: string[] = [];
  for (const p of allProcs(k)) checkProc(p, wrong);
  for (const l of allLwps(k)) checkLwp(l, wrong);
  for (let i = 1; i <= k.g.ncpu; i++) checkCpu(k.cpus.view(i), wrong);
  return wrong;
}

function say(wrong: string[], l: Lwp, what: string): void {
  wrong.push(`LWP ${l.proc.pid}.${l.lid} (${STATE_NAMES[l.stat]}): ${what}`);
}

/** LWP-22..28. */
function checkProc(p: Proc, wrong: string[]): void {
  const lwps = procLwps(p);
  const name = `process ${p.pid}`;
  const count = (test: (l: Lwp) => boolean) => lwps.filter(test).length;
  const zombies = count((l) => l.stat === LSZOMB);
  if (p.nlwps !== lwps.length) wrong.push(`${name}: nlwps ${p.nlwps}, ${lwps.length} on the list`);
  if (p.nzlwps < zombies) wrong.push(`${name}: nzlwps ${p.nzlwps}, ${zombies} zombies`);
  const detached = count((l) => (l.prflag & LPR_DETACHED) !== 0);
  if (p.stat !== SZOMB && p.ndlwps !== detached)
    wrong.push(`${name}: ndlwps ${p.ndlwps}, ${detached} detached`);
  const going = count((l) => [LSIDL, LSRUN, LSONPROC, LSSLEEP].includes(l.stat));
  if (p.nrlwps !== going) wrong.push(`${name}: nrlwps ${p.nrlwps}, ${going} running or about to`);
  if (p.nlwpwait < 0) wrong.push(`${name}: nlwpwait ${p.nlwpwait}`);
  if (p.nrlwps > p.nlwps - p.nzlwps + (p.nzlwps - zombies)) wrong.push(`${name}: nrlwps exceeds what lives`);
}

function checkLwp(l: Lwp, wrong: string[]): void {
  const lock = coveringLock(l, () => sleepLockOf(l));
  if (l.mutex !== lock) say(wrong, l, `covered by lock ${l.mutex}, not ${lock}`);
  if ((l.wchan !== 0) !== (l.sleepq !== 0)) say(wrong, l, "wait channel and sleep queue disagree");
  if ((l.wchan !== 0) !== (l.syncobj !== SOBJ_SCHED)) say(wrong, l, "wait channel and sync object disagree");
  if (l.wchan === 0 && (l.flag & LW_SINTR) !== 0) say(wrong, l, "LW_SINTR off a sleep queue");
  if (l.stat === LSSLEEP && l.wchan === 0) say(wrong, l, "asleep on nothing");
  if (l.wchan !== 0) {
    const on = sleepqList(l.k, l.sleepq).filter((other) => other === l).length;
    if (on !== 1) say(wrong, l, `on its sleep queue ${on} times`);
    if (l.stat !== LSSLEEP && l.stat !== LSSTOP) say(wrong, l, "on a sleep queue in this state");
    if (l.stat === LSSTOP && (l.flag & LW_SINTR) === 0)
      say(wrong, l, "stopped in a sleep that cannot be interrupted");
  }
  const queued = runqList(l.cpu, lwpEprio(l)).includes(l);
  if (queued !== (l.stat === LSRUN)) say(wrong, l, queued ? "on a run queue" : "not on its CPU's run queue");
  const running = (l.pflag & LP_RUNNING) !== 0;
  if (running !== (l.cpu.curlwp === l)) say(wrong, l, "LP_RUNNING and its CPU disagree");
  if (l.stat === LSONPROC && !running) say(wrong, l, "LSONPROC but on no CPU");
  if ((l.stat === LSRUN || l.stat === LSIDL) && running) say(wrong, l, "on a CPU in this state");
  if (l.stat === LSSUSPENDED && l.wchan !== 0) say(wrong, l, "suspended on a sleep queue");
  if (l.refcnt < 0) say(wrong, l, `refcnt ${l.refcnt}`);
  if (l.stat === LSIDL && (l.flag & (LW_IDLE | LW_SYSTEM)) === 0 && running)
    say(wrong, l, "unborn and running");
  if ((l.flag & LW_IDLE) !== 0 && (l.pflag & LP_BOUND) === 0)
    say(wrong, l, "an idle thread that is not bound");
}

function checkCpu(ci: Cpu, wrong: string[]): void {
  const name = `CPU ${ci.index - 1}`;
  let count = 0;
  let movable = 0;
  let top = 0;
  for (let pri = 0; pri < PRI_COUNT; pri++) {
    const list = runqList(ci, pri);
    const bit = (ci.w[ci.bitmap + (pri >> 5)] & ((0x80000000 | 0) >>> (pri & 31))) !== 0;
    if (bit !== list.length > 0)
      wrong.push(`${name}: bitmap of priority ${pri} is ${bit}, ${list.length} queued`);
    for (const l of list) {
      if (l.stat !== LSRUN) say(wrong, l, `queued on ${name}`);
      if (l.cpu !== ci) say(wrong, l, `queued on ${name}, tied to CPU ${l.cpu.index - 1}`);
      if (lwpEprio(l) !== pri) say(wrong, l, `priority ${lwpEprio(l)}, queued at ${pri}`);
      if (isMovable(l)) movable++;
    }
    count += list.length;
    if (list.length > 0) top = pri;
  }
  if (ci.count !== count) wrong.push(`${name}: count ${ci.count}, ${count} queued`);
  if (ci.mcount !== movable) wrong.push(`${name}: mcount ${ci.mcount}, ${movable} movable`);
  if (ci.maxpriority !== top) wrong.push(`${name}: maxpriority ${ci.maxpriority}, ${top} queued`);
}
