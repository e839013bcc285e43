/** Cross-calls and passive serialisation between real CPUs (MCH-2, 4, 5, 12, 103). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { output } from "../support/host.js";

/** Threads make calls of both kinds, once every realm knows the function. */
const CALLS = `
  import * as K from "lwp/kernel";
  import { Thread } from "lwp";
  import { lwpSelf } from "lwp/syscall";

  const ROUNDS = 100;
  // Scratch words: CPUs that know the function, calls run on each CPU, calls that were not over when their wait was.
  const KNOWN = 0, RUN = 8, EARLY = 40;

  export function* main() {
    const { k } = K.cur.lwp;
    const teachers = [];
    for (let i = 0; i < 4 * k.g.ncpu; i++) teachers.push(yield* Thread.spawn(teach));
    for (const t of teachers) yield* t.join();
    const threads = [];
    for (let i = 0; i < 2 * k.g.ncpu; i++) threads.push(yield* Thread.spawn(caller, i));
    let asked = 0;
    for (const t of threads) asked += yield* t.join();
    const run = [];
    for (let i = 0; i < k.g.ncpu; i++) run.push(k.w[k.scratch + RUN + i]);
    console.log(JSON.stringify({
      asked, run: run.reduce((a, b) => a + b), everywhere: run.every((n) => n > 0),
      early: k.w[k.scratch + EARLY],
      pending: [k.xc.head - k.xc.tail, k.xc.head - k.xc.done, k.xc.hiHead - k.xc.hiDone],
    }));
  }

  /** Tells its realm, and keeps its CPU until all realms have been told: the others must take the other teachers. */
  function* teach() {
    const { k } = K.cur.lwp;
    const { w, scratch } = k;
    k.slots.crosscalls[10] = (k, word, value) => {
      Atomics.add(w, scratch + RUN + K.cur.cpu.index - 1, 1);
      if (word !== 0) Atomics.add(w, word, value);
    };
    Atomics.or(w, scratch + KNOWN, 1 << (K.cur.cpu.index - 1));
    while (Atomics.load(w, scratch + KNOWN) !== (1 << k.g.ncpu) - 1) yield* lwpSelf();
  }

  function* caller(n) {
    const { k } = K.cur.lwp;
    const { w, scratch } = k;
    let asked = 0;
    const own = scratch + 64 + n;
    for (let i = 0; i < ROUNDS; i++) {
      for (const flags of [0, K.XC_HIGHPRI]) {
        const before = Atomics.load(w, own);
        yield* K.xcWait(k, yield* K.xcBroadcast(k, flags, 10, own, 1));
        if (Atomics.load(w, own) !== before + k.g.ncpu) Atomics.add(w, scratch + EARLY, 1);
        asked += k.g.ncpu;
        const target = k.cpus.view(1 + ((i + n) % k.g.ncpu));
        yield* K.xcWait(k, yield* K.xcUnicast(k, flags, 10, own, 1, target));
        if (Atomics.load(w, own) !== before + k.g.ncpu + 1) Atomics.add(w, scratch + EARLY, 1);
        asked++;
        yield* lwpSelf();
      }
    }
    return asked;
  }
`;

/** One writer replaces an object and spoils the old one after its wait; readers on all CPUs must never see a spoilt one. */
const READERS = `
  import * as K from "lwp/kernel";
  import { Thread } from "lwp";
  import { lwpSelf } from "lwp/syscall";

  const POINTER = 0, DONE = 1, SPOILT = 2, READ = 3, OBJECTS = 16, COUNT = 8;

  export function* main() {
    const { k } = K.cur.lwp;
    const { w, scratch: s } = k;
    for (let i = 0; i < COUNT; i++) w[s + OBJECTS + i] = 1;
    w[s + POINTER] = s + OBJECTS;
    const threads = [];
    for (let i = 0; i < k.g.ncpu * 2; i++) threads.push(yield* Thread.spawn(reader));
    const psz = K.pserializeCreate(k);
    for (let i = 1; i <= 40; i++) {
      const old = w[s + POINTER];
      const next = s + OBJECTS + (i % COUNT);
      w[next] = 1;
      Atomics.store(w, s + POINTER, next);
      yield* K.pserializePerform(psz);
      Atomics.store(w, old, 0);
      yield* lwpSelf();
    }
    Atomics.store(w, s + DONE, 1);
    for (const t of threads) yield* t.join();
    const waits = k.psz.exclusive;
    K.pserializeDestroy(psz);
    console.log(JSON.stringify({ spoilt: w[s + SPOILT], read: w[s + READ] > 0, waits, pending: k.psz.pending }));
  }

  function* reader() {
    const { k } = K.cur.lwp;
    const { w, scratch: s } = k;
    while (Atomics.load(w, s + DONE) === 0) {
      const section = K.pserializeReadEnter(k);
      const object = Atomics.load(w, s + POINTER);
      for (let i = 0; i < 200; i++) if (Atomics.load(w, object) !== 1) Atomics.add(w, s + SPOILT, 1);
      K.pserializeReadExit(k, section);
      Atomics.store(w, s + READ, 1);
      yield* lwpSelf();
    }
  }
`;

describe("between real CPUs", () => {
  for (const cpus of [1, 2, 4]) {
    test(`MCH-2, MCH-4: on ${cpus} CPUs calls of both kinds, all at once, run where and as often as they were asked for`, async () => {
      const seen = (await output(CALLS, cpus)) as Record<string, unknown>;
      assert.equal(seen["run"], seen["asked"]);
      assert.equal(seen["asked"], 2 * cpus * 100 * 2 * (cpus + 1));
      assert.equal(seen["everywhere"], true);
      assert.equal(seen["early"], 0, "a wait returned before its calls were done");
      assert.deepEqual(seen["pending"], [0, 0, 0]);
    });

    test(`MCH-12, MCH-103: on ${cpus} CPUs no reader ever sees what a writer spoils after its wait`, async () => {
      assert.deepEqual(await output(READERS, cpus), { spoilt: 0, read: true, waits: 40, pending: 0 });
    });
  }
});
