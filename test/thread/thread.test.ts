/** Threads on simulated CPUs: their statements, one by one. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Cancelled, LwpError, schedYield, Thread, ThreadError, ThreadExit } from "lwp";
import * as K from "lwp/kernel";
import {
  lwpContinue,
  lwpCreate,
  lwpGetname,
  lwpSelf,
  lwpSuspend,
  lwpWait,
  type Operation,
  procExit,
} from "lwp/syscall";
import { Gate, outcome, ThreadMachine } from "../support/threads.js";

function* nothing() {}
function* fails() {
  yield* schedYield();
  throw new RangeError("in finally");
}
function* park(gate: Gate) {
  return yield* gate.wait();
}

/** Runs main on one, two and four CPUs, each with another seed; any CPU, or the clock, may go at any step. */
function everywhere(main: (m: ThreadMachine, gate: Gate) => K.Body): void {
  for (const [cpus, seed] of [
    [1, 0],
    [2, 1],
    [4, 2],
  ]) {
    const m = new ThreadMachine({ cpus, strategy: K.seededStrategy(seed) });
    m.runMain(() => main(m, new Gate(m)));
  }
}

/** What is called as a thread's function, and how its thread fails. */
const NO_THREADS: Readonly<Record<string, readonly [f: () => unknown, message: RegExp]>> = {
  "throws when it is called": [
    () => {
      throw new RangeError("no generator yet");
    },
    /^no generator yet$/,
  ],
  "takes its arguments apart, and gets none": [
    function* ({ length }: string = undefined as never) {
      yield* schedYield();
      return length;
    } as () => unknown,
    /undefined/,
  ],
  "returns nothing": [() => undefined, /needs a generator function/],
  "returns null": [() => null, /needs a generator function/],
  "returns a number": [() => 5, /needs a generator function/],
};

for (const [what, [f, message]] of Object.entries(NO_THREADS)) {
  test(`a thread whose function ${what} fails as any other, told or not before it runs, and the machine goes on`, () => {
    everywhere(function* (m) {
      for (const suspended of [false, true]) {
        const t = yield* Thread.with({ suspended }).spawn(f as () => K.Body);
        if (suspended) {
          m.setFlags(m.lwp(K.cur.lwp.proc, t.lid), K.LW_LWPCTL);
          yield* t.resume();
        }
        const error = yield* caught(t.join());
        assert.match((error.cause as Error).message, message);
      }
    });
  });
}

describe("handles", () => {
  test("THR-3: every call on a thread that was joined, or has ended detached, is ESRCH, whatever became of its record", () => {
    everywhere(function* (m) {
      const joined = yield* Thread.spawn(nothing);
      yield* joined.join();
      const detached = yield* Thread.with({ detached: true }).spawn(nothing);
      yield* Thread.sleep(20);
      // The same records serve others now.
      const others = [yield* Thread.spawn(nothing), yield* Thread.spawn(nothing)];
      assert.equal(m.k.threads.inUse, 3);
      for (const t of [joined, detached]) {
        const calls: [string, () => unknown][] = [
          ["join", () => outcome(t.join())],
          ["detach", () => outcome(t.detach())],
          ["cancel", () => outcome(t.cancel())],
          ["suspend", () => outcome(t.suspend())],
          ["resume", () => outcome(t.resume())],
          ["all", () => outcome(Thread.all([t]))],
          ["race", () => outcome(Thread.race([t]))],
        ];
        for (const [name, call] of calls) assert.equal(yield* call() as Operation<unknown>, "ESRCH", name);
        const plain: [string, () => unknown][] = [
          ["name", () => t.name],
          ["name =", () => (t.name = "x")],
          ["priority", () => t.priority],
          ["priority =", () => (t.priority = 1)],
        ];
        for (const [name, call] of plain) assert.throws(call, { code: "ESRCH" }, name);
        assert.equal(t.isGood, false);
      }
      for (const t of others) yield* t.join();
    });
  });

  test("THR-4, THR-72: Thread.self is the thread's own handle, the same object each time, and different for each thread", () => {
    everywhere(function* () {
      const main = Thread.self;
      assert.equal(Thread.self, main);
      const seen: unknown[] = [];
      const f = function* () {
        seen.push(Thread.self);
        yield* schedYield();
        assert.equal(
          Thread.self,
          seen.find((t) => t === Thread.self),
        );
        return Thread.self.lid;
      };
      const a = yield* Thread.spawn(f);
      const b = yield* Thread.spawn(f);
      assert.deepEqual([yield* a.join(), yield* b.join()], [a.lid, b.lid]);
      assert.deepEqual(new Set(seen), new Set([a, b]));
      assert.notEqual(a, b);
      assert.equal(Thread.self, main);
      assert.equal(main.lid, yield* lwpSelf());
      // An LWP of the system calls has no thread.
      yield* lwpCreate(function* () {
        assert.throws(() => Thread.self, { code: "ESRCH" });
      });
      yield* lwpWait(0);
    });
  });
});

