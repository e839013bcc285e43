/** Waiting for an LWP to exit: who is found, who is collected, when a wait can never end. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, counters, parked, stateOf, TestMachine } from "../support/sim.js";
import { atDelayPoint } from "../support/spy.js";

/** Wakes the parked LWP `lid` from outside. */
function unpark(m: TestMachine, p: K.Proc, lid: number): void {
  m.asCpu(() => assert.equal(K.unpark(p, lid, 0), 0));
}

/** Interrupts the sleep of an LWP, as `lwpWakeup` does. */
function interrupt(m: TestMachine, l: K.Lwp): void {
  m.asCpu(() => {
    K.lwpLock(l);
    l.flag |= K.LW_CANCELLED;
    K.lwpUnsleep(l, true);
  });
}

/** Interrupts it, and lets it run. */
function wakeup(m: TestMachine, l: K.Lwp): void {
  interrupt(m, l);
  m.run();
}

/** What a thread does that has been interrupted: the flag that did it ends one more sleep. */
function* rest() {
  yield* attempt(S.lwpPark());
  yield* S.lwpPark();
}

/** That an LWP sleeps in a wait. */
function assertWaits(l: K.Lwp): void {
  assert.deepEqual([stateOf(l), l.wmesg], ["SLEEP", "lwpwait"]);
}

function lids(p: K.Proc): number[] {
  return K.procLwps(p).map((l) => l.lid);
}

/** The kernel's wait itself, as its callers use it. */
function* wait1(lid: number, flags: number, departed: K.Departed | null = null) {
  const { k, proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  const error = yield* K.lwpWait1(lid, departed, flags);
  assert.ok(K.spinOwned(k, proc.lock), "the process is locked on return");
  K.spinExit(k, proc.lock);
  return error;
}

describe("entry", () => {
  test("LWP-61: a waiter is counted and says for whom it waits", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked);
      assert.equal(yield* S.lwpWait(a), a);
      assert.deepEqual([p.nlwpwait, K.cur.lwp.waitingfor], [0, 0]);
      yield* S.lwpCreate(parked);
      assert.equal(yield* S.lwpWait(0), 3);
    });
    const main = m.lwp(p, 1);
    assert.deepEqual([p.nlwpwait, main.waitingfor], [0, 0]);
    m.run();
    assert.deepEqual([p.nlwpwait, main.waitingfor], [1, 2]);
    unpark(m, p, 2);
    m.run();
    assert.deepEqual([p.nlwpwait, main.waitingfor], [1, 0], "0 = any");
    unpark(m, p, 3);
    m.run();
    assert.equal(m.sim.collected.length, 1);
  });

  test("LWP-61: p.lock must be held", () => {
    const m = new TestMachine();
    assertPanics(() => m.asCpu(() => K.lwpWait1(0, null, 0).next()), /process is not locked/);
  });
});

describe("the process dumps core", () => {
  /** Main of this process waits for LWP 2 while PS_WCORE is set; `flags` are what the dumper has set on main. */
  function dumping(flags: number) {
    const m = new TestMachine();
    let returned = false;
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked);
      // By hand what a signal that dumps core does to the process and its LWPs.
      p.sflag |= K.PS_WCORE;
      K.lwpLock(main);
      main.flag |= flags;
      K.lwpUnlock(main);
      yield* attempt(S.lwpWait(a));
      returned = true;
    });
    const main = m.lwp(p, 1);
    return { m, p, main, returned: () => returned };
  }

  test("LWP-62: a waiter suspends itself, exits after the dump, and is never uncounted", () => {
    const { m, p, main, returned } = dumping(K.LW_WCORE | K.LW_WSUSPEND);
    m.run();
    assert.equal(stateOf(main), "SUSPENDED");
    assert.deepEqual([p.nlwpwait, main.waitingfor], [1, 2]);
    assert.equal(m.k.w[p.lock], 0, "nobody holds the process");
    m.locked(p, () => {
      K.lwpLock(main);
      main.flag = (main.flag & ~K.LW_WCORE) | K.LW_WEXIT;
      K.setrunnable(main);
    });
    m.run();
    assert.equal(returned(), false);
    assert.equal(stateOf(main), "ZOMB");
    assert.deepEqual([p.nlwpwait, main.waitingfor], [1, 2]);
  });

  test("LWP-62, LWP-119: a waiter that comes back from there is a kernel assertion", () => {
    const { m } = dumping(0);
    assertPanics(() => m.run(), /came back from the user-return loop/);
  });
});

