/** Kernel mutexes: BLK-40..45. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

const limits = { procs: 40 };

function make(m: TestMachine, type = K.MUTEX_DEFAULT, ipl = K.IPL_NONE): number {
  const mutex = m.words(K.MTX_WORDS);
  m.asCpu(() => K.mutexInit(m.k, mutex, type, ipl));
  return mutex;
}

/** Runs a body as a thread of its own, to its end or its sleep. */
function thread(m: TestMachine, body: () => K.Body, priority = 43): K.Lwp {
  const l = m.queued(priority, body);
  m.run();
  return l;
}

/** Takes a mutex that is known to be free, outside any sleep. */
function take(k: K.Kernel, mutex: number): void {
  assert.equal(K.mutexEnter(k, mutex).next().done, true);
}

const IPLS = [
  "NONE",
  "PREEMPT",
  "SOFTCLOCK",
  "SOFTBIO",
  "SOFTNET",
  "SOFTSERIAL",
  "VM",
  "SCHED",
  "HIGH",
] as const;
const IPL_VALUES = [
  K.IPL_NONE,
  K.IPL_PREEMPT,
  K.IPL_SOFTCLOCK,
  K.IPL_SOFTBIO,
  K.IPL_SOFTNET,
  K.IPL_SOFTSERIAL,
  K.IPL_VM,
  K.IPL_SCHED,
  K.IPL_HIGH,
];

suite("kinds", () => {
  test("BLK-40: the types, and the interrupt levels ascending", () => {
    const types = [K.MUTEX_SPIN, K.MUTEX_ADAPTIVE, K.MUTEX_DEFAULT, K.MUTEX_DRIVER, K.MUTEX_NODEBUG];
    assert.deepEqual(types, [0, 1, 2, 3, 4]);
    assert.deepEqual(
      IPL_VALUES,
      [...IPL_VALUES].sort((a, b) => a - b),
    );
    assert.equal(new Set(IPL_VALUES).size, IPLS.length);
  });

  for (const [name, type] of [
    ["DEFAULT", K.MUTEX_DEFAULT],
    ["DRIVER", K.MUTEX_DRIVER],
    ["SPIN", K.MUTEX_SPIN],
    ["NODEBUG", K.MUTEX_NODEBUG],
  ] as const) {
    for (const [i, ipl] of IPLS.entries()) {
      const adaptive =
        (name === "DEFAULT" || name === "DRIVER") && (ipl === "NONE" || ipl.startsWith("SOFT"));
      test(`BLK-40: ${name} at IPL_${ipl} is ${adaptive ? "adaptive" : "a spin mutex"}`, () => {
        const m = new TestMachine({ limits });
        const mutex = make(m, type, IPL_VALUES[i]);
        thread(m, function* () {
          take(m.k, mutex);
          // Only an adaptive mutex knows the LWP.
          assert.equal(K.mutexOwner(m.k, mutex), adaptive ? K.cur.lwp : null);
          K.mutexExit(m.k, mutex);
        });
      });
    }
  }

  test("BLK-40: ADAPTIVE requires IPL_NONE", () => {
    const m = new TestMachine({ limits });
    const mutex = make(m, K.MUTEX_ADAPTIVE);
    thread(m, function* () {
      take(m.k, mutex);
      assert.equal(K.mutexOwner(m.k, mutex), K.cur.lwp);
      K.mutexExit(m.k, mutex);
    });
    for (const ipl of IPL_VALUES.slice(1)) {
      assertPanics(() => make(new TestMachine(), K.MUTEX_ADAPTIVE, ipl), /ADAPTIVE needs IPL_NONE/);
    }
  });
});

