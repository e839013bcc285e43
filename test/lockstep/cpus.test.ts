// The windows of switching, of idling, and of moving LWPs between CPUs.
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { type Action, type Rig, type Run, window } from "../support/lockstep.js";
import { giveWay, kick, nothing, park, unpark, wait } from "../support/lockstep-actions.js";
import { STEP } from "../support/lockstep-words.js";

/** What a step LWP has left: how often it came to its end, on which CPU, with what result. */
function trace(rig: Rig): number[] {
  return [STEP.RUNS, STEP.CPU, STEP.RESULT].map((n) => rig.word(n));
}

// --- switching: a step LWP goes to sleep on CPU 0, and is woken on CPU 1 -------------------------

/** The step LWP in the window: asleep, off its CPU, its context not saved. */
async function leaving(rig: Rig): Promise<{ lid: number; agent: Run }> {
  const agent = await rig.hold(0, "switch.unlocked", function* (x) {
    x.w[x.at(16)] = x.step(1);
    yield* x.S.schedYield();
  });
  // That was the agent itself, which makes room.
  rig.ls.arm(0, "switch.unlocked");
  rig.go(0);
  await rig.reached(0, "switch.unlocked", agent);
  const lid = rig.word(16);
  assert.equal(rig.state(lid), "SLEEP");
  assert.equal(rig.running(lid), false);
  assert.equal(rig.lwp(lid).ctxswtch, 1);
  return { lid, agent };
}

/** Moves a sleeping LWP to CPU 1, and wakes it there. */
const wakeHere: Action = (x, lid) => {
  const t = x.lwp(lid);
  x.K.lwpLock(t);
  x.K.lwpMigrate(t, x.cpu(1));
  return x.K.unpark(x.p, lid, 0);
};

window("switch.unlocked", {
  "taken over by another CPU, that one waits until the context is saved": async (rig) => {
    const { lid, agent } = await leaving(rig);
    assert.equal(await rig.call(1, wakeHere, lid), 0);
    assert.equal(rig.state(lid), "RUN");
    const b = await rig.hold(1, "cpu.relax", giveWay);
    assert.equal(rig.state(lid), "ONPROC");
    assert.deepEqual(trace(rig), [0, 0, 0]);
    await agent.go();
    assert.equal(rig.lwp(lid).ctxswtch, 0);
    await b.go();
    assert.deepEqual(trace(rig), [1, 1, 0]);
    await rig.call(1, wait, lid);
  },
  "saved first, nobody waits": async (rig) => {
    const { lid, agent } = await leaving(rig);
    await agent.go();
    assert.equal(rig.lwp(lid).ctxswtch, 0);
    assert.equal(await rig.call(1, wakeHere, lid), 0);
    await rig.passes(1, "switch.waitctx", giveWay);
    assert.deepEqual(trace(rig), [1, 1, 0]);
    await rig.call(1, wait, lid);
  },
});

window("switch.waitctx", {
  "the context is saved before it looks again": async (rig) => {
    const { lid, agent } = await leaving(rig);
    await rig.call(1, wakeHere, lid);
    const b = await rig.hold(1, "switch.waitctx", giveWay);
    await agent.go();
    await rig.goPast(1, "cpu.relax", b);
    assert.deepEqual(trace(rig), [1, 1, 0]);
    await rig.call(1, wait, lid);
  },
  "it looks first, and waits": async (rig) => {
    const { lid, agent } = await leaving(rig);
    await rig.call(1, wakeHere, lid);
    const b = await rig.hold(1, "switch.waitctx", giveWay);
    rig.ls.arm(1, "cpu.relax");
    rig.go(1);
    await rig.reached(1, "cpu.relax", b);
    assert.deepEqual(trace(rig), [0, 0, 0]);
    await agent.go();
    await b.go();
    assert.deepEqual(trace(rig), [1, 1, 0]);
    await rig.call(1, wait, lid);
  },
});

// --- idling: the agent of CPU 0 parks ------------------------------------------------------------

window("idle.announced", {
  "work that comes then is found by the second look": async (rig) => {
    const a = await rig.hold(0, "idle.announced", park);
    assert.equal(rig.cpu(0).sleeping, 1);
    await rig.call(1, unpark, rig.lid(0));
    assert.equal(await rig.goPast(0, "idle.sleeping", a), 0);
    assert.equal(rig.cpu(0).sleeping, 0);
  },
  "woken then for nothing, it does not sleep on what nobody tells it of": async (rig) => {
    const a = await rig.hold(0, "idle.announced", park);
    const { wake } = rig.cpu(0);
    await rig.call(1, kick, 0);
    assert.deepEqual([rig.cpu(0).sleeping, rig.cpu(0).wake], [K.AWAKE, wake + 1]);
    rig.ls.arm(0, "idle.sleeping");
    rig.go(0);
    await rig.reached(0, "idle.sleeping", a);
    await rig.call(1, unpark, rig.lid(0));
    assert.equal(rig.cpu(0).wake, wake + 1);
    assert.equal(await a.go(), 0);
    assert.equal(rig.machine.lostWakeups, 0);
  },
  "work that came before is found without": async (rig) => {
    const a = await rig.hold(0, "switch.unlocked", park);
    await rig.call(1, unpark, rig.lid(0));
    assert.equal(await rig.goPast(0, "idle.announced", a), 0);
  },
});

