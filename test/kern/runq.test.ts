/** Priorities, per-CPU state and run queues: SCH-1..6, 10, 20..24. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, TestMachine, withLock } from "../support/sim.js";

/** Computes for ever, an operation at a time. */
function* compute(): K.Body {
  for (;;) yield* S.lwpSelf();
}

const limits = { procs: 80 };

/** Takes a queued LWP off its queue; it stays LSRUN, in nobody's hands. */
function takeOff(m: TestMachine, l: K.Lwp): void {
  m.holding(l, () => K.schedDequeue(l));
}

/** Puts it back, as `schedEnqueue` finds it. */
function putOn(m: TestMachine, l: K.Lwp, swtch = false): void {
  m.holding(l, () => K.schedEnqueue(l, swtch));
}

/** The reschedule requests a CPU was sent. */
function requests(ci: K.Cpu): number {
  return ci.attention & K.RESCHED_ANY;
}

function clearRequests(m: TestMachine, ci: K.Cpu): void {
  m.k.w[ci.at + K.CpuRecord.offset.attention] &= ~K.RESCHED_ANY;
}

/** Highest priority by the bitmap alone. */
function topOfBitmap(ci: K.Cpu): number {
  for (let i = 6; i >= 0; i--) {
    const word = ci.w[ci.bitmap + i] >>> 0;
    if (word === 0) continue;
    let q = 1;
    while (((word >>> (q - 1)) & 1) === 0) q++;
    return 32 * i + 32 - q;
  }
  return 0;
}

suite("priorities", () => {
  test("SCH-1: 224 levels in five bands, and priority none", () => {
    assert.equal(K.PRI_COUNT, 224);
    const bands = [K.PRI_USER, K.PRI_KERNEL, K.PRI_KTHREAD, K.PRI_USER_RT, K.PRI_KERNEL_RT, K.PRI_COUNT];
    assert.deepEqual(bands, [0, 64, 96, 128, 192, 224]);
    assert.equal(K.NPRI_USER, K.PRI_KERNEL - K.PRI_USER);
    assert.equal(K.PRI_NONE, -1);
    assert.equal(K.PRI_IDLE, 0);
    // The lowest and the highest level have a queue each.
    const m = new TestMachine({ limits });
    const low = m.queued(0, compute);
    const high = m.queued(K.PRI_COUNT - 1, compute);
    assert.deepEqual(K.runqList(m.cpu(0), 0), [low]);
    assert.deepEqual(K.runqList(m.cpu(0), 223), [high]);
    m.sim.check();
  });

  test("SCH-2: the named priorities, and the range of a user's real-time parameter", () => {
    const soft = [K.PRI_SOFTSERIAL, K.PRI_SOFTNET, K.PRI_SOFTBIO, K.PRI_SOFTCLOCK];
    assert.deepEqual(soft, [223, 222, 221, 220]);
    const threads = [K.PRI_XCALL, K.PRI_PGDAEMON, K.PRI_VM, K.PRI_IOFLUSH, K.PRI_BIO];
    assert.deepEqual(threads, [127, 126, 125, 124, 123]);
    assert.equal(K.PRI_USER_RT + 63, K.PRI_KERNEL_RT - 1, "a parameter of 0..63 fills the user's band");
  });

  test("SCH-3: OTHER has a dynamic priority in 0..63, FIFO no slice, RR a slice; idle threads are RR", () => {
    assert.deepEqual([K.SCHED_OTHER, K.SCHED_FIFO, K.SCHED_RR], [0, 1, 2]);
    const m = new TestMachine();
    const ci = m.cpu(0);
    assert.equal(ci.idlelwp.class, K.SCHED_RR);
    const l = m.lwp(m.spawn(compute), 1);
    assert.equal(l.class, K.SCHED_OTHER);
    m.until(() => ci.curlwp === l);
    for (let tick = 0; tick < 300; tick++) {
      m.sim.tick();
      assert.ok(l.priority >= K.PRI_USER && l.priority < K.NPRI_USER, `priority ${l.priority}`);
      m.sim.step();
    }
    const slice = m.k.hz / 10;
    l.class = K.SCHED_FIFO;
    clearRequests(m, ci);
    // The statistics thread, which is more urgent, is not due meanwhile.
    m.k.g.pstatsAt = m.k.g.ticks + 20 * slice;
    for (let tick = 0; tick < 10 * slice; tick++) m.sim.tick();
    assert.equal(requests(ci), 0, "FIFO: never asked to give way by the clock");
    l.class = K.SCHED_RR;
    for (let tick = 0; tick < slice; tick++) m.sim.tick();
    assert.equal(requests(ci), K.RESCHED_KPREEMPT, "RR: once a slice");
  });

  /** priority, boost on, its base, LW_SYSTEM, lent; effective. */
  const eprios: readonly (readonly [number, number, number, boolean, number, number])[] = [
    [43, 0, 64, false, -1, 43],
    [43, 1, 64, false, -1, 85],
    [43, 1, 96, false, -1, 117],
    [130, 1, 64, false, -1, 130],
    [130, 1, 96, false, -1, 130],
    [43, 0, 64, false, 150, 150],
    [43, 1, 64, false, 150, 150],
    [43, 1, 64, false, 80, 85],
    [40, 1, 64, true, -1, 40],
    [0, 1, 64, false, -1, 64],
    [63, 1, 64, false, -1, 95],
    [63, 1, 96, false, -1, 127],
    [64, 1, 96, false, -1, 64],
  ];
  for (const [priority, kpriority, kpribase, system, lent, expected] of eprios) {
    const boost = kpriority === 0 ? "no boost" : `boost from ${kpribase}`;
    test(`SCH-4, SCH-110: priority ${priority}, ${boost}, lent ${lent}${system ? ", system" : ""} is ${expected}`, () => {
      const m = new TestMachine();
      const l = m.lwp(m.spawn(compute), 1);
      takeOff(m, l);
      Object.assign(l, { priority, kpriority, kpribase, inheritedprio: lent });
      if (system) l.flag |= K.LW_SYSTEM;
      assert.equal(K.lwpEprio(l), expected);
      putOn(m, l);
      assert.deepEqual(K.runqList(m.cpu(0), expected), [l], "and that is where it is queued");
    });
  }
});

