/** The kernel's functions that are compiled to WebAssembly do, word by word, what their JavaScript does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Program, program } from "../property/program.js";
import { PropertyMachine } from "../property/run.js";

const RUNS = 60;
const SEED = 20121015;

/** How the program went, and all of kernel memory at its end. */
function run(p: Program, compiled: boolean): { went: unknown; words: Int32Array; calls: number } {
  const machine = new PropertyMachine(p.cpus, p.lwps, compiled);
  const { k } = machine.sim;
  let calls = 0;
  if (k.compiled !== null) {
    for (const [name, f] of Object.entries(k.compiled)) {
      (k.compiled as Record<string, typeof f>)[name] = (...args) => {
        calls++;
        return f(...args);
      };
    }
  }
  const { steps, schedule, log } = machine.run(p);
  return { went: { steps, schedule, log }, words: k.w, calls };
}

test("random programs go the same way on compiled code, and leave the same words", (t) => {
  let calls = 0;
  fc.assert(
    fc.property(program, (p) => {
      const plain = run(p, false);
      const compiled = run(p, true);
      assert.equal(plain.calls, 0);
      calls += compiled.calls;
      assert.deepEqual(compiled.went, plain.went);
      // The memory of compiled code is as long as its pages.
      const differs = plain.words.findIndex((word, i) => word !== compiled.words[i]);
      assert.equal(differs, -1, `word ${differs}`);
    }),
    { numRuns: RUNS, seed: SEED, includeErrorInReport: true },
  );
  t.diagnostic(`${calls} calls of compiled functions in ${RUNS} programs; seed ${SEED}`);
  assert.ok(calls > 100 * RUNS, `${calls} calls`);
});
