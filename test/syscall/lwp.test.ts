/** The system calls that make, end, await, suspend, wake, detach and name LWPs. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, counters, parked, stateOf, TestMachine } from "../support/sim.js";

function unpark(m: TestMachine, p: K.Proc, lid: number): void {
  m.asCpu(() => assert.equal(K.unpark(p, lid, 0), 0));
}

/** Sets flags of the current LWP. */
function flag(bits: number): void {
  const l = K.cur.lwp;
  K.lwpLock(l);
  l.flag |= bits;
  K.lwpUnlock(l);
}

/** Makes a halted LWP go on, without the flags that halted it. */
function release(m: TestMachine, l: K.Lwp, flags: number): void {
  m.locked(l.proc, () => {
    K.lwpLock(l);
    l.flag &= ~flags;
    K.setrunnable(l);
  });
}

/** Parks for ever, whatever tokens and cancellations are left over. */
function* rest(): Generator<K.Token, never, undefined> {
  for (;;) yield* attempt(S.lwpPark());
}

/** A kernel sleep that nothing but a broadcast of its own `waitcv` ends. */
function* uninterruptible(): Generator<K.Token, void, undefined> {
  const l = K.cur.lwp;
  K.spinEnter(l.k, l.proc.lock);
  yield* K.cvWait(l.k, l.waitcv, l.proc.lock);
  K.spinExit(l.k, l.proc.lock);
}

const lids = (p: K.Proc) => K.procLwps(p).map((l) => l.lid);

describe("numbers", () => {
  test("SYS-1: the numbers of the calls, and one for each call that there is", () => {
    const stated =
      "309 _lwp_create 310 _lwp_exit 311 _lwp_self 312 _lwp_wait 313 _lwp_suspend 314 _lwp_continue 315 _lwp_wakeup " +
      "316 _lwp_getprivate 317 _lwp_setprivate 318 _lwp_kill 319 _lwp_detach 321 _lwp_unpark 322 _lwp_unpark_all " +
      "323 _lwp_setname 324 _lwp_getname 325 _lwp_ctl 346 _sched_setparam 347 _sched_getparam " +
      "348 _sched_setaffinity 349 _sched_getaffinity 350 sched_yield 412 pset_create 413 pset_destroy " +
      "414 pset_assign 415 _pset_bind 434 _lwp_park";
    const words = stated.split(" ");
    const pairs: [string, number][] = [];
    for (let i = 0; i < words.length; i += 2) pairs.push([words[i + 1], Number(words[i])]);
    assert.deepEqual(Object.fromEntries(pairs), S.SYSCALL_NUMBERS);
    const original = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    const calls = Object.entries(S).filter(([name]) => /^(lwp|sched|pset)[A-Z]/.test(name));
    assert.ok(calls.length >= 16);
    for (const [name, call] of calls) {
      assert.equal(typeof call, "function", name);
      const known = [original(name), `_${original(name)}`];
      assert.ok(
        known.some((n) => n in S.SYSCALL_NUMBERS),
        name,
      );
    }
  });

  test("SYS-1: the signatures: as many arguments as stated, at most, less those that return something by a pointer", () => {
    const arity = (call: unknown) =>
      /\(([^)]*)\)/
        .exec(String(call))?.[1]
        .split(",")
        .filter((s) => s.trim() !== "").length;
    const stated: [unknown, number][] = [
      [S.lwpCreate, 2],
      [S.lwpExit, 0],
      [S.lwpSelf, 0],
      [S.lwpWait, 1],
      [S.lwpSuspend, 1],
      [S.lwpContinue, 1],
      [S.lwpWakeup, 1],
      [S.lwpGetprivate, 0],
      [S.lwpSetprivate, 1],
      [S.lwpDetach, 1],
      [S.lwpUnpark, 2],
      // The count is the array's.
      [S.lwpUnparkAll, 2],
      [S.lwpSetname, 2],
      [S.lwpGetname, 2],
      [S.schedYield, 0],
      [S.lwpPark, 4],
    ];
    for (const [call, n] of stated) assert.equal(arity(call), n, (call as { name: string }).name);
  });
});

