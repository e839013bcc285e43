/** Channels of the thread library: exactly on simulated CPUs, and between real ones. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Channel, Mutex, schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpContinue, lwpSuspend, lwpWakeup } from "lwp/syscall";
import { exec, withMachine } from "../support/host.js";
import { codeOf, joinAll, untilWaiting, waiter, waitersOf } from "../support/objects.js";
import { outcome, ThreadMachine } from "../support/threads.js";

/** Receives until the channel is closed and empty. */
function* drain<T>(channel: Channel<T>): Generator<K.Token, T[], undefined> {
  const got: T[] = [];
  for (let r = yield* channel.receive(); !r.done; r = yield* channel.receive()) got.push(r.value);
  return got;
}

describe("a channel", () => {
  test("keeps values in order, each received once, whatever its capacity and the schedule", () => {
    for (const capacity of [0, 1, 3, 100]) {
      for (let seed = 1; seed <= 8; seed++) {
        const m = new ThreadMachine({ cpus: 3, strategy: K.seededStrategy(seed) });
        m.runMain(function* () {
          const channel = new Channel<[number, number]>(capacity);
          const senders = [];
          for (let s = 0; s < 3; s++) {
            senders.push(
              yield* Thread.spawn(function* () {
                for (let n = 0; n < 6; n++) yield* channel.send([s, n]);
              }),
            );
          }
          const receivers = [yield* Thread.spawn(drain, channel), yield* Thread.spawn(drain, channel)];
          yield* joinAll(senders);
          channel.close();
          const lists = (yield* joinAll(receivers)) as [number, number][][];
          for (const list of lists) {
            for (let s = 0; s < 3; s++) {
              const order = list.filter(([from]) => from === s).map(([, n]) => n);
              assert.deepEqual(
                order,
                [...order].sort((a, b) => a - b),
                `capacity ${capacity}, seed ${seed}`,
              );
            }
          }
          assert.deepEqual(
            lists
              .flat()
              .map(([s, n]) => s * 6 + n)
              .sort((a, b) => a - b),
            Array.from({ length: 18 }, (_, i) => i),
          );
          assert.deepEqual([channel.length, m.k.messages.inUse], [0, 0]);
        });
      }
    }
  });

  test("holds as many values as it has room for; the next sender waits until one is received", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const channel = new Channel<number>(2);
      assert.deepEqual([channel.capacity, channel.length], [2, 0]);
      yield* channel.send(1);
      assert.equal(channel.trySend(2), true);
      assert.equal(channel.trySend(3), false);
      const t = yield* waiter(() => channel.send(3));
      yield* untilWaiting(channel, 1);
      assert.deepEqual([channel.length, m.k.messages.inUse], [2, 3]);
      assert.deepEqual(channel.tryReceive(), { done: false, value: 1 });
      assert.deepEqual([channel.length, waitersOf(channel)], [2, []]);
      yield* t.join();
      assert.deepEqual(
        [yield* channel.receive(), yield* channel.receive()].map(({ value }) => value),
        [2, 3],
      );
      assert.deepEqual([channel.tryReceive(), channel.length], [null, 0]);
    });
  });

  test("without room lets a sender go on when its value is received, and not before", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const channel = new Channel<string>();
      assert.equal(channel.trySend("nobody"), false);
      const t = yield* waiter(() => channel.send("hello"));
      yield* untilWaiting(channel, 1);
      assert.equal(channel.length, 0);
      assert.deepEqual(channel.tryReceive(), { done: false, value: "hello" });
      assert.equal(yield* t.join(), undefined);
      const r = yield* waiter(() => channel.receive());
      yield* untilWaiting(channel, 1);
      assert.equal(channel.trySend("there"), true);
      assert.deepEqual(yield* r.join(), { done: false, value: "there" });
    });
  });

  test("once closed takes nothing more: EPIPE, also for senders that wait; receivers get what is there, then the end, for ever", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const channel = new Channel<number>(1);
      yield* channel.send(1);
      const sender = yield* waiter(() => channel.send(2));
      yield* untilWaiting(channel, 1);
      assert.equal(channel.isClosed, false);
      channel.close();
      channel.close();
      assert.equal(channel.isClosed, true);
      assert.equal(yield* sender.join(), "EPIPE");
      assert.equal(
        codeOf(() => channel.trySend(3)),
        "EPIPE",
      );
      assert.equal(yield* outcome(channel.send(3)), "EPIPE");
      assert.deepEqual(yield* channel.receive(), { done: false, value: 1 });
      for (let i = 0; i < 2; i++) {
        assert.deepEqual(yield* channel.receive(), { done: true, value: undefined });
        assert.deepEqual(channel.tryReceive(), { done: true, value: undefined });
      }
      const other = new Channel<number>();
      const receivers = [yield* waiter(() => other.receive()), yield* waiter(() => other.receive())];
      yield* untilWaiting(other, 2);
      other.close();
      for (const t of receivers) assert.deepEqual(yield* t.join(), { done: true, value: undefined });
      assert.equal(m.k.messages.inUse, 0);
    });
  });

  test("a sender or receiver that times out, is aborted or cancelled has not sent or received; its value goes with it", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const channel = new Channel<string>();
      const abort = new AbortController();
      for (const make of [
        (options?: object) => channel.send("x".repeat(300), options),
        (options?: object) => channel.receive(options),
      ]) {
        const threads: Thread<unknown>[] = [];
        for (const options of [{ timeout: 0 }, { timeout: 30 }, { signal: abort.signal }, undefined]) {
          threads.push(yield* waiter<unknown>(() => make(options)));
        }
        yield* Thread.sleep(100);
        if (!abort.signal.aborted) abort.abort(new RangeError("aborted"));
        yield* threads[3].cancel();
        assert.deepEqual(yield* joinAll(threads), ["ETIMEDOUT", "ETIMEDOUT", "RangeError", "ECANCELED"]);
        assert.deepEqual([waitersOf(channel), m.k.messages.inUse], [[], 0]);
      }
      assert.equal(channel.tryReceive(), null);
    });
  });

  test("a wakeup and a value at the same time: the value is received by one, or still there; its sender knows", () => {
    const ends = new Set<string>();
    for (const capacity of [0, 1]) {
      for (let seed = 1; seed <= 60; seed++) {
        const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
        m.runMain(function* () {
          const channel = new Channel<string>(capacity);
          const a = yield* waiter(() => channel.receive());
          const b = yield* waiter(() => channel.receive());
          yield* untilWaiting(channel, 2);
          const sender = yield* waiter(() => channel.send("one"));
          yield* outcome(lwpWakeup(b.lid));
          yield* a.cancel();
          const how = yield* a.join();
          ends.add(typeof how === "string" ? how : "received");
          if (how !== "ECANCELED") yield* channel.send("two");
          assert.equal(((yield* b.join()) as { done: boolean }).done, false, `seed ${seed}`);
          assert.equal(yield* sender.join(), undefined);
          assert.equal(m.k.messages.inUse, 0);
        });
      }
    }
    assert.deepEqual([...ends].sort(), ["ECANCELED", "received"], "both orders have been seen");
  });

  test("a sender that gives up while its value is received has sent it, and only then", () => {
    const ends = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
      m.runMain(function* () {
        const channel = new Channel<number>();
        const sender = yield* waiter(() => channel.send(7, { timeout: 20 }));
        yield* Thread.sleep(20);
        const got = channel.tryReceive();
        const how = yield* sender.join();
        ends.add(String(how));
        assert.equal(how, got === null ? "ETIMEDOUT" : undefined, `seed ${seed}`);
      });
    }
    assert.deepEqual([...ends].sort(), ["ETIMEDOUT", "undefined"], "both orders have been seen");
  });

  test("a suspended sender has not sent, and does so when it is continued", () => {
    const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(9) });
    m.runMain(function* () {
      const channel = new Channel<string>();
      const t = yield* waiter(() => channel.send("late"));
      yield* untilWaiting(channel, 1);
      yield* lwpSuspend(t.lid);
      assert.equal(channel.tryReceive(), null);
      yield* lwpContinue(t.lid);
      assert.deepEqual(yield* channel.receive(), { done: false, value: "late" });
      yield* t.join();
    });
  });

  test("passes everything by value, handles as handles, and refuses what cannot travel by its path", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const channel = new Channel<unknown>(1);
      const mutex = new Mutex({ name: "m" });
      const values = [
        undefined,
        null,
        true,
        0,
        -0,
        1.5,
        "text",
        "x".repeat(10_000),
        [1, [2]],
        new Map([[1, 2]]),
      ];
      for (const value of values) {
        yield* channel.send(value);
        assert.deepEqual((yield* channel.receive()).value, value);
      }
      const list = [1];
      yield* channel.send(list);
      list.push(2);
      assert.deepEqual((yield* channel.receive()).value, [1]);
      yield* channel.send({ mutex, self: channel });
      const { value } = (yield* channel.receive()) as { value: { mutex: Mutex; self: Channel } };
      yield* value.mutex.lock();
      assert.equal(mutex.owner, K.cur.lwp.lid);
      mutex.unlock();
      assert.equal(value.self.capacity, 1);
      for (const call of [() => channel.trySend({ deep: [() => 1] }), () => channel.trySend(Symbol("s"))]) {
        assert.throws(call, { name: "DataCloneError" });
      }
      assert.equal(yield* outcome(channel.send([() => 1])), "DataCloneError");
      assert.deepEqual([m.k.messages.inUse, channel.length], [0, 0]);
    });
  });

  test("errors: a bad capacity; a full table of messages; in use; gone", () => {
    const m = new ThreadMachine({ limits: { messages: 4 } });
    m.runMain(function* () {
      for (const capacity of [-1, 0.5, Number.NaN, "1" as never]) {
        assert.equal(
          codeOf(() => new Channel(capacity)),
          "EINVAL",
        );
      }
      const channel = new Channel<number>(10);
      for (let i = 0; i < 4; i++) yield* channel.send(i);
      assert.equal(yield* outcome(channel.send(4)), "ENOMEM");
      assert.equal(
        codeOf(() => channel.trySend(4)),
        "ENOMEM",
      );
      const empty = new Channel<number>();
      const t = yield* waiter(() => empty.receive());
      yield* untilWaiting(empty, 1);
      assert.equal(
        codeOf(() => empty.dispose()),
        "EBUSY",
      );
      empty.close();
      yield* t.join();
      // What is in it goes with it.
      channel.dispose();
      assert.equal(m.k.messages.inUse, 0);
      for (const call of [
        () => channel.trySend(1),
        () => channel.tryReceive(),
        () => channel.close(),
        () => channel.length,
        () => channel.capacity,
        () => channel.isClosed,
        () => channel.dispose(),
      ]) {
        assert.equal(codeOf<unknown>(call), "EINVAL");
      }
      assert.equal(yield* outcome(channel.send(1)), "EINVAL");
      assert.equal(yield* outcome(channel.receive()), "EINVAL");
      assert.equal(m.k.messages.inUse, 0);
    });
  });

  test("a process that ends with full channels and waiting senders leaves nothing; 100,000 values leave the tables at their level", () => {
    const m = new ThreadMachine({ checked: false, stepwise: false, limits: { messages: 16 } });
    m.runMain(function* () {
      const channel = new Channel<string>(3);
      for (let i = 0; i < 6; i++) yield* waiter(() => channel.send("y".repeat(500)));
      yield* untilWaiting(channel, 3);
    });
    m.runMain(function* () {
      const channel = new Channel<number>(2);
      const t = yield* Thread.spawn(function* () {
        let sum = 0;
        for (let r = yield* channel.receive(); !r.done; r = yield* channel.receive()) sum += r.value;
        return sum;
      });
      for (let i = 0; i < 100_000; i++) yield* channel.send(1);
      channel.close();
      assert.equal(yield* t.join(), 100_000);
      yield* schedYield();
    });
  });
});

