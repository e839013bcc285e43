/** Spin locks of the thread library. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SpinLock, Thread } from "lwp";
import { lwpSuspend } from "lwp/syscall";
import { codeOf } from "../support/objects.js";
import { output } from "../support/host.js";
import { outcome, ThreadMachine } from "../support/threads.js";

describe("a spin lock", () => {
  test("THR-44: made with anything but shared: false is EINVAL", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      for (const shared of [true, 1, "no"]) {
        assert.equal(
          codeOf(() => new SpinLock({ shared: shared as never })),
          "EINVAL",
        );
      }
      new SpinLock({ shared: false }).dispose();
    });
  });

  test("THR-44: tryLock of one that is held, also by oneself, is false (EBUSY in the original); dispose is EBUSY", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const s = new SpinLock();
      yield* s.lock();
      assert.equal(s.tryLock(), false);
      assert.equal(
        codeOf(() => s.dispose()),
        "EBUSY",
      );
      const other = yield* Thread.spawn(function* () {
        return [s.tryLock(), codeOf(() => s.unlock())];
      });
      assert.deepEqual(yield* other.join(), [false, "EPERM"]);
      s.unlock();
      assert.equal(
        codeOf(() => s.unlock()),
        "EPERM",
      );
      assert.equal(s.tryLock(), true);
      s.unlock();
      s.dispose();
      assert.equal(yield* outcome(s.lock()), "EINVAL");
      assert.equal(
        codeOf(() => s.tryLock()),
        "EINVAL",
      );
    });
  });

  test("THR-44: who waits tries and stays runnable; unlike in the original it lets others run, and can give up", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const s = new SpinLock({ name: "short" });
      yield* s.lock();
      const order: string[] = [];
      const t = yield* Thread.spawn(function* () {
        using _ = yield* s.guard();
        order.push("locked");
      });
      yield* Thread.yield();
      yield* Thread.yield();
      assert.equal(yield* outcome(s.lock({ timeout: 0 })), "ETIMEDOUT");
      order.push("unlocks");
      s.unlock();
      yield* t.join();
      assert.deepEqual(order, ["unlocks", "locked"]);

      yield* s.lock();
      const cancelled = yield* Thread.spawn(function* () {
        yield* s.lock();
      });
      yield* Thread.yield();
      yield* cancelled.cancel();
      assert.equal(yield* outcome(cancelled.join()), "ThreadError");
      const suspended = yield* Thread.spawn(function* () {
        yield* s.lock();
        s.unlock();
        return "had it";
      });
      yield* Thread.yield();
      yield* lwpSuspend(suspended.lid);
      s.unlock();
      yield* suspended.resume();
      assert.equal(yield* suspended.join(), "had it");
    });
  });

  test("THR-44: threads on two CPUs count under it and lose nothing", async () => {
    const text = `
      import { SharedBytes, SpinLock, Thread } from "lwp";
      export function* main() {
        const shared = new SharedBytes(4), lock = new SpinLock();
        const threads = [];
        for (let i = 0; i < 4; i++) threads.push(yield* Thread.spawn(add, shared, lock));
        yield* Thread.all(threads);
        console.log(shared.i32[0]);
      }
      function* add(shared: SharedBytes, lock: SpinLock) {
        for (let i = 0; i < 2000; i++) {
          yield* lock.lock();
          shared.i32[0]++;
          lock.unlock();
        }
      }
    `;
    assert.equal(await output(text, 2), 8000);
  });
});