describe("create", () => {
  test("THR-8: a record is used again only when no handle on it is good", () => {
    const m = new ThreadMachine({ limits: { threads: 3 } });
    m.runMain(function* () {
      const a = yield* Thread.spawn(nothing);
      const b = yield* Thread.spawn(nothing);
      yield* Thread.sleep(20);
      assert.equal(yield* outcome(Thread.spawn(nothing)), "EAGAIN", "zombies are not reused");
      yield* a.join();
      const c = yield* Thread.spawn(nothing);
      assert.notEqual(c, a);
      yield* Thread.all([b, c]);
    });
  });

  test("THR-9: the new thread may have ended before the caller has its handle; a suspended one starts when it is resumed", () => {
    for (let seed = 0; seed < 20; seed++) {
      const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        let ran = false;
        const t = yield* Thread.with({ suspended: true }).spawn(function* () {
          ran = true;
          return 1;
        });
        const detached = yield* Thread.with({ detached: true }).spawn(nothing);
        yield* Thread.sleep(30);
        assert.equal(ran, false, `seed ${seed}`);
        assert.equal(detached.isGood, false);
        yield* t.resume();
        assert.equal(yield* t.join(), 1);
      });
    }
  });

  test("THR-9: what spawn refuses leaves nothing behind", () => {
    const m = new ThreadMachine({ limits: { lwps: 6 } });
    m.runMain(function* () {
      const threads: Thread<void>[] = [];
      const gate = new Gate(m);
      for (;;) {
        const t = yield* outcome(Thread.spawn(park, gate));
        if (t instanceof Thread) threads.push(t as never);
        else {
          assert.equal(t, "EAGAIN");
          break;
        }
      }
      assert.ok(threads.length > 0);
      assert.equal(m.k.threads.inUse, threads.length + 1);
      assert.equal(yield* outcome(Thread.spawn(1 as unknown as () => K.Body)), "TypeError");
      assert.equal(m.k.threads.inUse, threads.length + 1);
      gate.open();
      yield* Thread.all(threads);
    });
  });

  test("THR-10: a thread inherits the spawner's signal mask, priority and class", () => {
    everywhere(function* () {
      const l = K.cur.lwp;
      l.w[l.sigmask] = 0x55;
      Thread.self.priority = 17;
      const t = yield* Thread.spawn(function* () {
        return [K.cur.lwp.w[K.cur.lwp.sigmask], Thread.self.priority, K.cur.lwp.class];
      });
      assert.deepEqual(yield* t.join(), [0x55, 17, K.SCHED_OTHER]);
    });
  });

  test("THR-55: defaults are joinable, the spawner's scheduling, no name; a bad value of an option is EINVAL, a policy there is not ENOTSUP, a real-time one EPERM for an ordinary user", () => {
    everywhere(function* () {
      const gate = new Gate(new ThreadMachine());
      gate.isOpen = true;
      const plain = yield* Thread.with({}).spawn(nothing);
      assert.deepEqual([plain.name, plain.isGood], ["", true]);
      yield* plain.join();
      const cases: [object, string][] = [
        [{ priority: -1 }, "EINVAL"],
        [{ priority: 64 }, "EINVAL"],
        [{ priority: 1.5 }, "EINVAL"],
        [{ priority: "1" }, "EINVAL"],
        [{ name: "x".repeat(32) }, "EINVAL"],
        [{ name: 1 }, "EINVAL"],
        [{ cpu: -1 }, "EINVAL"],
        [{ cpu: 99 }, "EINVAL"],
        [{ cpu: 0.5 }, "EINVAL"],
        [{ policy: "batch" }, "ENOTSUP"],
        [{ policy: "toString" }, "ENOTSUP"],
        [{ policy: "fifo" }, K.cur.lwp.uid === 0 ? "" : "EPERM"],
        [{ policy: "rr" }, K.cur.lwp.uid === 0 ? "" : "EPERM"],
        [{ priority: 0 }, ""],
        [{ priority: 63 }, ""],
        [{ name: "x".repeat(31) }, ""],
        [{ cpu: 0 }, ""],
        [{ policy: "other" }, ""],
      ];
      for (const [options, code] of cases) {
        const t = yield* outcome(Thread.with(options).spawn(nothing));
        if (t instanceof Thread) {
          assert.equal(code, "", JSON.stringify(options));
          yield* t.join();
        } else assert.equal(t, code, JSON.stringify(options));
      }
    });
    const m = new ThreadMachine();
    m.spawn(
      function* () {
        assert.equal(yield* outcome(Thread.with({ policy: "fifo" }).spawn(nothing)), "EPERM");
        assert.equal(yield* outcome(Thread.with({ policy: "rr" }).spawn(nothing)), "EPERM");
      },
      { uid: 7 },
    );
    m.run();
  });

  test("THR-57: a thread's priority is read and set, 0..63, also of a real-time one; EINVAL otherwise", () => {
    everywhere(function* (m, gate) {
      const t = yield* Thread.with({ priority: 5 }).spawn(park, gate);
      assert.equal(t.priority, 5);
      t.priority = 9;
      assert.equal(t.priority, 9);
      for (const bad of [-1, 64, 0.5, "1" as never]) {
        assert.throws(() => (t.priority = bad), { code: "EINVAL" });
      }
      const rt = yield* Thread.with({ policy: "rr", priority: 3 }).spawn(park, gate);
      assert.equal(rt.priority, 3);
      assert.equal(m.lwp(K.cur.lwp.proc, rt.lid).priority, K.PRI_USER_RT + 3);
      rt.priority = 60;
      assert.equal(m.lwp(K.cur.lwp.proc, rt.lid).priority, K.PRI_USER_RT + 60);
      const child = yield* Thread.with({ policy: "other" }).spawn(park, gate);
      assert.equal(child.priority, Thread.self.priority);
      gate.open();
      yield* Thread.all([t, rt, child]);
    });
  });

  test("SYS-64, THR-57: policy and priority are read and set as by pthread_getschedparam and pthread_setschedparam; the priority alone leaves the policy; a time-sharing thread has one too (the original: EINVAL)", () => {
    everywhere(function* (m, gate) {
      const { proc } = K.cur.lwp;
      const t = yield* Thread.with({ priority: 5 }).spawn(park, gate);
      const l = m.lwp(proc, t.lid);
      const now = () => [t.policy, t.priority, l.class, l.priority];
      assert.deepEqual(now(), ["other", 5, K.SCHED_OTHER, 5]);
      t.setPolicy("fifo");
      assert.deepEqual(now(), ["fifo", 0, K.SCHED_FIFO, 128]);
      t.setPolicy("rr", 9);
      assert.deepEqual(now(), ["rr", 9, K.SCHED_RR, 137]);
      t.priority = 63;
      assert.deepEqual(now(), ["rr", 63, K.SCHED_RR, 191]);
      t.setPolicy("fifo");
      assert.deepEqual(now(), ["fifo", 63, K.SCHED_FIFO, 191]);
      t.setPolicy("other");
      assert.deepEqual(now(), ["other", 63, K.SCHED_OTHER, 63]);
      t.setPolicy("other", 20);
      assert.deepEqual(now(), ["other", 20, K.SCHED_OTHER, 20]);
      assert.equal(Thread.self.policy, "other", "nobody else's");
      for (const bad of [-1, 64, 0.5, "1" as never]) {
        assert.throws(() => t.setPolicy("rr", bad), { code: "EINVAL" });
      }
      for (const bad of ["batch", "toString", 1 as never]) {
        assert.throws(() => t.setPolicy(bad as "rr"), { code: "ENOTSUP" });
      }
      assert.deepEqual(now(), ["other", 20, K.SCHED_OTHER, 20]);
      gate.open();
      yield* t.join();
      assert.throws(() => t.policy, { code: "ESRCH" });
      assert.throws(() => t.setPolicy("other"), { code: "ESRCH" });
    });
    const m = new ThreadMachine();
    m.spawn(
      function* () {
        assert.throws(() => Thread.self.setPolicy("rr"), { code: "EPERM" });
        Thread.self.setPolicy("other", 60);
        assert.deepEqual([Thread.self.policy, Thread.self.priority], ["other", 60]);
      },
      { uid: 7 },
    );
    m.run();
  });

  test("SYS-64: affinity goes to the calling process's thread; it moves at once where it waits, at its next switch where it runs", () => {
    const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(11) });
    m.runMain(function* () {
      const gate = new Gate(m);
      const t = yield* Thread.spawn(park, gate);
      const l = m.lwp(K.cur.lwp.proc, t.lid);
      assert.equal(t.affinity, null);
      while (l.stat !== K.LSSLEEP) yield* schedYield();
      for (const cpu of [2, 0, 1]) {
        t.affinity = [cpu];
        assert.deepEqual([t.affinity, l.cpu.index - 1], [[cpu], cpu]);
        Thread.self.affinity = [cpu];
        yield* schedYield();
        assert.equal(Thread.cpu, cpu);
      }
      Thread.self.affinity = null;
      assert.equal(Thread.self.affinity, null);
      t.affinity = [2, 1];
      assert.deepEqual(t.affinity, [1, 2]);
      for (const bad of [[], [3], [-1], [0.5], [0, 3], 1 as never, "0" as never, undefined as never]) {
        assert.throws(() => (t.affinity = bad), { code: "EINVAL" });
      }
      assert.deepEqual(t.affinity, [1, 2]);
      gate.open();
      yield* t.join();
      assert.throws(() => t.affinity, { code: "ESRCH" });
      assert.throws(() => (t.affinity = [0]), { code: "ESRCH" });
    });
  });

  test("SYS-64: sched_yield needs no mark: who asks whether a yielder runs is told by its state, that it does not", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const owner = Thread.self;
      const l = K.cur.lwp;
      const seen: unknown[] = [];
      const t = yield* Thread.spawn(function* () {
        seen.push(l.stat === K.LSONPROC);
      });
      yield* schedYield();
      seen.push(l.stat === K.LSONPROC);
      yield* t.join();
      assert.equal(owner, Thread.self);
      assert.deepEqual(seen, [false, true]);
    });
  });

  test("a higher priority runs first, and an option says on which CPU alone", () => {
    const m = new ThreadMachine({ cpus: 4, strategy: K.seededStrategy(5) });
    m.runMain(function* () {
      for (const cpu of [0, 3, 1]) {
        const t = yield* Thread.with({ cpu }).spawn(function* () {
          const seen = new Set<number>();
          for (let i = 0; i < 20; i++) {
            seen.add(Thread.cpu);
            yield* i % 3 === 0 ? Thread.sleep(10) : schedYield();
          }
          return [...seen];
        });
        yield* schedYield();
        assert.deepEqual(yield* t.join(), [cpu]);
      }
    });
    const one = new ThreadMachine();
    const order: number[] = [];
    one.runMain(function* () {
      const threads: Thread[] = [];
      for (const priority of [1, 30, 10]) {
        threads.push(
          yield* Thread.with({ priority }).spawn(function* () {
            order.push(priority);
          }),
        );
      }
      yield* Thread.all(threads);
    });
    assert.deepEqual(order, [30, 10, 1]);
  });

  test("THR-61: Thread.cpu is the CPU that the caller runs on", () => {
    const m = new ThreadMachine({ cpus: 3 });
    m.runMain(function* () {
      for (let cpu = 0; cpu < 3; cpu++) {
        const t = yield* Thread.with({ cpu }).spawn(function* () {
          return [Thread.cpu, K.cur.cpu.index - 1];
        });
        assert.deepEqual(yield* t.join(), [cpu, cpu]);
      }
    });
  });
});

