/** The death of an LWP (LWP-51..57). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine, withLock } from "../support/sim.js";
import { atDelayPoint, onProbe, onState } from "../support/spy.js";

function* nothing(): Generator<K.Token, void, undefined> {}

/** Parks for ever, whatever wakes it. */
function* parkForever(): Generator<K.Token, never, undefined> {
  for (;;) {
    try {
      yield* S.lwpPark();
    } catch (error) {
      if (!(error instanceof S.LwpError)) throw error;
    }
  }
}

/** An LWP of the caller's process, LSIDL. */
function create(flags = 0, closure: () => K.Body = nothing): K.Lwp {
  const l = K.cur.lwp;
  const l2 = K.lwpCreate(l, l.proc, flags, { kind: K.CTX_CLOSURE, closure }, l.class);
  assert.ok(l2 !== null);
  return l2;
}

/** A process of main, which parks, and of LWP 2, which runs `body`. */
function withChild(m: TestMachine, body: () => K.Body, flags = 0): K.Proc {
  const p = m.spawn(function* () {
    yield* S.lwpCreate(body, flags);
    yield* parkForever();
  });
  m.run();
  return p;
}

// --- LWP-51 -------------------------------------------------------------------------------------------

test("LWP-51: lwp_exit is for the caller; one's own never-started LWP can be thrown away, and control comes back", () => {
  const m = new TestMachine();
  const probes: unknown[] = [];
  onProbe(m, ["lwp_exit"], (r) => probes.push([r.pid, r.lid, K.cur.lwp.lid]));
  let back = false;
  const p = m.spawn(function* () {
    const l2 = create();
    assert.equal(K.lwpExitBegin(l2), K.EXIT_READY);
    K.lwpExitFinish(l2);
    back = true;
    assert.equal(stateOf(l2), "ZOMB");
    assert.equal(yield* S.lwpWait(2), 2);
    yield* S.lwpCreate(nothing);
    yield* parkForever();
  });
  m.run();
  assert.equal(back, true);
  assert.equal(stateOf(m.lwp(p, 3)), "ZOMB");
  assert.deepEqual(probes, [
    [p.pid, 2, 1],
    [p.pid, 3, 3],
  ]);
});

test("LWP-51: the probe lwp_exit fires before any teardown, also when the exit turns into the process's", () => {
  const m = new TestMachine();
  const seen: unknown[] = [];
  onProbe(m, ["lwp_exit"], (r) => {
    const { proc, lwpctl, refcnt, stat } = K.cur.lwp;
    seen.push([
      r.lid,
      proc.nlwps,
      proc.nzlwps,
      proc.fdrefs,
      K.allLwps(m.k).includes(K.cur.lwp),
      lwpctl,
      refcnt,
      stat,
    ]);
  });
  m.runToEnd(function* () {
    yield* S.lwpWait(yield* S.lwpCreate(nothing));
  });
  assert.deepEqual(seen, [
    [2, 2, 0, 2, true, 0, 1, K.LSONPROC],
    [1, 1, 0, 1, true, 0, 1, K.LSONPROC],
  ]);
});

/** Breaches of LWP-51's and LWP-52's preconditions, in a thread of a process of three. */
const BREACHES: Readonly<Record<string, readonly [(m: TestMachine, other: K.Proc) => void, RegExp]>> = {
  "LWP-51: another LWP that has been started": [
    (m) => K.lwpExitBegin(m.lwp(K.cur.lwp.proc, 2)),
    /neither the caller nor unborn/,
  ],
  "LWP-51: an unborn LWP with a pending migration": [
    (m) => {
      const l2 = create();
      l2.targetCpu = m.cpu(0);
      K.lwpExitBegin(l2);
    },
    /neither the caller nor unborn, or about to migrate/,
  ],
  "LWP-51: an unborn LWP of another process": [
    (m, other) => {
      const l2 = m.lwp(other, 1);
      l2.stat = K.LSIDL;
      K.lwpExitBegin(l2);
    },
    /an LWP of another process/,
  ],
  "LWP-52: the last live LWP, which is not the caller": [
    () => {
      const l2 = create();
      const p = K.cur.lwp.proc;
      p.nzlwps = p.nlwps - 1;
      K.lwpExitBegin(l2);
    },
    /the last LWP is not the caller, or the system's/,
  ],
};