suite("per-CPU state", () => {
  test("SCH-6: each CPU has its locks, what runs, what is queued, flags, ticks and counters of its own", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const flags = [K.SPCF_SEENRR, K.SPCF_SHOULDYIELD, K.SPCF_OFFLINE, K.SPCF_RUNNING, K.SPCF_NOINTR];
    assert.deepEqual(flags, [1, 2, 4, 8, 16]);
    const locks = new Set<number>();
    for (const ci of [m.cpu(0), m.cpu(1)]) {
      for (const lock of [ci.mutex, ci.lwplock, ci.calloutLock, ci.haltLock]) locks.add(lock);
      assert.equal(ci.migrating, null);
      assert.equal(ci.curlwp, ci.idlelwp);
      assert.equal(ci.onproc, ci.idlelwp);
      assert.equal(ci.idlelwp.name, `idle/${ci.index - 1}`);
      const zero = [
        ci.curpriority,
        ci.maxpriority,
        ci.count,
        ci.mcount,
        ci.avgcount,
        ci.schedticks,
        ci.lastmod,
      ];
      assert.deepEqual(zero, [0, 0, 0, 0, 0, 0, 0]);
      assert.deepEqual([ci.psid, ci.flags, ci.attention], [K.PS_NONE, 0, 0]);
      assert.equal(ci.ticks, m.k.hz / 10);
      assert.deepEqual([...m.k.w.subarray(ci.cpTime, ci.cpTime + 5)], [0, 0, 0, 0, 0]);
    }
    assert.equal(locks.size, 8, "no two of them are the same");

    const [a, b] = [m.queued(50, compute), m.queued(40, compute)];
    assert.equal(m.cpu(0).maxpriority, 50);
    const switches = m.cpu(0).nswitch;
    m.until(() => m.cpu(0).curlwp === a);
    assert.equal(m.cpu(0).onproc, a);
    assert.equal(m.cpu(0).nswitch, switches + 1);
    assert.equal(m.cpu(0).curpriority, 50, "what runs");
    assert.equal(m.cpu(0).maxpriority, 40, "the highest that is queued");
    assert.equal(m.cpu(1).curlwp, m.cpu(1).idlelwp, "of its own");
    assert.equal(b.cpu, m.cpu(0));
  });
});

