// npm run mutants -- [--seed S] [--count N] [--only FILE] [--list]: changes the kernel at random, one place at a time, and says
// whether a test fails.
//
// The mutants of src/kern, as compiled, are drawn by seed, each operator (mutants/operators.mjs) in its turn, so that one with few
// places is tried as often. A change of the kernel leaves most of the draw of a seed as it is. Each mutant runs in a copy of
// the package against the tests on simulated CPUs and in lockstep, up to the first that fails: first the files that name
// most of what the mutated file exports. A test that hangs (mutants/run-files.mjs) fails. A survivor is either a test that is
// missing, or one whose reason is in mutants/survivors.json. --only: files of kern/ whose name contains FILE. --list: only
// prints the mutants.
//
// Exit status: 0; 1 if an unbroken test fails, if less than 85 in 100 are caught, or if one survives without a reason;
// 2 the command line is wrong.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { copyPackage, inParallel } from "./copies.mjs";
import { filesLeftOut } from "./mutants/left-out.mjs";
import { OPERATORS, edited, mutantsOf } from "./mutants/operators.mjs";
import { findTestFiles, root } from "./run-tests.mjs";

const goal = 0.85;
const concurrency = 2;
/** How long a broken test in lockstep waits for what does not come. */
const limitMs = 8000;
/** A tenth of the random programs: enough to see a fault that the other tests missed. */
const env = { LWP_PROPERTY_RUNS: "30", LOCKSTEP_LIMIT_MS: String(limitMs) };
/** How many files run before the rest, since they are about the mutated file. */
const nearest = 4;
/** The folders of the tests, in the order in which they run; each in one process. */
const groups = ["syscall", "kern", "property", "lockstep", "thread"];
/** Tests in these also run on real CPUs, where one may be late because others use them: what catches a mutant does so twice. */
const real = /\/test\/(?:lockstep|thread)\//;

const options = readCommandLine();
const explained = new Map(
  JSON.parse(readFileSync(path.join(root, "scripts/mutants/survivors.json"), "utf8")).map((s) => [
    keyOf(s),
    s.why,
  ]),
);
const mutants = draw(allMutants(), options.count, options.seed);
if (options.list) {
  for (const m of mutants) console.log(line(m));
} else {
  const folder = mkdtempSync(path.join(tmpdir(), "lwp-mutants-"));
  try {
    process.exitCode = (await main(folder)) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readCommandLine() {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: "string", default: "1" },
        count: { type: "string", default: "200" },
        only: { type: "string", default: "" },
        list: { type: "boolean", default: false },
      },
    });
    const [seed, count] = [Number(values.seed), Number(values.count)];
    if (!Number.isInteger(seed) || !Number.isInteger(count) || count < 1)
      throw new RangeError("--seed, --count: integers");
    return { ...values, seed, count };
  } catch (error) {
    process.stderr.write(`mutants: ${error.message}\n`);
    process.exit(2);
  }
}

async function main(folder) {
  const began = performance.now();
  const copies = Array.from({ length: concurrency }, (_, n) => copyPackage(folder, String(n)));
  const suite = groups.map((name) => findTestFiles([`test/${name}/`]));
  for (const files of suite) {
    const failed = await runTests(copies[0], files);
    if (failed === null) continue;
    console.log(`unbroken, a test fails: ${failed}`);
    return false;
  }
  const count = { caught: 0, explained: 0, survived: 0 };
  await inParallel(mutants, concurrency, async (m) => {
    const where = copies.pop();
    const failed = await tryMutant(where, m, suite);
    copies.push(where);
    const why = explained.get(keyOf(m));
    const verdict = failed !== null ? "caught" : why !== undefined ? "explained" : "survived";
    count[verdict]++;
    console.log(`${verdict.padEnd(9)}  ${line(m)}\n           ${failed ?? why ?? "no test fails"}`);
  });
  const caught = count.caught / mutants.length;
  const minutes = (performance.now() - began) / 60_000;
  console.log(
    `seed ${options.seed}: ${mutants.length} mutants, ${count.caught} caught (${(100 * caught).toFixed(1)} %), ` +
      `${count.explained} survived for a reason, ${count.survived} without; ${minutes.toFixed(1)} minutes`,
  );
  return caught >= goal && count.survived === 0;
}

