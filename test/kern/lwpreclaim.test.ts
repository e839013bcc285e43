/** What dead LWPs leave in their records, and when it is given back: LWP-40. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, parked, TestMachine } from "../support/sim.js";

/** A machine on which three LWPs have died, and a thread that does `body` then. */
function after(
  body: (dead: K.Lwp[]) => Generator<void, void, void>,
  m = new TestMachine({ cpus: 2 }),
): TestMachine {
  const dead: K.Lwp[] = [];
  m.spawn(function* () {
    const lids: number[] = [];
    for (let i = 0; i < 3; i++) lids.push(yield* S.lwpCreate(function* () {}));
    const { proc } = K.cur.lwp;
    for (const lid of lids) {
      dead.push(m.lwp(proc, lid));
      yield* S.lwpWait(lid);
    }
    yield* body(dead);
    yield* S.lwpSelf();
    yield* parked();
  });
  m.run();
  return m;
}

/** Words of a record that are not 0, but for its generation and its link. */
const leftovers = (l: K.Lwp): number =>
  l.w.subarray(l.at + 2, l.at + K.LwpRecord.words).reduce((n, word) => n + (word === 0 ? 0 : 1), 0);

test("LWP-40: freeing an LWP gives nothing back: its record keeps its words, its CPU among them, and no CPU is called", () => {
  after(function* (dead) {
    for (const l of dead) {
      assert.equal(l.gen & 1, 0);
      assert.notEqual(l.w[l.at + K.LwpRecord.offset.cpu], 0);
      assert.ok(leftovers(l) > 0);
    }
    assert.equal(K.cur.lwp.k.xc.head, 0);
  });
});

test("LWP-40: giving back waits until every CPU has run its cross-call thread; then the records are empty, but for their generation, and their turnstiles go back", () => {
  const log: unknown[] = [];
  after(function* (dead) {
    const { k } = K.cur.lwp;
    const gens = dead.map((l) => l.gen);
    const calls = k.xc.head;
    const turnstiles = k.turnstiles.inUse;
    log.push(yield* K.lwpReclaim(k));
    log.push(turnstiles - k.turnstiles.inUse);
    log.push(k.xc.head - calls, k.xc.done - calls);
    log.push(dead.map(leftovers), dead.map((l) => l.gen).join() === gens.join());
    log.push(yield* K.lwpReclaim(k), k.xc.head - calls);
  });
  // A call on each CPU, once; nothing is left to give back the second time.
  assert.deepEqual(log, [3, 3, 2, 2, [0, 0, 0], true, 0, 2]);
});

test("LWP-40: while it waits the records may be used again: those are left alone", () => {
  const m = new TestMachine({ cpus: 2 });
  const log: unknown[] = [];
  after(function* (dead) {
    const { k } = m;
    let used: K.Lwp | null = null;
    // It is taken up while the requester waits.
    k.slots.crosscalls[K.XC_NULLOP] = () => {
      if (used !== null) return;
      const { ts } = dead.find((l) => l.index === k.w[k.lwps.header + K.POOL_FREE]) as K.Lwp;
      used = K.poolGet(k.lwps) as K.Lwp;
      used.proc = k.procs.view(1);
      used.ts = ts;
      used.lid = 77;
      K.poolPut(k.lwps, used);
    };
    log.push(yield* K.lwpReclaim(k));
    const again = used as unknown as K.Lwp;
    log.push(dead.includes(again), again.lid, dead.filter((l) => leftovers(l) === 0).length);
  }, m);
  assert.deepEqual(log, [2, true, 77, 2]);
});

test("LWP-40: a dead LWP without a CPU is a kernel assertion", () => {
  assertPanics(
    () =>
      after(function* (dead) {
        dead[0].w[dead[0].at + K.LwpRecord.offset.cpu] = 0;
        yield* K.lwpReclaim(K.cur.lwp.k);
      }),
    /lwpDtor: an LWP without a CPU/,
  );
});

test("LWP-40: what was cleared serves again like any other", () => {
  const m = new TestMachine({ cpus: 2, limits: { lwps: 12 } });
  after(function* () {
    yield* K.lwpReclaim(m.k);
    const lid = K.createLwp(K.cur.lwp, 0, { kind: K.CTX_CLOSURE, closure: function* () {} });
    yield* S.lwpWait(lid) as Generator<void, number, void>;
  }, m);
  m.sim.check();
});
