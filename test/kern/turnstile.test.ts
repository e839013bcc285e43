/** Turnstiles: BLK-30..33, 38. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

const limits = { procs: 40 };

/** A mutex, held by an LWP that is parked until it is told to release it. */
function heldMutex(m: TestMachine, mutex = m.words(K.MTX_WORDS)): { mutex: number; holder: K.Lwp } {
  m.asCpu(() => K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE));
  const holder = m.queued(43, function* () {
    yield* K.mutexEnter(m.k, mutex);
    yield* S.lwpPark();
    K.mutexExit(m.k, mutex);
    yield* S.lwpPark();
  });
  m.run();
  return { mutex, holder };
}

/** An LWP that waits for the mutex, and keeps it when it has it. */
function waiter(m: TestMachine, mutex: number, priority = 43): K.Lwp {
  const l = m.queued(priority, function* () {
    yield* K.mutexEnter(m.k, mutex);
    yield* S.lwpPark();
    K.mutexExit(m.k, mutex);
    yield* S.lwpPark();
  });
  m.run();
  return l;
}

/** Ends the park of one that holds the mutex. */
function release(m: TestMachine, l: K.Lwp): void {
  m.asCpu(() => K.unpark(l.proc, l.lid, 0));
  m.run();
}

/** The lock's active turnstile. */
function active(m: TestMachine, obj: number): K.Turnstile | null {
  return m.asCpu(() => {
    const ts = K.turnstileLookup(m.k, obj);
    K.turnstileExit(m.k, obj);
    return ts;
  });
}

/** Turnstiles on a chain, and on the free list of one of them. */
function chained(m: TestMachine, obj: number): K.Turnstile[] {
  const list: K.Turnstile[] = [];
  for (let i = m.k.w[K.tschain(m.k, obj) + K.LOCK_WORDS]; i !== 0; i = m.k.turnstiles.view(i).next) {
    list.push(m.k.turnstiles.view(i));
  }
  return list;
}

function spares(ts: K.Turnstile): K.Turnstile[] {
  const list: K.Turnstile[] = [];
  for (let i = ts.free; i !== 0; i = ts.k.turnstiles.view(i).free) list.push(ts.k.turnstiles.view(i));
  return list;
}

test("BLK-30: 64 chains by (address >> 3) & 63, each with a lock of its own", () => {
  const m = new TestMachine();
  const chains = new Set<number>();
  for (let obj = 0; obj < 4096; obj++) {
    const chain = K.tschain(m.k, obj);
    assert.equal(chain, m.k.tstab + ((obj >> 3) & 63) * K.TSTAB_BUCKET_WORDS);
    chains.add(chain);
  }
  assert.equal(chains.size, K.TSTAB_SIZE);
  assert.equal(K.TSTAB_SIZE, 64);
});

test("BLK-30: each LWP brings one turnstile; a lock with waiters uses the first one's, the others' are spare", () => {
  const m = new TestMachine({ limits });
  const { mutex, holder } = heldMutex(m);
  const before = m.k.turnstiles.inUse;
  const lwps = [1, 2, 3].map(() => m.queued(43, () => enterAndPark(m, mutex)));
  assert.equal(m.k.turnstiles.inUse, before + 3);
  const own = lwps.map((l) => l.ts);
  assert.equal(new Set([...own, holder.ts]).size, 4);
  assert.equal(active(m, mutex), null, "no waiters, no turnstile");
  m.run();
  const ts = active(m, mutex);
  assert.equal(ts, own[0]);
  assert.ok(ts !== null);
  assert.deepEqual(
    lwps.map((l) => l.ts),
    [ts, ts, ts],
  );
  assert.deepEqual(new Set(spares(ts)), new Set([own[1], own[2]]));
  assert.equal(ts.obj, mutex);
  assert.deepEqual([ts.nreaders, ts.nwriters], [0, 3]);
  assert.notEqual(ts.readers, ts.writers);
});

function* enterAndPark(m: TestMachine, mutex: number): Generator<K.Token, void, undefined> {
  yield* K.mutexEnter(m.k, mutex);
  yield* S.lwpPark();
}

test("BLK-31: lookup locks the chain and finds the lock's own among others there; exit unlocks it", () => {
  const m = new TestMachine({ limits: { ...limits, scratch: 2048 } });
  const base = m.words(1024);
  // Two locks on one chain, and one that nobody waits for.
  const [a, b, idle] = [base, base + 512, base + 8];
  assert.equal(K.tschain(m.k, a), K.tschain(m.k, b));
  for (const mutex of [a, b]) {
    heldMutex(m, mutex);
    waiter(m, mutex);
  }
  m.asCpu(() => {
    for (const mutex of [a, b, idle]) {
      const ts = K.turnstileLookup(m.k, mutex);
      assert.equal(ts?.obj ?? 0, mutex === idle ? 0 : mutex);
      assert.equal(K.spinOwned(m.k, K.tschain(m.k, mutex)), true);
      K.turnstileExit(m.k, mutex);
      assert.equal(K.spinOwned(m.k, K.tschain(m.k, mutex)), false);
    }
  });
  assert.equal(chained(m, a).length, 2);
});

