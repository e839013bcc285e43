/** The life of threads on real CPUs: options, cancellation and joins across CPUs, exits and their status. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run, Thread } from "lwp";
import { lwp, lwpRun, node, output, program } from "../support/host.js";

test("a thread runs on the CPU that was asked for, a local one stays with its arguments as they are", async () => {
  const text = `
    import { Thread } from "lwp";
    export function* main() {
      const told: unknown[] = [];
      for (const cpu of [1, 0, 1]) {
        const t = yield* Thread.with({ cpu, name: "on " + cpu }).spawn(where);
        told.push(yield* t.join());
      }
      const secret = { f: () => 1 };
      const t = yield* Thread.with({ local: true }).spawn(same, secret);
      told.push((yield* t.join()) === secret);
      for (const [cpu, f] of [[2, where], [1 - Thread.cpu, function* () {}]] as const) {
        try { yield* Thread.with({ cpu }).spawn(f); } catch (e: any) { told.push(e.code); }
      }
      console.log(JSON.stringify(told));
    }
    function* where() {
      const seen = new Set<number>();
      for (let i = 0; i < 10; i++) { seen.add(Thread.cpu); yield* Thread.sleep(0); yield* Thread.yield(); }
      return [...seen, Thread.self.name];
    }
    function* same(x: unknown) { return x; }
  `;
  const expected = [[1, "on 1"], [0, "on 0"], [1, "on 1"], true, "EINVAL", "EINVAL"];
  assert.deepEqual(await output(text, 2), expected);
});

test("THR-96: threads on both CPUs are cancelled where they wait, and joined by many of whom one gets the value", async () => {
  const text = `
    import { Thread } from "lwp";
    export function* main() {
      const waiting: Thread[] = [];
      for (let i = 0; i < 40; i++) waiting.push(yield* Thread.with({ cpu: i % 2 }).spawn(waits, i));
      yield* Thread.sleep(20);
      for (const t of waiting) yield* t.cancel();
      const codes = new Map<string, number>();
      for (const t of waiting) {
        try { yield* t.join(); } catch (e: any) { codes.set(e.code, (codes.get(e.code) ?? 0) + 1); }
      }
      const slow = yield* Thread.spawn(late);
      const joiners: Thread<string>[] = [];
      for (let i = 0; i < 8; i++) joiners.push(yield* Thread.with({ cpu: i % 2 }).spawn(joins, slow));
      const got = yield* Thread.all(joiners);
      console.log(JSON.stringify([[...codes], got.filter((x) => x === "late").length, got.filter((x) => x === "ESRCH").length]));
    }
    function* waits(i: number) {
      if (i % 4 < 2) yield* Thread.sleep(1e6);
      else yield* (yield* Thread.with({ detached: false }).spawn(forever)).join();
    }
    function* forever() { for (;;) yield* Thread.sleep(1e6); }
    function* late() { yield* Thread.sleep(30); return "late"; }
    function* joins(t: Thread<string>) { try { return yield* t.join(); } catch (e: any) { return e.code; } }
  `;
  assert.deepEqual(await output(text, 2), [[["ECANCELED", 40]], 1, 7]);
});

test("Thread.race and Thread.all see the ends of threads on any CPU", async () => {
  const text = `
    import { Thread } from "lwp";
    export function* main() {
      let wrong = 0;
      for (let round = 0; round < 200; round++) {
        const threads: Thread<number>[] = [];
        for (let i = 0; i < 4; i++) threads.push(yield* Thread.with({ cpu: i % 2 }).spawn(value, i));
        const first = yield* Thread.race(threads);
        const rest = yield* Thread.all(threads.filter((_, i) => i !== first));
        if ([...rest, first].sort().join() !== "0,1,2,3") wrong++;
      }
      console.log(wrong);
    }
    function* value(i: number) { for (let n = 0; n < i; n++) yield* Thread.yield(); return i; }
  `;
  assert.equal(await output(text, 2), 0);
});

describe("the end of a process", () => {
  for (const cpus of [1, 2]) {
    test(`THR-102, THR-11: after Thread.exit in main the others finish, and the status is 0 (${cpus} CPUs)`, async () => {
      const text = `
        import { Thread } from "lwp";
        export function* main() {
          yield* Thread.with({ detached: true }).spawn(other);
          try { yield* Thread.exit(3); } finally { console.log("main"); }
        }
        function* other() { yield* Thread.sleep(50); console.log("other"); }
      `;
      const { status, stdout, stderr } = await lwpRun(text, cpus);
      assert.deepEqual([status, stdout], [0, "main\nother\n"], stderr);
    });

    test(`a thread that failed and was never joined is reported, and the status is 1 (${cpus} CPUs)`, async () => {
      const text = `
        import { Thread } from "lwp";
        export function* main(args: string[]) {
          yield* Thread.spawn(fails);
          const cancelled = yield* Thread.spawn(forever);
          yield* Thread.sleep(20);
          yield* cancelled.cancel();
          yield* Thread.sleep(20);
          if (args.length > 0) return 7;
        }
        function* fails() { yield* Thread.yield(); throw new RangeError("never heard"); }
        function* forever() { for (;;) yield* Thread.sleep(1e6); }
      `;
      const { status, stderr } = await lwpRun(text, cpus);
      assert.equal(status, 1, stderr);
      assert.match(stderr, /RangeError: never heard\n\s+at fails \(.*\.ts:11:\d+\)/);
      assert.equal((await lwpRun(text, cpus, "x")).status, 7, "a status of main's own stays");
    });
  }

  test("so is one of a thread that stayed on another CPU", async () => {
    const text = `
      import { Thread } from "lwp";
      export function* main() {
        yield* (yield* Thread.with({ cpu: 1 }).spawn(there)).join();
        yield* Thread.sleep(30);
      }
      function* there() {
        yield* Thread.spawn(function* () { throw new RangeError("from CPU " + Thread.cpu); });
        yield* Thread.yield();
      }
    `;
    const { status, stderr } = await lwpRun(text, 2);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /RangeError: from CPU 1\n\s+at .*\.ts:8:\d+/);
  });

  test("a failure that nobody joined rejects run", async () => {
    const cause = new Error("never heard");
    await assert.rejects(
      run(function* () {
        yield* Thread.spawn(function* () {
          yield* Thread.yield();
          throw cause;
        });
        yield* Thread.sleep(10);
        return 1;
      }),
      cause,
    );
  });
});

const CALLED = `import { Thread } from "lwp";
export function* main(args: string[]) {
  const bad: unknown[] = [];
  const attempts = [
    () => Thread.spawn(takesApart as never),
    () => Thread.spawn((() => { throw new Error("at once"); }) as never),
    () => Thread.spawn((() => 5) as never),
    () => Thread.spawn((() => (async function* () {})()) as never),
    () => Thread.spawn((async () => 5) as never),
    () => Thread.spawn(async function* () {} as never),
    () => Thread.with({ local: true }).spawn((async () => 5) as never),
  ];
  for (const spawn of attempts) {
    try { yield* (yield* spawn()).join(); } catch (error) { bad.push((error as Error).message); }
  }
  console.log(JSON.stringify(bad));
  yield* (yield* Thread.spawn(fine)).join();
}
function* takesApart({ a }: { a: number }) { return a; }
function* fine() { console.log("the others go on"); }
`;

for (const machine of [["--cpus", "1"], ["--cpus", "2"], ["--sim"]]) {
  test(`a function that throws when it is called, or is none for a thread, fails its thread and no more (${machine.join(" ")})`, async () => {
    const { status, stdout, stderr } = await lwp("run", ...machine, program(CALLED));
    assert.equal(status, 0, stderr);
    const [bad, rest] = stdout.split("\n");
    const none = "Thread.spawn needs a generator function: what this function returned is no iterator";
    const async =
      "Thread.spawn needs a generator function, not an async one: a thread awaits by yield* until(promise)";
    assert.deepEqual(JSON.parse(bad!), [
      "thread 2 failed: Cannot destructure property 'a' of 'undefined' as it is undefined.",
      "thread 3 failed: at once",
      `thread 4 failed: ${none}`,
      `thread 5 failed: ${none}`,
      ...[async, async, async],
    ]);
    assert.equal(rest, "the others go on");
  });
}

const NO_OPERATION = (what: string) => `import { Thread } from "lwp";
export function* main() { yield* work() as never; }
function* work() { const p = Promise.resolve(1); yield* ${what} as never; }
async function load() { return 1; }
void load;
`;

for (const what of ["p", "load()", "Promise.resolve(1)"]) {
  test(`a promise after yield* is told what to do: ${what}`, async () => {
    const hint = /\n.*a promise is awaited by `yield\* until\(promise\)`/;
    const { status, stderr } = await lwpRun(NO_OPERATION(what), 1);
    assert.equal(status, 134);
    assert.match(stderr, hint);
    const json = await lwp("run", "--json", "--cpus", "1", program(NO_OPERATION(what)));
    assert.match(`\n${(JSON.parse(json.stderr) as { error: { hint: string } }).error.hint}`, hint);
  });
}

test("and so is await in a thread function", async () => {
  const { status, stderr } = await lwpRun("export function* main() { await Promise.resolve(1); }", 1);
  assert.equal(status, 2);
  assert.match(stderr, /"await" can only be used .*; a thread awaits by `yield\* until\(promise\)`/);
});

test("a process of an embedding program whose function makes an asynchronous generator ends as by an exception", async () => {
  const text = `import { boot } from "lwp";
    const machine = await boot({ cpus: 1 });
    const p = machine.spawn(async function* () {});
    console.log((await p.exited).signal);
    await machine.shutdown();`;
  const { status, stdout, stderr } = await node(["--input-type=module", "-e", text]);
  assert.deepEqual([status, stdout], [0, "6\n"]);
  assert.match(stderr, /must be a generator function: it returned a value of type object/);
});

test("run refuses what is no generator function", async () => {
  await assert.rejects(run((async () => 5) as never), /run needs a generator function, not an async one/);
  await assert.rejects(
    run((() => 5) as never),
    /run needs a generator function: what this function returned/,
  );
});
