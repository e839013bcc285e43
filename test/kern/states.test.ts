/** States, transitions, and which lock covers an LWP (LWP-14..21). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine, withLock } from "../support/sim.js";
import { atDelayPoint, LockOrder, onState, overridePort } from "../support/spy.js";

const STATES = {
  IDL: K.LSIDL,
  RUN: K.LSRUN,
  SLEEP: K.LSSLEEP,
  STOP: K.LSSTOP,
  ZOMB: K.LSZOMB,
  DEAD: K.LSDEAD,
  ONPROC: K.LSONPROC,
  SUSPENDED: K.LSSUSPENDED,
} as const;
type State = keyof typeof STATES;
const NAMES = Object.keys(STATES) as State[];

/** Parks for ever, whatever wakes it. */
function* parkForever(): Generator<K.Token, never, undefined> {
  for (;;) {
    try {
      yield* S.lwpPark();
    } catch (error) {
      if (!(error instanceof S.LwpError)) throw error;
    }
  }
}

/** Stops an LWP, as a stop of its process does: with the process and the LWP locked. */
function stop(l: K.Lwp): void {
  l.proc.nrlwps--;
  K.setStat(l, K.LSSTOP);
}

// --- LWP-14 -------------------------------------------------------------------------------------------

test("LWP-14: LSSLEEP is an intention: the LWP still runs until it has switched out", () => {
  const m = new TestMachine();
  const seen: unknown[] = [];
  const p = m.spawn(function* () {
    yield* S.lwpCreate(function* () {});
    yield* S.lwpWait(0);
  });
  atDelayPoint(m, "sleep.released", (l) => {
    seen.push([l.lid, stateOf(l), (l.pflag & K.LP_RUNNING) !== 0, l.cpu.curlwp === l]);
  });
  m.until(() => seen.length > 0);
  assert.deepEqual(seen, [[1, "SLEEP", true, true]]);
  // The step has ended: now it is off its CPU.
  const main = m.lwp(p, 1);
  assert.deepEqual([stateOf(main), main.pflag & K.LP_RUNNING, main.cpu.curlwp === main], ["SLEEP", 0, false]);
});

test("LWP-14: LSZOMB is an intention, and who frees a zombie waits for LP_RUNNING, not for the state", () => {
  const m = new TestMachine({ cpus: 2, checked: false });
  const waited: string[] = [];
  const seen: unknown[] = [];
  m.spawn(function* () {
    yield* S.lwpCreate(function* () {});
    yield* parkForever();
  });
  const STILL_RUNNING = new Error("still on its CPU");
  overridePort(m, {
    relax: (site) => {
      waited.push(site);
      throw STILL_RUNNING;
    },
  });
  atDelayPoint(m, "exit.zombie", (l) => {
    seen.push(stateOf(l), (l.pflag & K.LP_RUNNING) !== 0, l.cpu.curlwp === l);
    m.asCpu(
      () => {
        K.spinEnter(m.k, l.proc.lock);
        K.lwpFree(l, false, false);
      },
      1 - (l.cpu.index - 1),
    );
  });
  assert.throws(() => m.sim.run(), STILL_RUNNING);
  assert.deepEqual(seen, ["ZOMB", true, true]);
  assert.deepEqual(waited, ["lwpFree"]);
});

test("LWP-14: LSSTOP is an intention: an LWP that stops itself runs on to its switch, and is made LSONPROC there", () => {
  for (const goOn of [false, true]) {
    const m = new TestMachine();
    let after = false;
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      withLock(m.k, l.proc.lock, () => {
        K.lwpLock(l);
        stop(l);
        assert.deepEqual([stateOf(l), (l.pflag & K.LP_RUNNING) !== 0], ["STOP", true]);
        if (goOn) {
          K.setrunnable(l);
          assert.equal(stateOf(l), "ONPROC");
        } else {
          K.lwpUnlock(l);
        }
      });
      K.lwpLock(l);
      if (K.miSwitch(l)) yield;
      after = true;
      yield* parkForever();
    });
    m.run();
    const l = m.lwp(p, 1);
    assert.deepEqual([after, stateOf(l), l.pflag & K.LP_RUNNING], [goOn, goOn ? "SLEEP" : "STOP", 0]);
  }
});

