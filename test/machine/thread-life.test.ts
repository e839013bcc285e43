/** The life of threads on real CPUs: options, cancellation and joins across CPUs, exits and their status. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run, Thread } from "lwp";
import { lwpRun, output } from "../support/host.js";

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
