/** The birth of an LWP (LWP-41..50). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine, withLock } from "../support/sim.js";
import { atDelayPoint, onProbe, onState, overridePort } from "../support/spy.js";

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

/** What `lwpCreate` of the kernel gives the current LWP: null is EAGAIN. */
function create(flags = 0, closure: () => K.Body = nothing, schedClass = K.SCHED_OTHER): K.Lwp | null {
  const l = K.cur.lwp;
  return K.lwpCreate(l, l.proc, flags, { kind: K.CTX_CLOSURE, closure }, schedClass);
}

/** The same where there is room. */
function mustCreate(flags = 0, closure: () => K.Body = nothing, schedClass = K.SCHED_OTHER): K.Lwp {
  const l = create(flags, closure, schedClass);
  assert.ok(l !== null, "EAGAIN");
  return l;
}

/** LWPs charged to a uid. */
function charged(k: K.Kernel, uid: number): number {
  return K.chglwpcnt(k, uid, 0);
}

/** Runs `body` as main of a process on a machine of its own, which then parks. */
function inMain(
  body: (l: K.Lwp, m: TestMachine) => K.Body,
  options: Partial<K.ProcOptions> = {},
  m = new TestMachine(),
): { m: TestMachine; p: K.Proc } {
  let ended = false;
  const p = m.spawn(function* () {
    yield* { [Symbol.iterator]: () => body(K.cur.lwp, m) };
    ended = true;
    yield* parkForever();
  }, options);
  m.run();
  assert.ok(ended, "main did not reach its end");
  return { m, p };
}

// --- LWP-41 -------------------------------------------------------------------------------------------

test("LWP-41: the creator is the caller, or belongs to process 0; anybody else is a kernel assertion", () => {
  const start = { kind: K.CTX_CLOSURE, closure: nothing };
  const m = new TestMachine();
  const p = m.spawn(parkForever);
  m.run();
  const stranger = m.lwp(p, 1);
  assertPanics(
    () => m.asCpu(() => K.lwpCreate(stranger, p, 0, start, K.SCHED_OTHER)),
    /lwpCreate: the creator is neither the caller nor the system's/,
  );
});

test("LWP-41: creation fails for limits alone, and then leaves nothing behind", () => {
  const { m, p } = inMain(
    function* (l, machine) {
      const { k } = machine;
      const before = [
        k.lwps.inUse,
        k.turnstiles.inUse,
        l.proc.nlwps,
        l.proc.nrlwps,
        l.proc.nlwpid,
        k.g.nlwps,
      ];
      const refs = [l.proc.fdrefs, l.proc.credrefs];
      // The user's limit.
      assert.equal(create(), null);
      // The machine's table.
      l.proc.nthrSoft = 100;
      const taken: K.Lwp[] = [];
      for (let t = K.poolGet(k.lwps); t !== null; t = K.poolGet(k.lwps)) taken.push(t);
      assert.equal(create(), null);
      for (const t of taken) K.poolPut(k.lwps, t);
      assert.deepEqual(
        [k.lwps.inUse, k.turnstiles.inUse, l.proc.nlwps, l.proc.nrlwps, l.proc.nlwpid, k.g.nlwps],
        before,
      );
      assert.deepEqual([l.proc.fdrefs, l.proc.credrefs], refs);
      assert.equal(charged(k, 7), 0);
      try {
        l.proc.nthrSoft = 0;
        yield* S.lwpCreate(nothing);
        assert.fail("no error");
      } catch (error) {
        assert.equal((error as S.LwpError).code, "EAGAIN");
      }
    },
    { uid: 7, nthr: 0 },
  );
  assert.deepEqual(K.checkInvariants(m.k), []);
  assert.equal(p.nlwps, 1);
});

