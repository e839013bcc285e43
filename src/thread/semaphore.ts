/**
 * `Semaphore`: a number of permits.
 *
 * A post gives the permit to the first waiter, which owns it when it runs again, or else counts it. So a permit is never on
 * its way: a waiter that is cancelled, timed out or suspended at the same time has it or has it not.
 */
import { flushKicks } from "../kern/resched.js";
import { sleepqBlockUser } from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { syncobjEnqueue, syncobjFirst, syncobjGrant } from "../kern/syncobj.js";
import { caller, fail, type Operation } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EBUSY, EINVAL, EOVERFLOW } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { SOBJ_OBJ } from "../sys/param.js";
import { packText } from "../sys/record.js";
import { SO_NAMED, SO_OPEN, SO_SEMAPHORE, type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { namedOpen, namedUnlink, type OpenOptions } from "./named.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const { value: VALUE, queue: QUEUE } = SyncobjRecord.offset;
const WMESG = packText("sem");

/** The highest value: SEM_VALUE_MAX. */
export const SEM_VALUE_MAX = 0xffffffff;

class SemaphoreWait extends BlockingOperation<void> {
  readonly #semaphore: Semaphore;
  /** The reference it waits through, if the semaphore is a named one. */
  #through: Syncobj | null = null;
  #waited = false;
  #taken = false;

  constructor(semaphore: Semaphore, options: WaitOptions | undefined) {
    super("Semaphore.wait", options);
    this.#semaphore = semaphore;
  }

  protected attempt(l: Lwp): boolean {
    if (this.#taken) return true;
    if (this.#through !== null) this.#leave(l, this.#through);
    if (this.#waited && l.granted !== 0) return true;
    this.#waited = false;
    return this.#semaphore.take(l, "wait");
  }

  protected override undo(): void {
    this.#semaphore.post();
  }

  #leave(l: Lwp, reference: Syncobj): void {
    const { lock } = l.k.syncobjs.view(reference.target);
    spinEnter(l.k, lock);
    reference.value--;
    spinExit(l.k, lock);
    this.#through = null;
  }

  protected block(l: Lwp, ticks: number): number {
    const o = this.#semaphore.lockedPermits(l, "wait");
    if (o.value !== 0) {
      o.value--;
      this.#taken = true;
      spinExit(o.k, o.lock);
      return BLOCK_RETRY;
    }
    this.#waited = true;
    if (o.kind === SO_NAMED) {
      this.#through = this.#semaphore.object(l, "wait");
      this.#through.value++;
    }
    syncobjEnqueue(l, o, o.at + QUEUE, WMESG, SOBJ_OBJ);
    return sleepqBlockUser(l, ticks);
  }
}

/** A counting semaphore. Source: sem_init(3), sem_open(3). */
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
   * Opens the semaphore of that name, which all processes of the machine share and which stays until it is unlinked. What it
   * returns is closed, not disposed: by `close`, at the end of a `using` block or of the process. Does not sleep.
   *
   * Errors: ENAMETOOLONG more than 14 characters; ENOENT there is none, and `create` is not set; with `create`: EINVAL the name
   * is not "/x…" without another slash, or no such value; EEXIST there is one, and `exclusive` is set; ENFILE there are 128;
   * ENOMEM the table of objects is full. Source: sem_open.
   */
  static open(name: string, options: OpenOptions = {}): Semaphore {
    const l = caller("Semaphore.open");
    if (options.create === true) checkValue(options.value ?? 0, "Semaphore.open");
    return new Semaphore(namedOpen(l, name, options) as never);
  }

  /**
   * Takes the name of a semaphore away: nobody finds it any more, and it goes when nobody has it open. Does not sleep. Errors:
   * ENAMETOOLONG; ENOENT. Source: sem_unlink.
   */
  static unlink(name: string): void {
    namedUnlink(caller("Semaphore.unlink"), name);
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
    const o = this.lockedPermits(caller("Semaphore.post"), "post");
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
    return this.#permits(caller("Semaphore.value"), "value").value >>> 0;
  }

  /**
   * Closes what `open` returned. Does not sleep. Errors: EINVAL it was not opened, or was closed before; EBUSY a thread waits
   * through it. Source: sem_close.
   */
  close(): void {
    this.free("close");
  }

  /** Disposes it, or closes it, at the end of a `using` block. */
  override [Symbol.dispose](): void {
    if (!this.isAlive()) return;
    const l = caller("Semaphore");
    this.free(this.object(l, "dispose").kind === SO_OPEN ? "close" : "dispose");
  }

  /** A named one is closed and unlinked, not disposed: EINVAL (THR-45). */
  protected override inUse(o: Syncobj, call: string): number {
    const named = o.kind === SO_OPEN;
    if (named !== (call === "close")) return EINVAL;
    return named && o.value !== 0 ? EBUSY : 0;
  }

  /** A named one, which has the permits, for its reference. */
  protected override covering(o: Syncobj): Syncobj {
    return o.kind === SO_OPEN ? o.k.syncobjs.view(o.target) : o;
  }

  #permits(l: Lwp, call: string): Syncobj {
    return this.covering(this.object(l, call));
  }

  /** The same, locked. @internal */
  lockedPermits(l: Lwp, call: string): Syncobj {
    const o = this.#permits(l, call);
    spinEnter(o.k, o.lock);
    if (this.isAlive()) return o;
    spinExit(o.k, o.lock);
    return this.object(l, call);
  }

  /** One attempt. @internal */
  take(l: Lwp, call: string): boolean {
    if (l.w[this.#permits(l, call).at + VALUE] === 0) return false;
    const o = this.lockedPermits(l, call);
    const free = o.value !== 0;
    if (free) o.value--;
    spinExit(o.k, o.lock);
    return free;
  }
}

letTravel("Semaphore", Semaphore);

function checkValue(value: number, call: string): void {
  if (!(Number.isInteger(value) && value >= 0 && value <= SEM_VALUE_MAX))
    fail(EINVAL, call, undefined, `the value must be 0 to 2^32 - 1, not ${String(value)}`);
}

function make(value: number, options: ObjectOptions): Existing {
  const l = maker("Semaphore");
  checkValue(value, "new Semaphore");
  const made = makeObject(l, "Semaphore", SO_SEMAPHORE, options);
  made.o.value = value | 0;
  return made;
}
