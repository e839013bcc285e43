/** Making halted and sleeping LWPs go on, and halting everybody for good: LWP-115, LWP-116. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, parked, stateOf, TestMachine } from "../support/sim.js";
import { atDelayPoint } from "../support/spy.js";

/** Where an LWP stands before `setrunnable`, and what must have become of it. */
interface Case {
  readonly state: "STOP" | "SUSPENDED" | "SLEEP";
  readonly asleep: boolean;
  readonly running: boolean;
  readonly becomes: "RUN" | "ONPROC";
  /** What `p.nrlwps` grows by. */
  readonly counted: number;
  /** Whether `p.lwpcv` is broadcast. */
  readonly told: boolean;
}

const CASES: readonly Case[] = [
  { state: "STOP", asleep: false, running: false, becomes: "RUN", counted: 1, told: false },
  { state: "STOP", asleep: true, running: false, becomes: "RUN", counted: 1, told: false },
  { state: "STOP", asleep: false, running: true, becomes: "ONPROC", counted: 1, told: false },
  { state: "SUSPENDED", asleep: false, running: false, becomes: "RUN", counted: 1, told: true },
  { state: "SUSPENDED", asleep: false, running: true, becomes: "ONPROC", counted: 1, told: true },
  { state: "SLEEP", asleep: true, running: false, becomes: "RUN", counted: 0, told: false },
];

/** A machine whose LWP 2 is in that place, and LWP 1 waits on `p.lwpcv`. */
function place({ state, asleep, running }: Case) {
  const m = new TestMachine({ cpus: 2 });
  const p = m.spawn(function* () {
    yield* S.lwpCreate(function* () {
      while (!asleep) yield* S.schedYield();
      yield* S.lwpPark();
    });
    yield* S.lwpWait(2);
  });
  const l = () => m.lwp(p, 2);
  m.until(() => p.nlwpwait === 1 && (!asleep || stateOf(l()) === "SLEEP"));
  if (state === "SUSPENDED") ask(m, l());
  if (state === "STOP") both(m, p, () => K.procStop(p, 17));
  if (!running && state !== "SLEEP")
    m.until(() => stateOf(l()) === state && (l().pflag & K.LP_RUNNING) === 0);
  return { m, p, l: l() };
}

function ask(m: TestMachine, l: K.Lwp): void {
  m.locked(l.proc, () => {
    K.lwpLock(l);
    assert.equal(K.lwpSuspend(K.cur.lwp, l), 0);
  });
}

function both(m: TestMachine, p: K.Proc, body: () => void): void {
  m.asCpu(() => {
    K.spinEnter(m.k, m.k.g.procLock);
    m.locked(p, body);
    K.spinExit(m.k, m.k.g.procLock);
  });
}

