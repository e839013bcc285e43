/** Programs on simulated machines: polls are choices, and the clocks, random numbers and timers are the machine's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { boot, MachineError, runSimulated, type Simulation } from "lwp";
import { firstStrategy } from "lwp/kernel";
import { program } from "../support/host.js";

const world = globalThis as unknown as { seen: unknown[] };

/** What the program has put into `globalThis.seen`; it must end with status 0. */
async function seen(text: string, simulated: Simulation = {}): Promise<unknown[]> {
  world.seen = [];
  const { status } = await runSimulated(program(text), [], simulated);
  assert.equal(status, 0);
  return world.seen;
}

describe("polls on a simulated machine", () => {
  const race = `
    import { Thread } from "lwp";
    export function* main() {
      const threads = [];
      for (const name of "ab") threads.push(yield* Thread.spawn(racer, name));
      for (const t of threads) yield* t.join();
    }
    function* racer(name: string) { for (let i = 0; i < 8; i++) globalThis.seen.push(name); }
  `;

  test("are choices: two loops without an operation interleave as the seed says, and repeat", async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      for (const cpus of [1, 2]) {
        const order = (await seen(race, { seed, cpus, checked: true })).join("");
        assert.equal((await seen(race, { seed, cpus })).join(""), order, `seed ${seed}`);
        orders.add(order);
      }
    }
    assert.ok(orders.size > 10, `${orders.size} orders`);
  });

  test("are not taken by a strategy that always goes on, but for one in a thousand", async () => {
    const simulated = { strategy: firstStrategy, cpus: 1 };
    assert.equal((await seen(race, simulated)).join(""), "aaaaaaaabbbbbbbb");
    const long = await seen(race.replace("i < 8", "i < 3000"), simulated);
    const turns = long.join("").match(/a+|b+/g)!;
    assert.ok(
      turns.length > 2 && turns.every((turn) => turn.length <= 1001),
      String(turns.map((t) => t.length)),
    );
  });

  for (const strategy of [undefined, firstStrategy]) {
    test(`let a loop that waits for another thread come to its end (${strategy === undefined ? "seeded" : "first"})`, async () => {
      const text = `
        import { Thread } from "lwp";
        let ready = false;
        export function* main() {
          yield* Thread.spawn(function* () { for (let i = 0; i < 10; i++); ready = true; });
          while (!ready);
        }
      `;
      for (const cpus of [1, 2]) await seen(text, { strategy, cpus, checked: true });
    });
  }

  test("suspend, cancel and end a thread that computes for ever", async () => {
    const text = `
      import { Thread } from "lwp";
      import { lwpContinue, lwpSuspend } from "lwp/syscall";
      let n = 0;
      export function* main() {
        const t = yield* Thread.spawn(function* () { try { for (;;) n++; } finally { globalThis.seen.push("finally"); } });
        while (n === 0);
        yield* lwpSuspend(t.lid);
        const before = n;
        for (let i = 0; i < 5000; i++);
        globalThis.seen.push(n === before);
        yield* lwpContinue(t.lid);
        while (n === before);
        yield* t.cancel();
        try { yield* t.join(); } catch (error) { globalThis.seen.push(error.cause.code); }
        yield* Thread.spawn(function* () { for (;;) n++; });
      }
    `;
    for (let seed = 0; seed < 10; seed++) {
      assert.deepEqual(
        await seen(text, { seed, checked: true }),
        [true, "finally", "ECANCELED"],
        `seed ${seed}`,
      );
    }
  });
});

