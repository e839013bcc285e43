/**
 * For tests on real CPUs: programs written on the spot, the command `lwp` as a child process, machines that are shut down
 * and looked over at the end of their test.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { boot, type BootOptions, type Exit, type Machine } from "lwp";
import { checkEmpty, POOL_INUSE } from "lwp/kernel";

let folder: string | null = null;
let programs = 0;

/** Writes a program into a file of its own, which the end of the test file removes; its path. */
export function program(text: string, name = `program${++programs}.ts`): string {
  if (folder === null) {
    const made = (folder = mkdtempSync(join(tmpdir(), "lwp-test-")));
    process.on("exit", () => rmSync(made, { recursive: true }));
  }
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** How a child process ended. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script of Node with these arguments to its end. */
export function node(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  // The test runner's own settings are not for children.
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...inherited } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      env: { ...inherited, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}

const command = fileURLToPath(import.meta.resolve("#dist/cli/main.js"));

/** `lwp` with these arguments. */
export function lwp(...args: string[]): Promise<Ended> {
  return node([command, ...args]);
}

/** `lwp run` of a program written on the spot. */
export function lwpRun(text: string, cpus: number, ...args: string[]): Promise<Ended> {
  return lwp("run", "--cpus", String(cpus), program(text), ...args);
}

/** Boots a machine for the body, shuts it down, and checks that nothing is left on it. */
export async function withMachine<T>(
  options: BootOptions,
  body: (machine: Machine) => Promise<T>,
): Promise<T> {
  const machine = await boot(options);
  let result: T;
  try {
    result = await body(machine);
  } finally {
    await machine.shutdown();
  }
  assertEmpty(machine);
  return result;
}

/** All tables of the machine, which must be at rest, are at the level of the boot. */
export function assertEmpty(machine: Machine): void {
  const { kernel } = machine;
  assert.deepEqual(checkEmpty(kernel), []);
  assert.equal(kernel.w[kernel.blockPool + POOL_INUSE], 0, "blocks of the arena are in use");
  assert.equal(machine.lostWakeups, 0, "wakeups that only a time-out found");
}

/** Runs a program written on the spot to its end. */
export async function exec(machine: Machine, text: string, ...args: string[]): Promise<Exit> {
  return (await machine.exec(program(text), args)).exited;
}

/** What a program that must end with status 0 writes to standard output, as JSON. */
export async function output(text: string, cpus: number, ...args: string[]): Promise<unknown> {
  const { status, stdout, stderr } = await lwpRun(text, cpus, ...args);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as unknown;
}
