/** Suspending and continuing one LWP, whatever it is doing. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, counters, parked, stateOf, TestMachine } from "../support/sim.js";

/** A process with a parked main thread and LWP 2, which runs `body`. */
function pair(body: () => K.Body = parked, options: { cpus?: number; flags?: number } = {}) {
  const m = new TestMachine({ cpus: options.cpus });
  const p = m.spawn(function* () {
    yield* S.lwpCreate(body, options.flags);
    yield* S.lwpPark();
  });
  m.run();
  return { m, k: m.k, p, t: m.lwp(p, 2) };
}

interface Outcome {
  result: number;
  /** Whether the LWP is still locked, and the process. */
  locked: boolean;
  plocked: boolean;
}

/** The kernel's suspend, with what it needs locked. */
function suspend(m: TestMachine, t: K.Lwp): Outcome {
  return m.asCpu(() => {
    const p = t.proc;
    K.spinEnter(m.k, p.lock);
    K.lwpLock(t);
    const lock = t.mutex;
    const result = K.lwpSuspend(K.cur.lwp, t);
    const outcome = { result, locked: K.spinOwned(m.k, lock), plocked: K.spinOwned(m.k, p.lock) };
    K.spinExit(m.k, p.lock);
    return outcome;
  });
}

function resume(m: TestMachine, t: K.Lwp): Omit<Outcome, "result"> {
  return m.asCpu(() => {
    const p = t.proc;
    K.spinEnter(m.k, p.lock);
    K.lwpLock(t);
    const lock = t.mutex;
    K.lwpContinue(t);
    const outcome = { locked: K.spinOwned(m.k, lock), plocked: K.spinOwned(m.k, p.lock) };
    K.spinExit(m.k, p.lock);
    return outcome;
  });
}

function unpark(m: TestMachine, t: K.Lwp): void {
  m.asCpu(() => assert.equal(K.unpark(t.proc, t.lid, 0), 0));
}

const DONE = { result: 0, locked: false, plocked: true };
const wsuspend = (l: K.Lwp) => (l.flag & K.LW_WSUSPEND) !== 0;

/** Stops a parked LWP in its sleep, as a stop signal would. */
function stopSleeper(m: TestMachine, t: K.Lwp): void {
  m.locked(t.proc, () => {
    K.lwpLock(t);
    K.setStat(t, K.LSSTOP);
    t.proc.nrlwps--;
    K.lwpUnlock(t);
  });
}

/** A body that computes until told to stop. */
function computing() {
  const box = { go: true };
  const body = function* () {
    while (box.go) yield* S.schedYield();
    yield* S.lwpPark();
  };
  return { box, body };
}

