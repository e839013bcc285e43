/** The counters of a process (LWP-22..28), lids (LWP-31), references (LWP-29, 30). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine, withLock } from "../support/sim.js";
import { atDelayPoint, onProbe, onState } from "../support/spy.js";

/** The counters in the specification's notation. */
function counts(p: K.Proc): Record<string, number> {
  return { nl: p.nlwps, nz: p.nzlwps, nr: p.nrlwps, nd: p.ndlwps, nw: p.nlwpwait };
}

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

function* nothing(): Generator<K.Token, void, undefined> {}

/** Creates a kernel-level LWP of the caller's process, LSIDL. */
function create(flags = 0, closure: () => K.Body = nothing): K.Lwp {
  const l = K.cur.lwp;
  const l2 = K.lwpCreate(l, l.proc, flags, { kind: K.CTX_CLOSURE, closure }, l.class);
  assert.ok(l2 !== null);
  return l2;
}

/** A process whose main runs `body` with the process at hand, then parks. */
function inMain(m: TestMachine, body: (p: K.Proc, l: K.Lwp) => K.Body): K.Proc {
  const p = m.spawn(function* () {
    const l = K.cur.lwp;
    yield* { [Symbol.iterator]: () => body(l.proc, l) };
    yield* parkForever();
  });
  m.run();
  return p;
}

/** Runs the body with `proc_lock` and the process locked. */
function bothLocked(m: TestMachine, p: K.Proc, body: () => void): void {
  m.asCpu(() => {
    withLock(m.k, m.k.g.procLock, () => withLock(m.k, p.lock, body));
    K.flushKicks(m.k);
  });
}

/** A process whose main sleeps interruptibly, where it was stopped. */
function stoppedSleeper(m: TestMachine): K.Proc {
  const p = inMain(m, nothing);
  assert.equal(p.nrlwps, 1);
  bothLocked(m, p, () => K.procStop(p, K.SIGSTOP));
  assert.deepEqual([stateOf(m.lwp(p, 1)), p.nrlwps], ["STOP", 0]);
  p.xstat = 0;
  return p;
}

/** It sleeps on, as if it had not been stopped. */
function sleepsOn(m: TestMachine, p: K.Proc): K.Proc {
  assert.equal(stateOf(m.lwp(p, 1)), "SLEEP");
  return p;
}

// --- LWP-22..27 ---------------------------------------------------------------------------------------

test("LWP-22: p_nlwps grows at creation and shrinks when an LWP is freed; it counts zombies", () => {
  const m = new TestMachine();
  const log: number[] = [];
  const p = inMain(m, function* (proc) {
    log.push(proc.nlwps);
    const l2 = create();
    log.push(proc.nlwps);
    K.lwpStart(K.cur.lwp, l2, 0);
    yield* S.schedYield();
    log.push(proc.nlwps);
    assert.equal(stateOf(l2), "ZOMB");
    yield* S.lwpWait(l2.lid);
    log.push(proc.nlwps);
  });
  assert.deepEqual(log, [1, 2, 2, 1]);
  assert.equal(K.procLwps(p).length, 1);
});

test("LWP-22, LWP-23: the last LWP is never taken off p_nlwps nor p_nzlwps; the whole process goes", () => {
  const m = new TestMachine();
  const seen: unknown[] = [];
  atDelayPoint(m, "exit.away", (l) => seen.push(counts(l.proc)));
  const p = m.spawn(nothing);
  m.run();
  assert.equal(m.sim.collected.length, 1);
  assert.deepEqual(seen, [{ nl: 1, nz: 1, nr: 0, nd: 0, nw: 0 }]);
  // The record has been given back as it was.
  assert.deepEqual([p.nlwps, p.nzlwps, p.gen & 1], [1, 1, 0]);
});

