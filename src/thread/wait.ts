/**
 * How the operations of the library wait: at most for a time, until an AbortSignal says so, until the thread is cancelled.
 *
 * A wait, in steps: (1) the operation tries; what it finds it takes, and returns; (2) else it looks for a reason to give up:
 * it is cancelled, the signal has aborted, the time is over; (3) else it sleeps, interruptibly, on whatever queue; (4) woken
 * by anybody it returns to user mode, where suspension, signals and the exit of the process have their effect, and starts
 * again. So nobody has to say why he wakes a waiter: he changes what it tries for, or one of the reasons, and wakes it. What
 * was already given to a waiter that gives up counts as got: it never happens that both sides believe to have it.
 *
 * Invariants: between two sleeps, where the LWP may be gone for ever, the host holds nothing of the wait; an operation
 * without options allocates nothing but itself.
 */
import { ECANCELED, EINVAL, ETIMEDOUT, KernelAssertion, LwpError } from "../sys/errno.js";
import type { Cpu } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LW_USERRET } from "../sys/param.js";
import type { Token } from "../context/generator.js";
import { asCpu } from "../cpu/dispatcher.js";
import { endIdleWait } from "../cpu/loop.js";
import { AT_WAIT_TRIED, delayPoint } from "../kern/delay.js";
import { hostwaitAdd } from "../kern/hostwait.js";
import { lwpLock } from "../kern/lwplock.js";
import { BLOCK_SWITCHED, sleepqUnblock } from "../kern/sleepq.js";
import { lwpInterrupt } from "../kern/synch.js";
import {
  caller,
  fail,
  guardOperation,
  leave,
  type Operation,
  returnStep,
  usedTwice,
} from "../syscall/operation.js";
import { actOnCancel, isCancelled } from "./cancel.js";
import { threadHost } from "./host.js";
import { timeoutsOf } from "./timeoutsignal.js";

/** How long, and until what, a blocking operation waits. */
export interface WaitOptions {
  /**
   * Milliseconds, 0 or more; then ETIMEDOUT. 0 = do not wait. The clock ticks 100 times a second, and a wait never ends
   * early: it may last two ticks longer.
   */
  readonly timeout?: number;
  /** Ends the wait when it aborts, with its reason. */
  readonly signal?: AbortSignal;
}

/** `block` found that it need not sleep: try again. */
export const BLOCK_RETRY = -3;

/** A reason to give up that is no error number. */
const ABORTED = -1;

// Where an operation stands.
const NEW = 0;
const TRYING = 1;
const ASLEEP = 2;
/** On its way through user mode to the next try. */
const AGAIN = 3;
const RETURNING = 4;
/** The same with an exception. */
const FAILED = 5;

/**
 * An operation that may sleep. What it waits for, and on which queue, is said by four plain functions; `yield*` does the
 * rest. Of one operation each is called by one LWP only.
 *
 * Errors of all of them, beside their own: ETIMEDOUT; EINVAL the timeout is no number from 0; ECANCELED (`Cancelled`); the
 * reason of the signal.
 */
export abstract class BlockingOperation<T> implements Operation<T>, Iterator<Token, T, undefined> {
  // Four fields: of a constructor of more, V8 makes a call.

  /** Name of the call, for errors. */
  protected readonly syscall: string;
  /** What limits the wait, null if nothing does; while it is NEW, the options that say so. */
  private limits: Limits | WaitOptions | null | undefined;
  private phase = NEW;
  /** What it returns, or throws if it FAILED. */
  private outcome: unknown = undefined;

  constructor(syscall: string, options: WaitOptions | undefined) {
    this.syscall = syscall;
    this.limits = options;
  }

  /** Takes what is waited for, if it is there: true. What it returns is set by `result`. Throws the operation's errors. */
  protected abstract attempt(l: Lwp): boolean;

  /**
   * First half of the sleep, at most `ticks` (0 = for ever), interruptible: what `sleepqBlock` returns, or BLOCK_RETRY. It
   * must look again under the lock that covers what is waited for, and may throw only before it is queued.
   */
  protected abstract block(l: Lwp, ticks: number): number;

