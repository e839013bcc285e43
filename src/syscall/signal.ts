/**
 * The system calls of signals (SYS-21, SYS-51, PRC-79..90). `Signals` of the library is made of the same parts.
 *
 * A signal is a number from 1 to 63 here, and a set of them an array.
 */
import {
  EAGAIN,
  ECANCELED,
  EFAULT,
  EINTR,
  EINVAL,
  EPERM,
  ERESTART,
  ESRCH,
  EWOULDBLOCK,
} from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { SDEAD, SDYING, SIDL, SZOMB } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import {
  NSIG,
  SA_ALLBITS,
  SA_RESTART,
  SI_LWP,
  SI_USER,
  SIG_BLOCK,
  SIG_DFL,
  SIG_ENTRY,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
  type Siginfo,
  SIGPROP,
  SP_CANTMASK,
} from "../sys/signal.js";
import {
  handlerOf,
  keepHandler,
  type SignalHandler,
  type SignalInfo,
  signalInfo,
} from "../context/handler.js";
import { alarmSet } from "../kern/alarm.js";
import { kpauseSig } from "../kern/kpause.js";
import { lwpFind } from "../kern/lwpref.js";
import { procFind } from "../kern/pid.js";
import { flushKicks } from "../kern/resched.js";
import {
  sigaction1,
  sigactionGet,
  sigmaskOf,
  sigpending1,
  sigprocmask1,
  sigsuspendSetup,
  sigsuspendTeardown,
} from "../kern/sigaction.js";
import { kpsignal } from "../kern/signal.js";
import { type Sigset, sigset } from "../kern/sigpending.js";
import { siginfo } from "../kern/sigqueue.js";
import { sigwaitBlock, sigwaitEnd, sigwaitTake } from "../kern/sigwait.js";
import { BLOCK_SWITCHED, sleepqUnblock } from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { lidArg, type Timespec, wordArg } from "./args.js";
import { fail, type Operation, operate, quick } from "./operation.js";
import { timerTicks } from "./time.js";

export { type SignalHandler, type SignalInfo };

/** What a process does about a signal. */
export interface Action {
  /** SIG_DFL, SIG_IGN, or a function; null, as an old one, for a closure that another CPU has. */
  readonly handler: SignalHandler | typeof SIG_DFL | typeof SIG_IGN | null;
  /** SA_*; SA_RESTART unless said. */
  readonly flags?: number;
  /** What is masked besides while the handler runs. */
  readonly mask?: readonly number[];
}

// --- arguments ---------------------------------------------------------------------------------

/** A signal from `first` to 63. Throws EFAULT, EINVAL. */
function signalArg(value: unknown, first: number, syscall: string): number {
  const sig = wordArg(value, syscall, "the signal");
  if (sig === value && sig >= first && sig < NSIG) return sig;
  return fail(EINVAL, syscall, undefined, `a signal is an integer ${first}..${NSIG - 1}`);
}

function setArg(value: unknown, syscall: string): Sigset {
  if (!Array.isArray(value)) fail(EFAULT, syscall, undefined, "a set is an array of signals");
  return sigset(...value.map((sig) => signalArg(sig, 1, syscall)));
}

/** The signals of a set, lowest first. */
export function signalsOf(set: Sigset): number[] {
  const list: number[] = [];
  for (let sig = 1; sig < NSIG; sig++)
    if ((set[(sig - 1) >> 5] & (1 << ((sig - 1) & 31))) !== 0) list.push(sig);
  return list;
}

// --- sending -----------------------------------------------------------------------------------

/**
 * Sends a signal to an LWP of the process; one that acts on the whole process (SIGKILL, SIGSTOP, SIGTSTP, SIGCONT, SIGTTIN,
 * SIGTTOU) does so. 0 = only look whether it is there.
 *
 * Errors: EFAULT not a number; EINVAL not 0..63; ESRCH. Does not sleep. Source: _lwp_kill(2).
 */
export function lwpKill(lid: number, sig: number): Operation<void> {
  return quick("lwpKill", (l) => {
    const id = lidArg(lid, "lwpKill");
    const error = killLwp(l, id, signalArg(sig, 0, "lwpKill"));
    if (error !== 0) fail(error, "lwpKill", id);
  });
}

/** The same as a function, for the library: 0, ESRCH. */
export function killLwp(l: Lwp, lid: number, sig: number): number {
  const { k } = l;
  const p = l.proc;
  const { procLock } = k.g;
  spinEnter(k, procLock);
  spinEnter(k, p.lock);
  const found = lwpFind(p, lid) !== null;
  if (found && sig !== 0) kpsignal(p, siginfo(sig, SI_LWP, p.pid, effectiveUid(l), lid));
  spinExit(k, p.lock);
  spinExit(k, procLock);
  flushKicks(k);
  return found ? 0 : ESRCH;
}

function effectiveUid(l: Lwp): number {
  return l.cred === null ? l.uid : l.cred.euid;
}

