/**
 * Waiting for several threads: `Thread.all`, `Thread.race`.
 *
 * Who waits marks the threads, and sleeps on the channel of the process (the address of its record); the end of a marked
 * thread wakes the channel. No wakeup is lost: the end of a thread is published before its flags are read under its lock, and
 * a waiter that has set the flag under that lock looks once more with the channel's bucket locked.
 */
import { EINVAL } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { SOBJ_SLEEP } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { packText } from "../sys/record.js";
import {
  THREAD_FAILED,
  THREAD_CANCELLED,
  THREAD_RUNNING,
  THREAD_WATCHED,
  THREAD_WATCHED_FAILURE,
  type ThreadRec,
} from "../sys/thread.js";
import {
  bucketQueue,
  sleepqBlockUser,
  sleepqEnqueue,
  sleepqEnter,
  sleeptabBucket,
  sleepqWake,
} from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { fail } from "../syscall/operation.js";
import { actOnCancel, isCancelled } from "./cancel.js";
import { collect, lockToJoin } from "./join.js";
import { isGood } from "./record.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const THREADS = packText("threads");
const EVERYBODY = 0x7fffffff;

/** A thread that was marked has ended: wakes who waits for one of several. No lock is held. */
export function wakeWatchers(p: Proc): void {
  const { k, at } = p;
  const bucket = sleeptabBucket(k.sleeptab, at);
  spinEnter(k, bucket);
  sleepqWake(k, bucketQueue(bucket), at, EVERYBODY, bucket);
}

/** One of the threads waited for, as a handle names it. */
export interface Named {
  readonly rec: ThreadRec;
  readonly gen: number;
}

/** What both have in common: the list, and the sleep. */
abstract class WaitForSeveral<T> extends BlockingOperation<T> {
  protected readonly threads: readonly Named[];
  private readonly mark: number;
  private begun = false;

  constructor(syscall: string, threads: readonly Named[], mark: number, options: WaitOptions | undefined) {
    super(syscall, options);
    this.threads = threads;
    this.mark = mark;
  }

  /** Whether `attempt` would get further now. No thread is locked: what it sees may be old, but is never missed. */
  protected abstract isReady(): boolean;

  /** Marks all threads, once. Throws ESRCH, EINVAL, EDEADLK. A cancellation that is pending acts before anything is taken. */
  protected begin(l: Lwp): void {
    if (isCancelled(l)) throw actOnCancel(l, this.syscall);
    if (this.begun) return;
    this.begun = true;
    for (const { rec, gen } of this.threads) {
      lockToJoin(l, rec, gen, this.syscall);
      rec.flags |= this.mark;
      spinExit(l.k, rec.lock);
    }
  }

  protected override block(l: Lwp, ticks: number): number {
    const { k } = l;
    const channel = l.proc.at;
    const bucket = sleeptabBucket(k.sleeptab, channel);
    spinEnter(k, bucket);
    if (this.isReady()) {
      spinExit(k, bucket);
      return BLOCK_RETRY;
    }
    sleepqEnter(l, bucket);
    sleepqEnqueue(l, bucketQueue(bucket), channel, THREADS, SOBJ_SLEEP);
    return sleepqBlockUser(l, ticks);
  }
}

/** Whether a thread has ended, or its handle is no longer good: then its join does not sleep. */
function hasEnded({ rec, gen }: Named): boolean {
  return !isGood(rec, gen) || rec.state !== THREAD_RUNNING;
}

function hasFailed({ rec, gen }: Named): boolean {
  return !isGood(rec, gen) || rec.state === THREAD_FAILED || rec.state === THREAD_CANCELLED;
}

/** The first to end is joined. */
export class RaceOperation<T> extends WaitForSeveral<T> {
  constructor(threads: readonly Named[], options: WaitOptions | undefined) {
    super("Thread.race", threads, THREAD_WATCHED, options);
  }

  protected override isReady(): boolean {
    return this.threads.some(hasEnded);
  }

  protected override attempt(l: Lwp): boolean {
    if (this.threads.length === 0) fail(EINVAL, this.syscall, undefined, "there is no thread to wait for");
    this.begin(l);
    const first = this.threads.find(hasEnded);
    if (first === undefined) return false;
    lockToJoin(l, first.rec, first.gen, this.syscall);
    this.result = collect(l.k, first.rec) as T;
    return true;
  }
}

/** All are joined, in order; one that fails is told as soon as it has. */
export class AllOperation<T> extends WaitForSeveral<T[]> {
  private readonly results: T[] = [];

  constructor(threads: readonly Named[], options: WaitOptions | undefined) {
    super("Thread.all", threads, THREAD_WATCHED | THREAD_WATCHED_FAILURE, options);
  }

  private get rest(): readonly Named[] {
    return this.threads.slice(this.results.length);
  }

  protected override isReady(): boolean {
    return hasEnded(this.threads[this.results.length]) || this.rest.some(hasFailed);
  }

  protected override attempt(l: Lwp): boolean {
    this.begin(l);
    const { threads, results } = this;
    const failed = this.rest.find(hasFailed);
    if (failed !== undefined) this.take(l, failed);
    while (results.length < threads.length && hasEnded(threads[results.length])) {
      results.push(this.take(l, threads[results.length]));
    }
    if (results.length < threads.length) return false;
    this.result = results;
    return true;
  }

  private take(l: Lwp, { rec, gen }: Named): T {
    lockToJoin(l, rec, gen, this.syscall);
    return collect(l.k, rec) as T;
  }
}
