/** Synchronisation objects, sleep queues and the sleep itself: BLK-1..15, 20..24, 100, 101, 104. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

const limits = { procs: 40 };

/** Computes for ever, an operation at a time. */
function* compute(): Generator<K.Token, void, undefined> {
  for (;;) yield* S.lwpSelf();
}

/** A queue of its own for some kind of object, with the lock that covers it. */
interface Queue {
  readonly sobj: number;
  readonly q: number;
  readonly wchan: number;
  readonly lock: number;
}

function queueFor(m: TestMachine, sobj: number, wchan = m.words(K.CV_WORDS)): Queue {
  const { k } = m;
  if (sobj === K.SOBJ_PARK) {
    const bucket = K.sleeptabBucket(k.parktab, wchan);
    return { sobj, q: K.bucketQueue(bucket), wchan, lock: bucket };
  }
  const lock =
    sobj === K.SOBJ_SLEEP || sobj === K.SOBJ_CV ? K.sleeptabBucket(k.sleeptab, wchan) : K.tschain(k, wchan);
  if (sobj === K.SOBJ_CV) return { sobj, q: wchan + K.CV_SLEEPQ, wchan, lock };
  return { sobj, q: sobj === K.SOBJ_SLEEP ? K.bucketQueue(lock) : m.words(K.SLEEPQ_WORDS), wchan, lock };
}

/** Queues the current LWP: everything of a sleep up to the switch. */
function enter(k: K.Kernel, on: Queue, wmesg = "test"): void {
  K.spinEnter(k, on.lock);
  K.sleepqEnter(K.cur.lwp, on.lock);
  K.sleepqEnqueue(K.cur.lwp, on.q, on.wchan, wmesg, on.sobj);
}

/** A whole sleep of the current LWP; its result. */
function* sleepOn(
  k: K.Kernel,
  on: Queue,
  ticks = 0,
  catchSignals = false,
): Generator<K.Token, number, undefined> {
  const l = K.cur.lwp;
  enter(k, on);
  const how = K.sleepqBlock(l, ticks, catchSignals);
  if (how === K.BLOCK_SWITCHED) yield;
  return K.sleepqUnblock(l, how, ticks, catchSignals);
}

/** An LWP that has gone to sleep there; `results` gets what the sleep returned. */
function sleeper(
  m: TestMachine,
  on: Queue,
  priority: number,
  results: number[] = [],
  ticks = 0,
  catches = false,
) {
  const l = m.queued(priority, function* () {
    results.push(yield* sleepOn(m.k, on, ticks, catches));
    yield* S.lwpPark();
  });
  m.until(() => stateOf(l) === "SLEEP");
  return l;
}

/** The priorities of a queue's LWPs, first to last. */
function order(m: TestMachine, on: Queue): number[] {
  return K.sleepqList(m.k, on.q).map((l) => l.priority);
}

/** Stops an LWP by hand, as a stop signal would. */
function stop(m: TestMachine, l: K.Lwp): void {
  m.locked(l.proc, () => {
    l.proc.nrlwps--;
    K.lwpLock(l);
    K.setStat(l, K.LSSTOP);
    K.lwpUnlock(l);
  });
}

const SIGUSR1 = 30;
const SIGTSTP = 18;

function post(m: TestMachine, l: K.Lwp, sig: number): void {
  m.k.w[l.sigpend] |= 1 << (sig - 1);
  m.setFlags(l, K.LW_PENDSIG);
}

