// Peer "worker": resident bytes of an idle worker_threads Worker that waits for a message (B7).

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { programOptions, report, residentBytes } from "../measure.js";

const { bench, threads } = programOptions();
if (bench !== "B7") throw new RangeError(`--bench ${bench}`);

const source = `
const { parentPort } = require("node:worker_threads");
parentPort.once("message", () => {});
parentPort.postMessage("ready");
`;

async function start(): Promise<Worker> {
  const worker = new Worker(source, { eval: true });
  await once(worker, "message");
  return worker;
}

const workers = [await start()];
const before = residentBytes();
for (let i = 0; i < threads; i++) workers.push(await start());
report((residentBytes() - before) / threads);
for (const worker of workers) worker.postMessage("end");
