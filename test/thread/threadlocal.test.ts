/** ThreadLocal: values of each thread's own, keys, destructors. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { schedYield, Thread, ThreadError, ThreadLocal } from "lwp";
import { lwpExit, lwpSelf } from "lwp/syscall";
import * as K from "lwp/kernel";
import { lwpRun } from "../support/host.js";
import { ThreadMachine } from "../support/threads.js";

describe("keys", () => {
  test("THR-50: there are 256; one more is EAGAIN; the next is searched cyclically from the one made last", () => {
    const m = new ThreadMachine();
    m.runMain(function* () {
      const p = K.cur.lwp.proc;
      const keys = Array.from({ length: 256 }, () => new ThreadLocal<number>());
      assert.throws(() => new ThreadLocal(), {
        code: "EAGAIN",
        message: "ThreadLocal: EAGAIN: all 256 keys of the process are in use",
      });
      keys[7].dispose();
      keys[3].dispose();
      // The last one made is 255: around the end, 3 comes first.
      assert.deepEqual(
        [K.threadKeyCreate(p, 0), K.threadKeyCreate(p, 0), K.threadKeyCreate(p, 0)],
        [3, 7, -1],
      );
      keys[3].dispose();
      keys[100].dispose();
      keys[5].dispose();
      // The last one made is 7: 100 comes before 5.
      assert.deepEqual([K.threadKeyCreate(p, 0), K.threadKeyCreate(p, 0)], [100, 5]);
    });
  });

  test("THR-50: a deleted key has no value in any thread, runs no destructor, and serves again without the old values", () => {
    const m = new ThreadMachine({ cpus: 2 });
    const destroyed: unknown[] = [];
    m.runMain(function* () {
      const old = new ThreadLocal<string>((value) => destroyed.push(value));
      old.set("main's");
      let go = false;
      const t = yield* Thread.spawn(function* () {
        old.set("thread's");
        while (!go) yield* schedYield();
        const seen = [old.get(), old.live];
        assert.throws(() => old.set("again"), { code: "EINVAL" });
        return seen;
      });
      yield* schedYield();
      old.dispose();
      old.dispose();
      const all = Array.from(
        { length: 256 },
        () => new ThreadLocal<string>((value) => destroyed.push(value)),
      );
      assert.deepEqual([...new Set(all.map((key) => key.get()))], [undefined]);
      go = true;
      assert.deepEqual(yield* t.join(), [undefined, false]);
    });
    assert.deepEqual(destroyed, []);
  });

  test("of a process go with it", () => {
    const m = new ThreadMachine();
    for (let i = 0; i < 3; i++) {
      m.runMain(function* () {
        for (let n = 0; n < 256; n++) new ThreadLocal();
      });
      assert.equal(K.threadKeysInUse(m.k), 0);
    }
  });
});

test("THR-51: each thread has its own value; null and undefined remove it; what is falsy is a value", () => {
  const m = new ThreadMachine({ cpus: 2 });
  m.runMain(function* () {
    const key = new ThreadLocal<unknown>();
    key.set("main");
    const t = yield* Thread.spawn(function* () {
      const seen = [key.get()];
      for (const value of ["thread", 0, "", false, null, "again", undefined]) {
        key.set(value);
        yield* schedYield();
        seen.push(key.get());
      }
      return seen;
    });
    assert.deepEqual(yield* t.join(), [undefined, "thread", 0, "", false, undefined, "again", undefined]);
    assert.equal(key.get(), "main");
    key.set(null);
    assert.equal(key.get(), undefined);
  });
});

/** Runs a thread of a machine of its own; what its destructors noted, in order. */
function inThread(body: (note: (text: string) => void) => Iterator<unknown, unknown, undefined>): string[] {
  const noted: string[] = [];
  new ThreadMachine().runMain(function* () {
    const t = yield* Thread.spawn(() => body((text) => noted.push(text)));
    try {
      yield* t.join();
      noted.push("returned");
    } catch (error) {
      noted.push(error instanceof ThreadError ? `failed: ${(error.cause as Error).message}` : String(error));
    }
  });
  return noted;
}