describe("lwpCreate", () => {
  test("SYS-2: a start that is no function: EFAULT; the limit of the user: EAGAIN; nothing is made", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(
      function* () {
        for (const start of [undefined, null, 1, "x", {}, parked()])
          seen.push(yield* attempt(S.lwpCreate(start as unknown as S.ThreadFunction)));
        seen.push(yield* attempt(S.lwpCreate(parked)), yield* attempt(S.lwpCreate(parked)), counters(p));
        yield* S.lwpPark();
      },
      { uid: 5, nthr: 1 },
    );
    m.run();
    assert.deepEqual(seen, [
      ...Array.from({ length: 6 }, () => "EFAULT"),
      2,
      "EAGAIN",
      "nl2 nz0 nr2 nd0 nw0",
    ]);
  });

  test("SYS-2: the table of LWPs full: EAGAIN (ENOMEM and EINVAL have no counterpart: no stack, no registers)", () => {
    const m = new TestMachine({ limits: { lwps: 8 } });
    const seen: unknown[] = [];
    m.spawn(function* () {
      for (;;) {
        const r = yield* attempt(S.lwpCreate(parked));
        seen.push(r);
        if (r === "EAGAIN") break;
      }
      yield* S.lwpPark();
    });
    const free = 8 - m.k.lwps.inUse;
    m.run();
    assert.equal(seen.length, free + 1);
    assert.equal(seen.at(-1), "EAGAIN");
    assert.equal(m.k.turnstiles.inUse, 8);
  });

  test("SYS-2: unknown flags are ignored, and the class is the creator's", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      K.cur.lwp.class = K.SCHED_FIFO;
      yield* S.lwpCreate(parked, ~(S.LWP_DETACHED | S.LWP_SUSPENDED));
      yield* S.lwpCreate(parked, -1);
      yield* S.lwpPark();
    });
    m.run();
    const plain = m.lwp(p, 2);
    assert.deepEqual([plain.prflag, stateOf(plain), plain.class], [0, "SLEEP", K.SCHED_FIFO]);
    // Neither does LWP_VFORK, or LWP_PIDLID, get through from outside.
    assert.deepEqual([plain.kpriority, plain.pflag & K.LP_PIDLID], [0, 0]);
    const both = m.lwp(p, 3);
    assert.deepEqual([both.prflag, stateOf(both)], [K.LPR_DETACHED, "SUSPENDED"]);
  });

  const creators: [string, number][] = [
    ["no flag", 0],
    ["WREBOOT", K.LW_WREBOOT],
    ["WSUSPEND", K.LW_WSUSPEND],
    ["WEXIT", K.LW_WEXIT],
  ];
  const processes: [string, (p: K.Proc) => void][] = [
    ["active", () => {}],
    ["SSTOP", (p) => void (p.stat = K.SSTOP)],
    ["PS_STOPPING", (p) => void (p.sflag |= K.PS_STOPPING)],
  ];
  for (const [creator, bits] of creators) {
    for (const [process, prepare] of processes) {
      for (const wanted of [0, S.LWP_SUSPENDED]) {
        const expected = bits !== 0 || wanted !== 0 ? "SUSPENDED" : process === "active" ? "RUN" : "STOP";
        const name = `creator with ${creator}, process ${process}, ${wanted === 0 ? "no flag" : "LWP_SUSPENDED"}`;
        test(`SYS-3: ${name}: ${expected}`, () => {
          const m = new TestMachine();
          const p = m.spawn(function* () {
            prepare(p);
            flag(bits);
            yield* S.lwpCreate(rest, wanted);
            yield* rest();
          });
          // The step in which it is made.
          m.until(() => p.nlwps === 2);
          p.stat = K.SACTIVE;
          p.sflag = 0;
          const l = m.lwp(p, 2);
          assert.equal(stateOf(l), expected);
          const ci = l.cpu;
          assert.equal(l.mutex, expected === "RUN" ? ci.mutex : ci.lwplock);
          const creatorRuns = stateOf(m.lwp(p, 1)) === "ONPROC";
          assert.equal(p.nrlwps, (creatorRuns ? 1 : 0) + (expected === "RUN" ? 1 : 0));
          if (expected === "RUN") assert.ok(K.runqList(ci, K.lwpEprio(l)).includes(l));
        });
      }
    }
  }

  test("SYS-3: a new LWP that beats what its CPU runs asks for the CPU", () => {
    for (const beaten of [false, true]) {
      const m = new TestMachine();
      let asked = 0;
      m.spawn(function* () {
        const l = K.cur.lwp;
        // What the CPU is recorded to run; the new LWP inherits the creator's priority.
        l.cpu.curpriority = beaten ? l.priority - 1 : l.priority;
        K.createLwp(l, 0, { kind: K.CTX_CLOSURE, closure: parked });
        asked = l.cpu.attention & K.RESCHED_ANY;
        yield* S.lwpPark();
      });
      m.run();
      assert.equal(asked !== 0, beaten);
    }
  });

  test("SYS-4: one created suspended has no WSUSPEND, and lwpContinue simply makes it runnable", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const lid = yield* S.lwpCreate(function* () {
        seen.push("runs");
      }, S.LWP_SUSPENDED);
      const l = m.lwp(p, lid);
      seen.push(stateOf(l), l.flag & K.LW_WSUSPEND);
      yield* S.schedYield();
      seen.push(stateOf(l));
      yield* S.lwpContinue(lid);
      seen.push(stateOf(l));
      yield* S.lwpWait(lid);
    });
    m.run();
    assert.deepEqual(seen, ["SUSPENDED", 0, "SUSPENDED", "RUN", "runs"]);
  });

  test("SYS-5: the new LWP may run, and exit, before its creator has the id; the id is returned, so EFAULT cannot be", () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      const log: string[] = [];
      const p = m.spawn(function* () {
        const lid = yield* S.lwpCreate(function* () {
          log.push("runs");
        });
        log.push(`${stateOf(m.lwp(p, lid))} has its id`);
        assert.equal(yield* S.lwpWait(lid), lid, `seed ${seed}`);
      });
      m.run();
      orders.add(log.join(", "));
    }
    assert.ok(orders.has("runs, ZOMB has its id"));
    assert.ok(orders.has("RUN has its id, runs"));
  });

  test("SYS-6: signal mask and alternate stack are the creator's (the manual says the context's); pending signals are not", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      m.k.w.set([0x50, 0x60], l.sigmask);
      m.k.w.set([0x10, 0], l.sigpend);
      l.sigstk = 77;
      yield* S.lwpCreate(parked);
      yield* S.lwpPark();
    });
    m.run();
    const l = m.lwp(p, 2);
    assert.deepEqual([...m.k.w.subarray(l.sigmask, l.sigmask + 2)], [0x50, 0x60]);
    assert.deepEqual([...m.k.w.subarray(l.sigpend, l.sigpend + 2)], [0, 0]);
    assert.equal(l.sigstk, 77);
  });

  test("SYS-7: returning from the start ends the LWP, with nothing to go on to; its word of argument reaches it", () => {
    const args: number[] = [];
    const step: K.StepFunction = (t) => {
      args.push(t.l.arg);
      return K.STEP_EXIT;
    };
    const m = new TestMachine({ steps: [step] });
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const arg = { any: "value" };
      const a = yield* S.lwpCreate(function* () {
        seen.push(arg);
        return "goes nowhere";
      });
      assert.equal(yield* S.lwpWait(a), a);
      const b = K.createLwp(K.cur.lwp, 0, { kind: K.CTX_STEP, entry: 0, arg: 4711 });
      assert.equal(yield* S.lwpWait(b), b);
      assert.deepEqual(lids(p), [1]);
    });
    m.run();
    assert.deepEqual([seen, args], [[{ any: "value" }], [4711]]);
    assert.equal(m.sim.collected.length, 1);
  });
});

