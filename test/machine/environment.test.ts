/** What a machine takes from the environment: THR-6. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { boot } from "lwp";
import { DIAG_ABORT, DIAG_STDERR, SIGABRT } from "lwp/kernel";
import { node, program } from "../support/host.js";

const command = fileURLToPath(import.meta.resolve("#dist/cli/main.js"));

/** The numbers of a machine of one CPU that is booted with these variables. */
async function bootedWith(variables: Record<string, string>): Promise<[spins: number, diag: number]> {
  Object.assign(process.env, variables);
  try {
    await using machine = await boot({ cpus: 1 });
    return [machine.kernel.g.nspins, machine.kernel.g.diag];
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
  }
}

test("THR-6: PTHREAD_NSPINS is the count of spins, 400 unless it is a number", async () => {
  for (const [text, spins] of [
    ["7", 7],
    ["0", 0],
    ["", 400],
    ["many", 400],
    ["-1", 400],
  ] as const) {
    assert.deepEqual(await bootedWith({ PTHREAD_NSPINS: text }), [spins, 0], text);
  }
  assert.deepEqual(await bootedWith({}), [400, 0]);
});

test("THR-6: PTHREAD_DIAGASSERT: letters switch on, their capitals off, later ones count; PTHREAD_STACKSIZE has no counterpart", async () => {
  for (const [text, diag] of [
    ["", 0],
    ["AEL", 0],
    ["a", DIAG_ABORT],
    ["e", DIAG_STDERR],
    ["ael", DIAG_ABORT | DIAG_STDERR],
    ["aeA", DIAG_STDERR],
    ["xyz", 0],
  ] as const) {
    assert.deepEqual(
      await bootedWith({ PTHREAD_DIAGASSERT: text, PTHREAD_STACKSIZE: "1" }),
      [400, diag],
      text,
    );
  }
});

/** Misuses that are diagnosed; each throws, and the program goes on. */
const MISUSES = program(`
  import { Condition, Mutex, RwLock, Semaphore, SpinLock } from "lwp";
  export function* main() {
    const m = new Mutex();
    const held = new Mutex();
    yield* held.lock();
    const c = new Condition();
    const codes = [];
    for (const misuse of [
      () => m.unlock(),
      () => new RwLock().unlock(),
      () => new SpinLock().unlock(),
      () => held.dispose(),
    ]) {
      try {
        misuse();
      } catch (error) {
        codes.push(error.code);
      }
    }
    try {
      yield* c.wait(m);
    } catch (error) {
      codes.push(error.code);
    }
    console.log(codes.join());
  }`);

test("THR-6: a misuse throws; with the letter e it is written to standard error, too, and with a it ends the process", async () => {
  const codes = "EPERM,EPERM,EPERM,EBUSY,EPERM";
  for (const [letters, lines, stdout, status] of [
    ["", 0, codes, 0],
    ["e", 5, codes, 0],
    // It ends at its next operation, or poll: here that of the loop.
    ["ae", 1, "", 128 + SIGABRT],
  ] as const) {
    const ended = await node([command, "run", "--cpus", "1", MISUSES], { PTHREAD_DIAGASSERT: letters });
    const told = ended.stderr.split("\n").filter((line) => line !== "");
    assert.deepEqual([told.length, ended.stdout.trim(), ended.status], [lines, stdout, status], letters);
    if (lines === 0) continue;
    assert.equal(told[0], "lwp: Mutex.unlock: EPERM: the caller does not hold it (thread 1 of process 1)");
    if (lines === 1) continue;
    assert.match(told[3], /^lwp: Mutex\.dispose: EBUSY: /);
    assert.match(told[4], /^lwp: Condition\.wait: EPERM: /);
  }
});
