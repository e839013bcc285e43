/** `lwp run`: exit statuses, what it says when a program cannot be started, options, statistics. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { lwp, lwpRun, program } from "../support/host.js";

const command = fileURLToPath(import.meta.resolve("#dist/cli/main.js"));
const root = fileURLToPath(new URL("../../..", import.meta.url));

describe("exit status", () => {
  const STATUSES: readonly [string, number][] = [
    ["", 0],
    ["return undefined;", 0],
    ["return 0;", 0],
    ["return 7;", 7],
    ["return 255;", 255],
    ["yield* procExit(3);", 3],
    ["yield* procExit(256 + 4);", 4],
    ["yield* lwpExit();", 0],
    ["yield* lwpCreate(function* () { yield* procExit(9); }); yield* lwpExit();", 9],
  ];
  for (const [body, wanted] of STATUSES) {
    test(`of a main that does { ${body} } is ${wanted}`, async () => {
      const text = `
        import { lwpCreate, lwpExit, procExit } from "lwp/syscall";
        export function* main() { ${body} }
      `;
      const { status, stderr } = await lwpRun(text, 2);
      assert.deepEqual([status, stderr], [wanted, ""]);
    });
  }

  for (const options of [["--cpus", "1"], ["--cpus", "2"], ["--sim"]]) {
    test(`a program that awaits for ever while it is loaded could not start (${options.join(" ")})`, async () => {
      const dependency = program("export const x = await new Promise(() => {});");
      const file = program(
        `import { x } from ${JSON.stringify(dependency)}; export function* main() { return x; }`,
      );
      const { status, stdout, stderr } = await lwp("run", ...options, file);
      const said = `lwp: ${file}: a top-level \`await\` never ended: nothing is left that could end it\n`;
      assert.deepEqual([status, stdout, stderr], [2, "", said]);
    });
  }

  for (const value of ["256", "-1", "1.5", '"0"', "true", "null"]) {
    test(`main may not return ${value}: a report, and 134`, async () => {
      const { status, stderr } = await lwpRun(`export function* main() { return ${value}; }`, 1);
      assert.equal(status, 134);
      assert.match(
        stderr,
        /^process 1: thread 1 ended it with an exception:\nTypeError: main must return nothing or an exit status 0\.\.255/,
      );
    });
  }

  for (const cpus of [1, 2]) {
    test(`an exception leaves main: a report with the line of the source, and 134 (${cpus} CPUs)`, async () => {
      const text = `
        interface Unused { a: number }
        export function* main() {
          fail("on purpose");
        }
        function fail(text: string): never {
          throw new RangeError(text);
        }
      `;
      const { status, stderr } = await lwpRun(text, cpus);
      assert.equal(status, 134);
      assert.match(stderr, /^process 1: thread 1 ended it with an exception:\nRangeError: on purpose\n/);
      assert.match(stderr, /at fail \(.*program\d+\.ts:7:\d+\)\n +at main \(.*program\d+\.ts:4:\d+\)/);
    });
  }

  test("a value that is no error leaves main: its text, and 134", async () => {
    const { status, stderr } = await lwpRun('export function* main() { throw "words"; }', 1);
    assert.equal(status, 134);
    assert.match(
      stderr,
      /^process 1: thread 1 ended it with an exception:\nwords\nThe threads of process 1:\nPID /,
    );
  });

  // What a program throws is read for the report, and may fail then: that ends its process, as any exception, and no more.
  const unreadable = {
    "has no text": "Object.create(null)",
    "throws where its cause is read": `Object.defineProperty(new Error("odd"), "cause", { get() { throw new Error("no"); } })`,
    "throws where its stack is read": `Object.defineProperty(new Error("odd"), "stack", { get() { throw new Error("no"); } })`,
    "is its own cause": `(() => { const e = new Error("odd"); return (e.cause = e); })()`,
    "has a cause that has it as cause": `(() => { const e = new Error("odd"); e.cause = new Error("other", { cause: e }); return e; })()`,
  };
  for (const [what, thrown] of Object.entries(unreadable)) {
    for (const options of [[], ["--json"]]) {
      test(`a thrown value that ${what} ends its process ${options.join("")}`, async () => {
        const text = `export function* main() { const thrown: unknown = ${thrown}; throw thrown; }`;
        const { status, stderr } = await lwp("run", "--cpus", "1", ...options, program(text));
        assert.equal(status, 134, stderr);
        assert.doesNotMatch(stderr, /machine stopped/);
        assert.match(
          stderr,
          options.length === 0 ? /^process 1: thread 1 ended it/ : /^\{"event":"exception"/,
        );
      });
    }
  }

  const FAILS = `
    import { schedYield, Thread } from "lwp";
    import { lwpPark } from "lwp/syscall";
    export function* main() {
      yield* Thread.spawn(sleeper);
      for (let i = 0; i < 100; i++) yield* schedYield();
      throw new RangeError("on purpose", { cause: new Error("deep down") });
    }
    function* sleeper() { yield* lwpPark(); }
  `;

  test("the report of an exception has every thread of the process", async () => {
    const { status, stderr } = await lwpRun(FAILS, 1);
    assert.equal(status, 134);
    const table = stderr.slice(stderr.indexOf("The threads of process 1:\n")).split("\n");
    assert.deepEqual(
      table.map((line) => line.replace(/\d\.\d{3}/, "TIME")),
      [
        "The threads of process 1:",
        "PID  LID  NAME       S  PRI  CPU   TIME  WAITS FOR",
        "  1    1  main()     O   43    0  TIME",
        "  1    2  sleeper()  S   43    0  TIME  an unpark",
        "",
      ],
    );
  });

  for (const cpus of ["1", "2"]) {
    test(`with --json the report of an exception is one line of JSON (${cpus} CPUs)`, async () => {
      const { status, stderr } = await lwp("run", "--json", "--cpus", cpus, program(FAILS));
      assert.equal(status, 134);
      assert.equal(stderr.split("\n").length, 2, stderr);
      const { event, pid, lid, error, threads } = JSON.parse(stderr);
      assert.deepEqual(
        [event, pid, lid, error.name, error.message],
        ["exception", 1, 1, "RangeError", "on purpose"],
      );
      assert.equal(error.cause.message, "deep down");
      assert.match(error.stack, /at main \(.*program\d+\.ts:7:\d+\)/);
      assert.deepEqual(
        threads.map((l: { lid: number; entry: string }) => [l.lid, l.entry]),
        [
          [1, "main"],
          [2, "sleeper"],
        ],
      );
    });
  }
});

test("arguments go to main as strings, options of the program's own too", async () => {
  const text = "export function* main(args: string[]) { console.log(JSON.stringify(args)); }";
  const args = ["a b", "", "--cpus", "9", "-x", "ä", "--", "--stats"];
  const { status, stdout, stderr } = await lwpRun(text, 2, ...args);
  assert.deepEqual([status, stderr], [0, ""]);
  assert.deepEqual(JSON.parse(stdout), args);
  assert.equal((await lwpRun(text, 1)).stdout, "[]\n");
});

describe("a program that cannot be started", () => {
  const TEXTS: readonly [string, string, RegExp][] = [
    ["does not parse", "export function* main( {", /program\d+\.ts:1:\d+: .+/],
    ["has no main", "export const x = 1;", /program\d+\.ts: .*main/],
    ["has a main that is no generator function", "export function main() {}", /program\d+\.ts: .*main/],
    ["imports what is not there", 'import "./nowhere.js"; export function* main() {}', /nowhere\.js/],
    [
      "imports a name that `lwp` does not have",
      'import { nothing } from "lwp"; export function* main() { nothing; }',
      /"lwp" has no export named "nothing"/,
    ],
    [
      "imports a package that is not there",
      'import "no-such-package-at-all"; export function* main() {}',
      /no-such-package-at-all/,
    ],
  ];
  for (const [what, text, message] of TEXTS) {
    test(`since it ${what}: one line, and 2`, async () => {
      const { status, stdout, stderr } = await lwpRun(text, 2);
      assert.deepEqual([status, stdout], [2, ""], stderr);
      assert.match(stderr, /^lwp: .*\n$/);
      assert.match(stderr, message);
      assert.equal(stderr.split("\n").length, 2, stderr);
    });
  }

  test("since there is no such file: one line, and 2", async () => {
    const { status, stdout, stderr } = await lwp("run", "/no/such/program.ts");
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^lwp: .*\/no\/such\/program\.ts: no such program\n$/);
  });

  test("since it throws while it is loaded: what it threw, and where, and 2", async () => {
    const { status, stdout, stderr } = await lwpRun(
      'throw new RangeError("while loading");\nexport function* main() {}',
      2,
    );
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^lwp: .*RangeError: while loading\n/);
    assert.match(stderr, /program\d+\.ts:1:\d+/);
  });
});

describe("the command line", () => {
  const path = program("export function* main() {}", "nothing.ts");
  const BAD: readonly (readonly string[])[] = [
    ["run", "--cpus", "0", path],
    ["run", "--cpus", "33", path],
    ["run", "--cpus", "1.5", path],
    ["run", "--cpus", "many", path],
    ["run", "--cpus", "", path],
    ["run", "--cpus"],
    ["run", "--no-such-option", path],
    ["run", "--seed", "1", path],
    ["run", "--sim", "--seed", "x", path],
    ["run", "--sim", "--seed", "1.5", path],
    ["run"],
    ["no-such-command"],
    ["--no-such-option"],
  ];
  for (const args of BAD) {
    test(`lwp ${args.map((a) => (a === path ? "PROGRAM" : JSON.stringify(a))).join(" ")}: one line, and 2`, async () => {
      const { status, stdout, stderr } = await lwp(...args);
      assert.deepEqual([status, stdout], [2, ""], stderr);
      assert.match(stderr, /^lwp: .*\n$/);
    });
  }

  test("lwp alone says how it is used, and that is an error", async () => {
    const { status, stdout, stderr } = await lwp();
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /^Usage: lwp /);
  });

  test("--version prints the version of the package", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    assert.deepEqual(await lwp("--version"), { status: 0, signal: null, stdout: `${version}\n`, stderr: "" });
  });

  test("--help says what there is, on standard output, and that is no error", async () => {
    const { status, stdout, stderr } = await lwp("run", "--help");
    assert.deepEqual([status, stderr], [0, ""]);
    for (const option of ["--cpus", "--sim", "--seed", "--stats", "--json"])
      assert.ok(stdout.includes(`  ${option}`), stdout);
    for (const status of ["0..255", "2", "70", "71", "128 + n"])
      assert.match(stdout, new RegExp(`^  ${status.replace(/[.+]/g, "\\$&")}  `, "m"));
    assert.match(stdout, /^Examples:$/m);
  });
});

describe("--sim", () => {
  const text = `
    import { schedYield, Thread } from "lwp";
    export function* main() {
      const threads = [];
      for (const name of ["a", "b", "c"]) threads.push(yield* Thread.spawn(say, name));
      for (const t of threads) yield* t.join();
      console.log(order.join(""));
      return 4;
    }
    const order: string[] = [];
    function* say(name: string) { for (let i = 0; i < 4; i++) { order.push(name); yield* schedYield(); } }
  `;
  const run = (seed: string) => lwp("run", "--sim", "--cpus", "3", "--seed", seed, program(text));

  test("the same seed gives the same order, other seeds give others, and the status is the program's", async () => {
    const outputs: string[] = [];
    for (const seed of ["1", "1", "2", "3"]) {
      const { status, stdout, stderr } = await run(seed);
      assert.deepEqual([status, stderr], [4, ""]);
      assert.equal([...stdout.trim()].sort().join(""), "aaaabbbbcccc");
      outputs.push(stdout);
    }
    assert.equal(outputs[0], outputs[1]);
    assert.ok(new Set(outputs).size > 1, outputs.join(""));
  });
});

describe("SIGQUIT", () => {
  /** Runs a program that says when it is ready, sends it the signal, and returns what it then writes and its status. */
  async function quit(text: string, cpus: number, ...options: string[]): Promise<[number | null, string]> {
    const args = [command, "run", "--cpus", String(cpus), ...options, program(text)];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (data: string) => {
      stderr += data;
      // One report has come: the program may end.
      if (stderr.endsWith("\n")) child.stdin.end("\n");
    });
    child.stdout.once("data", () => child.kill("SIGQUIT"));
    const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return [status, stderr];
  }
  const ENDS = `
    import { schedYield, Thread, until } from "lwp";
    import * as K from "lwp/kernel";
    import { lwpPark } from "lwp/syscall";
    function* sleeper() { yield* lwpPark(); }
  `;
  /** While CPU 0 computes, one operation after another; while it awaits the host. */
  const STATES: Readonly<Record<string, string>> = {
    "while CPU 0 computes": `
      const line = new Promise((done) => process.stdin.once("data", done));
      let come = false;
      void line.then(() => (come = true));
      console.log("ready");
      while (!come) yield* schedYield();
    `,
    "while CPU 0 is idle": `
      const line = new Promise((done) => process.stdin.once("data", done));
      console.log("ready");
      yield* until(line);
    `,
  };
  for (const [when, body] of Object.entries(STATES)) {
    for (const cpus of [1, 2]) {
      test(`${when} lists the threads, and the program goes on (${cpus} CPUs)`, async () => {
        const text = `${ENDS} export function* main() {
          yield* Thread.spawn(sleeper);
          while (!K.listLwps(K.cur.lwp.k).some((l) => l.wmesg === "parked")) yield* schedYield();
          ${body}
          process.stdin.destroy();
          return 5;
        }`;
        const [status, stderr] = await quit(text, cpus);
        assert.match(
          stderr,
          /^PID +LID +NAME .*\n +1 +1 +main\(\) .*\n +1 +2 +sleeper\(\) +S .* an unpark\n$/,
        );
        assert.equal(status, 5);
      });
    }
  }

  test("with --json prints the list as one line of JSON", async () => {
    const text = `${ENDS} export function* main() { ${STATES["while CPU 0 is idle"]} process.stdin.destroy(); }`;
    const [status, stderr] = await quit(text, 2, "--json");
    const { event, threads } = JSON.parse(stderr) as { event: string; threads: { entry: string }[] };
    assert.deepEqual([status, event, threads.map((t) => t.entry)], [0, "listing", ["main"]]);
  });
});

