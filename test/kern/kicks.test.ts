// CPUs that were asked for something are told before the function that asked returns, once it holds no lock.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import { parked, TestMachine } from "../support/sim.js";
import { overridePort } from "../support/spy.js";

/** The call that is to tell CPU 1; everything else about it is done before. */
type Case = (k: K.Kernel, p: K.Proc) => () => unknown;

const CASES: Record<string, Case> = {
  suspendsched: (k) => () => K.suspendsched(k),
  procKill: (k, p) => () => K.procKill(k, p.pid, 9),
};

/** Calls it with a request for CPU 1 noted. */
function tellsCpu1(m: TestMachine, p: K.Proc, call: () => unknown): void {
  const { k } = m;
  const told: string[] = [];
  overridePort(m, {
    notify: (ci) => {
      const held = [k.g.procLock, p.lock, m.cpu(0).mutex, m.cpu(1).mutex].some((lock) => k.w[lock] !== 0);
      told.push(`CPU ${ci.index - 1}${held ? ", with a lock held" : ""}`);
    },
  });
  K.cur.kicks = 1 << 1;
  call();
  assert.deepEqual([told, K.cur.kicks], [["CPU 1"], 0]);
}

describe("a function that asks another CPU for something tells it, holding no lock:", () => {
  for (const [name, make] of Object.entries(CASES)) {
    test(name, () => {
      const m = new TestMachine({ cpus: 2 });
      const p = m.spawn(parked);
      m.until(() => K.procLwps(p)[0].stat === K.LSSLEEP);
      m.asCpu(() => tellsCpu1(m, p, make(m.k, p)));
    });
  }

  test("lwpStart", () => {
    const m = new TestMachine({ cpus: 2 });
    m.runToEnd(function* () {
      const l = K.cur.lwp;
      const made = K.lwpCreate(l, l.proc, 0, { kind: K.CTX_CLOSURE, closure: function* () {} }, l.class);
      assert.ok(made !== null);
      tellsCpu1(m, l.proc, () => K.lwpStart(l, made, 0));
    });
  });
});
