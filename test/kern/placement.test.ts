/** Choosing a CPU, stealing and migrating: SCH-40..44, 51, 52, 60, LWP-75, 76. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

/** Computes for ever, an operation at a time. */
function* compute(): K.Body {
  for (;;) yield* S.lwpSelf();
}

function* park(): Generator<K.Token, void, undefined> {
  yield* S.lwpPark();
}

const limits = { procs: 40 };

function machine(cpus: number): TestMachine {
  return new TestMachine({ cpus, limits });
}

/** A sleeping LWP of its own process, last seen on CPU `n`. */
function asleep(m: TestMachine, n = 0): K.Lwp {
  const l = m.queued(43, park);
  m.run();
  assert.equal(stateOf(l), "SLEEP");
  l.cpu = m.cpu(n);
  l.rticks = 0;
  return l;
}

/** `schedTakecpu` as CPU `n` would ask it. */
function takecpu(m: TestMachine, l: K.Lwp, n = 0): number {
  return m.holding(l, () => K.schedTakecpu(l), n).index - 1;
}

/** Puts a queued LWP onto the queue of another CPU. */
function moveTo(m: TestMachine, l: K.Lwp, n: number): void {
  m.asCpu(() => {
    const [from, to] = [l.cpu, m.cpu(n)];
    K.spinEnterTwo(m.k, from.mutex, to.mutex);
    K.schedDequeue(l);
    l.cpu = to;
    K.lwpSetlock(l, to.mutex);
    K.schedEnqueue(l, false);
    K.spinExit(m.k, from.mutex);
    K.spinExit(m.k, to.mutex);
  });
}

/** LWPs queued on each CPU, so that none of them is free. */
function fill(m: TestMachine, priorities: readonly (readonly number[])[]): void {
  priorities.forEach((list, n) => {
    for (const priority of list) {
      const l = m.queued(priority, compute);
      if (l.cpu !== m.cpu(n)) moveTo(m, l, n);
    }
  });
}

