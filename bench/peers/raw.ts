// Peer "raw": two realms and two words of shared memory. B8: each spins on its word (round trip in ns). B9: each
// sleeps on it in Atomics.wait (round trip in us, of those where the target was indeed asleep).

import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { programOptions, report } from "../measure.js";
import { median } from "../stats.js";

/** The words stand on cache lines of their own. */
const PING = 0;
const PONG = 16;
const STOP = -1;
const WORDS = 32;

function echoSpinning(words: Int32Array): void {
  for (let last = 0; ; ) {
    const ping = Atomics.load(words, PING);
    if (ping === last) continue;
    if (ping === STOP) return;
    Atomics.store(words, PONG, ping);
    last = ping;
  }
}

function echoSleeping(words: Int32Array): void {
  for (let last = 0; ; ) {
    Atomics.wait(words, PING, last);
    const ping = Atomics.load(words, PING);
    if (ping === last) continue;
    if (ping === STOP) return;
    Atomics.store(words, PONG, ping);
    Atomics.notify(words, PONG, 1);
    last = ping;
  }
}

/** Nanoseconds a round trip: the median of batches, so that a batch in which the host took a CPU away drops out. */
function pingSpinning(words: Int32Array, budgetMs: number): number {
  const batchSize = 1000;
  const batchesNs: number[] = [];
  let sequence = 0;
  const start = performance.now();
  for (let now = start; now - start < budgetMs * 1.2; ) {
    for (let i = 0; i < batchSize; i++) {
      sequence = (sequence + 1) & 0x3fffffff;
      Atomics.store(words, PING, sequence);
      while (Atomics.load(words, PONG) !== sequence);
    }
    const end = performance.now();
    if (end - start > budgetMs / 5) batchesNs.push(((end - now) * 1e6) / batchSize);
    now = end;
  }
  return median(batchesNs);
}

function pingSleeping(words: Int32Array, budgetMs: number): { medianUs: number; asleep: number } {
  const tripsUs: number[] = [];
  let trips = 0;
  let sequence = 0;
  const start = performance.now();
  for (let now = start; now - start < budgetMs * 1.2; ) {
    sequence++;
    Atomics.store(words, PING, sequence);
    const woken = Atomics.notify(words, PING, 1);
    while (Atomics.load(words, PONG) !== sequence) Atomics.wait(words, PONG, sequence - 1);
    const end = performance.now();
    if (end - start > budgetMs / 5) {
      trips++;
      if (woken === 1) tripsUs.push((end - now) * 1e3);
    }
    now = performance.now();
  }
  return { medianUs: median(tripsUs), asleep: tripsUs.length / trips };
}

async function main(): Promise<void> {
  const { bench, budgetMs } = programOptions();
  if (bench !== "B8" && bench !== "B9") throw new RangeError(`--bench ${bench}`);
  const words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { words, spins: bench === "B8" },
    argv: [],
  });
  await once(worker, "online");
  if (bench === "B8") {
    report(pingSpinning(words, budgetMs));
  } else {
    const { medianUs, asleep } = pingSleeping(words, budgetMs);
    report(medianUs, { asleep });
  }
  Atomics.store(words, PING, STOP);
  Atomics.notify(words, PING);
  await once(worker, "exit");
}

if (isMainThread) {
  await main();
} else {
  const { words, spins } = workerData as { words: Int32Array; spins: boolean };
  if (spins) echoSpinning(words);
  else echoSleeping(words);
}