describe("one look at the process", () => {
  test("LWP-63: detached zombies are freed first, and nobody is told", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
      yield* S.lwpPark();
      assert.equal(p.zomblwp?.lid, 2);
      results.push(yield* attempt(S.lwpWait(2)), p.zomblwp, lids(p));
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
      yield* S.lwpPark();
      assert.equal(p.zomblwp?.lid, 4);
      results.push(yield* attempt(S.lwpWait(0)), p.zomblwp, lids(p));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(results, ["ESRCH", null, [1], 3, null, [1]]);
  });

  test("LWP-63: one that turns up while p_lock is dropped to free another is freed as well", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
      yield* S.lwpPark();
      got = yield* attempt(S.lwpWait(0));
      yield* S.lwpPark();
    });
    m.run();
    const [z, joinable] = K.procLwps(p);
    assert.deepEqual([p.zomblwp, stateOf(joinable)], [z, "ZOMB"]);
    const freed: number[] = [];
    atDelayPoint(m, "free.unlinked", () => {
      freed.push(p.nlwps);
      if (freed.length > 1) return;
      // Another LWP exits detached just now: 2, which was dead and joinable, stands in for it.
      m.locked(p, () => {
        joinable.prflag |= K.LPR_DETACHED;
        p.ndlwps++;
        p.nzjoin--;
        p.zomblwp = joinable;
      });
    });
    unpark(m, p, 1);
    m.run();
    assert.deepEqual([got, freed, lids(p), p.zomblwp], ["ESRCH", [2, 1], [1], null]);
  });

  test("LWP-64: waiting for oneself is a deadlock, before oneself is skipped", () => {
    const m = new TestMachine();
    let got: unknown;
    m.runToEnd(function* () {
      got = yield* attempt(S.lwpWait(1));
    });
    assert.equal(got, "EDEADLK");
  });

  test("LWP-64: so is waiting for one that waits for the caller, though it be detached", () => {
    for (const flags of [0, S.LWP_DETACHED]) {
      const m = new TestMachine();
      let got: unknown;
      const p = m.spawn(function* () {
        const a = yield* S.lwpCreate(function* () {
          yield* S.lwpWait(1);
        }, flags);
        // A third one, so that counting finds no deadlock.
        yield* S.lwpCreate(parked);
        yield* S.lwpPark();
        got = yield* attempt(S.lwpWait(a));
        yield* S.lwpPark();
      });
      m.run();
      assertWaits(m.lwp(p, 2));
      unpark(m, p, 1);
      m.run();
      assert.equal(got, "EDEADLK");
      assertWaits(m.lwp(p, 2));
    }
  });

  test("LWP-64: longer cycles are not detected", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* S.lwpWait(3);
      });
      yield* S.lwpCreate(function* () {
        yield* S.lwpWait(1);
      });
      yield* S.lwpCreate(parked);
      yield* S.lwpWait(2);
    });
    m.run();
    for (const lid of [1, 2, 3]) assertWaits(m.lwp(p, lid));
    assert.equal(counters(p), "nl4 nz0 nr4 nd0 nw3");
  });

  test("LWP-64: detached LWPs are passed over, by a specific wait too", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    m.spawn(function* () {
      const d = yield* S.lwpCreate(parked, S.LWP_DETACHED);
      results.push(yield* attempt(S.lwpWait(d)), yield* attempt(S.lwpWait(0)));
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(results, ["ESRCH", "ESRCH"]);
  });

  test("LWP-64: the first specific waiter leaves its mark, later ones do not change it", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      for (let i = 0; i < 2; i++) {
        yield* S.lwpCreate(function* () {
          yield* S.lwpWait(2);
        });
        yield* S.schedYield();
      }
      yield* S.lwpPark();
    });
    m.run();
    assertWaits(m.lwp(p, 3));
    assertWaits(m.lwp(p, 4));
    assert.equal(m.lwp(p, 2).waiter, 3);
  });

  test("LWP-64: a wait for any passes over one that is reserved, but knows that it exists", () => {
    // Unchecked: it is reserved by hand, for nobody.
    const m = new TestMachine({ checked: false });
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      m.lwp(p, 2).waiter = 99;
      results.push(yield* attempt(S.lwpWait(0)));
      yield* S.lwpPark();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    // Not collected, and not ESRCH: it sleeps, as a zombie counts as one that may yet wake it.
    assert.deepEqual(results, []);
    assertWaits(m.lwp(p, 1));
    assert.equal(stateOf(m.lwp(p, 2)), "ZOMB");
  });

  test("LWP-64: an LWP that has not been started takes part", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      const start = { kind: K.CTX_CLOSURE, closure: function* () {} };
      const unborn = K.lwpCreate(l, l.proc, 0, start, l.class) as K.Lwp;
      yield* S.lwpCreate(function* () {
        results.push(yield* attempt(S.lwpWait(unborn.lid)));
      });
      yield* S.lwpPark();
      K.lwpStart(l, unborn, 0);
      yield* S.lwpPark();
    });
    m.run();
    assert.equal(stateOf(m.lwp(p, 2)), "IDL");
    assertWaits(m.lwp(p, 3));
    assert.equal(m.lwp(p, 2).waiter, 3);
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(results, [2]);
  });

  test("LWP-64: zombies are collected newest first", () => {
    const m = new TestMachine();
    const order: number[] = [];
    const p = m.spawn(function* () {
      for (let i = 0; i < 3; i++) yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      for (let i = 0; i < 3; i++) order.push(yield* S.lwpWait(0));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(order, [4, 3, 2]);
  });

  test("LWP-64: collecting clears the marks, returns the lid, hands on estcpu and frees the record", () => {
    const m = new TestMachine();
    const before = m.k.lwps.inUse;
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      const l = K.cur.lwp;
      const z = m.lwp(p, 2);
      z.estcpu = 30;
      l.estcpu = 12;
      const departed = { lid: 0 };
      results.push(yield* wait1(2, 0, departed), departed.lid);
      results.push(l.estcpu, l.waitingfor, z.waiter, p.nlwpwait, m.k.lwps.inUse - before);
      results.push(yield* wait1(2, 0));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(results, [0, 2, 42, 0, 0, 0, 1, K.ESRCH]);
  });

  test("LWP-64: estcpu of detached LWPs, and of zombies freed by a detach, is handed to nobody", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      for (const lid of [2, 3]) m.lwp(p, lid).estcpu = 30;
      yield* attempt(S.lwpWait(2));
      yield* S.lwpDetach(3);
      assert.deepEqual(lids(p), [1]);
      assert.equal(K.cur.lwp.estcpu, 0);
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.equal(m.sim.collected.length, 1);
  });
});