describe("names", () => {
  test("THR-56, THR-80: 31 characters fit and 32 are EINVAL; the string is copied; ESRCH after the join; main has none", () => {
    everywhere(function* (_m, gate) {
      assert.equal(Thread.self.name, "");
      const long = "n".repeat(31);
      const t = yield* Thread.with({ name: long }).spawn(park, gate);
      assert.equal(t.name, long);
      t.name = "short";
      assert.equal(t.name, "short");
      assert.throws(() => (t.name = `${long}n`), { code: "EINVAL" });
      assert.throws(() => (t.name = 1 as never), { code: "EINVAL" });
      assert.equal(t.name, "short");
      t.name = "";
      assert.equal(t.name, "");
      const inside = yield* Thread.with({ name: "own" }).spawn(function* () {
        const before = Thread.self.name;
        Thread.self.name = "other";
        return [before, Thread.self.name];
      });
      assert.deepEqual(yield* inside.join(), ["own", "other"]);
      gate.open();
      yield* Thread.sleep(20);
      t.name = "a zombie";
      assert.equal(t.name, "a zombie");
      yield* t.join();
      assert.throws(() => t.name, { code: "ESRCH" });
      Thread.self.name = "main";
      assert.equal(Thread.self.name, "main");
    });
  });

  test("THR-100: the kernel shows the first 15 of 20 characters", () => {
    everywhere(function* (_m, gate) {
      const t = yield* Thread.with({ name: "abcdefghijklmnopqrst" }).spawn(park, gate);
      assert.equal(yield* lwpGetname(t.lid), "abcdefghijklmno");
      t.name = "ABCDEFGHIJKLMNOPQRST";
      assert.equal(yield* lwpGetname(t.lid), "ABCDEFGHIJKLMNO");
      gate.open();
      yield* t.join();
    });
  });
});