  /** Second half; who woke it, and why, does not matter. */
  protected unblock(l: Lwp, how: number, ticks: number): void {
    sleepqUnblock(l, how, ticks, true);
  }

  /** It gives up: leaves any queue. True: what it waited for came first, and is taken. */
  protected abandon(_l: Lwp): boolean {
    return false;
  }

  /**
   * Gives back what it has got, which nobody will hear of: the handler of a signal has thrown. Locks and permits have this; of
   * the others what was got is lost.
   */
  protected undo?(l: Lwp): void;

  /** Sets what the operation returns. */
  protected set result(value: T) {
    this.outcome = value;
  }

  [Symbol.iterator](): this {
    if (this.phase !== NEW) usedTwice(this.syscall);
    return this;
  }

  next(): IteratorResult<Token, T> {
    const l = caller(this.syscall);
    for (;;) {
      if (this.phase < AGAIN && this.advance(l)) return leave();
      const step = returnStep(l);
      if (step !== null) return step;
      if (this.phase >= RETURNING) break;
      this.phase = TRYING;
    }
    if (this.phase === FAILED) throw this.outcome;
    return this.outcome === undefined ? NOTHING : { done: true, value: this.outcome as T };
  }

  /** The handler of a signal has thrown, on a way through user mode: the operation ends with that. */
  throw(error: unknown): IteratorResult<Token, T> {
    const l = cur.lwp;
    if (this.undo === undefined) {
      if (this.phase === AGAIN) this.abandon(l);
    } else if (this.phase === AGAIN ? this.gotIt(l) : this.phase !== FAILED) {
      this.undo(l);
    }
    throw error;
  }

  /** Whether it was given what it waited for, or can have it now: so it leaves all queues in good order. */
  private gotIt(l: Lwp): boolean {
    try {
      return this.attempt(l);
    } catch (error) {
      if (error instanceof KernelAssertion) throw error;
      return false;
    }
  }

  /** From one return to user mode to the next, or to a switch: true = leave the context. */
  private advance(l: Lwp): boolean {
    try {
      if (this.phase === ASLEEP) this.wake(l, BLOCK_SWITCHED);
      else if (this.phase === NEW) {
        const options = this.limits as WaitOptions | undefined;
        this.limits = options === undefined ? null : limitsOf(l.k, options, this.syscall);
      }
      if (this.attempt(l)) {
        this.phase = RETURNING;
        return false;
      }
      // Woken for nothing, it goes through user mode; or to sleep again at once, if there is nothing to do there.
      const detour = this.phase === ASLEEP && ((l.flag & LW_USERRET) !== 0 || cur.cpu.attention !== 0);
      this.phase = AGAIN;
      const why = this.reasonToStop(l);
      if (why !== 0) this.stop(l, why);
      else if (!detour) return this.sleep(l);
    } catch (error) {
      if (error instanceof KernelAssertion) throw error;
      this.refuse(error);
    }
    return false;
  }

  private sleep(l: Lwp): boolean {
    delayPoint(l.k, AT_WAIT_TRIED);
    const how = this.block(l, this.limits === null ? 0 : (this.limits as Limits).enter(l));
    if (how === BLOCK_SWITCHED) {
      this.phase = ASLEEP;
      return true;
    }
    this.wake(l, how);
    return false;
  }

  private wake(l: Lwp, how: number): void {
    const limits = this.limits as Limits | null;
    if (how !== BLOCK_RETRY) this.unblock(l, how, limits === null ? 0 : limits.ticks);
    limits?.leave();
  }

  /** Why the wait is over, or is not to begin; 0 = go on. An operation that must not give up any more says 0. */
  protected reasonToStop(l: Lwp): number {
    if (isCancelled(l)) return ECANCELED;
    return this.limits === null ? 0 : (this.limits as Limits).exceeded();
  }

  private stop(l: Lwp, why: number): void {
    if (this.abandon(l)) {
      this.phase = RETURNING;
      return;
    }
    this.refuse(this.errorOf(l, why));
  }