test("LWP-41: the steps of a creation, in their order", () => {
  const m = new TestMachine();
  const log: unknown[] = [];
  let p: K.Proc | null = null;
  const newest = () => K.procLwps(p as K.Proc)[0];
  const what = () => [charged(m.k, 5), newest().lid, (p as K.Proc).nlwps, m.k.g.alllwp === newest().index];
  p = m.spawn(
    function* () {
      yield* S.lwpCreate(nothing, S.LWP_DETACHED);
      yield* S.schedYield();
      // One detached zombie is there, lid 2; from here on everything is told.
      atDelayPoint(m, "free.unlinked", (l) => log.push(["recycle", l.lid, charged(m.k, 5)]));
      onProbe(m, ["lwp_create"], (r) => log.push(["probe", r.lid, ...what()]));
      m.k.slots.lwpFork = (l1, l2) => log.push(["hook", l1.lid, l2.lid, stateOf(l2), ...what()]);
      log.push(["before", ...what()]);
      const l2 = mustCreate();
      log.push(["after", l2.lid, stateOf(l2)]);
      yield* parkForever();
    },
    { uid: 5 },
  );
  m.run();
  assert.deepEqual(log, [
    // Charged: the zombie.
    ["before", 1, 2, 2, false],
    // The limit has been counted before the zombie is looked at, and its freeing refunds it.
    ["recycle", 1, 1],
    // On its process, not yet on alllwp.
    ["probe", 3, 1, 3, 2, false],
    ["hook", 1, 3, "IDL", 1, 3, 2, true],
    ["after", 3, "IDL"],
  ]);
});

// --- LWP-42 -------------------------------------------------------------------------------------------

test("LWP-42, LWP-152: up to the soft limit creation succeeds; the next is EAGAIN, and the count is as before", () => {
  const { m } = inMain(
    function* (l, machine) {
      const { k } = machine;
      assert.equal(charged(k, 5), 0, "the first LWP of a process is free");
      for (let n = 1; n <= 3; n++) {
        assert.ok(create() !== null);
        assert.equal(charged(k, 5), n);
      }
      assert.equal(create(), null);
      assert.equal(charged(k, 5), 3);
      l.proc.nthrSoft = 4;
      assert.ok(create() !== null);
      assert.equal(create(), null);
      assert.equal(charged(k, 5), 4);
      yield* S.lwpSelf();
    },
    { uid: 5, nthr: 3 },
  );
  assert.deepEqual(K.checkInvariants(m.k), []);
});

test("LWP-42: the superuser passes the limit, and is counted all the same", () => {
  inMain(
    function* (_l, machine) {
      for (let n = 1; n <= 5; n++) {
        assert.ok(create() !== null);
        assert.equal(charged(machine.k, 0), n);
      }
      yield* S.lwpSelf();
    },
    { uid: 0, nthr: 2 },
  );
});

test("LWP-42: the limit is the process's, the count the user's over all his processes, the uid the creator's", () => {
  const m = new TestMachine();
  const results: unknown[] = [];
  const body = (label: string) =>
    function* (): Generator<K.Token, void, undefined> {
      for (let i = 0; i < 2; i++) {
        results.push([label, create() !== null]);
        yield* S.schedYield();
      }
      yield* parkForever();
    };
  m.spawn(body("a"), { uid: 5, nthr: 3 });
  m.spawn(body("b"), { uid: 5, nthr: 3 });
  m.spawn(body("c"), { uid: 6, nthr: 3 });
  m.run();
  assert.deepEqual(
    results.filter((r) => (r as [string, boolean])[0] === "c"),
    [
      ["c", true],
      ["c", true],
    ],
  );
  assert.equal(results.filter((r) => (r as [string, boolean])[1]).length, 5);
  assert.deepEqual([charged(m.k, 5), charged(m.k, 6)], [3, 2]);
});

test("LWP-42: kernel threads are free", () => {
  const m = new TestMachine();
  const lwp0 = m.k.lwps.view(1);
  const p0 = m.k.procs.view(1);
  p0.nthrSoft = 0;
  const made = m.asCpu(() =>
    K.lwpCreate(lwp0, p0, 0, { kind: K.CTX_CLOSURE, closure: nothing }, K.SCHED_OTHER),
  );
  assert.ok(made !== null);
  m.asCpu(() => assert.equal(charged(m.k, 0), 0));
});

// --- LWP-43, 137 --------------------------------------------------------------------------------------

