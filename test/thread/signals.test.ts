/** Signals for threads: THR-59, THR-60, THR-77, THR-78, THR-81's post from a handler, THR-90, and what is this library's own. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  Cancelled,
  Condition,
  Mutex,
  type Operation,
  RwLock,
  Semaphore,
  type SignalInfo,
  Signals,
  Thread,
} from "lwp";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { lwpRun } from "../support/host.js";
import { attempt } from "../support/sim.js";
import { ThreadMachine } from "../support/threads.js";

type Gen<T = void> = Generator<K.Token, T, undefined>;

/** Runs `main` on a simulated machine of two CPUs, to its successful end; any actor may go next. */
function run(main: () => Gen<unknown>, seed = 1): ThreadMachine {
  const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
  m.runMain(function* () {
    yield* { [Symbol.iterator]: main };
  });
  return m;
}

/** Ends a process in the way that the body does; its status as `wait` gives it. */
function endOf(body: () => Gen<unknown>): number {
  const m = new ThreadMachine();
  return m.runToEnd(function* () {
    yield* { [Symbol.iterator]: body };
  });
}

function* forever(): Gen {
  for (;;) yield* Thread.sleep(1000);
}

/** Waits until a condition holds, giving way. */
function* until(holds: () => boolean): Gen {
  while (!holds()) yield* Thread.yield();
}

/** Waits until a thread sleeps, on what this message says; "" = on anything. */
function* asleep(t: Thread, wmesg = ""): Gen {
  const l = K.cur.lwp;
  const sleeps = (): boolean => {
    K.spinEnter(l.k, l.proc.lock);
    const l2 = K.lwpFind(l.proc, t.lid);
    K.spinExit(l.k, l.proc.lock);
    return l2 !== null && l2.wchan !== 0 && (wmesg === "" || l2.wmesg === wmesg);
  };
  yield* until(sleeps);
}

