/** Condition variables: BLK-60..66, 105..107. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine, withLock } from "../support/sim.js";

const limits = { procs: 40 };
const SIGUSR1 = 30;

/** A condition variable with its interlock, an adaptive mutex. */
class Condition {
  readonly m: TestMachine;
  readonly cv: number;
  readonly lock: number;
  /** Priorities of the waiters in the order in which they came back, and what they were told. */
  readonly log: string[] = [];

  constructor(m: TestMachine, wmesg = "test") {
    this.m = m;
    this.cv = m.words(K.CV_WORDS);
    this.lock = m.words(K.MTX_WORDS);
    m.asCpu(() => {
      K.cvInit(m.k, this.cv, wmesg);
      K.mutexInit(m.k, this.lock, K.MUTEX_DEFAULT, K.IPL_NONE);
    });
  }

  /** An LWP that waits once; asleep on the variable when this returns. */
  waiter(priority: number, wait: () => Generator<void, number | void, void> = this.wait): K.Lwp {
    const { m } = this;
    const l = m.queued(priority, () => this.body(wait, priority));
    m.until(() => stateOf(l) === "SLEEP");
    assert.equal(l.wchan, this.cv);
    return l;
  }

  private *body(
    wait: () => Generator<void, number | void, void>,
    priority: number,
  ): Generator<K.Token, void> {
    const { k } = this.m;
    yield* K.mutexEnter(k, this.lock);
    const result = yield* wait();
    assert.equal(K.mutexOwner(k, this.lock), K.cur.lwp, "it holds the interlock again");
    K.mutexExit(k, this.lock);
    this.log.push(`${priority}: ${result}`);
    K.cur.lwp.flag &= ~(K.LW_CANCELLED | K.LW_PENDSIG | K.LW_WCORE);
    yield* S.lwpPark();
  }

  readonly wait = () => K.cvWait(this.m.k, this.cv, this.lock);
  readonly waitSig = () => K.cvWaitSig(this.m.k, this.cv, this.lock);
  readonly timedwait = (ticks: number) => () => K.cvTimedwait(this.m.k, this.cv, this.lock, ticks);
  readonly timedwaitSig = (ticks: number) => () => K.cvTimedwaitSig(this.m.k, this.cv, this.lock, ticks);

  /** Wakes as somebody who holds the interlock. */
  signal(all = false): void {
    const { m } = this;
    m.asCpu(() => {
      assert.equal(K.mutexTryenter(m.k, this.lock), true);
      if (all) K.cvBroadcast(m.k, this.cv);
      else K.cvSignal(m.k, this.cv);
      K.mutexExit(m.k, this.lock);
    });
  }

  queue(): K.Lwp[] {
    return K.sleepqList(this.m.k, this.cv + K.CV_SLEEPQ);
  }
}

