/**
 * What polls in loops change for a program: nothing. Programs are linked with and without them, and run by a driver that
 * leaves at every poll that may, as no real machine does.
 */
import assert from "node:assert/strict";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import * as fc from "fast-check";
import * as K from "lwp/kernel";
import { compileFactory, instantiate, mapStack } from "#dist/machine/factory.js";
import { type LinkedProgram, linkProgram } from "#dist/machine/link.js";

let folder: string;
let files = 0;

before(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "lwp-polls-")));
});
after(() => rm(folder, { recursive: true }));

async function link(text: string, polls: boolean, name = `program${++files}.ts`): Promise<LinkedProgram> {
  const path = join(folder, name);
  await writeFile(path, text);
  return linkProgram(path, { polls });
}

const TOKEN = "a token of a poll";

interface Run {
  /** What `main` returned, or threw. */
  readonly result: unknown;
  /** Values that came out of `main` beside tokens. */
  readonly yielded: unknown[];
  /** Polls that left, and all polls. */
  readonly left: number;
  readonly polls: number;
}

/** Runs `main` as the first generator of a thread; every poll that may leave does. */
async function run(linked: LinkedProgram): Promise<Run> {
  let polls = 0;
  const poll = (mayLeave: boolean): boolean => {
    polls++;
    return mayLeave;
  };
  const { exports } = await instantiate(compileFactory(linked), {
    import: () => undefined,
    polls: { poll, again: () => false, token: () => TOKEN as never },
  });
  const main = exports["main"] as () => Generator;
  const body = K.threadBody(main, main());
  K.handshake.delegated = K.takeFirst(body);
  const yielded: unknown[] = [];
  let left = 0;
  try {
    for (;;) {
      const { done, value } = body.next() as IteratorResult<unknown, unknown>;
      if (done === true) return { result: value, yielded, left, polls };
      if (value === TOKEN) left++;
      else yielded.push(value);
    }
  } catch (error) {
    return { result: String(error), yielded, left, polls };
  } finally {
    assert.equal(K.handshake.delegated, false, "somebody was told something that he never took");
  }
}

/** Runs a program with and without polls; what it does must be the same. Returns the run with polls. */
async function same(text: string): Promise<Run> {
  const without = await run(await link(text, false));
  const withPolls = await run(await link(text, true));
  const shown = ({ result, yielded }: Run): unknown => ({ result, yielded });
  assert.deepEqual(shown(withPolls), shown(without), text);
  assert.deepEqual([without.polls, without.left], [0, 0]);
  return withPolls;
}

/** The text of a function, linked. */
async function linkedText(text: string): Promise<string> {
  const { code } = await link(`${text}\nexport function* main() { return f; }`, true);
  return code.slice(code.indexOf("function"), code.indexOf("function* main")).replace(/\s+/g, " ").trim();
}

const P = "if(__lwp_p(__lwp_t))do yield __lwp.token();while(__lwp.again());";
const ENTER = "const __lwp_t=__lwp.enter(),__lwp_p=__lwp.poll;";

describe("where polls stand", () => {
  const cases: [string, string, string][] = [
    [
      "at the head of a block",
      "function* f() { for (let i = 0; i < 3; i++) { i++; } }",
      `function* f() {${ENTER} for (let i = 0; i < 3; i++) {${P} i++; } /*lwp*/}`,
    ],
    [
      "before a statement that is no block, which becomes one",
      "function* f() { while (g()) g(); }",
      `function* f() {${ENTER} while (g()) {${P}__lwp.use("g",g,g());} /*lwp*/}`,
    ],
    [
      "in an empty statement",
      "function* f() { for (;;); }",
      `function* f() {${ENTER} for (; ; ) {${P};} /*lwp*/}`,
    ],
    [
      "in all of the loops of a nest",
      "function* f() { for (const a of g) for (const b in a) do b(); while (a); }",
      `function* f() {${ENTER} for (const a of g) {${P}for (const b in a) {${P}do {${P}__lwp.use("b",b,b());} while (a);}} /*lwp*/}`,
    ],
    [
      "behind directives",
      'function* f() { "use client"; for (;;) {} }',
      `function* f() { "use client";${ENTER} for (; ; ) {${P} } /*lwp*/}`,
    ],
    [
      "in a plain function, where they cannot leave",
      "function f() { while (true) g(); }",
      "function f() { while (true) {__lwp.poll(false);g();} }",
    ],
    [
      "in an async function likewise",
      "async function f() { for await (const x of g) x(); }",
      "function f() { for await (const x of g) {__lwp.poll(false);x();} }",
    ],
    ["not in an iterator", "function* f() { for (;;) yield 1; }", "function* f() { for (; ; ) yield 1; }"],
    [
      "not in an async generator",
      "async function* f() { for (;;) await 1; }",
      "function* f() { for (; ; ) await 1; }",
    ],
    [
      "by the rule of the innermost function: a plain one in an iterator",
      "function* f() { for (;;) yield () => { for (;;); }; }",
      "function* f() { for (; ; ) yield () => { for (; ; ) {__lwp.poll(false);;} }; }",
    ],
    [
      "by the rule of the innermost function: an iterator in a thread function",
      "function* f() { for (;;) g(function* () { for (;;) yield 1; }); }",
      `function* f() {${ENTER} for (; ; ) {${P}__lwp.use("g",g,g(function* () { for (; ; ) yield 1; }));} /*lwp*/}`,
    ],
    [
      "by the rule of the innermost function: a static block in a thread function",
      "function* f() { for (;;) class A { static { for (;;); } } }"
        .replace("class", "{ class")
        .replace(/}$/, "} }"),
      `function* f() {${ENTER} for (; ; ) {${P} class A { static { for (; ; ) {__lwp.poll(false);;} } } } /*lwp*/}`,
    ],
    [
      "nowhere where there is neither a loop nor a call",
      "function* f() { return 1; }",
      "function* f() { return 1; }",
    ],
  ];
  for (const [name, source, expected] of cases) {
    test(name, async () => {
      assert.equal(await linkedText(source), expected);
    });
  }
});