/**
 * Sends a signal to a process, of which any thread that can takes it: one of the same user, 0 = the caller's. Signal 0 = only
 * look. There are no process groups.
 *
 * Errors: EFAULT; EINVAL not 0..63; ESRCH; EPERM another user's. Does not sleep. Source: kill(2).
 */
export function kill(pid: number, sig: number): Operation<void> {
  return quick("kill", (l) => {
    const error = killProc(l, wordArg(pid, "kill", "the process"), signalArg(sig, 0, "kill"));
    if (error !== 0) fail(error, "kill");
  });
}

/** The same as a function: 0, ESRCH, EPERM. */
export function killProc(l: Lwp, pid: number, sig: number): number {
  const { k } = l;
  const { procLock } = k.g;
  spinEnter(k, procLock);
  const p = pid === 0 ? l.proc : procFind(k, pid);
  let error = p === null ? ESRCH : 0;
  if (p !== null) {
    spinEnter(k, p.lock);
    if (!isZombieLike(p)) {
      if (!maySignal(l, p)) error = EPERM;
      else if (sig !== 0) kpsignal(p, siginfo(sig, SI_USER, l.proc.pid, effectiveUid(l)));
    }
    spinExit(k, p.lock);
  }
  spinExit(k, procLock);
  flushKicks(k);
  return error;
}

function isZombieLike({ stat }: Proc): boolean {
  return stat === SIDL || stat === SDYING || stat === SZOMB || stat === SDEAD;
}

function maySignal(l: Lwp, p: Proc): boolean {
  return p === l.proc || effectiveUid(l) === 0 || l.uid === p.uid;
}

/**
 * Has SIGALRM sent to the process after that many seconds, 0 = never; returns the seconds, rounded up, that were left of the
 * alarm before. A process has one.
 *
 * Errors: EFAULT; EINVAL not a number from 0. Does not sleep. Source: alarm(3).
 */
export function alarm(seconds: number): Operation<number> {
  return quick("alarm", (l) => {
    if (typeof seconds !== "number")
      fail(EFAULT, "alarm", undefined, `the seconds must be a number, not ${typeof seconds}`);
    const ticks = timerTicks(l.k, Math.floor(seconds), Math.floor((seconds % 1) * 1e9));
    if (ticks < 0) fail(-ticks, "alarm", undefined, "the seconds must be a number from 0");
    const left = alarmSet(l.proc, ticks);
    // The tick by which a time is longer than asked for is none of what is left.
    return left === 0 ? 0 : Math.max(1, Math.ceil((left - 1) / l.k.hz));
  });
}

// --- actions -----------------------------------------------------------------------------------

/**
 * Sets what the process does about a signal, if `action` is given; returns what it did before. A handler runs on the thread
 * that takes the signal, at its return to user mode. A top-level generator function of the program can do so on any CPU; any
 * other function stays on the caller's, and threads of other CPUs leave the signal pending.
 *
 * Errors: EFAULT; EINVAL not 1..63, SIGKILL or SIGSTOP, or unknown flags. Does not sleep. Source: sigaction(2).
 */
export function sigaction(sig: number, action?: Action): Operation<Action> {
  return quick("sigaction", (l) => setAction(l, signalArg(sig, 1, "sigaction"), action, "sigaction"));
}

/** The same as a function, for the library. Throws EFAULT, EINVAL. */
export function setAction(l: Lwp, sig: number, action: Action | undefined, syscall: string): Action {
  const p = l.proc;
  let mask: Sigset = [0, 0];
  if (action !== undefined) {
    const { handler, flags = SA_RESTART } = action;
    if (typeof handler !== "function" && handler !== SIG_DFL && handler !== SIG_IGN)
      fail(EFAULT, syscall, undefined, "a handler is a function, SIG_DFL or SIG_IGN");
    if ((SIGPROP[sig] & SP_CANTMASK) !== 0)
      fail(EINVAL, syscall, undefined, "nothing can be done about SIGKILL and SIGSTOP");
    if ((flags & ~SA_ALLBITS) !== 0) fail(EINVAL, syscall, undefined, "unknown flags");
    mask = setArg(action.mask ?? [], syscall);
  }
  spinEnter(l.k, p.lock);
  const before = sigactionGet(p, sig);
  const handler = handlerBefore(l, sig, before.handler);
  if (action !== undefined) {
    const flags = action.flags ?? SA_RESTART;
    sigaction1(l, sig, { handler: handlerWord(l, sig, action.handler), flags, mask });
  }
  spinExit(l.k, p.lock);
  return { handler, flags: before.flags, mask: signalsOf(before.mask) };
}

function handlerBefore(l: Lwp, sig: number, handler: number): Action["handler"] {
  if (handler === SIG_DFL || handler === SIG_IGN) return handler;
  const here = handler >= SIG_ENTRY || -handler === realmOf(l);
  return (here ? handlerOf(l, sig, handler) : undefined) ?? null;
}

function realmOf(l: Lwp): number {
  return l.k.mp ? l.cpu.realm : 1;
}

