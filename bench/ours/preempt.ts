// PREEMPT: how long it takes until a thread that computes for ever is suspended, goes on, is cancelled, or gives its CPU to
// another; 100 trials of each. The value is the worst of their 95th percentiles.

import { fileURLToPath } from "node:url";
import { boot } from "lwp";
import { report } from "../measure.js";
import { percentile } from "../stats.js";
import { options } from "./machine.js";
import { SAMPLES, SAMPLES_AT } from "./preempt-words.js";

const TRIALS = 100;

const bench = fileURLToPath(new URL("../../../bench/ours/", import.meta.url));
const machine = await boot({ cpus: options.mode === "up" ? 1 : 2 });
const { w, scratch } = machine.kernel;

/** The program writes its samples into scratch words, as microseconds: it may run on any CPU. */
const exit = await (await machine.exec(`${bench}preempt-program.ts`, [String(TRIALS), String(machine.cpus)]))
  .exited;
if (exit.status !== 0) throw new Error(`the program ended with ${JSON.stringify(exit)}`);
const samples: Record<string, number[]> = {};
for (const [i, what] of SAMPLES.entries()) {
  const at = scratch + SAMPLES_AT + i * TRIALS;
  samples[what] = [...w.subarray(at, at + TRIALS)].map((us) => us / 1000);
}

// Killed from outside: each process is new, and known to compute when it is.
samples["kill"] = [];
for (let i = 0; i < TRIALS; i++) {
  const before = Atomics.load(w, scratch);
  const p = await machine.exec(`${bench}preempt-endless.ts`);
  while (Atomics.load(w, scratch) === before) await new Promise((resolve) => setImmediate(resolve));
  const start = performance.now();
  p.kill();
  await p.exited;
  samples["kill"].push(performance.now() - start);
}
await machine.shutdown();

const p95: Record<string, number> = {};
for (const [what, ms] of Object.entries(samples)) p95[what] = percentile(ms, 95);
report(Math.max(...Object.values(p95)), p95);