describe("--stats", () => {
  const text = `
    import { schedYield, Thread } from "lwp";
    export function* main() {
      const threads = [];
      for (let i = 0; i < 20; i++) threads.push(yield* Thread.spawn(work));
      for (const t of threads) yield* t.join();
      return 5;
    }
    function* work() { for (let i = 0; i < 10; i++) yield* schedYield(); }
  `;
  for (const cpus of [1, 3]) {
    test(`with --json is one line of JSON on standard error (${cpus} CPUs)`, async () => {
      const run = ["run", "--cpus", String(cpus), "--stats", "--json", program(text)];
      const { status, stdout, stderr } = await lwp(...run);
      assert.deepEqual([status, stdout], [5, ""], stderr);
      assert.equal(stderr.split("\n").length, 2, stderr);
      const stats = JSON.parse(stderr) as {
        bootMs: number;
        wallMs: number;
        cpus: { index: number; lwps: number; switches: number; busy: number }[];
      };
      assert.deepEqual(Object.keys(stats), ["bootMs", "wallMs", "cpus"]);
      assert.ok(stats.bootMs > 0 && stats.wallMs > 0);
      assert.deepEqual(
        stats.cpus.map((c) => c.index),
        Array.from({ length: cpus }, (_, i) => i),
      );
      for (const c of stats.cpus) {
        assert.deepEqual(Object.keys(c), ["index", "lwps", "switches", "busy"]);
        assert.ok(c.lwps >= 0 && c.switches >= c.lwps && c.busy >= 0);
      }
      // Main and its threads, each counted where it first ran.
      assert.equal(
        stats.cpus.reduce((n, c) => n + c.lwps, 0),
        21,
      );
    });
  }

  test("alone is for people: a line for each CPU", async () => {
    const { status, stderr } = await lwp("run", "--cpus", "2", "--stats", program(text));
    assert.equal(status, 5);
    assert.match(
      stderr,
      /^booted in \d+ ms, ran \d+ ms\nCPU 0: \d+ threads, \d+ switches, busy \d+ ms\nCPU 1: .*\n$/,
    );
  });
});

