// The window between making a signal pending and telling an LWP of it.
import assert from "node:assert/strict";
import { type Action, window } from "../support/lockstep.js";
import { callPark } from "../support/lockstep-actions.js";

const SIGUSR1 = 30;
/** Word that counts how often the handler ran. */
const HANDLED = 22;
const EINTR = 4;

const catchIt: Action = function* (x) {
  yield* x.S.sigaction(30, { handler: () => void x.w[x.at(22)]++ });
};
const send: Action = function* (x, lid, sig) {
  yield* x.S.lwpKill(lid, sig);
};
const sendToAll: Action = function* (x, _lid, sig) {
  yield* x.S.kill(0, sig);
};
/** Keeps the signal for the others. */
const block: Action = function* (x) {
  yield* x.S.sigprocmask(1, [30]);
};
const unblock: Action = function* (x) {
  yield* x.S.sigprocmask(2, [30]);
};

window("signal.queued", {
  "the target goes to sleep in between: it is woken, and its handler runs": async (rig) => {
    for (const action of [send, sendToAll]) {
      await rig.call(0, catchIt);
      await rig.call(1, block);
      const handled = rig.word(HANDLED);
      const b = await rig.hold(1, "signal.queued", action, rig.lid(0), SIGUSR1);
      const a = rig.start(0, callPark);
      await rig.untilOff(rig.lid(0));
      assert.equal(rig.word(HANDLED), handled);
      await b.go();
      assert.equal(await rig.awake(a, 0), EINTR);
      assert.equal(rig.word(HANDLED), handled + 1);
      await rig.call(1, unblock);
    }
  },
  "the target is told before it sleeps: it does not, and its handler runs": async (rig) => {
    for (const action of [send, sendToAll]) {
      await rig.call(0, catchIt);
      await rig.call(1, block);
      const handled = rig.word(HANDLED);
      const a = await rig.hold(0, "park.enter", callPark);
      await rig.call(1, action, rig.lid(0), SIGUSR1);
      rig.go(0);
      assert.equal(await rig.awake(a, 0), EINTR);
      assert.equal(rig.word(HANDLED), handled + 1);
      await rig.call(1, unblock);
    }
  },
});