describe("exit", () => {
  test("THR-11: Thread.exit unwinds: finally blocks run, innermost first, may wait, exit with another value, or fail", () => {
    everywhere(function* () {
      const seen: string[] = [];
      const inner = function* () {
        try {
          yield* Thread.exit("value");
        } catch (error) {
          assert.ok(error instanceof ThreadExit);
          throw error;
        } finally {
          yield* Thread.sleep(20);
          seen.push("inner");
        }
      };
      const t = yield* Thread.spawn(function* () {
        try {
          yield* inner();
          seen.push("not reached");
        } finally {
          yield* schedYield();
          seen.push("outer");
        }
        return "not this";
      });
      assert.equal(yield* t.join(), "value");
      assert.deepEqual(seen, ["inner", "outer"]);
      const failing = yield* Thread.spawn(function* () {
        try {
          yield* Thread.exit(1);
        } finally {
          yield* fails();
        }
      });
      assert.equal(yield* outcome(failing.join()), "ThreadError");
      const nested = yield* Thread.spawn(function* () {
        try {
          yield* Thread.exit(1);
        } finally {
          yield* Thread.exit(2);
        }
      });
      assert.equal(yield* nested.join(), 2);
      const iterator = yield* Thread.spawn(() => Thread.exit(3)[Symbol.iterator]());
      assert.equal(yield* iterator.join(), 3);
    });
  });

  test("THR-11, THR-102: Thread.exit in main ends only main, whose LWP is gone; the process goes on and its status is 0", () => {
    for (const cpus of [1, 2]) {
      const m = new ThreadMachine({ cpus });
      let ran = "";
      const status = m.runToEnd(function* () {
        const t = yield* Thread.spawn(function* () {
          yield* Thread.sleep(50);
          assert.equal(yield* outcome(lwpSuspend(1)), "ESRCH");
          ran += " other";
        });
        yield* t.detach();
        try {
          yield* Thread.exit(7);
        } finally {
          yield* Thread.sleep(10);
          ran += "main";
        }
      });
      assert.deepEqual([status, ran], [0, "main other"]);
    }
  });

  test("THR-102: after Thread.exit in main, exit(n) of another thread gives the status n", () => {
    const m = new ThreadMachine({ cpus: 2 });
    const status = m.runToEnd(function* () {
      yield* Thread.spawn(function* () {
        yield* Thread.sleep(20);
        yield* procExit(5);
      });
      yield* Thread.exit();
    });
    assert.equal(status, 5 << 8);
  });

  test("THR-79: Thread.exit in main alone ends the process successfully", () => {
    assert.equal(
      new ThreadMachine().runToEnd(function* () {
        yield* Thread.exit(3);
      }),
      0,
    );
  });

  test("THR-94: a thread's LWP and record serve again only when it is really gone: a thousand detached ones on four CPUs", () => {
    const m = new ThreadMachine({
      cpus: 4,
      strategy: K.seededStrategy(94),
      limits: { lwps: 24, threads: 16 },
    });
    let ran = 0;
    m.spawn(function* () {
      const spawner = Thread.with({ detached: true });
      for (let i = 0; i < 1000; ) {
        const t = yield* outcome(
          spawner.spawn(function* () {
            yield* schedYield();
            ran++;
          }),
        );
        if (t instanceof Thread) i++;
        else yield* Thread.sleep(10);
      }
      yield* Thread.sleep(50);
    });
    m.run(1_000_000);
    assert.equal(ran, 1000);
  });
});

