/** Park and unpark: one token, an optional time, a hint that is only a hint. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, parked, stateOf, TestMachine } from "../support/sim.js";
import { atDelayPoint } from "../support/spy.js";

const TOKENS = K.LW_CANCELLED | K.LW_UNPARKED;

/** The wall clock at boot. */
const NOW = 1_000_000_000;

function unpark(m: TestMachine, p: K.Proc, lid: number, hint = 0): number {
  return m.asCpu(() => K.unpark(p, lid, hint));
}

/** Parks for ever, whatever tokens are left over. */
function* rest(): Generator<K.Token, never, undefined> {
  for (;;) yield* attempt(S.lwpPark());
}

/** Interrupts the sleep of an LWP, as `lwpWakeup` does. */
function wakeup(m: TestMachine, l: K.Lwp): void {
  m.asCpu(() => {
    K.lwpLock(l);
    l.flag |= TOKENS;
    K.lwpUnsleep(l, true);
  });
}

/** A process whose main thread does `what` and then parks. */
function thread(what: (seen: unknown[]) => Generator<K.Token, unknown, undefined>) {
  const m = new TestMachine();
  const seen: unknown[] = [];
  const p = m.spawn(function* () {
    yield* what(seen);
    yield* rest();
  });
  return { m, k: m.k, p, seen, main: m.lwp(p, 1) };
}

/** The queue of a park bucket, first to last. */
function queueOf(k: K.Kernel, p: K.Proc, hint: number): number[] {
  const bucket = K.sleeptabBucket(k.parktab, K.parkChannel(p, hint));
  return K.sleepqList(k, K.bucketQueue(bucket)).map((l) => l.lid);
}

/** A hint whose bucket is not that of hint 0. */
const ELSEWHERE = 0x5500;

