/** A process stops and continues as a whole: LWP-74, PRC-91, 93, 94, and SYS-88. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, counters, parked, stateOf, TestMachine, withLock } from "../support/sim.js";
import { atDelayPoint } from "../support/spy.js";

const SIGSTOP = 17;

/** Runs the body with `proc_lock` and the process locked, as CPU `n`. */
function bothLocked<T>(m: TestMachine, p: K.Proc, body: () => T, n = 0): T {
  return m.asCpu(() => withLock(m.k, m.k.g.procLock, () => withLock(m.k, p.lock, body)), n);
}

const stop = (m: TestMachine, p: K.Proc) => bothLocked(m, p, () => K.procStop(p, SIGSTOP));
const unstop = (m: TestMachine, p: K.Proc, sig?: number) => bothLocked(m, p, () => K.procUnstop(p, sig));

/** What the process is: its state, whether it is stopping, what its parent counts. */
const standing = (p: K.Proc): unknown[] => [p.stat, (p.sflag & K.PS_STOPPING) !== 0, p.parent?.nstopchild];
const states = (m: TestMachine, p: K.Proc): string =>
  K.procLwps(p)
    .map((l) => `${l.lid} ${stateOf(l)}`)
    .reverse()
    .join(", ");

const callout = (m: TestMachine): boolean => K.calloutPending(m.k, m.k.g.stopCh);

/** A process whose LWPs run these bodies. Where `cv` is waited on nothing interrupts. */
function process(bodies: (() => K.Body)[], options: { cpus?: number } = {}) {
  const m = new TestMachine(options);
  const p = m.spawn(function* () {
    for (const body of bodies.slice(1)) yield* S.lwpCreate(body);
    yield* { [Symbol.iterator]: () => bodies[0]() } as Iterable<K.Token>;
  });
  return { m, p };
}

/** Computes for ever. */
function computing() {
  const box = { steps: 0 };
  return {
    box,
    body: function* (): Generator<K.Token, void, undefined> {
      for (;;) {
        box.steps++;
        yield* S.schedYield();
      }
    },
  };
}

/** Sleeps so that nothing but a wakeup ends it, then parks. */
function deaf(words: () => number): () => K.Body {
  return function* () {
    const { k, proc } = K.cur.lwp;
    K.spinEnter(k, proc.lock);
    yield* K.cvWait(k, words(), proc.lock);
    K.spinExit(k, proc.lock);
    yield* S.lwpPark();
  };
}

/** A process that stops, whose only LWP computes and will have to wait for `proc_lock`: another CPU has it. */
function waitsForProcLock() {
  const { box, body } = computing();
  const { m, p } = process([body], { cpus: 2 });
  m.until(() => box.steps > 2);
  stop(m, p);
  const { procLock } = m.k.g;
  m.k.w[procLock] = 2;
  return { box, m, p, procLock };
}