describe("join and detach", () => {
  test("THR-12, THR-72: oneself is EDEADLK; the value arrives; a second join is ESRCH, also of one that waited with the first", () => {
    everywhere(function* (_m, gate) {
      const self = yield* Thread.spawn(function* () {
        return [yield* outcome(Thread.self.join()), yield* outcome(Thread.all([Thread.self]))];
      });
      assert.deepEqual(yield* self.join(), ["EDEADLK", "EDEADLK"]);
      const t = yield* Thread.spawn(park, gate);
      const joiners: Thread<string>[] = [];
      for (let i = 0; i < 4; i++) {
        joiners.push(
          yield* Thread.spawn(function* () {
            return yield* outcome(t.join());
          }),
        );
      }
      yield* Thread.sleep(20);
      gate.open();
      assert.deepEqual((yield* Thread.all(joiners)).toSorted(), ["ESRCH", "ESRCH", "ESRCH", "open"]);
      assert.equal(yield* outcome(t.join()), "ESRCH");
      assert.equal(yield* outcome(t.detach()), "ESRCH");
    });
  });

  test("THR-12, SCH-5: a joiner waits without the kernel boost, so it comes after who was ready before it was woken", () => {
    const m = new ThreadMachine({ cpus: 1 });
    m.runMain(function* () {
      let ended = 0;
      const threads: Thread<void>[] = [];
      for (let i = 0; i < 4; i++) {
        threads.push(
          yield* Thread.spawn(function* () {
            ended++;
          }),
        );
      }
      yield* threads[0].join();
      assert.equal(ended, 4);
      for (const t of threads.slice(1)) yield* t.join();
    });
  });

  test("THR-12: a cancellation pending when the thread has ended acts first, and leaves it to be joined", () => {
    everywhere(function* () {
      const t = yield* Thread.spawn(function* () {
        return "still there";
      });
      const joiner = yield* Thread.spawn(function* () {
        Thread.setCancelState(false);
        yield* Thread.self.cancel();
        yield* Thread.sleep(20);
        Thread.setCancelState(true);
        return yield* t.join();
      });
      assert.equal((yield* caught(joiner.join())).code, "ECANCELED");
      assert.equal(yield* t.join(), "still there");
    });
  });

  test("THR-12: a join that times out, is aborted or cancelled leaves the thread joinable", () => {
    everywhere(function* (_m, gate) {
      const t = yield* Thread.spawn(park, gate);
      assert.equal(yield* outcome(t.join({ timeout: 20 })), "ETIMEDOUT");
      assert.equal(yield* outcome(t.join({ timeout: 0 })), "ETIMEDOUT");
      assert.equal(yield* outcome(t.join({ signal: AbortSignal.abort() })), "AbortError");
      const joiner = yield* Thread.spawn(function* () {
        yield* t.join();
      });
      yield* Thread.sleep(20);
      yield* joiner.cancel();
      assert.equal((yield* caught(joiner.join())).code, "ECANCELED");
      gate.open();
      assert.equal(yield* t.join(), "open");
    });
  });

  test("THR-13, THR-72: detach wakes who joins with EINVAL, and frees one that has ended; of a detached thread join is EINVAL and detach does nothing, as the code has it", () => {
    everywhere(function* (m, gate) {
      const t = yield* Thread.spawn(park, gate);
      const joiner = yield* Thread.spawn(function* () {
        return yield* outcome(t.join());
      });
      yield* Thread.sleep(20);
      yield* t.detach();
      assert.equal(yield* joiner.join(), "EINVAL");
      assert.equal(yield* outcome(t.join()), "EINVAL");
      assert.equal(yield* outcome(Thread.race([t])), "EINVAL");
      yield* t.detach();
      const ended = yield* Thread.spawn(nothing);
      yield* Thread.sleep(20);
      const before = m.k.threads.inUse;
      yield* ended.detach();
      assert.equal(m.k.threads.inUse, before - 1);
      assert.equal(yield* outcome(ended.detach()), "ESRCH");
      gate.open();
    });
  });

  test("THR-72: 25 threads report their values to who joins them", () => {
    everywhere(function* () {
      const threads: Thread<number>[] = [];
      for (let i = 0; i < 25; i++) {
        threads.push(
          yield* Thread.spawn(function* () {
            for (let n = 0; n < i; n++) yield* schedYield();
            return i * 64;
          }),
        );
      }
      for (const [i, t] of threads.entries()) assert.equal(yield* t.join(), i * 64);
    });
  });

  test("a thread that failed is delivered by join with its cause, its lid and its name", () => {
    everywhere(function* () {
      const cause = new RangeError("too far");
      const t = yield* Thread.with({ name: "worker" }).spawn(function* () {
        yield* schedYield();
        throw cause;
      });
      const error = yield* caught(t.join());
      assert.deepEqual(
        [error.name, error.code, error.lid, error.thread, error.cause, error.message],
        ["ThreadError", "ETHREAD", t.lid, "worker", cause, `thread ${t.lid} (worker) failed: too far`],
      );
    });
  });
});

