/** Machines on real workers: processes one after another, several machines, limits, shutting down. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { boot, LwpError, MachineError, schedYield, Thread, until } from "lwp";
import { lwpCreate, lwpPark, lwpUnpark, lwpWait } from "lwp/syscall";
import { assertEmpty, exec, node, program, withMachine } from "../support/host.js";

/** Ends with the status given, leaving threads in every state behind. */
const LEAVES_THREADS = `
  import { Thread, schedYield, until } from "lwp";
  import { lwpCreate, lwpPark, procExit, LWP_SUSPENDED } from "lwp/syscall";
  export function* main([how]: string[]) {
    for (let i = 0; i < 8; i++) {
      yield* Thread.spawn(sleeper, { text: "x".repeat(1000) });
      yield* Thread.spawn(busy);
      yield* Thread.spawn(result);
      yield* Thread.spawn(function* () { return { local: true }; });
      yield* Thread.spawn(failing);
      yield* Thread.spawn(awaiting);
      yield* lwpCreate(function* () { yield* lwpPark(); });
      yield* lwpCreate(function* () {}, LWP_SUSPENDED);
      yield* schedYield();
    }
    if (how === "return") return 7;
    if (how === "throw") throw new Error("on purpose");
    if (how === "exit") yield* procExit(7);
    yield* Thread.spawn(ender);
    yield* lwpPark();
  }
  function* sleeper(_: object) { for (;;) { try { yield* lwpPark(); } catch {} } }
  function* busy() { for (;;) yield* schedYield(); }
  function* result() { return [1, "two", { three: 3 }]; }
  function* failing() { throw new Error("nobody hears this"); }
  function* awaiting() { yield* until(new Promise(() => {})); }
  function* ender() { yield* procExit(7); }
`;

describe("processes", () => {
  for (const cpus of [1, 2, 4]) {
    test(`one after another, each leaving threads behind, give everything back (${cpus} CPUs)`, async () => {
      await withMachine({ cpus }, async (machine) => {
        for (let round = 0; round < 3; round++) {
          for (const how of ["return", "throw", "exit", "exit of another thread"]) {
            const { status, signal } = await exec(machine, LEAVES_THREADS, how);
            assert.deepEqual([status, signal], how === "throw" ? [null, 6] : [7, null], how);
          }
        }
      });
    });
  }

  test("at the same time do not see each other's module variables or threads", async () => {
    const text = `
      import { schedYield, Thread } from "lwp";
      let n = 0;
      export function* main([times]: string[]) {
        for (let i = 0; i < Number(times); i++) { n++; yield* schedYield(); }
        return n;
      }
    `;
    await withMachine({ cpus: 2 }, async (machine) => {
      const path = program(text);
      const all = await Promise.all([10, 20, 30].map((n) => machine.exec(path, [String(n)])));
      const exits = await Promise.all(all.map((p) => p.exited));
      assert.deepEqual(
        exits.map((e) => e.status),
        [10, 20, 30],
      );
      assert.equal(new Set(all.map((p) => p.pid)).size, 3);
    });
  });

  test("a closure of the caller's realm runs on its CPU, with its variables", async () => {
    let seen = 0;
    await withMachine({ cpus: 2 }, async (machine) => {
      const p = machine.spawn(function* () {
        const t = yield* Thread.spawn(
          function* (list: number[]) {
            list.push(4);
            yield* schedYield();
            return list;
          },
          [1, 2, 3],
        );
        const list = yield* t.join();
        seen = list.length + (yield* until(Promise.resolve(100)));
        return 3;
      });
      assert.equal((await p.exited).status, 3);
    });
    assert.equal(seen, 104);
  });
});