describe("procStop", () => {
  test("PRC-91: who sleeps interruptibly stops where it is; others are told; a callout comes at the next tick", () => {
    let cv = 0;
    const { box, body } = computing();
    const { m, p } = process([parked, body, deaf(() => cv)]);
    cv = m.words(K.CV_WORDS);
    K.cvInit(m.k, cv, "deaf");
    m.until(
      () => states(m, p) === "1 SLEEP, 2 RUN, 3 SLEEP" || states(m, p) === "1 SLEEP, 2 ONPROC, 3 SLEEP",
    );
    const sleeper = m.lwp(p, 1);
    const { wchan, mutex } = sleeper;
    stop(m, p);
    assert.match(states(m, p), /^1 STOP, 2 (RUN|ONPROC), 3 SLEEP$/);
    assert.deepEqual([sleeper.wchan, sleeper.mutex], [wchan, mutex], "its channel and its queue's lock stay");
    assert.deepEqual(standing(p), [K.SACTIVE, true, 0]);
    assert.deepEqual([p.nrlwps, p.xstat, callout(m)], [2, SIGSTOP, true]);
    for (const l of K.procLwps(p)) assert.notEqual(l.flag & K.LW_PENDSIG, 0);
    // The one that computes stops at its next user return, and makes no step of its own any more.
    const { steps } = box;
    m.until(() => stateOf(m.lwp(p, 2)) === "STOP");
    assert.equal(box.steps, steps);
    assert.deepEqual([p.nrlwps, ...standing(p)], [1, K.SACTIVE, true, 0]);
  });

  test("PRC-91: if all sleep interruptibly the process is stopped at once, and its parent knows", () => {
    const { m, p } = process([parked, parked]);
    m.run();
    p.waited = 1;
    stop(m, p);
    assert.deepEqual([states(m, p), ...standing(p)], ["1 STOP, 2 STOP", K.SSTOP, false, 1]);
    assert.deepEqual([p.nrlwps, p.waited, callout(m)], [0, 0, false]);
  });

  test("PRC-91: a process that is stopping, stopped or exiting is left alone", () => {
    const { m, p } = process([parked]);
    m.run();
    stop(m, p);
    stop(m, p);
    assert.deepEqual(standing(p), [K.SSTOP, false, 1]);
    unstop(m, p, 0);
    p.sflag |= K.PS_WEXIT;
    stop(m, p);
    assert.deepEqual([states(m, p), ...standing(p)], ["1 SLEEP", K.SACTIVE, false, 0]);
    p.sflag = K.PS_STOPPING;
    stop(m, p);
    assert.equal(states(m, p), "1 SLEEP");
    p.sflag = 0;
  });

  test("PRC-91: proc_lock and the process must be locked, and it cannot be the system's", () => {
    for (const lock of [true, false]) {
      const { m, p } = process([parked]);
      m.run();
      const wrong = () => K.procStop(p, SIGSTOP);
      assertPanics(() => (lock ? m.locked(p, wrong) : m.asCpu(wrong)), /procStop: not locked/);
    }
    const m = new TestMachine();
    assertPanics(() => stop(m, m.k.procs.view(1)), /the system's process/);
  });

  test("PRC-93: every tick looks again, and ends the stop, until there is nobody left who is stopping", () => {
    let cv = 0;
    const { m, p } = process([parked, deaf(() => cv)]);
    cv = m.words(K.CV_WORDS);
    K.cvInit(m.k, cv, "deaf");
    m.run();
    stop(m, p);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual([states(m, p), ...standing(p)], ["1 STOP, 2 SLEEP", K.SACTIVE, true, 0]);
      assert.equal(callout(m), true);
      m.sim.tick();
      m.sim.tick();
    }
    // Woken, it stops on its way to user mode.
    m.locked(p, () => K.cvBroadcast(m.k, cv));
    m.until(() => p.stat === K.SSTOP);
    assert.deepEqual([states(m, p), ...standing(p)], ["1 STOP, 2 STOP", K.SSTOP, false, 1]);
    m.sim.tick();
    m.sim.tick();
    assert.equal(callout(m), false);
  });

  test("PRC-93: one that falls asleep interruptibly before it comes to its user return is stopped there by the tick", () => {
    let cv = 0;
    const { m, p } = process([
      parked,
      function* () {
        const { k, proc } = K.cur.lwp;
        K.spinEnter(k, proc.lock);
        yield* K.cvWait(k, cv, proc.lock);
        yield* K.cvWaitSig(k, cv, proc.lock);
        K.spinExit(k, proc.lock);
        yield* S.lwpPark();
      },
    ]);
    cv = m.words(K.CV_WORDS);
    K.cvInit(m.k, cv, "deaf");
    m.run();
    stop(m, p);
    m.locked(p, () => K.cvBroadcast(m.k, cv));
    m.until(() => p.stat === K.SSTOP);
    const l = m.lwp(p, 2);
    assert.deepEqual([stateOf(l), l.wchan, p.nrlwps], ["STOP", cv, 0]);
    unstop(m, p, 0);
    assert.deepEqual([states(m, p), p.nrlwps], ["1 SLEEP, 2 SLEEP", 2]);
    m.run();
  });

  test("an exit gives up a stop that is under way", () => {
    const { m, p } = process([parked, parked, computing().body]);
    m.until(() => p.nlwps === 3 && stateOf(m.lwp(p, 2)) === "SLEEP");
    stop(m, p);
    assert.deepEqual(standing(p), [K.SACTIVE, true, 0]);
    m.asCpu(() => assert.equal(K.procKill(m.k, p.pid, K.SIGKILL), true));
    m.run();
    assert.deepEqual(
      m.sim.collected.map(({ status }) => status),
      [K.SIGKILL],
    );
    assert.equal(m.k.procs.view(1).nstopchild, 0);
    assert.deepEqual(
      m.asCpu(() => K.checkEmpty(m.k)),
      [],
    );
  });

  test("killed while its last LWP waits for p_lock to stop itself, a process ends and does not stop", () => {
    const { m, p } = process([computing().body]);
    m.until(() => m.cpu(0).curlwp === m.lwp(p, 1));
    stop(m, p);
    assert.notEqual(p.sflag & K.PS_STOPPING, 0);
    // Somebody has the process locked, and kills it.
    m.k.w[p.lock] = 99;
    m.whileWaiting(() => {
      m.k.w[p.lock] = 0;
      m.asCpu(() => assert.equal(K.procKill(m.k, p.pid, K.SIGKILL), true));
    });
    m.run();
    assert.deepEqual(
      m.sim.collected.map(({ status }) => status),
      [K.SIGKILL],
    );
  });

  test("a stopped process that is killed is off its parent's count of the stopped", () => {
    for (const waited of [0, 1]) {
      const { m, p } = process([parked, parked]);
      m.run();
      stop(m, p);
      p.waited = waited;
      m.k.procs.view(1).nstopchild -= waited;
      m.asCpu(() => assert.equal(K.procKill(m.k, p.pid, K.SIGKILL), true));
      m.run();
      assert.deepEqual([m.sim.collected.length, m.k.procs.view(1).nstopchild], [1, 0]);
    }
  });
});