describe("nobody to wait for", () => {
  test("LWP-65: no such LWP, only detached siblings, or none at all: ESRCH", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    m.spawn(function* () {
      results.push(yield* attempt(S.lwpWait(0)));
      yield* S.lwpCreate(parked, S.LWP_DETACHED);
      results.push(yield* attempt(S.lwpWait(0)));
      yield* S.lwpCreate(parked);
      results.push(yield* attempt(S.lwpWait(77)));
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(results, ["ESRCH", "ESRCH", "ESRCH"]);
  });

  test("LWP-65: an exit-control wait that has just freed the last other LWP says ESRCH as well", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
      yield* S.lwpPark();
      results.push(counters(p), yield* wait1(0, K.LWPWAIT_EXITCONTROL), counters(p));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(results, ["nl2 nz1 nr1 nd1 nw0", K.ESRCH, "nl1 nz0 nr1 nd0 nw0"]);
  });
});

describe("exit control", () => {
  test("LWP-66: it waits for detached LWPs too, uninterruptibly, and never calls it a deadlock", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked, S.LWP_DETACHED);
      results.push(yield* wait1(0, K.LWPWAIT_EXITCONTROL));
      yield* S.lwpPark();
    });
    m.run();
    const main = m.lwp(p, 1);
    assertWaits(main);
    assert.equal(main.flag & K.LW_SINTR, 0);
    // 2 - 1 <= 1: any other wait would say EDEADLK.
    assert.equal(counters(p), "nl2 nz0 nr2 nd1 nw1");
    unpark(m, p, 2);
    m.run();
    assert.deepEqual(results, [K.ESRCH]);
  });

  test("LWP-66: it collects joinable zombies one by one, and sleeps while others are alive", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(parked);
      yield* S.lwpPark();
      for (let i = 0; i < 4; i++) {
        const departed = { lid: 0 };
        results.push([yield* wait1(0, K.LWPWAIT_EXITCONTROL, departed), departed.lid]);
      }
      yield* S.lwpPark();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(results, [
      [0, 3],
      [0, 2],
    ]);
    assertWaits(m.lwp(p, 1));
    unpark(m, p, 4);
    m.run();
    assert.deepEqual(results.slice(2), [
      [0, 4],
      [K.ESRCH, 0],
    ]);
  });

  test("LWP-66: somebody must be left to wait for", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      // By hand: one is on the list, a zombie is said to be, and the count says otherwise.
      p.nlwps = 1;
      p.nzjoin = 1;
      yield* wait1(0, K.LWPWAIT_EXITCONTROL);
    });
    assertPanics(() => m.run(), /nobody left to wait for/);
  });
});

