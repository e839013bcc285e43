// What the acceptance lists share: running commands and tests, reading benchmarks.

import { spawn } from "node:child_process";
import { findTestFiles, root, runTests } from "../run-tests.mjs";

/** Runs a command in the checkout; resolves to `{ status, stdout, stderr, seconds }`. `env` is added to the environment. */
function run(command, args, { env = {}, input = "" } = {}) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env } });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    child.on("error", reject);
    child.on("close", (status) =>
      resolve({ status, stdout, stderr, seconds: (performance.now() - began) / 1000 }),
    );
    child.stdin.end(input);
  });
}

/** The same; throws unless it ends with status 0. */
async function succeed(command, args, options) {
  const result = await run(command, args, options);
  if (result.status !== 0) {
    const text = `${result.stdout}${result.stderr}`.trimEnd().split("\n").slice(-5).join("\n");
    throw new Error(`\`${[command, ...args].join(" ")}\` ended with status ${result.status}:\n${text}`);
  }
  return result;
}

/** `lwp run …` of this checkout. */
const lwp = (...args) => run(process.execPath, ["dist/cli/main.js", ...args]);

/** Runs the test files whose path contains one of the filters, and says how many tests passed. */
async function tests(...filters) {
  const files = findTestFiles(filters);
  if (files.length === 0) throw new Error(`there are no tests in ${filters.join(", ")}`);
  const { results, failed } = await runTests(files);
  const bad = results.filter(({ ok, skipped }) => !ok || skipped);
  if (failed || bad.length > 0) throw new Error(`failed: ${bad.map(({ name }) => name).join("; ")}`);
  return `${results.length} tests pass (${filters.join(", ")})`;
}

/** The medians of benchmarks: what `npm run -s bench -- --json IDS` prints. */
async function bench(...ids) {
  const { stdout } = await succeed("npm", ["run", "-s", "bench", "--", "--json", ...ids]);
  return JSON.parse(stdout);
}

/** Statements without a test among those that `wanted` accepts; throws if there are some. */
async function statements(groups) {
  const { stdout } = await succeed("npm", ["run", "-s", "statements", "--", "--json"]);
  const found = JSON.parse(stdout).groups;
  const missing = Object.entries(groups).flatMap(([group, wanted]) => found[group].missing.filter(wanted));
  if (missing.length > 0) throw new Error(`${missing.length} have no test: ${missing.join(", ")}`);
  return Object.keys(groups)
    .map((group) => `${group} ${found[group].tested} of ${found[group].total}`)
    .join(", ");
}

/** Whether a statement's number is in a list like "1-31, 37, 41-61". */
export function numbered(list) {
  const ranges = list.split(",").map((range) => range.trim().split("-").map(Number));
  return (name) => {
    const n = Number(name.split("-")[1]);
    return ranges.some(([first, last = first]) => n >= first && n <= last);
  };
}

/** Runs the parts of a line, all of them, whatever becomes of one; throws if one did. */
export async function parts(...checks) {
  let holds = true;
  const said = [];
  for (const check of checks) {
    try {
      said.push((await check()).trim());
    } catch (error) {
      holds = false;
      said.push(`not: ${error.message.trim()}`);
    }
  }
  const text = said.join("\n");
  if (!holds) throw new Error(text);
  return text;
}

/** Judges figures: every row is `[what, value, limit]`, and holds if the value is at most the limit. */
export function judge(rows) {
  const shown = rows.map(
    ([what, value, limit]) =>
      `${value <= limit ? "     " : "SHORT"} ${what}: ${value.toPrecision(3)}${limit === Number.POSITIVE_INFINITY ? "" : `, at most ${limit.toPrecision(3)}`}`,
  );
  const text = `\n${shown.join("\n")}`;
  if (rows.some(([, value, limit]) => !(value <= limit))) throw new Error(text);
  return text;
}

export const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

export const tools = { run, succeed, lwp, tests, bench, statements };