test("LWP-43, LWP-137: a creation recycles the detached zombie: the same record and turnstile, and nothing else of it", () => {
  inMain(function* (l, m) {
    const { k } = m;
    yield* S.lwpCreate(function* () {
      const self = K.cur.lwp;
      yield* S.lwpSetname(0, "old");
      yield* S.lwpSetprivate(99);
      self.sigstk = 4;
      self.estcpu = 17;
      k.w[self.sigpend] = 8;
      yield* S.schedYield();
    }, S.LWP_DETACHED);
    for (let i = 0; i < 8; i++) yield* S.schedYield();
    const zombie = l.proc.zomblwp as K.Lwp;
    assert.deepEqual([stateOf(zombie), zombie.name, zombie.private], ["ZOMB", "(zombie)", 99]);
    assert.ok(zombie.rtime > 0 && zombie.ncsw > 0);
    const { ts, gen } = zombie;
    const inUse = [k.lwps.inUse, k.turnstiles.inUse];

    const l2 = mustCreate();
    assert.equal(l2, zombie);
    assert.equal(l2.ts, ts);
    assert.deepEqual([k.lwps.inUse, k.turnstiles.inUse], inUse);
    assert.equal(l.proc.zomblwp, null);
    assert.deepEqual(
      [l2.lid, l2.named, l2.name, l2.refcnt, l2.private, l2.sigstk, l2.inheritedprio, l2.prflag, stateOf(l2)],
      [3, 0, "", 1, 0, 0, -1, 0, "IDL"],
    );
    assert.deepEqual([l2.rtime, l2.ncsw, l2.nivcsw, l2.estcpu, k.w[l2.sigpend]], [0, 0, 0, 0, 0]);
    // A handle to the dead one does not find the new one.
    assert.notEqual(l2.gen, gen);
    assert.equal(l2.gen & 1, 1);
  });
});

test("LWP-43: a recycled LWP is word for word as one from the pool, but for its generation", () => {
  const image = (recycled: boolean): Record<string, unknown> => {
    let words: Record<string, unknown> = {};
    inMain(function* (l, m) {
      yield* S.lwpCreate(
        function* () {
          yield* S.lwpSetname(0, "old");
          for (let i = 0; i < 3; i++) yield* S.schedYield();
        },
        recycled ? S.LWP_DETACHED : 0,
      );
      for (let i = 0; i < 8; i++) yield* S.schedYield();
      if (!recycled) yield* S.lwpWait(2);
      else assert.ok(l.proc.zomblwp !== null);
      const l2 = mustCreate();
      for (const name of Object.keys(K.LwpRecord.fields)) {
        const value = (l2 as unknown as Record<string, unknown>)[name];
        words[name] = value instanceof K.View ? value.index : value;
      }
      const { coldWords } = K.LwpRecord;
      const cold = m.k.lwps.coldAt(l2.index);
      words = { ...words, cold: Array.from(m.k.w.subarray(cold, cold + coldWords)) };
    });
    return words;
  };
  assert.deepEqual(image(true), image(false));
});

test("LWP-43: the limit is tested before the zombie is recycled, which does not save the caller from EAGAIN", () => {
  const { m } = inMain(
    function* (l, machine) {
      yield* S.lwpCreate(nothing, S.LWP_DETACHED);
      yield* S.schedYield();
      const zombie = l.proc.zomblwp;
      assert.ok(zombie !== null);
      assert.equal(charged(machine.k, 5), 1);
      assert.equal(create(), null);
      assert.equal(l.proc.zomblwp, zombie, "it is still there");
      l.proc.nthrSoft = 2;
      assert.equal(create(), zombie);
      // One counted, one refunded.
      assert.equal(charged(machine.k, 5), 1);
    },
    { uid: 5, nthr: 1 },
  );
  assert.deepEqual(K.checkInvariants(m.k), []);
});

// --- LWP-44, 45 ---------------------------------------------------------------------------------------

