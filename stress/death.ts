// node build/stress/death.js [--times T]: a worker that dies in mid-run, in every way and whatever CPU 0 does, and how long
// `lwp run` takes from the death to its own end.
//
// Exit status: 0; 1 if one took more than 3 s, or ended in another way than with a dump and status 70; 2 if the command line
// is wrong.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const LIMIT_SECONDS = 3;
const command = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const program = fileURLToPath(new URL("../../test/machine/programs/death.ts", import.meta.url));

interface Case {
  readonly seconds: number;
  /** What is wrong with how it ended. */
  readonly wrong: string | null;
}

const times = readCommandLine();
let bad = false;
console.log("death      CPU 0           n   median      max");
for (const how of ["exit", "throw", "memory"]) {
  for (const what of ["idle", "computing", "spinning"]) bad = (await row(how, what)) || bad;
}
process.exitCode = bad ? 1 : 0;

function readCommandLine(): number {
  try {
    const { values } = parseArgs({ options: { times: { type: "string", default: "20" } } });
    const n = Number(values.times);
    if (!Number.isInteger(n) || n < 1) throw new RangeError("--times: an integer from 1");
    return n;
  } catch (error) {
    console.error(`death: ${(error as Error).message}`);
    process.exit(2);
  }
}

/** One kind of death; true if something is wrong. */
async function row(how: string, what: string): Promise<boolean> {
  const cases: Case[] = [];
  for (let n = 0; n < times; n++) cases.push(await die(how, what));
  const seconds = cases.map((c) => c.seconds).sort((a, b) => a - b);
  const [median, max] = [seconds[seconds.length >> 1], seconds[seconds.length - 1]];
  const wrong = new Set(cases.flatMap((c) => c.wrong ?? []));
  if (max > LIMIT_SECONDS) wrong.add(`more than ${LIMIT_SECONDS} s`);
  const figures = [median, max].map((s) => `${s.toFixed(2)} s`.padStart(8)).join(" ");
  console.log(
    `${how.padEnd(10)} ${what.padEnd(12)} ${String(times).padStart(4)} ${figures}  ${[...wrong].join("; ")}`.trimEnd(),
  );
  return wrong.size > 0;
}

function die(how: string, what: string): Promise<Case> {
  const args = ["--max-old-space-size=64", command, "run", "--cpus", "2", program, how, what];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("exit", (status, signal) => {
      const end = Date.now();
      // What it wrote may still be on its way.
      child.on("close", () => {
        const death = Number(stdout.trimEnd().split("\n").at(-1));
        const dumped = /^CPU 1: FAILED/m.test(stderr) && /the machine stopped: CPU 1 died/.test(stderr);
        const ended = status === 70 ? null : `status ${status}, signal ${signal}`;
        resolve({ seconds: (end - death) / 1000, wrong: ended ?? (dumped ? null : "no dump") });
      });
    });
  });
}
