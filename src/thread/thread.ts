/**
 * Threads: `Thread.spawn`, `join`, `detach`.
 *
 * A thread is a detached LWP and a record that outlives it (sys/thread.ts). Its end, in steps: (1) the result is put where
 * the joiner can take it; (2) under the record's lock the state changes, and who joins is read; (3) that one is unparked.
 * Join: (1) under the lock, done: take the result and free the record; (2) else leave one's lid and park until done.
 */
import { EAGAIN, EDEADLK, EINVAL, ESRCH } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { CTX_CLOSURE, CTX_ENTRY, LWP_DETACHED } from "../sys/param.js";
import {
  THREAD_DETACHED,
  THREAD_FAILED,
  THREAD_MAIN,
  THREAD_RETURNED,
  THREAD_RUNNING,
  type ThreadRec,
} from "../sys/thread.js";
import { type Body, type Ending, EXIT_LWP, EXIT_PROC, type Token } from "../context/generator.js";
import { lwpCreate, lwpStart } from "../kern/lwpcreate.js";
import { parkBlock, parkUnblock, unpark } from "../kern/park.js";
import { poolGet, poolPut } from "../kern/pool.js";
import { flushKicks } from "../kern/resched.js";
import { BLOCK_SWITCHED } from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { RET_USER, userret } from "../kern/userret.js";
import { caller, fail, type Operation, quick, returnToUser } from "../syscall/operation.js";
import { cancelThread, testCancel } from "./cancel.js";
import { registerError, registerHandle } from "./handles.js";
import { type ThreadMain, threadHost } from "./host.js";
import {
  dropValue,
  letResultTravel,
  putArgs,
  putResult,
  takeArgs,
  takeValue,
  VALUE_LOCAL,
} from "./passing.js";
import { sleep } from "./sleep.js";
import type { WaitOptions } from "./wait.js";

/** What a generator function returns. */
type Result<F> = F extends (...args: never[]) => Iterator<unknown, infer T, undefined> ? T : never;
type Args<F> = F extends (...args: infer A) => unknown ? A : never;