describe("lwpExit, lwpSelf, the private pointer", () => {
  test("SYS-8: it never returns; the process goes on while another LWP lives", () => {
    const m = new TestMachine();
    const log: string[] = [];
    const p = m.spawn(function* () {
      const main = K.cur.lwp.lid;
      yield* S.lwpCreate(function* () {
        log.push(`waited for ${yield* S.lwpWait(main)}`);
        yield* S.lwpExit();
        log.push("not reached");
      });
      yield* S.lwpExit();
      log.push("not reached");
    });
    const { pid } = p;
    m.run();
    assert.deepEqual(log, ["waited for 1"]);
    assert.deepEqual(
      m.sim.collected.map((c) => [c.pid, c.status]),
      [[pid, 0]],
    );
  });

  test("SYS-8: nor does it run the program's finally blocks, which is as the end of an LWP in C", () => {
    const m = new TestMachine();
    const log: string[] = [];
    m.runToEnd(function* () {
      try {
        yield* S.lwpExit();
      } finally {
        log.push("finally");
      }
    });
    assert.deepEqual(log, []);
  });

  test("SYS-9: lwpSelf is the caller's lid; the private pointer is each LWP's own, 0 at first, a word", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const body = function* () {
      const lid = yield* S.lwpSelf();
      seen.push([lid, yield* S.lwpGetprivate()]);
      yield* S.lwpSetprivate(lid * 1000);
      yield* S.schedYield();
      seen.push([lid, yield* S.lwpGetprivate()]);
    };
    m.spawn(function* () {
      yield* S.lwpSetprivate(9);
      yield* S.lwpCreate(body);
      yield* S.lwpCreate(body);
      yield* S.lwpWait(0);
      yield* S.lwpWait(0);
      seen.push([yield* S.lwpSelf(), yield* S.lwpGetprivate()]);
      yield* S.lwpSetprivate(2 ** 32 - 1);
      seen.push(yield* S.lwpGetprivate());
    });
    m.run();
    assert.deepEqual(seen, [[2, 0], [3, 0], [2, 2000], [3, 3000], [1, 9], -1]);
  });
});

describe("lwpWait", () => {
  test("SYS-10: the lid is returned; a wrong argument is refused before anything is reaped (in C it comes after)", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      seen.push(yield* attempt(S.lwpWait("2" as unknown as number)), lids(p));
      seen.push(yield* attempt(S.lwpWait(2)), lids(p));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, ["EFAULT", [2, 1], 2, [1]]);
  });

  test("SYS-11: ESRCH: no such LWP, detached, detached meanwhile, collected by another, no undetached sibling", () => {
    const m = new TestMachine();
    const seen: Record<string, unknown> = {};
    const p = m.spawn(function* () {
      seen["no sibling"] = yield* attempt(S.lwpWait(0));
      seen["no such"] = yield* attempt(S.lwpWait(99));
      const d = yield* S.lwpCreate(parked, S.LWP_DETACHED);
      seen["detached"] = yield* attempt(S.lwpWait(d));
      seen["only detached"] = yield* attempt(S.lwpWait(0));
      const a = yield* S.lwpCreate(parked);
      const b = yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {
        seen["detached meanwhile"] = yield* attempt(S.lwpWait(a));
        seen["second waiter"] = yield* attempt(S.lwpWait(b));
        yield* rest();
      });
      yield* S.schedYield();
      yield* S.lwpDetach(a);
      seen["first waiter"] = yield* attempt(S.lwpWait(b));
      yield* rest();
    });
    m.run();
    unpark(m, p, 4);
    m.run();
    const both = [seen["first waiter"], seen["second waiter"]];
    delete seen["first waiter"];
    delete seen["second waiter"];
    assert.deepEqual(seen, {
      "no sibling": "ESRCH",
      "no such": "ESRCH",
      detached: "ESRCH",
      "only detached": "ESRCH",
      "detached meanwhile": "ESRCH",
    });
    assert.deepEqual(both.sort(), [4, "ESRCH"]);
  });

  test("SYS-11: EDEADLK: oneself, one that waits for the caller, process exiting, nobody left; EINTR", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      seen.push(yield* attempt(S.lwpWait(1)));
      const w = yield* S.lwpCreate(function* () {
        yield* attempt(S.lwpWait(1));
        yield* rest();
      }, S.LWP_DETACHED);
      yield* S.lwpCreate(rest);
      yield* S.schedYield();
      seen.push(yield* attempt(S.lwpWait(w)));
      p.sflag |= K.PS_WEXIT;
      seen.push(yield* attempt(S.lwpWait(3)));
      p.sflag &= ~K.PS_WEXIT;
      yield* S.lwpSuspend(3);
      yield* S.lwpWakeup(w);
      yield* S.schedYield();
      seen.push(counters(p), yield* attempt(S.lwpWait(3)));
      yield* S.lwpContinue(3);
      seen.push(yield* attempt(S.lwpWait(3)));
      yield* rest();
    });
    m.run();
    // Interrupted from outside, as by a sibling.
    m.asCpu(() => {
      const main = m.lwp(p, 1);
      K.lwpLock(main);
      main.flag |= K.LW_CANCELLED;
      K.lwpUnsleep(main, true);
    });
    m.run();
    assert.deepEqual(seen, ["EDEADLK", "EDEADLK", "EDEADLK", "nl3 nz0 nr2 nd1 nw0", "EDEADLK", "EINTR"]);
  });

  test("SYS-12: the only LWP: ESRCH for any (the manual says EDEADLK), EDEADLK for its own lid", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    m.runToEnd(function* () {
      seen.push(yield* attempt(S.lwpWait(0)), yield* attempt(S.lwpWait(1)));
    });
    assert.deepEqual(seen, ["ESRCH", "EDEADLK"]);
  });

  test("SYS-13: one of several waiters for a lid gets it, the rest ESRCH", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const m = new TestMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      const seen: unknown[] = [];
      const p = m.spawn(function* () {
        yield* S.lwpCreate(parked);
        for (let i = 0; i < 4; i++) {
          yield* S.lwpCreate(function* () {
            seen.push(yield* attempt(S.lwpWait(2)));
            yield* rest();
          });
        }
        yield* rest();
      });
      m.run();
      assert.equal(p.nlwpwait, 4);
      unpark(m, p, 2);
      m.run();
      assert.deepEqual(seen.map(String).sort(), ["2", "ESRCH", "ESRCH", "ESRCH"], `seed ${seed}`);
    }
  });

  test("SYS-13: a wait for any takes a reserved zombie only once its first waiter has given up", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {
        seen.push(["specific", yield* attempt(S.lwpWait(2))]);
        yield* rest();
      });
      yield* S.schedYield();
      yield* S.lwpCreate(function* () {
        seen.push(["any", yield* attempt(S.lwpWait(0))]);
        yield* rest();
      });
      yield* S.lwpPark();
      yield* S.lwpWakeup(3);
      yield* rest();
    });
    m.run();
    assert.deepEqual([m.lwp(p, 2).waiter, p.nlwpwait], [3, 2]);
    unpark(m, p, 1);
    m.run();
    assert.deepEqual([m.lwp(p, 2).waiter, seen], [0, [["specific", "EINTR"]]]);
    unpark(m, p, 2);
    m.run();
    assert.deepEqual(seen.at(-1), ["any", 2]);
  });
});

