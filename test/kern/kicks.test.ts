// CPUs that were asked for something are told before the function that asked returns, or the LWP leaves, once it holds no lock.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { counters, parked, TestMachine } from "../support/sim.js";
import { atDelayPoint, onState, overridePort } from "../support/spy.js";

/** A machine of two CPUs, on which a request for CPU 1 can be noted, and then is looked for. */
class Scene {
  readonly m = new TestMachine({ cpus: 2 });
  /** Whether CPU 1 has been told since, and how often anybody was. */
  #told: string[] = [];
  /** How often `check` was called. */
  checks = 0;

  constructor() {
    const { k } = this.m;
    overridePort(this.m, {
      notify: (ci) => {
        const held = [k.g.procLock, k.xc.hiLock, ...K.allProcs(k).map((p) => p.lock)].concat(
          [0, 1].flatMap((n) => [this.m.cpu(n).mutex, this.m.cpu(n).lwplock]),
        );
        const locked = held.some((lock) => k.w[lock] !== 0);
        this.#told.push(`CPU ${ci.index - 1}${locked ? ", with a lock held" : ""}`);
      },
    });
  }

  /** Something wants CPU 1 to look. */
  readonly note = (): void => {
    K.cur.kicks |= 1 << 1;
    this.#told = [];
  };

  /** Who was told since `note`, or since the last answer. */
  readonly told = (): string[] => this.#told.splice(0);

  readonly check = (): void => {
    this.checks++;
    assert.deepEqual(
      [this.#told.includes("CPU 1"), K.cur.kicks, this.#told.filter((t) => t.includes("held"))],
      [true, 0, []],
    );
  };

  /** `note` whenever an LWP comes into this state; `check` in the window behind. */
  between(state: number, point: K.DelayPoint): void {
    onState(this.m, (_l, _from, to) => {
      if (to === state) this.note();
    });
    atDelayPoint(this.m, point, this.check);
  }
}

/** A process whose main sleeps; it is asleep already. */
function asleep({ m }: Scene): K.Proc {
  const p = m.spawn(parked);
  m.until(() => K.procLwps(p)[0].stat === K.LSSLEEP);
  return p;
}

const CALLS: Record<string, (s: Scene) => void> = {
  suspendsched: (s) => {
    asleep(s);
    s.m.asCpu(() => {
      s.note();
      K.suspendsched(s.m.k);
      s.check();
    });
  },
  procKill: (s) => {
    const p = asleep(s);
    s.m.asCpu(() => {
      s.note();
      K.procKill(s.m.k, p.pid, 9);
      s.check();
    });
  },
  kthreadCreate: (s) => {
    s.m.k.slots.kthreads[10] = function* () {};
    s.m.asCpu(() => {
      s.note();
      K.kthreadCreate(s.m.k, K.PRI_NONE, K.KTHREAD_MPSAFE, s.m.cpu(0), 10, 0, "new");
      s.check();
    });
  },
  lwpStart: (s) => {
    s.m.runToEnd(function* () {
      const l = K.cur.lwp;
      const made = K.lwpCreate(l, l.proc, 0, { kind: K.CTX_CLOSURE, closure: function* () {} }, l.class);
      s.note();
      K.lwpStart(l, made as K.Lwp, 0);
      s.check();
    });
  },
  doSchedSetaffinity: (s) => {
    const p = asleep(s);
    s.m.asCpu(() => {
      s.note();
      K.doSchedSetaffinity(K.procLwps(p)[0], 0, 1, 0);
      s.check();
    });
  },
  doSchedSetparam: (s) => {
    const p = asleep(s);
    s.m.asCpu(() => {
      s.note();
      K.doSchedSetparam(K.procLwps(p)[0], 0, 1, K.SCHED_OTHER, K.PRI_NONE);
      s.check();
    });
  },
  psignal: (s) => {
    const p = asleep(s);
    s.m.asCpu(() => {
      s.note();
      K.psignal(p, K.siginfo(K.SIGUSR1, K.SI_USER, 0, 0, 0));
      s.check();
    });
  },
  "userret, before anything else": (s) => {
    s.m.runToEnd(function* () {
      s.note();
      K.userret(K.cur.lwp);
      s.check();
    });
  },
  "userret, what a tick asks for": (s) => {
    const { k } = s.m;
    k.slots.calloutHandlers[9] = s.note;
    s.m.runToEnd(function* () {
      K.calloutInit(k, k.scratch, K.CALLOUT_MPSAFE);
      K.calloutSetfunc(k, k.scratch, 9, 0);
      K.calloutSchedule(k, k.scratch, 1);
      k.g.ticks = K.cur.cpu.tick + 1;
      K.cur.cpu.attention |= K.ATTN_TICK;
      K.userret(K.cur.lwp);
      s.check();
    });
  },
  "userret, what a cross-call asks for": (s) => {
    const { k } = s.m;
    k.slots.crosscalls[9] = s.note;
    s.m.runToEnd(function* () {
      yield* K.xcUnicast(k, K.XC_HIGHPRI, 9, 0, 0, K.cur.cpu);
      K.userret(K.cur.lwp);
      s.check();
    });
  },
  "a cross-call of low priority": (s) => {
    s.m.runToEnd(function* () {
      s.note();
      yield* K.xcUnicast(s.m.k, 0, K.XC_NULLOP, 0, 0, s.m.cpu(0));
      s.check();
    });
  },
  "a cross-call of high priority": (s) => {
    s.m.runToEnd(function* () {
      s.note();
      yield* K.xcUnicast(s.m.k, K.XC_HIGHPRI, K.XC_NULLOP, 0, 0, K.cur.cpu);
      s.check();
    });
  },
  "a cross-call of high priority, the CPU that it is for": (s) => {
    const told = s.told;
    s.m.runToEnd(function* () {
      told();
      const other = s.m.cpu(2 - K.cur.cpu.index);
      yield* K.xcUnicast(s.m.k, K.XC_HIGHPRI, K.XC_NULLOP, 0, 0, other);
      assert.deepEqual(told(), [`CPU ${other.index - 1}`]);
    });
    s.checks++;
  },
  "an LWP that suspends itself": (s) => {
    s.between(K.LSSUSPENDED, "userret.suspended");
    s.m.spawn(function* () {
      yield* S.lwpCreate(parked);
      const l = K.cur.lwp;
      K.lwpLock(l);
      l.flag |= K.LW_WSUSPEND;
      K.lwpUnlock(l);
      yield* S.lwpSelf();
    });
    s.m.run();
  },
  "an LWP that stops with its process": (s) => {
    s.between(K.LSSTOP, "sigswitch.stopped");
    const p = s.m.spawn(function* () {
      for (let i = 0; i < 9; i++) yield* S.schedYield();
    });
    for (let i = 0; i < 3; i++) s.m.sim.step();
    const { k } = s.m;
    s.m.asCpu(() => {
      K.spinEnter(k, k.g.procLock);
      K.spinEnter(k, p.lock);
      K.procStop(p, 17);
      K.spinExit(k, p.lock);
      K.spinExit(k, k.g.procLock);
    }, 1);
    s.m.run();
  },
  "an LWP that exits, by the way through a hook": (s) => {
    s.between(K.LSZOMB, "exit.zombie");
    s.m.k.slots.lwpExit = () => {};
    s.m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* parked();
    });
    s.m.run();
  },
  "the dispatcher, after an LWP that exits": (s) => {
    onState(s.m, (_l, _from, to) => {
      if (to === K.LSZOMB) s.note();
    });
    const p = s.m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* parked();
    });
    s.m.until(() => counters(p).includes("nz1"));
    s.check();
    s.m.run();
  },
  "the last LWP of a process": (s) => {
    onState(s.m, (_l, _from, to) => {
      if (to === K.LSZOMB) s.note();
    });
    overridePort(s.m, { procExited: s.check });
    s.m.spawn(function* () {});
    s.m.run();
  },
};

