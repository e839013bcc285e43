// Process ids, and LWPs that have one: LWP-36, PRC-1, PRC-34.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, parked, TestMachine, withLock } from "../support/sim.js";

const start: K.Start = { kind: K.CTX_CLOSURE, closure: parked };

/** An LWP of the caller's process with a process id of its own; null if there is none left. */
function create(flags = 0, how = start): K.Lwp | null {
  const l = K.cur.lwp;
  const made = K.lwpCreate(l, l.proc, K.LWP_PIDLID | flags, how, l.class);
  if (made !== null) K.lwpStart(l, made, 0);
  return made;
}

function mustCreate(flags = 0, how = start): K.Lwp {
  const l = create(flags, how);
  assert.ok(l !== null);
  return l;
}

/** Who a lookup finds. */
function found(m: TestMachine, pid: number): K.Proc | null {
  return m.asCpu(() => withLock(m.k, m.k.g.procLock, () => K.procFind(m.k, pid)));
}

function raw(m: TestMachine, pid: number): K.Proc | null {
  return m.asCpu(() => withLock(m.k, m.k.g.procLock, () => K.procFindRaw(m.k, pid)));
}

describe("ids of processes", () => {
  test("PRC-1: the states of a process, and their numbers", () => {
    const { SIDL, SACTIVE, SDYING, SSTOP, SZOMB, SDEAD } = K;
    assert.deepEqual([SIDL, SACTIVE, SDYING, SSTOP, SZOMB, SDEAD], [1, 2, 3, 4, 5, 6]);
  });

  test("PRC-1: looking up an id finds a process that is SACTIVE or SSTOP, and in no other state", () => {
    const m = new TestMachine({ checked: false });
    const p = m.spawn(parked);
    const states = [K.SIDL, K.SACTIVE, K.SDYING, K.SSTOP, K.SZOMB, K.SDEAD];
    const live = states.filter((stat) => {
      p.stat = stat;
      assert.equal(raw(m, p.pid), p);
      return found(m, p.pid) !== null;
    });
    assert.deepEqual(live, [K.SACTIVE, K.SSTOP]);
  });

  test("PRC-1: a created process is SACTIVE, a dead one SZOMB until it is collected, and then its id is nobody's", () => {
    const m = new TestMachine();
    let atProbe = 0;
    const p = m.spawn(function* () {
      atProbe = K.cur.lwp.proc.stat;
      yield* S.lwpSelf();
    });
    m.k.port.procExited = (dead) => assert.equal(dead.stat, K.SZOMB);
    const { pid } = p;
    m.run();
    assert.equal(atProbe, K.SACTIVE);
    assert.deepEqual([raw(m, pid), p.gen & 1], [null, 0]);
  });

  test("ids begin at 1, and one that is free again comes back last, greater by the size of the table", () => {
    const m = new TestMachine({ limits: { procs: 3 } });
    const pids: number[] = [];
    for (let i = 0; i < 9; i++) {
      const p = m.spawn(function* () {
        yield* S.lwpSelf();
      });
      pids.push(p.pid);
      m.run();
      assert.equal(raw(m, p.pid), null);
    }
    // Four slots, of which process 0 has the first.
    assert.deepEqual(pids, [1, 2, 3, 5, 6, 7, 9, 10, 11]);
  });

  test("after the greatest id a slot begins anew", () => {
    const m = new TestMachine({ limits: { procs: 3 } });
    m.k.w[m.k.pidtab + 2] = 0x7ffffffd;
    const pid = () => {
      const p = m.spawn(parked);
      const { pid: of } = p;
      m.setFlags(m.lwp(p, 1), K.LW_WEXIT | K.LW_CANCELLED);
      m.run();
      return of;
    };
    assert.deepEqual([pid(), pid(), pid(), pid()], [0x7ffffffd, 2, 3, 1]);
  });

  test("an id that is not in use cannot be given back, and none taken that was not reserved", () => {
    const free = (m: TestMachine, pid: number) => () =>
      m.asCpu(() => withLock(m.k, m.k.g.procLock, () => K.procFreePid(m.k, pid)));
    assertPanics(free(new TestMachine(), 7), /procFreePid: an id that is not in use/);
    assertPanics(free(new TestMachine(), 0), /procFreePid: an id that is not in use/);
    const m = new TestMachine();
    assertPanics(() => m.asCpu(() => K.procAllocPid(m.k.procs.view(1))), /procAllocPid: not locked/);
  });
});

