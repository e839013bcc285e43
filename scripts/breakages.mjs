// npm run breakages [-- FILTER...]: breaks each protocol of the kernel on purpose, and shows that a test catches it.
//
// What is broken is a copy of the compiled package in a temporary folder. A breakage is caught if a test of its own delay
// point fails; to be sure that it is the breakage, the same files are run unbroken first. With filters, only breakages whose
// name or delay point contains one.
//
// Exit status: 0; 1 if one survives, or cannot be made.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { breakages as all } from "./breakages/protocols.mjs";
import { copyPackage, inParallel } from "./copies.mjs";

/** After this a test counts as hanging. Unbroken, each file takes less than 3 seconds. */
const hangMs = 20_000;
/** How long a broken test waits for what does not come. */
const limitMs = 1500;
const concurrency = 2;

const filters = process.argv.slice(2);
const breakages = all.filter(
  ({ name, point }) => filters.length === 0 || filters.some((f) => name.includes(f) || point.includes(f)),
);
const folder = mkdtempSync(path.join(tmpdir(), "lwp-breakages-"));
try {
  process.exitCode = (await main()) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function main() {
  const whole = copyPackage(folder, "whole");
  let sound = true;
  for (const file of new Set(breakages.map(({ test }) => test))) {
    const { failed, how } = await runTest(whole, file, "^", 60_000);
    if (failed === null) continue;
    console.log(`unbroken, ${file} fails: ${failed} (${how})`);
    sound = false;
  }
  if (!sound) return false;
  const results = await inParallel(breakages, concurrency, tryBreakage);
  print(results);
  const survived = results.filter(({ ok }) => !ok).length;
  console.log(`${results.length - survived} of ${results.length} caught`);
  return survived === 0 && results.length > 0;
}

async function tryBreakage(breakage, number) {
  const row = { ...breakage, caught: "", how: "", ok: false };
  const where = copyPackage(folder, String(number));
  const file = path.join(where, "dist", breakage.file);
  const text = readFileSync(file, "utf8");
  const places = [...text.matchAll(pattern(breakage.find))];
  if (places.length !== 1) return { ...row, how: `the place to break is there ${places.length} times` };
  writeFileSync(
    file,
    text.replace(pattern(breakage.find), () => breakage.replace),
  );
  const { failed, how } = await runTest(where, breakage.test, `^${breakage.point}:`, hangMs);
  rmSync(where, { recursive: true, force: true });
  return { ...row, caught: failed ?? "", how, ok: failed !== null };
}

/** The text, whatever white space stands in it. */
function pattern(text) {
  const words = text.trim().split(/\s+/);
  return new RegExp(words.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("\\s+"), "g");
}

/** Runs the tests of a file that match, until the first failure: the name of the test, or null, and what it failed with. */
function runTest(where, name, match, limit) {
  return new Promise((resolve) => {
    const file = path.join(where, "build/test", `${name}.test.js`);
    const child = spawn(process.execPath, ["--test-reporter=tap", `--test-name-pattern=${match}`, file], {
      cwd: where,
      env: { ...process.env, LOCKSTEP_LIMIT_MS: String(limit === hangMs ? limitMs : limit) },
      stdio: ["ignore", "pipe", "ignore"],
    });
    let output = "";
    let hangs = false;
    const timer = setTimeout(() => {
      hangs = true;
      child.kill("SIGKILL");
    }, limit);
    child.stdout.on("data", (data) => {
      output += data;
      // The first failure with its error is all that is asked.
      if (/^not ok .*\n(?: {2}.*\n)*? {2}\.\.\.\n/m.test(output)) child.kill("SIGKILL");
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      const failure = /^not ok \d+ - (.*)\n((?: {2}.*\n)*)/m.exec(output);
      if (failure !== null) resolve({ failed: failure[1].replaceAll("\\", ""), how: kindOf(failure[2]) });
      else if (hangs) resolve({ failed: `${name} hangs`, how: "time-out" });
      else if (code !== 0) resolve({ failed: `${name} ends with code ${code}`, how: "crash" });
      else resolve({ failed: null, how: "" });
    });
  });
}

function kindOf(error) {
  if (error.includes("the machine is dead")) return "kernel assertion";
  if (error.includes("never came")) return "never came";
  return "assertion";
}

function print(results) {
  const rows = results.map(({ point, name, file, caught, how, ok }) => [
    point,
    name,
    file,
    caught === "" ? how : caught,
    ok ? how : "",
    ok ? "ok" : "SURVIVES",
  ]);
  const head = ["point", "name", "file", "caught by", "how", "ok"];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  for (const row of [head, ...rows])
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    );
}
