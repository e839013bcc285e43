/**
 * `SpinLock`: for a few instructions between threads that run at the same time on different CPUs.
 *
 * One word of the object holds the owner's lid, changed by compare-and-exchange. Whoever finds it held does not sleep: it
 * tries again, and gives its CPU to others of its priority in between, among which the owner may be (the original computes
 * on). Nobody is queued, so the lock knows no order, and a listing shows a thread that runs.
 */
import { BLOCK_SWITCHED } from "../kern/sleepq.js";
import { atomicCas } from "../kern/spin.js";
import { yieldCpu } from "../kern/switch.js";
import { caller, fail, type Operation } from "../syscall/operation.js";
import { EBUSY, EINVAL, EPERM } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { SO_SPIN, type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import type { Guard } from "./mutex.js";
import { misuse } from "./misuse.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const OWNER = SyncobjRecord.offset.owner;

/** What a spin lock is to be like. */
export interface SpinLockOptions extends ObjectOptions {
  /** Whether other processes may use it: they may not, so only false is allowed. */
  readonly shared?: boolean;
}

class SpinLockOperation<T> extends BlockingOperation<T> {
  readonly #lock: SpinLock;
  readonly #value: T;

  constructor(call: string, lock: SpinLock, value: T, options: WaitOptions | undefined) {
    super(call, options);
    this.#lock = lock;
    this.#value = value;
  }

  protected attempt(l: Lwp): boolean {
    if (!take(this.#lock.object(l, "lock"), l)) return false;
    this.result = this.#value;
    return true;
  }

  protected block(l: Lwp): number {
    return yieldCpu(l) ? BLOCK_SWITCHED : BLOCK_RETRY;
  }

  /** It was not asleep. */
  protected override unblock(): void {}
}

/** A lock that is waited for by trying. Where threads share a CPU, or hold it for longer, `Mutex` is better. */
export class SpinLock extends SyncObject {
  protected readonly kind = "SpinLock";

  /**
   * Errors: EINVAL `shared` is not false; ENOMEM the table of objects is full; TypeError outside a thread. Source:
   * pthread_spin_init(3).
   */
  constructor(options: SpinLockOptions = {}) {
    super(Existing.from(options) ?? make(options));
  }

  /**
   * Takes it, and tries until it is free. Taking it twice tries for ever. A cancellation point. Gives the CPU away, but does
   * not sleep.
   *
   * Errors: those of waiting; EINVAL it was disposed. Source: pthread_spin_lock(3).
   */
  lock(options?: WaitOptions): Operation<void> {
    return new SpinLockOperation<void>("SpinLock.lock", this, undefined, options);
  }

  /** The same, for `using _ = yield* s.guard()`. */
  guard(options?: WaitOptions): Operation<Guard> {
    return new SpinLockOperation<Guard>(
      "SpinLock.guard",
      this,
      { [Symbol.dispose]: () => this.unlock() },
      options,
    );
  }

  /** Takes it if it is free: false is pthread_spin_trylock's EBUSY. Does not sleep. Error: EINVAL. */
  tryLock(): boolean {
    const l = caller("SpinLock.tryLock");
    return take(this.object(l, "tryLock"), l);
  }

  /** Lets it go. Does not sleep. Errors: EPERM the caller does not hold it; EINVAL. Source: pthread_spin_unlock(3). */
  unlock(): void {
    const l = caller("SpinLock.unlock");
    const o = this.object(l, "unlock");
    if (o.owner !== l.lid) misuse(l, EPERM, "SpinLock.unlock", "the caller does not hold it");
    atomicCas(o.k, o.at + OWNER, l.lid, 0);
  }

  protected override inUse(o: Syncobj): number {
    return o.owner === 0 ? 0 : EBUSY;
  }
}

letTravel("SpinLock", SpinLock);

function take(o: Syncobj, l: Lwp): boolean {
  return atomicCas(o.k, o.at + OWNER, 0, l.lid);
}

function make(options: SpinLockOptions): Existing {
  const l = maker("SpinLock");
  const shared: unknown = options.shared ?? false;
  if (shared !== false) fail(EINVAL, "new SpinLock", undefined, "it belongs to one process");
  return makeObject(l, "SpinLock", SO_SPIN, options);
}
