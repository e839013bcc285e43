/** Readers/writer locks of the kernel: BLK-50..56. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

const { RW_HAS_WAITERS: WAITERS, RW_WRITE_WANTED: WANTED, RW_WRITE_LOCKED: LOCKED } = K;
const limits = { procs: 40 };

/** A lock in scratch memory. */
function makeLock(m: TestMachine): number {
  const rw = m.words(K.RW_WORDS);
  K.rwInit(m.k, rw);
  return rw;
}

/** An LWP that locks, parks, and unlocks each time it is unparked, as often as it holds. */
function holder(m: TestMachine, rw: number, op: number, priority = 43): K.Lwp {
  const l = m.queued(priority, function* () {
    yield* K.rwEnter(m.k, rw, op);
    yield* S.lwpPark();
    K.rwExit(m.k, rw);
    yield* S.lwpPark();
  });
  m.run();
  return l;
}

function release(m: TestMachine, l: K.Lwp): void {
  m.asCpu(() => K.unpark(l.proc, l.lid, 0));
  m.run();
}

const word = (m: TestMachine, rw: number): number => m.k.w[rw];
const readers = (n: number): number => n * K.RW_READ_INCR;
const writer = (l: K.Lwp): number => (l.index << K.RW_SHIFT) | LOCKED;
/** Whether it sleeps on the lock. */
const waits = (l: K.Lwp, rw: number): boolean => l.wchan === rw && stateOf(l) === "SLEEP";

/** As the LWP: what kernel code says on its behalf. */
function as<T>(m: TestMachine, l: K.Lwp, body: () => T): T {
  return m.asCpu(() => {
    const saved = K.cur.lwp;
    K.cur.lwp = l;
    try {
      return body();
    } finally {
      K.cur.lwp = saved;
    }
  });
}

test("BLK-50: the word: readers times 16, or the writer and bit 2; bit 0 somebody waits, bit 1 a writer does", () => {
  assert.deepEqual([WAITERS, WANTED, LOCKED, K.RW_READ_INCR], [1, 2, 4, 16]);
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const a = holder(m, rw, K.RW_READER);
  assert.equal(word(m, rw), readers(1));
  const b = holder(m, rw, K.RW_READER);
  assert.equal(word(m, rw), readers(2));
  const w = holder(m, rw, K.RW_WRITER);
  assert.equal(word(m, rw), readers(2) | WAITERS | WANTED);
  release(m, a);
  release(m, b);
  assert.equal(word(m, rw), writer(w));
  holder(m, rw, K.RW_READER);
  assert.equal(word(m, rw), writer(w) | WAITERS);
});

test("BLK-51: who must wait, by what is held and wanted; having to wait for oneself panics", () => {
  const table: [held: "nobody" | "reader" | "writer", wanted: boolean, op: number, waits: boolean][] = [
    ["nobody", false, K.RW_READER, false],
    ["nobody", false, K.RW_WRITER, false],
    ["reader", false, K.RW_READER, false],
    ["reader", false, K.RW_WRITER, true],
    ["reader", true, K.RW_READER, true],
    ["reader", true, K.RW_WRITER, true],
    ["writer", false, K.RW_READER, true],
    ["writer", false, K.RW_WRITER, true],
    ["writer", true, K.RW_READER, true],
    ["writer", true, K.RW_WRITER, true],
  ];
  for (const [held, wanted, op, expected] of table) {
    const m = new TestMachine({ limits });
    const rw = makeLock(m);
    if (held !== "nobody") holder(m, rw, held === "reader" ? K.RW_READER : K.RW_WRITER);
    if (wanted) holder(m, rw, K.RW_WRITER);
    const l = holder(m, rw, op);
    assert.equal(waits(l, rw), expected, `${held}, wanted: ${wanted}, ${op}`);
    if (expected) assert.equal(l.wmesg, "tstile");
  }
  for (const op of [K.RW_READER, K.RW_WRITER]) {
    const m = new TestMachine({ limits });
    const rw = makeLock(m);
    assertPanics(
      () =>
        m.runToEnd(function* () {
          yield* K.rwEnter(m.k, rw, K.RW_WRITER);
          yield* K.rwEnter(m.k, rw, op);
        }),
      /locking against myself/,
    );
  }
});

