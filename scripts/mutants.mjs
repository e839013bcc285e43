// npm run mutants -- [--seed S] [--count N] [--only FILE] [--list]: changes the kernel at random, one place at a time, and says
// whether a test fails.
//
// The mutants of src/kern, as compiled, are drawn by seed, each operator (mutants/operators.mjs) in its turn, so that one with few
// places is tried as often. A change of the kernel leaves most of the draw of a seed as it is. Each mutant runs in a copy of
// the package up to the first test that fails: against the tests on simulated CPUs that reach its place (mutants/reach.mjs),
// first those that name most of what its file exports and then the quickest, and then those in lockstep. A test that hangs
// (mutants/run-files.mjs) fails. A survivor is either a test that is missing, or one whose reason is in
// mutants/survivors.json. --only: files of kern/ whose name contains FILE. --list: only prints the mutants.
//
// Exit status: 0; 1 if an unbroken test fails, if less than 85 in 100 are caught, if one survives without a reason, or if one is
// caught that has a reason to survive: then either is wrong; 2 the command line is wrong.

import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { copyPackage, inParallel } from "./copies.mjs";
import { filesLeftOut } from "./mutants/left-out.mjs";
import { OPERATORS, edited, mutantsOf } from "./mutants/operators.mjs";
import { reachOf } from "./mutants/reach.mjs";
import { runFiles } from "./mutants/run.mjs";
import { findTestFiles, root } from "./run-tests.mjs";

const goal = 0.85;
const concurrency = 2;
/** How many files run before the rest, since they are about the mutated file. */
const nearest = 4;
/** The folders of the tests on simulated CPUs. */
const simulated = ["test/kern/", "test/syscall/", "test/property/"];
/** Those on real CPUs, where one may be late because others use them: what catches a mutant here does so twice. */
const lockstep = ["test/lockstep/"];
/** Those of what is built on the kernel, on both: only the ones nearest to a mutant run. */
const above = ["test/thread/"];

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
  const files = [...findTestFiles(simulated), ...findTestFiles(lockstep), ...findTestFiles(above)];
  const tests = await inParallel(files, concurrency, async (test) => {
    const where = copies.pop();
    const isIn = (folders) => folders.some((folder) => test.includes(`/${folder}`));
    const isReal = isIn(lockstep) || isIn(above);
    // Random programs reach what is commonly reached, and take long enough.
    const coverage = isReal || test.includes("/test/property/") ? null : path.join(where, "coverage");
    const { failed, work } = await runFiles(where, [test], coverage);
    const known = coverage !== null && failed === null;
    const reach = known ? reachOf(coverage, path.join(where, "dist/kern")) : () => true;
    copies.push(where);
    return { test, isReal, isAbove: isIn(above), failed, work, reach };
  });
  const broken = tests.find(({ failed }) => failed !== null);
  if (broken !== undefined) {
    console.log(`unbroken, a test of ${path.relative(root, broken.test)} fails: ${broken.failed}`);
    return false;
  }
  // Files of a stage share a process: what one leaves there must not fail another, or every mutant would seem caught.
  for (const stage of [tests.filter((t) => !t.isReal), tests.filter((t) => t.isReal && !t.isAbove)]) {
    const names = stage.map(({ test }) => test);
    const { failed } = await runFiles(copies[0], names);
    if (failed === null) continue;
    console.log(`unbroken, a test fails that passes alone: ${failed}`);
    return false;
  }
  const count = { caught: 0, explained: 0, survived: 0 };
  const wrong = [];
  await inParallel(mutants, concurrency, async (m) => {
    const where = copies.pop();
    const failed = await tryMutant(where, m, tests);
    copies.push(where);
    const why = explained.get(keyOf(m));
    const verdict = failed !== null ? "caught" : why !== undefined ? "explained" : "survived";
    count[verdict]++;
    if (failed !== null && why !== undefined) wrong.push(line(m));
    console.log(`${verdict.padEnd(9)}  ${line(m)}\n           ${failed ?? why ?? "no test fails"}`);
  });
  const caught = count.caught / mutants.length;
  const minutes = (performance.now() - began) / 60_000;
  console.log(
    `seed ${options.seed}: ${mutants.length} mutants, ${count.caught} caught (${(100 * caught).toFixed(1)} %), ` +
      `${count.explained} survived for a reason, ${count.survived} without; ${minutes.toFixed(1)} minutes`,
  );
  for (const name of wrong) console.log(`caught, though survivors.json says why nothing can: ${name}`);
  return caught >= goal && count.survived === 0 && wrong.length === 0;
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
async function tryMutant(where, m, tests) {
  const file = path.join(where, "dist/kern", m.file);
  const whole = readFileSync(file, "utf8");
  writeFileSync(file, edited(whole, m.edits));
  try {
    for (const stage of stages(m, tests)) {
      const names = stage.map(({ test }) => test);
      let { failed } = await runFiles(where, names);
      if (failed !== null && stage.some(({ isReal }) => isReal)) ({ failed } = await runFiles(where, names));
      if (failed !== null) return failed;
    }
    return null;
  } finally {
    writeFileSync(file, whole);
  }
}

/** The tests that may catch it, in the order in which they run; each stage in one process. */
function stages(m, tests) {
  const exported = [...compiled(m.file).matchAll(/export \{ \w+\$ as (\w+) \}/g)].map(([, name]) => name);
  const own = `/${m.file.replace(/\.js$/, ".test.js")}`;
  const weight = ({ test }) => {
    if (test.endsWith(own)) return 1000;
    const text = readFileSync(test, "utf8");
    return exported.filter((name) => new RegExp(`\\b${name}\\b`).test(text)).length;
  };
  const near = tests.filter((t) => (t.isAbove || !t.isReal) && t.reach(m.file, m.at) && weight(t) > 0);
  const first = near.toSorted((a, b) => weight(b) - weight(a)).slice(0, nearest);
  const rest = tests.filter((t) => !t.isReal && !first.includes(t) && t.reach(m.file, m.at));
  rest.sort((a, b) => a.work - b.work);
  return [first, rest, tests.filter((t) => t.isReal && !t.isAbove)].filter((stage) => stage.length > 0);
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
