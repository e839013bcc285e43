#!/usr/bin/env node
/** The command `lwp`. */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { run, type RunOptions } from "./run.js";
import { parseSetting, type Setting, sysctlCommand } from "./sysctl.js";

const RUN_HELP = `
Exit status:
  0..255   what main returned (nothing is 0), or what the program exited with
  2        the program could not be started
  70       the machine stopped: a CPU died, or the kernel found an invariant broken
  71       the program stalled: no thread could ever go on, and a report says why
  128 + n  signal n ended it; an uncaught exception counts as signal 6 (134)

Ctrl-\\ (SIGQUIT) lists what every thread does and waits for; the program goes on.
It waits for code on CPU 0 that enters neither an operation nor a loop of the program.

Examples:
  lwp run digest.ts a.txt b.txt           on all cores, with two arguments
  lwp run --cpus 1 --stats digest.ts      on one core, then what it did
  lwp run --sim --seed 7 digest.ts        on simulated CPUs: the seed decides who runs
  lwp run --json digest.ts 2>report.json  reports and statistics as lines of JSON
`;

const program = new Command("lwp")
  .description("Run threaded programs on all cores.")
  .version(version(), "--version", "print the version")
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "lwp: ")) })
  .showSuggestionAfterError(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .enablePositionalOptions();

const runCommand = program
  .command("run")
  .description("Run a program: a module that exports a generator function `main`.")
  .argument("<program>", "a .js, .mjs or .ts file")
  .argument("[args...]", "passed to main, as an array of strings")
  .option("--cpus <n>", "CPUs, 1 to 32 (default: the machine's cores; 2 simulated ones)", cpusArgument)
  .option("--sim", "run on simulated CPUs, in virtual time")
  .option("--seed <n>", "with --sim: decides who runs when; an integer (default: 0)", seedArgument)
  .option("--no-preempt", "preempt no thread because its time slice is over")
  .option("--stats", "print what each CPU did, on standard error")
  .option("--json", "reports and statistics as lines of JSON, on standard error")
  .option("--ps <seconds>", "print a table of the threads every so often, on standard error", secondsArgument)
  .option("--sysctl <name=value>", "set something before the program starts; may be repeated", setting, [])
  .addHelpText("after", RUN_HELP)
  .passThroughOptions()
  .action((file: string, args: string[], options: RunOptions) => {
    if (options.seed !== undefined && options.sim !== true) runCommand.error("error: --seed needs --sim");
    if (options.ps !== undefined && options.sim === true)
      runCommand.error("error: --ps needs real CPUs, not --sim");
    return run(file, args, options);
  });

program
  .command("sysctl")
  .description("Show what a machine lets itself be asked, as it is after a boot.")
  .argument("[names...]", "names such as kern.maxlwp, or kern for all below it")
  .option("-a, --all", "all names, each with its value and what it means")
  .option("-d, --description", "only what they mean")
  .option("--json", "one line of JSON")
  .action(sysctlCommand);

await program.parseAsync();

function secondsArgument(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 0.01 && seconds <= 86_400))
    throw new InvalidArgumentError("It must be from 0.01 to 86400.");
  return seconds;
}

function setting(text: string, before: readonly Setting[]): Setting[] {
  const parsed = parseSetting(text);
  if (parsed === null) throw new InvalidArgumentError("It must be NAME=INTEGER, such as kern.maxlwp=100.");
  return [...before, parsed];
}

function cpusArgument(text: string): number {
  const n = Number(text);
  if (text === "" || !Number.isInteger(n) || n < 1 || n > 32)
    throw new InvalidArgumentError("It must be an integer from 1 to 32.");
  return n;
}

function seedArgument(text: string): number {
  const n = Number(text);
  if (text === "" || !Number.isSafeInteger(n)) throw new InvalidArgumentError("It must be an integer.");
  return n;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
