/** `lwp run --ps`: tables of the threads while a program runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lwp, program } from "../support/host.js";

/** Runs until it has been listed a few times. */
const TEXT = `
  import { Thread } from "lwp";
  export function* main() {
    const t = yield* Thread.with({ name: "sleeper" }).spawn(sleep);
    yield* t.join();
  }
  function* sleep() { yield* Thread.sleep(1500); }
`;

test("a table every so often on standard error; no terminal, so nothing is redrawn", async () => {
  const { status, stdout, stderr } = await lwp("run", "--cpus", "2", "--ps", "0.1", program(TEXT));
  assert.deepEqual([status, stdout], [0, ""]);
  assert.match(stderr, /^PID +LID +NAME +S +PRI +CPU +TIME +WAITS FOR\n/);
  assert.match(stderr, /sleeper +S /);
  assert.ok(!stderr.includes("\u001b"));
});

test("with --json a line each", async () => {
  const { stderr } = await lwp("run", "--cpus", "2", "--ps", "0.1", "--json", program(TEXT));
  const lines = stderr.trimEnd().split("\n");
  const lists = lines.map((line) => JSON.parse(line) as { threads: unknown[] });
  // The first may come before the program has begun.
  assert.ok(
    lists.some(({ threads }) => threads.length === 2),
    stderr,
  );
});

test("seconds that are none are refused", async () => {
  for (const seconds of ["0", "x", "-1"]) {
    const { status, stderr } = await lwp("run", "--ps", seconds, "nothing.ts");
    assert.equal(status, 2);
    assert.match(stderr, /must be from 0\.01 to 86400/);
  }
});