describe("who iterates a generator decides whether its polls leave", () => {
  const cases: [string, string, boolean][] = [
    ["main", "for (let i = 0; i < 3; i++);", true],
    ["delegated to by name", "yield* loop();", true],
    ["delegated to as a constant", "const f = function* () { yield* loop(); }; yield* f();", true],
    ["delegated to as a parameter", "yield* (yield* twice(loop), twice(loop));", true],
    ["delegated to as a method", "const o = { *run() { yield* loop(); } }; yield* o.run();", true],
    [
      "delegated to as a private method",
      "class A { *#p() { yield* loop(); } *run() { yield* this.#p(); } } const a = new A(); yield* a.run();",
      true,
    ],
    [
      "delegated to by super",
      "class A { *run() { yield* loop(); } } class B extends A { *run() { yield* super.run(); } } const b = new B(); yield* b.run();",
      true,
    ],
    ["spread", "[...loop()];", false],
    ["driven by for-of", "for (const _ of loop()) throw 1;", true],
    ["destructured", "const [a] = loop();", false],
    ["driven by next", "const it = loop(); it.next();", false],
    ["driven by Array.from", "Array.from(loop());", false],
    ["delegated to as a value", "const it = loop(); yield* it;", false],
    ["delegated to by an iterator", "[...iterator()];", false],
    ["delegated to by a generator that is spread", "[...outer()];", false],
    ["delegated to where it went before", "const it = loop(); it.next(); yield* it; [...outer()];", false],
    ["made by a plain function", "yield* plain();", false],
    ["delegated to through an iterable", "yield* { [Symbol.iterator]() { return loop(); } };", false],
    [
      "not at all, since the call throws",
      "try { yield* thrower([...loop()]); } catch {} [...loop()];",
      false,
    ],
  ];
  const prelude = `
    function* loop() { for (let i = 0; i < 5; i++) log.push(i); return log.length; }
    function* twice(f) { yield* f(); return yield* f(); }
    function* iterator() { yield 1; yield* loop(); }
    function* outer() { yield* loop(); }
    function plain() { return loop(); }
    function thrower(_, x = fail()) {}
    function fail() { throw new Error("on purpose"); }
    const log = [];
  `;
  for (const [name, body, leaves] of cases) {
    test(`${name}: ${leaves ? "they do" : "they do not"}`, async () => {
      const { left } = await same(`${prelude} export function* main() { ${body} return log; }`);
      // The loop of \`for-of\` itself is main's own, but its body never comes to run.
      if (name === "driven by for-of") assert.equal(left, 0);
      else assert.equal(left > 0, leaves);
    });
  }

  test("as in the language: [...range(1000)] and yield* flat(xs)", async () => {
    const run = await same(`
      function* range(n: number) { for (let i = 0; i < n; i++) yield i; }
      function* flat<T>(xs: Iterable<Iterable<T>>) { for (const x of xs) yield* x; }
      function* pairs() { yield* flat([[1, 2], range(3)]); yield 9; }
      export function* main() {
        yield* flat([range(2), "ab"]);
        return [...range(1000), ...flat([range(3), flat([range(2), [7]])]), ...pairs(), Math.max(...flat([[1], [5]]))];
      }
    `);
    assert.deepEqual(run.yielded, [0, 1, "a", "b"]);
    assert.ok(run.left > 0);
  });
});

