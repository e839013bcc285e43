/** Closures that are started as threads and could as well be top-level functions: whoever runs the program is told so, once. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { linkProgram } from "#dist/machine/link.js";
import { lwp, program } from "../support/host.js";

/** What is given to a spawn, and what is said of it: the names that it closes over, or null. */
const CLOSURES: readonly [closure: string, names: readonly string[] | null][] = [
  ["function* () {}", []],
  ["function* () { return FIXED.v + pure(1); }", []],
  ["function* () { return use(a, b.v); }", ["a", "b"]],
  ["function* () { const c = { ...rest }; return c; }", ["rest"]],
  ["() => entry(n)", ["n"]],
  ["function* () { return [1].map((x) => x + n); }", ["n"]],
  ["function* () { const a = [n]; a.push(1); for (const [n, b = n] of [a]) a[n] = b; }", ["n"]],
  ["function* named() { let n = 0; n++; if (n > 0) named(); return ((a) => a++)(2); }", []],
  ["function* () { return { a, n: 1, x: { b: 2 }.b }; }", ["a"]],
  ["function* () { yield* Thread.sleep(1); console.log(a); }", ["a"]],
  // They may be there for what they share.
  ["function* () { total++; }", null],
  ["function* () { total = 1; }", null],
  ["function* () { ({ total } = a); }", null],
  ["function* () { for (total of [1]); }", null],
  ["function* () { return total; }", null],
  ["function* () { list.push(1); }", null],
  ["function* () { list[0] = 1; }", null],
  ["function* () { delete b.v; }", null],
  ["function* () { b.v++; }", null],
  ["function* () { return local(); }", null],
  ["function* () { return new Local(); }", null],
  ["function* () { return use(local); }", null],
  ["() => entry(this)", null],
  ["function* () { counter++; }", null],
  ["function* () { return setLater; }", null],
  ["function* () { cache.set(1, 2); }", null],
  // They are no closures, or not to be seen as one.
  ["entry", null],
  ["given", null],
];

const TEXT = `import { Thread } from "lwp";
const FIXED = { v: 1 }, cache = new Map(), pure = (x) => x;
let counter = 0, setLater = 0;
function* entry(x) { return x; }
function use(...x) { return x; }
export function* main([a, given], { b, ...rest } = {}) {
  setLater = 1;
  let total = 0;
  const list = [];
  const local = () => 1;
  class Local {}
  total = 5;
  for (let n = 0; n < 1; n++) {
    ${CLOSURES.map(([closure]) => `yield* Thread.spawn(${closure}, 1);`).join("\n    ")}
  }
}
`;

describe("a closure at a spawn", () => {
  test("is one that could be a top-level function only if it shares nothing, with what it closes over", async () => {
    const { spawns } = await linkProgram(program(TEXT, "closures.js"));
    assert.deepEqual(
      spawns.map(({ closure }, i) => [CLOSURES[i]![0], closure]),
      CLOSURES,
    );
  });
});

const RUNS = `import { Scope, Thread } from "lwp";
export function* main(args: string[]) {
  const from = args.length;
  const options = args[0] === "local" ? { local: true } : args[0] === "cpu" ? { cpu: Thread.cpu } : {};
  for (let n = 0; n < 3; n++) yield* (yield* Thread.with(options).spawn(function* () { return n + from; })).join();
  yield* (yield* Thread.spawn(other)).join();
}
function* other() {
  yield* Scope.run(function* (scope) { yield* scope.with({ local: true }).spawn(function* () {}); });
}
`;

describe("the warning of a closure that could run on any CPU", () => {
  test("comes once, and names its place and what it closes over", async () => {
    const file = program(RUNS);
    const { status, stderr } = await lwp("run", "--cpus", "2", file);
    assert.equal(status, 0);
    const said =
      /^lwp: warning: (.*): this closure runs only on .* any, with n, from as arguments; .*local: true.*\n$/;
    assert.equal(said.exec(stderr)?.[1], `${file}:5:67`, stderr);
    const json = await lwp("run", "--cpus", "2", "--json", file);
    const { event, text } = JSON.parse(json.stderr) as { event: string; text: string };
    assert.deepEqual([event, text.startsWith(file)], ["warning", true]);
  });

  test("does not come where there is one CPU, or none that is real, or where it is meant", async () => {
    const file = program(RUNS);
    for (const args of [
      ["--cpus", "1", file],
      ["--sim", file],
      ["--cpus", "2", file, "local"],
      ["--cpus", "2", file, "cpu"],
    ]) {
      const { status, stderr } = await lwp("run", ...args);
      assert.deepEqual([status, stderr], [0, ""], args.join(" "));
    }
  });
});