suite("synchronisation objects", () => {
  test("BLK-1: an LWP is of the scheduler's object unless it sleeps, then of what it sleeps on", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const l = sleeper(m, on, 43);
    assert.equal(l.syncobj, K.SOBJ_CV);
    assert.equal(m.cpu(0).idlelwp.syncobj, K.SOBJ_SCHED, "the idle thread");
    const queued = m.queued(43, compute);
    assert.equal(queued.syncobj, K.SOBJ_SCHED, "a runnable one");
    m.until(() => m.cpu(0).curlwp === queued);
    assert.equal(queued.syncobj, K.SOBJ_SCHED, "a running one");
    m.holding(l, () => {
      const lock = l.mutex;
      K.sleepqRemove(l);
      K.spinExit(m.k, lock);
      K.spinEnter(m.k, l.mutex);
    });
    assert.equal(l.syncobj, K.SOBJ_SCHED, "a woken one");
  });

  const SORTED = [30, 20, 10];
  const FIFO = [10, 30, 20];
  const LIFO = [20, 30, 10];
  const objects: readonly (readonly [string, number, number[], boolean])[] = [
    ["sleep", K.SOBJ_SLEEP, SORTED, true],
    ["cv", K.SOBJ_CV, SORTED, true],
    ["select", K.SOBJ_SELECT, FIFO, true],
    ["park", K.SOBJ_PARK, LIFO, true],
    ["mutex", K.SOBJ_MUTEX, SORTED, false],
    ["rw", K.SOBJ_RW, SORTED, false],
  ];
  for (const [name, sobj, expected, interruptible] of objects) {
    const how = expected === SORTED ? "SORTED" : expected === FIFO ? "FIFO" : "LIFO";
    const unsleep = interruptible ? "can be woken from outside" : "panics when woken from outside";
    test(`BLK-1, BLK-2: ${name}: ${how}, ${unsleep}, owner: ${interruptible ? "none" : "who has locked it"}`, () => {
      // On a queue of their own instead of a turnstile's, which the checker would not accept.
      const m = new TestMachine({ limits, checked: interruptible });
      const mutex = m.words(K.MTX_WORDS);
      if (sobj === K.SOBJ_RW) K.rwInit(m.k, mutex);
      else m.asCpu(() => K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE));
      const holder = m.queued(43, function* () {
        if (sobj === K.SOBJ_RW) yield* K.rwEnter(m.k, mutex, K.RW_WRITER);
        else yield* K.mutexEnter(m.k, mutex);
        yield* S.lwpPark();
      });
      m.run();
      const on = queueFor(m, sobj, interruptible ? undefined : mutex);
      const [l10, l30, l20] = [10, 30, 20].map((priority) => sleeper(m, on, priority));
      assert.deepEqual(order(m, on), expected);

      for (const [change, back] of [
        [() => K.lwpChangepri(l10, 40), () => K.lwpChangepri(l10, 10)],
        [() => K.lwpLendpri(l10, 40), () => K.lwpLendpri(l10, K.PRI_NONE)],
      ]) {
        m.holding(l10, change);
        const now = K.sleepqList(m.k, on.q);
        assert.deepEqual(
          now,
          expected === SORTED ? [l10, l30, l20] : expected === FIFO ? [l10, l30, l20] : [l20, l30, l10],
        );
        m.holding(l10, back);
        assert.deepEqual(order(m, on), expected);
      }

      assert.equal(K.syncobjOwner(l10), interruptible ? null : holder);

      const wake = () =>
        m.asCpu(() => {
          K.lwpLock(l30);
          K.lwpUnsleep(l30, true);
        });
      if (interruptible) {
        wake();
        assert.equal(stateOf(l30), "RUN");
        assert.deepEqual(
          order(m, on),
          expected.filter((priority) => priority !== 30),
        );
      } else {
        assertPanics(wake, /cannot be woken from outside/);
      }
    });
  }

  test("BLK-2: sched: unsleep panics, there is no owner, and a change asks for the CPU if it beats what runs", () => {
    const m = new TestMachine({ limits });
    const ci = m.cpu(0);
    const l = m.queued(43, compute);
    m.until(() => ci.curlwp === l);
    assert.equal(K.syncobjOwner(l), null);
    assert.equal(ci.curpriority, 43);
    m.holding(l, () => K.lwpChangepri(l, 42));
    assert.deepEqual([l.priority, ci.attention], [42, 0]);
    m.holding(l, () => K.lwpChangepri(l, 43));
    assert.deepEqual([l.priority, ci.attention], [43, 0], "as recorded is not more");
    m.holding(l, () => K.lwpChangepri(l, 44));
    assert.deepEqual([l.priority, ci.attention], [44, K.RESCHED_LAZY], "flags 0, which mean LAZY");
    m.k.w[ci.at + K.CpuRecord.offset.attention] = 0;
    m.holding(l, () => K.lwpLendpri(l, 60));
    assert.deepEqual([l.inheritedprio, ci.attention], [60, K.RESCHED_LAZY]);
    assertPanics(() => m.holding(l, () => K.lwpUnsleep(l, true)), /cannot be woken from outside/);
  });

  test("BLK-3: an unchanged priority moves nothing; otherwise the field has the new value, whatever the LWP does", () => {
    const m = new TestMachine({ limits });
    const ci = m.cpu(0);
    const on = queueFor(m, K.SOBJ_CV);
    const asleep = [sleeper(m, on, 20), sleeper(m, on, 20)];
    const queued = [m.queued(20, compute), m.queued(20, compute)];
    const running = m.queued(50, compute);
    m.until(() => ci.curlwp === running);
    for (const l of [asleep[0], queued[0]]) {
      m.holding(l, () => K.lwpChangepri(l, 20));
      m.holding(l, () => K.lwpLendpri(l, K.PRI_NONE));
    }
    assert.deepEqual(K.sleepqList(m.k, on.q), asleep, "still the first of its equals");
    assert.deepEqual(K.runqList(ci, 20), queued);
    for (const l of [asleep[0], queued[0], running]) {
      m.holding(l, () => K.lwpChangepri(l, 33));
      m.holding(l, () => K.lwpLendpri(l, 44));
      assert.deepEqual([l.priority, l.inheritedprio], [33, 44]);
    }
    m.sim.check();
    assertPanics(() => m.asCpu(() => K.lwpChangepri(running, 1)), /not locked/);
  });

  test("BLK-4: a sleeper has a channel, a message, and the lock of its queue: bucket, variable, turnstile", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const cv = m.words(K.CV_WORDS);
    const mutex = m.words(K.MTX_WORDS);
    m.asCpu(() => {
      K.cvInit(k, cv, "variable name");
      K.mutexInit(k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
    });
    const table = queueFor(m, K.SOBJ_SLEEP);
    const inTable = sleeper(m, table, 43);
    const onCv = m.queued(43, function* () {
      yield* K.mutexEnter(k, mutex);
      yield* K.cvWait(k, cv, mutex);
    });
    m.run();
    m.queued(43, function* () {
      yield* K.mutexEnter(k, mutex);
      yield* S.lwpPark();
    });
    m.run();
    const onMutex = m.queued(43, function* () {
      yield* K.mutexEnter(k, mutex);
    });
    const parked = m.queued(43, function* () {
      yield* S.lwpPark(null, 0, 0);
    });
    m.run();
    const facts = [inTable, onCv, onMutex, parked].map((l) => [l.wchan, l.wmesg, l.sleepq, l.mutex]);
    const ts = onMutex.ts;
    const channel = K.parkChannel(parked.proc, 0);
    const bucket = K.sleeptabBucket(k.parktab, channel);
    assert.ok(ts !== null);
    assert.deepEqual(facts, [
      [table.wchan, "test", table.q, K.sleeptabBucket(k.sleeptab, table.wchan)],
      [cv, "variable", cv, K.sleeptabBucket(k.sleeptab, cv)],
      [mutex, "tstile", ts.writers, K.tschain(k, mutex)],
      [channel, "parked", K.bucketQueue(bucket), bucket],
    ]);
    assert.equal(m.cpu(0).idlelwp.wchan, 0, "the idle thread waits for nothing");
  });
});

