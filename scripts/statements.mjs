// npm run statements [-- --json]: which numbered statements of docs/spec have a test, and which do not.
//
// A statement is tested if a test or subtest ran and passed whose name begins with its number. A name may begin
// with up to three numbers: "LWP-64, SYS-11: ...". A statement that docs/spec/no-counterpart.json names, with the
// reason, needs no test.
//
// Exit status: 0; 1 if a test failed; 2 if no-counterpart.json names what it may not.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { findTestFiles, root, runTests } from "./run-tests.mjs";

const groups = ["LWP", "SYS", "SCH", "BLK", "PRC", "MCH", "THR"];
const specDir = path.join(root, "docs/spec");
const maxNumbersInName = 3;

/** What may stand in no-counterpart.json: what the specification marks [MD] as a whole, and formats of files. */
const exemptable = new Set(
  [
    "SCH-102 SCH-136", // [MD] as a whole
    "MCH-20 MCH-21 MCH-22 MCH-23", // the [MD] section on lazily switched register files
    "PRC-64 PRC-65 PRC-104 PRC-110", // core files, registers, trace files
    "THR-7", // what fork does to the C library's own lists
  ].flatMap((line) => line.split(" ")),
);

const statements = readStatements();
const exempt = readExempt(statements);
const { results, failed } = await runTests(findTestFiles());
const tested = new Set();
for (const { name, ok, skipped } of results) {
  for (const number of numbersAtStart(name)) {
    if (!statements.has(number)) warn(`${number} is no statement: ${name}`);
    else if (ok && !skipped) tested.add(number);
  }
}
for (const number of exempt) {
  if (tested.has(number)) warn(`${number} is said to have no counterpart, but has a test`);
}

const summary = Object.fromEntries(groups.map((group) => [group, summarize(group)]));
if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify({ groups: summary })}\n`);
else printSummary(summary);
if (failed) {
  warn("a test failed: see npm test");
  process.exitCode = 1;
}

/** The numbers of all statements, in the order of the specification. */
function readStatements() {
  const numbers = new Set();
  for (const file of readdirSync(specDir).filter((name) => name.endsWith(".md"))) {
    const text = readFileSync(path.join(specDir, file), "utf8");
    for (const [, number] of text.matchAll(/\*\*([A-Z]{3}-\d+)\*\*/g)) numbers.add(number);
  }
  return numbers;
}

/** The statements without a counterpart, checked. */
function readExempt(known) {
  const file = path.join(specDir, "no-counterpart.json");
  const complaints = [];
  const reasons = JSON.parse(readFileSync(file, "utf8"));
  for (const [number, reason] of Object.entries(reasons)) {
    if (!known.has(number)) complaints.push(`${number} is no statement`);
    else if (!exemptable.has(number)) complaints.push(`${number} must have a test`);
    else if (typeof reason !== "string" || reason.trim() === "") complaints.push(`${number} gives no reason`);
  }
  if (complaints.length > 0) {
    for (const complaint of complaints) warn(`${path.relative(root, file)}: ${complaint}`);
    process.exit(2);
  }
  return new Set(Object.keys(reasons));
}

/** The numbers that a test's name begins with; none, with a warning, if it claims too many. */
function numbersAtStart(name) {
  const start = /^(?:[A-Z]{3}-\d+(?:[\s,;+&/]+|\s+and\s+)?)+/.exec(name)?.[0] ?? "";
  const numbers = (start.match(/[A-Z]{3}-\d+/g) ?? []).filter((number) =>
    groups.includes(number.slice(0, 3)),
  );
  if (numbers.length > 0 && /^(?:\.\.|…|-|–)\s*(?:[A-Z]{3}-)?\d/.test(name.slice(start.trimEnd().length))) {
    warn(`a range counts only for its first number: ${name}`);
  }
  if (numbers.length <= maxNumbersInName) return numbers;
  warn(`begins with more than ${maxNumbersInName} numbers, not counted: ${name}`);
  return [];
}

function summarize(group) {
  const numbers = [...statements].filter((number) => number.startsWith(`${group}-`));
  const isMissing = (number) => !tested.has(number) && !exempt.has(number);
  return {
    total: numbers.length,
    tested: numbers.filter((number) => tested.has(number) && !exempt.has(number)).length,
    exempt: numbers.filter((number) => exempt.has(number)).length,
    missing: numbers.filter(isMissing),
  };
}

function printSummary(summary) {
  const line = (name, ...cells) =>
    [name.padEnd(7), ...cells.map((cell) => String(cell).padStart(8))].join("");
  const rows = Object.entries(summary);
  const sum = (field) => rows.reduce((total, [, row]) => total + row[field], 0);
  const untested = rows.reduce((total, [, row]) => total + row.missing.length, 0);
  console.log(line("group", "total", "tested", "exempt", "missing"));
  for (const [group, row] of rows) {
    console.log(line(group, row.total, row.tested, row.exempt, row.missing.length));
  }
  console.log(line("all", sum("total"), sum("tested"), sum("exempt"), untested));
  for (const [group, { missing }] of rows) {
    if (missing.length === 0) continue;
    console.log(`\n${group} without a test: ${missing.map((number) => number.slice(4)).join(" ")}`);
  }
}

function warn(message) {
  process.stderr.write(`statements: ${message}\n`);
}