describe("deadlock", () => {
  test("LWP-67: while the process exits every wait is refused", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked);
      p.sflag |= K.PS_WEXIT;
      results.push(yield* attempt(S.lwpWait(a)), yield* attempt(S.lwpWait(0)));
      p.sflag &= ~K.PS_WEXIT;
      results.push(yield* attempt(S.lwpWait(a)));
    });
    m.run();
    assert.deepEqual(results, ["EDEADLK", "EDEADLK"]);
    assertWaits(m.lwp(p, 1));
  });

  test("LWP-67: a zombie is found before the counts are looked at", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      p.sflag |= K.PS_WEXIT;
      got = yield* attempt(S.lwpWait(2));
      p.sflag &= ~K.PS_WEXIT;
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.equal(got, 2);
  });

  test("LWP-67: everyone who could become a zombie waits: nr + nz - nd <= nw", () => {
    // Siblings beside the waiter: running, suspended, detached; a zombie that is reserved for somebody else.
    const table: [
      running: number,
      suspended: number,
      detached: number,
      zombies: number,
      deadlock: boolean,
    ][] = [];
    for (const running of [0, 1]) {
      for (const suspended of [0, 1, 2]) {
        for (const detached of [0, 1]) {
          for (const zombies of [0, 1]) {
            if (running + suspended + zombies === 0) continue;
            const nr = 1 + running + detached;
            table.push([running, suspended, detached, zombies, nr + zombies - detached <= 1]);
          }
        }
      }
    }
    for (const [running, suspended, detached, zombies, deadlock] of table) {
      // Unchecked: the zombie is reserved by hand, so that it is not collected.
      const m = new TestMachine({ checked: false });
      let got: unknown = "sleeps";
      const p = m.spawn(function* () {
        for (let i = 0; i < zombies; i++) yield* S.lwpCreate(function* () {});
        for (let i = 0; i < running; i++) yield* S.lwpCreate(parked);
        for (let i = 0; i < suspended; i++) yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
        for (let i = 0; i < detached; i++) yield* S.lwpCreate(parked, S.LWP_DETACHED);
        yield* S.lwpPark();
        for (const l of K.procLwps(p)) if (l.stat === K.LSZOMB) l.waiter = 99;
        got = yield* attempt(S.lwpWait(0));
        yield* S.lwpPark();
      });
      m.run();
      unpark(m, p, 1);
      m.run();
      const row = `running ${running}, suspended ${suspended}, detached ${detached}, zombies ${zombies}`;
      assert.equal(got, deadlock ? "EDEADLK" : "sleeps", row);
    }
  });
});

