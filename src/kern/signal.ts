/**
 * Signals: posting, taking, delivering (PRC-70..77).
 *
 * A signal goes to a process, or is directed to one of its LWPs. What happens, in steps:
 *   (1) `kpsignal` drops it if it is ignored, hands it to an LWP in `sigtimedwait`, or makes it pending: for the LWP it is
 *       directed to, or else for the process.
 *   (2) `sigpost` tells an LWP that can take it to look (LW_PENDSIG): one that sleeps interruptibly is woken, one that runs
 *       comes to its user return. If none can, whoever unmasks it first, wakes or returns does (PRC-73).
 *   (3) On its way to user mode the LWP chooses a signal, the lowest number first, its own before the process's: `issignal`.
 *       Stops begin here (procstop.ts).
 *   (4) `postsig` acts: the process ends, or what the handler is to be entered with is put into `l.sigframe`, and `userret`
 *       says RET_SIGNAL. The context enters the handler, on the thread's own stack, so to speak; when that has returned it
 *       calls `sigreturn`, and the thread goes on where it was, still on its way to user mode.
 *
 * Differs from the original, where all that is deliverable is put onto the user's stack at once, so that the last one runs
 * first: here one handler is entered at a time.
 *
 * Locks: `proc_lock` and `p.lock` for posting, `p.lock` for the rest. Who posts flushes the kicks.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LW_PENDSIG,
  LW_SINTR,
  LW_WCORE,
  NPRI_USER,
  PK_SYSTEM,
  PS_STOPPING,
  SACTIVE,
  SSTOP,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import {
  SA_RESETHAND,
  SA_RESTART,
  SF_CODE,
  SF_HANDLER,
  SF_LID,
  SF_MASK,
  SF_PID,
  SF_UID,
  SIG_DFL,
  SIG_IGN,
  SIGACT_FLAGS,
  SIGACT_HANDLER,
  SIGACT_MASK,
  SIGCONT,
  type Siginfo,
  SIGKILL,
  SIGPROP,
  SP_CANTMASK,
  SP_CONT,
  SP_CORE,
  SP_IGNORE,
  SP_KILL,
  SP_NORESET,
  SP_STOP,
  SP_TOALL,
} from "../sys/signal.js";
import { AT_SIGNAL_QUEUED, delayPoint } from "./delay.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { lwpFind, procFirstLwp, siblingNext } from "./lwpref.js";
import { lwpContinue } from "./lwpsuspend.js";
import { kassert } from "./panic.js";
import { fire, PROBE_SIGNAL_HANDLE, PROBE_SIGNAL_SEND } from "./probe.js";
import { procEndBy } from "./prockill.js";
import { procActivate, procIsStopping, procStop } from "./procstop.js";
import { flushKicks, lwpNeedUserret } from "./resched.js";
import {
  firstsig,
  sigactsOf,
  sigaddset,
  sigdelset,
  sigforeign,
  sighandler,
  sigismember,
  sigispending,
  sigset,
  STOP_SIGNALS,
} from "./sigpending.js";
import { sigclear, sigget, siginfo, sigput } from "./sigqueue.js";
import { sigunwait } from "./sigwait.js";
import { spinEnter, spinExit, spinOwned, spinTryenter } from "./spin.js";
import { setStat } from "./state.js";
import { lwpChangepri, setrunnable } from "./synch.js";

const CONT_SET = sigset(SIGCONT);

// --- posting -----------------------------------------------------------------------------------

/** Posts a signal to a process, or to the LWP that `info.lid` names (PRC-70). No lock is held. */
export function psignal(p: Proc, info: Siginfo): void {
  const { k } = p;
  spinEnter(k, k.g.procLock);
  spinEnter(k, p.lock);
  kpsignal(p, info);
  spinExit(k, p.lock);
  spinExit(k, k.g.procLock);
  flushKicks(k);
}

