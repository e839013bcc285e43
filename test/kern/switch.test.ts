/** Context switches, reschedule requests and slices: SCH-30..34, 37, 38, 116, 119. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

/** Computes for ever, an operation at a time. */
function* compute(): K.Body {
  for (;;) yield* S.lwpSelf();
}

/** Sets bits of a CPU's attention word, or clears all but these. */
const ATTENTION = K.CpuRecord.offset.attention;

/** Runs a body once as the first LWP of a process, on CPU 0, to the end of the machine's work. */
function inThread(m: TestMachine, body: (l: K.Lwp) => K.Body): void {
  m.spawn(function* () {
    yield* body(K.cur.lwp) as Generator<K.Token, unknown, undefined>;
  });
  m.run();
}

/** Lets a body that has switched away go on when it is chosen again. */
function* switched(away: boolean): Generator<K.Token, void, undefined> {
  assert.equal(away, true, "nothing else was chosen");
  yield;
}

suite("the switch", () => {
  test("SCH-30: the next LWP is taken off its queue, ONPROC, running and covered by the CPU's lwplock", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    inThread(m, function* (l) {
      const next = m.queued(50, function* () {});
      next.kpriority = 0;
      ci.flags |= K.SPCF_SEENRR | K.SPCF_SHOULDYIELD | K.SPCF_RUNNING;
      m.k.w[ci.at + ATTENTION] |= K.RESCHED_ANY | K.ATTN_TICK;
      const away = K.yieldCpu(l);
      assert.equal(stateOf(next), "ONPROC");
      assert.notEqual(next.pflag & K.LP_RUNNING, 0);
      assert.equal(next.mutex, ci.lwplock);
      assert.equal(next.cpu, ci);
      assert.deepEqual(K.runqList(ci, 50), []);
      assert.equal(
        ci.attention,
        K.ATTN_TICK,
        "requests are met; the soft interrupt, here the tick, stays pending",
      );
      assert.equal(ci.flags, K.SPCF_RUNNING, "SEENRR and SHOULDYIELD are cleared, nothing else");
      assert.equal(ci.curpriority, 50);
      yield* switched(away);
    });
  });

  test("SCH-30: the recorded priority is the effective one at dispatch, the plain one at user return", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const cv = m.words(K.CV_WORDS);
    const lock = m.words(K.MTX_WORDS);
    m.asCpu(() => {
      K.cvInit(m.k, cv, "boost");
      K.mutexInit(m.k, lock, K.MUTEX_DEFAULT, K.IPL_NONE);
    });
    const recorded: number[] = [];
    const l = m.queued(43, function* () {
      yield* K.mutexEnter(m.k, lock);
      yield* K.cvWait(m.k, cv, lock);
      recorded.push(ci.curpriority);
      K.mutexExit(m.k, lock);
      K.cur.lwp.inheritedprio = 150;
      yield* S.lwpSelf();
      recorded.push(ci.curpriority);
      K.cur.lwp.inheritedprio = K.PRI_NONE;
    });
    m.run();
    assert.equal(stateOf(l), "SLEEP");
    m.asCpu(() => K.cvSignal(m.k, cv));
    m.run();
    assert.deepEqual(recorded, [85, 43], "boosted; then the base, whatever is lent");
  });

  test("SCH-30: with nothing queued the idle thread is next: ONPROC, running, at priority 0", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    m.spawn(function* () {
      yield* S.lwpPark();
    });
    m.run();
    const idle = ci.idlelwp;
    assert.equal(ci.curlwp, idle);
    assert.equal(stateOf(idle), "ONPROC");
    assert.notEqual(idle.pflag & K.LP_RUNNING, 0);
    assert.equal(idle.mutex, ci.lwplock);
    assert.equal(ci.curpriority, 0);
  });

  test("SCH-31: yield clears the boost; preempt too, and counts, switch or not", () => {
    const m = new TestMachine();
    inThread(m, function* (l) {
      l.kpriority = 1;
      assert.equal(K.yieldCpu(l), false);
      assert.deepEqual([l.kpriority, l.nivcsw], [0, 0]);
      l.kpriority = 1;
      assert.equal(K.preempt(l), false);
      assert.deepEqual([l.kpriority, l.nivcsw], [0, 1]);
      m.queued(63, function* () {});
      l.kpriority = 1;
      yield* switched(K.preempt(l));
      assert.deepEqual([l.kpriority, l.nivcsw], [0, 2]);
      m.queued(63, function* () {});
      yield* switched(K.yieldCpu(l));
      assert.equal(l.nivcsw, 2, "a yield is not counted");
    });
  });

  test("SCH-31: an LWP that blocks has its state already: the switch leaves it, and counts no preemption", () => {
    const m = new TestMachine();
    const sleeper = m.queued(43, function* () {
      yield* S.lwpPark();
    });
    m.run();
    const suspended = m.queued(43, compute);
    m.until(() => m.cpu(0).curlwp === suspended);
    m.locked(suspended.proc, () => {
      K.lwpLock(suspended);
      K.lwpSuspend(K.cur.lwp, suspended);
    });
    m.run();
    assert.deepEqual([stateOf(sleeper), stateOf(suspended)], ["SLEEP", "SUSPENDED"]);
    assert.deepEqual([sleeper.nivcsw, suspended.nivcsw], [0, 0]);
    assert.deepEqual([sleeper.ncsw, suspended.ncsw], [1, 1]);
    assert.equal(m.cpu(0).count, 0);
  });

  test("SCH-32: the caller must be the current LWP, and locked", () => {
    const m = new TestMachine();
    const l = m.lwp(m.spawn(compute), 1);
    m.until(() => m.cpu(0).curlwp === l);
    assertPanics(() => m.asCpu(() => K.miSwitch(l)), /miSwitch/);
  });

  test("SCH-32: run time is charged up to the switch and starts anew for the next; never for the idle thread", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    inThread(m, function* (l) {
      const next = m.queued(50, function* () {});
      l.rtime = 2;
      l.stime = 1;
      ci.busy = 8;
      m.k.g.time = 1.5;
      l.dopreempt = 1;
      const away = K.yieldCpu(l);
      assert.equal(l.rtime, 2.5);
      assert.equal(ci.busy, 8.5);
      assert.equal(next.stime, 1.5);
      assert.equal(ci.onproc, next);
      assert.equal(ci.curlwp, next);
      assert.equal(l.dopreempt, 0);
      yield* switched(away);
    });
    const busy = ci.busy;
    m.k.g.time = 1000;
    m.queued(50, compute);
    m.sim.step();
    assert.equal(ci.idlelwp.rtime, 0);
    assert.equal(ci.busy, busy);
  });

  test("SCH-32: who is still runnable is queued as a yielder under the run-queue lock; the idle thread is LSIDL", () => {
    const m = new TestMachine({ cpus: 2 });
    const [ci, other] = [m.cpu(0), m.cpu(1)];
    inThread(m, function* (l) {
      m.queued(50, function* () {});
      assert.equal(stateOf(ci.idlelwp), "IDL");
      assert.equal(ci.idlelwp.mutex, ci.lwplock);
      l.rticks = m.k.g.ticks - 3;
      l.rticksum = 0;
      m.k.w[ci.at + ATTENTION] = 0;
      const away = K.yieldCpu(l);
      assert.equal(stateOf(l), "RUN");
      assert.equal(l.mutex, ci.mutex);
      assert.deepEqual(K.runqList(ci, 43), [l]);
      assert.equal(l.rticksum, 3, "enqueued as switched out");
      assert.equal(ci.attention, 0, "which asks for nothing");
      assert.equal(ci.migrating, null);
      yield* switched(away);
    });
    inThread(m, function* (l) {
      l.targetCpu = other;
      const away = K.yieldCpu(l);
      assert.equal(ci.migrating, l, "a pending migration takes the slot");
      assert.equal(ci.curlwp, ci.idlelwp, "and the idle thread, which migrates it, is next");
      yield* switched(away);
      assert.equal(l.targetCpu, null);
    });
  });

  test("SCH-33: a switch counts, marks the context unsaved until the dispatcher has saved it, and tells lwpctl", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const words = 16;
    const nextWords = 32;
    inThread(m, function* (l) {
      l.lwpctl = words;
      const seen: unknown[] = [];
      const next = m.queued(50, function* () {
        seen.push(l.ctxswtch);
      });
      next.lwpctl = nextWords;
      const { ncsw } = l;
      const { nswitch } = ci;
      const away = K.yieldCpu(l);
      assert.equal(l.ctxswtch, 1);
      assert.equal(l.ncsw, ncsw + 1);
      assert.equal(l.pflag & K.LP_RUNNING, 0);
      assert.equal(ci.nswitch, nswitch + 1);
      assert.equal(K.lwpLocked(l), false, "unlocked");
      assert.equal(K.spinOwned(m.k, ci.lwplock), false, "and so is the rest");
      assert.equal(m.k.uw[words + K.LWPCTL_CURCPU], K.LWPCTL_CPU_NONE);
      assert.deepEqual([...m.k.uw.subarray(nextWords - 2, nextWords)], [0, 1]);
      yield* switched(away);
      assert.deepEqual(seen, [0], "saved before the next one ran");
      assert.equal(l.ctxswtch, 0);
      assert.deepEqual([...m.k.uw.subarray(words - 2, words)], [0, 1], "switched in once more, on CPU 0");
      l.lwpctl = 0;
    });
  });

  test("SCH-33: an LWP whose last CPU has not saved it yet is waited for", () => {
    const m = new TestMachine();
    const l = m.queued(50, compute);
    l.ctxswtch = 1;
    // On simulated CPUs nobody could end the wait, so that waiting at all is the error.
    assert.throws(() => m.sim.step(), /ctxswtch: a simulated CPU waits/);
  });

  test("SCH-33, SCH-119: back to itself: no switch is counted, but run time, stretch and requests are dealt with", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const words = 16;
    inThread(m, function* (l) {
      l.lwpctl = words;
      const { ncsw, nivcsw } = l;
      const { nswitch } = ci;
      [l.stime, l.rtime, m.k.g.time] = [1, 0, 1.25];
      [l.rticks, l.rticksum] = [m.k.g.ticks - 2, 0];
      m.k.w[ci.at + ATTENTION] = K.RESCHED_IMMED;
      assert.equal(K.preempt(l), false);
      assert.deepEqual([l.ncsw, l.nivcsw, ci.nswitch], [ncsw, nivcsw + 1, nswitch]);
      assert.deepEqual([...m.k.uw.subarray(words - 2, words)], [0, 0], "lwpctl untouched");
      assert.equal(l.ctxswtch, 0);
      assert.deepEqual([l.rtime, l.stime], [0.25, 1.25]);
      assert.deepEqual([l.rticks, l.rticksum], [m.k.g.ticks, 2]);
      assert.equal(ci.attention, 0);
      assert.equal(stateOf(l), "ONPROC");
      assert.equal(l.mutex, ci.lwplock);
      assert.equal(K.spinOwned(m.k, ci.lwplock), false);
      l.lwpctl = 0;
    });
  });

  test("SCH-34: an exiting LWP leaves its CPU for ever: charged, never queued, its switch not its own", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const words = 16;
    const nextWords = 32;
    let dying: K.Lwp | null = null;
    let ncsw = -1;
    let nswitch = -1;
    const main = m.spawn(function* () {
      const lid = yield* S.lwpCreate(function* () {
        dying = K.cur.lwp;
        dying.lwpctl = words;
        yield* S.lwpSelf();
        [dying.stime, dying.rtime, m.k.g.time] = [1, 0, 1.75];
        ncsw = dying.ncsw;
        nswitch = ci.nswitch;
      });
      yield* S.lwpPark();
      yield* S.lwpWait(lid);
    });
    m.until(() => nswitch === -1 && dying !== null);
    const next = m.queued(40, compute);
    next.lwpctl = nextWords;
    m.until(() => nswitch !== -1);
    const l = dying as unknown as K.Lwp;
    assert.equal(stateOf(l), "ZOMB");
    assert.equal(l.rtime, 0.75);
    assert.equal(l.ncsw, ncsw);
    assert.equal(ci.nswitch, nswitch + 1);
    assert.equal(l.pflag & K.LP_RUNNING, 0);
    assert.equal(l.ctxswtch, 0, "nothing of it is saved, and its successor waits for nobody");
    assert.equal(l.mutex, ci.lwplock);
    assert.equal(m.k.uw[words + K.LWPCTL_CURCPU], K.LWPCTL_CPU_EXITED);
    assert.equal(ci.curlwp, next);
    assert.equal(ci.onproc, next);
    assert.equal(next.stime, 1.75);
    assert.deepEqual([...m.k.uw.subarray(nextWords - 2, nextWords)], [0, 1]);
    assert.equal(m.lwp(main, 2), l, "still there to be waited for");
  });
});