test("BLK-32: blocking lends the own turnstile, boosts from 96 and sleeps as a writer; afterwards the base is back", () => {
  const m = new TestMachine({ limits });
  const { k } = m;
  const { mutex, holder } = heldMutex(m);
  const own: (K.Turnstile | null)[] = [];
  const boosts: number[][] = [];
  const l = m.queued(43, function* () {
    const me = K.cur.lwp;
    own.push(me.ts);
    boosts.push([me.kpriority, me.kpribase]);
    yield* K.mutexEnter(k, mutex);
    boosts.push([me.kpriority, me.kpribase]);
    yield* S.lwpSelf();
    boosts.push([me.kpriority, me.kpribase]);
  });
  m.run();
  assert.equal(stateOf(l), "SLEEP");
  assert.deepEqual([l.wchan, l.wmesg, l.syncobj], [mutex, "tstile", K.SOBJ_MUTEX]);
  assert.deepEqual([l.kpriority, l.kpribase, K.lwpEprio(l)], [1, 96, 117]);
  assert.ok(l.ts !== null);
  assert.equal(l.ts, own[0], "the first waiter's is the active one");
  assert.equal(l.sleepq, l.ts.writers);
  assert.equal(l.ts.inheritor, null);
  assert.equal(l.mutex, K.tschain(k, mutex));
  assert.equal(l.flag & K.LW_SINTR, 0, "never interruptible");
  assert.equal(K.calloutPending(k, l.timeoutCh), false, "never timed");
  release(m, holder);
  assert.deepEqual(boosts, [
    [0, 64],
    [1, 64],
    [0, 64],
  ]);
});

test("BLK-32: the base of the boost stays 96 until the LWP runs, and is never lowered", () => {
  const m = new TestMachine({ limits });
  const { mutex, holder } = heldMutex(m);
  const high = m.queued(43, function* () {
    K.cur.lwp.kpribase = 192;
    yield* K.mutexEnter(m.k, mutex);
    assert.equal(K.cur.lwp.kpribase, 192);
    K.cur.lwp.kpribase = 64;
    K.mutexExit(m.k, mutex);
  });
  m.run();
  assert.equal(high.kpribase, 192);
  const l = waiter(m, mutex);
  m.asCpu(() => K.unpark(holder.proc, holder.lid, 0));
  m.until(() => stateOf(high) !== "SLEEP");
  assert.equal(K.lwpEprio(high), 21 + 192, "it goes to its CPU with that base, too");
  m.until(() => stateOf(l) !== "SLEEP");
  assert.equal(K.lwpEprio(l), 117);
  m.run();
  assert.equal(l.kpribase, 64);
});

test("BLK-32: readers and writers have a queue and a count each", () => {
  const m = new TestMachine({ limits });
  const { k } = m;
  const obj = m.words(2);
  const block = (q: number, sobj: number) => {
    const l = m.queued(43, function* () {
      const me = K.cur.lwp;
      const { kpribase } = me;
      const ts = K.turnstileLookup(k, obj);
      if (K.turnstileBlock(me, ts, q, obj, sobj)) yield;
      K.turnstileUnblock(me, kpribase);
      yield* S.lwpPark();
    });
    m.run();
    return l;
  };
  const [r1, w1, r2] = [
    block(K.TS_READER_Q, K.SOBJ_RW),
    block(K.TS_WRITER_Q, K.SOBJ_RW),
    block(K.TS_READER_Q, K.SOBJ_RW),
  ];
  const ts = active(m, obj);
  assert.ok(ts !== null);
  assert.deepEqual([ts.nreaders, ts.nwriters], [2, 1]);
  assert.deepEqual([K.turnstileWaiters(ts, K.TS_READER_Q), K.turnstileWaiters(ts, K.TS_WRITER_Q)], [2, 1]);
  assert.deepEqual(K.sleepqList(k, ts.readers), [r1, r2]);
  assert.deepEqual(K.sleepqList(k, ts.writers), [w1]);

  // BLK-33 over both: all readers, then the writer, who takes the active turnstile itself.
  m.asCpu(() => K.turnstileWakeup(k, K.turnstileLookup(k, obj) as K.Turnstile, K.TS_READER_Q, 2));
  assert.deepEqual([ts.nreaders, ts.nwriters], [0, 1]);
  assert.equal(active(m, obj), ts);
  m.asCpu(() => K.turnstileWakeup(k, K.turnstileLookup(k, obj) as K.Turnstile, K.TS_WRITER_Q, 1));
  assert.equal(active(m, obj), null);
  assert.equal(new Set([r1.ts, r2.ts, w1.ts]).size, 3);
  m.run();
});

