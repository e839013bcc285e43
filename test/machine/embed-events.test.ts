/** The events of a machine: typed, in order over all CPUs, counted when lost, free when nobody listens. */
import assert from "node:assert/strict";
import diagnostics from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { boot, type EventType, type Machine, type MachineEvent, schedYield, Thread } from "lwp";
import { asCpu, fire, PROBE_WAKEUP, PROBES } from "lwp/kernel";
import { lwpCreate, lwpExit, lwpPark, procExit } from "lwp/syscall";
import { program, withMachine } from "../support/host.js";

/** All events of these types until the body is over and they have been read. */
async function listen<T extends EventType>(
  machine: Pick<Machine, "events" | "run">,
  types: readonly T[],
  body: () => Promise<unknown>,
): Promise<MachineEvent<T>[]> {
  const stream = machine.events({ types: [...types, "exec_failure"] });
  const seen: MachineEvent[] = [];
  const reading = (async () => {
    for await (const e of stream) {
      if (e.type === "exec_failure" && (e as MachineEvent<"exec_failure">).error.includes("/the/end")) break;
      seen.push(e as MachineEvent);
    }
  })();
  await body();
  await (machine as Machine).exec("/the/end").catch(() => {});
  await reading;
  return seen as MachineEvent<T>[];
}

const about = (events: readonly MachineEvent[]) => events.map((e) => [e.type, e.pid, e.lid]);