describe("Thread.kill", () => {
  test("THR-59: EINVAL outside 0..63, ESRCH; 0 only looks; no signal is the library's own", () => {
    run(function* () {
      const t = yield* Thread.spawn(forever);
      for (const bad of [-1, 64, 1.5, "SIGNONE", "", "SIGRTMIN+31"] as never[]) {
        assert.equal(yield* attempt(t.kill(bad)), "EINVAL");
      }
      yield* t.kill(0);
      // All of them can be caught, but for the two that cannot.
      for (let sig = 1; sig < 64; sig++) {
        const expected = sig === K.SIGKILL || sig === K.SIGSTOP ? "EINVAL" : "default";
        assert.equal(yield* attempt(Signals.handle(sig, "ignore") as Operation<unknown>), expected);
        if (expected === "default") yield* t.kill(sig);
      }
      yield* t.cancel();
      yield* attemptJoin(t);
      assert.equal(yield* attempt(t.kill(0)), "ESRCH");
      const ended = yield* Thread.spawn(function* () {});
      yield* until(() => ended.isGood && stateOf(ended) === "gone");
      assert.equal(yield* attempt(ended.kill("SIGUSR1")), "ESRCH");
      yield* ended.join();
    });
  });

  /** Whether the thread's LWP is still there. */
  function stateOf(t: Thread): string {
    const l = K.cur.lwp;
    K.spinEnter(l.k, l.proc.lock);
    const found = K.lwpFind(l.proc, t.lid);
    K.spinExit(l.k, l.proc.lock);
    return found === null ? "gone" : "there";
  }

  function* attemptJoin(t: Thread): Gen {
    try {
      yield* t.join();
    } catch {
      // It was cancelled.
    }
  }

  test("THR-77: directed signals run in exactly the target threads, never in main, and a handler finds its thread", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const ran: Thread[] = [];
      run(function* () {
        yield* Signals.handle("SIGUSR1", () => ran.push(Thread.self));
        const threads: Thread[] = [];
        for (let i = 0; i < 4; i++) threads.push(yield* Thread.spawn(i % 2 === 0 ? forever : computing));
        for (const t of threads) yield* t.kill("SIGUSR1");
        yield* until(() => ran.length === threads.length);
        assert.deepEqual(
          ran.map((t) => t.lid).sort((a, b) => a - b),
          threads.map((t) => t.lid),
          `seed ${seed}`,
        );
        assert.ok(ran.every((t) => threads.includes(t) && t !== Thread.self));
      }, seed);
    }
  });

  function* computing(): Gen {
    for (;;) yield* Thread.yield();
  }

  test("THR-60: process-directed signals go to any one thread that can take them; raise goes to the caller", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const ran: number[] = [];
      run(function* () {
        yield* Signals.handle("SIGUSR1", () => ran.push(Thread.self.lid));
        const open = yield* Thread.spawn(forever);
        yield* Signals.block("SIGUSR1");
        for (let i = 0; i < 3; i++) yield* Thread.spawn(forever);
        for (let n = 1; n <= 3; n++) {
          yield* Signals.kill("SIGUSR1");
          yield* until(() => ran.length === n);
        }
        assert.deepEqual(ran, [open.lid, open.lid, open.lid], `seed ${seed}`);
        yield* Signals.unblock("SIGUSR1");
        yield* Signals.raise("SIGUSR1");
        assert.equal(ran[3], Thread.self.lid);
      }, seed);
    }
  });

  test("THR-60: handlers may interrupt what waits for a lock, a condition, a semaphore: the wait goes on", () => {
    for (let seed = 1; seed <= 10; seed++) {
      run(function* () {
        let handled = 0;
        yield* Signals.handle("SIGUSR1", () => handled++);
        const m = new Mutex();
        const c = new Condition();
        const s = new Semaphore(0);
        const gate = new Semaphore(0);
        let ready = false;
        const got: string[] = [];
        yield* m.lock();
        const sleeper = yield* Thread.spawn(function* () {
          yield* gate.wait();
          return "slept";
        });
        const waiters = [
          yield* Thread.spawn(function* () {
            yield* m.lock();
            got.push("mutex");
            m.unlock();
          }),
          yield* Thread.spawn(function* () {
            yield* s.wait();
            got.push("semaphore");
          }),
          yield* Thread.spawn(function* () {
            const own = new Mutex();
            using _ = yield* own.guard();
            while (!ready) yield* c.wait(own);
            got.push("condition");
            assert.equal(own.owner, Thread.self.lid);
          }),
          yield* Thread.spawn(function* () {
            assert.equal(yield* sleeper.join(), "slept");
            got.push("join");
          }),
        ];
        for (const t of [...waiters, sleeper]) yield* asleep(t);
        for (let round = 1; round <= 3; round++) {
          for (const t of [...waiters, sleeper]) yield* t.kill("SIGUSR1");
          yield* until(() => handled === round * 5);
        }
        assert.deepEqual(got, [], `seed ${seed}`);
        m.unlock();
        s.post();
        gate.post();
        ready = true;
        c.broadcast();
        for (const t of waiters) yield* t.join();
        assert.equal(got.length, 4);
        for (const o of [m, c, s, gate]) o.dispose();
      }, seed);
    }
  });

  test("THR-60: a handler may post a semaphore, and may use operations of its own", () => {
    run(function* () {
      const s = new Semaphore(0);
      yield* Signals.handle("SIGALRM", () => s.post());
      for (let n = 0; n < 50; n++) {
        yield* Signals.alarm(10);
        yield* s.wait();
      }
      const seen: unknown[] = [];
      yield* Signals.handle("SIGUSR1", function* (info: SignalInfo): Gen {
        yield* Thread.sleep(30);
        seen.push(info.signal, Signals.mask);
      });
      const t = yield* Thread.spawn(function* () {
        yield* Thread.sleep(10_000);
        return "slept";
      });
      yield* t.kill("SIGUSR1");
      assert.equal(yield* t.join(), "slept");
      assert.deepEqual(seen, ["SIGUSR1", ["SIGUSR1"]]);
      s.dispose();
    });
  });

  test("an exception of a handler is thrown where its thread was interrupted", () => {
    run(function* () {
      yield* Signals.handle("SIGUSR1", () => {
        throw new Error("wake up");
      });
      const m = new Mutex();
      yield* m.lock();
      const waits: (() => Operation<unknown>)[] = [
        () => m.lock(),
        () => m.lock({ timeout: 1e6 }),
        () => Thread.sleep(1e9),
        () => S.lwpPark(),
        () => Signals.wait(["SIGUSR2"]),
        () => Signals.suspend([]),
        () => S.sigsuspend([]),
        () => Thread.yield(),
      ];
      for (const [n, wait] of waits.entries()) {
        let begun = false;
        const t = yield* Thread.spawn(function* () {
          try {
            begun = true;
            for (;;) yield* wait();
          } catch (error) {
            assert.deepEqual(Signals.mask, []);
            return (error as Error).message;
          }
        });
        yield* n < waits.length - 1 ? asleep(t) : until(() => begun);
        yield* t.kill("SIGUSR1");
        assert.equal(yield* t.join(), "wake up", `wait ${n}`);
      }
      m.unlock();
      m.dispose();
    });
  });

  test("what an operation had got when a handler threw goes back: locks, permits", () => {
    for (let seed = 1; seed <= 60; seed++) {
      run(function* () {
        yield* Signals.handle("SIGUSR1", () => {
          throw new Error("out");
        });
        const [m, r, s] = [new Mutex(), new RwLock(), new Semaphore(1)];
        const uses: readonly [() => Operation<unknown>, () => void][] = [
          [() => m.lock(), () => m.unlock()],
          [() => m.lock({ timeout: 1e6 }), () => m.unlock()],
          [() => r.readLock(), () => r.unlock()],
          [() => r.writeLock(), () => r.unlock()],
          [() => s.wait(), () => s.post()],
        ];
        const threads: Thread[] = [];
        for (let i = 0; i < 10; i++) {
          const [take, give] = uses[i % uses.length];
          threads.push(
            yield* Thread.spawn(function* () {
              for (let n = 0; n < 3; n++) {
                // In the window only while it takes: what it has it gives back.
                let taken = false;
                try {
                  yield* Signals.unblock("SIGUSR1");
                  yield* take();
                  taken = true;
                  yield* Signals.block("SIGUSR1");
                } catch {
                  // A handler has thrown.
                }
                if (taken) give();
              }
              yield* Signals.block("SIGUSR1");
            }),
          );
        }
        yield* Signals.block("SIGUSR1");
        for (let n = 0; n < 3; n++) {
          for (const t of threads) {
            yield* attempt(t.kill("SIGUSR1"));
            yield* Thread.yield();
          }
        }
        for (const t of threads) {
          try {
            yield* t.join();
          } catch {
            // The last block of it was interrupted.
          }
        }
        assert.equal(m.tryLock() && r.tryWriteLock() && s.tryWait(), true, `seed ${seed}`);
        m.unlock();
        r.unlock();
        for (const o of [m, r, s]) o.dispose();
      }, seed);
    }
  });

  test("a cancelled thread is cancelled in its handler, and in what waits for signals", () => {
    run(function* () {
      let handling = false;
      yield* Signals.handle("SIGUSR1", function* () {
        handling = true;
        yield* forever();
      });
      for (const body of [forever, () => Signals.wait(["SIGUSR2"]), () => Signals.suspend([])]) {
        handling = false;
        const t = yield* Thread.spawn(function* () {
          yield* { [Symbol.iterator]: () => body()[Symbol.iterator]() } as Operation<unknown>;
        });
        yield* asleep(t);
        yield* t.kill("SIGUSR1");
        yield* until(() => handling);
        yield* t.cancel();
        try {
          yield* t.join();
          assert.fail("it was cancelled");
        } catch (error) {
          assert.ok((error as Error).cause instanceof Cancelled);
        }
      }
    });
  });

  test("an uncaught one ends the process, whoever it is directed to", () => {
    assert.equal(
      endOf(function* () {
        const t = yield* Thread.spawn(forever);
        yield* t.kill("SIGTERM");
        yield* forever();
      }),
      K.SIGTERM,
    );
  });
});

