/**
 * The program linker and its factories: what a program may consist of, what its instances share, which errors
 * a bad one gives, and what its stack traces say.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { compileFactory, instantiate, mapStack } from "#dist/machine/factory.js";
import type { Bindings, Instance } from "#dist/machine/factory.js";
import { LinkError, linkProgram } from "#dist/machine/link.js";

let root: string;
let programs = 0;

before(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "lwp-link-")));
});
after(() => rm(root, { recursive: true }));

/** Writes a program's files into a folder of its own; returns the folder. */
async function write(files: Record<string, string>): Promise<string> {
  const folder = join(root, `program ${++programs} (ä)`);
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return folder;
}

const nothing: Bindings = { import: () => undefined };

/** Links and instantiates the program `main.ts` (or the one named) of these files. */
async function load(files: Record<string, string>, bindings = nothing, main = "main.ts"): Promise<Instance> {
  const linked = await linkProgram(join(await write(files), main));
  return instantiate(compileFactory(linked, Object.keys(bindings.globals ?? {})), bindings);
}

/** Runs a generator function to its end; returns what it returns. */
function finish(fn: unknown, ...args: unknown[]): unknown {
  const generator = (fn as (...args: unknown[]) => Generator)(...args);
  for (;;) {
    const { done, value } = generator.next();
    if (done) return value;
  }
}

const emptyMain = "export function* main() {}\n";

