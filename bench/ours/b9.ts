// B8 and B9: round trips of a wakeup between two CPUs, by park and unpark.
//
// B8: the target spins, because each CPU is woken before it has gone to sleep. B9: the other side waits until the target's
// CPU has said that it sleeps; the median of single round trips.

import { fileURLToPath } from "node:url";
import { boot } from "lwp";
import { options } from "./machine.js";

const machine = await boot({ cpus: 2, dedicated: true });
const source = fileURLToPath(new URL("../../../bench/ours/pingpong.ts", import.meta.url));
const p = await machine.exec(source, [options.bench, String(options.budgetMs)]);
const exit = await p.exited;
if (exit.status !== 0) throw new Error(`the program ended with ${JSON.stringify(exit)}`);
await machine.shutdown();
