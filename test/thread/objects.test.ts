/** What all synchronisation objects have in common: their table, whose they are, how they end. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Barrier, Channel, Condition, Mutex, Once, RwLock, Semaphore, Thread } from "lwp";
import * as K from "lwp/kernel";
import { exec, lwpRun, withMachine } from "../support/host.js";
import { codeOf } from "../support/objects.js";
import { ThreadMachine } from "../support/threads.js";

const kinds: Readonly<Record<string, () => Disposable & { readonly id: number; dispose(): void }>> = {
  Mutex: () => new Mutex(),
  Condition: () => new Condition(),
  Semaphore: () => new Semaphore(1),
  RwLock: () => new RwLock(),
  Barrier: () => new Barrier(2),
  Once: () => new Once(),
  Channel: () => new Channel(1),
};

for (const [name, make] of Object.entries(kinds)) {
  describe(name, () => {
    test("outside a thread it cannot be made, and the error says what to do", () => {
      assert.throws(make, (error: Error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /inside a thread.*make it in main and pass it as an argument/);
        return true;
      });
    });

    test("100,000 made and dropped leave the table at its level", () => {
      const m = new ThreadMachine({ checked: false, stepwise: false });
      m.runMain(function* () {
        const before = m.k.syncobjs.inUse;
        for (let i = 0; i < 50_000; i++) {
          using _ = make();
          make().dispose();
        }
        assert.equal(m.k.syncobjs.inUse, before);
        assert.equal(m.k.syncobjs.highWater, before + 2);
      });
    });

    test("a full table is ENOMEM; what a process leaves goes with it", () => {
      const m = new ThreadMachine({ limits: { syncobjs: 8 } });
      for (let run = 0; run < 3; run++) {
        m.runMain(function* () {
          const all = [];
          for (let i = 0; i < 8; i++) all.push(make());
          assert.equal(codeOf(make), "ENOMEM");
          all[3].dispose();
          make();
          assert.equal(codeOf(make), "ENOMEM");
        });
      }
    });

    test("is of no use to another process, nor to its own once it is gone, but for the end of a using block", () => {
      const m = new ThreadMachine();
      let handle: ReturnType<typeof make> | null = null;
      m.spawn(function* () {
        handle = make();
        yield* Thread.sleep(100);
        handle.dispose();
        assert.equal(
          codeOf(() => handle?.dispose()),
          "EINVAL",
        );
        handle[Symbol.dispose]();
      });
      m.spawn(function* () {
        yield* Thread.sleep(50);
        assert.equal(
          codeOf(() => handle?.dispose()),
          "EINVAL",
        );
      });
      m.run();
    });
  });
}

test("names are kept for listings, up to 31 characters", () => {
  const m = new ThreadMachine();
  m.runMain(function* () {
    assert.equal(new Mutex({ name: "queue" }).name, "queue");
    assert.equal(new Condition({ name: "x".repeat(40) }).name, "x".repeat(31));
    assert.equal(new RwLock().name, "");
    const o = m.k.syncobjs.view(new Barrier(2, { name: "start" }).id);
    assert.deepEqual([o.name, K.SYNCOBJ_KINDS[o.kind]], ["start", "barrier"]);
    assert.equal(
      codeOf(() => new Mutex({ name: 5 as never })),
      "EINVAL",
    );
  });
});

test("a process that dies with threads waiting on everything leaves nothing", () => {
  const m = new ThreadMachine({ cpus: 2, strategy: K.seededStrategy(3) });
  m.runMain(function* () {
    const [mutex, condition, semaphore, lock, barrier, once] = [
      new Mutex(),
      new Condition(),
      new Semaphore(0),
      new RwLock(),
      new Barrier(9),
      new Once(),
    ];
    yield* lock.writeLock();
    const bodies = [
      function* () {
        yield* mutex.lock();
        yield* condition.wait(mutex);
      },
      () => semaphore.wait()[Symbol.iterator](),
      () => lock.readLock()[Symbol.iterator](),
      () => lock.writeLock()[Symbol.iterator](),
      () => barrier.wait()[Symbol.iterator](),
      () =>
        once.run(function* () {
          yield* Thread.sleep(1e9);
        }),
      () => once.run(function* () {}),
    ];
    for (const body of bodies) yield* Thread.spawn(body as () => K.Body);
    yield* Thread.sleep(50);
    yield* mutex.lock();
    for (let i = 0; i < 2; i++) yield* Thread.spawn(() => mutex.lock()[Symbol.iterator]() as K.Body);
    yield* Thread.sleep(50);
    const asleep = K.procLwps(K.cur.lwp.proc).filter((l) => l.wchan !== 0);
    assert.equal(asleep.length, bodies.length + 2);
  });
});

describe("on real CPUs", () => {
  test("a module that makes one when it is loaded does not start, and the report says why", async () => {
    const text = `
      import { Mutex } from "lwp";
      const mutex = new Mutex();
      export function* main() { yield* mutex.lock(); }
    `;
    const { status, stderr } = await lwpRun(text, 2);
    assert.equal(status, 2);
    assert.match(stderr, /new Mutex works only inside a thread.*pass it as an argument/);
  });

  test("THR-91, THR-92, THR-74: threads on two CPUs add under a mutex to the exact sum, and none sleeps for ever", async () => {
    const text = `
      import { Mutex, Thread, schedYield } from "lwp";
      import * as K from "lwp/kernel";
      const ROUNDS = 50_000;
      export function* main() {
        const threads = [];
        const mutex = new Mutex({ name: "sum" });
        for (let i = 0; i < 4; i++) threads.push(yield* Thread.spawn(add, mutex, i));
        for (const t of threads) yield* t.join();
        const { k } = K.cur.lwp;
        return k.w[k.scratch] === 4 * ROUNDS && mutex.owner === null && mutex.name === "sum" ? 0 : 1;
      }
      function* add(mutex: Mutex, n: number) {
        const { k } = K.cur.lwp;
        for (let i = 0; i < ROUNDS; i++) {
          if (i % 2 === 0) yield* mutex.lock();
          else if (!mutex.tryLock()) yield* mutex.lock({ timeout: 60_000 });
          k.w[k.scratch]++;
          if (i % 100 === n) yield* schedYield();
          mutex.unlock();
        }
      }
    `;
    await withMachine({ cpus: 2, dedicated: true }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 0);
    });
  });

  test("every kind works for threads on different CPUs", async () => {
    const text = `
      import { Barrier, Condition, Mutex, Once, RwLock, Semaphore, Thread, schedYield } from "lwp";
      import * as K from "lwp/kernel";
      const ROUNDS = 300;
      const word = (n: number) => K.cur.lwp.k.scratch + n;
      export function* main() {
        const all = {
          mutex: new Mutex(), turn: new Condition(), items: new Semaphore(0), room: new Semaphore(4),
          lock: new RwLock(), start: new Barrier(4), once: new Once(),
        };
        const threads = [];
        for (let i = 0; i < 4; i++) threads.push(yield* Thread.spawn(work, all, i));
        for (const t of threads) yield* t.join();
        const { w } = K.cur.lwp.k;
        // Turns taken, items left, lock's count, times done, serial threads.
        const got = [0, 1, 2, 3, 4].map((n) => w[word(n)]);
        console.log(JSON.stringify(got));
        return got.join() === [4 * ROUNDS, 0, 4 * ROUNDS, 1, ROUNDS].join() ? 0 : 1;
      }
      function* work({ mutex, turn, items, room, lock, start, once }, n: number) {
        const { w } = K.cur.lwp.k;
        yield* once.run(function* () { w[word(3)]++; yield* schedYield(); });
        if (w[word(3)] !== 1) throw new Error("not done");
        for (let i = 0; i < ROUNDS; i++) {
          if (yield* start.wait()) Atomics.add(w, word(4), 1);
          { // Each in turn.
            using _ = yield* mutex.guard();
            while (w[word(0)] % 4 !== n) yield* turn.wait(mutex);
            w[word(0)]++;
            turn.broadcast();
          }
          if (n % 2 === 0) { // Producers and consumers.
            yield* room.wait();
            Atomics.add(w, word(1), 1);
            items.post();
          } else {
            yield* items.wait();
            if (Atomics.sub(w, word(1), 1) < 1) throw new Error("no item");
            room.post();
          }
          {
            using _ = yield* lock.writeGuard();
            w[word(2)]++;
          }
          {
            using _ = yield* lock.readGuard();
            const before = w[word(2)];
            yield* schedYield();
            if (w[word(2)] !== before) throw new Error("written while read");
          }
        }
      }
    `;
    await withMachine({ cpus: 2, dedicated: true }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 0);
    });
  });
});
