/** The listing: what each thread does, what it waits for, and who has that. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { psTable } from "lwp";
import * as K from "lwp/kernel";
import { lwpCreate, lwpPark, lwpSetname, lwpSuspend, lwpWait, schedYield } from "lwp/syscall";
import { program, withMachine } from "../support/host.js";
import { TestMachine } from "../support/sim.js";

/** Sets up adaptive mutexes in scratch memory. */
function mutexes(m: TestMachine, n: number): number[] {
  return Array.from({ length: n }, () => {
    const at = m.words(4);
    K.mutexInit(m.k, at, K.MUTEX_DEFAULT, K.IPL_NONE);
    return at;
  });
}

function* named(name: string, body: () => K.Body): Generator<K.Token, void, undefined> {
  yield* lwpSetname(0, name);
  yield* { [Symbol.iterator]: body } as Iterable<K.Token> as Generator<K.Token, void, undefined>;
}

describe("a listing of a simulated machine", () => {
  /** Threads in every state, one after another; the machine stands when nothing else can happen. */
  function everyState(): TestMachine {
    const m = new TestMachine();
    const [mutex] = mutexes(m, 1);
    m.spawn(function* () {
      yield* lwpSetname(0, "main");
      const holder = yield* lwpCreate(() =>
        named("holder", function* () {
          yield* K.mutexEnter(m.k, mutex);
          yield* lwpPark();
        }),
      );
      yield* lwpCreate(() =>
        named("blocked", function* () {
          yield* K.mutexEnter(m.k, mutex);
        }),
      );
      yield* lwpCreate(function* () {}, K.LWP_SUSPENDED);
      yield* lwpCreate(() =>
        named("timed", function* () {
          yield* lwpPark({ sec: 1_000_000_001, nsec: 0 });
        }),
      );
      yield* lwpCreate(() => named("dead", function* () {}));
      for (let i = 0; i < 10; i++) yield* schedYield();
      yield* lwpWait(holder);
    });
    m.until(() => K.listLwps(m.k).some((l) => l.lid === 1 && l.waitsFor !== null));
    return m;
  }

  test("shows state, priority, CPU, time and wait of each thread, and who holds a lock", () => {
    const m = everyState();
    assert.equal(
      psTable(K.listLwps(m.k)),
      [
        "PID  LID  NAME      S  PRI  CPU   TIME  WAITS FOR",
        '  1    1  main      S   43    0  0.000  the end of thread 2 "holder"',
        "  1    2  holder    S   43    0  0.000  an unpark",
        '  1    3  blocked   D   43    0  0.000  a kernel mutex, held by thread 2 "holder"',
        "  1    4            U   43    0  0.000",
        "  1    5  timed     S   43    0  0.000  an unpark, at most 1.01 s",
        "  1    6  (zombie)  Z   43    0  0.000",
        "",
      ].join("\n"),
    );
  });

  test("has the system's threads only when asked for, and one process alone when that is", () => {
    const m = everyState();
    const pids = (options: Parameters<typeof K.listLwps>[1]) => [
      ...new Set(K.listLwps(m.k, options).map((l) => l.pid)),
    ];
    assert.deepEqual(
      [pids({}), pids({ system: true }), pids({ pid: 0 }), pids({ pid: 7 })],
      [[1], [0, 1], [0], []],
    );
  });

  test("is plain data with the priority that counts, and the kernel's wait message", () => {
    const m = everyState();
    const blocked = K.listLwps(m.k).find((l) => l.name === "blocked");
    assert.deepEqual(JSON.parse(JSON.stringify(blocked)), {
      pid: 1,
      lid: 3,
      name: "blocked",
      entry: "",
      state: "D",
      priority: 43,
      effectivePriority: 117,
      cpu: 0,
      seconds: blocked?.seconds,
      wmesg: "tstile",
      waitsFor: {
        kind: "mutex",
        what: "a kernel mutex",
        holders: [{ pid: 1, lid: 2, name: "holder", entry: "" }],
        secondsLeft: null,
      },
    });
  });

  test("LWP-151: a dead thread shows as (zombie) until it is collected, an unnamed one stays unnamed", () => {
    const m = new TestMachine();
    const left: string[] = [];
    m.spawn(function* () {
      const dead = yield* lwpCreate(() => named("dead", function* () {}));
      const unnamed = yield* lwpCreate(function* () {});
      for (let i = 0; i < 10; i++) yield* schedYield();
      const look = () => K.listLwps(m.k).map((l) => `${l.lid} ${l.state} ${l.name}`);
      left.push(...look(), "then");
      yield* lwpWait(dead);
      yield* lwpWait(unnamed);
      left.push(...look());
    });
    m.run();
    assert.deepEqual(left, ["1 O ", "2 Z (zombie)", "3 Z ", "then", "1 O "]);
  });

  test("a thread suspended by another shows U, and one that runs shows the time it has run so far", () => {
    const m = new TestMachine({ cpus: 2 });
    let line = "";
    m.spawn(function* () {
      const other = yield* lwpCreate(function* () {
        for (;;) yield* schedYield();
      });
      for (let i = 0; i < 5; i++) yield* schedYield();
      yield* lwpSuspend(other);
      for (let i = 0; i < 5; i++) yield* schedYield();
      m.k.g.time += 2;
      const [self, suspended] = K.listLwps(m.k);
      line = `${self.state} ${Math.floor(self.seconds)} ${suspended.state} ${Math.floor(suspended.seconds)}`;
    });
    m.until(() => line !== "");
    assert.equal(line, "O 2 U 0");
  });

  test("the dump of a dead machine has the same lines, and the system's threads besides", () => {
    const m = everyState();
    const lines = K.dump(m.k);
    const table = psTable(K.listLwps(m.k, { system: true }))
      .trimEnd()
      .split("\n");
    assert.deepEqual(lines.slice(2, 2 + table.length), table);
    assert.match(lines[1], /^CPU 0: online, runs thread 2 "idle\/0" of process 0, 0 queued, \d+ switches$/);
    assert.equal(lines.at(-1), "no spin lock is held");
  });
});

