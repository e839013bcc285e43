// B1: yield among threads on one CPU.

import { schedYield, Thread } from "lwp";
import { Meter, report } from "../measure.js";
import { options, runMain } from "./machine.js";

const { threads, budgetMs } = options;
const meter = new Meter(budgetMs);

await runMain(function* () {
  for (const rounds of meter) {
    let running = threads;
    function* yielder(first: boolean) {
      yield* schedYield();
      if (first) meter.begin();
      for (let i = 0; i < rounds; i++) yield* schedYield();
      if (--running === 0) meter.end(threads * rounds);
    }
    const spawned = [];
    for (let i = 0; i < threads; i++) spawned.push(yield* Thread.spawn(yielder, i === 0));
    for (const t of spawned) yield* t.join();
  }
});
report(meter.nsPerOperation);