test("LWP-14: SUSPENDED has a window before the switch; continued in it, the LWP is LSONPROC and merely yields", () => {
  for (const goOn of [false, true]) {
    const m = new TestMachine({ cpus: 2 });
    const seen: unknown[] = [];
    atDelayPoint(m, "userret.suspended", (l) => {
      seen.push(stateOf(l), (l.pflag & K.LP_RUNNING) !== 0);
      if (!goOn) return;
      m.asCpu(() => {
        withLock(m.k, l.proc.lock, () => {
          K.lwpLock(l);
          K.lwpContinue(l);
        });
      }, 1);
      seen.push(stateOf(l));
    });
    const p = m.spawn(function* () {
      yield* S.lwpSelf();
      m.setFlags(K.cur.lwp, K.LW_WSUSPEND);
      yield* S.lwpSelf();
      seen.push("in user mode");
      yield* parkForever();
    });
    m.run();
    const after = goOn ? ["ONPROC", "in user mode"] : [];
    assert.deepEqual(seen, ["SUSPENDED", true, ...after]);
    assert.equal(stateOf(m.lwp(p, 1)), goOn ? "SLEEP" : "SUSPENDED");
    assert.equal(p.nrlwps, goOn ? 1 : 0);
  }
});

test("LWP-14: ONPROC, RUN and IDL are literal truths, at every step of a random run", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const m = new TestMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
    m.spawn(function* () {
      for (let i = 0; i < 4; i++) {
        yield* S.lwpCreate(function* () {
          for (let n = 0; n < 3; n++) yield* S.schedYield();
        });
      }
      for (let i = 0; i < 4; i++) yield* S.lwpWait(0);
    });
    while (m.sim.step()) {
      for (const l of K.allLwps(m.k)) {
        const what = `seed ${seed}, step ${m.sim.steps}: LWP ${l.proc.pid}.${l.lid} ${stateOf(l)}`;
        const running = (l.pflag & K.LP_RUNNING) !== 0;
        assert.equal(running, l.cpu.curlwp === l, what);
        if (l.stat === K.LSONPROC) assert.ok(running, what);
        if (l.stat === K.LSRUN || l.stat === K.LSIDL) assert.ok(!running, what);
      }
    }
  }
});

// --- LWP-15 -------------------------------------------------------------------------------------------

/** Permitted transitions, each with what else must hold. */
const PERMITTED: readonly (readonly [State, State, ("running" | "interruptible" | "system")?])[] = [
  ["RUN", "ONPROC"],
  ["ONPROC", "RUN"],
  ["ONPROC", "SLEEP"],
  ["ONPROC", "STOP"],
  ["ONPROC", "SUSPENDED"],
  ["ONPROC", "ZOMB"],
  ["ONPROC", "IDL", "system"],
  ["SLEEP", "ONPROC", "running"],
  ["SLEEP", "RUN"],
  ["SLEEP", "STOP", "interruptible"],
  ["STOP", "RUN"],
  ["STOP", "ONPROC", "running"],
  ["STOP", "SLEEP"],
  ["SUSPENDED", "RUN"],
  ["SUSPENDED", "ONPROC", "running"],
  ["IDL", "RUN"],
  ["IDL", "SUSPENDED"],
  ["IDL", "STOP"],
  ["IDL", "ONPROC", "system"],
  ["IDL", "ZOMB"],
];

/** What an LWP may be besides its state. */
const CONDITIONS = [
  { running: false, interruptible: false, system: false },
  { running: true, interruptible: false, system: false },
  { running: false, interruptible: true, system: false },
  { running: false, interruptible: false, system: true },
  { running: true, interruptible: true, system: true },
];

/** An LWP put into a state by hand, covered by the lock that the state asks for. */
function inState(m: TestMachine, from: State, condition: (typeof CONDITIONS)[number]): K.Lwp {
  const p = m.spawn(function* () {});
  const l = m.lwp(p, 1);
  l.stat = STATES[from];
  l.pflag = K.LP_MPSAFE | (condition.running ? K.LP_RUNNING : 0);
  l.flag = (condition.interruptible ? K.LW_SINTR : 0) | (condition.system ? K.LW_SYSTEM : 0);
  l.mutex = K.coveringLock(l, () => 0);
  return l;
}

