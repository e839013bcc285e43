/**
 * `Semaphore`: a number of permits.
 *
 * A post gives the permit to the first waiter, which owns it when it runs again, or else counts it. So a permit is never on
 * its way: a waiter that is cancelled, timed out or suspended at the same time has it or has it not.
 */
import { flushKicks } from "../kern/resched.js";
import { sleepqBlock } from "../kern/sleepq.js";
import { spinExit } from "../kern/spin.js";
import { syncobjEnqueue, syncobjFirst, syncobjGrant } from "../kern/syncobj.js";
import { caller, fail, type Operation } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EINVAL, EOVERFLOW } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { SOBJ_OBJ } from "../sys/param.js";
import { packText } from "../sys/record.js";
import { SO_SEMAPHORE, SyncobjRecord } from "../sys/syncobj.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const { value: VALUE, queue: QUEUE } = SyncobjRecord.offset;
const WMESG = packText("sem");

/** The highest value: SEM_VALUE_MAX. */
export const SEM_VALUE_MAX = 0xffffffff;

class SemaphoreWait extends BlockingOperation<void> {
  readonly #semaphore: Semaphore;
  #waited = false;
  #taken = false;

  constructor(semaphore: Semaphore, options: WaitOptions | undefined) {
    super("Semaphore.wait", options);
    this.#semaphore = semaphore;
  }

  protected attempt(l: Lwp): boolean {
    if (this.#taken) return true;
    if (this.#waited && l.granted !== 0) return true;
    this.#waited = false;
    return this.#semaphore.take(l, "wait");
  }

  protected block(l: Lwp, ticks: number): number {
    const o = this.#semaphore.locked(l, "wait");
    if (o.value !== 0) {
      o.value--;
      this.#taken = true;
      spinExit(o.k, o.lock);
      return BLOCK_RETRY;
    }
    this.#waited = true;
    syncobjEnqueue(l, o, o.at + QUEUE, WMESG, SOBJ_OBJ);
    return sleepqBlock(l, ticks, true);
  }
}

/** A counting semaphore. Source: sem_init(3). */
export class Semaphore extends SyncObject {
  protected readonly kind = "Semaphore";

  /**
   * With `value` permits, 0 to 2^32 - 1. Errors: EINVAL no such value; ENOMEM the table of objects is full; TypeError outside
   * a thread.
   */
  constructor(value: number, options: ObjectOptions = {}) {
    super(Existing.from(value) ?? make(value, options));
  }

  /**
   * Takes a permit, and waits until there is one. May sleep. A cancellation point. Permits go to waiters by priority, then in
   * the order they came.
   *
   * Errors: those of waiting, EINVAL for a bad time-out even if there is a permit; EINVAL it was disposed, or is another
   * process's. Source: sem_wait, sem_timedwait.
   */
  wait(options?: WaitOptions): Operation<void> {
    return new SemaphoreWait(this, options);
  }

  /** Takes a permit if there is one: false is sem_trywait's EAGAIN. Does not sleep. Error: EINVAL. */
  tryWait(): boolean {
    return this.take(caller("Semaphore.tryWait"), "tryWait");
  }

  /**
   * Adds a permit: the first waiter has it, or it is counted. Does not sleep. Errors: EOVERFLOW there are 2^32 - 1; EINVAL.
   * Source: sem_post.
   */
  post(): void {
    const o = this.locked(caller("Semaphore.post"), "post");
    const first = syncobjFirst(o, o.at + QUEUE);
    const full = first === null && o.value >>> 0 === SEM_VALUE_MAX;
    if (first !== null) syncobjGrant(first, 1);
    else if (!full) o.value++;
    spinExit(o.k, o.lock);
    if (full) fail(EOVERFLOW, "Semaphore.post", undefined, "it has 2^32 - 1 permits");
    if (cur.kicks !== 0) flushKicks(o.k);
  }

  /** Permits now. Error: EINVAL. Source: sem_getvalue. */
  get value(): number {
    return this.object(caller("Semaphore.value"), "value").value >>> 0;
  }

  /** One attempt. @internal */
  take(l: Lwp, call: string): boolean {
    if (l.w[this.object(l, call).at + VALUE] === 0) return false;
    const o = this.locked(l, call);
    const free = o.value !== 0;
    if (free) o.value--;
    spinExit(o.k, o.lock);
    return free;
  }
}

letTravel("Semaphore", Semaphore);

function make(value: number, options: ObjectOptions): Existing {
  const l = maker("Semaphore");
  if (!(Number.isInteger(value) && value >= 0 && value <= SEM_VALUE_MAX)) {
    fail(EINVAL, "new Semaphore", undefined, `the value must be 0 to 2^32 - 1, not ${String(value)}`);
  }
  const made = makeObject(l, "Semaphore", SO_SEMAPHORE, options);
  made.o.value = value | 0;
  return made;
}