suite("reschedule requests", () => {
  for (const [flags, bits] of [
    [0, K.RESCHED_LAZY],
    [K.RESCHED_LAZY, K.RESCHED_LAZY],
    [K.RESCHED_IMMED, K.RESCHED_IMMED],
    [K.RESCHED_KPREEMPT, K.RESCHED_KPREEMPT],
  ]) {
    const note = flags === 0 ? " (0 means LAZY here: the original posts one that switches nothing)" : "";
    test(`SCH-37: a request with flags ${flags} sets bits ${bits} and wakes a remote CPU once unlocked${note}`, () => {
      const m = new TestMachine({ cpus: 2 });
      const woken: K.Cpu[] = [];
      m.k.port.notify = (ci) => woken.push(ci);
      for (const n of [0, 1]) {
        const ci = m.cpu(n);
        m.asCpu(() => {
          K.spinEnter(m.k, ci.mutex);
          K.cpuNeedResched(ci, flags);
          assert.equal(ci.attention, bits);
          assert.deepEqual(woken, [], "not while a lock is held");
          K.spinExit(m.k, ci.mutex);
          K.flushKicks(m.k);
        });
        assert.deepEqual(woken, n === 0 ? [] : [ci]);
        // More requests add up.
        m.asCpu(() => K.cpuNeedResched(ci, K.RESCHED_KPREEMPT));
        assert.equal(ci.attention, bits | K.RESCHED_KPREEMPT);
      }
    });
  }

  test("SCH-37, SCH-38: a request with flags 0 makes the running LWP give way at its next user return", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const a = m.queued(43, compute);
    m.until(() => ci.curlwp === a && a.stepped);
    const b = m.queued(43, compute);
    m.k.w[ci.at + ATTENTION] = 0;
    m.asCpu(() => K.cpuNeedResched(ci, 0));
    m.until(() => ci.curlwp === b, 3);
    assert.equal(a.nivcsw, 1);
  });

  test("SCH-38: the kernel runs on whatever is asked; the end of the operation is the preemption point", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const log: string[] = [];
    const p = m.spawn(function* () {
      const lid = yield* S.lwpCreate(function* () {
        yield* S.lwpPark();
        log.push("urgent");
      });
      yield* S.schedYield();
      const l = K.cur.lwp;
      const urgent = m.lwp(p, lid);
      assert.equal(stateOf(urgent), "SLEEP");
      urgent.priority = 200;
      const before = l.nivcsw;
      assert.equal(K.unpark(p, lid, 0), 0);
      assert.equal(
        ci.attention & K.RESCHED_ANY,
        K.RESCHED_KPREEMPT,
        "even this does not preempt the kernel here",
      );
      log.push("kernel");
      assert.equal(ci.curlwp, l);
      yield* S.lwpSelf();
      log.push("user");
      assert.equal(l.nivcsw, before + 1);
    });
    m.run();
    assert.deepEqual(log, ["kernel", "urgent", "user"]);
  });

  test("SCH-38: a long loop in the kernel that sees SHOULDYIELD gives way by preempt", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    let done = false;
    inThread(m, function* (l) {
      m.queued(43, function* () {
        done = true;
      });
      for (let tick = 0; (ci.flags & K.SPCF_SHOULDYIELD) === 0; tick++) {
        assert.ok(tick < 30, "a slice of two rounds at most");
        m.sim.tick();
      }
      yield* switched(K.preempt(l));
      assert.equal(done, true);
      assert.equal(ci.flags & K.SPCF_SHOULDYIELD, 0);
    });
  });
});