describe("events", () => {
  for (const cpus of [1, 2]) {
    test(`of a process's life come in order (${cpus} CPUs)`, async () => {
      await withMachine({ cpus }, async (machine) => {
        const path = program(`
          import { Thread } from "lwp";
          export function* main() { yield* (yield* Thread.spawn(f)).join(); return 7; }
          function* f() {}
        `);
        const types = [
          "create",
          "exit",
          "exec",
          "exec_success",
          "lwp_create",
          "lwp_start",
          "lwp_exit",
        ] as const;
        const events = await listen(machine, types, async () => (await machine.exec(path)).exited);
        const [exec, ...rest] = events;
        assert.equal(exec.type === "exec" && exec.path, path);
        // When the caller hears that it has started is a race with what it does.
        const lives = rest.filter((e) => e.type !== "exec_success" && e.type !== "exec");
        assert.deepEqual(about(lives), [
          ["create", 1, 0],
          ["lwp_create", 1, 1],
          ["lwp_start", 1, 1],
          ["lwp_create", 1, 2],
          ["lwp_start", 1, 2],
          ["lwp_exit", 1, 2],
          ["exit", 1, 1],
        ]);
        const exit = lives.at(-1) as MachineEvent<"exit">;
        assert.deepEqual([exit.status, exit.signal, exit.dropped], [7, null, 0]);
        assert.equal(rest.filter((e) => e.type === "exec_success").length, 1);
      });
    });
  }

  test("of all CPUs come in the order in which they happened", async () => {
    await withMachine({ cpus: 2 }, async (machine) => {
      const path = program(`
        import { Thread, schedYield } from "lwp";
        export function* main() {
          const threads = [];
          for (let i = 0; i < 50; i++) threads.push(yield* Thread.spawn(f));
          for (const t of threads) yield* t.join();
        }
        function* f() { for (let i = 0; i < 20; i++) yield* schedYield(); }
      `);
      const types = ["lwp_create", "lwp_start", "lwp_exit", "state"] as const;
      const events = await listen(machine, types, async () => (await machine.exec(path)).exited);
      assert.deepEqual(new Set(events.map((e) => e.cpu)).size, 2);
      // Each state is the one that the last change has left, wherever it happened.
      const states = new Map<string, string>();
      const born = new Set<string>();
      for (const e of events) {
        const who = `${e.pid}.${e.lid}`;
        if (e.type === "lwp_create") born.add(who);
        if (e.type === "lwp_exit" && e.pid !== 0) assert.ok(born.has(who));
        if (e.type !== "state" || e.pid === 0) continue;
        assert.equal(e.from, states.get(who) ?? "IDL", `${who} at ${e.time}`);
        states.set(who, e.to);
        assert.equal(e.dropped, 0);
      }
      assert.equal(states.size, 51);
    });
  });

  test("come by their number: one that is just being written is waited for, one that never comes is passed over", async () => {
    await withMachine({ cpus: 2 }, async (machine) => {
      const { kernel } = machine;
      const write = (cpu: number, lid: number) =>
        asCpu(kernel.cpus.view(cpu + 1), () => fire(kernel, PROBE_WAKEUP, 1, lid, 0));
      const stream = machine.events({ types: ["wakeup"] });
      const read = async () => (await stream.next()).value!.lid;
      const start = kernel.g.traceSeq;
      for (let n = 0; n < 6; n++) write(n % 2, n);
      // CPU 0 has taken number 6, and writes its record after CPU 1 has written number 7.
      kernel.g.traceSeq = start + 7;
      write(1, 7);
      for (let n = 0; n < 6; n++) assert.equal(await read(), n);
      kernel.g.traceSeq = start + 6;
      write(0, 6);
      kernel.g.traceSeq = start + 9;
      write(1, 9);
      for (const n of [6, 7, 9]) assert.equal(await read(), n);
    });
  });

  test("cost nothing while nobody listens: the probes are off, and only those are on that are listened to", async () => {
    await withMachine({ cpus: 1 }, async (machine) => {
      const { g } = machine.kernel;
      assert.equal(g.probes, 0);
      const one = machine.events({ types: ["lwp_exit", "stall"] });
      assert.equal(g.probes, 1 << PROBES.indexOf("lwp_exit"));
      const two = machine.events({ types: ["lwp_exit", "switch"] });
      assert.equal(g.probes, (1 << PROBES.indexOf("lwp_exit")) | (1 << PROBES.indexOf("switch")));
      await one.return();
      assert.equal(g.probes, (1 << PROBES.indexOf("lwp_exit")) | (1 << PROBES.indexOf("switch")));
      await two.return();
      assert.equal(g.probes, 0);
      assert.deepEqual(await one.next(), { done: true, value: undefined });
      assert.throws(() => machine.events({ types: ["nothing" as "exit"] }), TypeError);
    });
  });

  test("that were overwritten or not read in time are counted, on the next one", async () => {
    await withMachine({ cpus: 1, limits: { trace: 8 } }, async (machine) => {
      const fast = machine.events({ types: ["wakeup"] });
      const slow = machine.events({ types: ["wakeup"], limit: 3 });
      const some = (from: number, to: number) =>
        asCpu(machine.kernel.cpus.view(1), () => {
          for (let n = from; n < to; n++) fire(machine.kernel, PROBE_WAKEUP, 1, n, 0);
        });
      const read = async (stream: typeof fast, n: number) => {
        const seen: number[][] = [];
        while (seen.length < n) {
          const { value } = await stream.next();
          seen.push([value!.lid, value!.dropped]);
        }
        return seen;
      };
      some(0, 20);
      const kept = [12, 13, 14, 15, 16, 17, 18, 19];
      assert.deepEqual(
        await read(fast, 8),
        kept.map((n) => [n, n === 12 ? 12 : 0]),
      );
      some(20, 22);
      assert.deepEqual(await read(fast, 2), [
        [20, 0],
        [21, 0],
      ]);
      assert.deepEqual(await read(slow, 3), [
        [12, 12],
        [13, 0],
        [14, 0],
      ]);
      some(22, 23);
      // Five of the first, two of the second lot found no room.
      assert.deepEqual(await read(slow, 1), [[22, 7]]);
    });
  });

  test("end with the machine, and with the loop that reads them", async () => {
    const machine = await boot({ cpus: 2 });
    const ended = (async () => {
      const types: string[] = [];
      for await (const e of machine.events({ types: ["create", "exit"] })) types.push(e.type);
      return types;
    })();
    await machine.run(function* () {});
    await machine.shutdown();
    assert.deepEqual(await ended, ["create", "exit"]);
    assert.equal((await machine.events().next()).done, true);
  });

  test("of a killed process and of a failed exec say how and why", async () => {
    await withMachine({ cpus: 1 }, async (machine) => {
      const events = await listen(machine, ["exit", "exec_failure"], async () => {
        const p = machine.spawn(function* () {
          for (;;) yield* schedYield();
        });
        p.kill();
        await p.exited;
        await machine.exec("/nowhere.ts").catch(() => {});
      });
      assert.equal(events.length, 2);
      assert.deepEqual(
        [(events[0] as MachineEvent<"exit">).status, (events[0] as MachineEvent<"exit">).signal],
        [null, 9],
      );
      assert.match((events[1] as MachineEvent<"exec_failure">).error, /nowhere/);
    });
  });

  test("of a simulated machine are the same in two runs with one seed, and others with another", async () => {
    const trace = async (seed: number) => {
      const machine = await boot({ simulated: { seed, cpus: 3 } });
      const events: MachineEvent[] = [];
      const reading = (async () => {
        for await (const e of machine.events()) events.push(e);
      })();
      await machine.run(function* () {
        const threads = [];
        for (let i = 0; i < 5; i++) {
          threads.push(
            yield* Thread.spawn(function* () {
              for (let n = 0; n < 3; n++) yield* schedYield();
            }),
          );
        }
        for (const t of threads) yield* t.join();
      });
      await machine.shutdown();
      await reading;
      assert.ok(events.length > 50);
      return JSON.stringify(events);
    };
    for (const seed of [1, 2, 3]) assert.equal(await trace(seed), await trace(seed), `seed ${seed}`);
    assert.notEqual(await trace(1), await trace(2));
  });

  test("a deadlock on a simulated machine is a stall", async () => {
    const machine = await boot({ simulated: {} });
    const stream = machine.events({ types: ["stall"] });
    const p = machine.spawn(function* () {
      const t = yield* Thread.spawn(function* () {
        yield* lwpPark();
      });
      yield* t.join();
    });
    await assert.rejects(p.exited, /deadlock/);
    assert.match((await stream.next()).value!.text, /the end of thread 2/);
    await machine.shutdown();
  });
});

