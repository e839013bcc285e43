/** Small services, the globals, the probes, and what two revisions of the original do differently: LWP-111..114, 117, 118, 120, 122. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { parked, stateOf, TestMachine } from "../support/sim.js";
import { atDelayPoint, onProbe } from "../support/spy.js";

const start: K.Start = { kind: K.CTX_CLOSURE, closure: parked };

describe("small services", () => {
  test("LWP-111: lwpPctr is the caller's count of switches: equal before and after, it was not switched out between", () => {
    const m = new TestMachine();
    const seen: number[] = [];
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      const before = K.lwpPctr();
      seen.push(K.lwpPctr() - before);
      yield* S.lwpSelf();
      seen.push(K.lwpPctr() - before);
      yield* S.schedYield();
      seen.push(K.lwpPctr() - before, K.cur.lwp.ncsw - before);
    });
    m.run();
    assert.deepEqual(seen, [0, 0, 1, 1]);
  });

  test("LWP-111: lwpSetprivate stores the private pointer, and cannot fail; each LWP has its own", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      seen.push(yield* S.lwpGetprivate());
      seen.push(K.lwpSetprivate(K.cur.lwp, 17), yield* S.lwpGetprivate());
      yield* S.lwpSetprivate(-5);
      yield* S.lwpCreate(function* () {
        seen.push(yield* S.lwpGetprivate());
        yield* parked();
      });
      yield* parked();
    });
    m.run();
    assert.deepEqual([seen, m.lwp(p, 1).private], [[0, 0, 17, 0], -5]);
  });

  test("LWP-112: lwpWhatis says in whose record an address lies (a record stands where the original has a kernel stack)", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* parked();
    });
    m.run();
    const what = (address: number): string[] => {
      const lines: string[] = [];
      K.lwpWhatis(m.k, address, (line) => lines.push(line));
      return lines;
    };
    const l = m.lwp(p, 2);
    const end = l.at + K.LwpRecord.words;
    assert.deepEqual(what(l.at), [`${l.at} is ${l.at}+0, LWP 1.2's record`]);
    assert.deepEqual(what(l.sigmask), [`${l.sigmask} is ${l.at}+${l.sigmask - l.at}, LWP 1.2's record`]);
    assert.deepEqual(what(end - 1), [`${end - 1} is ${l.at}+${K.LwpRecord.words - 1}, LWP 1.2's record`]);
    // Records stand side by side: behind the last one there is none.
    assert.equal(l.index, m.k.lwps.highWater);
    assert.deepEqual([what(end), what(m.k.scratch), what(m.k.g.at)], [[], [], []]);
    const cold = m.k.lwps.coldAt(l.index);
    assert.deepEqual(what(cold + 3), [`${cold + 3} is ${cold}+3, LWP 1.2's record`]);
  });

  test("LWP-113: the globals: all LWPs newest first, the first of all, its turnstile, and maxlwp", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* parked();
    });
    const q = m.spawn(parked);
    m.run();
    const lwp0 = m.k.lwps.view(1);
    const ids = K.allLwps(m.k).map((l) => `${l.proc.pid}.${l.lid}`);
    assert.deepEqual(ids.slice(0, 3), [`${p.pid}.2`, `${q.pid}.1`, `${p.pid}.1`]);
    assert.deepEqual([ids.at(-1), lwp0.name, lwp0.proc.pid], ["0.1", "swapper", 0]);
    assert.deepEqual([lwp0.ts?.index, m.k.g.maxlwp], [1, m.k.limits.lwps]);
    // Under proc_lock: whoever has it keeps an LWP from being listed.
    let waited = 0;
    m.whileWaiting(() => {
      waited++;
      m.k.w[m.k.g.procLock] = 0;
    });
    m.k.w[m.k.g.procLock] = 2;
    m.asCpu(() => K.lwpCreate(lwp0, lwp0.proc, 0, start, 0));
    assert.ok(waited > 0);
  });
});

describe("probes", () => {
  test("LWP-114: lwp_create, lwp_start, lwp_exit: the LWP that each is about, and where it stands", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    onProbe(m, ["lwp_create", "lwp_start", "lwp_exit"], ({ probe, pid, lid }) => {
      const p = K.allProcs(m.k).find((other) => other.pid === pid) as K.Proc;
      const l = m.lwp(p, lid);
      const listed = K.allLwps(m.k).includes(l);
      seen.push([probe, lid, stateOf(l), listed, K.spinOwned(m.k, p.lock), p.nzlwps]);
    });
    m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        seen.push("code of 2");
        yield* S.lwpSelf();
      }, S.LWP_DETACHED);
      yield* S.schedYield();
      seen.push("end of 1");
    });
    m.run();
    assert.deepEqual(seen, [
      // After p_lock is dropped, before alllwp.
      ["lwp_create", 1, "IDL", false, false, 0],
      // The first thing it does.
      ["lwp_start", 1, "ONPROC", true, false, 0],
      ["lwp_create", 2, "IDL", false, false, 0],
      ["lwp_start", 2, "ONPROC", true, false, 0],
      "code of 2",
      // Before any teardown, also when it is the process that exits.
      ["lwp_exit", 2, "ONPROC", true, false, 0],
      "end of 1",
      ["lwp_exit", 1, "ONPROC", true, false, 1],
    ]);
  });

  test("LWP-114: an LWP that ends its process directly fires no lwp_exit", () => {
    const m = new TestMachine();
    const seen: number[] = [];
    onProbe(m, ["lwp_exit"], ({ lid }) => seen.push(lid));
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.procExit(0);
    });
    m.run();
    assert.deepEqual(seen, [2]);
  });

  test("LWP-114: they write nothing while nobody listens", () => {
    const m = new TestMachine();
    const life = () =>
      m.spawn(function* () {
        yield* S.lwpCreate(function* () {});
        yield* S.lwpWait(0);
      });
    life();
    m.run();
    assert.equal(m.cpu(0).traceHead, 0);
    K.probeEnable(m.k, ["lwp_start"], true);
    life();
    m.run();
    assert.equal(m.cpu(0).traceHead, 2);
    K.probeEnable(m.k, ["lwp_start"], false);
    life();
    m.run();
    assert.equal(m.cpu(0).traceHead, 2);
  });
});

describe("revisions 1.172 and 1.174", () => {
  /** An LWP that coordinates the exit of its process, with another one suspended; what its wait returned. */
  function coordinate(flags: number) {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      yield* S.lwpCreate(parked);
      yield* S.lwpSelf();
      const { proc } = K.cur.lwp;
      K.spinEnter(m.k, proc.lock);
      seen.push(yield* K.lwpWait1(0, null, K.LWPWAIT_EXITCONTROL | flags));
      K.spinExit(m.k, proc.lock);
      yield* parked();
    });
    m.run();
    return { m, p, seen };
  }

  test("LWP-117: the exit coordinator's wait goes on after a wakeup, as in 1.172; asked to, it says EAGAIN once, as in 1.174", () => {
    for (const once of [false, true]) {
      const { m, p, seen } = coordinate(once ? K.LWPWAIT_ONCE : 0);
      assert.deepEqual([seen, p.nlwpwait], [[], 1]);
      m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
      m.run();
      assert.deepEqual([seen, p.nlwpwait], once ? [[K.EAGAIN], 0] : [[], 1]);
    }
  });

  test("LWP-117: so the coordinator looks at everybody again: one born suspended of a sibling that exits is told, too", () => {
    const m = new TestMachine();
    let born = 0;
    m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* S.lwpSelf();
        // It is told to exit while it creates.
        born = yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
        yield* parked();
      });
      yield* S.schedYield();
      yield* S.procExit(2);
    });
    m.run();
    assert.ok(born > 0);
    assert.deepEqual(
      m.sim.collected.map(({ status }) => status),
      [2 << 8],
    );
  });

  test("LWP-118: beyond 2^31 - 1 lids go on negative, and the process's list stays newest first (1.172; 1.174 looks for free ones)", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      K.cur.lwp.proc.nlwpid = 0x7ffffffe;
      for (let i = 0; i < 3; i++) yield* S.lwpCreate(parked);
      yield* parked();
    });
    m.run();
    assert.deepEqual(
      K.procLwps(p).map(({ lid }) => lid),
      [-0x7fffffff, -0x80000000, 0x7fffffff, 2, 1],
    );
  });
});