test("LWP-23: p_nzlwps grows at the start of an exit, before LSZOMB, and shrinks when the LWP is freed", () => {
  const m = new TestMachine();
  const p = inMain(m, function* (proc) {
    const l2 = create();
    K.lwpStart(K.cur.lwp, l2, 0);
    withLock(m.k, proc.lock, () => K.lwpAddref(l2));
    yield* S.schedYield();
  });
  const l2 = m.lwp(p, 2);
  // It waits until nobody refers to it: dying, not dead.
  assert.deepEqual([stateOf(l2), counts(p)], ["SLEEP", { nl: 2, nz: 1, nr: 2, nd: 0, nw: 0 }]);
  m.asCpu(() => K.lwpDelref(l2));
  m.run();
  assert.deepEqual([stateOf(l2), counts(p)], ["ZOMB", { nl: 2, nz: 1, nr: 1, nd: 0, nw: 0 }]);
  m.locked(p, () => K.lwpFree(l2, false, false));
  assert.deepEqual(counts(p), { nl: 1, nz: 0, nr: 1, nd: 0, nw: 0 });
});

test("LWP-23: the last LWP is counted in p_nzlwps when its process becomes a zombie, not before", () => {
  const m = new TestMachine();
  const seen: unknown[] = [];
  onState(m, (l, _from, to) => {
    if (to === K.LSZOMB) seen.push(counts(l.proc));
  });
  m.runToEnd(nothing);
  assert.deepEqual(seen, [{ nl: 1, nz: 0, nr: 1, nd: 0, nw: 0 }]);
});

test("LWP-24: p_ndlwps counts detached LWPs: at creation, by detach, of a zombie too; freeing one takes it off; the process's exit clears it", () => {
  const m = new TestMachine();
  const freeing: unknown[] = [];
  const log: unknown[] = [];
  const p = m.spawn(function* () {
    const { proc } = K.cur.lwp;
    const note = (what: string) => log.push([what, proc.nlwps, proc.nzlwps, proc.ndlwps]);
    yield* S.lwpCreate(parkForever, S.LWP_DETACHED);
    note("created detached");
    const b = yield* S.lwpCreate(parkForever);
    note("created");
    yield* S.lwpDetach(b);
    note("detached");
    const c = yield* S.lwpCreate(nothing);
    yield* S.schedYield();
    note("zombie");
    yield* S.lwpDetach(c);
    note("zombie detached: freed at once");
    yield* S.lwpCreate(nothing, S.LWP_DETACHED);
    yield* S.schedYield();
    note("detached zombie");
    try {
      yield* S.lwpWait(0);
    } catch (error) {
      note((error as S.LwpError).code);
    }
    yield* S.procExit(0);
  });
  atDelayPoint(m, "free.unlinked", () => freeing.push(p.ndlwps));
  atDelayPoint(m, "exit.away", (l) => {
    if (l.lid === 1) log.push(["exited", p.nlwps, p.nzlwps, p.ndlwps]);
  });
  m.run();
  assert.deepEqual(log, [
    ["created detached", 2, 0, 1],
    ["created", 3, 0, 1],
    ["detached", 3, 0, 2],
    ["zombie", 4, 1, 2],
    ["zombie detached: freed at once", 3, 0, 2],
    ["detached zombie", 4, 1, 3],
    ["ESRCH", 3, 0, 2],
    ["exited", 1, 1, 0],
  ]);
  // Four of them were detached; the last to be freed is main, whose process has cleared the count.
  assert.deepEqual(freeing, [2, 2, 1, 0, 0]);
});

