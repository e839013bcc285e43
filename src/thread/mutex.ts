/**
 * `Mutex`: one thread at a time.
 *
 * The kernel's adaptive mutex (kern/mutex.ts), with a type, a count and a wait that can be ended from outside. Locking, in
 * steps: (1) free: take it; (2) its owner runs on another CPU: spin for a moment; (3) sleep on the turnstile. Unlocking wakes
 * one waiter, the first of the highest priority, and hands nothing over: whoever comes first has it, so that a thread which
 * locks often need not switch each time.
 *
 * Who owns it is told by the index of its LWP in the kernel's word, and by its lid, which no later LWP of that index has.
 */
import { flushKicks } from "../kern/resched.js";
import {
  IPL_NONE,
  MUTEX_ADAPTIVE,
  MUTEX_TAKEN,
  mutexEnterSig,
  mutexExit,
  mutexInit,
  mutexTryenter,
} from "../kern/mutex.js";
import type { Token } from "../context/generator.js";
import { caller, fail, guardOperation, type Operation, returnStep } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EAGAIN, EBUSY, EDEADLK, EINVAL, EPERM } from "../sys/errno.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { LW_USERRET } from "../sys/param.js";
import { MTX_OWNER } from "../sys/shapes.js";
import {
  PTHREAD_MUTEX_ERRORCHECK,
  PTHREAD_MUTEX_NORMAL,
  PTHREAD_MUTEX_RECURSIVE,
  SO_MUTEX,
  type Syncobj,
  SyncobjRecord,
} from "../sys/syncobj.js";
import { misuse } from "./misuse.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const { mutex: MUTEX, owner: OWNER, count: COUNT, flags: TYPE } = SyncobjRecord.offset;
const LID = LwpRecord.offset.lid;
const INT_MAX = 0x7fffffff;

/** What a mutex is to be like. */
export interface MutexOptions extends ObjectOptions {
  /**
   * What locking it a second time does: "normal", it waits for itself, until it is cancelled or timed out, and a report says
   * so; "errorcheck", EDEADLK; "recursive", it counts. "normal" unless said.
   */
  readonly type?: "normal" | "errorcheck" | "recursive";
}

const TYPES = {
  normal: PTHREAD_MUTEX_NORMAL,
  errorcheck: PTHREAD_MUTEX_ERRORCHECK,
  recursive: PTHREAD_MUTEX_RECURSIVE,
} as const;

/** Holds a lock until the end of its `using` block. */
export interface Guard {
  [Symbol.dispose](): void;
}

// --- on the record -----------------------------------------------------------------------------

/** Sets up the mutex of a record. */
export function mutexSetup(o: Syncobj, type: number): void {
  mutexInit(o.k, o.mutex, MUTEX_ADAPTIVE, IPL_NONE);
  o.flags = type;
}

/** Whether `l` holds it. */
export function mutexHeldBy(l: Lwp, o: Syncobj): boolean {
  const { w } = o;
  return w[o.at + MUTEX + MTX_OWNER] >> 1 === l.index && w[o.at + OWNER] === w[l.at + LID];
}

/** One attempt: 0, EBUSY, EDEADLK, or EAGAIN a recursive one is held too often. */
export function mutexTake(l: Lwp, o: Syncobj): number {
  const { w } = o;
  if (mutexTryenter(o.k, o.at + MUTEX)) {
    w[o.at + OWNER] = w[l.at + LID];
    return 0;
  }
  if (!mutexHeldBy(l, o)) return EBUSY;
  switch (w[o.at + TYPE]) {
    case PTHREAD_MUTEX_ERRORCHECK:
      return EDEADLK;
    case PTHREAD_MUTEX_RECURSIVE:
      if (w[o.at + COUNT] === INT_MAX) return EAGAIN;
      w[o.at + COUNT]++;
      return 0;
    default:
      return EBUSY;
  }
}

/** Lets it go, whatever the count. The caller holds it. */
export function mutexDrop(o: Syncobj): void {
  o.w[o.at + OWNER] = 0;
  mutexExit(o.k, o.at + MUTEX);
}