suite("queues", () => {
  test("BLK-5: 128 buckets by (channel >> 8) & 127, each with a lock and a queue; the park table is another", () => {
    const m = new TestMachine();
    const { k } = m;
    const buckets = new Set<number>();
    for (let i = 0; i < 1024; i++) {
      const channel = (i << 8) | (i & 0xff);
      const at = K.sleeptabBucket(k.sleeptab, channel);
      assert.equal(at, k.sleeptab + (i & 127) * K.SLEEPTAB_BUCKET_WORDS);
      assert.equal(K.sleeptabBucket(k.parktab, channel) - k.parktab, at - k.sleeptab);
      buckets.add(at).add(K.sleeptabBucket(k.parktab, channel));
      assert.ok(K.bucketQueue(at) - at === K.LOCK_WORDS);
    }
    assert.equal(buckets.size, 2 * K.SLEEPTAB_SIZE);
    assert.equal(K.SLEEPTAB_SIZE, 128);
  });

  test("BLK-5: channels share their bucket's queue, so a wakeup compares them; variables use only its lock", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const a = queueFor(m, K.SOBJ_SLEEP);
    const b = queueFor(m, K.SOBJ_SLEEP);
    const cv = queueFor(m, K.SOBJ_CV);
    assert.equal(a.wchan >> 8, b.wchan >> 8);
    assert.deepEqual([b.q, b.lock, cv.lock], [a.q, a.lock, a.lock], "one bucket");
    assert.notEqual(cv.q, a.q);
    const [l1, l2, l3] = [sleeper(m, a, 43), sleeper(m, b, 43), sleeper(m, a, 43)];
    const onCv = sleeper(m, cv, 43);
    assert.deepEqual(K.sleepqList(k, a.q), [l1, l2, l3]);
    m.asCpu(() => {
      K.spinEnter(k, a.lock);
      K.sleepqWake(k, a.q, a.wchan, 10, a.lock);
    });
    assert.deepEqual([l1, l2, l3, onCv].map(stateOf), ["RUN", "SLEEP", "RUN", "SLEEP"]);
    m.sim.check();
  });

  const disciplines: readonly (readonly [string, number, number[]])[] = [
    ["SORTED", K.SOBJ_CV, [1, 2, 3, 0]],
    ["LIFO", K.SOBJ_PARK, [3, 2, 1, 0]],
    ["FIFO", K.SOBJ_SELECT, [0, 1, 2, 3]],
  ];
  for (const [name, sobj, expected] of disciplines) {
    test(`BLK-6, BLK-101: 10, 20, 20', 15 on a ${name} queue`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, sobj);
      const all = [10, 20, 20, 15].map((priority) => sleeper(m, on, priority));
      assert.deepEqual(
        K.sleepqList(m.k, on.q).map((l) => all.indexOf(l)),
        expected,
      );
    });
  }

  test("BLK-6: sorting goes by the effective priority", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const low = sleeper(m, on, 20);
    const lent = m.queued(10, function* () {
      yield* sleepOn(m.k, on);
    });
    m.holding(lent, () => K.lwpLendpri(lent, 30));
    m.run();
    assert.deepEqual(K.sleepqList(m.k, on.q), [lent, low]);
  });

  test("BLK-7: entering hands the LWP over to the queue's lock; enqueueing sets what a sleeper has", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const on = queueFor(m, K.SOBJ_CV);
    const first = sleeper(m, on, 60);
    m.queued(50, function* () {
      const l = K.cur.lwp;
      const ci = K.cur.cpu;
      assert.equal(l.mutex, ci.lwplock);
      K.spinEnter(k, on.lock);
      K.sleepqEnter(l, on.lock);
      assert.equal(l.mutex, on.lock);
      assert.equal(K.spinOwned(k, ci.lwplock), false, "the old lock is released");
      [l.slptime, l.sleeperr, l.slpticks] = [7, 4, 0];
      k.g.ticks = 55;
      l.kpriority = 1;
      K.sleepqEnqueue(l, on.q, on.wchan, "a long message", on.sobj);
      assert.deepEqual([l.syncobj, l.wchan, l.sleepq, l.wmesg], [K.SOBJ_CV, on.wchan, on.q, "a long m"]);
      assert.deepEqual([l.slptime, l.sleeperr, l.slpticks, stateOf(l)], [0, 0, 55, "SLEEP"]);
      assert.deepEqual(K.sleepqList(k, on.q), [l, first], "by the priority it has now, boost included");
      if (K.sleepqBlock(l, 0, false) === K.BLOCK_SWITCHED) yield;
      yield* S.lwpPark();
    });
    m.until(() => K.sleepqList(k, on.q).length === 2);
    m.run();
  });

  test("BLK-7: only a running LWP that is on no queue can be enqueued", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const l = sleeper(m, on, 43);
    assertPanics(
      () => m.holding(l, () => K.sleepqEnqueue(l, on.q, on.wchan, "again", on.sobj)),
      /not a running LWP/,
    );
  });

  test("BLK-8: the queue's lock is held from the enqueue until the switch has cleared LP_RUNNING", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const cv = m.words(K.CV_WORDS);
    const interlock = m.words(K.MTX_WORDS);
    m.asCpu(() => {
      K.cvInit(k, cv, "window");
      K.mutexInit(k, interlock, K.MUTEX_DEFAULT, K.IPL_NONE);
    });
    const lock = K.sleeptabBucket(k.sleeptab, cv);
    m.queued(43, function* () {
      const l = K.cur.lwp;
      yield* K.mutexEnter(k, interlock);
      K.cvEnter(l, cv, interlock);
      assert.equal(K.mutexOwner(k, interlock), null, "the interlock is let go inside the window");
      assert.equal(K.spinOwned(k, lock), true, "where no waker can get at the sleeper");
      assert.equal(l.mutex, lock);
      assert.notEqual(l.pflag & K.LP_RUNNING, 0);
      assert.equal(K.sleepqBlock(l, 0, false), K.BLOCK_SWITCHED);
      assert.equal(K.spinOwned(k, lock), false);
      assert.equal(l.pflag & K.LP_RUNNING, 0, "off its CPU for whoever can lock it now");
      yield;
    });
    m.run();
    assert.equal(K.cvHasWaiters(k, cv), true);
  });

  test("BLK-9: lwpUnsleep takes it off its queue, and releases the queue's lock if it is to clean up", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_SLEEP);
    for (const cleanup of [true, false]) {
      const l = sleeper(m, on, 43);
      m.asCpu(() => {
        K.lwpLock(l);
        K.lwpUnsleep(l, cleanup);
        assert.equal(K.spinOwned(m.k, on.lock), !cleanup);
        if (!cleanup) K.spinExit(m.k, on.lock);
      });
      assert.equal(stateOf(l), "RUN");
      assert.deepEqual(K.sleepqList(m.k, on.q), []);
      m.run();
    }
    const l = sleeper(m, on, 43);
    assertPanics(() => m.asCpu(() => K.lwpUnsleep(l, true)), /not locked/);
  });
});

