/**
 * Signals for threads (THR-59, THR-60): handlers, masks, waiting; sending to one thread is `Thread.kill`.
 *
 * A handler runs on the thread that takes the signal, at its return to user mode: between two operations, in the middle of one
 * that waits, or at a poll. It may use operations itself. What the thread was waiting for it goes on waiting for, unless the
 * handler throws: then the operation that was interrupted does.
 */
import { ECANCELED, EINTR, EINVAL } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { packText } from "../sys/record.js";
import {
  NSIG,
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SIG_BLOCK,
  SIG_DFL,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
  SIGNAL_NAMES,
  SIGRTMIN,
} from "../sys/signal.js";
import { type SignalHandler, type SignalInfo, signalInfo, signalName } from "../context/handler.js";
import { alarmSet } from "../kern/alarm.js";
import { hostBlock } from "../kern/hostwait.js";
import { sigmaskOf, sigsuspendSetup, sigsuspendTeardown } from "../kern/sigaction.js";
import { type Sigset, sigset } from "../kern/sigpending.js";
import { siginfo } from "../kern/sigqueue.js";
import { sigwaitBlock, sigwaitEnd, sigwaitTake } from "../kern/sigwait.js";
import { sleepqUnblock } from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import {
  type Action,
  changeMask,
  killLwp,
  killProc,
  pendingOf,
  setAction,
  signalsOf,
} from "../syscall/signal.js";
import { caller, fail, type Operation, quick } from "../syscall/operation.js";
import { isCancelled } from "./cancel.js";
import { BLOCK_RETRY, BlockingOperation, ticksOf, type WaitOptions } from "./wait.js";

/** A signal by its name; those from 33 on are "SIGRTMIN", "SIGRTMIN+1", … "SIGRTMIN+30". */
export type SignalName = Exclude<(typeof SIGNAL_NAMES)[number], ""> | "SIGRTMIN" | `SIGRTMIN+${number}`;

/** A signal: its name, or its number as NetBSD has it, 1..63. */
export type Signal = SignalName | number;

/** What a process does about a signal: runs a function, its default, or nothing. */
export type Disposition = SignalHandler | "default" | "ignore";

/** How a handler runs. */
export interface HandlerOptions {
  /** Signals that the thread masks meanwhile, besides this one. */
  readonly mask?: readonly Signal[];
  /** Whether system calls that it interrupts are made again; true unless said. Waits of the library go on in any case. */
  readonly restart?: boolean;
  /** The default action comes back when it is entered. */
  readonly once?: boolean;
  /** This signal is not masked while it runs. */
  readonly nested?: boolean;
}

/** Number of a signal, from `first` on. Throws EINVAL. */
export function signalNumber(signal: Signal, syscall: string, first = 1): number {
  let sig: unknown = signal;
  if (typeof signal === "string") {
    const more = /^SIGRTMIN(?:\+(\d+))?$/.exec(signal);
    sig = more === null ? SIGNAL_NAMES.indexOf(signal as "SIGHUP") : SIGRTMIN + Number(more[1] ?? 0);
    if (sig === 0) sig = -1;
  }
  if (Number.isInteger(sig) && (sig as number) >= first && (sig as number) < NSIG) return sig as number;
  return fail(EINVAL, syscall, undefined, `there is no signal ${String(signal)}`);
}

function numbers(signals: readonly Signal[], syscall: string): number[] {
  if (!Array.isArray(signals)) fail(EINVAL, syscall, undefined, "the signals must be an array");
  return signals.map((signal) => signalNumber(signal, syscall));
}

const names = (signals: readonly number[]): SignalName[] =>
  signals.map((sig) => signalName(sig) as SignalName);

/** Signals of the calling thread and its process. */
export class Signals {
  private constructor() {}

  // --- what is done about them -------------------------------------------------------------------

