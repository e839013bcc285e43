/**
 * Polls in loops on real CPUs: a thread that computes for ever gives way, is suspended, cancelled and ended, on machines of
 * one CPU, which is its own clock, and of several.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { boot, checkpoint, schedYield, Thread, until } from "lwp";
import { lwpContinue, lwpSuspend } from "lwp/syscall";
import { exec, lwp, program, withMachine } from "../support/host.js";

/** Loops that never end, each in a shape of its own; `n` counts the rounds. */
const LOOPS: Record<string, string> = {
  "for without a block": "for (;;) n++;",
  "for with an empty body": "for (;; n++);",
  while: "while (true) { n++; }",
  "while whose test does the work": "while (++n);",
  "do-while without a block": "do n++; while (n > 0)",
  "for-of": "for (const _ of (function* () { for (;;) yield 1; })()) n++;",
  "for-in": "for (;;) for (const key in { a: 1 }) if (key) n++;",
  labels: "outer: for (;;) { inner: for (;;) { n++; if (n % 2) continue outer; continue inner; } }",
  "a loop that continues at once": "for (;;) { n++; continue; }",
  "a try block": "for (;;) { try { while (true) n++; } finally { n--; } }",
  "a delegated method":
    "class W { #m = 1; *run() { yield* this.#deep(); } *#deep() { for (;;) n += this.#m; } } const w = new W(); yield* w.run();",
  "the body of a scope": "yield* Scope.run(function* () { for (;;) n++; });",
  "the routine of a Once": "yield* new Once().run(function* () { for (;;) n++; });",
  "a delegated closure": "const deep = function* () { for (;;) n++; }; yield* deep();",
};