/** Tries the transition on a machine that is reset for it. */
function attempt(
  m: TestMachine,
  from: State,
  to: State,
  locked: boolean,
  condition: (typeof CONDITIONS)[number],
) {
  m.sim.reset();
  const l = inState(m, from, condition);
  K.probeEnable(m.k, ["state"], true);
  const head = m.cpu(0).traceHead;
  const change = () => {
    if (locked) K.lwpLock(l);
    K.setStat(l, STATES[to]);
  };
  return { l, head, change: () => m.asCpu(change) };
}

const machine = new TestMachine({ checked: false });

for (const from of NAMES) {
  test(`LWP-15: from ${from}: to each of the 8 states, under each condition, with and without the lock`, () => {
    for (const to of NAMES) {
      const permitted = PERMITTED.find(([a, b]) => a === from && b === to);
      for (const condition of CONDITIONS) {
        const what = `${from} -> ${to}, ${JSON.stringify(condition)}`;
        const need = permitted?.[2];
        const good = permitted !== undefined && (need === undefined || condition[need]);

        const a = attempt(machine, from, to, true, condition);
        if (good) {
          a.change();
          assert.equal(stateOf(a.l), to, what);
          assert.equal(machine.k.g.dead, 0, what);
          const { records } = K.traceRead(machine.k, machine.cpu(0), a.head);
          assert.deepEqual(
            records.map((r) => [r.pid, r.lid, ...r.args.slice(0, 2)]),
            [[a.l.proc.pid, 1, STATES[from], STATES[to]]],
            what,
          );
        } else {
          assertRefused(machine, a.l, from, a.change, /is not permitted$/, what);
        }

        const b = attempt(machine, from, to, false, condition);
        assertRefused(machine, b.l, from, b.change, /is not permitted, not locked$/, what);
      }
    }
  });
}

/** That the change is a kernel assertion, changes nothing, and leaves the machine dead. */
function assertRefused(
  m: TestMachine,
  l: K.Lwp,
  from: State,
  change: () => void,
  message: RegExp,
  what: string,
): void {
  assertPanics(change, message);
  assert.equal(stateOf(l), from, what);
  assert.notEqual(m.k.g.dead, 0, what);
  assert.match(m.sim.panic ?? "", message, what);
  assert.notEqual(m.cpu(0).attention & K.ATTN_HALT, 0, what);
  assert.equal(m.sim.step(), false, what);
}

test("LWP-15: what is permitted, and nothing else, is what the kernel's own table says", () => {
  for (const from of NAMES) {
    for (const to of NAMES) {
      const permitted = PERMITTED.some(([a, b]) => a === from && b === to);
      assert.equal((K.TRANSITIONS[STATES[from]] & (1 << STATES[to])) !== 0, permitted, `${from} -> ${to}`);
    }
  }
});

test("LWP-15: an unborn LWP thrown away by its creator goes from IDL to ZOMB", () => {
  const m = new TestMachine();
  const states: string[] = [];
  onState(m, (l, from, to) => {
    if (l.proc.pid !== 0 && l.lid === 2) states.push(`${K.STATE_NAMES[from]}->${K.STATE_NAMES[to]}`);
  });
  const p = m.spawn(function* () {
    const l = K.cur.lwp;
    const closure = function* (): Generator<undefined, void> {
      throw new Error("it must never run");
    };
    const l2 = K.lwpCreate(l, l.proc, 0, { kind: K.CTX_CLOSURE, closure }, l.class) as K.Lwp;
    assert.equal(K.lwpExitBegin(l2), K.EXIT_READY);
    K.lwpExitFinish(l2);
    yield* parkForever();
  });
  m.run();
  assert.deepEqual(states, ["IDL->ZOMB"]);
  const dead = m.lwp(p, 2);
  assert.deepEqual([dead.mutex, dead.closure], [dead.cpu.lwplock, null]);
});

// --- LWP-16 -------------------------------------------------------------------------------------------