describe("lwpPark", () => {
  test("SYS-23: channel, bucket, message, interruptible, without the kernel boost", () => {
    for (const hint of [0, 1, 0x1234, -1]) {
      const { m, k, p, main } = thread(() => attempt(S.lwpPark(null, 0, hint)));
      m.run();
      const channel = (p.at ^ hint) | 0;
      const bucket = k.parktab + ((channel >> 8) & 127) * (K.sleeptabBucket(0, 256) - K.sleeptabBucket(0, 0));
      assert.equal(K.SLEEPTAB_SIZE, 128);
      assert.equal(main.wchan, channel);
      assert.equal(main.mutex, bucket);
      assert.equal(main.sleepq, K.bucketQueue(bucket));
      assert.deepEqual([main.wmesg, main.syncobj], ["parked", K.SOBJ_PARK]);
      assert.equal(main.flag & K.LW_SINTR, K.LW_SINTR);
      assert.equal(main.kpriority, 0);
      assert.equal(K.lwpEprio(main), main.priority);
    }
  });

  test("SYS-23: a hint that is left out is made of the lid of the LWP that parks, for both sides", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        seen.push(yield* attempt(S.lwpPark()));
        yield* rest();
      });
      yield* S.schedYield();
      const t = m.lwp(p, 2);
      seen.push(t.wchan === K.parkChannel(p, 2 << 8));
      // Found at once, without the search.
      yield* S.lwpUnpark(2);
      seen.push(stateOf(t));
      yield* rest();
    });
    atDelayPoint(m, "unpark.missed", () => seen.push("missed"));
    m.run();
    assert.deepEqual(seen, [true, "RUN", undefined]);
  });

  test("SYS-23: the table is park's own; last in, first out, whatever the priorities", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      for (let i = 0; i < 3; i++) {
        yield* S.lwpCreate(function* () {
          yield* S.lwpPark(null, 0, 7);
        });
        yield* S.schedYield();
      }
      yield* S.lwpPark(null, 0, ELSEWHERE);
    });
    m.run();
    assert.deepEqual(queueOf(m.k, p, 7), [4, 3, 2]);
    const low = m.lwp(p, 4);
    m.asCpu(() => {
      K.lwpLock(low);
      K.lwpChangepri(low, low.priority - 10);
      K.lwpUnlock(low);
    });
    assert.deepEqual(queueOf(m.k, p, 7), [4, 3, 2]);
    for (let i = 0; i < K.SLEEPTAB_SIZE; i++) {
      const bucket = K.sleeptabBucket(m.k.sleeptab, i << 8);
      assert.deepEqual(
        K.sleepqList(m.k, K.bucketQueue(bucket)).filter((l) => l.proc === p),
        [],
      );
    }
  });

  test("SYS-23: at most one token is kept", () => {
    const { m, seen, main } = thread(function* (seen) {
      for (let i = 0; i < 5; i++) yield* S.lwpUnpark(1);
      seen.push(yield* attempt(S.lwpPark()));
      seen.push(yield* attempt(S.lwpPark()));
    });
    m.run();
    assert.deepEqual([seen, stateOf(main)], [["EALREADY"], "SLEEP"]);
  });

  test("SYS-24: EFAULT: the time; then the other LWP is unparked with its own hint, then the caller parks", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* S.lwpPark(null, 0, ELSEWHERE);
        seen.push("2 woken");
        yield* rest();
      });
      yield* S.schedYield();
      seen.push(yield* attempt(S.lwpPark("soon" as unknown as S.Timespec, 2)), stateOf(m.lwp(p, 2)));
      seen.push(yield* attempt(S.lwpPark(null, 2, 5, ELSEWHERE)));
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, ["EFAULT", "SLEEP", "2 woken"]);
    assert.equal(m.lwp(p, 1).wchan, K.parkChannel(p, 5));
  });

  test("SYS-24: the other LWP is unknown: ESRCH without parking, before the time is looked at", () => {
    const { m, seen, main } = thread(function* (seen) {
      for (const ts of [null, { sec: 0, nsec: 0 }, { sec: NOW + 1, nsec: -5e9 }])
        seen.push(yield* attempt(S.lwpPark(ts, 99)));
    });
    m.run();
    assert.deepEqual(seen, ["ESRCH", "ESRCH", "ESRCH"]);
    assert.equal(main.ncsw, 1, "it has switched once only, for its last park");
  });

  test("SYS-24: a time in the past, or malformed, comes after the other LWP has been unparked", () => {
    for (const [ts, error] of [
      [{ sec: 0, nsec: 0 }, "ETIMEDOUT"],
      [{ sec: NOW + 5, nsec: 5e9 }, "EINVAL"],
    ] as const) {
      const { m, seen, p } = thread(function* (seen) {
        yield* S.lwpCreate(parked);
        yield* S.schedYield();
        seen.push(yield* attempt(S.lwpPark(ts, 2)));
      });
      m.run();
      assert.deepEqual(seen, [error]);
      assert.equal(stateOf(m.lwp(p, 2)), "ZOMB");
    }
  });

  // Times are given relative to the boot of the machine, which is where its clock stands.
  const ticks: [sec: number, nsec: number, ticks: number][] = [
    [0, 1, 2],
    [0, 999, 2],
    [0, 9_999_999, 2],
    [0, 10_000_000, 2],
    // Cut to microseconds.
    [0, 10_000_999, 2],
    [0, 10_001_000, 3],
    [0, 20_000_000, 3],
    [0, 20_001_000, 4],
    [0, 999_999_999, 101],
    [1, 0, 101],
    [1, 1000, 102],
    [60, 0, 6001],
    [1e9, 0, 2 ** 31 - 1],
  ];
  for (const [sec, nsec, expected] of ticks) {
    test(`SYS-25: ${sec} s ${nsec} ns from now are ${expected} ticks`, () => {
      const { m, k, main } = thread(() => attempt(S.lwpPark({ sec: NOW + sec, nsec })));
      assert.equal(k.g.ticks, 1);
      m.until(() => stateOf(main) === "SLEEP");
      const due = k.w[main.timeoutCh + K.CO_TIME];
      assert.equal((due - m.cpu(0).tick) | 0, expected);
    });
  }

  test("SYS-25: it times out at that tick and not before", () => {
    const { m, k, seen, main } = thread(function* (seen) {
      seen.push(yield* attempt(S.lwpPark({ sec: NOW, nsec: 50_000_000 })));
      seen.push(m.k.g.ticks);
    });
    m.until(() => stateOf(main) === "SLEEP");
    const start = k.g.ticks;
    m.run();
    assert.deepEqual(seen, ["ETIMEDOUT", start + 6]);
    assert.equal(m.cpu(0).ncallouts, 0);
  });

  test("SYS-25: zero or negative: ETIMEDOUT before the token is looked at, which survives", () => {
    const past: [number, number][] = [
      [NOW, 0],
      [NOW - 1, 0],
      [NOW - 1, 999_999_999],
      [0, 0],
      [-5, 0],
      // One borrow does not make it positive; and a past time wins over a malformed one.
      [NOW, -1],
      [NOW + 1, -1_000_000_000],
      [NOW + 1, -5_000_000_000],
      [NOW - 1, 5_000_000_000],
    ];
    for (const [sec, nsec] of past) {
      const { m, seen, main } = thread(function* (seen) {
        yield* S.lwpUnpark(1);
        seen.push(yield* attempt(S.lwpPark({ sec, nsec })), K.cur.lwp.flag & TOKENS);
        seen.push(yield* attempt(S.lwpPark()), K.cur.lwp.flag & TOKENS);
        seen.push("parks");
      });
      m.run();
      assert.deepEqual(seen, ["ETIMEDOUT", K.LW_UNPARKED, "EALREADY", 0, "parks"], `${sec} ${nsec}`);
      assert.equal(stateOf(main), "SLEEP");
    }
  });

  test("SYS-25: the difference's nanoseconds out of range: EINVAL, before the token is looked at", () => {
    const bad: [number, number][] = [
      [NOW + 1, 1_000_000_000],
      [NOW, 1_000_000_000],
      [NOW + 2, -1_000_000_001],
      [NOW + 1, Number.NaN],
      [Number.NaN, 0],
    ];
    for (const [sec, nsec] of bad) {
      const { m, seen } = thread(function* (seen) {
        yield* S.lwpUnpark(1);
        seen.push(yield* attempt(S.lwpPark({ sec, nsec })), K.cur.lwp.flag & TOKENS);
        yield* attempt(S.lwpPark());
      });
      m.run();
      assert.deepEqual(seen, ["EINVAL", K.LW_UNPARKED], `${sec} ${nsec}`);
    }
  });

  test("SYS-25: so a malformed time may go unnoticed", () => {
    // Half a second after boot: 1.2 * 10^9 nanoseconds are 0.7 * 10^9 from now, and -1 is one borrow away.
    for (const [sec, nsec, due] of [
      [NOW, 1_200_000_000, 71],
      [NOW + 1, -1, 51],
    ]) {
      const m = new TestMachine();
      for (let i = 0; i < 50; i++) m.sim.tick();
      const p = m.spawn(function* () {
        yield* attempt(S.lwpPark({ sec, nsec }));
        yield* rest();
      });
      const main = m.lwp(p, 1);
      m.until(() => stateOf(main) === "SLEEP");
      assert.equal(m.k.w[main.timeoutCh + K.CO_TIME] - m.cpu(0).tick, due);
    }
  });

  for (const [name, bits] of [
    ["CANCELLED", K.LW_CANCELLED],
    ["UNPARKED", K.LW_UNPARKED],
    ["both", TOKENS],
  ] as const) {
    test(`SYS-25: ${name} set: both are cleared, EALREADY, and nothing sleeps`, () => {
      const { m, seen, main } = thread(function* (seen) {
        const l = K.cur.lwp;
        K.lwpLock(l);
        l.flag |= bits;
        K.lwpUnlock(l);
        seen.push(yield* attempt(S.lwpPark({ sec: NOW + 9, nsec: 0 })), l.flag & TOKENS, l.ncsw);
      });
      m.run();
      assert.deepEqual(seen, ["EALREADY", 0, 0]);
      assert.equal(stateOf(main), "SLEEP");
    });
  }

  test("SYS-25: an unpark that comes just before the sleep is not lost", () => {
    const { m, p, seen } = thread(function* (seen) {
      seen.push(yield* attempt(S.lwpPark(null, 0, 3)));
    });
    let times = 0;
    atDelayPoint(m, "park.enter", () => {
      if (times++ === 0) assert.equal(K.unpark(p, 1, 3), 0);
    });
    m.run();
    assert.deepEqual([times > 0, seen], [true, ["EALREADY"]]);
  });

  test("SYS-26: 0 when unparked, and when woken by suspend and continue", () => {
    const { m, p, seen, main } = thread(function* (seen) {
      seen.push(yield* attempt(S.lwpPark({ sec: NOW + 100, nsec: 0 })));
      seen.push(yield* attempt(S.lwpPark()));
    });
    m.until(() => stateOf(main) === "SLEEP");
    assert.equal(unpark(m, p, 1), 0);
    m.run();
    assert.deepEqual(seen, [undefined]);
    assert.equal(m.cpu(0).ncallouts, 0);
    m.locked(p, () => {
      K.lwpLock(main);
      K.lwpSuspend(K.cur.lwp, main);
    });
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    m.locked(p, () => {
      K.lwpLock(main);
      K.lwpContinue(main);
    });
    m.run();
    assert.deepEqual(seen, [undefined, undefined]);
  });

  test("SYS-26: 0 when stopped in its sleep and set running again", () => {
    const { m, p, seen, main } = thread(function* (seen) {
      seen.push(yield* attempt(S.lwpPark()));
    });
    m.run();
    m.locked(p, () => {
      K.lwpLock(main);
      K.setStat(main, K.LSSTOP);
      p.nrlwps--;
      K.setrunnable(main);
    });
    m.run();
    assert.deepEqual(seen, [undefined]);
  });

  test("SYS-26: EINTR by a signal, also when the call would be restarted", () => {
    for (const restart of [true, false]) {
      const { m, k, p, seen, main } = thread(function* (seen) {
        seen.push(yield* attempt(S.lwpPark()));
      });
      const taken: number[] = [];
      k.slots.sigrestart = () => restart;
      k.slots.issignal = (l) => {
        const sig = K.firstsig(l);
        if (sig !== 0) k.w[l.sigpend] = 0;
        return sig;
      };
      k.slots.postsig = (_l, sig) => void taken.push(sig);
      m.run();
      m.locked(p, () => {
        k.w[main.sigpend] = 1 << 3;
        K.lwpLock(main);
        main.flag |= K.LW_PENDSIG;
        K.setrunnable(main);
      });
      m.run();
      assert.deepEqual([seen, taken], [["EINTR"], [4]]);
    }
  });

  test("SYS-26: EINTR by lwpWakeup; 0 by an unpark, for which the manual says EINTR", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    m.spawn(function* () {
      for (let i = 0; i < 2; i++) {
        yield* S.lwpCreate(function* () {
          seen.push(yield* attempt(S.lwpPark()));
          yield* rest();
        });
      }
      yield* S.schedYield();
      yield* S.lwpWakeup(2);
      yield* S.lwpUnpark(3);
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, ["EINTR", undefined]);
  });

  test("SYS-26: EINTR by the exit of the process, which the program does not live to see", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const results: number[] = [];
    const status = m.runToEnd(function* () {
      yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        const how = K.parkBlock(l, 0, 0);
        yield;
        results.push(K.parkUnblock(l, how, 0));
        yield* S.lwpSelf();
        seen.push("alive");
      });
      yield* S.lwpCreate(function* () {
        seen.push(yield* attempt(S.lwpPark()));
      });
      yield* S.schedYield();
      yield* S.procExit(3);
    });
    assert.deepEqual([results, seen, status], [[K.EINTR], [], 3 << 8]);
  });
});