/** Each event that changes p_nrlwps: what it does to it. */
const NRLWPS: Readonly<Record<string, readonly [delta: number, (m: TestMachine) => K.Proc]>> = {
  "creation: +1, though the LWP is still LSIDL": [
    1,
    (m) =>
      inMain(m, function* () {
        assert.equal(stateOf(create()), "IDL");
      }),
  ],
  "creation and start: +1": [
    1,
    (m) =>
      inMain(m, function* () {
        yield* S.lwpCreate(parkForever);
      }),
  ],
  "creation suspended: +1, then -1": [
    0,
    (m) =>
      inMain(m, function* () {
        yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED);
      }),
  ],
  "creation stopped: +1, then -1": [
    0,
    (m) =>
      inMain(m, function* (p) {
        p.sflag |= K.PS_STOPPING;
        yield* S.lwpCreate(parkForever);
      }),
  ],
  "setrunnable from SUSPENDED: +1": [
    1,
    (m) =>
      inMain(m, function* () {
        yield* S.lwpContinue(yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED));
      }),
  ],
  "setrunnable from STOP: +1": [
    1,
    (m) =>
      inMain(m, function* (p) {
        p.sflag |= K.PS_STOPPING;
        const lid = yield* S.lwpCreate(parkForever);
        p.sflag &= ~K.PS_STOPPING;
        withLock(m.k, p.lock, () => {
          const l = m.lwp(p, lid);
          K.lwpLock(l);
          K.setrunnable(l);
        });
      }),
  ],
  "setrunnable of a sleeper: nothing": [
    1,
    (m) =>
      inMain(m, function* (p) {
        const lid = yield* S.lwpCreate(parkForever);
        yield* S.schedYield();
        withLock(m.k, p.lock, () => {
          const l = m.lwp(p, lid);
          assert.equal(stateOf(l), "SLEEP");
          K.lwpLock(l);
          K.setrunnable(l);
          assert.equal(stateOf(l), "RUN");
        });
      }),
  ],
  "suspension at user return: -1": [
    -1,
    (m) => {
      const p = m.spawn(function* () {
        m.setFlags(K.cur.lwp, K.LW_WSUSPEND);
        yield* S.lwpSelf();
      });
      m.run();
      return p;
    },
  ],
  "stop of an interruptible sleeper: -1": [-1, stoppedSleeper],
  "stop at user return: -1": [
    -1,
    (m) => {
      const p = m.spawn(function* () {
        for (;;) yield* S.schedYield();
      });
      m.until(() => (m.lwp(p, 1).pflag & K.LP_RUNNING) !== 0);
      bothLocked(m, p, () => K.procStop(p, K.SIGSTOP));
      assert.equal(p.nrlwps, 1);
      m.run();
      assert.equal(stateOf(m.lwp(p, 1)), "STOP");
      return p;
    },
  ],
  "lwp_unstop of one that sleeps on: -1, then +1": [
    0,
    (m) => {
      const p = stoppedSleeper(m);
      bothLocked(m, p, () => K.lwpUnstop(m.lwp(p, 1)));
      return sleepsOn(m, p);
    },
  ],
  "proc_unstop of one that sleeps on: -1, then +1": [
    0,
    (m) => {
      const p = stoppedSleeper(m);
      bothLocked(m, p, () => K.procUnstop(p));
      return sleepsOn(m, p);
    },
  ],
  "a continue signal to one that sleeps on: -1, then +1": [
    0,
    (m) => {
      const p = stoppedSleeper(m);
      bothLocked(m, p, () => K.kpsignal(p, K.siginfo(K.SIGCONT, K.SI_USER, 0, 0, 0)));
      return sleepsOn(m, p);
    },
  ],
  "exit, right after LSZOMB: -1": [
    0,
    (m) => {
      const seen: number[] = [];
      onState(m, (l, _from, to) => {
        if (to === K.LSZOMB) seen.push(l.proc.nrlwps);
      });
      const p = inMain(m, function* () {
        yield* S.lwpCreate(nothing);
      });
      assert.deepEqual(seen, [2]);
      return p;
    },
  ],
};

for (const [name, [delta, body]] of Object.entries(NRLWPS)) {
  test(`LWP-25: p_nrlwps, ${name}`, () => {
    const m = new TestMachine();
    const p = body(m);
    assert.equal(p.nrlwps - 1, delta);
    assert.deepEqual(K.checkInvariants(m.k), []);
  });
}

