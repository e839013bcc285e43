/** Specificdata (MCH-30..36, 100, 101). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, parked, stateOf, TestMachine, type ThreadBody } from "../support/sim.js";

/** Numbers of the tests' own destructors. */
const A = 10;
const B = 11;
const SLEEPS = 12;

function machine(log: string[] = []): TestMachine {
  const m = new TestMachine({ cpus: 2 });
  m.k.slots.destructors[A] = (_k, value) => void log.push(`A ${value}`);
  m.k.slots.destructors[B] = (_k, value) => void log.push(`B ${value}`);
  m.k.slots.destructors[SLEEPS] = function* (k, value) {
    yield* K.kpause(k, "dtor", 2);
    log.push(`slept ${value}`);
  };
  return m;
}

/** Runs a body as the main thread of a process, which goes on until the machine is at rest. */
function inThread(m: TestMachine, body: ThreadBody): K.Proc {
  const p = m.spawn(body);
  m.run();
  return p;
}

test("an LWP or a process that is set up anew has no values, whatever stands there", () => {
  const m = machine();
  m.runToEnd(function* () {
    const l = K.cur.lwp;
    l.specdataref = l.proc.specdataref = 77;
    K.lwpInitspecific(l);
    K.procInitspecific(l.proc);
    assert.deepEqual([l.specdataref, l.proc.specdataref], [0, 0]);
  });
});

/** The two domains behind one face. */
const DOMAINS = [
  {
    name: "LWP",
    create: K.lwpSpecificKeyCreate,
    remove: K.lwpSpecificKeyDelete,
    get: (key: number) => K.lwpGetspecific(key),
    set: (key: number, value: number) => K.lwpSetspecific(key, value),
    ref: () => K.cur.lwp.specdataref,
  },
  {
    name: "process",
    create: K.procSpecificKeyCreate,
    remove: K.procSpecificKeyDelete,
    get: (key: number) => K.procGetspecific(K.cur.lwp.proc, key),
    set: (key: number, value: number) => K.procSetspecific(K.cur.lwp.proc, key, value),
    ref: () => K.cur.lwp.proc.specdataref,
  },
];

