/** Scopes, on simulated CPUs under many seeds: no thread outlives its block, and no failure is lost. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Cancelled, schedYield, Scope, Thread, ThreadError } from "lwp";
import * as K from "lwp/kernel";
import { outcome, ThreadMachine } from "../support/threads.js";

/** Runs main under twenty seeds; all its threads must be gone after it. */
function underSeeds(main: (seed: number) => K.Body): void {
  for (let seed = 0; seed < 20; seed++) {
    const m = new ThreadMachine({ cpus: 1 + (seed % 3), strategy: K.seededStrategy(seed) });
    m.runMain(function* () {
      yield* main(seed) as Generator<K.Token, unknown, undefined>;
      assert.equal(m.k.threads.inUse, 1, `seed ${seed}: only main is left`);
    });
    assert.deepEqual([m.uncaught, m.unjoined], [[], []], `seed ${seed}`);
  }
}

function* forever() {
  for (;;) yield* Thread.sleep(10);
}

function* fails(error: unknown, ms = 20): Generator<K.Token, never, undefined> {
  yield* Thread.sleep(ms);
  throw error;
}

/** What an operation throws. */
function* thrown(operation: Iterable<K.Token>): Generator<K.Token, unknown, undefined> {
  try {
    yield* operation as Generator<K.Token, unknown, undefined>;
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
}

describe("Scope.run", () => {
  test("returns what its block returns, once all threads of it have ended", () => {
    underSeeds(function* () {
      let ended = 0;
      const value = yield* Scope.run(function* (scope) {
        const a = yield* scope.spawn(function* (x: number) {
          yield* schedYield();
          return x + 1;
        }, 1);
        yield* scope.with({ name: "b" }).spawn(function* () {
          yield* Thread.sleep(20);
          ended++;
        });
        yield* scope.spawn(function* () {
          yield* schedYield();
          ended++;
        });
        const two = yield* a.join();
        yield* scope.join();
        return two;
      });
      assert.deepEqual([value, ended], [2, 2]);
    });
  });

  test("cancels the threads that still run when the block is left, and waits for their cleanup", () => {
    underSeeds(function* () {
      let cleaned = 0;
      const value = yield* Scope.run(function* (scope) {
        for (let i = 0; i < 3; i++) {
          yield* scope.spawn(function* () {
            try {
              yield* forever();
            } finally {
              yield* Thread.sleep(20);
              cleaned++;
            }
          });
        }
        yield* Thread.sleep(200);
        return "left";
      });
      assert.equal(value, "left");
      assert.equal(cleaned, 3);
    });
  });

  test("a thread that fails interrupts the block and the other threads, and its error is thrown", () => {
    underSeeds(function* (seed) {
      const cause = new Error("of a thread");
      let interrupted: unknown = null;
      const error = yield* thrown(
        Scope.run(function* (scope) {
          yield* scope.spawn(forever);
          const t = yield* scope.spawn(fails, cause);
          try {
            yield* Thread.sleep(10_000);
          } catch (e) {
            interrupted = e;
            throw e;
          }
          return t;
        }) as never,
      );
      assert.ok(error instanceof ThreadError && error.cause === cause, `seed ${seed}: ${String(error)}`);
      assert.ok(interrupted instanceof Cancelled);
      // Only the scope was: the thread itself may go on waiting.
      yield* Thread.sleep(20);
      yield* Thread.testCancel();
    });
  });

  test("what the block throws is thrown, and its threads are gone", () => {
    underSeeds(function* () {
      const own = new RangeError("of the block");
      const error = yield* thrown(
        Scope.run(function* (scope) {
          yield* scope.spawn(forever);
          yield* schedYield();
          throw own;
        }) as never,
      );
      assert.equal(error, own);
      const joined = yield* thrown(
        Scope.run(function* (scope) {
          const t = yield* scope.spawn(fails, own, 0);
          Thread.setCancelState(false);
          yield* t.join();
        }) as never,
      );
      Thread.setCancelState(true);
      assert.ok(joined instanceof ThreadError && joined.cause === own);
    });
  });

  test("a failure that the block did not hear of before it returned is thrown all the same", () => {
    underSeeds(function* () {
      const cause = new Error("late");
      const error = yield* thrown(
        Scope.run(function* (scope) {
          yield* scope.spawn(function* () {
            try {
              yield* forever();
            } finally {
              yield* fails(cause);
            }
          });
          yield* Thread.sleep(50);
        }) as never,
      );
      assert.ok(error instanceof ThreadError && error.cause === cause);
    });
  });

  test("a failure in an outer scope leaves the inner one first, and is thrown by the outer", () => {
    underSeeds(function* (seed) {
      const cause = new Error("outer");
      const seen: string[] = [];
      const error = yield* thrown(
        Scope.run(function* (outer) {
          yield* outer.spawn(fails, cause, 30);
          try {
            yield* Scope.run(function* (inner) {
              yield* inner.spawn(function* () {
                try {
                  yield* forever();
                } finally {
                  seen.push("inner thread");
                }
              });
              yield* forever();
            });
          } catch (e) {
            seen.push(e instanceof Cancelled ? "inner scope" : String(e));
            throw e;
          }
        }) as never,
      );
      assert.ok(error instanceof ThreadError && error.cause === cause, `seed ${seed}: ${String(error)}`);
      assert.ok(seen.includes("inner scope"), seen.join());
    });
  });

  test("a failure in an inner scope is the inner's alone, also if the outer has one meanwhile", () => {
    underSeeds(function* (seed) {
      const mine = new Error("inner");
      const other = new Error("outer");
      const told: unknown[] = [];
      const error = yield* thrown(
        Scope.run(function* (outer) {
          told.push(
            yield* thrown(
              Scope.run(function* (inner) {
                yield* inner.spawn(fails, mine, 10);
                yield* outer.spawn(fails, other, 10);
                yield* forever();
              }) as never,
            ),
          );
          yield* forever();
        }) as never,
      );
      const [inner] = told;
      const heard = inner instanceof ThreadError ? inner.cause === mine : inner instanceof Cancelled;
      assert.ok(heard, `seed ${seed}: ${String(inner)}`);
      assert.ok(error instanceof ThreadError && error.cause === other, `seed ${seed}: ${String(error)}`);
    });
  });

  test("a cancelled owner cancels its threads, waits for them and ends as cancelled", () => {
    underSeeds(function* () {
      let cleaned = 0;
      const owner = yield* Thread.spawn(function* () {
        yield* Scope.run(function* (scope) {
          for (let i = 0; i < 2; i++) {
            yield* scope.spawn(function* () {
              try {
                yield* forever();
              } finally {
                yield* schedYield();
                cleaned++;
              }
            });
          }
          yield* Thread.sleep(1000);
        });
      });
      yield* Thread.sleep(300);
      yield* owner.cancel();
      const error = yield* thrown(owner.join() as never);
      assert.ok(error instanceof ThreadError && error.code === "ECANCELED");
      assert.equal(cleaned, 2);
    });
  });

  test("after it was left a scope starts nothing: EINVAL; cancel ends its threads", () => {
    underSeeds(function* () {
      let kept: Scope | null = null;
      yield* Scope.run(function* (scope) {
        kept = scope;
        const t = yield* scope.spawn(forever);
        yield* scope.cancel();
        const error = yield* thrown(t.join() as never);
        assert.ok(error instanceof ThreadError && error.code === "ECANCELED");
      });
      assert.equal(yield* outcome((kept as unknown as Scope).spawn(forever)), "EINVAL");
    });
  });
});

describe("using a Scope", () => {
  test("cancels and detaches its threads when the block is left, and throws what one has thrown", () => {
    for (let seed = 0; seed < 10; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      let cleaned = false;
      const cause = new Error("of a thread");
      m.runMain(function* () {
        const block = function* (f: () => K.Body) {
          using scope = new Scope();
          yield* scope.spawn(f);
          Thread.setCancelState(false);
          yield* Thread.sleep(200);
          Thread.setCancelState(true);
        };
        yield* block(function* () {
          try {
            yield* forever();
          } finally {
            cleaned = true;
          }
        });
        const error = yield* thrown(block(() => fails(cause)) as never);
        assert.ok(error instanceof ThreadError && error.cause === cause, `seed ${seed}`);
        while (m.k.threads.inUse > 1) yield* Thread.sleep(10);
        yield* Thread.testCancel();
      });
      assert.equal(cleaned, true, `seed ${seed}`);
      assert.deepEqual([m.uncaught, m.unjoined], [[], []]);
    }
  });
});
