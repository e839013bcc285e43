/** Cross-calls (MCH-1..6): who runs what, in which order, and who waits for whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

/** Number of the tests' own function. */
const LOG = 10;
const SLEEPS = 11;

interface Call {
  readonly cpu: number;
  readonly by: string;
  readonly args: readonly [number, number];
}

/** A machine whose cross-calls are logged. */
function machine(cpus = 4): { m: TestMachine; calls: Call[] } {
  const m = new TestMachine({ cpus });
  const calls: Call[] = [];
  m.k.slots.crosscalls[LOG] = (_k, a, b) => {
    calls.push({ cpu: K.cur.cpu.index - 1, by: K.cur.lwp.name, args: [a, b] });
  };
  return { m, calls };
}

/** Lets CPU `n` run until it has nothing to do. */
function drain(m: TestMachine, n: number): void {
  K.dispatch(m.cpu(n), 1000);
  m.sim.check();
}

const byCpu = (calls: readonly Call[]) => calls.map(({ cpu }) => cpu).sort();

test("MCH-1, MCH-2: a broadcast runs its function on each CPU, in the thread xcall/N of priority 127", () => {
  const { m, calls } = machine();
  const tickets: number[] = [];
  m.spawn(function* () {
    const ticket = yield* K.xcBroadcast(m.k, 0, LOG, 5, 6);
    yield* K.xcWait(m.k, ticket);
    tickets.push(ticket, calls.length);
  });
  m.run();
  assert.deepEqual(tickets, [4, 4], "done when all have");
  assert.deepEqual(byCpu(calls), [0, 1, 2, 3]);
  for (const { cpu, by, args } of calls) assert.deepEqual([by, args], [`xcall/${cpu}`, [5, 6]]);
  for (let n = 0; n < 4; n++) {
    const l = m.cpu(n).xcalllwp;
    assert.deepEqual(
      [l.name, l.priority, l.class, stateOf(l), l.wmesg, l.cpu],
      [`xcall/${n}`, K.PRI_XCALL, K.SCHED_RR, "SLEEP", "xcall", m.cpu(n)],
    );
    assert.notEqual(l.pflag & K.LP_BOUND, 0);
  }
});

test("MCH-1, MCH-2: a unicast runs it on one CPU alone; its ticket counts one", () => {
  const { m, calls } = machine();
  m.spawn(function* () {
    for (const n of [2, 0, 3]) {
      const ticket = yield* K.xcUnicast(m.k, 0, LOG, n, 0, m.cpu(n));
      yield* K.xcWait(m.k, ticket);
      assert.equal(calls.at(-1)?.cpu, n);
      assert.equal(ticket, calls.length);
    }
  });
  m.run();
  assert.deepEqual(
    calls.map(({ cpu }) => cpu),
    [2, 0, 3],
  );
});

test("MCH-1: neither kind of call, nor the wait, may come from an interrupt", () => {
  for (const ask of [
    (k: K.Kernel) => K.xcBroadcast(k, 0, K.XC_NULLOP),
    (k: K.Kernel) => K.xcBroadcast(k, K.XC_HIGHPRI, K.XC_NULLOP),
    (k: K.Kernel) => K.xcWait(k, 1),
  ]) {
    const m = new TestMachine();
    m.spawn(function* () {
      K.cur.lwp.pflag |= K.LP_INTR;
      yield* { [Symbol.iterator]: () => ask(m.k) as K.Body };
    });
    assertPanics(() => m.run(), /xcall: from an interrupt/);
  }
});

test("MCH-2, MCH-93: a low-priority broadcast leaves out CPUs that do not run, one of high priority does not", () => {
  const { m, calls } = machine();
  K.kcpusetAtomicClear(m.k.g.running, 2);
  const tickets: number[] = [];
  m.spawn(function* () {
    for (const flags of [0, K.XC_HIGHPRI]) {
      const ticket = yield* K.xcBroadcast(m.k, flags, LOG);
      yield* K.xcWait(m.k, ticket);
      tickets.push(ticket);
    }
  });
  m.run();
  assert.deepEqual(tickets, [3, -4]);
  assert.deepEqual(byCpu(calls.slice(0, 3)), [0, 1, 3]);
  assert.deepEqual(byCpu(calls.slice(3)), [0, 1, 2, 3]);
});

