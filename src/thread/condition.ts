/**
 * `Condition`: waiting until another thread says that something has changed.
 *
 * A wait, in steps: (1) the caller holds the mutex; (2) with the condition locked it joins the queue, then lets the mutex go,
 * so that no signal can come in between; (3) it sleeps; (4) whatever ended the sleep, it locks the mutex again, and nothing
 * but the exit of the process keeps it from that; (5) it returns, or throws why it gave up. A signal takes the waiter off the
 * queue and so decides that it was signalled: a time-out or cancellation that comes later does not lose it.
 */
import { mutexTryenter } from "../kern/mutex.js";
import { flushKicks } from "../kern/resched.js";
import { sleepqBlockUser, sleepqUnblock } from "../kern/sleepq.js";
import { spinExit } from "../kern/spin.js";
import { syncobjEnqueue, syncobjFirst, syncobjGrant, syncobjGrantAll } from "../kern/syncobj.js";
import { caller, type Operation } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EPERM } from "../sys/errno.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { SOBJ_OBJ_LIFO } from "../sys/param.js";
import { packText } from "../sys/record.js";
import { SLEEPQ_HEAD } from "../sys/shapes.js";
import { SO_CONDITION, type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import { misuse } from "./misuse.js";
import { type Mutex, mutexBlock, mutexDrop, mutexHeldBy, mutexKept, mutexRetry } from "./mutex.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const { queue: QUEUE, mutex: MUTEX, owner: OWNER, count: COUNT } = SyncobjRecord.offset;
const LID = LwpRecord.offset.lid;
const WMESG = packText("condvar");

// Where a wait stands.
const BEFORE = 0;
const WAITING = 1;
const RELOCKING = 2;

class ConditionWait extends BlockingOperation<void> {
  readonly #condition: Condition;
  readonly #mutex: Mutex;
  #m: Syncobj | null = null;
  #stage = BEFORE;
  /** How often a recursive mutex was held beyond the first time. */
  #count = 0;
  /** Why it gave up. */
  #why = 0;
  #taken = false;

  constructor(condition: Condition, mutex: Mutex, options: WaitOptions | undefined) {
    super("Condition.wait", options);
    this.#condition = condition;
    this.#mutex = mutex;
  }

  protected attempt(l: Lwp): boolean {
    switch (this.#stage) {
      case BEFORE:
        this.#condition.object(l, "wait");
        this.#m = this.#mutex.object(l, "lock");
        if (!mutexHeldBy(l, this.#m))
          misuse(l, EPERM, "Condition.wait", "the caller does not hold the mutex");
        return false;
      case WAITING:
        this.#stage = RELOCKING;
        if (l.granted === 0) this.#why = super.reasonToStop(l);
    }
    return this.#relock(l);
  }

  #relock(l: Lwp): boolean {
    const m = this.#m as Syncobj;
    const { w } = m;
    if (!this.#taken) {
      if (!this.#mutex.isAlive()) this.#mutex.object(l, "lock");
      if (!mutexRetry(l, m) || !mutexTryenter(m.k, m.at + MUTEX)) return false;
      w[m.at + OWNER] = w[l.at + LID];
    }
    if (!mutexKept(l, m, this.#mutex)) this.#mutex.object(l, "lock");
    w[m.at + COUNT] = this.#count;
    if (this.#why !== 0) throw this.errorOf(l, this.#why);
    return true;
  }

  protected block(l: Lwp, ticks: number): number {
    const m = this.#m as Syncobj;
    if (this.#stage === RELOCKING) {
      const how = mutexBlock(l, m, 0);
      if (how === BLOCK_RETRY) this.#taken = true;
      return how;
    }
    const o = this.#condition.locked(l, "wait");
    syncobjEnqueue(l, o, o.at + QUEUE, WMESG, SOBJ_OBJ_LIFO);
    this.#stage = WAITING;
    this.#count = m.count;
    m.count = 0;
    mutexDrop(m);
    return sleepqBlockUser(l, ticks);
  }

  protected override unblock(l: Lwp, how: number, ticks: number): void {
    sleepqUnblock(l, how, this.#stage === RELOCKING ? 0 : ticks, true);
  }

  /** Once it has let the mutex go it comes back with it. */
  protected override reasonToStop(l: Lwp): number {
    return this.#stage === BEFORE ? super.reasonToStop(l) : 0;
  }
}

/**
 * A condition variable.
 *
 *     while (!ready) yield* condition.wait(mutex);
 *
 * Test in a loop: a thread that was suspended while it waited returns without a signal, and others may lock the mutex first.
 * Source: pthread_cond(3).
 */
export class Condition extends SyncObject {
  protected readonly kind = "Condition";

  /** Errors: ENOMEM the table of objects is full; TypeError outside a thread. */
  constructor(options: ObjectOptions = {}) {
    super(
      options instanceof Existing
        ? options
        : makeObject(maker("Condition"), "Condition", SO_CONDITION, options),
    );
  }

  /**
   * Unlocks the mutex, however often it is held, waits for a signal, and locks it again: also when it throws, but for the
   * errors that say it was never unlocked (EPERM, EINVAL, or a reason that was there before). May sleep. A cancellation point.
   * The time-out counts machine time, which nobody sets; it does not limit the wait for the mutex.
   *
   * Errors: EPERM the caller does not hold the mutex; EINVAL one of them was disposed, or is another process's; those of
   * waiting. Source: pthread_cond_wait, pthread_cond_timedwait.
   */
  wait(mutex: Mutex, options?: WaitOptions): Operation<void> {
    return new ConditionWait(this, mutex, options);
  }

  /**
   * Lets one waiter go on: the one of the highest priority, of equals the one that came last. Without waiters it has no
   * effect. Does not sleep. Error: EINVAL. Source: pthread_cond_signal.
   */
  signal(): void {
    this.#wake("signal", false);
  }

  /** Lets all waiters go on. Does not sleep. Error: EINVAL. Source: pthread_cond_broadcast. */
  broadcast(): void {
    this.#wake("broadcast", true);
  }

  #wake(call: string, all: boolean): void {
    const l = caller("Condition.signal");
    // Who holds the mutex sees every waiter; who does not may come before or after one.
    const q = this.object(l, call).at + QUEUE;
    if (l.w[q + SLEEPQ_HEAD] === 0) return;
    const o = this.locked(l, call);
    const first = syncobjFirst(o, q);
    if (all) syncobjGrantAll(o, q, 1);
    else if (first !== null) syncobjGrant(first, 1);
    spinExit(o.k, o.lock);
    if (cur.kicks !== 0) flushKicks(o.k);
  }
}

letTravel("Condition", Condition);