test("LWP-44, LWP-45: the fields of a new LWP", () => {
  const m = new TestMachine();
  inMain(
    function* (l) {
      l.priority = 51;
      l.estcpu = 23;
      l.flag |= K.LW_UNPARKED;
      l.pflag |= K.LP_OWEUPC;
      l.lwpctl = 16;
      const hook: unknown[] = [];
      m.k.slots.lwpFork = (_l1, made) => hook.push(made);
      const l2 = mustCreate(0, nothing, K.SCHED_RR);
      // Given out before the hook, long before it can be found.
      assert.deepEqual(hook, [l2]);
      assert.deepEqual(
        {
          stat: stateOf(l2),
          proc: l2.proc === l.proc,
          refcnt: l2.refcnt,
          class: l2.class,
          kpriority: l2.kpriority,
          kpribase: l2.kpribase,
          priority: l2.priority,
          inheritedprio: l2.inheritedprio,
          lenders: l2.piLenders,
          flag: l2.flag,
          pflag: l2.pflag,
          held: [l2.ldLocks, l2.shlocks, l2.exlocks],
          lwpctl: l2.lwpctl,
          fd: l2.fd,
          cpu: l2.cpu === l.cpu,
          mutex: l2.mutex,
          syncobj: l2.syncobj,
          wchan: l2.wchan,
          estcpu: l2.estcpu,
          uid: l2.uid,
          credentials: l2.prflag & K.LPR_CRMOD,
          timeout: m.k.slots.calloutHandlers[m.k.w[l2.timeoutCh + K.CO_FUNC]],
          timeoutArg: m.k.w[l2.timeoutCh + K.CO_ARG],
          timeoutFlags: m.k.w[l2.timeoutCh + K.CO_FLAGS],
          sigcv: K.cvWmesg(m.k, l2.sigcv),
          waitcv: K.cvWmesg(m.k, l2.waitcv),
        },
        {
          stat: "IDL",
          proc: true,
          refcnt: 1,
          class: K.SCHED_RR,
          kpriority: 0,
          kpribase: K.PRI_KERNEL,
          priority: 51,
          inheritedprio: -1,
          lenders: null,
          flag: 0,
          pflag: K.LP_MPSAFE,
          held: [0, 0, 0],
          lwpctl: 0,
          fd: 1,
          cpu: true,
          mutex: l.cpu.mutex,
          syncobj: K.SOBJ_SCHED,
          wchan: 0,
          estcpu: 23,
          uid: 5,
          credentials: 0,
          timeout: K.sleepqTimeout,
          timeoutArg: l2.index,
          timeoutFlags: K.CALLOUT_MPSAFE,
          sigcv: "sigwait",
          waitcv: "vfork",
        },
      );
      l.lwpctl = 0;
      l.lcpage = 0;
      yield* S.lwpSelf();
    },
    { uid: 5 },
    m,
  );
});

test("LWP-44: with LWP_VFORK the boost is on, and the creator's lwpctl is borrowed: the pointer, not the page", () => {
  for (const words of [0, 64]) {
    inMain(function* (l) {
      l.lwpctl = words === 0 ? 0 : 16 + words;
      l.lcpage = 3;
      const l2 = mustCreate(K.LWP_VFORK);
      assert.equal(l2.kpriority, 1);
      assert.deepEqual([l2.lwpctl, l2.lcpage, l2.flag], [l.lwpctl, 0, words === 0 ? 0 : K.LW_LWPCTL]);
      l.lwpctl = 0;
      l.lcpage = 0;
      l2.lwpctl = 0;
      yield* S.lwpSelf();
    });
  }
});

test("LWP-44: the first LWP has its process's reference on the descriptors, later ones take another; all share credentials", () => {
  const m = new TestMachine();
  const p0 = m.k.procs.view(1);
  const p = m.asCpu(() => K.procCreate(m.k, p0, { comm: "x", uid: 5 }) as K.Proc);
  assert.deepEqual([p.fdrefs, p.credrefs], [1, 0]);
  m.sim.reset();
  inMain(
    function* (l) {
      assert.deepEqual([l.proc.fdrefs, l.proc.credrefs, l.fd], [1, 1, 1]);
      for (let n = 2; n <= 4; n++) {
        assert.equal(mustCreate().fd, 1);
        assert.deepEqual([l.proc.fdrefs, l.proc.credrefs], [n, n]);
      }
      yield* S.lwpSelf();
    },
    { uid: 5 },
    m,
  );
});

