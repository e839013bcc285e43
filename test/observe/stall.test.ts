/** Stalls: found when nothing can wake anybody any more, told with who waits for whom, and never when something still can. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { boot, StallError } from "lwp";
import * as K from "lwp/kernel";
import { lwpPark } from "lwp/syscall";
import { lwp, lwpRun, node, program } from "../support/host.js";

/** Three threads, on whatever CPUs, that each hold a lock of the kernel and want the next one. */
const DEADLOCK = `
  import { schedYield, Thread } from "lwp";
  import { lwpSetname } from "lwp/syscall";
  import * as K from "lwp/kernel";
  export function* main() {
    const { k } = K.cur.lwp;
    for (let n = 0; n < 3; n++) K.mutexInit(k, k.scratch + n * 4, K.MUTEX_DEFAULT, K.IPL_NONE);
    const threads = [];
    for (let n = 0; n < 3; n++) threads.push(yield* Thread.spawn(philosopher, n));
    for (const t of threads) yield* t.join();
  }
  function* philosopher(n: number) {
    const { k } = K.cur.lwp;
    yield* lwpSetname(0, "philosopher " + n);
    yield* K.mutexEnter(k, k.scratch + n * 4);
    Atomics.add(k.w, k.scratch + 100, 1);
    while (Atomics.load(k.w, k.scratch + 100) < 3) yield* schedYield();
    yield* K.mutexEnter(k, k.scratch + ((n + 1) % 3) * 4);
  }
`;

const REPORT = `\
lwp: stalled: no thread can go on, and nothing is left that could wake one
A deadlock of 3 threads:
  thread 2 "philosopher 0" waits for a kernel mutex, held by thread 3 "philosopher 1"
  thread 3 "philosopher 1" waits for a kernel mutex, held by thread 4 "philosopher 2"
  thread 4 "philosopher 2" waits for a kernel mutex, held by thread 2 "philosopher 0"
PID  LID  NAME           S  PRI  CPU   TIME  WAITS FOR
  1    1  main()         S   43    N  TIME  the end of thread 2 "philosopher 0"
  1    2  philosopher 0  D   43    N  TIME  a kernel mutex, held by thread 3 "philosopher 1"
  1    3  philosopher 1  D   43    N  TIME  a kernel mutex, held by thread 4 "philosopher 2"
  1    4  philosopher 2  D   43    N  TIME  a kernel mutex, held by thread 2 "philosopher 0"
`;

/** Where they run, and how long, is nobody's to say. */
const plain = (text: string): string => text.replace(/ [0-3] +\d+\.\d{3} /g, " N  TIME ");

describe("a deadlock", () => {
  for (const cpus of [1, 2, 4]) {
    test(`is told with its cycle, and the status is 71 (${cpus} CPUs)`, async () => {
      const { status, stdout, stderr } = await lwpRun(DEADLOCK, cpus);
      assert.deepEqual([status, stdout, plain(stderr)], [71, "", REPORT]);
    });
  }

  test("is found on simulated CPUs, and told in the same words", async () => {
    const { status, stderr } = await lwp("run", "--sim", "--cpus", "3", "--seed", "5", program(DEADLOCK));
    assert.deepEqual([status, plain(stderr)], [71, REPORT]);
  });

  test("with --json is one line of JSON that names the threads of the cycle", async () => {
    const { status, stderr } = await lwp("run", "--json", "--cpus", "2", program(DEADLOCK));
    assert.equal(status, 71);
    assert.equal(stderr.split("\n").length, 2, stderr);
    const { event, deadlocks, threads } = JSON.parse(stderr);
    assert.deepEqual([event, threads.length], ["stall", 4]);
    assert.deepEqual(deadlocks, [[2, 3, 4].map((lid) => ({ pid: 1, lid }))]);
  });
});

describe("nothing is left that could wake anybody:", () => {
  const STALLS: Readonly<Record<string, string>> = {
    "a thread parks for ever": "yield* lwpPark();",
    "a thread awaits a promise that nobody will resolve": "yield* until(new Promise(() => {}));",
    "a thread on another CPU does": "yield* (yield* Thread.spawn(never)).join();",
    "the last timer of the host has fired for nobody":
      "setTimeout(() => {}, 50); yield* until(new Promise(() => {}));",
    "a timer of the host keeps nothing alive":
      "yield* until(new Promise((done) => setTimeout(done, 1e8).unref()));",
    "a thread is suspended that nobody will continue": "yield* lwpSuspend(1);",
  };
  for (const [what, body] of Object.entries(STALLS)) {
    for (const cpus of [1, 2]) {
      test(`${what} (${cpus} CPUs)`, async () => {
        const text = `
          import { Thread, until } from "lwp";
          import { lwpPark, lwpSuspend, schedYield } from "lwp/syscall";
          export function* main() { yield* Thread.spawn(never); ${body} }
          function* never() { yield* until(new Promise(() => {})); }
        `;
        const { status, stderr } = await lwpRun(text, cpus);
        assert.equal(status, 71, stderr);
        assert.match(stderr, /^lwp: stalled: .*\nPID .*\n.* main\(\) /);
      });
    }
  }
});