for (const [name, [breach, message]] of Object.entries(BREACHES)) {
  test(`${name}: lwp_exit of it is a kernel assertion`, () => {
    const m = new TestMachine({ checked: false });
    const other = m.spawn(parkForever);
    m.spawn(function* () {
      yield* S.lwpCreate(parkForever);
      breach(m, other);
    });
    assertPanics(() => m.sim.run(), message);
    assert.notEqual(m.k.g.dead, 0);
  });
}

test("LWP-52: the last LWP of process 0 cannot exit", () => {
  const m = new TestMachine({ checked: false });
  const p0 = m.k.procs.view(1);
  p0.nzlwps = p0.nlwps - 1;
  m.asCpu(() => {
    assertPanics(() => K.lwpExitBegin(K.cur.lwp), /the last LWP is not the caller, or the system's/);
  });
});

// --- LWP-52 -------------------------------------------------------------------------------------------

test("LWP-52, LWP-141: the exit of the last live LWP is the exit of its process, status 0, though zombies are left", () => {
  const m = new TestMachine();
  const hooks: unknown[] = [];
  m.k.slots.lwpExit = (l) => hooks.push([l.lid, l.proc.nlwps, l.proc.nzlwps]);
  const status = m.runToEnd(function* () {
    yield* S.lwpCreate(nothing);
    yield* S.schedYield();
    const p = K.cur.lwp.proc;
    // The joinable zombie is still there: live = 2 - 1.
    assert.deepEqual([p.nlwps, p.nzlwps], [2, 1]);
  });
  assert.equal(status, 0);
  // The second exit has collected the zombie, and is the process's: nothing is counted before LSZOMB.
  assert.deepEqual(hooks, [
    [2, 2, 1],
    [1, 1, 0],
  ]);
  assert.deepEqual([m.k.lwps.inUse, m.k.procs.inUse], [3, 1]);
});

test("LWP-52: main may exit before the others; the process ends with its last LWP", () => {
  const m = new TestMachine();
  const order: number[] = [];
  onState(m, (l, _from, to) => {
    if (to === K.LSZOMB) order.push(l.lid);
  });
  const status = m.runToEnd(function* () {
    yield* S.lwpCreate(function* () {
      for (let i = 0; i < 5; i++) yield* S.schedYield();
    }, S.LWP_DETACHED);
  });
  assert.deepEqual([status, order], [0, [1, 2]]);
});

// --- LWP-53 -------------------------------------------------------------------------------------------

test("LWP-53: the emulation's hook comes first; then the references on descriptors and credentials go, the uid stays, the timeout callout is destroyed", () => {
  const m = new TestMachine();
  const hook: unknown[] = [];
  const p = m.spawn(
    function* () {
      yield* S.lwpCreate(function* () {
        assert.deepEqual([K.cur.lwp.fd, p.fdrefs, p.credrefs], [1, 2, 2]);
        yield* S.lwpSelf();
      });
      yield* parkForever();
    },
    { uid: 5 },
  );
  m.k.slots.lwpExit = (l) => {
    hook.push([l.lid, p.nzlwps, l.fd, p.fdrefs, p.credrefs, m.k.w[l.timeoutCh + K.CO_FUNC] !== 0]);
    assert.ok(!K.spinOwned(m.k, p.lock));
  };
  m.run();
  const dead = m.lwp(p, 2);
  assert.deepEqual(hook, [[2, 1, 1, 2, 2, true]]);
  assert.deepEqual([dead.fd, p.fdrefs, p.credrefs], [0, 1, 1]);
  assert.equal(dead.uid, 5, "lwp_free will ask for it");
  assert.equal(m.k.w[dead.timeoutCh + K.CO_FUNC], 0);
});

test("LWP-53: specificdata goes after the hook, while the LWP may still sleep and be told so: on alllwp, with its credentials and its callout", () => {
  const m = new TestMachine();
  const log: unknown[] = [];
  m.k.slots.lwpExit = (l) => log.push(["hook", l.lid]);
  m.k.slots.destructors[10] = function* (k, value) {
    const l = K.cur.lwp;
    const callout = () => k.w[l.timeoutCh + K.CO_FUNC] !== 0;
    const before = k.g.ticks;
    yield* K.kpause(k, "dtor", 2);
    assert.ok(k.g.ticks > before, "it has slept");
    log.push(["destroyed", value, l.lid, l.proc.nzlwps, l.fd, l.cred !== null, callout()]);
    log.push([K.allLwps(k).includes(l), l.refcnt]);
  };
  const p = m.spawn(function* () {
    yield* K.lwpSpecificKeyCreate(m.k, 10);
    yield* S.lwpCreate(function* () {
      yield* K.lwpSetspecific(0, 5);
    });
    yield* parkForever();
  });
  m.run();
  assert.deepEqual(log, [
    ["hook", 2],
    ["destroyed", 5, 2, 1, 0, true, true],
    [true, 1],
  ]);
  const dead = m.lwp(p, 2);
  assert.deepEqual([stateOf(dead), dead.specdataref, dead.cred], ["ZOMB", 0, null]);
});

// --- LWP-54 -------------------------------------------------------------------------------------------

test("LWP-54: an LWP leaves alllwp before it drains its references, and stays on its process", () => {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    const l2 = create();
    withLock(m.k, K.cur.lwp.proc.lock, () => K.lwpAddref(l2));
    K.lwpStart(K.cur.lwp, l2, 0);
    yield* parkForever();
  });
  const before = m.k.g.nlwps;
  m.run();
  const l2 = m.lwp(p, 2);
  assert.deepEqual([stateOf(l2), l2.wchan], ["SLEEP", p.lwpcv]);
  assert.equal(K.allLwps(m.k).includes(l2), false);
  assert.equal(m.k.g.nlwps, before);
  assert.ok(K.procLwps(p).includes(l2));
});

