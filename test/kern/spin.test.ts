/** Spin locks on a machine whose CPUs run in parallel: who sleeps for one is woken by its release. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { boot } from "lwp";
import * as K from "lwp/kernel";

test("the release of a spin lock wakes one who sleeps for it, and without one nobody is notified", async () => {
  await using machine = await boot({ cpus: 2, client: true });
  const { w, scratch: lock } = machine.kernel;
  const word = new Int32Array(w.buffer);
  for (const sleepers of [0, 1]) {
    await K.asCpu(machine.kernel.cpus.view(1), async () => {
      K.spinEnter(machine.kernel, lock);
      w[lock + 1] = sleepers;
      const woken = Atomics.waitAsync(word, lock, w[lock]);
      K.spinExit(machine.kernel, lock);
      w[lock + 1] = 0;
      assert.equal(Atomics.notify(word, lock), 1 - sleepers, "those who still sleep");
      assert.equal(await woken.value, "ok");
    });
  }
});