suite("waking", () => {
  /** `sleepqRemove` on a locked sleeper, checking that the queue's lock is still held after it. */
  function remove(m: TestMachine, l: K.Lwp, n = 0): void {
    m.asCpu(() => {
      K.lwpLock(l);
      const lock = l.mutex;
      K.sleepqRemove(l);
      assert.equal(K.spinOwned(m.k, lock), true, "the caller still holds the queue's lock");
      K.spinExit(m.k, lock);
    }, n);
  }

  test("BLK-12: a sleeper off its CPU is credited its ticks, placed, and queued to run", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const on = queueFor(m, K.SOBJ_CV);
    m.k.g.ticks = 10;
    const l = sleeper(m, on, 43, [], 0, true);
    assert.notEqual(l.flag & K.LW_SINTR, 0);
    m.k.g.ticks = 25;
    l.slptime = 4;
    l.slpticksum = 100;
    l.cpu = m.cpu(1);
    const queued = m.queued(20, compute);
    m.asCpu(() => {
      // Something waits on its own CPU, so that it is placed anew: on the caller's.
      K.spinEnterTwo(m.k, m.cpu(0).mutex, m.cpu(1).mutex);
      K.schedDequeue(queued);
      queued.cpu = m.cpu(1);
      K.lwpSetlock(queued, m.cpu(1).mutex);
      K.schedEnqueue(queued, false);
      K.spinExit(m.k, m.cpu(0).mutex);
      K.spinExit(m.k, m.cpu(1).mutex);
    });
    remove(m, l);
    assert.deepEqual([l.syncobj, l.wchan, l.sleepq, l.flag & K.LW_SINTR], [K.SOBJ_SCHED, 0, 0, 0]);
    assert.deepEqual([l.slpticksum, l.slptime, stateOf(l)], [115, 0, "RUN"]);
    assert.equal(l.cpu, m.cpu(0));
    assert.equal(l.mutex, m.cpu(0).mutex);
    assert.deepEqual(K.runqList(m.cpu(0), 43), [l]);
    assert.deepEqual(K.sleepqList(m.k, on.q), []);
    assert.notEqual(m.cpu(0).attention & K.RESCHED_ANY, 0, "enqueued as a wakeup");
    m.sim.check();
  });

  test("BLK-12: one that is stopped only leaves the queue; whoever halted it must restart it", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const l = sleeper(m, on, 43, [], 0, true);
    stop(m, l);
    l.slptime = 4;
    const { slpticksum } = l;
    m.k.g.ticks += 10;
    remove(m, l);
    assert.deepEqual([stateOf(l), l.slptime, l.slpticksum], ["STOP", 4, slpticksum]);
    assert.deepEqual([l.syncobj, l.wchan, l.sleepq, l.flag & K.LW_SINTR], [K.SOBJ_SCHED, 0, 0, 0]);
    assert.equal(l.mutex, l.cpu.lwplock);
    assert.equal(m.cpu(0).count, 0);
    m.sim.check();
  });

  test("BLK-13, BLK-104: one that has not switched out yet is ONPROC again, and its switch merely yields", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const { k } = m;
    const on = queueFor(m, K.SOBJ_CV);
    let back = false;
    m.queued(43, function* () {
      const l = K.cur.lwp;
      const { cpu, slpticksum, ncsw } = l;
      k.g.ticks = 10;
      enter(k, on);
      l.slptime = 3;
      l.flag |= K.LW_SINTR;
      k.g.ticks = 20;
      m.cpu(0).stay = 0;
      K.lwpUnsleep(l, true);
      assert.deepEqual([stateOf(l), l.slptime, l.slpticksum], ["ONPROC", 0, slpticksum]);
      assert.deepEqual([l.syncobj, l.wchan, l.sleepq, l.flag & K.LW_SINTR], [K.SOBJ_SCHED, 0, 0, 0]);
      assert.equal(l.mutex, cpu.lwplock);
      assert.equal(l.cpu, cpu);
      assert.deepEqual([cpu.count, cpu.stay], [0, 0], "through no run queue, and placed by nobody");
      K.lwpLock(l);
      assert.equal(K.sleepqBlock(l, 0, false), K.BLOCK_BACK, "nobody else: it goes on");
      assert.equal(K.sleepqUnblock(l, K.BLOCK_BACK, 0, false), 0);
      assert.equal(l.ncsw, ncsw);

      // With an equal waiting, the switch gives way to it like a yield.
      const order: string[] = [];
      m.queued(43, function* () {
        order.push("other");
      });
      enter(k, on);
      K.lwpUnsleep(l, true);
      K.lwpLock(l);
      const how = K.sleepqBlock(l, 0, false);
      assert.equal(how, K.BLOCK_SWITCHED);
      assert.equal(stateOf(l), "RUN");
      yield;
      order.push("back");
      assert.deepEqual(order, ["other", "back"]);
      back = true;
    });
    // CPU 1 would take what waits.
    m.cpu(1).flags |= K.SPCF_OFFLINE;
    m.run();
    assert.equal(back, true);
  });

  test("BLK-14: wakes n of a channel from the head and says who was the n-th; null if there were fewer", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const a = queueFor(m, K.SOBJ_SLEEP);
    const b = queueFor(m, K.SOBJ_SLEEP);
    const all = [a, b, a, a, b, a].map((on) => sleeper(m, on, 43));
    const wake = (on: Queue, n: number) =>
      m.asCpu(() => {
        K.spinEnter(k, on.lock);
        const l = K.sleepqWake(k, on.q, on.wchan, n, on.lock);
        assert.equal(K.spinOwned(k, on.lock), false, "the lock is released");
        return l === null ? null : all.indexOf(l);
      });
    const left = () => K.sleepqList(k, a.q).map((l) => all.indexOf(l));
    assert.equal(wake(a, 2), 2);
    assert.deepEqual(left(), [1, 3, 4, 5]);
    assert.equal(wake(a, 1), 3);
    assert.equal(wake(b, 3), null);
    assert.deepEqual(left(), [5]);
    assert.equal(wake(a, 0x7fffffff), null, "waking all returns nobody");
    assert.deepEqual(left(), []);
    assert.equal(wake(a, 1), null);
    assertPanics(() => m.asCpu(() => K.sleepqWake(k, a.q, a.wchan, 1, a.lock)), /not locked/);
  });

  for (const [name, change] of [
    ["base", K.lwpChangepri],
    ["inherited", K.lwpLendpri],
  ] as const) {
    test(`BLK-15: a new ${name} priority puts a sleeper behind its new equals of a SORTED queue`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, K.SOBJ_CV);
      const [a, b, c] = [sleeper(m, on, 50), sleeper(m, on, 40), sleeper(m, on, 30)];
      m.holding(c, () => change(c, 50));
      assert.deepEqual(K.sleepqList(m.k, on.q), [a, c, b]);
      m.holding(b, () => change(b, 60));
      assert.deepEqual(K.sleepqList(m.k, on.q), [b, a, c]);
      m.sim.check();
    });

    test(`BLK-15: the only element stays, and FIFO and LIFO queues never reorder (${name})`, () => {
      const m = new TestMachine({ limits });
      const alone = queueFor(m, K.SOBJ_CV);
      const only = sleeper(m, alone, 20);
      m.holding(only, () => change(only, 60));
      assert.deepEqual(K.sleepqList(m.k, alone.q), [only]);
      assert.equal(K.lwpEprio(only), 60);
      for (const sobj of [K.SOBJ_SELECT, K.SOBJ_PARK]) {
        const on = queueFor(m, sobj);
        const [a, b] = [sleeper(m, on, 20), sleeper(m, on, 20)];
        const before = K.sleepqList(m.k, on.q);
        m.holding(a, () => change(a, 60));
        m.holding(b, () => change(b, 50));
        assert.deepEqual(K.sleepqList(m.k, on.q), before);
      }
    });
  }
});

