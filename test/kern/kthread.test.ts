/** Kernel threads (MCH-50..52, 107). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { assertPanics, counters, stateOf, TestMachine } from "../support/sim.js";

/** Number of the tests' own function. */
const FUNC = 10;

function machine(body: K.KthreadFunction, cpus = 2): TestMachine {
  const m = new TestMachine({ cpus });
  m.k.slots.kthreads[FUNC] = body;
  return m;
}

const nothing: K.KthreadFunction = function* () {};

function create(
  m: TestMachine,
  flags: number,
  options: { pri?: number; ci?: K.Cpu; name?: string } = {},
): K.Lwp {
  const { error, l } = m.asCpu(() =>
    K.kthreadCreate(m.k, options.pri ?? K.PRI_NONE, flags, options.ci ?? null, FUNC, 7, options.name ?? "kt"),
  );
  assert.equal(error, 0);
  return l as K.Lwp;
}

test("MCH-50: an LWP of process 0, detached, runs the function with its argument", () => {
  const seen: unknown[] = [];
  const m = machine(function* (k, arg) {
    const { lwp } = K.cur;
    seen.push(arg, lwp.proc.pid, lwp.name, lwp.prflag & K.LPR_DETACHED, lwp.flag & K.LW_SYSTEM);
    yield* K.kpause(k, "kt", 1);
    seen.push("on");
  });
  create(m, K.KTHREAD_MPSAFE, { name: "a name that is too long" });
  m.run();
  assert.deepEqual(seen, [7, 0, "a name that is ", K.LPR_DETACHED, K.LW_SYSTEM, "on"]);
});

/** Flags and priority asked for: class and priority that come of it. */
const KINDS: [flags: number, pri: number, schedClass: number, priority: number][] = [
  [0, K.PRI_NONE, K.SCHED_RR, 96],
  [K.KTHREAD_TS, K.PRI_NONE, K.SCHED_OTHER, 63],
  [K.KTHREAD_TS, 20, K.SCHED_OTHER, 20],
  [0, 0, K.SCHED_RR, 0],
  [0, 127, K.SCHED_RR, 127],
];

for (const [flags, pri, schedClass, priority] of KINDS) {
  test(`MCH-50: flags ${flags}, priority ${pri}: class ${schedClass}, priority ${priority}`, () => {
    const m = machine(nothing);
    const l = create(m, flags | K.KTHREAD_MPSAFE, { pri });
    assert.deepEqual([l.class, l.priority, stateOf(l)], [schedClass, priority, "RUN"]);
    assert.equal(l.pflag & K.LP_BOUND, 0, "free to move");
    m.run();
  });
}

test("MCH-50: bound to a CPU it runs there; IDLE leaves it LSIDL, covered by that CPU's lwplock", () => {
  for (const n of [0, 1]) {
    const where: number[] = [];
    const m = machine(function* (k) {
      where.push(K.cur.cpu.index - 1);
      yield* K.kpause(k, "kt", 1);
      where.push(K.cur.cpu.index - 1);
    });
    const idle = create(m, K.KTHREAD_MPSAFE | K.KTHREAD_IDLE, { ci: m.cpu(n) });
    assert.deepEqual([stateOf(idle), idle.mutex], ["IDL", m.cpu(n).lwplock]);
    const l = create(m, K.KTHREAD_MPSAFE, { ci: m.cpu(n) });
    assert.notEqual(l.pflag & K.LP_BOUND, 0);
    m.sim.check = () => {};
    m.run();
    assert.deepEqual(where, [n, n]);
    assert.equal(stateOf(idle), "IDL", "nobody has started it");
  }
});

test("MCH-50: INTR needs MPSAFE and is noted; a full table is ENOMEM", () => {
  const m = machine(nothing);
  const l = create(m, K.KTHREAD_MPSAFE | K.KTHREAD_INTR);
  assert.notEqual(l.pflag & K.LP_INTR, 0);
  m.run();
  const full = new TestMachine({ limits: { lwps: 3 } });
  full.k.slots.kthreads[FUNC] = nothing;
  const made = full.asCpu(() => K.kthreadCreate(full.k, -1, K.KTHREAD_MPSAFE, null, FUNC, 0, "kt"));
  assert.deepEqual(made, { error: K.ENOMEM, l: null });
  assertPanics(() => create(machine(nothing), K.KTHREAD_INTR), /INTR without MPSAFE/);
});

test("MCH-50: one that is not MPSAFE is bound to CPU 0, which is the big lock here: two of them never overlap", () => {
  let inside = 0;
  const log: number[] = [];
  const m = machine(function* (k) {
    for (let i = 0; i < 3; i++) {
      inside++;
      log.push(inside, K.cur.cpu.index - 1);
      inside--;
      yield* K.kpause(k, "kt", 1);
    }
  });
  for (let i = 0; i < 2; i++) {
    const l = create(m, 0);
    assert.equal(l.pflag & K.LP_MPSAFE, 0);
    assert.equal(l.cpu, m.cpu(0));
  }
  m.run();
  assert.deepEqual(log, Array.from({ length: 6 }, () => [1, 0]).flat());
});