describe("interruption", () => {
  test("LWP-68: the sleep is interruptible: EINTR", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      got = yield* attempt(S.lwpWait(2));
      yield* rest();
    });
    m.run();
    const main = m.lwp(p, 1);
    assert.notEqual(main.flag & K.LW_SINTR, 0);
    wakeup(m, main);
    assert.equal(got, "EINTR");
  });

  for (const restart of [true, false]) {
    test(`LWP-68: a signal gives ${restart ? "ERESTART: the call is executed again" : "EINTR"}`, () => {
      const m = new TestMachine();
      const { k } = m;
      const taken: number[] = [];
      k.slots.sigrestart = () => restart;
      k.slots.issignal = (l) => {
        const sig = K.firstsig(l);
        if (sig !== 0) k.w[l.proc.sigpend] = 0;
        return sig;
      };
      k.slots.postsig = (_l, sig) => taken.push(sig);
      const results: unknown[] = [];
      const p = m.spawn(function* () {
        yield* S.lwpCreate(parked);
        results.push(yield* attempt(S.lwpWait(2)));
        yield* S.lwpPark();
      });
      m.run();
      m.locked(p, () => {
        k.w[p.sigpend] = 1 << 9;
        const main = m.lwp(p, 1);
        K.lwpLock(main);
        main.flag |= K.LW_PENDSIG;
        K.setrunnable(main);
      });
      m.run();
      assert.deepEqual(taken, [10]);
      assert.deepEqual(results, restart ? [] : ["EINTR"]);
      assert.equal(p.nlwpwait, restart ? 1 : 0);
      assert.equal(m.lwp(p, 2).waiter, restart ? 1 : 0);
      if (!restart) return;
      unpark(m, p, 2);
      m.run();
      assert.deepEqual(results, [2]);
    });
  }

  test("LWP-69: a wait that fails clears its marks and wakes the others", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      for (let i = 0; i < 2; i++) {
        yield* S.lwpCreate(function* () {
          yield* attempt(S.lwpWait(2));
          yield* rest();
        });
        yield* S.schedYield();
      }
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual([m.lwp(p, 2).waiter, p.nlwpwait], [3, 2]);
    // The second waiter gives up: the mark is the first one's, and stays, before that one has looked again.
    interrupt(m, m.lwp(p, 4));
    m.until(() => m.lwp(p, 4).waitingfor === 0);
    assert.deepEqual([m.lwp(p, 2).waiter, stateOf(m.lwp(p, 3))], [3, "RUN"]);
    m.run();
    assert.deepEqual([m.lwp(p, 2).waiter, p.nlwpwait, m.lwp(p, 4).waitingfor], [3, 1, 0]);
    wakeup(m, m.lwp(p, 3));
    assert.deepEqual([m.lwp(p, 2).waiter, p.nlwpwait, m.lwp(p, 3).waitingfor], [0, 0, 0]);
  });

  test("LWP-69: a wait for any that fails leaves the marks of others", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {
        yield* S.lwpWait(2);
      });
      yield* S.lwpPark();
      got = yield* attempt(S.lwpWait(0));
      yield* rest();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    wakeup(m, m.lwp(p, 1));
    assert.equal(got, "EINTR");
    assert.equal(m.lwp(p, 2).waiter, 3);
  });
});

