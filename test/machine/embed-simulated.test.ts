/** Programs and closures on simulated CPUs: the seed decides the interleaving, and repeats it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { boot, MachineError, runSimulated, schedYield, type Simulation, Thread, until } from "lwp";
import { firstStrategy } from "lwp/kernel";
import { lwpPark } from "lwp/syscall";
import { program } from "../support/host.js";

/** Three threads that take turns as the strategy says; the order in which they come is the status of nobody. */
const RACE = `
  import { schedYield, Thread } from "lwp";
  export function* main([file]: string[]) {
    const threads = [];
    for (const name of "abc") threads.push(yield* Thread.spawn(racer, name));
    let order = "";
    for (const t of threads) order += yield* t.join();
    return 0;
  }
  function* racer(name: string) {
    for (let i = 0; i < 5; i++) { globalThis.raced += name; yield* schedYield(); }
    return name;
  }
`;

const world = globalThis as unknown as { raced: string };

async function race(simulated: Simulation): Promise<{ order: string; steps: number; schedule: string }> {
  const path = program(RACE);
  world.raced = "";
  const machine = await boot({ simulated });
  const p = await machine.exec(path);
  assert.equal((await p.exited).status, 0);
  await machine.shutdown();
  return { order: world.raced, steps: machine.steps, schedule: machine.schedule.join() };
}

describe("a simulated machine", () => {
  test("the same seed gives the same interleaving, step for step; other seeds give others", async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 10; seed++) {
      const one = await race({ seed, cpus: 3, checked: true });
      assert.deepEqual(await race({ seed, cpus: 3 }), one, `seed ${seed}`);
      assert.equal(one.order.length, 15);
      orders.add(one.order);
    }
    assert.ok(orders.size > 5, `${orders.size} orders`);
  });

  test("a strategy of one's own answers every choice, and a recorded schedule repeats the run", async () => {
    const one = await race({ strategy: firstStrategy, cpus: 2 });
    assert.doesNotMatch(one.schedule, /[1-9]/);
    const seeded = await race({ seed: 5, cpus: 2 });
    const answers = seeded.schedule.split(",").map(Number);
    assert.deepEqual(await race({ strategy: () => answers.shift() as number, cpus: 2 }), seeded);
  });

  test("processes start in the order of the calls, however long their programs take to be linked", async () => {
    const large = program(`${"// a comment\n".repeat(20_000)} export function* main() { return 1; }`);
    const small = program("export function* main() { return 2; }");
    const machine = await boot({ simulated: { seed: 1 } });
    const all = await Promise.all([large, small, large].map((path) => machine.exec(path)));
    assert.deepEqual(
      all.map((p) => p.pid),
      [1, 2, 3],
    );
    assert.equal(machine.steps, 0);
    const exits = await Promise.all(all.map((p) => p.exited));
    assert.deepEqual(
      exits.map((e) => e.status),
      [1, 2, 1],
    );
  });

  test("closures run there too, and their values come back", async () => {
    const machine = await boot({ simulated: { seed: 3, cpus: 4 } });
    const value = await machine.run(function* () {
      const t = yield* Thread.spawn(
        function* (list: number[]) {
          yield* schedYield();
          return list;
        },
        [1, 2],
      );
      return yield* t.join();
    });
    assert.deepEqual(value, [1, 2]);
    await assert.rejects(
      machine.run(function* () {
        throw new RangeError("on purpose");
      }),
      RangeError,
    );
    assert.equal(
      (
        await machine.spawn(function* () {
          return 6;
        }).exited
      ).status,
      6,
    );
  });

  test("time is virtual: a long sleep takes none", async () => {
    const machine = await boot({ simulated: { wallAtBoot: 1000 } });
    await machine
      .run(function* () {
        yield* lwpPark({ sec: 1000 + 3600, nsec: 0 });
      })
      .catch((error) => assert.equal(error.code, "ETIMEDOUT"));
    assert.ok(machine.time >= 3600 && machine.time < 3601);
  });

  test("a deadlock is told at once to all who wait, and the machine can be looked at", async () => {
    const machine = await boot({ simulated: {} });
    const p = machine.spawn(function* () {
      yield* lwpPark();
    });
    await assert.rejects(
      p.exited,
      (e) => e instanceof MachineError && /deadlock: .* process 1 /.test(e.message),
    );
    assert.equal(machine.kernel.g.nprocs, 2);
    p.kill();
    assert.equal(
      await machine.run(function* () {
        return 1;
      }),
      1,
    );
    assert.equal(machine.kernel.g.nprocs, 1);
  });

  test("until is ENOTSUP, unless something stands in for the host", async () => {
    const promise = Promise.reject(new Error("nobody hears this"));
    promise.catch(() => {});
    const main = function* () {
      return yield* until(promise);
    };
    const without = await boot({ simulated: {} });
    await assert.rejects(without.run(main as () => Generator<undefined, unknown>), { code: "ENOTSUP" });
    const host = (awaited: PromiseLike<unknown>) => {
      assert.equal(awaited, promise);
      return "answered";
    };
    const machine = await boot({ simulated: { host } });
    assert.equal(await machine.run(main), "answered");
  });

  test("inside a thread of a machine with real CPUs", async () => {
    const outer = await boot({ cpus: 1 });
    const order = await outer.run(function* () {
      yield* schedYield();
      const { order } = yield* until(race({ seed: 2 }));
      yield* schedYield();
      return order;
    });
    await outer.shutdown();
    assert.equal(order, (await race({ seed: 2 })).order);
  });

  test("programs that cannot be started, and machines that were shut down, are refused as on real CPUs", async () => {
    await assert.rejects(boot({ simulated: { cpus: 33 } }), RangeError);
    const machine = await boot({ simulated: {} });
    await assert.rejects(machine.exec("/nowhere.ts"), { code: "ENOENT" });
    await assert.rejects(machine.exec(program("throw new Error('no'); export function* main() {}")), {
      code: "ENOEXEC",
    });
    const p = machine.spawn(function* () {
      for (;;) yield* schedYield();
    });
    const ended = assert.rejects(p.exited, MachineError);
    await machine.shutdown();
    await ended;
    await assert.rejects(machine.exec(program("export function* main() {}")), MachineError);
    assert.throws(() => machine.spawn(function* () {}), MachineError);
  });

  test("runSimulated: one program to its end", async () => {
    const path = program("export function* main([n]: string[]) { return Number(n); }");
    const { status } = await runSimulated(path, ["8"], { seed: 4, cpus: 3 });
    assert.equal(status, 8);
  });
});
