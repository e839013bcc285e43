/** Threads that come and go leave every table at its level, however they end and whatever they carry. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { schedYield, SharedBytes, Thread, ThreadError, ThreadLocal } from "lwp";
import { POOL_INUSE, seededStrategy } from "lwp/kernel";
import { withMachine } from "../support/host.js";
import { ThreadMachine } from "../support/threads.js";

/** One of each way in which a value is kept: in the record, in the arena, in user memory, in the realm, as a handle. */
const VALUES: readonly unknown[] = [
  undefined,
  1,
  "short",
  "x".repeat(500),
  "y".repeat(9000),
  { a: [1n, new Date(0)] },
];

function* returns(value: unknown) {
  yield* schedYield();
  return value;
}

function* fails(value: unknown) {
  yield* schedYield();
  throw Object.assign(new Error("deliberate"), { value });
}

/** Runs `rounds` rounds, in each of which threads of every kind are made, and end in every way. */
function* comeAndGo(rounds: number, portable: boolean) {
  const kept = new ThreadLocal<unknown>(() => {});
  using bytes = new SharedBytes(100);
  for (let round = 0; round < rounds; round++) {
    const value = round % 7 === 6 ? bytes : VALUES[round % 7];
    const joined = yield* Thread.spawn(returns, value);
    const failed = yield* Thread.spawn(fails, value);
    const local = yield* Thread.spawn(function* () {
      kept.set(value);
      return yield* returns(value);
    });
    const detached = yield* Thread.spawn(returns, value);
    yield* detached.detach();
    let refused = false;
    try {
      yield* (yield* Thread.spawn(returns, [value, () => {}])).detach();
    } catch (error) {
      refused = (error as Error).name === "DataCloneError";
    }
    assert.equal(refused, portable);
    yield* joined.join();
    yield* local.join();
    try {
      yield* failed.join();
      assert.fail("it did not fail");
    } catch (error) {
      assert.ok(error instanceof ThreadError);
    }
  }
  // Some are left behind, running and ended.
  for (const value of VALUES) yield* Thread.spawn(returns, value);
  for (let i = 0; i < 3; i++) yield* schedYield();
  for (const value of VALUES) yield* Thread.spawn(returns, value);
}

test("on simulated CPUs: records, blocks, pages, keys, and what the realm keeps", () => {
  for (const seed of [1, 2, 3]) {
    const m = new ThreadMachine({
      cpus: 2,
      checked: false,
      strategy: seededStrategy(seed),
      entries: [returns, fails],
      limits: { blocks: 64, userPages: 32 },
    });
    for (let i = 0; i < 2; i++) {
      m.runMain(() => comeAndGo(100, true));
      assert.equal(m.k.w[m.k.blockPool + POOL_INUSE], 0, `blocks, seed ${seed}`);
    }
  }
});

test("on one CPU: 2,500 threads that stay in their realm, in tables that hold far fewer", async () => {
  const limits = { lwps: 64, threads: 64, blocks: 64, userPages: 32 };
  await withMachine({ cpus: 1, limits }, async (machine) => {
    for (let i = 0; i < 2; i++) {
      const { status } = await machine.spawn(() => comeAndGo(250, false)).exited;
      assert.equal(status, 0);
    }
  });
});