describe("who is told", () => {
  interface Scene {
    m: TestMachine;
    k: K.Kernel;
    p: K.Proc;
    /** LWP 2: joinable and parked. */
    b: K.Lwp;
  }

  /** How often an LWP that sleeps on `p_lwpcv` is woken by what `act` does and what follows from it. */
  function broadcasts(act: (scene: Scene) => void, prepare: (scene: Scene) => void = () => {}): number {
    const m = new TestMachine();
    const { k } = m;
    let wakes = 0;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      K.spinEnter(k, p.lock);
      for (;;) {
        yield* K.cvWait(k, p.lwpcv, p.lock);
        wakes++;
      }
    });
    m.run();
    const scene = { m, k, p, b: m.lwp(p, 2) };
    prepare(scene);
    m.run();
    wakes = 0;
    act(scene);
    m.run();
    return wakes;
  }

  /** Runs `body` as the idle thread, with the process and `b` locked; it unlocks `b`. */
  const withB = (scene: Scene, body: () => void) =>
    scene.m.locked(scene.p, () => {
      K.lwpLock(scene.b);
      body();
    });
  const suspend = (scene: Scene) => withB(scene, () => K.lwpSuspend(K.cur.lwp, scene.b));
  const resume = (scene: Scene) => withB(scene, () => K.lwpContinue(scene.b));
  const die = ({ m, p }: Scene) => unpark(m, p, 2);
  /** LWP 2 makes a sibling. */
  const create = ({ m, p, b }: Scene, flags: number, closure: () => K.Body = parked) =>
    m.asCpu(() => {
      const saved = K.cur.lwp;
      K.cur.lwp = b;
      const l = K.lwpCreate(b, p, 0, { kind: K.CTX_CLOSURE, closure }, b.class) as K.Lwp;
      K.lwpStart(b, l, flags);
      K.cur.lwp = saved;
    });
  /** LWP 3, which does `what` when it is unparked. */
  const createDoer = (scene: Scene, what: () => Generator<K.Token, unknown, undefined>) =>
    create(scene, 0, function* () {
      yield* S.lwpPark();
      yield* what();
      yield* S.lwpPark();
    });

  const told: [string, (scene: Scene) => void, ((scene: Scene) => void)?][] = [
    ["an LWP becomes a zombie", die],
    [
      "a dead LWP is freed",
      ({ m, k, p, b }) => {
        m.asCpu(() => {
          K.spinEnter(k, p.lock);
          K.lwpFree(b, false, false);
        });
      },
      die,
    ],
    [
      "an LWP is detached",
      ({ m, p }) => unpark(m, p, 3),
      (scene) => createDoer(scene, () => attempt(S.lwpDetach(2))),
    ],
    [
      "the last reference on a dying LWP is dropped",
      ({ m, b }) => {
        m.asCpu(() => K.lwpDelref(b));
      },
      (scene) => {
        scene.m.locked(scene.p, () => K.lwpAddref(scene.b));
        die(scene);
      },
    ],
    ["an LWP suspends itself at its return to user mode", suspend],
    ["a suspended LWP goes on", resume, suspend],
    [
      "a wait fails",
      ({ m, p }) => unpark(m, p, 3),
      (scene) => createDoer(scene, () => attempt(S.lwpWait(77))),
    ],
  ];
  for (const [what, act, prepare] of told) {
    test(`LWP-70: sleepers on p_lwpcv are woken when ${what}`, () => {
      assert.ok(broadcasts(act, prepare) > 0);
    });
  }

  const untold: [string, (scene: Scene) => void, ((scene: Scene) => void)?][] = [
    ["an LWP is created and started", (scene) => create(scene, 0)],
    ["an LWP is created suspended", (scene) => create(scene, S.LWP_SUSPENDED)],
    [
      "an LWP is created stopped",
      (scene) => {
        scene.p.stat = K.SSTOP;
        create(scene, 0);
        scene.p.stat = K.SACTIVE;
      },
    ],
    [
      "a sleeper is stopped",
      (scene) =>
        withB(scene, () => {
          K.setStat(scene.b, K.LSSTOP);
          scene.p.nrlwps--;
          K.lwpUnlock(scene.b);
        }),
    ],
    [
      "an LWP is continued that has not suspended itself yet",
      (scene) => {
        scene.m.setFlags(scene.b, K.LW_WSUSPEND);
        resume(scene);
      },
    ],
    [
      "a reference is dropped that is not the last",
      ({ m, b }) => m.asCpu(() => K.lwpDelref(b)),
      ({ m, p, b }) => m.locked(p, () => K.lwpAddref(b)),
    ],
  ];
  for (const [what, act, prepare] of untold) {
    test(`LWP-70: they are not woken when ${what}`, () => {
      assert.equal(broadcasts(act, prepare), 0);
    });
  }

  test("LWP-70: an interrupted sleeper passes one wake-up on", () => {
    const n = broadcasts(
      ({ m, p }) => wakeup(m, m.lwp(p, 3)),
      (scene) =>
        create(scene, 0, function* () {
          const { k, p } = scene;
          K.spinEnter(k, p.lock);
          assert.equal(yield* K.cvWaitSig(k, p.lwpcv, p.lock), K.EINTR);
          K.spinExit(k, p.lock);
          yield* rest();
        }),
    );
    assert.equal(n, 1);
  });
});

