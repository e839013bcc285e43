// What is not mutated, each with the reason: a survivor there would say nothing about the tests.

/** Files of kern/. */
export const filesLeftOut = new Map([
  ["compiled.js", "is about compiled code, and the copies that are mutated have none"],
  ["compiledcode.js", "the same"],
  ["delay.js", "the names of the windows; off but in lockstep, where a test counts them"],
  ["invariants.js", "part of the tests: it says what must hold, and is called by nothing else"],
  ["panic.js", "runs once the kernel is wrong already"],
  ["waitfor.js", "what people are told that an LWP waits for; no lock, no effect"],
]);

/** Functions by name. */
export const functionsLeftOut = new Map([["unheld", "only makes the message of a panic"]]);

/** Calls, with all that stands in their arguments. */
const callsLeftOut = new Map([
  [
    "kassert",
    "checks what is always true of a kernel that is right; the assertions of statements have their tests",
  ],
  ["panic", "a message, and the machine is dead"],
  [
    "delayPoint",
    "no effect but in lockstep, where a test counts the points; npm run breakages is about them",
  ],
]);

export function isLeftOutCall(name) {
  return callsLeftOut.has(name);
}

/**
 * `k.mp` chooses between atomic and plain words. The wrong one is right on simulated CPUs, and on real ones wrong only for
 * who is unlucky.
 */
export function isLeftOutCondition(text) {
  return /^(?:\w+\.)*mp(?: === true)?$/.test(text);
}
