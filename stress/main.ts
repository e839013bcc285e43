// npm run stress [-- --ops N --times T --seed S --cpus C]: random operations of every kind on real CPUs.
//
// Prints how many of each kind there were, how many of all reached across CPUs, and what the checks found. Exit status: 0
// everything was sound; 1 something was not; 2 the command line is wrong. A machine that stands still is ended with a dump.

import type { Machine } from "lwp";
import { readCommandLine, runOnce } from "./driver.js";
import * as X from "./shared.js";

const LIMITS = { lwps: 8192, threads: 8192, blocks: 8192, scratch: X.SCRATCH_WORDS };

const { ops, times, seed, cpus } = readCommandLine("stress", 50_000);
const kinds = X.KINDS.map((name) => ({ name, calls: 0, cross: 0 }));
let broken = 0;
for (let n = 0; n < times; n++) if (!(await once(seed + n, n))) broken++;
printKinds();
console.log(broken === 0 ? "sound" : `${broken} of ${times} runs broken`);
process.exitCode = broken === 0 ? 0 : 1;

/** One run on a machine of its own; every other one has a CPU 0 that blocks its event loop. */
function once(runSeed: number, n: number): Promise<boolean> {
  const counters = { at: X.COUNTS, words: X.countAt(X.CPUS_MAX, 0, 0) - X.COUNTS };
  const dedicated = n % 2 === 1;
  const shared = { ops, cpus, dedicated, counters, limits: LIMITS, judge, collect };
  return runOnce({ program: "program.js", seed: runSeed, ...shared });
}

/** What is wrong with a machine at rest. */
function judge({ kernel: k }: Machine): string[] {
  const at = (offset: number) => k.w[k.scratch + offset];
  const wrong: string[] = [];
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