describe("modules", () => {
  test("program modules may import each other in a circle", async () => {
    const { exports } = await load({
      "main.ts": `
        import { even } from "./even.ts";
        export function* main(n: number): Generator<never, boolean> { return even(n); }`,
      "even.ts": `
        import { odd } from "./odd.js"; // as TypeScript wants it: the name after compilation
        export const even = (n: number): boolean => n === 0 || odd(n - 1);`,
      "odd.ts": `
        import { even } from "./even";
        export const odd = (n: number): boolean => n !== 0 && even(n - 1);`,
    });
    assert.equal(finish(exports.main, 10), true);
    assert.equal(finish(exports.main, 7), false);
  });

  test("a program may be JavaScript, begin with #! and use .mjs modules", async () => {
    const files = {
      "main.js": `#!/usr/bin/env -S lwp run\nimport { x } from "./x.mjs";\nexport function* main() { return x; }`,
      "x.mjs": "export const x = 5;",
    };
    assert.equal(finish((await load(files, nothing, "main.js")).exports.main), 5);
  });

  test("JSON is imported with and without attributes", async () => {
    const { exports } = await load({
      "main.ts": `
        import plain from "./data.json";
        import marked from "./data.json" with { type: "json" };
        export function* main() { return [plain.answer, marked.answer]; }`,
      "data.json": `{"answer": 42}`,
    });
    assert.deepEqual(finish(exports.main), [42, 42]);
  });

  test("built-ins are imported by default, namespace, name, new name, string name and for effect", async () => {
    const files = {
      "main.ts": `
        import fs, { readFileSync as read, constants } from "fs";
        import * as path from "node:path";
        import { "join" as glue } from "node:path";
        import path2, * as path3 from "node:path";
        import "node:events";
        export function* main() {
          return [fs.readFileSync === read, constants === fs.constants, path.join === glue, path2 === path3.default];
        }`,
    };
    const linked = await linkProgram(join(await write(files), "main.ts"));
    assert.deepEqual(
      linked.imports,
      ["fs", "path", "events"].map((name) => `node:${name}`),
    );
    const { exports } = await instantiate(compileFactory(linked), nothing);
    assert.deepEqual(finish(exports.main), [true, true, true, true]);
  });

  test("a package is resolved from the importing module and shared with the realm", async () => {
    const folder = await write({
      "main.ts": `
        import thing, { kind } from "thing";
        import * as all from "thing";
        import { outer } from "./sub/b.ts";
        export function* main() { return [thing, kind, all.kind, outer]; }`,
      "sub/b.ts": `export { kind as outer } from "thing";`,
      "node_modules/thing/package.json": `{
        "name": "thing", "type": "module", "exports": { "import": "./import.js", "require": "./require.cjs" } }`,
      "node_modules/thing/import.js": `export default {}; export const kind = "outer, by import";`,
      "node_modules/thing/require.cjs": `exports.kind = "by require";`,
      "sub/node_modules/thing/index.js": `exports.kind = "inner, CommonJS";`,
    });
    const linked = await linkProgram(join(folder, "main.ts"));
    const outer = pathToFileURL(join(folder, "node_modules/thing/import.js")).href;
    const inner = pathToFileURL(join(folder, "sub/node_modules/thing/index.js")).href;
    assert.deepEqual([...linked.imports].sort(), [outer, inner].sort());
    const { exports } = await instantiate(compileFactory(linked), nothing);
    const thing = ((await import(outer)) as { default: object }).default;
    const [first, ...rest] = finish(exports.main) as unknown[];
    assert.equal(first, thing);
    assert.deepEqual(rest, ["outer, by import", "outer, by import", "inner, CommonJS"]);
  });

  test("CommonJS files beside the program are loaded by Node", async () => {
    const { exports } = await load({
      "main.ts": `
        import legacy from "./legacy.cjs";
        import { plain } from "./plain.js";
        export function* main() { return [legacy.name, plain]; }`,
      "legacy.cjs": `exports.name = require("node:path").basename(__filename);`,
      "plain.js": `exports.plain = require("node:path").basename(__dirname);`,
      "package.json": "{}",
    });
    const [name, plain] = finish(exports.main) as string[];
    assert.equal(name, "legacy.cjs");
    assert.match(plain!, /^program \d+ \(ä\)$/);
  });

  test("lwp and lwp/… come from the machine", async () => {
    const table: Record<string, object> = { lwp: { Thread: "T" }, "lwp/kernel": { default: "K" } };
    const { exports } = await load(
      {
        "main.ts": `
          import { Thread } from "lwp";
          import kernel from "lwp/kernel";
          export const later = import("lwp");
          export function* main() { return [Thread, kernel]; }`,
      },
      { import: (specifier) => table[specifier] },
    );
    assert.deepEqual(finish(exports.main), ["T", "K"]);
    assert.equal(await exports.later, table.lwp);
  });

  test("top-level await is awaited, in a dependency first", async () => {
    const { exports } = await load({
      "main.ts": `
        import { a } from "./a.ts";
        const b = await Promise.resolve(a + 1);
        export function* main() { return b; }`,
      "a.ts": `export const a = await new Promise<number>((resolve) => setImmediate(resolve, 1));`,
    });
    assert.equal(finish(exports.main), 2);
  });

  test("import.meta is each module's own", async () => {
    const folder = await write({
      "main.ts": `
        import { other } from "./sub/b.ts";
        const { url } = import.meta;
        export function* main() {
          return [url, import.meta.filename, import.meta.dirname, other, import.meta.resolve("./x.ts")]; }`,
      "sub/b.ts": `export const other = [import.meta.url, import.meta.resolve("fs")];`,
    });
    const { exports } = await instantiate(
      compileFactory(await linkProgram(join(folder, "main.ts"))),
      nothing,
    );
    const url = (name: string): string => pathToFileURL(join(folder, name)).href;
    const other = [url("sub/b.ts"), "node:fs"];
    assert.deepEqual(finish(exports.main), [
      url("main.ts"),
      join(folder, "main.ts"),
      folder,
      other,
      url("x.ts"),
    ]);
  });

  test("dynamic import finds built-ins, packages, program modules and files named at run time", async () => {
    const { exports } = await load({
      "main.ts": `
        import { load } from "./sub/b.ts";
        const fail = (e: Error & { code: string }) => e.code;
        export const loaded = Promise.all([
          import("node:path"), import("thing"), import("./lazy.ts"), load("../late.mjs"), load("thing"), load("os"),
          import("nowhere").catch(fail),
        ]);
        export function* main() {}`,
      "sub/b.ts": "export const load = (name: string) => import(name);",
      "lazy.ts": `export const lazy: string = "lazy";`,
      "late.mjs": `export const late = "late";`,
      "node_modules/thing/index.mjs": `export const thing = "thing";`,
      "node_modules/thing/package.json": `{ "exports": "./index.mjs" }`,
    });
    const [path, thing, lazy, late, sameThing, os, code] = (await exports.loaded) as Record<
      string,
      unknown
    >[];
    assert.equal(path, await import("node:path"));
    assert.equal(thing!.thing, "thing");
    assert.equal(lazy!.lazy, "lazy");
    assert.equal(late!.late, "late");
    assert.equal(sameThing, thing);
    assert.equal(os, await import("node:os"));
    assert.equal(code, "ERR_MODULE_NOT_FOUND");
  });

  test("exports are live, keep string names and pass on those of outside modules", async () => {
    const { exports } = await load({
      "main.ts": `
        export * from "node:path";
        export * as os from "node:os";
        export { sep as delimiter2 } from "node:path";
        let n = 0;
        const two = 2;
        export { n, two as "a name", two as sep };
        export function* main() { n++; }`,
    });
    finish(exports.main);
    assert.equal(exports.n, 1);
    assert.equal(exports["a name"], 2);
    assert.equal(exports.sep, 2, "a program's own export hides one passed on");
    assert.equal(exports.basename, (await import("node:path")).basename);
    assert.equal(exports.delimiter2, (await import("node:path")).sep);
    assert.equal(exports.os, await import("node:os"));
    assert.equal("default" in exports, false);
  });

  test("modules that are imported for their effect are kept whatever package.json promises", async () => {
    const { exports } = await load({
      "main.ts": `import "./effect.ts";\nexport function* main() { return (globalThis as any).linkTestEffect; }`,
      "effect.ts": "(globalThis as any).linkTestEffect = true;",
      "package.json": `{ "sideEffects": false }`,
    });
    assert.equal(finish(exports.main), true);
  });

  test("program modules named through tsconfig paths and package.json imports belong to the program", async () => {
    const { entries } = await load({
      "main.ts": `
        import { a } from "@/a";
        import { b } from "#b";
        export function* main() { yield* a(); yield* b(); }`,
      "src/a.ts": "export function* a() {}",
      "src/b.js": "export function* b() {}",
      "tsconfig.json": `{ "compilerOptions": { "paths": { "@/*": ["./src/*"] } } }`,
      "package.json": `{ "type": "module", "imports": { "#b": "./src/b.js" } }`,
    });
    assert.deepEqual([...entries.keys()], ["src/a.ts#a", "src/b.js#b", "main.ts#main"]);
  });

  test("a program may use enums, decorators and using", async () => {
    const { exports } = await load({
      "main.ts": `
        enum Colour { Red = 3 }
        const log: unknown[] = [];
        function mark(_: unknown, context: ClassMethodDecoratorContext) { log.push(context.name); }
        class C { @mark method() {} }
        export function* main() {
          { using _ = { [Symbol.dispose]: () => log.push("disposed") }; log.push(typeof C); }
          return [Colour.Red, ...log];
        }`,
    });
    assert.deepEqual(finish(exports.main), [3, "method", "function", "disposed"]);
  });

  test("each module is compiled as its tsconfig.json says, and decorators of the old kind hide no entry", async () => {
    const { exports, entries } = await load({
      "main.ts": `
        import { f } from "./old.ts";
        export function* main() { return yield* f(); }`,
      "old.ts": `
        function times10(_: object, name: string, d: PropertyDescriptor) { const f = d.value; d.value = () => f() * 10; }
        function inject(): any { return () => {}; }
        class C { constructor(@inject() readonly x: number) {} @times10 get4() { return 4; } }
        export function* f() { return new C(2).x + new C(2).get4(); }`,
      "tsconfig.json": `{ "compilerOptions": { "experimentalDecorators": true } }`,
    });
    assert.equal(finish(exports.main), 42);
    assert.deepEqual([...entries.keys()], ["old.ts#f", "main.ts#main"]);
  });
});

