/** SharedBytes: memory that threads on all CPUs share. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SharedBytes, Thread } from "lwp";
import * as K from "lwp/kernel";
import { lwpRun, output, withMachine } from "../support/host.js";
import { ThreadMachine } from "../support/threads.js";

describe("views", () => {
  test("show the same bytes, all 0 at first, aligned to 4,096", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      using bytes = new SharedBytes(20);
      assert.deepEqual(
        [bytes.u8.length, bytes.i32.length, bytes.f64.length, bytes.byteLength],
        [20, 5, 2, 20],
      );
      assert.ok(bytes.u8.every((byte) => byte === 0));
      assert.equal(bytes.u8.byteOffset % 4096, 0);
      bytes.i32[1] = 0x01020304;
      assert.deepEqual([...bytes.u8.subarray(4, 8)], [4, 3, 2, 1]);
      const part = bytes.view(Uint16Array, 6, 1);
      assert.deepEqual([...part], [0x0102]);
      assert.equal(bytes.view(Uint8Array, 18).length, 2);
      assert.equal(bytes.view(DataView, 4, 4).getInt32(0, true), 0x01020304);
      assert.equal(bytes.u8, bytes.u8);
    });
  });

  test("reach no further than their part", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      using bytes = new SharedBytes(16);
      for (const [offset, length] of [
        [0, 17],
        [16, 1],
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [17, undefined],
      ] as const) {
        assert.throws(() => bytes.view(Uint8Array, offset, length), RangeError, `${offset}, ${length}`);
      }
      assert.throws(() => bytes.view(Int32Array, 2, 1), RangeError);
      assert.equal(bytes.view(Uint8Array, 16).length, 0);
    });
  });
});

describe("sizes", () => {
  for (const [size, pages] of [
    [0, 1],
    [1, 1],
    [4096, 1],
    [4097, 2],
    [10_000, 3],
  ] as const) {
    test(`${size} bytes take ${pages} pages`, () => {
      const m = new ThreadMachine();
      m.runMain(function* () {
        using bytes = new SharedBytes(size);
        assert.equal(m.k.w[m.k.umem + K.UMEM_INUSE], pages);
        assert.equal(bytes.u8.length, size);
      });
    });
  }

  test("what is no size is EINVAL; what does not fit is ENOMEM, and fits once there is room", () => {
    const m = new ThreadMachine({ limits: { userPages: 4 } });
    m.runMain(function* () {
      for (const size of [-1, 1.5, Number.NaN, Infinity, "4" as never]) {
        assert.throws(() => new SharedBytes(size), { code: "EINVAL" });
      }
      const all = new SharedBytes(4 * 4096);
      assert.throws(() => new SharedBytes(1), {
        code: "ENOMEM",
        message:
          "SharedBytes: ENOMEM: no 1 bytes in a row are free of the 16384 of user memory (limits.userPages)",
      });
      all.dispose();
      new SharedBytes(1).dispose();
      assert.throws(() => new SharedBytes(4 * 4096 + 1), { code: "ENOMEM" });
    });
  });
});

test("given back, it is refused by its getters and through every handle; a second time does nothing", () => {
  const m = new ThreadMachine({ entries: [useIt] });
  m.runMain(function* () {
    const bytes = new SharedBytes(8);
    const t = yield* Thread.spawn(useIt, bytes);
    bytes.dispose();
    bytes.dispose();
    assert.equal(bytes.live, false);
    const next = new SharedBytes(8);
    assert.equal(yield* t.join(), "ESRCH");
    for (const use of [() => bytes.u8, () => bytes.i32, () => bytes.f64, () => bytes.view(Uint8Array)]) {
      assert.throws(use, { code: "ESRCH" });
    }
    bytes.dispose();
    assert.equal(next.live, true);
    next.dispose();
  });
});

function* useIt(bytes: SharedBytes) {
  try {
    return String(bytes.u8);
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("a view cannot travel, whether the host shares memory or not: the SharedBytes can", () => {
  const m = new ThreadMachine({ entries: [useIt] });
  m.runMain(function* () {
    using bytes = new SharedBytes(8);
    try {
      yield* Thread.spawn(useIt, bytes.u8 as never);
      assert.fail("nothing was thrown");
    } catch (error) {
      assert.match((error as Error).message, /^args\[0\]: a view of shared memory \(SharedBytes/);
    }
  });
});

test("outside a thread there is none", () => {
  assert.throws(() => new SharedBytes(8), /SharedBytes works only inside a thread/);
});

test("two CPUs count in it, and a handle in a result comes out too", async () => {
  const text = `
    import { SharedBytes, Thread } from "lwp";
    import * as K from "lwp/kernel";
    import { threadId } from "node:worker_threads";
    export function* main() {
      K.cur.lwp.class = K.SCHED_FIFO;
      using bytes = new SharedBytes(64);
      const { i32 } = bytes;
      const t = yield* Thread.spawn(count, { where: [bytes] });
      // Nothing but the other CPU can make this go on.
      while (Atomics.load(i32, 1) === 0);
      for (let i = 0; i < 100_000; i++) Atomics.add(i32, 0, 1);
      const { back, realm } = yield* t.join();
      console.log(JSON.stringify([i32[0], back instanceof SharedBytes, back.i32[0], realm !== threadId]));
    }
    function* count({ where: [bytes] }: { where: SharedBytes[] }) {
      const { i32 } = bytes;
      Atomics.store(i32, 1, 1);
      for (let i = 0; i < 100_000; i++) Atomics.add(i32, 0, 1);
      return { back: bytes, realm: threadId };
    }
  `;
  assert.deepEqual(await output(text, 2), [200_000, true, 200_000, true]);
});

test("the end of a process gives back what it kept, also when it is killed", async () => {
  await withMachine({ cpus: 2, limits: { userPages: 64 } }, async (machine) => {
    for (let i = 0; i < 5; i++) {
      const p = machine.spawn(function* () {
        const kept = new SharedBytes(64 * 4096 - 1);
        kept.u8[0] = 1;
        if (i % 2 === 1) throw new Error("deliberate");
      });
      await p.exited;
    }
  });
});

test("values of 64 MB travel in user memory; what has no room there is ENOMEM at the spawn", async () => {
  const text = `
    import { SharedBytes, Thread } from "lwp";
    export function* main() {
      const big = new Uint8Array(64 << 20);
      big[0] = 1; big[big.length - 1] = 2;
      const back = yield* (yield* Thread.spawn(mirror, big)).join();
      const told = [back.length, back[0], back.at(-1)];
      using half = new SharedBytes(200 << 20);
      try { yield* Thread.spawn(mirror, big); } catch (e) { told.push(e.message); }
      try { yield* Thread.spawn(mirror, new Uint8Array(300 << 20)); } catch (e) { told.push(e.code, e.message); }
      console.log(JSON.stringify(told));
    }
    function* mirror(bytes: Uint8Array) { bytes[0]++; return bytes; }
  `;
  const { status, stdout, stderr } = await lwpRun(text, 2);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), [
    64 << 20,
    2,
    2,
    "Thread.spawn: ENOMEM: no 67108872 bytes in a row are free of the 268435456 of user memory (limits.userPages)",
    "ENOMEM",
    "Thread: ENOMEM: args takes more than the 268435456 bytes of user memory (limits.userPages)",
  ]);
});