suite("choosing a CPU", () => {
  /** offline, affinity bits, CPU's set, LWP's set; whether LWP may run on CPU 1. */
  const migratable: readonly (readonly [boolean, number, number, number, boolean])[] = [
    [false, 0, 0, 0, true],
    [false, 0, 1, 0, false],
    [false, 0, 1, 1, true],
    [false, 0b10, 0, 0, true],
    [false, 0b01, 0, 0, false],
    [false, 0b10, 1, 0, true],
    [false, 0b01, 1, 1, false],
    [true, 0, 0, 0, false],
    [true, 0b10, 0, 0, false],
  ];
  for (const [offline, affinity, cpuSet, lwpSet, may] of migratable) {
    const what = `${offline ? "offline" : "online"}, affinity ${affinity.toString(2)}, sets ${cpuSet} and ${lwpSet}`;
    test(`SCH-40: CPU 1 ${what}: ${may}`, () => {
      const m = machine(2);
      const l = asleep(m);
      if (offline) m.cpu(1).flags |= K.SPCF_OFFLINE;
      m.cpu(1).psid = cpuSet;
      l.psid = lwpSet;
      l.affinity = affinity;
      assert.equal(K.schedMigratable(l, m.cpu(1)), may);
    });
  }

  test("SCH-40: and the machine under the kernel has a say", () => {
    const m = machine(2);
    const l = asleep(m);
    m.k.port.mayRun = (_l, ci) => ci !== m.cpu(1);
    assert.equal(K.schedMigratable(l, m.cpu(0)), true);
    assert.equal(K.schedMigratable(l, m.cpu(1)), false);
  });

  /** slptime, ticks since it was last chosen (null: never), state; whether it stays on its busy CPU for its cache. */
  const hot: readonly (readonly [number, number | null, boolean])[] = [
    [0, 0, true],
    [0, 1, false],
    [0, 100, false],
    [0, null, false],
    [1, 0, false],
  ];
  for (const [slptime, ago, stays] of hot) {
    const when = ago === null ? "never run" : `chosen ${ago} ticks ago`;
    test(`SCH-41: asleep for ${slptime} s, ${when}: ${stays ? "" : "not "}cache-hot`, () => {
      const m = machine(2);
      const l = asleep(m, 1);
      fill(m, [[], [10]]);
      m.k.g.ticks = 500;
      l.slptime = slptime;
      l.rticks = ago === null ? 0 : 500 - ago;
      assert.equal(takecpu(m, l), stays ? 1 : 0);
    });
  }

  test("SCH-42: a bound LWP stays on its CPU", () => {
    const m = machine(2);
    const l = asleep(m, 1);
    fill(m, [[], [60, 61]]);
    assert.equal(takecpu(m, l), 0);
    l.pflag |= K.LP_BOUND;
    assert.equal(takecpu(m, l), 1);
  });

  test("SCH-42: with one CPU there is nothing to choose, and nothing is counted", () => {
    const m = machine(1);
    const l = asleep(m);
    const ci = m.cpu(0);
    fill(m, [[60]]);
    assert.equal(takecpu(m, l), 0);
    assert.deepEqual([ci.stay, ci.localize, ci.push], [0, 0, 0]);
  });

  test("SCH-42, SCH-117: its own CPU's queue is empty: it stays, whatever runs there, affine and online or not", () => {
    const m = machine(2);
    const l = asleep(m, 1);
    m.cpu(1).curpriority = 200;
    l.affinity = 0b01;
    m.cpu(1).flags |= K.SPCF_OFFLINE;
    assert.equal(takecpu(m, l), 1);
    m.cpu(1).psid = 1;
    assert.equal(takecpu(m, l), 0, "but not out of its set");
  });

  test("SCH-42: cache-hot and as urgent as what its own CPU runs: it stays", () => {
    const m = machine(2);
    const l = asleep(m, 1);
    fill(m, [[], [10]]);
    l.rticks = m.k.g.ticks;
    m.cpu(1).curpriority = 43;
    assert.equal(takecpu(m, l), 1);
    m.cpu(1).curpriority = 44;
    assert.equal(takecpu(m, l), 0);
  });

  test("SCH-118: a new LWP never stays for its cache, only for an empty queue", () => {
    const m = machine(2);
    const lwp0 = m.k.lwps.view(1);
    const p = m.asCpu(() => K.procCreate(m.k, m.k.procs.view(1), { comm: "unborn" }));
    assert.ok(p !== null);
    const start = { kind: K.CTX_CLOSURE, closure: compute };
    const l = m.asCpu(() => K.lwpCreate(lwp0, p, 0, start, K.SCHED_OTHER));
    assert.ok(l !== null);
    assert.equal(stateOf(l), "IDL");
    m.holding(l, () => {
      const to = m.cpu(1).mutex;
      K.spinEnter(m.k, to);
      l.cpu = m.cpu(1);
      K.lwpUnlockTo(l, to);
    });
    l.rticks = m.k.g.ticks;
    assert.equal(takecpu(m, l), 1, "nothing is queued there");
    fill(m, [[], [10]]);
    assert.equal(takecpu(m, l), 0, "something is");
  });

  test("SCH-42: more urgent than what the caller's CPU runs: that CPU, if it may", () => {
    const m = machine(3);
    const l = asleep(m, 1);
    fill(m, [[60], [10], []]);
    m.cpu(0).curpriority = 42;
    assert.equal(takecpu(m, l, 0), 0, "though CPU 2 is idle");
    m.cpu(0).curpriority = 43;
    assert.equal(takecpu(m, l, 0), 2, "not if it is only as urgent");
    m.cpu(0).curpriority = 42;
    l.affinity = 0b110;
    assert.equal(takecpu(m, l, 0), 2, "nor if it may not run there");
  });

  /** Running and queued priorities by CPU, the LWP's own CPU, affinity; the choice of the scan. */
  const scans: readonly (readonly [string, number[], number[][], number, number, number])[] = [
    ["the least loaded", [50, 90, 60], [[50], [10], [10]], 1, 0, 0],
    ["load is the higher of what runs and what waits", [50, 90, 60], [[95], [10], [10]], 1, 0, 2],
    ["only where it may run", [50, 90, 60], [[50], [10], [10]], 1, 0b110, 2],
    ["its own if it may run nowhere", [50, 90, 60], [[50], [10], [10]], 1, 0b1000, 1],
    ["a tie goes to the fewer queued", [90, 90, 90], [[10, 10], [10], [10, 10]], 1, 0, 1],
    ["at equal counts, to the one scanned later", [90, 90, 90], [[10], [10], [10]], 1, 0, 0],
    ["later means cyclically from its own CPU", [90, 90, 90], [[10], [10], [10]], 2, 0, 1],
    ["and from CPU 0", [90, 90, 90], [[10], [10], [10]], 0, 0, 2],
  ];
  for (const [what, running, queued, own, affinity, choice] of scans) {
    test(`SCH-42, SCH-43: the scan chooses CPU ${choice} for an LWP of CPU ${own}: ${what}`, () => {
      const m = machine(3);
      const l = asleep(m, own);
      fill(m, queued);
      running.forEach((priority, n) => (m.cpu(n).curpriority = priority));
      l.affinity = affinity;
      assert.equal(takecpu(m, l, own), choice);
    });
  }

  test("SCH-44: asked at creation, at wakeups and when a halted LWP goes on; not for one still on its CPU", () => {
    const m = machine(2);
    const asked = () => {
      let n = 0;
      for (const ci of [m.cpu(0), m.cpu(1)]) n += ci.stay + ci.localize + ci.push;
      return n;
    };
    let before = asked();
    const l = m.queued(43, function* () {
      yield* S.lwpPark();
      yield* compute() as Generator<K.Token, void, undefined>;
    });
    assert.equal(asked(), before + 1, "creation");
    m.run();
    before = asked();
    m.asCpu(() => K.unpark(l.proc, l.lid, 0));
    assert.equal(asked(), before + 1, "wakeup");
    m.until(() => l.cpu.curlwp === l);
    m.locked(l.proc, () => {
      K.lwpLock(l);
      K.lwpSuspend(m.k.lwps.view(1), l);
    });
    m.run();
    assert.equal(stateOf(l), "SUSPENDED");
    before = asked();
    m.locked(l.proc, () => {
      K.lwpLock(l);
      K.lwpContinue(l);
    });
    assert.equal(asked(), before + 1, "setrunnable");
    m.until(() => l.cpu.curlwp === l);
    before = asked();
    m.holding(l, () => K.setStat(l, K.LSSUSPENDED));
    l.proc.nrlwps--;
    m.locked(l.proc, () => {
      K.lwpLock(l);
      K.setrunnable(l);
    });
    assert.equal(stateOf(l), "ONPROC");
    assert.equal(asked(), before, "it had not left its CPU");
  });

  test("SCH-44: a kernel thread just takes its creator's CPU", () => {
    const m = machine(2);
    const lwp0 = m.k.lwps.view(1);
    lwp0.cpu = m.cpu(1);
    fill(m, [[], [60]]);
    const { stay, localize, push } = m.cpu(1);
    const l = m.asCpu(() =>
      K.lwpCreate(lwp0, m.k.procs.view(1), 0, { kind: K.CTX_CLOSURE, closure: compute }, K.SCHED_RR),
    );
    assert.equal(l?.cpu, m.cpu(1));
    assert.deepEqual([m.cpu(1).stay, m.cpu(1).localize, m.cpu(1).push], [stay, localize, push]);
  });

  test("SCH-44: the counters: stay on its own CPU, localize on the caller's, push on the chosen one, pull on a victim", () => {
    const m = machine(3);
    const l = asleep(m, 1);
    const counters = () =>
      [0, 1, 2].map((n) => [m.cpu(n).stay, m.cpu(n).localize, m.cpu(n).push, m.cpu(n).pull]);
    const changed = (body: () => void) => {
      const before = counters();
      body();
      return counters().map((row, n) => row.map((value, i) => value - before[n][i]));
    };
    const none = [0, 0, 0, 0];
    assert.deepEqual(
      changed(() => takecpu(m, l, 0)),
      [none, [1, 0, 0, 0], none],
    );
    fill(m, [[], [60]]);
    assert.deepEqual(
      changed(() => takecpu(m, l, 0)),
      [[0, 1, 0, 0], none, none],
    );
    m.cpu(0).curpriority = 90;
    assert.deepEqual(
      changed(() => takecpu(m, l, 0)),
      [none, none, [0, 0, 1, 0]],
    );
    m.cpu(2).curpriority = 90;
    l.affinity = 0b010;
    assert.deepEqual(
      changed(() => takecpu(m, l, 0)),
      [none, [0, 0, 1, 0], none],
      "even if that is its own",
    );
    assert.deepEqual(
      changed(() => K.asCpu(m.cpu(2), () => K.schedIdle(m.cpu(2)))),
      [none, [0, 0, 0, 1], none],
    );
  });

  test("SCH-118: the first LWP created goes behind its creator, though other CPUs idle; the next elsewhere", () => {
    const m = machine(3);
    const [ci, later] = [m.cpu(0), m.cpu(2)];
    m.spawn(function* () {
      const l = K.cur.lwp;
      // Not the sim's other CPUs: nothing else runs in between.
      const make = () => {
        const lid = K.createLwp(l, 0, { kind: K.CTX_CLOSURE, closure: park });
        return m.lwp(l.proc, lid);
      };
      assert.equal(ci.curpriority, 43, "recorded at the new one's priority, as (3) needs strictly more");
      const first = make();
      assert.equal(first.cpu, ci);
      const second = make();
      assert.equal(second.cpu, later, "the idle CPU scanned last");
      const third = make();
      assert.equal(third.cpu, m.cpu(1));
    });
    m.run();
  });
});