describe("portable entries", () => {
  test("are the top-level generator functions of every module, exported or not", async () => {
    const { entries, exports, idOf } = await load({
      "main.ts": `
        import run, { listed } from "./sub/b.ts";
        import { constant } from "../shared-entries.ts";
        export function* main() { return [run, listed, constant, hidden]; }
        function* hidden() { yield 1; }
        async function* asynchronous() { yield 1; }
        function plain() { return function* closure() {}; }
        export let variable = function* () {};
        export const all = [asynchronous, plain(), plain, variable];`,
      "sub/b.ts": `
        export default function* () { return "default"; }
        const local = function* inner(): Generator { return "local"; };
        export { local as listed };`,
      "../shared-entries.ts": `export const a = 1, constant = function* () {};`,
    });
    assert.deepEqual([...entries.keys()].sort(), [
      "../shared-entries.ts#constant",
      "main.ts#hidden",
      "main.ts#main",
      "sub/b.ts#default",
      "sub/b.ts#local",
    ]);
    const known = finish(exports.main) as unknown[];
    const ids = ["sub/b.ts#default", "sub/b.ts#local", "../shared-entries.ts#constant", "main.ts#hidden"];
    assert.deepEqual(known.map(idOf), ids);
    assert.deepEqual((exports.all as unknown[]).map(idOf), [undefined, undefined, undefined, undefined]);
    assert.equal(finish(entries.get("sub/b.ts#default")), "default");
  });

  test("of the same name in two modules keep their ids and names apart", async () => {
    const { entries } = await load({
      "main.ts": `
        import { other } from "./b.ts";
        function* work() { return "main"; }
        export function* main() { return [work, other]; }`,
      "b.ts": `function* work() { return "b"; }\nexport { work as other };`,
    });
    assert.equal(finish(entries.get("main.ts#work")), "main");
    assert.equal(finish(entries.get("b.ts#work")), "b");
    assert.equal(entries.get("main.ts#work")!.name, "work");
    assert.equal(entries.get("b.ts#work")!.name, "work");
  });

  test("know their file and line, in the linked program and in an instance", async () => {
    const folder = await write({
      "main.ts": `interface Gone {\n  x: number;\n}\n\nexport function* main() {}\nimport "./sub/b.js";\n`,
      "sub/b.js": `// first line\n\nconst f =\n  function* () {};\n\nexport default function* () {}\n// the end`,
    });
    const linked = await linkProgram(join(folder, "main.ts"));
    const b = join(folder, "sub/b.js");
    assert.deepEqual(linked.entries, [
      { id: "sub/b.js#f", file: b, line: 3 },
      { id: "sub/b.js#default", file: b, line: 6 },
      { id: "main.ts#main", file: join(folder, "main.ts"), line: 5 },
    ]);
    const { entries, positionOf } = await instantiate(compileFactory(linked), nothing);
    assert.deepEqual(positionOf(entries.get("sub/b.js#f")), { file: "sub/b.js", line: 3 });
    assert.equal(positionOf(finish), undefined);
  });

  test("of a module that is only imported dynamically are loaded when asked for", async () => {
    const files = {
      "main.ts": `export function* main() { return import("./lazy.ts"); }`,
      "lazy.ts": `export const deeper = () => import("./sub/deeper.ts");\nexport function* work() {}`,
      "sub/deeper.ts": `import { work } from "../lazy.ts";\nexport function* deep() { return work; }`,
    };
    const linked = await linkProgram(join(await write(files), "main.ts"));
    assert.deepEqual(linked.entries.map(({ id }) => id).sort(), [
      "lazy.ts#work",
      "main.ts#main",
      "sub/deeper.ts#deep",
    ]);
    const instance = await instantiate(compileFactory(linked), nothing);
    assert.deepEqual([...instance.entries.keys()], ["main.ts#main"]);
    const deep = await instance.load("sub/deeper.ts#deep");
    const lazy = (await finish(instance.exports.main)) as { work: unknown };
    assert.equal(finish(deep), lazy.work, "the module is evaluated once, whoever asks first");
    assert.equal(instance.idOf(lazy.work), "lazy.ts#work");
    assert.equal(await instance.load("lazy.ts#nothing"), undefined);
    assert.equal(await instance.load("nowhere.ts#work"), undefined);
  });

  test("main may come from another module, under another name there", async () => {
    const linked = await linkProgram(
      join(
        await write({
          "main.ts": `export { start as main } from "./app.ts";`,
          "app.ts": "export const start = function* () {};",
        }),
        "main.ts",
      ),
    );
    assert.equal(linked.main, "app.ts#start");
  });
});

