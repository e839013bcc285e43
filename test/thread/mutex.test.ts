/** Mutexes of the thread library, exactly, on simulated CPUs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Mutex, type MutexOptions, schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpContinue, lwpPark, lwpSuspend, lwpUnpark, lwpWakeup } from "lwp/syscall";
import { codeOf, joinAll, untilWaiting, waiter, waitersOf } from "../support/objects.js";
import { outcome, ThreadMachine } from "../support/threads.js";

const INT_MAX = 0x7fffffff;
const TYPES: readonly NonNullable<MutexOptions["type"]>[] = ["normal", "errorcheck", "recursive"];

const recordOf = ({ id }: Mutex): K.Syncobj => K.cur.lwp.k.syncobjs.view(id);

describe("a mutex", () => {
  test("lets one thread in at a time, whatever the schedule", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const mutex = new Mutex();
        let inside = 0;
        let total = 0;
        const threads = [];
        for (let i = 0; i < 4; i++) {
          threads.push(
            yield* Thread.spawn(function* () {
              for (let n = 0; n < 8; n++) {
                yield* mutex.lock();
                assert.equal(++inside, 1, `seed ${seed}`);
                yield* schedYield();
                total++;
                inside--;
                mutex.unlock();
              }
            }),
          );
        }
        yield* joinAll(threads);
        assert.equal(total, 32);
      });
    }
  });

  test("is held until the guard of a using block is disposed, also by an exception", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const mutex = new Mutex();
      for (const options of [undefined, { timeout: 100 }]) {
        const body = function* (): K.Body {
          using _ = yield* mutex.guard(options);
          assert.equal(mutex.owner, 1);
          throw new RangeError("out");
        };
        assert.equal(yield* outcome({ [Symbol.iterator]: body }), "RangeError");
        assert.equal(mutex.owner, null);
      }
    });
  });

  test("a lock that cannot be had ends by time-out, abort or cancellation, which THR-17 does not ask for, and leaves the queue", () => {
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(1) });
    m.runMain(function* () {
      const mutex = new Mutex();
      yield* mutex.lock();
      const abort = new AbortController();
      const threads: Thread<unknown>[] = [];
      for (const options of [{ timeout: 0 }, { timeout: 30 }, { signal: abort.signal }, undefined]) {
        threads.push(yield* waiter(() => mutex.lock(options)));
      }
      threads.push(
        yield* waiter(
          () => mutex.lock({ timeout: 1e6 }),
          () => mutex.unlock(),
        ),
      );
      yield* Thread.sleep(100);
      abort.abort(new RangeError("aborted"));
      yield* threads[3].cancel();
      assert.deepEqual(yield* joinAll(threads.slice(0, 4)), [
        "ETIMEDOUT",
        "ETIMEDOUT",
        "RangeError",
        "ECANCELED",
      ]);
      assert.deepEqual(waitersOf(mutex), [threads[4].lid]);
      mutex.unlock();
      assert.equal(yield* threads[4].join(), undefined);
    });
  });

  test("a waiter that is woken and cancelled at once takes the mutex, or leaves it to the next", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const mutex = new Mutex();
        yield* mutex.lock();
        const threads: Thread<unknown>[] = [];
        for (let i = 0; i < 3; i++) {
          threads.push(
            yield* waiter(
              () => mutex.lock(),
              () => mutex.unlock(),
            ),
          );
        }
        yield* untilWaiting(mutex, 3);
        mutex.unlock();
        yield* threads[0].cancel();
        const [first, ...others] = yield* joinAll(threads);
        assert.ok(first === undefined || first === "ECANCELED", `seed ${seed}: ${String(first)}`);
        assert.deepEqual(others, [undefined, undefined], `seed ${seed}`);
      });
    }
  });

  test("a waiter that is suspended does not keep it from the others, and waits on when it is continued", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const mutex = new Mutex();
        yield* mutex.lock();
        let got = 0;
        const take = (): void => {
          got++;
          mutex.unlock();
        };
        const a = yield* waiter(() => mutex.lock(), take);
        const b = yield* waiter(() => mutex.lock(), take);
        yield* untilWaiting(mutex, 2);
        yield* lwpSuspend(a.lid);
        assert.deepEqual(waitersOf(mutex), [b.lid]);
        mutex.unlock();
        yield* b.join();
        assert.equal(got, 1);
        yield* lwpContinue(a.lid);
        yield* a.join();
        assert.equal(got, 2);
      });
    }
  });

  test("a waiter that is woken, and suspended before it runs, passes the wakeup on", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const mutex = new Mutex();
      yield* mutex.lock();
      const a = yield* waiter(
        () => mutex.lock(),
        () => mutex.unlock(),
      );
      yield* untilWaiting(mutex, 1);
      const b = yield* waiter(
        () => mutex.lock(),
        () => mutex.unlock(),
      );
      yield* untilWaiting(mutex, 2);
      mutex.unlock();
      assert.deepEqual(waitersOf(mutex), [b.lid]);
      yield* lwpSuspend(a.lid);
      assert.equal(yield* b.join(), undefined);
      assert.equal(mutex.owner, null);
      yield* lwpContinue(a.lid);
      assert.equal(yield* a.join(), undefined);
    });
  });

  test("whose holder is killed with its process holds up nobody", () => {
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(1) });
    m.runMain(function* () {
      const mutex = new Mutex();
      yield* mutex.lock();
      for (let i = 0; i < 3; i++) yield* waiter(() => mutex.lock());
      yield* untilWaiting(mutex, 3);
    });
  });
});

describe("types, errors, wakeups", () => {
  test("THR-30: types normal (the default), errorcheck and recursive; any other is EINVAL. Differs: waits may be timed", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      assert.equal(recordOf(new Mutex()).flags, K.PTHREAD_MUTEX_NORMAL);
      assert.deepEqual(
        TYPES.map((type) => recordOf(new Mutex({ type })).flags),
        [0, 1, 2],
      );
      for (const type of ["default", "robust", "", 0]) {
        assert.equal(
          codeOf(() => new Mutex({ type: type as never })),
          "EINVAL",
        );
      }
    });
  });

  test("THR-31: relocking: errorcheck is EDEADLK, recursive counts up to EAGAIN, normal waits for itself (it spins for ever in the original)", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const self = K.cur.lwp.lid;
      const [normal, errorcheck, recursive] = TYPES.map((type) => new Mutex({ type }));
      for (const mutex of [normal, errorcheck, recursive]) yield* mutex.lock();
      assert.equal(yield* outcome(errorcheck.lock()), "EDEADLK");
      assert.equal(yield* outcome(recursive.lock()), undefined);
      recordOf(recursive).count = INT_MAX;
      assert.equal(yield* outcome(recursive.lock()), "EAGAIN");
      assert.equal(yield* outcome(normal.lock({ timeout: 50 })), "ETIMEDOUT");
      const asleep = yield* Thread.spawn(function* () {
        yield* untilWaiting(normal, 1);
        assert.deepEqual([waitersOf(normal), normal.owner], [[self], self]);
        yield* lwpWakeup(self);
        yield* untilWaiting(normal, 0);
        yield* untilWaiting(normal, 1);
      });
      assert.equal(yield* outcome(normal.lock({ timeout: 200 })), "ETIMEDOUT");
      yield* asleep.join();
    });
  });

  test("THR-31: the free one is taken at once; a waiter sets the mark under the chain's lock, and tries anew when woken", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const mutex = new Mutex();
      const { ncsw } = K.cur.lwp;
      yield* mutex.lock();
      mutex.unlock();
      yield* mutex.lock();
      const o = recordOf(mutex);
      const word = (): number => o.w[o.mutex + K.MTX_OWNER];
      assert.deepEqual([K.cur.lwp.ncsw, word()], [ncsw, K.cur.lwp.index << 1]);
      const t = yield* waiter(() => mutex.lock());
      yield* untilWaiting(mutex, 1);
      assert.equal(word(), (K.cur.lwp.index << 1) | K.MTX_WAITERS);
      mutex.unlock();
      assert.equal(word(), 0);
      assert.ok(mutex.tryLock(), "it was handed over");
      yield* untilWaiting(mutex, 1);
      mutex.unlock();
      yield* t.join();
    });
  });

  test("THR-32: unlock by another, or of a free one, is EPERM for each type; a recursive one is free after as many unlocks", () => {
    for (const type of TYPES) {
      const m = new ThreadMachine();
      m.runMain(function* () {
        const mutex = new Mutex({ type });
        assert.equal(
          codeOf(() => mutex.unlock()),
          "EPERM",
        );
        yield* mutex.lock();
        const other = yield* Thread.spawn(function* () {
          return codeOf(() => mutex.unlock());
        });
        assert.equal(yield* other.join(), "EPERM");
        const extra = type === "recursive" ? 3 : 0;
        for (let i = 0; i < extra; i++) yield* mutex.lock();
        for (let i = 0; i < extra; i++) {
          mutex.unlock();
          assert.equal(mutex.owner, K.cur.lwp.lid);
        }
        mutex.unlock();
        assert.equal(mutex.owner, null);
      });
    }
  });

  test("THR-32: unlock wakes the first waiter of the highest priority. Differs: the original wakes all, newest first", () => {
    const m = new ThreadMachine();
    const order: number[] = [];
    m.runMain(function* () {
      const mutex = new Mutex();
      yield* mutex.lock();
      const threads = [];
      for (const [n, priority] of [40, 42, 41, 42].entries()) {
        threads.push(
          yield* Thread.spawn(function* () {
            K.cur.lwp.priority = priority;
            yield* mutex.lock();
            order.push(n);
            mutex.unlock();
          }),
        );
      }
      yield* untilWaiting(mutex, 4);
      mutex.unlock();
      assert.equal(waitersOf(mutex).length, 3);
      yield* joinAll(threads);
    });
    assert.deepEqual(order, [1, 3, 2, 0]);
  });

  test("THR-33: tryLock is false (EBUSY) if anybody holds it, oneself too, but counts for a recursive one up to EAGAIN; dispose: held is EBUSY, gone is EINVAL", () => {
    for (const type of TYPES) {
      const m = new ThreadMachine();
      m.runMain(function* () {
        const mutex = new Mutex({ type });
        assert.equal(mutex.tryLock(), true);
        assert.equal(mutex.tryLock(), type === "recursive");
        const other = yield* Thread.spawn(function* () {
          return mutex.tryLock();
        });
        assert.equal(yield* other.join(), false);
        if (type === "recursive") {
          recordOf(mutex).count = INT_MAX;
          assert.equal(
            codeOf(() => mutex.tryLock()),
            "EAGAIN",
          );
          recordOf(mutex).count = 0;
        }
        assert.equal(
          codeOf(() => mutex.dispose()),
          "EBUSY",
        );
        mutex.unlock();
        mutex.dispose();
        for (const call of [
          () => mutex.dispose(),
          () => mutex.tryLock(),
          () => mutex.unlock(),
          () => mutex.owner,
        ]) {
          assert.equal(codeOf<unknown>(call), "EINVAL");
        }
        assert.equal(yield* outcome(mutex.lock()), "EINVAL");
        assert.equal(yield* outcome(mutex.guard({ timeout: 1 })), "EINVAL");
      });
    }
  });

  test("a waiter that was woken finds that the mutex was disposed before it ran: EINVAL, and no other object is touched", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const mutex = new Mutex();
      yield* mutex.lock();
      const t = yield* waiter(() => mutex.lock());
      yield* untilWaiting(mutex, 1);
      mutex.unlock();
      mutex.dispose();
      const other = new Mutex();
      assert.equal(other.id, mutex.id);
      yield* other.lock();
      assert.equal(yield* t.join(), "EINVAL");
      assert.equal(other.owner, K.cur.lwp.lid);
      other.unlock();
      assert.equal(recordOf(other).w[recordOf(other).mutex], 0);
    });
  });

  test("THR-74: a contended hand-over sees the writer's value; a recursive mutex needs equal unlocks before another gets it", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const mutex = new Mutex({ type: "recursive" });
        let value = 0;
        for (let i = 0; i < 3; i++) yield* mutex.lock();
        const reader = yield* Thread.spawn(function* () {
          yield* mutex.lock();
          mutex.unlock();
          return value;
        });
        yield* untilWaiting(mutex, 1);
        for (let i = 0; i < 3; i++) {
          yield* schedYield();
          value++;
          mutex.unlock();
        }
        assert.equal(yield* reader.join(), 3, `seed ${seed}`);
      });
    }
  });
});

describe("the protocol of waiting", () => {
  test("THR-20, THR-21: woken for nothing, a waiter waits on, keeps its time-out, and leaves the queue with it; no ESRCH leaks", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const mutex = new Mutex();
      yield* mutex.lock();
      const from = m.now;
      const t = yield* waiter(() => mutex.lock({ timeout: 100 }));
      yield* untilWaiting(mutex, 1);
      for (let i = 0; i < 5; i++) {
        yield* outcome(lwpWakeup(t.lid));
        yield* outcome(lwpUnpark(t.lid));
        yield* untilWaiting(mutex, 1);
      }
      assert.equal(yield* t.join(), "ETIMEDOUT");
      assert.ok(m.now - from >= 100);
      assert.deepEqual(waitersOf(mutex), []);
      // The mark of waiters may be left; the next unlock finds nobody.
      mutex.unlock();
      assert.ok(mutex.tryLock());
      mutex.unlock();
    });
  });

  test("THR-23: whether an owner runs is asked of its LWP, and a thread in the record of a dead one is not taken for the holder", () => {
    const m = new ThreadMachine({ limits: { lwps: 5 } });
    m.runMain(function* () {
      const mutex = new Mutex();
      const holder = yield* Thread.spawn(function* () {
        yield* mutex.lock();
        return K.cur.lwp.index;
      });
      const index = yield* holder.join();
      let reused = 0;
      for (let i = 0; i < 10; i++) {
        const t = yield* Thread.spawn(function* () {
          if (K.cur.lwp.index === index) reused++;
          const codes = [codeOf(() => mutex.unlock()), mutex.tryLock()];
          return [...codes, yield* outcome(mutex.lock({ timeout: 20 }))];
        });
        assert.deepEqual(yield* t.join(), ["EPERM", false, "ETIMEDOUT"]);
      }
      assert.ok(reused > 0, "no thread ran in the record of the holder");
      assert.equal(mutex.owner, holder.lid);
    });
  });

  test("THR-95: an unpark before the park lets that one return at once, and only that one, however many came before", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const t = yield* Thread.spawn(function* () {
        for (let i = 0; i < 5; i++) yield* schedYield();
        const first = yield* outcome(lwpPark());
        const from = m.now;
        const { wallAtBoot, time } = K.cur.lwp.k.g;
        const later = wallAtBoot + time + 0.05;
        const second = yield* outcome(
          lwpPark({ sec: Math.floor(later), nsec: Math.round((later % 1) * 1e9) }),
        );
        return [first, second, m.now - from >= 40];
      });
      yield* schedYield();
      for (let i = 0; i < 3; i++) yield* lwpUnpark(t.lid);
      assert.deepEqual(yield* t.join(), ["EALREADY", "ETIMEDOUT", true]);
    });
  });
});
