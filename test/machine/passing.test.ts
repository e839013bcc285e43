/** What travels between threads: every kind of value, by table, on one CPU, on two, and on simulated ones. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Encoder } from "#dist/thread/encode.js";
import { Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwp, output, withMachine } from "../support/host.js";
import { ThreadMachine } from "../support/threads.js";
import { TestMachine } from "../support/sim.js";
import { badResult, echo, only, REFUSED, sendAll, TRAVELS } from "./programs/passing.js";

const program = fileURLToPath(new URL("programs/passing.js", import.meta.url));

describe("every kind of value, and every kind that is refused", () => {
  test("the tables are long", () => {
    assert.ok(TRAVELS.length > 80 && REFUSED.length > 25);
  });

  for (const [cpus, where] of [
    [1, "here"],
    [2, "elsewhere"],
  ] as const) {
    test(`on ${cpus} CPUs, the thread ${where}`, async () => {
      const { status, stdout, stderr } = await lwp("run", "--cpus", String(cpus), program, where);
      assert.equal(status, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), []);
    });
  }

  for (const [cpus, seeds] of [
    [1, [1]],
    [4, [1, 2]],
  ] as const) {
    test(`on ${cpus} simulated CPUs, at any order of steps`, () => {
      for (const seed of seeds) {
        const machine = new ThreadMachine({
          cpus,
          checked: false,
          strategy: K.seededStrategy(seed),
          limits: { userPages: 4096 },
          entries: [echo, only, badResult],
        });
        let failures: string[] = ["not run"];
        machine.runMain(function* () {
          failures = yield* sendAll(false);
        });
        assert.deepEqual(failures, [], `seed ${seed}`);
        assert.equal(machine.k.w[machine.k.blockPool + K.POOL_INUSE], 0);
      }
    });
  }
});

test("a thread gets as many arguments as were sent, and each as it was", () => {
  const plain = [undefined, null, true, false, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, ""];
  const lists = [[], ...plain.map((value) => [value]), ...plain.map((value) => [value, value])];
  const machine = new ThreadMachine({ cpus: 2, entries: [gather] });
  const got: unknown[][] = [];
  machine.runMain(function* () {
    for (const list of lists) got.push(yield* (yield* Thread.spawn(gather, ...list)).join());
  });
  assert.deepEqual(got, lists);
});

function* gather(...args: unknown[]) {
  return args;
}

describe("handles", () => {
  test("travel anywhere in a value, come out as the same class, and are one object where they were one", async () => {
    const text = `
      import { Thread } from "lwp";
      export function* main() {
        const seven = yield* Thread.spawn(value, 7);
        const eight = yield* Thread.spawn(value, 8);
        const all = { seven, list: [seven, [eight]], map: new Map<any, any>([[eight, seven]]), set: new Set([seven]),
          error: Object.assign(new Error("e"), { eight }) };
        const t = yield* Thread.spawn(look, all);
        console.log(JSON.stringify(yield* t.join()));
      }
      function* value(n: number) { return n; }
      function* look({ seven, list, map, set, error }: any) {
        const [[key, mapped]] = [...map];
        return [
          seven instanceof Thread, seven === list[0], seven === mapped, set.has(seven), key === list[1][0], key === error.eight,
          yield* seven.join(), yield* key.join(), seven.lid, key.lid,
        ];
      }
    `;
    for (const cpus of [1, 2]) {
      assert.deepEqual(await output(text, cpus), [true, true, true, true, true, true, 7, 8, 2, 3]);
    }
  });

  test("of a thread that stays in its realm: another CPU joins it, and gets the result by value", async () => {
    const text = `
      import { schedYield, Thread } from "lwp";
      import { threadId } from "node:worker_threads";
      export function* main() {
        const shown = { n: [1] };
        const ended = yield* Thread.spawn(function* () { return shown; });
        yield* schedYield();
        const later = yield* Thread.spawn(function* () { yield* schedYield(); return shown; });
        const fails = yield* Thread.spawn(function* () { throw Object.assign(new RangeError("r"), { shown }); });
        const secret = yield* Thread.spawn(function* () { return () => 1; });
        for (let i = 0; i < 5; i++) yield* schedYield();
        const told: unknown[] = [];
        try { yield* Thread.spawn(joinAll, [secret]); } catch (e) { told.push((e as Error).message); }
        told.push(yield* (yield* Thread.spawn(joinAll, [ended, later, fails])).join());
        told.push((yield* secret.join())());
        console.log(JSON.stringify(told));
      }
      function* joinAll(threads: Thread[]) {
        const all: unknown[] = [];
        for (const t of threads) {
          try { all.push(yield* t.join()); } catch (e: any) { all.push([e.cause.name, e.cause.shown]); }
        }
        return all;
      }
    `;
    for (const cpus of [1, 2]) {
      assert.deepEqual(await output(text, cpus), [
        "args[0][0]: result: a function cannot travel between threads",
        [{ n: [1] }, { n: [1] }, ["RangeError", { n: [1] }]],
        1,
      ]);
    }
  });

  test("of another machine are refused", async () => {
    await withMachine({ cpus: 1 }, async (machine) => {
      let thread: Thread | null = null;
      await machine.spawn(function* () {
        thread = yield* Thread.spawn(function* () {});
        yield* thread.join();
      }).exited;
      const { kernel } = new TestMachineKernel();
      assert.throws(() => new Encoder(kernel).encode({ thread }, "args"), {
        name: "DataCloneError",
        message: "args.thread: a Thread of another machine",
      });
    });
  });
});

function written({ bytes, length }: Encoder): Uint8Array {
  return bytes.slice(0, length);
}

/** A kernel of a machine of its own. */
class TestMachineKernel {
  readonly kernel = new TestMachine().k;
}

test("a getter that throws is heard by who spawns; one that encodes meanwhile disturbs nothing", () => {
  const { k } = new TestMachine();
  const encoder = new Encoder(k);
  const thrower = {
    get a() {
      throw new RangeError("mine");
    },
  };
  assert.throws(() => encoder.encode(thrower, "args"), { name: "RangeError", message: "mine" });
  const nested = {
    get inner() {
      return encoder.encode([1, 2, 3], "inner").length;
    },
    after: "after",
  };
  const got = written(encoder.encode(nested, "args"));
  assert.deepEqual(got, written(encoder.encode({ inner: nested.inner, after: "after" }, "args")));
});

test("after a big value the encoder gives its room back", () => {
  const encoder = new Encoder(new TestMachine().k);
  encoder.encode(new Uint8Array(1 << 19), "args");
  assert.ok(encoder.bytes.length >= 1 << 19);
  encoder.encode(1, "args");
  assert.ok(encoder.bytes.length < 1 << 16);
});
