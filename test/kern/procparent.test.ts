// Whose child a process is.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { parked, TestMachine, withLock } from "../support/sim.js";

test("process 0 adopts the children of one that ends, whether their records are older or newer than its own", () => {
  const m = new TestMachine();
  const { k } = m;
  const [older, p, newer] = [m.spawn(parked), m.spawn(parked), m.spawn(parked)];
  assert.ok(older.index < p.index && p.index < newer.index);
  m.asCpu(() =>
    withLock(k, k.g.procLock, () => {
      K.procReparent(older, p);
      K.procReparent(newer, p);
    }),
  );
  const p0 = k.procs.view(1);
  assert.deepEqual([p.nchildren, p0.nchildren], [2, 1]);
  m.run();
  m.asCpu(() => K.procKill(k, p.pid, 9));
  m.run();
  assert.deepEqual([older.parent, newer.parent, p0.nchildren], [p0, p0, 2]);
});