describe("masks", () => {
  test("THR-59: the mask is the thread's own, and inherited; KILL and STOP cannot be masked", () => {
    run(function* () {
      assert.deepEqual(yield* Signals.block("SIGUSR1", "SIGKILL", "SIGSTOP", 33), []);
      const t = yield* Thread.spawn(function* () {
        const inherited = Signals.mask;
        yield* Signals.setMask(["SIGRTMIN+30"]);
        return [inherited, Signals.mask];
      });
      assert.deepEqual(yield* t.join(), [["SIGUSR1", "SIGRTMIN"], ["SIGRTMIN+30"]]);
      assert.deepEqual(yield* Signals.unblock("SIGRTMIN"), ["SIGUSR1", "SIGRTMIN"]);
      assert.deepEqual(yield* Signals.setMask([]), ["SIGUSR1"]);
      assert.deepEqual(Signals.mask, []);
    });
  });

  test("THR-77: masks are respected before threads exist and while they run; a blocked SIGFPE stays blocked", () => {
    const log: string[] = [];
    run(function* () {
      const handler = (info: SignalInfo): void => void log.push(`${Thread.self.lid} ${info.signal}`);
      for (const signal of ["SIGUSR1", "SIGUSR2", "SIGALRM"] as const) {
        yield* Signals.handle(signal, handler, { mask: ["SIGUSR1", "SIGUSR2", "SIGALRM"] });
      }
      // Before: pending in any order, handled in the order of their numbers.
      yield* Signals.block("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGFPE");
      for (const signal of ["SIGUSR2", "SIGUSR1", "SIGALRM"] as const) yield* Signals.raise(signal);
      assert.deepEqual(Signals.pending, ["SIGALRM", "SIGUSR1", "SIGUSR2"]);
      assert.deepEqual(log, []);
      yield* Signals.setMask(["SIGFPE"]);
      assert.deepEqual(log.splice(0), ["1 SIGALRM", "1 SIGUSR1", "1 SIGUSR2"]);
      // In different threads, each the one that it does not mask.
      yield* Signals.block("SIGUSR1", "SIGUSR2");
      const threads: Thread[] = [];
      for (const signal of ["SIGUSR1", "SIGUSR2"] as const) {
        threads.push(
          yield* Thread.spawn(function* () {
            yield* Signals.unblock(signal);
            for (;;) yield* Thread.sleep(1000);
          }),
        );
      }
      for (const t of threads) yield* asleep(t);
      yield* Signals.kill("SIGUSR2");
      yield* Signals.kill("SIGUSR1");
      yield* until(() => log.length === 2);
      assert.deepEqual(log.toSorted(), [`${threads[0].lid} SIGUSR1`, `${threads[1].lid} SIGUSR2`]);
      yield* Signals.kill("SIGFPE");
      yield* threads[0].kill("SIGFPE");
      yield* Thread.sleep(50);
      assert.deepEqual(Signals.pending, ["SIGFPE"]);
    });
  });

  test("THR-77: who sleeps with a signal blocked is not disturbed when another unblocks it", () => {
    run(function* () {
      const ran: number[] = [];
      yield* Signals.handle("SIGUSR1", () => ran.push(Thread.self.lid));
      yield* Signals.block("SIGUSR1");
      let woken = false;
      const t = yield* Thread.spawn(function* () {
        yield* Thread.sleep(1e6, { interruptible: true });
        woken = true;
      });
      yield* asleep(t);
      yield* Signals.kill("SIGUSR1");
      yield* Signals.unblock("SIGUSR1");
      yield* Thread.sleep(50);
      assert.deepEqual([ran, woken], [[1], false]);
      yield* t.detach();
    });
  });
});

