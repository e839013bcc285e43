// The program of B10 and B11: portable threads, all spawned before the first is joined.

import { Thread } from "lwp";
import { Meter } from "../measure.js";
import { burn, calibrate, RUNS, TASKS, TaskTimes } from "../work.js";

function* work(steps: number) {
  return burn(steps);
}

function* empty() {}

function* burnAll() {
  const steps = calibrate();
  const run = function* (n: number) {
    const threads: Thread<number>[] = [];
    for (let i = 0; i < n; i++) threads.push(yield* Thread.spawn(work, steps));
    for (const t of threads) yield* t.join();
  };
  // Every CPU has seen the task before the clock starts.
  yield* run(20);
  const times = new TaskTimes(steps);
  for (let i = 0; i < RUNS; i++) {
    const begun = performance.now();
    yield* run(TASKS);
    times.ran(performance.now() - begun);
  }
  return times.scaledMs;
}

function* nothing(threads: number, budgetMs: number) {
  const meter = new Meter(budgetMs);
  const spawned: Thread<void>[] = [];
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < threads; i++) spawned[i] = yield* Thread.spawn(empty);
      for (let i = 0; i < threads; i++) yield* spawned[i].join();
    }
    meter.end(rounds * threads);
  }
  return meter.nsPerOperation;
}

export function* main([bench, threads, budgetMs]: string[]) {
  const value = bench === "B10" ? yield* burnAll() : yield* nothing(Number(threads), Number(budgetMs));
  console.log(JSON.stringify({ value }));
}
