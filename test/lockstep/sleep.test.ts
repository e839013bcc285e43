// The windows of going to sleep, of waking, and of time-outs.
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { EALREADY, EINTR, ENODEV, ETIMEDOUT } from "lwp/kernel";
import { type Action, type Rig, window } from "../support/lockstep.js";
import { giveWay, lockIt, makeSleeper, nothing, park, unpark, wait } from "../support/lockstep-actions.js";
import { STEP } from "../support/lockstep-words.js";

// --- condition variables: 16 the variable, 20 its interlock, 22 what is waited for ---------------

const CONDITION = 22;
const init: Action = (x) => x.K.cvInit(x.k, x.at(16), "lockstep");

/** Waits until the condition holds; how often it slept for it. */
const await22: Action = function* (x) {
  let slept = 0;
  x.K.spinEnter(x.k, x.at(20));
  for (; x.w[x.at(22)] === 0; slept++) yield* x.K.cvWait(x.k, x.at(16), x.at(20));
  x.K.spinExit(x.k, x.at(20));
  return slept;
};
const signal22: Action = (x) => {
  x.K.spinEnter(x.k, x.at(20));
  x.w[x.at(22)] = 1;
  x.K.cvSignal(x.k, x.at(16));
  x.K.spinExit(x.k, x.at(20));
};

window("sleep.enqueued", {
  "who signals waits for the interlock, and finds the sleeper": async (rig) => {
    await rig.call(0, init);
    const a = await rig.hold(0, "sleep.enqueued", await22);
    const b = await rig.hold(1, "cpu.relax", signal22);
    assert.equal(rig.word(CONDITION), 0);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    await b.go();
    assert.equal(await rig.awake(a, 0), 1);
  },
  "signalled before, nobody sleeps": async (rig) => {
    await rig.call(0, init);
    await rig.call(1, signal22);
    assert.equal(await rig.passes(0, "sleep.enqueued", await22), 0);
  },
});

window("sleep.released", {
  "who signals has the interlock, and waits for the queue": async (rig) => {
    await rig.call(0, init);
    const a = await rig.hold(0, "sleep.released", await22);
    const b = await rig.hold(1, "cpu.relax", signal22);
    assert.equal(rig.word(CONDITION), 1);
    assert.equal(rig.state(rig.lid(0)), "SLEEP");
    assert.equal(rig.running(rig.lid(0)), true);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    await b.go();
    assert.equal(await rig.awake(a, 0), 1);
  },
  "asleep first, it is woken": async (rig) => {
    await rig.call(0, init);
    const a = await rig.hold(0, "sleep.released", await22);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    assert.equal(await rig.passes(1, "cpu.relax", signal22), 0);
    assert.equal(await rig.awake(a, 0), 1);
  },
  "cancelled before, it wakes itself on its CPU and is queued nowhere": async (rig) => {
    await rig.call(0, init);
    const cancel: Action = function* (x, lid) {
      try {
        yield* x.S.lwpWakeup(lid);
      } catch (error) {
        return (error as { errno: number }).errno;
      }
      return 0;
    };
    assert.equal(await rig.call(1, cancel, rig.lid(0)), ENODEV);
    const sleep: Action = function* (x) {
      const before = x.l.ncsw;
      x.K.spinEnter(x.k, x.at(20));
      const error = yield* x.K.cvWaitSig(x.k, x.at(16), x.at(20));
      x.K.spinExit(x.k, x.at(20));
      // The wakeup is remembered for the next park too, which this is.
      const how = x.K.parkBlock(x.l, 0, 0);
      return how === x.K.PARK_PENDING && x.l.ncsw === before ? error : -1;
    };
    const a = await rig.hold(0, "sleep.released", sleep);
    rig.go(0);
    assert.equal(await rig.awake(a, 0), EINTR);
  },
});

// --- park ----------------------------------------------------------------------------------------

window("park.enter", {
  "unparked before it queues, it does not sleep": async (rig) => {
    const a = await rig.hold(0, "park.enter", park);
    assert.equal(await rig.call(1, unpark, rig.lid(0)), 0);
    rig.go(0);
    assert.equal(await rig.awake(a, 0), EALREADY);
    assert.equal(rig.lwp(rig.lid(0)).flag & K.LW_UNPARKED, 0, "used up");
  },
  "parked first, it is found on its queue": async (rig) => {
    const a = await rig.hold(0, "park.enter", park);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    assert.equal(await rig.passes(1, "unpark.missed", unpark, rig.lid(0)), 0);
    assert.equal(await rig.awake(a, 0), 0);
  },
});

window("unpark.missed", {
  "parked after it was looked for, it is found all the same": async (rig) => {
    const a = await rig.hold(0, "unpark.missed", unpark, rig.lid(1));
    const b = rig.start(1, park, 0);
    await rig.untilOff(rig.lid(1));
    assert.equal(await a.go(), 0);
    assert.equal(await rig.awake(b, 1), 0);
    assert.equal(rig.lwp(rig.lid(1)).flag & K.LW_UNPARKED, 0);
  },
  "parked there under another hint": async (rig) => {
    const a = await rig.hold(0, "unpark.missed", unpark, rig.lid(1), 0);
    const b = rig.start(1, park, 4096);
    await rig.untilOff(rig.lid(1));
    assert.equal(await a.go(), 0);
    assert.equal(await rig.awake(b, 1), 0);
  },
  "not parked until then, it is told and does not sleep": async (rig) => {
    const a = await rig.hold(0, "unpark.missed", unpark, rig.lid(1));
    const b = await rig.hold(1, "park.enter", park, 0);
    assert.equal(await a.go(), 0);
    rig.go(1);
    assert.equal(await rig.awake(b, 1), EALREADY);
  },
});

