/**
 * `Thread`: the handle that programs hold on a thread.
 *
 * A thread is a detached LWP and a record that outlives it (sys/thread.ts). The record is given back by who joins it, or at
 * its end if it is detached; every other use of a handle finds out by the generation, and is ESRCH.
 */
import { EDEADLK, EINVAL, ESRCH, KernelAssertion } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { PRI_NONE, PRI_USER_RT, SCHED_NONE, SCHED_OTHER } from "../sys/param.js";
import {
  THREAD_DEAD,
  THREAD_DETACHED,
  THREAD_FAILED,
  THREAD_RUNNING,
  type ThreadRec,
} from "../sys/thread.js";
import { type Body, FATAL_SIGNAL, type Token } from "../context/generator.js";
import { doSchedGetaffinity, doSchedSetaffinity } from "../kern/affinity.js";
import { cvBroadcast } from "../kern/condvar.js";
import { cacheCreds } from "../kern/cred.js";
import { lwpLock, lwpUnlock } from "../kern/lwplock.js";
import { lwpFind } from "../kern/lwpref.js";
import { procKill } from "../kern/prockill.js";
import { flushKicks } from "../kern/resched.js";
import { doSchedGetparam, doSchedSetparam, type SchedParam } from "../kern/schedparam.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { lwpChangepri } from "../kern/synch.js";
import { lwpContinue, lwpSuspend, schedYield } from "../syscall/lwp.js";
import { killLwp } from "../syscall/signal.js";
import {
  caller,
  fail,
  guardOperation,
  type Operation,
  operate,
  quick,
  returnStep,
  usedTwice,
} from "../syscall/operation.js";
import { cancelThread, setCancelState, testCancel } from "./cancel.js";
import { AllOperation, type Named, RaceOperation } from "./combine.js";
import { ThreadExit } from "./ending.js";
import { registerHandle } from "./handles.js";
import { type ThreadMain, threadHost } from "./host.js";
import { collect, ThreadError } from "./join.js";
import { JoinOperation } from "./joinoperation.js";
import { letResultTravel } from "./passing.js";
import { freeRecord, isGood, lockThread } from "./record.js";
import { type Signal, signalNumber } from "./signals.js";
import { sleep, type SleepOptions } from "./sleep.js";
import {
  callBody,
  checkName,
  checkPriority,
  kernelPriority,
  type Policy,
  POLICY_NAMES,
  policyNumber,
  setNames,
  spawn,
  type SpawnRequest,
  type ThreadCall,
  type ThreadOptions,
} from "./spawn.js";
import { takeSpawnSite } from "./spawnsite.js";
import type { WaitOptions } from "./wait.js";

/** Names that only the library uses. */
export const SPAWN = Symbol("spawn");
export const CANCEL = Symbol("cancel");
export const FAILED = Symbol("failed");
export const DROP = Symbol("drop");
declare const RESULT: unique symbol;

/** What threads start with. */
export type ThreadFunction = (...args: never[]) => Iterator<unknown, unknown, undefined>;
/** What such a function returns, and what it takes. */
export type Result<F> = F extends (...args: never[]) => Iterator<unknown, infer T, undefined> ? T : never;
export type Args<F> = F extends (...args: infer A) => unknown ? A : never;
/** What the threads of a list return. */
export type Results<L extends readonly Thread[]> = {
  -readonly [K in keyof L]: L[K] extends Thread<infer T> ? T : never;
};

/**
 * A handle on a thread: it travels, and any thread of the process may use it. Two handles on one thread are the same object,
 * as long as they are in one realm.
 */
