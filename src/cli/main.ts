#!/usr/bin/env node
/** The command `lwp`. */
import { Command, InvalidArgumentError } from "commander";
import { run } from "./run.js";

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
  .passThroughOptions()
  .action(run);

await program.parseAsync();

function cpusArgument(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 32)
    throw new InvalidArgumentError("must be an integer from 1 to 32.");
  return n;
}