describe("lwpSuspend, lwpContinue", () => {
  test("SYS-14: ESRCH: unknown, unborn, dead; EDEADLK: the only LWP that is not halted names itself", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      seen.push(yield* attempt(S.lwpSuspend(99)));
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      seen.push(stateOf(m.lwp(p, 2)), yield* attempt(S.lwpSuspend(2)));
      seen.push(counters(p), yield* attempt(S.lwpSuspend(1)), l.flag & K.LW_WSUSPEND);
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      seen.push(counters(p), yield* attempt(S.lwpSuspend(1)), l.flag & K.LW_WSUSPEND);
      const unborn = K.lwpCreate(l, p, 0, { kind: K.CTX_CLOSURE, closure: parked }, l.class) as K.Lwp;
      seen.push(yield* attempt(S.lwpSuspend(unborn.lid)));
      K.lwpStart(l, unborn, 0);
      yield* rest();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, [
      "ESRCH",
      ...["ZOMB", "ESRCH"],
      ...["nl2 nz1 nr1 nd0 nw0", "EDEADLK", 0],
      ...["nl3 nz1 nr1 nd0 nw0", "EDEADLK", 0],
      "ESRCH",
    ]);
  });

  test("SYS-14: EDEADLK: a caller that dumps core, or is to exit, which its program never sees", () => {
    for (const bits of [K.LW_WCORE, K.LW_WEXIT]) {
      const m = new TestMachine();
      let got: unknown;
      const p = m.spawn(function* () {
        yield* S.lwpCreate(rest);
        yield* S.lwpCreate(rest);
        yield* S.schedYield();
        flag(bits);
        got = yield* attempt(S.lwpSuspend(2));
        yield* rest();
      });
      m.run();
      assert.equal(stateOf(m.lwp(p, 2)), "SLEEP");
      assert.equal(m.lwp(p, 2).flag & K.LW_WSUSPEND, 0);
      const main = m.lwp(p, 1);
      if (bits === K.LW_WEXIT) {
        assert.deepEqual([stateOf(main), got], ["ZOMB", undefined]);
        continue;
      }
      assert.deepEqual([stateOf(main), got], ["SUSPENDED", undefined]);
      release(m, main, K.LW_WCORE);
      m.run();
      assert.equal(got, "EDEADLK");
    }
  });

  test("SYS-15: it returns once the target is suspended", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(rest);
      yield* S.schedYield();
      seen.push(yield* attempt(S.lwpSuspend(2)), stateOf(m.lwp(p, 2)), counters(p));
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, [undefined, "SUSPENDED", "nl2 nz0 nr1 nd0 nw0"]);
  });

  /** Ends an operation, and so returns to user mode. */
  function* toUser(): Generator<K.Token, void, undefined> {
    yield* S.lwpSelf();
    yield* rest();
  }

  /** Main suspends LWP 2, which sits in a sleep that cannot be interrupted, so that main's call does not return. */
  function suspending(after: () => Generator<K.Token, unknown, undefined> = toUser) {
    const m = new TestMachine();
    const box: { got: unknown } = { got: "waits" };
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* uninterruptible();
        yield* after();
      });
      yield* S.lwpCreate(rest);
      yield* S.schedYield();
      box.got = yield* attempt(S.lwpSuspend(2));
      yield* rest();
    });
    m.run();
    const main = m.lwp(p, 1);
    const t = m.lwp(p, 2);
    assert.deepEqual(
      [stateOf(main), main.wmesg, stateOf(t), box.got],
      ["SLEEP", "lwpwait", "SLEEP", "waits"],
    );
    assert.notEqual(t.flag & K.LW_WSUSPEND, 0);
    const broadcast = () => {
      m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
      m.run();
    };
    const wakeTarget = () => {
      m.locked(p, () => K.cvBroadcast(m.k, t.waitcv));
      m.run();
    };
    return { m, k: m.k, p, main, t, box, broadcast, wakeTarget };
  }

  test("SYS-15: a broadcast that is not for it lets it sleep on", () => {
    const { main, box, broadcast, wakeTarget, t } = suspending();
    broadcast();
    assert.deepEqual([stateOf(main), box.got], ["SLEEP", "waits"]);
    wakeTarget();
    assert.deepEqual([stateOf(t), box.got], ["SUSPENDED", undefined]);
  });

  test("SYS-15: interrupted by lwpWakeup: the call is executed again, until the target is suspended", () => {
    const { m, p, main, box, wakeTarget } = suspending();
    m.asCpu(() => {
      K.lwpLock(main);
      main.flag |= K.LW_CANCELLED | K.LW_UNPARKED;
      K.lwpUnsleep(main, true);
    });
    m.run();
    assert.deepEqual([stateOf(main), main.wmesg, box.got], ["SLEEP", "lwpwait", "waits"]);
    assert.equal(main.flag & K.LW_CANCELLED, 0, "used up by the second execution");
    wakeTarget();
    assert.deepEqual([box.got, counters(p)], [undefined, "nl3 nz0 nr2 nd0 nw0"]);
  });

  test("SYS-15: the target exits without returning to user mode: ESRCH", () => {
    const { t, box, wakeTarget } = suspending(function* () {});
    wakeTarget();
    assert.deepEqual([stateOf(t), box.got], ["ZOMB", "ESRCH"]);
  });

  test("SYS-15: the target is told to exit, or to dump core: the call is executed again", () => {
    for (const bits of [K.LW_WEXIT, K.LW_WCORE]) {
      const { m, main, t, box, broadcast } = suspending();
      // Continued by somebody as well: that alone would end the call (see below).
      m.setFlags(t, bits);
      t.flag &= ~K.LW_WSUSPEND;
      broadcast();
      assert.deepEqual([stateOf(main), main.wmesg, box.got], ["SLEEP", "lwpwait", "waits"]);
      assert.notEqual(t.flag & K.LW_WSUSPEND, 0, "it has been asked for anew");
    }
  });

  test("SYS-15: the caller is told to dump core: executed again, which refuses", () => {
    const { m, main, box, broadcast } = suspending();
    m.setFlags(main, K.LW_WCORE);
    broadcast();
    assert.deepEqual([stateOf(main), box.got], ["SUSPENDED", "waits"]);
    release(m, main, K.LW_WCORE);
    m.run();
    // The flag is gone before the second execution: it simply waits again.
    assert.deepEqual([stateOf(main), main.wmesg, box.got], ["SLEEP", "lwpwait", "waits"]);
  });

  test("SYS-15: somebody continues the target first: 0, at the next broadcast", () => {
    const { m, p, t, main, box, broadcast } = suspending();
    m.locked(p, () => {
      K.lwpLock(t);
      K.lwpContinue(t);
    });
    m.run();
    assert.deepEqual([stateOf(main), box.got], ["SLEEP", "waits"]);
    broadcast();
    assert.deepEqual([stateOf(t), box.got], ["SLEEP", undefined]);
  });

  test("SYS-16: suspending a suspended LWP waits for any broadcast (the manual says it has no effect)", () => {
    const m = new TestMachine();
    let got: unknown = "waits";
    const p = m.spawn(function* () {
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      got = yield* attempt(S.lwpSuspend(2));
      yield* rest();
    });
    m.run();
    assert.deepEqual([stateOf(m.lwp(p, 1)), got], ["SLEEP", "waits"]);
    m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
    m.run();
    assert.deepEqual([stateOf(m.lwp(p, 2)), got], ["SUSPENDED", undefined]);
  });

  test("SYS-16: suspending oneself sleeps inside the call; continued, it returns at the next broadcast only", () => {
    const m = new TestMachine();
    let got: unknown = "waits";
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* S.lwpPark();
        yield* S.lwpContinue(1);
        yield* rest();
      });
      yield* S.schedYield();
      got = yield* attempt(S.lwpSuspend(1));
      yield* rest();
    });
    m.run();
    const main = m.lwp(p, 1);
    const look = () => [stateOf(main), (main.flag & K.LW_WSUSPEND) !== 0, got];
    assert.deepEqual(look(), ["SLEEP", true, "waits"]);
    m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
    m.run();
    assert.deepEqual(look(), ["SLEEP", true, "waits"]);
    unpark(m, p, 2);
    m.run();
    assert.deepEqual(look(), ["SLEEP", false, "waits"]);
    m.locked(p, () => K.cvBroadcast(m.k, p.lwpcv));
    m.run();
    assert.deepEqual(look(), ["SLEEP", false, undefined]);
  });

  test("SYS-16: really suspended if lwpWakeup ends that sleep, and the call is executed again once continued", () => {
    const m = new TestMachine();
    let got: unknown = "waits";
    const orders: (() => Generator<K.Token, unknown, undefined>)[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        for (;;) {
          yield* S.lwpPark();
          yield* (orders.shift() as () => Generator<K.Token, unknown, undefined>)();
        }
      });
      yield* S.schedYield();
      got = yield* attempt(S.lwpSuspend(1));
      yield* rest();
    });
    const order = (what: () => Generator<K.Token, unknown, undefined>) => {
      orders.push(what);
      unpark(m, p, 2);
      m.run();
    };
    m.run();
    const main = m.lwp(p, 1);
    order(() => attempt(S.lwpWakeup(1)));
    assert.equal(stateOf(main), "SUSPENDED");
    // Executed again: the cancellation is still there, ends the second sleep at once, and is used up.
    order(() => attempt(S.lwpContinue(1)));
    assert.deepEqual([stateOf(main), main.flag & K.LW_CANCELLED], ["SUSPENDED", 0]);
    // And again: this time it sleeps.
    order(() => attempt(S.lwpContinue(1)));
    assert.deepEqual([stateOf(main), main.wmesg, got], ["SLEEP", "lwpwait", "waits"]);
  });

  test("SYS-16: a target in a long sleep keeps the caller waiting", () => {
    const { m, p, main, t, box } = suspending();
    for (let i = 0; i < 1000; i++) m.sim.tick();
    m.run();
    assert.deepEqual([stateOf(t), stateOf(main), box.got, p.nrlwps], ["SLEEP", "SLEEP", "waits", 3]);
  });

  test("SYS-17: lwpContinue: ESRCH, else 0 whether the target was suspended or not", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.lwpPark();
      for (const lid of [99, 2, 1, 3, 3]) seen.push(yield* attempt(S.lwpContinue(lid)));
      yield* S.schedYield();
      seen.push(stateOf(m.lwp(p, 3)), yield* attempt(S.lwpContinue(3)), stateOf(m.lwp(p, 3)));
      yield* rest();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, ["ESRCH", "ESRCH", undefined, undefined, undefined, "SLEEP", undefined, "SLEEP"]);
  });
});

