/** What a thread is made of: its record, its words, the LWP under it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpCreate, lwpCtl, lwpGetname, lwpSelf, lwpUnparkAll, lwpWait } from "lwp/syscall";
import { Gate, outcome, ThreadMachine } from "../support/threads.js";

/** The record of a thread, by its lid. */
function recordOf(m: ThreadMachine, t: Thread): K.ThreadRec {
  const found = m.k.threads.views.find((rec) => rec?.lid === t.lid && (rec.gen & 1) === 1);
  return found ?? assert.fail(`no record of thread ${t.lid}`);
}

test("THR-1: a thread is running, ended with a result, an error or cancelled, and dead once joined; flags, cancellation and name stand in its record", () => {
  const m = new ThreadMachine({ cpus: 2 });
  m.runMain(function* () {
    const gate = new Gate(m);
    const wait = function* () {
      yield* gate.wait();
    };
    const ends: [end: string, state: number][] = [
      ["returned", K.THREAD_RETURNED],
      ["failed", K.THREAD_FAILED],
      ["cancelled", K.THREAD_CANCELLED],
    ];
    for (const [end, state] of ends) {
      gate.isOpen = false;
      const t = yield* Thread.with({ name: end }).spawn(function* () {
        yield* gate.wait();
        if (end === "failed") throw new Error("failed");
      });
      const rec = recordOf(m, t);
      yield* Thread.sleep(20);
      assert.deepEqual([rec.state, rec.name, rec.flags, rec.cancel], [K.THREAD_RUNNING, end, 0, 0]);
      const { gen } = rec;
      if (end === "cancelled") yield* t.cancel();
      else gate.open();
      yield* Thread.sleep(20);
      assert.equal(rec.state, state);
      yield* outcome(t.join());
      assert.ok(rec.gen !== gen && (rec.gen & 1) === 0, "given back");
    }
    gate.isOpen = false;
    const detached = yield* Thread.with({ detached: true }).spawn(wait);
    const rec = recordOf(m, detached);
    assert.equal(rec.flags, K.THREAD_DETACHED);
    yield* detached.cancel();
    assert.equal(rec.cancel & K.CANCEL_PENDING, K.CANCEL_PENDING);
    yield* Thread.sleep(20);
    assert.equal(rec.gen & 1, 0);
  });
});

test("THR-2: 64 locks cover the records, by index; a record that was given back serves again", () => {
  const m = new ThreadMachine();
  const locks = new Set<number>();
  for (let i = 1; i <= 128; i++) locks.add(m.k.threads.view(i).lock);
  assert.equal(locks.size, K.THREAD_LOCKS);
  assert.equal(m.k.threads.view(1).lock, m.k.threads.view(65).lock);
  m.runMain(function* () {
    for (let i = 0; i < 10; i++) yield* (yield* Thread.spawn(function* () {})).join();
  });
  assert.equal(m.k.threads.highWater, 2, "main's and one more");
});

test("THR-5: main is thread 1 from its first instruction on; a wakeup call takes at least the library's 32 targets", () => {
  const m = new ThreadMachine();
  m.runMain(function* () {
    assert.deepEqual([Thread.self.lid, Thread.self.name], [1, ""]);
    assert.equal(yield* lwpSelf(), 1);
    assert.ok((yield* lwpUnparkAll(null)) >= 32);
    assert.equal((yield* lwpCtl()).curcpu, 0);
  });
});

test("THR-61: Thread.cpu is what the thread's shared words say", () => {
  const m = new ThreadMachine({ cpus: 3 });
  m.runMain(function* () {
    for (let cpu = 0; cpu < 3; cpu++) {
      const t = yield* Thread.with({ cpu }).spawn(function* () {
        const { curcpu } = yield* lwpCtl();
        return [Thread.cpu, curcpu];
      });
      assert.deepEqual(yield* t.join(), [cpu, cpu]);
    }
  });
});

test("THR-70: an LWP that is created starts, its own id is the one returned, and it can be waited for; without a start it is EFAULT here", () => {
  const m = new ThreadMachine({ cpus: 2 });
  m.runMain(function* () {
    let self = 0;
    const lid = yield* lwpCreate(function* () {
      self = yield* lwpSelf();
    });
    assert.equal(yield* lwpWait(lid), lid);
    assert.equal(self, lid);
    assert.equal(yield* outcome(lwpCreate(null as never)), "EFAULT");
  });
});

test("THR-71: a sleep of 10 ms changes the preemption counter", () => {
  const m = new ThreadMachine();
  m.runMain(function* () {
    const ctl = yield* lwpCtl();
    const before = ctl.pctr;
    yield* Thread.sleep(10);
    assert.notEqual(ctl.pctr, before);
  });
});

test("THR-56: a thread without a name has an LWP without one, and naming itself names both", () => {
  const m = new ThreadMachine();
  m.runMain(function* () {
    const t = yield* Thread.spawn(function* () {
      const names = [Thread.self.name, yield* lwpGetname(0)];
      Thread.self.name = "me";
      yield* schedYield();
      return [...names, Thread.self.name, yield* lwpGetname(0)];
    });
    assert.deepEqual(yield* t.join(), ["", "", "me", "me"]);
  });
});