test("MCH-51: exit codes other than 0 are logged", () => {
  for (const code of [0, 3]) {
    const m = machine(function* () {
      return code;
    });
    const l = create(m, K.KTHREAD_MPSAFE, { name: "worker" });
    m.run();
    assert.equal(stateOf(l), "ZOMB");
    const line = `kernel thread "worker" (LWP ${l.lid}) exits with status 3`;
    assert.deepEqual(m.sim.messages, code === 0 ? [] : [line]);
  }
});

test("MCH-51: a thread that must be joined waits for that at its end; joining one that need not never returns", () => {
  for (const flags of [K.KTHREAD_MUSTJOIN, 0]) {
    const m = machine(nothing);
    const l = create(m, K.KTHREAD_MPSAFE | flags);
    m.run();
    assert.equal(stateOf(l), flags === 0 ? "ZOMB" : "SLEEP");
    if (flags !== 0) assert.equal(l.wmesg, "kthrwait");
    let result: number | null = null;
    const p = m.spawn(function* () {
      result = yield* K.kthreadJoin(l);
    });
    m.run();
    assert.equal(result, flags === 0 ? null : 0);
    if (flags === 0) assert.equal(m.lwp(p, 1).wmesg, "kthrwait");
    assert.equal(stateOf(l), "ZOMB");
  }
});

test("MCH-51: a thread made IDLE and never started is destroyed by another kernel thread", () => {
  const made: K.Lwp[] = [];
  const m = machine(function* (k) {
    if (K.cur.lwp.name === "kt") return;
    const { l } = K.kthreadCreate(k, -1, K.KTHREAD_MPSAFE | K.KTHREAD_IDLE, K.cur.cpu, FUNC, 0, "kt");
    made.push(l as K.Lwp);
    K.kthreadDestroy(l as K.Lwp);
  });
  const p0 = m.k.procs.view(1);
  const before = counters(p0);
  create(m, K.KTHREAD_MPSAFE, { name: "destroyer" });
  m.run();
  assert.equal(made.length, 1);
  assert.notEqual(before, counters(p0), "the last detached zombie is still there");
  assert.equal(p0.zomblwp?.stat, K.LSZOMB);
  assert.equal(p0.nlwps - p0.nzlwps, 5);
});

test("MCH-52: kernel threads change the count of process 0, are charged to nobody, and the last one is its zomblwp", () => {
  const m = machine(nothing);
  const p0 = m.k.procs.view(1);
  const n = p0.nlwps;
  const uids = () => Array.from(m.k.w.subarray(m.k.uidtab, m.k.uidtab + 4));
  const charged = uids();
  const a = create(m, K.KTHREAD_MPSAFE);
  assert.equal(p0.nlwps, n + 1);
  m.run();
  assert.deepEqual([p0.nlwps, p0.nzlwps, p0.ndlwps, p0.zomblwp], [n + 1, 1, n, a]);
  const b = create(m, K.KTHREAD_MPSAFE);
  assert.equal(b, a, "its record serves again");
  m.run();
  assert.equal(p0.nlwps, n + 1);
  assert.deepEqual(uids(), charged);
});

test("MCH-107: join before exit and exit before join both complete", () => {
  for (const first of ["join", "exit"]) {
    let go = first === "exit";
    const m = machine(function* (k) {
      while (!go) yield* K.kpause(k, "kt", 1);
    });
    const l = create(m, K.KTHREAD_MPSAFE | K.KTHREAD_MUSTJOIN);
    if (first === "exit") m.until(() => l.wmesg === "kthrwait");
    const log: string[] = [];
    m.spawn(function* () {
      log.push("joins");
      assert.equal(yield* K.kthreadJoin(l), 0);
      log.push("joined");
    });
    if (first === "join") {
      m.until(() => log.length === 1 && m.k.g.kthreadTarget === l);
      go = true;
    }
    m.run();
    assert.deepEqual(log, ["joins", "joined"], first);
  }
});

test("MCH-107: two joiners of different threads serialise", () => {
  const go = new Set<number>();
  const m = machine(function* (k) {
    const { lid } = K.cur.lwp;
    while (!go.has(lid)) yield* K.kpause(k, "kt", 1);
  });
  const [a, b] = [create(m, 0x12), create(m, 0x12)];
  const joined: K.Lwp[] = [];
  for (const l of [a, b]) {
    m.spawn(function* () {
      yield* K.kthreadJoin(l);
      joined.push(l);
    });
  }
  m.until(() => m.k.g.kthreadTarget !== null);
  const first = m.k.g.kthreadTarget;
  const second = first === a ? b : a;
  go.add(second.lid);
  m.until(() => second.wmesg === "kthrwait");
  for (let i = 0; i < 50; i++) m.sim.step();
  assert.deepEqual(joined, [], "the second has exited, but its joiner waits for its turn");
  go.add((first as K.Lwp).lid);
  m.run();
  assert.deepEqual(joined, [first, second]);
});