test("LWP-16: a sleeper that may not be interrupted cannot be stopped", () => {
  for (const interruptible of [true, false]) {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      K.spinEnter(m.k, l.proc.lock);
      if (interruptible) yield* K.cvWaitSig(m.k, l.waitcv, l.proc.lock);
      else yield* K.cvWait(m.k, l.waitcv, l.proc.lock);
    });
    m.run();
    const l = m.lwp(p, 1);
    const change = () =>
      m.locked(p, () => {
        K.lwpLock(l);
        stop(l);
        K.lwpUnlock(l);
      });
    if (!interruptible) {
      assertPanics(change, /SLEEP -> STOP is not permitted/);
      continue;
    }
    change();
    assert.equal(stateOf(l), "STOP");
    assert.deepEqual(K.checkInvariants(m.k), []);
  }
});

test("LWP-16: SUSPENDED comes only in the user-return loop, when the LWP holds no kernel lock", () => {
  const m = new TestMachine({ cpus: 2 });
  const log: string[] = [];
  const mutex = m.k.scratch;
  m.asCpu(() => K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE));
  onState(m, (l, _from, to) => {
    if (to !== K.LSSUSPENDED) return;
    log.push(`${l.lid} suspended, holds the mutex: ${K.mutexOwner(m.k, mutex) === l}`);
  });
  const p = m.spawn(function* () {
    yield* S.lwpCreate(function* () {
      const l = K.cur.lwp;
      yield* K.mutexEnter(m.k, mutex);
      log.push("2 has the mutex");
      // Told to suspend itself while it holds it, and while it sleeps with it.
      m.setFlags(l, K.LW_WSUSPEND);
      K.spinEnter(m.k, l.proc.lock);
      yield* K.cvTimedwait(m.k, l.waitcv, l.proc.lock, 3);
      K.spinExit(m.k, l.proc.lock);
      log.push("2 wakes, and releases it");
      K.mutexExit(m.k, mutex);
      yield* S.lwpSelf();
      log.push("2 is in user mode");
    });
    yield* parkForever();
  });
  m.run();
  const l = m.lwp(p, 2);
  assert.deepEqual(log, [
    "2 has the mutex",
    "2 wakes, and releases it",
    "2 suspended, holds the mutex: false",
  ]);
  assert.equal(stateOf(l), "SUSPENDED");
});

test("LWP-16: a stopped LWP that is let into the kernel does not reach user mode: it suspends there", () => {
  const m = new TestMachine();
  let user = 0;
  const p = m.spawn(function* () {
    yield* S.lwpPark();
    user++;
    yield* parkForever();
  });
  m.run();
  const l = m.lwp(p, 1);
  m.locked(p, () => {
    K.lwpLock(l);
    stop(l);
    assert.equal(K.lwpSuspend(K.cur.lwp, l), 0);
  });
  assert.equal(stateOf(l), "RUN");
  m.run();
  assert.deepEqual([stateOf(l), user, p.nrlwps], ["SUSPENDED", 0, 0]);
  m.locked(p, () => {
    K.lwpLock(l);
    K.lwpContinue(l);
  });
  m.run();
  assert.deepEqual([stateOf(l), user, p.nrlwps], ["SLEEP", 1, 1]);
});

test("LWP-16: stop is for a whole process, suspend for one LWP: a process that stops stops those who are born then", () => {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    const started = yield* S.lwpCreate(parkForever);
    const suspended = yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED);
    assert.deepEqual([started, suspended], [2, 3]);
    K.cur.lwp.proc.sflag |= K.PS_STOPPING;
    yield* S.lwpCreate(parkForever);
    yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED);
    yield* parkForever();
  });
  m.run();
  const states = K.procLwps(p)
    .reverse()
    .map((l) => stateOf(l));
  assert.deepEqual(states, ["SLEEP", "SLEEP", "SUSPENDED", "STOP", "SUSPENDED"]);
});

// --- LWP-17 -------------------------------------------------------------------------------------------

/** Names of the locks that may cover an LWP. */
function lockName(l: K.Lwp): string {
  const { k } = l;
  const table = (base: number) =>
    base <= l.mutex && l.mutex < base + K.SLEEPTAB_SIZE * K.SLEEPTAB_BUCKET_WORDS;
  if (l.mutex === l.cpu.lwplock) return "lwplock";
  if (l.mutex === l.cpu.mutex) return "run queue";
  if (table(k.sleeptab)) return "sleep table";
  if (table(k.parktab)) return "park table";
  if (l.mutex === K.tschain(k, l.wchan)) return "turnstile chain";
  return `unknown ${l.mutex}`;
}