test("LWP-54, LWP-136: of detached LWPs at most one dead one is uncollected: who exits frees the one before", () => {
  const m = new TestMachine();
  const log: unknown[] = [];
  onState(m, (l, _from, to) => {
    if (to === K.LSZOMB && l.proc.pid !== 0) log.push([l.lid, l.proc.zomblwp === l, l.proc.nlwps]);
  });
  const p = m.spawn(function* () {
    for (let i = 0; i < 3; i++) yield* S.lwpCreate(nothing, S.LWP_DETACHED);
    yield* parkForever();
  });
  m.run();
  // Each is the process's zombie by the time it is dead, and finds the previous one gone.
  assert.deepEqual(log, [
    [2, true, 4],
    [3, true, 3],
    [4, true, 2],
  ]);
  assert.deepEqual([p.zomblwp?.lid, p.nlwps, p.nzlwps, p.ndlwps], [4, 2, 1, 1]);
  assert.deepEqual(
    K.procLwps(p).map((l) => l.lid),
    [4, 1],
  );
});

test("LWP-54: a reference is waited for before the previous detached zombie is freed", () => {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    yield* S.lwpCreate(nothing, S.LWP_DETACHED);
    const l3 = create(K.LWP_DETACHED);
    withLock(m.k, K.cur.lwp.proc.lock, () => K.lwpAddref(l3));
    K.lwpStart(K.cur.lwp, l3, 0);
    yield* parkForever();
  });
  m.run();
  const l3 = m.lwp(p, 3);
  assert.deepEqual([stateOf(l3), p.zomblwp?.lid, p.nlwps], ["SLEEP", 2, 3]);
  m.asCpu(() => K.lwpDelref(l3));
  m.run();
  assert.deepEqual([stateOf(l3), p.zomblwp, p.nlwps, l3.refcnt], ["ZOMB", l3, 2, 0]);
});