/**
 * First half of a wait for it: BLOCK_RETRY if it is the caller's now, or as `sleepqBlock`. After the second half `mutexRetry`
 * says whether to try again at once.
 */
export function mutexBlock(l: Lwp, o: Syncobj, ticks: number): number {
  const how = mutexEnterSig(o.k, o.at + MUTEX, l, ticks);
  if (how !== MUTEX_TAKEN) return how;
  o.w[o.at + OWNER] = o.w[l.at + LID];
  return BLOCK_RETRY;
}

/**
 * After a sleep: whether to try again at once. Not if it is to be suspended or to exit first: nobody shall wait for a holder
 * that stands still. If it was woken because the mutex is free, that is passed on.
 */
export function mutexRetry(l: Lwp, o: Syncobj): boolean {
  if ((l.flag & LW_USERRET) === 0) return true;
  if (l.granted !== 0 && mutexTryenter(o.k, o.mutex)) mutexExit(o.k, o.mutex);
  return false;
}

/**
 * What was just locked is still there: a program may dispose on one CPU what it locks on another. Otherwise the lock is undone,
 * for the record may be another object's by now.
 */
export function mutexKept(l: Lwp, o: Syncobj, handle: SyncObject): boolean {
  if (handle.isAlive()) return true;
  if (mutexHeldBy(l, o)) mutexDrop(o);
  return false;
}

/** Locks the mutex of an object: the slow way. */
export class MutexLock<T> extends BlockingOperation<T> {
  readonly #handle: SyncObject;
  readonly #value: T;
  #o: Syncobj | null = null;
  #asleep = false;
  #taken = false;

  constructor(call: string, handle: SyncObject, value: T, options: WaitOptions | undefined) {
    super(call, options);
    this.#handle = handle;
    this.#value = value;
  }