describe("sigswitch", () => {
  test("PRC-94: the last one that stops makes the process SSTOP, before it is LSSTOP itself", () => {
    const { body } = computing();
    const { m, p } = process([body, body]);
    m.until(() => p.nlwps === 2);
    const seen: unknown[] = [];
    atDelayPoint(m, "sigswitch.stopped", (l) => {
      const locks = [p.lock, m.k.g.procLock, l.mutex].map((lock) => K.spinOwned(m.k, lock));
      seen.push([l.lid, stateOf(l), p.stat, p.nrlwps, (l.pflag & K.LP_RUNNING) !== 0, ...locks]);
    });
    stop(m, p);
    m.run();
    assert.deepEqual(seen, [
      [1, "STOP", K.SACTIVE, 1, true, false, false, false],
      [2, "STOP", K.SSTOP, 0, true, false, false, false],
    ]);
    assert.deepEqual(standing(p), [K.SSTOP, false, 1]);
    for (const l of K.procLwps(p)) assert.deepEqual([l.wchan, l.mutex], [0, l.cpu.lwplock]);
  });

  test("PRC-94: continued before it has switched, it is LSONPROC again, merely yields, and goes on", () => {
    const { box, body } = computing();
    const { m, p } = process([body], { cpus: 2 });
    m.until(() => box.steps > 2);
    let steps = 0;
    atDelayPoint(m, "sigswitch.stopped", (l) => {
      steps = box.steps;
      bothLocked(m, p, () => K.procUnstop(p), 1);
      assert.equal(stateOf(l), "ONPROC");
    });
    stop(m, p);
    m.until(() => box.steps > 6);
    assert.ok(steps > 0);
    assert.deepEqual([m.lwp(p, 1).flag & K.LW_PENDSIG, ...standing(p)], [0, K.SACTIVE, false, 0]);
  });

  test("PRC-94: while the last one waits for proc_lock a continue may slip in: then it does not stop", () => {
    const { box, m, p, procLock } = waitsForProcLock();
    const waited: boolean[] = [];
    m.whileWaiting(() => {
      K.asCpu(m.cpu(1), () => {
        waited.push(m.k.w[p.lock] === 0);
        K.spinEnter(m.k, p.lock);
        K.procUnstop(p);
        K.spinExit(m.k, p.lock);
        K.spinExit(m.k, procLock);
      });
    });
    const { steps } = box;
    m.until(() => box.steps > steps + 3);
    assert.deepEqual([waited, stateOf(m.lwp(p, 1))], [[true], "ONPROC"]);
    assert.deepEqual(standing(p), [K.SACTIVE, false, 0]);
  });

  test("PRC-94: while the last one waits for proc_lock its process may be killed: then it exits, and does not stop", () => {
    const { m, p, procLock } = waitsForProcLock();
    m.whileWaiting(() => {
      K.asCpu(m.cpu(1), () => {
        K.spinExit(m.k, procLock);
        assert.equal(K.procKill(m.k, p.pid, K.SIGKILL), true);
      });
    });
    m.run();
    assert.deepEqual(
      m.sim.collected.map(({ status }) => status),
      [K.SIGKILL],
    );
    assert.equal(m.k.procs.view(1).nstopchild, 0);
  });

  test("PRC-94: only the caller itself stops, with its process locked", () => {
    const { m, p } = process([parked]);
    m.run();
    assertPanics(
      () => m.locked(p, () => K.sigswitch(m.lwp(p, 1))),
      /sigswitch: not the caller, or not locked/,
    );
  });
});

