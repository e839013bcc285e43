/** Callouts: BLK-70..74. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine, withLock } from "../support/sim.js";

/** A machine whose callouts write down who fired, at which tick, on which CPU. */
class CalloutMachine extends TestMachine {
  readonly fired: { name: number; tick: number; cpu: number }[] = [];
  /** What the handler of a callout does beyond that, by its argument. */
  readonly also = new Map<number, () => void>();
  readonly handler: number;

  constructor(cpus = 1, scratch = 8192) {
    super({ cpus, limits: { procs: 40, scratch } });
    this.k.slots.calloutHandlers.push((k, arg) => {
      assert.equal(k, this.k);
      this.fired.push({ name: arg, tick: K.cur.cpu.tick, cpu: K.cur.cpu.index - 1 });
      this.also.get(arg)?.();
    });
    this.handler = this.k.slots.calloutHandlers.length - 1;
  }

  /** A callout of CPU `n`, bound to CPU 0 unless it is MPSAFE. */
  callout(name: number, flags = K.CALLOUT_MPSAFE, n = 0): number {
    const c = this.words(K.CALLOUT_WORDS);
    this.asCpu(() => {
      K.calloutInit(this.k, c, flags);
      K.calloutSetfunc(this.k, c, this.handler, name);
    }, n);
    return c;
  }

  schedule(c: number, ticks: number, n = 0): void {
    this.asCpu(() => K.calloutSchedule(this.k, c, ticks), n);
  }

  ticks(n: number): void {
    for (let i = 0; i < n; i++) this.sim.tick();
  }

  /** As if all CPUs had just handled that tick; nothing may be due before. */
  jumpTo(tick: number): void {
    this.k.g.ticks = tick;
    for (let i = 0; i < this.k.g.ncpu; i++) this.cpu(i).tick = tick;
  }

  names(): number[] {
    return this.fired.map((f) => f.name);
  }

  flags(c: number): number {
    return this.k.w[c + K.CO_FLAGS];
  }

  /** The wheel's level that a callout is filed in; -1 = the to-do list, null = none. */
  level(c: number): number | null {
    const list = this.k.w[c + K.CO_LIST];
    if (list === 0) return null;
    const ci = this.k.cpus.view(this.k.w[c + K.CO_CPU]);
    if (list === ci.todo) return -1;
    return Math.floor((list - ci.wheel) / K.COLIST_WORDS / K.WHEEL_SIZE);
  }
}

/** Drives something that may sleep, where it must not. */
function atOnce<T>(g: Generator<void, T, void>): T {
  const step = g.next();
  assert.equal(step.done, true, "it would have slept");
  return step.value as T;
}

