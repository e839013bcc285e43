/**
 * The clock of a machine, and its supervisor: starts the other CPUs, beats, hears one die.
 *
 * When a CPU dies, in steps: (1) it is marked FAILED; (2) the machine is marked dead, with a dump; (3) every CPU is told to
 * halt; (4) whoever spins on a lock of the dead one sees its state. A CPU that does not come to a poll within a second is
 * ended where it stands; where that is a CPU 0 that has nothing else to do, with the whole process.
 */
import { parentPort, Worker, workerData } from "node:worker_threads";
import { CpuRecord } from "../sys/cpu.js";
import { KernelAssertion } from "../sys/errno.js";
import { Kernel } from "../sys/kernel.js";
import { ATTN_HALT, CPU_FAILED, CPU_HALTED, CPU_ONLINE } from "../sys/param.js";
import { BEAT_MS, clockBeat } from "../cpu/clock.js";
import { HostPort } from "../cpu/hostport.js";
import { machineQuiet, turnsOf } from "../cpu/quiet.js";
import { panic } from "../kern/panic.js";
import { attend } from "./attached.js";
import type { ClockBoot, ClockNews, CpuBoot } from "./letters.js";
import { loadObserver } from "./observer.js";
import { writeDump } from "./realm.js";

await loadObserver();

const boot = workerData as ClockBoot;
const k = new Kernel(boot.limits, { mp: true }, boot.memory);
k.port = new HostPort(k, (message) => writeDump(k, message, boot.format));
const first = boot.client ? 1 : 2;
const tell = (news: ClockNews) => parentPort?.postMessage(news);
/** How long a CPU may take to see that the machine stops. */
const GRACE_MS = 1000;

let online = 0;
/** A CPU could not be started. */
let unstarted = false;
/** CPUs that run. */
const workers = new Set<Worker>();
for (let index = first; index <= boot.cpus; index++) startCpu(index);
if (first > boot.cpus) tell({ kind: "online" });

function startCpu(index: number): void {
  const { client: _client, ports, ...common } = boot;
  const port = ports[index - first];
  const data: CpuBoot = { ...common, index, port };
  let worker: Worker;
  try {
    worker = new Worker(new URL("cpu-worker.js", import.meta.url), {
      workerData: data,
      transferList: [port],
      name: `lwp CPU ${index - 1}`,
    });
  } catch (error) {
    return cannotStart(`CPU ${index - 1} cannot be started: ${(error as Error).message}`);
  }
  workers.add(worker);
  let why = "";
  worker.on("message", () => {
    online++;
    if (online === boot.cpus - first + 1) tell({ kind: "online" });
  });
  worker.on("error", (error) => {
    why = `: ${error.message}`;
  });
  worker.on("exit", (code) => {
    workers.delete(worker);
    const ci = k.cpus.view(index);
    if (online < boot.cpus - first + 1)
      return cannotStart(`CPU ${index - 1} did not start (exit code ${code}${why})`);
    if (ci.state !== CPU_HALTED && k.g.halted === 0)
      died(index, `CPU ${index - 1} died (exit code ${code}${why})`);
  });
}

/** Before all are online nothing has run: the machine ends without a dump, and the booting realm decides what to do. */
function cannotStart(message: string): void {
  if (unstarted || k.g.halted !== 0) return;
  unstarted = true;
  tell({ kind: "unstarted", message });
  k.g.halted = 1;
  for (let i = 1; i <= boot.cpus; i++) attend(k.cpus.view(i), ATTN_HALT);
}

function died(index: number, message: string): void {
  Atomics.store(k.w, k.cpus.view(index).at + CpuRecord.offset.state, CPU_FAILED);
  try {
    panic(k, message);
  } catch (error) {
    if (!(error instanceof KernelAssertion)) throw error;
  }
}

/** A CPU 0 that only runs LWPs still hears signals: its event loop turns every 50 ms. */
const turnBeats = boot.client ? 0 : boot.embedded ? 1 : 25;

/** When the machine began to stop, for whatever reason; 0 = it runs. */
let stoppingSince = 0;
/** The booting realm knows that it is dead. */
let told = false;

const timer = setInterval(() => {
  const { dead, halted } = k.g;
  if (dead === 0) clockBeat(k, turnBeats);
  if (dead === 0 && halted === 0) return lookForQuiet();
  if (stoppingSince === 0) stoppingSince = performance.now();
  if (dead !== 0 && !told) tell({ kind: "dead", message: k.g.deadText });
  told = dead !== 0;
  if (performance.now() - stoppingSince > GRACE_MS) endStuck(dead !== 0);
  if (workers.size === 0 && (dead === 0 || !cpu0Runs())) stop();
}, BEAT_MS);

/** How the CPUs were when it was last looked whether they are quiet. */
let lookedAt = 0;

/** Once for each way the CPUs may stand: if they are quiet, whoever is asked last is asked. */
function lookForQuiet(): void {
  const now = sleepMark();
  if (now === lookedAt) return;
  lookedAt = now;
  if (machineQuiet(k, boot.client ? 0 : 1)) tell({ kind: "quiet" });
}

/** Changes whenever a CPU wakes, or goes to sleep in another way. */
function sleepMark(): number {
  let mark = turnsOf(k);
  for (let i = 1; i <= boot.cpus; i++) mark = (Math.imul(mark, 5) + k.cpus.view(i).sleeping) | 0;
  return mark;
}

/** Whether the booting realm is CPU 0, and runs LWPs. */
function cpu0Runs(): boolean {
  return !boot.client && k.cpus.view(1).state === CPU_ONLINE;
}

function endStuck(dead: boolean): void {
  for (const worker of workers) void worker.terminate();
  if (dead && !boot.embedded && cpu0Runs()) process.kill(process.pid, "SIGKILL");
}

function stop(): void {
  clearInterval(timer);
  tell({ kind: "stopped" });
  parentPort?.close();
}