describe("lwpWakeup", () => {
  const FLAGS = K.LW_CANCELLED | K.LW_UNPARKED;

  test("SYS-18: ESRCH; not asleep: ENODEV; asleep for good: EBUSY; else 0; the flags stay set in all three cases", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.lwpCreate(function* () {
        yield* uninterruptible();
      });
      yield* S.lwpCreate(function* () {
        yield* attempt(S.lwpWait(4));
        yield* uninterruptible();
      });
      yield* S.lwpPark();
      const flags = (lid: number) => m.lwp(p, lid).flag & FLAGS;
      seen.push(yield* attempt(S.lwpWakeup(99)), yield* attempt(S.lwpWakeup(2)), flags(2));
      for (const lid of [1, 3, 4, 5]) seen.push(yield* attempt(S.lwpWakeup(lid)), flags(lid));
      yield* rest();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, [
      ...["ESRCH", "ESRCH", 0],
      ...["ENODEV", FLAGS],
      ...["ENODEV", FLAGS],
      ...["EBUSY", FLAGS],
      ...[undefined, FLAGS],
    ]);
  });

  test("SYS-19: a sleep that is ended returns EINTR and is not restarted", () => {
    const m = new TestMachine();
    let got: unknown;
    m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        got = yield* attempt(S.lwpWait(1));
        yield* rest();
      });
      yield* S.schedYield();
      yield* S.lwpWakeup(2);
      yield* S.lwpPark();
    });
    m.run();
    assert.equal(got, "EINTR");
  });

  for (const [name, next, results, left] of [
    [
      "its next interruptible sleep: EINTR, CANCELLED is used up",
      () => attempt(S.lwpWait(1)),
      "EINTR",
      K.LW_UNPARKED,
    ],
    ["its next park: EALREADY, both are used up", () => attempt(S.lwpPark()), "EALREADY", 0],
  ] as const) {
    test(`SYS-19: one that was not asleep: ${name}`, () => {
      const m = new TestMachine();
      const seen: unknown[] = [];
      const p = m.spawn(function* () {
        yield* S.lwpCreate(function* () {
          const l = K.cur.lwp;
          seen.push(yield* next(), l.flag & FLAGS);
          yield* rest();
        });
        // It has not run yet.
        seen.push(yield* attempt(S.lwpWakeup(2)), stateOf(m.lwp(p, 2)));
        yield* S.lwpPark();
      });
      m.run();
      assert.deepEqual(seen, ["ENODEV", "RUN", results, left]);
    });

    test(`SYS-19: one whose sleep could not be interrupted: ${name}`, () => {
      const m = new TestMachine();
      const seen: unknown[] = [];
      const p = m.spawn(function* () {
        yield* S.lwpCreate(function* () {
          const l = K.cur.lwp;
          yield* uninterruptible();
          seen.push(yield* next(), l.flag & FLAGS);
          yield* rest();
        });
        yield* S.schedYield();
        seen.push(yield* attempt(S.lwpWakeup(2)), stateOf(m.lwp(p, 2)));
        yield* S.lwpPark();
      });
      m.run();
      m.locked(p, () => K.cvBroadcast(m.k, m.lwp(p, 2).waitcv));
      m.run();
      assert.deepEqual(seen, ["EBUSY", "SLEEP", results, left]);
    });
  }

  test("SYS-20: a sleep that it ends leaves the flags: the following sleep fails with EINTR too, and clears one", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        seen.push(yield* attempt(S.lwpWait(1)), l.flag & FLAGS);
        seen.push(yield* attempt(S.lwpWait(1)), l.flag & FLAGS);
        seen.push(yield* attempt(S.lwpPark()), l.flag & FLAGS);
        seen.push(yield* attempt(S.lwpWait(1)));
      });
      yield* S.schedYield();
      yield* S.lwpWakeup(2);
      yield* S.lwpPark();
    });
    m.run();
    // EALREADY: UNPARKED persists until the next park. Then it waits.
    assert.deepEqual(seen, ["EINTR", FLAGS, "EINTR", K.LW_UNPARKED, "EALREADY", 0]);
    assert.deepEqual([stateOf(m.lwp(p, 2)), m.lwp(p, 2).wmesg], ["SLEEP", "lwpwait"]);
  });

  test("SYS-20: unless a park comes first", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        seen.push(yield* attempt(S.lwpWait(1)), yield* attempt(S.lwpPark()), l.flag & FLAGS);
        seen.push(yield* attempt(S.lwpWait(1)));
      });
      yield* S.schedYield();
      yield* S.lwpWakeup(2);
      yield* S.lwpPark();
    });
    m.run();
    assert.deepEqual(seen, ["EINTR", "EALREADY", 0]);
    assert.equal(m.lwp(p, 2).wmesg, "lwpwait");
  });
});