window("idle.sleeping", {
  "work that comes then does not let it sleep": async (rig) => {
    const a = await rig.hold(0, "idle.sleeping", park);
    const { wake } = rig.cpu(0);
    await rig.call(1, unpark, rig.lid(0));
    assert.equal(rig.cpu(0).wake, wake + 1);
    assert.equal(await a.go(), 0);
    assert.equal(rig.machine.lostWakeups, 0);
  },
  "of several that bring work only the first wakes it": async (rig) => {
    const a = await rig.hold(0, "idle.sleeping", park);
    const { wake } = rig.cpu(0);
    await rig.call(1, kick, 0);
    await rig.call(1, unpark, rig.lid(0));
    await rig.call(1, kick, 0);
    assert.deepEqual([rig.cpu(0).sleeping, rig.cpu(0).wake], [K.AWAKE, wake + 1]);
    assert.equal(await a.go(), 0);
    assert.equal(rig.machine.lostWakeups, 0);
  },
  "asleep first, it is woken": async (rig) => {
    const a = await rig.hold(0, "idle.sleeping", park);
    rig.go(0);
    await rig.call(1, unpark, rig.lid(0));
    assert.equal(await a.result(), 0);
    assert.equal(rig.machine.lostWakeups, 0);
  },
});

window("kick.pending", {
  "the CPU asleep, nothing goes on until it is told": async (rig) => {
    const a = await rig.hold(0, "idle.sleeping", park);
    rig.go(0);
    const b = await rig.hold(1, "kick.pending", unpark, rig.lid(0));
    assert.equal(rig.state(rig.lid(0)), "RUN");
    assert.equal(rig.cpu(0).sleeping, 1);
    assert.equal(a.isDone, false);
    await b.go();
    assert.equal(await a.result(), 0);
    assert.equal(rig.machine.lostWakeups, 0);
  },
  "about to sleep, it finds the work before it is told": async (rig) => {
    const a = await rig.hold(0, "idle.announced", park);
    const b = await rig.hold(1, "kick.pending", unpark, rig.lid(0));
    assert.equal(await a.go(), 0);
    const { wake } = rig.cpu(0);
    await b.go();
    assert.equal(rig.cpu(0).wake, wake, "nobody needs to be told any more");
  },
});

// --- cross-calls: the agent of CPU 0 calls CPU 1 --------------------------------------------------

/** Calls the other CPU with high priority, and waits until it has run that. */
const callOther: Action = function* (x, other) {
  yield* x.K.xcWait(x.k, yield* x.K.xcUnicast(x.k, x.K.XC_HIGHPRI, x.K.XC_NULLOP, 0, 0, x.cpu(other)));
};

window("xcall.asked", {
  "before it is told, a CPU that polls runs nothing; then it does at its next poll": async (rig) => {
    const { xc } = rig.k;
    const a = await rig.hold(0, "xcall.asked", callOther, 1);
    await rig.call(1, nothing);
    assert.equal(xc.hiHead - xc.hiDone, 1);
    rig.go(0);
    // An idle CPU may have run it by itself already.
    const told = () => (rig.cpu(1).attention & K.ATTN_XCALL) !== 0 || xc.hiHead === xc.hiDone;
    await rig.ls.until("CPU 1 is told", told);
    await rig.call(1, nothing);
    await a.result();
    assert.equal(xc.hiHead, xc.hiDone);
  },
  "a second call that comes then waits for its turn, and is run after the first": async (rig) => {
    const { xc } = rig.k;
    const a = await rig.hold(0, "xcall.asked", callOther, 1);
    const b = rig.start(1, callOther, 0);
    await rig.untilState(rig.lid(1), "SLEEP");
    assert.equal(rig.lwp(rig.lid(1)).wmesg, "xchicv");
    assert.equal(xc.hiHead - xc.hiDone, 1);
    const before = xc.hiDone;
    await a.go();
    const told = () => (rig.cpu(0).attention & K.ATTN_XCALL) !== 0 || xc.hiDone === before + 2;
    await rig.ls.until("CPU 0 is told", told);
    await rig.call(0, nothing);
    await b.result();
    assert.equal(xc.hiHead, xc.hiDone);
  },
});