describe("cancellation", () => {
  test("THR-14, THR-96: cancel ends a wait, cleanup runs, and join tells; one that computes acts at its next point", () => {
    everywhere(function* (_m, gate) {
      const seen: string[] = [];
      let computed = false;
      const waits = yield* Thread.spawn(function* () {
        try {
          yield* gate.wait();
        } finally {
          seen.push("cleanup");
        }
      });
      const computes = yield* Thread.spawn(function* () {
        while (!computed) yield* schedYield();
        yield* Thread.testCancel();
        seen.push("not reached");
      });
      yield* Thread.sleep(20);
      yield* waits.cancel();
      const error = yield* caught(waits.join());
      assert.deepEqual([error.code, error.message], ["ECANCELED", `thread ${waits.lid} was cancelled`]);
      assert.ok(error.cause instanceof Cancelled);
      yield* computes.cancel();
      yield* Thread.sleep(20);
      computed = true;
      assert.equal((yield* caught(computes.join())).code, "ECANCELED");
      assert.deepEqual(seen, ["cleanup"]);
      const late = yield* Thread.spawn(nothing);
      yield* Thread.sleep(20);
      yield* late.cancel();
      yield* late.join();
      assert.equal(yield* outcome(late.cancel()), "ESRCH");
    });
  });

  test("THR-14: a thread that computes is not interrupted, and a wakeup that reaches it outside a point is lost on it", () => {
    const m = new ThreadMachine();
    const seen: string[] = [];
    m.runMain(function* () {
      const t = yield* Thread.spawn(function* () {
        for (let i = 0; i < 5; i++) {
          seen.push(`step ${i}`);
          yield* schedYield();
        }
        yield* Thread.testCancel();
        seen.push("not reached");
      });
      yield* schedYield();
      yield* t.cancel();
      yield* outcome(t.join());
    });
    assert.deepEqual(seen, ["step 0", "step 1", "step 2", "step 3", "step 4"]);
  });

  test("THR-15, THR-16: disabled, a cancellation waits until it is enabled again; the old state is returned, anything but a boolean is EINVAL", () => {
    everywhere(function* (_m, gate) {
      const seen: unknown[] = [];
      const t = yield* Thread.spawn(function* () {
        seen.push(Thread.setCancelState(false), Thread.setCancelState(false));
        assert.throws(() => Thread.setCancelState(1 as never), { code: "EINVAL" });
        yield* gate.wait();
        yield* Thread.testCancel();
        seen.push("past");
        seen.push(Thread.setCancelState(true));
        seen.push("computes on");
        yield* Thread.sleep(10);
        seen.push("not reached");
      });
      yield* Thread.sleep(20);
      yield* t.cancel();
      yield* Thread.sleep(20);
      gate.open();
      assert.equal((yield* caught(t.join())).code, "ECANCELED");
      assert.deepEqual(seen, [true, false, "past", false, "computes on"]);
    });
  });

  test("THR-16: an operation under Thread.uncancellable ends before the cancellation acts; states nest", () => {
    everywhere(function* (_m, gate) {
      let got = "";
      const t = yield* Thread.spawn(function* () {
        got = yield* Thread.uncancellable(Thread.uncancellable(gate.wait()));
        yield* Thread.sleep(0);
        yield* Thread.testCancel();
        got = "not reached";
      });
      yield* Thread.sleep(20);
      yield* t.cancel();
      yield* Thread.sleep(20);
      gate.open();
      assert.equal((yield* caught(t.join())).code, "ECANCELED");
      assert.equal(got, "open");
    });
  });

  test("THR-17: what came with the cancellation is not lost: a wait that has got what it wanted returns it, unlike in the original, and the next one acts", () => {
    everywhere(function* (_m, gate) {
      const seen: string[] = [];
      const t = yield* Thread.spawn(function* () {
        Thread.setCancelState(false);
        yield* Thread.self.cancel();
        gate.isOpen = true;
        Thread.setCancelState(true);
        seen.push(yield* gate.wait());
        yield* Thread.sleep(10);
        seen.push("not reached");
      });
      assert.equal((yield* caught(t.join())).code, "ECANCELED");
      assert.deepEqual(seen, ["open"]);
    });
  });

  test("THR-18: cleanup is finally and using: newest first, each once, and not when its block was left before", () => {
    everywhere(function* (_m, gate) {
      const seen: string[] = [];
      const handler = (name: string) => ({ [Symbol.dispose]: () => seen.push(name) });
      const t = yield* Thread.spawn(function* () {
        using _a = handler("a");
        using _b = handler("b");
        {
          using _c = handler("c");
        }
        try {
          yield* gate.wait();
        } finally {
          seen.push("d");
        }
      });
      yield* Thread.sleep(20);
      yield* t.cancel();
      assert.equal((yield* caught(t.join())).code, "ECANCELED");
      assert.deepEqual(seen, ["c", "d", "b", "a"]);
    });
  });

  test("THR-79: after self-cancel, disabled waits go through; the first one after enabling ends the thread, hence the process, with status 0", () => {
    const m = new ThreadMachine();
    const seen: string[] = [];
    const status = m.runToEnd(function* () {
      Thread.setCancelState(false);
      yield* Thread.self.cancel();
      yield* Thread.sleep(10);
      seen.push("disabled");
      Thread.setCancelState(true);
      yield* Thread.sleep(10);
      seen.push("not reached");
    });
    assert.deepEqual([status, seen], [0, ["disabled"]]);
  });

  test("what a thread throws that is detached while its error is being put away ends its process", () => {
    const error = new Error("unheard");
    // Read when the error is put away: another CPU may do it at this moment.
    Object.defineProperty(error, "detaches", {
      enumerable: true,
      get: () => void Thread.self.detach()[Symbol.iterator]().next(),
    });
    const fails = function* (): Generator<K.Token, void> {
      throw error;
    };
    const m = new ThreadMachine({ entries: [fails] });
    const main = function* (): Generator<K.Token, void> {
      yield* Thread.spawn(fails);
      for (let n = 0; n < 10; n++) yield* Thread.sleep(10);
    };
    assert.throws(
      () => m.runToEnd(main),
      (told) => told === error,
    );
  });

  test("Cancelled that is caught and not thrown on leaves cancellation disabled; a detached thread ends in silence", () => {
    everywhere(function* (m, gate) {
      const t = yield* Thread.spawn(function* () {
        try {
          yield* gate.wait();
        } catch (error) {
          assert.ok(error instanceof Cancelled && error instanceof LwpError);
        }
        yield* Thread.sleep(10);
        return "went on";
      });
      const detached = yield* Thread.with({ detached: true }).spawn(park, gate);
      yield* Thread.sleep(20);
      yield* t.cancel();
      yield* detached.cancel();
      assert.equal(yield* t.join(), "went on");
      yield* Thread.sleep(20);
      assert.equal(detached.isGood, false);
      assert.equal(m.uncaught.length, 0);
    });
  });
});

