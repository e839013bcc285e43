// node build/stress/lending.js [--ops N --times T --seed S --cpus C]: a generator thread and a step thread that on every CPU
// somebody suspends, continues, wakes, gives another priority and asks to migrate, at the same time and whatever they do.
//
// Prints what was done how often, in which states it found its target, and how often the step thread moved. Exit status: 0
// everything was sound; 1 something was not; 2 the command line is wrong. A machine that stands still is ended with a dump.

import type { Machine } from "lwp";
import { STATE_NAMES } from "lwp/kernel";
import { readCommandLine, runOnce } from "./driver.js";
import * as X from "./lending-shared.js";

/** A step thread that moves less often than once in so many operations does not test lending. */
const OPS_PER_MOVE_MAX = 1000;

const { ops, times, seed, cpus } = readCommandLine("lending", 1_000_000);
const done = X.ACTS.map(() => X.TARGETS.map(() => Array.from({ length: X.STATES }, () => 0)));
const moves = X.TARGETS.map(() => 0);
const runs = X.TARGETS.map(() => 0);
let broken = 0;
for (let n = 0; n < times; n++) {
  const limits = { scratch: X.SCRATCH_WORDS };
  const counters = { at: X.COUNTS, words: X.SCRATCH_WORDS - X.COUNTS };
  const shared = { ops, cpus, limits, counters, judge, collect };
  const sound = await runOnce({
    program: "lending-program.js",
    seed: seed + n,
    dedicated: n % 2 === 1,
    ...shared,
  });
  if (!sound) broken++;
}
printDone();
console.log(broken === 0 ? "sound" : `${broken} of ${times} runs broken`);
process.exitCode = broken === 0 ? 0 : 1;

function judge({ kernel: k }: Machine): string[] {
  const [generator, step] = X.TARGETS.map((_, t) => k.w[k.scratch + X.targetAt(t) + X.T_MOVES]);
  const wrong: string[] = [];
  if (generator !== 0) wrong.push(`the generator thread has moved ${generator} times`);
  if (cpus > 1 && step < ops / OPS_PER_MOVE_MAX) wrong.push(`the step thread has moved only ${step} times`);
  return wrong;
}

function collect({ kernel: k }: Machine): number {
  let total = 0;
  for (const [target] of X.TARGETS.entries()) {
    const at = k.scratch + X.targetAt(target);
    moves[target] += k.w[at + X.T_MOVES];
    runs[target] += k.w[at + X.T_RUNS];
    for (const [act] of X.ACTS.entries()) {
      for (let cpu = 0; cpu < cpus; cpu++) {
        for (let state = 0; state < X.STATES; state++) {
          const n = k.w[k.scratch + X.countAt(cpu, act, target, state)];
          done[act][target][state] += n;
          total += n;
        }
      }
    }
  }
  return total;
}

function printDone(): void {
  for (const [target, name] of X.TARGETS.entries()) {
    console.log(`the ${name} thread ran ${runs[target]} times, and moved ${moves[target]} times`);
    for (const [act, what] of X.ACTS.entries()) {
      const states = done[act][target];
      const found = states
        .flatMap((n, state) => (n > 0 && state > 0 ? `${STATE_NAMES[state]} ${n}` : []))
        .join(", ");
      const total = states.reduce((sum, n) => sum + n, 0);
      console.log(`  ${what.padEnd(9)} ${String(total).padStart(8)}  ${found}`.trimEnd());
    }
  }
}