// --- stealing: CPU 0 is idle, a step LWP waits on CPU 1 ------------------------------------------

/** CPU 0 has chosen CPU 1 as its victim. */
async function thief(rig: Rig): Promise<{ lid: number; agent: Run }> {
  const agent = await rig.hold(0, "idle.announced", park);
  const lid = await rig.call(1, (x) => x.step(0));
  assert.equal(rig.state(lid), "RUN");
  assert.deepEqual([rig.cpu(1).count, rig.cpu(1).mcount], [1, 1]);
  rig.ls.arm(0, "steal.chosen");
  rig.go(0);
  await rig.reached(0, "steal.chosen");
  return { lid, agent };
}

async function wakeThief(rig: Rig, agent: Run): Promise<void> {
  await rig.call(1, unpark, rig.lid(0));
  assert.equal(await agent.result(), 0);
}

window("steal.chosen", {
  "taken by its own CPU meanwhile, nothing is stolen": async (rig) => {
    const { lid, agent } = await thief(rig);
    const { pull } = rig.cpu(1);
    await rig.call(1, giveWay);
    assert.deepEqual(trace(rig), [1, 1, 0]);
    rig.go(0);
    await wakeThief(rig, agent);
    assert.equal(rig.cpu(1).pull, pull);
    assert.deepEqual(trace(rig), [1, 1, 0]);
    await rig.call(1, wait, lid);
  },
  "the thief first, its own CPU has nothing left": async (rig) => {
    const { lid, agent } = await thief(rig);
    const { pull } = rig.cpu(1);
    rig.go(0);
    await rig.untilWord(STEP.RUNS, 1);
    assert.deepEqual(trace(rig), [1, 0, 0]);
    assert.deepEqual([rig.cpu(1).count, rig.cpu(1).mcount, rig.cpu(1).pull], [0, 0, pull + 1]);
    await rig.call(1, giveWay);
    await wakeThief(rig, agent);
    await rig.call(1, wait, lid);
  },
});

// --- migrating: a step LWP computes on CPU 1 and is to go to CPU 0, whose run queue is locked ----

/** CPU 0 asks for the migration, keeps its own run queue locked until word 18 is set, then does what word 19 says. */
const askAndLock: Action = function* (x, lid) {
  const here = x.cpu(0);
  const t = x.lwp(lid);
  x.K.spinEnter(x.k, here.mutex);
  x.K.lwpLock(t);
  // Or CPU 1, idle then, would steal it back.
  if (x.w[x.at(19)] === 0) t.affinity = 1 << 0;
  x.K.lwpMigrate(t, here);
  while (Atomics.load(x.w, x.at(18)) === 0) Atomics.wait(x.w, x.at(18), 0);
  x.K.spinExit(x.k, here.mutex);
  if (x.w[x.at(19)] === 1) {
    x.K.lwpLock(t);
    x.K.lwpMigrate(t, x.cpu(1));
  } else if (x.w[x.at(19)] === 2) {
    // Until the next tick.
    const how = x.K.parkBlock(x.l, 0, 1);
    if (how === x.K.BLOCK_SWITCHED) yield;
    x.K.parkUnblock(x.l, how, 1);
  }
};
const UNLOCK = 18;
const AFTERWARDS = 19;
const STAY = 0;
/** To CPU 1, where it comes from. */
const ASK_BACK = 1;
const GO_IDLE = 2;

/** CPU 1 has seen that it is to move the LWP, and let its run queue go to take both. */
async function mover(rig: Rig, afterwards: number): Promise<{ lid: number; asker: Run; agent: Run }> {
  rig.setWord(AFTERWARDS, afterwards);
  const agent = rig.start(1, function* (x) {
    x.w[x.at(16)] = x.step(2);
    const how = x.K.parkBlock(x.l, 0, 0);
    if (how === x.K.BLOCK_SWITCHED) yield;
    return x.K.parkUnblock(x.l, how, 0);
  });
  await rig.untilWord(STEP.SPINS, 1);
  const lid = rig.word(16);
  rig.ls.arm(1, "migrate.chosen");
  const asker = rig.start(0, askAndLock, lid);
  await rig.reached(1, "migrate.chosen");
  assert.equal(rig.state(lid), "RUN");
  assert.equal(rig.cpu(1).migrating?.lid, lid);
  assert.equal(rig.k.w[rig.cpu(1).mutex], 0);
  return { lid, asker, agent };
}

