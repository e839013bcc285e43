// npm run bench [-- [--json] [--runs N] [--quick] [--no-growth] [B1 B2 ...]]: our kernel against its peers.
//
// Every program runs in a fresh process, in rounds that take the programs in turn, since absolute times drift: the
// figures to reach are ratios of medians. The tables go to stdout; --json prints the medians there and nothing
// else. Exit status: 0; 1 if a program failed; 2 if the command line is wrong.

import { availableParallelism, cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { type Benchmark, benchmarks, growthSizes } from "./programs.js";
import { benchmarkTable, type Growth, growthTable, medians } from "./report.js";
import { runBenchmark, type Result, type RunOptions } from "./runner.js";

const usage = `usage: npm run bench [-- [--json] [--runs N] [--quick] [--no-growth] [ID ...]]

  --json       print the medians as one line of JSON
  --runs N     how often each program runs (5; with --quick 2)
  --quick      short runs and no growth: to see that everything works, not to judge by
  --no-growth  leave out how cost grows with the number of threads
  ID           ${benchmarks.map(({ id }) => id).join(" ")}; all of them if none is named
`;

interface CommandLine {
  chosen: Benchmark[];
  json: boolean;
  growth: boolean;
  options: RunOptions;
}

function readCommandLine(): CommandLine {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      runs: { type: "string" },
      quick: { type: "boolean", default: false },
      "no-growth": { type: "boolean", default: false },
    },
  });
  const quick = values.quick;
  const runs = Number(values.runs ?? (quick ? 2 : 5));
  if (!Number.isInteger(runs) || runs < 1) throw new RangeError(`--runs ${values.runs}`);
  const wanted = positionals.map((id) => id.toUpperCase());
  for (const id of wanted) {
    if (!benchmarks.some((benchmark) => benchmark.id === id)) throw new RangeError(`no benchmark ${id}`);
  }
  return {
    chosen: benchmarks.filter(({ id }) => wanted.length === 0 || wanted.includes(id)),
    json: values.json,
    growth: !values.json && !quick && !values["no-growth"],
    options: { runs, budgetMs: quick ? 200 : 600 },
  };
}

/** Runs `benchmark` at every size it was not yet run at. */
async function measureGrowth(benchmark: Benchmark, measured: Result[], options: RunOptions): Promise<Growth> {
  const growing = benchmark.programs.filter(({ threads }) => threads === undefined);
  const growth: Growth = new Map();
  for (const size of growthSizes) {
    if (size === benchmark.threads) {
      growth.set(
        size,
        measured.filter(({ program }) => growing.includes(program)),
      );
      continue;
    }
    const fitting = growing.filter(({ threadsMax = Number.POSITIVE_INFINITY }) => size <= threadsMax);
    tell(`${benchmark.id} at ${size} threads`);
    growth.set(size, await runBenchmark(benchmark, fitting, options, size));
  }
  return growth;
}

function tell(progress: string): void {
  process.stderr.write(`... ${progress}\n`);
}

/** Says on stderr which programs failed; tables say so too, but JSON and the tables of growth do not. */
function noteFailures(id: string, results: readonly Result[]): void {
  for (const { program, failed, leftOut } of results) {
    if (failed !== true) continue;
    process.stderr.write(`${id} ${program.kind} ${program.name} ${leftOut}\n`);
    process.exitCode = 1;
  }
}

async function main({ chosen, json, growth, options }: CommandLine): Promise<void> {
  const out: Record<string, ReturnType<typeof medians>> = {};
  if (!json) {
    const load = loadavg()[0]!.toFixed(1);
    const cpu = `${availableParallelism()} × ${cpus()[0]?.model ?? "unknown CPU"}`;
    process.stdout.write(`Node ${process.version}, ${cpu}, load ${load}, median of ${options.runs} runs\n\n`);
  }
  for (const benchmark of chosen) {
    tell(`${benchmark.id}: ${benchmark.title}`);
    const results = await runBenchmark(benchmark, benchmark.programs, options);
    noteFailures(benchmark.id, results);
    out[benchmark.id] = medians(benchmark, results);
    if (!json) process.stdout.write(`${benchmarkTable(benchmark, results)}\n`);
    if (!growth || benchmark.grows !== true) continue;
    const sizes = await measureGrowth(benchmark, results, options);
    for (const [size, atSize] of sizes) {
      if (size !== benchmark.threads) noteFailures(`${benchmark.id} at ${size} threads:`, atSize);
    }
    process.stdout.write(`${growthTable(benchmark, sizes)}\n`);
  }
  if (json) process.stdout.write(`${JSON.stringify(out)}\n`);
}

let commandLine: CommandLine | undefined;
try {
  commandLine = readCommandLine();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  process.exitCode = 2;
}
if (commandLine !== undefined) await main(commandLine);
