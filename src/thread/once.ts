/**
 * `Once`: something that is done once, by whoever comes first, while the others wait for it.
 *
 * A mutex and a mark. The routine runs with the mutex held; if it throws or its thread is cancelled, the mark is not set, and
 * the next one runs it.
 */
import { flushKicks } from "../kern/resched.js";
import type { Token } from "../context/generator.js";
import { delegateTo } from "../context/polls.js";
import { caller, type Operation } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EBUSY } from "../sys/errno.js";
import { MTX_OWNER } from "../sys/shapes.js";
import { PTHREAD_MUTEX_ERRORCHECK, SO_ONCE, type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import { mutexDrop, MutexLock, mutexSetup } from "./mutex.js";
import { Existing, letTravel, makeObject, maker, type ObjectOptions, SyncObject } from "./object.js";
import type { WaitOptions } from "./wait.js";

const { value: DONE, mutex: MUTEX } = SyncobjRecord.offset;

/** Done once. Source: pthread_once(3). */
export class Once extends SyncObject {
  protected readonly kind = "Once";

  /** Errors: ENOMEM the table of objects is full; TypeError outside a thread. */
  constructor(options: ObjectOptions = {}) {
    super(Existing.from(options) ?? make(options));
  }

  /**
   * Runs `routine`, a generator function, unless that was done before; waits while another thread does. When it returns the
   * routine has been run. May sleep. A cancellation point where it waits.
   *
   * Errors: what the routine throws: it is then not done; EDEADLK from inside the routine; those of waiting; EINVAL it was
   * disposed, or is another process's. Source: pthread_once.
   */
  *run(
    routine: () => Iterator<Token, unknown, undefined>,
    options?: WaitOptions,
  ): Generator<Token, void, undefined> {
    if (this.isDone) return;
    yield* new MutexLock("Once.run", this, undefined, options);
    const o = this.object(caller("Once.run"), "run");
    try {
      if (o.w[o.at + DONE] !== 0) return;
      yield* { [Symbol.iterator]: () => delegateTo(routine, routine()) } satisfies Operation<unknown>;
      o.w[o.at + DONE] = 1;
    } finally {
      mutexDrop(o);
      if (cur.kicks !== 0) flushKicks(o.k);
    }
  }

  /** Whether the routine has been run. Error: EINVAL. */
  get isDone(): boolean {
    return this.object(caller("Once.isDone"), "isDone").value !== 0;
  }

  protected override inUse(o: Syncobj): number {
    return o.w[o.at + MUTEX + MTX_OWNER] === 0 ? 0 : EBUSY;
  }
}

letTravel("Once", Once);

function make(options: ObjectOptions): Existing {
  const made = makeObject(maker("Once"), "Once", SO_ONCE, options);
  mutexSetup(made.o, PTHREAD_MUTEX_ERRORCHECK);
  return made;
}
