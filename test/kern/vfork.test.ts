/** vfork, and what becomes of the children of a process that ends: PRC-14. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { parked, stateOf, TestMachine } from "../support/sim.js";
import { onProbe } from "../support/spy.js";

const procOf = (m: TestMachine, pid: number): K.Proc => {
  const p = K.allProcs(m.k).find((other) => other.pid === pid);
  assert.ok(p !== undefined, `no process ${pid}`);
  return p;
};

/** A process whose main thread vforks a child that runs `child`; its id stands in `pid` when the call is over. */
function scene(child: () => K.Body, limits: Partial<K.Limits> = {}) {
  const m = new TestMachine({ limits });
  const said = { pid: -1, siblingSteps: 0 };
  const p = m.spawn(function* () {
    yield* S.lwpCreate(function* () {
      for (;;) {
        said.siblingSteps++;
        yield* S.lwpPark();
      }
    });
    const { lwp } = K.cur;
    said.pid = yield* K.vfork1(lwp, { comm: "child" }, { kind: K.CTX_CLOSURE, closure: child });
    yield* S.lwpSelf();
    yield* parked();
  });
  return { m, p, said };
}

const proceed = (m: TestMachine, p: K.Proc): number => m.asCpu(() => K.unpark(p, 1, 0));

describe("vfork", () => {
  test("PRC-14: the forking LWP alone sleeps, uninterruptibly, until the child exits; its siblings run on", () => {
    const { m, p, said } = scene(parked);
    m.run();
    const child = procOf(m, p.pid + 1);
    const main = m.lwp(p, 1);
    assert.deepEqual([child.lflag & K.PL_PPWAIT, child.vforklwp, child.parent], [K.PL_PPWAIT, main, p]);
    assert.deepEqual([stateOf(main), main.wmesg, main.flag & K.LW_SINTR], ["SLEEP", "vfork", 0]);
    const { siblingSteps } = said;
    m.asCpu(() => K.unpark(p, 2, 0));
    m.run();
    assert.equal(said.siblingSteps, siblingSteps + 1);
    assert.deepEqual([said.pid, stateOf(main)], [-1, "SLEEP"]);
    proceed(m, child);
    m.run();
    assert.deepEqual([said.pid, stateOf(main), main.wmesg], [child.pid, "SLEEP", "parked"]);
    assert.deepEqual([m.sim.collected.map(({ pid }) => pid), p.nchildren], [[p.pid + 1], 0]);
  });

  test("PRC-14: the child starts with the boost, with its parent's class, and in a process of its own", () => {
    const seen: unknown[] = [];
    const { m, p } = scene(parked);
    onProbe(m, ["lwp_start"], ({ pid, lid }) => {
      const l = m.lwp(procOf(m, pid), lid);
      if (pid === p.pid + 1) seen.push([lid, l.kpriority, l.class, l.proc.nlwps]);
    });
    m.run();
    assert.deepEqual(seen, [[1, 1, K.SCHED_OTHER, 1]]);
  });

  test("PRC-14: a child that runs a program of its own lets the parent go, and lives on", () => {
    const { m, p, said } = scene(function* () {
      K.vforkDone(K.cur.lwp);
      yield* S.lwpSelf();
      yield* parked();
    });
    m.run();
    const child = procOf(m, said.pid);
    assert.deepEqual([child.lflag, child.vforklwp, child.parent, p.nchildren], [0, null, p, 1]);
    assert.equal(m.lwp(p, 1).vforkwait, 0);
  });

  test("PRC-14: the exit of the parent process waits for the child, too", () => {
    const { m, p } = scene(parked);
    m.run();
    const child = procOf(m, p.pid + 1);
    m.asCpu(() => K.procKill(m.k, p.pid, K.SIGKILL));
    m.run();
    assert.deepEqual([m.sim.collected.length, stateOf(m.lwp(p, 1))], [0, "SLEEP"]);
    proceed(m, child);
    m.run();
    assert.deepEqual(
      m.sim.collected.map(({ pid, status }) => [pid, status]),
      [
        [child.pid, 0],
        [p.pid, K.SIGKILL],
      ],
    );
    assert.deepEqual(
      m.asCpu(() => K.checkEmpty(m.k)),
      [],
    );
  });

  test("PRC-14: the child adopted by another parent still lets the one go that forked it (the original does not)", () => {
    const { m, p, said } = scene(parked);
    m.run();
    const child = procOf(m, p.pid + 1);
    m.asCpu(() => {
      K.spinEnter(m.k, m.k.g.procLock);
      K.procReparent(child, m.k.procs.view(1));
      K.spinExit(m.k, m.k.g.procLock);
    });
    proceed(m, child);
    m.run();
    assert.equal(said.pid, child.pid);
  });

  test("PRC-14: collected before the parent looks, the child has let it go all the same (the original reads freed memory)", () => {
    const { m, p, said } = scene(parked);
    m.run();
    const child = procOf(m, p.pid + 1);
    proceed(m, child);
    m.until(() => m.sim.collected.length === 1);
    assert.deepEqual([said.pid, child.gen & 1], [-1, 0]);
    m.run();
    assert.equal(said.pid, p.pid + 1);
  });

  test("LWP-110, LWP-108: a vforked child runs on its parent's words until it lets go, and an LWP of it that is freed before leaves them alone", () => {
    for (const how of ["exits", "runs a program of its own", "leaves its first LWP behind"]) {
      const m = new TestMachine();
      const seen: Record<string, unknown> = {};
      let ctl: S.LwpCtl | undefined;
      const p = m.spawn(function* () {
        ctl = yield* S.lwpCtl();
        const before = ctl.pctr;
        const { lwp } = K.cur;
        const child = function* (): Generator<K.Token, void, undefined> {
          const l = K.cur.lwp;
          yield* S.schedYield();
          seen.borrowed = [l.lwpctl === lwp.lwpctl, l.lcpage, ctl?.curcpu, (ctl?.pctr ?? 0) > before];
          if (how === "exits") return;
          if (how === "runs a program of its own") {
            K.vforkDone(l);
            seen.nulled = l.lwpctl;
            // Its words are its own from here on.
            seen.own = (yield* S.lwpCtl()).address !== ctl?.address;
            yield* parked();
            return;
          }
          yield* S.lwpCreate(function* () {
            yield* S.lwpWait(1);
            seen.freed = ctl?.curcpu;
          });
        };
        yield* K.vfork1(lwp, { comm: "child" }, { kind: K.CTX_CLOSURE, closure: child });
        yield* S.lwpSelf();
        seen.parent = [ctl.curcpu, K.cur.lwp.lcpage !== 0];
        yield* parked();
      });
      m.run();
      assert.deepEqual(seen.borrowed, [true, 0, 0, true], how);
      if (how === "runs a program of its own") assert.deepEqual([seen.nulled, seen.own], [0, true]);
      if (how === "leaves its first LWP behind") assert.equal(seen.freed, K.LWPCTL_CPU_EXITED);
      assert.deepEqual(seen.parent, [0, true], how);
      assert.equal(m.k.lcpages.view(m.lwp(p, 1).lcpage).nfree, 511, `${how}: the slot is still the parent's`);
    }
  });

  test("where a table is full nothing is made, and nobody waits", () => {
    for (const limits of [{ procs: 2 }, { lwps: 5 }]) {
      const { m, p, said } = scene(parked, limits);
      m.run();
      assert.deepEqual([said.pid, p.nchildren, m.lwp(p, 1).vforkwait], [0, 0, 0]);
      m.sim.check();
    }
  });
});