for (const d of DOMAINS) {
  test(`MCH-31, MCH-36: keys of a ${d.name} count from 0; the first free one serves again; a null destructor takes its place`, () => {
    const m = machine();
    inThread(m, function* () {
      assert.deepEqual(
        [yield* d.create(m.k, A), yield* d.create(m.k, 0), yield* d.create(m.k, B)],
        [0, 1, 2],
      );
      yield* d.remove(m.k, 1);
      assert.equal(yield* d.create(m.k, 0), 1);
      assert.equal(yield* d.create(m.k, 0), 3);
    });
  });

  test(`MCH-31: a domain of a ${d.name} has room for ${K.SPECIFIC_KEYS_MAX} keys; one more is EAGAIN (the original grows without end)`, () => {
    const m = machine();
    inThread(m, function* () {
      for (let i = 0; i < K.SPECIFIC_KEYS_MAX; i++) assert.equal(yield* d.create(m.k, A), i);
      assert.equal(yield* d.create(m.k, A), -K.EAGAIN);
      yield* d.remove(m.k, 17);
      assert.equal(yield* d.create(m.k, A), 17);
    });
  });

  test(`MCH-32: deleting a key of a ${d.name} destroys each value once, nulled first, then frees it; others are ignored`, () => {
    const log: string[] = [];
    const m = machine(log);
    m.k.slots.destructors[A] = (k, value) => {
      assert.ok(
        K.mutexOwned(k, d.name === "LWP" ? k.lwpSpecific : k.procSpecific),
        "under the domain's lock",
      );
      log.push(`A ${value}, now ${K.lwpGetspecific(0)}${K.procGetspecific(K.cur.lwp.proc, 0)}`);
    };
    inThread(m, function* () {
      const key = yield* d.create(m.k, A);
      yield* d.set(key, 7);
      for (const wrong of [-1, 1, 99]) yield* d.remove(m.k, wrong);
      assert.deepEqual(log, []);
      yield* d.remove(m.k, key);
      assert.deepEqual(log, ["A 7, now 00"]);
      assert.equal(d.get(key), 0);
    });
  });

  test(`MCH-33, MCH-101: a value of a ${d.name}: null without a container or beyond its size; setting grows to all keys there are`, () => {
    const m = machine();
    inThread(m, function* () {
      yield* d.create(m.k, A);
      assert.deepEqual([d.ref(), d.get(0), d.get(5)], [0, 0, 0]);
      yield* d.set(0, 70);
      const container = m.k.containers.view(d.ref());
      assert.equal(container.nkey, 1);
      for (let i = 1; i < 4; i++) yield* d.create(m.k, A);
      assert.equal(d.get(2), 0);
      assert.equal(container.nkey, 1, "reading grows nothing");
      yield* d.set(1, 71);
      assert.equal(m.k.containers.view(d.ref()).nkey, 4);
      assert.deepEqual([0, 1, 2, 3].map(d.get), [70, 71, 0, 0]);
      yield* d.set(0, 0);
      yield* d.set(1, 0);
    });
  });

  test(`MCH-33: a key of a ${d.name} that was never made is a kernel assertion; a value under a deleted one is accepted, and asserted at the end`, () => {
    const m = machine();
    m.spawn(function* () {
      yield* d.set(0, 1);
    });
    assertPanics(() => m.run(), /there was never a key 0/);
    const m3 = machine();
    m3.spawn(function* () {
      yield* d.create(m3.k, A);
      yield* d.set(0, 1);
      yield* d.set(-1, 1);
    });
    assertPanics(() => m3.run(), /there was never a key -1/);
    const m2 = machine();
    m2.spawn(function* () {
      yield* d.create(m2.k, A);
      yield* d.remove(m2.k, 0);
      yield* d.set(0, 1);
      assert.equal(d.get(0), 1);
    });
    assertPanics(() => m2.run(), /a value under a key that was deleted/);
  });

  test(`MCH-34, MCH-35: the end of a ${d.name} destroys its values in the order of keys, once each; setting null destroys nothing`, () => {
    const log: string[] = [];
    const m = machine(log);
    inThread(m, function* () {
      for (const dtor of [B, SLEEPS, 0, A]) yield* d.create(m.k, dtor);
      yield* d.set(3, 3);
      yield* d.set(0, 1);
      yield* d.set(1, 2);
      yield* d.set(2, 4);
      yield* d.set(3, 0);
      yield* d.set(3, 5);
    });
    assert.deepEqual(log, ["B 1", "slept 2", "A 5"]);
    assert.equal(m.k.containers.inUse, 0);
  });
}

test("MCH-30: the domains are independent: the same key means something else in each, and so do their locks", () => {
  const m = machine();
  inThread(m, function* () {
    yield* K.lwpSpecificKeyCreate(m.k, A);
    yield* K.procSpecificKeyCreate(m.k, B);
    yield* K.lwpSetspecific(0, 1);
    yield* K.procSetspecific(K.cur.lwp.proc, 0, 2);
    assert.deepEqual([K.lwpGetspecific(0), K.procGetspecific(K.cur.lwp.proc, 0)], [1, 2]);
    yield* K.mutexEnter(m.k, m.k.lwpSpecific);
    yield* K.procSpecificKeyCreate(m.k, A);
    K.mutexExit(m.k, m.k.lwpSpecific);
  });
});

test("MCH-33: two LWPs that set their process's first values at once share one container", () => {
  const m = machine();
  inThread(m, function* () {
    const { k } = m;
    const { proc } = K.cur.lwp;
    yield* K.procSpecificKeyCreate(k, 0);
    yield* K.procSpecificKeyCreate(k, 0);
    yield* K.mutexEnter(k, k.procSpecific);
    const lids: number[] = [];
    for (const key of [0, 1]) lids.push(yield* S.lwpCreate(() => K.procSetspecific(proc, key, key + 5)));
    // Both have seen that there is no container, and wait for the domain.
    while (!K.procLwps(proc).every((l) => l === K.cur.lwp || l.syncobj === K.SOBJ_MUTEX))
      yield* K.kpause(k, "wait", 1);
    K.mutexExit(k, k.procSpecific);
    for (const lid of lids) yield* S.lwpWait(lid);
    assert.deepEqual([K.procGetspecific(proc, 0), K.procGetspecific(proc, 1)], [5, 6]);
    assert.equal(k.containers.inUse, 1);
  });
  assert.equal(m.k.containers.inUse, 0);
});

