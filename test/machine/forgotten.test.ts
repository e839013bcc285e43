/** Operations that were called and not used: an error there and then, which names the call and its line. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { lwpRun, output } from "../support/host.js";

/** Each is a statement of main, at line 9 of the program; and what its error calls it. */
const FORGOTTEN: readonly [statement: string, call: string][] = [
  ["Thread.sleep(10);", "Thread.sleep"],
  ["m.lock();", "m.lock"],
  ["t.join();", "t.join"],
  ["t?.join();", "t?.join"],
  ["until(Promise.resolve(1));", "until"],
  ["lwpPark();", "lwpPark"],
  ["schedYield();", "schedYield"],
  ["Scope.run(function* () {});", "Scope.run"],
  ["helper(1);", "helper"],
  ["object.method();", "object.method"],
  ["if (m) m.lock();", "m.lock"],
  ["for (const x of [1]) t.cancel();", "t.cancel"],
  ["list[0].join();", "list[0].join"],
];

describe("an operation that was called and not used", () => {
  for (const [statement, call] of FORGOTTEN) {
    test(`\`${statement}\` is an error at its line`, async () => {
      const text = `import { Mutex, schedYield, Scope, Thread, until } from "lwp";
import { lwpPark } from "lwp/syscall";
function* helper(x: number) { yield* schedYield(); return x; }
const object = { *method() { yield* schedYield(); } };
export function* main() {
  const m = new Mutex();
  const t = yield* Thread.spawn(helper, 1), list = [t];
  {
      ${statement}
  }
  console.log("not reached");
}
`;
      const { status, stdout, stderr } = await lwpRun(text, 1);
      assert.deepEqual([status, stdout], [134, ""]);
      const said =
        /TypeError: (.*)\(…\) at \/\S+\.ts:(\d+):\d+ does nothing: write `yield\*` before it\n\s+at main \((.*)\)/;
      const [, name, line, frame] = said.exec(stderr) ?? assert.fail(stderr);
      assert.deepEqual([name, line], [call, "9"], stderr);
      assert.match(frame!, /\.ts:9:\d+$/);
    });
  }

  /** Each is the body of a plain function that main calls, at line 9. */
  const ELSEWHERE: readonly [body: string, call: string][] = [
    ["m.lock();", "m.lock"],
    ["while (true) m.lock();", "m.lock"],
    ["Thread.spawn(helper, 1);", "Thread.spawn"],
    ["[1].forEach((n) => { t.join(); });", "t.join"],
    ["[1].forEach((n) => t.join());", "t.join"],
    ["[1].forEach((n) => helper(n));", "helper"],
    ["[1].forEach(() => object.method());", "object.method"],
    ["(() => { until(Promise.resolve(1)); })();", "until"],
    ["new (class { constructor() { named(); } })();", "named"],
    ["for (const _ of (function* () { m.lock(); yield 1; })());", "m.lock"],
  ];
  for (const [body, call] of ELSEWHERE) {
    test(`\`${body}\` in a plain function is one, too`, async () => {
      const text = `import { Mutex, schedYield, Thread, until } from "lwp";
import type { Operation } from "lwp";
function* helper(x: number) { yield* schedYield(); return x; }
const object = { *method() { yield* schedYield(); } };
const named = function* () { yield* schedYield(); };
export function* main() { plain(new Mutex(), yield* Thread.spawn(helper, 1)); console.log("not reached"); }
void [until, named, object];
function plain(m: Mutex, t: Thread<number>) {
  ${body}
}
`;
      const { status, stdout, stderr } = await lwpRun(text, 1);
      assert.deepEqual([status, stdout], [134, ""]);
      const said = /TypeError: (.*)\(…\) at \/\S+\.ts:(\d+):\d+ does nothing: (.*)/;
      const [, name, line, what] = said.exec(stderr) ?? assert.fail(stderr);
      assert.deepEqual([name, line], [call, "9"], stderr);
      assert.match(what!, /^only a generator function can `yield\*` it$|^write `yield\*` before it$/);
    });
  }

  test("nothing else is: values that are not wanted, generators of others, iterators, plain calls", async () => {
    const text = `
      import { Thread } from "lwp";
      function* helper() { yield* Thread.sleep(0); return 1; }
      const keep = (x: unknown) => x;
      function* numbers() { yield 1; yield 2; }
      const map = new Map();
      export function* main() {
        const g = helper();
        keep(g);
        map.set(1, g).set(2, 3);
        [1, 2].forEach(keep);
        new Map().values();
        Object.create(null);
        console.log.call(console, yield* g);
        keep(null), keep(undefined);
        Thread.self;
        void Thread.sleep(1);
        const later = Thread.sleep(0);
        yield* later;
        map.get(5)?.join();
        plain(helper());
      }
      class Own { *lock() { yield 1; } send() { return 5; } kill() { return helper(); } }
      function plain(g: unknown) {
        const own = new Own();
        own.send(); own.kill();
        [1].forEach((n) => own.send());
        keep(g);
        const all = [1].map((n) => Thread.sleep(n));
        keep(all);
        Promise.all([1]);
      }
    `;
    assert.equal(await output(text, 1), 1);
  });
});