describe("instances", () => {
  test("share no module variables", async () => {
    const linked = await linkProgram(
      join(
        await write({
          "main.ts": `import { next } from "./count.ts";\nexport function* main() { return next(); }`,
          "count.ts": "let n = 0;\nexport const next = () => ++n;",
        }),
        "main.ts",
      ),
    );
    const factory = compileFactory(linked);
    const [a, b] = [await instantiate(factory, nothing), await instantiate(factory, nothing)];
    assert.equal(finish(a.exports.main), 1);
    assert.equal(finish(a.exports.main), 2);
    assert.equal(finish(b.exports.main), 1);
    assert.equal(b.idOf(a.exports.main), undefined);
  });

  test("take the globals that the factory was compiled with from their bindings", async () => {
    const files = {
      "main.ts": `
        import { performance } from "node:perf_hooks";
        export function* main() { return [Date.now(), typeof performance.now(), Math.max(1, 2)]; }`,
    };
    const globals = { Date: { now: () => 7 }, performance: undefined };
    const { exports } = await load(files, { ...nothing, globals });
    assert.deepEqual(finish(exports.main), [7, "number", 2]);
  });

  test("are module code: strict, and without a this", async () => {
    const { exports } = await load({
      "main.ts": `
        export const self: unknown = this;
        export function* main() { return (function (this: unknown) { return this; })(); }`,
    });
    assert.equal(exports.self, undefined);
    assert.equal(finish(exports.main), undefined);
  });

  test("can be made in a worker from the posted program", async () => {
    const files = { "main.ts": `import { sep } from "node:path";\nexport function* main() { return sep; }` };
    const linked = await linkProgram(join(await write(files), "main.ts"));
    const source = `
      import { parentPort, workerData } from "node:worker_threads";
      const { compileFactory, instantiate } = await import(workerData.factory);
      const instance = await instantiate(compileFactory(workerData.linked), { import() {} });
      parentPort.postMessage(instance.entries.get(workerData.linked.main)().next().value);`;
    const workerData = { linked, factory: import.meta.resolve("#dist/machine/factory.js") };
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData });
    const value = await new Promise((resolve, reject) => worker.on("message", resolve).on("error", reject));
    await worker.terminate();
    assert.equal(value, (await import("node:path")).sep);
  });

  test("leave nothing behind when they are dropped", async () => {
    setFlagsFromString("--expose_gc");
    const collect = runInNewContext("gc") as () => void;
    const heap = async (): Promise<number> => {
      // Twice with a turn between: what a promise job holds is freed after the job.
      for (let i = 0; i < 2; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        collect();
      }
      return process.memoryUsage().heapUsed;
    };
    const lines = Array.from({ length: 1000 }, (_, i) => {
      return `export function* work${i}(x) { const table = { i: ${i}, text: "some text " + x }; yield table; }`;
    });
    const files = {
      "main.js": `
        import "node:fs";
        export * from "./big.js";
        const state = new Array(10_000).fill(1.5);
        export const late = import("node:os"), dirname = import.meta.dirname;
        export function* main() { return state; }`,
      "big.js": lines.join("\n"),
    };
    const linked = await linkProgram(join(await write(files), "main.js"));
    assert.ok(linked.code.length > 100_000);
    const factory = compileFactory(linked);
    const use = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        const { exports, entries } = await instantiate(factory, nothing);
        await exports.late;
        finish(exports.main);
        finish(entries.get("big.js#work7"), i);
      }
    };
    await use(20);
    const before = await heap();
    await use(300);
    const grown = (await heap()) - before;
    // Each instance holds more than 200 kB while it lives.
    assert.ok(grown < 4 << 20, `the heap grew by ${grown} bytes`);
  });
});

