// npm run mutants [-- --seed S --count N [FILE...]]: changes the kernel at random places, and shows which changes no test sees.
//
// A mutant is a copy of the compiled package with one small change in one function of kern/: see scripts/mutants/operators.mjs.
// It is caught if a test on simulated CPUs or in lockstep fails, crashes or hangs; the first one that does is the last one
// that runs. To be sure that it is the change, the same tests are run unchanged first. With files, such as `sleepq`, only those
// are changed.
//
// Prints the survivors. Each is a place that no test covers, or a change that makes no difference.
//
// Exit status: 0; 1 if the unchanged tests fail; 2 the command line is wrong.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { copyPackage, inParallel } from "./copies.mjs";
import { mutationsOf, OPERATORS } from "./mutants/operators.mjs";
import { findTestFiles, root } from "./run-tests.mjs";

/** A mutant hangs that reports no test for so long, or for so many times as long as the unchanged kernel ever does. */
const SILENCE_MS = 20_000;
const SILENCE_FACTOR = 4;
const UNCHANGED_MS = 120_000;
const CONCURRENCY = 2;
/** Files that only look at the kernel from outside: what they would miss is no fault of it. */
const OBSERVERS = ["invariants.js"];
/** Random programs: fewer than a test run has, and more than it takes to see a fault. */
const ENV = { LWP_PROPERTY_RUNS: "30", LOCKSTEP_LIMIT_MS: "3000" };

const { seed, count, files } = readCommandLine();
/** The longest time without a report so far. */
let longestSilence = 0;
const folder = mkdtempSync(path.join(tmpdir(), "lwp-mutants-"));
try {
  process.exitCode = (await main()) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function readCommandLine() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { seed: { type: "string", default: "1" }, count: { type: "string", default: "200" } },
    });
    const [s, n] = [Number(values.seed), Number(values.count)];
    if (!Number.isInteger(s) || !Number.isInteger(n) || n < 1)
      throw new RangeError("--seed, --count: integers");
    return { seed: s, count: n, files: positionals };
  } catch (error) {
    process.stderr.write(`mutants: ${error.message}\n`);
    process.exit(2);
  }
}

async function main() {
  const began = performance.now();
  const unchanged = await judge(copyPackage(folder, "unchanged"), "", UNCHANGED_MS);
  if (unchanged !== null) {
    console.log(`unchanged, the tests fail: ${unchanged}`);
    return false;
  }
  const silence = Math.max(SILENCE_MS, SILENCE_FACTOR * longestSilence);
  const results = await inParallel(draw(), CONCURRENCY, (mutant, n) => tryMutant(mutant, n, silence));
  const survivors = results.filter(({ caught }) => caught === null);
  printTable(results);
  for (const { place, operator, before, after } of survivors)
    console.log(`survives  ${place}  ${operator}: ${before}  ->  ${after}`);
  const minutes = (performance.now() - began) / 60_000;
  const caught = results.length - survivors.length;
  console.log(`seed ${seed}: ${caught} of ${results.length} caught, in ${minutes.toFixed(1)} minutes`);
  return true;
}

/** As many mutations as were asked for, of all operators alike, none twice. */
function draw() {
  const dist = path.join(root, "dist/kern");
  // Stale output of an earlier build is left out.
  const named = (name) =>
    existsSync(path.join(root, "src/kern", name.replace(/js$/, "ts"))) &&
    (files.length === 0 || files.some((file) => name === `${file}.js`));
  const names = readdirSync(dist).filter((name) => name.endsWith(".js") && named(name));
  const all = names
    .filter((name) => !OBSERVERS.includes(name))
    .flatMap((name) => {
      const text = readFileSync(path.join(dist, name), "utf8");
      const map = new SourceMap(JSON.parse(readFileSync(path.join(dist, `${name}.map`), "utf8")));
      return mutationsOf(text).map((m) => ({ ...m, file: name, place: placeOf(map, name, text, m.start) }));
    });
  const stocks = OPERATORS.map((operator) => all.filter((m) => m.operator === operator));
  const random = generator(seed);
  const drawn = [];
  while (drawn.length < count && stocks.some((stock) => stock.length > 0)) {
    const stock = stocks[random(stocks.length)];
    if (stock.length > 0) drawn.push(...stock.splice(random(stock.length), 1));
  }
  return drawn;
}

function placeOf(map, name, text, at) {
  const lines = text.slice(0, at).split("\n");
  const { originalLine } = map.findEntry(lines.length - 1, lines.at(-1).length);
  return `src/kern/${name.replace(/js$/, "ts")}:${originalLine + 1}`;
}

/** Numbers 0..n-1, the same for the same seed. */
function generator(start) {
  let state = start | 0;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

async function tryMutant(mutant, number, silence) {
  const where = copyPackage(folder, String(number));
  const file = path.join(where, "dist/kern", mutant.file);
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.slice(0, mutant.start) + mutant.replacement + text.slice(mutant.end));
  const caught = await judge(where, mutant.file.replace(/\.js$/, ""), silence);
  rmSync(where, { recursive: true, force: true });
  return { ...mutant, caught };
}

/** Runs the tests of a copy, first those of the changed file; what the first one that fails is called, or null. */
async function judge(where, name, silence) {
  const tests = findTestFiles(["test/kern/", "test/syscall/", "test/property/", "test/thread/"]);
  const own = tests.filter((file) => path.basename(file) === `${name}.test.js`);
  const simulated = [...own, ...tests.filter((file) => !own.includes(file))];
  return (
    (await runTests(where, simulated, silence)) ??
    (await runTests(where, findTestFiles(["test/lockstep/"]), silence))
  );
}

/** Runs test files in one process until the first failure: its name, or null. */
function runTests(where, tests, silence) {
  const script = tests.map((file) => `await import("./${path.relative(root, file)}");\n`).join("");
  const main = path.join(where, "tests.mjs");
  writeFileSync(main, script);
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--max-old-space-size=1024", "--test-reporter=tap", main], {
      cwd: where,
      env: { ...process.env, ...ENV },
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    let verdict = null;
    const end = (why) => {
      verdict ??= why;
      child.kill("SIGKILL");
    };
    let timer = setTimeout(end, silence, "hangs");
    let last = performance.now();
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const now = performance.now();
      longestSilence = Math.max(longestSilence, now - last);
      last = now;
      clearTimeout(timer);
      timer = setTimeout(end, silence, "hangs");
      output = output.slice(-200) + text;
      const failure = /^ *not ok \d+ - (.*)\n/m.exec(output);
      if (failure !== null) end(failure[1].replaceAll("\\", ""));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve(verdict ?? (code === 0 ? null : `ends with code ${code}`));
    });
  });
}

function printTable(results) {
  for (const operator of OPERATORS) {
    const of = results.filter((r) => r.operator === operator);
    const caught = of.filter((r) => r.caught !== null).length;
    console.log(
      `${operator.padEnd(24)} ${String(caught).padStart(4)} of ${String(of.length).padStart(4)} caught`,
    );
  }
}