suite("spin mutexes", () => {
  test("BLK-41: taken and released in any order", () => {
    const m = new TestMachine({ limits });
    const [a, b] = [make(m, K.MUTEX_SPIN), make(m, K.MUTEX_DEFAULT, K.IPL_SCHED)];
    thread(m, function* () {
      take(m.k, a);
      take(m.k, b);
      K.mutexExit(m.k, a);
      assert.deepEqual([K.mutexOwned(m.k, a), K.mutexOwned(m.k, b)], [false, true]);
      K.mutexExit(m.k, b);
      assert.deepEqual([K.mutexOwned(m.k, a), K.mutexOwned(m.k, b)], [false, false]);
    });
  });

  test("BLK-41: taking one that the CPU holds panics, on any number of CPUs", () => {
    for (const cpus of [1, 2]) {
      const m = new TestMachine({ cpus, limits });
      const mutex = make(m, K.MUTEX_SPIN);
      m.asCpu(() => take(m.k, mutex));
      assertPanics(() => m.asCpu(() => take(m.k, mutex)), /locking against myself: spin mutex/);
    }
  });

  test("BLK-41: releasing one that is not held, or held by another CPU, panics", () => {
    let m = new TestMachine({ limits });
    let mutex = make(m, K.MUTEX_SPIN);
    assertPanics(() => m.asCpu(() => K.mutexExit(m.k, mutex)), /exiting unheld spin mutex/);
    m = new TestMachine({ cpus: 2, limits });
    mutex = make(m, K.MUTEX_SPIN);
    m.asCpu(() => take(m.k, mutex), 0);
    assertPanics(() => m.asCpu(() => K.mutexExit(m.k, mutex), 1), /exiting unheld spin mutex/);
  });

  test("BLK-41: another CPU spins, which on simulated CPUs nobody could end", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const mutex = make(m, K.MUTEX_SPIN);
    m.asCpu(() => take(m.k, mutex), 0);
    assert.throws(() => m.asCpu(() => take(m.k, mutex), 1), /spin: a simulated CPU waits/);
  });

  test("BLK-41: a holder that sleeps all the same is found out by the next who wants it", () => {
    const m = new TestMachine({ limits });
    const mutex = make(m, K.MUTEX_SPIN);
    const holder = thread(m, function* () {
      take(m.k, mutex);
      yield* S.lwpPark();
    });
    assert.equal(stateOf(holder), "SLEEP");
    assertPanics(() => m.asCpu(() => take(m.k, mutex)), /locking against myself/);
  });
});