  /**
   * Says what the process does about a signal from now on; returns what it did before, or null if that is a closure of another
   * CPU. A top-level generator function of the program may run on any CPU; any other function stays on the caller's, and
   * threads of other CPUs leave the signal pending, as if they masked it.
   *
   * Errors: EINVAL no such signal, SIGKILL or SIGSTOP, or no such disposition. Does not sleep. Source: sigaction(2).
   */
  static handle(
    signal: Signal,
    what: Disposition,
    options: HandlerOptions = {},
  ): Operation<Disposition | null> {
    return quick("Signals.handle", (l) => {
      const sig = signalNumber(signal, "Signals.handle");
      const handler = what === "default" ? SIG_DFL : what === "ignore" ? SIG_IGN : what;
      if (typeof what !== "function" && what !== "default" && what !== "ignore")
        fail(EINVAL, "Signals.handle", l.lid, 'a disposition is a function, "default" or "ignore"');
      const flags =
        (options.restart === false ? 0 : SA_RESTART) |
        (options.once === true ? SA_RESETHAND : 0) |
        (options.nested === true ? SA_NODEFER : 0);
      const mask = numbers(options.mask ?? [], "Signals.handle");
      return dispositionOf(setAction(l, sig, { handler, flags, mask }, "Signals.handle"));
    });
  }

  // --- sending -----------------------------------------------------------------------------------

  /**
   * Sends a signal to the caller's process: any one thread that does not mask it takes it. Errors: EINVAL no such signal. Does
   * not sleep. Source: kill(2).
   */
  static kill(signal: Signal): Operation<void> {
    return quick("Signals.kill", (l) => {
      killProc(l, 0, signalNumber(signal, "Signals.kill"));
    });
  }

  /** Sends a signal to the caller. Errors: EINVAL no such signal. Does not sleep. Source: raise(3). */
  static raise(signal: Signal): Operation<void> {
    return quick("Signals.raise", (l) => {
      killLwp(l, l.lid, signalNumber(signal, "Signals.raise"));
    });
  }

  /**
   * Has SIGALRM sent to the process after that many milliseconds, 0 = never; returns those that were left of the alarm before.
   * Errors: EINVAL not a number from 0. Does not sleep. Source: alarm(3).
   */
  static alarm(milliseconds: number): Operation<number> {
    return quick("Signals.alarm", (l) => {
      if (!(milliseconds >= 0)) fail(EINVAL, "Signals.alarm", l.lid, "the time must be milliseconds from 0");
      const left = alarmSet(l.proc, milliseconds === 0 ? 0 : ticksOf(l.k, milliseconds));
      return (left * 1000) / l.k.hz;
    });
  }

  // --- masks -------------------------------------------------------------------------------------

  /**
   * The caller masks these signals, too; returns those that it masked before. A new thread masks what its spawner does.
   * Errors: EINVAL no such signal. Does not sleep. Source: pthread_sigmask(3).
   */
  static block(...signals: Signal[]): Operation<SignalName[]> {
    return mask("Signals.block", SIG_BLOCK, signals);
  }

  /** The caller masks these no more; one that is pending is taken at once. As `block`. Errors: EINVAL. */
  static unblock(...signals: Signal[]): Operation<SignalName[]> {
    return mask("Signals.unblock", SIG_UNBLOCK, signals);
  }

  /** The caller masks these, and no others. As `block`. Errors: EINVAL. */
  static setMask(signals: readonly Signal[]): Operation<SignalName[]> {
    return mask("Signals.setMask", SIG_SETMASK, signals);
  }

  /** What the caller masks. A plain call. */
  static get mask(): SignalName[] {
    return names(signalsOf(sigmaskOf(caller("Signals.mask"))));
  }

  /** What is pending for the caller or its process. A plain call. Source: sigpending(2). */
  static get pending(): SignalName[] {
    return names(pendingOf(caller("Signals.pending")));
  }

  // --- waiting -----------------------------------------------------------------------------------

