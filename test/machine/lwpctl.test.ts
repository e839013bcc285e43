/** lwpctl on real CPUs: a program reads another thread's words while that one is being switched. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { output } from "../support/host.js";

const PROGRAM = `
  import { Thread } from "lwp";
  import * as K from "lwp/kernel";
  import { lwpCtl, LwpCtl, lwpPark, lwpUnpark, lwpSelf } from "lwp/syscall";

  // Scratch words, for what the watcher and the watched tell each other.
  const ADDRESS = 0, LID = 1, ROUNDS = 2, CPU = 3, SAW = 4;
  const TIMES = 200, HERE = -1;

  export function* main() {
    const { k } = K.cur.lwp;
    const { w, scratch: s } = k;
    // On another CPU than this one, which goes on meanwhile.
    let t;
    do {
      Atomics.store(w, s + ADDRESS, 0);
      t = yield* Thread.spawn(watched, K.cur.cpu.index - 1);
      while (Atomics.load(w, s + ADDRESS) === 0) yield* lwpSelf();
    } while (Atomics.load(w, s + ADDRESS) === HERE);
    const ctl = LwpCtl.at(Atomics.load(w, s + ADDRESS) - 1);
    const seen = new Set();
    let back = 0, counted = 0, last = ctl.pctr;
    for (let i = 1; i <= TIMES; i++) {
      // Asleep, and off its CPU: the words say so without a call.
      while (ctl.curcpu !== -1) yield* lwpSelf();
      seen.add(-1);
      const asleep = ctl.pctr;
      if (asleep < last) back++;
      yield* lwpUnpark(w[s + LID]);
      while (Atomics.load(w, s + ROUNDS) < i) {
        const cpu = ctl.curcpu;
        if (cpu >= 0) {
          seen.add(cpu === w[s + CPU] ? "its CPU" : "another");
          Atomics.store(w, s + SAW, i);
        }
        yield* lwpSelf();
      }
      last = ctl.pctr;
      if (last > asleep) counted++;
    }
    yield* t.join();
    // Joined is not yet gone.
    while (ctl.curcpu !== -2) yield* lwpSelf();
    console.log(JSON.stringify({ seen: [...seen].sort(), back, counted, end: ctl.curcpu }));
  }

  function* watched(watcher) {
    const { k, lid } = K.cur.lwp;
    const { w, scratch: s } = k;
    if (K.cur.cpu.index - 1 === watcher) {
      Atomics.store(w, s + ADDRESS, HERE);
      return;
    }
    const ctl = yield* lwpCtl();
    w[s + LID] = lid;
    w[s + CPU] = K.cur.cpu.index - 1;
    Atomics.store(w, s + ADDRESS, ctl.address + 1);
    for (let i = 1; i <= TIMES; i++) {
      yield* lwpPark();
      if (ctl.curcpu !== w[s + CPU]) throw new Error("not the CPU it runs on");
      // Until the other CPU has looked.
      while (Atomics.load(w, s + SAW) < i) yield* lwpSelf();
      Atomics.store(w, s + ROUNDS, i);
    }
  }
`;

test("LWP-88: read from another CPU: -1 while it sleeps, its CPU while it runs, a count that grows with each run, -2 at the end", async () => {
  assert.deepEqual(await output(PROGRAM, 2), {
    seen: [-1, "its CPU"],
    back: 0,
    counted: 200,
    end: -2,
  });
});
