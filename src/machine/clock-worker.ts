/**
 * The clock of a machine, and its supervisor: starts the other CPUs, beats, hears one die.
 *
 * When a CPU dies, in steps: (1) it is marked FAILED; (2) the machine is marked dead, with a dump; (3) every CPU is told to
 * halt; (4) whoever spins on a lock of the dead one sees its state. If CPU 0 does not come to a poll within two seconds,
 * the process is ended, since nothing else can be done for it.
 */
import { parentPort, Worker, workerData } from "node:worker_threads";
import { CpuRecord } from "../sys/cpu.js";
import { KernelAssertion } from "../sys/errno.js";
import { Kernel } from "../sys/kernel.js";
import { CPU_FAILED, CPU_HALTED } from "../sys/param.js";
import { BEAT_MS, clockBeat } from "../cpu/clock.js";
import { HostPort } from "../cpu/hostport.js";
import { panic } from "../kern/panic.js";
import type { ClockBoot, ClockNews, CpuBoot } from "./letters.js";
import { writeDump } from "./realm.js";

const boot = workerData as ClockBoot;
const k = new Kernel(boot.limits, { mp: true }, boot.buffer);
k.port = new HostPort(k, (message) => writeDump(k, message));
const first = boot.client ? 1 : 2;
const tell = (news: ClockNews) => parentPort?.postMessage(news);
/** How long CPU 0 may take to see that the machine is dead. */
const GRACE_MS = 2000;

let online = 0;
let running = 0;
for (let index = first; index <= boot.cpus; index++) startCpu(index);
if (running === 0) tell({ kind: "online" });

function startCpu(index: number): void {
  const { client: _client, ports, ...common } = boot;
  const port = ports[index - first];
  const data: CpuBoot = { ...common, index, port };
  const worker = new Worker(new URL("cpu-worker.js", import.meta.url), {
    workerData: data,
    transferList: [port],
    name: `lwp CPU ${index - 1}`,
    execArgv: process.execArgv,
  });
  running++;
  let why = "";
  worker.on("message", () => {
    online++;
    if (online === boot.cpus - first + 1) tell({ kind: "online" });
  });
  worker.on("error", (error) => {
    why = `: ${error.message}`;
  });
  worker.on("exit", (code) => {
    running--;
    const ci = k.cpus.view(index);
    if (ci.state !== CPU_HALTED && k.g.halted === 0)
      died(index, `CPU ${index - 1} died (exit code ${code}${why})`);
    if (running === 0 && k.g.halted !== 0) stop();
  });
}

function died(index: number, message: string): void {
  Atomics.store(k.w, k.cpus.view(index).at + CpuRecord.offset.state, CPU_FAILED);
  try {
    panic(k, message);
  } catch (error) {
    if (!(error instanceof KernelAssertion)) throw error;
  }
}

let deadSince = 0;

const timer = setInterval(() => {
  if (k.g.dead === 0) {
    clockBeat(k, boot.embedded);
    if (k.g.halted !== 0 && running === 0) stop();
    return;
  }
  if (deadSince === 0) {
    deadSince = performance.now();
    tell({ kind: "dead", message: k.g.deadText });
  }
  const cpu0 = k.cpus.view(1).state;
  const stuck = cpu0 !== CPU_HALTED && cpu0 !== CPU_FAILED && performance.now() - deadSince > GRACE_MS;
  if (stuck && !boot.client) process.kill(process.pid, "SIGKILL");
  if (cpu0 === CPU_HALTED || cpu0 === CPU_FAILED) stop();
}, BEAT_MS);

function stop(): void {
  clearInterval(timer);
  tell({ kind: "stopped" });
  parentPort?.close();
}
