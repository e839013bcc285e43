/**
 * A realm of its own that sees a machine stand still, whatever its CPUs do: no operation was counted for a while. It writes
 * the dump and ends the host process.
 */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import { dump, Kernel, type Limits, type SharedMemory } from "lwp/kernel";

export interface WatchdogData {
  readonly memory: SharedMemory;
  readonly limits: Limits;
  /** Where in scratch memory operations are counted. */
  readonly counters: { readonly at: number; readonly words: number };
  /** Seconds without an operation that are a stall. */
  readonly seconds: number;
}

const { memory, limits, counters, seconds } = workerData as WatchdogData;
const k = new Kernel(limits, { mp: true }, memory);
let last = -1;
let since = performance.now();

function done(): number {
  let n = 0;
  for (let i = 0; i < counters.words; i++) n += k.w[k.scratch + counters.at + i];
  return n;
}

setInterval(() => {
  const n = done();
  if (n !== last) {
    last = n;
    since = performance.now();
  } else if (performance.now() - since > seconds * 1000) {
    writeSync(
      2,
      `stalled after ${n} operations: nothing has happened for ${seconds} s\n${dump(k).join("\n")}\n`,
    );
    process.kill(process.pid, "SIGABRT");
  }
}, 500);
