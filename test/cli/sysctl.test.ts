/** `lwp sysctl`, and `lwp run --sysctl`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { boot } from "lwp";
import { lwp, program } from "../support/host.js";

test("all names with their values and meanings, then the meanings alone, then values alone, then JSON", async () => {
  const values = await lwp("sysctl", "-a");
  assert.equal(values.status, 0, values.stderr);
  assert.match(
    values.stdout,
    /^kern\.maxlwp = \d+ +# Maximum number of simultaneous threads \(may be set\)$/m,
  );
  assert.match(values.stdout, /^kern\.lwp = \d+ entries +# \w/m);
  for (const line of values.stdout.trimEnd().split("\n")) assert.match(line, /^[a-z0-9_.]+ = .+ # \w/);
  const described = await lwp("sysctl", "-a", "-d");
  assert.match(described.stdout, /^kern\.maxlwp: Maximum number of simultaneous threads \(may be set\)$/m);
  assert.equal(described.stdout.split("\n").length, values.stdout.split("\n").length);
  assert.match((await lwp("sysctl", "kern.maxlwp")).stdout, /^kern\.maxlwp = \d+\n$/);
  const json = JSON.parse((await lwp("sysctl", "kern.sched", "--json")).stdout) as { name: string }[];
  assert.ok(json.length > 3 && json.every(({ name }) => name.startsWith("kern.sched.")));
});

test("a name that is not there is told, and fails", async () => {
  const { status, stdout, stderr } = await lwp("sysctl", "hw.ncpu", "kern.nothing");
  assert.deepEqual(
    [status, stdout, stderr],
    [1, "hw.ncpu = 1\n", "lwp: sysctl: there is no name kern.nothing\n"],
  );
});

test("LWP-39: lwp run --sysctl kern.maxlwp=20: the program has as many threads, and the next is EAGAIN", async () => {
  const text = `
    import { lwpCreate, lwpPark, sysctl } from "lwp/syscall";
    export function* main() {
      if ((yield* sysctl("kern.maxlwp")) !== 20) return 255;
      for (let n = 0; ; n++) {
        try { yield* lwpCreate(function* () { yield* lwpPark(); }); }
        catch (error) { return error.code === "EAGAIN" ? n : 254; }
      }
    }
  `;
  const { status, stderr } = await lwp("run", "--cpus", "1", "--sysctl", "kern.maxlwp=20", program(text));
  assert.equal(status, 20, stderr);
});

test("what the kernel refuses, and what is no setting, is one line and status 2", async () => {
  const file = program("export function* main() {}");
  for (const [setting, line] of [
    ["kern.maxlwp=-1", "lwp: --sysctl kern.maxlwp=-1: EINVAL\n"],
    ["hw.ncpu=3", "lwp: --sysctl hw.ncpu=3: EPERM\n"],
    ["kern.nothing=3", "lwp: --sysctl kern.nothing=3: ENOENT\n"],
  ]) {
    const { status, stderr } = await lwp("run", "--cpus", "1", "--sysctl", setting, file);
    assert.deepEqual([status, stderr], [2, line]);
  }
  const { status, stderr } = await lwp("run", "--sysctl", "kern.maxlwp=many", file);
  assert.equal(status, 2);
  assert.match(stderr, /must be NAME=INTEGER/);
});

test("machine.sysctl reads and sets, as the superuser; errors by code", async () => {
  const machine = await boot({ cpus: 2 });
  try {
    assert.equal(machine.sysctl("hw.ncpu"), 2);
    const before = machine.sysctl("kern.maxlwp");
    assert.equal(machine.sysctl("kern.maxlwp", 50), before);
    assert.equal(machine.sysctl("kern.maxlwp"), 50);
    assert.throws(() => machine.sysctl("kern.maxlwp", 1e9), { code: "EINVAL", syscall: "sysctl" });
    assert.throws(() => machine.sysctl("hw.ncpu", 1), { code: "EPERM" });
    assert.throws(() => machine.sysctl("nothing"), { code: "ENOENT" });
    assert.ok(machine.sysctls().some(({ name }) => name === "kern.maxlwp"));
  } finally {
    await machine.shutdown();
  }
  assert.throws(() => machine.sysctl("hw.ncpu"), { code: "EMACHINE" });
});