test("LWP-44: a first LWP whose creator is of the same process, and a later one whose is not, are kernel assertions", () => {
  const message = /lwpCreate: a first LWP comes from another process, a later one from its own/;
  const start = { kind: K.CTX_CLOSURE, closure: nothing };
  {
    const m = new TestMachine();
    const p = m.spawn(parkForever);
    m.run();
    const lwp0 = m.k.lwps.view(1);
    assertPanics(() => m.asCpu(() => K.lwpCreate(lwp0, p, 0, start, K.SCHED_OTHER)), message);
  }
  {
    const m = new TestMachine();
    m.spawn(function* () {
      const l = K.cur.lwp;
      l.proc.nlwps = 0;
      K.lwpCreate(l, l.proc, 0, start, K.SCHED_OTHER);
      yield;
    });
    assertPanics(() => m.sim.run(), message);
  }
});

test("LWP-44: LWPs of a system process are system LWPs", () => {
  const m = new TestMachine();
  const lwp0 = m.k.lwps.view(1);
  const start = { kind: K.CTX_CLOSURE, closure: nothing };
  const l = m.asCpu(() => K.lwpCreate(lwp0, m.k.procs.view(1), 0, start, K.SCHED_FIFO) as K.Lwp);
  assert.deepEqual([l.flag, l.class, l.pflag], [K.LW_SYSTEM, K.SCHED_FIFO, K.LP_MPSAFE]);
});

test("LWP-45: credentials are the process's as they are now, not the creator's copy", () => {
  inMain(
    function* (l) {
      const other = yield* S.lwpCreate(function* () {
        yield* S.setuid(6);
      });
      yield* S.lwpWait(other);
      // It has not entered the kernel since.
      const l2 = mustCreate();
      assert.deepEqual([l.uid, l2.uid, l2.prflag & K.LPR_CRMOD], [0, 6, 0]);
      assert.deepEqual([l.cred === l.proc.cred, l2.cred === l.proc.cred], [false, true]);
      yield* S.lwpSelf();
    },
    { uid: 0 },
  );
});

// --- LWP-46, 47 ---------------------------------------------------------------------------------------

test("LWP-46: detached on request; mask and alternate stack copied, nothing pending; at the head of the process, in all counters", () => {
  inMain(function* (l, m) {
    const { k } = m;
    const p = l.proc;
    l.sigstk = 77;
    k.w[l.sigmask] = 0x1234;
    k.w[l.sigmask + 1] = -2;
    k.w[l.sigpend] = 0x10;
    const a = mustCreate(K.LWP_DETACHED);
    assert.deepEqual([a.prflag, p.ndlwps], [K.LPR_DETACHED, 1]);
    const b = mustCreate();
    assert.deepEqual([b.prflag, p.ndlwps], [0, 1]);
    for (const made of [a, b]) {
      assert.deepEqual([made.sigstk, ...k.w.subarray(made.sigmask, made.sigmask + 2)], [77, 0x1234, -2]);
      assert.deepEqual([...k.w.subarray(made.sigpend, made.sigpend + 2), made.siginfo], [0, 0, 0]);
    }
    assert.deepEqual(K.procLwps(p), [b, a, l]);
    assert.deepEqual(
      K.procLwps(p).map((made) => made.lid),
      [3, 2, 1],
    );
    assert.deepEqual([p.nlwps, p.nrlwps, p.nlwpid], [3, 3, 3]);
    k.w[l.sigpend] = 0;
    yield* S.lwpSelf();
  });
});

