/** What all system calls have in common: when they act, where they work, how their errors come out. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, parked, stateOf, TestMachine } from "../support/sim.js";

/** All calls, with arguments that would do something. LWP 2 is parked, LWP 3 suspended. */
const CALLS: Record<string, () => S.Operation<unknown>> = {
  lwpContinue: () => S.lwpContinue(3),
  lwpCreate: () => S.lwpCreate(parked),
  lwpCtl: () => S.lwpCtl(),
  lwpDetach: () => S.lwpDetach(2),
  lwpExit: () => S.lwpExit(),
  lwpGetname: () => S.lwpGetname(0),
  lwpGetprivate: () => S.lwpGetprivate(),
  lwpKill: () => S.lwpKill(2, 30),
  lwpPark: () => S.lwpPark(null, 2),
  lwpSelf: () => S.lwpSelf(),
  lwpSetname: () => S.lwpSetname(2, "x"),
  lwpSetprivate: () => S.lwpSetprivate(5),
  lwpSuspend: () => S.lwpSuspend(2),
  lwpUnpark: () => S.lwpUnpark(2),
  lwpUnparkAll: () => S.lwpUnparkAll([2, 3]),
  lwpWait: () => S.lwpWait(2),
  lwpWakeup: () => S.lwpWakeup(2),
  procExit: () => S.procExit(1),
  schedGetaffinity: () => S.schedGetaffinity(0, 2, new Uint8Array(1)),
  schedGetparam: () => S.schedGetparam(0, 2),
  schedSetaffinity: () => S.schedSetaffinity(0, 2, Uint8Array.of(1)),
  schedSetparam: () => S.schedSetparam(0, 2, S.SCHED_RR, { priority: 1 }),
  schedYield: () => S.schedYield(),
};

function words(k: K.Kernel): Int32Array {
  return k.w.slice();
}

describe("operations", () => {
  test("every call is among those tested here", () => {
    const calls = Object.keys(S).filter((name) => /^(lwp|sched|pset|proc)[A-Z]/.test(name));
    assert.deepEqual(Object.keys(CALLS).sort(), calls.sort());
  });

  test("calling an operation does nothing: it acts when it is iterated", () => {
    const m = new TestMachine();
    const different: string[] = [];
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      yield* S.schedYield();
      const before = words(m.k);
      for (const [name, call] of Object.entries(CALLS)) {
        const operation = call();
        assert.equal(typeof operation[Symbol.iterator], "function");
        // Nor does asking it for its iterator.
        operation[Symbol.iterator]();
        if (!words(m.k).every((word, at) => word === before[at])) different.push(name);
      }
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(different, []);
  });

  test("outside a thread every call says what to do, once it is iterated", () => {
    const m = new TestMachine();
    const places: [string, (body: () => void) => void][] = [
      ["without a machine", (body) => body()],
      ["between the LWPs of one", (body) => m.asCpu(body)],
    ];
    for (const [where, inPlace] of places) {
      for (const [name, call] of Object.entries(CALLS)) {
        const operation = call();
        inPlace(() => {
          assert.throws(
            () => operation[Symbol.iterator]().next(),
            (error) => {
              assert.ok(error instanceof TypeError, `${name} ${where}`);
              assert.equal(
                error.message,
                `${name} works only inside a thread: in a generator function that a machine runs, and in no callback`,
              );
              return true;
            },
          );
        });
      }
    }
  });

  test("an operation that was made outside a thread works inside one", () => {
    const m = new TestMachine();
    const operation = S.lwpSelf();
    let got: unknown;
    m.spawn(function* () {
      got = yield* operation;
    });
    m.run();
    assert.equal(got, 1);
  });

  test("an error is thrown on the return to user mode, where preemption and exit come first", () => {
    const failing: Record<string, () => S.Operation<unknown>> = {
      "an unknown lid": () => S.lwpContinue(99),
      "a wait for nobody": () => S.lwpWait(99),
      "a park for nobody": () => S.lwpPark(null, 99),
      "an argument of the wrong type": () => S.lwpUnpark("x" as unknown as number),
      "a time of the wrong type": () => S.lwpPark("x" as unknown as S.Timespec),
    };
    for (const [name, call] of Object.entries(failing)) {
      const m = new TestMachine();
      let got: unknown = "not back";
      const p = m.spawn(function* () {
        const l = K.cur.lwp;
        yield* S.lwpCreate(parked);
        K.lwpLock(l);
        l.flag |= K.LW_WSUSPEND;
        K.lwpUnlock(l);
        got = yield* attempt(call());
        yield* S.lwpPark();
      });
      m.run();
      const main = m.lwp(p, 1);
      assert.deepEqual([stateOf(main), got], ["SUSPENDED", "not back"], name);
      m.locked(p, () => {
        K.lwpLock(main);
        K.lwpContinue(main);
      });
      m.run();
      assert.match(String(got), /^(ESRCH|EFAULT)$/, name);
    }
  });

  test("a thread that does nothing but fail still lets others run", () => {
    const m = new TestMachine();
    let ran = false;
    m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        ran = true;
      });
      for (let i = 0; i < 100 && !ran; i++) {
        yield* attempt(S.lwpPark("x" as unknown as S.Timespec));
        // What the clock would do after its slice.
        K.cpuNeedResched(K.cur.cpu, K.RESCHED_KPREEMPT);
      }
    });
    m.until(() => ran || m.sim.collected.length > 0);
    assert.equal(m.sim.collected.length, 0, "it has ended without letting the other one run");
  });

  test("an error tells the call, the LWP it was about and the process", () => {
    const m = new TestMachine();
    let error: unknown;
    const { pid } = m.spawn(function* () {
      try {
        yield* S.lwpUnpark(77);
      } catch (e) {
        error = e;
      }
    });
    m.run();
    assert.ok(error instanceof S.LwpError);
    const { code, errno, syscall, lid, message } = error;
    assert.deepEqual(
      { code, errno, syscall, lid, pid: error.pid, message },
      {
        code: "ESRCH",
        errno: 3,
        syscall: "lwpUnpark",
        lid: 77,
        pid,
        message: "lwpUnpark: ESRCH: no such thread or process",
      },
    );
  });
});
