/**
 * `RwLock`: many readers, or one writer.
 *
 * The kernel's rwlock (kern/rwlock.ts) as programs need it: a wait that can be ended from outside, and a free lock that is
 * handed to the first writer, or else to all readers (THR-41). Who waits to write keeps new readers out.
 */
import {
  RW_READER,
  RW_TAKEN,
  RW_WRITER,
  rwAwoken,
  rwEnterSig,
  rwExit,
  rwInit,
  rwReadHeld,
  rwTryenter,
  rwWriteHeld,
} from "../kern/rwlock.js";
import { flushKicks } from "../kern/resched.js";
import { atomicLoad } from "../kern/spin.js";
import { caller, fail, type Operation } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EDEADLK, EINVAL, EPERM } from "../sys/errno.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { RW_SHIFT, RW_WRITE_LOCKED } from "../sys/shapes.js";
import { SO_RWLOCK, type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import type { Guard } from "./mutex.js";
import { misuse } from "./misuse.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const { rwlock: WORD, owner: OWNER } = SyncobjRecord.offset;
const LID = LwpRecord.offset.lid;

/** Whether `l` has locked it for writing. */
function writes(l: Lwp, o: Syncobj): boolean {
  const word = atomicLoad(o.k, o.at + WORD);
  return (word & RW_WRITE_LOCKED) !== 0 && word >> RW_SHIFT === l.index && o.owner === l.lid;
}

/** As `mutexKept`. */
function kept(o: Syncobj, lock: RwLock): boolean {
  if (lock.isAlive()) return true;
  const word = o.at + WORD;
  if (rwWriteHeld(o.k, word) || rwReadHeld(o.k, word)) rwExit(o.k, word, true);
  return false;
}

class RwEnter<T> extends BlockingOperation<T> {
  readonly #lock: RwLock;
  readonly #op: number;
  readonly #value: T;
  #o: Syncobj | null = null;
  #waited = false;
  #taken = false;

  constructor(call: string, lock: RwLock, op: number, value: T, options: WaitOptions | undefined) {
    super(`RwLock.${call}`, options);
    this.#lock = lock;
    this.#op = op;
    this.#value = value;
  }

  protected attempt(l: Lwp): boolean {
    const o = (this.#o ??= this.#lock.object(l, "lock"));
    if (!this.#taken) {
      if (!this.#lock.isAlive()) this.#lock.object(l, "lock");
      if (this.#waited) {
        this.#waited = false;
        if (!rwAwoken(o.k, o.at + WORD, l)) return false;
      } else {
        if (writes(l, o)) fail(EDEADLK, this.syscall, l.lid, "the caller has locked it for writing");
        if (!rwTryenter(o.k, o.at + WORD, this.#op)) return false;
      }
      if (this.#op === RW_WRITER) o.w[o.at + OWNER] = o.w[l.at + LID];
    }
    if (!kept(o, this.#lock)) this.#lock.object(l, "lock");
    this.result = this.#value;
    return true;
  }

  protected override undo(): void {
    this.#lock.unlock();
  }

  protected block(l: Lwp, ticks: number): number {
    const o = this.#o as Syncobj;
    const how = rwEnterSig(o.k, o.at + WORD, l, this.#op, ticks);
    if (how !== RW_TAKEN) {
      this.#waited = true;
      return how;
    }
    if (this.#op === RW_WRITER) o.w[o.at + OWNER] = o.w[l.at + LID];
    this.#taken = true;
    return BLOCK_RETRY;
  }
}

/**
 * A lock that many threads hold for reading, or one for writing.
 *
 *     using _ = yield* lock.readGuard();
 *
 * Source: pthread_rwlock(3).
 */
export class RwLock extends SyncObject {
  protected readonly kind = "RwLock";
  readonly #guard: Guard = { [Symbol.dispose]: () => this.unlock() };

  /** Errors: ENOMEM the table of objects is full; TypeError outside a thread. */
  constructor(options: ObjectOptions = {}) {
    super(Existing.from(options) ?? make(options));
  }

  /**
   * Locks it for reading: waits while somebody writes, or waits to. May sleep. A cancellation point, unlike
   * pthread_rwlock_rdlock. Read holds are not told apart: a thread may have several, but who asks for a second one while a
   * writer waits, waits for itself.
   *
   * Errors: EDEADLK the caller has locked it for writing; those of waiting; EINVAL it was disposed, or is another process's.
   * Source: pthread_rwlock_rdlock, pthread_rwlock_timedrdlock.
   */
  readLock(options?: WaitOptions): Operation<void> {
    return new RwEnter("readLock", this, RW_READER, undefined, options);
  }

  /**
   * Locks it for writing: waits while anybody has it. May sleep. A cancellation point. A reader that asks for it waits for
   * itself. Errors: as `readLock`. Source: pthread_rwlock_wrlock, pthread_rwlock_timedwrlock.
   */
  writeLock(options?: WaitOptions): Operation<void> {
    return new RwEnter("writeLock", this, RW_WRITER, undefined, options);
  }

  /** Locks it for reading until the guard is disposed. As `readLock`. */
  readGuard(options?: WaitOptions): Operation<Guard> {
    return new RwEnter("readGuard", this, RW_READER, this.#guard, options);
  }

  /** Locks it for writing until the guard is disposed. As `writeLock`. */
  writeGuard(options?: WaitOptions): Operation<Guard> {
    return new RwEnter("writeGuard", this, RW_WRITER, this.#guard, options);
  }

  /** Locks it for reading unless somebody writes or waits to: false is EBUSY. Does not sleep. Error: EINVAL. */
  tryReadLock(): boolean {
    return this.#try("tryReadLock", RW_READER);
  }

  /** Locks it for writing if nobody has it: false is EBUSY. Does not sleep. Error: EINVAL. */
  tryWriteLock(): boolean {
    return this.#try("tryWriteLock", RW_WRITER);
  }

  #try(call: string, op: number): boolean {
    const l = caller(`RwLock.${call}`);
    const o = this.object(l, call);
    if (!rwTryenter(o.k, o.at + WORD, op)) return false;
    if (op === RW_WRITER) o.w[o.at + OWNER] = o.w[l.at + LID];
    return kept(o, this);
  }

  /**
   * Gives up the caller's hold; the last one hands the lock on. Does not sleep. Errors: EPERM another has locked it for
   * writing, or nobody has it; EINVAL. Source: pthread_rwlock_unlock.
   */
  unlock(): void {
    const l = caller("RwLock.unlock");
    const o = this.object(l, "unlock");
    const word = atomicLoad(o.k, o.at + WORD);
    const mine = writes(l, o);
    if (!mine && ((word & RW_WRITE_LOCKED) !== 0 || word >> RW_SHIFT === 0))
      misuse(l, EPERM, "RwLock.unlock", "the caller does not hold it");
    if (mine) o.owner = 0;
    rwExit(o.k, o.at + WORD, true);
    if (cur.kicks !== 0) flushKicks(o.k);
  }

  /** Lid of the thread that has locked it for writing; null if none has, or it is gone. Error: EINVAL it was disposed. */
  get writer(): number | null {
    const { owner } = this.object(caller("RwLock.writer"), "writer");
    return owner === 0 ? null : owner;
  }

  /** THR-41: one in use is refused with EINVAL. */
  protected override inUse(o: Syncobj): number {
    return o.w[o.at + WORD] === 0 ? 0 : EINVAL;
  }
}

letTravel("RwLock", RwLock);

function make(options: ObjectOptions): Existing {
  const made = makeObject(maker("RwLock"), "RwLock", SO_RWLOCK, options);
  rwInit(made.o.k, made.o.rwlock);
  return made;
}