test("LWP-47: affinity and processor set are inherited, and the CPU is chosen among those that they allow", () => {
  const m = new TestMachine({ cpus: 4 });
  inMain(
    function* (l) {
      assert.equal(l.cpu, m.cpu(0));
      // Its own CPU is busy with it, the others idle. Allowed are 0 and 2.
      l.affinity = 0b0101;
      const a = mustCreate();
      assert.deepEqual([a.affinity, a.cpu, a.mutex], [0b0101, l.cpu, l.cpu.mutex]);
      K.lwpStart(l, a, 0);
      const b = mustCreate();
      assert.deepEqual([b.affinity, b.cpu, b.mutex], [0b0101, m.cpu(2), m.cpu(2).mutex]);
      l.affinity = 0;
      l.psid = 1;
      m.cpu(3).psid = 1;
      const c = mustCreate();
      assert.deepEqual([c.psid, c.affinity, c.cpu, c.mutex], [1, 0, m.cpu(3), m.cpu(3).mutex]);
      l.psid = 0;
      m.cpu(3).psid = 0;
      yield* S.lwpSelf();
    },
    {},
    m,
  );
});

test("LWP-47, LWP-123: a new LWP that has an affinity of its own is a kernel assertion", () => {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    yield* S.lwpCreate(nothing, S.LWP_DETACHED);
    yield* S.schedYield();
    mustCreate();
  });
  m.until(() => p.zomblwp !== null);
  const zombie = p.zomblwp as K.Lwp;
  // Its record serves again. While it is not yet on its process, which somebody else has locked, a word of it changes.
  atDelayPoint(m, "free.unlinked", () => (m.k.w[p.lock] = 99));
  overridePort(m, {
    relax: () => {
      zombie.affinity = 1;
      m.k.w[p.lock] = 0;
    },
  });
  assertPanics(() => m.sim.run(), /a new LWP with an affinity/);
});

test("LWP-47: an LWP of a system process inherits neither, and stays on its creator's CPU", () => {
  const m = new TestMachine({ cpus: 2 });
  const lwp0 = m.k.lwps.view(1);
  const start = { kind: K.CTX_CLOSURE, closure: nothing };
  lwp0.affinity = 0b10;
  lwp0.psid = 1;
  const l = m.asCpu(() => K.lwpCreate(lwp0, m.k.procs.view(1), 0, start, K.SCHED_OTHER) as K.Lwp);
  assert.deepEqual([l.affinity, l.psid, l.cpu, l.mutex], [0, 0, m.cpu(0), m.cpu(0).mutex]);
});

// --- LWP-48, 49 ---------------------------------------------------------------------------------------

test("LWP-48: probe, then alllwp, then the emulation's hook, without p_lock; the new LWP is at the head of alllwp", () => {
  const m = new TestMachine();
  const log: unknown[] = [];
  const listed = (lid: number) => K.allLwps(m.k).some((l) => l.lid === lid && l.proc.pid !== 0);
  inMain(
    function* (l) {
      const locks = () => [K.spinOwned(m.k, l.proc.lock), K.spinOwned(m.k, m.k.g.procLock)];
      onProbe(m, ["lwp_create"], (r) => log.push(["probe", r.lid, listed(r.lid), ...locks()]));
      m.k.slots.lwpFork = (_l1, l2) => log.push(["hook", l2.lid, listed(l2.lid), ...locks()]);
      const before = m.k.g.nlwps;
      const l2 = mustCreate();
      assert.equal(K.allLwps(m.k)[0], l2);
      assert.equal(m.k.g.nlwps, before + 1);
      yield* S.lwpSelf();
    },
    {},
    m,
  );
  assert.deepEqual(log, [
    ["probe", 2, false, false, false],
    ["hook", 2, true, false, false],
  ]);
});

test("LWP-48: while LSIDL an LWP is on its process and counted, but cannot be found, detached, suspended or run", () => {
  let ran = false;
  const { m, p } = inMain(function* (l, machine) {
    const { k } = machine;
    const l2 = mustCreate(0, function* () {
      ran = true;
    });
    const proc = l.proc;
    withLock(k, proc.lock, () => {
      assert.equal(K.lwpFind(proc, 2), null);
      assert.equal(K.lwpAlive(l2), false);
      K.lwpLock(l2);
      assert.equal(K.lwpSuspend(l, l2), K.EINTR);
      assert.equal(l2.flag, 0);
    });
    for (const call of [S.lwpDetach, S.lwpSuspend, S.lwpContinue, S.lwpWakeup, S.lwpUnpark]) {
      try {
        yield* call(2);
        assert.fail(`${call.name} found it`);
      } catch (error) {
        assert.equal((error as S.LwpError).code, "ESRCH", call.name);
      }
    }
    assert.equal(K.procLwps(proc)[0], l2);
    assert.deepEqual([proc.nlwps, proc.nrlwps], [2, 2]);
  });
  assert.deepEqual([ran, stateOf(m.lwp(p, 2))], [false, "IDL"]);
  assert.deepEqual(K.checkInvariants(m.k), []);
});

