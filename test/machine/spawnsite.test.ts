/** Where threads were started: what is said of those that fail names file, line and column of the program's own source. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run, Thread, ThreadError } from "lwp";
import { lwp, lwpRun, program } from "../support/host.js";

/** `file:line:column` of a mark in a text, as stack traces count. */
function at(file: string, text: string, mark: string): string {
  const lines = text.slice(0, text.indexOf(mark)).split("\n");
  assert.ok(text.includes(mark), mark);
  return `${file}:${lines.length}:${lines.at(-1)!.length + 1}`;
}

const HELPER = `import { Scope, Thread } from "lwp";
interface Unused { readonly a: number }
export class Pool {
  *start(f: () => Generator<never, void>) {
    return yield* Thread.with({ name: "pooled" }).spawn(f);
  }
}
export function* scoped(f: () => Generator<never, void>) {
  yield* Scope.run(function* (scope) { yield* scope.spawn(f); yield* scope.join(); });
}
`;

/** Starts threads in each way; prints where each is said to have been started. */
const MAIN = (helper: string) => `
  import { spawn } from "node:child_process";
  import { schedYield, Thread, ThreadError, Semaphore } from "lwp";
  import { Pool, scoped } from "${helper}";
  function* fail(..._: unknown[]): Generator<never, void> { throw new Error("failing"); }
  function* gate(s: Semaphore) { yield* s.wait(); return 1; }
  export function* main() {
    const told: string[] = [];
    const tell = function* (t: Thread<unknown>) {
      try { yield* t.join(); } catch (error) { told.push((error as ThreadError).spawnedAt); }
    };
    yield* tell(yield* Thread.spawn(fail));
    for (let i = 0; i < 2; i++) yield* tell(yield* Thread /* looped */ .spawn(fail, i));
    yield* tell(yield* Thread  .spawn(fail, ...[1, 2]));
    yield* tell(yield* Thread   .spawn(function* () { throw new Error("closure"); }));
    yield* tell(yield* new Pool().start(fail as never));
    try { yield* scoped(fail as never); } catch (error) { told.push((error as ThreadError).spawnedAt); }
    // While the argument is waited for, the other thread starts one of its own.
    const s = new Semaphore(0);
    const other = yield* Thread.with({ local: true }).spawn(function* () {
      s.post();
      yield* (yield* Thread.spawn(gate, s)).join();
    });
    s.post();
    yield* tell(yield* Thread    .spawn(fail, yield* gate(s)));
    yield* other.join();
    spawn(process.execPath, ["-e", ""]);
    const list = [Thread.spawn(fail, (1, 2)), Thread     .spawn(fail, 3)];
    for (const operation of list) yield* tell(yield* operation);
    console.log(JSON.stringify(told));
  }
`;

describe("ThreadError.spawnedAt", () => {
  for (const cpus of ["1", "2"]) {
    test(`names the call that started the thread, in whatever way (${cpus} CPUs)`, async () => {
      const helper = program(HELPER);
      const text = MAIN(helper);
      const file = program(text);
      const { stdout, stderr } = await lwp("run", "--cpus", cpus, file);
      const looped = at(file, text, "spawn(fail, i)");
      assert.deepEqual(
        JSON.parse(stdout || assert.fail(stderr)),
        [
          at(file, text, "spawn(fail)"),
          looped,
          looped,
          at(file, text, "spawn(fail, ...["),
          at(file, text, "spawn(function* () { throw"),
          at(helper, HELPER, "spawn(f);\n"),
          at(helper, HELPER, "spawn(f); yield* scope.join"),
          at(file, text, "spawn(fail, yield*"),
          at(file, text, "spawn(fail, (1, 2)") && "",
          at(file, text, "spawn(fail, 3)"),
        ],
        stderr,
      );
    });
  }

  test("is empty where no linker has seen the call", async () => {
    const failure = await run(function* () {
      const t = yield* Thread.spawn(function* () {
        throw new Error("failing");
      });
      try {
        yield* t.join();
      } catch (error) {
        return error;
      }
      return null;
    });
    assert.ok(failure instanceof ThreadError);
    assert.equal(failure.spawnedAt, "");
  });
});

const LEFT = (options: string) => `import { Thread } from "lwp";
function* fail() { yield* Thread.sleep(1); throw new Error("failing"); }
export function* main() {
  yield* Thread.with({ name: "lone"${options} }).spawn(fail);
  yield* Thread.exit();
}
`;

describe("the report says where a thread was started", () => {
  test("that failed, and nobody has joined it", async () => {
    const file = program(LEFT(""));
    const { status, stderr } = await lwp("run", "--cpus", "2", file);
    assert.equal(status, 1);
    const where = at(file, LEFT(""), "spawn(fail)");
    assert.match(
      stderr,
      new RegExp(`^process 1: thread 2.*, spawned at ${where}, failed, and nobody has joined it:`),
    );
  });

  test("that was detached, and ends its process", async () => {
    const text = LEFT(", detached: true");
    const file = program(text);
    const { status, stderr } = await lwp("run", "--json", "--cpus", "2", file);
    assert.equal(status, 134);
    const { event, spawnedAt } = JSON.parse(stderr) as { event: string; spawnedAt: string };
    assert.deepEqual([event, spawnedAt], ["exception", at(file, text, "spawn(fail)")]);
    assert.match(
      (await lwp("run", "--sim", file)).stderr,
      /thread 2, spawned at .*:4:\d+, ended it with an exception/,
    );
  });

  test("but not of main, which nobody started", async () => {
    const { stderr } = await lwpRun("export function* main() { throw new Error('main'); }", 1);
    assert.match(stderr, /^process 1: thread 1 ended it with an exception:/);
  });
});
