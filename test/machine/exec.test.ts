/** Programs one after another on one machine: what they leave in its realms, and what their stack traces say on each CPU. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { lwpRun, node, program } from "../support/host.js";

const stress = fileURLToPath(new URL("../../stress/exec.js", import.meta.url));

describe("programs of 100 kB, one after the other", () => {
  for (const cpus of [1, 2]) {
    test(`leave nothing in the heaps of a machine of ${cpus} CPUs`, async () => {
      const { status, stdout, stderr } = await node([
        stress,
        "--execs",
        "300",
        "--linked",
        "--cpus",
        String(cpus),
      ]);
      assert.equal(status, 0, stdout + stderr);
      assert.equal(stdout.trim().split("\n").length, cpus);
    });
  }
});

describe("functions that throw when they are called, before they are generators", () => {
  test("a thread of one fails on whichever CPU it starts, and the program goes on", async () => {
    const { status, stdout, stderr } = await lwpRun(
      `
        import { Thread } from "lwp";
        export function* main() {
          for (const cpu of [0, 1]) {
            const t = yield* Thread.with({ cpu }).spawn(worker);
            try { yield* t.join(); } catch (error) { console.log(error.name, error.cause.name); }
          }
          return 3;
        }
        function* worker({ depth }: { depth: number }) { return depth; }
      `,
      2,
    );
    assert.equal(stdout, "ThreadError TypeError\nThreadError TypeError\n", stderr);
    assert.equal(status, 3, stderr);
  });

  test("a main of one ends its process as any uncaught exception", async () => {
    const failed = await lwpRun(`export function* main(args, { depth }) { return depth; }`, 2);
    const thrown = await lwpRun(`export function* main() { throw new TypeError("later"); }`, 2);
    assert.equal(failed.status, thrown.status);
    assert.match(failed.stderr, /TypeError: .*undefined/);
    assert.doesNotMatch(failed.stderr, /the machine stopped/);
  });
});

describe("the stack of an error, read by the program itself", () => {
  const second = [
    "export interface Depth { readonly depth: number }",
    "",
    "export function* bad(cpu: number): Generator<never, void> {",
    "  for (const d of [0]) if (cpu >= d) deep({ depth: cpu });",
    "}",
    "function deep({ depth }: Depth): never {",
    "  while (depth >= 0) throw new Error(`on CPU ${depth}`);",
    '  throw new Error("never");',
    "}",
  ].join("\n");

  test("names the program's own files, lines and columns on all CPUs", async () => {
    const module = program(second, "second.ts");
    const { status, stdout, stderr } = await lwpRun(
      `
        import { Thread } from "lwp";
        import { bad } from "./second.ts";
        export function* main() {
          const stacks = [];
          for (const cpu of [0, 1, 2]) {
            const t = yield* Thread.with({ cpu }).spawn(worker, cpu);
            stacks.push(yield* t.join());
          }
          console.log(JSON.stringify(stacks));
        }
        function* worker(cpu: number) { try { yield* bad(cpu); } catch (error) { return error.stack; } }
      `,
      3,
    );
    assert.equal(status, 0, stderr);
    const lines = second.split("\n");
    const at = (line: number, what: string): string => {
      return `${pathToFileURL(module).href}:${line}:${lines[line - 1]!.indexOf(what) + 1}`;
    };
    for (const [cpu, stack] of (JSON.parse(stdout) as string[]).entries()) {
      const [title, first, next] = stack.split("\n");
      assert.equal(title, `Error: on CPU ${cpu}`);
      assert.equal(first, `    at deep (${at(7, "new Error")})`);
      assert.equal(next, `    at bad (${at(4, "deep(")})`);
    }
  });
});