suite("the wheel", () => {
  test("BLK-70: four levels of 256 buckets per CPU; the flags", () => {
    assert.deepEqual([K.WHEEL_LEVELS, K.WHEEL_SIZE], [4, 256]);
    const flags = [K.CALLOUT_BOUND, K.CALLOUT_PENDING, K.CALLOUT_FIRED, K.CALLOUT_INVOKING, K.CALLOUT_MPSAFE];
    assert.deepEqual(flags, [1, 2, 4, 8, 0x100]);
  });

  test("BLK-70: an MPSAFE one belongs to the CPU that makes it, any other is bound to the boot CPU", () => {
    const m = new CalloutMachine(2);
    const [free, bound] = [m.callout(1, K.CALLOUT_MPSAFE, 1), m.callout(2, 0, 1)];
    assert.deepEqual([m.k.w[free + K.CO_CPU], m.flags(free)], [2, K.CALLOUT_MPSAFE]);
    assert.deepEqual([m.k.w[bound + K.CO_CPU], m.flags(bound)], [1, K.CALLOUT_BOUND]);
    m.schedule(free, 1, 1);
    m.schedule(bound, 1, 1);
    m.ticks(1);
    assert.deepEqual(
      m.fired.map((f) => [f.name, f.cpu]),
      [
        [2, 0],
        [1, 1],
      ],
      "and that is where their handlers run",
    );
  });

  /** Delays around every border of a level, from a tick that is nothing special and from one before a wrap. */
  for (const start of [1, 200, 255, 65_530]) {
    test(`BLK-70: fires in its very tick, whichever level it goes through (from tick ${start})`, () => {
      const m = new CalloutMachine();
      m.jumpTo(start);
      const delays = [1, 2, 254, 255, 256, 257, 511, 512, 513, 5000, 65_535, 65_536, 65_537, 66_000];
      for (const delay of delays) m.schedule(m.callout(delay), delay);
      m.ticks(66_100);
      assert.deepEqual(
        m.fired.map((f) => [f.name, f.tick - start]),
        delays.map((delay) => [delay, delay]),
      );
      assert.equal(m.cpu(0).ncallouts, 0);
    });
  }

  test("BLK-70: by its distance it is filed in one of the levels, and comes down them as they wrap", () => {
    const m = new CalloutMachine();
    const start = 1000;
    m.jumpTo(start);
    const far = 3 * 2 ** 24 + 5 * 2 ** 16 + 7 * 2 ** 8 + 9;
    const all = [200, 60_000, 2 ** 20, far].map((delay) => {
      const c = m.callout(delay);
      m.schedule(c, delay);
      return c;
    });
    assert.deepEqual(
      all.map((c) => m.level(c)),
      [-1, -1, -1, -1],
      "new ones are on the to-do list",
    );
    m.ticks(1);
    assert.deepEqual(
      all.map((c) => m.level(c)),
      [0, 1, 2, 3],
    );
    m.asCpu(() => all.slice(0, 3).forEach((c) => K.calloutStop(m.k, c)));
    const c = all[3];
    const due = start + far;
    assert.equal(m.k.w[c + K.CO_TIME], due);
    // One level lower each time its bucket comes up.
    for (const [level, bits] of [
      [2, 24],
      [1, 16],
      [0, 8],
    ]) {
      m.jumpTo((due >> bits) * 2 ** bits - 1);
      assert.equal(m.level(c), level + 1);
      m.ticks(1);
      assert.equal(m.level(c), level);
    }
    m.jumpTo(due - 1);
    assert.deepEqual(m.fired, []);
    m.ticks(1);
    assert.deepEqual(m.fired, [{ name: far, tick: due, cpu: 0 }]);
  });

  test("BLK-70: the tick count may wrap", () => {
    const m = new CalloutMachine();
    const start = 0x7fffffff - 5;
    m.jumpTo(start);
    const delays = [3, 6, 10, 300, 70_000];
    const all = delays.map((delay) => {
      const c = m.callout(delay);
      m.schedule(c, delay);
      return c;
    });
    m.ticks(1);
    assert.deepEqual(
      all.map((c) => m.level(c)),
      [0, 0, 0, 1, 2],
      "filed by distance",
    );
    m.ticks(70_001);
    assert.deepEqual(
      m.fired.map((f) => [f.name, (f.tick - start) | 0]),
      delays.map((delay) => [delay, delay]),
    );
  });

  for (let seed = 1; seed <= 3; seed++) {
    test(`BLK-70: random callouts all fire in their tick, on their CPU (seed ${seed})`, () => {
      const m = new CalloutMachine(2);
      const random = K.seededStrategy(seed);
      const due = new Map<number, { tick: number; cpu: number }>();
      const all = Array.from({ length: 150 }, (_, name) => m.callout(name, K.CALLOUT_MPSAFE, random("", 2)));
      for (let tick = 0; tick < 3000; tick++) {
        for (let i = random("", 4); i > 0; i--) {
          const name = random("", all.length);
          const n = random("", 2);
          const c = all[name];
          const ticks = 1 + random("", [20, 300, 2000][random("", 3)]);
          const was = due.get(name);
          if (random("", 4) === 0) {
            m.asCpu(() => K.calloutStop(m.k, c), n);
            due.delete(name);
          } else {
            m.schedule(c, ticks, n);
            due.set(name, { tick: m.k.g.ticks + ticks, cpu: was?.cpu ?? n });
          }
        }
        m.fired.length = 0;
        m.ticks(1);
        const now = [...due].filter(([, d]) => d.tick === m.k.g.ticks);
        assert.deepEqual(
          m.fired.map((f) => `${f.name} on ${f.cpu}`).sort(),
          now.map(([name, d]) => `${name} on ${d.cpu}`).sort(),
          `tick ${m.k.g.ticks}`,
        );
        for (const [name] of now) due.delete(name);
        assert.equal(m.cpu(0).ncallouts + m.cpu(1).ncallouts, due.size);
      }
      m.sim.check();
    });
  }

  test("BLK-71: one that is scheduled again for the tick it is pending for keeps its place", () => {
    const m = new CalloutMachine();
    const [first, second] = [m.callout(1), m.callout(2)];
    for (const c of [first, second, first]) m.schedule(c, 3);
    m.ticks(3);
    assert.deepEqual(m.names(), [1, 2]);
  });

  test("BLK-70: those of one tick run in the order in which they were filed", () => {
    const m = new CalloutMachine();
    for (const [name, delay] of [
      [1, 5],
      [2, 3],
      [3, 5],
      [4, 3],
    ]) {
      m.schedule(m.callout(name), delay);
    }
    m.ticks(5);
    assert.deepEqual(m.names(), [2, 4, 1, 3]);
  });

  test("BLK-70: one from a higher level is filed anew when that wraps, behind those filed before", () => {
    const m = new CalloutMachine();
    m.schedule(m.callout(1), 300);
    m.ticks(100);
    m.schedule(m.callout(2), 200);
    m.ticks(180);
    m.schedule(m.callout(3), 20);
    m.ticks(20);
    assert.deepEqual(m.names(), [2, 1, 3]);
    assert.deepEqual(new Set(m.fired.map((f) => f.tick)), new Set([301]));
  });

  test("BLK-70: a CPU that missed ticks catches up on them: all that is due runs, nothing else", () => {
    const m = new CalloutMachine();
    for (const delay of [1, 5, 50, 299, 300, 301]) m.schedule(m.callout(delay), delay);
    m.k.g.ticks += 300;
    m.asCpu(() => K.clockPoll(m.cpu(0)));
    assert.deepEqual(new Set(m.names()), new Set([1, 5, 50, 299, 300]));
    m.ticks(1);
    assert.equal(m.names().at(-1), 301);
  });
});