test("LWP-54: a detached zombie that turns up while p_lock is dropped to free the one before is freed as well", () => {
  for (const referenced of [true, false]) {
    const m = new TestMachine();
    const freed: unknown[] = [];
    const p = m.spawn(function* () {
      const self = K.cur.lwp.proc;
      yield* S.lwpCreate(nothing);
      yield* S.lwpCreate(nothing, S.LWP_DETACHED);
      const l4 = create(K.LWP_DETACHED);
      if (referenced) withLock(m.k, self.lock, () => K.lwpAddref(l4));
      K.lwpStart(K.cur.lwp, l4, 0);
      yield* parkForever();
    });
    m.until(() => p.zomblwp !== null);
    const [l4, l3, l2] = K.procLwps(p);
    atDelayPoint(m, "free.unlinked", () => {
      freed.push([l4.refcnt, p.nlwps]);
      if (freed.length > 1) return;
      // Another LWP exits detached just now: 2, which was dead and joinable, stands in for it.
      withLock(m.k, p.lock, () => {
        l2.prflag |= K.LPR_DETACHED;
        p.ndlwps++;
        p.zomblwp = l2;
      });
    });
    assert.deepEqual([stateOf(l2), stateOf(l3), p.zomblwp], ["ZOMB", "ZOMB", l3]);
    m.run();
    if (referenced) {
      m.asCpu(() => K.lwpDelref(l4));
      m.run();
    }
    assert.deepEqual(freed, [
      [0, 3],
      [0, 2],
    ]);
    assert.deepEqual(
      [K.procLwps(p).map((l) => l.lid), p.zomblwp, stateOf(l4), l4.refcnt],
      [[4, 1], l4, "ZOMB", 0],
    );
  }
});

test("LWP-54: detached while it drains, an LWP is the process's zombie all the same", () => {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    const l2 = create();
    withLock(m.k, K.cur.lwp.proc.lock, () => K.lwpAddref(l2));
    K.lwpStart(K.cur.lwp, l2, 0);
    yield* S.schedYield();
    yield* S.lwpDetach(2);
    K.lwpDelref(l2);
    yield* parkForever();
  });
  m.run();
  const l2 = m.lwp(p, 2);
  assert.deepEqual([stateOf(l2), p.zomblwp, p.ndlwps], ["ZOMB", l2, 1]);
});

// --- LWP-55 -------------------------------------------------------------------------------------------

test("LWP-55: told to look for a signal of the process, an LWP that dies hands the task to all others, and wakes nobody", () => {
  const cases: readonly (readonly [flagged: boolean, processPending: boolean, ownPending: boolean])[] = [
    [true, true, false],
    [false, true, false],
    [true, false, false],
    [true, false, true],
  ];
  for (const [flagged, processPending, ownPending] of cases) {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const self = K.cur.lwp.proc;
      yield* S.lwpCreate(parkForever);
      yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        yield* S.schedYield();
        // On the way to its exit, behind the last look at its flags.
        if (processPending) m.k.w[self.sigpend] = 2;
        if (ownPending) m.k.w[l.sigpend] = 2;
        if (flagged) l.flag |= K.LW_PENDSIG;
      });
      yield* parkForever();
    });
    m.run();
    const handed = flagged && processPending;
    const what = JSON.stringify({ flagged, processPending, ownPending });
    for (const lid of [1, 2]) {
      const l = m.lwp(p, lid);
      assert.equal((l.flag & K.LW_PENDSIG) !== 0, handed, `${what}: LWP ${lid}`);
      assert.equal(stateOf(l), "SLEEP", what);
    }
    assert.equal(stateOf(m.lwp(p, 3)), "ZOMB");
  }
});

// --- LWP-56, 57 ---------------------------------------------------------------------------------------

test("LWP-56: a dead LWP's name is (zombie); one without a name stays so", () => {
  const m = new TestMachine();
  const p = withChild(m, function* () {
    yield* S.lwpSetname(0, "worker");
  });
  const [dead, main] = K.procLwps(p);
  assert.deepEqual([stateOf(dead), dead.named, dead.name], ["ZOMB", 1, "(zombie)"]);
  assert.deepEqual([main.named, main.name], [0, ""]);
  const m2 = new TestMachine();
  const unnamed = m2.lwp(withChild(m2, nothing), 2);
  assert.deepEqual([stateOf(unnamed), unnamed.named, unnamed.name], ["ZOMB", 0, ""]);
});