describe("machines", () => {
  for (const dedicated of [false, true]) {
    const name = `one CPU, its own clock${dedicated ? ", dedicated" : ""}: sleeps end when all LWPs sleep`;
    test(name, { timeout: 60_000 }, async () => {
      await withMachine({ cpus: 1, dedicated }, async (machine) => {
        const text = `
          import * as K from "lwp/kernel";
          import { lwpPark } from "lwp/syscall";
          export function* main() {
            for (let i = 0; i < 3; i++) {
              const { sec, nsec } = K.wallclockAtTick(K.cur.lwp.k);
              const ts = { sec: sec + Math.floor((nsec + 2e7) / 1e9), nsec: (nsec + 2e7) % 1e9 };
              try { yield* lwpPark(ts); } catch (error) { if (error.code !== "ETIMEDOUT") throw error; }
            }
            return 6;
          }
        `;
        assert.equal((await exec(machine, text)).status, 6);
      });
    });
  }

  test("two in one process do not disturb each other", async () => {
    const text = `
      import { schedYield, Thread } from "lwp";
      export function* main([n]: string[]) {
        const threads = [];
        for (let i = 0; i < 50; i++) threads.push(yield* Thread.spawn(work, Number(n)));
        let sum = 0;
        for (const t of threads) sum += yield* t.join();
        return sum === 50 * Number(n) ? 0 : 1;
      }
      function* work(n: number) { yield* schedYield(); return n; }
    `;
    const path = program(text);
    await withMachine({ cpus: 2 }, (one) =>
      withMachine({ cpus: 3 }, async (two) => {
        const all = await Promise.all([one.exec(path, ["1"]), two.exec(path, ["2"]), one.exec(path, ["3"])]);
        for (const p of all) assert.equal((await p.exited).status, 0);
        assert.notEqual(one.kernel.buffer, two.kernel.buffer);
      }),
    );
  });

  for (const cpus of [1, 2]) {
    test(`shut down with live threads: the processes' promises are rejected (${cpus} CPUs)`, async () => {
      const machine = await boot({ cpus });
      const text = `
        import { schedYield, Thread, until } from "lwp";
        import { lwpPark } from "lwp/syscall";
        export function* main() {
          yield* Thread.spawn(busy);
          yield* Thread.spawn(awaiting);
          yield* lwpPark();
        }
        function* busy() { for (;;) yield* schedYield(); }
        function* awaiting() { yield* until(new Promise((r) => setTimeout(r, 1e9).unref())); }
      `;
      const p = await machine.exec(program(text));
      const q = machine.spawn(function* () {
        for (;;) yield* schedYield();
      });
      await machine.shutdown();
      for (const { exited } of [p, q]) await assert.rejects(exited, MachineError);
      await assert.rejects(machine.exec(program(text)), MachineError);
      assert.throws(() => machine.spawn(function* () {}), MachineError);
    });
  }

  test("shut down while a CPU computes without ever looking up", async () => {
    const machine = await boot({ cpus: 2 });
    const text = `
      import * as K from "lwp/kernel";
      import { lwpPark, schedYield } from "lwp/syscall";
      export function* main() {
        const { k } = K.cur.lwp;
        K.createLwp(K.cur.lwp, 0, { kind: K.CTX_STEP, entry: 0, realm: 2 });
        while (Atomics.load(k.w, k.scratch) === 0) yield* schedYield();
        yield* lwpPark();
      }
      export const steps = [(t) => { Atomics.store(t.l.k.w, t.l.k.scratch, 1); for (;;); }];
    `;
    const p = await machine.exec(program(text));
    const { w, scratch } = machine.kernel;
    while (Atomics.load(w, scratch) === 0) await new Promise(setImmediate);
    await machine.shutdown();
    await assert.rejects(p.exited, MachineError);
  });

  test("a program that awaits for ever while it is loaded holds up neither others nor the shutdown", async () => {
    const machine = await boot({ cpus: 2 });
    // Something may still come, as far as anybody can tell.
    const text =
      "globalThis.kept = setInterval(() => {}, 1e6); await new Promise(() => {}); export function* main() {}";
    const loading = machine.exec(program(text));
    // It may be rejected before this test comes to look.
    loading.catch(() => {});
    assert.equal((await exec(machine, "export function* main() { return 4; }")).status, 4);
    await machine.shutdown();
    await assert.rejects(loading, MachineError);
    clearInterval((globalThis as { kept?: NodeJS.Timeout }).kept);
  });

  test("a program that awaits what can never come is not loaded, and others are all the same", async () => {
    await withMachine({ cpus: 2 }, async (machine) => {
      const file = program("await new Promise(() => {}); export function* main() {}");
      // Of this realm's event loop nobody can tell; of the worker's one can.
      const timer = setInterval(() => {}, 1e6);
      const message = `${file}: a top-level \`await\` never ended: nothing is left that could end it`;
      await assert.rejects(machine.exec(file), { name: "LinkError", code: "ENOEXEC", message });
      clearInterval(timer);
      assert.equal((await exec(machine, "export function* main() { return 4; }")).status, 4);
    });
  });

  test("`await using` shuts down, and a second shutdown is no harm", async () => {
    const machine = await boot({ cpus: 2 });
    await machine[Symbol.asyncDispose]();
    await machine.shutdown();
    assertEmpty(machine);
  });

  test("the number of CPUs is 1 to 32", async () => {
    for (const cpus of [0, 33, 1.5, Number.NaN]) await assert.rejects(boot({ cpus }), RangeError);
  });

  for (const cpus of ["1", "2"]) {
    test(`a script ends by itself after shutdown (${cpus} CPUs)`, { timeout: 60_000 }, async () => {
      const script = fileURLToPath(new URL("programs/embed.js", import.meta.url));
      const { status, stdout, stderr } = await node([script, cpus]);
      assert.equal(status, 0, stderr);
      assert.equal(stdout, "status 42\nbye\n");
    });
  }

  test("workers take over options of the process, V8's and those of `node -e` included", async () => {
    const script = `
      const { boot } = await import("lwp");
      const machine = await boot({ cpus: 2 });
      const p = machine.spawn(function* () { return 5; });
      console.log((await p.exited).status);
      await machine.shutdown();
    `;
    const flags = ["--max-old-space-size=256", "--stack-size=900", "--input-type=module"];
    const { status, stdout, stderr } = await node([...flags, "-e", script]);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "5\n");
  });
});