describe("waiting", () => {
  test("THR-59: wait takes a pending signal, or one that comes; its time-out is ETIMEDOUT, never signal 0", () => {
    run(function* () {
      yield* Signals.block("SIGUSR1", "SIGUSR2");
      yield* Signals.raise("SIGUSR2");
      assert.equal((yield* Signals.wait(["SIGUSR1", "SIGUSR2"])).signal, "SIGUSR2");
      assert.equal(yield* attempt(Signals.wait(["SIGUSR1"], { timeout: 0 })), "ETIMEDOUT");
      assert.equal(yield* attempt(Signals.wait(["SIGUSR1"], { timeout: 30 })), "ETIMEDOUT");
      assert.equal(yield* attempt(Signals.wait(["SIGNONE" as never])), "EINVAL");
      const main = Thread.self;
      yield* Thread.spawn(function* () {
        yield* asleep(main, "sigwait");
        yield* main.kill("SIGUSR1");
      });
      const info = yield* Signals.wait(["SIGUSR1"]);
      assert.deepEqual([info.signal, info.code, info.lid], ["SIGUSR1", K.SI_LWP, main.lid]);
    });
  });

  test("THR-59: a handler without restart, or a wakeup, ends the wait with ECANCELED; one with restart does not", () => {
    for (const restart of [true, false]) {
      run(function* () {
        let handled = 0;
        yield* Signals.handle("SIGUSR1", () => handled++, { restart });
        const t = yield* Thread.spawn(
          () => attempt(Signals.wait(["SIGUSR2"], { timeout: 1000 })) as Gen<unknown>,
        );
        yield* asleep(t, "sigwait");
        yield* t.kill("SIGUSR1");
        assert.equal(yield* t.join(), restart ? "ETIMEDOUT" : "ECANCELED");
        assert.equal(handled, 1);
        const t2 = yield* Thread.spawn(() => attempt(Signals.wait(["SIGUSR2"])) as Gen<unknown>);
        yield* asleep(t2, "sigwait");
        yield* S.lwpWakeup(t2.lid);
        assert.equal(yield* t2.join(), "ECANCELED");
      });
    }
  });

  test("THR-78: an alarm set by a thread that masks all signals reaches main in suspend([])", () => {
    for (let seed = 1; seed <= 10; seed++) {
      run(function* () {
        const ran: number[] = [];
        yield* Signals.handle("SIGALRM", () => ran.push(Thread.self.lid));
        const all = Array.from({ length: 63 }, (_, i) => i + 1);
        yield* Signals.setMask(all);
        const t = yield* Thread.spawn(function* () {
          yield* Signals.alarm(20);
          yield* Thread.sleep(200);
        });
        yield* Signals.suspend([]);
        assert.deepEqual(ran, [1], `seed ${seed}`);
        // And the mask is as before.
        assert.equal(Signals.mask.length, 61);
        yield* t.join();
      }, seed);
    }
  });

  test("THR-78: an exception out of a handler, as a jump, restores the mask", () => {
    run(function* () {
      yield* Signals.handle("SIGUSR1", () => {
        assert.deepEqual(Signals.mask, ["SIGUSR1", "SIGUSR2"]);
        throw new RangeError("jump");
      });
      yield* Signals.block("SIGUSR2");
      for (let i = 0; i < 3; i++) {
        try {
          yield* Signals.raise("SIGUSR1");
          assert.fail("it jumps");
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
        assert.deepEqual(Signals.mask, ["SIGUSR2"]);
      }
    });
  });

  test("THR-78: an absurdly long sleep that may be interrupted is ended by a handled signal that only its thread does not mask", () => {
    run(function* () {
      const ran: number[] = [];
      yield* Signals.handle("SIGALRM", () => ran.push(Thread.self.lid));
      const t = yield* Thread.spawn(
        () => attempt(Thread.sleep(1e12, { interruptible: true })) as Gen<unknown>,
      );
      yield* Signals.block("SIGALRM");
      yield* asleep(t);
      yield* Signals.alarm(50);
      assert.equal(yield* t.join(), "EINTR");
      assert.deepEqual(ran, [t.lid]);
    });
  });

  test("suspend: a time-out, and a cancellation, give the mask back; without a mask it stays as it is", () => {
    run(function* () {
      yield* Signals.block("SIGUSR1");
      yield* Signals.raise("SIGUSR1");
      assert.equal(yield* attempt(Signals.suspend(undefined, { timeout: 30 })), "ETIMEDOUT");
      assert.equal(yield* attempt(Signals.suspend(["SIGUSR1", "SIGUSR2"], { timeout: 30 })), "ETIMEDOUT");
      assert.deepEqual(Signals.mask, ["SIGUSR1"]);
      assert.equal(K.cur.lwp.sigrestore, 0);
    });
  });

  test("alarm: the milliseconds that were left; 0 takes it back", () => {
    run(function* () {
      yield* Signals.handle("SIGALRM", () => assert.fail("it was taken back"));
      assert.equal(yield* Signals.alarm(100), 0);
      const left = yield* Signals.alarm(0);
      assert.ok(left > 0 && left <= 120, String(left));
      assert.equal(yield* Signals.alarm(0), 0);
      assert.equal(yield* attempt(Signals.alarm(Number.NaN)), "EINVAL");
      yield* Thread.sleep(200);
    });
  });
});

describe("handle", () => {
  test("what was done before comes back: a function, or its default, or nothing", () => {
    run(function* () {
      const f = (): void => {};
      assert.equal(yield* Signals.handle("SIGUSR1", f), "default");
      assert.equal(yield* Signals.handle("SIGUSR1", "ignore"), f);
      assert.equal(yield* Signals.handle("SIGUSR1", "default"), "ignore");
      for (const bad of ["no", 1, null] as never[]) {
        const error = yield* attempt(Signals.handle("SIGUSR1", bad) as Operation<unknown>);
        assert.ok(error === "EINVAL" || error === "EFAULT");
      }
      assert.equal(yield* attempt(Signals.handle("SIGSTOP", f) as Operation<unknown>), "EINVAL");
    });
  });

  test("once: the second one ends the process; nested: it interrupts its own handler", () => {
    assert.equal(
      endOf(function* () {
        yield* Signals.handle("SIGUSR1", () => {}, { once: true });
        yield* Signals.raise("SIGUSR1");
        yield* Signals.raise("SIGUSR1");
      }),
      K.SIGUSR1,
    );
    run(function* () {
      let depth = 0;
      let deepest = 0;
      yield* Signals.handle(
        "SIGUSR1",
        function* (): Gen {
          deepest = Math.max(deepest, ++depth);
          if (deepest < 5) yield* Signals.raise("SIGUSR1");
          depth--;
        },
        { nested: true },
      );
      yield* Signals.raise("SIGUSR1");
      assert.deepEqual([depth, deepest], [0, 5]);
    });
  });

  test("a stopped process goes on with SIGCONT from outside; a thread of it may not have noticed", () => {
    const m = new ThreadMachine({ cpus: 2 });
    let slept = 0;
    const p = m.spawn(function* () {
      yield* Signals.raise("SIGSTOP");
      slept++;
    });
    m.run();
    assert.deepEqual([p.stat, slept], [K.SSTOP, 0]);
    m.asCpu(() => K.psignal(p, K.siginfo(K.SIGCONT)));
    m.run();
    assert.equal(slept, 1);
  });
});

describe("THR-90: what the library needs of the kernel", () => {
  test("THR-90: create, suspended and detached too, suspend, continue, exit, self, wakeup, kill, park, names, words, mask, pointer", () => {
    // Each call is there and does its part; what exactly is tested with its statement.
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(1) });
    const log: unknown[] = [];
    m.runMain(function* () {
      const handled: number[] = [];
      yield* S.sigaction(K.SIGUSR1, { handler: () => handled.push(K.cur.lwp.lid) });
      const lid = yield* S.lwpCreate(function* () {
        yield* S.lwpSetprivate(7);
        log.push(yield* S.lwpSelf(), yield* attempt(S.lwpPark()), yield* S.lwpGetprivate());
        log.push(yield* attempt(S.lwpPark()));
        for (;;) yield* attempt(S.lwpPark());
      }, S.LWP_SUSPENDED | S.LWP_DETACHED);
      yield* S.lwpSetname(lid, "worker");
      yield* S.lwpContinue(lid);
      const blocked = yield* S.sigprocmask(K.SIG_BLOCK, [K.SIGUSR1]);
      yield* until(() => log.length === 0 && K.cur.lwp.k.lwps.view(l2(lid)).wmesg === "parked");
      yield* S.lwpUnpark(lid);
      yield* until(() => log.length === 3);
      yield* until(() => K.cur.lwp.k.lwps.view(l2(lid)).wmesg === "parked");
      yield* S.lwpWakeup(lid);
      yield* until(() => log.length === 4);
      yield* S.lwpKill(lid, 0);
      yield* S.kill(0, K.SIGUSR1);
      yield* until(() => handled.length === 1);
      const words = yield* S.lwpCtl(S.LWPCTL_FEATURE_CURCPU);
      yield* S.lwpSuspend(lid);
      yield* S.lwpUnparkAll([lid]);
      yield* S.schedYield();
      log.push(yield* S.lwpGetname(lid), handled[0] === lid, blocked, words.curcpu >= 0);
      const t = yield* Thread.with({ priority: 10, cpu: 1 }).spawn(function* () {
        return [Thread.self.priority, Thread.cpu];
      });
      log.push(yield* t.join());
      const shared = new Int32Array(new SharedArrayBuffer(4));
      log.push(Atomics.compareExchange(shared, 0, 0, 1), shared[0]);
    });
    assert.deepEqual(log, [2, undefined, 7, "EINTR", "worker", true, [], true, [10, 1], 0, 1]);
  });

  /** Index of an LWP of the caller's process. */
  function l2(lid: number): number {
    const l = K.cur.lwp;
    K.spinEnter(l.k, l.proc.lock);
    const found = K.lwpFind(l.proc, lid);
    K.spinExit(l.k, l.proc.lock);
    return found?.index ?? 1;
  }
});