describe("a thread that computes for ever", () => {
  for (const [name, loop] of Object.entries(LOOPS)) {
    test(`lets others of its CPU run, and is suspended and cancelled by them: ${name}`, async () => {
      const text = `
        import { Once, schedYield, Scope, Thread } from "lwp";
        import { lwpContinue, lwpSuspend } from "lwp/syscall";
        let n = 0;
        export function* main() {
          // A closure stays on this CPU.
          const t = yield* Thread.spawn(function* () { ${loop} });
          while (n === 0) yield* schedYield();
          yield* lwpSuspend(t.lid);
          const before = n;
          for (let i = 0; i < 1000; i++) yield* schedYield();
          if (n !== before) return 1;
          yield* lwpContinue(t.lid);
          while (n === before) yield* schedYield();
          yield* t.cancel();
          try {
            yield* t.join();
          } catch (error) {
            return error.cause.code === "ECANCELED" ? 7 : 2;
          }
        }
      `;
      await withMachine({ cpus: 1 }, async (machine) => {
        assert.equal((await exec(machine, text)).status, 7);
      });
    });
  }

  test("gives way in whatever asynchronous context it was spawned", async () => {
    const text = `
      import { AsyncLocalStorage } from "node:async_hooks";
      import { schedYield, Thread } from "lwp";
      let n = 0;
      export function* main() {
        const storage = new AsyncLocalStorage();
        const seen = new Set();
        // It acts when it is iterated, so that is what the context must be around.
        const spawn = Thread.spawn(function* () { for (;;) { n++; seen.add(storage.getStore()); } })[Symbol.iterator]();
        const { done } = storage.run(5, () => spawn.next());
        while (n === 0) yield* schedYield();
        return done && seen.has(5) && seen.size === 1 ? 7 : 1;
      }
    `;
    await withMachine({ cpus: 1 }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 7);
    });
  });

  test("SCH-133: is suspended, continued and cancelled from another CPU: polls of loops are polling points", async () => {
    const text = `
      import { schedYield, Thread } from "lwp";
      import { lwpContinue, lwpSuspend } from "lwp/syscall";
      import * as K from "lwp/kernel";
      export function* main() {
        const { k } = K.cur.lwp;
        const rounds = k.scratch;
        // Fill both CPUs: whichever runs this thread, one of the loops is on the other.
        const loops = [yield* Thread.spawn(loop, rounds), yield* Thread.spawn(loop, rounds + 1)];
        for (const i of [0, 1]) while (Atomics.load(k.w, rounds + i) === 0) yield* schedYield();
        for (const { lid } of loops) yield* lwpSuspend(lid);
        const p = K.cur.lwp.proc;
        const suspended = () => K.procLwps(p).filter((l) => l.stat === K.LSSUSPENDED).length;
        while (suspended() < 2) yield* schedYield();
        const before = [0, 1].map((i) => Atomics.load(k.w, rounds + i));
        for (let i = 0; i < 1000; i++) yield* schedYield();
        for (const i of [0, 1]) if (Atomics.load(k.w, rounds + i) !== before[i]) return 1;
        for (const { lid } of loops) yield* lwpContinue(lid);
        for (const i of [0, 1]) while (Atomics.load(k.w, rounds + i) === before[i]) yield* schedYield();
        for (const t of loops) yield* t.cancel();
        for (const t of loops) try { yield* t.join(); return 2; } catch (error) { if (error.cause.code !== "ECANCELED") return 3; }
        return 7;
      }
      function* loop(at) { const { w } = K.cur.lwp.k; for (;;) Atomics.add(w, at, 1); }
    `;
    await withMachine({ cpus: 2 }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 7);
    });
  });

  for (const cpus of [1, 2, 4]) {
    test(`SCH-116: shares its CPU with others of its priority (${cpus} CPUs)`, async () => {
      const text = `
        import { schedYield, Thread } from "lwp";
        import * as K from "lwp/kernel";
        export function* main([cpus]: string[]) {
          const { k } = K.cur.lwp;
          const n = 2 * Number(cpus) + 1;
          for (let i = 0; i < n; i++) yield* (yield* Thread.spawn(loop, i)).detach();
          for (let i = 0; i < n; i++) while (Atomics.load(k.w, k.scratch + i) === 0) yield* schedYield();
          return 7; // Which ends them all.
        }
        function* loop(i: number) { const { k } = K.cur.lwp; for (;;) Atomics.add(k.w, k.scratch + i, 1); }
      `;
      await withMachine({ cpus }, async (machine) => {
        assert.equal((await exec(machine, text, String(cpus))).status, 7);
      });
    });

    test(`lets the timers and promises of its CPU go on (${cpus} CPUs)`, async () => {
      const text = `
        import { Thread, until } from "lwp";
        export function* main([cpus]: string[]) {
          for (let i = 0; i < Number(cpus); i++) yield* Thread.spawn(loop);
          for (let i = 0; i < 3; i++) yield* until(new Promise((resolve) => setTimeout(resolve, 1)));
          return 7;
        }
        function* loop() { for (;;); }
      `;
      await withMachine({ cpus }, async (machine) => {
        assert.equal((await exec(machine, text, String(cpus))).status, 7);
      });
    });

    test(`is ended by the shutdown of its machine, in a thread function or a plain one (${cpus} CPUs)`, async () => {
      const text = `
        import { Thread } from "lwp";
        import * as K from "lwp/kernel";
        export function* main([plain]: string[]) {
          if (plain === "plain") forever(); else for (;;) {}
        }
        function forever() { for (;;) { try { while (true); } catch {} } }
      `;
      for (const how of ["thread", "plain"]) {
        // A machine of one CPU runs on its caller's event loop, which a plain function does not give back.
        if (cpus === 1 && how === "plain") continue;
        const machine = await boot({ cpus, client: cpus > 1 });
        const p = await machine.exec(program(text), [how]);
        await machine.shutdown();
        await assert.rejects(p.exited, /shut down/);
      }
    });
  }

  test("in a plain function is ended with its process, past what catches: from another CPU", async () => {
    const text = `
      import { Thread } from "lwp";
      import { procExit } from "lwp/syscall";
      import * as K from "lwp/kernel";
      export function* main() {
        yield* Thread.spawn(ender);
        try { forever(); } catch (error) { return 1; } finally { return 2; }
      }
      function forever() { mark(); for (;;) { try { for (const x of [1]) while (x); } catch {} } }
      const mark = () => Atomics.store(K.cur.lwp.k.w, K.cur.lwp.k.scratch, 1);
      function* ender() {
        const { k } = K.cur.lwp;
        while (Atomics.load(k.w, k.scratch) === 0) {}
        yield* procExit(7);
      }
    `;
    await withMachine({ cpus: 2 }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 7);
    });
  });

  test("is killed with its process from the embedding realm, whose event loop turns", async () => {
    const text = "export function* main() { for (;;) {} }";
    await withMachine({ cpus: 1 }, async (machine) => {
      const p = await machine.exec(program(text));
      await new Promise((resolve) => setImmediate(resolve));
      p.kill();
      assert.equal((await p.exited).signal, 9);
    });
  });
});