export class Thread<out T = unknown> {
  readonly #rec: ThreadRec;
  readonly #gen: number;
  /** Id of its LWP. */
  readonly lid: number;
  /** Of the type alone: what it returns. */
  declare readonly [RESULT]: T;

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
      read(k, [index, gen, lid]) {
        const t = k.threads.view(index);
        return t.gen === gen ? Thread.#of(t) : new Thread(t, gen, lid);
      },
    });
  }

  /** The handle on the thread of a record. */
  static #of(this: void, t: ThreadRec): Thread<never> {
    const known = t.handle as Thread<never> | null;
    if (known !== null && known.#gen === t.gen) return known;
    return Thread.#fresh(t);
  }

  /** The first one. */
  static #fresh(this: void, t: ThreadRec): Thread<never> {
    const handle = new Thread<never>(t, t.gen, t.lid);
    t.handle = handle;
    return handle;
  }

  // --- starting ----------------------------------------------------------------------------------

  /**
   * Starts a thread that runs `f(...args)`. A top-level generator function of the program may run on any CPU, and its
   * arguments travel by value; any other stays on the caller's and gets them as they are.
   *
   * Errors: EAGAIN a limit is reached; ENOMEM the arena is full; DataCloneError an argument cannot travel. Does not sleep.
   * Source: pthread_create(3).
   */
  static spawn<F extends ThreadFunction>(f: F, ...args: Args<F>): Operation<Thread<Result<F>>> {
    return new SpawnOperation(f, args, null, takeSpawnSite());
  }

  /**
   * The same for a thread that is not like others: `yield* Thread.with({ name: "reader" }).spawn(f, x)`.
   *
   * Further errors of `spawn` then: EINVAL a name of more than 31 characters, a priority outside 0..63, no such CPU, or one
   * where a closure cannot run; ENOTSUP no such policy; EPERM a policy that only the superuser may choose.
   */
  static with(options: ThreadOptions): Spawner {
    return new Spawner(options);
  }

  /** For `SpawnOperation` and `Scope`. */
  static [SPAWN]<F>(
    l: Lwp,
    call: ThreadCall<F>,
    options: SpawnRequest | null,
    site: number,
  ): Thread<Result<F>> {
    return spawn(l, call as unknown as ThreadCall<ThreadMain>, options, site, Thread.#fresh);
  }

  /** For `Scope`: as `cancel`, at once. */
  static [CANCEL](l: Lwp, t: Thread): void {
    lockThread(l, t.#rec, t.#gen, "Thread.cancel");
    cancelThread(l, t.#rec);
  }

  /** For `Scope`: whether it has failed, and nobody has joined it. */
  static [FAILED](t: Thread): boolean {
    return isGood(t.#rec, t.#gen) && t.#rec.state === THREAD_FAILED;
  }

  /** For `Scope`: detaches it; what it threw, if it has failed already. */
  static [DROP](l: Lwp, t: Thread): ThreadError | null {
    lockThread(l, t.#rec, t.#gen, "Scope");
    if (t.#rec.state !== THREAD_FAILED) {
      detach(l, t.#rec);
      return null;
    }
    try {
      collect(l.k, t.#rec);
    } catch (error) {
      if (error instanceof ThreadError) return error;
      throw error;
    }
    return null;
  }

  // --- the caller --------------------------------------------------------------------------------

  /** The calling thread. Error: ESRCH the caller is an LWP without a thread. Source: pthread_self(3). */
  static get self(): Thread {
    const l = caller("Thread.self");
    if (l.arg === 0) fail(ESRCH, "Thread.self", l.lid, "this LWP is no thread of the library");
    return Thread.#of(l.k.threadAt(l.arg));
  }

  /** Index of the CPU that the caller runs on. Source: pthread_curcpu_np(3). */
  static get cpu(): number {
    return caller("Thread.cpu").cpu.index - 1;
  }

  /** Gives the CPU to a thread of the same or a higher priority. Cannot fail. Source: sched_yield(2). */
  static yield(): Operation<void> {
    return schedYield();
  }

  /**
   * Waits `milliseconds`, at least; the clock ticks 100 times a second, so it may be two ticks longer. May sleep.
   *
   * Errors: EINVAL not a number from 0; EINTR `interruptible`, and a handler has run; those of every wait (`WaitOptions`).
   * Source: nanosleep(2).
   */
  static sleep(milliseconds: number, options?: SleepOptions): Operation<void> {
    return sleep(milliseconds, options);
  }

  /**
   * Ends the calling thread, whose join returns `value`: `ThreadExit` is thrown, so that its `finally` blocks run, and may
   * wait. In `main` it ends only the thread: the process goes on until its last thread has ended, and succeeds then. Never
   * returns.
   *
   * Source: pthread_exit(3).
   */
  static exit(value?: unknown): Operation<never> {
    return quick("Thread.exit", () => {
      throw new ThreadExit(value);
    });
  }

  // --- cancellation ------------------------------------------------------------------------------

  /** A cancellation point that waits for nothing. Error: `Cancelled`. Source: pthread_testcancel(3). */
  static testCancel(): Operation<void> {
    return quick("Thread.testCancel", (l) => testCancel(l, "Thread.testCancel"));
  }

  /**
   * Lets cancellation of the calling thread act, or not; returns whether it did before. A cancellation that came meanwhile
   * acts at the next operation that may wait. A plain call.
   *
   * Error: EINVAL not a boolean. Source: pthread_setcancelstate(3).
   */
  static setCancelState(enabled: boolean): boolean {
    const l = caller("Thread.setCancelState");
    if (typeof enabled !== "boolean") fail(EINVAL, "Thread.setCancelState", l.lid, "it is on or off");
    return setCancelState(l, enabled);
  }

  /** An operation during which the calling thread is not cancelled. May sleep. */
  static uncancellable<R>(operation: Operation<R>): Operation<R> {
    return new Uncancellable(operation);
  }

  /**
   * Asks the thread to end: `Cancelled` is thrown where it waits, or waits next, so that its `finally` blocks run. One that
   * has ended already is left as it is. Error: ESRCH. Does not sleep. Source: pthread_cancel(3).
   */
  cancel(): Operation<void> {
    return quick("Thread.cancel", (l) => {
      lockThread(l, this.#rec, this.#gen, "Thread.cancel");
      cancelThread(l, this.#rec);
    });
  }

  // --- signals -----------------------------------------------------------------------------------

  /**
   * Sends it a signal, which it alone takes; 0 = only look whether it is there. Those that stop, continue or kill act on the
   * whole process, and so does a default action.
   *
   * Errors: EINVAL no such signal; ESRCH it has ended. Does not sleep. Source: pthread_kill(3).
   */
  kill(signal: Signal): Operation<void> {
    return quick("Thread.kill", (l) => {
      const sig = signalNumber(signal, "Thread.kill", 0);
      lockThread(l, this.#rec, this.#gen, "Thread.kill");
      spinExit(l.k, this.#rec.lock);
      if (killLwp(l, this.lid, sig) !== 0) fail(ESRCH, "Thread.kill", this.lid, "the thread has ended");
    });
  }

  // --- its end -----------------------------------------------------------------------------------

  /**
   * Waits until the thread has ended and returns what it returned. May sleep. Of several that wait the first gets it.
   *
   * Errors: ThreadError it threw, or was cancelled; ESRCH it was joined before; EDEADLK it is the caller; EINVAL it is
   * detached; those of every wait (`WaitOptions`), after which it can still be joined. Source: pthread_join(3).
   */
  join(options?: WaitOptions): Operation<T> {
    return new JoinOperation<T>(this.#rec, this.#gen, options);
  }

  /**
   * Nobody will join: its record goes with it, now if it has ended; what it threw then ends the process, as if it had been
   * detached before. Who waits in `join` gets EINVAL. One that is detached
   * already is left as it is.
   *
   * Error: ESRCH. Does not sleep. Source: pthread_detach(3).
   */
  detach(): Operation<void> {
    return quick("Thread.detach", (l) => {
      lockThread(l, this.#rec, this.#gen, "Thread.detach");
      if (this.#rec.state === THREAD_FAILED) failDetached(l, this.#rec);
      else detach(l, this.#rec);
    });
  }

  /**
   * Joins all the threads and returns what they returned, in their order. May sleep. If one fails, that is thrown at once;
   * the others go on, and can still be joined.
   *
   * Errors: those of `join`.
   */
  static all<const L extends readonly Thread[]>(threads: L, options?: WaitOptions): Operation<Results<L>> {
    return new AllOperation(Thread.#named(threads, "Thread.all"), options) as unknown as Operation<
      Results<L>
    >;
  }

  /**
   * Joins that thread which ends first, and returns what it returned, or throws what it threw. May sleep. The others go on.
   *
   * Errors: those of `join`; EINVAL there are none.
   */
  static race<R>(threads: readonly Thread<R>[], options?: WaitOptions): Operation<R> {
    return new RaceOperation<R>(Thread.#named(threads, "Thread.race"), options);
  }

  static #named(threads: readonly Thread[], syscall: string): Named[] {
    const named: Named[] = [];
    for (const t of threads) {
      if (!(t instanceof Thread)) throw new TypeError(`${syscall} needs a list of threads`);
      named.push({ rec: t.#rec, gen: t.#gen });
    }
    return named;
  }

  // --- stopping and going on ---------------------------------------------------------------------

  /**
   * Suspends the thread at its next return to user mode, and waits until it is. May sleep. What it waits for it gets when it
   * is resumed.
   *
   * Errors: EDEADLK it is the caller; ESRCH it has ended. Source: pthread_suspend_np(3), _lwp_suspend(2).
   */
  suspend(): Operation<void> {
    const rec = this.#rec;
    const gen = this.#gen;
    return operate("Thread.suspend", function* (l) {
      lockThread(l, rec, gen, "Thread.suspend");
      const { lid } = rec;
      spinExit(l.k, rec.lock);
      if (lid === l.lid) fail(EDEADLK, "Thread.suspend", lid, "a thread cannot suspend itself");
      yield* lwpSuspend(lid);
    });
  }

  /** Lets it go on. Error: ESRCH it has ended. Does not sleep. Source: pthread_resume_np(3), _lwp_continue(2). */
  resume(): Operation<void> {
    const rec = this.#rec;
    const gen = this.#gen;
    return operate("Thread.resume", function* (l) {
      lockThread(l, rec, gen, "Thread.resume");
      const { lid } = rec;
      spinExit(l.k, rec.lock);
      yield* lwpContinue(lid);
    });
  }

  // --- what it is like ---------------------------------------------------------------------------

  /** Whether it can still be joined, asked, or cancelled: not once it was joined, or has ended detached. */
  get isGood(): boolean {
    const l = caller("Thread.isGood");
    return isGood(this.#rec, this.#gen) && this.#rec.pid === l.proc.pid;
  }

  /** Its name; "" if it has none. A plain call. Errors: ESRCH. Source: pthread_getname_np(3). */
  get name(): string {
    const l = caller("Thread.name");
    lockThread(l, this.#rec, this.#gen, "Thread.name");
    const { name } = this.#rec;
    spinExit(l.k, this.#rec.lock);
    return name;
  }

  /** At most 31 characters; the kernel keeps the first 15. Errors: ESRCH; EINVAL. Source: pthread_setname_np(3). */
  set name(name: string) {
    const l = caller("Thread.name");
    const t = this.#rec;
    checkName(name, "Thread.name");
    lockThread(l, t, this.#gen, "Thread.name");
    setNames(t, null, name);
    spinExit(l.k, t.lock);
    spinEnter(l.k, l.proc.lock);
    const l2 = lwpFind(l.proc, this.lid);
    if (l2 !== null) setNames(t, l2, name);
    spinExit(l.k, l.proc.lock);
  }

  /** Its priority, 0..63. A plain call. Error: ESRCH it has ended. Source: pthread_getschedparam(3). */
  get priority(): number {
    const l = caller("Thread.priority");
    const l2 = Thread.#lockLwp(this, l, "Thread.priority");
    const { priority } = l2;
    const own = l2.class === SCHED_OTHER ? priority : priority - PRI_USER_RT;
    lwpUnlock(l2);
    spinExit(l.k, l.proc.lock);
    return own;
  }

  /** Errors: EINVAL not an integer 0..63; ESRCH it has ended. Source: pthread_setschedprio(3). */
  set priority(priority: number) {
    const l = caller("Thread.priority");
    checkPriority(priority, "Thread.priority");
    const l2 = Thread.#lockLwp(this, l, "Thread.priority");
    lwpChangepri(l2, kernelPriority(l2, priority));
    lwpUnlock(l2);
    spinExit(l.k, l.proc.lock);
    flushKicks(l.k);
  }

  /** Its policy. A plain call. Error: ESRCH it has ended. Source: pthread_getschedparam(3), _sched_getparam(2). */
  get policy(): Policy {
    const l = caller("Thread.policy");
    const out: SchedParam = { policy: SCHED_NONE, priority: PRI_NONE };
    Thread.#sched(this, l, "Thread.policy", (lid) => doSchedGetparam(l, 0, lid, out));
    return POLICY_NAMES[out.policy];
  }

  /**
   * Changes its policy, and its priority if that is given; else a thread that becomes a real-time one has 0, and one of
   * priority p that is no longer one keeps p. A plain call.
   *
   * Errors: ENOTSUP no such policy; EINVAL not an integer 0..63; ESRCH it has ended; EPERM a real-time policy, or priority, that
   * only the superuser may choose. Source: pthread_setschedparam(3), _sched_setparam(2).
   */
  setPolicy(policy: Policy, priority?: number): void {
    const syscall = "Thread.setPolicy";
    const l = caller(syscall);
    const number = policyNumber(policy, syscall);
    if (priority !== undefined) checkPriority(priority, syscall);
    const own = number === SCHED_OTHER ? PRI_NONE : (priority ?? PRI_NONE);
    Thread.#sched(this, l, syscall, (lid) => doSchedSetparam(l, 0, lid, number, own));
    // The kernel lets none of this class be set; a thread's own process may.
    if (priority !== undefined && own === PRI_NONE) this.priority = priority;
  }

  /**
   * The CPUs that it may run on, null = all. A plain call. Error: ESRCH it has ended. Source: pthread_getaffinity_np(3),
   * _sched_getaffinity(2).
   */
  get affinity(): number[] | null {
    const l = caller("Thread.affinity");
    const out = { cpus: 0 };
    Thread.#sched(this, l, "Thread.affinity", (lid) => doSchedGetaffinity(l, 0, lid, out));
    if (out.cpus === 0) return null;
    const list: number[] = [];
    for (let i = 0; i < l.k.g.ncpu; i++) if ((out.cpus & (1 << i)) !== 0) list.push(i);
    return list;
  }

  /**
   * Moves it to the first of them that is online, at its next switch if it is ready or runs. One that has begun to run on a
   * real machine stays in its realm: its CPU must be among them.
   *
   * Errors: EINVAL no such CPUs; ESRCH it has ended; EPERM it cannot run on any of them, or the user may not: he who is not
   * the superuser may if `security.models.extensions.user_set_cpu_affinity` is 1. Source: pthread_setaffinity_np(3),
   * _sched_setaffinity(2).
   */
  set affinity(cpus: readonly number[] | null) {
    const syscall = "Thread.affinity";
    const l = caller(syscall);
    const set = cpus === null ? 0 : cpuSet(cpus, l.k.g.ncpu, syscall);
    Thread.#sched(this, l, syscall, (lid) => doSchedSetaffinity(l, 0, lid, set));
  }

  /** Makes a call of the kernel about its LWP; throws what that returns, and ESRCH. */
  static #sched(this: void, t: Thread, l: Lwp, syscall: string, call: (lid: number) => number): void {
    cacheCreds(l);
    lockThread(l, t.#rec, t.#gen, syscall);
    spinExit(l.k, t.#rec.lock);
    const error = call(t.lid);
    if (error !== 0) fail(error, syscall, t.lid);
  }

  /** Its LWP, locked, and its process too. Throws ESRCH. */
  static #lockLwp(this: void, t: Thread, l: Lwp, syscall: string): Lwp {
    lockThread(l, t.#rec, t.#gen, syscall);
    spinExit(l.k, t.#rec.lock);
    spinEnter(l.k, l.proc.lock);
    const l2 = lwpFind(l.proc, t.lid);
    if (l2 === null) {
      spinExit(l.k, l.proc.lock);
      fail(ESRCH, syscall, t.lid, "the thread has ended");
    }
    lwpLock(l2);
    return l2;
  }
}

/** Starts threads with the same options: what `Thread.with` returns. */
export class Spawner {
  readonly #options: ThreadOptions;

  constructor(options: ThreadOptions) {
    this.#options = options;
  }

  /** As `Thread.spawn`. */
  spawn<F extends ThreadFunction>(f: F, ...args: Args<F>): Operation<Thread<Result<F>>> {
    return new SpawnOperation(f, args, this.#options, takeSpawnSite());
  }
}

// Where a spawn stands: it has not begun; it has made the thread; it throws what has been thrown.
const NEW = 0;
const STARTED = 1;
const REFUSED = 2;

/** Starts a thread, which begins with what the operation was called with. As `quick` makes one, but in fields: programs make most of this one. */
class SpawnOperation<F>
  implements Operation<Thread<Result<F>>>, Iterator<Token, Thread<Result<F>>, undefined>, ThreadCall<F>
{
  readonly f: F;
  readonly args: readonly unknown[];
  private readonly options: ThreadOptions | null;
  private readonly site: number;
  returned = false;
  private phase = NEW;
  /** The thread, or what is thrown if there is none. */
  private outcome: unknown = undefined;

  constructor(f: F, args: unknown[], options: ThreadOptions | null, site: number) {
    this.f = f;
    this.args = args;
    this.options = options;
    this.site = site;
  }

  /** The code that the thread begins with. */
  make(): Body {
    return callBody(this.f as unknown as ThreadMain, this.args);
  }

  [Symbol.iterator](): this {
    if (this.phase !== NEW) usedTwice("Thread.spawn");
    return this;
  }

  next(): IteratorResult<Token, Thread<Result<F>>> {
    const l = caller("Thread.spawn");
    if (this.phase === NEW) this.act(l);
    if (!this.returned) {
      const step = returnStep(l);
      if (step !== null) return step;
    }
    if (this.phase === REFUSED) throw this.outcome;
    return { done: true, value: this.outcome as Thread<Result<F>> };
  }

  private act(l: Lwp): void {
    cacheCreds(l);
    try {
      this.outcome = Thread[SPAWN](l, this, this.options, this.site);
      this.phase = STARTED;
    } catch (error) {
      if (error instanceof KernelAssertion) throw error;
      this.outcome = error;
      this.phase = REFUSED;
    }
  }
}
guardOperation(SpawnOperation.prototype, "Thread.spawn");

class Uncancellable<R> implements Operation<R> {
  readonly syscall = "Thread.uncancellable";
  private readonly operation: Operation<R>;

  constructor(operation: Operation<R>) {
    this.operation = operation;
  }

  *[Symbol.iterator](): Generator<Token, R, undefined> {
    const l = caller(this.syscall);
    const enabled = setCancelState(l, false);
    try {
      return yield* this.operation;
    } finally {
      setCancelState(l, enabled);
    }
  }
}
guardOperation(Uncancellable.prototype);

/** A list of CPUs as a set. Throws EINVAL. */
function cpuSet(cpus: readonly number[], ncpu: number, syscall: string): number {
  let set = 0;
  for (const cpu of Array.isArray(cpus) ? cpus : []) {
    const exists = Number.isInteger(cpu) && cpu >= 0 && cpu < ncpu;
    if (!exists) fail(EINVAL, syscall, undefined, `there is no CPU ${String(cpu)}`);
    set |= 1 << cpu;
  }
  return set !== 0 ? set : fail(EINVAL, syscall, undefined, "it must be a list of CPUs, or null for all");
}

/** The same for one that has failed already: its exception has nobody left to hear it, and ends the process. */
function failDetached(l: Lwp, t: ThreadRec): void {
  const { k } = l;
  const { lid } = t;
  try {
    collect(k, t);
  } catch (error) {
    if (!(error instanceof ThreadError)) throw error;
    threadHost(k).fatal(l.proc.pid, lid, error.cause, error.spawnedAt);
    procKill(k, l.proc.pid, FATAL_SIGNAL);
  }
}

/** Detaches a thread, whose record is locked, and unlocks it. */
function detach(l: Lwp, t: ThreadRec): void {
  const { k } = l;
  t.flags |= THREAD_DETACHED;
  // Few ask for a detached thread any more: its record need not keep the handle.
  t.handle = null;
  const ended = t.state !== THREAD_RUNNING;
  if (ended) t.state = THREAD_DEAD;
  cvBroadcast(k, t.cv);
  spinExit(k, t.lock);
  if (ended) freeRecord(k, t);
  flushKicks(k);
}