describe("diagnostics channels", () => {
  const NAMES = [
    "create",
    "exit",
    "lwp_create",
    "lwp_start",
    "lwp_exit",
    "signal_send",
    "signal_discard",
    "signal_clear",
    "signal_handle",
    "exec",
    "exec_success",
    "exec_failure",
  ];

  test("MCH-55: the probes of the provider proc are channels; each is on only while it has subscribers", async () => {
    await withMachine({ cpus: 2 }, async (machine) => {
      const { g } = machine.kernel;
      for (const name of NAMES) {
        const channel = `lwp:proc:${name}`;
        const listener = () => {};
        diagnostics.subscribe(channel, listener);
        const bit = PROBES.indexOf(name as (typeof PROBES)[number]);
        assert.equal(g.probes, bit < 0 ? 0 : 1 << bit, name);
        assert.equal(diagnostics.unsubscribe(channel, listener), true);
        assert.equal(g.probes, 0, name);
        assert.equal(diagnostics.hasSubscribers(channel), false);
      }
    });
  });

  test("MCH-55: subscribers in the booting realm get the events of all CPUs, in order, with what belongs to them", async () => {
    const seen: [string, number, number][] = [];
    let text = "";
    const machines = new Set<unknown>();
    const take = (message: unknown, name: string | symbol) => {
      const { machine, pid, lid } = message as { machine: Machine; pid: number; lid: number };
      machines.add(machine);
      seen.push([String(name), pid, lid]);
    };
    const takeFailure = (message: unknown) => (text = (message as { error: string }).error);
    const names = ["create", "exit", "lwp_create", "lwp_start", "lwp_exit"].map((n) => `lwp:proc:${n}`);
    // Some before the machine is booted, some after.
    for (const name of names.slice(0, 2)) diagnostics.subscribe(name, take);
    await withMachine({ cpus: 2 }, async (machine) => {
      for (const name of names.slice(2)) diagnostics.subscribe(name, take);
      diagnostics.subscribe("lwp:proc:exec_failure", takeFailure);
      const path = program(`
        import { Thread } from "lwp";
        export function* main() { yield* (yield* Thread.spawn(f)).join(); }
        function* f() {}
      `);
      await (await machine.exec(path)).exited;
      await machine.exec("/nowhere.ts").catch(() => {});
      assert.deepEqual([...machines], [machine]);
    });
    for (const name of names) diagnostics.unsubscribe(name, take);
    diagnostics.unsubscribe("lwp:proc:exec_failure", takeFailure);
    assert.match(text, /nowhere/);
    assert.deepEqual(seen, [
      ["lwp:proc:create", 1, 0],
      ["lwp:proc:lwp_create", 1, 1],
      ["lwp:proc:lwp_start", 1, 1],
      ["lwp:proc:lwp_create", 1, 2],
      ["lwp:proc:lwp_start", 1, 2],
      ["lwp:proc:lwp_exit", 1, 2],
      ["lwp:proc:exit", 1, 1],
    ]);
  });

  test("MCH-109: nothing is called while disabled; lwp_exit fires once for the last LWP, and not for who ends the process", async () => {
    await withMachine({ cpus: 1 }, async (machine) => {
      const body = {
        last: function* () {
          yield* lwpExit();
        },
        ends: function* () {
          for (let i = 0; i < 2; i++) {
            yield* lwpCreate(function* () {
              for (;;) yield* schedYield();
            });
          }
          yield* schedYield();
          yield* procExit(0);
        },
      };
      await machine.spawn(body.last).exited;
      assert.equal(machine.kernel.g.traceSeq, 0);
      const last = await listen(machine, ["lwp_exit"], () => machine.spawn(body.last).exited);
      assert.deepEqual(about(last), [["lwp_exit", 2, 1]]);
      const ends = await listen(machine, ["lwp_exit"], () => machine.spawn(body.ends).exited);
      assert.deepEqual(about(ends).sort(), [
        ["lwp_exit", 3, 2],
        ["lwp_exit", 3, 3],
      ]);
    });
  });
});