test("BLK-32: the chain must be locked", () => {
  const m = new TestMachine({ limits });
  const l = m.queued(43, enterNothing);
  m.until(() => m.cpu(0).curlwp === l);
  assertPanics(() => m.asCpu(() => K.turnstileBlock(l, null, K.TS_WRITER_Q, m.words(2))), /not locked/);
});

function* enterNothing(): Generator<K.Token, void, undefined> {
  for (;;) yield* S.lwpSelf();
}

test("BLK-33: wakes so many from the head, each with a turnstile of its own; the last takes the active one", () => {
  const m = new TestMachine({ limits });
  const { k } = m;
  const { mutex } = heldMutex(m);
  const [low, high, mid] = [30, 50, 40].map((priority) => waiter(m, mutex, priority));
  const ts = active(m, mutex);
  assert.ok(ts !== null);
  const wake = (count: number) =>
    m.asCpu(() => {
      const found = K.turnstileLookup(k, mutex);
      assert.equal(found, ts);
      K.turnstileWakeup(k, ts, K.TS_WRITER_Q, count);
      assert.equal(K.spinOwned(k, K.tschain(k, mutex)), false, "the chain is released");
    });
  wake(2);
  assert.deepEqual([low, high, mid].map(stateOf), ["SLEEP", "RUN", "RUN"], "the most urgent first");
  assert.notEqual(high.ts, ts);
  assert.notEqual(mid.ts, ts);
  assert.notEqual(high.ts, mid.ts);
  assert.deepEqual([high.ts?.obj, high.ts?.free, mid.ts?.obj], [0, 0, 0]);
  assert.equal(active(m, mutex), ts, "one waits still");
  assert.equal(ts.nwriters, 1);
  wake(1);
  assert.equal(low.ts, ts);
  assert.equal(active(m, mutex), null, "unlinked: the lock has no waiters");
  assert.deepEqual([ts.obj, ts.free, ts.next, ts.nwriters], [0, 0, 0, 0]);
  m.sim.check();
});

test("BLK-33: told whom, it wakes only that one, wherever on the queue", () => {
  const m = new TestMachine({ limits });
  const { k } = m;
  const { mutex } = heldMutex(m);
  const [a, b, c] = [43, 43, 43].map((priority) => waiter(m, mutex, priority));
  m.asCpu(() => K.turnstileWakeup(k, K.turnstileLookup(k, mutex) as K.Turnstile, K.TS_WRITER_Q, 3, b));
  assert.deepEqual([a, b, c].map(stateOf), ["SLEEP", "RUN", "SLEEP"]);
  const ts = active(m, mutex);
  assert.ok(ts !== null);
  assert.deepEqual(K.sleepqList(k, ts.writers), [a, c]);
  assert.notEqual(b.ts, ts);
});

test("BLK-33: the chain must be locked, and somebody must wait", () => {
  for (const message of [/not locked/, /nobody to wake/]) {
    const m = new TestMachine({ limits });
    const { mutex } = heldMutex(m);
    waiter(m, mutex);
    const ts = active(m, mutex);
    assert.ok(ts !== null);
    const locked = String(message).includes("nobody");
    assertPanics(
      () =>
        m.asCpu(() => {
          if (locked) K.turnstileLookup(m.k, mutex);
          K.turnstileWakeup(m.k, ts, locked ? K.TS_READER_Q : K.TS_WRITER_Q, 1);
        }),
      message,
    );
  }
});

test("BLK-38: an LWP is freed without lenders and with nothing inherited, and its turnstile with it", () => {
  const m = new TestMachine({ limits });
  const before = m.k.turnstiles.inUse;
  const { mutex, holder } = heldMutex(m);
  const [a, b] = [waiter(m, mutex), waiter(m, mutex)];
  release(m, holder);
  release(m, a);
  release(m, b);
  for (const l of [holder, a, b]) {
    assert.deepEqual([l.piLenders, l.inheritedprio], [null, K.PRI_NONE]);
    release(m, l);
  }
  // It stays with the record, and nobody else has it.
  assert.equal(new Set([holder, a, b].map((l) => l.ts?.index)).size, 3);
  assert.equal(m.k.turnstiles.inUse, before + 3);
});

for (const [what, damage] of [
  ["something inherited", (l: K.Lwp) => (l.inheritedprio = 130)],
  ["lenders", (l: K.Lwp) => (l.piLenders = l.ts)],
] as const) {
  test(`BLK-38: freeing one with ${what} is a kernel assertion`, () => {
    const m = new TestMachine({ checked: false });
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
    });
    m.run();
    const zombie = m.lwp(p, 2);
    assert.equal(stateOf(zombie), "ZOMB");
    damage(zombie);
    assertPanics(
      () =>
        m.asCpu(() => {
          K.spinEnter(m.k, p.lock);
          K.lwpFree(zombie, false, false);
        }),
      /holds loans/,
    );
  });
}
