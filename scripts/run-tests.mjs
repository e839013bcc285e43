// The compiled tests: which files there are, running them, and what each test reported.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { spec } from "node:test/reporters";
import { run } from "node:test";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

const fileTimeoutMs = 10 * 60_000;

/**
 * The compiled test files whose path contains one of `filters` (all, if there are none), sorted. A file whose
 * source is gone is stale output of an earlier build and is left out.
 */
export function findTestFiles(filters = []) {
  const built = path.join(root, "build/test");
  if (!existsSync(built)) return [];
  return readdirSync(built, { recursive: true })
    .filter((name) => name.endsWith(".test.js"))
    .filter((name) => existsSync(path.join(root, "test", name.replace(/\.js$/, ".ts"))))
    .filter(
      (name) => filters.length === 0 || filters.some((filter) => path.join("test", name).includes(filter)),
    )
    .sort()
    .map((name) => path.join(built, name));
}

/**
 * Runs `files` and resolves, once everything has been reported, to `{ results, failed }`: one
 * `{ name, ok, skipped }` for each test and subtest in the order reported, and whether anything failed, which
 * includes a file that could not be run. Suites are not tests. A todo counts as skipped.
 *
 * With `report`, the spec reporter writes to that stream.
 */
export async function runTests(files, { report } = {}) {
  const results = [];
  let failed = false;
  const events = run({ files, concurrency: 2, timeout: fileTimeoutMs });
  const record = (ok) => (data) => {
    const skipped = isSet(data.skip) || isSet(data.todo);
    if (!ok && !skipped) failed = true;
    if (data.details?.type === "suite" || isFile(data)) return;
    results.push({ name: data.name, ok, skipped });
  };
  events.on("test:pass", record(true));
  events.on("test:fail", record(false));
  if (report === undefined) {
    for await (const _ of events);
  } else {
    for await (const text of events.compose(new spec())) report.write(text);
  }
  return { results, failed };
}

/** `skip` and `todo` are `true` or a reason, which may be the empty string. */
function isSet(mark) {
  return mark !== undefined && mark !== false;
}

/** Node reports a file that has no test of its own, or that crashed, as a test named by its path. */
function isFile(data) {
  return data.nesting === 0 && data.name.endsWith(".test.js") && existsSync(path.resolve(data.name));
}
