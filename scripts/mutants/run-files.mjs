// node run-files.mjs FILE...: runs several test files in one process, which saves starting one for each, and ends it when a
// test hangs: then the last line that is written is a failure of that name. Else it is `# work N`, with the time that the process
// has used its CPUs, in microseconds.
//
// A test hangs if the process works for long without ending one, or does nothing at all for long. Both are counted in what this
// process itself has done, so that a machine that has others to serve makes no test hang: in seconds of CPU time, and in ticks
// of a timer that stops with the process.

import { writeSync } from "node:fs";
import path from "node:path";
import { afterEach } from "node:test";
import { pathToFileURL } from "node:url";
import { isMainThread, Worker, workerData } from "node:worker_threads";

const tickMs = 250;
/** Four times what the longest stretch without the end of a test takes, unbroken, on a slow core. */
const workSeconds = 30;
/** A test that waits for a process of its own is idle, too. */
const idleTicks = 30_000 / tickMs;
/** A tick with less work than this, in microseconds, was idle: a clock of 100 Hz takes a tenth of it. */
const idleWork = 10_000;

if (isMainThread) {
  const news = new Int32Array(new SharedArrayBuffer(4));
  const watchdog = new Worker(new URL(import.meta.url), { workerData: news });
  watchdog.unref();
  afterEach(() => void Atomics.add(news, 0, 1));
  process.on("exit", () => writeSync(1, `# work ${cpuTime()}\n`));
  for (const file of process.argv.slice(2)) await import(pathToFileURL(path.resolve(file)).href);
} else {
  let seen = -1;
  let atNews = 0;
  let atTick = 0;
  let idle = 0;
  setInterval(() => {
    const work = cpuTime();
    const count = Atomics.load(workerData, 0);
    if (count !== seen) {
      seen = count;
      atNews = work;
      idle = 0;
    } else {
      idle = work - atTick < idleWork ? idle + 1 : 0;
    }
    atTick = work;
    if (work - atNews > workSeconds * 1e6 || idle >= idleTicks) {
      writeSync(1, "\nnot ok 0 - a test hangs\n");
      process.kill(process.pid, "SIGKILL");
    }
  }, tickMs);
}

/** Of all threads of the process, in microseconds. */
function cpuTime() {
  const { user, system } = process.cpuUsage();
  return user + system;
}