describe("children", () => {
  /** A parent with a child that lives on, and is stopped if so. */
  function family(stopped: boolean, waited = 0) {
    const { m, p, said } = scene(function* () {
      K.vforkDone(K.cur.lwp);
      yield* S.lwpSelf();
      yield* parked();
    });
    m.run();
    const child = procOf(m, said.pid);
    if (stopped) {
      m.asCpu(() => {
        K.spinEnter(m.k, m.k.g.procLock);
        m.locked(child, () => K.procStop(child, 17));
        K.spinExit(m.k, m.k.g.procLock);
      });
      child.waited = waited;
      p.nstopchild -= waited;
    }
    return { m, p, child, p0: m.k.procs.view(1) };
  }

  for (const [stopped, waited, moves] of [
    [false, 0, 0],
    [true, 0, 1],
    [true, 1, 0],
  ] as const) {
    const what = stopped ? `stopped, ${waited === 0 ? "not yet" : "already"} waited for` : "running";
    test(`a child that is ${what} goes to process 0 with its parent's end, and ${moves} of p_nstopchild with it`, () => {
      const { m, p, child, p0 } = family(stopped, waited);
      assert.equal(p.nstopchild, moves);
      const children = p0.nchildren;
      m.asCpu(() => K.procKill(m.k, p.pid, K.SIGKILL));
      m.run();
      assert.deepEqual(
        m.sim.collected.map(({ pid }) => pid),
        [p.pid],
      );
      assert.deepEqual([child.parent, p0.nstopchild, p0.nchildren], [p0, moves, children]);
      m.sim.check();
    });
  }
});