  /** What is thrown for a reason; the caller acts on it. */
  protected errorOf(l: Lwp, why: number): unknown {
    if (why === ECANCELED) return actOnCancel(l, this.syscall);
    if (why === ABORTED) return (this.limits as Limits).signal?.reason;
    return new LwpError(why, this.syscall, { pid: l.proc.pid, lid: l.lid });
  }

  private refuse(error: unknown): void {
    // One whose options were refused has none.
    if (this.limits instanceof Limits) this.limits.leave();
    this.phase = FAILED;
    this.outcome = error;
  }
}
guardOperation(BlockingOperation.prototype);

const NOTHING: IteratorResult<Token, never> = { done: true, value: undefined as never };

const TICKS_MAX = 0x7fffffff;

/** Milliseconds as ticks that last at least as long, whatever is left of the present one. */
export function ticksOf(k: Kernel, milliseconds: number): number {
  return Math.min(Math.ceil((milliseconds * k.hz) / 1000) + 1, TICKS_MAX);
}

/** The options, checked; null if they limit nothing. */
function limitsOf(k: Kernel, options: WaitOptions, syscall: string): Limits | null {
  const { timeout, signal } = options;
  if (timeout !== undefined && !(timeout >= 0)) {
    fail(EINVAL, syscall, undefined, `the timeout must be milliseconds from 0, not ${String(timeout)}`);
  }
  signal?.throwIfAborted();
  const timed = timeout !== undefined && timeout !== Number.POSITIVE_INFINITY;
  return timed || signal !== undefined ? new Limits(k, timed ? timeout : -1, signal) : null;
}

/** What limits one wait: a tick by which it is over, and a signal that is listened to while it sleeps. */
class Limits {
  readonly #k: Kernel;
  readonly signal: AbortSignal | undefined;
  /** Those that will abort the signal, which nobody else may hold. */
  readonly #timeouts: readonly AbortSignal[];
  readonly #timed: boolean;
  /** The tick that ends it. */
  readonly #deadline: number;
  /** Of the present sleep, or the last: 0 = for ever. */
  ticks = 0;
  /** While it sleeps: how to stop listening. */
  #forget: (() => void) | null = null;

  constructor(k: Kernel, milliseconds: number, signal: AbortSignal | undefined) {
    this.#k = k;
    this.signal = signal;
    this.#timeouts = signal === undefined ? [] : timeoutsOf(signal);
    this.#timed = milliseconds >= 0;
    const ticks = milliseconds > 0 ? ticksOf(k, milliseconds) : 0;
    this.#deadline = (k.g.ticks + ticks) | 0;
  }

  /** Why the wait is over; 0 = it is not. */
  exceeded(): number {
    if (this.signal?.aborted === true) return ABORTED;
    return this.#timed && this.#left() <= 0 ? ETIMEDOUT : 0;
  }

  #left(): number {
    return (this.#deadline - this.#k.g.ticks) | 0;
  }

  /** Before a sleep: its ticks. */
  enter(l: Lwp): number {
    const signal = this.signal;
    if (signal !== undefined) {
      const ci = l.cpu;
      const abort = (): void => interrupt(ci, l);
      signal.addEventListener("abort", abort);
      // The signal's events come from this realm's loop: it must turn.
      hostwaitAdd(ci, 1);
      const letRunOut = this.#timeouts.length > 0 ? threadHost(l.k).holdLoop?.() : undefined;
      this.#forget = () => {
        letRunOut?.();
        signal.removeEventListener("abort", abort);
        hostwaitAdd(ci, -1);
      };
    }
    // Its last tick may have gone by since it was found that some are left.
    this.ticks = this.#timed ? Math.max(this.#left(), 1) : 0;
    return this.ticks;
  }

  /** After it. */
  leave(): void {
    this.#forget?.();
    this.#forget = null;
  }
}

/**
 * Ends an interruptible sleep on behalf of the host, in the realm where the LWP lives; it then looks for itself. Does nothing
 * if it is not asleep: it looks before it sleeps.
 */
function interrupt(ci: Cpu, l: Lwp): void {
  const { k } = ci;
  if (k.g.dead !== 0 || k.g.halted !== 0) return;
  asCpu(ci, () => {
    lwpLock(l);
    lwpInterrupt(l);
  });
  endIdleWait(ci);
}