test("MCH-33, MCH-36: another LWP's value is read where the caller sees to it; a new LWP has none (LWP-49)", () => {
  const m = machine();
  inThread(m, function* () {
    const { lwp } = K.cur;
    yield* K.lwpSpecificKeyCreate(m.k, 0);
    yield* K.lwpSetspecific(0, 5);
    const lid = yield* S.lwpCreate(function* () {
      assert.equal(K.lwpGetspecific(0), 0);
      assert.equal(K.lwpGetspecificByLwp(lwp, 0), 5);
      yield* K.lwpSetspecific(0, 6);
    });
    yield* S.lwpWait(lid);
    assert.equal(K.lwpGetspecific(0), 5);
  });
});

test("MCH-34: at the exit of an LWP that is not the last its values go before it is a zombie; at the last, with the process's after it", () => {
  const log: string[] = [];
  const m = machine(log);
  const seen = (name: string): K.Destructor =>
    function* (k, value) {
      yield* K.kpause(k, "dtor", 1);
      assert.equal(K.spinOwned(k, k.g.procLock), false, "here proc_lock is not held, unlike in the original");
      log.push(`${name} ${value} ${stateOf(K.cur.lwp)} of ${K.cur.lwp.proc.nlwps}`);
    };
  m.k.slots.destructors[A] = seen("lwp");
  m.k.slots.destructors[B] = seen("proc");
  inThread(m, function* () {
    yield* K.lwpSpecificKeyCreate(m.k, A);
    yield* K.procSpecificKeyCreate(m.k, B);
    yield* K.procSetspecific(K.cur.lwp.proc, 0, 9);
    const lid = yield* S.lwpCreate(function* () {
      yield* K.lwpSetspecific(0, 1);
    });
    yield* S.lwpWait(lid);
    yield* K.lwpSetspecific(0, 2);
  });
  assert.deepEqual(log, ["lwp 1 ONPROC of 2", "lwp 2 ONPROC of 1", "proc 9 ONPROC of 1"]);
});

test("MCH-34: LWPs that their process ends have their values destroyed too", () => {
  const log: string[] = [];
  const m = machine(log);
  let set = 0;
  inThread(m, function* () {
    yield* K.lwpSpecificKeyCreate(m.k, SLEEPS);
    for (let i = 1; i <= 3; i++) {
      yield* S.lwpCreate(function* () {
        yield* K.lwpSetspecific(0, i);
        set++;
        yield* { [Symbol.iterator]: parked };
      });
    }
    while (set < 3) yield* K.kpause(m.k, "wait", 1);
    yield* S.procExit(0);
  });
  assert.deepEqual(log.sort(), ["slept 1", "slept 2", "slept 3"]);
  assert.equal(m.k.containers.inUse, 0);
});

test("MCH-100: keys A and B without a destructor; deleting A destroys LWP 1's value alone, and its number serves next", () => {
  const log: string[] = [];
  const m = machine(log);
  inThread(m, function* () {
    const { k } = m;
    assert.deepEqual([yield* K.lwpSpecificKeyCreate(k, A), yield* K.lwpSpecificKeyCreate(k, 0)], [0, 1]);
    yield* K.lwpSetspecific(0, 41);
    yield* S.lwpCreate(parked, S.LWP_DETACHED);
    yield* K.lwpSpecificKeyDelete(k, 0);
    assert.deepEqual(log, ["A 41"]);
    assert.equal(yield* K.lwpSpecificKeyCreate(k, A), 0);
    yield* K.lwpSetspecific(0, 42);
    yield* K.lwpSetspecific(1, 43);
    yield* S.procExit(0);
  });
  assert.deepEqual(log, ["A 41", "A 42"]);
});
