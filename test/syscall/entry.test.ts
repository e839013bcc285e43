/** Entering and leaving a system call, as an LWP sees it (MCH-95, 96), and the hooks of an emulation (MCH-110). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, parked, TestMachine } from "../support/sim.js";

/** Signals by hand: those that are pending are taken and logged; interrupted calls are executed again. */
function signals(m: TestMachine, log: string[]): void {
  const { k } = m;
  k.slots.sigrestart = () => true;
  k.slots.issignal = (l) => {
    const sig = K.firstsig(l);
    if (sig !== 0) k.w[l.proc.sigpend] = 0;
    return sig;
  };
  k.slots.postsig = (_l, sig) => log.push(`signal ${sig}`);
}

/** Posts signal 10 to an LWP that sleeps. */
function post(m: TestMachine, p: K.Proc, l: K.Lwp): void {
  m.locked(p, () => {
    m.k.w[p.sigpend] = 1 << 9;
    K.lwpLock(l);
    l.flag |= K.LW_PENDSIG;
    K.setrunnable(l);
  });
  m.run();
}

test("MCH-95: a call adopts new credentials when it is entered, and keeps those it entered with", () => {
  const m = new TestMachine();
  const seen: unknown[] = [];
  const p = m.spawn(
    function* () {
      const l = K.cur.lwp;
      yield* S.lwpCreate(function* () {
        K.doSetresuid(K.cur.lwp, 10, 10, 10);
        yield* S.lwpUnpark(1);
      });
      yield* S.lwpPark();
      // It slept in the call meanwhile.
      seen.push(l.uid, (l.prflag & K.LPR_CRMOD) !== 0);
      yield* S.lwpSelf();
      seen.push(l.uid, (l.prflag & K.LPR_CRMOD) !== 0);
    },
    { uid: 0 },
  );
  m.run();
  assert.notEqual(p.stat, K.SACTIVE);
  assert.deepEqual(seen, [0, true, 10, false]);
});

test("MCH-95: 0 gives the result, an error is the caller's, ERESTART executes the same call again after the handlers have run", () => {
  const m = new TestMachine();
  const log: string[] = [];
  signals(m, log);
  const p = m.spawn(function* () {
    yield* S.lwpCreate(parked);
    log.push(`error ${String(yield* attempt(S.lwpWait(77)))}`);
    log.push(`result ${String(yield* S.lwpWait(2))}`);
    yield* S.lwpPark();
  });
  m.run();
  const main = m.lwp(p, 1);
  assert.equal(main.waitingfor, 2);
  post(m, p, main);
  assert.deepEqual(log, ["error ESRCH", "signal 10"]);
  assert.equal(main.waitingfor, 2, "the same call, with the same argument");
  m.locked(p, () => K.unpark(p, 2, 2 << 8));
  m.run();
  assert.deepEqual(log, ["error ESRCH", "signal 10", "result 2"]);
});

test("MCH-96: a call that is executed again sees what its first execution did", () => {
  const m = new TestMachine();
  const log: string[] = [];
  signals(m, log);
  // A suspension of a thread that sleeps for good in the kernel is asked for, and not yet there.
  let asked = 0;
  const p = m.spawn(function* () {
    yield* S.lwpCreate(function* () {
      yield* K.kpause(m.k, "long", 50);
      yield* S.lwpSelf();
    });
    yield* S.schedYield();
    log.push(`result ${String(yield* attempt(S.lwpSuspend(2)))}`);
    yield* S.lwpPark();
  });
  const main = m.lwp(p, 1);
  m.until(() => K.procLwps(p).length === 2 && main.wmesg === "lwpwait" && main.wchan !== 0);
  const target = m.lwp(p, 2);
  assert.notEqual(target.flag & K.LW_WSUSPEND, 0);
  asked = target.flag;
  m.locked(p, () => {
    m.k.w[p.sigpend] = 1 << 9;
    K.lwpLock(main);
    main.flag |= K.LW_PENDSIG;
    K.setrunnable(main);
  });
  m.until(() => log.length === 1 && main.wchan !== 0);
  assert.deepEqual(log, ["signal 10"]);
  assert.equal(target.flag, asked, "it was asked for already, and is asked for once more");
  m.run();
  assert.deepEqual(log, ["signal 10", "result undefined"]);
  assert.equal(target.stat, K.LSSUSPENDED);
});

test("MCH-110: the emulation's hooks: creation at its end, exit early and able to wait, the start of a user LWP by its context", () => {
  const m = new TestMachine();
  const log: string[] = [];
  m.k.slots.lwpFork = (l1, l2) => log.push(`fork ${l1.lid} ${l2.lid}, listed ${K.allLwps(m.k)[0] === l2}`);
  m.k.slots.lwpExit = (l) => log.push(`exit ${l.lid}, ${K.STATE_NAMES[l.stat]}`);
  const contextFor = m.k.slots.contextFor;
  m.k.slots.contextFor = (l) => {
    log.push(`start ${l.lid}`);
    return contextFor(l);
  };
  m.spawn(function* () {
    const lid = yield* S.lwpCreate(function* () {});
    yield* S.lwpWait(lid);
  });
  m.run();
  assert.deepEqual(log, [
    "fork 1 1, listed true",
    "start 1",
    "fork 1 2, listed true",
    "start 2",
    "exit 2, ONPROC",
    "exit 1, ONPROC",
  ]);
});
