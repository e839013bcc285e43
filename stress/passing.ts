// node build/stress/passing.js [--threads N] [--cpus C]: threads with every kind of argument, made and dropped.
//
// Prints what the tables hold at the end; exit status 1 if that is anything but the system's own. The tables are small, so that
// whatever leaks fills them long before the end.

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { boot } from "lwp";
import { checkEmpty, POOL_INUSE } from "lwp/kernel";

const { values } = parseArgs({
  options: { threads: { type: "string", default: "100000" }, cpus: { type: "string", default: "2" } },
});
const limits = { lwps: 256, threads: 256, blocks: 512, userPages: 256 };
const machine = await boot({ cpus: Number(values.cpus), limits, dedicated: true });
const file = fileURLToPath(new URL("passing-program.js", import.meta.url));
const { status } = await (await machine.exec(file, [values.threads])).exited;
await machine.shutdown();
const k = machine.kernel;
const wrong = checkEmpty(k);
if (status !== 0) wrong.push(`the program ended with status ${String(status)}`);
if (k.w[k.blockPool + POOL_INUSE] !== 0) wrong.push("blocks of the arena are in use");
console.log(wrong.length === 0 ? `sound: ${values.threads} threads, nothing left` : wrong.join("\n"));
process.exitCode = wrong.length === 0 ? 0 : 1;