  protected attempt(l: Lwp): boolean {
    const o = (this.#o ??= this.#handle.object(l, "lock"));
    if (!this.#taken) {
      if (this.#asleep) {
        this.#asleep = false;
        if (!mutexRetry(l, o)) return false;
      }
      const error = mutexTake(l, o);
      if (error === EBUSY && this.#handle.isAlive()) return false;
      if (error !== EBUSY && error !== 0) fail(error, this.syscall, l.lid);
    }
    if (!mutexKept(l, o, this.#handle)) this.#handle.object(l, "lock");
    this.result = this.#value;
    return true;
  }

  protected override undo(l: Lwp): void {
    const o = this.#o as Syncobj;
    if (o.w[o.at + COUNT] > 0) o.w[o.at + COUNT]--;
    else if (mutexHeldBy(l, o)) mutexDrop(o);
    flushKicks(o.k);
  }

  protected block(l: Lwp, ticks: number): number {
    const how = mutexBlock(l, this.#o as Syncobj, ticks);
    if (how === BLOCK_RETRY) this.#taken = true;
    else this.#asleep = true;
    return how;
  }
}

// --- the class ---------------------------------------------------------------------------------

/**
 * Locks without options: of a free mutex nothing is allocated. One serves all threads that use the handle, since it has no
 * state; it acts when it is iterated, as every operation.
 */
class LockNow<T> implements Operation<T> {
  readonly #mutex: Mutex;
  readonly #value: T;
  readonly #taken: Iterator<Token, T, undefined>;

  constructor(mutex: Mutex, value: T) {
    this.#mutex = mutex;
    this.#value = value;
    const done = { done: true, value } as const;
    this.#taken = {
      next: () => returnStep(cur.lwp) ?? done,
      // The handler of a signal has thrown: nobody would unlock it.
      throw(error) {
        mutex.unlock();
        throw error;
      },
    };
  }

  get syscall(): string {
    return "Mutex.lock";
  }

  [Symbol.iterator](): Iterator<Token, T, undefined> {
    const l = cur.lwp;
    if (l !== null && this.#mutex.takeNow(l)) return this.#taken;
    return new MutexLock("Mutex.lock", this.#mutex, this.#value, undefined);
  }
}
guardOperation(LockNow.prototype);

/**
 * A lock that one thread holds at a time.
 *
 *     yield* m.lock();
 *     try { … } finally { m.unlock(); }
 *
 * or, until the end of the block, `using _ = yield* m.guard()`. Source: pthread_mutex(3).
 */
export class Mutex extends SyncObject {
  protected readonly kind = "Mutex";
  readonly #lock: Operation<void>;
  /** Made when first asked for. */
  #guard: Guard | null = null;
  #guardNow: Operation<Guard> | null = null;

  /** Makes a free one. Errors: EINVAL no such type; ENOMEM the table of objects is full; TypeError outside a thread. */
  constructor(options: MutexOptions = {}) {
    super(Existing.from(options) ?? make(options));
    this.#lock = new LockNow<void>(this, undefined);
  }

  /**
   * Locks it. May sleep. A cancellation point, unlike pthread_mutex_lock.
   *
   * Errors: EDEADLK an error-checking one that the caller holds; EAGAIN a recursive one, held 2^31 times; those of waiting;
   * EINVAL it was disposed, or is another process's. Source: pthread_mutex_lock.
   */
  lock(options?: WaitOptions): Operation<void> {
    return options === undefined ? this.#lock : new MutexLock("Mutex.lock", this, undefined, options);
  }

  /** Locks it until the guard is disposed: `using _ = yield* m.guard()`. As `lock`. */
  guard(options?: WaitOptions): Operation<Guard> {
    const guard = (this.#guard ??= { [Symbol.dispose]: () => this.unlock() });
    if (options !== undefined) return new MutexLock("Mutex.guard", this, guard, options);
    return (this.#guardNow ??= new LockNow(this, guard));
  }

  /**
   * Locks it if that takes no waiting: false when anybody holds it; the holder of a recursive one gets it again. Does not
   * sleep. Errors: EAGAIN, EINVAL as for `lock`. Source: pthread_mutex_trylock, where false is EBUSY.
   */
  tryLock(): boolean {
    const l = caller("Mutex.tryLock");
    const o = this.object(l, "tryLock");
    const error = mutexTake(l, o);
    if (error === EAGAIN) fail(error, "Mutex.tryLock", l.lid);
    return error === 0 && mutexKept(l, o, this);
  }

  /**
   * Unlocks it, and wakes the first waiter; a recursive one when it has been unlocked as often as locked. Does not sleep.
   * Errors: EPERM the caller does not hold it; EINVAL. Source: pthread_mutex_unlock.
   */
  unlock(): void {
    const l = caller("Mutex.unlock");
    const o = this.object(l, "unlock");
    if (!mutexHeldBy(l, o)) misuse(l, EPERM, "Mutex.unlock", "the caller does not hold it");
    const { w } = o;
    if (w[o.at + COUNT] > 0) {
      w[o.at + COUNT]--;
      return;
    }
    mutexDrop(o);
    if (cur.kicks !== 0) flushKicks(o.k);
  }

  /** Lid of the thread that holds it; null if nobody does, or it is gone. Error: EINVAL the mutex was disposed. */
  get owner(): number | null {
    const l = caller("Mutex.owner");
    const lid = this.object(l, "owner").owner;
    return lid === 0 ? null : lid;
  }

  /** A free one for `l`; anything else takes the slow way. @internal */
  takeNow(l: Lwp): boolean {
    if (!this.isAlive()) return false;
    const o = this.object(l, "lock");
    if (!mutexTryenter(o.k, o.at + MUTEX)) return false;
    o.w[o.at + OWNER] = o.w[l.at + LID];
    return mutexKept(l, o, this);
  }

  protected override inUse(o: Syncobj): number {
    return o.w[o.at + MUTEX + MTX_OWNER] === 0 ? 0 : EBUSY;
  }
}

letTravel("Mutex", Mutex);

function make(options: MutexOptions): Existing {
  const l = maker("Mutex");
  const type = TYPES[options.type ?? "normal"];
  if (type === undefined) fail(EINVAL, "new Mutex", undefined, `no such type: ${String(options.type)}`);
  const made = makeObject(l, "Mutex", SO_MUTEX, options);
  mutexSetup(made.o, type);
  return made;
}