/** All mutants of the kernel by operator. A compiled file whose source is gone is left out. */
function allMutants() {
  const byOperator = new Map(OPERATORS.map((operator) => [operator, []]));
  for (const file of readdirSync(path.join(root, "dist/kern")).sort()) {
    if (!file.endsWith(".js") || filesLeftOut.has(file) || !file.includes(options.only)) continue;
    if (!existsSync(path.join(root, "src/kern", file.replace(/\.js$/, ".ts")))) continue;
    for (const m of mutantsOf(file, compiled(file))) byOperator.get(m.operator).push(m);
  }
  return byOperator;
}

/** `count` different ones, of each operator in turn as long as it has any. */
function draw(byOperator, count, seed) {
  const lists = [...byOperator.values()].map((list) => shuffled(list, seed));
  const drawn = [];
  for (let n = 0; drawn.length < count && lists.some((list) => n < list.length); n++)
    drawn.push(...lists.flatMap((list) => list.slice(n, n + 1)));
  return drawn.slice(0, count);
}

/** In an order that the seed and each mutant's own text decide, so that another mutant more or less changes nothing else. */
function shuffled(list, seed) {
  const times = new Map();
  const ranked = list.map((m) => {
    const key = keyOf(m);
    const nth = times.get(key) ?? 0;
    times.set(key, nth + 1);
    return { m, rank: createHash("sha1").update(`${seed} ${key} ${nth}`).digest("hex") };
  });
  return ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ m }) => m);
}

/** What caught it, or null. */
async function tryMutant(where, m, suite) {
  const file = path.join(where, "dist/kern", m.file);
  const whole = readFileSync(file, "utf8");
  writeFileSync(file, edited(whole, m.edits));
  try {
    for (const files of [nearestTests(m.file, suite.flat()), ...suite]) {
      let failed = await runTests(where, files);
      if (failed !== null && files.some((name) => real.test(name))) failed = await runTests(where, files);
      if (failed !== null) return failed;
    }
    return null;
  } finally {
    writeFileSync(file, whole);
  }
}

/** The test files that name most of what the file exports. */
function nearestTests(file, files) {
  const exported = [...compiled(file).matchAll(/export \{ \w+\$ as (\w+) \}/g)].map(([, name]) => name);
  const own = `/${file.replace(/\.js$/, ".test.js")}`;
  const weight = (test) => {
    const text = readFileSync(test, "utf8");
    const named = exported.filter((name) => new RegExp(`\\b${name}\\b`).test(text)).length;
    return test.endsWith(own) ? Number.POSITIVE_INFINITY : named;
  };
  return files
    .map((test) => ({ test, weight: weight(test) }))
    .filter(({ weight: n }) => n > 0)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, nearest)
    .map(({ test }) => test);
}

/** Runs test files until the first failure: the name of that test, or null. */
function runTests(where, files) {
  return new Promise((resolve) => {
    const names = files.map((file) => path.join(where, path.relative(root, file)));
    const child = spawn(
      process.execPath,
      ["--test-reporter=tap", path.join(root, "scripts/mutants/run-files.mjs"), ...names],
      {
        cwd: where,
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    let output = "";
    child.stdout.on("data", (data) => {
      output += data;
      if (/^ *not ok .*\n/m.test(output)) child.kill("SIGKILL");
    });
    child.on("close", (code) => {
      const failure = /^ *not ok \d+ - (.*)\n/m.exec(output);
      if (failure !== null) resolve(failure[1].replaceAll("\\", ""));
      else resolve(code === 0 ? null : `the tests end with code ${code}`);
    });
  });
}

function compiled(file) {
  return readFileSync(path.join(root, "dist/kern", file), "utf8");
}

function line(m) {
  return `kern/${m.file.replace(/\.js$/, ".ts")}:${sourceLine(m)} ${m.name}: ${m.operator}: ${m.from}  =>  ${m.to}`;
}

function sourceLine({ file, at }) {
  const lines = compiled(file).slice(0, at).split("\n");
  const map = new SourceMap(JSON.parse(readFileSync(path.join(root, "dist/kern", `${file}.map`), "utf8")));
  return map.findEntry(lines.length - 1, lines.at(-1).length).originalLine + 1;
}

function keyOf({ file, name, from, to }) {
  return JSON.stringify([file, name, from, to]);
}