suite("adaptive mutexes", () => {
  test("BLK-42: a free one is taken; one that the caller holds panics", () => {
    const m = new TestMachine({ limits });
    const mutex = make(m);
    thread(m, function* () {
      take(m.k, mutex);
      assert.equal(K.mutexOwner(m.k, mutex), K.cur.lwp);
      assert.equal(m.k.w[mutex + K.MTX_OWNER], K.cur.lwp.index << 1, "owner, and no waiters bit");
      K.mutexExit(m.k, mutex);
      assert.equal(m.k.w[mutex + K.MTX_OWNER], 0);
    });
    m.queued(43, function* () {
      take(m.k, mutex);
      take(m.k, mutex);
    });
    assertPanics(() => m.run(), /locking against myself: mutex/);
  });

  test("BLK-42: with its owner off the CPU the caller sets the waiters bit and sleeps as a writer, then retries", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    const mutex = make(m);
    const log: string[] = [];
    const holder = thread(m, function* () {
      take(k, mutex);
      yield* S.lwpPark();
      K.mutexExit(k, mutex);
      log.push("released");
      // Barging: free again, though somebody was woken for it.
      take(k, mutex);
      yield* S.lwpPark();
      K.mutexExit(k, mutex);
      log.push("released again");
    });
    const waiter = thread(m, function* () {
      yield* K.mutexEnter(k, mutex);
      log.push("taken");
      assert.equal(K.mutexOwner(k, mutex), K.cur.lwp);
      K.mutexExit(k, mutex);
    });
    assert.equal(stateOf(waiter), "SLEEP");
    assert.equal(k.w[mutex + K.MTX_OWNER], (holder.index << 1) | K.MTX_WAITERS);
    assert.equal(waiter.sleepq, waiter.ts?.writers);
    m.asCpu(() => K.unpark(holder.proc, holder.lid, 0));
    m.run();
    assert.equal(stateOf(waiter), "SLEEP", "it lost the race, and waits again");
    assert.deepEqual(log, ["released"]);
    m.asCpu(() => K.unpark(holder.proc, holder.lid, 0));
    m.run();
    assert.deepEqual(log, ["released", "released again", "taken"]);
    assert.equal(k.w[mutex + K.MTX_OWNER], 0);
  });

  test("BLK-42: with its owner on another CPU the caller spins first, here for a bounded time, then sleeps", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const { k } = m;
    const mutex = make(m);
    const holder = m.queued(43, function* () {
      take(k, mutex);
      for (;;) yield* S.lwpSelf();
    });
    m.until(() => m.cpu(0).curlwp === holder && K.mutexOwner(k, mutex) === holder);
    assert.equal(m.cpu(0).curlwp, holder);
    // The owner is looked at again and again: at last it is seen off its CPU, or given up.
    let looks = 0;
    const pflag = Object.getOwnPropertyDescriptor(
      Object.getPrototypeOf(holder),
      "pflag",
    ) as PropertyDescriptor;
    Object.defineProperty(holder, "pflag", {
      configurable: true,
      get() {
        looks++;
        return pflag.get?.call(this);
      },
      set(value) {
        pflag.set?.call(this, value);
      },
    });
    const waiter = m.queued(43, function* () {
      yield* K.mutexEnter(k, mutex);
    });
    K.dispatch(m.cpu(1), 1);
    assert.equal(stateOf(waiter), "SLEEP");
    assert.ok(looks > 100, `it looked ${looks} times`);
    assert.equal(k.w[mutex + K.MTX_OWNER], (holder.index << 1) | K.MTX_WAITERS);
  });

  test("BLK-42: only a mutex can be entered", () => {
    const m = new TestMachine({ limits });
    assertPanics(() => m.asCpu(() => take(m.k, m.words(4))), /no mutex/);
  });

  /** A held mutex with three waiters: what one release wakes. */
  function contended(m: TestMachine): { mutex: number; holder: K.Lwp; waiters: K.Lwp[]; log: number[] } {
    const mutex = make(m);
    const log: number[] = [];
    const holder = thread(m, function* () {
      take(m.k, mutex);
      yield* S.lwpPark();
      K.mutexExit(m.k, mutex);
      yield* S.lwpPark();
    });
    const waiters = [30, 50, 40].map((priority) =>
      thread(
        m,
        function* () {
          yield* K.mutexEnter(m.k, mutex);
          log.push(K.cur.lwp.priority);
          K.mutexExit(m.k, mutex);
        },
        priority,
      ),
    );
    return { mutex, holder, waiters, log };
  }

  test("BLK-43: a release with waiters wakes all of them, as the original does, if the machine is set to that", () => {
    const m = new TestMachine({ limits });
    m.k.g.mutexWakeAll = 1;
    const { mutex, waiters, log } = contended(m);
    m.asCpu(() => {
      const holder = K.mutexOwner(m.k, mutex) as K.Lwp;
      K.cur.lwp = holder;
      K.mutexExit(m.k, mutex);
    });
    assert.deepEqual(waiters.map(stateOf), ["RUN", "RUN", "RUN"]);
    assert.equal(m.k.w[mutex + K.MTX_OWNER], 0, "no hand-off");
    m.run();
    assert.deepEqual(log, [50, 40, 30]);
  });

  test("BLK-43: otherwise, and differing from the original, it wakes the first, and the bit stays for the others", () => {
    const m = new TestMachine({ limits });
    const { mutex, waiters, log } = contended(m);
    m.asCpu(() => {
      const holder = K.mutexOwner(m.k, mutex) as K.Lwp;
      K.cur.lwp = holder;
      K.mutexExit(m.k, mutex);
    });
    assert.deepEqual(waiters.map(stateOf), ["SLEEP", "RUN", "SLEEP"]);
    assert.equal(m.k.w[mutex + K.MTX_OWNER], K.MTX_WAITERS, "free, with waiters");
    // Barging is allowed: somebody else takes it first, and keeps the bit.
    const barger = m.queued(200, function* () {
      take(m.k, mutex);
      log.push(200);
      assert.equal(m.k.w[mutex + K.MTX_OWNER], (K.cur.lwp.index << 1) | K.MTX_WAITERS);
      K.mutexExit(m.k, mutex);
    });
    assert.equal(stateOf(barger), "RUN");
    m.run();
    assert.deepEqual(log, [200, 50, 40, 30]);
    assert.equal(m.k.w[mutex + K.MTX_OWNER], 0);
  });

  test("BLK-43: only the owner may release it", () => {
    const m = new TestMachine({ limits });
    const mutex = make(m);
    thread(m, function* () {
      take(m.k, mutex);
      yield* S.lwpPark();
    });
    m.queued(43, function* () {
      K.mutexExit(m.k, mutex);
    });
    assertPanics(() => m.run(), /not held by the caller/);
    const free = new TestMachine({ limits });
    const unheld = make(free);
    free.queued(43, function* () {
      K.mutexExit(free.k, unheld);
    });
    assertPanics(() => free.run(), /not held by the caller/);
  });
});