describe("test vectors", () => {
  test("LWP-131: of two that wait for each other the second gets EDEADLK, the first sleeps on", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        got = yield* attempt(S.lwpWait(1));
        yield* S.lwpPark();
      });
      yield* S.lwpWait(2);
    });
    m.run();
    assert.equal(got, "EDEADLK");
    assertWaits(m.lwp(p, 1));
    assert.equal(counters(p), "nl2 nz0 nr2 nd0 nw1");
  });

  test("LWP-132: of three that wait for any the third gets EDEADLK, the others sleep on", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const waiter = function* () {
      results.push([K.cur.lwp.lid, yield* attempt(S.lwpWait(0))]);
      yield* S.lwpPark();
    };
    const p = m.spawn(function* () {
      yield* S.lwpCreate(waiter);
      yield* S.lwpCreate(waiter);
      yield* waiter();
    });
    m.run();
    assert.deepEqual(results, [[3, "EDEADLK"]]);
    assertWaits(m.lwp(p, 1));
    assertWaits(m.lwp(p, 2));
    assert.equal(counters(p), "nl3 nz0 nr3 nd0 nw2");
  });

  test("LWP-133: waiting for a suspended LWP, with nobody else, is a deadlock at once", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      got = yield* attempt(S.lwpWait(a));
      assert.equal(counters(p), "nl2 nz0 nr1 nd0 nw0");
      yield* S.lwpPark();
    });
    m.run();
    assert.equal(got, "EDEADLK");
  });

  test("LWP-133: a joinable third LWP suspends it: main sleeps on, and the third one's zombie keeps it asleep", () => {
    const m = new TestMachine();
    let got: unknown;
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {
        yield* S.lwpSuspend(a);
        yield* S.lwpPark();
      });
      got = yield* attempt(S.lwpWait(a));
    });
    m.run();
    assert.equal(stateOf(m.lwp(p, 2)), "SUSPENDED");
    assert.equal(counters(p), "nl3 nz0 nr2 nd0 nw1");
    unpark(m, p, 3);
    m.run();
    assert.equal(counters(p), "nl3 nz1 nr1 nd0 nw1");
    assertWaits(m.lwp(p, 1));
    assert.equal(got, undefined);
  });

  test("LWP-133: a detached one: EDEADLK as soon as it is suspended (the vector leaves nd out; LWP-67 counts it)", () => {
    const m = new TestMachine();
    const results: string[] = [];
    const p = m.spawn(function* () {
      const a = yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {
        yield* S.lwpSuspend(a);
        results.push("suspended");
        yield* S.lwpPark();
      }, S.LWP_DETACHED);
      results.push(String(yield* attempt(S.lwpWait(a))));
      // 2 + 0 - 1 <= 1 while it waited.
      results.push(counters(p));
      yield* S.lwpPark();
    });
    m.run();
    assert.equal(stateOf(m.lwp(p, 2)), "SUSPENDED");
    assert.deepEqual([...results].sort(), ["EDEADLK", "nl3 nz0 nr2 nd1 nw0", "suspended"]);
  });

  test("LWP-134: one sibling suspended, a detached one running: EDEADLK; only detached ones: ESRCH", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked, S.LWP_DETACHED);
      results.push(yield* attempt(S.lwpWait(0)));
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      assert.equal(counters(p), "nl3 nz0 nr2 nd1 nw0");
      results.push(yield* attempt(S.lwpWait(0)));
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(results, ["ESRCH", "EDEADLK"]);
  });

  test("LWP-139: of two that wait for one LWP whoever runs first collects it, and a wait for any never does", () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      const got: Record<string, unknown> = {};
      const waits = (name: string, lid: number) =>
        function* () {
          got[name] = yield* attempt(S.lwpWait(lid));
          yield* S.lwpPark();
        };
      const p = m.spawn(function* () {
        yield* S.lwpCreate(parked);
        yield* S.lwpCreate(waits("x", 2));
        yield* S.lwpPark();
        yield* S.lwpCreate(waits("y", 2));
        yield* S.lwpCreate(waits("z", 0));
        yield* S.lwpPark();
      });
      m.run();
      assert.equal(m.lwp(p, 2).waiter, 3, `seed ${seed}`);
      unpark(m, p, 1);
      m.run();
      assert.equal(m.lwp(p, 2).waiter, 3, `seed ${seed}`);
      for (const lid of [3, 4, 5]) assertWaits(m.lwp(p, lid));
      unpark(m, p, 2);
      m.run();
      assert.deepEqual([got.x, got.y].sort(), [2, "ESRCH"], `seed ${seed}`);
      assert.equal(got.z, undefined, `seed ${seed}`);
      assertWaits(m.lwp(p, 5));
      outcomes.add(got.x === 2 ? "x" : "y");
    }
    assert.deepEqual([...outcomes].sort(), ["x", "y"]);
  });

  test("LWP-140: when the first waiter is interrupted a wait for any may collect the LWP", () => {
    const m = new TestMachine();
    const got: Record<string, unknown> = {};
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {
        got.x = yield* attempt(S.lwpWait(2));
        yield* rest();
      });
      yield* S.schedYield();
      yield* S.lwpCreate(function* () {
        got.z = yield* attempt(S.lwpWait(0));
        yield* S.lwpPark();
      });
      yield* S.lwpPark();
    });
    m.run();
    assert.equal(m.lwp(p, 2).waiter, 3);
    wakeup(m, m.lwp(p, 3));
    assert.deepEqual(got, { x: "EINTR" });
    assert.equal(m.lwp(p, 2).waiter, 0);
    unpark(m, p, 2);
    m.run();
    assert.deepEqual(got, { x: "EINTR", z: 2 });
  });
});
