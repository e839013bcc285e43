/** What the library asks of the system calls (SYS-60..63), and what threads must not lose to each other (THR-82). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Mutex, Semaphore, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpUnparkAll } from "lwp/syscall";
import { output } from "../support/host.js";
import { ThreadMachine } from "../support/threads.js";

/** The LWP of a thread. */
function lwpOf(t: Thread): K.Lwp {
  const p = K.cur.lwp.proc;
  const l = K.procLwps(p).find(({ lid }) => lid === t.lid);
  assert.ok(l !== undefined);
  return l;
}

describe("the library's system calls", () => {
  test("SYS-60: every thread is a detached LWP, joined in the library; create-suspended adds LWP_SUSPENDED", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const ran: string[] = [];
      const f = function* (name: string) {
        ran.push(name);
        yield* Thread.yield();
      };
      const plain = yield* Thread.spawn(f, "plain");
      const held = yield* Thread.with({ suspended: true, priority: 50 }).spawn(f, "held");
      for (const t of [plain, held]) assert.notEqual(lwpOf(t).prflag & K.LPR_DETACHED, 0);
      assert.equal(lwpOf(held).stat, K.LSSUSPENDED);
      assert.equal(lwpOf(held).priority, 50);
      yield* plain.join();
      assert.deepEqual(ran, ["plain"]);
      yield* held.resume();
      yield* held.join();
      assert.deepEqual(ran, ["plain", "held"]);
    });
  });

  test("SYS-60: with a priority of its own and not asked to be suspended it has that when it first runs", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const t = yield* Thread.with({ priority: 51 }).spawn(function* () {
        return K.cur.lwp.priority;
      });
      assert.equal(yield* t.join(), 51);
    });
  });

  test("SYS-61: a thread ends by the exit of its LWP; a joined one's is gone or on its way, so its number finds nobody", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const t = yield* Thread.spawn(function* () {
        return K.cur.lwp.lid;
      });
      assert.equal(yield* t.join(), t.lid);
      const { k, proc } = K.cur.lwp;
      K.spinEnter(k, proc.lock);
      assert.equal(K.lwpFind(proc, t.lid), null);
      K.spinExit(k, proc.lock);
    });
  });

  test("SYS-63: differs: locks of the library stand on the kernel's own queues, so a waiter sleeps there and is not parked; no batch is needed", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const mutex = new Mutex();
      const full = new Semaphore(0);
      yield* mutex.lock();
      const locker = yield* Thread.spawn(function* () {
        yield* mutex.lock();
        mutex.unlock();
      });
      const waiter = yield* Thread.spawn(function* () {
        yield* full.wait();
      });
      yield* Thread.yield();
      assert.equal(lwpOf(locker).syncobj, K.SOBJ_MUTEX);
      assert.equal(lwpOf(waiter).syncobj, K.SOBJ_OBJ);
      mutex.unlock();
      full.post();
      yield* Thread.all([locker, waiter]);
      assert.equal(yield* lwpUnparkAll(null), 1024);
    });
  });

  test("SYS-62: cancel wakes the LWP up; suspend and resume are the LWP's; of a name of 31 characters the kernel keeps 15", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const name = "a-name-of-thirty-one-characters";
      assert.equal(name.length, 31);
      const t = yield* Thread.with({ name }).spawn(function* () {
        yield* Thread.sleep(1e9);
      });
      yield* Thread.yield();
      const l = lwpOf(t);
      assert.equal(t.name, name);
      assert.equal(l.name, name.slice(0, 15));
      assert.equal(l.stat, K.LSSLEEP);
      yield* t.suspend();
      assert.equal(l.stat, K.LSSUSPENDED);
      yield* t.resume();
      yield* t.cancel();
      yield* failing(t);
    });
  });
});

/** What a thread function that spawns itself returns. */
type Deep = Generator<K.Token, void, undefined>;

test("a thread that was stopped in its sleep finds the cancellation that came meanwhile when it goes on", () => {
  const m = new ThreadMachine();
  m.runMain(function* () {
    const t = yield* Thread.spawn(function* () {
      yield* Thread.sleep(1e9);
    });
    yield* Thread.yield();
    const l = lwpOf(t);
    const { k, proc } = l;
    K.lwpLock(l);
    K.setStat(l, K.LSSTOP);
    proc.nrlwps--;
    K.lwpUnlock(l);
    yield* t.cancel();
    assert.equal(l.stat, K.LSSTOP);
    K.spinEnter(k, proc.lock);
    K.lwpLock(l);
    assert.equal(l.wchan, 0);
    K.setrunnable(l);
    K.spinExit(k, proc.lock);
    yield* failing(t);
  });
});

/** Joins a thread that was cancelled. */
function* failing(t: Thread) {
  try {
    yield* t.join();
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ECANCELED");
    return;
  }
  assert.fail("it was not cancelled");
}

test("THR-82: a long read in one thread loses no wakeup of another", async () => {
  const text = `
    import { readFile, writeFile, rm } from "node:fs/promises";
    import { tmpdir } from "node:os";
    import { join } from "node:path";
    import { Semaphore, Thread, until } from "lwp";
    export function* main() {
      const ping = new Semaphore(0), pong = new Semaphore(0);
      const reader = yield* Thread.spawn(read);
      const other = yield* Thread.spawn(answer, ping, pong);
      let n = 0;
      for (; n < 2000; n++) { ping.post(); yield* pong.wait(); }
      yield* other.join();
      console.log(JSON.stringify([n, yield* reader.join()]));
    }
    function* answer(ping: Semaphore, pong: Semaphore) {
      for (let i = 0; i < 2000; i++) { yield* ping.wait(); pong.post(); }
    }
    function* read() {
      const file = join(tmpdir(), "lwp-read-" + process.pid);
      yield* until(writeFile(file, Buffer.alloc(1 << 20, 7)));
      const data = yield* until(readFile(file));
      yield* until(rm(file));
      return data.length;
    }
  `;
  assert.deepEqual(await output(text, 2), [2000, 1 << 20]);
});

test("THR-82: floating-point results survive yields among threads, ten creations deep", () => {
  const m = new ThreadMachine();
  const results: number[] = [];
  const expected = (seed: number) => {
    let x = seed;
    for (let i = 0; i < 50; i++) x = Math.sqrt(x * 1.1 + i) / 3;
    return x;
  };
  m.runMain(function* () {
    function* compute(depth: number): Deep {
      const inner = depth < 10 ? yield* Thread.spawn(compute, depth + 1) : null;
      let x = depth;
      for (let i = 0; i < 50; i++) {
        x = Math.sqrt(x * 1.1 + i) / 3;
        yield* Thread.yield();
      }
      results[depth] = x;
      if (inner !== null) yield* inner.join();
    }
    yield* compute(1);
  });
  for (let depth = 1; depth <= 10; depth++) assert.equal(results[depth], expected(depth));
});

test("THR-82: names are resolved by five threads at once", async () => {
  const text = `
    import { lookup } from "node:dns/promises";
    import { Thread, until } from "lwp";
    export function* main() {
      const threads = [];
      for (let i = 0; i < 5; i++) threads.push(yield* Thread.spawn(resolve));
      console.log(JSON.stringify(yield* Thread.all(threads)));
    }
    function* resolve() {
      let found = 0;
      for (let i = 0; i < 10; i++) if ((yield* until(lookup("localhost"))).address !== "") found++;
      return found;
    }
  `;
  assert.deepEqual(await output(text, 2), [10, 10, 10, 10, 10]);
});