describe("lwpUnpark", () => {
  /** LWP 2 parks with `parkHint` and logs; main unparks it with `hint`. */
  function pair(parkHint: number, hint: number) {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        seen.push(yield* attempt(S.lwpPark(null, 0, parkHint)));
        yield* rest();
      });
      yield* S.schedYield();
      const t = m.lwp(p, 2);
      seen.push(yield* attempt(S.lwpUnpark(2, hint)), stateOf(t), t.flag & TOKENS);
      yield* rest();
    });
    m.run();
    return seen;
  }

  test("SYS-27: found in the hint's bucket, though its channel be another", () => {
    assert.deepEqual(pair(0, 0), [undefined, "RUN", 0, undefined]);
    assert.deepEqual(pair(1, 2), [undefined, "RUN", 0, undefined]);
  });

  test("SYS-27: parked under a hint of another bucket: found all the same", () => {
    assert.deepEqual(pair(0, ELSEWHERE), [undefined, "RUN", 0, undefined]);
  });

  test("SYS-27: not parked: remembered, whatever else it does", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.lwpCreate(function* () {
        yield* attempt(S.lwpWait(1));
        yield* rest();
      });
      yield* S.schedYield();
      for (const lid of [1, 2, 3]) {
        const t = m.lwp(p, lid);
        seen.push(yield* attempt(S.lwpUnpark(lid)), stateOf(t), t.flag & TOKENS);
      }
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, [
      ...[undefined, "ONPROC", K.LW_UNPARKED],
      ...[undefined, "SUSPENDED", K.LW_UNPARKED],
      ...[undefined, "SLEEP", K.LW_UNPARKED],
    ]);
  });

  test("SYS-27: unknown, dead or not started: ESRCH", () => {
    const { m, p, seen } = thread(function* (seen) {
      const l = K.cur.lwp;
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      const start = { kind: K.CTX_CLOSURE, closure: rest };
      const unborn = K.lwpCreate(l, l.proc, 0, start, l.class) as K.Lwp;
      for (const lid of [99, 0, 2, unborn.lid]) seen.push(yield* attempt(S.lwpUnpark(lid)));
      K.lwpStart(l, unborn, 0);
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, ["ESRCH", "ESRCH", "ESRCH", "ESRCH"]);
  });

  test("SYS-27: one of another process with the same lid stands in the same bucket: not touched", () => {
    const m = new TestMachine();
    const body = function* () {
      yield* S.lwpCreate(function* () {
        yield* S.lwpPark(null, 0, hint());
        yield* rest();
      });
      yield* rest();
    };
    let other = 0;
    // The second process's hint takes it to the first one's bucket.
    const hint = () => (K.cur.lwp.proc === p ? 0 : other);
    const p: K.Proc = m.spawn(body);
    const q = m.spawn(body);
    other = p.at ^ q.at;
    m.run();
    const [a, b] = [m.lwp(p, 2), m.lwp(q, 2)];
    assert.equal(a.sleepq, b.sleepq);
    assert.equal(unpark(m, p, 2), 0);
    assert.deepEqual([stateOf(a), stateOf(b)], ["RUN", "SLEEP"]);
    assert.equal(unpark(m, q, 2, other), 0);
    assert.equal(stateOf(b), "RUN");
  });

  test("SYS-27: one that parks between the look into the bucket and the search is found", () => {
    const m = new TestMachine({ cpus: 2 });
    let woken = 0;
    const p = m.spawn(function* () {
      yield* S.lwpPark(null, 0, ELSEWHERE);
      woken++;
      yield* rest();
    });
    // It parks elsewhere than the hint says, in the very window.
    atDelayPoint(m, "unpark.missed", () => assert.equal(m.sim.step(), true));
    m.asCpu(() => assert.equal(K.unpark(p, 1, 0), 0));
    m.run();
    assert.equal(woken, 1);
  });

  test("SYS-28: null: how many one call takes; none or more: EINVAL", () => {
    const { m, seen } = thread(function* (seen) {
      seen.push(yield* attempt(S.lwpUnparkAll(null)));
      for (const n of [0, 1, 1024, 1025, 5000]) {
        const lids = Array.from({ length: n }, () => 99);
        seen.push([n, yield* attempt(S.lwpUnparkAll(lids))]);
      }
    });
    m.run();
    assert.deepEqual(seen, [1024, [0, "EINVAL"], [1, 0], [1024, 0], [1025, "EINVAL"], [5000, "EINVAL"]]);
  });

  test("SYS-28: EFAULT: not an array of numbers, and nobody is woken; the number is looked at first", () => {
    const { m, p, seen } = thread(function* (seen) {
      yield* S.lwpCreate(parked);
      yield* S.schedYield();
      for (const lids of [undefined, 5, "2", {}, [2, "2"], [2, null], [2, {}]])
        seen.push(yield* attempt(S.lwpUnparkAll(lids as number[])));
      seen.push(
        yield* attempt(S.lwpUnparkAll(Array.from({ length: 1025 }, () => "x") as unknown as number[])),
      );
    });
    m.run();
    assert.deepEqual(seen, [...Array.from({ length: 7 }, () => "EFAULT"), "EINVAL"]);
    assert.equal(stateOf(m.lwp(p, 2)), "SLEEP");
  });

  test("SYS-28: each id as lwpUnpark does, unknown ones skipped (ENOMEM has no counterpart)", () => {
    const m = new TestMachine();
    const woken: number[] = [];
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      for (const hint of [0, ELSEWHERE, 3]) {
        yield* S.lwpCreate(function* () {
          yield* S.lwpPark(null, 0, hint);
          woken.push(yield* S.lwpSelf());
          yield* rest();
        });
      }
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.schedYield();
      seen.push(yield* attempt(S.lwpUnparkAll([99, 4, -1, 2, 77, 3, 5, 2 ** 40], 3)));
      seen.push(m.lwp(p, 5).flag & TOKENS);
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, [0, K.LW_UNPARKED]);
    assert.deepEqual(woken, [4, 2, 3]);
  });

  test("SYS-29: unparking lends no priority and does not yield", () => {
    const m = new TestMachine();
    const log: string[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      yield* S.lwpCreate(function* () {
        yield* S.lwpPark();
        log.push("woken");
        yield* rest();
      });
      yield* S.schedYield();
      const t = m.lwp(p, 2);
      const before = [l.ncsw, t.priority, t.inheritedprio, t.kpriority];
      yield* S.lwpUnpark(2);
      yield* S.lwpUnparkAll([2]);
      log.push("goes on");
      assert.deepEqual([l.ncsw, t.priority, t.inheritedprio, t.kpriority], before);
      yield* rest();
    });
    m.run();
    assert.deepEqual(log, ["goes on", "woken"]);
  });
});