describe("something is left that wakes somebody:", () => {
  const WAITS: Readonly<Record<string, string>> = {
    "a thread's own sleep": "yield* Thread.sleep(300);",
    "a time-out by a signal":
      "try { yield* new Semaphore(0).wait({ signal: AbortSignal.timeout(200) }); throw 1; } catch (e) { if (e.name !== 'TimeoutError') throw e; }",
    "a time-out by one of several signals": `
      const signal = AbortSignal.any([new AbortController().signal, AbortSignal.any([AbortSignal.timeout(200)])]);
      try { yield* new Semaphore(0).wait({ signal }); throw 1; } catch (e) { if (e.name !== "TimeoutError") throw e; }`,
    "a timer": "yield* until(new Promise((done) => setTimeout(done, 200)));",
    "a job of the thread pool":
      'yield* until(new Promise((done) => pbkdf2("a", "b", 400_000, 32, "sha256", done)));',
    "a promise of the thread pool": 'yield* until(subtle.digest("SHA-256", new Uint8Array(5e7)));',
    compression: "yield* until(promisify(gzip)(new Uint8Array(2e7)));",
    "a compilation": "yield* until(WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])));",
    "a file": "yield* until(readFile(process.argv[1]));",
    "a child process":
      'yield* until(new Promise((done) => spawn(process.execPath, ["-e", ""]).on("exit", done)));',
    "a worker of its own":
      'yield* until(new Promise((done) => new Worker("", { eval: true }).on("exit", done)));',
    "a chain of promises": "yield* until((async () => { for (let i = 0; i < 1000; i++) await null; })());",
  };
  for (const cpus of [1, 2]) {
    for (const [what, body] of Object.entries(WAITS)) {
      test(`${what} (${cpus} CPUs)`, async () => {
        const text = `
          import { Semaphore, Thread, until } from "lwp";
          import { spawn } from "node:child_process";
          import { pbkdf2, subtle } from "node:crypto";
          import { readFile } from "node:fs/promises";
          import { promisify } from "node:util";
          import { Worker } from "node:worker_threads";
          import { gzip } from "node:zlib";
          void [pbkdf2, subtle, readFile, spawn, promisify, gzip, Worker, until, Semaphore];
          export function* main() {
            const threads = [yield* Thread.spawn(work), yield* Thread.spawn(work)];
            for (const t of threads) yield* t.join();
          }
          function* work() { ${body} }
        `;
        const { status, stderr } = await lwpRun(text, cpus);
        assert.deepEqual([status, stderr], [0, ""]);
      });
    }
  }

  // Node lets go of a timeout that only another signal was made of, until 22.16 and 24.
  const [major, minor] = process.versions.node.split(".").map(Number);
  const collects = major < 24 && !(major === 22 && minor >= 16);
  const how = collects ? "stalls (before Node 22.16)" : "times out (since Node 22.16)";
  test(`a wait by a signal whose timeout nobody held when garbage was collected before ${how}`, async () => {
    const text = `
      import { Semaphore, until } from "lwp";
      import { setFlagsFromString } from "node:v8";
      import { runInNewContext } from "node:vm";
      const limited = () => AbortSignal.any([AbortSignal.timeout(${collects ? 600_000 : 100})]);
      export function* main() {
        const signal = limited();
        yield* until(new Promise((done) => setTimeout(done, 0)));
        setFlagsFromString("--expose-gc");
        runInNewContext("gc")();
        try { yield* new Semaphore(0).wait({ signal }); } catch (e) { console.log(e.name); }
      }
    `;
    const { status, stdout } = await lwpRun(text, 1);
    assert.deepEqual([status, stdout], collects ? [71, ""] : [0, "TimeoutError\n"]);
  });

  test("a token that always just one of many threads has is never mistaken for a stall", async () => {
    const text = `
      import { Thread } from "lwp";
      import * as K from "lwp/kernel";
      const THREADS = 8, ROUNDS = 2000;
      export function* main() {
        const threads = [];
        for (let n = 0; n < THREADS; n++) threads.push(yield* Thread.spawn(member, n));
        for (const t of threads) yield* t.join();
      }
      /** Word n: the lid of member n; word 100: who has the token, counted on. */
      function* member(n: number) {
        const l = K.cur.lwp;
        const { k } = l;
        const token = k.scratch + 100;
        Atomics.store(k.w, k.scratch + n, l.lid);
        const next = k.scratch + ((n + 1) % THREADS);
        for (let round = 0; round < ROUNDS; round++) {
          while (Atomics.load(k.w, token) !== round * THREADS + n) {
            const how = K.parkBlock(l, 0, 0);
            if (how === K.BLOCK_SWITCHED) yield;
            K.parkUnblock(l, how, 0);
            for (let r = K.userret(l); r !== K.RET_USER; r = K.userret(l)) yield;
          }
          Atomics.add(k.w, token, 1);
          // One that does not exist yet will look at the token before it parks.
          if (Atomics.load(k.w, next) !== 0) { K.unpark(l.proc, Atomics.load(k.w, next), 0); K.flushKicks(k); }
        }
      }
    `;
    const machine = await boot({ cpus: 3, client: true });
    machine.onStall = (report) => assert.fail(report);
    const p = await machine.exec(program(text));
    let over = false;
    void p.exited.then(() => (over = true));
    let looks = 0;
    for (; !over; await new Promise(setImmediate)) {
      for (let i = 0; i < 2000 && machine.kernel.g.nprocs > 1; i++, looks++)
        if (K.machineQuiet(machine.kernel, 0) && machine.kernel.g.nprocs > 1)
          assert.fail(`after ${looks} looks\n${K.dump(machine.kernel).join("\n")}`);
    }
    assert.equal((await p.exited).status, 0);
    await machine.shutdown();
  });
});

