/**
 * `Barrier`: threads wait for each other.
 *
 * The last one to arrive releases the others, and the barrier serves again at once. One that gives up counts no longer, unless
 * its round was over before it could say so: then it was released with the others. The number of the round tells.
 */
import { flushKicks } from "../kern/resched.js";
import { sleepqBlockUser } from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { syncobjEnqueue, syncobjGrantAll } from "../kern/syncobj.js";
import { fail, type Operation } from "../syscall/operation.js";
import { EINVAL } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { SOBJ_OBJ } from "../sys/param.js";
import { packText } from "../sys/record.js";
import { SO_BARRIER, type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const { queue: QUEUE } = SyncobjRecord.offset;
const WMESG = packText("barrier");
const ROUNDS = 0x7fffffff;

class BarrierWait extends BlockingOperation<boolean> {
  readonly #barrier: Barrier;
  #o: Syncobj | null = null;
  /** In this round; -1 = in none. */
  #round = -1;
  #last = false;

  constructor(barrier: Barrier, options: WaitOptions | undefined) {
    super("Barrier.wait", options);
    this.#barrier = barrier;
  }

  protected attempt(l: Lwp): boolean {
    const o = (this.#o ??= this.#barrier.object(l, "wait"));
    this.result = this.#last;
    if (this.#round < 0) return this.#last;
    const released = l.granted !== 0 || this.#withdraw(o);
    this.#round = -1;
    return released;
  }

  /** True: too late, the round is over. */
  #withdraw(o: Syncobj): boolean {
    spinEnter(o.k, o.lock);
    const over = o.count !== this.#round;
    if (!over) o.value--;
    spinExit(o.k, o.lock);
    return over;
  }

  protected block(l: Lwp, ticks: number): number {
    const o = this.#barrier.locked(l, "wait");
    if (o.value + 1 < o.limit) {
      o.value++;
      this.#round = o.count;
      syncobjEnqueue(l, o, o.at + QUEUE, WMESG, SOBJ_OBJ);
      return sleepqBlockUser(l, ticks);
    }
    o.value = 0;
    o.count = (o.count + 1) & ROUNDS;
    syncobjGrantAll(o, o.at + QUEUE, 1);
    spinExit(o.k, o.lock);
    flushKicks(o.k);
    this.#last = true;
    return BLOCK_RETRY;
  }
}

/** Lets a number of threads go on together. Source: pthread_barrier(3). */
export class Barrier extends SyncObject {
  protected readonly kind = "Barrier";

  /** For `count` threads, 1 or more. Errors: EINVAL no such count; ENOMEM the table is full; TypeError outside a thread. */
  constructor(count: number, options: ObjectOptions = {}) {
    super(Existing.from(count) ?? make(count, options));
  }

  /**
   * Waits until `count` threads do. Returns true to one of them, the last, and false to the others. May sleep. A cancellation
   * point, unlike pthread_barrier_wait: a thread that gives up has not arrived.
   *
   * Errors: those of waiting; EINVAL it was disposed, or is another process's. Source: pthread_barrier_wait, where true is
   * PTHREAD_BARRIER_SERIAL_THREAD.
   */
  wait(options?: WaitOptions): Operation<boolean> {
    return new BarrierWait(this, options);
  }
}

letTravel("Barrier", Barrier);

function make(count: number, options: ObjectOptions): Existing {
  const l = maker("Barrier");
  if (!(Number.isInteger(count) && count >= 1 && count <= 0x7fffffff)) {
    fail(EINVAL, "new Barrier", undefined, `the count must be 1 or more, not ${String(count)}`);
  }
  const made = makeObject(l, "Barrier", SO_BARRIER, options);
  made.o.limit = count;
  return made;
}