/** The same with both locks held. */
export function kpsignal(p: Proc, info: Siginfo): void {
  const { k } = p;
  const sig = info.signo;
  const prop = SIGPROP[sig];
  kassert(k, spinOwned(k, k.g.procLock) && spinOwned(k, p.lock), "kpsignal: not locked");
  if ((p.stat !== SACTIVE && p.stat !== SSTOP) || (p.flag & PK_SYSTEM) !== 0) return;
  if (sigismember(k, p.sigignore, sig)) return;
  const byDefault = !sigismember(k, p.sigcatch, sig);
  const lid = (prop & SP_TOALL) === 0 ? info.lid : 0;
  if (byDefault && (prop & SP_KILL) !== 0 && p.nice > 20) p.nice = 20;
  if ((prop & SP_CONT) !== 0) sigclear(p, STOP_SIGNALS);
  if ((prop & SP_STOP) !== 0) sigclear(p, CONT_SET);

  const active = p.stat === SACTIVE && (p.sflag & PS_STOPPING) === 0;
  if ((prop & SP_CANTMASK) === 0 && active && sigunwait(p, info)) return;
  if (lid !== 0) return post1(p, lid, info, byDefault);
  const goOn = (prop & SP_CONT) !== 0 && byDefault;
  if (active) {
    if (goOn) return;
  } else if ((prop & SP_CONT) !== 0 || sig === SIGKILL) {
    procActivate(p);
  } else if ((prop & SP_STOP) !== 0) {
    return;
  }
  if (!goOn && !sigput(p, info)) return;
  delayPoint(k, AT_SIGNAL_QUEUED);
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    if (sigpost(l, byDefault, prop, sig) && (prop & SP_TOALL) === 0) return;
  }
}

/** To that LWP alone; dropped if it is gone. */
function post1(p: Proc, lid: number, info: Siginfo, byDefault: boolean): void {
  const l = lwpFind(p, lid);
  if (l === null || !sigput(l, info)) return;
  delayPoint(p.k, AT_SIGNAL_QUEUED);
  sigpost(l, byDefault, SIGPROP[info.signo], info.signo);
}

/** Tells an LWP to look for signals; whether it will take this one soon (PRC-72). `p.lock` is held. */
export function sigpost(l: Lwp, byDefault: boolean, prop: number, sig: number): boolean {
  const { k } = l;
  const p = l.proc;
  kassert(k, spinOwned(k, p.lock), "sigpost: the process is not locked");
  if (l.refcnt === 0) return false;
  fire(k, PROBE_SIGNAL_SEND, p.pid, l.lid, sig);
  lwpLock(l);
  l.flag |= LW_PENDSIG;
  const continues = (prop & SP_CONT) !== 0 && l.stat === LSSTOP;
  if ((sigismember(k, l.sigmask, sig) || sigforeign(l, sig)) && !continues) {
    lwpUnlock(l);
    return false;
  }
  // It is to die soon.
  if (byDefault && (prop & SP_KILL) !== 0 && l.priority < NPRI_USER - 1) lwpChangepri(l, NPRI_USER - 1);
  switch (l.stat) {
    case LSRUN:
    case LSONPROC:
      lwpNeedUserret(l);
      lwpUnlock(l);
      return true;
    case LSSLEEP:
      return wake(l, (l.flag & LW_SINTR) !== 0);
    case LSSUSPENDED: {
      const dies = (prop & SP_KILL) !== 0 && (l.flag & LW_WCORE) !== 0;
      if (dies) lwpContinue(l);
      else lwpUnlock(l);
      return dies;
    }
    case LSSTOP:
      if (continues && l.wchan !== 0) {
        // Where it was stopped it sleeps on, and is not woken.
        setStat(l, LSSLEEP);
        p.nrlwps++;
        lwpUnlock(l);
        return true;
      }
      return wake(l, (prop & SP_STOP) === 0 && (l.wchan === 0 || (l.flag & LW_SINTR) !== 0));
    default:
      lwpUnlock(l);
      return false;
  }
}

/** Makes a locked LWP runnable, or not; unlocks it. */
function wake(l: Lwp, yes: boolean): boolean {
  if (yes) setrunnable(l);
  else lwpUnlock(l);
  return yes;
}

// --- taking ------------------------------------------------------------------------------------

/**
 * The signal that the caller has to deliver next, still pending; 0 = none, or a stop has begun, for which it goes to
 * `sigswitch` before it reaches user mode. `p.lock` is held, and may be let go for a moment (PRC-75).
 *
 * Differs from the original: who gets here from a sleep does not stop in the middle of it. The sleep ends with 0, and it stops
 * at its user return or, if it goes to sleep again before that, where it sleeps (PRC-93).
 */
