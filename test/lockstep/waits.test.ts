// The window between an operation's look at what it waits for and its sleep.
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { type Action, type Rig, type Run, window } from "../support/lockstep.js";

const giveWay: Action = function* (x) {
  for (let i = 0; i < 4; i++) yield* x.S.schedYield();
};

/** Starts a thread on CPU 1, whose agent has it, and waits for its end: its value, or the number of an error. */
const join: Action = function* (x) {
  const t = yield* x.T.Thread.with({ cpu: 1 }).spawn(x.entry, 7);
  x.w[x.at(16)] = t.lid;
  return yield* t.join();
};
const race: Action = function* (x) {
  return yield* x.T.Thread.race([yield* x.T.Thread.with({ cpu: 1 }).spawn(x.entry, 7)]);
};
const all: Action = function* (x) {
  const [value] = yield* x.T.Thread.all([yield* x.T.Thread.with({ cpu: 1 }).spawn(x.entry, 7)]);
  return value;
};
/** Waits for what never comes, at most for ever; the error number that ends it. */
const waits: Action = function* (x) {
  try {
    yield* x.T.Thread.sleep(1e9);
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
};
/** Cancels the thread of an agent's LWP, and takes that back later. */
const cancel: Action = function* (x, lid) {
  const t = x.k.threads.view(x.lwp(lid).arg);
  x.K.spinEnter(x.k, t.lock);
  t.cancel |= x.K.CANCEL_PENDING;
  x.K.spinExit(x.k, t.lock);
  try {
    yield* x.S.lwpWakeup(lid);
  } catch {
    // It does not sleep.
  }
};
const forget: Action = (x) => {
  x.k.threads.view(x.l.arg).cancel = 0;
};
/** The same on objects, which nobody else knows. */
const waitsOnObjects: readonly Action[] = [
  waits,
  function* (x) {
    const o = new x.T.Semaphore(0);
    try {
      yield* o.wait();
      return 0;
    } catch (error) {
      return (error as { errno: number }).errno;
    } finally {
      o.dispose();
    }
  },
  function* (x) {
    const o = new x.T.Channel<number>(1);
    try {
      yield* o.receive();
      return 0;
    } catch (error) {
      return (error as { errno: number }).errno;
    } finally {
      o.dispose();
    }
  },
  function* (x) {
    const o = new x.T.Barrier(2);
    try {
      yield* o.wait();
      return 0;
    } catch (error) {
      return (error as { errno: number }).errno;
    } finally {
      o.dispose();
    }
  },
  function* (x) {
    const m = new x.T.Mutex();
    const o = new x.T.Condition();
    yield* m.lock();
    try {
      for (;;) yield* o.wait(m);
    } catch (error) {
      return (error as { errno: number }).errno;
    } finally {
      m.unlock();
      o.dispose();
      m.dispose();
    }
  },
];
/** Waits for two or three ticks. */
const timed: readonly Action[] = [
  function* (x) {
    yield* x.T.Thread.sleep(10);
  },
  function* (x) {
    const o = new x.T.Semaphore(0);
    let code = "";
    try {
      yield* o.wait({ timeout: 10 });
    } catch (error) {
      ({ code } = error as { code: string });
    }
    o.dispose();
    if (code !== "ETIMEDOUT") throw new Error(`it ended with ${code}`);
  },
];
/** Asks for its suspension, and does not wait for it. */
const suspend: Action = (x, lid) => {
  x.K.spinEnter(x.k, x.p.lock);
  x.K.lwpLock(x.lwp(lid));
  x.K.lwpSuspend(x.l, x.lwp(lid));
  x.K.spinExit(x.k, x.p.lock);
};
const resume: Action = function* (x, lid) {
  yield* x.S.lwpContinue(lid);
};
/** ECANCELED */
const CANCELED = 87;

/** A tick whenever its CPU sleeps and has seen the last one, but only a few. */
async function wokenByTicks(rig: Rig, a: Run): Promise<void> {
  for (let n = 0; !a.isDone; n++) {
    const asleep = (): boolean => rig.cpu(0).sleeping !== 0 && (rig.cpu(0).attention & K.ATTN_TICK) === 0;
    await rig.ls.until("it is done, or sleeps with no tick to come", () => a.isDone || asleep());
    assert.ok(n < 10, "it sleeps for ever");
    rig.ls.tick();
  }
  await a.result();
}

async function untilSuspendedThenCancel(rig: Rig, a: Run): Promise<void> {
  await rig.untilState(rig.lid(0), "SUSPENDED");
  await rig.call(1, resume, rig.lid(0));
  await rig.untilState(rig.lid(0), "SLEEP");
  await rig.call(1, cancel, rig.lid(0));
  assert.equal(await rig.awake(a, 0), CANCELED);
  await rig.call(0, forget);
}

window("wait.tried", {
  "the thread ends before its joiner sleeps: it looks once more, and does not": async (rig) => {
    for (const action of [join, race, all]) {
      const a = await rig.hold(0, "wait.tried", action);
      await rig.call(1, giveWay);
      rig.go(0);
      assert.equal(await rig.awake(a, 0), 7);
    }
  },
  "the joiner sleeps first, and is woken by the end": async (rig) => {
    for (const action of [join, race, all]) {
      const a = await rig.hold(0, "wait.tried", action);
      rig.go(0);
      await rig.untilState(rig.lid(0), "SLEEP");
      await rig.call(1, giveWay);
      assert.equal(await rig.awake(a, 0), 7);
    }
  },
  "suspended in the window, it does not sleep before it is": async (rig) => {
    for (const action of waitsOnObjects) {
      const a = await rig.hold(0, "wait.tried", action);
      await rig.call(1, suspend, rig.lid(0));
      rig.go(0);
      await untilSuspendedThenCancel(rig, a);
    }
  },
  "suspended asleep, it goes on until it is": async (rig) => {
    for (const action of waitsOnObjects) {
      const a = await rig.hold(0, "wait.tried", action);
      rig.go(0);
      await rig.untilState(rig.lid(0), "SLEEP");
      await rig.call(1, suspend, rig.lid(0));
      await untilSuspendedThenCancel(rig, a);
    }
  },
  "its time over in the window, it sleeps for a tick, and not for ever": async (rig) => {
    for (const action of timed) {
      const a = await rig.hold(0, "wait.tried", action);
      for (let n = 0; n < 4; n++) rig.ls.tick();
      rig.go(0);
      await wokenByTicks(rig, a);
    }
  },
  "its time over asleep, it is woken": async (rig) => {
    for (const action of timed) {
      const a = await rig.hold(0, "wait.tried", action);
      rig.go(0);
      await wokenByTicks(rig, a);
    }
  },
  "cancelled in the window, it does not sleep": async (rig) => {
    const a = await rig.hold(0, "wait.tried", waits);
    await rig.call(1, cancel, rig.lid(0));
    rig.go(0);
    assert.equal(await rig.awake(a, 0), CANCELED);
    await rig.call(0, forget);
  },
  "cancelled asleep, it is woken": async (rig) => {
    const a = await rig.hold(0, "wait.tried", waits);
    rig.go(0);
    await rig.untilState(rig.lid(0), "SLEEP");
    await rig.call(1, cancel, rig.lid(0));
    assert.equal(await rig.awake(a, 0), CANCELED);
    await rig.call(0, forget);
  },
});
