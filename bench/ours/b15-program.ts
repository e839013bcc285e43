// B15: what it costs that the kernel can be traced: the yields of B1. With nobody listening, which is the program itself;
// with a listener to everything (`--peer listening`); and as the peer "unprobed" (b15.ts), without probes at all.
//
// The differences are far below the noise of the host, so the figure is the least of many short rounds.

import { boot, schedYield, Thread } from "lwp";
import { report } from "../measure.js";
import { options } from "./machine.js";

const YIELDS = 20;

const { threads, budgetMs, peer } = options;
const machine = await boot({ cpus: 2, dedicated: peer !== "listening" });
if (peer === "listening") void listen();

async function listen() {
  for await (const _ of machine.events());
}

let best = Number.POSITIVE_INFINITY;
const p = machine.spawn(function* () {
  const end = performance.now() + budgetMs * 2;
  let over = false;
  let begun = 0;
  function* yielder(first: boolean) {
    while (!over) {
      if (first) {
        const now = performance.now();
        if (begun !== 0) best = Math.min(best, now - begun);
        begun = now;
        over = now > end;
      }
      for (let i = 0; i < YIELDS; i++) yield* schedYield();
    }
  }
  const spawned = [];
  for (let i = 0; i < threads; i++) spawned.push(yield* Thread.spawn(yielder, i === 0));
  for (const t of spawned) yield* t.join();
});
await p.exited;
await machine.shutdown();
report((best * 1e6) / (threads * YIELDS));