describe("limits", () => {
  test("an LWP beyond the limit is EAGAIN, and there is room again when one has gone", async () => {
    await withMachine({ cpus: 2, limits: { lwps: 16 } }, async (machine) => {
      const codes: string[] = [];
      let made = 0;
      const p = machine.spawn(function* () {
        const lids: number[] = [];
        const sleep = function* () {
          try {
            yield* lwpPark();
          } catch (error) {
            // Unparked before it slept.
            assert.equal((error as LwpError).code, "EALREADY");
          }
        };
        for (let round = 0; round < 2; round++) {
          try {
            for (;;) {
              lids.push(yield* lwpCreate(sleep));
              made++;
            }
          } catch (error) {
            assert.ok(error instanceof LwpError);
            codes.push(error.code);
          }
          const lid = lids.pop() as number;
          yield* lwpUnpark(lid);
          yield* lwpWait(lid);
        }
        return 0;
      });
      assert.equal((await p.exited).status, 0);
      // Five are the system's, one is main.
      assert.equal(made, 16 - 6 + 1);
      assert.deepEqual(codes, ["EAGAIN", "EAGAIN"]);
    });
  });

  test("a thread beyond the limit of threads or of LWPs is EAGAIN", async () => {
    for (const limits of [{ threads: 8 }, { lwps: 12 }]) {
      await withMachine({ cpus: 2, limits }, async (machine) => {
        const text = `
          import { Thread } from "lwp";
          import { lwpPark } from "lwp/syscall";
          export function* main() {
            for (let n = 0; ; n++) {
              try { yield* Thread.spawn(sleep, "an argument that needs the arena"); }
              catch (error) { return error.code === "EAGAIN" ? n : 255; }
            }
          }
          function* sleep(_: string) { yield* lwpPark(); }
        `;
        const { status } = await exec(machine, text);
        // Main has a record as well; 12 LWPs are the system's five, main and six others.
        assert.equal(status, "threads" in limits ? 7 : 6);
      });
    }
  });

  test("a process beyond the limit is EAGAIN", async () => {
    await withMachine({ cpus: 1, limits: { procs: 3 } }, async (machine) => {
      const wait = { go: false };
      const sleep = function* () {
        while (!wait.go) yield* schedYield();
      };
      const all = [machine.spawn(sleep), machine.spawn(sleep)];
      assert.throws(() => machine.spawn(sleep), { code: "EAGAIN" });
      await assert.rejects(machine.exec(program("export function* main() {}")), { code: "EAGAIN" });
      wait.go = true;
      for (const p of all) await p.exited;
      assert.equal((await exec(machine, "export function* main() { return 9; }")).status, 9);
    });
  });

  test("arguments and results that have no room in the arena, or in user memory, are ENOMEM, and nothing is lost", async () => {
    await withMachine({ cpus: 2, limits: { blocks: 3, userPages: 8 } }, async (machine) => {
      const text = `
        import { Thread, ThreadError } from "lwp";
        export function* main() {
          const wrong = [];
          for (const [size, small] of [[800, 600], [100000, 5000], [800, 5000], [100000, 600]]) {
            try { yield* Thread.spawn(nothing, "x".repeat(size)); wrong.push("spawned"); }
            catch (error) { if (error.code !== "ENOMEM") wrong.push(error); }
            const t = yield* Thread.spawn(large, size);
            try { yield* t.join(); wrong.push("joined"); }
            catch (error) { if (!(error instanceof ThreadError && error.cause.code === "ENOMEM")) wrong.push(error); }
            const u = yield* Thread.spawn(failing, size);
            try { yield* u.join(); wrong.push("joined"); }
            catch (error) { if (!(error instanceof ThreadError && error.cause.code === "ENOMEM")) wrong.push(error); }
            const v = yield* Thread.spawn(large, small);
            if ((yield* v.join()).length !== small) wrong.push("damaged");
          }
          for (const w of wrong) console.error(w);
          return wrong.length;
        }
        function* nothing(_: string) {}
        function* large(n: number) { return "x".repeat(n); }
        function* failing(n: number) { throw Object.assign(new Error("x".repeat(n)), { stack: "" }); }
      `;
      assert.equal((await exec(machine, text)).status, 0);
      const args = ["y".repeat(100_000)];
      await assert.rejects(machine.exec(program(text), args), { code: "ENOMEM" });
      assert.equal((await exec(machine, text)).status, 0);
    });
  });
});