describe("setrunnable", () => {
  for (const c of CASES) {
    const where = `${c.state}${c.asleep ? ", on a sleep queue" : ""}${c.running ? ", still on its CPU" : ""}`;
    test(`LWP-115: ${where}: ${c.becomes}`, () => {
      const { m, p, l } = place(c);
      // As LWP 1 would be if it had not been stopped with the others.
      const waits = m.lwp(p, 1).stat === K.LSSLEEP;
      let checked = 0;
      const check = () => {
        const before = { nrlwps: p.nrlwps, flag: l.flag };
        assert.deepEqual([stateOf(l), l.wchan !== 0], [c.state, c.asleep]);
        const asked = l.cpu.attention;
        m.locked(p, () => {
          K.lwpLock(l);
          const lock = l.mutex;
          K.setrunnable(l);
          assert.equal(K.spinOwned(m.k, lock), false, "it is unlocked");
        });
        checked++;
        assert.equal(stateOf(l), c.becomes);
        assert.equal(p.nrlwps, before.nrlwps + c.counted);
        assert.deepEqual([l.wchan, l.slptime, l.flag & K.LW_WSUSPEND], [0, 0, 0]);
        assert.equal(l.mutex, c.becomes === "RUN" ? l.cpu.mutex : l.cpu.lwplock);
        if (c.becomes === "RUN") assert.ok(K.runqList(l.cpu, K.lwpEprio(l)).includes(l));
        if (c.becomes === "RUN" && K.lwpEprio(l) > l.cpu.curpriority && asked === 0)
          assert.notEqual(l.cpu.attention, 0, "its CPU is asked to reschedule");
        if (waits) assert.equal(m.lwp(p, 1).stat !== K.LSSLEEP, c.told, "p.lwpcv is broadcast");
      };
      if (!c.running) return check();
      const point = c.state === "STOP" ? "sigswitch.stopped" : "userret.suspended";
      atDelayPoint(m, point, (at) => {
        if (at === l && checked === 0) check();
      });
      m.until(() => checked > 0);
    });
  }

  for (const state of ["SLEEP", "STOP"]) {
    test(`LWP-115: ${state}, on a sleep queue and still on its CPU: ONPROC`, () => {
      const m = new TestMachine();
      const p = m.spawn(function* () {
        const { k, proc, waitcv } = K.cur.lwp;
        K.spinEnter(k, proc.lock);
        assert.equal(yield* K.cvWaitSig(k, waitcv, proc.lock), 0);
        K.spinExit(k, proc.lock);
        for (;;) yield* S.lwpPark();
      });
      const seen: unknown[] = [];
      atDelayPoint(m, "sleep.enqueued", (l) => {
        if (l.proc !== p || seen.length > 0) return;
        l.flag |= K.LW_SINTR;
        // Its own CPU stands in for another one: it holds the queue's lock for it, and the process's.
        if (state === "STOP") {
          K.setStat(l, K.LSSTOP);
          p.nrlwps--;
        }
        const lock = l.mutex;
        seen.push(stateOf(l), l.pflag & K.LP_RUNNING, K.lwpLocked(l));
        K.setrunnable(l);
        seen.push(stateOf(l), l.wchan, K.spinOwned(m.k, lock), p.nrlwps);
        // What it goes on with holds its lock.
        K.lwpLock(l);
      });
      m.run();
      assert.deepEqual(seen, [state, K.LP_RUNNING, true, "ONPROC", 0, false, 1]);
      assert.equal(stateOf(m.lwp(p, 1)), "SLEEP");
    });
  }

  test("LWP-115: who waits is told of one that was SUSPENDED once that is unlocked (the original: while it is locked)", () => {
    const m = new TestMachine({ cpus: 2 });
    const { k } = m;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        for (;;) yield* S.schedYield();
      });
      const own = K.cur.lwp.proc;
      K.spinEnter(k, own.lock);
      for (;;) yield* K.cvWait(k, own.lwpcv, own.lock);
    });
    m.until(() => p.nlwps === 2);
    const l = m.lwp(p, 2);
    ask(m, l);
    m.until(
      () => stateOf(l) === "SUSPENDED" && (l.pflag & K.LP_RUNNING) === 0 && stateOf(m.lwp(p, 1)) === "SLEEP",
    );
    const broken = () =>
      m.locked(p, () => {
        K.lwpLock(l);
        // As if the LWP's CPU put another one to sleep there: that holds the queue's lock, and wants the CPU's.
        k.w[K.sleeptabBucket(k.sleeptab, p.lwpcv)] = 2;
        K.setrunnable(l);
      });
    assertPanics(broken, /spin/);
    assert.deepEqual([stateOf(l), k.w[l.mutex]], ["RUN", 0]);
  });

  test("LWP-115: the states that it makes go on are SLEEP, STOP and SUSPENDED: any other is a kernel assertion", () => {
    for (const stat of [K.LSIDL, K.LSRUN, K.LSZOMB, K.LSDEAD, K.LSONPROC]) {
      const m = new TestMachine();
      const p = m.spawn(parked);
      m.run();
      const l = m.lwp(p, 1);
      const broken = () =>
        m.locked(p, () => {
          K.lwpLock(l);
          l.stat = stat;
          K.setrunnable(l);
        });
      assertPanics(broken, new RegExp(`setrunnable: LWP 1.1 is in state ${stat}`));
    }
  });

  test("LWP-115: asleep it must have a wait channel", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    const l = m.lwp(p, 1);
    const broken = () =>
      m.locked(p, () => {
        K.lwpLock(l);
        l.wchan = 0;
        K.setrunnable(l);
      });
    assertPanics(broken, /asleep on nothing/);
  });

  test("LWP-115: process and LWP must be locked, it is no idle thread, and its lock is not its CPU's queue's", () => {
    const fresh = () => {
      const m = new TestMachine();
      const p = m.spawn(parked);
      m.run();
      return { m, p, l: m.lwp(p, 1) };
    };
    const a = fresh();
    assertPanics(() => a.m.locked(a.p, () => K.setrunnable(a.l)), /process or LWP not locked/);
    const b = fresh();
    assertPanics(() => b.m.holding(b.l, () => K.setrunnable(b.l)), /process or LWP not locked/);
    const c = fresh();
    const idle = c.m.cpu(0).idlelwp;
    assertPanics(
      () =>
        c.m.locked(idle.proc, () => {
          K.lwpLock(idle);
          K.setrunnable(idle);
        }),
      /idle thread or queued/,
    );
    const d = fresh();
    assertPanics(
      () =>
        d.m.locked(d.p, () => {
          K.lwpLock(d.l);
          K.spinEnter(d.m.k, d.l.cpu.mutex);
          K.lwpSetlock(d.l, d.l.cpu.mutex);
          K.setrunnable(d.l);
        }),
      /idle thread or queued/,
    );
  });

  for (const [traced, xstat, told] of [
    [true, 5, true],
    [true, 0, false],
    [false, 5, false],
  ] as const) {
    const who = `${traced ? "traced" : "not traced"}, ${xstat === 0 ? "no code" : "a code"} in p_xstat`;
    test(`LWP-115: STOP, ${who}: ${told ? "it is to look for signals" : "nothing to look for"}`, () => {
      const { m, p, l } = place(CASES[0]);
      p.slflag = traced ? K.PSL_TRACED : 0;
      p.xstat = xstat;
      l.flag &= ~K.LW_PENDSIG;
      const ci = l.cpu;
      ci.attention = 0;
      // Being queued asks for nothing then.
      ci.curpriority = K.PRI_COUNT;
      m.locked(p, () => {
        K.lwpLock(l);
        K.setrunnable(l);
      });
      assert.equal((l.flag & K.LW_PENDSIG) !== 0, told);
      assert.equal((ci.attention & K.RESCHED_ANY) !== 0, told);
    });
  }
});