test("LWP-48: the caller makes it RUN, SUSPENDED or STOP, by its flags and the state of creator and process", () => {
  const cases: readonly (readonly [string, number, (l: K.Lwp) => void, string])[] = [
    ["plain", 0, () => {}, "RUN"],
    ["suspended", K.LWP_SUSPENDED, () => {}, "SUSPENDED"],
    ["creator WREBOOT", 0, (l) => (l.flag |= K.LW_WREBOOT), "SUSPENDED"],
    ["creator WSUSPEND", 0, (l) => (l.flag |= K.LW_WSUSPEND), "SUSPENDED"],
    ["creator WEXIT", 0, (l) => (l.flag |= K.LW_WEXIT), "SUSPENDED"],
    ["process stopping", 0, (l) => (l.proc.sflag |= K.PS_STOPPING), "STOP"],
    ["process SSTOP", 0, (l) => (l.proc.stat = K.SSTOP), "STOP"],
    ["suspended, process stopping", K.LWP_SUSPENDED, (l) => (l.proc.sflag |= K.PS_STOPPING), "SUSPENDED"],
  ];
  for (const [name, flags, set, state] of cases) {
    inMain(function* (l) {
      const l2 = mustCreate();
      set(l);
      K.lwpStart(l, l2, flags);
      l.flag &= ~K.LW_USERRET;
      l.proc.sflag = 0;
      l.proc.stat = K.SACTIVE;
      assert.equal(stateOf(l2), state, name);
      // Created suspended is not asked to suspend.
      assert.equal(l2.flag & K.LW_WSUSPEND, 0, name);
      assert.equal(l2.mutex, state === "RUN" ? l2.cpu.mutex : l2.cpu.lwplock, name);
      assert.equal(l.proc.nrlwps, state === "RUN" ? 2 : 1, name);
      yield* S.lwpSelf();
    });
  }
});

test("LWP-49: what an LWP inherits from its creator, and what it does not", () => {
  inMain(function* (l, m) {
    const { k } = m;
    yield* S.lwpSetname(0, "parent");
    yield* S.lwpSetprivate(42);
    for (let i = 0; i < 3; i++) yield* S.schedYield();
    Object.assign(l, {
      priority: 60,
      affinity: 1,
      estcpu: 9,
      sigstk: 3,
      specdataref: 8,
      emuldata: 6,
      lcpage: 5,
    });
    l.pflag |= K.LP_BOUND | K.LP_OWEUPC | K.LP_MUSTJOIN;
    l.lwpctl = 16;
    k.w[l.sigmask] = 1 << 5;
    k.w[l.sigpend] = 1 << 6;
    assert.ok(l.rtime > 0);
    const l2 = mustCreate(0, nothing, l.class);
    assert.deepEqual(
      [l2.priority, l2.class, k.w[l2.sigmask], l2.sigstk, l2.affinity, l2.psid, l2.estcpu],
      [60, l.class, 1 << 5, 3, 1, l.psid, 9],
    );
    assert.deepEqual(
      [l2.named, l2.name, l2.private, l2.lwpctl, l2.lcpage, l2.pflag, l2.specdataref, l2.emuldata],
      [0, "", 0, 0, 0, K.LP_MPSAFE, 0, 0],
    );
    assert.deepEqual([k.w[l2.sigpend], l2.rtime, l2.ncsw, l2.nivcsw, l2.blcnt], [0, 0, 0, 0, 0]);
    l.pflag &= ~K.LP_BOUND;
    l.lwpctl = 0;
    l.lcpage = 0;
    l.affinity = 0;
    k.w[l.sigpend] = 0;
    yield* S.lwpSelf();
  });
});