describe("lwpSuspend", () => {
  for (const [name, flag] of [
    ["exit", K.LW_WEXIT],
    ["dump core", K.LW_WCORE],
  ] as const) {
    test(`LWP-71: a caller that is to ${name} gets EDEADLK, and nothing changes`, () => {
      const { m, p } = pair();
      const t = m.lwp(p, 2);
      m.asCpu(() => {
        const caller = m.lwp(p, 1);
        caller.flag |= flag;
        K.spinEnter(m.k, p.lock);
        K.lwpLock(t);
        const lock = t.mutex;
        const before = [t.flag, t.stat];
        assert.equal(K.lwpSuspend(caller, t), K.EDEADLK);
        assert.deepEqual([t.flag, t.stat], before);
        assert.equal(K.spinOwned(m.k, lock), false);
        assert.equal(K.spinOwned(m.k, p.lock), true);
        K.spinExit(m.k, p.lock);
        caller.flag &= ~flag;
      });
    });
  }

  test("LWP-72: RUN: flagged, asked to look, and suspended at its next return to user mode", () => {
    const { box, body } = computing();
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(body);
      for (;;) yield* S.schedYield();
    });
    m.until(() => p.nlwps === 2 && stateOf(m.lwp(p, 2)) === "RUN");
    const t = m.lwp(p, 2);
    assert.deepEqual(suspend(m, t), DONE);
    assert.deepEqual([stateOf(t), wsuspend(t)], ["RUN", true]);
    assert.notEqual(t.cpu.attention & K.RESCHED_ANY, 0);
    m.until(() => stateOf(t) === "SUSPENDED");
    box.go = false;
    for (let i = 0; i < 20; i++) m.sim.step();
    assert.equal(stateOf(t), "SUSPENDED");
  });

  test("LWP-72: ONPROC, and on another CPU: flagged, and its CPU asked to look", () => {
    const { box, body } = computing();
    const m = new TestMachine({ cpus: 2 });
    const p = m.spawn(function* () {
      yield* S.lwpCreate(body);
      yield* S.lwpPark();
    });
    m.until(() => p.nlwps === 2 && stateOf(m.lwp(p, 2)) === "ONPROC" && stateOf(m.lwp(p, 1)) === "SLEEP");
    const t = m.lwp(p, 2);
    const notified: K.Cpu[] = [];
    m.sim.notify = (ci?: K.Cpu) => void notified.push(ci as K.Cpu);
    const other = t.cpu === m.cpu(0) ? 1 : 0;
    m.asCpu(() => {
      K.spinEnter(m.k, p.lock);
      K.lwpLock(t);
      assert.equal(K.lwpSuspend(K.cur.lwp, t), 0);
      K.spinExit(m.k, p.lock);
    }, other);
    assert.deepEqual([stateOf(t), wsuspend(t)], ["ONPROC", true]);
    assert.notEqual(t.cpu.attention & K.RESCHED_ANY, 0);
    assert.deepEqual(notified, [t.cpu]);
    m.run();
    assert.equal(stateOf(t), "SUSPENDED");
    assert.ok(box.go);
  });

  test("LWP-72: SLEEP, interruptible: woken with result 0, and suspended before it returns to user mode", () => {
    let got: unknown = "not back";
    const { m, t, p } = pair(function* () {
      got = yield* attempt(S.lwpPark());
      yield* S.lwpPark();
    });
    assert.deepEqual(suspend(m, t), DONE);
    assert.deepEqual([stateOf(t), wsuspend(t)], ["RUN", true]);
    m.run();
    assert.equal(stateOf(t), "SUSPENDED");
    assert.equal(got, "not back");
    assert.equal(counters(p), "nl2 nz0 nr1 nd0 nw0");
    resume(m, t);
    m.run();
    assert.equal(got, undefined, "a park that was not unparked returns without an error");
  });

  test("LWP-72: a sleeper that tests a condition goes straight back to sleep, the suspension pending", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      got = yield* attempt(S.lwpWait(2));
      yield* S.lwpPark();
    });
    m.run();
    const main = m.lwp(p, 1);
    assert.deepEqual(suspend(m, main), DONE);
    m.run();
    assert.deepEqual([stateOf(main), main.wmesg, wsuspend(main)], ["SLEEP", "lwpwait", true]);
    unpark(m, m.lwp(p, 2));
    m.run();
    assert.deepEqual([stateOf(main), got], ["SUSPENDED", undefined], "it had its result, but not user mode");
    resume(m, main);
    m.run();
    assert.equal(got, 2);
  });

  test("LWP-72: a sleeper with a timeout is woken, and the timeout is off", () => {
    let got: unknown = "not back";
    const { m, t } = pair(function* () {
      yield* S.lwpPark();
      got = yield* attempt(S.lwpPark({ sec: 1_000_000_100, nsec: 0 }));
    });
    unpark(m, t);
    m.until(() => stateOf(t) === "SLEEP" && t.cpu.ncallouts === 1);
    assert.deepEqual(suspend(m, t), DONE);
    m.until(() => stateOf(t) === "SUSPENDED");
    assert.equal(t.cpu.ncallouts, 0);
    resume(m, t);
    m.run();
    assert.equal(got, undefined);
  });

  test("LWP-72: SLEEP, uninterruptible: flagged and left asleep", () => {
    const { m, k, t } = pair(function* () {
      const { k, proc } = K.cur.lwp;
      const cv = K.cur.lwp.waitcv;
      K.spinEnter(k, proc.lock);
      yield* K.cvWait(k, cv, proc.lock);
      K.spinExit(k, proc.lock);
      yield* S.lwpSelf();
      yield* S.lwpPark();
    });
    assert.deepEqual(suspend(m, t), DONE);
    m.run();
    assert.deepEqual([stateOf(t), wsuspend(t)], ["SLEEP", true]);
    m.locked(t.proc, () => K.cvBroadcast(k, t.waitcv));
    m.run();
    assert.equal(stateOf(t), "SUSPENDED");
  });

  test("LWP-72: SUSPENDED: nothing", () => {
    const { m, t, p } = pair();
    suspend(m, t);
    m.run();
    const before = [t.stat, t.flag, counters(p)];
    assert.deepEqual(suspend(m, t), DONE);
    assert.deepEqual([t.stat, t.flag, counters(p)], before);
  });

  test("LWP-72: SUSPENDED since its creation: nothing, so the flag is not set either", () => {
    const { m, t } = pair(parked, { flags: S.LWP_SUSPENDED });
    assert.equal(stateOf(t), "SUSPENDED");
    assert.deepEqual(suspend(m, t), DONE);
    assert.equal(wsuspend(t), false);
  });

  test("LWP-72: STOP: flagged and set running, so that it gets to suspend itself", () => {
    const { m, t, p } = pair();
    stopSleeper(m, t);
    assert.equal(counters(p), "nl2 nz0 nr1 nd0 nw0");
    assert.deepEqual(suspend(m, t), DONE);
    assert.deepEqual([stateOf(t), wsuspend(t)], ["RUN", true]);
    assert.equal(counters(p), "nl2 nz0 nr2 nd0 nw0");
    m.run();
    assert.equal(stateOf(t), "SUSPENDED");
  });

  test("LWP-72: IDL and ZOMB: EINTR, and nothing is set", () => {
    const { m, t: zombie, p } = pair(function* () {});
    assert.equal(stateOf(zombie), "ZOMB");
    assert.deepEqual(suspend(m, zombie), { ...DONE, result: K.EINTR });
    assert.equal(wsuspend(zombie), false);
    m.asCpu(() => {
      const saved = K.cur.lwp;
      const main = m.lwp(p, 1);
      K.cur.lwp = main;
      const unborn = K.lwpCreate(main, p, 0, { kind: K.CTX_CLOSURE, closure: parked }, 0) as K.Lwp;
      K.cur.lwp = saved;
      assert.equal(stateOf(unborn), "IDL");
      assert.deepEqual(suspend(m, unborn), { ...DONE, result: K.EINTR });
      assert.equal(wsuspend(unborn), false);
    });
  });

  test("LWP-72: any other state is a kernel assertion", () => {
    const { m, t } = pair();
    t.stat = K.LSDEAD;
    assertPanics(() => suspend(m, t), /lwpSuspend: state 6/);
  });

  test("LWP-72: a caller that suspends itself must be on a CPU", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      K.spinEnter(m.k, p.lock);
      K.cvEnter(l, l.waitcv, p.lock);
      K.spinEnter(m.k, p.lock);
      K.lwpSuspend(l, l);
    });
    assertPanics(() => m.run(), /the caller is not on a CPU/);
    // Who suspends is who is named so, whoever's CPU it is.
    const { m: m2, t } = pair();
    assertPanics(
      () =>
        m2.locked(t.proc, () => {
          K.lwpLock(t);
          K.lwpSuspend(t, t);
        }),
      /the caller is not on a CPU/,
    );
  });

  test("LWP-72: it never waits: the suspension comes later", () => {
    const m = new TestMachine();
    const states: string[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      K.spinEnter(m.k, p.lock);
      K.lwpLock(l);
      assert.equal(K.lwpSuspend(l, l), 0);
      states.push(stateOf(l));
      K.spinExit(m.k, p.lock);
      yield* S.lwpSelf();
      states.push("continued");
    });
    m.run();
    assert.deepEqual(states, ["ONPROC"]);
    assert.equal(stateOf(m.lwp(p, 1)), "SUSPENDED");
    resume(m, m.lwp(p, 1));
    m.run();
    assert.deepEqual(states, ["ONPROC", "continued"]);
  });

  test("LWP-72, LWP-123: process and LWP must be locked", () => {
    for (const which of ["process", "lwp"]) {
      const { m, k, t, p } = pair();
      const attemptIt = () =>
        m.asCpu(() => {
          if (which === "process") K.spinEnter(k, p.lock);
          else K.lwpLock(t);
          K.lwpSuspend(K.cur.lwp, t);
        });
      assertPanics(attemptIt, /process or LWP not locked/);
    }
  });
});