describe("an operation that is used as its value", () => {
  const use = async (code: string): Promise<string> => {
    const { stdout, stderr } = await lwpRun(
      `import { Channel, checkpoint, Mutex, Scope, Thread } from "lwp";
       import { lwpPark, lwpUnpark, lwpWait, schedYield } from "lwp/syscall";
       function* one() { return 1; }
       export function* main() {
         const m = new Mutex(), t = yield* Thread.spawn(one);
         try { ${code} } catch (error) { console.log(String(error)); }
         yield* t.join();
       }`,
      1,
    );
    return `${stdout}${stderr}`.trimEnd();
  };

  test("shows in console.log what to do, and nothing of its insides", async () => {
    const calls = [
      "t.join()",
      "m.lock()",
      "m.guard()",
      "schedYield()",
      "lwpPark()",
      "lwpUnpark(1)",
      "lwpWait(2)",
    ];
    calls.push("checkpoint()", "Thread.sleep(1)", "Scope.run(one)", "Thread.uncancellable(t.join())");
    const said = await use(`console.log(${calls.join(");console.log(")})`);
    const names = [
      ...said.matchAll(/^\[operation (\S+): acts when it is iterated, write `yield\*` before the call\]$/gm),
    ];
    assert.deepEqual(
      names.map(([, name]) => name),
      // Both ways to lock are one operation.
      [
        "Thread.join",
        "Mutex.lock",
        "Mutex.lock",
        "schedYield",
        "lwpPark",
        "lwpUnpark",
        "lwpWait",
        "checkpoint",
      ].concat(["Thread.sleep", "Scope.run", "Thread.uncancellable"]),
      said,
    );
  });

  const MISUSED = [
    "1 + t.join()",
    "`${t.join()}`",
    "t.join() > 0",
    "String(t.join())",
    "JSON.stringify({ a: t.join() })",
  ];
  for (const code of MISUSED) {
    test(`throws in \`${code}\``, async () => {
      const what = "Thread.join gives its value when it is iterated: write `yield*` before the call";
      assert.equal(await use(`console.log(${code});`), `TypeError: ${what}`);
    });
  }

  const TAKEN: readonly [code: string, syscall: string][] = [
    ["const r = c.receive(); while (!r.done);", "Channel.receive"],
    ["console.log(c.receive().value);", "Channel.receive"],
    ["const t2 = Thread.spawn(one); yield* t2.join();", "Thread.spawn"],
    ["Thread.with({ name: 'x' }).spawn(one).cancel();", "Thread.spawn"],
    ["console.log(Thread.spawn(one).lid);", "Thread.spawn"],
    ["using _ = m.guard(); console.log('in');", "Mutex.lock"],
  ];
  for (const [code, syscall] of TAKEN) {
    test(`throws where what its value has is asked of it: \`${code}\``, async () => {
      const what = `${syscall} gives its value when it is iterated: write \`yield*\` before the call`;
      assert.equal(await use(`const c = new Channel(1); ${code}`), `TypeError: ${what}`);
    });
  }

  test("is no argument of a thread, nor what a thread or main returns", async () => {
    const argument = await use("yield* Thread.spawn(one as never, t.join() as never);");
    assert.match(
      argument,
      /args\[0\]: the operation Thread\.join, which was not iterated \(write `yield\*` before the call\)/,
    );
    const result = await use("yield* (yield* Thread.spawn(function* () { return t.join(); })).join();");
    assert.match(result, /a thread returned the operation Thread\.join: write `yield\*` before the call/);
    const status = await lwpRun(
      `import { Thread } from "lwp"; export function* main() { return Thread.sleep(1); }`,
      1,
    );
    assert.equal(status.status, 134);
    assert.match(status.stderr, /Thread\.sleep gives its value when it is iterated: write `yield\*`/);
  });
});