describe("on real CPUs", () => {
  test("a top-level handler runs on whichever CPU the signal finds a thread; a closure only on its own", async () => {
    const { stdout, stderr, status } = await lwpRun(
      `import { Semaphore, Signals, Thread } from "lwp";
       export function* main() {
         const ready = new Semaphore(0);
         const ran = new Semaphore(0);
         const seen = new Semaphore(0);
         yield* Signals.handle("SIGUSR1", onSignal);
         yield* Signals.handle("SIGUSR2", () => seen.post());
         const threads = [];
         for (let cpu = 0; cpu < 2; cpu++) {
           threads.push(yield* Thread.with({ cpu }).spawn(worker, ready, ran));
         }
         for (let n = 0; n < 2; n++) yield* ready.wait();
         for (const t of threads) yield* t.kill("SIGUSR1");
         for (let n = 0; n < 2; n++) yield* ran.wait();
         // The closure runs on CPU 0 alone: main, or the worker there.
         for (let n = 0; n < 10; n++) {
           yield* Signals.kill("SIGUSR2");
           yield* seen.wait();
         }
         for (const t of threads) console.log(yield* t.join());
       }
       let where = null;
       function* onSignal(info) {
         where = [info.signal, Thread.cpu];
       }
       function* worker(ready, ran) {
         ready.post();
         while (where === null) yield* Thread.yield();
         ran.post();
         return where;
       }`,
      2,
    );
    assert.equal(stderr, "");
    assert.equal(status, 0);
    assert.deepEqual(stdout.trim().split("\n"), ["[ 'SIGUSR1', 0 ]", "[ 'SIGUSR1', 1 ]"]);
  });

  test("a thread that computes without an operation takes a signal at a poll; the default action gives status 128 + n", async () => {
    const { stdout, status } = await lwpRun(
      `import { Semaphore, Signals, Thread } from "lwp";
       export function* main() {
         yield* Signals.handle("SIGUSR1", onSignal);
         const begun = new Semaphore(0);
         const t = yield* Thread.with({ cpu: 1 }).spawn(spin, begun);
         yield* begun.wait();
         yield* t.kill("SIGUSR1");
         console.log(yield* t.join());
         yield* Signals.raise("SIGTERM");
       }
       let taken = false;
       function* onSignal() {
         taken = true;
       }
       function* spin(begun) {
         begun.post();
         // From here on it enters no operation.
         while (!taken);
         return taken;
       }`,
      2,
    );
    assert.deepEqual([stdout.trim(), status], ["true", 128 + K.SIGTERM]);
  });
});
