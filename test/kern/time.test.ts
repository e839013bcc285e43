/** How long a timeout lasts, and how times become ticks: BLK-75, 76. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { stateOf, TestMachine } from "../support/sim.js";

const INT_MAX = 0x7fffffff;

/** A machine with an LWP that is parked for so many ticks. */
function parkedFor(m: TestMachine, ticks: number): K.Lwp {
  const l = m.queued(43, function* () {
    const l = K.cur.lwp;
    const how = K.parkBlock(l, 0, ticks);
    if (how === K.BLOCK_SWITCHED) yield;
    assert.equal(K.parkUnblock(l, how, ticks), K.ETIMEDOUT);
    yield* S.lwpPark();
  });
  m.until(() => stateOf(l) === "SLEEP");
  return l;
}

suite("timeouts", () => {
  for (const n of [1, 2, 5, 300]) {
    test(`BLK-75: a timeout of ${n} ticks ends at the ${n}th tick from its start`, () => {
      const m = new TestMachine();
      const l = parkedFor(m, n);
      for (let tick = 1; tick < n; tick++) {
        m.sim.tick();
        assert.equal(stateOf(l), "SLEEP", `after ${tick} ticks`);
      }
      m.sim.tick();
      assert.equal(stateOf(l), "RUN");
    });
  }

  test("BLK-75: ticks that the CPU has yet to handle do not count: nothing ends early for them", () => {
    const m = new TestMachine();
    // The clock has gone on by five ticks while this CPU was busy.
    m.k.g.ticks += 5;
    const l = parkedFor(m, 3);
    m.asCpu(() => K.clockPoll(m.cpu(0)));
    assert.equal(stateOf(l), "SLEEP");
    m.sim.tick();
    m.sim.tick();
    assert.equal(stateOf(l), "SLEEP");
    m.sim.tick();
    assert.equal(stateOf(l), "RUN");
  });

  test("BLK-75: nor do they for a callout that is already pending", () => {
    const m = new TestMachine();
    const c = m.words(K.CALLOUT_WORDS);
    let fired = 0;
    m.k.slots.calloutHandlers.push(() => fired++);
    const handler = m.k.slots.calloutHandlers.length - 1;
    m.asCpu(() => {
      K.calloutInit(m.k, c, K.CALLOUT_MPSAFE);
      K.calloutReset(m.k, c, 4, handler, 0);
      m.k.g.ticks += 5;
      K.calloutSchedule(m.k, c, 4);
      K.clockPoll(m.cpu(0));
    });
    assert.equal(fired, 0);
    for (let i = 0; i < 3; i++) m.sim.tick();
    assert.equal(fired, 0);
    m.sim.tick();
    assert.equal(fired, 1);
  });

  test("BLK-75: a time is one tick more than its ticks, so that it never ends early; milliseconds are cut", () => {
    const { k } = new TestMachine();
    for (const ticks of [1, 2, 3, 100]) assert.equal(K.relativeTicks(k, 0, ticks * 1e7), ticks + 1);
    const millis = [
      [0, 0],
      [9, 0],
      [10, 1],
      [19, 1],
      [20, 2],
      [1005, 100],
    ];
    for (const [ms, ticks] of millis) assert.equal(K.millisToTicks(k, ms), ticks);
  });
});

suite("conversions", () => {
  const relative: readonly (readonly [number, number, number])[] = [
    [0, 0, 0],
    [0, 999, 0],
    [0, 1000, 2],
    [0, 1999, 2],
    [0, 9_999_999, 2],
    [0, 10_000_000, 2],
    [0, 10_000_999, 2],
    [0, 10_001_000, 3],
    [0, 20_000_000, 3],
    [0, 999_999_999, 101],
    [1, 0, 101],
    [1, 1000, 102],
    [60, 0, 6001],
    [-1, 0, 0],
    [-1, 999_999_999, 0],
    [21_474_836, 0, 2_147_483_601],
    [21_474_837, 0, INT_MAX],
    [1e12, 0, INT_MAX],
    [Number.POSITIVE_INFINITY, 0, INT_MAX],
  ];
  for (const [sec, nsec, ticks] of relative) {
    test(`BLK-76: ${sec} s ${nsec} ns from now are ${ticks} ticks`, () => {
      assert.equal(K.relativeTicks(new TestMachine().k, sec, nsec), ticks);
    });
  }

  const timers: readonly (readonly [number, number, number])[] = [
    [0, 0, 0],
    [0, 1, 2],
    [0, 999, 2],
    [0, 9_999_999, 2],
    [0, 10_000_000, 2],
    [0, 10_001_000, 3],
    [0, 999_999_999, 101],
    [1, 1, 101],
    [-1, 0, -K.EINVAL],
    [0, -1, -K.EINVAL],
    [0, 1e9, -K.EINVAL],
    [5, 1e9, -K.EINVAL],
    [Number.NaN, 0, -K.EINVAL],
    [0, Number.NaN, -K.EINVAL],
  ];
  for (const [sec, nsec, ticks] of timers) {
    test(`BLK-76: a timer of ${sec} s ${nsec} ns: ${ticks < 0 ? "EINVAL" : `${ticks} ticks`}`, () => {
      assert.equal(K.timerTicks(new TestMachine().k, sec, nsec), ticks);
    });
  }

  /** Until an absolute time, when it is 1000.5 s. */
  const absolute: readonly (readonly [string, number, number, number])[] = [
    ["now", 1000, 5e8, -K.ETIMEDOUT],
    ["past", 999, 0, -K.ETIMEDOUT],
    ["past", 1000, 499_999_999, -K.ETIMEDOUT],
    ["1 ns ahead", 1000, 500_000_001, 2],
    ["one tick ahead", 1000, 510_000_000, 2],
    ["a tenth of a second ahead", 1000, 600_000_000, 11],
    ["half a second ahead, across the second", 1001, 0, 51],
    ["far ahead", 1e12, 0, INT_MAX],
    ["past, though malformed", 998, 2e9, -K.ETIMEDOUT],
    ["past, though malformed", 1000, -1, -K.ETIMEDOUT],
    ["past, though malformed", 1001, -2e9, -K.ETIMEDOUT],
    ["nanoseconds a little too many: passes, as written", 1000, 1.2e9, 71],
    ["nanoseconds a little too few: passes, as written", 1001, -1000, 51],
    ["nanoseconds far too many", 1000, 1.6e9, -K.EINVAL],
    ["nanoseconds far too few", 1005, -1e9, -K.EINVAL],
  ];
  for (const [what, sec, nsec, result] of absolute) {
    const becomes =
      result === -K.ETIMEDOUT ? "ETIMEDOUT" : result === -K.EINVAL ? "EINVAL" : `${result} ticks`;
    test(`BLK-76: until ${sec} s ${nsec} ns (${what}): ${becomes}`, () => {
      const { k } = new TestMachine({ wallAtBoot: 1000.5 });
      assert.equal(K.absoluteTicks(k, { sec, nsec }), result);
    });
  }

  test("BLK-76: now is the wall clock at the resolution of ticks", () => {
    const m = new TestMachine({ wallAtBoot: 1000.5 });
    const until = { sec: 1000, nsec: 600_000_000 };
    m.k.g.time += 0.009;
    assert.equal(K.absoluteTicks(m.k, until), 11, "not finer");
    for (let i = 0; i < 9; i++) m.sim.tick();
    assert.equal(K.absoluteTicks(m.k, until), 2);
    m.sim.tick();
    assert.equal(K.absoluteTicks(m.k, until), -K.ETIMEDOUT);
  });
});
