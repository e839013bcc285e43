/**
 * Birth of an LWP: `lwpCreate`, and what its first run begins with (LWP-41..50).
 */
import { CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import {
  LP_MPSAFE,
  LP_PIDLID,
  LPR_DETACHED,
  LSIDL,
  LSRUN,
  LSSTOP,
  LSSUSPENDED,
  LW_LWPCTL,
  LW_PENDSIG,
  LW_SYSTEM,
  LW_WEXIT,
  LW_WREBOOT,
  LW_WSUSPEND,
  LWP_DETACHED,
  LWP_PIDLID,
  LWP_SUSPENDED,
  LWP_VFORK,
  PK_SYSTEM,
  PRI_KERNEL,
  PRI_NONE,
} from "../sys/param.js";
import { packText } from "../sys/record.js";
import type { Proc } from "../sys/proc.js";
import { CALLOUT_MPSAFE } from "../sys/shapes.js";
import { CALLOUT_SLEEPQ_TIMEOUT, calloutInit, calloutSetfunc } from "./callout.js";
import { cvInitWords } from "./condvar.js";
import { lwpInitCreds } from "./cred.js";
import { AT_CREATE_IDLE, delayPoint } from "./delay.js";
import { KAUTH_PROCESS_RLIMIT_BYPASS, KAUTH_SCOPE_PROCESS, kauthAuthorizeLwp } from "./kauth.js";
import { lidInsert } from "./lid.js";
import { lwpLock, lwpUnlock, lwpUnlockTo } from "./lwplock.js";
import { lwpFree } from "./lwpfree.js";
import { kassert } from "./panic.js";
import { schedTakecpu } from "./placement.js";
import { procAllocPid, procReservePid, procUnreservePid } from "./pid.js";
import { begin, clear, clearCold, rawGet, rawPut, take } from "./pool.js";
import { fire, PROBE_LWP_CREATE, PROBE_LWP_START, probing } from "./probe.js";
import { procIsStopping } from "./procstop.js";
import { flushKicks } from "./resched.js";
import { runqAdmit } from "./runq.js";
import { spinEnter, spinExit } from "./spin.js";
import { setStat } from "./state.js";
import { chglwpcnt } from "./uid.js";

/** What a new LWP runs: the counterpart of a stack and an entry address. */
export interface Start {
  /** CTX_* */
  readonly kind: number;
  /** Entry or step-function id. */
  readonly entry?: number;
  /** One word for it. */
  readonly arg?: number;
  /** For CTX_CLOSURE: the closure. */
  readonly closure?: unknown;
  /** Realm it must run in; 0 = any. */
  readonly realm?: number;
}

/**
 * Makes an LWP of `p2`, left LSIDL: the caller must make it runnable, suspended or stopped (`lwpStart`). Null means
 * EAGAIN: the user's limit, or the machine's table, is full. `l1` is the caller, or belongs to process 0.
 */
export function lwpCreate(l1: Lwp, p2: Proc, flags: number, start: Start, schedClass: number): Lwp | null {
  const { kind, entry = 0, arg = 0, realm = 0 } = start;
  const l2 = bear(l1, p2, flags, schedClass, kind, entry, arg, realm);
  if (l2 === null) return null;
  l2.closure = start.closure ?? null;
  l2.k.slots.lwpFork?.(l1, l2);
  return l2;
}

/** All of it but what hangs on the view. */
export function bear(
  l1: Lwp,
  p2: Proc,
  flags: number,
  schedClass: number,
  kind: number,
  entry: number,
  arg: number,
  realm: number,
): Lwp | null {
  const { k } = l1;
  const p0 = k.procs.view(1);
  kassert(
    k,
    l1 === cur.lwp || l1.proc === p0,
    "lwpCreate: the creator is neither the caller nor the system's",
  );
  const charged = p2.nlwps !== 0 && p2 !== p0;
  kassert(
    k,
    (p2.nlwps === 0) === (l1.proc !== p2),
    "lwpCreate: a first LWP comes from another process, a later one from its own",
  );
  if (charged && !chargeLimit(k, l1, p2)) return null;
  const ownPid = (flags & LWP_PIDLID) !== 0 && p2.nlwps !== 0;
  const l2 = ownPid && !procReservePid(k) ? null : (recycleZombie(p2) ?? allocate(k, ownPid));
  if (l2 === null) {
    if (charged) chglwpcnt(k, l1.uid, -1);
    return null;
  }
  initialise(l1, l2, p2, flags, schedClass);
  l2.ctxkind = kind;
  l2.entry = entry;
  l2.arg = arg;
  l2.realm = realm;
  enlist(l1, l2, p2, flags);
  fire(k, PROBE_LWP_CREATE, p2.pid, l2.lid);
  listAll(k, l2);
  return l2;
}

/** RLIMIT_NTHR of the real user; the superuser passes, but is counted (LWP-42). */
function chargeLimit(k: Kernel, l1: Lwp, p2: Proc): boolean {
  const n = chglwpcnt(k, l1.uid, 1);
  return n <= p2.nthrSoft || mayPass(k, l1, p2);
}

function mayPass(k: Kernel, l1: Lwp, p2: Proc): boolean {
  if (kauthAuthorizeLwp(l1, KAUTH_SCOPE_PROCESS, KAUTH_PROCESS_RLIMIT_BYPASS, p2) === 0) return true;
  chglwpcnt(k, l1.uid, -1);
  return false;
}

/** The detached zombie that nobody has freed: its record and turnstile serve again (LWP-43). */
function recycleZombie(p2: Proc): Lwp | null {
  const { k } = p2;
  if (p2.zomblwp === null) return null;
  spinEnter(k, p2.lock);
  const l = p2.zomblwp;
  if (l === null) {
    spinExit(k, p2.lock);
    return null;
  }
  p2.zomblwp = null;
  lwpFree(l, true, false);
  kassert(k, l.piLenders === null && l.inheritedprio === PRI_NONE, "lwpCreate: a zombie with loans");
  const ts = l.w[l.at + TS];
  clearCold(k.lwps, l.index);
  clear(k, l.at + 2, l.at + LwpRecord.words);
  l.w[l.at + TS] = ts;
  // A handle to the dead one must not find the new one: as if released and allocated.
  l.w[l.at] += 2;
  return l;
}

/**
 * A record with a turnstile, or null; then the id that was reserved for it goes back. A record that served before still has its
 * turnstile (LWP-60).
 */
function allocate(k: Kernel, reserved: boolean): Lwp | null {
  const { header, base, type, limit } = k.lwps;
  const index = take(k, header, base, type.words, limit);
  if (index !== 0) {
    const at = base + (index - 1) * type.words;
    const ts = k.w[at + TS] === 0 ? newTurnstile(k) : k.w[at + TS];
    clearCold(k.lwps, index);
    begin(k, at, type.words);
    k.w[at + TS] = ts;
    if (ts !== 0) return k.lwps.view(index);
    rawPut(k, header, at, index);
  }
  if (reserved) procUnreservePid(k);
  return null;
}

/** By index: most turnstiles are never looked at, and need no view. */
function newTurnstile(k: Kernel): number {
  const { header, base, type, limit } = k.turnstiles;
  return rawGet(k, header, base, type.words, limit);
}

const TS = LwpRecord.offset.ts;
const NLWPS = CpuRecord.offset.nlwps;
const SIGWAIT = packText("sigwait");
const VFORK = packText("vfork");

/** LWP-44, 45. */
function initialise(l1: Lwp, l2: Lwp, p2: Proc, flags: number, schedClass: number): void {
  const { k } = l2;
  l2.proc = p2;
  l2.refcnt = 1;
  l2.class = schedClass;
  l2.kpriority = (flags & LWP_VFORK) !== 0 ? 1 : 0;
  l2.kpribase = PRI_KERNEL;
  l2.priority = l1.priority;
  l2.inheritedprio = PRI_NONE;
  l2.pflag = LP_MPSAFE;
  if ((flags & LWP_VFORK) !== 0 && l1.lwpctl !== 0) {
    l2.lwpctl = l1.lwpctl;
    l2.flag = LW_LWPCTL;
  }
  l2.fd = 1;
  if ((p2.flag & PK_SYSTEM) !== 0) l2.flag |= LW_SYSTEM;
  l2.cpu = l1.cpu;
  l2.mutex = l1.cpu.mutex;
  l2.estcpu = l1.estcpu;
  calloutInit(k, l2.timeoutCh, CALLOUT_MPSAFE);
  calloutSetfunc(k, l2.timeoutCh, CALLOUT_SLEEPQ_TIMEOUT, l2.index);
  cvInitWords(k, l2.sigcv, SIGWAIT[0], SIGWAIT[1]);
  cvInitWords(k, l2.waitcv, VFORK[0], VFORK[1]);
  // Born idle, and locked for nobody yet: no transition, so not by setStat.
  l2.stat = LSIDL;
}

/** Under `p.lock`: id, list, counters, CPU (LWP-45..47). */
function enlist(l1: Lwp, l2: Lwp, p2: Proc, flags: number): void {
  const { k } = l2;
  const pid = (flags & LWP_PIDLID) !== 0 ? pidFor(p2) : 0;
  spinEnter(k, p2.lock);
  lwpInitCreds(l2, p2);
  // LWP-121: the creator was charged by its own copy, which may be older than the process's.
  if (p2.nlwps !== 0 && l1.uid !== p2.uid && p2.index !== 1) moveCharge(k, l1.uid, p2.uid);
  // The first LWP has the reference that its process was made with.
  if (p2.nlwps !== 0) p2.fdrefs++;
  if ((flags & LWP_DETACHED) !== 0) {
    l2.prflag = LPR_DETACHED;
    p2.ndlwps++;
  }
  if (l1.sigstk !== 0) l2.sigstk = l1.sigstk;
  for (let i = 0; i < 2; i++) l2.w[l2.sigmask + i] = l1.w[l1.sigmask + i];
  if (pid !== 0) {
    l2.lid = pid;
    l2.pflag |= LP_PIDLID;
  } else {
    // LWP-31: strictly increasing; only 0 is passed over when it wraps.
    p2.nlwpid = (p2.nlwpid + 1) | 0;
    if (p2.nlwpid === 0) p2.nlwpid = 1;
    l2.lid = p2.nlwpid;
  }
  lidInsert(l2);
  const first = p2.lwps;
  l2.siblingNext = first;
  if (first !== 0) k.lwps.view(first).siblingPrev = l2.index;
  p2.lwps = l2.index;
  p2.nlwps++;
  p2.nrlwps++;
  if ((p2.flag & PK_SYSTEM) === 0) place(l1, l2);
  spinExit(k, p2.lock);
}

function moveCharge(k: Kernel, from: number, to: number): void {
  chglwpcnt(k, from, -1);
  chglwpcnt(k, to, 1);
}

/** The lid of an LWP that shall have one of the pid table: the process's for its first, and one of its own for the others. */
function pidFor(p2: Proc): number {
  if (p2.nlwps === 0) return p2.pid;
  const { k } = p2;
  spinEnter(k, k.g.procLock);
  const pid = procAllocPid(p2);
  spinExit(k, k.g.procLock);
  return pid;
}

function place(l1: Lwp, l2: Lwp): void {
  kassert(l2.k, l2.affinity === 0, "lwpCreate: a new LWP with an affinity");
  l2.affinity = l1.affinity;
  l2.psid = l1.psid;
  // Its lock is not needed: who finds it has its process locked.
  const ci = schedTakecpu(l2);
  l2.cpu = ci;
  l2.mutex = ci.mutex;
}

/** Head of alllwp. */
function listAll(k: Kernel, l: Lwp): void {
  const g = k.g;
  spinEnter(k, g.procLock);
  const first = g.alllwp;
  l.listNext = first;
  l.listPrev = 0;
  if (first !== 0) k.lwps.view(first).listPrev = l.index;
  g.alllwp = l.index;
  g.nlwps++;
  spinExit(k, g.procLock);
}

/** Ends the birth: the new LWP becomes suspended, stopped or runnable (SYS-3). */
export function lwpStart(l1: Lwp, l2: Lwp, flags: number): void {
  admit(l1, l2, flags);
  flushKicks(l2.k);
}

export function admit(l1: Lwp, l2: Lwp, flags: number): void {
  const { k } = l2;
  const p = l2.proc;
  delayPoint(k, AT_CREATE_IDLE);
  spinEnter(k, p.lock);
  lwpLock(l2);
  const suspended = (flags & LWP_SUSPENDED) !== 0 || (l1.flag & (LW_WREBOOT | LW_WSUSPEND | LW_WEXIT)) !== 0;
  const stopped = procIsStopping(p);
  if (suspended || stopped) {
    p.nrlwps--;
    setStat(l2, suspended ? LSSUSPENDED : LSSTOP);
    // Like all LWPs of a process that stops (procstop.ts).
    if (stopped) l2.flag |= LW_PENDSIG;
    // The lwplock is not taken: it comes before the run queue's in the order of locks (LWP-18).
    lwpUnlockTo(l2, l2.cpu.lwplock);
  } else {
    setStat(l2, LSRUN);
    runqAdmit(l2);
    lwpUnlock(l2);
  }
  spinExit(k, p.lock);
}

/** First thing a new LWP does, called by the dispatcher (LWP-50). */
export function lwpStartup(l: Lwp): void {
  kassert(l.k, l === cur.lwp, "lwpStartup: not the current LWP");
  // lwp0 has run since the machine was booted.
  if (l.index === 1) return;
  if (probing(l.k, PROBE_LWP_START)) fire(l.k, PROBE_LWP_START, l.proc.pid, l.lid);
  const ci = cur.cpu;
  ci.w[ci.at + NLWPS]++;
}