describe("continue", () => {
  test("a continue lets sleepers sleep on, undisturbed, and the others run; a SIGCONT takes nobody out of his sleep", () => {
    const { box, body } = computing();
    const { m, p } = process([parked, parked, body]);
    m.until(() => box.steps > 0);
    stop(m, p);
    m.until(() => p.stat === K.SSTOP);
    unstop(m, p, 0);
    assert.deepEqual(
      [states(m, p), p.nrlwps, ...standing(p)],
      ["1 SLEEP, 2 SLEEP, 3 RUN", 3, K.SACTIVE, false, 0],
    );
    const { steps } = box;
    m.until(() => box.steps > steps + 3);
    assert.match(states(m, p), /^1 SLEEP, 2 SLEEP, 3 /);
  });

  test("a debugger's continue takes the first interruptible sleeper out of its sleep for the code in p_xstat", () => {
    const { m, p } = process([parked, parked]);
    m.run();
    stop(m, p);
    unstop(m, p);
    assert.deepEqual([states(m, p), p.nrlwps], ["1 SLEEP, 2 RUN", 2]);
  });

  test("a timeout during the stop takes a sleeper off its queue; it sees it after the continue", () => {
    let result = "";
    const { m, p } = process([
      function* () {
        const { sec, nsec } = K.wallclockAtTick(K.cur.lwp.k);
        result = (yield* attempt(S.lwpPark({ sec, nsec: nsec + 50e6 }))) ?? "";
      },
    ]);
    m.until(() => stateOf(m.lwp(p, 1)) === "SLEEP");
    stop(m, p);
    for (let i = 0; i < 10; i++) m.sim.tick();
    const l = m.lwp(p, 1);
    assert.deepEqual([stateOf(l), l.wchan, l.mutex, p.stat], ["STOP", 0, l.cpu.lwplock, K.SSTOP]);
    unstop(m, p, 0);
    assert.equal(stateOf(l), "RUN");
    m.run();
    assert.equal(result, "ETIMEDOUT");
  });

  test("LWP-16: suspended while it is stopped, an LWP stops again at its user return; continued, it suspends", () => {
    const { box, body } = computing();
    const { m, p } = process([body]);
    m.until(() => box.steps > 2);
    stop(m, p);
    m.until(() => p.stat === K.SSTOP);
    const { steps } = box;
    const l = m.lwp(p, 1);
    m.locked(p, () => {
      K.lwpLock(l);
      assert.equal(K.lwpSuspend(K.cur.lwp, l), 0);
    });
    assert.equal(stateOf(l), "RUN");
    m.run();
    assert.deepEqual([stateOf(l), p.stat, p.nrlwps], ["STOP", K.SSTOP, 0]);
    unstop(m, p, 0);
    m.run();
    assert.deepEqual([stateOf(l), p.stat, p.nrlwps], ["SUSPENDED", K.SACTIVE, 0]);
    assert.equal(box.steps, steps);
  });

  test("SYS-88: an LWP created while its process stops is LSSTOP, and starts with the continue", () => {
    const log: string[] = [];
    const { m, p } = process([
      function* () {
        yield* S.lwpSelf();
        log.push("create");
        yield* S.lwpCreate(function* () {
          log.push("born");
          yield* S.lwpPark();
        });
        log.push("created");
        yield* S.lwpPark();
      },
    ]);
    atDelayPoint(m, "create.idle", () => stop(m, p));
    m.until(() => p.stat === K.SSTOP);
    assert.deepEqual([states(m, p), counters(p)], ["1 STOP, 2 STOP", "nl2 nz0 nr0 nd0 nw0"]);
    assert.deepEqual(log, ["create"]);
    unstop(m, p, 0);
    assert.deepEqual([states(m, p), counters(p)], ["1 RUN, 2 RUN", "nl2 nz0 nr2 nd0 nw0"]);
    m.run();
    assert.deepEqual(log.sort(), ["born", "create", "created"]);
  });

  test("SYS-88: created suspended while its process is stopped, it starts when it is continued in a process that is, too", () => {
    const log: string[] = [];
    const { m, p } = process([
      function* () {
        yield* S.lwpCreate(function* () {
          log.push("born");
          yield* S.lwpPark();
        }, S.LWP_SUSPENDED);
        yield* S.lwpPark();
      },
    ]);
    atDelayPoint(m, "create.idle", () => stop(m, p));
    m.until(() => p.stat === K.SSTOP);
    assert.equal(states(m, p), "1 STOP, 2 SUSPENDED");
    m.locked(p, () => {
      K.lwpLock(m.lwp(p, 2));
      K.lwpContinue(m.lwp(p, 2));
    });
    m.run();
    assert.deepEqual([states(m, p), log], ["1 STOP, 2 STOP", []]);
    unstop(m, p, 0);
    m.run();
    assert.deepEqual(log, ["born"]);
  });
});