suite("slices", () => {
  /** Runs two LWPs on one CPU and says, tick by tick, which had it. */
  function alternate(schedClass: number, priority: number, ticks: number): string {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const [a, b] = [m.queued(priority, compute), m.queued(priority, compute)];
    a.class = schedClass;
    b.class = schedClass;
    let trace = "";
    for (let i = 0; i < ticks; i++) {
      for (let n = 0; n < 3; n++) m.sim.step();
      trace += ci.curlwp === a ? "a" : ci.curlwp === b ? "b" : "?";
      m.sim.tick();
    }
    return trace;
  }
  const runs = (...lengths: number[]) => lengths.map((n, i) => "ab"[i % 2].repeat(n)).join("");

  test("SCH-116: two OTHER LWPs of equal priority alternate every 200 ms", () => {
    assert.equal(alternate(K.SCHED_OTHER, 43, 80), runs(20, 20, 20, 20));
  });

  test("SCH-116: two RR LWPs alternate every 100 ms", () => {
    assert.equal(alternate(K.SCHED_RR, 130, 40), runs(10, 10, 10, 10));
  });

  test("SCH-116: of two FIFO LWPs the clock never runs the second", () => {
    assert.equal(alternate(K.SCHED_FIFO, 130, 100), runs(100));
  });

  /** What the first FIFO LWP does, and in which order the two then run. */
  const fifo: readonly (readonly [string, () => K.Body, string])[] = [
    [
      "blocks",
      function* () {
        yield* S.lwpPark();
      },
      "abb",
    ],
    ["exits", function* () {}, "abb"],
    [
      "yields, and goes behind its equal",
      function* () {
        yield* S.schedYield();
      },
      "abba",
    ],
  ];
  for (const [how, body, order] of fifo) {
    test(`SCH-116: the second FIFO LWP runs when the first ${how}`, () => {
      const m = new TestMachine();
      let log = "";
      const a = m.queued(130, function* () {
        log += "a";
        yield* body() as Generator<K.Token, unknown, undefined>;
        log += "a";
      });
      const b = m.queued(130, function* () {
        log += "b";
        yield* S.lwpSelf();
        log += "b";
      });
      a.class = K.SCHED_FIFO;
      b.class = K.SCHED_FIFO;
      m.run();
      assert.equal(log.slice(0, order.length), how === "exits" ? "aab" : order);
    });
  }

  test("SCH-116: and when something more urgent preempts the first, which then goes behind", () => {
    const m = new TestMachine();
    const ci = m.cpu(0);
    const a = m.queued(130, compute);
    a.class = K.SCHED_FIFO;
    m.until(() => ci.curlwp === a);
    const b = m.queued(130, compute);
    b.class = K.SCHED_FIFO;
    let ran = false;
    m.queued(140, function* () {
      ran = true;
    });
    m.until(() => ci.curlwp === b);
    assert.equal(ran, true);
    assert.equal(a.nivcsw, 1);
    for (let tick = 0; tick < 50; tick++) {
      m.sim.tick();
      m.sim.step();
      assert.equal(ci.curlwp, b);
    }
  });
});
