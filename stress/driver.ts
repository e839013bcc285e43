/**
 * What the stress tests share: the command line, and one run of a program on a machine of its own, which a watchdog guards.
 */
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { boot, type Machine } from "lwp";
import {
  BLOCK_WORDS,
  checkEmpty,
  DEFAULT_LIMITS,
  type Limits,
  POOL_INUSE,
  type SharedMemory,
} from "lwp/kernel";
import type { WatchdogData } from "./watchdog.js";

const STALL_SECONDS = 20;

export interface CommandLine {
  readonly ops: number;
  readonly times: number;
  readonly seed: number;
  readonly cpus: number;
}

/** `--ops N --times T --seed S --cpus C`. A wrong one ends the host process with status 2. */
export function readCommandLine(name: string, ops: number): CommandLine {
  const integer = (text: string, option: string, from: number, to: number) => {
    const n = Number(text);
    if (!Number.isInteger(n) || n < from || n > to)
      throw new RangeError(`--${option}: an integer ${from}..${to}`);
    return n;
  };
  try {
    const { values } = parseArgs({
      options: {
        ops: { type: "string", default: String(ops) },
        times: { type: "string", default: "1" },
        seed: { type: "string", default: "1" },
        cpus: { type: "string", default: "4" },
      },
    });
    return {
      ops: integer(values.ops, "ops", 1, 1e9),
      times: integer(values.times, "times", 1, 1e6),
      seed: integer(values.seed, "seed", 0, 1e9),
      cpus: integer(values.cpus, "cpus", 1, 32),
    };
  } catch (error) {
    console.error(`${name}: ${(error as Error).message}`);
    process.exit(2);
  }
}

export interface Run {
  /** Module of the program, beside this one. */
  readonly program: string;
  readonly ops: number;
  readonly seed: number;
  readonly cpus: number;
  /** CPU 0 blocks its event loop. */
  readonly dedicated: boolean;
  readonly limits: Partial<Limits>;
  /** Words of scratch memory in which operations are counted, from the first one. */
  readonly counters: { readonly at: number; readonly words: number };
  /** What else is wrong with the machine, once it is at rest. */
  judge(machine: Machine): string[];
  /** How many operations it did; adds its figures to the sums. */
  collect(machine: Machine): number;
}

/** One run: true if everything was sound. Prints a line, and what was wrong. */
export async function runOnce(run: Run): Promise<boolean> {
  const { cpus, limits, dedicated, counters, seed } = run;
  const machine = await boot({ cpus, limits, dedicated });
  const { kernel } = machine;
  const data: WatchdogData = {
    memory: kernel.memory as SharedMemory,
    limits: { ...DEFAULT_LIMITS, ...limits, cpus },
    counters,
    seconds: STALL_SECONDS,
  };
  const watchdog = new Worker(new URL("watchdog.js", import.meta.url), { workerData: data });
  watchdog.unref();
  const wrong: string[] = [];
  const started = performance.now();
  try {
    const p = await machine.exec(new URL(run.program, import.meta.url), [String(run.ops), String(seed)]);
    const { status, signal } = await p.exited;
    if (status !== 0) wrong.push(`the program ended with status ${status}, signal ${signal}`);
    const seconds = (performance.now() - started) / 1000;
    await machine.shutdown();
    wrong.push(...judge(machine), ...run.judge(machine));
    const total = run.collect(machine);
    const verdict = wrong.length === 0 ? "sound" : "BROKEN";
    console.log(`seed ${seed}: ${total} operations in ${seconds.toFixed(1)} s: ${verdict}`);
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error));
    console.log(`seed ${seed}: BROKEN`);
  }
  for (const line of wrong) console.log(`  ${line}`);
  await watchdog.terminate();
  return wrong.length === 0;
}

/** What is wrong with a machine that has shut down, whatever ran on it. */
function judge({ kernel: k, lostWakeups }: Machine): string[] {
  const wrong = checkEmpty(k);
  const blocks = k.w[k.blockPool + POOL_INUSE];
  if (blocks !== 0) wrong.push(`${blocks} blocks of ${BLOCK_WORDS} words of the arena are in use`);
  if (lostWakeups !== 0) wrong.push(`${lostWakeups} wakeups that only a time-out found`);
  return wrong;
}
