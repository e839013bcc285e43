import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import * as K from "lwp/kernel";
import { node, program } from "../support/host.js";

const AT = 5;

/** Memory by WebAssembly and memory without: the operations must not differ. */
const makers: readonly [string, () => K.SharedMemory][] = [
  ["WebAssembly", () => K.sharedMemory(100_000)],
  ["Atomics", () => new SharedArrayBuffer(100_000)],
];

/** What the word was, the call, what it returns, what the word is then. */
const table: readonly [
  before: number,
  call: (a: K.Atomic) => number | void,
  returns: number,
  after: number,
][] = [
  [7, (a) => a.load(AT), 7, 7],
  [-1, (a) => a.load(AT), -1, -1],
  [7, (a) => a.store(AT, -3) ?? 0, 0, -3],
  [7, (a) => a.cas(AT, 7, 9), 7, 9],
  [7, (a) => a.cas(AT, 8, 9), 7, 7],
  [-7, (a) => a.cas(AT, -7, -9), -7, -9],
  [5, (a) => a.or(AT, 0x8000_0002 | 0), 5, 0x8000_0007 | 0],
  [-1, (a) => a.and(AT, ~4), -1, -5],
  [2147483647, (a) => a.add(AT, 1), 2147483647, -2147483648],
  [3, (a) => a.add(AT, -1), 3, 2],
  [1, (a) => a.release(AT), 40, 0],
];

for (const [name, make] of makers) {
  describe(`atomic operations by ${name}`, () => {
    test("do what they say, to their word alone", () => {
      for (const [before, call, returns, after] of table) {
        const memory = make();
        const w = new Int32Array(K.bufferOf(memory));
        w[AT - 1] = 30;
        w[AT] = before;
        w[AT + 1] = 40;
        assert.equal(call(K.atomicOn(memory)), returns, String(call));
        assert.deepEqual([...w.subarray(AT - 1, AT + 2)], [30, after, 40], String(call));
        assert.ok(w.subarray(AT + 2).every((word) => word === 0));
      }
    });

    test("reach the last word of a memory, and all are 0 at first", () => {
      const memory = make();
      const w = new Int32Array(K.bufferOf(memory));
      assert.ok(w.byteLength >= 100_000);
      assert.ok(w.every((word) => word === 0));
      K.atomicOn(memory).store(w.length - 1, 77);
      assert.equal(w.at(-1), 77);
    });

    test("lose nothing that another realm adds at the same time", async () => {
      const memory = make();
      const times = 300_000;
      const url = import.meta.resolve("lwp/kernel");
      const code = `
        import { workerData, parentPort } from "node:worker_threads";
        import { atomicOn } from ${JSON.stringify(url)};
        const a = atomicOn(workerData);
        a.add(0, 1);
        while (a.load(0) !== 3) {}
        for (let i = 0; i < ${times}; i++) a.add(${AT}, 1);
        parentPort.postMessage("done");`;
      const start = () =>
        new Promise<void>((done, failed) => {
          const href = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
          new Worker(href, { workerData: memory }).on("error", failed).on("exit", () => done());
        });
      const a = K.atomicOn(memory);
      const ended = Promise.all([start(), start()]);
      a.add(0, 1);
      await ended;
      assert.equal(a.load(AT), 2 * times);
    });
  });
}

test("a machine of two CPUs runs where there is no WebAssembly", async () => {
  const file = program(`
    import { Thread } from "lwp";
    function* half(n: number) { let s = 0; for (let i = 0; i < 1000; i++) { s += n; yield* Thread.yield(); } return s; }
    export function* main() {
      const [a, b] = [yield* Thread.spawn(half, 1), yield* Thread.spawn(half, 2)];
      console.log((yield* a.join()) + (yield* b.join()), typeof WebAssembly);
    }
  `);
  const cli = fileURLToPath(import.meta.resolve("#dist/cli/main.js"));
  // Without its compilers V8 has none. The flag for that alone, --no-expose-wasm, is gone from Node 24 on.
  const ended = await node(["--jitless", cli, "run", "--cpus", "2", file]);
  assert.deepEqual([ended.status, ended.stdout], [0, "3000 undefined\n"], ended.stderr);
});