describe("lwpDetach", () => {
  test("SYS-22: not present, or not started: ESRCH; detached already: EINVAL", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      seen.push(yield* attempt(S.lwpDetach(99)), yield* attempt(S.lwpDetach(0)));
      const unborn = K.lwpCreate(l, p, 0, { kind: K.CTX_CLOSURE, closure: rest }, l.class) as K.Lwp;
      seen.push(yield* attempt(S.lwpDetach(unborn.lid)));
      K.lwpStart(l, unborn, 0);
      seen.push(
        yield* attempt(S.lwpDetach(unborn.lid)),
        yield* attempt(S.lwpDetach(unborn.lid)),
        counters(p),
      );
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, ["ESRCH", "ESRCH", "ESRCH", undefined, "EINVAL", "nl2 nz0 nr2 nd1 nw0"]);
  });

  test("SYS-22: a zombie is freed at once; one in any other state is marked", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(rest);
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.lwpPark();
      const inUse = m.k.lwps.inUse;
      for (const lid of [2, 3, 4]) seen.push(yield* attempt(S.lwpDetach(lid)), lids(p), counters(p));
      assert.equal(m.k.lwps.inUse, inUse - 1);
      assert.equal(p.zomblwp, null);
      yield* rest();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, [
      ...[undefined, [4, 3, 1], "nl3 nz0 nr2 nd0 nw0"],
      ...[undefined, [4, 3, 1], "nl3 nz0 nr2 nd1 nw0"],
      ...[undefined, [4, 3, 1], "nl3 nz0 nr2 nd2 nw0"],
    ]);
  });

  test("SYS-22: waiters are told, and get ESRCH; detaching oneself is allowed", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        yield* S.lwpPark();
        seen.push(yield* attempt(S.lwpDetach(2)), yield* attempt(S.lwpDetach(2)));
      });
      seen.push(yield* attempt(S.lwpWait(2)));
      yield* rest();
    });
    m.run();
    unpark(m, p, 2);
    m.run();
    assert.deepEqual([...seen].sort(), ["EINVAL", "ESRCH", undefined]);
    assert.equal(p.zomblwp?.lid, 2);
  });
});