describe("programs of generators", () => {
  /** Functions f0, f1, … of which each calls only later ones, in every way there is. */
  function generate(tape: readonly number[]): string {
    let at = 0;
    const next = (n: number): number => (tape[at++ % tape.length]! >>> (at % 5)) % n;
    const count = 4 + next(4);
    const functions: string[] = [];
    for (let i = 0; i < count; i++) {
      const callee = (): string => `f${Math.min(i + 1 + next(3), count)}`;
      const statement = (): string => {
        const f = callee();
        const forms = [
          `log.push(yield* ${f}());`,
          `log.push(yield* o.${f}());`,
          `log.push(yield* (0, ${f})());`,
          `log.push(...${f}());`,
          `for (const x of ${f}()) log.push("of", x);`,
          `for (let n = 0; n < 2; n++) log.push(n);`,
          `{ const [a, ...b] = ${f}(); log.push(a, b); }`,
          `{ const it = ${f}(); log.push(it.next().value); log.push(yield* it); }`,
          `log.push(new Set(${f}()).size);`,
          `try { yield* ${f}(); throw 1; } catch (e) { log.push(String(e)); } finally { for (const x of [1]) log.push(x); }`,
          `while (log.length % 3 !== 0) log.push("w");`,
          `yield* { *[Symbol.iterator]() { for (let n = 0; n < 2; n++) log.push(yield* ${f}()); } };`,
          `(() => { for (const x of ${f}()) log.push(x); })();`,
          `label: for (const n of [1, 2]) { if (n === 2) continue label; log.push(yield* ${f}()); }`,
          `yield* call(${f});`,
          i % 3 === 2 ? `yield ${next(10)};` : `log.push("-");`,
          i % 3 === 2 ? `yield* [${next(10)}];` : `log.push("+");`,
        ];
        return forms[next(forms.length)]!;
      };
      const body = Array.from({ length: 1 + next(4) }, statement).join(" ");
      functions.push(`function* f${i}(): any { log.push("f${i}"); ${body} return ${i}; }`);
    }
    functions.push(
      `function* f${count}(): any { for (let i = 0; i < 2; i++) log.push("last"); return ${count}; }`,
    );
    const names = Array.from({ length: count + 1 }, (_, i) => `f${i}`);
    return `
      const log: any[] = [];
      const o = { ${names.map((f) => `*${f}() { return yield* ${f}(); }`).join(", ")} };
      function* call(f: any): any { for (let i = 0; i < 2; i++) log.push(yield* f()); }
      ${functions.join("\n")}
      export function* main() { log.push(yield* f0()); return log; }
    `;
  }

  test("behave the same with and without polls", async () => {
    let left = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(0xffff), { minLength: 60, maxLength: 60 }), async (tape) => {
        left += (await same(generate(tape))).left;
      }),
      { numRuns: 60 },
    );
    assert.ok(left > 100, `only ${left} polls left: the programs are too tame`);
  });
});

describe("stack traces", () => {
  const module = [
    `interface Options { readonly deep: boolean }`,
    ``,
    `export function* work({ deep }: Options): Generator<never, void> {`,
    `  for (const x of [1, 2]) { if (x === 2) { while (deep) throw new Error("thread"); } }`,
    `}`,
    `export function plain(deep: boolean): void {`,
    `  for (let i = 0; ; i++) do if (i > 2 && deep) throw new Error("plain"); while (i < 0);`,
    `}`,
    `export class Ä { *#go(): Generator<never, void> { for (;;) for (const _ of [1]) yield* this.deep(); }`,
    `  *deep(): Generator<never, void> { for (const y of [1]) if (y) throw new Error("method"); }`,
    `  *go(): Generator<never, void> { yield* work({ deep: false }); yield* this.#go(); } }`,
  ].join("\n");
  const main = [
    `import { Ä, plain, work } from "./second.ts";`,
    `export function* main(): Generator<never, string[]> {`,
    `  const stacks: string[] = [];`,
    `  for (const f of [work]) try { yield* f({ deep: true }); } catch (e) { stacks.push((e as Error).stack!); }`,
    `  for (;;) { try { plain(true); } catch (e) { stacks.push((e as Error).stack!); } break; }`,
    `  const ä = new Ä(); try { for (;;) yield* ä.go(); } catch (e) { stacks.push((e as Error).stack!); }`,
    `  return stacks;`,
    `}`,
  ].join("\n");

  test("of an error in a loop of the second module name file, line and column", async () => {
    await writeFile(join(folder, "second.ts"), module);
    const positions = async (polls: boolean): Promise<string[]> => {
      const { result } = await run(await link(main, polls, "first.ts"));
      const url = `${pathToFileURL(folder).href}/`;
      return (result as string[]).map((stack) => {
        const frames = mapStack(stack)
          .split("\n")
          .filter((line) => line.includes(url));
        return frames.map((line) => line.slice(line.indexOf(url) + url.length).replace(")", "")).join(" < ");
      });
    };
    /** Where the text stands, as stacks say it. */
    const at = (file: string, text: string, what: string): string => {
      const lines = text.split("\n");
      const line = lines.findIndex((l) => l.includes(what));
      return `${file}:${line + 1}:${lines[line]!.indexOf(what) + 1}`;
    };
    const first = (what: string): string => at("first.ts", main, what);
    const second = (what: string): string => at("second.ts", module, what);
    const expected = [
      `${second('new Error("thread")')} < ${first("f({")}`,
      `${second('new Error("plain")')} < ${first("plain(true)")}`,
      `${second('new Error("method")')} < ${second("deep(); }")} < ${second("#go(); }")} < ${first("go();")}`,
    ];
    assert.deepEqual(await positions(true), expected);
    assert.deepEqual(await positions(false), expected);
  });
});
