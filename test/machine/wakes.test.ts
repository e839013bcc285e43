/** Suspend, continue, wakeup and unpark across CPUs, in every state of the target, while step threads migrate. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { lwp } from "../support/host.js";

interface Outcome {
  readonly call: string;
  readonly state: string;
  readonly slept: string | null;
  readonly park: string;
}

/** Call and state of the target; what the call returns, the state then; what its sleep returns, and its next park. */
const TABLE: readonly [string, string, string, string | null, string][] = [
  ["suspend computing", "", "SUSPENDED", null, "ETIMEDOUT"],
  ["suspend sleeping", "", "SUSPENDED", "", "ETIMEDOUT"],
  // Not before it has the mutex: this sleep cannot be interrupted.
  ["suspend blocked", "", "SUSPENDED", null, "ETIMEDOUT"],
  ["continue computing", "", "running", null, "ETIMEDOUT"],
  ["continue sleeping", "", "SLEEP", "", "ETIMEDOUT"],
  ["continue blocked", "", "SLEEP", null, "ETIMEDOUT"],
  ["wakeup computing", "ENODEV", "running", null, "EALREADY"],
  ["wakeup sleeping", "", "running", "EINTR", "EALREADY"],
  ["wakeup blocked", "EBUSY", "SLEEP", null, "EALREADY"],
  ["unpark computing", "", "running", null, "EALREADY"],
  ["unpark sleeping", "", "running", "", "ETIMEDOUT"],
  ["unpark blocked", "", "SLEEP", null, "EALREADY"],
];

describe("from another CPU", () => {
  let outcomes: Record<string, Outcome>;
  let seen: number[];
  before(async () => {
    const program = fileURLToPath(new URL("programs/wakes.js", import.meta.url));
    const { status, stdout, stderr } = await lwp("run", "--cpus", "2", program);
    assert.equal(status, 0, stderr);
    ({ outcomes, seen } = JSON.parse(stdout) as { outcomes: Record<string, Outcome>; seen: number[] });
  });

  for (const [name, call, state, slept, park] of TABLE) {
    test(`${name}: ${call === "" ? "done" : call}, then it is ${state}; its next park: ${park}`, () => {
      assert.deepEqual(outcomes[name], { call, state, slept, park });
    });
  }

  test("the step threads have run on both CPUs meanwhile", () => {
    assert.deepEqual(seen, [3, 3]);
  });
});