describe("names", () => {
  test("SYS-30: 0 is oneself; 15 characters are kept, longer names are cut; a new one replaces the old", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      for (const name of ["main", "123456789012345", "1234567890123456", "a".repeat(1000), "x", ""]) {
        seen.push(yield* attempt(S.lwpSetname(0, name)), l.name, l.named);
      }
      yield* S.lwpCreate(rest);
      seen.push(yield* attempt(S.lwpSetname(2, "two")), m.lwp(p, 2).name, l.name);
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, [
      ...[undefined, "main", 1],
      ...[undefined, "123456789012345", 1],
      ...[undefined, "123456789012345", 1],
      ...[undefined, "aaaaaaaaaaaaaaa", 1],
      ...[undefined, "x", 1],
      ...[undefined, "", 1],
      ...[undefined, "two", ""],
    ]);
  });

  test("SYS-30: EFAULT before ESRCH; a dead LWP is not found", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      seen.push(yield* attempt(S.lwpSetname(99, 5 as unknown as string)));
      seen.push(yield* attempt(S.lwpSetname(99, "x")), yield* attempt(S.lwpSetname(2, "x")));
      yield* rest();
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(seen, ["EFAULT", "ESRCH", "ESRCH"]);
  });

  test("SYS-31: no name: empty; ESRCH, then EFAULT; ENAMETOOLONG unless name and NUL fit", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(rest);
      const get = (lid: number, len?: unknown) => attempt(S.lwpGetname(lid, len as number));
      seen.push(yield* get(0), yield* get(2), yield* get(2, 1), yield* get(2, 0));
      yield* S.lwpSetname(0, "main");
      seen.push(yield* get(0), yield* get(1), yield* get(0, 5), yield* get(0, 4), yield* get(0, Number.NaN));
      seen.push(yield* get(99, "x"), yield* get(1, "x"), yield* get(99));
      assert.equal(p.nlwps, 2);
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, [
      ...["", "", "", "ENAMETOOLONG"],
      ...["main", "main", "main", "ENAMETOOLONG", "ENAMETOOLONG"],
      ...["ESRCH", "EFAULT", "ESRCH"],
    ]);
  });

  test("SYS-89: abcdefghijklmnopqrst becomes abcdefghijklmno, which needs a buffer of 16", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    m.runToEnd(function* () {
      yield* S.lwpSetname(0, "abcdefghijklmnopqrst");
      seen.push(yield* S.lwpGetname(0));
      seen.push(yield* attempt(S.lwpGetname(0, 15)), yield* attempt(S.lwpGetname(0, 16)));
    });
    assert.deepEqual(seen, ["abcdefghijklmno", "ENAMETOOLONG", "abcdefghijklmno"]);
  });
});

describe("schedYield", () => {
  test("SYS-33: to the tail of the queue of one's own priority, without penalty, and not counted as involuntary", () => {
    const m = new TestMachine();
    const order: number[] = [];
    const p = m.spawn(function* () {
      for (let i = 0; i < 3; i++) {
        yield* S.lwpCreate(function* () {
          for (let round = 0; round < 3; round++) {
            order.push(yield* S.lwpSelf());
            yield* S.schedYield();
          }
          yield* rest();
        });
      }
      yield* rest();
    });
    m.run();
    assert.deepEqual(order, [2, 3, 4, 2, 3, 4, 2, 3, 4]);
    const main = m.lwp(p, 1);
    for (const lid of [2, 3, 4]) {
      const l = m.lwp(p, lid);
      assert.deepEqual([l.nivcsw, l.priority], [0, main.priority]);
      assert.ok(l.ncsw >= 3);
    }
  });

  test("SYS-33: the kernel boost goes; with nothing of the same or a higher priority queued it returns at once", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const l = K.cur.lwp;
      yield* S.lwpCreate(rest);
      yield* S.schedYield();
      // One of a lower priority waits for the CPU.
      const other = m.lwp(p, 2);
      K.lwpLock(other);
      K.lwpChangepri(other, l.priority - 1);
      K.lwpUnlock(other);
      yield* S.lwpUnpark(2);
      const before = l.ncsw;
      l.kpriority = 1;
      yield* S.schedYield();
      seen.push(l.kpriority, l.ncsw - before, stateOf(other));
      // And now one of the same.
      K.lwpLock(other);
      K.lwpChangepri(other, l.priority);
      K.lwpUnlock(other);
      yield* S.schedYield();
      seen.push(l.ncsw - before, stateOf(other));
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, [0, 0, "RUN", 1, "SLEEP"]);
  });
});

