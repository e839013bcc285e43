/** The lint rule, as a linter runs it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";
import * as lwpModule from "lwp";
import * as syscalls from "lwp/syscall";
import { FUNCTIONS, OPERATIONS } from "lwp/lint";
import { node, program } from "./support/host.js";

const oxlint = fileURLToPath(new URL("../bin/oxlint", import.meta.resolve("oxlint")));
const plugin = fileURLToPath(import.meta.resolve("lwp/lint"));

/** The lines that the rule reports in a program, each with the first word of the message. */
async function lint(text: string): Promise<string[]> {
  const file = program(text);
  const rules = { "lwp/no-floating-operation": "error" };
  const config = program(
    JSON.stringify({ jsPlugins: [plugin], categories: { correctness: "off" }, rules }),
    `${file.replace(/.*\//, "").replace(".ts", "")}.json`,
  );
  const { stdout, stderr } = await node([oxlint, "-c", config, "--format", "json", file]);
  const { diagnostics } = JSON.parse(stdout || assert.fail(stderr)) as {
    diagnostics: { message: string; labels: { span: { line: number } }[] }[];
  };
  return diagnostics
    .map(({ message, labels }) => `${labels[0].span.line} ${message}`)
    .toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

describe("lwp/no-floating-operation", () => {
  test("reports what is called and not iterated, awaited, or yielded without a star", async () => {
    const said = await lint(`import { Mutex, Scope, Thread as T, until, Condition } from "lwp";
import { lwpPark } from "lwp/syscall";
export function* main() {
  const m = new Mutex(), c: Condition = make();
  m.lock();
  T.sleep(10);
  until(x);
  lwpPark();
  const t = yield* T.spawn(work, m);
  t.join();
  t?.cancel();
  const u = yield* T.with({ name: "u" }).spawn(work, m);
  u.detach();
  c.wait(m);
  yield m.lock();
  T.self.cancel();
  work(m, []);
  const list: readonly T<number>[] = [];
  for (const x of list) x.suspend();
  list[0].resume();
  Scope.run(function* (scope: Scope) { scope.spawn(work, m); });
  unknown.join();
  new Mutex().lock();
}
function* work(lock: Mutex, threads: T[]) { lock.guard(); const f = () => { threads[0]!.cancel(); }; f(); }
async function g(m: Mutex) { await m.lock(); }
`);
    const lines = said.map((line) => Number.parseInt(line, 10));
    assert.deepEqual(
      lines,
      [5, 6, 7, 8, 10, 11, 13, 14, 15, 16, 17, 19, 20, 21, 21, 22, 23, 25, 25, 26],
      said.join("\n"),
    );
    assert.match(said[0]!, /does nothing until it is iterated: write `yield\*` before it/);
    assert.ok(said.some((line) => line.startsWith("15 `yield` hands the operation over unused")));
    assert.ok(said.some((line) => line.startsWith("17 The generator does nothing")));
    assert.ok(said.some((line) => line.startsWith("26 An operation cannot be awaited")));
  });

  test("reports what is taken for its value: conditions, operands, templates, what is logged", async () => {
    const said = await lint(`import { Semaphore, Thread } from "lwp";
export function* main() {
  const s = new Semaphore(1), t: Thread<number> = make();
  if (s.wait()) return;
  while (t.join());
  do; while (t.join());
  for (; t.join(); );
  const a = t.join() ? 1 : 2;
  const b = t.join() || 1;
  const c = 1 + t.join(), d = t.join() > 0;
  const e = !t.join();
  const f = \`\${t.join()}\`;
  console.log("x", t.join());
  const g = 1 || t.join();
  log(t.join(), void t.join(), tag\`\${t.join()}\`, s.tryWait() ? 1 : 2, 1 + (yield* t.join()));
}
`);
    const lines = said.map((line) => Number.parseInt(line, 10));
    assert.deepEqual(lines, [4, 5, 6, 7, 8, 9, 10, 10, 11, 12, 13], said.join("\n"));
    assert.match(said[0]!, /An operation is not its value: write `\(yield\* …\)` around the call/);
  });

  test("reports nothing else", async () => {
    const said = await lint(`import { Mutex, Thread } from "lwp";
export function* main(args: string[]) {
  const m = new Mutex();
  yield* m.lock();
  m.unlock();
  const op = m.lock();
  yield* op;
  const t = yield* Thread.spawn(main, args);
  const all = [t.join(), t.join()];
  Thread.setCancelState(true);
  console.log(args.join(","), all);
  args.join(",");
  path.cancel();
  t.name = "x";
  const wrapped = () => Thread.sleep(1);
  wrapped();
  void m.lock();
}
`);
    assert.deepEqual(said, []);
  });

  test("reports nothing in a file that does not use the package", async () => {
    assert.deepEqual(await lint("function* f() {}\nf(); list.join(); m.lock();\n"), []);
  });
});

test("the tables of the rule name every operation of the package, and nothing else", () => {
  const floors = ["thread", "syscall"].map((floor) =>
    fileURLToPath(new URL(`./${floor}/`, import.meta.resolve("lwp"))),
  );
  const found: Record<string, Set<string>> = {};
  const functions = new Set<string>();
  for (const folder of floors) {
    for (const name of readdirSync(folder).filter((n) => n.endsWith(".d.ts"))) {
      let type = "";
      for (const line of readFileSync(folder + name, "utf8").split("\n")) {
        type = /^(?:export )?declare (?:abstract )?class (\w+)/.exec(line)?.[1] ?? type;
        const method = /^ {4}(static )?(\w+)(?:<.*>)?\(.*\): Operation</.exec(line);
        if (method !== null && type in lwpModule) {
          const key = method[1] === undefined ? type : `${type}.`;
          (found[key] ??= new Set()).add(method[2]);
        }
        const plain = /^export declare function (\w+)(?:<.*>)?\(.*\): (?:Operation|Generator)</.exec(line);
        if (plain !== null) functions.add(plain[1]);
      }
    }
  }
  const sorted = (names: Iterable<string>) => [...names].toSorted();
  const classes = Object.fromEntries(Object.entries(found).map(([key, names]) => [key, sorted(names)]));
  const table = Object.fromEntries(Object.entries(OPERATIONS).map(([key, names]) => [key, sorted(names)]));
  assert.deepEqual(table, classes);
  for (const [from, exports] of [
    ["lwp", lwpModule],
    ["lwp/syscall", syscalls],
  ] as const) {
    assert.deepEqual(sorted(FUNCTIONS[from]), sorted([...functions].filter((name) => name in exports)));
  }
});
