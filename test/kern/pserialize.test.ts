/** Passive serialisation (MCH-10..12, 103). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

function machine(cpus: number): { m: TestMachine; psz: K.Pserialize } {
  const m = new TestMachine({ cpus });
  return { m, psz: m.asCpu(() => K.pserializeCreate(m.k)) as K.Pserialize };
}

/** CPU `n` passes a switch point. */
function passes(m: TestMachine, n: number): void {
  m.asCpu(() => K.pserializeSwitchpoint(m.cpu(n)), n);
}

test("MCH-10: a read section nests, takes no lock, and must be left in order", () => {
  const { m } = machine(1);
  m.asCpu(() => {
    const words = Array.from(m.k.w.subarray(m.k.psz.at, m.k.psz.at + K.PszGlobalsRecord.words));
    const s = K.pserializeReadEnter(m.k);
    const t = K.pserializeReadEnter(m.k);
    assert.equal(K.pserializeInReadSection(), true);
    K.pserializeReadExit(m.k, t);
    K.pserializeReadExit(m.k, s);
    assert.equal(K.pserializeInReadSection(), false);
    assert.deepEqual(Array.from(m.k.w.subarray(m.k.psz.at, m.k.psz.at + K.PszGlobalsRecord.words)), words);
    const u = K.pserializeReadEnter(m.k);
    K.pserializeReadEnter(m.k);
    assertPanics(() => K.pserializeReadExit(m.k, u), /not the last one entered/);
  });
});

test("MCH-10: a reader that gives its CPU away is a kernel assertion", () => {
  const { m, psz } = machine(2);
  m.asCpu(() => K.pserializeEnqueue(psz, 3));
  m.spawn(function* () {
    K.pserializeReadEnter(m.k);
    const away = K.yieldCpu(K.cur.lwp);
    if (away) yield;
    m.asCpu(() => {});
    yield* K.kpause(m.k, "reader", 1);
  });
  assertPanics(() => m.run(), /a reader gives its CPU away/);
});

test("MCH-11: perform waits with high-priority rounds and one tick of psrlz after each, the writer's lock held throughout", () => {
  const { m, psz } = machine(2);
  const mutex = m.words(K.MTX_WORDS);
  K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
  const messages = new Set<string>();
  const p = m.spawn(function* () {
    yield* K.mutexEnter(m.k, mutex);
    yield* K.pserializePerform(psz);
    assert.ok(K.mutexOwned(m.k, mutex));
    K.mutexExit(m.k, mutex);
  });
  const l = m.lwp(p, 1);
  while (m.sim.step()) if (stateOf(l) === "SLEEP") messages.add(l.wmesg);
  assert.ok(messages.has("psrlz"));
  assert.ok(m.k.xc.hiHead >= 2, "at least one round");
  assert.deepEqual([psz.target, psz.pass, m.k.psz.pending, m.k.psz.exclusive], [0, 0, 0, 1]);
  assert.equal(m.k.g.probes & K.HOOK_PSERIALIZE, 0, "switches are asked nothing any more");
});

test("MCH-11: after a panic it does nothing; one performer per object", () => {
  const { m, psz } = machine(2);
  m.asCpu(() => K.pserializeEnqueue(psz, 3));
  assertPanics(() => m.asCpu(() => K.pserializeEnqueue(psz, 3)), /somebody waits with it/);
  assert.notEqual(m.k.g.dead, 0);
  assert.deepEqual(K.pserializePerform(psz).next(), { done: true, value: undefined });
});

test("MCH-12: an object moves on when all its CPUs have passed, one queue per switch point", () => {
  const { m, psz } = machine(2);
  const queueOf = () => {
    if (m.k.w[m.k.psz.first] === psz.index) return 0;
    return m.k.w[m.k.psz.second] === psz.index ? 1 : 2;
  };
  m.asCpu(() => K.pserializeEnqueue(psz, 3));
  const seen: [number, number][] = [];
  for (const n of [0, 0, 1, 1, 1, 0]) {
    passes(m, n);
    seen.push([n, queueOf()]);
  }
  // CPU 0 twice counts once; the switch point that completes the first round does not count for the second.
  assert.deepEqual(seen, [
    [0, 0],
    [0, 0],
    [1, 1],
    [1, 1],
    [1, 1],
    [0, 2],
  ]);
  assert.equal(psz.target, 0);
});

