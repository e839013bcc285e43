/** How the operations of the library wait, exactly, on simulated CPUs: timeouts, signals, cancellation, suspension. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Cancelled, run, schedYield, Thread } from "lwp";
import type * as K from "lwp/kernel";
import { LwpError, lwpContinue, lwpSuspend, lwpWakeup, type Operation } from "lwp/syscall";
import { Gate, outcome, ThreadMachine } from "../support/threads.js";

const TICK = 10;

describe("a wait", () => {
  test("ends when what it waits for is there, at once if it is there already", () => {
    for (const early of [true, false]) {
      const m = new ThreadMachine({ cpus: 2 });
      const gate = new Gate(m);
      m.runMain(function* () {
        if (early) gate.open();
        const t = yield* Thread.spawn(function* () {
          return yield* gate.wait({ timeout: 1000 });
        });
        for (let i = 0; i < 5; i++) yield* schedYield();
        if (!early) gate.open();
        assert.equal(yield* t.join(), "open");
      });
      assert.equal(gate.abandoned, 0);
    }
  });

  for (const [timeout, least] of [
    [0, 0],
    [1, 1],
    [10, 10],
    [25, 25],
    [1000, 1000],
  ] as const) {
    test(`of at most ${timeout} ms ends with ETIMEDOUT after that, and at most two ticks later`, () => {
      const m = new ThreadMachine();
      const gate = new Gate(m);
      m.runMain(function* () {
        const from = m.now;
        assert.equal(yield* outcome(gate.wait({ timeout })), "ETIMEDOUT");
        const took = m.now - from;
        assert.ok(took >= least && took <= (timeout === 0 ? 1 : timeout + 2 * TICK), `it took ${took} ms`);
      });
      assert.equal(gate.abandoned, 1);
    });
  }

  test("refuses a timeout that is no number from 0; an infinite one is none", () => {
    const m = new ThreadMachine();
    const gate = new Gate(m);
    m.runMain(function* () {
      for (const timeout of [-1, -Infinity, Number.NaN, "soon" as never]) {
        assert.equal(yield* outcome(gate.wait({ timeout })), "EINVAL");
      }
      const t = yield* Thread.spawn(() => gate.wait({ timeout: Infinity })[Symbol.iterator]() as K.Body);
      yield* Thread.sleep(5000);
      gate.open();
      assert.equal(yield* t.join(), "open");
    });
  });

  test("keeps its deadline when it is woken for nothing", () => {
    const m = new ThreadMachine();
    const gate = new Gate(m);
    m.runMain(function* () {
      const t = yield* Thread.spawn(function* () {
        const from = m.now;
        assert.equal(yield* outcome(gate.wait({ timeout: 100 })), "ETIMEDOUT");
        return m.now - from;
      });
      for (let i = 0; i < 8; i++) {
        yield* Thread.sleep(5);
        yield* outcome(lwpWakeup(t.lid));
      }
      const took = yield* t.join();
      assert.ok(took >= 100 && took <= 100 + 2 * TICK, `it took ${took} ms`);
    });
  });

  test("ends with the reason of its signal, and listens no longer", () => {
    const m = new ThreadMachine({ cpus: 2 });
    const gate = new Gate(m);
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: unknown[]) => {
      listeners++;
      Reflect.apply(addEventListener, signal, args);
    };
    signal.removeEventListener = (...args: unknown[]) => {
      listeners--;
      Reflect.apply(removeEventListener, signal, args);
    };
    m.runMain(function* () {
      const t = yield* Thread.spawn(function* () {
        try {
          yield* gate.wait({ signal });
        } catch (error) {
          return error;
        }
        return null;
      });
      yield* Thread.sleep(30);
      assert.equal(listeners, 1);
      controller.abort(reason);
      assert.equal(yield* t.join(), reason);
      assert.equal(listeners, 0);
      assert.equal(yield* outcome(gate.wait({ signal })), "Error", "one that has aborted before");
      assert.equal(listeners, 0);
    });
    for (let i = 0; i < 2; i++) assert.equal(m.cpu(i).hostwait, 0);
  });

  test("ends on the host's event loop when a signal aborts by a timer", async () => {
    const told = await run(function* () {
      try {
        yield* Thread.sleep(600_000, { signal: AbortSignal.timeout(20) });
      } catch (error) {
        return (error as Error).name;
      }
      return "";
    });
    assert.equal(told, "TimeoutError");
  });

  test("stands still while the thread is suspended, and goes on when it is continued", () => {
    const m = new ThreadMachine({ cpus: 2 });
    const gate = new Gate(m);
    m.runMain(function* () {
      let got = "";
      const t = yield* Thread.spawn(function* () {
        got = yield* gate.wait();
      });
      yield* Thread.sleep(20);
      yield* lwpSuspend(t.lid);
      gate.open();
      yield* Thread.sleep(50);
      assert.equal(got, "");
      yield* lwpContinue(t.lid);
      yield* t.join();
      assert.equal(got, "open");
    });
  });

  test("is ended by the exit of the process, and no finally block runs", () => {
    const m = new ThreadMachine({ cpus: 2 });
    const gate = new Gate(m);
    let ran = false;
    const { signal } = new AbortController();
    m.runMain(function* () {
      yield* Thread.spawn(function* () {
        try {
          yield* gate.wait({ timeout: 1e9, signal });
        } finally {
          ran = true;
        }
      });
      yield* Thread.sleep(30);
    });
    assert.equal(ran, false);
    for (let i = 0; i < 2; i++) assert.equal(m.cpu(i).hostwait, 0);
  });
});

describe("an operation", () => {
  test("serves once", () => {
    const m = new ThreadMachine();
    const gate = new Gate(m);
    gate.isOpen = true;
    m.runMain(function* () {
      for (const op of [gate.wait(), Thread.testCancel()] as Operation<unknown>[]) {
        yield* op;
        assert.throws(() => op[Symbol.iterator](), /an operation serves once: make the call again/);
      }
    });
  });

  test("cannot be awaited", async () => {
    const waits = { name: "Gate.wait", op: new Gate(new ThreadMachine()).wait() };
    const others = [
      { name: "Thread.sleep", op: Thread.sleep(1) },
      { name: "Thread.testCancel", op: Thread.testCancel() },
    ];
    for (const { name, op } of [waits, ...others]) {
      await assert.rejects(
        async () => await (op as unknown as Promise<void>),
        new TypeError(`${name} cannot be awaited: yield* it inside a thread`),
      );
    }
  });

  test("outside a thread says what to do", () => {
    assert.throws(() => Thread.sleep(1)[Symbol.iterator]().next(), /Thread.sleep works only inside a thread/);
  });
});

describe("Thread.sleep", () => {
  for (const ms of [0, 1, 15, 100]) {
    test(`lasts at least ${ms} ms and at most two ticks more`, () => {
      const m = new ThreadMachine();
      m.runMain(function* () {
        const from = m.now;
        yield* Thread.sleep(ms);
        const took = m.now - from;
        assert.ok(took >= ms && took <= (ms === 0 ? 1 : ms + 2 * TICK), `it took ${took} ms`);
      });
    });
  }

  test("sleeps on when it is woken for nothing, and ends sooner by its timeout", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const from = m.now;
      const t = yield* Thread.spawn(() => Thread.sleep(100)[Symbol.iterator]() as K.Body);
      yield* Thread.sleep(20);
      yield* lwpWakeup(t.lid);
      yield* t.join();
      assert.ok(m.now - from >= 100);
      assert.equal(yield* outcome(Thread.sleep(1000, { timeout: 30 })), "ETIMEDOUT");
      assert.ok(m.now - from < 200);
      for (const bad of [-1, Number.NaN]) assert.equal(yield* outcome(Thread.sleep(bad)), "EINVAL");
    });
  });
});

test("a cancelled thread gets Cancelled where it waits, and its finally blocks run, and may wait", () => {
  const m = new ThreadMachine({ cpus: 2 });
  const gate = new Gate(m);
  const seen: string[] = [];
  m.runMain(function* () {
    const t = yield* Thread.spawn(function* () {
      try {
        yield* gate.wait();
      } catch (error) {
        assert.ok(error instanceof Cancelled && error instanceof LwpError);
        seen.push(error.code, error.name);
        throw error;
      } finally {
        yield* Thread.sleep(20);
        seen.push("cleaned up");
      }
    });
    yield* Thread.sleep(20);
    yield* t.cancel();
    yield* outcome(t.join());
  });
  assert.deepEqual(seen, ["ECANCELED", "Cancelled", "cleaned up"]);
});