describe("an embedded machine", () => {
  /** A script that boots a machine; what it prints. */
  async function script(body: string): Promise<{ status: number | null; lines: string[]; stderr: string }> {
    const text = `
      import { boot, run, Thread, until } from "lwp";
      import { lwpPark } from "lwp/syscall";
      import { createServer } from "node:http";
      void [boot, run, Thread, until, lwpPark, createServer];
      ${body}
    `;
    const flags = ["--input-type=module", "-e", text];
    const { status, stdout, stderr } = await node(flags);
    return { status, lines: stdout.trimEnd().split("\n"), stderr };
  }

  for (const cpus of [1, 2]) {
    test(`tells of a stall as an event, and goes on when somebody makes it (${cpus} CPUs)`, async () => {
      const { status, lines, stderr } = await script(`
        const machine = await boot({ cpus: ${cpus} });
        const p = machine.spawn(function* () { yield* lwpPark(); });
        for await (const e of machine.events({ types: ["stall"] })) {
          console.log(e.type, /1 +1 .* an unpark/.test(e.text));
          break;
        }
        const q = machine.spawn(function* () { return 7; });
        console.log((await q.exited).status);
        p.kill();
        console.log((await p.exited).signal);
        await machine.shutdown();
      `);
      assert.deepEqual([status, lines, stderr], [0, ["stall true", "7", "9"], ""]);
    });

    test(`reports it on standard error when nobody listens (${cpus} CPUs)`, async () => {
      const { status, lines, stderr } = await script(`
        const machine = await boot({ cpus: ${cpus} });
        const p = machine.spawn(function* () { yield* lwpPark(); });
        const { onStall } = machine;
        console.log(onStall);
        process.once("beforeExit", () => setTimeout(() => machine.shutdown(), 10));
      `);
      assert.deepEqual([status, lines], [0, ["null"]]);
      assert.match(stderr, /^lwp: stalled: .*\nPID .*\n +1 +1 .* an unpark\n$/);
    });

    test(`whose process has a server is not stalled before that is closed (${cpus} CPUs)`, async () => {
      const { status, lines } = await script(`
        const server = createServer().listen(0);
        const machine = await boot({ cpus: ${cpus} });
        let closed = false;
        machine.onStall = async () => {
          console.log("stall", closed);
          await machine.shutdown();
        };
        machine.spawn(function* () { yield* lwpPark(); });
        setTimeout(() => { closed = true; server.close(); }, 500);
      `);
      assert.deepEqual([status, lines], [0, ["stall true"]]);
    });

    test(`run() rejects with the report (${cpus} CPUs)`, async () => {
      const { status, lines } = await script(`
        try {
          await run(function* () {
            const t = yield* Thread.spawn(function* () { yield* until(new Promise(() => {})); });
            yield* t.join();
          }, { cpus: ${cpus} });
        } catch (error) {
          console.log(error.name, error.code, /the end of thread 2/.test(error.message));
        }
      `);
      assert.deepEqual([status, lines], [0, ["StallError EMACHINE true"]]);
    });
  }

  test("a simulated one rejects with the report", async () => {
    const machine = await boot({ simulated: { cpus: 2 } });
    const p = machine.spawn(function* () {
      yield* lwpPark();
    });
    await assert.rejects(p.exited, (error) => {
      assert.ok(error instanceof StallError);
      assert.match(error.report, /^lwp: stalled: .*\nPID .*\n +1 +1 .* an unpark\n$/);
      return true;
    });
    await machine.shutdown();
  });
});