describe("suspendsched", () => {
  /** Three threads: asleep interruptibly, computing, asleep so that nothing interrupts it. */
  function scene() {
    const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(7) });
    const cv = m.words(K.CV_WORDS);
    K.cvInit(m.k, cv, "deaf");
    const box = { steps: 0 };
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        for (;;) {
          box.steps++;
          yield* S.schedYield();
        }
      });
      yield* S.lwpCreate(function* () {
        const { k, proc } = K.cur.lwp;
        K.spinEnter(k, proc.lock);
        yield* K.cvWait(k, cv, proc.lock);
        K.spinExit(k, proc.lock);
        yield* S.lwpSelf();
        yield* S.lwpPark();
      });
      yield* S.lwpPark();
    });
    m.until(() => p.nlwps === 3 && stateOf(m.lwp(p, 3)) === "SLEEP" && stateOf(m.lwp(p, 1)) === "SLEEP");
    return { m, p, cv, box };
  }

  /** As a CPU that idles: its caller is none of those who are to be halted. */
  function halt(m: TestMachine): void {
    const idles = (n: number) => m.cpu(n).curlwp === m.cpu(n).idlelwp;
    m.asCpu(() => K.suspendsched(m.k), idles(0) ? 0 : 1);
  }

  test("LWP-116: every ordinary process is SSTOP; its LWPs suspend themselves on their way to user mode", () => {
    const { m, p, cv, box } = scene();
    m.cpu(0).attention = 0;
    m.cpu(1).attention = 0;
    halt(m);
    assert.deepEqual([p.stat, p.waited, m.k.procs.view(1).nstopchild], [K.SSTOP, 0, 1]);
    assert.equal(m.k.procs.view(1).stat, K.SACTIVE, "the system's process is left alone");
    for (const l of K.procLwps(p)) {
      assert.equal(l.flag & (K.LW_WREBOOT | K.LW_WSUSPEND), K.LW_WREBOOT | K.LW_WSUSPEND);
    }
    for (const n of [0, 1]) assert.equal(m.cpu(n).attention & K.RESCHED_IMMED, K.RESCHED_IMMED);
    assert.deepEqual([stateOf(m.lwp(p, 1)), stateOf(m.lwp(p, 3))], ["RUN", "SLEEP"]);
    const { steps } = box;
    m.run();
    assert.deepEqual(
      [1, 2, 3].map((lid) => stateOf(m.lwp(p, lid))),
      ["SUSPENDED", "SUSPENDED", "SLEEP"],
    );
    m.locked(p, () => K.cvBroadcast(m.k, cv));
    m.run();
    assert.deepEqual([stateOf(m.lwp(p, 3)), p.nrlwps, box.steps], ["SUSPENDED", 0, steps]);
  });

  test("LWP-116: none of them can be continued", () => {
    const { m, p } = scene();
    halt(m);
    m.run();
    const l = m.lwp(p, 1);
    m.locked(p, () => {
      K.lwpLock(l);
      K.lwpContinue(l);
    });
    m.run();
    assert.equal(stateOf(l), "SUSPENDED");
  });

  test("LWP-116: the caller itself is not halted, though its process is", () => {
    const m = new TestMachine();
    let after: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.schedYield();
      K.suspendsched(m.k);
      yield* S.schedYield();
      after = [p.stat, K.cur.lwp.flag & K.LW_USERRET, stateOf(m.lwp(p, 2))];
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(after, [K.SSTOP, 0, "SUSPENDED"]);
  });

  test("LWP-116: a process that is stopped already, or dead, adds nothing to its parent's count", () => {
    const { m, p } = scene();
    p.stat = K.SSTOP;
    p.waited = 1;
    halt(m);
    assert.deepEqual([p.stat, p.waited, m.k.procs.view(1).nstopchild], [K.SSTOP, 1, 0]);
    m.run();
    assert.equal(m.k.g.allproc, p.index, "the dead are not on allproc");
  });
});
