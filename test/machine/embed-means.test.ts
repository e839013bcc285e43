/** Hosts that allow only one CPU: programs run all the same, with exactly one warning that says why. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { node, program } from "../support/host.js";

const command = fileURLToPath(import.meta.resolve("#dist/cli/main.js"));
const root = fileURLToPath(new URL("../../..", import.meta.url));
/** Node 20 calls it experimental. */
const permission = process.allowedNodeEnvironmentFlags.has("--permission")
  ? "--permission"
  : "--experimental-permission";

const PROGRAM = `
  import { schedYield, Thread, until } from "lwp";
  import * as K from "lwp/kernel";
  import { lwpPark } from "lwp/syscall";
  export function* main([n]: string[]) {
    const threads = [];
    for (let i = 0; i < 10; i++) threads.push(yield* Thread.spawn(work, i));
    let sum = 0;
    for (const t of threads) sum += yield* t.join();
    // A sleep that only the clock ends, and a promise of the host.
    const { sec, nsec } = K.wallclockAtTick(K.cur.lwp.k);
    try { yield* lwpPark({ sec: sec + Math.floor((nsec + 2e7) / 1e9), nsec: (nsec + 2e7) % 1e9 }); }
    catch (error) { if (error.code !== "ETIMEDOUT") throw error; }
    yield* until(new Promise((resolve) => setTimeout(resolve, 2)));
    console.log(K.cur.lwp.k.g.ncpu, sum);
    return Number(n);
  }
  function* work(n: number) { yield* schedYield(); return n; }
`;

/** A module that does something in a realm before anything else is imported. */
function preload(text: string): string[] {
  return ["--import", program(text, `preload${++preloads}.mjs`)];
}
let preloads = 0;

const NO_SHARED_MEMORY = "delete globalThis.SharedArrayBuffer;";
const NO_WORKERS = `
  import { syncBuiltinESMExports } from "node:module";
  import threads from "node:worker_threads";
  threads.Worker = class { constructor() { throw new Error("no threads left"); } };
  syncBuiltinESMExports();
`;
const NO_CLOCK = `
  import { isMainThread } from "node:worker_threads";
  if (!isMainThread) process.exit(9);
`;
const NO_SECOND_CPU = `
  import { workerData } from "node:worker_threads";
  if (workerData?.index === 2) process.exit(9);
`;

const HOSTS: readonly [string, string[], RegExp][] = [
  ["without SharedArrayBuffer", preload(NO_SHARED_MEMORY), /there is no SharedArrayBuffer here/],
  [
    "where the permission model refuses workers",
    [permission, "--allow-fs-read=*", "--allow-child-process"],
    /permission model refuses workers/,
  ],
  ["where making a worker fails", preload(NO_WORKERS), /workers cannot be made: no threads left/],
  ["where the clock ends at once", preload(NO_CLOCK), /the clock did not start \(exit code 9\)/],
  ["where a CPU ends at once", preload(NO_SECOND_CPU), /CPU 1 did not start \(exit code 9\)/],
];

function warnings(stderr: string): string[] {
  return stderr.split("\n").filter((line) => line.includes("[LWP_ONE_CPU]"));
}

for (const [host, flags, why] of HOSTS) {
  describe(host, () => {
    test("a program runs on one CPU, with one warning", async () => {
      const { status, stdout, stderr } = await node([...flags, command, "run", program(PROGRAM), "7"]);
      assert.equal(status, 7, stderr);
      assert.equal(stdout, "1 45\n");
      assert.equal(warnings(stderr).length, 1, stderr);
      assert.match(stderr, why);
      assert.doesNotMatch(stderr, /machine time/);
    });

    test("machines in a script: the warning comes once, and none for who wants one CPU", async () => {
      const script = program(
        `
        import { boot, run, schedYield, until } from ${JSON.stringify(import.meta.resolve("lwp"))};
        const work = function* () {
          yield* schedYield();
          return yield* until(new Promise((resolve) => setTimeout(resolve, 2, 1)));
        };
        console.log(await run(work));
        const one = await boot({ cpus: 1 });
        console.log(one.cpus, await one.run(work));
        await one.shutdown();
        console.log("more");
        for (let i = 0; i < 2; i++) {
          const machine = await boot({ cpus: 3 });
          console.log(machine.cpus, await machine.run(work));
          await machine.shutdown();
        }
        await boot({ cpus: 2, client: true }).catch((error) => console.log(error.name));
      `,
        `script${++preloads}.mjs`,
      );
      const { status, stdout, stderr } = await node([...flags, script]);
      assert.equal(status, 0, stderr);
      assert.equal(stdout, "1\n1 1\nmore\n1 1\n1 1\nWorkersError\n");
      assert.equal(warnings(stderr).length, 1, stderr);
    });
  });
}

describe("the permission model", () => {
  test("a program that may not be read: one line that names the file and the flag", async () => {
    const path = program("export function* main() {}");
    const { status, stderr } = await node([permission, `--allow-fs-read=${root}`, command, "run", path]);
    assert.equal(status, 2);
    assert.match(stderr, /^lwp: .*program\d+\.ts: .*refuses FileSystemRead of .*--allow-fs-read allows it/m);
  });

  test("a bundler that may not be started: one line that names the flag", async () => {
    const path = program("export function* main() {}");
    const { status, stderr } = await node([permission, "--allow-fs-read=*", command, "run", path]);
    assert.equal(status, 2);
    assert.match(stderr, /^lwp: .*the bundler cannot be started: .*--allow-child-process allows it/m);
  });
});
