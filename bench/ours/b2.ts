// B2: spawn, exit and join, in batches.

import { Thread } from "lwp";
import { Meter, report } from "../measure.js";
import { options, runMain } from "./machine.js";

const { threads, budgetMs } = options;
const meter = new Meter(budgetMs);

await runMain(function* () {
  function* body() {}
  const spawned: Thread<void>[] = [];
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < threads; i++) spawned[i] = yield* Thread.spawn(body);
      for (let i = 0; i < threads; i++) yield* spawned[i].join();
    }
    meter.end(threads * rounds);
  }
});
report(meter.nsPerOperation);
