/** Awaiting the host on a real CPU: values, reasons, and what ends the wait before. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { boot, LwpError, schedYield, Thread, until } from "lwp";
import type * as K from "lwp/kernel";
import { lwpWakeup } from "lwp/syscall";
import { outcome, ThreadMachine } from "../support/threads.js";

/** Runs main on a machine of one CPU, which must end with nothing awaited. */
async function onHost<T>(main: () => Iterator<K.Token, T, undefined>): Promise<T> {
  await using machine = await boot({ cpus: 1 });
  const value = await machine.run(main);
  assert.equal(machine.kernel.cpus.view(1).hostwait, 0);
  return value;
}

const after = <T>(ms: number, value: T) => new Promise<T>((resolve) => setTimeout(() => resolve(value), ms));
const never = new Promise<never>(() => {});

describe("until", () => {
  test("returns the value of a promise or a thenable, settled before or after, and throws its reason", async () => {
    const thenable = { then: (f: (value: string) => void) => f("at once") } as PromiseLike<string>;
    const reason = new RangeError("no");
    const told = await onHost(function* () {
      const values: unknown[] = [
        yield* until(Promise.resolve(1)),
        yield* until(after(5, { x: 2 })),
        yield* until(thenable),
        yield* until(Promise.resolve(undefined)),
      ];
      for (const bad of [Promise.reject(reason), after(5, 0).then(() => Promise.reject(reason))]) {
        try {
          yield* until(bad);
        } catch (error) {
          values.push(error === reason);
        }
      }
      values.push(yield* outcome(until(3 as never)), yield* outcome(until(null as never)));
      return values;
    });
    assert.deepEqual(told, [1, { x: 2 }, "at once", undefined, true, true, "TypeError", "TypeError"]);
  });

  test("gives up by its timeout or its signal; a late rejection is nobody's surprise", async () => {
    const unhandled: unknown[] = [];
    const hear = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", hear);
    const reason = new Error("stop");
    const told = await onHost(function* () {
      let reject = (_error: Error): void => {};
      const late = new Promise<never>((_resolve, no) => {
        reject = no;
      });
      const values: unknown[] = [yield* outcome(until(late, { timeout: 20 }))];
      reject(new Error("late"));
      values.push(
        yield* outcome(until(never, { timeout: 0 })),
        yield* until(Promise.resolve("there"), { timeout: 1000 }),
        yield* outcome(until(never, { signal: AbortSignal.timeout(20) })),
      );
      try {
        yield* until(never, { signal: AbortSignal.abort(reason) });
      } catch (error) {
        values.push(error === reason);
      }
      yield* outcome(until(late));
      return values;
    });
    await after(0, 0);
    process.off("unhandledRejection", hear);
    assert.deepEqual(told, ["ETIMEDOUT", "ETIMEDOUT", "there", "TimeoutError", true]);
    assert.deepEqual(unhandled, []);
  });

  test("is ended by one of several signals, a timeout that nobody else holds, though garbage is collected meanwhile", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const signal = () => AbortSignal.any([new AbortController().signal, AbortSignal.timeout(50)]);
    const told = await onHost(function* () {
      const t = yield* Thread.spawn(function* () {
        // Should the signal be lost, as it can be before Node 22.16, this ends the test.
        return yield* outcome(until(never, { signal: signal(), timeout: 20_000 }));
      });
      // What was dereferenced in a turn of the event loop lives until its end.
      for (let turn = 0; turn < 2; turn++) {
        yield* until(after(0, 0));
        collect();
      }
      return yield* t.join();
    });
    assert.equal(told, "TimeoutError");
  });

  test("is ended by a cancellation, not by a wakeup; stands still while the thread is suspended", async () => {
    const told = await onHost(function* () {
      const cancelled = yield* Thread.spawn(() => until(never)[Symbol.iterator]() as K.Body);
      let got = "";
      const suspended = yield* Thread.spawn(function* () {
        got = yield* until(after(20, "value"));
      });
      yield* schedYield();
      yield* lwpWakeup(cancelled.lid);
      yield* suspended.suspend();
      yield* until(after(60, 0));
      const before = got;
      yield* suspended.resume();
      yield* suspended.join();
      yield* cancelled.cancel();
      return [yield* outcome(cancelled.join()), before, got];
    });
    assert.deepEqual(told, ["ThreadError", "", "value"]);
  });

  test("is ENOTSUP on a simulated machine that answers nothing", () => {
    new ThreadMachine().runMain(function* () {
      try {
        yield* until(Promise.resolve(1));
        assert.fail();
      } catch (error) {
        assert.ok(error instanceof LwpError);
        assert.equal(error.code, "ENOTSUP");
      }
    });
  });
});