test("LWP-25: p_nrlwps, exit of the last LWP: -1 as the process becomes a zombie; process 0 starts with its own LWP", () => {
  const m = new TestMachine({ cpus: 3 });
  const seen: number[] = [];
  atDelayPoint(m, "exit.away", (l) => seen.push(l.proc.nrlwps));
  m.runToEnd(nothing);
  assert.deepEqual(seen, [0]);
  // lwp0, and an idle and a cross-call thread for each CPU.
  const p0 = m.k.procs.view(1);
  assert.deepEqual([p0.nlwps, p0.nrlwps], [7, 7]);
});

test("LWP-25: p_nrlwps counts IDL, RUN, ONPROC and SLEEP at every step of random runs", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
    const p = m.spawn(churn);
    while (m.sim.step()) {
      if ((p.gen & 1) === 0) break;
      const going = K.procLwps(p).filter((l) =>
        [K.LSIDL, K.LSRUN, K.LSONPROC, K.LSSLEEP].includes(l.stat as 1 | 2 | 3 | 7),
      );
      assert.equal(p.nrlwps, going.length, `seed ${seed}, step ${m.sim.steps}`);
    }
    assert.equal(m.sim.panic, null, `seed ${seed}`);
  }
});

test("LWP-26: p_nlwpwait counts those inside a wait, and every way out takes one off", () => {
  const m = new TestMachine();
  const inside: number[] = [];
  const log: unknown[] = [];
  const p = m.spawn(function* () {
    const { proc } = K.cur.lwp;
    const wait = function* (lid: number): Generator<K.Token, void, undefined> {
      let result: number | string;
      try {
        result = yield* S.lwpWait(lid);
      } catch (error) {
        result = (error as S.LwpError).code;
      }
      log.push([result, proc.nlwpwait]);
    };
    const a = yield* S.lwpCreate(nothing);
    yield* wait(a); // collected by id
    yield* S.lwpCreate(nothing);
    yield* wait(0); // collected, any
    yield* wait(99); // nobody
    yield* wait(1); // oneself
    yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED);
    yield* wait(0); // nobody who could exit
    yield* S.lwpCreate(function* () {
      for (let i = 0; i < 2; i++) yield* S.schedYield();
      yield* S.lwpWakeup(1);
      yield* parkForever();
    });
    yield* wait(0); // interrupted
    yield* S.procExit(0);
  });
  onState(m, (l, _from, to) => {
    if (l.proc === p && l.lid === 1 && to === K.LSSLEEP) inside.push(p.nlwpwait);
  });
  m.run();
  assert.deepEqual(log, [
    [2, 0],
    [3, 0],
    ["ESRCH", 0],
    ["EDEADLK", 0],
    ["EDEADLK", 0],
    ["EINTR", 0],
  ]);
  // Three of them slept; the exit of the process waits too.
  assert.deepEqual(inside.slice(0, 3), [1, 1, 1]);
});

test("LWP-27: p_nlwpid is the last lid handed out: 0 in a new process, 1 in process 0", () => {
  const m = new TestMachine({ cpus: 2 });
  const p0 = m.k.procs.view(1);
  // lwp0 is 1; the idle threads came after.
  assert.equal(m.k.lwps.view(1).lid, 1);
  assert.equal(p0.nlwpid, 5);
  const created = m.asCpu(() => K.procCreate(m.k, p0, { comm: "new" }) as K.Proc);
  assert.equal(created.nlwpid, 0);
  const p = inMain(m, function* (proc) {
    assert.equal(proc.nlwpid, 1);
    for (let i = 0; i < 3; i++) assert.equal(yield* S.lwpCreate(nothing), proc.nlwpid);
  });
  assert.deepEqual([p.nlwpid, m.lwp(p, 1).lid], [4, 1]);
});

// --- LWP-28 -------------------------------------------------------------------------------------------