describe("hazards", () => {
  test("LWP-120: preempted without a switch an LWP has more involuntary switches than switches; its deficit stays in the process's total", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const lid = yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        for (let i = 0; i < 5; i++) assert.equal(K.preempt(l), false);
        assert.deepEqual([l.nivcsw, l.ncsw], [5, 0]);
        yield* S.lwpExit();
      });
      yield* S.lwpWait(lid);
      yield* parked();
    });
    m.run();
    assert.deepEqual([p.nivcsw, p.nvcsw], [5, -5]);
  });

  test("LWP-122: between its creation and its start an LWP has a lid by which it cannot be found; when the call returns it can", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const lid = yield* S.lwpCreate(parked);
      seen.push(["returned", K.lidLookup(p, lid) !== null]);
      K.spinEnter(m.k, p.lock);
      seen.push(K.lwpFind(p, lid) !== null);
      K.spinExit(m.k, p.lock);
      yield* parked();
    });
    atDelayPoint(m, "create.idle", () => {
      const lid = p.nlwpid;
      if (lid === 1) return;
      m.locked(p, () => {
        seen.push([lid, stateOf(m.lwp(p, lid)), K.lwpFind(p, lid)]);
      });
    });
    m.run();
    assert.deepEqual(seen, [[2, "IDL", null], ["returned", true], true]);
  });
});