describe("suspension", () => {
  test("THR-58: suspend blocks until the thread is suspended, and resume lets it go on; oneself is EDEADLK, one that has ended ESRCH", () => {
    everywhere(function* () {
      let n = 0;
      let stop = false;
      const t = yield* Thread.spawn(function* () {
        while (!stop) {
          n++;
          yield* schedYield();
        }
      });
      while (n === 0) yield* schedYield();
      yield* t.suspend();
      const before = n;
      for (let i = 0; i < 10; i++) yield* schedYield();
      assert.equal(n, before);
      yield* t.resume();
      while (n === before) yield* schedYield();
      stop = true;
      while ((yield* outcome(lwpContinue(t.lid))) !== "ESRCH") yield* schedYield();
      assert.equal(yield* outcome(t.suspend()), "ESRCH");
      assert.equal(yield* outcome(t.resume()), "ESRCH");
      yield* t.join();
      assert.equal(yield* outcome(Thread.self.suspend()), "EDEADLK");
    });
  });
});

describe("several threads", () => {
  test("Thread.all returns all values in order, of no thread at once", () => {
    everywhere(function* () {
      assert.deepEqual(yield* Thread.all([]), []);
      const a = yield* Thread.spawn(function* () {
        yield* Thread.sleep(30);
        return 1;
      });
      const b = yield* Thread.spawn(function* () {
        return "two";
      });
      const [one, two] = yield* Thread.all([a, b]);
      assert.deepEqual([one + 1, two.length], [2, 3]);
    });
  });

  test("Thread.all throws the first failure at once, in time and not in order, and leaves the others to be joined", () => {
    everywhere(function* (_m, gate) {
      const slow = yield* Thread.spawn(park, gate);
      const fails = yield* Thread.spawn(function* () {
        yield* Thread.sleep(20);
        throw new Error("no");
      });
      const error = yield* caught(Thread.all([slow, fails]));
      assert.equal(error.lid, fails.lid);
      assert.equal(yield* outcome(fails.join()), "ESRCH");
      gate.open();
      assert.equal(yield* slow.join(), "open");
    });
  });

  test("Thread.race returns the first to end, and leaves the others; none is EINVAL", () => {
    everywhere(function* (_m, gate) {
      const slow = yield* Thread.spawn(park, gate);
      const quick = yield* Thread.spawn(function* () {
        yield* Thread.sleep(20);
        return "quick";
      });
      assert.equal(yield* Thread.race([slow, quick]), "quick");
      const fails = yield* Thread.spawn(function* () {
        yield* schedYield();
        throw new Error("no");
      });
      assert.equal((yield* caught(Thread.race([slow, fails]))).lid, fails.lid);
      assert.equal(yield* outcome(Thread.race([slow], { timeout: 20 })), "ETIMEDOUT");
      assert.equal(yield* outcome(Thread.race([])), "EINVAL");
      gate.open();
      assert.equal(yield* Thread.race([slow]), "open");
      assert.throws(() => Thread.all([1 as never]), TypeError);
    });
  });

  test("several may wait for the same threads: each thread is joined once", () => {
    for (let seed = 0; seed < 30; seed++) {
      const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const threads: Thread<number>[] = [];
        for (let i = 0; i < 4; i++) {
          threads.push(
            yield* Thread.spawn(function* () {
              for (let n = 0; n <= i; n++) yield* schedYield();
              return i;
            }),
          );
        }
        const racers: Thread<number | string>[] = [];
        for (let i = 0; i < 2; i++) {
          racers.push(
            yield* Thread.spawn(function* () {
              const one = yield* outcome(Thread.race(threads));
              return one;
            }),
          );
        }
        const got = yield* Thread.all(racers);
        const numbers = got.filter((x) => typeof x === "number");
        assert.equal(new Set(numbers).size, numbers.length, `seed ${seed}: ${got.join()}`);
        for (const t of threads) yield* outcome(t.join());
      });
    }
  });
});

test("a thread that failed and was never joined is reported when its process ends", () => {
  const m = new ThreadMachine({ cpus: 2 });
  const cause = new Error("never heard");
  m.spawn(function* () {
    yield* Thread.spawn(function* () {
      yield* schedYield();
      throw cause;
    });
    const cancelled = yield* Thread.spawn(park, new Gate(m));
    yield* Thread.sleep(20);
    yield* cancelled.cancel();
    yield* Thread.sleep(20);
  });
  m.run();
  const [{ pid, status }] = m.sim.collected;
  assert.equal(status, 0);
  assert.equal(
    m.asCpu(() => K.freeLeftovers(m.k, pid, status)),
    1 << 8,
  );
  assert.deepEqual(m.unjoined, [cause]);
  assert.deepEqual(K.checkEmpty(m.k), []);
});

/** The ThreadError that an operation throws. */
function* caught(operation: Operation<unknown>): Generator<K.Token, ThreadError, undefined> {
  try {
    yield* operation;
  } catch (error) {
    assert.ok(error instanceof ThreadError, String(error));
    return error;
  }
  return assert.fail("nothing was thrown");
}