export function issignal(l: Lwp): number {
  const { k } = l;
  const p = l.proc;
  const { procLock } = k.g;
  kassert(k, l === cur.lwp && spinOwned(k, p.lock), "issignal: not the caller, or not locked");
  let sig = 0;
  while (!procIsStopping(p)) {
    sig = firstsig(l);
    if (sig === 0) break;
    const prop = SIGPROP[sig];
    const handler = sighandler(p, sig);
    fire(k, PROBE_SIGNAL_HANDLE, p.pid, l.lid, sig, 0, handler);
    if (handler !== SIG_DFL && handler !== SIG_IGN) break;
    if (handler === SIG_IGN || (prop & (SP_STOP | SP_IGNORE)) !== 0) {
      // `proc_lock` comes first in the order of locks; what was seen is looked at anew if `p.lock` was dropped for it.
      if ((prop & SP_STOP) !== 0 && !spinOwned(k, procLock)) {
        if (spinTryenter(k, procLock)) continue;
        spinExit(k, p.lock);
        spinEnter(k, procLock);
        spinEnter(k, p.lock);
        continue;
      }
      const gone = siginfo(sig);
      if (!sigget(l, sig, gone)) sigget(p, sig, gone);
      if ((prop & SP_STOP) !== 0) procStop(p, sig);
      continue;
    }
    break;
  }
  if (spinOwned(k, procLock)) spinExit(k, procLock);
  return procIsStopping(p) ? 0 : sig;
}

/** Whether a call that this signal has interrupted is executed again. `p.lock` may not be needed: one word is read. */
export function sigrestart(l: Lwp, sig: number): boolean {
  const p = l.proc;
  return p.sigacts === 0 || ((l.w[sigactsOf(p) + SIGACT_FLAGS + sig] ^ SA_RESTART) & SA_RESTART) !== 0;
}

// --- delivering --------------------------------------------------------------------------------

/** Takes signal `sig`, as `issignal` said, and acts on it (PRC-77). `p.lock` is held. */
export function postsig(l: Lwp, sig: number): void {
  const { k } = l;
  const p = l.proc;
  kassert(k, l === cur.lwp && spinOwned(k, p.lock), "postsig: not the caller, or not locked");
  const info = siginfo(sig);
  if (!sigget(l, sig, info)) sigget(p, sig, info);
  const handler = sighandler(p, sig);
  if (handler === SIG_DFL) sigexit(l, sig);
  else enter(k, l, p, handler, info);
}

/** What the handler is entered with, and under which mask it runs. */
function enter(k: Kernel, l: Lwp, p: Proc, handler: number, info: Siginfo): void {
  const { w } = k;
  const { signo } = info;
  const frame = l.sigframe;
  w[frame + SF_HANDLER] = handler;
  w[frame + SF_CODE] = info.code;
  w[frame + SF_PID] = info.pid;
  w[frame + SF_UID] = info.uid;
  w[frame + SF_LID] = info.lid;
  const acts = sigactsOf(p);
  const restored = l.sigrestore !== 0 ? l.sigoldmask : l.sigmask;
  for (let i = 0; i < 2; i++) {
    w[frame + SF_MASK + i] = w[restored + i];
    w[l.sigmask + i] |= w[acts + SIGACT_MASK + 2 * signo + i];
  }
  l.sigrestore = 0;
  l.nsignals++;
  l.sigcaught = signo;
  const flags = w[acts + SIGACT_FLAGS + signo] ^ SA_RESTART;
  if ((flags & SA_RESETHAND) === 0 || (SIGPROP[signo] & SP_NORESET) !== 0) return;
  w[acts + SIGACT_HANDLER + signo] = SIG_DFL;
  sigdelset(k, p.sigcatch, signo);
  sigdelset(k, p.siglocal, signo);
  if ((SIGPROP[signo] & SP_IGNORE) !== 0 && signo !== SIGCONT) sigaddset(k, p.sigignore, signo);
}

/**
 * Ends the process by a signal (PRC-60): every LWP is told to exit, and the first to come there ends the process. There are no
 * dumps of its memory, so a signal that asks for one ends it like others.
 */
export function sigexit(l: Lwp, sig: number): void {
  kassert(l.k, (SIGPROP[sig] & (SP_KILL | SP_CORE)) !== 0, "sigexit: not a signal that ends a process");
  procEndBy(l.proc, sig);
}

/** The handler has returned: back to the mask before it, by its two words. `p.lock` is not held. */
export function sigreturn(l: Lwp, mask0: number, mask1: number): void {
  const { k, w } = l;
  const { lock } = l.proc;
  spinEnter(k, lock);
  w[l.sigmask] = mask0;
  w[l.sigmask + 1] = mask1;
  sigcheck(l);
  spinExit(k, lock);
}

/** The caller's mask, or an action, has changed: it looks if there is something to take now. `p.lock` is held. */
export function sigcheck(l: Lwp): void {
  kassert(l.k, spinOwned(l.k, l.proc.lock), "sigcheck: the process is not locked");
  if (!sigispending(l)) return;
  lwpLock(l);
  l.flag |= LW_PENDSIG;
  lwpUnlock(l);
}