test("MCH-12: a CPU that came up later cannot hold an object up (the original compares for equality, and waits for ever)", () => {
  const { m, psz } = machine(3);
  m.asCpu(() => K.pserializeEnqueue(psz, 0b011));
  for (const n of [2, 0, 1, 2, 0, 1]) passes(m, n);
  assert.equal(psz.target, 0);
});

test("MCH-12: objects are independent: a later one keeps its own rounds", () => {
  const { m, psz: a } = machine(2);
  const b = m.asCpu(() => K.pserializeCreate(m.k)) as K.Pserialize;
  m.asCpu(() => K.pserializeEnqueue(a, 3));
  passes(m, 0);
  m.asCpu(() => K.pserializeEnqueue(b, 3));
  passes(m, 1);
  passes(m, 0);
  passes(m, 1);
  assert.deepEqual([a.target, b.target], [0, 3]);
  assert.equal(m.k.psz.pending, 1);
  passes(m, 0);
  passes(m, 1);
  assert.deepEqual([b.target, m.k.psz.pending, m.k.psz.exclusive], [0, 0, 2]);
});

test("MCH-12: a context switch is a switch point, and so is the end of a high-priority cross-call", () => {
  const { m, psz } = machine(2);
  m.asCpu(() => K.pserializeEnqueue(psz, 3));
  const other = m.cpu(1);
  // A switch away from the idle thread, or to it, counts as any other.
  const l = m.queued(50, function* () {});
  assert.equal(psz.pass, 0);
  const own = l.cpu.index - 1;
  K.dispatch(m.cpu(own), 1);
  assert.equal(psz.pass, 1 << own);
  const rest = own === 0 ? other : m.cpu(0);
  m.k.slots.crosscalls[10] = () => {};
  m.k.xc.hiFunc = 10;
  m.k.xc.hiHead = 1;
  m.k.w[rest.at + K.CpuRecord.offset.attention] = K.ATTN_XCALL;
  K.dispatch(rest, 1);
  assert.equal(m.k.w[m.k.psz.second], psz.index);
});

test("MCH-103: perform on CPU 0 does not return until CPU 1 has left its read section and passed two switch points", () => {
  const { m, psz } = machine(2);
  const log: string[] = [];
  let points = 0;
  /** CPU 0 does all it can, for a while. */
  const letCpu0Run = () => {
    for (let i = 0; i < 20; i++) {
      K.dispatch(m.cpu(0), 100);
      m.k.g.ticks++;
      m.asCpu(() => K.clockPoll(m.cpu(0)), 0);
    }
  };
  m.k.slots.kthreads[10] = function* () {
    log.push("performs");
    yield* K.pserializePerform(psz);
    log.push(`performed after ${points} switch points`);
  };
  m.k.slots.kthreads[11] = function* (k) {
    const s = K.pserializeReadEnter(k);
    letCpu0Run();
    log.push("reads");
    K.pserializeReadExit(k, s);
    for (points = 0; points < 2; points++) {
      letCpu0Run();
      assert.deepEqual(log, ["performs", "reads"], `CPU 1 has passed ${points} switch points`);
      K.pserializeSwitchpoint(m.cpu(1));
    }
    letCpu0Run();
  };
  for (const n of [0, 1])
    m.asCpu(() => K.kthreadCreate(m.k, K.PRI_NONE, K.KTHREAD_MPSAFE, m.cpu(n), 10 + n, 0, "kt"));
  K.dispatch(m.cpu(1), 1);
  m.run();
  assert.deepEqual(log, ["performs", "reads", "performed after 2 switch points"]);
});