suite("the sleep itself", () => {
  /** Flags at the start of an interruptible sleep; whether it is refused, its result, and what is left of CANCELLED. */
  const early: readonly (readonly [string, number, number])[] = [
    ["CANCELLED", K.LW_CANCELLED, K.EINTR],
    ["WEXIT", K.LW_WEXIT, K.EINTR],
    ["WCORE", K.LW_WCORE, K.EINTR],
    ["CANCELLED and WEXIT", K.LW_CANCELLED | K.LW_WEXIT, K.EINTR],
  ];
  for (const [name, flags, error] of early) {
    test(`BLK-20, BLK-21: ${name} set: an interruptible sleep ends before it began, with EINTR and no switch`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, K.SOBJ_CV);
      let result = -1;
      m.queued(43, function* () {
        const l = K.cur.lwp;
        const { ncsw } = l;
        l.flag |= flags;
        enter(m.k, on);
        const how = K.sleepqBlock(l, 5, true);
        assert.equal(how, K.BLOCK_EARLY);
        assert.equal(l.flag & K.LW_CANCELLED, 0, "used up");
        assert.equal(l.flag & K.LW_SINTR, 0);
        assert.equal(stateOf(l), "ONPROC");
        assert.equal(l.wchan, 0);
        assert.equal(K.lwpLocked(l), false);
        assert.equal(l.ncsw, ncsw);
        assert.equal(K.calloutPending(m.k, l.timeoutCh), false, "no timeout was started");
        result = K.sleepqUnblock(l, how, 5, true);
        l.flag &= ~flags;
      });
      m.run();
      assert.equal(result, error);
    });
  }

  for (const where of ["its own", "the process's"]) {
    test(`BLK-20: a deliverable signal in ${where} set: refused too, and the signal decides what it returns`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, K.SOBJ_CV);
      const results: number[] = [];
      m.queued(43, function* () {
        const l = K.cur.lwp;
        m.k.w[where === "its own" ? l.sigpend : l.proc.sigpend] |= 1 << (SIGUSR1 - 1);
        l.flag |= K.LW_PENDSIG;
        enter(m.k, on);
        const how = K.sleepqBlock(l, 0, true);
        assert.equal(how, K.BLOCK_EARLY);
        assert.equal(l.sleeperr, 0, "early with error 0");
        results.push(K.sleepqUnblock(l, how, 0, true));
        yield* S.lwpPark();
      });
      m.until(() => results.length > 0);
      assert.deepEqual(results, [K.ERESTART]);
    });
  }

  for (const why of ["masked", "ignored", "not there"]) {
    test(`BLK-20: PENDSIG with a signal that is ${why}: it sleeps`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, K.SOBJ_CV);
      const l = m.queued(43, function* () {
        yield* sleepOn(m.k, on, 0, true);
      });
      const bit = 1 << (SIGUSR1 - 1);
      if (why !== "not there") m.k.w[l.sigpend] |= bit;
      if (why === "masked") m.k.w[l.sigmask] |= bit;
      if (why === "ignored") m.k.w[l.proc.sigignore] |= bit;
      m.setFlags(l, K.LW_PENDSIG);
      m.run();
      assert.equal(stateOf(l), "SLEEP");
      assert.notEqual(l.flag & K.LW_SINTR, 0);
    });
  }

  test("BLK-20: an uninterruptible sleep looks at none of this", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const results: number[] = [];
    const l = m.queued(43, function* () {
      K.cur.lwp.flag |= K.LW_CANCELLED | K.LW_PENDSIG;
      m.k.w[K.cur.lwp.sigpend] |= 1 << (SIGUSR1 - 1);
      results.push(yield* sleepOn(m.k, on));
      K.cur.lwp.flag &= ~(K.LW_CANCELLED | K.LW_PENDSIG);
    });
    m.run();
    assert.equal(stateOf(l), "SLEEP");
    assert.equal(l.flag & K.LW_SINTR, 0);
    assert.notEqual(l.flag & K.LW_CANCELLED, 0, "and clears nothing");
    m.asCpu(() => {
      K.lwpLock(l);
      K.lwpUnsleep(l, true);
    });
    m.run();
    assert.deepEqual(results, [0]);
  });

  test("BLK-21: a timed sleep ends with EWOULDBLOCK when its ticks have passed", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const results: number[] = [];
    const l = sleeper(m, on, 43, results, 3);
    assert.equal(K.calloutPending(m.k, l.timeoutCh), true);
    for (let i = 0; i < 2; i++) m.sim.tick();
    assert.equal(stateOf(l), "SLEEP");
    m.sim.tick();
    assert.equal(stateOf(l), "RUN");
    m.run();
    assert.deepEqual(results, [K.EWOULDBLOCK]);
  });

  test("BLK-21: woken in time, it returns 0 and its timeout is cancelled", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const results: number[] = [];
    const l = sleeper(m, on, 43, results, 3);
    m.asCpu(() => {
      K.lwpLock(l);
      K.lwpUnsleep(l, true);
    });
    m.run();
    assert.deepEqual(results, [0]);
    assert.equal(K.calloutPending(m.k, l.timeoutCh), false);
    assert.equal(m.cpu(0).ncallouts, 0);
  });

  test("BLK-21: a timeout that expires after a real wakeup but before the LWP runs is reported all the same", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const results: number[] = [];
    const l = sleeper(m, on, 43, results, 3);
    m.asCpu(() => {
      K.lwpLock(l);
      K.lwpUnsleep(l, true);
    });
    assert.equal(stateOf(l), "RUN");
    for (let i = 0; i < 3; i++) m.sim.tick();
    assert.equal(stateOf(l), "RUN", "the expiry found nothing to do");
    m.run();
    assert.deepEqual(results, [K.EWOULDBLOCK]);
  });

  test("BLK-21: the timeout is halted even if the LWP never left its CPU", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    m.queued(43, function* () {
      const l = K.cur.lwp;
      enter(m.k, on);
      K.lwpUnsleep(l, true);
      K.lwpLock(l);
      assert.equal(K.sleepqBlock(l, 5, false), K.BLOCK_BACK);
      assert.equal(K.calloutPending(m.k, l.timeoutCh), true);
      assert.equal(K.sleepqUnblock(l, K.BLOCK_BACK, 5, false), 0);
      assert.equal(K.calloutPending(m.k, l.timeoutCh), false);
    });
    m.run();
  });

  /** What happens to an interruptible timed sleeper before it runs again, and what the sleep returns. */
  const outcomes: readonly (readonly [string, (m: TestMachine, l: K.Lwp) => void, number])[] = [
    ["a wakeup: 0", () => {}, 0],
    ["a signal: ERESTART by its default action", (m, l) => post(m, l, SIGUSR1), K.ERESTART],
    [
      "a signal whose action does not restart: EINTR",
      (m, l) => {
        post(m, l, SIGUSR1);
        m.k.slots.sigrestart = () => false;
      },
      K.EINTR,
    ],
    ["cancelled: EINTR", (m, l) => m.setFlags(l, K.LW_CANCELLED), K.EINTR],
    [
      "cancel beats signal",
      (m, l) => {
        post(m, l, SIGUSR1);
        m.setFlags(l, K.LW_CANCELLED);
      },
      K.EINTR,
    ],
    [
      "core dump beats signal",
      (m, l) => {
        post(m, l, SIGUSR1);
        m.setFlags(l, K.LW_WCORE);
      },
      K.EINTR,
    ],
    [
      "timeout beats signal",
      (m, l) => {
        post(m, l, SIGUSR1);
        for (let i = 0; i < 3; i++) m.sim.tick();
      },
      K.EWOULDBLOCK,
    ],
    [
      "timeout beats cancel",
      (m, l) => {
        m.setFlags(l, K.LW_CANCELLED);
        for (let i = 0; i < 3; i++) m.sim.tick();
      },
      K.EWOULDBLOCK,
    ],
    ["a stop signal that stops nobody in the end: a spurious 0", (m, l) => post(m, l, SIGTSTP), 0],
  ];
  for (const [what, happen, result] of outcomes) {
    test(`BLK-23: ${what}`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, K.SOBJ_CV);
      const results: number[] = [];
      const l = m.queued(43, function* () {
        results.push(yield* sleepOn(m.k, on, 3, true));
        const left = K.cur.lwp.flag & K.LW_CANCELLED;
        assert.equal(left, what.includes("cancel") ? K.LW_CANCELLED : 0, "not cleared after the switch");
        K.cur.lwp.flag &= ~(K.LW_WCORE | K.LW_CANCELLED | K.LW_PENDSIG);
      });
      m.until(() => stateOf(l) === "SLEEP");
      m.asCpu(() => {
        K.lwpLock(l);
        K.lwpUnsleep(l, true);
      });
      happen(m, l);
      m.run();
      assert.deepEqual(results, [result]);
    });
  }

  test("BLK-23: suspend and continue: an interruptible sleep returns a spurious 0, an uninterruptible one goes on", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    for (const catches of [true, false]) {
      const results: number[] = [];
      const l = sleeper(m, on, 43, results, 0, catches);
      m.locked(l.proc, () => {
        K.lwpLock(l);
        K.lwpSuspend(m.k.lwps.view(1), l);
      });
      m.locked(l.proc, () => {
        K.lwpLock(l);
        K.lwpContinue(l);
      });
      m.run();
      assert.deepEqual(results, catches ? [0] : []);
    }
  });

  test("BLK-24: the timeout's handler does nothing to an LWP that waits for nothing", () => {
    const m = new TestMachine({ limits });
    const l = m.queued(43, compute);
    m.until(() => m.cpu(0).curlwp === l);
    m.asCpu(() => K.sleepqTimeout(m.k, l.index));
    assert.equal(stateOf(l), "ONPROC");
    assert.equal(m.k.w[l.mutex], 0, "unlocked again");
    m.sim.check();
  });

  test("BLK-24: it ends whatever sleep the LWP is in; a stopped one leaves the queue and stays stopped", () => {
    const m = new TestMachine({ limits });
    const on = queueFor(m, K.SOBJ_CV);
    const untimed = sleeper(m, on, 43);
    const stopped = sleeper(m, on, 43, [], 0, true);
    stop(m, stopped);
    m.asCpu(() => {
      K.sleepqTimeout(m.k, untimed.index);
      K.sleepqTimeout(m.k, stopped.index);
    });
    assert.equal(stateOf(untimed), "RUN", "not the sleep that was timed");
    assert.equal(stateOf(stopped), "STOP");
    assert.deepEqual(K.sleepqList(m.k, on.q), []);
    assert.equal(stopped.wchan, 0);
    m.sim.check();
  });
});

