/** The test vectors of an LWP's life: its counters, its end, migration by state, the limit. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, counters, parked, stateOf, TestMachine } from "../support/sim.js";

function unpark(m: TestMachine, p: K.Proc, lid: number): void {
  m.asCpu(() => assert.equal(K.unpark(p, lid, 0), 0));
}

function lids(p: K.Proc): number[] {
  return K.procLwps(p).map((l) => l.lid);
}

describe("birth", () => {
  test("LWP-130: a fresh process, and three more LWPs", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const made: number[] = [];
      seen.push([K.cur.lwp.lid, counters(p)]);
      for (let i = 0; i < 3; i++) made.push(yield* S.lwpCreate(parked));
      seen.push([made, lids(p), counters(p)]);
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(seen, [
      [1, "nl1 nz0 nr1 nd0 nw0"],
      [[2, 3, 4], [4, 3, 2, 1], "nl4 nz0 nr4 nd0 nw0"],
    ]);
  });

  test("LWP-152: the limit exactly reached is no error; one more is EAGAIN, and the count is back", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const count = () => K.chglwpcnt(m.k, 100, 0);
    const p = m.spawn(
      function* () {
        for (let i = 0; i < 4; i++) seen.push(yield* attempt(S.lwpCreate(parked)), count());
        assert.equal(p.nlwps, 4);
        // One goes, and one may come.
        yield* S.schedYield();
        yield* S.lwpUnpark(2);
        yield* S.lwpWait(2);
        seen.push(count(), yield* attempt(S.lwpCreate(parked)), count());
        yield* S.lwpPark();
      },
      { uid: 100, nthr: 3 },
    );
    m.run();
    assert.deepEqual(seen, [2, 1, 3, 2, 4, 3, "EAGAIN", 3, 2, 5, 3]);
  });

  test("LWP-152: the superuser passes the limit, and is counted", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    m.spawn(
      function* () {
        for (let i = 0; i < 3; i++) seen.push(yield* attempt(S.lwpCreate(parked)), K.chglwpcnt(m.k, 0, 0));
        yield* S.lwpPark();
      },
      { uid: 0, nthr: 1 },
    );
    m.run();
    assert.deepEqual(seen, [2, 1, 3, 2, 4, 3]);
  });
});

describe("death", () => {
  /** The counters of a detached LWP's life, and what frees it. */
  const freers: [string, (p: K.Proc) => Generator<K.Token, unknown, undefined>, string][] = [
    [
      "the next create",
      () => S.lwpCreate(parked) as Generator<K.Token, unknown, undefined>,
      "nl2 nz0 nr2 nd0 nw0",
    ],
    ["a wait", () => attempt(S.lwpWait(0)), "nl1 nz0 nr1 nd0 nw0"],
  ];
  for (const [what, free, after] of freers) {
    test(`LWP-135: the counters of a detached LWP, until ${what} frees it`, () => {
      const m = new TestMachine();
      const seen: string[] = [];
      m.k.slots.lwpExit = (l) => void seen.push(`exit ${stateOf(l)} ${counters(l.proc)}`);
      const p = m.spawn(function* () {
        yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
        seen.push(counters(p));
        yield* S.lwpPark();
        yield* free(p);
        seen.push(counters(p));
        assert.equal(p.zomblwp, null);
        yield* S.lwpPark();
      });
      m.run();
      const z = p.zomblwp as K.Lwp;
      assert.deepEqual([z.lid, stateOf(z)], [2, "ZOMB"]);
      seen.push(counters(p));
      unpark(m, p, 1);
      m.run();
      assert.deepEqual(seen, [
        "nl2 nz0 nr2 nd1 nw0",
        "exit ONPROC nl2 nz1 nr2 nd1 nw0",
        "nl2 nz1 nr1 nd1 nw0",
        after,
      ]);
    });
  }

  test("LWP-135, LWP-136: of two detached LWPs that exit the second frees the first, and stays itself", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked, S.LWP_DETACHED);
      yield* S.lwpCreate(parked, S.LWP_DETACHED);
      yield* S.lwpPark();
    });
    m.run();
    const inUse = m.k.lwps.inUse;
    unpark(m, p, 2);
    m.run();
    assert.deepEqual([p.zomblwp?.lid, lids(p), counters(p)], [2, [3, 2, 1], "nl3 nz1 nr2 nd2 nw0"]);
    unpark(m, p, 3);
    m.run();
    assert.deepEqual([p.zomblwp?.lid, lids(p), counters(p)], [3, [3, 1], "nl2 nz1 nr1 nd1 nw0"]);
    assert.equal(m.k.lwps.inUse, inUse - 1);
  });

  test("LWP-138: one that is referenced stays in its exit until the reference is dropped", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      got = yield* attempt(S.lwpWait(2));
      yield* S.lwpPark();
    });
    m.run();
    const a = m.lwp(p, 2);
    m.locked(p, () => K.lwpAddref(a));
    unpark(m, p, 2);
    m.run();
    assert.deepEqual([stateOf(a), a.wchan, a.flag & K.LW_SINTR, a.refcnt], ["SLEEP", p.lwpcv, 0, 1]);
    assert.equal(counters(p), "nl2 nz1 nr2 nd0 nw1");
    assert.deepEqual([stateOf(m.lwp(p, 1)), got], ["SLEEP", undefined]);
    // Other broadcasts do not end the drain.
    m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
    m.run();
    assert.deepEqual([stateOf(a), got], ["SLEEP", undefined]);
    m.asCpu(() => K.lwpDelref(a));
    m.run();
    assert.equal(got, 2);
    assert.equal(counters(p), "nl1 nz0 nr1 nd0 nw0");
  });

  test("LWP-141: the last live LWP ends the process, and the exit collects an uncollected zombie", () => {
    const m = new TestMachine();
    const before = [m.k.lwps.inUse, m.k.procs.inUse];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      assert.equal(counters(p), "nl2 nz1 nr1 nd0 nw0");
      yield* S.lwpExit();
    });
    m.run();
    assert.equal(counters(p), "nl2 nz1 nr1 nd0 nw0");
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(
      m.sim.collected.map((c) => c.status),
      [0],
    );
    assert.deepEqual([m.k.lwps.inUse, m.k.procs.inUse], before);
  });

  test("LWP-151: the name of the dead is (zombie) until they are collected; unnamed ones stay unnamed", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      for (let i = 0; i < 2; i++) yield* S.lwpCreate(parked);
      yield* S.lwpSetname(2, "worker");
      yield* S.lwpPark();
      yield* S.lwpWait(2);
      const lid = yield* S.lwpCreate(parked);
      assert.equal(yield* S.lwpGetname(lid), "");
      yield* S.lwpPark();
    });
    m.run();
    const names = () => [2, 3].map((lid) => [m.lwp(p, lid).named, m.lwp(p, lid).name]);
    assert.deepEqual(names(), [
      [1, "worker"],
      [0, ""],
    ]);
    unpark(m, p, 2);
    unpark(m, p, 3);
    m.run();
    assert.deepEqual(names(), [
      [1, "(zombie)"],
      [0, ""],
    ]);
    unpark(m, p, 1);
    m.run();
    assert.equal(m.lwp(p, 4).named, 0);
  });
});

