/** The lock of an LWP, which is lent from place to place, and waking a sleeper through its sync object. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, parked, stateOf, TestMachine } from "../support/sim.js";

/** A parked LWP, and a lock that has nothing to do with it. */
function sleeper() {
  const m = new TestMachine({ cpus: 2 });
  const p = m.spawn(parked);
  m.run();
  return { m, k: m.k, p, l: m.lwp(p, 1), other: m.words(2) };
}

/** CPU 1's name as the owner of a spin lock. */
const CPU1 = 2;

describe("lwpLocked, lwpSetlock, lwpUnlockTo", () => {
  test("LWP-81: locked means that this CPU holds the lock that covers the LWP now", () => {
    const { m, k, l, other } = sleeper();
    m.asCpu(() => {
      assert.equal(K.lwpLocked(l), false);
      K.spinEnter(k, other);
      assert.equal(K.lwpLocked(l), false, "some lock is not its lock");
      K.spinExit(k, other);
      K.lwpLock(l);
      assert.equal(K.lwpLocked(l), true);
      assert.equal(K.lwpLocked(l, l.mutex), true);
      assert.equal(K.lwpLocked(l, other), false, "a lock that is named must be the one");
      K.lwpUnlock(l);
      // Held, but by another CPU.
      k.w[l.mutex] = CPU1;
      assert.equal(K.lwpLocked(l), false);
      k.w[l.mutex] = 0;
    });
  });

  test("LWP-81: lwpSetlock swaps the pointer, and takes and releases nothing", () => {
    const { m, k, l, other } = sleeper();
    m.asCpu(() => {
      const old = l.mutex;
      K.lwpLock(l);
      K.lwpSetlock(l, other);
      assert.equal(l.mutex, other);
      assert.deepEqual([K.spinOwned(k, old), K.spinOwned(k, other)], [true, false]);
      assert.equal(K.lwpLocked(l), false, "handed over to a lock that is not held, it is locked no more");
      l.mutex = old;
      K.lwpUnlock(l);
    });
  });

  test("LWP-81: lwpUnlockTo swaps the pointer, then releases the old lock; the new one need not be held", () => {
    const { m, k, l, other } = sleeper();
    m.asCpu(() => {
      const old = l.mutex;
      K.lwpLock(l);
      K.lwpUnlockTo(l, other);
      assert.equal(l.mutex, other);
      assert.deepEqual([k.w[old], k.w[other]], [0, 0]);
      K.lwpLock(l);
      assert.deepEqual([K.spinOwned(k, old), K.spinOwned(k, other)], [false, true]);
      K.spinEnter(k, old);
      K.lwpUnlockTo(l, old);
      assert.deepEqual([K.spinOwned(k, old), k.w[other]], [true, 0]);
      assert.equal(K.lwpLocked(l), true, "handed over to a lock that is held, it stays locked");
      K.lwpUnlock(l);
    });
  });

  test("LWP-81, LWP-123: handing over an LWP that is not locked is a kernel assertion", () => {
    for (const give of [K.lwpSetlock, K.lwpUnlockTo]) {
      const { m, l, other } = sleeper();
      assertPanics(() => m.asCpu(() => give(l, other)), /the LWP is not locked/);
    }
  });
});

describe("lwpTrylock", () => {
  test("LWP-82: takes a free lock, and fails on one that is held without waiting", () => {
    const { m, k, l } = sleeper();
    m.asCpu(() => {
      assert.equal(K.lwpTrylock(l), true);
      assert.equal(K.lwpLocked(l), true);
      // Held by this CPU, as by any other: no second try, no assertion.
      assert.equal(K.lwpTrylock(l), false);
      K.lwpUnlock(l);
      k.w[l.mutex] = CPU1;
      assert.equal(K.lwpTrylock(l), false);
      assert.equal(k.w[l.mutex], CPU1);
      k.w[l.mutex] = 0;
    });
  });

  test("LWP-82: if the pointer has changed meanwhile it releases, and tries the new lock", () => {
    for (const free of [true, false]) {
      const { m, k, l, other } = sleeper();
      const old = l.mutex;
      m.asCpu(() => {
        // The LWP is handed over between the look at the pointer and the lock.
        const reads = [old, other];
        Object.defineProperty(l, "mutex", { configurable: true, get: () => reads.shift() ?? other });
        if (!free) k.w[other] = CPU1;
        assert.equal(K.lwpTrylock(l), free);
        assert.deepEqual(reads, []);
        assert.equal(k.w[old], 0, "the old one is free again");
        assert.equal(K.spinOwned(k, other), free);
        delete (l as { mutex?: number }).mutex;
        k.w[other] = 0;
      });
    }
  });
});