test("LWP-56: LSZOMB, then p_nrlwps, the broadcast and the lwpctl word, all under p_lock; then it may be freed at any moment", () => {
  const m = new TestMachine();
  const log: unknown[] = [];
  const words = 8;
  m.k.uw[words + K.LWPCTL_CURCPU] = 0;
  let dead: K.Lwp | null = null;
  const state = () => {
    const { proc } = dead as K.Lwp;
    return [
      stateOf(dead as K.Lwp),
      proc.nrlwps,
      K.spinOwned(m.k, proc.lock),
      m.k.uw[words + K.LWPCTL_CURCPU],
      K.sleepqList(m.k, proc.lwpcv).length,
    ];
  };
  onState(m, (l, _from, to) => {
    if (l === dead && to === K.LSZOMB) log.push(["zombie", ...state()]);
  });
  onProbe(m, ["wakeup"], (r) => {
    if (r.lid === 1 && dead !== null && dead.stat === K.LSZOMB)
      log.push(["broadcast", ...state().slice(0, 4)]);
  });
  atDelayPoint(m, "exit.zombie", () => log.push(["released", ...state()]));
  m.spawn(function* () {
    const lid = yield* S.lwpCreate(function* () {
      dead = K.cur.lwp;
      dead.lwpctl = words;
      yield* S.schedYield();
    });
    yield* S.lwpWait(lid);
    dead = null;
    yield* parkForever();
  });
  m.run();
  assert.deepEqual(log, [
    ["zombie", "ZOMB", 2, true, 0, 1],
    ["broadcast", "ZOMB", 1, true, 0],
    ["released", "ZOMB", 1, false, K.LWPCTL_CPU_EXITED, 0],
  ]);
});

test("LWP-56: a borrowed lwpctl word says that its borrower has exited, too", () => {
  const m = new TestMachine();
  const words = 8;
  const p = m.spawn(function* () {
    const l = K.cur.lwp;
    l.lwpctl = words;
    const l2 = create(K.LWP_VFORK);
    assert.equal(l2.lwpctl, words);
    l.lwpctl = 0;
    K.lwpStart(l, l2, 0);
    yield* parkForever();
  });
  m.run();
  assert.equal(stateOf(m.lwp(p, 2)), "ZOMB");
  assert.equal(m.k.uw[words + K.LWPCTL_CURCPU], -2);
});

test("LWP-57: the caller leaves its CPU for ever: no line of it runs again, nothing of it is left in its realm", () => {
  const m = new TestMachine();
  const ran: string[] = [];
  const p = withChild(m, function* () {
    ran.push("before");
    try {
      yield* S.lwpExit();
    } finally {
      ran.push("finally");
    }
  });
  const dead = m.lwp(p, 2);
  assert.deepEqual(ran, ["before"]);
  assert.deepEqual(
    [stateOf(dead), dead.pflag & K.LP_RUNNING, dead.cpu.curlwp === dead, dead.ctxswtch],
    ["ZOMB", 0, false, 0],
  );
  assert.deepEqual([dead.context, dead.closure, dead.stepped], [null, null, false]);
  assert.deepEqual(K.runqList(dead.cpu, K.lwpEprio(dead)), []);
});

test("LWP-57: the switch away goes straight to the next LWP of the CPU", () => {
  const m = new TestMachine();
  const order: unknown[] = [];
  onProbe(m, ["switch"], (r) => {
    if (r.pid !== 0) order.push([r.lid, K.STATE_NAMES[r.args[0]], r.args[1]]);
  });
  m.spawn(function* () {
    yield* S.lwpCreate(nothing);
    yield* S.lwpCreate(nothing);
  });
  m.run();
  // Main exits to 2, that to 3, and the last one to the idle thread, which is lid 2 of process 0.
  assert.deepEqual(order, [
    [1, "ZOMB", 2],
    [2, "ZOMB", 3],
    [3, "ZOMB", 2],
  ]);
});