/** LWPs that come and go in every way there is, then the end of the process. */
function* churn(): Generator<K.Token, void, undefined> {
  for (let round = 0; round < 3; round++) {
    const a = yield* S.lwpCreate(function* () {
      yield* S.schedYield();
    });
    yield* S.lwpCreate(function* () {
      yield* S.schedYield();
    }, S.LWP_DETACHED);
    const c = yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED);
    const d = yield* S.lwpCreate(nothing);
    yield* S.lwpContinue(c);
    yield* S.lwpDetach(d);
    yield* S.lwpWait(a);
  }
  yield* S.procExit(0);
}

test("LWP-28: the invariants of the counters hold after every step of random runs, and in every window of an exit", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const m = new TestMachine({ cpus: 3, strategy: K.seededStrategy(seed), checked: false });
    /** LWPs between the start of their exit and LSZOMB. */
    const exiting = new Set<string>();
    onProbe(m, ["lwp_exit", "state"], (r) => {
      if (r.probe === "lwp_exit") exiting.add(`${r.pid}.${r.lid}`);
      else if (r.args[1] === K.LSZOMB) exiting.delete(`${r.pid}.${r.lid}`);
    });
    m.spawn(churn);
    m.spawn(churn);
    while (m.sim.step()) {
      for (const p of K.allProcs(m.k)) {
        if (p.stat !== K.SACTIVE) continue;
        const what = `seed ${seed}, step ${m.sim.steps}, process ${p.pid}`;
        const lwps = K.procLwps(p);
        const zombies = lwps.filter((l) => l.stat === K.LSZOMB).length;
        const detached = lwps.filter((l) => (l.prflag & K.LPR_DETACHED) !== 0).length;
        const window = lwps.filter((l) => exiting.has(`${p.pid}.${l.lid}`)).length;
        assert.equal(p.nlwps, lwps.length, what);
        assert.ok(p.nzlwps >= zombies, what);
        assert.ok(p.nzlwps <= zombies + window, what);
        assert.equal(p.ndlwps, detached, what);
        assert.ok(p.nrlwps <= p.nlwps - p.nzlwps + window, what);
      }
    }
    assert.equal(m.sim.panic, null, `seed ${seed}`);
    assert.equal(m.sim.collected.length, 2, `seed ${seed}`);
  }
});

test("LWP-28: from the start of its exit until LSZOMB an LWP is counted as zombie and as running", () => {
  const m = new TestMachine();
  const window: unknown[] = [];
  m.k.slots.lwpExit = (l) => window.push([l.lid, counts(l.proc)]);
  const p = inMain(m, function* () {
    yield* S.lwpCreate(nothing);
  });
  assert.deepEqual(window, [[2, { nl: 2, nz: 1, nr: 2, nd: 0, nw: 0 }]]);
  assert.deepEqual(counts(p), { nl: 2, nz: 1, nr: 1, nd: 0, nw: 0 });
});

for (const field of ["nlwps", "nzlwps", "nrlwps", "ndlwps"] as const) {
  test(`LWP-28: the checker sees a ${field} that is wrong by one`, () => {
    const m = new TestMachine();
    const p = inMain(m, function* () {
      yield* S.lwpCreate(nothing);
      yield* S.lwpCreate(nothing, S.LWP_DETACHED);
    });
    assert.deepEqual(K.checkInvariants(m.k), []);
    for (const delta of [1, -1]) {
      p[field] += delta;
      const wrong = K.checkInvariants(m.k);
      p[field] -= delta;
      // A zombie too many may be one on its way.
      if (field !== "nzlwps" || delta < 0) assert.ok(wrong.length > 0, `${field} ${delta}`);
    }
  });
}

// --- LWP-29, 30 ---------------------------------------------------------------------------------------