/** A thread that failed: `cause` is what it threw. */
export class ThreadError extends Error {
  readonly lid: number;
  constructor(lid: number, cause: unknown) {
    super(`thread ${lid} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = "ThreadError";
    this.lid = lid;
  }
}
registerError("ThreadError", ThreadError);

/** A handle on a thread: it travels, and any thread of the process may use it. */
export class Thread<T = unknown> {
  readonly #rec: ThreadRec;
  readonly #gen: number;
  /** Id of its LWP. */
  readonly lid: number;

  private constructor(rec: ThreadRec, gen: number, lid: number) {
    this.#rec = rec;
    this.#gen = gen;
    this.lid = lid;
  }

  static {
    registerHandle<Thread>("Thread", {
      is: (value): value is Thread => #rec in value,
      write(k, thread) {
        const t = thread.#rec;
        if (t.k !== k) throw new Error("a Thread of another machine");
        if (t.gen === thread.#gen) letResultTravel(k, t);
        return [t.index, thread.#gen, thread.lid];
      },
      read: (k, [index, gen, lid]) => new Thread(k.threads.view(index), gen, lid),
    });
  }

  /**
   * Starts a thread that runs `f(...args)`. A top-level generator function of the program may run on any CPU, and its
   * arguments travel by value; any other stays on the caller's and gets them as they are.
   *
   * Errors: EAGAIN a limit is reached; ENOMEM the arena is full; DataCloneError an argument cannot travel. Does not sleep.
   */
  static spawn<F extends (...args: never[]) => Iterator<unknown, unknown, undefined>>(
    f: F,
    ...args: Args<F>
  ): Operation<Thread<Result<F>>> {
    return quick("Thread.spawn", (l) => {
      const t = spawn(l, f as unknown as ThreadMain, args);
      return new Thread<Result<F>>(t, t.gen, t.lid);
    });
  }

  /**
   * Waits until the thread has ended and returns what it returned. May sleep. Only one may join.
   *
   * Errors: ThreadError it threw; ESRCH it was joined before; EDEADLK it is the caller; EINVAL another waits for it.
   */
  join(): Operation<T> {
    return join<T>(this.#rec, this.#gen);
  }

  /**
   * Waits `milliseconds`, at least; the clock ticks 100 times a second, so it may be two ticks longer. May sleep.
   *
   * Errors: EINVAL not a number from 0; those of every wait (`WaitOptions`). Source: nanosleep(2).
   */
  static sleep(milliseconds: number, options?: WaitOptions): Operation<void> {
    return sleep(milliseconds, options);
  }

  /** A cancellation point that waits for nothing. Error: `Cancelled`. Source: pthread_testcancel(3). */
  static testCancel(): Operation<void> {
    return quick("Thread.testCancel", (l) => testCancel(l, "Thread.testCancel"));
  }

  /**
   * Asks the thread to end: `Cancelled` is thrown where it waits, or waits next, so that its `finally` blocks run. One that
   * has ended already is left as it is. Error: ESRCH it was joined before. Source: pthread_cancel(3).
   */
  cancel(): Operation<void> {
    return quick("Thread.cancel", (l) => {
      checkHandle(l, this.#rec, this.#gen, "Thread.cancel");
      spinEnter(l.k, this.#rec.lock);
      cancelThread(l, l.k, this.#rec);
    });
  }

  /** Nobody will join: its record goes with it. Errors: ESRCH, EINVAL detached already. */
  detach(): Operation<void> {
    return quick("Thread.detach", (l) => detach(l, this.#rec, this.#gen));
  }
}

function spawn(l: Lwp, f: ThreadMain, args: readonly unknown[]): ThreadRec {
  const { k } = l;
  const host = threadHost(k);
  if (typeof f !== "function") throw new TypeError("Thread.spawn needs a generator function");
  const entry = host.entryOf(l.proc.program, f);
  const t = poolGet(k.threads);
  if (t === null)
    fail(EAGAIN, "Thread.spawn", undefined, `the limit of ${k.limits.threads} threads is reached`);
  try {
    if (entry >= 0) putArgs(k, t, args);
    const start =
      entry >= 0
        ? { kind: CTX_ENTRY, entry, arg: t.index }
        : {
            kind: CTX_CLOSURE,
            arg: t.index,
            closure: () => f(...(args as never[])),
            realm: k.mp ? l.cpu.realm : 0,
          };
    const l2 = lwpCreate(l, l.proc, LWP_DETACHED, start, l.class);
    if (l2 === null) fail(EAGAIN, "Thread.spawn", undefined, "the limit of LWPs is reached");
    t.pid = l.proc.pid;
    t.lid = l2.lid;
    t.realm = entry >= 0 ? 0 : l.cpu.realm;
    lwpStart(l, l2, 0);
    return t;
  } catch (error) {
    freeRecord(k, t);
    throw error;
  }
}

/**
 * Sets up the record of a process's first thread: its arguments, and that its return ends the process. Null when the table
 * is full; throws ENOMEM when the arena is.
 */
export function mainRecord(k: Kernel, args: readonly unknown[]): ThreadRec | null {
  const t = poolGet(k.threads);
  if (t === null) return null;
  t.flags = THREAD_MAIN | THREAD_DETACHED;
  try {
    putArgs(k, t, args);
  } catch (error) {
    freeRecord(k, t);
    throw error;
  }
  return t;
}

/** Starts a portable entry in this realm: the code of a CTX_ENTRY LWP. */
export function startEntry(l: Lwp): Body {
  const { k } = l;
  const t = k.threads.view(l.arg);
  const f = threadHost(k).entryAt(l.proc.program, l.entry);
  const args = takeArgs(k, t);
  if ((t.flags & THREAD_MAIN) !== 0) {
    t.pid = l.proc.pid;
    l.proc.startTime = k.port.now();
  }
  return f(...(args as never[])) as Body;
}

// --- the end of a thread -----------------------------------------------------------------------

/** What the contexts do when a thread's code ends. */
export const threadEnding: Ending = {
  returned(l, value) {
    if (l.arg === 0) return EXIT_LWP;
    const t = l.k.threads.view(l.arg);
    if ((t.flags & THREAD_MAIN) === 0) {
      finish(l, t, THREAD_RETURNED, value);
      return EXIT_LWP;
    }
    l.retval = statusOf(value);
    freeRecord(l.k, t);
    return EXIT_PROC;
  },
  threw(l, error) {
    const t = l.arg === 0 ? null : l.k.threads.view(l.arg);
    if (t === null || (t.flags & THREAD_DETACHED) !== 0) {
      threadHost(l.k).fatal(l.proc.pid, l.lid, error);
      if (t !== null) freeRecord(l.k, t);
      return false;
    }
    finish(l, t, THREAD_FAILED, error);
    return true;
  },
};

function statusOf(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255) return value;
  throw new TypeError(`main must return nothing or an exit status 0..255, not ${String(value)}`);
}

function finish(l: Lwp, t: ThreadRec, state: number, value: unknown): void {
  const { k } = l;
  if ((t.flags & THREAD_DETACHED) === 0) putResult(k, t, value, state === THREAD_FAILED);
  spinEnter(k, t.lock);
  t.state = state;
  const { joiner } = t;
  const detached = (t.flags & THREAD_DETACHED) !== 0;
  spinExit(k, t.lock);
  if (detached) freeRecord(k, t);
  else if (joiner !== 0) {
    unpark(l.proc, joiner, t.at);
    flushKicks(k);
  }
}

/**
 * A process has ended: gives back the records of its threads that were killed or that nobody has joined. Called by the CPU
 * that collects the process; what other realms keep for them goes with `dropLocals`.
 */
export function freeThreads(k: Kernel, pid: number): void {
  const { threads } = k;
  const last = threads.inUse === 0 ? 0 : threads.highWater;
  for (let i = 1; i <= last; i++) {
    const t = threads.view(i);
    // Nobody else touches a record of this pid: its process has no LWPs.
    if ((t.gen & 1) === 1 && t.pid === pid) freeRecord(k, t);
  }
}

/** Forgets the values of this realm that no record stands for any more. */
export function dropLocals(k: Kernel): void {
  const { locals } = threadHost(k);
  for (const index of locals.keys()) {
    const t = k.threads.view(index);
    if ((t.gen & 1) === 0 || t.valueKind !== VALUE_LOCAL) locals.delete(index);
  }
}

/** Gives a record back, with what still hangs on it. */
export function freeRecord(k: Kernel, t: ThreadRec): void {
  dropValue(k, t);
  poolPut(k.threads, t);
}

// --- joining -----------------------------------------------------------------------------------

function* join<T>(t: ThreadRec, gen: number): Generator<Token, T, undefined> {
  const l = caller("Thread.join");
  const { k } = l;
  checkHandle(l, t, gen, "Thread.join");
  if (t.lid === l.lid) fail(EDEADLK, "Thread.join", t.lid, "a thread cannot join itself");
  spinEnter(k, t.lock);
  if (t.joiner !== 0 || (t.flags & THREAD_DETACHED) !== 0) {
    spinExit(k, t.lock);
    fail(EINVAL, "Thread.join", t.lid, "it is detached, or another thread joins it");
  }
  t.joiner = l.lid;
  while (t.state === THREAD_RUNNING) {
    spinExit(k, t.lock);
    // A wakeup that was meant for another wait is no harm: the state tells.
    const how = parkBlock(l, t.at, 0);
    if (how === BLOCK_SWITCHED) yield;
    parkUnblock(l, how, 0);
    const r = userret(l);
    if (r !== RET_USER) yield* returnToUser(l, r);
    spinEnter(k, t.lock);
  }
  const failed = t.state === THREAD_FAILED;
  const { lid } = t;
  spinExit(k, t.lock);
  const value = takeValue(k, t);
  freeRecord(k, t);
  const r = userret(l);
  if (r !== RET_USER) yield* returnToUser(l, r);
  if (failed) throw new ThreadError(lid, value);
  return value as T;
}

function checkHandle(l: Lwp, t: ThreadRec, gen: number, syscall: string): void {
  if (t.gen !== gen || t.pid !== l.proc.pid) fail(ESRCH, syscall, undefined, "the thread was joined before");
}

function detach(l: Lwp, t: ThreadRec, gen: number): void {
  const { k } = l;
  checkHandle(l, t, gen, "Thread.detach");
  spinEnter(k, t.lock);
  const bad = (t.flags & THREAD_DETACHED) !== 0 || t.joiner !== 0;
  const done = t.state !== THREAD_RUNNING;
  if (!bad) t.flags |= THREAD_DETACHED;
  spinExit(k, t.lock);
  if (bad) fail(EINVAL, "Thread.detach", t.lid);
  if (done) freeRecord(k, t);
}