test("BLK-51: acquisition clears WRITE_WANTED", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  m.k.w[rw] = WANTED;
  const l = holder(m, rw, K.RW_WRITER);
  assert.equal(word(m, rw), writer(l));
});

test("BLK-52: a woken reader owns it; a woken writer does if the word says so, else it tries again", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const first = holder(m, rw, K.RW_WRITER);
  const [r1, r2] = [holder(m, rw, K.RW_READER), holder(m, rw, K.RW_READER)];
  release(m, first);
  assert.equal(word(m, rw), readers(2));
  assert.deepEqual([r1, r2].map(stateOf), ["SLEEP", "SLEEP"]);
  assert.equal(r1.wmesg, "parked");
  // Two writers are woken to compete: one has it, the other sleeps again.
  const [w1, w2] = [holder(m, rw, K.RW_WRITER), holder(m, rw, K.RW_WRITER)];
  release(m, r1);
  release(m, r2);
  const [winner, loser] = waits(w1, rw) ? [w2, w1] : [w1, w2];
  assert.equal(waits(loser, rw), true);
  assert.equal(word(m, rw), writer(winner) | WAITERS | WANTED);
  release(m, winner);
  assert.equal(word(m, rw), writer(loser));
});

test("BLK-53: a read hold goes to the first writer by priority if readers wait too; with no reader waiting all writers compete", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const r = holder(m, rw, K.RW_READER);
  const low = holder(m, rw, K.RW_WRITER, 30);
  const high = holder(m, rw, K.RW_WRITER, 50);
  const reader = holder(m, rw, K.RW_READER);
  release(m, r);
  assert.equal(word(m, rw), writer(high) | WAITERS | WANTED);
  // Writing is over: the reader comes, though a writer waits.
  release(m, high);
  assert.equal(word(m, rw), readers(1) | WAITERS | WANTED);
  assert.equal(waits(low, rw), true);
  release(m, reader);
  assert.equal(word(m, rw), writer(low));
  release(m, low);
  assert.equal(word(m, rw), 0);

  const only = holder(m, rw, K.RW_WRITER);
  const others = [holder(m, rw, K.RW_WRITER), holder(m, rw, K.RW_WRITER)];
  m.asCpu(() => K.unpark(only.proc, only.lid, 0));
  m.until(() => only.wmesg === "parked" && word(m, rw) !== (writer(only) | WAITERS | WANTED));
  assert.deepEqual(
    others.map((l) => l.wchan === rw),
    [false, false],
    "both are awake",
  );
  m.run();
  assert.equal(others.filter((l) => waits(l, rw)).length, 1);
});

test("BLK-53: a write hold goes to all waiting readers at once; the bits stay if a writer waits", () => {
  for (const withWriter of [false, true]) {
    const m = new TestMachine({ limits });
    const rw = makeLock(m);
    const w = holder(m, rw, K.RW_WRITER);
    const rs = [1, 2, 3].map(() => holder(m, rw, K.RW_READER));
    if (withWriter) holder(m, rw, K.RW_WRITER);
    release(m, w);
    assert.equal(word(m, rw), readers(3) | (withWriter ? WAITERS | WANTED : 0));
    assert.ok(rs.every((l) => l.wmesg === "parked"));
  }
});

test("BLK-54: downgrade: alone, with writers waiting, with readers, with both; who does not write panics", () => {
  for (const [nr, nw] of [
    [0, 0],
    [0, 2],
    [2, 0],
    [2, 1],
  ]) {
    const m = new TestMachine({ limits });
    const rw = makeLock(m);
    const w = m.queued(43, function* () {
      yield* K.rwEnter(m.k, rw, K.RW_WRITER);
      yield* S.lwpPark();
      K.rwDowngrade(m.k, rw);
      yield* S.lwpPark();
      K.rwExit(m.k, rw);
    });
    m.run();
    const rs = Array.from({ length: nr }, () => holder(m, rw, K.RW_READER));
    const ws = Array.from({ length: nw }, () => holder(m, rw, K.RW_WRITER));
    release(m, w);
    assert.equal(
      word(m, rw),
      readers(nr + 1) | (nw > 0 ? WAITERS | WANTED : 0),
      `${nr} readers, ${nw} writers`,
    );
    assert.ok(rs.every((l) => l.wmesg === "parked") && ws.every((l) => waits(l, rw)));
  }
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  holder(m, rw, K.RW_READER);
  assertPanics(() => m.asCpu(() => K.rwDowngrade(m.k, rw)), /rwDowngrade/);
});