test("LWP-29: an LWP starts with its own reference; others come and go under p_lock, and the last one to go wakes who drains", () => {
  const m = new TestMachine();
  const p = inMain(m, function* (proc) {
    const l2 = create();
    assert.equal(l2.refcnt, 1);
    withLock(m.k, proc.lock, () => {
      K.lwpAddref(l2);
      K.lwpAddref(l2);
      assert.equal(l2.refcnt, 3);
      K.lwpDelref2(l2);
      assert.equal(l2.refcnt, 2);
    });
    K.lwpStart(K.cur.lwp, l2, 0);
  });
  const l2 = m.lwp(p, 2);
  assert.deepEqual([stateOf(l2), l2.refcnt, l2.wchan], ["SLEEP", 1, p.lwpcv]);
  m.asCpu(() => {
    K.lwpDelref(l2);
    // lwp_delref takes p_lock itself, and has released it.
    assert.ok(!K.spinOwned(m.k, p.lock));
  });
  assert.deepEqual([stateOf(l2), l2.refcnt], ["RUN", 0]);
  m.run();
  assert.equal(stateOf(l2), "ZOMB");
});

/** Breaches of LWP-29's preconditions. */
const REFS: Readonly<Record<string, readonly [(m: TestMachine, l: K.Lwp) => void, RegExp]>> = {
  "lwp_addref without p_lock": [
    (m, l) => m.asCpu(() => K.lwpAddref(l)),
    /lwpAddref: the process is not locked/,
  ],
  "lwp_addref on a zombie": [
    (m, l) => {
      l.stat = K.LSZOMB;
      m.locked(l.proc, () => K.lwpAddref(l));
    },
    /lwpAddref: a dead or draining LWP/,
  ],
  "lwp_addref on a count of 0": [
    (m, l) => {
      l.refcnt = 0;
      m.locked(l.proc, () => K.lwpAddref(l));
    },
    /lwpAddref: a dead or draining LWP/,
  ],
  "lwp_delref2 without p_lock": [(m, l) => m.asCpu(() => K.lwpDelref2(l)), /lwpDelref2: the process is not/],
  "lwp_delref2 on a zombie": [
    (m, l) => {
      l.stat = K.LSZOMB;
      m.locked(l.proc, () => K.lwpDelref2(l));
    },
    /lwpDelref2: a dead LWP/,
  ],
  "lwp_delref on a count of 0": [
    (m, l) => {
      l.refcnt = 0;
      m.asCpu(() => K.lwpDelref(l));
    },
    /lwpDelref2: a dead LWP, or no reference/,
  ],
  "lwp_drainrefs without p_lock": [
    (m, l) => m.asCpu(() => K.lwpDrainrefs(l).next()),
    /lwpDrainrefs: not locked, or drained before/,
  ],
  "lwp_drainrefs on a count of 0": [
    (m, l) => {
      l.refcnt = 0;
      m.locked(l.proc, () => K.lwpDrainrefs(l).next());
    },
    /lwpDrainrefs: not locked, or drained before/,
  ],
};

for (const [name, [breach, message]] of Object.entries(REFS)) {
  test(`${name.includes("drainrefs") ? "LWP-30" : "LWP-29"}: ${name} is a kernel assertion`, () => {
    const m = new TestMachine();
    const p = m.spawn(parkForever);
    m.run();
    assertPanics(() => breach(m, m.lwp(p, 1)), message);
    assert.notEqual(m.k.g.dead, 0);
  });
}

test("LWP-30: draining is uninterruptible, shares p_lwpcv, and tests its count at every wakeup", () => {
  const m = new TestMachine();
  const wakeups: number[] = [];
  const p = inMain(m, function* (proc) {
    const l2 = create();
    withLock(m.k, proc.lock, () => {
      K.lwpAddref(l2);
      K.lwpAddref(l2);
    });
    K.lwpStart(K.cur.lwp, l2, 0);
  });
  const l2 = m.lwp(p, 2);
  onState(m, (l, _from, to) => {
    if (l === l2 && to === K.LSONPROC) wakeups.push(l2.refcnt);
  });
  // Its own reference is gone: two are left.
  assert.deepEqual([l2.refcnt, stateOf(l2), l2.wchan, l2.flag & K.LW_SINTR], [2, "SLEEP", p.lwpcv, 0]);
  // A broadcast about something else: it looks, and sleeps on.
  m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
  m.run();
  assert.deepEqual([wakeups, stateOf(l2)], [[2], "SLEEP"]);
  // Neither an exit nor a wakeup ends the wait.
  m.setFlags(l2, K.LW_WEXIT | K.LW_CANCELLED);
  m.asCpu(() => K.lwpDelref(l2));
  m.run();
  assert.deepEqual([wakeups, stateOf(l2), l2.refcnt], [[2], "SLEEP", 1]);
  m.asCpu(() => K.lwpDelref(l2));
  m.run();
  assert.deepEqual([wakeups, stateOf(l2), l2.refcnt], [[2, 0], "ZOMB", 0]);
});

