/** Semaphores of the thread library, exactly, on simulated CPUs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { schedYield, SEM_VALUE_MAX, Semaphore, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpContinue, lwpSuspend, lwpWakeup } from "lwp/syscall";
import { codeOf, joinAll, untilWaiting, waiter, waitersOf } from "../support/objects.js";
import { outcome, ThreadMachine } from "../support/threads.js";

describe("a semaphore", () => {
  test("THR-45: values 0 to 2^32 - 1, others EINVAL; a post beyond is EOVERFLOW, and leaves the value", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      for (const value of [-1, 0.5, SEM_VALUE_MAX + 1, Number.NaN, "1" as never]) {
        assert.equal(
          codeOf(() => new Semaphore(value)),
          "EINVAL",
        );
      }
      for (const value of [0, 1, 0x7fffffff, 0x80000000, SEM_VALUE_MAX - 1]) {
        const s = new Semaphore(value);
        assert.equal(s.value, value);
        s.post();
        assert.equal(s.value, value + 1);
        assert.equal(s.tryWait(), true);
        assert.equal(s.value, value);
      }
      const full = new Semaphore(SEM_VALUE_MAX);
      assert.equal(
        codeOf(() => full.post()),
        "EOVERFLOW",
      );
      assert.equal(full.value, SEM_VALUE_MAX);
      yield* full.wait();
      full.post();
    });
  });

  test("THR-45: a bad time-out is EINVAL even if there is a permit; without one ETIMEDOUT, which leaves no waiter behind (it does in the original)", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const s = new Semaphore(1);
      for (const timeout of [-1, Number.NaN]) assert.equal(yield* outcome(s.wait({ timeout })), "EINVAL");
      assert.equal(s.value, 1);
      assert.equal(yield* outcome(s.wait({ timeout: 0 })), undefined);
      for (const timeout of [0, 1, 50]) {
        const from = m.now;
        assert.equal(yield* outcome(s.wait({ timeout })), "ETIMEDOUT");
        assert.ok(m.now - from >= timeout);
      }
      assert.equal(s.tryWait(), false);
      s.dispose();
    });
  });

  test("THR-45: dispose with waiters is EBUSY and leaves it whole (the original frees the handle all the same); gone is EINVAL", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const s = new Semaphore(0);
      const t = yield* waiter(() => s.wait());
      yield* untilWaiting(s, 1);
      assert.equal(
        codeOf(() => s.dispose()),
        "EBUSY",
      );
      s.post();
      assert.equal(yield* t.join(), undefined);
      s.dispose();
      for (const call of [() => s.dispose(), () => s.post(), () => s.tryWait(), () => s.value]) {
        assert.equal(codeOf<unknown>(call), "EINVAL");
      }
      assert.equal(yield* outcome(s.wait()), "EINVAL");
    });
  });

  test("THR-45: a post gives its permit to the first waiter by priority. Differs: the original wakes all, who compete", () => {
    const m = new ThreadMachine();
    const order: number[] = [];
    m.runMain(function* () {
      const s = new Semaphore(0);
      const threads = [];
      for (const [n, priority] of [40, 42, 41, 42].entries()) {
        threads.push(
          yield* Thread.spawn(function* () {
            K.cur.lwp.priority = priority;
            yield* s.wait();
            order.push(n);
          }),
        );
      }
      yield* untilWaiting(s, 4);
      s.post();
      assert.deepEqual([s.value, s.tryWait(), waitersOf(s).length], [0, false, 3]);
      for (let i = 0; i < 3; i++) s.post();
      yield* joinAll(threads);
      assert.equal(s.value, 0);
    });
    assert.deepEqual(order, [1, 3, 2, 0]);
  });

  test("THR-45: a wait is interruptible: woken for nothing it waits on (EINTR in the original), cancelled it ends; no permit is lost", () => {
    const ends = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const s = new Semaphore(0);
        const threads = [];
        for (let i = 0; i < 3; i++) threads.push(yield* waiter(() => s.wait()));
        yield* untilWaiting(s, 3);
        const poster = yield* Thread.spawn(function* () {
          yield* schedYield();
          s.post();
        });
        yield* outcome(lwpWakeup(threads[1].lid));
        yield* lwpSuspend(threads[2].lid);
        yield* threads[0].cancel();
        const how = yield* threads[0].join();
        ends.add(String(how));
        yield* poster.join();
        s.post();
        if (how === undefined) s.post();
        yield* threads[1].join();
        yield* lwpContinue(threads[2].lid);
        yield* threads[2].join();
        assert.deepEqual([s.value, waitersOf(s)], [0, []], `seed ${seed}`);
      });
    }
    assert.deepEqual([...ends].sort(), ["ECANCELED", "undefined"], "both orders have been seen");
  });

  test("THR-45: open: the name, what create and exclusive do, the limit; each error once", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const open = (name: unknown, options?: object) => codeOf(() => Semaphore.open(name as string, options));
      const table: [string, object, string][] = [
        ["/fourteen-chars", {}, "ENAMETOOLONG"],
        ["/fourteen-chars", { create: true }, "ENAMETOOLONG"],
        ["/thirteen-char", {}, "ENOENT"],
        ["noslash", {}, "ENOENT"],
        ["noslash", { create: true }, "EINVAL"],
        ["/a/b", {}, "ENOENT"],
        ["/a/b", { create: true }, "EINVAL"],
        ["/", { create: true }, "EINVAL"],
        ["", { create: true }, "EINVAL"],
        ["", {}, "ENOENT"],
        ["/none", { exclusive: true }, "ENOENT"],
        ["/value", { create: true, value: -1 }, "EINVAL"],
        ["/value", { create: true, value: SEM_VALUE_MAX + 1 }, "EINVAL"],
      ];
      for (const [name, options, code] of table) assert.equal(open(name, options), code, name);
      assert.equal(open(5), "EINVAL");
      const first = Semaphore.open("/thirteen-char", { create: true, value: 3 });
      assert.equal(open("/thirteen-char", { create: true, exclusive: true }), "EEXIST");
      // It is there: the value is not looked at again.
      const again = Semaphore.open("/thirteen-char", { create: true, value: 9 });
      assert.deepEqual([again.value, Semaphore.open("/thirteen-char").value], [3, 3]);
      yield* again.wait();
      assert.equal(first.value, 2);
      for (let i = 1; i < 128; i++) Semaphore.open(`/n${i}`, { create: true }).close();
      assert.equal(open("/more", { create: true }), "ENFILE");
      Semaphore.unlink("/n5");
      Semaphore.open("/more", { create: true }).close();
      for (let i = 1; i < 128; i++) {
        const expected = i === 5 ? "ENOENT" : undefined;
        assert.equal(
          codeOf(() => Semaphore.unlink(`/n${i}`)),
          expected,
        );
      }
      Semaphore.unlink("/more");
      Semaphore.unlink("/thirteen-char");
      assert.equal(
        codeOf(() => Semaphore.unlink("/thirteen-char")),
        "ENOENT",
      );
      assert.equal(
        codeOf(() => Semaphore.unlink("/fourteen-chars")),
        "ENAMETOOLONG",
      );
    });
  });

  test("THR-45: a named one is closed, not disposed (EINVAL); it stays until it is unlinked, and then until its last close", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const s = Semaphore.open("/kept", { create: true, value: 1 });
      assert.equal(
        codeOf(() => s.dispose()),
        "EINVAL",
      );
      assert.equal(
        codeOf(() => new Semaphore(1).close()),
        "EINVAL",
      );
      s.close();
      for (const call of [() => s.close(), () => s.post(), () => s.tryWait(), () => s.value]) {
        assert.equal(codeOf<unknown>(call), "EINVAL");
      }
      const [a, b] = [Semaphore.open("/kept"), Semaphore.open("/kept")];
      assert.equal(a.value, 1, "it was kept with nobody at it");
      Semaphore.unlink("/kept");
      assert.equal(
        codeOf(() => Semaphore.open("/kept")),
        "ENOENT",
      );
      const fresh = Semaphore.open("/kept", { create: true, value: 7 });
      a.post();
      assert.deepEqual([b.value, fresh.value], [2, 7]);
      const before = m.k.syncobjs.inUse;
      a.close();
      b[Symbol.dispose]();
      assert.equal(m.k.syncobjs.inUse, before - 3);
      Semaphore.unlink("/kept");
      const t = yield* waiter(() => fresh.wait());
      yield* t.join();
      // What is still open goes with the process.
    });
  });

  test("THR-45: processes share a named one; closing it under a thread that waits through it is EBUSY", () => {
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(6) });
    const got: string[] = [];
    m.spawn(function* () {
      using s = Semaphore.open("/shared", { create: true });
      const t = yield* waiter(
        () => s.wait(),
        () => got.push("first"),
      );
      while (K.procLwps(K.cur.lwp.proc).every(({ wmesg }) => wmesg !== "sem")) yield* schedYield();
      assert.equal(
        codeOf(() => s.close()),
        "EBUSY",
      );
      yield* t.join();
    });
    m.until(() => m.k.syncobjs.inUse === 2);
    m.spawn(function* () {
      using s = Semaphore.open("/shared");
      yield* Thread.sleep(100);
      got.push("second");
      s.post();
      Semaphore.unlink("/shared");
    });
    m.run();
    assert.deepEqual(got, ["second", "first"]);
    assert.equal(m.k.syncobjs.inUse, 0);
  });

  test("THR-81: named: exclusive creation, opening again, closing and unlinking", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const s = Semaphore.open("/sem", { create: true, exclusive: true });
      assert.equal(
        codeOf(() => Semaphore.open("/sem", { create: true, exclusive: true })),
        "EEXIST",
      );
      s.post();
      const other = Semaphore.open("/sem");
      yield* other.wait();
      assert.equal(s.tryWait(), false);
      s.close();
      other.close();
      Semaphore.unlink("/sem");
      assert.equal(
        codeOf(() => Semaphore.open("/sem")),
        "ENOENT",
      );
    });
  });

  test("THR-81: wait, post, tryWait and value count right; ten waiters are released by ten posts, twice; a plain function posts, 500 times", () => {
    const m = new ThreadMachine({ cpus: 2, checked: false, strategy: K.seededStrategy(2) });
    m.runMain(function* () {
      const s = new Semaphore(0);
      assert.equal(s.tryWait(), false);
      s.post();
      s.post();
      assert.equal(s.value, 2);
      yield* s.wait();
      assert.equal(s.tryWait(), true);
      assert.deepEqual([s.tryWait(), s.value], [false, 0]);
      for (let round = 0; round < 2; round++) {
        const threads = [];
        for (let i = 0; i < 10; i++) threads.push(yield* waiter(() => s.wait()));
        yield* untilWaiting(s, 10);
        for (let i = 0; i < 10; i++) s.post();
        yield* joinAll(threads);
        assert.equal(s.value, 0);
      }
      // Before any other thread runs, and with one.
      for (const beside of [false, true]) {
        let stop = false;
        const t = beside
          ? yield* Thread.spawn(function* () {
              while (!stop) yield* schedYield();
            })
          : null;
        for (let i = 0; i < 500; i++) {
          s.post();
          yield* s.wait();
        }
        stop = true;
        if (t !== null) yield* t.join();
      }
    });
  });
});