describe("lwpUnsleep", () => {
  const kinds: [string, number][] = [
    ["tsleep", K.SOBJ_SLEEP],
    ["a condition variable", K.SOBJ_CV],
    ["select", K.SOBJ_SELECT],
    ["park", K.SOBJ_PARK],
  ];

  /** An LWP in an interruptible sleep on an object of that kind. */
  function asleepOn(sobj: number) {
    const m = new TestMachine();
    const { k } = m;
    const lock = K.sleeptabBucket(sobj === K.SOBJ_PARK ? k.parktab : k.sleeptab, 0x1234);
    let result: number | undefined;
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      K.spinEnter(k, lock);
      K.sleepqEnter(l, lock);
      K.sleepqEnqueue(l, K.bucketQueue(lock), 0x1234, "test", sobj);
      const how = K.sleepqBlock(l, 0, true);
      if (how === K.BLOCK_SWITCHED) yield;
      result = K.sleepqUnblock(l, how, 0, true);
      yield* attempt(S.lwpPark());
    });
    // Unchecked: the invariants know the queues of the kernel's own sleeps.
    m.sim.check = () => {};
    m.run();
    const l = m.lwp(p, 1);
    assert.deepEqual([stateOf(l), l.syncobj], ["SLEEP", sobj]);
    return { m, k, l, lock, result: () => result };
  }

  for (const [name, sobj] of kinds) {
    test(`LWP-83: ends an interruptible sleep in ${name}, and unlocks when told to clean up`, () => {
      const { m, k, l, lock, result } = asleepOn(sobj);
      m.asCpu(() => {
        K.lwpLock(l);
        assert.equal(l.mutex, lock);
        K.lwpUnsleep(l, true);
        assert.equal(k.w[lock], 0);
      });
      assert.deepEqual([stateOf(l), l.syncobj, l.wchan], ["RUN", K.SOBJ_SCHED, 0]);
      m.run();
      assert.equal(result(), 0);
    });

    test(`LWP-83: without cleaning up the queue of ${name} stays locked`, () => {
      const { m, k, l, lock } = asleepOn(sobj);
      m.asCpu(() => {
        K.lwpLock(l);
        K.lwpUnsleep(l, false);
        assert.equal(K.spinOwned(k, lock), true);
        assert.notEqual(l.mutex, lock);
        K.spinExit(k, lock);
      });
      assert.equal(stateOf(l), "RUN");
    });
  }

  for (const [name, sobj] of [
    ["on no sleep queue", K.SOBJ_SCHED],
    ["blocked on a mutex", K.SOBJ_MUTEX],
    ["blocked on a rwlock", K.SOBJ_RW],
  ] as const) {
    test(`LWP-83: one that is ${name} cannot be woken from outside`, () => {
      const { m, l } = sleeper();
      l.syncobj = sobj;
      // As the kernel's own locks are waited for; those of programs can be interrupted.
      if (sobj !== K.SOBJ_SCHED) l.flag &= ~K.LW_SINTR;
      const unsleep = () =>
        m.asCpu(() => {
          K.lwpLock(l);
          K.lwpUnsleep(l, true);
        });
      assertPanics(unsleep, /LWP 1\.1 cannot be woken from outside/);
    });
  }

  test("LWP-83, LWP-123: the LWP must be locked", () => {
    const { m, l } = sleeper();
    assertPanics(() => m.asCpu(() => K.lwpUnsleep(l, true)), /the LWP is not locked/);
  });
});