suite("asking", () => {
  for (const [name, type] of [
    ["adaptive", K.MUTEX_ADAPTIVE],
    ["spin", K.MUTEX_SPIN],
  ] as const) {
    test(`BLK-44: tryenter of ${name === "spin" ? "a spin" : "an adaptive"} mutex: one attempt, false if it is held, by the caller too`, () => {
      const m = new TestMachine({ cpus: 2, limits });
      const mutex = make(m, type);
      thread(m, function* () {
        const l = K.cur.lwp;
        assert.equal(K.mutexTryenter(m.k, mutex), true);
        assert.equal(K.mutexTryenter(m.k, mutex), false, "no panic");
        const other = m.cpu(K.cur.cpu === m.cpu(0) ? 1 : 0);
        K.asCpu(other, () => assert.equal(K.mutexTryenter(m.k, mutex), false));
        assert.equal(stateOf(l), "ONPROC", "it never blocks");
        K.mutexExit(m.k, mutex);
        assert.equal(K.mutexTryenter(m.k, mutex), true);
        K.mutexExit(m.k, mutex);
      });
    });
  }

  test("BLK-44: owned: an adaptive one by the caller, a spin one by anyone, none at all never; owner: adaptive only", () => {
    const m = new TestMachine({ cpus: 2, limits });
    const [adaptive, spin] = [make(m), make(m, K.MUTEX_SPIN)];
    assert.equal(K.mutexOwned(m.k, 0), false);
    thread(m, function* () {
      const l = K.cur.lwp;
      const owned = () => [K.mutexOwned(m.k, adaptive), K.mutexOwned(m.k, spin)];
      const other = m.cpu(K.cur.cpu === m.cpu(0) ? 1 : 0);
      assert.deepEqual(owned(), [false, false]);
      take(m.k, adaptive);
      take(m.k, spin);
      assert.deepEqual(owned(), [true, true]);
      assert.deepEqual(K.asCpu(other, owned), [false, true], "asked by somebody else");
      assert.deepEqual([K.mutexOwner(m.k, adaptive), K.mutexOwner(m.k, spin)], [l, null]);
      K.mutexExit(m.k, adaptive);
      K.mutexExit(m.k, spin);
      assert.deepEqual(owned(), [false, false]);
      assert.equal(K.mutexOwner(m.k, adaptive), null);
    });
  });
});