suite("stealing", () => {
  /** Both run queues locked, then `schedCatchlwp` as CPU 1. */
  function steal(m: TestMachine): K.Lwp | null {
    const [victim, thief] = [m.cpu(0), m.cpu(1)];
    return m.asCpu(() => {
      K.spinEnterTwo(m.k, thief.mutex, victim.mutex);
      const l = K.schedCatchlwp(victim);
      assert.equal(K.spinOwned(m.k, victim.mutex), false, "the victim's lock is released");
      K.spinExit(m.k, thief.mutex);
      return l;
    }, 1);
  }

  test("SCH-51: the first of the highest queue that may move: dequeued there, queued here (cache-hot ones too)", () => {
    const m = machine(2);
    const [victim, thief] = [m.cpu(0), m.cpu(1)];
    const [bound, affine, a, b] = [70, 70, 70, 70].map((priority) => m.queued(priority, compute));
    m.queued(60, compute);
    bound.pflag |= K.LP_BOUND;
    victim.mcount--;
    affine.affinity = 0b01;
    thief.curpriority = 10;
    assert.equal(steal(m), a);
    assert.equal(a.cpu, thief);
    assert.equal(a.mutex, thief.mutex);
    assert.deepEqual(K.runqList(victim, 70), [bound, affine, b]);
    assert.deepEqual(K.runqList(thief, 70), [a]);
    assert.equal(thief.attention & K.RESCHED_ANY, K.RESCHED_IMMED, "SCH-21 applies");
    assert.equal(victim.pull, 1);
    m.sim.check();
  });

  test("SCH-51: lower queues are not looked at", () => {
    const m = machine(2);
    m.queued(70, compute).affinity = 0b01;
    m.queued(60, compute);
    assert.equal(steal(m), null);
    m.sim.check();
  });

  test("SCH-51: nothing that may move: null", () => {
    const m = machine(2);
    const l = m.queued(70, compute);
    l.pflag |= K.LP_BOUND;
    m.cpu(0).mcount--;
    assert.equal(steal(m), null);
    m.sim.check();
  });

  test("SCH-51: it waits until the last CPU has saved the context", () => {
    const m = machine(2);
    m.queued(70, compute).ctxswtch = 1;
    assert.throws(() => steal(m), /ctxswtch: a simulated CPU waits/);
  });

  /** What the idle CPU 1 does about an LWP queued on CPU 0. */
  const idles: readonly (readonly [string, boolean, (m: TestMachine) => void])[] = [
    ["steals", true, () => {}],
    ["does not when it is offline", false, (m) => (m.cpu(1).flags |= K.SPCF_OFFLINE)],
    ["does not when the victim is in another set", false, (m) => (m.cpu(0).psid = 1)],
    ["does not when something is queued here", false, (m) => moveTo(m, m.queued(5, compute), 1)],
  ];
  for (const [what, stolen, prepare] of idles) {
    test(`SCH-52: an idle CPU ${what}`, () => {
      const m = machine(2);
      const l = m.queued(43, compute);
      prepare(m);
      K.asCpu(m.cpu(1), () => K.schedIdle(m.cpu(1)));
      assert.equal(l.cpu, m.cpu(stolen ? 1 : 0));
      m.sim.check();
    });
  }

  test("SCH-52: it migrates first, and what stays queued here keeps it from stealing", () => {
    const m = machine(3);
    const [ci, target] = [m.cpu(1), m.cpu(2)];
    const [moving, other] = [m.queued(43, compute), m.queued(43, compute)];
    m.queued(43, compute);
    moveTo(m, moving, 1);
    moveTo(m, other, 1);
    moving.targetCpu = target;
    ci.migrating = moving;
    K.asCpu(ci, () => K.schedIdle(ci));
    assert.equal(moving.cpu, target);
    assert.deepEqual(K.runqList(ci, 43), [other]);
    // With the queue empty it steals from the CPU that has most to give.
    moveTo(m, other, 0);
    K.asCpu(ci, () => K.schedIdle(ci));
    assert.equal(ci.count, 1);
    assert.equal(m.cpu(0).count, 1);
    m.sim.check();
  });

  test("SCH-52: the last one queued elsewhere is stolen too (the original's averages hide it)", () => {
    const m = machine(2);
    const [a, b] = [m.queued(43, compute), m.queued(43, compute)];
    m.until(() => m.cpu(0).curlwp === a);
    K.dispatch(m.cpu(1), 1);
    assert.equal(m.cpu(1).curlwp, b);
  });
});