// --- waking --------------------------------------------------------------------------------------

window("setrunnable.chosen", {
  "who locks it meanwhile waits until it is queued": async (rig) => {
    const lid = await rig.call(1, makeSleeper);
    const a = await rig.hold(0, "setrunnable.chosen", unpark, lid);
    const b = await rig.hold(1, "cpu.relax", lockIt, lid);
    assert.equal(rig.state(lid), "SLEEP");
    await a.go();
    assert.equal(rig.state(lid), "RUN");
    assert.equal(await b.go(), 2);
    await rig.call(1, wait, lid);
  },
  "locked first, the waker waits": async (rig) => {
    const lid = await rig.call(1, makeSleeper);
    const b = await rig.hold(1, "lwplock.taken", lockIt, lid);
    const a = await rig.hold(0, "cpu.relax", unpark, lid);
    assert.equal(rig.state(lid), "SLEEP");
    assert.equal(await b.go(), 1);
    rig.ls.arm(0, "setrunnable.chosen");
    rig.go(0);
    await rig.reached(0, "setrunnable.chosen", a);
    await a.go();
    assert.equal(rig.state(lid), "RUN");
    await rig.call(1, wait, lid);
  },
  "suspended anew while it is being continued, it is suspended again": async (rig) => {
    const lid = await rig.call(1, (x) =>
      x.spawn(function* () {
        yield* x.S.lwpSelf();
      }, x.K.LWP_SUSPENDED),
    );
    const resume: Action = function* (x, other) {
      yield* x.S.lwpContinue(other);
    };
    const suspend: Action = function* (x, other) {
      yield* x.S.lwpSuspend(other);
    };
    const a = await rig.hold(0, "setrunnable.chosen", resume, lid);
    const b = await rig.hold(1, "cpu.relax", suspend, lid);
    assert.equal(rig.state(lid), "SUSPENDED");
    await a.go();
    await b.go();
    assert.equal(rig.state(lid), "SUSPENDED");
    assert.equal(rig.running(lid), false);
    await rig.call(0, resume, lid);
    await rig.call(1, wait, lid);
  },
});

// --- time-outs -----------------------------------------------------------------------------------

/** A step LWP that sleeps on CPU 0 with a time-out of one tick. */
async function timedSleeper(rig: Rig): Promise<number> {
  rig.setWord(STEP.TICKS, 1);
  const lid = await rig.call(0, function* (x) {
    const made = x.step(1);
    yield* x.S.schedYield();
    return made;
  });
  assert.equal(rig.state(lid), "SLEEP");
  assert.equal(rig.cpu(0).ncallouts, 1);
  return lid;
}

/** Moves a sleeping LWP to CPU 1, and wakes it there. */
const wakeElsewhere: Action = (x, lid) => {
  const t = x.lwp(lid);
  x.K.lwpLock(t);
  x.K.lwpMigrate(t, x.cpu(1));
  return x.K.unpark(x.p, lid, 0);
};

window("callout.fired", {
  "woken elsewhere before the handler runs, the sleeper waits for that": async (rig) => {
    const lid = await timedSleeper(rig);
    rig.ls.tick();
    const a = await rig.hold(0, "callout.fired", nothing);
    assert.equal(await rig.call(1, wakeElsewhere, lid), 0);
    const b = await rig.hold(1, "cpu.relax", giveWay);
    assert.equal(rig.word(STEP.RUNS), 0);
    assert.equal(rig.cpu(0).calloutRunning, rig.lwp(lid).timeoutCh);
    await a.go();
    await b.go();
    assert.deepEqual(
      [STEP.RUNS, STEP.CPU, STEP.RESULT].map((n) => rig.word(n)),
      [1, 1, ETIMEDOUT],
    );
    await rig.call(1, wait, lid);
  },
  "the handler first, it ends the sleep": async (rig) => {
    const lid = await timedSleeper(rig);
    rig.ls.tick();
    const a = await rig.hold(0, "callout.fired", nothing);
    await a.go();
    assert.equal(rig.state(lid), "RUN");
    assert.equal(await rig.call(1, unpark, lid, 0), 0);
    assert.notEqual(rig.lwp(lid).flag & K.LW_UNPARKED, 0, "an unpark too late is remembered");
    await rig.call(0, giveWay);
    assert.deepEqual(
      [STEP.RUNS, STEP.CPU, STEP.RESULT].map((n) => rig.word(n)),
      [1, 0, ETIMEDOUT],
    );
    await rig.call(1, wait, lid);
  },
  "woken before the tick, nothing fires": async (rig) => {
    const lid = await timedSleeper(rig);
    assert.equal(await rig.call(1, unpark, lid, 0), 0);
    await rig.call(0, giveWay);
    assert.deepEqual(
      [STEP.RUNS, STEP.CPU, STEP.RESULT].map((n) => rig.word(n)),
      [1, 0, 0],
    );
    rig.ls.tick();
    await rig.passes(0, "callout.fired", nothing);
    await rig.call(1, wait, lid);
  },
});