suite("scheduling", () => {
  test("BLK-71: due so many ticks from now; what it was before is forgotten", () => {
    const m = new CalloutMachine();
    const c = m.callout(1);
    m.k.w[c + K.CO_FLAGS] |= K.CALLOUT_FIRED | K.CALLOUT_INVOKING;
    m.jumpTo(500);
    m.schedule(c, 7);
    assert.equal(m.k.w[c + K.CO_TIME], 507);
    assert.equal(m.flags(c), K.CALLOUT_MPSAFE | K.CALLOUT_PENDING);
  });

  /** flags, where it was made, whether the caller's lock is taken; the CPU it is on after CPU 1 schedules it. */
  const moves: readonly (readonly [string, number, number, boolean, number])[] = [
    ["moves to the CPU that schedules it", K.CALLOUT_MPSAFE, 0, false, 1],
    ["stays if that is its own", K.CALLOUT_MPSAFE, 1, false, 1],
    ["stays if that CPU's lock is taken", K.CALLOUT_MPSAFE, 0, true, 0],
    ["stays if it is bound", 0, 0, false, 0],
  ];
  for (const [what, flags, made, taken, where] of moves) {
    test(`BLK-71: a callout that is not pending ${what}`, () => {
      const m = new CalloutMachine(2);
      const c = m.callout(1, flags, made);
      const schedule = () => m.schedule(c, 3, 1);
      if (taken) m.asCpu(() => withLock(m.k, m.cpu(1).calloutLock, schedule));
      else schedule();
      assert.equal(m.k.w[c + K.CO_CPU] - 1, where);
      assert.deepEqual([m.cpu(0).ncallouts, m.cpu(1).ncallouts], where === 0 ? [1, 0] : [0, 1]);
      m.ticks(3);
      assert.deepEqual(
        m.fired.map((f) => f.cpu),
        [where],
      );
    });
  }

  test("BLK-71: pending and now due sooner: to the to-do list at once", () => {
    const m = new CalloutMachine(2);
    const c = m.callout(1);
    m.schedule(c, 1000);
    m.ticks(2);
    assert.equal(m.level(c), 1);
    m.schedule(c, 3, 1);
    assert.equal(m.level(c), -1);
    assert.equal(m.k.w[c + K.CO_CPU], 1, "on its own CPU, whoever asks");
    assert.equal(m.cpu(0).ncallouts, 1);
    m.ticks(2);
    assert.deepEqual(m.fired, []);
    m.ticks(1);
    assert.deepEqual(m.names(), [1]);
  });

  test("BLK-71: pending and now due later: left where it is, and filed anew when that bucket comes up", () => {
    const m = new CalloutMachine();
    const c = m.callout(1);
    m.schedule(c, 10);
    m.ticks(1);
    const bucket = m.k.w[c + K.CO_LIST];
    m.schedule(c, 400);
    assert.equal(m.k.w[c + K.CO_LIST], bucket);
    m.ticks(8);
    assert.equal(m.k.w[c + K.CO_LIST], bucket);
    m.ticks(1);
    assert.notEqual(m.k.w[c + K.CO_LIST], bucket);
    m.ticks(390);
    assert.deepEqual(m.fired, []);
    m.ticks(1);
    assert.deepEqual(m.names(), [1]);
  });

  test("BLK-71: 0 ticks: at the next pass, like 1 tick", () => {
    const m = new CalloutMachine();
    const [zero, one] = [m.callout(0), m.callout(1)];
    m.schedule(zero, 0);
    m.schedule(one, 1);
    assert.deepEqual(m.fired, []);
    m.ticks(1);
    assert.deepEqual(m.names(), [0, 1]);
  });

  test("BLK-71: 0 ticks from a handler: again in the same pass, behind what is due already", () => {
    const m = new CalloutMachine();
    const [c, other] = [m.callout(1), m.callout(2)];
    let again = 2;
    m.also.set(1, () => {
      if (again-- > 0) K.calloutSchedule(m.k, c, 0);
    });
    m.schedule(c, 1);
    m.schedule(other, 1);
    m.ticks(1);
    assert.deepEqual(m.names(), [1, 2, 1, 1]);
  });

  test("BLK-71: calloutReset sets handler, argument and time together", () => {
    const m = new CalloutMachine();
    const c = m.callout(1);
    m.asCpu(() => K.calloutReset(m.k, c, 2, m.handler, 9));
    m.ticks(2);
    assert.deepEqual(m.names(), [9]);
  });

  test("BLK-71: a negative time, or no handler, is a kernel assertion", () => {
    let m = new CalloutMachine();
    const c = m.callout(1);
    assertPanics(() => m.schedule(c, -1), /negative time/);
    m = new CalloutMachine();
    const bare = m.words(K.CALLOUT_WORDS);
    m.asCpu(() => K.calloutInit(m.k, bare, K.CALLOUT_MPSAFE));
    assertPanics(() => m.schedule(bare, 1), /no handler/);
  });
});