suite("condition variables", () => {
  test("BLK-60: a queue and a message, of which tools see eight characters; a destroyed one is dead", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m, "a long message");
    assert.equal(K.cvWmesg(m.k, c.cv), "a long m");
    assert.deepEqual(c.queue(), []);
    const l = c.waiter(43);
    assert.equal(l.wmesg, "a long m");
    c.signal();
    m.run();
    m.asCpu(() => K.cvDestroy(m.k, c.cv));
    assert.equal(K.cvWmesg(m.k, c.cv), K.CV_DEAD);
    m.queued(43, function* () {
      yield* K.mutexEnter(m.k, c.lock);
      yield* c.wait();
    });
    assertPanics(() => m.run(), /dead, or interlock not held/);
  });

  test("BLK-60: it cannot be destroyed while somebody waits", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    c.waiter(43);
    assertPanics(() => m.asCpu(() => K.cvDestroy(m.k, c.cv)), /has waiters/);
  });

  test("BLK-61: waiting: boost on, queued on the variable under its bucket's lock, interlock free", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    const l = c.waiter(43);
    assert.deepEqual([l.kpriority, l.kpribase, K.lwpEprio(l)], [1, 64, 85]);
    assert.deepEqual([l.wchan, l.sleepq, l.syncobj], [c.cv, c.cv, K.SOBJ_CV]);
    assert.equal(l.mutex, K.sleeptabBucket(m.k.sleeptab, c.cv));
    assert.equal(K.mutexOwner(m.k, c.lock), null);
    c.signal();
    m.run();
    assert.deepEqual(c.log, ["43: undefined"]);
  });

  test("BLK-61: the interlock may be a spin mutex, too", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const [cv, lock] = [m.words(K.CV_WORDS), m.words(K.MTX_WORDS)];
    m.asCpu(() => {
      K.cvInit(k, cv, "spin");
      K.mutexInit(k, lock, K.MUTEX_SPIN, K.IPL_SCHED);
    });
    let back = false;
    const l = m.queued(43, function* () {
      yield* K.mutexEnter(k, lock);
      yield* K.cvWait(k, cv, lock);
      assert.equal(K.mutexOwned(k, lock), true);
      K.mutexExit(k, lock);
      back = true;
    });
    m.run();
    assert.equal(stateOf(l), "SLEEP");
    assert.equal(K.mutexOwned(k, lock), false);
    m.asCpu(() => K.cvSignal(k, cv));
    m.run();
    assert.equal(back, true);
  });

  for (const what of ["nobody", "somebody else"]) {
    test(`BLK-61: waiting with the interlock held by ${what} is a kernel assertion`, () => {
      const m = new TestMachine({ limits });
      const c = new Condition(m);
      if (what !== "nobody") {
        m.queued(43, function* () {
          yield* K.mutexEnter(m.k, c.lock);
          yield* S.lwpPark();
        });
        m.run();
      }
      m.queued(43, function* () {
        yield* c.wait();
      });
      assertPanics(() => m.run(), /interlock not held/);
    });
  }

  /** What happens to a waiter; and for each way of waiting, what it returns (null: it sleeps on). */
  const events: readonly (readonly [
    string,
    (m: TestMachine, c: Condition, l: K.Lwp) => void,
    (number | null)[],
  ])[] = [
    ["a wakeup", (_m, c) => c.signal(), [0, 0, 0, 0]],
    [
      "its ticks pass",
      (m) => {
        for (let i = 0; i < 3; i++) m.sim.tick();
      },
      [null, null, K.EWOULDBLOCK, K.EWOULDBLOCK],
    ],
    [
      "it is told to stop waiting",
      (m, _c, l) => interrupt(m, l, K.LW_CANCELLED),
      [null, K.EINTR, null, K.EINTR],
    ],
    ["a signal", (m, _c, l) => signal(m, l, true), [null, K.ERESTART, null, K.ERESTART]],
    ["a signal that does not restart", (m, _c, l) => signal(m, l, false), [null, K.EINTR, null, K.EINTR]],
  ];
  for (const [what, happen, results] of events) {
    for (const [i, name] of ["cvWait", "cvWaitSig", "cvTimedwait", "cvTimedwaitSig"].entries()) {
      const expected = results[i];
      test(`BLK-62: ${name}, ${what}: ${expected === null ? "sleeps on" : `returns ${expected}`}`, () => {
        const m = new TestMachine({ limits });
        const c = new Condition(m);
        const wait = [c.wait, c.waitSig, c.timedwait(3), c.timedwaitSig(3)][i];
        const l = c.waiter(43, wait);
        assert.equal((l.flag & K.LW_SINTR) !== 0, i % 2 === 1);
        assert.equal(K.calloutPending(m.k, l.timeoutCh), i >= 2);
        happen(m, c, l);
        for (let n = 0; n < 20 && K.curcpuRunnable(m.cpu(0)); n++) m.sim.step();
        assert.deepEqual(c.log, expected === null ? [] : [`43: ${i === 0 ? undefined : expected}`]);
        assert.equal(stateOf(l), "SLEEP");
        assert.equal(l.wchan === c.cv, expected === null);
      });
    }
  }

  for (const [name, wait] of [
    ["cvTimedwait", (c: Condition) => c.timedwait(0)],
    ["cvTimedwaitSig", (c: Condition) => c.timedwaitSig(0)],
  ] as const) {
    test(`BLK-62: ${name} of 0 ticks has no timeout`, () => {
      const m = new TestMachine({ limits });
      const c = new Condition(m);
      const l = c.waiter(43, wait(c));
      assert.equal(K.calloutPending(m.k, l.timeoutCh), false);
      for (let i = 0; i < 600; i++) m.sim.tick();
      assert.equal(stateOf(l), "SLEEP");
      c.signal();
      m.run();
      assert.deepEqual(c.log, ["43: 0"]);
    });
  }

  for (const [what, error, happen] of [
    [
      "timed out",
      K.EWOULDBLOCK,
      (m: TestMachine) => {
        for (let i = 0; i < 3; i++) m.sim.tick();
      },
    ],
    ["interrupted", K.EINTR, (m: TestMachine, l: K.Lwp) => interrupt(m, l, K.LW_CANCELLED)],
    ["to be restarted", K.ERESTART, (m: TestMachine, l: K.Lwp) => signal(m, l, true)],
  ] as const) {
    test(`BLK-63: a waiter that was ${what} passes one wakeup on, holding the interlock, though it had none`, () => {
      const m = new TestMachine({ limits });
      const c = new Condition(m);
      const first = c.waiter(50, c.timedwaitSig(3));
      const [second, third] = [c.waiter(43), c.waiter(43)];
      // The interlock is held meanwhile: nothing is passed on before it is retaken.
      const holder = m.queued(43, function* () {
        yield* K.mutexEnter(m.k, c.lock);
        yield* S.lwpPark();
        K.mutexExit(m.k, c.lock);
        yield* S.lwpPark();
      });
      m.until(() => stateOf(holder) === "SLEEP");
      happen(m, first);
      m.until(() => first.wchan === c.lock);
      assert.deepEqual(c.queue(), [second, third]);
      m.asCpu(() => K.unpark(holder.proc, holder.lid, 0));
      m.run();
      assert.deepEqual(c.log, [`50: ${error}`, "43: undefined"]);
      assert.deepEqual(c.queue(), [third], "one, not all");
    });
  }

  test("BLK-63: one that was woken passes nothing on", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    c.waiter(50, c.timedwaitSig(3));
    c.waiter(43);
    c.signal();
    m.run();
    assert.deepEqual(c.log, ["50: 0"]);
    assert.equal(c.queue().length, 1);
  });

  test("BLK-64: signal wakes the first by effective priority, equals in order; broadcast all; nothing is remembered", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    c.signal();
    c.signal(true);
    const [a, b, urgent, low] = [c.waiter(43), c.waiter(43), c.waiter(130), c.waiter(20)];
    assert.deepEqual(c.queue(), [urgent, a, b, low], "those wakeups were not kept for them");
    c.signal();
    assert.deepEqual(c.queue(), [a, b, low]);
    m.run();
    c.signal();
    assert.deepEqual(c.queue(), [b, low]);
    c.signal(true);
    assert.deepEqual(c.queue(), []);
    m.run();
    assert.deepEqual(c.log, ["130: undefined", "43: undefined", "43: undefined", "20: undefined"]);
  });

  test("BLK-64: on an empty variable not even a lock is taken", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    m.asCpu(() =>
      withLock(m.k, K.sleeptabBucket(m.k.sleeptab, c.cv), () => {
        K.cvSignal(m.k, c.cv);
        K.cvBroadcast(m.k, c.cv);
      }),
    );
    assert.equal(m.sim.panic, null);
  });

  test("BLK-65: cvHasWaiters says whether somebody waits, with or without the interlock", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    assert.equal(K.cvHasWaiters(m.k, c.cv), false);
    c.waiter(43);
    c.waiter(43);
    assert.equal(K.cvHasWaiters(m.k, c.cv), true);
    c.signal();
    assert.equal(K.cvHasWaiters(m.k, c.cv), true);
    c.signal();
    assert.equal(K.cvHasWaiters(m.k, c.cv), false);
  });

  test("BLK-66: waiters use one interlock at a time: with another one while somebody waits is a kernel assertion", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    const other = m.words(K.MTX_WORDS);
    m.asCpu(() => K.mutexInit(m.k, other, K.MUTEX_DEFAULT, K.IPL_NONE));
    const withOther = function* (): Generator<K.Token, void> {
      yield* K.mutexEnter(m.k, other);
      yield* K.cvWait(m.k, c.cv, other);
      K.mutexExit(m.k, other);
    };
    c.waiter(43);
    c.signal();
    m.run();
    const l = m.queued(43, withOther);
    m.run();
    assert.equal(stateOf(l), "SLEEP", "when nobody waits it may change");
    m.queued(43, function* () {
      yield* K.mutexEnter(m.k, c.lock);
      yield* c.wait();
    });
    assertPanics(() => m.run(), /another interlock/);
  });

  test("BLK-105: of waiters of priority 30 and 50, 50 is woken; of equal ones, the earlier", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    const [low, high] = [c.waiter(30), c.waiter(50)];
    c.signal();
    assert.deepEqual([stateOf(low), stateOf(high)], ["SLEEP", "RUN"]);
    c.signal();
    m.run();
    const [first, second] = [c.waiter(40), c.waiter(40)];
    c.signal();
    assert.deepEqual([stateOf(first), stateOf(second)], ["RUN", "SLEEP"]);
  });

  test("BLK-106: woken in the tick in which its timeout fires: EWOULDBLOCK, and the next waiter gets the wakeup", () => {
    const m = new TestMachine({ limits });
    const c = new Condition(m);
    const first = c.waiter(50, c.timedwait(3));
    const second = c.waiter(43);
    m.sim.tick();
    m.sim.tick();
    c.signal();
    assert.deepEqual([stateOf(first), stateOf(second)], ["RUN", "SLEEP"]);
    m.sim.tick();
    m.run();
    assert.deepEqual(c.log, [`50: ${K.EWOULDBLOCK}`, "43: undefined"]);
  });

  test("BLK-107: boosted waiters: 43 and 50 queue at 85 and 89, RT 130 before both, 40 out of a mutex at 84", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const c = new Condition(m);
    const mutex = m.words(K.MTX_WORDS);
    m.asCpu(() => K.mutexInit(k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE));
    const holder = m.queued(43, function* () {
      yield* K.mutexEnter(k, mutex);
      yield* S.lwpPark();
      K.mutexExit(k, mutex);
      yield* S.lwpPark();
    });
    m.run();
    const l40 = m.queued(40, function* () {
      yield* K.mutexEnter(k, mutex);
      K.mutexExit(k, mutex);
      yield* K.mutexEnter(k, c.lock);
      yield* c.wait();
    });
    m.run();
    assert.equal(K.lwpEprio(l40), 20 + 96, "on the mutex");
    const [l43, l50] = [c.waiter(43), c.waiter(50)];
    m.asCpu(() => K.unpark(holder.proc, holder.lid, 0));
    m.run();
    const rt = c.waiter(130);
    assert.deepEqual(c.queue(), [rt, l50, l43, l40]);
    assert.deepEqual(c.queue().map(K.lwpEprio), [130, 89, 85, 84]);
  });
});

/** As `_lwp_wakeup` does to a sleeper that may be interrupted. */
function interrupt(m: TestMachine, l: K.Lwp, flag: number): void {
  m.setFlags(l, flag);
  if ((l.flag & K.LW_SINTR) === 0) return;
  m.asCpu(() => {
    K.lwpLock(l);
    K.lwpUnsleep(l, true);
  });
}

function signal(m: TestMachine, l: K.Lwp, restart: boolean): void {
  m.k.slots.sigrestart = () => restart;
  m.k.w[l.sigpend] |= 1 << (SIGUSR1 - 1);
  interrupt(m, l, K.LW_PENDSIG);
}