suite("destroying", () => {
  test("BLK-45: a free one without waiters can be destroyed, and is none afterwards", () => {
    for (const type of [K.MUTEX_ADAPTIVE, K.MUTEX_SPIN]) {
      const m = new TestMachine({ limits });
      const mutex = make(m, type);
      m.asCpu(() => K.mutexDestroy(m.k, mutex));
      assertPanics(() => m.asCpu(() => K.mutexDestroy(m.k, mutex)), /mutexDestroy/);
    }
  });

  for (const what of ["held", "held spin", "free with waiters"]) {
    test(`BLK-45: one that is ${what} cannot`, () => {
      const m = new TestMachine({ limits });
      const mutex = make(m, what === "held spin" ? K.MUTEX_SPIN : K.MUTEX_DEFAULT);
      thread(m, function* () {
        take(m.k, mutex);
        yield* S.lwpPark();
      });
      if (what === "free with waiters") {
        thread(m, function* () {
          yield* K.mutexEnter(m.k, mutex);
        });
        m.k.w[mutex + K.MTX_OWNER] = K.MTX_WAITERS;
      }
      assertPanics(() => m.asCpu(() => K.mutexDestroy(m.k, mutex)), /mutexDestroy: in use/);
    });
  }

  test("BLK-45: a shared one lives as long as its last reference", () => {
    const m = new TestMachine({ limits });
    const { k } = m;
    thread(m, function* () {
      const [a, b] = [
        K.mutexObjAlloc(k, K.MUTEX_DEFAULT, K.IPL_NONE),
        K.mutexObjAlloc(k, K.MUTEX_SPIN, K.IPL_SCHED),
      ];
      assert.ok(a !== 0 && b !== 0 && a !== b);
      assert.equal(k.mutexobjs.inUse, 2);
      take(k, a);
      take(k, b);
      assert.deepEqual([K.mutexOwner(k, a), K.mutexOwned(k, b)], [K.cur.lwp, true]);
      K.mutexExit(k, a);
      K.mutexExit(k, b);
      K.mutexObjHold(k, a);
      K.mutexObjHold(k, a);
      assert.deepEqual([K.mutexObjFree(k, a), K.mutexObjFree(k, a)], [false, false]);
      assert.equal(K.mutexTryenter(k, a), true, "still a mutex");
      K.mutexExit(k, a);
      assert.deepEqual([K.mutexObjFree(k, a), K.mutexObjFree(k, b)], [true, true]);
      assert.equal(k.mutexobjs.inUse, 0);
    });
  });

  test("BLK-45: the table of shared ones has a limit: 0 when it is full", () => {
    const m = new TestMachine({ limits: { procs: 3 } });
    m.asCpu(() => {
      const alloc = () => K.mutexObjAlloc(m.k, K.MUTEX_DEFAULT, K.IPL_NONE);
      const all = [alloc(), alloc(), alloc()];
      assert.equal(new Set(all).size, 3);
      assert.equal(alloc(), 0);
      K.mutexObjFree(m.k, all[1]);
      assert.equal(alloc(), all[1]);
    });
  });

  for (const [what, misuse, message] of [
    [
      "freed while it is held",
      (k: K.Kernel, mutex: number) => {
        take(k, mutex);
        K.mutexObjFree(k, mutex);
      },
      /in use/,
    ],
    [
      "freed twice",
      (k: K.Kernel, mutex: number) => {
        K.mutexObjFree(k, mutex);
        K.mutexObjFree(k, mutex);
      },
      /it is free/,
    ],
    [
      "held after its end",
      (k: K.Kernel, mutex: number) => {
        K.mutexObjFree(k, mutex);
        K.mutexObjHold(k, mutex);
      },
      /it is free/,
    ],
    ["not of the table", (k: K.Kernel, mutex: number) => K.mutexObjHold(k, mutex + 1), /no such mutex/],
  ] as const) {
    test(`BLK-45: a shared one ${what} is a kernel assertion`, () => {
      const m = new TestMachine({ limits });
      m.queued(43, function* () {
        misuse(m.k, K.mutexObjAlloc(m.k, K.MUTEX_DEFAULT, K.IPL_NONE));
      });
      assertPanics(() => m.run(), message);
    });
  }
});
