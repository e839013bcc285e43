// B10 and B11: portable tasks. mp: two CPUs. up: one.

import { boot } from "lwp";
import { options } from "./machine.js";

const machine = await boot({ cpus: options.mode === "up" ? 1 : 2, dedicated: true });
const args = [options.bench, String(options.threads), String(options.budgetMs)];
const p = await machine.exec(new URL("tasks.js", import.meta.url), args);
const exit = await p.exited;
if (exit.status !== 0) throw new Error(`the program ended with ${JSON.stringify(exit)}`);
await machine.shutdown();
