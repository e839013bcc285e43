// B14: lag of the booting realm's event loop while CPU 0 is full. The 99th percentile of how late a timer of 1 ms comes.

import { setTimeout as sleep } from "node:timers/promises";
import { boot, checkpoint, Thread } from "lwp";
import { report } from "../measure.js";
import { percentile } from "../stats.js";
import { options } from "./machine.js";

const machine = await boot({ cpus: options.mode === "up" ? 1 : 2 });
let done = false;
const full = machine.run(function* () {
  function* busy() {
    while (!done) yield* checkpoint();
  }
  const threads = [];
  for (let i = 0; i < 10; i++) threads.push(yield* Thread.spawn(busy));
  for (const t of threads) yield* t.join();
});

const lagsMs: number[] = [];
const end = performance.now() + options.budgetMs * 2;
while (performance.now() < end) {
  const start = performance.now();
  await sleep(1);
  lagsMs.push(performance.now() - start - 1);
}
done = true;
await full;
await machine.shutdown();
report(percentile(lagsMs, 99), { median: percentile(lagsMs, 50), samples: lagsMs.length });