test("between two CPUs every value arrives once, in order, and nothing is left", async () => {
  const text = `
    import { Channel, Thread } from "lwp";
    export function* main() {
      for (const capacity of [0, 1, 16]) {
        const [requests, answers] = [new Channel<number>(capacity), new Channel<{ n: number; text: string }>(capacity)];
        const workers = [];
        for (let i = 0; i < 4; i++) workers.push(yield* Thread.spawn(work, requests, answers));
        const feeder = yield* Thread.spawn(feed, requests);
        const seen = new Set<number>();
        for (let i = 0; i < 2000; i++) {
          const { value } = yield* answers.receive();
          if (value.text !== "#".repeat(value.n % 70)) throw new Error("garbled");
          seen.add(value.n);
        }
        yield* feeder.join();
        for (const t of workers) yield* t.join();
        if (seen.size !== 2000 || answers.tryReceive() !== null) return 1;
      }
      return 0;
    }
    function* feed(requests: Channel<number>) {
      for (let n = 0; n < 2000; n++) yield* requests.send(n);
      requests.close();
    }
    function* work(requests: Channel<number>, answers: Channel<{ n: number; text: string }>) {
      let last = -1;
      for (let r = yield* requests.receive(); !r.done; r = yield* requests.receive()) {
        if (r.value <= last) throw new Error("out of order");
        last = r.value;
        yield* answers.send({ n: r.value, text: "#".repeat(r.value % 70) });
      }
    }
  `;
  await withMachine({ cpus: 2, dedicated: true }, async (machine) => {
    assert.equal((await exec(machine, text)).status, 0);
  });
});