// --- LWP-50 -------------------------------------------------------------------------------------------

test("LWP-50: the first thing a new LWP does is lwp_start, once; then the one before it has its context saved", () => {
  const m = new TestMachine();
  const log: unknown[] = [];
  let main: K.Lwp | null = null;
  onProbe(m, ["lwp_start"], (r) => log.push(["start", r.lid, K.cur.lwp.lid]));
  atDelayPoint(m, "switch.unlocked", (l) => {
    if (l === main) log.push(["switched out", l.ctxswtch]);
  });
  m.spawn(function* () {
    main = K.cur.lwp;
    yield* S.lwpCreate(function* () {
      log.push(["code", K.cur.lwp.lid, (main as K.Lwp).ctxswtch]);
      yield* S.schedYield();
      yield* S.schedYield();
      log.push(["end"]);
    });
    yield* S.lwpWait(0);
    main = null;
  });
  m.run();
  assert.deepEqual(log, [["start", 1, 1], ["switched out", 1], ["start", 2, 2], ["code", 2, 0], ["end"]]);
});

test("LWP-50: only the current LWP can start up", () => {
  const m = new TestMachine();
  const p = m.spawn(nothing);
  assertPanics(() => m.asCpu(() => K.lwpStartup(m.lwp(p, 1))), /lwpStartup: not the current LWP/);
});

for (const kind of ["a generator", "a step function"] as const) {
  test(`LWP-50: its code begins with a return to user mode: ${kind} told to exit before it ever ran runs no code`, () => {
    let ran = 0;
    const steps = [
      () => {
        ran++;
        return K.STEP_EXIT;
      },
    ];
    const closure = function* (): Generator<undefined, void> {
      ran++;
    };
    const m = new TestMachine({ steps });
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      const start =
        kind === "a generator" ? { kind: K.CTX_CLOSURE, closure } : { kind: K.CTX_STEP, entry: 0 };
      for (let i = 0; i < 3; i++) {
        const l2 = K.lwpCreate(l, l.proc, 0, start, l.class) as K.Lwp;
        K.lwpStart(l, l2, 0);
      }
      m.setFlags(m.lwp(l.proc, 2), K.LW_WEXIT);
      m.setFlags(m.lwp(l.proc, 3), K.LW_WSUSPEND);
      yield* parkForever();
    });
    m.run();
    assert.equal(ran, 1);
    assert.deepEqual(
      [2, 3, 4].map((lid) => stateOf(m.lwp(p, lid))),
      ["ZOMB", "SUSPENDED", "ZOMB"],
    );
    m.locked(p, () => {
      K.lwpLock(m.lwp(p, 3));
      K.lwpContinue(m.lwp(p, 3));
    });
    m.run();
    assert.equal(ran, 2);
  });
}

test("LWP-50: the boost of a vfork child ends with its first return to user mode", () => {
  const m = new TestMachine();
  const seen: number[] = [];
  inMain(
    function* (l) {
      const l2 = mustCreate(K.LWP_VFORK, function* () {
        seen.push(K.cur.lwp.kpriority);
      });
      assert.ok(K.lwpEprio(l2) > l2.priority);
      K.lwpStart(l, l2, 0);
      yield* S.schedYield();
    },
    {},
    m,
  );
  assert.deepEqual(seen, [0]);
});

test("LWP-50: the first LWP to run on a CPU, and one whose predecessor has exited, find nobody to save", () => {
  const m = new TestMachine();
  const states: string[] = [];
  onState(m, (l, from, to) => {
    if (l.proc.pid !== 0 && to === K.LSONPROC) states.push(`${l.lid} ${K.STATE_NAMES[from]}`);
  });
  m.spawn(function* () {
    yield* S.lwpCreate(function* () {
      yield* S.schedYield();
    });
    yield* S.lwpCreate(nothing);
  });
  m.run();
  // 1 exits without a wait, and 2 and 3 start after it and after each other's exit.
  assert.deepEqual(states, ["1 RUN", "2 RUN", "3 RUN", "2 RUN"]);
  assert.equal(m.sim.collected.length, 1);
});
