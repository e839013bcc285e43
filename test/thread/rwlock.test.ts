/** Readers/writer locks of the thread library, exactly, on simulated CPUs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RwLock, schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpContinue, lwpSuspend, lwpWakeup } from "lwp/syscall";
import { codeOf, joinAll, untilWaiting, waiter, waitersOf } from "../support/objects.js";
import { outcome, ThreadMachine } from "../support/threads.js";

const wordOf = ({ id }: RwLock): number => {
  const o = K.cur.lwp.k.syncobjs.view(id);
  return o.w[o.rwlock];
};

describe("a rwlock", () => {
  test("lets readers in together and writers alone, whatever the schedule", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const lock = new RwLock();
        let readers = 0;
        let writers = 0;
        let together = 0;
        const threads = [];
        for (let i = 0; i < 5; i++) {
          threads.push(
            yield* Thread.spawn(function* () {
              for (let n = 0; n < 5; n++) {
                if (i < 3) {
                  using _ = yield* lock.readGuard();
                  together = Math.max(together, ++readers);
                  yield* schedYield();
                  assert.equal(writers, 0, `seed ${seed}`);
                  readers--;
                } else {
                  using _ = yield* lock.writeGuard();
                  writers++;
                  yield* schedYield();
                  assert.deepEqual([readers, writers], [0, 1], `seed ${seed}`);
                  writers--;
                }
              }
            }),
          );
        }
        yield* joinAll(threads);
        assert.equal(wordOf(lock), 0);
      });
    }
  });

  test("THR-40: who waits for what, and the errors, as a table of holds and requests", () => {
    /** The holder is another thread, or the caller. What each request comes to, with a time-out of 0 and without waiting. */
    const table: [by: string, held: string, wanted: string | null, outcomes: Record<string, unknown>][] = [
      ["nobody", "free", null, { read: undefined, write: undefined, tryRead: true, tryWrite: true }],
      ["other", "read", null, { read: undefined, write: "ETIMEDOUT", tryRead: true, tryWrite: false }],
      ["other", "write", null, { read: "ETIMEDOUT", write: "ETIMEDOUT", tryRead: false, tryWrite: false }],
      ["other", "read", "write", { read: "ETIMEDOUT", write: "ETIMEDOUT", tryRead: false, tryWrite: false }],
      ["self", "read", null, { read: undefined, write: "ETIMEDOUT", tryRead: true, tryWrite: false }],
      ["self", "write", null, { read: "EDEADLK", write: "EDEADLK", tryRead: false, tryWrite: false }],
    ];
    for (const [by, held, wanted, outcomes] of table) {
      for (const [request, expected] of Object.entries(outcomes)) {
        const m = new ThreadMachine();
        m.runMain(function* () {
          const lock = new RwLock();
          let done = false;
          const hold = function* () {
            yield* held === "read" ? lock.readLock() : lock.writeLock();
          };
          const others: Thread<unknown>[] = [];
          if (by === "self") yield* hold();
          if (by === "other") {
            others.push(
              yield* Thread.spawn(function* () {
                yield* hold();
                while (!done) yield* Thread.sleep(10);
                lock.unlock();
              }),
            );
            while ((wordOf(lock) & K.RW_THREAD) === 0) yield* schedYield();
          }
          if (wanted !== null) {
            others.push(
              yield* waiter(
                () => lock.writeLock(),
                () => lock.unlock(),
              ),
            );
            yield* untilWaiting(lock, 1);
          }
          let result: unknown;
          if (request === "tryRead") result = lock.tryReadLock();
          else if (request === "tryWrite") result = lock.tryWriteLock();
          else if (request === "read") result = yield* outcome(lock.readLock({ timeout: 0 }));
          else result = yield* outcome(lock.writeLock({ timeout: 0 }));
          assert.equal(result, expected, `${request}, ${held} by ${by}, ${String(wanted)} wanted`);
          if (result === undefined || result === true) lock.unlock();
          if (by === "self") lock.unlock();
          done = true;
          yield* joinAll(others);
          assert.equal(wordOf(lock), 0);
        });
      }
    }
  });

  test("THR-40: a malformed time-out is EINVAL, even if the lock is free; a reader that wants to write waits for itself, until it times out", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const lock = new RwLock();
      for (const timeout of [-1, Number.NaN, "soon" as never]) {
        assert.equal(yield* outcome(lock.readLock({ timeout })), "EINVAL");
        assert.equal(yield* outcome(lock.writeLock({ timeout })), "EINVAL");
      }
      yield* lock.readLock();
      assert.equal(yield* outcome(lock.writeLock({ timeout: 30 })), "ETIMEDOUT");
      lock.unlock();
      assert.equal(wordOf(lock), 0);
    });
  });

  test("THR-41: unlock of a free one, or of another's write lock, is EPERM; read holds have no names; dispose in use is EINVAL", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const lock = new RwLock();
      const byOther = function* () {
        const t = yield* Thread.spawn(function* () {
          return codeOf(() => lock.unlock());
        });
        return yield* t.join();
      };
      assert.equal(
        codeOf(() => lock.unlock()),
        "EPERM",
      );
      yield* lock.writeLock();
      assert.equal(lock.writer, K.cur.lwp.lid);
      assert.equal(yield* byOther(), "EPERM");
      assert.equal(
        codeOf(() => lock.dispose()),
        "EINVAL",
      );
      lock.unlock();
      yield* lock.readLock();
      assert.equal(lock.writer, null);
      assert.equal(
        codeOf(() => lock.dispose()),
        "EINVAL",
      );
      assert.equal(yield* byOther(), undefined);
      assert.equal(
        codeOf(() => lock.unlock()),
        "EPERM",
      );
      lock.dispose();
      for (const call of [
        () => lock.dispose(),
        () => lock.unlock(),
        () => lock.tryReadLock(),
        () => lock.tryWriteLock(),
        () => lock.writer,
      ]) {
        assert.equal(codeOf<unknown>(call), "EINVAL");
      }
      assert.equal(yield* outcome(lock.readLock()), "EINVAL");
      assert.equal(yield* outcome(lock.writeGuard()), "EINVAL");
    });
  });

  for (const from of ["read", "write"] as const) {
    test(`THR-41: the last ${from} hold goes to the first writer, then to the next, then to all readers; they own it when they run`, () => {
      const m = new ThreadMachine();
      m.runMain(function* () {
        const lock = new RwLock();
        yield* from === "read" ? lock.readLock() : lock.writeLock();
        const order: string[] = [];
        const threads = [];
        let done = "";
        const take = function* (kind: string) {
          yield* kind.startsWith("R") ? lock.readLock() : lock.writeLock();
          order.push(kind);
          while (!done.includes(kind)) yield* Thread.sleep(10);
          lock.unlock();
        };
        // A reader waits behind a writer only.
        for (const kind of from === "read" ? ["W1", "R1", "W2", "R2"] : ["R1", "W1", "R2", "W2"]) {
          threads.push(yield* Thread.spawn(take, kind));
          yield* untilWaiting(lock, threads.length);
        }
        lock.unlock();
        assert.deepEqual([lock.tryReadLock(), order], [false, []], "it was not handed over");
        yield* Thread.sleep(30);
        assert.deepEqual(order, ["W1"]);
        done = "W1";
        yield* Thread.sleep(30);
        assert.deepEqual(order, ["W1", "W2"]);
        done = "W1 W2";
        yield* Thread.sleep(30);
        assert.deepEqual(order.sort(), ["R1", "R2", "W1", "W2"]);
        assert.equal(wordOf(lock), 2 * K.RW_READ_INCR);
        done = "W1 W2 R1 R2";
        yield* joinAll(threads);
        assert.equal(wordOf(lock), 0);
      });
    });
  }

  test("THR-41: a writer that gives up puts the bits right, and lets the readers in that it kept out", () => {
    for (const end of ["timeout", "cancel"] as const) {
      for (let seed = 1; seed <= 20; seed++) {
        const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
        m.runMain(function* () {
          const lock = new RwLock();
          yield* lock.readLock();
          const writer = yield* waiter(() =>
            lock.writeLock(end === "timeout" ? { timeout: 5000 } : undefined),
          );
          yield* untilWaiting(lock, 1);
          const reader = yield* waiter(() => lock.readLock());
          yield* untilWaiting(lock, 2);
          if (end === "cancel") yield* writer.cancel();
          assert.equal(yield* writer.join(), end === "cancel" ? "ECANCELED" : "ETIMEDOUT");
          assert.equal(yield* reader.join(), undefined);
          assert.equal(wordOf(lock), 2 * K.RW_READ_INCR);
          lock.unlock();
          lock.unlock();
        });
      }
    }
  });

  test("suspended, cancelled and woken waiters neither lose the lock nor keep it from others", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const lock = new RwLock();
        yield* lock.writeLock();
        const threads: Thread<unknown>[] = [];
        for (let i = 0; i < 4; i++) {
          threads.push(
            yield* waiter(
              () => (i % 2 === 0 ? lock.readLock() : lock.writeLock()),
              () => lock.unlock(),
            ),
          );
        }
        yield* untilWaiting(lock, 4);
        yield* lwpSuspend(threads[1].lid);
        lock.unlock();
        yield* outcome(lwpWakeup(threads[2].lid));
        yield* threads[3].cancel();
        yield* joinAll([threads[0], threads[2], threads[3]]);
        yield* lwpContinue(threads[1].lid);
        assert.equal(yield* threads[1].join(), undefined);
        assert.deepEqual([wordOf(lock), waitersOf(lock)], [0, []], `seed ${seed}`);
      });
    }
  });

  test("THR-76: two read holds by one thread; trywrite is EBUSY; a timed write while reading ETIMEDOUT, after the release it succeeds; while writing EDEADLK", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const lock = new RwLock();
      yield* lock.readLock();
      yield* lock.readLock();
      assert.equal(lock.tryWriteLock(), false);
      assert.equal(yield* outcome(lock.writeLock({ timeout: 20 })), "ETIMEDOUT");
      lock.unlock();
      assert.equal(lock.tryWriteLock(), false);
      lock.unlock();
      assert.equal(yield* outcome(lock.writeLock({ timeout: 20 })), undefined);
      assert.equal(yield* outcome(lock.writeLock({ timeout: 20 })), "EDEADLK");
      lock.unlock();
    });
  });

  test("THR-99: while a reader has it and a writer waits, a second reader waits behind the writer, and tryread is EBUSY", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const lock = new RwLock();
      const order: string[] = [];
      yield* lock.readLock();
      const w = yield* waiter(
        () => lock.writeLock(),
        () => {
          order.push("W");
          lock.unlock();
        },
      );
      yield* untilWaiting(lock, 1);
      assert.equal(lock.tryReadLock(), false);
      const r = yield* waiter(
        () => lock.readLock(),
        () => {
          order.push("R2");
          lock.unlock();
        },
      );
      yield* untilWaiting(lock, 2);
      lock.unlock();
      yield* joinAll([w, r]);
      assert.deepEqual(order, ["W", "R2"]);
    });
  });
});
