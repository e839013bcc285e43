/** Slices: how long a CPU whose event loop must turn keeps it waiting, and what is done between two of them. */
import assert from "node:assert/strict";
import { connect, createServer, type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { checkpoint, type Machine, Thread } from "lwp";
import * as K from "lwp/kernel";
import { withMachine } from "../support/host.js";

/** A kernel that nobody has booted, with the real port on a clock of the test's own. */
class StoppedClock extends K.HostPort {
  time = 0;
  override now(): number {
    return this.time;
  }
}

function stopped(options: K.KernelOptions) {
  const k = new K.Kernel({ ...K.DEFAULT_LIMITS, cpus: 2, lwps: 8, procs: 4, trace: 16 }, options);
  const port = new StoppedClock(k, () => {});
  k.port = port;
  k.g.ncpu = 2;
  return { k, port, ci: k.cpus.view(1) };
}

describe("a slice", () => {
  test("is short while the host has work, and grows by a quarter with every turn in which it has none", () => {
    const { port, ci } = stopped({ mp: true });
    const slices = new K.Slices(ci);
    const lengths: number[] = [];
    port.time = 5;
    for (const worked of [true, false, false, false, true, ...Array<boolean>(20).fill(false)]) {
      slices.begin(worked);
      lengths.push((ci.sliceEnd - port.time) / K.SLICE_MIN);
    }
    assert.deepEqual(
      lengths.slice(0, 6).map((length) => length.toFixed(2)),
      ["1.00", "1.25", "1.56", "1.95", "1.00", "1.25"],
    );
    assert.equal(Math.max(...lengths).toFixed(3), (K.SLICE / K.SLICE_MIN).toFixed(3));
    assert.equal(lengths.at(-1), Math.max(...lengths));
  });

  test("is ended by a CPU that reads the clock, which leaves time and tick to the clock worker", () => {
    const { k, port, ci } = stopped({ mp: true, readsClock: true });
    ci.sliceEnd = 0.002;
    const { ticks } = k.g;
    for (const [time, attention] of [[0.001, 0] as const, [0.5, K.ATTN_SLICE] as const]) {
      port.time = time;
      assert.equal(port.selfClock(ci), time);
      assert.equal(ci.attention, attention);
    }
    assert.deepEqual([k.g.time, k.g.ticks], [0, ticks]);
  });

  test("is ended by a CPU that is its own clock, which writes time and tick too", () => {
    const { k, port, ci } = stopped({ mp: false, selfClocked: true });
    assert.equal(k.readsClock, true);
    ci.sliceEnd = 0.6;
    port.time = 0.5;
    port.selfClock(ci);
    assert.deepEqual([ci.attention, k.g.time, k.g.ticks], [K.ATTN_TICK, 0.5, 51]);
    port.time = 0.6;
    port.selfClock(ci);
    assert.equal(ci.attention, K.ATTN_TICK | K.ATTN_SLICE);
  });

  test("is ended by the clock worker not before it is over, on CPUs whose event loop must turn", () => {
    const { k, port, ci } = stopped({ mp: true });
    const other = k.cpus.view(2);
    const slices = () => [ci, other].map((cpu) => cpu.attention & K.ATTN_SLICE);
    ci.sliceEnd = other.sliceEnd = 0.002;
    port.time = 0.001;
    other.hostwait = 1;
    K.clockBeat(k, 1);
    assert.deepEqual(slices(), [0, 0]);
    port.time = 0.002;
    K.clockBeat(k, 1);
    assert.deepEqual(slices(), [K.ATTN_SLICE, K.ATTN_SLICE]);
    ci.attention = other.attention = 0;
    other.hostwait = 0;
    K.clockBeat(k, 1);
    assert.deepEqual(slices(), [K.ATTN_SLICE, 0]);
  });

  test("does not hold up the event loop of a CPU that turns it only to hear signals", () => {
    const { k, port, ci } = stopped({ mp: true });
    ci.sliceEnd = 1;
    port.time = 0.5;
    for (let beat = 1; beat < 25; beat++) K.clockBeat(k, 25);
    assert.equal(ci.attention & K.ATTN_SLICE, 0);
    K.clockBeat(k, 25);
    assert.equal(ci.attention & K.ATTN_SLICE, K.ATTN_SLICE);
  });
});

describe("between two slices", () => {
  for (const cpus of [1, 2]) {
    test(`on ${cpus} CPUs the host's work of several turns is done in one go`, () =>
      withMachine({ cpus }, async (machine) => {
        assert.ok((await mostHops(machine)) > 1);
      }));
  }
});

/** How often a byte goes to and fro over a connection, at most, before a thread that computes goes on. */
async function mostHops(machine: Machine): Promise<number> {
  const HOPS = 1000;
  let hops = 0;
  const server = createServer((socket) => socket.on("data", (byte) => socket.write(byte)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("data", (byte) => ++hops < HOPS && socket.write(byte));
  socket.setNoDelay(true);
  socket.write("x");
  const most = await machine.run(function* () {
    const t = yield* Thread.spawn(function* () {
      let most = 0;
      for (let seen = hops; seen < HOPS; yield* checkpoint()) {
        most = Math.max(most, hops - seen);
        seen = hops;
      }
      return most;
    });
    return yield* t.join();
  });
  socket.destroy();
  server.close();
  return most;
}
