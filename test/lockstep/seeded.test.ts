// Random programs on real CPUs, of which one goes at a time: a seed says which.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { boot, type Machine } from "lwp";
import * as K from "lwp/kernel";
import { linkProgram } from "#dist/machine/link.js";
import { LOCKSTEP_LIMITS } from "../support/lockstep.js";
import { RANDOM } from "../support/lockstep-words.js";

const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1);
const CPUS = 3;
/** A run takes some hundreds to a few thousand. */
const GRANTS_MAX = 50_000;

const linked = await linkProgram(new URL("programs/random.js", import.meta.url));
const entryOf = (name: string): string =>
  String(linked.entries.findIndex(({ id }) => id.endsWith(`random.js#${name}`)));

const machines: Machine[] = [];
after(async () => {
  for (const machine of machines) await machine.shutdown();
});

async function makeMachine(): Promise<Machine> {
  const machine = await boot({ cpus: CPUS, client: true, limits: LOCKSTEP_LIMITS });
  machines.push(machine);
  return machine;
}

/** Runs the program under the seed; what was granted, in order. */
async function explore(machine: Machine, seed: number): Promise<K.Grant[]> {
  const k = machine.kernel;
  const word = (n: number): number => Atomics.load(k.w, k.scratch + n);
  const set = (n: number, value: number): void => {
    Atomics.store(k.w, k.scratch + n, value);
    Atomics.notify(k.w, k.scratch + n);
  };
  k.w.fill(0, k.scratch, k.scratch + RANDOM.SIZE);
  set(RANDOM.SEED, seed);
  const ls = machine.lockstep();
  const process = await machine.execLinked(linked, [entryOf("boss"), entryOf("thread")]);
  await ls.until("the program is ready", () => word(RANDOM.READY) === 1);
  await ls.armAll((cpu) => cpu === 0);
  set(RANDOM.GO, 1);
  const choose = K.seededStrategy(seed);
  const grants = await ls.run({
    choose: (n) => choose("grant", n),
    limit: GRANTS_MAX,
    finished: (cpu) => cpu === 0 && word(RANDOM.FINISHED) === 1,
  });
  assert.equal(word(RANDOM.FINISHED), 1, `the program is stuck\n${ls.describe()}`);
  assert.deepEqual(K.checkInvariants(k), []);
  set(RANDOM.LEAVE, 1);
  ls.off();
  assert.deepEqual((await process.exited).status, 0);
  assert.equal(machine.lostWakeups, 0);
  return grants;
}

let shared: Machine | null = null;
for (const seed of SEEDS) {
  test(`a random program runs to its end, interleaved by seed ${seed}`, async () => {
    shared ??= await makeMachine();
    const grants = await explore(shared, seed);
    const points = new Set(grants.map((grant) => grant.slice(2)));
    assert.ok(points.size >= 10, `only ${[...points].join(", ")}`);
  });
}

test("the same seed gives the same interleaving", async () => {
  const first = await explore(await makeMachine(), 7);
  const second = await explore(await makeMachine(), 7);
  assert.deepEqual(second, first);
});
