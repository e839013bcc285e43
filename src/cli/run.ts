/**
 * `lwp run`: boots a machine, runs one program on it, exits as it does.
 *
 * Exit status: the program's own; 2 it could not be started; 70 the machine stopped (a CPU died, or a kernel assertion
 * failed); 128 + n it was ended by signal n, as an uncaught exception does (n = 6).
 */
import "../observe/reports.js";
import { LinkError } from "../machine/factory.js";
import { linkProgram } from "../machine/link.js";
import { boot, type Machine } from "../machine/machine.js";
import { writeNow } from "../machine/output.js";
import { type Exit, MachineError } from "../machine/process.js";
import type { CpuStats } from "../machine/stats.js";
import { livePs } from "./live.js";
import { applySettings, type Setting, SettingError } from "./sysctl.js";

export const STATUS_NOT_STARTED = 2;
export const STATUS_MACHINE_STOPPED = 70;

export interface RunOptions {
  readonly cpus?: number;
  readonly preempt: boolean;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly sysctl?: readonly Setting[];
  /** Seconds between two tables of the threads. */
  readonly ps?: number;
}

/** Runs the program and ends the host process with its status. */
export async function run(file: string, args: readonly string[], options: RunOptions): Promise<never> {
  let machine: Machine | null = null;
  try {
    const linked = await linkProgram(file);
    machine = await boot({
      cpus: options.cpus,
      preempt: options.preempt,
      // Tables are printed by the event loop, which a dedicated CPU 0 may block.
      dedicated: options.ps === undefined,
      reports: options.json === true ? "json" : "text",
    });
    applySettings(machine, options.sysctl ?? []);
    const bootMs = performance.now();
    const endPs = startPs(machine, options);
    const p = await machine.execLinked(linked, args);
    const exit = await p.exited;
    endPs();
    const stats = machine.stats();
    await machine.shutdown();
    if (options.stats === true)
      report({ bootMs, wallMs: exit.seconds * 1000, cpus: stats }, options.json === true);
    return process.exit(statusOf(exit));
  } catch (error) {
    // The dump is complete once all CPUs have stopped.
    if (error instanceof MachineError) await machine?.shutdown();
    return process.exit(explain(error));
  }
}

function startPs(machine: Machine, { ps, json }: RunOptions): () => void {
  if (ps === undefined) return () => {};
  return livePs(machine, { seconds: ps, json: json === true, terminal: process.stderr.isTTY === true });
}

function statusOf(exit: Exit): number {
  return exit.status ?? 128 + (exit.signal ?? 0);
}

/** One clear line, and the exit status that goes with it. */
function explain(error: unknown): number {
  if (error instanceof LinkError) {
    writeNow(2, `lwp: ${error.message}\n`);
    return STATUS_NOT_STARTED;
  }
  if (error instanceof MachineError) {
    writeNow(2, `lwp: the machine stopped: ${error.message}\n`);
    return STATUS_MACHINE_STOPPED;
  }
  if (error instanceof SettingError) {
    writeNow(2, `lwp: ${error.message}\n`);
    return STATUS_NOT_STARTED;
  }
  writeNow(2, `lwp: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return STATUS_NOT_STARTED;
}

interface Stats {
  readonly bootMs: number;
  readonly wallMs: number;
  readonly cpus: readonly CpuStats[];
}

function report(stats: Stats, json: boolean): void {
  if (json) {
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