/** Asserts state, wait channel and lock, and that locking the LWP takes that lock. */
function assertCovered(m: TestMachine, l: K.Lwp, state: State, lock: string): void {
  const slept = lock.endsWith("table") || lock.endsWith("chain");
  assert.deepEqual([stateOf(l), l.wchan !== 0, lockName(l)], [state, slept, lock]);
  m.asCpu(() => {
    K.lwpLock(l);
    assert.equal(m.k.w[l.mutex], K.cur.cpu.index);
    assert.ok(K.lwpLocked(l, l.mutex));
    K.lwpUnlock(l);
  });
}

/** A machine with one LWP that does `body` and then parks for ever. */
function oneLwp(body: () => K.Body): { m: TestMachine; p: K.Proc; l: K.Lwp } {
  const m = new TestMachine();
  const p = m.spawn(body);
  return { m, p, l: m.lwp(p, 1) };
}

const COVERED: Readonly<Record<string, () => void>> = {
  "IDL: the run queue of its CPU": () => {
    const { m, p } = oneLwp(function* () {
      const l = K.cur.lwp;
      K.lwpCreate(l, l.proc, 0, { kind: K.CTX_CLOSURE, closure: parkForever }, l.class);
      yield* parkForever();
    });
    m.run();
    assertCovered(m, m.lwp(p, 2), "IDL", "run queue");
  },
  "IDL, the idle thread: the lwplock of its CPU": () => {
    const m = new TestMachine({ cpus: 2 });
    const idle = m.cpu(0).idlelwp;
    m.spawn(function* () {
      assert.deepEqual([stateOf(idle), lockName(idle)], ["IDL", "lwplock"]);
      yield* parkForever();
    });
    m.run();
    // When nothing runs it is on its CPU, and the same lock covers it.
    assertCovered(m, idle, "ONPROC", "lwplock");
    assertCovered(m, m.cpu(1).idlelwp, "ONPROC", "lwplock");
  },
  "RUN: the run queue of its CPU": () => {
    const { m, l } = oneLwp(parkForever);
    assertCovered(m, l, "RUN", "run queue");
  },
  "ONPROC: the lwplock of its CPU": () => {
    let seen = 0;
    const { m } = oneLwp(function* () {
      assertCovered(m, K.cur.lwp, "ONPROC", "lwplock");
      seen++;
      yield* parkForever();
    });
    m.run();
    assert.equal(seen, 1);
  },
  "SLEEP, parked: its bucket of the park table": () => {
    const { m, l } = oneLwp(parkForever);
    m.run();
    assertCovered(m, l, "SLEEP", "park table");
    assert.equal(l.mutex, K.sleeptabBucket(m.k.parktab, l.wchan));
  },
  "SLEEP, on a condition variable: its bucket of the sleep table": () => {
    const { m, p, l } = oneLwp(function* () {
      yield* S.lwpCreate(parkForever);
      yield* S.lwpWait(0);
    });
    m.run();
    assertCovered(m, l, "SLEEP", "sleep table");
    assert.equal(l.mutex, K.sleeptabBucket(m.k.sleeptab, p.lwpcv));
  },
  "SLEEP, on a mutex: its turnstile chain": () => {
    const { m, p } = oneLwp(function* () {
      const mutex = m.k.scratch;
      K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
      yield* K.mutexEnter(m.k, mutex);
      yield* S.lwpCreate(function* () {
        yield* K.mutexEnter(m.k, mutex);
      });
      yield* parkForever();
    });
    m.run();
    assertCovered(m, m.lwp(p, 2), "SLEEP", "turnstile chain");
  },
  "ZOMB: the lwplock of its CPU": () => {
    const { m, p } = oneLwp(function* () {
      yield* S.lwpCreate(function* () {});
      yield* parkForever();
    });
    m.run();
    assertCovered(m, m.lwp(p, 2), "ZOMB", "lwplock");
  },
  "STOP without a wait channel: the lwplock of its CPU": () => {
    const { m, p } = oneLwp(function* () {
      K.cur.lwp.proc.sflag |= K.PS_STOPPING;
      yield* S.lwpCreate(parkForever);
      yield* parkForever();
    });
    m.run();
    assertCovered(m, m.lwp(p, 2), "STOP", "lwplock");
  },
  "STOP with a wait channel: the sleep queue's lock; taken off the queue, the lwplock": () => {
    const { m, p, l } = oneLwp(function* () {
      yield* S.lwpCreate(parkForever);
      yield* S.lwpWait(0);
    });
    m.run();
    m.locked(p, () => {
      K.lwpLock(l);
      stop(l);
      K.lwpUnlock(l);
    });
    assertCovered(m, l, "STOP", "sleep table");
    m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
    assertCovered(m, l, "STOP", "lwplock");
    m.locked(p, () => {
      K.lwpLock(l);
      K.setrunnable(l);
    });
    assertCovered(m, l, "RUN", "run queue");
  },
  "SUSPENDED without a wait channel: the lwplock of its CPU": () => {
    const { m, p, l } = oneLwp(function* () {
      yield* S.lwpCreate(parkForever, S.LWP_SUSPENDED);
      m.setFlags(K.cur.lwp, K.LW_WSUSPEND);
      yield* S.lwpSelf();
    });
    m.run();
    assertCovered(m, l, "SUSPENDED", "lwplock");
    assertCovered(m, m.lwp(p, 2), "SUSPENDED", "lwplock");
  },
  "SUSPENDED with a wait channel: the sleep queue's lock; taken off the queue, the lwplock": () => {
    const { m, l } = oneLwp(parkForever);
    m.run();
    // Nothing suspends a sleeper without waking it, so the state is set by hand.
    l.proc.nrlwps--;
    l.stat = K.LSSUSPENDED;
    assertCovered(m, l, "SUSPENDED", "park table");
    const lock = l.mutex;
    m.asCpu(() => {
      K.lwpLock(l);
      K.sleepqRemove(l);
      K.spinExit(m.k, lock);
    });
    assertCovered(m, l, "SUSPENDED", "lwplock");
  },
};