/** The step LWP comes to its end; the agent of CPU 1 goes on, and collects it. */
async function finish(rig: Rig, lid: number, agent: Run): Promise<void> {
  rig.setWord(STEP.STOP, 1);
  await rig.ls.until("the step LWP has left CPU 1", () => rig.cpu(1).curlwp.lid !== lid);
  await rig.call(0, giveWay);
  await rig.untilWord(STEP.RUNS, 1);
  await rig.call(0, unpark, rig.lid(1));
  assert.equal(await agent.result(), 0);
  await rig.call(1, wait, lid);
  assert.equal(rig.cpu(1).migrating, null);
}

window("migrate.chosen", {
  "asked for elsewhere meanwhile, it stays": async (rig) => {
    const { lid, asker, agent } = await mover(rig, ASK_BACK);
    rig.setWord(UNLOCK, 1);
    await asker.result();
    rig.go(1);
    await finish(rig, lid, agent);
    assert.deepEqual(trace(rig), [1, 1, 0]);
  },
  "stolen meanwhile by the CPU it was to go to, it is moved once": async (rig) => {
    const { lid, asker, agent } = await mover(rig, GO_IDLE);
    rig.setWord(STEP.SPINS, 0);
    rig.setWord(UNLOCK, 1);
    await rig.untilWord(STEP.SPINS, 1);
    assert.equal(rig.lwp(lid).cpu.index, 1);
    // To its end there: CPU 1 could steal it back whenever it yields.
    rig.setWord(STEP.STOP, 1);
    await rig.untilState(lid, "ZOMB");
    assert.equal(rig.cpu(1).migrating, null);
    rig.go(1);
    rig.ls.tick();
    await asker.result();
    await finish(rig, lid, agent);
    assert.deepEqual(trace(rig), [1, 0, 0]);
  },
  "nothing has changed, it moves": async (rig) => {
    const { lid, asker, agent } = await mover(rig, STAY);
    rig.ls.arm(1, "cpu.relax");
    rig.go(1);
    await rig.reached(1, "cpu.relax");
    rig.setWord(UNLOCK, 1);
    await asker.result();
    rig.go(1);
    await rig.ls.until("it is queued on CPU 0", () => rig.cpu(0).count === 1);
    assert.equal(rig.lwp(lid).targetCpu, null);
    await finish(rig, lid, agent);
    assert.deepEqual(trace(rig), [1, 0, 0]);
  },
});

// --- quiet: whether nothing can move any more -----------------------------------------------------

const unparkAndPark: Action = function* (x, lid) {
  x.K.unpark(x.p, lid, 0);
  const how = x.K.parkBlock(x.l, 0, 0);
  if (how === x.K.BLOCK_SWITCHED) yield;
  return x.K.parkUnblock(x.l, how, 0);
};

async function untilAsleep(rig: Rig, cpu: number): Promise<void> {
  await rig.ls.until(`CPU ${cpu} sleeps`, () => rig.cpu(cpu).sleeping !== 0 && rig.ls.heldAt(cpu) === null);
}

window("idle.woken", {
  "no CPU runs, but one that was woken passes for awake: not quiet": async (rig) => {
    const a = rig.start(0, park);
    await untilAsleep(rig, 0);
    rig.ls.arm(0, "idle.woken");
    const b = rig.start(1, unparkAndPark, rig.lid(0));
    await rig.reached(0, "idle.woken");
    await untilAsleep(rig, 1);
    assert.deepEqual([rig.cpu(0).sleeping !== K.AWAKE, rig.cpu(1).sleeping !== K.AWAKE], [false, true]);
    assert.equal(K.machineQuiet(rig.k, 0), false);
    rig.go(0);
    assert.equal(await a.result(), 0);
    await rig.call(0, unpark, rig.lid(1));
    assert.equal(await b.result(), 0);
  },
  "it has had its turn and sleeps again: quiet, and its turn was counted": async (rig) => {
    const a = rig.start(0, park);
    await untilAsleep(rig, 0);
    const turns = K.turnsOf(rig.k);
    const b = rig.start(1, unparkAndPark, rig.lid(0));
    assert.equal(await a.result(), 0);
    const c = rig.start(0, park);
    await untilAsleep(rig, 0);
    await untilAsleep(rig, 1);
    assert.equal(K.machineQuiet(rig.k, 0), true);
    assert.equal(K.turnsOf(rig.k), turns + 1);
    // Nobody is awake to do it: the test plays CPU 0.
    K.asCpu(rig.cpu(0), () => K.unpark(rig.lwp(rig.lid(0)).proc, rig.lid(0), 0));
    assert.equal(K.machineQuiet(rig.k, 0), false);
    K.endIdleWait(rig.cpu(0));
    assert.equal(await c.result(), 0);
    await rig.call(0, unpark, rig.lid(1));
    assert.equal(await b.result(), 0);
  },
});
