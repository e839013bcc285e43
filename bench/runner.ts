// Runs the programs of a benchmark, each in a fresh process, in rounds that go over all programs in turn.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Benchmark, Compiler, Program } from "./programs.js";

const run = promisify(execFile);

const builtDir = path.dirname(fileURLToPath(import.meta.url));
const sourceDir = path.resolve(builtDir, "../../bench");
const binDir = path.join(builtDir, "bin");

const processTimeoutMs = 120_000;

export interface RunOptions {
  runs: number;
  budgetMs: number;
}

export interface Result {
  program: Program;
  /** One value a run; empty if the program was left out or failed. */
  values: number[];
  /** Why there is no value. */
  leftOut?: string;
  failed?: boolean;
}

/** Runs `programs` of `benchmark` alternately, `runs` times each. With `threads`, at that size. */
export async function runBenchmark(
  benchmark: Benchmark,
  programs: readonly Program[],
  { runs, budgetMs }: RunOptions,
  threads = benchmark.threads,
): Promise<Result[]> {
  const results = programs.map((program): Result => ({ program, values: [] }));
  const commands = new Map<Result, string[]>();
  for (const result of results) {
    const command = await findCommand(result.program);
    if (typeof command === "string") result.leftOut = command;
    else commands.set(result, command);
  }
  for (let round = 0; round < runs; round++) {
    for (let i = 0; i < results.length; i++) {
      // Each round begins with another program, so that none always follows the same neighbour's load.
      const result = results[(i + round) % results.length]!;
      const command = commands.get(result);
      if (command === undefined || result.failed === true) continue;
      const { program } = result;
      const size = String(program.threads ?? threads);
      try {
        result.values.push(
          await runOnce([...command, ...program.args, "--threads", size, "--budget", `${budgetMs}`]),
        );
      } catch (error) {
        result.failed = true;
        result.values = [];
        result.leftOut = `failed: ${describe(error)}`;
      }
    }
  }
  return results;
}

async function runOnce([file, ...args]: string[]): Promise<number> {
  const { stdout } = await run(file!, args, { timeout: processTimeoutMs, killSignal: "SIGKILL" });
  const report: unknown = JSON.parse(stdout);
  if (typeof report !== "object" || report === null || !("value" in report))
    throw new Error(`reported ${stdout}`);
  if (typeof report.value !== "number") throw new Error(`reported ${stdout}`);
  return report.value;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("killed" in error && error.killed === true) return `no result after ${processTimeoutMs / 1000} s`;
  const lines = "stderr" in error ? String(error.stderr).split("\n") : [];
  const telling =
    lines.find((line) => /^\w*Error\b|\berror:/.test(line)) ?? lines.find((line) => line.trim() !== "");
  return (telling ?? error.message).trim();
}

/** The command that starts `program`, or why there is none. */
async function findCommand(program: Program): Promise<string[] | string> {
  if (program.needs !== undefined) return compile(program.file, program.needs);
  const file = path.join(builtDir, program.file);
  if (!existsSync(file)) return `bench/${program.file.replace(/\.js$/, ".ts")} is not written yet`;
  return [process.execPath, file];
}

const compilers: Record<
  Compiler,
  { title: string; names: string[]; args: (source: string, to: string) => string[] }
> = {
  cc: {
    title: "C",
    names: ["cc", "gcc", "clang"],
    args: (source, to) => ["-O2", "-pthread", "-o", to, source],
  },
  go: { title: "Go", names: ["go"], args: (source, to) => ["build", "-o", to, source] },
};

const compiled = new Map<string, Promise<string[] | string>>();

/** Compiles once an invocation. */
function compile(file: string, compiler: Compiler): Promise<string[] | string> {
  let result = compiled.get(file);
  if (result === undefined) {
    result = compileNow(path.join(sourceDir, file), compiler);
    compiled.set(file, result);
  }
  return result;
}

async function compileNow(source: string, compiler: Compiler): Promise<string[] | string> {
  const { title, names, args } = compilers[compiler];
  const to = path.join(binDir, path.parse(source).name);
  mkdirSync(binDir, { recursive: true });
  for (const name of names) {
    try {
      await run(name, args(source, to));
      return [to];
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") continue;
      return `the ${title} compiler failed: ${describe(error)}`;
    }
  }
  return `no ${title} compiler`;
}
