// npm run stress [-- --ops N --times T --seed S --cpus C]: random operations of every kind on real CPUs, by two programs: of
// the system calls and the kernel's sleeping (program.ts), and of the thread library and the rest of the kernel (library-program.ts).
//
// Prints how many of each kind there were, how many of all reached across CPUs, and what the checks found. Exit status: 0
// everything was sound; 1 something was not; 2 the command line is wrong. A machine that stands still is ended with a dump.

import type { Machine } from "lwp";
import { readCommandLine, runOnce } from "./driver.js";
import { judgeLibrary } from "./library-judge.js";
import * as L from "./library-shared.js";
import * as X from "./shared.js";

interface Program {
  readonly file: string;
  readonly kinds: readonly string[];
  readonly scratch: number;
  countAt(cpu: number, kind: number, cross: 0 | 1): number;
  judge(machine: Machine): string[];
}

const PROGRAMS: readonly Program[] = [
  { file: "program.js", kinds: X.KINDS, scratch: X.SCRATCH_WORDS, countAt: X.countAt, judge },
  {
    file: "library-program.js",
    kinds: L.KINDS,
    scratch: L.SCRATCH_WORDS,
    countAt: L.countAt,
    judge: judgeLibrary,
  },
];

const { ops, times, seed, cpus } = readCommandLine("stress", 50_000);
let broken = 0;
for (const program of PROGRAMS) await run(program);
console.log(broken === 0 ? "sound" : `${broken} of ${times * PROGRAMS.length} runs broken`);
process.exitCode = broken === 0 ? 0 : 1;

/** All runs of a program, each on a machine of its own; every other one has a CPU 0 that blocks its event loop. */
async function run({ file, kinds, scratch, countAt, judge }: Program): Promise<void> {
  const sums = kinds.map((name) => ({ name, calls: 0, cross: 0 }));
  const counters = { at: countAt(0, 0, 0), words: countAt(X.CPUS_MAX, 0, 0) - countAt(0, 0, 0) };
  const limits = { procs: 256, lwps: 8192, threads: 8192, blocks: 8192, scratch };
  const collect = ({ kernel: k }: Machine): number => {
    let total = 0;
    for (let cpu = 0; cpu < cpus; cpu++) {
      for (const [n, sum] of sums.entries()) {
        const calls = k.w[k.scratch + countAt(cpu, n, 0)];
        total += calls;
        sum.calls += calls;
        sum.cross += k.w[k.scratch + countAt(cpu, n, 1)];
      }
    }
    return total;
  };
  for (let n = 0; n < times; n++) {
    const shared = { program: file, ops, cpus, limits, counters, judge, collect };
    if (!(await runOnce({ seed: seed + n, dedicated: n % 2 === 1, ...shared }))) broken++;
  }
  printKinds(sums);
}

/** What is wrong with a machine at rest, after the program of the kernel. */
function judge({ kernel: k }: Machine): string[] {
  const at = (offset: number) => k.w[k.scratch + offset];
  const wrong: string[] = [];
  if (at(X.JOINABLE) !== at(X.COLLECTED) + at(X.DETACHED)) {
    wrong.push(`${at(X.JOINABLE)} joinable, ${at(X.COLLECTED)} collected, ${at(X.DETACHED)} detached`);
  }
  if (at(X.TOKENS_MADE) !== at(X.TOKENS_USED) + at(X.TOKENS)) wrong.push("tokens are lost");
  if (at(X.CALLOUTS_RUN) < at(X.CALLOUTS_SET)) wrong.push("callouts are lost");
  if (at(X.FORKED) !== at(X.FORKS_ENDED) || at(X.FORKED) === 0)
    wrong.push(`${at(X.FORKED)} processes made with vfork, ${at(X.FORKS_ENDED)} ended`);
  if (at(X.SIGNALS_TAKEN) > at(X.SIGNALS_SENT) || at(X.SIGNALS_TAKEN) === 0)
    wrong.push(`${at(X.SIGNALS_SENT)} signals sent, ${at(X.SIGNALS_TAKEN)} taken`);
  for (let n = 0; n < cpus * (X.PUPPETS + X.STEPS); n++) {
    const t = X.TARGETS + n * X.TARGET_WORDS;
    if (n % (X.PUPPETS + X.STEPS) < X.PUPPETS || cpus === 1 || ops < 10_000) continue;
    if ((at(t + X.T_CPUS) & (at(t + X.T_CPUS) - 1)) === 0) wrong.push(`step thread ${n} has never moved`);
  }
  return wrong;
}

function printKinds(kinds: readonly { name: string; calls: number; cross: number }[]): void {
  const total = kinds.reduce((sum, { calls }) => sum + calls, 0);
  const cross = kinds.reduce((sum, kind) => sum + kind.cross, 0);
  const percent = (n: number) => `${((100 * n) / total).toFixed(1)} %`;
  for (const { name, calls, cross: across } of kinds) {
    console.log(
      `${name.padEnd(24)} ${String(calls).padStart(9)} ${percent(calls).padStart(7)}  across CPUs ${String(across).padStart(8)}`,
    );
  }
  const rarest = kinds.reduce((a, b) => (b.calls < a.calls ? b : a));
  console.log(
    `${total} operations, ${percent(cross)} of them across CPUs; rarest: ${rarest.name}, ${percent(rarest.calls)}`,
  );
}
