/**
 * `lwp run`: boots a machine, runs one program on it, exits as it does.
 *
 * Exit status: the program's own; 2 it could not be started; 70 the machine stopped (a CPU died, or a kernel assertion
 * failed); 71 it stalled: no thread could ever go on; 128 + n it was ended by signal n, as an uncaught exception does (n = 6).
 *
 * CPU 0 dies of an exception outside threads, as another CPU would, unless the program handles those.
 *
 * SIGQUIT (Ctrl-\) lists what the threads do, and the program goes on.
 */
import "../observe/reports.js";
import { LinkError } from "../machine/factory.js";
import { linkProgram } from "../machine/link.js";
import { boot, type Machine } from "../machine/machine.js";
import { observer, type ReportFormat } from "../machine/observer.js";
import { writeDirectly, writeNow } from "../machine/output.js";
import { type Exit, MachineError, StallError } from "../machine/process.js";
import type { SimulatedMachine } from "../machine/simulated.js";
import type { CpuStats } from "../machine/stats.js";
import { livePs } from "./live.js";
import { applySettings, type Setting, SettingError } from "./sysctl.js";

export const STATUS_NOT_STARTED = 2;
export const STATUS_MACHINE_STOPPED = 70;
export const STATUS_STALLED = 71;

export interface RunOptions {
  readonly cpus?: number;
  readonly preempt: boolean;
  readonly sim?: boolean;
  readonly seed?: number;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly sysctl?: readonly Setting[];
  /** Seconds between two tables of the threads. */
  readonly ps?: number;
}

/** Runs the program and ends the host process with its status. */
export async function run(file: string, args: readonly string[], options: RunOptions): Promise<never> {
  const format: ReportFormat = options.json === true ? "json" : "text";
  let machine: Machine | SimulatedMachine | null = null;
  // This process ends as soon as the program has: what a full pipe had kept waiting would be lost.
  writeDirectly();
  try {
    const linked = await linkProgram(file);
    machine = await bootFor(options, format);
    applySettings(machine, options.sysctl ?? []);
    listOnQuit(machine, format);
    const ended = dieOfUncaught(machine, format);
    const bootMs = performance.now();
    const endPs = startPs(machine, options);
    const p = await machine.execLinked(linked, args);
    const exit = await Promise.race([p.exited, stallOf(machine)]);
    endPs();
    ended(statusOf(exit));
    const stats = machine.stats();
    await machine.shutdown();
    if (options.stats === true) report({ bootMs, wallMs: exit.seconds * 1000, cpus: stats }, format);
    return process.exit(statusOf(exit));
  } catch (error) {
    // The dump is complete once all CPUs have stopped.
    if (error instanceof MachineError) await machine?.shutdown();
    return process.exit(explain(error, format));
  }
}

function startPs(machine: Machine | SimulatedMachine, { ps, json }: RunOptions): () => void {
  if (ps === undefined || !("onStall" in machine)) return () => {};
  return livePs(machine, { seconds: ps, json: json === true, terminal: process.stderr.isTTY === true });
}

function bootFor(options: RunOptions, format: ReportFormat): Promise<Machine | SimulatedMachine> {
  const { cpus, seed, preempt, ps } = options;
  if (options.sim === true) return boot({ simulated: { cpus, seed, reports: format } });
  // Tables are printed by the event loop, which a dedicated CPU 0 may block.
  return boot({ cpus, preempt, dedicated: ps === undefined, reports: format });
}

/** Rejects when the machine stalls. A simulated one rejects the ends of its processes itself. */
function stallOf(machine: Machine | SimulatedMachine): Promise<never> {
  return new Promise((_, reject) => {
    if ("onStall" in machine) machine.onStall = (text) => reject(new StallError(text));
  });
}

/** The signal comes when the event loop of CPU 0 turns: every 50 ms, but not while that computes without a poll. */
function listOnQuit(machine: Machine | SimulatedMachine, format: ReportFormat): void {
  process.on("SIGQUIT", () => writeNow(2, observer().listing(machine.kernel, format)));
}

/** What it returns is told the status of the program when that is over: a failure of its own counts first. */
function dieOfUncaught(
  { kernel }: Machine | SimulatedMachine,
  format: ReportFormat,
): (status: number) => void {
  let status = 0;
  process.on("uncaughtException", (error) => {
    if (process.listenerCount("uncaughtException") > 1) return;
    writeNow(2, observer().uncaught(0, error, format));
    writeNow(2, observer().stopped(kernel, 0, "CPU 0 died of an exception outside threads", format));
    process.exit(status === 0 ? STATUS_MACHINE_STOPPED : status);
  });
  return (programs) => {
    status = programs;
  };
}

function statusOf(exit: Exit): number {
  return exit.status ?? 128 + (exit.signal ?? 0);
}

/** What went wrong, and the exit status that goes with it. */
function explain(error: unknown, format: ReportFormat): number {
  if (error instanceof StallError) {
    writeNow(2, error.report);
    return STATUS_STALLED;
  }
  if (error instanceof MachineError) {
    // As JSON, all has been said.
    if (format === "text") writeNow(2, `lwp: the machine stopped: ${error.message}\n`);
    return STATUS_MACHINE_STOPPED;
  }
  const known = error instanceof LinkError || error instanceof SettingError || !(error instanceof Error);
  writeNow(2, `lwp: ${known ? messageOf(error) : (error.stack ?? error.message)}\n`);
  return STATUS_NOT_STARTED;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Stats {
  readonly bootMs: number;
  readonly wallMs: number;
  readonly cpus: readonly CpuStats[];
}

function report(stats: Stats, format: ReportFormat): void {
  if (format === "json") {
    writeNow(2, `${JSON.stringify(stats)}\n`);
    return;
  }
  const lines = [`booted in ${stats.bootMs.toFixed(0)} ms, ran ${stats.wallMs.toFixed(0)} ms`];
  for (const c of stats.cpus) {
    lines.push(
      `CPU ${c.index}: ${c.lwps} threads, ${c.switches} switches, busy ${(c.busy * 1000).toFixed(0)} ms`,
    );
  }
  writeNow(2, `${lines.join("\n")}\n`);
}