describe("examples/digest.ts", () => {
  const example = join(root, "examples/digest.ts");
  const files = readdirSync(join(root, "src/kern"))
    .sort()
    .map((name) => join(root, "src/kern", name));

  for (const cpus of ["1", "2", "4"]) {
    test(`gives the digests that sha256sum gives, in order (${cpus} CPUs)`, async () => {
      const { status, stdout, stderr } = await lwp("run", "--cpus", cpus, example, ...files);
      assert.deepEqual([status, stderr], [0, ""]);
      const lines = stdout.trimEnd().split("\n");
      const summary = lines.pop() as string;
      assert.deepEqual(
        lines.map((line) => line.replace(/ {2}CPU \d+ {2}/, "  ")),
        files.map((file) => `${createHash("sha256").update(readFileSync(file)).digest("hex")}  ${file}`),
      );
      const bytes = files.reduce((n, file) => n + readFileSync(file).length, 0);
      assert.match(summary, new RegExp(`^${files.length} files, ${bytes} bytes, ${files.length} threads, `));
    });
  }
});

test("standard input is CPU 0's; whoever reads it on another is told so, once", async () => {
  const text = (cpu: number) => `import { Thread, until } from "lwp";
    export function* main() { yield* (yield* Thread.with({ cpu: ${cpu} }).spawn(read)).join(); }
    function* read() {
      process.stdin.resume();
      yield* until(new Promise((done) => process.stdin.on("end", done)));
      console.log("end");
    }`;
  assert.deepEqual(await lwpRun(text(0), 2), { status: 0, signal: null, stdout: "end\n", stderr: "" });
  const { status, stdout, stderr } = await lwpRun(text(1), 2);
  assert.deepEqual([status, stdout], [0, "end\n"]);
  assert.match(stderr, /^lwp: warning: process\.stdin is empty on CPU 1: .*cpu: 0.*\n$/);
});

describe("a pipe", () => {
  const MANY = 'export function* main() { for (let i = 0; i < 20_000; i++) console.log("line", i); }';
  /** `lwp run` of that, with its status on standard error, into a command of the shell. */
  const into = (args: string, reader: string) => {
    const lines = `("${process.execPath}" "${command}" run ${args} "${program(MANY)}"; echo "status $?" >&2)`;
    return spawnSync("sh", ["-c", `${lines} | ${reader}`], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"] },
    });
  };
  for (const args of ["--cpus 1", "--cpus 2", "--sim"]) {
    test(`gets all that a program has written, though its reader is slow (${args})`, () => {
      const { stdout, stderr } = into(args, "{ sleep 0.5; wc -l; }");
      assert.deepEqual([stdout.trim(), stderr], ["20000", "status 0\n"]);
    });

    test(`whose reader has gone is no error (${args})`, () => {
      const { stdout, stderr } = into(args, "head -n 1");
      assert.deepEqual([stdout, stderr], ["line 0\n", "status 0\n"]);
    });
  }
});