for (const order of ["slow first", "slow last"]) {
  const ends = order === "slow first" ? "goes on" : "waits on until a thread comes back to its loop";
  test(`MCH-3: all have started, and the ${order}: who waits for its turn ${ends}; a ticket waits for its own calls (originally for as many as it counts)`, () => {
    const { m } = machine(2);
    const log: string[] = [];
    const cv = m.words(K.CV_WORDS);
    const lock = m.words(K.LOCK_WORDS);
    K.cvInit(m.k, cv, "held");
    // On CPU 1 the function takes its time.
    m.k.slots.crosscalls[SLEEPS] = function* (k) {
      if (K.cur.cpu.index !== 2) return;
      K.spinEnter(k, lock);
      yield* K.cvWait(k, cv, lock);
      K.spinExit(k, lock);
    };
    m.k.slots.kthreads[10] = function* () {
      const ticket = yield* K.xcBroadcast(m.k, 0, SLEEPS);
      log.push("asked");
      yield* K.xcWait(m.k, ticket);
      log.push("first done");
    };
    m.k.slots.kthreads[11] = function* () {
      yield* K.xcUnicast(m.k, 0, LOG, 0, 0, m.cpu(0));
      log.push("second asked");
    };
    const start = (func: number) =>
      m.asCpu(() => K.kthreadCreate(m.k, 200, K.KTHREAD_MPSAFE, m.cpu(0), func, 0, "kt"));
    start(10);
    start(11);
    // Both requesters go before xcall/0, whose priority is lower.
    K.dispatch(m.cpu(0), 2);
    assert.deepEqual(log, ["asked"]);
    for (const n of order === "slow first" ? [1, 0] : [0, 1]) drain(m, n);
    assert.deepEqual(log, order === "slow first" ? ["asked", "second asked"] : ["asked"]);
    m.asCpu(() => {
      K.spinEnter(m.k, lock);
      K.cvSignal(m.k, cv);
      K.spinExit(m.k, lock);
    });
    m.run();
    assert.deepEqual(log.sort(), ["asked", "first done", "second asked"]);
  });
}

test("MCH-4: a high-priority call runs at the target's next poll, not in its thread; bit 63, the sign, marks its ticket", () => {
  const { m, calls } = machine(2);
  const tickets: number[] = [];
  const p = m.spawn(function* () {
    for (const send of [
      K.xcBroadcast(m.k, K.XC_HIGHPRI, LOG, 1, 2),
      K.xcUnicast(m.k, K.XC_HIGHPRI, LOG, 3, 4, m.cpu(1)),
    ]) {
      const ticket = yield* send;
      yield* K.xcWait(m.k, ticket);
      tickets.push(ticket);
    }
  });
  m.run();
  assert.deepEqual(tickets, [-2, -3], "the number of CPUs, then one");
  assert.deepEqual(calls.map(({ cpu, args }) => [cpu, ...args]).sort(), [
    [0, 1, 2],
    [1, 1, 2],
    [1, 3, 4],
  ]);
  for (const { by } of calls) assert.doesNotMatch(by, /xcall/);
  assert.equal(p.stat !== K.SACTIVE, true);
  assert.deepEqual([m.k.xc.hiHead, m.k.xc.hiDone], [3, 3]);
});

test("MCH-4: one high-priority request is in flight; the next one waits until the last CPU has run it", () => {
  const { m, calls } = machine(3);
  const asked: number[] = [];
  for (let n = 0; n < 2; n++) {
    m.spawn(function* () {
      asked.push(yield* K.xcBroadcast(m.k, K.XC_HIGHPRI, LOG, n));
    });
  }
  // Both requesters on CPU 0; CPU 0 runs its own share.
  for (const l of K.allLwps(m.k)) if (l.stat === K.LSRUN) assert.ok(l.cpu.index >= 1);
  for (let i = 0; i < 50 && asked.length === 0; i++) for (let n = 0; n < 3; n++) K.dispatch(m.cpu(n), 1);
  m.run();
  assert.deepEqual(
    calls.map(({ args }) => args[0]),
    [...calls.map(({ args }) => args[0])].sort((a, b) => (asked[0] === -3 ? a - b : b - a)),
    "no call of the second before the last of the first",
  );
  assert.deepEqual(asked.sort(), [-3, -6]);
});

test("MCH-4: who waits for its turn sleeps on xchicv", () => {
  const { m } = machine(2);
  m.k.xc.hiHead = 1;
  const p = m.spawn(function* () {
    yield* K.xcBroadcast(m.k, K.XC_HIGHPRI, LOG);
  });
  m.run();
  assert.deepEqual([stateOf(m.lwp(p, 1)), m.lwp(p, 1).wmesg], ["SLEEP", "xchicv"]);
});