test("BLK-54: tryupgrade succeeds for the only reader, and keeps the bits; unheld it panics", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const a = holder(m, rw, K.RW_READER);
  const b = holder(m, rw, K.RW_READER);
  assert.equal(
    as(m, a, () => K.rwTryupgrade(m.k, rw)),
    false,
  );
  release(m, b);
  holder(m, rw, K.RW_WRITER);
  assert.equal(
    as(m, a, () => K.rwTryupgrade(m.k, rw)),
    true,
  );
  assert.equal(word(m, rw), writer(a) | WAITERS | WANTED);
  const m2 = new TestMachine({ limits });
  const free = makeLock(m2);
  assertPanics(() => m2.asCpu(() => K.rwTryupgrade(m2.k, free)), /rwTryupgrade/);
});

test("BLK-54: tryenter admits as enter does, never sleeps, and leaves WRITE_WANTED as it is", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const l = m.queued(43, function* () {
    yield* S.lwpPark();
  });
  const attempt = (op: number): boolean => as(m, l, () => K.rwTryenter(m.k, rw, op));
  const table: [word: number, op: number, result: boolean, after: number][] = [
    [0, K.RW_READER, true, readers(1)],
    [0, K.RW_WRITER, true, writer(l)],
    [readers(1), K.RW_READER, true, readers(2)],
    [readers(1), K.RW_WRITER, false, readers(1)],
    [WANTED, K.RW_READER, false, WANTED],
    [WANTED, K.RW_WRITER, true, writer(l) | WANTED],
    [writer(l), K.RW_READER, false, writer(l)],
    [writer(l), K.RW_WRITER, false, writer(l)],
  ];
  for (const [before, op, result, after] of table) {
    m.k.w[rw] = before;
    assert.deepEqual([attempt(op), word(m, rw)], [result, after]);
  }
});

test("BLK-55: read_held: by somebody; lock_held: by anybody; write_held: by the caller; null: no; the owner is the writer", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const held = (l: K.Lwp): boolean[] =>
    as(m, l, () => [K.rwReadHeld(m.k, rw), K.rwLockHeld(m.k, rw), K.rwWriteHeld(m.k, rw)]);
  const idle = m.queued(43, function* () {
    yield* S.lwpPark();
  });
  assert.deepEqual([held(idle), K.rwOwner(m.k, rw)], [[false, false, false], null]);
  const r = holder(m, rw, K.RW_READER);
  assert.deepEqual(
    [held(r), held(idle), K.rwOwner(m.k, rw)],
    [[true, true, false], [true, true, false], null],
  );
  release(m, r);
  const w = holder(m, rw, K.RW_WRITER);
  assert.deepEqual([held(w), held(idle), K.rwOwner(m.k, rw)], [[false, true, true], [false, true, false], w]);
  assert.deepEqual(
    [K.rwReadHeld(m.k, 0), K.rwLockHeld(m.k, 0), K.rwWriteHeld(m.k, 0)],
    [false, false, false],
  );
  assertPanics(() => K.rwDestroy(m.k, rw), /rwDestroy/);
});

test("BLK-55: a reader that comes again waits behind a writer that came between: recursion deadlocks", () => {
  const m = new TestMachine({ limits });
  const rw = makeLock(m);
  const r = m.queued(43, function* () {
    yield* K.rwEnter(m.k, rw, K.RW_READER);
    yield* S.lwpPark();
    yield* K.rwEnter(m.k, rw, K.RW_READER);
  });
  m.run();
  const w = holder(m, rw, K.RW_WRITER);
  release(m, r);
  assert.deepEqual([waits(r, rw), waits(w, rw)], [true, true]);
});