describe("lwpContinue", () => {
  test("LWP-73: SUSPENDED: the flag goes, it runs, is counted, and sleepers on p_lwpcv are told", () => {
    const m = new TestMachine();
    let wakes = 0;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        for (;;) yield* S.lwpPark();
      });
      K.spinEnter(m.k, p.lock);
      for (;;) {
        yield* K.cvWait(m.k, p.lwpcv, p.lock);
        wakes++;
      }
    });
    m.run();
    const t = m.lwp(p, 2);
    suspend(m, t);
    m.run();
    assert.equal(counters(p), "nl2 nz0 nr1 nd0 nw0");
    wakes = 0;
    assert.deepEqual(resume(m, t), { locked: false, plocked: true });
    assert.deepEqual([stateOf(t), wsuspend(t)], ["RUN", false]);
    assert.equal(counters(p), "nl2 nz0 nr2 nd0 nw0");
    m.run();
    assert.equal(wakes, 1);
  });

  test("LWP-73: a suspended LWP never has a wait channel here, since it suspends at user return alone (LWP-15, 16)", () => {
    const { m, t } = pair();
    suspend(m, t);
    m.run();
    assert.equal(t.wchan, 0);
    // Were it set all the same, the way back through LSSLEEP is no permitted transition.
    t.wchan = 1;
    assertPanics(() => resume(m, t), /SUSPENDED -> SLEEP is not permitted/);
  });

  test("LWP-73: in any other state only the flag is cleared: a suspension on its way is cancelled", () => {
    const states: Record<string, () => { m: TestMachine; t: K.Lwp }> = {
      SLEEP: () => pair(),
      ZOMB: () => pair(function* () {}),
      STOP: () => {
        const s = pair();
        stopSleeper(s.m, s.t);
        return s;
      },
      RUN: () => {
        const s = pair();
        unpark(s.m, s.t);
        return s;
      },
      ONPROC: () => {
        const { body } = computing();
        const m = new TestMachine();
        const p = m.spawn(function* () {
          yield* S.lwpCreate(body);
          yield* S.lwpPark();
        });
        m.until(() => p.nlwps === 2 && stateOf(m.lwp(p, 2)) === "ONPROC");
        return { m, t: m.lwp(p, 2) };
      },
    };
    for (const [name, make] of Object.entries(states)) {
      const { m, t } = make();
      assert.equal(stateOf(t), name);
      m.setFlags(t, K.LW_WSUSPEND);
      const before = counters(t.proc);
      assert.deepEqual(resume(m, t), { locked: false, plocked: true }, name);
      assert.deepEqual([stateOf(t), wsuspend(t)], [name, false]);
      assert.equal(counters(t.proc), before, name);
    }
  });

  test("LWP-73: while the system goes down nothing is continued", () => {
    const { m, t, p } = pair();
    m.setFlags(t, K.LW_WREBOOT);
    suspend(m, t);
    m.run();
    const before = [t.stat, t.flag, counters(p)];
    assert.deepEqual(resume(m, t), { locked: false, plocked: true });
    assert.deepEqual([t.stat, t.flag, counters(p)], before);
    assert.deepEqual([stateOf(t), wsuspend(t)], ["SUSPENDED", true]);
  });

  test("LWP-73, LWP-123: process and LWP must be locked", () => {
    for (const which of ["process", "lwp"]) {
      const { m, k, t, p } = pair();
      const attemptIt = () =>
        m.asCpu(() => {
          if (which === "process") K.spinEnter(k, p.lock);
          else K.lwpLock(t);
          K.lwpContinue(t);
        });
      assertPanics(attemptIt, /process or LWP not locked/);
    }
  });
});