describe("without time slices", () => {
  const text = `
    import { schedYield, Thread } from "lwp";
    import { lwpSuspend } from "lwp/syscall";
    import * as K from "lwp/kernel";
    let rounds = 0;
    export function* main() {
      const l = K.cur.lwp;
      yield* Thread.spawn(function* () { rounds++; });
      // The other one is ready, and stays so while this one computes, for however many ticks.
      const until = l.k.g.ticks + 100;
      while (l.cpu.tick < until);
      if (rounds !== 0 || l.nivcsw !== 0) return 1;
      yield* schedYield();
      return rounds === 1 ? 7 : 2;
    }
  `;

  test("a thread that computes keeps its CPU until an operation gives it away", async () => {
    await withMachine({ cpus: 1, preempt: false }, async (machine) => {
      assert.equal((await exec(machine, text)).status, 7);
    });
  });

  test("lwp run --no-preempt leaves them out; with them the other thread runs", async () => {
    assert.equal((await lwp("run", "--cpus", "1", "--no-preempt", program(text))).status, 7);
    assert.equal((await lwp("run", "--cpus", "1", program(text))).status, 1);
  });

  test("a thread that computes is cancelled all the same", async () => {
    const loops = `
      import { Thread } from "lwp";
      import * as K from "lwp/kernel";
      export function* main() {
        const { k } = K.cur.lwp;
        const t = yield* Thread.spawn(loop);
        while (Atomics.load(k.w, k.scratch) === 0) {}
        yield* t.cancel();
        try { yield* t.join(); } catch (error) { return error.cause.code === "ECANCELED" ? 7 : 1; }
      }
      function* loop() { const { k } = K.cur.lwp; for (;;) Atomics.store(k.w, k.scratch, 1); }
    `;
    await withMachine({ cpus: 2, preempt: false }, async (machine) => {
      assert.equal((await exec(machine, loops)).status, 7);
    });
  });
});

describe("checkpoint", () => {
  for (const cpus of [1, 2]) {
    test(`gives way in loops of closures, and is a point of suspension and cancellation (${cpus} CPUs)`, async () => {
      await withMachine({ cpus }, async (machine) => {
        let n = 0;
        const code = await machine.run(function* () {
          const t = yield* Thread.spawn(function* () {
            for (;;) {
              n++;
              yield* checkpoint();
            }
          });
          while (n === 0) yield* schedYield();
          yield* lwpSuspend(t.lid);
          const before = n;
          yield* until(new Promise((resolve) => setImmediate(resolve)));
          assert.equal(n, before);
          yield* lwpContinue(t.lid);
          while (n === before) yield* checkpoint();
          yield* t.cancel();
          try {
            return yield* t.join();
          } catch (error) {
            return ((error as Error).cause as { code: string }).code;
          }
        });
        assert.equal(code, "ECANCELED");
      });
    });
  }

  test("outside a thread says what it is for", () => {
    assert.throws(() => checkpoint()[Symbol.iterator]().next(), /checkpoint works only inside a thread/);
  });
});
