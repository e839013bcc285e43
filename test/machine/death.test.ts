/**
 * A CPU whose worker dies in mid-run stops the machine: with a dump, a message that names it, and an exit status of its own,
 * whatever the first CPU is doing.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { boot, MachineError } from "lwp";
import { lwp, node, program } from "../support/host.js";

const death = fileURLToPath(new URL("programs/death.js", import.meta.url));
const command = fileURLToPath(import.meta.resolve("#dist/cli/main.js"));

const KINDS: Record<string, RegExp> = {
  exit: /CPU 1 died \(exit code 7\)/,
  throw: /CPU 1 died \(exit code 1: on purpose\)/,
  memory: /CPU 1 died \(exit code 1: .*memory/,
};

describe("a worker dies", () => {
  for (const [how, message] of Object.entries(KINDS)) {
    for (const what of ["idle", "computing", "spinning"]) {
      test(`by ${how} while CPU 0 is ${what}: a dump, the reason, and exit status 70`, async () => {
        const { status, signal, stderr } = await node([
          "--max-old-space-size=64",
          command,
          "run",
          "--cpus",
          "2",
          death,
          how,
          what,
        ]);
        assert.equal(signal, null);
        assert.equal(status, 70, stderr);
        const lines = stderr.trimEnd().split("\n");
        assert.match(lines.at(-1) as string, message);
        assert.match(stderr, /^machine time .*2 CPUs$/m);
        assert.match(stderr, /^CPU 1: FAILED/m);
        const held = /Proc 1 lock: held by CPU 1/.test(stderr);
        assert.equal(held, what === "spinning", stderr);
      });
    }
  }

  test("a machine embedded in a script: the process's promise is rejected, and the script goes on", async () => {
    const machine = await boot({ cpus: 2 });
    const p = await machine.exec(death, ["exit", "idle"]);
    await assert.rejects(p.exited, (error) => {
      assert.ok(error instanceof MachineError);
      assert.equal(error.code, "EMACHINE");
      assert.match(error.message, /CPU 1 died/);
      return true;
    });
    await assert.rejects(machine.exec(death, ["exit", "idle"]), MachineError);
    await machine.shutdown();
  });

  for (const cpu of [0, 1]) {
    test(`of an exception outside threads: CPU ${cpu} is told with its stack, status 70`, async () => {
      const text = `import { Thread, until } from "lwp";
        export function* main(args: string[]) {
          const t = yield* Thread.with({ cpu: ${cpu} }).spawn(work, args[0]);
          yield* t.join();
        }
        function* work(how: string) {
          if (how === "handled") process.on("uncaughtException", (error) => console.log("handled", error.message));
          setTimeout(() => {
            if (how === "rejects") void Promise.reject(new Error("outside"));
            else throw new Error("outside");
          });
          yield* until(new Promise((done) => setTimeout(done, 50)));
        }`;
      for (const how of ["throws", "rejects"]) {
        const { status, stderr } = await lwp("run", "--cpus", "2", program(text), how);
        assert.equal(status, 70, stderr);
        assert.match(
          stderr,
          new RegExp(`^lwp: an exception on CPU ${cpu} outside threads.*\\nError: outside\\n`),
        );
        assert.match(stderr, /^ {4}at .*program\d+\.ts:(9|10):\d+/m);
        assert.match(stderr, new RegExp(`^lwp: the machine stopped.*: CPU ${cpu} died`, "m"));
      }
      const { status, stdout, stderr } = await lwp("run", "--cpus", "2", program(text), "handled");
      assert.deepEqual([status, stdout, stderr], [0, "handled outside\n", ""]);
    });
  }

  test("while it loads a program: exec is rejected", async () => {
    const text = `
      import { isMainThread } from "node:worker_threads";
      if (!isMainThread) process.exit(3);
      export function* main() {}
    `;
    const { status, stderr } = await lwp("run", "--cpus", "2", program(text));
    assert.equal(status, 70, stderr);
    assert.match(stderr, /CPU 1 died \(exit code 3\)/);
  });

  test("a CPU that computes without ever looking up is ended with the machine", async () => {
    const { status, stderr } = await lwp("run", "--cpus", "3", death, "exit", "idle", "hang");
    assert.equal(status, 70, stderr);
    assert.match(stderr, /CPU 1 died \(exit code 7\)/);
  });
});