describe("LWPs with a process id", () => {
  test("LWP-36: the lid comes from the table of process ids, and the process's own count stays", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const own = mustCreate();
      assert.deepEqual([own.lid, own.pflag & K.LP_PIDLID], [p.pid + 1, K.LP_PIDLID]);
      assert.equal(p.nlwpid, 1);
      const plain = K.lwpCreate(K.cur.lwp, p, 0, start, 0) as K.Lwp;
      K.lwpStart(K.cur.lwp, plain, 0);
      assert.deepEqual([plain.lid, plain.pflag & K.LP_PIDLID], [2, 0]);
      yield* parked();
    });
    m.run();
    assert.equal(found(m, p.pid + 1), p, "looking it up finds the process");
    const other = m.spawn(parked);
    assert.equal(other.pid, p.pid + 2);
    assert.equal(m.locked(p, () => K.lwpFind(p, p.pid + 1))?.lid, p.pid + 1);
    m.run();
  });

  test("LWP-36: at its exit the id goes back, under proc_lock", () => {
    const m = new TestMachine();
    let lid = 0;
    const p = m.spawn(function* () {
      lid = mustCreate(K.LWP_DETACHED, { kind: K.CTX_CLOSURE, closure: function* () {} }).lid;
      assert.equal(m.k.g.npids, 3);
      yield* S.schedYield();
      yield* parked();
    });
    m.run();
    assert.deepEqual([found(m, lid), m.k.g.npids], [null, 2]);
    assert.equal(m.lwp(p, lid).stat, K.LSZOMB, "though the zombie is still there");
  });

  test("LWP-36: one thrown away before it has started gives its id back, too", () => {
    const m = new TestMachine();
    m.spawn(function* () {
      const made = K.lwpCreate(K.cur.lwp, K.cur.lwp.proc, K.LWP_PIDLID, start, 0) as K.Lwp;
      assert.equal(m.k.g.npids, 3);
      assert.equal(K.lwpExitBegin(made), K.EXIT_READY);
      K.lwpExitFinish(made);
      assert.equal(m.k.g.npids, 2);
      yield* parked();
    });
    m.run();
  });

  test("LWP-36: the first LWP of a process has the process's id, which its exit does not give back", () => {
    const m = new TestMachine();
    const lwp0 = m.k.lwps.view(1);
    const p = m.asCpu(() => K.procCreate(m.k, lwp0.proc, { comm: "linux" }) as K.Proc);
    m.asCpu(() => {
      const body = function* (): Generator<K.Token, void, undefined> {
        const second = K.lwpCreate(K.cur.lwp, p, 0, start, 0) as K.Lwp;
        K.lwpStart(K.cur.lwp, second, 0);
        yield* S.lwpExit();
      };
      const first: K.Start = { kind: K.CTX_CLOSURE, closure: body };
      const l = K.lwpCreate(lwp0, p, K.LWP_PIDLID, first, 0) as K.Lwp;
      assert.deepEqual([l.lid, p.nlwpid, m.k.g.npids], [p.pid, 0, 2]);
      K.lwpStart(lwp0, l, 0);
    });
    m.run();
    assert.deepEqual([found(m, p.pid), m.k.g.npids], [p, 2]);
  });

  test("LWP-36: it counts as a process: where there is room for none more, creation is EAGAIN and leaves nothing behind", () => {
    const m = new TestMachine({ limits: { procs: 4 } });
    m.spawn(
      function* () {
        const { proc } = K.cur.lwp;
        assert.ok(create() !== null && create() !== null);
        const before = [
          m.k.g.npids,
          m.k.lwps.inUse,
          m.k.turnstiles.inUse,
          proc.nlwps,
          K.chglwpcnt(m.k, 5, 0),
        ];
        assert.equal(create(), null);
        const after = [m.k.g.npids, m.k.lwps.inUse, m.k.turnstiles.inUse, proc.nlwps, K.chglwpcnt(m.k, 5, 0)];
        assert.deepEqual([before[0], after], [4, before]);
        yield* parked();
      },
      { uid: 5 },
    );
    m.run();
    assert.equal(m.sim.spawn({ comm: "no id" }, start), null);
  });

  test("LWP-36: without room for the LWP itself its id is not kept", () => {
    const m = new TestMachine({ limits: { lwps: 5 } });
    m.spawn(function* () {
      assert.ok(create() !== null);
      assert.deepEqual([create(), m.k.g.npids], [null, 3]);
      yield* parked();
    });
    m.run();
  });

  test("PRC-34: an id is given back also if its LWP is the one that ends the process (the original loses it)", () => {
    const m = new TestMachine();
    m.spawn(function* () {
      const closure = function* (): Generator<K.Token, void, undefined> {
        yield* S.procExit(3);
      };
      mustCreate(0, { kind: K.CTX_CLOSURE, closure });
      yield* parked();
    });
    m.run();
    assert.equal(m.sim.collected[0].status, 3 << 8);
    assert.deepEqual(
      m.asCpu(() => K.checkEmpty(m.k)),
      [],
    );
  });
});