describe("destructors", () => {
  test("THR-50: run at the end of the thread in the order of their keys, with the value removed before", () => {
    const noted = inThread(function* (note) {
      const keys: ThreadLocal<string>[] = [];
      for (const name of ["a", "b", "c"]) {
        const key: ThreadLocal<string> = new ThreadLocal<string>((value) =>
          note(`${name}: ${value}, ${String(key.get())}`),
        );
        keys.push(key);
      }
      for (const [i, key] of [...keys.entries()].reverse()) key.set(`${i}`);
      keys[1].set(null);
    });
    assert.deepEqual(noted, ["a: 0, undefined", "c: 2, undefined", "returned"]);
  });

  test("THR-50: run again while they set values, five passes at most", () => {
    const noted = inThread(function* (note) {
      const key: ThreadLocal<number> = new ThreadLocal<number>((value: number): void => {
        note(`${value}`);
        key.set(value + 1);
      });
      key.set(1);
    });
    assert.deepEqual(noted, ["1", "2", "3", "4", "5", "returned"]);
  });

  test("THR-50: the value of a key without a destructor is removed in its turn", () => {
    const noted = inThread(function* (note) {
      const plain = new ThreadLocal<string>();
      const look = () => note(`${String(plain.get())}, ${String(after.get())}`);
      const looker = new ThreadLocal<string>(look);
      const after = new ThreadLocal<string>();
      plain.set("before");
      looker.set("x");
      after.set("after");
    });
    assert.deepEqual(noted, ["undefined, after", "returned"]);
  });

  test("may wait, when they are generator functions", () => {
    const noted = inThread(function* (note: (text: string) => void) {
      const lid = yield* lwpSelf();
      const key = new ThreadLocal<string>(function* (value) {
        for (let i = 0; i < 3; i++) yield* schedYield();
        note(`${value} on ${(yield* lwpSelf()) === lid ? "its own thread" : "another"}`);
      });
      key.set("v");
    });
    assert.deepEqual(noted, ["v on its own thread", "returned"]);
  });

  test("run when the thread fails; what one throws fails the thread, and the others run all the same", () => {
    const failing = inThread(function* (note: (text: string) => void) {
      new ThreadLocal<string>((value) => note(value)).set("ran");
      throw new Error("own");
    });
    assert.deepEqual(failing, ["ran", "failed: own"]);
    const thrown = inThread(function* (note: (text: string) => void) {
      new ThreadLocal<string>(() => {
        throw new Error("of a destructor");
      }).set("x");
      new ThreadLocal<string>((value) => note(value)).set("ran");
    });
    assert.deepEqual(thrown, ["ran", "failed: of a destructor"]);
  });

  test("run when an LWP of the library leaves by lwpExit, not when main returns or the process ends", () => {
    const m = new ThreadMachine({ cpus: 2 });
    const noted: string[] = [];
    m.runMain(function* () {
      const key = new ThreadLocal<string>((value) => noted.push(value));
      key.set("main");
      const left = yield* Thread.spawn(function* () {
        key.set("left");
        yield* lwpExit();
      });
      yield* left.detach();
      const killed = yield* Thread.spawn(function* () {
        key.set("killed");
        for (;;) yield* schedYield();
      });
      yield* killed.detach();
      for (let i = 0; i < 10; i++) yield* schedYield();
    });
    assert.deepEqual(noted, ["left"]);
  });
});

test("what is no function is refused; a caller without values of its own too", () => {
  assert.throws(() => new ThreadLocal(7 as never), TypeError);
  assert.throws(() => new ThreadLocal().get(), /works only inside a thread/);
});

test("a key is shared across CPUs by its handle, each thread with a value; a portable destructor runs there", async () => {
  const text = `
    import { Thread, ThreadLocal } from "lwp";
    import * as K from "lwp/kernel";
    import { threadId } from "node:worker_threads";
    const early = new ThreadLocal<string>();
    const notes: string[] = [];
    export function* main() {
      K.cur.lwp.class = K.SCHED_FIFO;
      early.set("main's early");
      const key = new ThreadLocal<string>(destroy);
      key.set("main's");
      const t = yield* Thread.spawn(work, [key]);
      const { k } = K.cur.lwp;
      while (Atomics.load(k.w, k.scratch) !== 2);
      const { seen, realm } = yield* t.join();
      console.log(JSON.stringify({ seen, own: [key.get(), early.get()], elsewhere: realm !== threadId }));
      const local = new ThreadLocal<string>(() => {});
      try { yield* Thread.spawn(work, [local]); } catch (e: any) { console.error(e.message); }
    }
    function* work([key]: ThreadLocal<string>[]) {
      const { k } = K.cur.lwp;
      const seen = [key instanceof ThreadLocal, key.get(), early.get()];
      key.set("thread's");
      early.set("thread's early");
      Atomics.add(k.w, k.scratch, 1);
      return { seen: [...seen, key.get(), early.get()], realm: threadId };
    }
    function* destroy(value: string) {
      const { k } = K.cur.lwp;
      if (value === "thread's") Atomics.add(k.w, k.scratch, 1);
    }
  `;
  const { status, stdout, stderr } = await lwpRun(text, 2);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    seen: [true, null, null, "thread's", "thread's early"],
    own: ["main's", "main's early"],
    elsewhere: true,
  });
  assert.match(
    stderr,
    /args\[0\]\[0\]: its destructor (\S+ )?stays in its realm: make it a top-level generator/,
  );
});
