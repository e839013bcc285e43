/** The examples of what threads can be told, and of what is said when they cannot go on. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { lwp } from "../support/host.js";

const example = (name: string) => fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url));
const run = (cpus: string, name: string, ...args: string[]) =>
  lwp("run", "--cpus", cpus, example(name), ...args);

const NAMES = ["Aristotle", "Plato", "Socrates", "Hypatia", "Diogenes"];

describe("examples/philosophers.ts", () => {
  const waits = (i: number): string => {
    const next = (i + 1) % 5;
    return `mutex N "fork ${next}", held by thread ${next + 2} "${NAMES[next]}"`;
  };
  const REPORT = [
    "lwp: stalled: no thread can go on, and nothing is left that could wake one",
    "A deadlock of 5 threads:",
    ...NAMES.map((name, i) => `  thread ${i + 2} "${name}" waits for ${waits(i)}`),
    "PID LID NAME S PRI CPU TIME WAITS FOR",
    ` 1 1 main() S 43 C T the end of thread 2 "Aristotle"`,
    ...NAMES.map((name, i) => ` 1 ${i + 2} ${name} S 43 C T ${waits(i)}`),
    "",
  ];
  /** Without what nobody can know before, and without the columns' spaces. */
  const plain = (text: string): string[] =>
    text
      .replace(/mutex \d+/g, "mutex N")
      .replace(/ \d+ +\d+\.\d{3} /g, " C T ")
      .split("\n")
      .map((line) =>
        /^( |PID)/.test(line) && !line.startsWith("  thread") ? line.replace(/ +/g, " ") : line,
      );

  for (const cpus of ["1", "2", "4"]) {
    test(`with grace: a report that names the deadlock, and status 71 (${cpus} CPUs)`, async () => {
      const { status, stdout, stderr } = await run(cpus, "philosophers.ts");
      assert.deepEqual([status, stdout, plain(stderr)], [71, "", REPORT]);
    });

    test(`with one who is patient: all eat (${cpus} CPUs)`, async () => {
      const { status, stdout, stderr } = await run(cpus, "philosophers.ts", "patient");
      const lines = NAMES.map((name) => `${name} has eaten 100 times\n`);
      assert.deepEqual([status, stdout, stderr], [0, lines.join(""), ""]);
    });
  }
});

for (const cpus of ["1", "2"]) {
  test(`examples/cancel.ts: one finds a number, all clean up (${cpus} CPUs)`, async () => {
    const { status, stdout, stderr } = await run(cpus, "cancel.ts", "abc");
    assert.deepEqual([status, stderr], [0, ""]);
    const lines = stdout.trimEnd().split("\n");
    assert.match(lines.pop() as string, /^sha256\(\d+\) = abc[0-9a-f]{61}$/);
    const searchers = lines.map((line) => /^searcher (\d) has tried \d+ numbers$/.exec(line)?.[1]);
    assert.ok(searchers.length <= 4 && new Set(searchers).size === searchers.length, stdout);
  });

  test(`examples/suspend.ts: a computation stands still and goes on (${cpus} CPUs)`, async () => {
    const { status, stdout, stderr } = await run(cpus, "suspend.ts");
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(
      stdout,
      "it counts\nsuspended, it stands still\nresumed, it counts on\nand comes to its end\n",
    );
  });

  test(`examples/priorities.ts: the highest run first, and equals take turns (${cpus} CPUs)`, async () => {
    const { status, stdout, stderr } = await run(cpus, "priorities.ts");
    assert.deepEqual([status, stderr], [0, ""]);
    const turns = [50, 30, 10].flatMap((p) => [1, 2, 3].flatMap((n) => [`${p}a${n}`, `${p}b${n}`]));
    assert.equal(stdout, `${turns.join(" ")}\n`);
  });
}