suite("firing and cancelling", () => {
  test("BLK-72: pending becomes fired and invoking before the handler runs; both stay until something ends them", () => {
    const m = new CalloutMachine();
    const c = m.callout(1);
    const base = K.CALLOUT_MPSAFE;
    const [P, F, I] = [K.CALLOUT_PENDING, K.CALLOUT_FIRED, K.CALLOUT_INVOKING];
    let inHandler = 0;
    m.also.set(1, () => (inHandler = m.flags(c)));
    const fire = () => {
      m.schedule(c, 1);
      m.ticks(1);
      assert.equal(m.flags(c), base | F | I);
    };
    m.schedule(c, 1);
    assert.equal(m.flags(c), base | P);
    m.ticks(1);
    assert.equal(inHandler, base | F | I);
    assert.equal(m.flags(c), base | F | I);
    m.ticks(100);
    assert.equal(m.flags(c), base | F | I, "for as long as nothing happens");
    m.asCpu(() => K.calloutAck(m.k, c));
    assert.equal(m.flags(c), base | F, "ack: no longer invoking");
    m.schedule(c, 1);
    assert.equal(m.flags(c), base | P, "schedule: neither");
    m.ticks(1);
    m.asCpu(() => K.calloutStop(m.k, c));
    assert.equal(m.flags(c), base | I, "stop: not fired, but invoking");
    fire();
    m.asCpu(() => atOnce(K.calloutHalt(m.k, c, 0)));
    assert.equal(m.flags(c), base | I, "halt: the same");
  });

  for (const [name, end] of [
    ["stop", (m: CalloutMachine, c: number) => K.calloutStop(m.k, c)],
    ["halt", (m: CalloutMachine, c: number) => atOnce(K.calloutHalt(m.k, c, 0))],
  ] as const) {
    test(`BLK-73: ${name} cancels, from list and wheel, and says whether it had fired`, () => {
      const m = new CalloutMachine();
      const c = m.callout(1);
      const ended = () => m.asCpu(() => end(m, c));
      assert.equal(ended(), false, "never scheduled");
      for (const ticks of [0, 1, 2]) {
        m.schedule(c, 300);
        m.ticks(ticks);
        assert.equal(ended(), false, "pending");
        assert.equal(m.level(c), null);
        assert.equal(m.flags(c) & (K.CALLOUT_PENDING | K.CALLOUT_FIRED), 0);
        assert.equal(m.cpu(0).ncallouts, 0);
      }
      m.ticks(400);
      assert.deepEqual(m.fired, []);
      m.schedule(c, 1);
      m.ticks(1);
      assert.equal(ended(), true, "fired");
      assert.equal(ended(), false, "once");
    });

    test(`BLK-73: ${name} from within the handler returns at once, and undoes what that has scheduled`, () => {
      const m = new CalloutMachine();
      const c = m.callout(1);
      const results: boolean[] = [];
      m.also.set(1, () => {
        results.push(end(m, c));
        K.calloutSchedule(m.k, c, 5);
        results.push(end(m, c));
      });
      m.schedule(c, 1);
      m.ticks(20);
      assert.deepEqual(results, [true, false], "scheduling forgets that it fired");
      assert.deepEqual(m.names(), [1]);
    });
  }

  test("BLK-73: stop may return while the handler runs on another CPU", () => {
    const m = new CalloutMachine(2);
    const c = m.callout(1, K.CALLOUT_MPSAFE, 1);
    let stopped: boolean | null = null;
    m.also.set(1, () => {
      stopped = m.asCpu(() => K.calloutStop(m.k, c), 0);
      assert.equal(m.cpu(1).calloutRunning, c);
    });
    m.schedule(c, 1, 1);
    m.ticks(1);
    assert.equal(stopped, true);
    assert.equal(m.cpu(1).calloutRunning, 0);
  });

  test("BLK-73: halt keeps its interlock when it need not wait", () => {
    const m = new CalloutMachine();
    const c = m.callout(1);
    const lock = m.words(K.MTX_WORDS);
    m.asCpu(() => K.mutexInit(m.k, lock, K.MUTEX_DEFAULT, K.IPL_NONE));
    m.schedule(c, 5);
    m.queued(43, function* () {
      yield* K.mutexEnter(m.k, lock);
      atOnce(K.calloutHalt(m.k, c, lock));
      assert.equal(K.mutexOwner(m.k, lock), K.cur.lwp);
      K.mutexExit(m.k, lock);
    });
    m.run();
    assert.deepEqual(m.fired, []);
  });

  /** A callout of CPU 1, whose handler lets CPU 0 run an LWP that halts it. */
  class Halting extends CalloutMachine {
    readonly c: number;
    readonly lock: number;
    readonly results: boolean[] = [];
    readonly l: K.Lwp;

    constructor() {
      super(2);
      this.c = this.callout(1, K.CALLOUT_MPSAFE, 1);
      this.lock = this.words(K.MTX_WORDS);
      this.asCpu(() => K.mutexInit(this.k, this.lock, K.MUTEX_DEFAULT, K.IPL_NONE));
      this.l = this.queued(43, () => this.body());
    }

    private *body(): Generator<K.Token, void> {
      yield* K.mutexEnter(this.k, this.lock);
      this.results.push(yield* K.calloutHalt(this.k, this.c, this.lock));
      assert.equal(K.mutexOwner(this.k, this.lock), K.cur.lwp, "the interlock is held again");
      K.mutexExit(this.k, this.lock);
      yield* S.lwpPark();
    }

    /** CPU 0 runs what it has, as if beside this CPU. */
    meanwhile(): void {
      assert.equal(K.dispatch(this.cpu(0), 10), K.STOP_IDLE);
    }

    fire(): void {
      this.schedule(this.c, 1, 1);
      this.ticks(1);
    }
  }

  test("BLK-73: halt waits for a handler in progress elsewhere: uninterruptible, boosted, without the interlock", () => {
    const m = new Halting();
    m.also.set(1, () => {
      m.meanwhile();
      assert.equal(stateOf(m.l), "SLEEP");
      // A condition variable of the CPU here, a queue of the sleep object in the original.
      assert.deepEqual([m.l.wmesg, m.l.kpriority, m.l.flag & K.LW_SINTR], ["callout", 1, 0]);
      assert.equal(K.mutexOwner(m.k, m.lock), null);
      assert.equal(K.calloutPending(m.k, m.l.timeoutCh), false);
      assert.deepEqual(m.results, []);
    });
    m.fire();
    assert.equal(stateOf(m.l), "RUN", "woken when the handler returned");
    m.run();
    assert.deepEqual(m.results, [true]);
    assert.equal(m.flags(m.c) & (K.CALLOUT_PENDING | K.CALLOUT_FIRED), 0);
    assert.deepEqual(m.names(), [1]);
  });

  test("BLK-73: what the handler schedules while halt waits is left pending, what it had scheduled before is not", () => {
    for (const when of ["before", "while"]) {
      const m = new Halting();
      m.also.set(1, () => {
        if (when === "before") K.calloutSchedule(m.k, m.c, 50);
        m.meanwhile();
        if (when === "while") K.calloutSchedule(m.k, m.c, 50);
      });
      m.fire();
      m.until(() => m.results.length > 0);
      assert.equal(K.calloutPending(m.k, m.c), when === "while");
      assert.deepEqual(m.results, [when === "while"], "scheduling forgets that it fired");
    }
  });

  test("BLK-73: after each handler of the CPU the waiters are woken and look again", () => {
    const m = new Halting();
    let runs = 0;
    m.also.set(1, () => {
      m.meanwhile();
      assert.deepEqual([stateOf(m.l), m.l.wmesg], ["SLEEP", "callout"]);
      // Once more, in the same pass: it is woken in between, and finds the handler running.
      if (runs++ === 0) K.calloutSchedule(m.k, m.c, 0);
    });
    m.fire();
    assert.equal(runs, 2);
    m.run();
    assert.deepEqual(m.results, [true]);
    assert.ok(m.l.ncsw >= 2);
  });

  test("BLK-73: two who halt the same callout both wait", () => {
    const m = new Halting();
    const second: boolean[] = [];
    const l = m.queued(43, function* () {
      second.push(yield* K.calloutHalt(m.k, m.c, 0));
      yield* S.lwpPark();
    });
    m.also.set(1, () => {
      m.meanwhile();
      assert.deepEqual([stateOf(m.l), stateOf(l)], ["SLEEP", "SLEEP"]);
    });
    m.fire();
    m.run();
    assert.deepEqual([m.results, second], [[true], [false]]);
  });

  test("BLK-73: destroy: neither pending, nor with its handler running elsewhere; from the handler itself it may be", () => {
    let m = new CalloutMachine(2);
    let c = m.callout(1, K.CALLOUT_MPSAFE, 1);
    m.also.set(1, () => K.calloutDestroy(m.k, c));
    m.schedule(c, 1, 1);
    m.ticks(1);
    assert.deepEqual(m.names(), [1]);
    assertPanics(() => m.schedule(c, 1), /no handler/);

    m = new CalloutMachine(2);
    c = m.callout(1);
    m.schedule(c, 1);
    assertPanics(() => m.asCpu(() => K.calloutDestroy(m.k, c)), /calloutDestroy: pending/);

    m = new CalloutMachine(2);
    c = m.callout(1, K.CALLOUT_MPSAFE, 1);
    m.also.set(1, () => m.asCpu(() => K.calloutDestroy(m.k, c), 0));
    m.schedule(c, 1, 1);
    assertPanics(() => m.ticks(1), /calloutDestroy: its handler runs/);
  });

  test("BLK-74: pending, expired, active and invoking say which flags are set; ack takes invoking back", () => {
    const m = new CalloutMachine();
    const c = m.callout(1);
    const says = () =>
      [K.calloutPending, K.calloutExpired, K.calloutActive, K.calloutInvoking]
        .map((f) => (f(m.k, c) ? 1 : 0))
        .join("");
    assert.equal(says(), "0000");
    m.schedule(c, 1);
    assert.equal(says(), "1010");
    let inHandler = "";
    m.also.set(1, () => {
      inHandler = says();
      K.calloutAck(m.k, c);
      inHandler += ` ${says()}`;
    });
    m.ticks(1);
    assert.equal(inHandler, "0111 0110");
    assert.equal(says(), "0110");
    m.schedule(c, 5);
    assert.equal(says(), "1010");
    m.asCpu(() => K.calloutStop(m.k, c));
    assert.equal(says(), "0000");
    m.also.delete(1);
    m.schedule(c, 1);
    m.ticks(1);
    assert.equal(says(), "0111");
    m.asCpu(() => K.calloutStop(m.k, c));
    assert.equal(says(), "0001");
    m.asCpu(() => K.calloutAck(m.k, c));
    assert.equal(says(), "0000");
  });
});
