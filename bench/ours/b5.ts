// B5: a contended mutex: 100 threads, 1,000 sections each, with a yield inside.

import { Mutex, schedYield, Thread } from "lwp";
import { Meter, report } from "../measure.js";
import { options, runMain } from "./machine.js";

const SECTIONS = 1_000;

const { threads, budgetMs } = options;
const meter = new Meter(budgetMs);

await runMain(function* () {
  const mutex = new Mutex();
  function* member() {
    for (let i = 0; i < SECTIONS; i++) {
      yield* mutex.lock();
      yield* schedYield();
      mutex.unlock();
    }
  }
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      const all = [];
      for (let i = 0; i < threads; i++) all.push(yield* Thread.spawn(member));
      for (const t of all) yield* t.join();
    }
    meter.end(rounds * threads * SECTIONS);
  }
});
report(meter.nsPerOperation);
