/** Polls on a simulated machine (R12, SCH-133): each is a choice, to go on or to be preempted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { TestMachine } from "../support/sim.js";

/** Two threads of one CPU that poll in turn, and what they log; `answers` are given to the polls, then 0. */
function polling(answers: number[], polls: number): { m: TestMachine; log: string[] } {
  const log: string[] = [];
  const m = new TestMachine({ strategy: (site) => (site === "poll" ? (answers.shift() ?? 0) : 0) });
  for (const name of ["a", "b"]) {
    m.spawn(function* () {
      for (let i = 0; i < polls; i++) {
        log.push(name);
        while (K.pollLwp(K.cur.lwp) === K.RET_SWITCH) yield;
      }
    });
  }
  return { m, log };
}

test("a poll that is chosen to go on leaves no context; one that is chosen otherwise preempts the LWP", () => {
  const { m, log } = polling([0, 1, 0, 1], 3);
  m.run();
  assert.deepEqual(log, ["a", "a", "b", "b", "a", "b"]);
});

test("after so many polls of a step that all went on, one is a preemption without being chosen", () => {
  const { m, log } = polling([], K.POLLS_PER_STEP_MAX + 1);
  m.run();
  assert.deepEqual(
    [log.indexOf("b"), log.lastIndexOf("a")],
    [K.POLLS_PER_STEP_MAX, 2 * K.POLLS_PER_STEP_MAX],
  );
});