for (const [name, body] of Object.entries(COVERED)) test(`LWP-17: ${name}`, body);

test("LWP-17: the whole table: each state, with and without a wait channel", () => {
  const { m, l } = oneLwp(parkForever);
  m.run();
  const QUEUE = 12345;
  const { lwplock, mutex } = l.cpu;
  const table: Record<State, readonly [without: number, having: number]> = {
    IDL: [mutex, mutex],
    RUN: [mutex, mutex],
    ONPROC: [lwplock, lwplock],
    ZOMB: [lwplock, lwplock],
    SLEEP: [lwplock, QUEUE],
    STOP: [lwplock, QUEUE],
    SUSPENDED: [lwplock, QUEUE],
    DEAD: [lwplock, QUEUE],
  };
  const { wchan } = l;
  for (const name of NAMES) {
    if (name === "DEAD") continue;
    l.stat = STATES[name];
    for (const [i, channel] of [0, wchan].entries()) {
      l.wchan = channel;
      const found = K.coveringLock(l, (q) => (q === l.sleepq ? QUEUE : -1));
      assert.equal(found, table[name][i], `${name}, wait channel ${channel}`);
    }
  }
});

// --- LWP-18 -------------------------------------------------------------------------------------------

test("LWP-18: of two run queues the one of the lower CPU index is locked first, whoever asks", () => {
  for (const [a, b] of [
    [0, 1],
    [1, 0],
    [2, 1],
  ]) {
    const m = new TestMachine({ cpus: 3 });
    const order: number[] = [];
    const held = [m.cpu(a).mutex, m.cpu(b).mutex];
    for (const lock of held) m.k.w[lock] = 99;
    overridePort(m, {
      relax: (_site, _round, address) => {
        order.push(held.indexOf(address) === 0 ? a : b);
        m.k.w[address] = 0;
      },
    });
    m.asCpu(() => {
      K.spinEnterTwo(m.k, held[0], held[1]);
      assert.ok(K.spinOwned(m.k, held[0]) && K.spinOwned(m.k, held[1]));
      for (const lock of held) K.spinExit(m.k, lock);
    });
    assert.deepEqual(order, [Math.min(a, b), Math.max(a, b)]);
  }
});