suite("migration", () => {
  test("SCH-60: a running LWP told to move is queued, the idle thread runs, and moves it", () => {
    const m = machine(2);
    const [ci, target] = [m.cpu(0), m.cpu(1)];
    const l = m.queued(43, compute);
    m.until(() => ci.curlwp === l && l.stepped);
    const other = m.queued(50, compute);
    moveTo(m, m.queued(20, compute), 1);
    m.sim.check();
    m.asCpu(() => {
      K.lwpLock(l);
      K.lwpMigrate(l, target);
    });
    assert.equal(l.targetCpu, target);
    assert.equal(stateOf(l), "ONPROC");
    m.asCpu(() => {
      K.cur.lwp = l;
      assert.equal(K.preempt(l), true);
      K.contextSaved(l);
    });
    assert.equal(ci.migrating, l, "queued here, in the slot");
    assert.equal(l.targetCpu, target, "which the switch only reads");
    assert.deepEqual(K.runqList(ci, 43), [l]);
    assert.equal(ci.curlwp, ci.idlelwp, "though a more urgent one waits");
    m.sim.check();
    K.asCpu(ci, () => K.schedIdle(ci));
    assert.equal(ci.migrating, null);
    assert.equal(l.targetCpu, null);
    assert.equal(l.cpu, target);
    assert.equal(l.mutex, target.mutex);
    assert.deepEqual(K.runqList(target, 43), [l]);
    assert.deepEqual(K.runqList(ci, 50), [other]);
    m.sim.check();
  });

  for (const [n, what] of [
    [null, "gone"],
    [0, "this very CPU"],
    [1, "where it may not run"],
  ] as const) {
    test(`SCH-60: a target that is ${what} just clears both`, () => {
      const m = machine(2);
      const ci = m.cpu(0);
      const l = m.queued(43, compute);
      l.targetCpu = n === null ? null : m.cpu(n);
      ci.migrating = l;
      m.k.port.mayRun = (_l, where) => where === ci;
      K.asCpu(ci, () => K.schedIdle(ci));
      assert.equal(ci.migrating, null);
      assert.equal(l.targetCpu, null);
      assert.deepEqual(K.runqList(ci, 43), [l]);
      m.sim.check();
    });
  }

  test("SCH-60: down to a CPU of lower index, too", () => {
    const m = machine(2);
    const [target, ci] = [m.cpu(0), m.cpu(1)];
    const l = m.queued(43, compute);
    moveTo(m, l, 1);
    l.targetCpu = target;
    ci.migrating = l;
    // Offline, so that it does not steal back at once what it has sent away.
    ci.flags |= K.SPCF_OFFLINE;
    K.asCpu(ci, () => K.schedIdle(ci));
    assert.equal(l.cpu, target);
    m.sim.check();
  });

  test("SCH-60: one that blocks instead is not migrated then; it keeps its target, and is woken freely", () => {
    const m = machine(3);
    const [own, target] = [m.cpu(0), m.cpu(2)];
    const l = m.queued(43, function* () {
      yield* S.lwpSelf();
      yield* S.lwpPark();
      yield* compute() as Generator<K.Token, void, undefined>;
    });
    m.until(() => own.curlwp === l);
    l.targetCpu = target;
    m.until(() => stateOf(l) === "SLEEP");
    assert.equal(own.migrating, null);
    assert.equal(l.targetCpu, target);
    m.asCpu(() => K.unpark(l.proc, l.lid, 0));
    assert.equal(l.cpu, own, "its queue is empty");
    assert.equal(l.targetCpu, target);
  });
});

