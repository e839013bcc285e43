// Peers "postMessage" and "piscina": B10 and B11 on two workers, all tasks in flight.

import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Piscina } from "piscina";
import { Meter, programOptions, report } from "../measure.js";
import { burn, calibrate, CPUS, RUNS, TASKS, TaskTimes } from "../work.js";

/** What a worker does for a message, and for piscina: `steps` steps; 0 = an empty task. */
export default function task(steps: number): number {
  return burn(steps);
}

/** Runs tasks of `steps` steps, all of them at once. */
type RunAll = (tasks: number, steps: number) => Promise<void>;

interface Pool {
  runAll: RunAll;
  close(): Promise<void>;
}

async function overMessages(): Promise<Pool> {
  const workers = Array.from({ length: CPUS }, () => new Worker(new URL(import.meta.url), { argv: [] }));
  let left = 0;
  let done: () => void;
  for (const worker of workers) {
    worker.on("message", () => {
      if (--left === 0) done();
    });
  }
  await Promise.all(workers.map((worker) => once(worker, "online")));
  return {
    runAll(tasks, steps) {
      left = tasks;
      for (let i = 0; i < tasks; i++) workers[i % CPUS]!.postMessage(steps);
      return new Promise((resolve) => {
        done = resolve;
      });
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

function overPiscina(): Pool {
  const pool = new Piscina({
    filename: new URL(import.meta.url).href,
    minThreads: CPUS,
    maxThreads: CPUS,
    argv: [],
    concurrentTasksPerWorker: 1,
    maxQueue: Number.POSITIVE_INFINITY,
  });
  return {
    async runAll(tasks, steps) {
      await Promise.all(Array.from({ length: tasks }, () => pool.run(steps)));
    },
    close: () => pool.destroy(),
  };
}

async function main(): Promise<void> {
  const { bench, threads, budgetMs, peer } = programOptions();
  const { runAll, close } = peer === "piscina" ? overPiscina() : await overMessages();
  if (bench === "B10") {
    const steps = calibrate();
    await runAll(20, steps);
    const times = new TaskTimes(steps);
    for (let run = 0; run < RUNS; run++) {
      const begun = performance.now();
      await runAll(TASKS, steps);
      times.ran(performance.now() - begun);
    }
    report(times.scaledMs);
  } else if (bench === "B11") {
    const meter = new Meter(budgetMs);
    for (const rounds of meter) {
      meter.begin();
      for (let round = 0; round < rounds; round++) await runAll(threads, 0);
      meter.end(rounds * threads);
    }
    report(meter.nsPerOperation);
  } else {
    throw new RangeError(`--bench ${bench}`);
  }
  await close();
}

if (isMainThread) await main();
else if (parentPort !== null && !Piscina.isWorkerThread) {
  const port = parentPort;
  port.on("message", (steps: number) => port.postMessage(task(steps)));
}