describe("the host that a program on a simulated machine finds", () => {
  test("has the machine's wall clock and its time since boot", async () => {
    const text = `
      export function* main() {
        const date = new Date();
        globalThis.seen.push(
          Date.now(), date.getTime(), date instanceof Date, Object.prototype.toString.call(date), typeof Date(),
          new Date(5).getTime(), Date.UTC(1970, 0), new (class extends Date {})().getFullYear(),
          performance.timeOrigin, performance.now() < 10, typeof performance.mark,
        );
      }
    `;
    const wall = 1_234_567_890_000;
    assert.deepEqual(await seen(text, { wallAtBoot: wall / 1000 }), [
      ...[wall, wall, true, "[object Date]", "string"],
      ...[5, 0, 2009],
      ...[wall, true, "function"],
    ]);
  });

  test("lets time pass for a plain function that waits for it", async () => {
    const text = `
      export function* main() {
        const from = performance.now();
        busy(5);
        globalThis.seen.push(Math.round(performance.now() - from));
      }
      function busy(ms: number) { const end = performance.now() + ms; while (performance.now() < end); }
    `;
    assert.deepEqual(await seen(text), [5]);
  });

  test("has random numbers by the seed, none of them the host's", async () => {
    const text = `
      export function* main() {
        for (let i = 0; i < 20; i++) globalThis.seen.push(Math.random());
        globalThis.seen.push(Math.max(1, 2), String(Math), Math.PI);
      }
    `;
    const one = await seen(text, { seed: 1 });
    assert.deepEqual(await seen(text, { seed: 1 }), one);
    assert.notDeepEqual(await seen(text, { seed: 2 }), one);
    assert.deepEqual(one.splice(20), [2, "[object Math]", Math.PI]);
    assert.ok((one as number[]).every((x) => x >= 0 && x < 1));
    assert.equal(new Set(one).size, 20);
  });

  test("has timers by the machine's clock, the earlier first; and time passes in no time", async () => {
    const text = `
      export function* main() {
        const { seen } = globalThis;
        let done = false;
        const from = performance.now();
        const say = (what: string, n: number) => seen.push([what, n]);
        setTimeout(say, 60_000, "minute", 1);
        setTimeout(() => { seen.push(Math.floor((performance.now() - from) / 60_000)); done = true; }, 120_000);
        setTimeout(say, 30, "late", 2);
        setTimeout(say, 20, "early", 3);
        setTimeout(say, 20, "early", 4);
        setImmediate(say, "at once", 5);
        clearTimeout(setTimeout(say, 25, "never", 6));
        clearTimeout(Number(setTimeout(say, 25, "never", 7)));
        let times = 0;
        const interval = setInterval(() => { if (++times === 3) { clearInterval(interval); say("times", times); } }, 1000);
        while (!done);
      }
    `;
    const expected = [
      ["at once", 5],
      ["early", 3],
      ["early", 4],
      ["late", 2],
      ["times", 3],
      ["minute", 1],
      2,
    ];
    for (const seed of [1, 2, 3]) {
      // Each tick of the two minutes is a step.
      assert.deepEqual(await seen(text, { seed, cpus: 1 }), expected, `seed ${seed}`);
    }
  });

  test("has signals that abort by the machine's clock", async () => {
    const text = `
      import { Semaphore } from "lwp";
      export function* main() {
        const { seen } = globalThis;
        const from = performance.now();
        for (const signals of [[], [new AbortController().signal]]) {
          const signal = AbortSignal.any([...signals, AbortSignal.timeout(60_000)]);
          try { yield* new Semaphore(0).wait({ signal }); } catch (error) { seen.push(error.name); }
        }
        seen.push(Math.floor((performance.now() - from) / 60_000), AbortSignal.timeout(5) instanceof AbortSignal);
        seen.push(AbortSignal.abort(3).reason);
        try { AbortSignal.timeout(-1); } catch (error) { seen.push(error.name); }
      }
    `;
    assert.deepEqual(await seen(text), ["TimeoutError", "TimeoutError", 2, true, 3, "RangeError"]);
  });

  test("drops the timers of a program that has ended", async () => {
    const text = `
      export function* main() { setInterval(() => { throw new Error("after the end"); }, 1); setTimeout(() => {}, 1e6); }
    `;
    const machine = await boot({ simulated: {} });
    assert.equal((await (await machine.exec(program(text))).exited).status, 0);
    // Time passes, and nothing happens.
    const other =
      "export function* main() { const end = performance.now() + 50; while (performance.now() < end); }";
    assert.equal((await (await machine.exec(program(other))).exited).status, 0);
    await machine.shutdown();
  });

  test("keeps the machine going by a timer, but not by one that is unref'ed", async () => {
    const parked = (setup: string): string => `
      import { lwpPark } from "lwp/syscall";
      export function* main() { ${setup} yield* lwpPark(); }
    `;
    await assert.rejects(runSimulated(program(parked("setInterval(() => {}, 10).unref();"))), MachineError);
    const machine = await boot({ simulated: {} });
    const p = await machine.exec(
      program(parked("let n = 0; setInterval(() => { if (++n === 50) globalThis.done(); }, 10);")),
    );
    const reached = new Promise<void>((resolve) => Object.assign(globalThis, { done: resolve }));
    p.exited.catch(() => {});
    await reached;
    await machine.shutdown();
  });

  test("is the host's own on a real machine", async () => {
    const text =
      "export function* main() { return Date === globalThis.Date && Math === globalThis.Math ? 7 : 1; }";
    const machine = await boot({ cpus: 1 });
    assert.equal((await (await machine.exec(program(text))).exited).status, 7);
    await machine.shutdown();
  });
});
