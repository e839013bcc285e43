// The windows of birth, suspension and death.
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { ESRCH } from "lwp/kernel";
import { type Action, type Rig, type Run, window } from "../support/lockstep.js";
import { giveWay, nothing, unpark, wait } from "../support/lockstep-actions.js";
import { STEP } from "../support/lockstep-words.js";

/** Starts a thread that exits at once, and lets it. Its lid is in word 17 before. */
const spawnDying: Action = function* (x) {
  x.w[x.at(17)] = x.spawn(function* () {});
  yield* x.S.schedYield();
};
const DYING = 17;

/** An error number, or 0. */
const detach: Action = function* (x, lid) {
  try {
    yield* x.S.lwpDetach(lid);
  } catch (error) {
    return (error as { errno: number }).errno;
  }
  return 0;
};
const waitError: Action = function* (x, lid) {
  try {
    yield* x.S.lwpWait(lid);
  } catch (error) {
    return (error as { errno: number }).errno;
  }
  return 0;
};

/** A dying LWP that stands in one of its windows on CPU `cpu`. */
async function dying(
  rig: Rig,
  cpu: number,
  point: K.DelayPoint,
): Promise<{ z: K.Lwp; lid: number; agent: Run }> {
  const agent = await rig.hold(cpu, point, spawnDying);
  const lid = rig.word(DYING);
  const z = rig.lwp(lid);
  assert.equal(rig.state(lid), "ZOMB");
  return { z, lid, agent };
}

const allocated = (l: K.Lwp): boolean => (l.gen & 1) === 1;

window("exit.zombie", {
  "collected while it still runs, its record is not given back before it has left": async (rig) => {
    const { z, lid, agent } = await dying(rig, 0, "exit.zombie");
    const b = await rig.hold(1, "cpu.relax", wait, lid);
    assert.equal(allocated(z), true);
    assert.equal(rig.cpu(0).curlwp, z);
    await agent.go();
    assert.equal(await b.go(), lid);
    assert.equal(allocated(z), false);
  },
  "gone first, nobody waits for it": async (rig) => {
    const { z, lid, agent } = await dying(rig, 0, "exit.zombie");
    await agent.go();
    assert.equal(await rig.passes(1, "cpu.relax", wait, lid), lid);
    assert.equal(allocated(z), false);
  },
});

window("exit.away", {
  "freed and used again then, the record is not touched by its old CPU": async (rig) => {
    const { z, lid, agent } = await dying(rig, 0, "exit.away");
    const heir = await rig.passes(
      1,
      "cpu.relax",
      function* (x, dead) {
        yield* x.S.lwpWait(dead);
        const made = x.spawn(function* () {});
        const l = x.lwp(made);
        // Marks that its old CPU, if it wrote here, would wipe.
        l.pflag |= x.K.LP_TIMEINTR;
        l.ctxswtch = 1;
        return made;
      },
      lid,
    );
    const l = rig.lwp(heir);
    assert.equal(l, z, "the same record");
    await agent.go();
    assert.notEqual(l.pflag & K.LP_TIMEINTR, 0);
    assert.equal(l.ctxswtch, 1);
    assert.equal(rig.state(heir), "RUN");
    await rig.call(
      1,
      (x, made) => {
        x.lwp(made).pflag &= ~x.K.LP_TIMEINTR;
        x.lwp(made).ctxswtch = 0;
      },
      heir,
    );
    await rig.call(1, wait, heir);
  },
  "gone on first, it is freed": async (rig) => {
    const { z, lid, agent } = await dying(rig, 0, "exit.away");
    await agent.go();
    assert.equal(await rig.passes(1, "cpu.relax", wait, lid), lid);
    assert.equal(allocated(z), false);
  },
});

window("free.unlinked", {
  "nobody finds it any more": async (rig) => {
    await rig.call(1, spawnDying);
    const lid = rig.word(DYING);
    const a = await rig.hold(0, "free.unlinked", wait, lid);
    assert.equal(await rig.call(1, detach, lid), ESRCH);
    assert.equal(await rig.call(1, waitError, lid), ESRCH);
    assert.equal(await a.go(), lid);
  },
  "detached before, it is not there to be waited for": async (rig) => {
    await rig.call(1, spawnDying);
    const lid = rig.word(DYING);
    assert.equal(await rig.call(1, detach, lid), 0);
    assert.equal(await rig.passes(0, "free.unlinked", waitError, lid), ESRCH);
  },
  "it looks before the dead one has left, and waits": async (rig) => {
    const { z, lid, agent } = await dying(rig, 1, "exit.zombie");
    const a = await rig.hold(0, "free.unlinked", wait, lid);
    rig.ls.arm(0, "cpu.relax");
    rig.go(0);
    await rig.reached(0, "cpu.relax", a);
    assert.equal(allocated(z), true);
    await agent.go();
    assert.equal(await a.go(), lid);
    assert.equal(allocated(z), false);
  },
  "the dead one leaves before it looks": async (rig) => {
    const { z, lid, agent } = await dying(rig, 1, "exit.zombie");
    const a = await rig.hold(0, "free.unlinked", wait, lid);
    await agent.go();
    assert.equal(await rig.goPast(0, "cpu.relax", a), lid);
    assert.equal(allocated(z), false);
  },
});

// --- birth ---------------------------------------------------------------------------------------