test("MCH-5: a low-priority function may wait for a lock; one of high priority that would sleep is an assertion", () => {
  for (const flags of [0, K.XC_HIGHPRI]) {
    const { m } = machine(2);
    const mutex = m.words(K.MTX_WORDS);
    K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
    let entered = 0;
    m.k.slots.crosscalls[SLEEPS] = function* (k) {
      yield* K.mutexEnter(k, mutex);
      entered++;
      K.mutexExit(k, mutex);
    };
    m.spawn(function* () {
      yield* K.mutexEnter(m.k, mutex);
      const ticket = yield* K.xcBroadcast(m.k, flags, SLEEPS);
      yield* K.kpause(m.k, "hold", 3);
      assert.equal(entered, 0);
      K.mutexExit(m.k, mutex);
      yield* K.xcWait(m.k, ticket);
      assert.equal(entered, 2);
    });
    if (flags === 0) m.run();
    else assertPanics(() => m.run(), /may not sleep/);
  }
});

test("MCH-5: when a low-priority broadcast is done, every CPU has switched to its thread since it was made", () => {
  const { m } = machine(3);
  const p = m.spawn(function* () {
    const before = [0, 1, 2].map((n) => m.cpu(n).nswitch);
    yield* K.xcWait(m.k, yield* K.xcBroadcast(m.k, 0, K.XC_NULLOP));
    for (let n = 0; n < 3; n++) assert.ok(m.cpu(n).nswitch > before[n], `CPU ${n}`);
  });
  m.run();
  assert.notEqual(p.stat, K.SACTIVE);
});

test("MCH-6: unicasts and broadcasts of low priority are counted, those of high priority are not", () => {
  const { m } = machine(2);
  m.spawn(function* () {
    for (const flags of [0, K.XC_HIGHPRI, 0]) {
      yield* K.xcWait(m.k, yield* K.xcBroadcast(m.k, flags, K.XC_NULLOP));
      yield* K.xcWait(m.k, yield* K.xcUnicast(m.k, flags, K.XC_NULLOP, 0, 0, m.cpu(1)));
      yield* K.xcWait(m.k, yield* K.xcUnicast(m.k, flags, K.XC_NULLOP, 0, 0, m.cpu(0)));
    }
  });
  m.run();
  assert.deepEqual([m.k.xc.unicast, m.k.xc.broadcast], [4, 2]);
});

test("MCH-102: four running CPUs: the ticket is the head and four, and the wait returns after the fourth completion", () => {
  const { m, calls } = machine(4);
  m.k.xc.head = m.k.xc.tail = m.k.xc.done = 100;
  let ticket = 0;
  let waited = false;
  const p = m.spawn(function* () {
    ticket = yield* K.xcBroadcast(m.k, 0, LOG);
    yield* K.xcWait(m.k, ticket);
    waited = true;
  });
  const own = m.lwp(p, 1).cpu.index - 1;
  drain(m, own);
  assert.equal(ticket, 104);
  const others = [0, 1, 2, 3].filter((n) => n !== own);
  for (const n of others.slice(0, 2)) {
    drain(m, n);
    drain(m, own);
    assert.equal(waited, false, `${calls.length} of 4`);
  }
  drain(m, others[2]);
  m.run();
  assert.deepEqual([calls.length, waited], [4, true]);
});

for (const late of [true, false]) {
  const when = late
    ? "while one CPU has not picked up the first: it blocks until it has"
    : "after all have: it does not block";
  test(`MCH-102: a second broadcast ${when}`, () => {
    const { m } = machine(4);
    const log: string[] = [];
    m.k.slots.kthreads[10] = function* () {
      log.push("asks");
      yield* K.xcBroadcast(m.k, 0, LOG, log.length);
      log.push("asked");
    };
    const ask = () => {
      m.asCpu(() => K.kthreadCreate(m.k, 200, K.KTHREAD_MPSAFE, m.cpu(0), 10, 0, "kt"));
      drain(m, 0);
    };
    ask();
    for (const n of late ? [1, 2] : [1, 2, 3]) drain(m, n);
    ask();
    if (late) {
      assert.deepEqual(log, ["asks", "asked", "asks"]);
      assert.deepEqual(
        K.sleepqList(m.k, m.k.xc.cv).map((l) => l.wmesg),
        ["xclocv"],
      );
      drain(m, 3);
      drain(m, 0);
    }
    assert.deepEqual(log, ["asks", "asked", "asks", "asked"]);
    m.run();
    assert.equal(m.k.xc.done, 8);
  });
}
