/** The statistics thread (MCH-94, and of SCH-71 what is kept here). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { parked, stateOf, TestMachine } from "../support/sim.js";
import { watch } from "../support/spy.js";

/** Lets whole seconds pass, each with all that follows. */
function seconds(m: TestMachine, n: number): void {
  for (let tick = 0; tick < n * m.k.hz; tick++) {
    m.sim.tick();
    while (m.k.lwps.view(1).stat !== K.LSSLEEP) m.sim.step();
  }
}

/** Ticks at which lwp0 goes back to sleep, in the next `n` of them. */
function passes(m: TestMachine, n: number): number[] {
  const found: number[] = [];
  for (let tick = 0; tick < n; tick++) {
    const { ncsw } = m.k.lwps.view(1);
    m.sim.tick();
    while (m.k.lwps.view(1).stat !== K.LSSLEEP) m.sim.step();
    if (m.k.lwps.view(1).ncsw !== ncsw) found.push(m.k.g.ticks);
  }
  return found;
}

describe("the statistics thread", () => {
  test("MCH-94: once the machine is booted lwp0 is it: FIFO at 125, in uninterruptible sleeps of a second as uvm; init is process 1", () => {
    const m = new TestMachine();
    const l = m.k.lwps.view(1);
    assert.deepEqual([l.lid, l.proc.pid, l.name, l.class, l.priority], [1, 0, "swapper", K.SCHED_FIFO, 125]);
    assert.deepEqual([stateOf(l), l.wmesg, l.flag & K.LW_SINTR], ["SLEEP", "uvm", 0]);
    assert.deepEqual(passes(m, 350), [101, 201, 301]);
    assert.deepEqual([stateOf(l), l.wmesg, l.flag & K.LW_SINTR], ["SLEEP", "uvm", 0]);
    assert.equal(m.cpu(0).nlwps, 0, "it does not count as one that has started");
    assert.equal(m.spawn(parked).pid, 1);
  });

  test("MCH-94: it goes before what computes on its CPU, and its pass is over before that goes on", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      for (;;) yield* S.schedYield();
    });
    const l = m.lwp(p, 1);
    for (let i = 0; i < 99; i++) m.sim.tick();
    m.until(() => m.cpu(0).curlwp === l);
    assert.equal(l.swtime, 0);
    m.sim.tick();
    m.until(() => m.cpu(0).curlwp === m.k.lwps.view(1), 3);
    m.until(() => m.cpu(0).curlwp === l, 3);
    assert.equal(l.swtime, 1);
  });

  test("MCH-94: no time passes for it alone, as the original's time-out would have it: a machine at rest stays so, and catches up with one pass", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    assert.equal(m.sim.step(), false, "nothing can happen any more");
    assert.deepEqual([m.k.g.ticks, m.cpu(0).ncallouts], [1, 0]);
    // The CPU has missed five seconds.
    m.k.g.ticks += 5 * m.k.hz;
    seconds(m, 0);
    assert.deepEqual(passes(m, 3).length, 1);
    assert.equal(m.lwp(p, 1).swtime, 1);
  });
});

describe("a pass", () => {
  test("SCH-71: every LWP but idle threads gets older; who sleeps, is stopped or suspended has slept, whoever it is, and wakes with 0", () => {
    const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(1) });
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      yield* S.lwpCreate(function* () {});
      for (;;) yield* S.schedYield();
    });
    const state = (lid: number) =>
      K.procLwps(p)
        .filter((l) => l.lid === lid)
        .map(stateOf)[0];
    m.until(() => state(2) === "SLEEP" && state(4) === "ZOMB");
    const of = (field: "swtime" | "slptime") => [1, 2, 3, 4].map((lid) => m.lwp(p, lid)[field]);
    seconds(m, 3);
    assert.deepEqual(
      [of("swtime"), of("slptime")],
      [
        [3, 3, 3, 3],
        [0, 3, 3, 0],
      ],
    );
    assert.deepEqual([m.cpu(0).idlelwp.swtime, m.cpu(1).idlelwp.swtime], [0, 0]);
    assert.deepEqual([m.cpu(0).xcalllwp.swtime, m.cpu(0).xcalllwp.slptime], [3, 3]);
    m.asCpu(() => K.unpark(p, 2, 0));
    assert.equal(m.lwp(p, 2).slptime, 0);
  });

  /** exp(-1/20) in the original's fixed point. */
  const decay = (share: number) => (share * 1948) >> 11;

  test("SCH-71: the share of a CPU decays by 1948/2048 a second, and grows by the ticks of who has not slept; a process's by itself", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.schedYield();
      for (;;) yield* S.schedYield();
    });
    m.until(() => K.procLwps(p).length === 2 && stateOf(m.lwp(p, 2)) === "SLEEP");
    const [l, asleep] = [m.lwp(p, 1), m.lwp(p, 2)];
    Object.assign(asleep, { pctcpu: 2048, cpticks: 7 });
    p.pctcpu = 1000;
    l.cpticks = 0;
    let [share, theirs, dead] = [0, 2048, 1000];
    for (let second = 0; second < 4; second++) {
      // So many ticks were its own, however long the pass took.
      l.cpticks = 60;
      m.asCpu(() => K.schedPstats(m.k));
      share = decay(share) + ((100 * Math.trunc((60 * 2048) / 100)) >> 11);
      theirs = decay(theirs);
      dead = decay(dead);
      assert.deepEqual([l.pctcpu, asleep.pctcpu, p.pctcpu], [share, theirs, dead]);
      assert.deepEqual([l.cpticks, asleep.cpticks], [0, 7], "ticks are only taken by who gets them");
    }
  });

  test("a process of many LWPs is let go in between, so that others get at it; who comes next stays", () => {
    const m = new TestMachine({ limits: { lwps: 1024 } });
    m.sim.check = () => {};
    const p = m.spawn(function* () {
      for (let i = 0; i < 600; i++) yield* S.lwpCreate(parked);
      yield* parked();
    });
    m.run();
    const lwps = K.procLwps(p);
    m.asCpu(() => K.schedPstats(m.k));
    assert.ok(lwps.every((l) => l.swtime === 1 && l.refcnt === 1));
    assert.deepEqual(K.checkInvariants(m.k), []);
  });

  test("an LWP that has not been started is never held, so that who throws it away need not wait", () => {
    const m = new TestMachine({ limits: { lwps: 1024 } });
    m.sim.check = () => {};
    const held: string[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      const start = { kind: K.CTX_CLOSURE, closure: parked };
      for (let i = 0; i < 600; i++) {
        const made = K.lwpCreate(l, l.proc, 0, start, l.class) as K.Lwp;
        if (i % 300 < 20) K.lwpStart(l, made, 0);
      }
      yield* parked();
    });
    m.run();
    for (const l of K.procLwps(p)) watch(l, K.LwpRecord, "refcnt", () => held.push(stateOf(l)));
    m.asCpu(() => K.schedPstats(m.k));
    assert.deepEqual(held, []);
  });
});