const makeStep: Action = (x) => x.step(0);
const suspend: Action = function* (x, lid) {
  try {
    yield* x.S.lwpSuspend(lid);
  } catch (error) {
    return (error as { errno: number }).errno;
  }
  return 0;
};
const resume: Action = function* (x, lid) {
  yield* x.S.lwpContinue(lid);
};
const migrateHere: Action = (x, lid) => {
  const t = x.lwp(lid);
  x.K.lwpLock(t);
  x.K.lwpMigrate(t, x.cpu(1));
};

window("create.idle", {
  "unborn, it is not found by those who would change it, and starts where it was moved to": async (rig) => {
    const a = await rig.hold(0, "create.idle", makeStep);
    const lid = rig.lwp(rig.lid(0)).proc.nlwpid;
    assert.equal(rig.state(lid), "IDL");
    assert.equal(await rig.call(1, suspend, lid), ESRCH);
    assert.equal(await rig.call(1, unpark, lid), ESRCH);
    assert.equal(await rig.call(1, detach, lid), ESRCH);
    await rig.call(1, migrateHere, lid);
    assert.equal(await a.go(), lid);
    assert.equal(rig.state(lid), "RUN");
    assert.deepEqual([rig.cpu(0).count, rig.cpu(1).count], [0, 1]);
    await rig.call(1, giveWay);
    assert.deepEqual([rig.word(STEP.RUNS), rig.word(STEP.CPU)], [1, 1]);
    await rig.call(1, wait, lid);
  },
  "started first, it is suspended before it has done anything": async (rig) => {
    const a = await rig.hold(0, "create.idle", makeStep);
    const lid = await a.go();
    assert.equal(rig.state(lid), "RUN");
    assert.equal(await rig.call(1, suspend, lid), 0);
    assert.equal(rig.state(lid), "SUSPENDED");
    assert.equal(rig.word(STEP.RUNS), 0);
    await rig.call(1, resume, lid);
    await rig.call(1, wait, lid);
    assert.equal(rig.word(STEP.RUNS), 1);
  },
});

// --- suspension ----------------------------------------------------------------------------------

/** Asks the agent of CPU 0 to suspend itself, and does not wait for it. */
const askToSuspend: Action = (x, lid) => {
  x.K.spinEnter(x.k, x.p.lock);
  const t = x.lwp(lid);
  x.K.lwpLock(t);
  const error = x.K.lwpSuspend(x.l, t);
  x.K.spinExit(x.k, x.p.lock);
  return error;
};

async function suspending(rig: Rig): Promise<Run> {
  assert.equal(await rig.call(1, askToSuspend, rig.lid(0)), 0);
  const agent = await rig.hold(0, "userret.suspended", nothing);
  assert.equal(rig.state(rig.lid(0)), "SUSPENDED");
  assert.equal(rig.running(rig.lid(0)), true);
  return agent;
}

window("userret.suspended", {
  "continued before it has left its CPU, it goes on there": async (rig) => {
    const agent = await suspending(rig);
    await rig.call(1, resume, rig.lid(0));
    assert.equal(rig.state(rig.lid(0)), "ONPROC");
    assert.equal(rig.cpu(0).count, 0);
    await agent.go();
  },
  "gone first, it is queued again": async (rig) => {
    const agent = await suspending(rig);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    assert.equal(rig.state(rig.lid(0)), "SUSPENDED");
    await rig.call(1, resume, rig.lid(0));
    await agent.result();
  },
});

// --- a process stops -----------------------------------------------------------------------------

/** Has the LWP stop at its next user return, as `procStop` does, but nobody else. */
const askToStop: Action = (x, lid) => {
  x.K.spinEnter(x.k, x.p.lock);
  x.p.sflag |= x.K.PS_STOPPING;
  const t = x.lwp(lid);
  x.K.lwpLock(t);
  t.flag |= x.K.LW_PENDSIG;
  x.K.lwpNeedUserret(t);
  x.K.lwpUnlock(t);
  x.K.spinExit(x.k, x.p.lock);
};
const unstop: Action = (x) => {
  x.K.spinEnter(x.k, x.k.g.procLock);
  x.K.spinEnter(x.k, x.p.lock);
  x.K.procUnstop(x.p, 0);
  x.K.spinExit(x.k, x.p.lock);
  x.K.spinExit(x.k, x.k.g.procLock);
};

async function stopping(rig: Rig): Promise<Run> {
  await rig.call(1, askToStop, rig.lid(0));
  const agent = await rig.hold(0, "sigswitch.stopped", nothing);
  assert.equal(rig.state(rig.lid(0)), "STOP");
  assert.equal(rig.running(rig.lid(0)), true);
  return agent;
}

window("sigswitch.stopped", {
  "continued before it has left its CPU, it goes on there": async (rig) => {
    const agent = await stopping(rig);
    await rig.call(1, unstop);
    assert.equal(rig.state(rig.lid(0)), "ONPROC");
    assert.equal(rig.cpu(0).count, 0);
    await agent.go();
  },
  "gone first, it is queued again": async (rig) => {
    const agent = await stopping(rig);
    rig.go(0);
    await rig.untilOff(rig.lid(0));
    assert.equal(rig.state(rig.lid(0)), "STOP");
    await rig.call(1, unstop);
    await agent.result();
  },
});