suite("invariants", () => {
  test("BLK-100: a channel, a queue and its lock, in SLEEP or STOP; none of it otherwise", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const queues = [K.SOBJ_SLEEP, K.SOBJ_CV, K.SOBJ_PARK, K.SOBJ_SELECT].map((sobj) => queueFor(m, sobj));
    const asleep = queues.map((on) => sleeper(m, on, 43, [], 0, true));
    stop(m, asleep[1]);
    asleep.forEach((l, i) => {
      const on = queues[i];
      assert.deepEqual([l.wchan, l.sleepq, l.mutex], [on.wchan, on.q, on.lock]);
      const times = queues.flatMap((other) => K.sleepqList(m.k, other.q)).filter((other) => other === l);
      assert.equal(times.length, 1, "on exactly one queue");
      assert.equal(stateOf(l), i === 1 ? "STOP" : "SLEEP");
    });
    m.sim.check();
    for (const l of asleep) {
      m.asCpu(() => {
        K.lwpLock(l);
        K.lwpUnsleep(l, true);
      });
      assert.deepEqual([l.wchan, l.sleepq], [0, 0]);
    }
    m.sim.check();
  });

  for (const [what, damage, complaint] of [
    ["no queue", (l: K.Lwp) => (l.sleepq = 0), /disagree/],
    ["another lock", (l: K.Lwp) => (l.mutex = l.cpu.lwplock), /covered by lock/],
    ["no channel", (l: K.Lwp) => (l.wchan = 0), /disagree|asleep on nothing/],
    ["another state", (l: K.Lwp) => (l.stat = K.LSSUSPENDED), /suspended on a sleep queue/],
  ] as const) {
    test(`BLK-100: the checker sees a sleeper with ${what}`, () => {
      const m = new TestMachine({ limits });
      const on = queueFor(m, K.SOBJ_CV);
      const l = sleeper(m, on, 43);
      m.sim.check();
      damage(l);
      assert.match(K.checkInvariants(m.k).join("; "), complaint);
    });
  }
});