describe("test vectors", () => {
  test("LWP-143: continued before it returns to user mode: no suspension happens", () => {
    const { body } = computing();
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(body);
      yield* S.lwpPark();
    });
    m.until(() => p.nlwps === 2 && stateOf(m.lwp(p, 2)) === "ONPROC");
    const t = m.lwp(p, 2);
    const states: number[] = [];
    K.probeEnable(m.k, ["state"], true);
    suspend(m, t);
    resume(m, t);
    for (let i = 0; i < 30; i++) m.sim.step();
    for (const r of K.traceRead(m.k, m.cpu(0), 0).records) states.push(r.args[1]);
    assert.ok(states.length > 0);
    assert.ok(!states.includes(K.LSSUSPENDED));
    assert.equal(p.nrlwps, 2);
  });

  test("LWP-150: blocked on a kernel mutex: still SLEEP; it suspends once it has the mutex and returns to user mode", () => {
    const m = new TestMachine();
    const { k } = m;
    const mutex = m.words(4);
    K.mutexInit(k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
    const log: string[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* K.mutexEnter(k, mutex);
        log.push("has the mutex");
        K.mutexExit(k, mutex);
        log.push("released it");
        yield* S.lwpSelf();
        log.push("user mode");
      });
      yield* K.mutexEnter(k, mutex);
      yield* S.lwpPark();
      K.mutexExit(k, mutex);
      yield* S.lwpPark();
    });
    m.run();
    const t = m.lwp(p, 2);
    assert.equal(t.syncobj, K.SOBJ_MUTEX);
    assert.deepEqual(suspend(m, t), DONE);
    m.run();
    assert.deepEqual([stateOf(t), wsuspend(t), log], ["SLEEP", true, []]);
    unpark(m, m.lwp(p, 1));
    m.run();
    assert.deepEqual([stateOf(t), log], ["SUSPENDED", ["has the mutex", "released it"]]);
    resume(m, t);
    m.run();
    assert.deepEqual(log, ["has the mutex", "released it", "user mode"]);
  });
});