test("LWP-30: a never-started LWP is drained by who throws it away", () => {
  const m = new TestMachine();
  let done = false;
  const p = inMain(m, function* (proc) {
    const l2 = create();
    withLock(m.k, proc.lock, () => K.lwpAddref(l2));
    assert.equal(K.lwpExitBegin(l2), K.EXIT_DRAIN);
    yield* K.lwpExitDrain(l2);
    K.lwpExitFinish(l2);
    done = true;
  });
  const [l2, main] = K.procLwps(p);
  assert.deepEqual(
    [stateOf(l2), l2.refcnt, stateOf(main), main.wchan, done],
    ["IDL", 1, "SLEEP", p.lwpcv, false],
  );
  m.asCpu(() => K.lwpDelref(l2));
  m.run();
  assert.deepEqual([stateOf(l2), l2.refcnt, done], ["ZOMB", 0, true]);
});

// --- LWP-31 -------------------------------------------------------------------------------------------

test("LWP-31: lids rise by one, and those of the dead are not used again", () => {
  const m = new TestMachine();
  const lids: number[] = [];
  inMain(m, function* () {
    for (let i = 0; i < 4; i++) {
      const lid = yield* S.lwpCreate(nothing);
      lids.push(lid);
      if (i % 2 === 0) yield* S.lwpWait(lid);
    }
    // A recycled record has a new lid as well.
    lids.push(yield* S.lwpCreate(nothing, S.LWP_DETACHED));
    yield* S.schedYield();
    lids.push(yield* S.lwpCreate(nothing));
  });
  assert.deepEqual(lids, [2, 3, 4, 5, 6, 7]);
});

test("LWP-31: after 2^31 - 1 lids are negative, and 0 is passed over (rev 1.172: collisions are not looked for)", () => {
  const m = new TestMachine();
  const lids: number[] = [];
  const p = inMain(m, function* (proc) {
    for (const last of [0x7ffffffe, -3]) {
      proc.nlwpid = last;
      for (let i = 0; i < 4; i++) lids.push(yield* S.lwpCreate(parkForever));
    }
  });
  assert.deepEqual(lids, [0x7fffffff, -0x80000000, -0x7fffffff, -0x7ffffffe, -2, -1, 1, 2]);
  assert.equal(p.nlwpid, 2);
});

test("LWP-31: of two LWPs with one lid the newer is found (the choice here), and the older again when that is freed", () => {
  const m = new TestMachine();
  const found: unknown[] = [];
  const p = inMain(m, function* (proc, l) {
    const find = () => withLock(m.k, proc.lock, () => K.lwpFind(proc, 1));
    assert.equal(find(), l);
    proc.nlwpid = -1;
    const lid = yield* S.lwpCreate(function* () {
      found.push(yield* S.lwpSelf());
      yield* S.lwpPark();
    });
    const twin = find();
    found.push(lid, twin !== l, twin?.lid);
    yield* S.schedYield();
    // The call by id means the newer one: the older, which waits for it, is not woken.
    yield* S.lwpUnpark(1);
    found.push(yield* S.lwpWait(0), find() === l);
  });
  assert.deepEqual(found, [1, true, 1, 1, 1, true]);
  assert.deepEqual(
    K.procLwps(p).map((l) => l.lid),
    [1],
  );
});