  /**
   * Takes one of these signals that is pending, or waits for one; no handler runs for it. Mask them before, in all threads. May
   * sleep. Of several that wait the latest gets it.
   *
   * Errors: EINVAL no such signal; ECANCELED a handler that does not restart has run, or `lwpWakeup`; those of waiting.
   * Source: sigwait(2), sigtimedwait(2).
   */
  static wait(signals: readonly Signal[], options?: WaitOptions): Operation<SignalInfo> {
    return new SigwaitOperation(signals, options);
  }

  /**
   * Waits until the caller has run a handler, and masks these signals meanwhile, instead of those it masked before; left out,
   * the mask stays as it is. May sleep.
   *
   * Errors: EINVAL no such signal; those of waiting. Source: sigsuspend(2), pause(3).
   */
  static suspend(signals?: readonly Signal[], options?: WaitOptions): Operation<void> {
    return new SigsuspendOperation(signals, options);
  }
}

function mask(call: string, how: number, signals: readonly Signal[]): Operation<SignalName[]> {
  return quick(call, (l) => names(changeMask(l, how, numbers(signals, call), call)));
}

function dispositionOf({ handler }: Action): Disposition | null {
  return handler === SIG_DFL ? "default" : handler === SIG_IGN ? "ignore" : handler;
}

class SigwaitOperation extends BlockingOperation<SignalInfo> {
  readonly #signals: readonly Signal[];
  #set: Sigset | null = null;
  readonly #info = siginfo(0);
  #got = false;
  #interrupted = false;

  constructor(signals: readonly Signal[], options: WaitOptions | undefined) {
    super("Signals.wait", options);
    this.#signals = signals;
  }

  protected attempt(l: Lwp): boolean {
    this.#set ??= sigset(...numbers(this.#signals, this.syscall));
    if (!this.#got) {
      spinEnter(l.k, l.proc.lock);
      this.#take(l);
      spinExit(l.k, l.proc.lock);
    }
    if (this.#got) this.result = signalInfo(this.#info);
    else if (this.#interrupted && !isCancelled(l)) fail(ECANCELED, this.syscall, l.lid, "interrupted");
    this.#interrupted = false;
    return this.#got;
  }

  #take(l: Lwp): void {
    this.#got = sigwaitTake(l, this.#set as Sigset, this.#info);
  }

  protected block(l: Lwp, ticks: number): number {
    const { k } = l;
    spinEnter(k, l.proc.lock);
    this.#take(l);
    if (!this.#got) return sigwaitBlock(l, this.#set as Sigset, ticks);
    spinExit(k, l.proc.lock);
    return BLOCK_RETRY;
  }

  protected override unblock(l: Lwp, how: number, ticks: number): void {
    this.#interrupted = sleepqUnblock(l, how, ticks, true) === EINTR;
    this.#got = sigwaitEnd(l, this.#info);
  }

  protected override abandon(): boolean {
    if (this.#got) this.result = signalInfo(this.#info);
    return this.#got;
  }
}

const PAUSE = packText("pause");

class SigsuspendOperation extends BlockingOperation<void> {
  readonly #signals: readonly Signal[] | undefined;
  #begun = false;
  /** Handlers that the thread had entered before. */
  #entered = 0;

  constructor(signals: readonly Signal[] | undefined, options: WaitOptions | undefined) {
    super("Signals.suspend", options);
    this.#signals = signals;
  }

  protected attempt(l: Lwp): boolean {
    if (this.#begun) return l.nsignals !== this.#entered;
    const signals = this.#signals === undefined ? null : numbers(this.#signals, this.syscall);
    this.#begun = true;
    this.#entered = l.nsignals;
    if (signals !== null) {
      spinEnter(l.k, l.proc.lock);
      sigsuspendSetup(l, sigset(...signals));
      spinExit(l.k, l.proc.lock);
    }
    return false;
  }

  protected block(l: Lwp, ticks: number): number {
    return hostBlock(l, PAUSE, ticks);
  }

  protected override abandon(l: Lwp): boolean {
    spinEnter(l.k, l.proc.lock);
    sigsuspendTeardown(l);
    spinExit(l.k, l.proc.lock);
    return false;
  }
}