suite("run queues", () => {
  for (let seed = 1; seed <= 5; seed++) {
    test(`SCH-10: FIFO queues by priority, bitmap and counts agree with a model (seed ${seed})`, () => {
      const m = new TestMachine({ limits });
      const ci = m.cpu(0);
      const random = K.seededStrategy(seed);
      // Half of them where words of the bitmap begin and end, so that queues are long, too.
      const edges = [0, 31, 32, 33, 63, 64, 223];
      const pick = () => (random("", 2) === 0 ? edges[random("", edges.length)] : random("", K.PRI_COUNT));
      const all = Array.from({ length: 40 }, () => m.queued(pick(), compute));
      const off = new Set<K.Lwp>();
      const model = new Map<number, K.Lwp[]>();
      const listOf = (pri: number) => {
        const list = model.get(pri) ?? [];
        model.set(pri, list);
        return list;
      };
      for (const l of all) listOf(l.priority).push(l);
      for (let i = 0; i < 600; i++) {
        const l = all[random("", all.length)];
        if (off.delete(l)) {
          // Half of them are bound.
          l.pflag = random("", 2) === 0 ? l.pflag | K.LP_BOUND : l.pflag & ~K.LP_BOUND;
          l.priority = pick();
          putOn(m, l);
          listOf(l.priority).push(l);
        } else {
          takeOff(m, l);
          off.add(l);
          const list = listOf(l.priority);
          list.splice(list.indexOf(l), 1);
        }
        const queued = [...model.values()].flat();
        assert.equal(ci.count, queued.length);
        assert.equal(ci.mcount, queued.filter((q) => (q.pflag & K.LP_BOUND) === 0).length);
        assert.equal(ci.maxpriority, Math.max(0, ...queued.map((q) => q.priority)));
        for (let pri = 0; pri < K.PRI_COUNT; pri++) {
          const bit = ((ci.w[ci.bitmap + (pri >> 5)] >>> 0) & (0x80000000 >>> (pri & 31))) !== 0;
          const list = model.get(pri) ?? [];
          assert.equal(bit, list.length > 0, `bit of priority ${pri} after operation ${i}`);
          if (bit) assert.deepEqual(K.runqList(ci, pri), list);
        }
      }
    });
  }

  test("SCH-114: a bit for every priority, from the most significant down, and the top priority found from it", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const l = m.lwp(m.spawn(compute), 1);
    const bitOf = new Map([
      [0, [0, 0x80000000 | 0]],
      [31, [0, 1]],
      [32, [1, 0x80000000 | 0]],
      [223, [6, 1]],
    ]);
    for (let pri = 0; pri < K.PRI_COUNT; pri++) {
      m.holding(l, () => K.lwpChangepri(l, pri));
      const words = [...ci.w.subarray(ci.bitmap, ci.bitmap + 7)];
      const expected = [0, 0, 0, 0, 0, 0, 0];
      const [word, bit] = bitOf.get(pri) ?? [pri >> 5, (0x80000000 | 0) >>> (pri & 31)];
      expected[word] = bit | 0;
      assert.deepEqual(words, expected, `priority ${pri}`);
      assert.equal(topOfBitmap(ci), pri);
      assert.equal(ci.maxpriority, pri);
    }
    // Below a second one, so that the top is looked for in the bitmap again, within a word and across words.
    const low = m.queued(33, compute);
    for (const pri of [62, 63, 64, 191]) {
      m.holding(l, () => K.lwpChangepri(l, pri));
      takeOff(m, l);
      assert.equal(ci.maxpriority, 33);
      putOn(m, l);
    }
    takeOff(m, l);
    takeOff(m, low);
    assert.equal(ci.maxpriority, 0);
  });

  test("SCH-20: a yielder is credited with its ticks, others only get a first mark; all go to the tail", () => {
    const m = new TestMachine({ limits });
    const ci = m.cpu(0);
    const [a, b, c] = [m.queued(50, compute), m.queued(50, compute), m.queued(50, compute)];
    takeOff(m, a);
    m.k.g.ticks = 100;

    a.rticks = 0;
    putOn(m, a);
    assert.deepEqual([a.rticks, a.rticksum], [100, 0], "never chosen yet: marked with the present tick");
    takeOff(m, a);
    a.rticks = 70;
    putOn(m, a);
    assert.deepEqual([a.rticks, a.rticksum], [70, 0], "a wakeup credits nothing");
    takeOff(m, a);
    putOn(m, a, true);
    assert.deepEqual([a.rticks, a.rticksum], [70, 30], "switched out while runnable: the stretch counts");
    takeOff(m, a);
    a.rticks = 95;
    putOn(m, a, true);
    assert.equal(a.rticksum, 35, "and adds up");
    assert.deepEqual(K.runqList(ci, 50), [b, c, a], "the tail, though it ran last");
    assert.equal(ci.count, 3);

    assert.equal(ci.maxpriority, 50);
    takeOff(m, b);
    b.priority = 60;
    putOn(m, b);
    assert.equal(ci.maxpriority, 60, "raised");
    takeOff(m, c);
    c.priority = 20;
    putOn(m, c);
    assert.equal(ci.maxpriority, 60, "not lowered");
  });

  test("SCH-20: a preempted FIFO LWP goes behind its equals (differs from POSIX)", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const a = m.queued(130, compute);
    a.class = K.SCHED_FIFO;
    m.until(() => ci.curlwp === a);
    const b = m.queued(130, compute);
    const urgent = m.queued(140, function* () {
      yield* S.lwpPark();
    });
    m.until(() => ci.curlwp === urgent);
    assert.deepEqual(K.runqList(ci, 130), [b, a]);
  });

  test("SCH-20: stretches that end in blocking are not credited", () => {
    const m = new TestMachine();
    const l = m.queued(43, function* () {
      yield* S.lwpSelf();
      yield* S.lwpPark();
    });
    m.until(() => m.cpu(0).curlwp === l);
    l.rticks = 1;
    m.k.g.ticks = 50;
    m.run();
    assert.equal(l.stat, K.LSSLEEP);
    assert.equal(l.rticksum, 0);
  });

  test("SCH-20: the run queue must be locked", () => {
    const m = new TestMachine();
    const l = m.lwp(m.spawn(compute), 1);
    takeOff(m, l);
    assertPanics(() => m.asCpu(() => K.schedEnqueue(l, false)), /not locked/);
  });

  /** recorded priority, enqueued at, upreempt, kpreempt, switched out; the request. */
  const asks: readonly (readonly [number, number, number, number, boolean, number])[] = [
    [43, 85, 0, 128, false, K.RESCHED_IMMED],
    [43, 130, 0, 128, false, K.RESCHED_KPREEMPT],
    [43, 128, 0, 128, false, K.RESCHED_KPREEMPT],
    [43, 127, 0, 128, false, K.RESCHED_IMMED],
    [43, 44, 0, 128, false, K.RESCHED_IMMED],
    [43, 43, 0, 128, false, 0],
    [43, 42, 0, 128, false, 0],
    [43, 85, 0, 128, true, 0],
    [43, 200, 0, 128, true, 0],
    [43, 85, 90, 128, false, K.RESCHED_LAZY],
    [43, 90, 90, 128, false, K.RESCHED_IMMED],
    [43, 200, 0, 1000, false, K.RESCHED_IMMED],
    [43, 44, 0, 0, false, K.RESCHED_KPREEMPT],
    [0, 0, 0, 128, false, 0],
  ];
  for (const [running, pri, upreempt, kpreempt, swtch, request] of asks) {
    const what = ["nothing", "LAZY", "IMMED", "", "KPREEMPT"][request];
    const how = swtch ? "by a yielder" : "by a wakeup";
    test(`SCH-21, SCH-115: enqueued ${how} at ${pri} over ${running}, thresholds ${upreempt} and ${kpreempt}: ${what}`, () => {
      const m = new TestMachine();
      const ci = m.cpu(0);
      assert.deepEqual([m.k.g.upreemptPri, m.k.g.kpreemptPri], [0, 128], "the defaults");
      m.k.g.upreemptPri = upreempt;
      m.k.g.kpreemptPri = kpreempt;
      const l = m.lwp(m.spawn(compute), 1);
      takeOff(m, l);
      clearRequests(m, ci);
      ci.curpriority = running;
      l.priority = pri;
      putOn(m, l, swtch);
      assert.equal(requests(ci), request);
    });
  }

  test("SCH-22: dequeueing undoes the counts, clears the bit and finds the next highest", () => {
    const m = new TestMachine({ limits });
    const ci = m.cpu(0);
    const [a, b, c] = [m.queued(60, compute), m.queued(60, compute), m.queued(200, compute)];
    c.pflag |= K.LP_BOUND;
    ci.mcount--;
    m.sim.check();
    takeOff(m, a);
    assert.deepEqual([ci.count, ci.mcount, ci.maxpriority], [2, 1, 200], "not the top: the top stays");
    takeOff(m, c);
    assert.deepEqual(
      [ci.count, ci.mcount, ci.maxpriority],
      [1, 1, 60],
      "a bound one is not counted as movable",
    );
    takeOff(m, b);
    assert.deepEqual([ci.count, ci.mcount, ci.maxpriority], [0, 0, 0], "empty: 0");
    assert.deepEqual([...ci.w.subarray(ci.bitmap, ci.bitmap + 7)], [0, 0, 0, 0, 0, 0, 0]);
  });

  test("SCH-22: whoever leaves the queue loses the migration slot, and keeps its target", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const [ci, target] = [m.cpu(0), m.cpu(1)];
    const [a, b] = [m.queued(60, compute), m.queued(60, compute)];
    a.targetCpu = target;
    ci.migrating = a;
    takeOff(m, b);
    assert.equal(ci.migrating, a, "another one's leaving changes nothing");
    putOn(m, b);
    m.holding(a, () => K.lwpChangepri(a, 61));
    assert.equal(ci.migrating, null);
    assert.equal(a.targetCpu, target);
    assert.deepEqual(K.runqList(ci, 61), [a]);
    m.sim.check();
  });

  for (const [name, change] of [
    ["base", K.lwpChangepri],
    ["inherited", K.lwpLendpri],
  ] as const) {
    test(`SCH-22: a change of the ${name} priority puts a queued LWP behind its new equals and may ask for the CPU`, () => {
      const m = new TestMachine({ limits });
      const ci = m.cpu(0);
      const [a, b, c] = [m.queued(40, compute), m.queued(60, compute), m.queued(60, compute)];
      ci.curpriority = 50;
      clearRequests(m, ci);
      m.holding(a, () => change(a, 60));
      assert.deepEqual(K.runqList(ci, 60), [b, c, a]);
      assert.deepEqual(K.runqList(ci, 40), []);
      assert.notEqual(requests(ci) & K.RESCHED_IMMED, 0);
      m.sim.check();
    });
  }

  test("SCH-23: while an LWP waits to be migrated, nothing is chosen, whatever else is queued", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const ci = m.cpu(0);
    const [a, b] = [m.queued(60, compute), m.queued(200, compute)];
    ci.migrating = a;
    assert.equal(nextOf(m, ci), null);
    ci.migrating = null;
    assert.equal(nextOf(m, ci), b);
  });

  test("SCH-23: the first of the highest queue, marked with the tick, not yet dequeued", () => {
    const m = new TestMachine({ limits });
    const ci = m.cpu(0);
    m.queued(60, compute);
    const b = m.queued(61, compute);
    m.queued(61, compute);
    m.k.g.ticks = 77;
    assert.equal(nextOf(m, ci), b);
    assert.equal(b.rticks, 77);
    assert.equal(ci.count, 3);
    assert.equal(K.runqList(ci, 61)[0], b);
    m.sim.check();
  });

  /** Empty own queue; what is there to steal, and whether it is stolen. */
  const steals: readonly (readonly [
    string,
    boolean,
    (m: TestMachine, victim: K.Cpu, thief: K.Cpu) => void,
  ])[] = [
    ["from another CPU of the set", true, () => {}],
    ["nothing when offline", false, (_m, _v, thief) => (thief.flags |= K.SPCF_OFFLINE)],
    ["nothing from another processor set", false, (_m, victim) => (victim.psid = 1)],
    [
      "nothing when the victim's lock is taken: it only tries",
      false,
      (m, victim) => m.asCpu(() => K.spinEnter(m.k, victim.mutex)),
    ],
  ];
  for (const [what, stolen, prepare] of steals) {
    test(`SCH-23: an empty queue steals ${what}`, () => {
      const m = new TestMachine({ cpus: 2, limits });
      const [victim, thief] = [m.cpu(0), m.cpu(1)];
      const a = m.queued(60, compute);
      m.queued(60, compute);
      m.k.g.ticks = 90;
      a.rticks = 40;
      a.timeslice = 5;
      prepare(m, victim, thief);
      const next = nextOf(m, thief);
      assert.equal(next, stolen ? a : null);
      if (!stolen) return;
      assert.equal(a.cpu, thief);
      assert.deepEqual(K.runqList(thief, 60), [a], "already queued here");
      assert.equal(a.rticks, 40, "the tick when it was last chosen is not refreshed on this path");
      m.sim.check();
    });
  }

  test("SCH-23: on a machine of one CPU an empty queue gives nothing", () => {
    const m = new TestMachine();
    assert.equal(nextOf(m, m.cpu(0)), null);
  });

  test("SCH-24: a CPU has work if something is queued, or its soft interrupt, here the tick, is pending", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    assert.equal(K.curcpuRunnable(ci), false);
    const l = m.queued(0, compute);
    assert.equal(K.curcpuRunnable(ci), true);
    takeOff(m, l);
    assert.equal(K.curcpuRunnable(ci), false);
    m.k.w[ci.at + K.CpuRecord.offset.attention] |= K.ATTN_TICK;
    assert.equal(K.curcpuRunnable(ci), true);
    m.sim.tick();
    assert.equal(K.curcpuRunnable(ci), false);
  });
});

/** `schedNextlwp` on a CPU, with its run queue locked. */
function nextOf(m: TestMachine, ci: K.Cpu): K.Lwp | null {
  return K.asCpu(ci, () => withLock(m.k, ci.mutex, () => K.schedNextlwp(ci)));
}
