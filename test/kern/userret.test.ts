/** The return to user mode: what an LWP has to do before its program goes on, and in which order. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { atDelayPoint, overridePort } from "../support/spy.js";
import {
  assertPanics,
  attempt,
  counters,
  parked,
  stateOf,
  TestMachine,
  type ThreadBody,
  withLock,
} from "../support/sim.js";

/** A process whose main thread logs "user" after one operation; LWP 2 keeps the process alive. */
function returning(log: string[], before: (l: K.Lwp) => void) {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    yield* S.lwpCreate(forEver);
    before(K.cur.lwp);
    yield* S.lwpSelf();
    log.push("user");
    for (;;) yield* S.lwpPark();
  });
  return { m, k: m.k, p, main: m.lwp(p, 1) };
}

const forEver: ThreadBody = function* () {
  for (;;) yield* S.lwpPark();
};

/** Signals by hand: `pending` are delivered in order, to a log. */
function signals(k: K.Kernel, log: string[], pending: number[]): void {
  k.slots.issignal = (l) => {
    assert.ok(K.spinOwned(k, l.proc.lock), "issignal is called with the process locked");
    return pending.shift() ?? 0;
  };
  k.slots.postsig = (l, sig) => {
    assert.ok(K.spinOwned(k, l.proc.lock), "postsig is called with the process locked");
    log.push(`signal ${sig} ${stateOf(l)}`);
  };
}

/** Sets flags of the current LWP. */
function flag(l: K.Lwp, bits: number): void {
  K.lwpLock(l);
  l.flag |= bits;
  K.lwpUnlock(l);
}

/** Makes a halted LWP go on, without the flags that halted it. */
function release(m: TestMachine, l: K.Lwp, flags: number): void {
  m.locked(l.proc, () => {
    K.lwpLock(l);
    l.flag &= ~flags;
    K.setrunnable(l);
  });
}

describe("userret", () => {
  test("LWP-84: the kernel boost ends, and the CPU's priority becomes the LWP's own, lent priority or not", () => {
    for (const lent of [-1, 150]) {
      const m = new TestMachine();
      const seen: unknown[] = [];
      m.sim.check = () => {};
      const p = m.spawn(function* () {
        const l = K.cur.lwp;
        l.kpriority = 1;
        l.inheritedprio = lent;
        l.cpu.curpriority = 99;
        yield* S.lwpSelf();
        seen.push(l.kpriority, l.cpu.curpriority);
        l.inheritedprio = -1;
        yield* S.lwpPark();
      });
      m.run();
      assert.deepEqual(seen, [0, m.lwp(p, 1).priority]);
    }
  });

  test("LWP-84: what the CPU was asked for is looked at until nothing is left: a tick and a cross-call at once", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    m.k.slots.crosscalls[9] = () => void seen.push("cross-call");
    m.runToEnd(function* () {
      const ci = K.cur.cpu;
      yield* K.xcUnicast(m.k, K.XC_HIGHPRI, 9, 0, 0, ci);
      const { tick } = ci;
      m.k.g.ticks = tick + 1;
      ci.attention |= K.ATTN_TICK;
      K.userret(K.cur.lwp);
      seen.push(ci.tick - tick, ci.attention);
    });
    assert.deepEqual(seen, ["cross-call", 1, 0]);
  });

  test("LWP-84: without any of the flags the loop is not entered; with each of them it is", () => {
    // Flags that leave the loop by themselves; the others are seen to halt or end the LWP below.
    const entered: string[] = [];
    const flags: [string, number][] = [
      ["none", 0],
      ["SINTR", K.LW_SINTR],
      ["BATCH", K.LW_BATCH],
      ["UNPARKED", K.LW_UNPARKED],
      ["CANCELLED", K.LW_CANCELLED],
      ["PENDSIG", K.LW_PENDSIG],
      ["LWPCTL", K.LW_LWPCTL],
    ];
    for (const [name, bit] of flags) {
      const { m } = returning([], (l) => {
        flag(l, bit);
        // The loop is the only one to lock the LWP on this way.
        watched = l;
      });
      // Unchecked: some of the flags do not belong on a running LWP.
      m.sim.check = () => {};
      let watched: K.Lwp | undefined;
      atDelayPoint(m, "lwplock.read", (l) => {
        if (l === watched && !entered.includes(name)) entered.push(name);
      });
      m.until(() => watched !== undefined);
      watched = undefined;
    }
    assert.deepEqual(entered, ["PENDSIG", "LWPCTL"]);
  });

  test("LWP-84: flags are read unlocked, so they are set before the LWP's CPU is made to look", () => {
    const m = new TestMachine({ cpus: 2 });
    const p = m.spawn(parked);
    m.run();
    const l = m.lwp(p, 1);
    const seen: unknown[] = [];
    overridePort(m, {
      notify: (ci) =>
        seen.push([ci === l.cpu, (l.flag & K.LW_WSUSPEND) !== 0, (ci.attention & K.RESCHED_ANY) !== 0]),
    });
    m.asCpu(() => {
      K.spinEnter(m.k, p.lock);
      K.lwpLock(l);
      K.lwpSuspend(K.cur.lwp, l);
      K.spinExit(m.k, p.lock);
    }, 2 - l.cpu.index);
    assert.deepEqual(seen, [[true, true, true]]);
  });

  test("LWP-84: no lock of the process or of the LWP may be held, nor preemption be off", () => {
    const spoil: ((l: K.Lwp) => void)[] = [
      (l) => K.spinEnter(l.k, l.proc.lock),
      (l) => K.lwpLock(l),
      (l) => (l.nopreempt = 1),
    ];
    for (const hold of spoil) {
      const { m } = returning([], hold);
      m.sim.check = () => {};
      assertPanics(() => m.run(), /userret: a lock is held, or preemption is off/);
    }
  });
});

