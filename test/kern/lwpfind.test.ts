/** Finding LWPs: by lid, by process and lid, the first one alive. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, parked, stateOf, TestMachine } from "../support/sim.js";

/** A process with an LWP in each state: main 1 SLEEP, 2 ZOMB, 3 SUSPENDED, 4 STOP, 5 RUN, 6 IDL. ONPROC is whoever asks. */
function zoo() {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    const l = K.cur.lwp;
    yield* S.lwpCreate(function* () {});
    yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
    p.stat = K.SSTOP;
    yield* S.lwpCreate(parked);
    p.stat = K.SACTIVE;
    yield* S.lwpCreate(parked);
    K.lwpCreate(l, p, 0, { kind: K.CTX_CLOSURE, closure: parked }, l.class);
    yield* S.lwpPark();
  });
  m.run();
  m.asCpu(() => K.unpark(p, 5, 0));
  const states = K.procLwps(p).map((l) => `${l.lid} ${stateOf(l)}`);
  assert.deepEqual(states, ["6 IDL", "5 RUN", "4 STOP", "3 SUSPENDED", "2 ZOMB", "1 SLEEP"]);
  return { m, k: m.k, p };
}

describe("lwpFind", () => {
  test("LWP-77: finds an LWP in every state but IDL and ZOMB", () => {
    const { m, p } = zoo();
    m.locked(p, () => {
      const found = [0, 1, 2, 3, 4, 5, 6, 7, -1].map((lid) => K.lwpFind(p, lid)?.lid ?? null);
      assert.deepEqual(found, [null, 1, null, 3, 4, 5, null, null, null]);
    });
  });

  test("LWP-77: and ONPROC; a lid of another process is not found", () => {
    const m = new TestMachine();
    const found: unknown[] = [];
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpPark();
    });
    const q = m.spawn(function* () {
      const { k, proc } = K.cur.lwp;
      K.spinEnter(k, proc.lock);
      found.push(K.lwpFind(proc, 1) === K.cur.lwp, K.lwpFind(proc, 2));
      K.spinExit(k, proc.lock);
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(found, [true, null]);
    assert.equal(q.nlwps, 1);
  });

  test("LWP-77: of two with one lid, after the ids have wrapped, the newest", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      // 2^32 - 1 more lids, of which only the last is made.
      p.nlwpid = 1;
      yield* S.lwpCreate(parked);
      yield* S.lwpPark();
    });
    // Unchecked invariants: two LWPs with one lid are what the original allows after a wrap.
    m.sim.check = () => {};
    m.run();
    assert.deepEqual(
      K.procLwps(p).map((l) => l.lid),
      [2, 2, 1],
    );
    m.locked(p, () => assert.equal(K.lwpFind(p, 2), K.procFirstLwp(p)));
  });

  test("LWP-77, LWP-123: the process must be locked", () => {
    const { m, p } = zoo();
    assertPanics(() => m.asCpu(() => K.lwpFind(p, 1)), /process is not locked/);
  });
});

describe("lwpFind2", () => {
  /** What it finds, and that the process is locked exactly if it finds something. */
  function find2(m: TestMachine, p: K.Proc, pid: number, lid: number): number | null {
    return m.asCpu(() => {
      const l = K.lwpFind2(m.k, pid, lid);
      assert.equal(K.spinOwned(m.k, p.lock), l !== null);
      if (l !== null) K.spinExit(m.k, l.proc.lock);
      return l === null ? null : l.lid;
    });
  }

  test("LWP-78: by process id: as lwpFind; lid 0 is the newest LWP in whatever state", () => {
    const { m, p } = zoo();
    const found = [0, 1, 2, 3, 4, 5, 6, 7].map((lid) => find2(m, p, p.pid, lid));
    assert.deepEqual(found, [6, 1, null, 3, 4, 5, null, null]);
  });

  test("LWP-78: process id 0 is the caller's process", () => {
    const m = new TestMachine();
    const found: unknown[] = [];
    m.spawn(parked);
    m.spawn(function* () {
      const { k, proc } = K.cur.lwp;
      yield* S.lwpCreate(parked);
      for (const lid of [0, 1, 2]) {
        const l = K.lwpFind2(k, 0, lid) as K.Lwp;
        found.push([l.proc === proc, l.lid]);
        K.spinExit(k, proc.lock);
      }
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(found, [
      [true, 2],
      [true, 1],
      [true, 2],
    ]);
  });

  test("LWP-78: only live processes: SACTIVE and SSTOP", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    const found: [number, number | null][] = [];
    for (const stat of [K.SIDL, K.SACTIVE, K.SDYING, K.SSTOP, K.SZOMB, K.SDEAD]) {
      p.stat = stat;
      found.push([stat, find2(m, p, p.pid, 1)]);
    }
    assert.deepEqual(found, [
      [K.SIDL, null],
      [K.SACTIVE, 1],
      [K.SDYING, null],
      [K.SSTOP, 1],
      [K.SZOMB, null],
      [K.SDEAD, null],
    ]);
    p.stat = K.SACTIVE;
    assert.equal(find2(m, p, 4711, 1), null);
    m.sim.check();
  });

  test("LWP-147: an LWP that is not started is found as the newest, and not by its lid", () => {
    const m = new TestMachine();
    const found: unknown[] = [];
    m.spawn(function* () {
      const l = K.cur.lwp;
      const { k, proc } = l;
      const unborn = K.lwpCreate(l, proc, 0, { kind: K.CTX_CLOSURE, closure: parked }, l.class) as K.Lwp;
      found.push(K.lwpFind2(k, 0, 0) === unborn);
      found.push(K.lwpFind(proc, unborn.lid));
      K.spinExit(k, proc.lock);
      found.push(K.lwpFind2(k, 0, unborn.lid));
      K.lwpStart(l, unborn, 0);
      found.push(K.lwpFind2(k, 0, unborn.lid) === unborn);
      K.spinExit(k, proc.lock);
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(found, [true, null, null, true]);
  });
});

describe("lwpAlive", () => {
  test("LWP-79: true for SLEEP, RUN, ONPROC, STOP, SUSPENDED; false for the others", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    const l = m.lwp(p, 1);
    const alive: number[] = [];
    m.locked(p, () => {
      for (let stat = 0; stat <= 9; stat++) {
        l.stat = stat;
        if (K.lwpAlive(l)) alive.push(stat);
      }
    });
    assert.deepEqual(alive, [K.LSRUN, K.LSSLEEP, K.LSSTOP, K.LSONPROC, K.LSSUSPENDED]);
  });

  test("LWP-79: the first one alive, in the order of the list, or null", () => {
    const { m, k, p } = zoo();
    m.locked(p, () => {
      assert.equal(K.lwpFindFirst(p)?.lid, 5);
      // Nothing but the unborn and the dead.
      for (const l of K.procLwps(p)) if (l.lid !== 6) l.stat = K.LSZOMB;
      assert.equal(K.lwpFindFirst(p), null);
    });
    assert.equal(k.w[p.lock], 0);
  });

  test("LWP-79, LWP-123: the process must be locked", () => {
    const one = zoo();
    assertPanics(() => one.m.asCpu(() => K.lwpAlive(one.m.lwp(one.p, 1))), /process is not locked/);
    const two = zoo();
    assertPanics(() => two.m.asCpu(() => K.lwpFindFirst(two.p)), /process is not locked/);
  });
});