describe("scenarios", () => {
  test("SYS-80: unparked twice, then parked twice: EALREADY, then it sleeps", () => {
    const { m, seen, main } = thread(function* (seen) {
      yield* S.lwpUnpark(1);
      yield* S.lwpUnpark(1);
      seen.push(yield* attempt(S.lwpPark()));
      seen.push(yield* attempt(S.lwpPark()));
    });
    m.run();
    assert.deepEqual([seen, stateOf(main)], [["EALREADY"], "SLEEP"]);
  });

  test("SYS-81: a wrong hint wakes all the same, with 0", () => {
    for (const [parkHint, hint] of [
      [ELSEWHERE, 0],
      [0, ELSEWHERE],
      [-1, 0x7fffffff],
    ]) {
      const { m, p, seen } = thread(function* (seen) {
        seen.push(yield* attempt(S.lwpPark(null, 0, parkHint)));
      });
      m.run();
      assert.equal(unpark(m, p, 1, hint), 0);
      m.run();
      assert.deepEqual(seen, [undefined]);
    }
  });

  test("SYS-82: a past deadline and a token: ETIMEDOUT; the next park EALREADY", () => {
    const { m, seen } = thread(function* (seen) {
      yield* S.lwpUnpark(1);
      seen.push(yield* attempt(S.lwpPark({ sec: NOW - 1, nsec: 0 })));
      seen.push(yield* attempt(S.lwpPark()));
    });
    m.run();
    assert.deepEqual(seen, ["ETIMEDOUT", "EALREADY"]);
  });

  test("SYS-83: parking with a dead lid: ESRCH without sleeping; the own token is untouched", () => {
    const { m, p, seen, main } = thread(function* (seen) {
      const l = K.cur.lwp;
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      const switches = l.ncsw;
      seen.push(yield* attempt(S.lwpPark(null, 2)), l.ncsw - switches);
      yield* S.lwpUnpark(1);
      seen.push(yield* attempt(S.lwpPark(null, 2)), l.flag & TOKENS);
      seen.push(yield* attempt(S.lwpPark()));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, ["ESRCH", 0, "ESRCH", K.LW_UNPARKED, "EALREADY"]);
    assert.equal(stateOf(main), "SLEEP");
  });

  test("SYS-84: A, then B on one channel: the queue is B, A; lwpUnparkAll wakes in the order of its array", () => {
    for (const order of [
      [2, 3],
      [3, 2],
    ]) {
      const m = new TestMachine();
      const woken: number[] = [];
      const p = m.spawn(function* () {
        for (let i = 0; i < 2; i++) {
          yield* S.lwpCreate(function* () {
            yield* S.lwpPark(null, 0, 8);
            woken.push(yield* S.lwpSelf());
            yield* rest();
          });
        }
        yield* S.schedYield();
        assert.deepEqual(queueOf(m.k, p, 8), [3, 2]);
        assert.equal(yield* S.lwpUnparkAll(order, 8), 0);
        yield* rest();
      });
      m.run();
      assert.deepEqual(woken, order);
    }
  });

  test("SYS-85: lwpWakeup while parked: EINTR; the next park EALREADY; the one after sleeps", () => {
    const { m, seen, main } = thread(function* (seen) {
      for (let i = 0; i < 3; i++) seen.push(yield* attempt(S.lwpPark()));
    });
    m.run();
    wakeup(m, main);
    m.run();
    assert.deepEqual([seen, stateOf(main)], [["EINTR", "EALREADY"], "SLEEP"]);
  });

  for (const [what, next, result] of [
    ["its next interruptible sleep fails with EINTR at once", () => attempt(S.lwpWait(1)), "EINTR"],
    ["its next park with EALREADY", () => attempt(S.lwpPark()), "EALREADY"],
  ] as const) {
    test(`SYS-86: lwpWakeup while it computes: ENODEV; ${what}`, () => {
      const m = new TestMachine();
      const seen: unknown[] = [];
      let go = true;
      m.spawn(function* () {
        yield* S.lwpCreate(function* () {
          while (go) yield* S.schedYield();
          const before = K.cur.lwp.ncsw;
          seen.push(yield* next(), K.cur.lwp.ncsw - before);
          yield* rest();
        });
        yield* S.schedYield();
        seen.push(yield* attempt(S.lwpWakeup(2)));
        go = false;
        yield* rest();
      });
      m.run();
      assert.deepEqual(seen, ["ENODEV", result, 0]);
    });
  }
});