describe("lwpUserret", () => {
  test("LWP-85: it is the caller's own", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    assertPanics(() => m.asCpu(() => K.lwpUserret(m.lwp(p, 1))), /not the current LWP/);
  });

  test("LWP-85: it is LSONPROC", () => {
    const { m } = returning([], (l) => {
      flag(l, K.LW_LWPCTL);
      l.stat = K.LSRUN;
    });
    m.sim.check = () => {};
    assertPanics(() => m.run(), /or it does not run/);
  });

  test("LWP-85: signals are delivered until there is none, with the process locked", () => {
    const log: string[] = [];
    const { m, k, main } = returning(log, (l) => flag(l, K.LW_PENDSIG));
    signals(k, log, [7, 9, 3]);
    m.run();
    assert.deepEqual(log, ["signal 7 ONPROC", "signal 9 ONPROC", "signal 3 ONPROC", "user"]);
    assert.equal(main.flag & K.LW_PENDSIG, 0);
  });

  test("LWP-85: signals, then suspension, then lwpctl, then user mode", () => {
    const log: string[] = [];
    const { m, k, p, main } = returning(log, (l) => flag(l, K.LW_PENDSIG | K.LW_WSUSPEND | K.LW_LWPCTL));
    signals(k, log, [5]);
    m.run();
    assert.deepEqual(log, ["signal 5 ONPROC"]);
    assert.equal(stateOf(main), "SUSPENDED");
    assert.notEqual(main.flag & K.LW_LWPCTL, 0, "not reached yet");
    assert.equal(counters(p), "nl2 nz0 nr1 nd0 nw0");
    release(m, main, 0);
    assert.equal(main.flag & K.LW_WSUSPEND, 0, "setrunnable has cleared it");
    m.run();
    assert.deepEqual(log, ["signal 5 ONPROC", "user"]);
    assert.equal(main.flag & K.LW_LWPCTL, 0);
    assert.equal(counters(p), "nl2 nz0 nr2 nd0 nw0");
  });

  test("LWP-85: suspended again and again, as often as it is asked for on the way", () => {
    const log: string[] = [];
    const { m, main } = returning(log, (l) => flag(l, K.LW_WSUSPEND));
    for (let i = 0; i < 3; i++) {
      m.run();
      assert.deepEqual([stateOf(main), log], ["SUSPENDED", []]);
      release(m, main, 0);
      if (i < 2) m.setFlags(main, K.LW_WSUSPEND);
    }
    m.run();
    assert.deepEqual(log, ["user"]);
  });

  test("LWP-85: suspension is honoured before exit", () => {
    const log: string[] = [];
    const { m, p, main } = returning(log, (l) => flag(l, K.LW_WSUSPEND | K.LW_WEXIT));
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    assert.equal(counters(p), "nl2 nz0 nr1 nd0 nw0");
    release(m, main, 0);
    m.run();
    assert.equal(stateOf(main), "ZOMB");
    assert.equal(counters(p), "nl2 nz1 nr1 nd0 nw0");
    assert.deepEqual(log, []);
  });

  test("LWP-85: exit never returns", () => {
    const log: string[] = [];
    const { m, main } = returning(log, (l) => flag(l, K.LW_WEXIT | K.LW_LWPCTL));
    m.run();
    assert.equal(stateOf(main), "ZOMB");
    assert.deepEqual(log, []);
  });

  test("LWP-85: the process is told of the suspension: one who waits on p_lwpcv is woken", () => {
    const m = new TestMachine();
    let wakes = 0;
    m.spawn(function* () {
      const { k, proc } = K.cur.lwp;
      yield* S.lwpCreate(function* () {
        flag(K.cur.lwp, K.LW_WSUSPEND);
        yield* S.lwpSelf();
      });
      K.spinEnter(k, proc.lock);
      for (;;) {
        yield* K.cvWait(k, proc.lwpcv, proc.lock);
        wakes++;
      }
    });
    m.run();
    assert.equal(wakes, 1);
  });

  test("LWP-85: continued between the change of state and the switch it is ONPROC again, and merely yields", () => {
    const log: string[] = [];
    const { m, k, p, main } = returning(log, (l) => flag(l, K.LW_WSUSPEND));
    let times = 0;
    atDelayPoint(m, "userret.suspended", () => {
      times++;
      assert.equal(stateOf(main), "SUSPENDED");
      assert.notEqual(main.pflag & K.LP_RUNNING, 0);
      assert.equal(K.lwpLocked(main), false);
      assert.equal(K.spinOwned(k, p.lock), false);
      K.spinEnter(k, p.lock);
      K.lwpLock(main);
      K.lwpContinue(main);
      K.spinExit(k, p.lock);
      assert.equal(stateOf(main), "ONPROC");
    });
    m.run();
    assert.equal(times, 1);
    assert.deepEqual(log, ["user"]);
    assert.equal(counters(p), "nl2 nz0 nr2 nd0 nw0");
  });

  test("LWP-86: WREBOOT alone suspends, where the original would spin; lwpContinue is blocked", () => {
    const log: string[] = [];
    const { m, k, p, main } = returning(log, (l) => flag(l, K.LW_WREBOOT));
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    m.locked(p, () => {
      K.lwpLock(main);
      K.lwpContinue(main);
    });
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    // Set running all the same, it suspends again.
    release(m, main, 0);
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    assert.equal(k.w[p.lock], 0);
    release(m, main, K.LW_WREBOOT);
    m.run();
    assert.deepEqual(log, ["user"]);
  });

  test("LWP-86: WCORE alone waits as if suspended, without a signal", () => {
    const log: string[] = [];
    const { m, k, main } = returning(log, (l) => flag(l, K.LW_WCORE | K.LW_PENDSIG));
    signals(k, log, [5]);
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    assert.deepEqual(log, []);
    release(m, main, K.LW_WCORE);
    m.run();
    assert.deepEqual(log, ["signal 5 ONPROC", "user"]);
  });

  test("LWP-86: signals are delivered only when exactly PENDSIG is set among PENDSIG, WCORE and WEXIT", () => {
    const delivered: string[] = [];
    for (const core of [0, K.LW_WCORE]) {
      for (const exit of [0, K.LW_WEXIT]) {
        for (const pend of [0, K.LW_PENDSIG]) {
          const log: string[] = [];
          const { m, k, main } = returning([], (l) => flag(l, core | exit | pend));
          signals(k, log, [5]);
          m.run();
          const name = `${core === 0 ? "" : "WCORE "}${exit === 0 ? "" : "WEXIT "}${pend === 0 ? "" : "PENDSIG"}`;
          if (log.length > 0) delivered.push(name);
          const state = exit !== 0 ? "ZOMB" : core !== 0 ? "SUSPENDED" : "SLEEP";
          assert.equal(stateOf(main), state, name);
        }
      }
    }
    assert.deepEqual(delivered, ["PENDSIG"]);
  });

  test("LWP-86: with WEXIT, neither WREBOOT nor WCORE keeps the LWP from exiting", () => {
    for (const halt of [K.LW_WREBOOT, K.LW_WCORE, K.LW_WREBOOT | K.LW_WCORE]) {
      const { m, main } = returning([], (l) => flag(l, halt | K.LW_WEXIT));
      m.run();
      assert.equal(stateOf(main), "ZOMB");
    }
  });
});