describe("deadlocks", () => {
  test("of kernel mutexes are found as the cycle they are, with those outside it left out", () => {
    const m = new TestMachine();
    const locks = mutexes(m, 3);
    m.spawn(function* () {
      for (let i = 0; i < 3; i++) {
        yield* lwpCreate(function* () {
          yield* K.mutexEnter(m.k, locks[i]);
          yield* schedYield();
          yield* K.mutexEnter(m.k, locks[(i + 1) % 3]);
        });
      }
      yield* schedYield();
      yield* lwpWait(3);
    });
    m.run();
    const cycles = K.cyclesOf(K.listLwps(m.k));
    assert.deepEqual(
      cycles.map((cycle) => cycle.map((l) => l.lid)),
      [[2, 3, 4]],
    );
  });

  /** Threads by lid that wait for others; a number less than 0 is a wait that ends by itself. */
  function graph(edges: Readonly<Record<number, readonly number[]>>): number[][] {
    const thread = (lid: number) => ({ pid: 1, lid, name: "", entry: "" });
    const list = Object.entries(edges).map(([lid, on]) => ({
      ...thread(Number(lid)),
      state: "S",
      priority: 43,
      effectivePriority: 43,
      cpu: 0,
      seconds: 0,
      wmesg: "",
      waitsFor: {
        kind: "mutex",
        what: "",
        holders: on.map((n) => thread(Math.abs(n))),
        secondsLeft: on.some((n) => n < 0) ? 1 : null,
      },
    }));
    return K.cyclesOf(list).map((cycle) => cycle.map((l) => l.lid));
  }

  const GRAPHS: readonly [string, Record<number, number[]>, number[][]][] = [
    ["nobody waits", { 1: [], 2: [] }, []],
    ["a chain", { 1: [2], 2: [3], 3: [] }, []],
    ["one waits for itself", { 1: [2], 2: [2] }, [[2]]],
    ["two wait for each other", { 5: [4], 4: [5] }, [[4, 5]]],
    ["a cycle with a tail", { 1: [3], 3: [7], 7: [5], 5: [3] }, [[3, 7, 5]]],
    [
      "two cycles",
      { 1: [2], 2: [1], 3: [4], 4: [3] },
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ["one of several holders waits back", { 1: [2, 3], 2: [], 3: [1] }, [[1, 3]]],
    ["a wait in it ends by itself", { 1: [2], 2: [-1] }, []],
    ["the holder is not listed", { 1: [9] }, []],
    ["two cycles share a thread", { 1: [2, 3], 2: [1], 3: [1] }, [[1, 2]]],
  ];
  for (const [what, edges, cycles] of GRAPHS) {
    test(`${what}: ${JSON.stringify(cycles)}`, () => assert.deepEqual(graph(edges), cycles));
  }

  test("a cycle of 10,000 threads is found", () => {
    const n = 10_000;
    const edges = Object.fromEntries(Array.from({ length: n }, (_, i) => [i + 1, [((i + 1) % n) + 1]]));
    assert.equal(graph(edges)[0].length, n);
  });
});

describe("machine.ps() on real CPUs", () => {
  test("names threads by their functions, and says what they wait for", async () => {
    const text = `
      import { Thread, until } from "lwp";
      import { lwpPark } from "lwp/syscall";
      export function* main() {
        const t = yield* Thread.spawn(worker);
        yield* Thread.spawn(awaiting);
        yield* t.join();
      }
      function* worker() { yield* lwpPark(); }
      function* awaiting() { yield* until(new Promise(() => {})); }
    `;
    await withMachine({ cpus: 2 }, async (machine) => {
      const p = await machine.exec(program(text));
      let waits: string[] = [];
      // On its way to sleep a thread has a wait channel in state O, and is then in D: what may interrupt it is said last.
      while (waits.filter((w) => / S (?!undefined)/.test(w)).length < 3) {
        await new Promise(setImmediate);
        waits = machine.ps().map((l) => `${l.lid} ${l.entry} ${l.state} ${l.waitsFor?.kind}`);
      }
      assert.deepEqual(waits, ["1 main S end", "2 worker S park", "3 awaiting S promise"]);
      assert.match(psTable(machine.ps()), /1 {2}main\(\) .* the end of thread 2 worker\(\)\n/);
      p.kill();
      await p.exited;
      assert.deepEqual(machine.ps(), []);
    });
  });

  test("reads on while threads come and go on other CPUs, and shows nothing that never was", async () => {
    const text = `
      import { schedYield, Thread } from "lwp";
      export function* main() {
        for (let round = 0; round < 300; round++) {
          const threads = [];
          for (let i = 0; i < 20; i++) threads.push(yield* Thread.spawn(work));
          for (const t of threads) yield* t.join();
        }
      }
      function* work() { yield* schedYield(); }
    `;
    await withMachine({ cpus: 3 }, async (machine) => {
      const p = await machine.exec(program(text));
      let over = false;
      void p.exited.then(() => (over = true));
      for (let looks = 0; !over; looks++) {
        for (const l of machine.ps()) {
          assert.ok(l.pid === p.pid && l.lid >= 1 && "ORSDZN".includes(l.state), JSON.stringify(l));
          assert.ok(["main", "work"].includes(l.entry) && l.cpu >= 0 && l.cpu < 3, JSON.stringify(l));
          for (const h of l.waitsFor?.holders ?? []) assert.ok(h.lid >= 1, JSON.stringify(l));
        }
        await new Promise(setImmediate);
      }
      assert.equal((await p.exited).status, 0);
    });
  });
});