test("LWP-18: proc_lock, p_lock, lwplock, sleep table, turnstile chain, run queue is the order in which locks are taken (differs: to sleep, an LWP locks itself under the queue's lock)", () => {
  const order = ["proc_lock", "p_lock", "lwplock", "sleeptab", "tschain", "spc_mutex"];
  const against = new Set<string>();
  const along = new Set<string>();
  for (let seed = 1; seed <= 12; seed++) {
    const m = new TestMachine({ cpus: 3, strategy: K.seededStrategy(seed), checked: false });
    const spy = new LockOrder(m);
    m.spawn(function* () {
      yield* everything(m);
    });
    for (;;) {
      spy.arm();
      const more = m.sim.step();
      spy.disarm();
      if (m.uncaught.length > 0) throw m.uncaught[0];
      if (!more) break;
      assert.deepEqual(K.checkInvariants(m.k), [], `seed ${seed}, step ${m.sim.steps}`);
    }
    assert.equal(m.sim.panic, null, `seed ${seed}`);
    assert.equal(m.sim.collected.length, 1, `seed ${seed}`);
    for (const pair of spy.pairs) {
      const [held, taken] = pair.split(" -> ");
      const good = taken === "next" ? held === "spc_mutex" : order.indexOf(held) < order.indexOf(taken);
      (good ? along : against).add(pair);
    }
  }
  // The lwplock of one's own CPU, on the way to sleep: nobody takes a queue's lock while holding an lwplock.
  assert.deepEqual([...against].sort(), ["sleeptab -> lwplock", "tschain -> lwplock"]);
  assert.ok(!along.has("lwplock -> sleeptab") && !along.has("lwplock -> tschain"));
  for (const pair of [
    "p_lock -> lwplock",
    "p_lock -> sleeptab",
    "lwplock -> spc_mutex",
    "tschain -> spc_mutex",
    "spc_mutex -> next",
  ])
    assert.ok(along.has(pair), `${pair} was never seen: the program does too little`);
});