describe("reach", () => {
  test("SYS-71: no call reaches another process, and none needs privilege", () => {
    const m = new TestMachine();
    const results: unknown[] = [];
    // LWPs 2 and 3 of the first process exist there alone; LWP 1 is in both.
    const p = m.spawn(
      function* () {
        yield* S.lwpCreate(rest);
        yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
        yield* rest();
      },
      { uid: 100 },
    );
    m.run();
    const before = K.procLwps(p).map((l) => [l.lid, l.stat, l.flag, l.prflag, l.name]);
    const q = m.spawn(
      function* () {
        for (const lid of [2, 3]) {
          results.push(
            yield* attempt(S.lwpWait(lid)),
            yield* attempt(S.lwpSuspend(lid)),
            yield* attempt(S.lwpContinue(lid)),
            yield* attempt(S.lwpWakeup(lid)),
            yield* attempt(S.lwpDetach(lid)),
            yield* attempt(S.lwpPark(null, lid)),
            yield* attempt(S.lwpUnpark(lid)),
            yield* attempt(S.lwpSetname(lid, "x")),
            yield* attempt(S.lwpGetname(lid)),
          );
        }
        results.push(yield* attempt(S.lwpUnparkAll([2, 3])));
        // Its own LWP 1, not the other process's.
        for (const op of [S.lwpSetname(1, "mine"), S.lwpDetach(1), S.lwpUnpark(1)])
          yield* op as S.Operation<void>;
        yield* rest();
      },
      { uid: 200 },
    );
    m.run();
    assert.deepEqual(results, [...Array.from({ length: 18 }, () => "ESRCH"), 0]);
    assert.deepEqual(
      K.procLwps(p).map((l) => [l.lid, l.stat, l.flag, l.prflag, l.name]),
      before,
    );
    assert.equal(m.lwp(q, 1).name, "mine");
  });

  const calls: Record<string, (lid: number) => S.Operation<unknown>> = {
    lwpWait: S.lwpWait,
    lwpSuspend: S.lwpSuspend,
    lwpContinue: S.lwpContinue,
    lwpWakeup: S.lwpWakeup,
    lwpDetach: S.lwpDetach,
    lwpPark: (lid) => S.lwpPark(null, lid),
    lwpUnpark: (lid) => S.lwpUnpark(lid),
    lwpSetname: (lid) => S.lwpSetname(lid, "x"),
    lwpGetname: (lid) => S.lwpGetname(lid),
  };

  test("SYS-72: negative and absurd lids are simply not found", () => {
    const m = new TestMachine();
    // 2^32 + 1 is no other name for 1, nor 2^32 one for 0.
    const absurd = [-1, -2, 99, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32, 2 ** 32 + 1, 1e300, 1.5, -0.5];
    absurd.push(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    const found: unknown[] = [];
    m.spawn(function* () {
      yield* S.lwpCreate(rest);
      for (const [name, call] of Object.entries(calls)) {
        for (const lid of absurd) {
          const got = yield* attempt(call(lid));
          if (got !== "ESRCH") found.push([name, lid, got]);
        }
      }
      assert.equal(yield* S.lwpUnparkAll(absurd), 0);
      assert.equal(yield* S.lwpGetname(0), "");
      yield* rest();
    });
    m.run();
    assert.deepEqual(found, []);
  });

  test("SYS-72: lid 0: any for lwpWait, oneself for names, nobody for lwpPark, not found elsewhere", () => {
    const m = new TestMachine();
    const got: Record<string, unknown> = {};
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpPark();
      for (const [name, call] of Object.entries(calls)) {
        if (name !== "lwpPark") got[name] = yield* attempt(call(0));
      }
      got.lwpUnparkAll = yield* attempt(S.lwpUnparkAll([0]));
      got.lwpPark = yield* attempt(calls.lwpPark(0));
    });
    m.run();
    unpark(m, p, 1);
    m.run();
    assert.equal(stateOf(m.lwp(p, 1)), "SLEEP");
    assert.equal("lwpPark" in got, false);
    unpark(m, p, 1);
    m.run();
    assert.deepEqual(got, {
      lwpWait: 2,
      lwpSuspend: "ESRCH",
      lwpContinue: "ESRCH",
      lwpWakeup: "ESRCH",
      lwpDetach: "ESRCH",
      lwpUnpark: "ESRCH",
      lwpSetname: undefined,
      lwpGetname: "x",
      lwpUnparkAll: 0,
      lwpPark: undefined,
    });
  });
});

describe("scenarios", () => {
  test("SYS-87: created with both flags: suspended and detached; cannot be waited for; runs when continued", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const p = m.spawn(function* () {
      const lid = yield* S.lwpCreate(function* () {
        seen.push("runs");
      }, S.LWP_DETACHED | S.LWP_SUSPENDED);
      const l = m.lwp(p, lid);
      seen.push(stateOf(l), l.prflag, counters(p), yield* attempt(S.lwpWait(lid)));
      yield* S.lwpContinue(lid);
      yield* rest();
    });
    m.run();
    assert.deepEqual(seen, ["SUSPENDED", K.LPR_DETACHED, "nl2 nz0 nr1 nd1 nw0", "ESRCH", "runs"]);
    assert.equal(p.zomblwp?.lid, 2);
  });
});
