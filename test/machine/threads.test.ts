/** The thread library on real workers: arguments, results and errors travel, joins, host work on any CPU. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { lwpRun, output, withMachine } from "../support/host.js";
import { LwpError, schedYield, Thread, ThreadError } from "lwp";

describe("arguments and results", () => {
  const BY_VALUE = `
    import { Thread } from "lwp";
    import { isDeepStrictEqual } from "node:util";
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const values = [
      undefined, null, true, false, 0, -0, 1.5, NaN, Infinity, 2 ** 53, "", "text \\u00e4 \\u{1f600}", 12345678901234567890n,
      [1, [2, [3]]], { a: { b: "c" } }, new Map([[1, { x: 2 }]]), new Set(["y"]), new Date(5), /re/gi,
      new Uint8Array([1, 2, 3]), new Float64Array([0.5]).buffer, cycle, "x".repeat(100_000),
    ];
    export function* main() {
      const wrong: unknown[] = [];
      for (const value of values) {
        const t = yield* Thread.spawn(both, value, [value]);
        const back = yield* t.join();
        if (!isDeepStrictEqual(back, [value, [value]])) wrong.push(String(value));
        const single = yield* (yield* Thread.spawn(one, value)).join();
        if (!isDeepStrictEqual(single, value)) wrong.push("single " + String(value));
        if (typeof value === "object" && value !== null && single === value) wrong.push("the same object");
      }
      const list = [1];
      yield* (yield* Thread.spawn(change, list)).join();
      if (list.length !== 1) wrong.push("the thread has changed the caller's array");
      const late = yield* Thread.spawn(one, list);
      list.push(2);
      if ((yield* late.join()).length !== 1) wrong.push("the thread sees a later change");
      const refused = [];
      for (const bad of [() => {}, Symbol("s"), { deep: [() => {}] }, new WeakMap()]) {
        try { yield* Thread.spawn(one, bad); refused.push("nothing"); } catch (error) { refused.push(error.name); }
      }
      console.log(JSON.stringify({ wrong, refused }));
    }
    function* both(a: unknown, b: unknown) { return [a, b]; }
    function* one(a: any) { return a; }
    function* change(list: number[]) { list.push(2); }
  `;
  for (const cpus of [1, 2]) {
    test(`of a portable thread travel by value; what cannot is refused at once (${cpus} CPUs)`, async () => {
      assert.deepEqual(await output(BY_VALUE, cpus), {
        wrong: [],
        refused: ["DataCloneError", "DataCloneError", "DataCloneError", "DataCloneError"],
      });
    });
  }

  test("of a closure are handed over as they are", async () => {
    await withMachine({ cpus: 1 }, async (machine) => {
      const secret = { f: () => 1 };
      const p = machine.spawn(function* () {
        const t = yield* Thread.spawn(function* (x: object) {
          yield* schedYield();
          return x;
        }, secret);
        return (yield* t.join()) === secret ? 0 : 1;
      });
      assert.equal((await p.exited).status, 0);
    });
  });
});

describe("errors of a thread", () => {
  const ERRORS = `
    import { Thread, ThreadError } from "lwp";
    import { readFileSync } from "node:fs";
    import { lwpWait } from "lwp/syscall";
    class Own extends Error { name = "Own"; detail = { n: 1 }; }
    const throwers = [plain, range, own, file, syscall, text, nothing, chain, closure, cyclic];
    export function* main() {
      const told = [];
      for (const f of throwers) {
        const t = yield* Thread.spawn(f);
        try { yield* t.join(); told.push("no error"); }
        catch (e) {
          const c = e.cause;
          told.push([
            e instanceof ThreadError && e.lid === t.lid, c instanceof Error ? c.name : typeof c, c?.message ?? null,
            c?.code ?? null, c instanceof RangeError, c?.detail?.n ?? null, c?.cause?.message ?? null,
            c instanceof Error && c.stack.includes(f.name),
          ]);
        }
      }
      console.log(JSON.stringify(told));
    }
    function* plain() { throw new Error("plain"); }
    function* range() { throw new RangeError("range"); }
    function* own() { throw new Own("own"); }
    function* file() { readFileSync("/no/such/file"); }
    function* syscall() { yield* lwpWait(999); }
    function* text() { throw "text"; }
    function* nothing() { throw undefined; }
    function* chain() { throw new Error("outer", { cause: new TypeError("inner") }); }
    function* closure() { throw Object.assign(new Error("closure"), { f: () => {} }); }
    function* cyclic() { const e = new Error("cyclic"); e.cause = e; throw e; }
  `;
  for (const cpus of [1, 2]) {
    test(`are thrown by join, with their name, code, cause and stack (${cpus} CPUs)`, async () => {
      assert.deepEqual(await output(ERRORS, cpus), [
        [true, "Error", "plain", null, false, null, null, true],
        [true, "RangeError", "range", null, true, null, null, true],
        [true, "Own", "own", null, false, 1, null, true],
        [
          true,
          "Error",
          "ENOENT: no such file or directory, open '/no/such/file'",
          "ENOENT",
          false,
          null,
          null,
          true,
        ],
        [true, "LwpError", "lwpWait: ESRCH: no such thread or process", "ESRCH", false, null, null, true],
        [true, "string", null, null, false, null, null, false],
        [true, "undefined", null, null, false, null, null, false],
        [true, "Error", "outer", null, false, null, "inner", true],
        [true, "Error", "closure", null, false, null, null, true],
        [true, "Error", "cyclic", null, false, null, "cyclic", true],
      ]);
    });
  }

  test("that nobody can hear of end the process with a report and signal 6", async () => {
    const text = `
      import { Thread, schedYield } from "lwp";
      export function* main() {
        yield* (yield* Thread.spawn(fails)).detach();
        for (;;) yield* schedYield();
      }
      function* fails() {
        yield* schedYield();
        throw new Error("unheard", { cause: new Error("deeper") });
      }
    `;
    const { status, stderr } = await lwpRun(text, 2);
    assert.equal(status, 134, stderr);
    assert.match(
      stderr,
      /thread 2, spawned at .*\.ts:4:\d+, ended it with an exception:\nError: unheard\n +at fails \(.*\.ts:9:\d+\)/,
    );
    assert.match(stderr, /\[cause\]: Error: deeper/);
  });

  test("of a thread that is detached just while its error is put into its record end the process too", async () => {
    const text = `
      import { Thread, schedYield } from "lwp";
      export function* main() {
        yield* Thread.spawn(fails);
        for (;;) yield* schedYield();
      }
      function* fails() {
        const me = Thread.self;
        const error = new Error("meanwhile");
        let reads = 0;
        // First read when the error is copied, after it was seen that somebody may join the thread.
        const get = () => void (reads++ === 0 && [...me.detach()]);
        throw Object.defineProperty(error, "cause", { get });
      }
    `;
    const { status, stderr } = await lwpRun(text, 1);
    assert.equal(status, 134, stderr);
    assert.match(stderr, /thread 2, spawned at .*, ended it with an exception:\nError: meanwhile/);
  });

  test("of a thread that had failed before it was detached end the process too", async () => {
    const text = `
      import { Thread, schedYield } from "lwp";
      export function* main() {
        const failed = yield* Thread.spawn(function* () { throw new Error("before"); });
        yield* schedYield();
        yield* failed.detach();
        for (;;) yield* schedYield();
      }
    `;
    const { status, stderr } = await lwpRun(text, 2);
    assert.equal(status, 134, stderr);
    assert.match(stderr, /thread 2, spawned at .*, ended it with an exception:\nError: before/);
  });
});

test("join: once, by one, not by oneself; a detached thread cannot be joined", async () => {
  await withMachine({ cpus: 2 }, async (machine) => {
    const codes: string[] = [];
    const attempt = function* (op: Iterable<undefined>) {
      try {
        yield* op;
        codes.push("");
      } catch (error) {
        codes.push(error instanceof LwpError ? error.code : String(error));
      }
    };
    const p = machine.spawn(function* () {
      const empty = function* () {};
      const t = yield* Thread.spawn(empty);
      yield* attempt(t.join() as never);
      yield* attempt(t.join() as never);
      yield* attempt(t.detach() as never);

      let self: Thread<void> | null = null;
      self = yield* Thread.spawn(function* () {
        yield* attempt((self as Thread<void>).join() as never);
      });
      yield* self.join();

      const detached = yield* Thread.spawn(empty);
      yield* attempt(detached.detach() as never);
      yield* attempt(detached.join() as never);
    });
    assert.deepEqual([(await p.exited).status, codes], [0, ["", "ESRCH", "ESRCH", "EDEADLK", "", "EINVAL"]]);
  });
});

test("a thread that awaits a file, a timer and an HTTP server finishes on CPU 1 while CPU 0 is full", async () => {
  const text = `
    import { Thread, until } from "lwp";
    import * as K from "lwp/kernel";
    import { lwpSelf } from "lwp/syscall";
    import { readFile } from "node:fs/promises";
    import { createServer } from "node:http";
    import { threadId } from "node:worker_threads";
    export function* main() {
      // No tick takes the CPU from main, which never gives it up: there is only the other one.
      K.cur.lwp.class = K.SCHED_FIFO;
      const t = yield* Thread.spawn(work, ${JSON.stringify(import.meta.url.replace(/^file:\/\//, ""))});
      const { k } = K.cur.lwp;
      while (Atomics.load(k.w, k.scratch) === 0) yield* lwpSelf();
      const { bytes, body, realm, waited } = yield* t.join();
      console.log(JSON.stringify({ bytes: bytes > 0, body, other: realm !== threadId, waited }));
    }
    function* work(path: string) {
      const { k } = K.cur.lwp;
      const data = yield* until(readFile(path));
      let waited = false;
      yield* until(new Promise<void>((resolve) => setTimeout(() => { waited = true; resolve(); }, 20)));
      const server = createServer((_, response) => response.end("hello"));
      const port: number = yield* until(new Promise((resolve) => {
        server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
      }));
      const response = yield* until(fetch("http://127.0.0.1:" + port));
      const body = yield* until(response.text());
      yield* until(new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }));
      Atomics.store(k.w, k.scratch, 1);
      return { bytes: data.length, body, realm: threadId, waited };
    }
  `;
  assert.deepEqual(await output(text, 2), { bytes: true, body: "hello", other: true, waited: true });
});

test("a rejected promise is thrown where it is awaited", async () => {
  await withMachine({ cpus: 1 }, async (machine) => {
    const { until } = await import("lwp");
    const p = machine.spawn(function* () {
      try {
        yield* until(Promise.reject(new RangeError("no")));
      } catch (error) {
        return error instanceof RangeError && !(error instanceof ThreadError) ? 0 : 1;
      }
      return 2;
    });
    assert.equal((await p.exited).status, 0);
  });
});
