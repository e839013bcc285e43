/** The keys of a process for values of its threads: what there is room for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { TestMachine } from "../support/sim.js";

test("a process has 256 keys; without a free one the answer is -1, and one that is deleted serves again", () => {
  new TestMachine().runToEnd(function* () {
    const p = K.cur.lwp.proc;
    for (let key = 0; key < K.TSD_KEYS_MAX; key++) assert.equal(K.threadKeyCreate(p, 0), key);
    assert.equal(K.threadKeyCreate(p, 0), -1);
    // The one made last comes last of all that are tried.
    assert.equal(K.threadKeyDelete(p, 255, K.threadKeyGen(p, 255)), true);
    assert.equal(K.threadKeyCreate(p, 0), 255);
    assert.equal(K.threadKeyDelete(p, 7, K.threadKeyGen(p, 7)), true);
    assert.equal(K.threadKeyDelete(p, 7, K.threadKeyGen(p, 7)), false);
    assert.equal(K.threadKeyCreate(p, 0), 7);
    assert.equal(K.threadKeyCreate(p, 0), -1);
  });
});