describe("migration", () => {
  /** Moves an LWP, as CPU 0's idle thread. */
  function migrate(m: TestMachine, l: K.Lwp, to: K.Cpu): void {
    m.asCpu(() => {
      K.lwpLock(l);
      const lock = l.mutex;
      K.lwpMigrate(l, to);
      assert.equal(K.spinOwned(m.k, lock), false, "unlocked on return");
    });
  }
  const elsewhere = (m: TestMachine, l: K.Lwp) => (l.cpu === m.cpu(0) ? m.cpu(1) : m.cpu(0));

  test("LWP-148: a stopped LWP without a wait channel: the new CPU, and its lwplock", () => {
    const m = new TestMachine({ cpus: 2 });
    const p = m.spawn(function* () {
      p.stat = K.SSTOP;
      yield* S.lwpCreate(parked);
      p.stat = K.SACTIVE;
      yield* S.lwpPark();
    });
    m.run();
    const l = m.lwp(p, 2);
    const to = elsewhere(m, l);
    assert.deepEqual([stateOf(l), l.wchan, l.mutex], ["STOP", 0, l.cpu.lwplock]);
    migrate(m, l, to);
    assert.equal(l.cpu, to);
    assert.equal(l.mutex, to.lwplock);
    assert.equal(l.targetCpu, null);
    m.sim.check();
  });

  test("LWP-148: one with a wait channel: the new CPU, still the sleep queue's lock; off the queue, the lwplock", () => {
    const m = new TestMachine({ cpus: 2 });
    const p = m.spawn(parked);
    m.run();
    const l = m.lwp(p, 1);
    const to = elsewhere(m, l);
    const queueLock = l.mutex;
    m.locked(p, () => {
      K.lwpLock(l);
      K.setStat(l, K.LSSTOP);
      p.nrlwps--;
      K.lwpUnlock(l);
    });
    migrate(m, l, to);
    assert.equal(l.cpu, to);
    assert.equal(l.mutex, queueLock);
    m.sim.check();
    m.asCpu(() => {
      K.lwpLock(l);
      K.sleepqRemove(l);
      K.spinExit(m.k, queueLock);
    });
    assert.deepEqual([stateOf(l), l.cpu.index, l.mutex], ["STOP", to.index, to.lwplock]);
    m.sim.check();
  });

  test("LWP-149: asleep but still on its CPU: as if running, so only the target is noted and the CPU asked", () => {
    const m = new TestMachine({ cpus: 2 });
    K.probeEnable(m.k, ["migrate"], true);
    const asked: number[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      const { k } = m;
      const from = l.cpu;
      const to = elsewhere(m, l);
      // Halfway into a sleep: queued, not switched out.
      const bucket = K.sleeptabBucket(k.parktab, 77);
      K.spinEnter(k, bucket);
      K.sleepqEnter(l, bucket);
      K.sleepqEnqueue(l, K.bucketQueue(bucket), 77, "test", K.SOBJ_PARK);
      assert.deepEqual([stateOf(l), l.pflag & K.LP_RUNNING], ["SLEEP", K.LP_RUNNING]);
      K.atomicAnd(k, from.at + K.CpuRecord.offset.attention, 0);
      K.lwpMigrate(l, to);
      assert.equal(k.w[bucket], 0);
      assert.deepEqual([l.cpu.index, l.targetCpu?.index, l.mutex], [from.index, to.index, bucket]);
      assert.equal(from.attention, K.RESCHED_KPREEMPT);
      // Woken before it has left: it runs on, and moves when it next gives way.
      K.spinEnter(k, bucket);
      K.sleepqRemove(l);
      K.spinExit(k, bucket);
      assert.equal(stateOf(l), "ONPROC");
      asked.push(from.index - 1, to.index - 1);
      yield* S.schedYield();
      yield* S.lwpPark();
    });
    m.run();
    const moves = [0, 1].flatMap((n) => K.traceRead(m.k, m.cpu(n), 0).records.map((r) => r.args.slice(0, 2)));
    assert.deepEqual(moves, [asked]);
    assert.equal(m.lwp(p, 1).targetCpu, null);
  });
});
