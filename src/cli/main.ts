#!/usr/bin/env node
/** The command `lwp`. */
import { Command, InvalidArgumentError } from "commander";
import { run } from "./run.js";
import { parseSetting, type Setting, sysctlCommand } from "./sysctl.js";

const program = new Command("lwp")
  .description("Run threaded programs on all cores.")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .enablePositionalOptions();

program
  .command("run")
  .description("Run a program: a module that exports a generator function `main`.")
  .argument("<program>", "a .js, .mjs or .ts file")
  .argument("[args...]", "passed to main, as an array of strings")
  .option("--cpus <n>", "CPUs to use, 1 to 32 (default: the machine's cores)", cpusArgument)
  .option("--no-preempt", "preempt no thread because its time slice is over")
  .option("--stats", "print what each CPU did, on standard error")
  .option("--json", "with --stats: one line of JSON")
  .option("--ps <seconds>", "print a table of the threads every so often, on standard error", secondsArgument)
  .option("--sysctl <name=value>", "set something before the program starts; may be repeated", setting, [])
  .passThroughOptions()
  .action(run);

program
  .command("sysctl")
  .description("Show what a machine lets itself be asked, as it is after a boot.")
  .argument("[names...]", "names such as kern.maxlwp, or kern for all below it")
  .option("-a, --all", "all names")
  .option("-d, --description", "what they mean instead of their values")
  .option("--json", "one line of JSON")
  .action(sysctlCommand);

await program.parseAsync();

function secondsArgument(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 0.01 && seconds <= 86_400)) throw new InvalidArgumentError("must be from 0.01 to 86400.");
  return seconds;
}

function setting(text: string, before: readonly Setting[]): Setting[] {
  const parsed = parseSetting(text);
  if (parsed === null) throw new InvalidArgumentError("must be NAME=INTEGER, such as kern.maxlwp=100.");
  return [...before, parsed];
}

function cpusArgument(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 32)
    throw new InvalidArgumentError("must be an integer from 1 to 32.");
  return n;
}