describe("lwpNeedUserret", () => {
  test("LWP-87: its CPU is asked to look, and notified if it is another one", () => {
    for (const from of [0, 1]) {
      const m = new TestMachine({ cpus: 2 });
      const p = m.spawn(parked);
      m.run();
      const l = m.lwp(p, 1);
      const where = l.cpu.index - 1;
      const notified: number[] = [];
      m.sim.notify = (ci?: K.Cpu) => void notified.push((ci as K.Cpu).index - 1);
      m.asCpu(
        () => {
          K.lwpLock(l);
          K.lwpNeedUserret(l);
          K.lwpUnlock(l);
        },
        from === 0 ? where : 1 - where,
      );
      assert.notEqual(l.cpu.attention & K.RESCHED_ANY, 0);
      assert.deepEqual(notified, from === 0 ? [] : [where]);
    }
  });

  test("LWP-87, LWP-123: the LWP must be locked", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    assertPanics(() => m.asCpu(() => K.lwpNeedUserret(m.lwp(p, 1))), /the LWP is not locked/);
  });
});

describe("test vectors", () => {
  test("LWP-142: PENDSIG and WSUSPEND: the handler's frame first, then suspended; continued, user mode", () => {
    const log: string[] = [];
    const { m, k, main } = returning(log, (l) => flag(l, K.LW_PENDSIG | K.LW_WSUSPEND));
    signals(k, log, [2]);
    m.run();
    assert.deepEqual([log, stateOf(main)], [["signal 2 ONPROC"], "SUSPENDED"]);
    release(m, main, 0);
    m.run();
    assert.deepEqual(log, ["signal 2 ONPROC", "user"]);
  });

  test("LWP-142: and WEXIT: no handler; it suspends, and exits when it is set running", () => {
    const log: string[] = [];
    const { m, k, main } = returning(log, (l) => flag(l, K.LW_PENDSIG | K.LW_WSUSPEND | K.LW_WEXIT));
    signals(k, log, [2]);
    m.run();
    assert.deepEqual([log, stateOf(main)], [[], "SUSPENDED"]);
    release(m, main, 0);
    m.run();
    assert.deepEqual([log, stateOf(main)], [[], "ZOMB"]);
  });

  /** A thread that catches SIGUSR1, and has it to take and to suspend itself on its way out of a sleep. */
  function caughtAndSuspended(log: string[]) {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(forEver);
      yield* S.sigaction(K.SIGUSR1, { handler: () => log.push("handler"), flags: K.SA_RESTART });
      for (;;) {
        yield* attempt(S.lwpPark());
        log.push("user");
      }
    });
    m.run();
    const main = m.lwp(p, 1);
    m.asCpu(() => {
      K.psignal(p, K.siginfo(K.SIGUSR1, K.SI_USER, 0, 0, main.lid));
      withLock(m.k, p.lock, () => {
        K.lwpLock(main);
        assert.equal(K.lwpSuspend(K.cur.lwp, main), 0);
      });
    });
    m.run();
    assert.deepEqual([log, stateOf(main), main.sigcaught], [[], "SUSPENDED", K.SIGUSR1]);
    return { m, k: m.k, p, main };
  }

  test("LWP-142: a real handler: its frame is ready while the LWP is suspended; continued, it runs before the program", () => {
    const log: string[] = [];
    const { m, p, main } = caughtAndSuspended(log);
    m.locked(p, () => {
      K.lwpLock(main);
      K.lwpContinue(main);
    });
    m.run();
    assert.deepEqual(log, ["handler", "user"]);
    assert.equal(main.sigcaught, 0);
  });

  test("LWP-142: told to exit while it is suspended, an LWP does not run the handler whose frame is ready", () => {
    const log: string[] = [];
    const { m, p, main } = caughtAndSuspended(log);
    m.locked(p, () => K.tellToExit(main));
    m.run();
    assert.deepEqual([log, stateOf(main)], [[], "ZOMB"]);
  });

  test("LWP-142, LWP-16: nor while its process is stopped meanwhile: it stops first", () => {
    const log: string[] = [];
    const { m, k, p, main } = caughtAndSuspended(log);
    const both = (body: () => void): void =>
      m.asCpu(() => {
        withLock(k, k.g.procLock, () => withLock(k, p.lock, body));
        K.flushKicks(k);
      });
    both(() => K.procStop(p, K.SIGSTOP));
    m.run();
    m.locked(p, () => {
      K.lwpLock(main);
      K.lwpContinue(main);
    });
    m.run();
    assert.deepEqual([log, stateOf(main), p.stat], [[], "STOP", K.SSTOP]);
    both(() => K.procUnstop(p, 0));
    m.run();
    assert.deepEqual(log, ["handler", "user"]);
  });
});
