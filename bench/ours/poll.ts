// POLL: what a poll costs in a loop of a thread function that has nothing else to do, and is asked for nothing.

import { fileURLToPath } from "node:url";
import { boot } from "lwp";
import { linkProgram } from "#dist/machine/link.js";
import { options } from "./machine.js";

const source = fileURLToPath(new URL("../../../bench/ours/poll-program.ts", import.meta.url));
// The peer is the same loop as it was written.
const linked = await linkProgram(source, { polls: options.peer === "" });
const machine = await boot({ cpus: options.mode === "up" ? 1 : 2, dedicated: true });
const exit = await (await machine.execLinked(linked, [String(options.budgetMs)])).exited;
if (exit.status !== 0) throw new Error(`the program ended with ${JSON.stringify(exit)}`);
await machine.shutdown();
