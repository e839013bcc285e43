import { test } from "node:test";
import fc from "fast-check";
import { program } from "./program.js";
import { PropertyMachine } from "./run.js";
test("try", () => {
  const runs = Number(process.env.RUNS ?? 50);
  const machines = new Map<string, PropertyMachine>();
  const all = new Map<string, number>();
  const steps: number[] = [];
  let dead = 0;
  const t0 = performance.now();
  fc.assert(
    fc.property(program, (p) => {
      const key = `${p.cpus}.${p.lwps}`;
      const m = machines.get(key) ?? new PropertyMachine(p.cpus, p.lwps);
      machines.set(key, m);
      const r = m.run(p);
      steps.push(r.steps);
      if (r.deadlocked) dead++;
      for (const [n, c] of [...r.counts, ...r.transitions]) all.set(n, (all.get(n) ?? 0) + c);
    }),
    { numRuns: runs, seed: 20120830, endOnFailure: true },
  );
  console.log(all, dead, steps.reduce((a, b) => a + b, 0), performance.now() - t0);
});