describe("lwpUnstop", () => {
  /** A stopped process: LWP 1 asleep, LWP 2 not; its code in p_xstat. */
  function stopped(xstat = SIGSTOP) {
    const { box, body } = computing();
    const { m, p } = process([parked, body]);
    m.until(() => box.steps > 2);
    stop(m, p);
    m.until(() => p.stat === K.SSTOP);
    p.xstat = xstat;
    const one = (lid: number) => bothLocked(m, p, () => K.lwpUnstop(m.lwp(p, lid)));
    return { m, p, one };
  }

  test("LWP-74: no wait channel: it runs, and it alone; the process is SACTIVE and off its parent's count", () => {
    const { m, p, one } = stopped();
    one(2);
    assert.deepEqual([states(m, p), p.nrlwps, ...standing(p)], ["1 STOP, 2 RUN", 1, K.SACTIVE, false, 0]);
  });

  test("LWP-74: asleep, with a code in p_xstat: it is woken to take the signal", () => {
    const { m, p, one } = stopped();
    one(1);
    assert.deepEqual([states(m, p), p.nrlwps, m.lwp(p, 1).wchan], ["1 RUN, 2 STOP", 1, 0]);
  });

  test("LWP-74: asleep, without one: it sleeps on, and counts as running again", () => {
    const { m, p, one } = stopped(0);
    one(1);
    assert.deepEqual([states(m, p), p.nrlwps, ...standing(p)], ["1 SLEEP, 2 STOP", 1, K.SACTIVE, false, 0]);
    assert.notEqual(m.lwp(p, 1).wchan, 0);
  });

  test("LWP-74: a stop that the parent has collected is off its count already", () => {
    const { p, one } = stopped();
    p.waited = 1;
    (p.parent as K.Proc).nstopchild--;
    one(2);
    assert.deepEqual(standing(p), [K.SACTIVE, false, 0]);
  });

  test("LWP-74: the second LWP, or one of a process that is only stopping, is no stop less for the parent (as written it is)", () => {
    const { m, p, one } = stopped();
    one(2);
    one(1);
    assert.deepEqual([states(m, p), ...standing(p)], ["1 RUN, 2 RUN", K.SACTIVE, false, 0]);
    const { body } = computing();
    const { m: other, p: stopping } = process([body, body]);
    other.until(() => stopping.nlwps === 2);
    stop(other, stopping);
    other.until(() => states(other, stopping).startsWith("1 STOP"));
    assert.deepEqual(standing(stopping), [K.SACTIVE, true, 0]);
    bothLocked(other, stopping, () => K.lwpUnstop(other.lwp(stopping, 1)));
    assert.deepEqual(standing(stopping), [K.SACTIVE, false, 0]);
  });

  test("LWP-74: one that is not stopped is left alone, and so is its process", () => {
    const { m, p, one } = stopped();
    one(2);
    p.stat = K.SSTOP;
    p.sflag |= K.PS_STOPPING;
    one(2);
    assert.deepEqual([stateOf(m.lwp(p, 2)), ...standing(p)], ["RUN", K.SSTOP, true, 0]);
  });

  test("LWP-74, LWP-123: proc_lock and p_lock must be held, and the LWP not be locked", () => {
    const message = /lwpUnstop: not locked/;
    {
      const { m, p } = stopped();
      assertPanics(() => m.locked(p, () => K.lwpUnstop(m.lwp(p, 2))), message);
    }
    {
      const { m, p } = stopped();
      const { procLock } = m.k.g;
      assertPanics(() => {
        m.asCpu(() => {
          K.spinEnter(m.k, procLock);
          K.lwpUnstop(m.lwp(p, 2));
        });
      }, message);
    }
    const { m, p } = stopped();
    const locked = () => {
      K.lwpLock(m.lwp(p, 2));
      K.lwpUnstop(m.lwp(p, 2));
    };
    assertPanics(() => bothLocked(m, p, locked), /locking against myself/);
  });
});
