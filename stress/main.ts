// npm run stress [-- --ops N --times T --seed S --cpus C]: random operations of every kind on real CPUs.
//
// Prints how many of each kind there were, how many of all reached across CPUs, and what the checks found. Exit status: 0
// everything was sound; 1 something was not; 2 the command line is wrong. A machine that stands still is ended with a dump.

import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { boot, type Machine } from "lwp";
import { BLOCK_WORDS, checkEmpty, DEFAULT_LIMITS, POOL_INUSE } from "lwp/kernel";
import * as X from "./shared.js";
import type { WatchdogData } from "./watchdog.js";

const STALL_SECONDS = 20;
const LIMITS = { lwps: 8192, threads: 8192, blocks: 8192, scratch: X.SCRATCH_WORDS };

const { ops, times, seed, cpus } = readCommandLine();
const kinds = X.KINDS.map((name) => ({ name, calls: 0, cross: 0 }));
let broken = 0;
for (let n = 0; n < times; n++) broken += await once(seed + n, n);
printKinds();
console.log(broken === 0 ? "sound" : `${broken} of ${times} runs broken`);
process.exitCode = broken === 0 ? 0 : 1;

function readCommandLine(): { ops: number; times: number; seed: number; cpus: number } {
  const integer = (text: string, name: string, from: number, to: number) => {
    const n = Number(text);
    if (!Number.isInteger(n) || n < from || n > to)
      throw new RangeError(`--${name}: an integer ${from}..${to}`);
    return n;
  };
  try {
    const { values } = parseArgs({
      options: {
        ops: { type: "string", default: "50000" },
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
    console.error(`stress: ${(error as Error).message}`);
    process.exit(2);
  }
}

/** One run on a machine of its own; 1 if it was broken. */
async function once(runSeed: number, n: number): Promise<number> {
  // Every other run has a CPU 0 that blocks its event loop.
  const machine = await boot({ cpus, limits: LIMITS, dedicated: n % 2 === 1 });
  const { kernel } = machine;
  const data: WatchdogData = {
    buffer: kernel.buffer as SharedArrayBuffer,
    limits: { ...DEFAULT_LIMITS, ...LIMITS, cpus },
    seconds: STALL_SECONDS,
  };
  const watchdog = new Worker(new URL("watchdog.js", import.meta.url), { workerData: data });
  watchdog.unref();
  const wrong: string[] = [];
  const started = performance.now();
  try {
    const p = await machine.exec(new URL("program.js", import.meta.url), [String(ops), String(runSeed)]);
    const { status, signal } = await p.exited;
    if (status !== 0) wrong.push(`the program ended with status ${status}, signal ${signal}`);
    const seconds = (performance.now() - started) / 1000;
    await machine.shutdown();
    wrong.push(...judge(machine));
    const total = collect(machine);
    const verdict = wrong.length === 0 ? "sound" : "BROKEN";
    console.log(`seed ${runSeed}: ${total} operations in ${seconds.toFixed(1)} s: ${verdict}`);
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error));
    console.log(`seed ${runSeed}: BROKEN`);
  }
  for (const line of wrong) console.log(`  ${line}`);
  await watchdog.terminate();
  return wrong.length === 0 ? 0 : 1;
}

/** What is wrong with a machine at rest. */
function judge(machine: Machine): string[] {
  const { kernel: k, lostWakeups } = machine;
  const at = (offset: number) => k.w[k.scratch + offset];
  const wrong = checkEmpty(k);
  const blocks = k.w[k.blockPool + POOL_INUSE];
  if (blocks !== 0) wrong.push(`${blocks} blocks of ${BLOCK_WORDS} words of the arena are in use`);
  if (lostWakeups !== 0) wrong.push(`${lostWakeups} wakeups that only a time-out found`);
  if (at(X.JOINABLE) !== at(X.COLLECTED) + at(X.DETACHED)) {
    wrong.push(`${at(X.JOINABLE)} joinable, ${at(X.COLLECTED)} collected, ${at(X.DETACHED)} detached`);
  }
  if (at(X.TOKENS_MADE) !== at(X.TOKENS_USED) + at(X.TOKENS)) wrong.push("tokens are lost");
  if (at(X.CALLOUTS_RUN) < at(X.CALLOUTS_SET)) wrong.push("callouts are lost");
  for (let n = 0; n < cpus * (X.PUPPETS + X.STEPS); n++) {
    const t = X.TARGETS + n * X.TARGET_WORDS;
    if (n % (X.PUPPETS + X.STEPS) < X.PUPPETS || cpus === 1 || ops < 10_000) continue;
    if ((at(t + X.T_CPUS) & (at(t + X.T_CPUS) - 1)) === 0) wrong.push(`step thread ${n} has never moved`);
  }
  return wrong;
}

/** Adds its figures to the sums; how many operations it did. */
function collect({ kernel: k }: Machine): number {
  let total = 0;
  for (let cpu = 0; cpu < cpus; cpu++) {
    for (const [n, kind] of kinds.entries()) {
      const calls = k.w[k.scratch + X.countAt(cpu, n, 0)];
      total += calls;
      kind.calls += calls;
      kind.cross += k.w[k.scratch + X.countAt(cpu, n, 1)];
    }
  }
  return total;
}

function printKinds(): void {
  const total = kinds.reduce((sum, { calls }) => sum + calls, 0);
  const cross = kinds.reduce((sum, kind) => sum + kind.cross, 0);
  const percent = (n: number) => `${((100 * n) / total).toFixed(1)} %`;
  for (const { name, calls, cross: across } of kinds) {
    console.log(
      `${name.padEnd(20)} ${String(calls).padStart(9)} ${percent(calls).padStart(7)}  across CPUs ${String(across).padStart(8)}`,
    );
  }
  const rarest = kinds.reduce((a, b) => (b.calls < a.calls ? b : a));
  console.log(
    `${total} operations, ${percent(cross)} of them across CPUs; rarest: ${rarest.name}, ${percent(rarest.calls)}`,
  );
}