suite("lwpMigrate", () => {
  /** Asks for the move of `l`, and checks that it comes back unlocked. */
  function migrate(m: TestMachine, l: K.Lwp, to: K.Cpu): void {
    m.asCpu(() => {
      K.lwpLock(l);
      const lock = l.mutex;
      K.lwpMigrate(l, to);
      assert.equal(K.spinOwned(m.k, lock), false);
      assert.equal(K.lwpLocked(l), false);
    });
  }

  test("LWP-75: RUN: only the target is noted; it stays queued", () => {
    const m = machine(2);
    const l = m.queued(43, compute);
    migrate(m, l, m.cpu(1));
    assert.equal(l.targetCpu, m.cpu(1));
    assert.equal(l.cpu, m.cpu(0));
    assert.deepEqual(K.runqList(m.cpu(0), 43), [l]);
    m.sim.check();
  });

  test("LWP-75: IDL: at once, with the other run queue's lock", () => {
    const m = machine(2);
    const lwp0 = m.k.lwps.view(1);
    const p = m.asCpu(() => K.procCreate(m.k, m.k.procs.view(1), { comm: "unborn" }));
    assert.ok(p !== null);
    const start = { kind: K.CTX_CLOSURE, closure: compute };
    const l = m.asCpu(() => K.lwpCreate(lwp0, p, 0, start, K.SCHED_OTHER));
    assert.ok(l !== null);
    assert.equal(stateOf(l), "IDL");
    migrate(m, l, m.cpu(1));
    assert.equal(l.cpu, m.cpu(1));
    assert.equal(l.mutex, m.cpu(1).mutex);
    assert.equal(l.targetCpu, null);
    m.sim.check();
  });

  test("LWP-75: SLEEP: at once; the sleep queue's lock stays", () => {
    const m = machine(2);
    const l = asleep(m);
    const lock = l.mutex;
    migrate(m, l, m.cpu(1));
    assert.equal(l.cpu, m.cpu(1));
    assert.equal(l.mutex, lock);
    assert.equal(l.targetCpu, null);
    m.sim.check();
  });

  for (const state of [K.LSSTOP, K.LSSUSPENDED]) {
    test(`LWP-75: ${K.STATE_NAMES[state]}: at once, with the other CPU's lwplock unless it is on a sleep queue`, () => {
      const m = machine(2);
      const l = m.queued(43, compute);
      m.until(() => m.cpu(0).curlwp === l && l.stepped);
      // As a stop or a suspension leaves it: off its CPU, under the lwplock.
      m.locked(l.proc, () => {
        K.lwpLock(l);
        l.proc.nrlwps--;
        K.setStat(l, state);
        K.cur.lwp = l;
        assert.equal(K.miSwitch(l), true);
        K.contextSaved(l);
      });
      assert.equal(l.mutex, m.cpu(0).lwplock);
      migrate(m, l, m.cpu(1));
      assert.equal(l.cpu, m.cpu(1));
      assert.equal(l.mutex, m.cpu(1).lwplock);
      assert.equal(l.targetCpu, null);
      m.sim.check();
    });
  }

  test("LWP-75: STOP on a sleep queue: at once; the sleep queue's lock stays", () => {
    const m = machine(2);
    const l = asleep(m);
    const lock = l.mutex;
    m.locked(l.proc, () => {
      l.proc.nrlwps--;
      K.lwpLock(l);
      K.setStat(l, K.LSSTOP);
      K.lwpUnlock(l);
    });
    migrate(m, l, m.cpu(1));
    assert.equal(l.cpu, m.cpu(1));
    assert.equal(l.mutex, lock);
    m.sim.check();
  });

  for (const halted of [false, true]) {
    const what = halted ? "any state while LP_RUNNING" : "ONPROC";
    test(`LWP-75: ${what}: the target is noted, and its CPU asked to preempt it`, () => {
      const m = machine(2);
      const l = m.queued(43, compute);
      m.until(() => m.cpu(0).curlwp === l && l.stepped);
      if (halted) m.holding(l, () => K.setStat(l, K.LSSUSPENDED));
      migrate(m, l, m.cpu(1));
      assert.equal(l.targetCpu, m.cpu(1));
      assert.equal(l.cpu, m.cpu(0));
      assert.equal(m.cpu(0).attention & K.RESCHED_ANY, K.RESCHED_KPREEMPT);
      assert.equal(m.cpu(1).attention, 0);
    });
  }

  test("LWP-75: ZOMB: nothing", () => {
    const m = machine(2);
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
    });
    m.run();
    const l = m.lwp(p, 2);
    assert.equal(stateOf(l), "ZOMB");
    const { cpu } = l;
    migrate(m, l, cpu === m.cpu(0) ? m.cpu(1) : m.cpu(0));
    assert.equal(l.cpu, cpu);
    assert.equal(l.targetCpu, null);
  });

  test("LWP-75: a pending migration only gets a new target, even its present CPU; none to where it is", () => {
    const m = machine(3);
    const sleeper = asleep(m);
    const l = m.queued(43, compute);
    migrate(m, l, m.cpu(0));
    assert.equal(l.targetCpu, null, "it is there");
    for (const n of [2, 1, 0]) {
      migrate(m, l, m.cpu(n));
      assert.equal(l.targetCpu, m.cpu(n));
    }
    sleeper.targetCpu = m.cpu(2);
    migrate(m, sleeper, m.cpu(1));
    assert.equal(sleeper.cpu, m.cpu(0), "not moved at once, though it sleeps");
    assert.equal(sleeper.targetCpu, m.cpu(1));
  });

  test("LWP-75, LWP-123: the LWP must be locked", () => {
    const m = machine(2);
    const l = asleep(m);
    assertPanics(() => m.asCpu(() => K.lwpMigrate(l, m.cpu(1))), /lwpMigrate: the LWP is not locked/);
  });

  test("LWP-76: a pending target survives sleep and switches out; the idle loop's migrator alone clears it", () => {
    const m = machine(2);
    const [ci, target] = [m.cpu(0), m.cpu(1)];
    const ran: K.Cpu[] = [];
    const l = m.queued(43, function* () {
      yield* S.lwpSelf();
      yield* S.lwpPark();
      ran.push(K.cur.cpu);
      yield* S.schedYield();
      ran.push(K.cur.cpu);
      yield* S.lwpPark();
    });
    m.until(() => ci.curlwp === l);
    l.targetCpu = target;
    m.until(() => stateOf(l) === "SLEEP");
    assert.equal(l.targetCpu, target);
    m.asCpu(() => K.unpark(l.proc, l.lid, 0));
    assert.equal(l.targetCpu, target);
    // Offline, so that it does not steal back at once what it sends away.
    ci.flags |= K.SPCF_OFFLINE;
    m.run();
    assert.equal(l.targetCpu, null);
    assert.deepEqual(
      ran.map((c) => c.index),
      [ci.index, target.index],
    );
  });
});
