/** The end of a dead LWP: what `lwpFree` gives back, in which order, and what it refuses. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, counters, parked, TestMachine } from "../support/sim.js";

const UID = 100;

/** A process whose main thread, lid 1, is parked, and whose LWP 2 is a zombie that nobody has collected. */
function withZombie(options: { cpus?: number } = {}) {
  const m = new TestMachine(options);
  const before = { lwps: m.k.lwps.inUse, turnstiles: m.k.turnstiles.inUse };
  const p = m.spawn(
    function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
    },
    { uid: UID },
  );
  m.run();
  const z = m.lwp(p, 2);
  assert.equal(z.stat, K.LSZOMB);
  return { m, k: m.k, p, z, before };
}

/** Frees it, or tries to, as the idle thread of CPU 0. */
function free(m: TestMachine, p: K.Proc, l: K.Lwp, recycle = false): void {
  m.asCpu(() => {
    K.spinEnter(m.k, p.lock);
    K.lwpFree(l, recycle, false);
  });
}

describe("lwpFree", () => {
  test("LWP-58: the caller itself cannot be freed", () => {
    const { m, p } = withZombie();
    assertPanics(() => m.locked(p, () => K.lwpFree(K.cur.lwp, false, false)), /the caller itself/);
  });

  test("LWP-58: p.lock must be held, unless it is the last LWP", () => {
    const { m, z } = withZombie();
    assertPanics(() => m.asCpu(() => K.lwpFree(z, false, false)), /process is not locked/);
  });

  test("LWP-58: p.lock is released before it waits until the LWP is off its CPU", () => {
    const { m, k, p, z } = withZombie();
    z.pflag |= K.LP_RUNNING;
    const seen: boolean[] = [];
    m.whileWaiting(() => {
      seen.push(K.spinOwned(k, p.lock));
      z.pflag &= ~K.LP_RUNNING;
    });
    free(m, p, z);
    assert.deepEqual(seen, [false]);
    assert.equal(k.w[p.lock], 0);
  });

  test("LWP-58: the lock of the process is not touched for the last LWP, nor are its counters", () => {
    const { m, k, p, z } = withZombie();
    const before = counters(p);
    // As if another CPU held it: neither taken nor released.
    k.w[p.lock] = 77;
    m.asCpu(() => K.lwpFree(z, false, true));
    assert.equal(k.w[p.lock], 77);
    assert.equal(counters(p), before);
  });

  test("LWP-59: times and switches of the dead go to the process", () => {
    const { m, p, z } = withZombie();
    Object.assign(p, { rtime: 1.5, pctcpu: 5, nvcsw: 100, nivcsw: 200 });
    Object.assign(z, { rtime: 2.25, pctcpu: 7, nvcswRu: 3, nivcswRu: 4, ncsw: 10, nivcsw: 6 });
    free(m, p, z);
    assert.deepEqual(
      { rtime: p.rtime, pctcpu: p.pctcpu, nvcsw: p.nvcsw, nivcsw: p.nivcsw },
      { rtime: 3.75, pctcpu: 12, nvcsw: 100 + 3 + (10 - 6), nivcsw: 200 + 4 + 6 },
    );
  });

  test("LWP-59: unlinked and counted out; joinable ones do not change ndlwps", () => {
    const { m, p, z } = withZombie();
    assert.equal(counters(p), "nl2 nz1 nr1 nd0 nw0");
    free(m, p, z);
    assert.equal(counters(p), "nl1 nz0 nr1 nd0 nw0");
    assert.deepEqual(
      K.procLwps(p).map((l) => l.lid),
      [1],
    );
    m.sim.check();
  });

  test("LWP-59: a detached one is counted out of ndlwps too", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
      yield* S.lwpPark();
    });
    m.run();
    assert.equal(counters(p), "nl2 nz1 nr1 nd1 nw0");
    const z = p.zomblwp as K.Lwp;
    p.zomblwp = null;
    free(m, p, z);
    assert.equal(counters(p), "nl1 nz0 nr1 nd0 nw0");
    m.sim.check();
  });

  test("LWP-59: the middle one of three siblings is unlinked from both", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
    });
    m.run();
    const order = () => K.procLwps(p).map((l) => l.lid);
    assert.deepEqual(order(), [4, 3, 2, 1]);
    free(m, p, m.lwp(p, 3));
    assert.deepEqual(order(), [4, 2, 1]);
    free(m, p, m.lwp(p, 4));
    assert.deepEqual(order(), [2, 1]);
    m.sim.check();
  });

  test("LWP-59: the user's count goes down by one for all but the last LWP of a process", () => {
    const { m, k, p, z } = withZombie();
    const count = () => m.asCpu(() => K.chglwpcnt(k, UID, 0));
    assert.equal(count(), 1, "the first LWP of a process is not charged");
    free(m, p, z);
    assert.equal(count(), 0);
    m.asCpu(() => K.unpark(p, 1, 0));
    m.run();
    assert.equal(m.sim.collected.length, 1);
    assert.equal(count(), 0);
  });

  test("LWP-59: LWPs of process 0 were never charged, and are not refunded", () => {
    const m = new TestMachine();
    const { k } = m;
    const p0 = k.procs.view(1);
    m.asCpu(() => {
      const l = K.lwpCreate(k.lwps.view(1), p0, 0, { kind: K.CTX_NONE }, K.SCHED_OTHER) as K.Lwp;
      assert.equal(K.chglwpcnt(k, 0, 0), 0);
      // Never started, and thrown away by its creator.
      assert.equal(K.lwpExitBegin(l), K.EXIT_READY);
      K.lwpExitFinish(l);
      K.spinEnter(k, p0.lock);
      K.lwpFree(l, false, false);
      assert.equal(K.chglwpcnt(k, 0, 0), 0);
    });
    m.sim.check();
  });

  test("LWP-59: waiters are woken to look for deadlock again", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      yield* S.lwpCreate(function* () {});
      got = yield* attempt(S.lwpWait(a));
      yield* S.lwpPark();
    });
    m.run();
    // The zombie could still be collected by somebody; without it nobody can ever wake the waiter.
    assert.equal(counters(p), "nl3 nz1 nr1 nd0 nw1");
    assert.equal(got, undefined);
    free(m, p, m.lwp(p, 3));
    m.run();
    assert.equal(got, "EDEADLK");
  });

  test("LWP-60: it waits while LP_RUNNING is set, then while its CPU still has it as current", () => {
    const { m, p, z } = withZombie({ cpus: 2 });
    const ci = m.cpu(1);
    const idle = ci.curlwp;
    z.cpu = ci;
    z.pflag |= K.LP_RUNNING;
    ci.curlwp = z;
    const waits: string[] = [];
    m.whileWaiting((site) => {
      waits.push(`${site} ${(z.pflag & K.LP_RUNNING) !== 0 ? "running" : "current"}`);
      assert.equal(m.k.lwps.inUse, inUse, "nothing has been given back yet");
      if ((z.pflag & K.LP_RUNNING) !== 0) z.pflag &= ~K.LP_RUNNING;
      else ci.curlwp = idle;
    });
    const inUse = m.k.lwps.inUse;
    free(m, p, z);
    assert.deepEqual(waits, ["lwpFree running", "lwpFree current"]);
    assert.equal(m.k.lwps.inUse, inUse - 1);
  });

  test("LWP-60: record, turnstile with it, name and affinity go back; both condition variables die", () => {
    const { m, k, p, z, before } = withZombie();
    const { gen, ts } = z;
    const { sigcv, waitcv } = z;
    z.named = 1;
    z.affinity = 1;
    assert.deepEqual([K.cvWmesg(k, sigcv), K.cvWmesg(k, waitcv)], ["sigwait", "vfork"]);
    free(m, p, z);
    assert.deepEqual([K.cvWmesg(k, sigcv), K.cvWmesg(k, waitcv)], ["(dead)", "(dead)"]);
    assert.deepEqual([z.named, z.affinity], [0, 0]);
    assert.notEqual(z.gen, gen);
    // What is left is main.
    assert.equal(k.lwps.inUse, before.lwps + 1);
    assert.deepEqual([z.ts, k.turnstiles.inUse], [ts, before.turnstiles + 2]);
    m.locked(p, () => assert.equal(K.lidLookup(p, 2), null));
  });

  test("LWP-60: with `recycle` record and turnstile stay with the caller", () => {
    const { m, k, p, z, before } = withZombie();
    const { gen, ts } = z;
    free(m, p, z, true);
    assert.equal(z.gen, gen);
    assert.equal(z.ts, ts);
    assert.equal(k.lwps.inUse, before.lwps + 2);
    assert.equal(k.turnstiles.inUse, before.turnstiles + 2);
    assert.equal(counters(p), "nl1 nz0 nr1 nd0 nw0");
  });

  test("LWP-60: a dead LWP must hold no loans, and no big lock", () => {
    const spoil: ((z: K.Lwp) => void)[] = [
      (z) => (z.piLenders = z.ts),
      (z) => (z.inheritedprio = 100),
      (z) => (z.blcnt = 1),
    ];
    for (const change of spoil) {
      const { m, p, z } = withZombie();
      change(z);
      assertPanics(() => free(m, p, z), /it holds loans/);
    }
  });
});