/** How a handler stands in the action. */
function handlerWord(l: Lwp, sig: number, handler: Action["handler"]): number {
  if (typeof handler !== "function") return handler as number;
  const entry = l.k.slots.entryOf(l, handler);
  if (entry >= 0) return SIG_ENTRY + entry;
  keepHandler(l, sig, handler);
  return -realmOf(l);
}

// --- masks -------------------------------------------------------------------------------------

/**
 * Changes the signals that the calling LWP masks, if a set is given: SIG_BLOCK adds them, SIG_UNBLOCK takes them away,
 * SIG_SETMASK puts them in place of all. Returns the mask before. SIGKILL and SIGSTOP cannot be masked.
 *
 * Errors: EFAULT; EINVAL no such way, or no signals. Does not sleep. Source: sigprocmask(2), pthread_sigmask(3).
 */
export function sigprocmask(how: number, set?: readonly number[]): Operation<number[]> {
  return quick("sigprocmask", (l) => {
    const wrong = how !== SIG_BLOCK && how !== SIG_UNBLOCK && how !== SIG_SETMASK;
    if (set !== undefined && wrong) fail(EINVAL, "sigprocmask", l.lid, `there is no way ${String(how)}`);
    return changeMask(l, how, set, "sigprocmask");
  });
}

/** The same as a function, for the library. */
export function changeMask(
  l: Lwp,
  how: number,
  set: readonly number[] | undefined,
  syscall: string,
): number[] {
  const bits = set === undefined ? null : setArg(set, syscall);
  const { lock } = l.proc;
  spinEnter(l.k, lock);
  const before = sigmaskOf(l);
  if (bits !== null) sigprocmask1(l, how, bits);
  spinExit(l.k, lock);
  return signalsOf(before);
}

/** Signals that are pending for the calling LWP or its process, masked or not. Cannot fail. Source: sigpending(2). */
export function sigpending(): Operation<number[]> {
  return quick("sigpending", pendingOf);
}

/** The same as a function, for the library. */
export function pendingOf(l: Lwp): number[] {
  const { lock } = l.proc;
  spinEnter(l.k, lock);
  const set = sigpending1(l);
  spinExit(l.k, lock);
  return signalsOf(set);
}

// --- waiting -----------------------------------------------------------------------------------

/**
 * Waits, with `mask` in place of the LWP's own, until a handler has run; the mask then is as before. May sleep.
 *
 * Errors: EFAULT, EINVAL the mask; EINTR always, also by `lwpWakeup`, after which the mask is as before, too. Source:
 * sigsuspend(2).
 */
export function sigsuspend(mask: readonly number[]): Operation<never> {
  return operate("sigsuspend", function* (l) {
    const { k } = l;
    const { lock } = l.proc;
    const set = setArg(mask, "sigsuspend");
    spinEnter(k, lock);
    sigsuspendSetup(l, set);
    spinExit(k, lock);
    // Stopped or suspended meanwhile, it sleeps again.
    while ((yield* kpauseSig(l, "pause", 0)) === 0);
    spinEnter(k, lock);
    sigsuspendTeardown(l);
    spinExit(k, lock);
    return fail(EINTR, "sigsuspend", l.lid);
  });
}

/**
 * Takes a signal of the set that is pending, or waits for one, which then is never delivered otherwise; mask the set before.
 * `timeout` is relative, null = for ever. May sleep.
 *
 * Errors: EFAULT; EINVAL a malformed time, or no signals; EAGAIN the time is over; ECANCELED another signal, whose action
 * does not restart calls, or `lwpWakeup`. Source: sigtimedwait(2).
 */
export function sigtimedwait(set: readonly number[], timeout: Timespec | null = null): Operation<SignalInfo> {
  // Executed again, the call goes on with what is left of the time.
  let due: number | null = null;
  return operate("sigtimedwait", function* (l) {
    const { k } = l;
    if (timeout !== null && due === null) {
      const ticks = timerTicks(k, timeout.sec, timeout.nsec);
      if (ticks < 0) fail(-ticks, "sigtimedwait", l.lid, "a malformed time");
      due = (k.g.ticks + ticks) | 0;
    }
    const wanted = setArg(set, "sigtimedwait");
    const out: Siginfo = siginfo(0);
    spinEnter(k, l.proc.lock);
    if (sigwaitTake(l, wanted, out)) {
      spinExit(k, l.proc.lock);
      return signalInfo(out);
    }
    const left = due === null ? 0 : (due - k.g.ticks) | 0;
    if (due !== null && left <= 0) {
      spinExit(k, l.proc.lock);
      fail(EAGAIN, "sigtimedwait", l.lid, "no signal came");
    }
    const how = sigwaitBlock(l, wanted, left);
    if (how === BLOCK_SWITCHED) yield;
    const error = sleepqUnblock(l, how, left, true);
    if (sigwaitEnd(l, out)) return signalInfo(out);
    if (error === EWOULDBLOCK) fail(EAGAIN, "sigtimedwait", l.lid, "no signal came");
    return fail(error === EINTR ? ECANCELED : ERESTART, "sigtimedwait", l.lid);
  });
}
