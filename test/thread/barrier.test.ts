/** Barriers and once of the thread library, exactly, on simulated CPUs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Barrier, Once, schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpContinue, lwpSuspend, lwpWakeup } from "lwp/syscall";
import { codeOf, joinAll, untilWaiting, waiter, waitersOf } from "../support/objects.js";
import { outcome, ThreadMachine } from "../support/threads.js";

describe("a barrier", () => {
  test("THR-42: a count that is no integer from 1 is EINVAL; for one thread nobody waits; gone is EINVAL, with waiters EBUSY", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      for (const count of [0, -1, 1.5, Number.NaN, "2" as never]) {
        assert.equal(
          codeOf(() => new Barrier(count)),
          "EINVAL",
        );
      }
      const one = new Barrier(1);
      for (let i = 0; i < 3; i++) assert.equal(yield* one.wait(), true);
      const two = new Barrier(2);
      const t = yield* waiter(() => two.wait());
      yield* untilWaiting(two, 1);
      assert.equal(
        codeOf(() => two.dispose()),
        "EBUSY",
      );
      assert.equal(yield* two.wait(), true);
      assert.equal(yield* t.join(), false);
      two.dispose();
      assert.equal(
        codeOf(() => two.dispose()),
        "EINVAL",
      );
      assert.equal(yield* outcome(two.wait()), "EINVAL");
    });
  });

  test("THR-42, THR-75: nobody passes early, one in each round is told true (1234567 in the original), and rounds do not mix", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const [threads, rounds] = [5, 6];
        const barrier = new Barrier(threads);
        const arrived = Array.from({ length: rounds }, () => 0);
        const serial = Array.from({ length: rounds }, () => 0);
        const all = [];
        for (let i = 0; i < threads; i++) {
          all.push(
            yield* Thread.spawn(function* () {
              for (let round = 0; round < rounds; round++) {
                arrived[round]++;
                if (yield* barrier.wait()) serial[round]++;
                assert.equal(arrived[round], threads, `seed ${seed}`);
              }
            }),
          );
        }
        yield* joinAll(all);
        assert.deepEqual(
          serial,
          serial.map(() => 1),
        );
      });
    }
  });

  test("THR-42: a waiter that gives up has not arrived; too late, it was released with the others. Differs: there it cannot be cancelled", () => {
    const ends = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const barrier = new Barrier(3);
        const [a, b] = [yield* waiter(() => barrier.wait()), yield* waiter(() => barrier.wait())];
        yield* untilWaiting(barrier, 2);
        const c = yield* waiter(() => barrier.wait());
        yield* a.cancel();
        yield* outcome(lwpWakeup(b.lid));
        const how = yield* a.join();
        ends.add(String(how));
        // Instead of the one that gave up.
        if (how === "ECANCELED") yield* barrier.wait();
        yield* joinAll([b, c]);
        assert.equal(m.k.syncobjs.view(barrier.id).value, 0, `seed ${seed}`);
      });
    }
    assert.deepEqual([...ends].sort(), ["ECANCELED", "false"], "both orders have been seen");
  });

  test("a suspended waiter has not arrived until it is continued", () => {
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(1) });
    m.runMain(function* () {
      const barrier = new Barrier(2);
      const t = yield* waiter(() => barrier.wait());
      yield* untilWaiting(barrier, 1);
      yield* lwpSuspend(t.lid);
      assert.equal(yield* outcome(barrier.wait({ timeout: 50 })), "ETIMEDOUT");
      yield* lwpContinue(t.lid);
      yield* untilWaiting(barrier, 1);
      assert.equal(yield* barrier.wait(), true);
      assert.equal(yield* t.join(), false);
    });
  });
});

describe("once", () => {
  test("THR-43: the routine runs once; who comes meanwhile waits until it has finished", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const once = new Once();
        let runs = 0;
        let finished = false;
        const routine = function* () {
          runs++;
          for (let i = 0; i < 5; i++) yield* schedYield();
          finished = true;
        };
        const threads = [];
        for (let i = 0; i < 4; i++) {
          threads.push(
            yield* Thread.spawn(function* () {
              yield* once.run(routine);
              assert.ok(finished, `seed ${seed}: it came back early`);
            }),
          );
        }
        yield* joinAll(threads);
        assert.deepEqual([runs, once.isDone], [1, true]);
      });
    }
  });

  test("THR-43, THR-75: cancelled or failed inside, it is not done, and the next one runs it", () => {
    for (const end of ["cancel", "throw"] as const) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(4) });
      m.runMain(function* () {
        const once = new Once();
        let runs = 0;
        const first = yield* waiter(() =>
          once.run(function* () {
            runs++;
            if (end === "throw") throw new RangeError("no");
            yield* Thread.sleep(1e6);
          }),
        );
        while (runs === 0) yield* schedYield();
        const second = yield* waiter(() =>
          once.run(function* () {
            runs++;
          }),
        );
        if (end === "cancel") {
          yield* untilWaiting(once, 1);
          yield* first.cancel();
        }
        assert.equal(yield* first.join(), end === "cancel" ? "ECANCELED" : "RangeError");
        assert.equal(yield* second.join(), undefined);
        assert.deepEqual([runs, once.isDone, waitersOf(once)], [2, true, []]);
        once.dispose();
        assert.equal(yield* outcome(once.run(function* () {})), "EINVAL");
      });
    }
  });

  test("from inside its routine it is EDEADLK; a waiter may time out; while it runs, dispose is EBUSY", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const once = new Once();
      yield* once.run(function* () {
        assert.equal(yield* outcome(once.run(function* () {})), "EDEADLK");
        assert.equal(
          codeOf(() => once.dispose()),
          "EBUSY",
        );
        const t = yield* waiter(() => once.run(function* () {}, { timeout: 20 }));
        assert.equal(yield* t.join(), "ETIMEDOUT");
      });
      assert.equal(once.isDone, true);
    });
  });
});
