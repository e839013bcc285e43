// B6: Skynet: a tree of threads with a fan-out of ten, each of which returns the sum of the numbers of the leaves below it.
// Depth first: a thread starts its leaves at once, but joins any other child before it starts the next one.

import { Thread } from "lwp";
import { FAN_OUT, report, sumOfLeaves } from "../measure.js";
import { options, runMain } from "./machine.js";

const { threads } = options;

function* skynet(first: number, size: number): Generator<unknown, number, undefined> {
  if (size === 1) return first;
  const below = size / FAN_OUT;
  const leaves: Thread<number>[] = [];
  let sum = 0;
  for (let i = 0; i < FAN_OUT; i++) {
    const child: Thread<number> = yield* Thread.spawn(skynet, first + i * below, below);
    if (below === 1) leaves.push(child);
    else sum += yield* child.join();
  }
  for (const leaf of leaves) sum += yield* leaf.join();
  return sum;
}

await runMain(function* () {
  yield* skynet(0, threads / FAN_OUT ** 2);
  const begun = performance.now();
  const sum = yield* skynet(0, threads);
  const ms = performance.now() - begun;
  if (sum !== sumOfLeaves(threads)) throw new Error(`the sum is ${sum}`);
  report(ms);
});