describe("who asks another CPU for something tells it, holding no lock, before it returns or leaves:", () => {
  for (const [name, run] of Object.entries(CALLS)) {
    test(name, () => {
      const s = new Scene();
      run(s);
      assert.notEqual(s.checks, 0);
    });
  }
});

/** What makes an LWP look at its flags. */
const ASKS: Record<string, (m: TestMachine, p: K.Proc) => void> = {
  "its process is killed": (m, p) => void K.procKill(m.k, p.pid, 9),
  "its process is stopped": (m, p) => {
    K.spinEnter(m.k, m.k.g.procLock);
    K.spinEnter(m.k, p.lock);
    K.procStop(p, K.SIGSTOP);
    K.spinExit(m.k, p.lock);
    K.spinExit(m.k, m.k.g.procLock);
    K.flushKicks(m.k);
  },
  "it gets a signal that it handles": (_m, p) => {
    K.psignal(p, K.siginfo(K.SIGUSR1, K.SI_USER, 0, 0, 0));
  },
};

describe("an LWP that computes on another CPU is asked to look, and its CPU told, when", () => {
  for (const [name, run] of Object.entries(ASKS)) {
    test(name, () => {
      const m = new TestMachine({ cpus: 2 });
      const p = m.spawn(function* () {
        yield* S.sigaction(K.SIGUSR1, { handler: () => {} });
        for (;;) yield* S.lwpSelf();
      });
      const l = m.lwp(p, 1);
      m.until(() => l.stat === K.LSONPROC && p.handlers !== null);
      const ci = l.cpu;
      const notified: K.Cpu[] = [];
      m.sim.notify = (to?: K.Cpu) => void notified.push(to as K.Cpu);
      m.asCpu(() => run(m, p), 2 - ci.index);
      assert.deepEqual([l.stat, ci.attention & K.RESCHED_ANY, notified], [K.LSONPROC, K.RESCHED_LAZY, [ci]]);
    });
  }
});
