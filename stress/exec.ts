// node build/stress/exec.js [--execs N] [--cpus C] [--linked]: programs of 100 kB one after the other, on one machine.
//
// Prints the heap of each CPU's realm after the first ten and at the end. Exit status: 0 none has grown by more than 10 MB;
// 1 one has; 2 the command line is wrong. With --linked the program is linked once, and not for every exec.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { boot, type Machine } from "lwp";
import { linkProgram } from "#dist/machine/link.js";

const GROWTH_MAX = 10 << 20;
const SIZE_MIN = 100_000;

const { values } = parseArgs({
  options: {
    execs: { type: "string", default: "1000" },
    cpus: { type: "string", default: "2" },
    linked: { type: "boolean", default: false },
  },
});
const [execs, cpus] = [Number(values.execs), Number(values.cpus)];
if (!(execs > 10 && cpus >= 1 && cpus <= 32)) {
  console.error("stress: --execs, more than 10; --cpus, 1 to 32");
  process.exit(2);
}

/** A program whose modules hold 100 kB of code, and which leaves threads and values of all kinds behind. */
const PROGRAM = `
  import { schedYield, Thread } from "lwp";
  import { lwpPark } from "lwp/syscall";
  ${Array.from({ length: 700 }, (_, i) => `export function* work${i}(n: number) { const text = "some text of function ${i} " + n; for (let i = 0; i < n; i++) yield* schedYield(); return { text }; }`).join("\n")}
  const table = Array.from({ length: 5_000 }, (_, i) => ({ i }));
  export function* main() {
    const threads = [];
    for (const f of [work1, work2, work3]) threads.push(yield* Thread.spawn(f, 10));
    for (const t of threads) yield* t.join();
    yield* Thread.spawn(function* () { return table; });
    yield* Thread.spawn(function* () { yield* lwpPark(); });
    yield* schedYield();
    yield* Thread.spawn(function* () { for (;;) table[0].i++; });
    return 7;
  }
`;

/** Writes the size of each CPU's heap into a file, in bytes, after a garbage collection. */
const PROBE = `
  import { writeFileSync } from "node:fs";
  import { setFlagsFromString } from "node:v8";
  import { runInNewContext } from "node:vm";
  import { Thread, until } from "lwp";
  export function* main([cpus, file]: string[]) {
    const sizes = [];
    for (let cpu = 0; cpu < Number(cpus); cpu++) sizes.push(yield* (yield* Thread.with({ cpu }).spawn(probe)).join());
    writeFileSync(file, JSON.stringify(sizes));
  }
  function* probe() {
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc");
    // What a job of a promise holds is freed after the job.
    for (let i = 0; i < 3; i++) {
      yield* until(new Promise((resolve) => setImmediate(resolve)));
      gc();
    }
    return process.memoryUsage().heapUsed;
  }
`;

const folder = mkdtempSync(join(tmpdir(), "lwp-exec-"));
const [program, probe] = ["program.ts", "probe.ts"].map((name) => join(folder, name)) as [string, string];
writeFileSync(program, PROGRAM);
writeFileSync(probe, PROBE);

/** Bytes of heap in use in each CPU's realm. */
async function heaps(machine: Machine): Promise<number[]> {
  const sizes = join(folder, "heaps.json");
  const { status } = await (await machine.exec(probe, [String(cpus), sizes])).exited;
  if (status !== 0) throw new Error(`the probe ended with status ${status}`);
  return JSON.parse(readFileSync(sizes, "utf8")) as number[];
}

const linked = await linkProgram(program);
if (linked.code.length < SIZE_MIN) throw new Error(`the program has only ${linked.code.length} bytes`);
const machine = await boot({ cpus });
let first: number[] = [];
for (let n = 1; n <= execs; n++) {
  const p = values.linked ? await machine.execLinked(linked) : await machine.exec(program);
  const { status } = await p.exited;
  if (status !== 7) throw new Error(`exec ${n} ended with status ${status}`);
  if (n === 10) first = await heaps(machine);
}
const last = await heaps(machine);
await machine.shutdown();
rmSync(folder, { recursive: true });
const megabytes = (bytes: number): string => (bytes / (1 << 20)).toFixed(1);
for (const [cpu, bytes] of last.entries()) {
  console.log(`CPU ${cpu}: ${megabytes(first[cpu]!)} MB after 10, ${megabytes(bytes)} MB after ${execs}`);
}
process.exitCode = last.every((bytes, cpu) => bytes - first[cpu]! <= GROWTH_MAX) ? 0 : 1;
