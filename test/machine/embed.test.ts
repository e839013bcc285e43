/** Embedding: closures with `run`, processes that are killed, machines inside machines. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { boot, ExitError, MachineError, run, schedYield, Thread, ThreadError, until } from "lwp";
import { lwpCreate, procExit } from "lwp/syscall";
import { exec, node, program, withMachine } from "../support/host.js";

function* forever() {
  for (;;) yield* schedYield();
}

describe("run", () => {
  test("resolves with what the closure returns, whatever that is", async () => {
    const value = { list: [1, 2, 3], call: () => 4 };
    assert.equal(
      await run(function* () {
        return value;
      }),
      value,
    );
    assert.equal(await run(function* () {}), undefined);
    const sum = await run(function* () {
      const threads: Thread<number>[] = [];
      for (let i = 0; i < 100; i++) {
        threads.push(
          yield* Thread.spawn(function* () {
            yield* schedYield();
            return i;
          }),
        );
      }
      let sum = 0;
      for (const t of threads) sum += yield* t.join();
      return sum;
    });
    assert.equal(sum, 4950);
  });

  test("rejects with what the closure throws: the very object", async () => {
    const error = new RangeError("on purpose");
    await assert.rejects(
      run(function* () {
        yield* schedYield();
        throw error;
      }),
      (thrown) => thrown === error,
    );
    await assert.rejects(
      run((() => {
        throw error;
      }) as never),
      (thrown) => thrown === error,
    );
  });

  test("rejects with what a thread that nobody joins leaves uncaught", async () => {
    const error = new Error("on purpose");
    const main = function* () {
      const t = yield* Thread.spawn(function* () {
        throw error;
      });
      yield* t.detach();
      yield* forever();
    };
    await assert.rejects(run(main), (thrown) => thrown === error);
  });

  test("what a joined thread throws arrives as its cause", async () => {
    const error = new Error("on purpose");
    const main = function* () {
      const t = yield* Thread.spawn(function* () {
        throw error;
      });
      yield* t.join();
    };
    await assert.rejects(run(main), (e) => e instanceof ThreadError && e.cause === error);
  });

  test("rejects with ExitError when a thread ends the process first", async () => {
    const main = function* () {
      yield* lwpCreate(function* () {
        yield* procExit(3);
      });
      yield* forever();
    };
    await assert.rejects(
      run(main),
      (e) => e instanceof ExitError && e.exit.status === 3 && e.code === "EEXIT",
    );
  });

  test("what is no generator function is a TypeError", async () => {
    await assert.rejects(run(3 as never), TypeError);
    await assert.rejects(run((async () => {}) as never), TypeError);
  });

  test("the event loop goes on meanwhile: promises and timers of others", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const seen = await run(function* () {
      while (turns < 5) yield* schedYield();
      const before = turns;
      yield* until(new Promise((resolve) => setTimeout(resolve, 5)));
      return [before, turns];
    });
    clearInterval(timer);
    assert.ok(seen[0] >= 5 && seen[1] > seen[0]);
  });

  test("leaves nothing behind: a script that only runs ends by itself", async () => {
    const script = `
      import { run, Thread } from "lwp";
      console.log(await run(function* () {
        const t = yield* Thread.spawn(function* () { return 42; });
        return yield* t.join();
      }));
    `;
    const { status, stdout, stderr } = await node(["--input-type=module", "-e", script]);
    assert.deepEqual([status, stdout, stderr], [0, "42\n", ""]);
  });

  test("many at once do not disturb each other", async () => {
    const all = Array.from({ length: 20 }, (_, i) =>
      run(
        function* () {
          for (let n = 0; n < 50; n++) yield* schedYield();
          return i;
        },
        { limits: { lwps: 64, threads: 64, blocks: 64 } },
      ),
    );
    assert.deepEqual(
      await Promise.all(all),
      Array.from({ length: 20 }, (_, i) => i),
    );
  });
});

describe("kill", () => {
  const STATES: Record<string, string> = {
    computing: "for (;;) yield* schedYield();",
    parked: "yield* lwpPark();",
    "awaiting the host": "yield* until(new Promise(() => {}));",
    suspended: "yield* lwpSuspend(yield* lwpSelf());",
    "creating threads": "for (;;) { yield* (yield* Thread.spawn(quick)).detach(); yield* schedYield(); }",
  };
  for (const [state, code] of Object.entries(STATES)) {
    for (const cpus of [1, 2]) {
      test(`ends a process whose threads are ${state} (${cpus} CPUs)`, async () => {
        const text = `
          import { schedYield, Thread, until } from "lwp";
          import { lwpPark, lwpSelf, lwpSuspend } from "lwp/syscall";
          export function* main() {
            for (let i = 0; i < 10; i++) yield* Thread.spawn(other);
            yield* lwpPark();
          }
          function* other() { ${code} }
          function* quick() {}
        `;
        await withMachine({ cpus }, async (machine) => {
          const p = await machine.exec(program(text));
          const q = await machine.exec(program("export function* main() { return 5; }"));
          assert.equal((await q.exited).status, 5);
          p.kill();
          const { status, signal } = await p.exited;
          assert.deepEqual([status, signal], [null, 9]);
          p.kill();
        });
      });
    }
  }

  test("of a process that has ended does nothing, and a killed closure rejects `run`'s promise", async () => {
    await withMachine({ cpus: 1 }, async (machine) => {
      const p = machine.spawn(function* () {
        return 3;
      });
      assert.equal((await p.exited).status, 3);
      p.kill();
      const q = machine.spawn(forever);
      q.kill();
      assert.equal((await q.exited).signal, 9);
    });
  });
});

describe("machines inside machines", () => {
  for (const cpus of [1, 2]) {
    test(`a thread runs another machine and awaits it (${cpus} CPUs)`, async () => {
      const inner = (n: number) =>
        run(function* () {
          const t = yield* Thread.spawn(function* () {
            yield* schedYield();
            return n * 2;
          });
          return yield* t.join();
        });
      await withMachine({ cpus }, async (machine) => {
        const seen = await machine.run(function* () {
          const threads: Thread<number>[] = [];
          for (let i = 0; i < 5; i++) {
            threads.push(
              yield* Thread.spawn(function* () {
                return yield* until(inner(i));
              }),
            );
          }
          const seen: number[] = [];
          for (const t of threads) seen.push(yield* t.join());
          return seen;
        });
        assert.deepEqual(seen, [0, 2, 4, 6, 8]);
      });
    });
  }

  test("three deep, and the outer threads are still who they were", async () => {
    const level = (depth: number): Promise<number> =>
      run(function* () {
        if (depth === 0) return 0;
        const inner = yield* until(level(depth - 1));
        yield* schedYield();
        return inner + depth;
      });
    assert.equal(await level(3), 6);
  });

  test("a program on another CPU runs a machine of its own", async () => {
    const text = `
      import { run, schedYield, Thread, until } from "lwp";
      export function* main() {
        const threads = [];
        for (let i = 0; i < 4; i++) threads.push(yield* Thread.spawn(nested, i));
        let sum = 0;
        for (const t of threads) sum += yield* t.join();
        return sum;
      }
      function* nested(n: number) {
        return yield* until(run(function* () { yield* schedYield(); return n; }));
      }
    `;
    await withMachine({ cpus: 2 }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 6);
    });
  });

  test("closures and programs share one machine", async () => {
    await withMachine({ cpus: 2 }, async (machine) => {
      const path = program("export function* main([n]: string[]) { return Number(n); }");
      const [a, b, c] = await Promise.all([
        machine.exec(path, ["1"]).then((p) => p.exited),
        machine.run(function* () {
          const p = yield* until(machine.exec(path, ["2"]));
          return (yield* until(p.exited)).status;
        }),
        machine.exec(path, ["3"]).then((p) => p.exited),
      ]);
      assert.deepEqual([a.status, b, c.status], [1, 2, 3]);
    });
  });
});

describe("accounting", () => {
  for (const cpus of [1, 2]) {
    test(`exact: what an LWP computes between two switches is charged whole (${cpus} CPUs)`, async () => {
      const text = `
        import { schedYield, Thread } from "lwp";
        import * as K from "lwp/kernel";
        export function* main() {
          const threads = [];
          for (let i = 0; i < 6; i++) threads.push(yield* Thread.spawn(compute));
          for (const t of threads) yield* t.join();
        }
        function* compute() {
          const l = K.cur.lwp;
          let computed = 0;
          for (let i = 0; i < 10; i++) {
            const from = l.k.port.now();
            while (l.k.port.now() - from < 0.0002);
            computed += l.k.port.now() - from;
            yield* schedYield();
            if (l.rtime < computed) throw new Error(\`\${l.rtime} of \${computed} s were charged\`);
          }
        }
      `;
      await withMachine({ cpus, accounting: "exact" }, async (machine) => {
        assert.equal((await exec(machine, text)).status, 0);
      });
    });
  }

  test("any other word is a TypeError", async () => {
    await assert.rejects(boot({ cpus: 1, accounting: "rough" as "exact" }), TypeError);
  });
});

describe("after a shutdown", () => {
  test("everything is refused with MachineError, but kill, which does nothing", async () => {
    const machine = await boot({ cpus: 1 });
    const p = machine.spawn(forever);
    const running = machine.run(forever);
    running.catch(() => {});
    await machine.shutdown();
    await assert.rejects(p.exited, MachineError);
    await assert.rejects(running, MachineError);
    await assert.rejects(machine.run(forever), MachineError);
    assert.throws(() => machine.spawn(forever), MachineError);
    await assert.rejects(machine.exec(program("export function* main() {}")), MachineError);
    p.kill();
  });
});
