/** Condition variables of the thread library, exactly, on simulated CPUs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Condition, Mutex, schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpContinue, lwpSuspend, lwpUnpark, lwpWakeup } from "lwp/syscall";
import { codeOf, joinAll, untilWaiting, waiter, waitersOf } from "../support/objects.js";
import { outcome, ThreadMachine } from "../support/threads.js";

/** A thread that locks, waits once, notes that it holds the mutex, and unlocks. */
function* waitOnce(mutex: Mutex, condition: Condition, options?: { timeout?: number; signal?: AbortSignal }) {
  yield* mutex.lock();
  const how = yield* outcome(condition.wait(mutex, options));
  assert.equal(mutex.owner, K.cur.lwp.lid, "it came back without the mutex");
  mutex.unlock();
  return how;
}

/** `n` of them, which wait. */
function* waiting(n: number, mutex: Mutex, condition: Condition) {
  const threads: Thread<string | void>[] = [];
  for (let i = 0; i < n; i++) {
    threads.push(yield* Thread.spawn(() => waitOnce(mutex, condition)));
    yield* untilWaiting(condition, i + 1);
  }
  return threads;
}

describe("a condition", () => {
  test("THR-35: waiting without the mutex is EPERM, by a thread that does not own it too (not tested in the original); gone is EINVAL", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      assert.equal(yield* outcome(condition.wait(mutex)), "EPERM");
      const other = yield* Thread.spawn(function* () {
        yield* mutex.lock();
        for (let i = 0; i < 4; i++) yield* schedYield();
        mutex.unlock();
      });
      yield* schedYield();
      assert.equal(mutex.owner, other.lid);
      assert.equal(yield* outcome(condition.wait(mutex)), "EPERM");
      yield* other.join();
      yield* mutex.lock();
      assert.equal(yield* outcome(condition.wait(mutex, { timeout: -1 })), "EINVAL");
      assert.equal(mutex.owner, K.cur.lwp.lid);
      condition.dispose();
      assert.equal(yield* outcome(condition.wait(mutex)), "EINVAL");
      for (const call of [() => condition.signal(), () => condition.broadcast(), () => condition.dispose()]) {
        assert.equal(codeOf(call), "EINVAL");
      }
      mutex.unlock();
      mutex.dispose();
      assert.equal(yield* outcome(new Condition().wait(mutex)), "EINVAL");
    });
  });

  test("THR-35: a pending cancellation acts before the wait, a later one ends it, each with the mutex held; a signal that came first counts", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const [mutex, condition] = [new Mutex(), new Condition()];
        let go = false;
        const early = yield* Thread.spawn(function* () {
          yield* mutex.lock();
          while (!go) yield* schedYield();
          const how = yield* outcome(condition.wait(mutex));
          assert.equal(mutex.owner, K.cur.lwp.lid);
          mutex.unlock();
          return how;
        });
        yield* early.cancel();
        go = true;
        assert.equal(yield* early.join(), "ECANCELED");
        assert.deepEqual(waitersOf(condition), []);

        const [late] = yield* waiting(1, mutex, condition);
        yield* late.cancel();
        assert.equal(yield* late.join(), "ECANCELED");

        const [signalled, other] = yield* waiting(2, mutex, condition);
        // The last that came is `other`.
        condition.signal();
        yield* other.cancel();
        assert.equal(yield* other.join(), undefined, `seed ${seed}`);
        condition.signal();
        assert.equal(yield* signalled.join(), undefined);
      });
    }
  });

  test("THR-35: a recursive mutex is let go however often it is held, and held as often afterwards", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex({ type: "recursive" }), new Condition()];
      for (let i = 0; i < 3; i++) yield* mutex.lock();
      const signaller = yield* Thread.spawn(function* () {
        yield* mutex.lock();
        condition.signal();
        mutex.unlock();
      });
      yield* condition.wait(mutex);
      for (let i = 0; i < 3; i++) mutex.unlock();
      assert.equal(mutex.owner, null);
      yield* signaller.join();
    });
  });

  test("THR-20: a waiter that somebody wakes for nothing comes back with the mutex, as does one that was suspended, and never while it is", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const [mutex, condition] = [new Mutex(), new Condition()];
        const [a] = yield* waiting(1, mutex, condition);
        yield* outcome(lwpUnpark(a.lid));
        yield* outcome(lwpWakeup(a.lid));
        assert.equal(yield* a.join(), undefined);

        const [b] = yield* waiting(1, mutex, condition);
        yield* lwpSuspend(b.lid);
        for (let i = 0; i < 20; i++) {
          yield* schedYield();
          assert.equal(mutex.owner, null, `seed ${seed}: a suspended thread holds the mutex`);
        }
        condition.signal();
        yield* lwpContinue(b.lid);
        assert.equal(yield* b.join(), undefined);
      });
    }
  });

  test("THR-36, THR-98: signal wakes the most recent waiter of the highest priority; without waiters it is not remembered", () => {
    const m = new ThreadMachine();
    const order: string[] = [];
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      condition.signal();
      condition.broadcast();
      const threads = [];
      for (const [name, priority] of [
        ["A", 43],
        ["B", 43],
        ["C", 43],
        ["urgent", 50],
        ["late", 43],
        ["low", 30],
      ] as const) {
        threads.push(
          yield* Thread.spawn(function* () {
            K.cur.lwp.priority = priority;
            yield* mutex.lock();
            yield* condition.wait(mutex);
            order.push(name);
            mutex.unlock();
          }),
        );
        yield* untilWaiting(condition, threads.length);
      }
      for (let i = 0; i < 6; i++) {
        condition.signal();
        yield* Thread.sleep(10);
        assert.equal(order.length, i + 1);
      }
      yield* joinAll(threads);
    });
    assert.deepEqual(order, ["urgent", "late", "C", "B", "A", "low"]);
  });

  test("THR-36, THR-22: a signal takes effect at once, with the mutex held too. Differs: the original saves it for the unlock", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      const threads = yield* waiting(3, mutex, condition);
      yield* mutex.lock();
      condition.signal();
      assert.deepEqual(waitersOf(condition).sort(), [threads[0].lid, threads[1].lid].sort());
      condition.broadcast();
      assert.deepEqual(waitersOf(condition), []);
      mutex.unlock();
      yield* joinAll(threads);
    });
  });

  test("THR-37: before any thread was created it is the same: a timed wait ends after its time, with the mutex free meanwhile", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      yield* mutex.lock();
      const from = m.now;
      condition.signal();
      condition.broadcast();
      assert.equal(yield* outcome(condition.wait(mutex, { timeout: 50 })), "ETIMEDOUT");
      const took = m.now - from;
      assert.ok(took >= 50 && took <= 80, `it took ${took} ms`);
      assert.equal(mutex.owner, K.cur.lwp.lid);
      mutex.unlock();
    });
  });

  test("THR-38: every timed wait counts machine time, which nobody sets (the original counts wall time whatever was chosen); dispose with waiters is EBUSY", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      yield* mutex.lock();
      const from = m.now;
      const clock = yield* Thread.spawn(function* () {
        yield* untilWaiting(condition, 1);
        assert.equal(
          codeOf(() => condition.dispose()),
          "EBUSY",
        );
        // The wall clock is set forward and back.
        m.k.g.wallAtBoot += 3600;
        yield* Thread.sleep(20);
        m.k.g.wallAtBoot -= 7200;
      });
      assert.equal(yield* outcome(condition.wait(mutex, { timeout: 100 })), "ETIMEDOUT");
      const took = m.now - from;
      assert.ok(took >= 100 && took <= 130, `it took ${took} ms`);
      yield* clock.join();
      condition.dispose();
      mutex.unlock();
    });
  });

  test("THR-73: two threads play ping-pong by signal, and by broadcast, to the exact count", () => {
    for (const how of ["signal", "broadcast"] as const) {
      const m = new ThreadMachine({ cpus: 2, checked: false, strategy: K.seededStrategy(7) });
      m.runMain(function* () {
        const [mutex, condition] = [new Mutex(), new Condition()];
        const rounds = 1000;
        let count = 0;
        const player = function* (parity: number) {
          yield* mutex.lock();
          while (count < rounds) {
            while (count % 2 !== parity && count < rounds) yield* condition.wait(mutex);
            if (count < rounds) count++;
            condition[how]();
          }
          mutex.unlock();
        };
        const other = yield* Thread.spawn(player, 1);
        yield* player(0);
        yield* other.join();
        assert.equal(count, rounds);
      });
    }
  });

  test("THR-73: a wait whose time is over is ETIMEDOUT at once, before and with other threads: 64 threads x 100 waits, never anything else", () => {
    const m = new ThreadMachine({ cpus: 2, checked: false, strategy: K.seededStrategy(3) });
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      yield* mutex.lock();
      assert.equal(yield* outcome(condition.wait(mutex, { timeout: 0 })), "ETIMEDOUT");
      mutex.unlock();
      const threads = [];
      for (let i = 0; i < 64; i++) {
        threads.push(
          yield* Thread.spawn(function* () {
            const seen = new Set<unknown>();
            for (let n = 0; n < 100; n++) {
              yield* mutex.lock();
              seen.add(yield* outcome(condition.wait(mutex, { timeout: 0 })));
              mutex.unlock();
            }
            return [...seen];
          }),
        );
      }
      for (const t of threads) assert.deepEqual(yield* t.join(), ["ETIMEDOUT"]);
    });
  });

  test("THR-73: condition and mutex can be disposed after a waiter was cancelled, whose finally unlocks the mutex", () => {
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(5) });
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      const t = yield* Thread.spawn(function* () {
        using _ = yield* mutex.guard();
        for (;;) yield* condition.wait(mutex);
      });
      yield* untilWaiting(condition, 1);
      yield* t.cancel();
      yield* outcome(t.join());
      condition.dispose();
      mutex.dispose();
    });
  });

  test("THR-97: 33 waiters and one broadcast under the mutex: all come back, one at a time owns it. Differs: woken at once, not in batches of 32", () => {
    for (let seed = 1; seed <= 5; seed++) {
      const m = new ThreadMachine({ cpus: 3, checked: false, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const [mutex, condition] = [new Mutex(), new Condition()];
        let inside = 0;
        let through = 0;
        const threads = [];
        for (let i = 0; i < 33; i++) {
          threads.push(
            yield* Thread.spawn(function* () {
              yield* mutex.lock();
              yield* condition.wait(mutex);
              assert.equal(++inside, 1);
              yield* schedYield();
              inside--;
              through++;
              mutex.unlock();
            }),
          );
        }
        yield* untilWaiting(condition, 33);
        yield* mutex.lock();
        condition.broadcast();
        assert.equal(through, 0);
        mutex.unlock();
        yield* joinAll(threads);
        assert.equal(through, 33, `seed ${seed}`);
      });
    }
  });

  test("THR-101: of two waiters one times out, and nobody signals: the other stays asleep (the original wakes it); a signal wakes it", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      const a = yield* Thread.spawn(() => waitOnce(mutex, condition));
      yield* untilWaiting(condition, 1);
      const b = yield* Thread.spawn(() => waitOnce(mutex, condition, { timeout: 50 }));
      assert.equal(yield* b.join(), "ETIMEDOUT");
      assert.deepEqual(waitersOf(condition), [a.lid]);
      condition.signal();
      assert.equal(yield* a.join(), undefined);
    });
  });

  test("THR-101: a signal and a time-out at the same time: the waiter that left the queue first decides, so no signal is lost", () => {
    const ends = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const [mutex, condition] = [new Mutex(), new Condition()];
        const a = yield* Thread.spawn(() => waitOnce(mutex, condition));
        yield* untilWaiting(condition, 1);
        const b = yield* Thread.spawn(() => waitOnce(mutex, condition, { timeout: 20 }));
        yield* Thread.sleep(20);
        condition.signal();
        const how = yield* b.join();
        ends.add(String(how));
        // If b had the signal, a needs one of its own.
        if (how === undefined) condition.signal();
        assert.equal(yield* a.join(), undefined);
      });
    }
    assert.deepEqual([...ends].sort(), ["ETIMEDOUT", "undefined"]);
  });

  test("THR-93: a waiter stands on one queue at a time: a signalled one leaves the condition before it queues for the mutex", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const [mutex, condition] = [new Mutex(), new Condition()];
      const threads = yield* waiting(2, mutex, condition);
      yield* mutex.lock();
      condition.broadcast();
      yield* untilWaiting(mutex, 2);
      assert.deepEqual(waitersOf(condition), []);
      mutex.unlock();
      yield* joinAll(threads);
      const t = yield* waiter(
        () => mutex.lock(),
        () => mutex.unlock(),
      );
      yield* t.join();
    });
  });
});