/** A program that uses every part of the kernel that takes these locks, and ends. */
function* everything(m: TestMachine): Generator<K.Token, void, undefined> {
  const { k } = m;
  const mutex = k.scratch;
  K.mutexInit(k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
  for (let i = 0; i < 3; i++) {
    yield* S.lwpCreate(function* () {
      for (let n = 0; n < 3; n++) {
        yield* K.mutexEnter(k, mutex);
        yield* S.schedYield();
        K.mutexExit(k, mutex);
        yield* S.schedYield();
      }
    });
  }
  const parked = yield* S.lwpCreate(function* () {
    for (let n = 0; n < 3; n++) yield* attempted(S.lwpPark());
  });
  const late = yield* S.lwpCreate(function* () {
    const now = K.wallclockAtTick(k);
    yield* attempted(S.lwpPark({ sec: now.sec, nsec: now.nsec + 2e7 }));
  });
  const suspended = yield* S.lwpCreate(function* () {}, S.LWP_SUSPENDED);
  yield* S.lwpCreate(function* () {
    yield* S.schedYield();
  }, S.LWP_DETACHED);
  const spinning = yield* S.lwpCreate(function* () {
    for (let n = 0; n < 40; n++) yield* S.schedYield();
  });
  K.cur.lwp.proc.sflag |= K.PS_STOPPING;
  yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
  K.cur.lwp.proc.sflag &= ~K.PS_STOPPING;
  yield* attempted(S.lwpUnpark(parked));
  yield* attempted(S.lwpWakeup(parked));
  yield* attempted(S.lwpSuspend(spinning));
  withLock(k, K.cur.lwp.proc.lock, () => {
    const l = K.lwpFind(K.cur.lwp.proc, spinning);
    if (l === null) return;
    K.lwpLock(l);
    K.lwpMigrate(l, k.cpus.view(2));
  });
  yield* attempted(S.lwpContinue(spinning));
  yield* S.lwpContinue(suspended);
  yield* attempted(S.lwpDetach(late));
  for (const lid of [2, 3, 4, suspended, spinning]) yield* attempted(S.lwpWait(lid));
  yield* S.procExit(0);
}

/** What a call among racing LWPs may fail with is not the matter here. */
function* attempted(operation: S.Operation<unknown>): Generator<K.Token, void, undefined> {
  try {
    yield* operation;
  } catch (error) {
    if (!(error instanceof S.LwpError)) throw error;
  }
}

// --- LWP-19..21 ---------------------------------------------------------------------------------------

test("LWP-19: every change of state has the LWP locked; into and out of IDL, ZOMB, STOP and SUSPENDED the process too", () => {
  const both = new Set<number>([K.LSIDL, K.LSZOMB, K.LSSTOP, K.LSSUSPENDED]);
  const seen = new Set<string>();
  const moved = new Set<string>();
  for (let seed = 1; seed <= 12; seed++) {
    const m = new TestMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
    const before = new Map<K.Lwp, string>();
    onState(m, (l, from, to) => {
      const what = `${K.STATE_NAMES[from]}->${K.STATE_NAMES[to]}`;
      // The idle threads are exempt.
      if ((l.flag & K.LW_IDLE) !== 0) return;
      seen.add(what);
      assert.ok(K.lwpLocked(l), `seed ${seed}: ${what} of LWP ${l.lid} without its lock`);
      if (both.has(from) || both.has(to)) {
        assert.ok(K.spinOwned(m.k, l.proc.lock), `seed ${seed}: ${what} of LWP ${l.lid} without p_lock`);
      }
      before.set(l, `${what}: ${lockName(l)}`);
    });
    m.spawn(function* () {
      yield* everything(m);
    });
    while (m.sim.step()) {
      for (const [l, what] of before) if ((l.gen & 1) === 1) moved.add(`${what} -> ${lockName(l)}`);
      before.clear();
    }
    assert.equal(m.sim.panic, null, `seed ${seed}`);
  }
  for (const what of [
    "IDL->RUN",
    "IDL->SUSPENDED",
    "IDL->STOP",
    "STOP->RUN",
    "SUSPENDED->RUN",
    "ONPROC->ZOMB",
  ])
    assert.ok(seen.has(what), `${what} was never seen: the program does too little`);
  // A change of state changes the lock with it.
  assert.ok(moved.has("IDL->SUSPENDED: run queue -> lwplock"), [...moved].join("; "));
});

test("LWP-20: locking an LWP reads which lock it is, takes that, and if it has changed meanwhile starts again", () => {
  const { m, l } = oneLwp(parkForever);
  m.run();
  const [a, b, c] = [l.mutex, l.cpu.lwplock, l.cpu.mutex];
  const { w } = m.k;
  const log: string[] = [];
  const name = (lock: number) => "abc"[[a, b, c].indexOf(lock)];
  // Somebody holds a; before letting go of it, he hands the LWP over to b, and then likewise to c.
  w[a] = 99;
  w[b] = 99;
  overridePort(m, {
    relax: (_site, _round, address) => {
      log.push(`waits for ${name(address)}`);
      l.mutex = address === a ? b : c;
      w[address] = 0;
    },
  });
  atDelayPoint(m, "lwplock.taken", () => {
    log.push(`has ${name([a, b, c].find((lock) => w[lock] === 1) as number)}, it is ${name(l.mutex)}`);
  });
  m.asCpu(() => {
    K.lwpLock(l);
    assert.deepEqual([w[a], w[b], w[c]], [0, 0, 1]);
    // lwp_unlock releases what covers the LWP now, not what was taken.
    K.spinEnter(m.k, b);
    l.mutex = b;
    K.lwpUnlock(l);
    assert.deepEqual([w[a], w[b], w[c]], [0, 0, 1]);
    K.spinExit(m.k, c);
  });
  assert.deepEqual(log, ["waits for a", "has a, it is b", "waits for b", "has b, it is c", "has c, it is c"]);
});

test("LWP-21: LSZOMB is set with both locks held, so p_lock alone is enough to see it", () => {
  const m = new TestMachine({ cpus: 2 });
  const seen: unknown[] = [];
  onState(m, (l, _from, to) => {
    if (to === K.LSZOMB) seen.push([l.lid, K.spinOwned(m.k, l.proc.lock), K.lwpLocked(l)]);
  });
  m.spawn(function* () {
    const lid = yield* S.lwpCreate(function* () {});
    yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
    yield* S.lwpWait(lid);
  });
  m.run();
  assert.equal(m.sim.collected.length, 1);
  assert.deepEqual(seen.sort(), [
    [1, true, true],
    [2, true, true],
    [3, true, true],
  ]);
});
