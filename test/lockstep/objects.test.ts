// The windows of rwlocks, and of the objects of the thread library.
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { type Action, type Rig, window } from "../support/lockstep.js";
import { callPark } from "../support/lockstep-actions.js";

// --- rwlocks: word 16 ----------------------------------------------------------------------------

const WORD = 16;

/** Locks it, for reading (0) or writing (1); 1 when it has it. */
const enter: Action = function* (x, op) {
  yield* x.K.rwEnter(x.k, x.at(16), op);
  return true;
};
const exit: Action = (x) => x.K.rwExit(x.k, x.at(16));

const hasWaiters = (rig: Rig): boolean => (rig.word(WORD) & K.RW_HAS_WAITERS) !== 0;
const free = async (rig: Rig, cpu: number): Promise<void> => {
  await rig.call(cpu, exit);
  assert.equal(rig.word(WORD), 0);
};

window("rwlock.held", {
  "released before the bits are set, it is taken and not slept for": async (rig) => {
    for (const op of [K.RW_READER, K.RW_WRITER]) {
      await rig.call(1, enter, K.RW_WRITER);
      const a = await rig.hold(0, "rwlock.held", enter, op);
      await rig.call(1, exit);
      assert.equal(rig.word(WORD), 0);
      rig.go(0);
      assert.equal(await rig.awake(a, 0), 1);
      await free(rig, 0);
    }
  },
  "the bits set first, its holder hands it to the waiter": async (rig) => {
    for (const op of [K.RW_READER, K.RW_WRITER]) {
      await rig.call(1, enter, K.RW_WRITER);
      const a = await rig.hold(0, "rwlock.held", enter, op);
      rig.go(0);
      await rig.untilState(rig.lid(0), "SLEEP");
      assert.equal(hasWaiters(rig), true);
      await rig.call(1, exit);
      assert.equal(await rig.awake(a, 0), 1);
      await free(rig, 0);
    }
  },
});

window("rwlock.exit", {
  "a waiter that comes before the word is changed is seen": async (rig) => {
    for (const op of [K.RW_READER, K.RW_WRITER]) {
      await rig.call(0, enter, op);
      const a = await rig.hold(0, "rwlock.exit", exit);
      const b = rig.start(1, enter, K.RW_WRITER);
      await rig.untilState(rig.lid(1), "SLEEP");
      assert.equal(hasWaiters(rig), true);
      await a.go();
      assert.equal(await rig.awake(b, 1), 1);
      await free(rig, 1);
    }
  },
  "changed before the waiter sets its bits, that one tries again": async (rig) => {
    for (const op of [K.RW_READER, K.RW_WRITER]) {
      await rig.call(0, enter, op);
      const a = await rig.hold(0, "rwlock.exit", exit);
      const b = await rig.hold(1, "rwlock.held", enter, K.RW_WRITER);
      await a.go();
      assert.equal(rig.word(WORD), 0);
      rig.go(1);
      assert.equal(await rig.awake(b, 1), 1);
      await free(rig, 1);
    }
  },
});

// --- objects: a semaphore, whose number stands in word 16 ----------------------------------------

const make: Action = (x) => {
  const o = x.K.syncobjAlloc(x.l, x.K.SO_SEMAPHORE, "");
  x.w[x.at(16)] = o === null ? 0 : o.index;
};
const drop: Action = (x) => x.K.syncobjFree(x.k.syncobjs.view(x.w[x.at(16)]));

/** Takes a permit: what it was given, 0 = its sleep was ended from outside; 2 = there was one. */
const take: Action = function* (x) {
  const o = x.k.syncobjs.view(x.w[x.at(16)]);
  x.K.spinEnter(x.k, o.lock);
  if (o.value > 0) {
    o.value--;
    x.K.spinExit(x.k, o.lock);
    return 2;
  }
  x.K.syncobjEnqueue(x.l, o, o.queue, [0, 0], x.K.SOBJ_OBJ);
  const how = x.K.sleepqBlock(x.l, 0, true);
  if (how === x.K.BLOCK_SWITCHED) yield;
  x.K.sleepqUnblock(x.l, how, 0, true);
  return x.l.granted;
};
const post: Action = (x) => {
  const o = x.k.syncobjs.view(x.w[x.at(16)]);
  x.K.spinEnter(x.k, o.lock);
  const first = x.K.syncobjFirst(o, o.queue);
  if (first === null) o.value++;
  else x.K.syncobjGrant(first, 1);
  x.K.spinExit(x.k, o.lock);
  return o.value;
};
const wakeup: Action = function* (x, lid) {
  yield* x.S.lwpWakeup(lid);
};

window("syncobj.enqueued", {
  "who posts waits for the lock, and finds the waiter": async (rig) => {
    await rig.call(0, make);
    const a = await rig.hold(0, "syncobj.enqueued", take);
    const b = await rig.hold(1, "cpu.relax", post);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    assert.equal(await b.go(), 0, "no permit is left over");
    assert.equal(await rig.awake(a, 0), 1);
    await rig.call(0, drop);
  },
  "who ends its sleep waits for the lock, and a later post is not given to it": async (rig) => {
    await rig.call(0, make);
    const a = await rig.hold(0, "syncobj.enqueued", take);
    const b = await rig.hold(1, "cpu.relax", wakeup, rig.lid(0));
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    await b.go();
    assert.equal(await rig.awake(a, 0), 0);
    assert.equal(await rig.call(1, post), 1);
    assert.equal(await rig.call(0, callPark), K.EALREADY, "the wakeup is remembered for its next park");
    await rig.call(0, drop);
  },
  "posted before, it does not come there": async (rig) => {
    await rig.call(0, make);
    assert.equal(await rig.call(1, post), 1);
    assert.equal(await rig.passes(0, "syncobj.enqueued", take), 2);
    await rig.call(0, drop);
  },
});
