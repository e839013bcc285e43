/**
 * The operation of waiting for the end of a thread (THR-12).
 *
 * In two classes: most joins find that the thread has returned, and need nothing of what a wait needs.
 */
import { cur } from "../sys/current.js";
import type { Lwp } from "../sys/lwp.js";
import { THREAD_RUNNING, type ThreadRec, ThreadRecord } from "../sys/thread.js";
import type { Token } from "../context/generator.js";
import { cvEnter } from "../kern/condvar.js";
import { sleepqBlockUser } from "../kern/sleepq.js";
import { spinExit } from "../kern/spin.js";
import { caller, guardOperation, type Operation, returnStep, usedTwice } from "../syscall/operation.js";
import { actOnCancel, isCancelled } from "./cancel.js";
import {
  collect,
  IN_USER_MODE,
  lockToJoin,
  LONG_WAY,
  RUNS,
  TAKEN,
  TAKEN_NOTHING,
  TAKEN_NUMBER,
  takeReturned,
  valueOf,
} from "./join.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const STATE = ThreadRecord.offset.state;

/**
 * A join. Most find that the thread has returned, or run until it has; then this is all that is made. Four fields: of a
 * constructor of more, V8 makes a call.
 */
export class JoinOperation<T> implements Operation<T>, Iterator<Token, T, undefined> {
  private readonly rec: ThreadRec;
  private readonly gen: number;
  private readonly options: WaitOptions | undefined;
  /** The rest of it, once it has begun. */
  private rest: Rest<T> | null = null;

  constructor(rec: ThreadRec, gen: number, options: WaitOptions | undefined) {
    this.rec = rec;
    this.gen = gen;
    this.options = options;
  }

  [Symbol.iterator](): this {
    if (this.rest !== null) usedTwice("Thread.join");
    return this;
  }

  next(): IteratorResult<Token, T> {
    if (this.rest !== null) return this.rest.next();
    const l = caller("Thread.join");
    const found = this.options === undefined ? takeReturned(l, this.rec, this.gen) : LONG_WAY;
    if (found < TAKEN_NOTHING) return this.wait(found);
    const value = (found >= TAKEN_NUMBER ? cur.cpu.taken : undefined) as T;
    this.rest = DONE;
    const step = (found & IN_USER_MODE) !== 0 ? null : returnStep(l);
    if (step === null) return { done: true, value };
    this.rest = new Taken(value);
    return step;
  }

  throw(error: unknown): IteratorResult<Token, T> {
    if (this.rest === null) throw error;
    return this.rest.throw(error);
  }

  private wait(found: number): IteratorResult<Token, T> {
    const rest = new JoinWait<T>(this.rec, this.gen, this.options, found === TAKEN);
    this.rest = rest;
    return rest.next();
  }
}
guardOperation(JoinOperation.prototype, "Thread.join");

/** What is left of a join. */
type Rest<T> = Pick<Required<Iterator<Token, T, undefined>>, "next" | "throw">;

/** It has its value, and is on its way through user mode. */
class Taken<T> implements Rest<T> {
  private readonly value: T;

  constructor(value: T) {
    this.value = value;
  }

  next(): IteratorResult<Token, T> {
    return returnStep(cur.lwp) ?? { done: true, value: this.value };
  }

  throw(error: unknown): never {
    throw error;
  }
}

/** Nothing is. */
const DONE: Rest<never> = new Taken(undefined as never);

class JoinWait<T> extends BlockingOperation<T> {
  private readonly rec: ThreadRec;
  private readonly gen: number;
  /** The thread's record is the caller's already. */
  private readonly taken: boolean;

  constructor(rec: ThreadRec, gen: number, options: WaitOptions | undefined, taken: boolean) {
    super("Thread.join", options);
    this.rec = rec;
    this.gen = gen;
    this.taken = taken;
  }

  protected override attempt(l: Lwp): boolean {
    const t = this.rec;
    const found = this.taken ? TAKEN : takeReturned(l, t, this.gen);
    if (found >= TAKEN) {
      if (found >= TAKEN_NUMBER) this.result = cur.cpu.taken as T;
      else if (found === TAKEN) this.result = valueOf(l.k, t) as T;
      return true;
    }
    if (found === RUNS) return false;
    lockToJoin(l, t, this.gen, this.syscall);
    if (t.w[t.at + STATE] === THREAD_RUNNING) {
      spinExit(l.k, t.lock);
      return false;
    }
    // THR-12: a cancellation that is pending acts before the thread is collected, so that it stays joinable.
    if (isCancelled(l)) {
      spinExit(l.k, t.lock);
      throw actOnCancel(l, this.syscall);
    }
    this.result = collect(l.k, t) as T;
    return true;
  }

  protected override block(l: Lwp, ticks: number): number {
    const t = this.rec;
    lockToJoin(l, t, this.gen, this.syscall);
    if (t.state !== THREAD_RUNNING) {
      spinExit(l.k, t.lock);
      return BLOCK_RETRY;
    }
    // Without the boost: libpthread waits for a thread by parking (SCH-5). Of many threads the joiner comes after all.
    cvEnter(l, t.cv, t.lock, 0);
    return sleepqBlockUser(l, ticks);
  }
}
