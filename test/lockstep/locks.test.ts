// The windows of spin locks that change under you, and of adaptive mutexes.
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { type Action, type Rig, window } from "../support/lockstep.js";
import { lockIt, makeSleeper, unpark, wait } from "../support/lockstep-actions.js";

async function sleeper(rig: Rig): Promise<number> {
  const lid = await rig.call(1, makeSleeper);
  assert.equal(rig.state(lid), "SLEEP");
  return lid;
}

window("lwplock.read", {
  "woken between reading the pointer and taking the lock, the lock is taken anew": async (rig) => {
    const lid = await sleeper(rig);
    const bucket = rig.lwp(lid).mutex;
    const a = await rig.hold(0, "lwplock.read", lockIt, lid);
    await rig.call(1, unpark, lid);
    assert.equal(rig.state(lid), "RUN");
    assert.notEqual(rig.lwp(lid).mutex, bucket);
    assert.equal(await a.go(), 2);
    assert.equal(rig.k.w[bucket], 0, "the first lock is free again");
    await rig.call(1, wait, lid);
  },
  "woken before, the new lock is taken at once": async (rig) => {
    const lid = await sleeper(rig);
    await rig.call(1, unpark, lid);
    const a = await rig.hold(0, "lwplock.read", lockIt, lid);
    assert.equal(await a.go(), 2);
    await rig.call(1, wait, lid);
  },
});

window("lwplock.taken", {
  "who would wake it waits for the lock": async (rig) => {
    const lid = await sleeper(rig);
    const a = await rig.hold(0, "lwplock.taken", lockIt, lid);
    const b = await rig.hold(1, "cpu.relax", unpark, lid);
    assert.equal(rig.state(lid), "SLEEP");
    assert.equal(await a.go(), 1);
    await b.go();
    assert.equal(rig.state(lid), "RUN");
    await rig.call(1, wait, lid);
  },
  "woken before, the lock taken is the wrong one and is let go": async (rig) => {
    const lid = await sleeper(rig);
    const bucket = rig.lwp(lid).mutex;
    const a = await rig.hold(0, "lwplock.read", lockIt, lid);
    await rig.call(1, unpark, lid);
    rig.ls.arm(0, "lwplock.taken");
    rig.go(0);
    await rig.reached(0, "lwplock.taken", a);
    assert.equal(rig.k.w[bucket], 1, "CPU 0 holds the lock of the bucket");
    assert.equal(rig.lwp(lid).mutex, rig.cpu(1).mutex);
    assert.equal(await a.go(), 2);
    assert.equal(rig.k.w[bucket], 0);
    await rig.call(1, wait, lid);
  },
});

// --- mutexes: word 16 is the mutex ---------------------------------------------------------------

const MUTEX = 16;
const init: Action = (x) => x.K.mutexInit(x.k, x.at(16), x.K.MUTEX_DEFAULT, x.K.IPL_NONE);
const enter: Action = function* (x) {
  yield* x.K.mutexEnter(x.k, x.at(16));
  return x.K.mutexOwned(x.k, x.at(16));
};
const exit: Action = (x) => x.K.mutexExit(x.k, x.at(16));

function owner(rig: Rig): number {
  const index = rig.word(MUTEX) >> 1;
  return index === 0 ? 0 : rig.k.lwps.view(index).lid;
}

const hasWaiters = (rig: Rig): boolean => (rig.word(MUTEX) & K.MTX_WAITERS) !== 0;

/** At the end it is free, and nobody is thought to wait. */
async function free(rig: Rig, cpu: number): Promise<void> {
  assert.equal(owner(rig), rig.lid(cpu));
  await rig.call(cpu, exit);
  assert.equal(rig.word(MUTEX), 0);
}

window("mutex.held", {
  "released before the waiters bit is set, it is taken and not slept for": async (rig) => {
    await rig.call(0, init);
    await rig.call(1, enter);
    const a = await rig.hold(0, "mutex.held", enter);
    await rig.call(1, exit);
    assert.equal(rig.word(MUTEX), 0);
    rig.go(0);
    assert.equal(await rig.awake(a, 0), 1);
    assert.equal(hasWaiters(rig), false);
    await free(rig, 0);
  },
  "the bit set first, its owner wakes the waiter": async (rig) => {
    await rig.call(0, init);
    await rig.call(1, enter);
    const a = await rig.hold(0, "mutex.held", enter);
    rig.go(0);
    await rig.untilState(rig.lid(0), "SLEEP");
    assert.equal(hasWaiters(rig), true);
    await rig.call(1, exit);
    assert.equal(await rig.awake(a, 0), 1);
    await free(rig, 0);
  },
});

window("mutex.waiters", {
  "its owner waits with the release until the waiter is on the turnstile": async (rig) => {
    await rig.call(0, init);
    await rig.call(1, enter);
    const a = await rig.hold(0, "mutex.waiters", enter);
    assert.equal(hasWaiters(rig), true);
    const b = await rig.hold(1, "cpu.relax", exit);
    assert.equal(owner(rig), rig.lid(1));
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    await b.go();
    assert.equal(await a.result(), 1);
    await free(rig, 0);
  },
  "the waiter asleep first, it is woken": async (rig) => {
    await rig.call(0, init);
    await rig.call(1, enter);
    const a = await rig.hold(0, "mutex.waiters", enter);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    assert.equal(await rig.passes(1, "cpu.relax", exit), 0);
    assert.equal(await rig.awake(a, 0), 1);
    await free(rig, 0);
  },
});

window("mutex.exit", {
  "a waiter that comes before the owner is cleared is seen": async (rig) => {
    await rig.call(0, init);
    await rig.call(0, enter);
    const a = await rig.hold(0, "mutex.exit", exit);
    const b = rig.start(1, enter);
    await rig.untilState(rig.lid(1), "SLEEP");
    assert.equal(hasWaiters(rig), true);
    await a.go();
    assert.equal(await rig.awake(b, 1), 1);
    await free(rig, 1);
  },
  "cleared before the waiter sets its bit, that one tries again": async (rig) => {
    await rig.call(0, init);
    await rig.call(0, enter);
    const a = await rig.hold(0, "mutex.exit", exit);
    const b = await rig.hold(1, "mutex.held", enter);
    await a.go();
    assert.equal(rig.word(MUTEX), 0);
    rig.go(1);
    assert.equal(await rig.awake(b, 1), 1);
    await free(rig, 1);
  },
});

// --- waiting -------------------------------------------------------------------------------------

const SPIN = 16;
const take: Action = (x) => {
  x.K.spinEnter(x.k, x.at(16));
  return x.K.spinOwned(x.k, x.at(16));
};
const give: Action = (x) => x.K.spinExit(x.k, x.at(16));

window("cpu.relax", {
  "released before it looks again, the lock is taken": async (rig) => {
    await rig.call(0, take);
    const b = await rig.hold(1, "cpu.relax", take);
    await rig.call(0, give);
    assert.equal(rig.word(SPIN), 0);
    assert.equal(await b.go(), 1);
    assert.equal(rig.word(SPIN), 2);
    assert.equal(rig.word(SPIN + 1), 0, "nobody is counted as waiting");
    await rig.call(1, give);
  },
  "it looks first, and waits once more": async (rig) => {
    await rig.call(0, take);
    const b = await rig.hold(1, "cpu.relax", take);
    rig.ls.arm(1, "cpu.relax");
    rig.go(1);
    await rig.reached(1, "cpu.relax", b);
    assert.equal(rig.word(SPIN), 1);
    await rig.call(0, give);
    assert.equal(await b.go(), 1);
    await rig.call(1, give);
  },
});
