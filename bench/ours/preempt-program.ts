// The program of PREEMPT: main on one CPU, a loop that never ends on the other.

import { performance } from "node:perf_hooks";
import { Thread } from "lwp";
import * as K from "lwp/kernel";
import { SAMPLES, SAMPLES_AT } from "./preempt-words.js";

export function* main([trials, cpus]: string[]) {
  // Main may have been stolen: a thread that is told where to run has not.
  const t = yield* Thread.with({ cpu: 0 }).spawn(measure, Number(trials), Number(cpus) - 1);
  yield* t.join();
}

function* measure(trials: number, cpu: number) {
  const { w, scratch } = K.cur.lwp.k;
  const rounds = () => Atomics.load(w, scratch);
  for (let trial = 0; trial < trials; trial++) {
    const note = (what: (typeof SAMPLES)[number], start: number) => {
      w[scratch + SAMPLES_AT + SAMPLES.indexOf(what) * trials + trial] = (performance.now() - start) * 1000;
    };
    const begun = rounds();
    const loop = yield* Thread.with({ cpu }).spawn(count);
    while (rounds() === begun);
    let start = performance.now();
    yield* loop.suspend();
    note("suspend", start);
    const before = rounds();
    start = performance.now();
    yield* loop.resume();
    while (rounds() === before);
    note("resume", start);
    start = performance.now();
    yield* loop.cancel();
    try {
      yield* loop.join();
    } catch {
      note("cancel", start);
    }
  }
}

/** Counts in a word that all CPUs see. */
function* count() {
  const { w, scratch } = K.cur.lwp.k;
  for (;;) Atomics.add(w, scratch, 1);
}