describe("errors", () => {
  /** Links what must fail; returns the error's code and its message with the folder as `…`. */
  async function failure(files: Record<string, string>, main = "main.ts"): Promise<[string, string]> {
    const folder = await write(files);
    const error = await attempt(join(folder, main));
    assert.ok(error instanceof LinkError);
    assert.doesNotMatch(error.message, /\n/);
    return [error.code, error.message.replaceAll(folder, "…")];
  }

  async function attempt(path: string): Promise<unknown> {
    try {
      await instantiate(compileFactory(await linkProgram(path)), nothing);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  const cases: [string, Record<string, string>, string, string][] = [
    ["a missing program", {}, "ENOENT", "…/main.ts: no such program"],
    ["a folder", { "main.ts/x": "" }, "ENOEXEC", "…/main.ts: not a file"],
    [
      "a syntax error",
      { "main.ts": `import "./b.ts";`, "b.ts": "let x = 1;\nlet y == 2;\n" },
      "ENOEXEC",
      `…/b.ts:2:7: Expected ";" but found "=="`,
    ],
    [
      "a program that ends too early",
      { "main.ts": "export function* main() {" },
      "ENOEXEC",
      "…/main.ts:1:26: Unexpected end of file",
    ],
    [
      "a missing module",
      { "main.ts": `${emptyMain}import "./b.ts";` },
      "ENOEXEC",
      `…/main.ts:2:8: Could not resolve "./b.ts"`,
    ],
    [
      "a missing package",
      { "main.ts": `${emptyMain}import { x } from "not-installed"; x;` },
      "ENOEXEC",
      `…/main.ts:2:19: Could not resolve "not-installed"`,
    ],
    [
      "an export that a program module lacks",
      {
        "main.ts": `import { x } from "./b.js";\nexport function* main() { x; }`,
        "b.js": "export const y = 1;",
      },
      "ENOEXEC",
      `…/main.ts:1:10: No matching export in "b.js" for import "x"`,
    ],
    [
      "an export that an outside module lacks",
      { "main.ts": `import { nothing } from "node:fs";\nexport function* main() { nothing; }` },
      "ENOEXEC",
      `…/main.ts: "node:fs" has no export named "nothing"`,
    ],
    [
      "a package that throws",
      { "main.ts": `${emptyMain}import "bad";`, "node_modules/bad/index.js": `throw new Error("a\\nb");` },
      "ENOEXEC",
      `…/main.ts: cannot import "file://…/node_modules/bad/index.js": a`,
    ],
    [
      "a module of lwp that the machine has not",
      { "main.ts": `${emptyMain}import "lwp/nothing";` },
      "ENOEXEC",
      `…/main.ts: there is no module "lwp/nothing"`,
    ],
    [
      "no main",
      { "main.ts": "function* main() {}" },
      "ENOEXEC",
      `…/main.ts: no exported main: a program has an "export function* main"`,
    ],
    [
      "a main that is no generator function",
      { "main.ts": "export async function* main() {}" },
      "ENOEXEC",
      `…/main.ts: main is no entry: a program has an "export function* main"`,
    ],
    [
      "a CommonJS program",
      { "main.ts": "module.exports.main = function* () {};" },
      "ENOEXEC",
      `…/main.ts: no exported main: a program has an "export function* main"`,
    ],
  ];
  for (const [name, files, code, message] of cases) {
    test(`${name} is ${code}, in one line`, async () => {
      const [gotCode, gotMessage] = await failure(files);
      assert.deepEqual(
        [gotCode, decodeURI(gotMessage).replace(/file:\/\/.*(?=\/node_modules)/, "file://…")],
        [code, message],
      );
    });
  }

  test("a file that is no module is ENOEXEC", async () => {
    assert.deepEqual(await failure({ "main.txt": "" }, "main.txt"), [
      "ENOEXEC",
      "…/main.txt: not a TypeScript or JavaScript file",
    ]);
  });

  test("what a program throws at its top level arrives as it is", async () => {
    const folder = await write({ "main.ts": `${emptyMain}throw new RangeError("mine");` });
    const error = (await attempt(join(folder, "main.ts"))) as Error;
    assert.equal(error.constructor, RangeError);
    assert.match(mapStack(error.stack!), /main\.ts:2:7/);
  });

  test("a file URL, as an object or a string, is a file name too", async () => {
    const folder = await write({ "main.ts": emptyMain });
    const url = pathToFileURL(join(folder, "main.ts"));
    assert.equal((await linkProgram(url)).file, join(folder, "main.ts"));
    assert.equal((await linkProgram(url.href)).url, url.href);
  });
});

describe("stack traces", () => {
  const files = {
    "main.ts": [
      `import { dirname } from "node:path";`,
      `import { fail } from "./sub/b.ts";`,
      `interface Options {`,
      `  deep: boolean;`,
      `}`,
      `export function* main(options: Options): Generator { dirname(import.meta.url); yield* work(options); }`,
      `function* work(_: Options): Generator { import.meta.url; void import("node:fs"); fail(import.meta.url); }`,
    ].join("\n"),
    "sub/b.ts": [
      `type Message = string;`,
      ``,
      `export function* work(): Generator {}`,
      `export function fail<T extends Message>(message: T): never {`,
      `  const text: string = message; if (text) throw new Error("at once");`,
      `  throw new Error("never");`,
      `}`,
    ].join("\n"),
  };

  test("name the file, line and column of the original module", async () => {
    const folder = await write(files);
    const { exports } = await instantiate(
      compileFactory(await linkProgram(join(folder, "main.ts"))),
      nothing,
    );
    let stack = "";
    try {
      finish(exports.main, { deep: true });
    } catch (error) {
      stack = mapStack((error as Error).stack!);
    }
    const url = pathToFileURL(folder).href;
    const frames = stack.split("\n").map((line) => line.trim());
    assert.equal(frames[0], "Error: at once");
    assert.equal(frames[1], `at fail (${url}/sub/b.ts:5:49)`);
    assert.match(frames[2]!, /^at .*work/);
    assert.ok(frames[2]!.endsWith(`(${url}/main.ts:7:82)`), frames[2]);
    assert.ok(frames.includes(`at main (${url}/main.ts:6:87)`), stack);
    assert.doesNotMatch(stack, /\?lwp=/);
    assert.equal(mapStack(stack), stack);
  });

  test("of other code are left alone", () => {
    const stack = "Error: at file:///x.ts?lwp=0123456789ab:1:1\n    at f (file:///x.ts?lwp=0123456789ab:1:1)";
    assert.equal(mapStack(stack), stack);
  });
});
