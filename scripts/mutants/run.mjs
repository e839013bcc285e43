// Running test files in a copy of the package.

import { spawn } from "node:child_process";
import path from "node:path";
import { root } from "../run-tests.mjs";

const env = {
  /** A twentieth of the random programs: enough to see a fault that the other tests missed. */
  LWP_PROPERTY_RUNS: "15",
  /** How long a broken test in lockstep waits for what does not come. */
  LOCKSTEP_LIMIT_MS: "8000",
};

/**
 * Runs test files in one process until the first failure. Resolves to `{ failed, work }`: the name of that test, or null; and
 * how long the process has worked, in microseconds of its CPU time, if none fails. V8's coverage goes to the folder `coverage`.
 */
export function runFiles(where, files, coverage = null) {
  return new Promise((resolve) => {
    const names = files.map((file) => path.join(where, path.relative(root, file)));
    const child = spawn(
      process.execPath,
      ["--test-reporter=tap", path.join(root, "scripts/mutants/run-files.mjs"), ...names],
      {
        cwd: where,
        env: { ...process.env, ...env, ...(coverage === null ? {} : { NODE_V8_COVERAGE: coverage }) },
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
      const work = Number(/^# work (\d+)$/m.exec(output)?.[1]);
      if (failure !== null) resolve({ failed: failure[1].replaceAll("\\", ""), work });
      else resolve({ failed: code === 0 ? null : `the tests end with code ${code}`, work });
    });
  });
}
