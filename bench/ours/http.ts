// HTTP: requests to a server in the booting realm, while background threads compute on all CPUs. The 99th percentile of how
// long a request takes. The peer is the same server with nothing in the background.

import { execFile, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { boot } from "lwp";
import { report } from "../measure.js";
import { percentile } from "../stats.js";
import { options } from "./machine.js";

const source = fileURLToPath(new URL("../../../bench/ours/http-program.ts", import.meta.url));
const client = fileURLToPath(new URL("http-client.js", import.meta.url));

const server = createServer((_request, response) => response.end("ok"));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;

const machine = await boot();
const p = options.peer === "" ? await machine.exec(source, [String(machine.cpus)]) : null;
// The client is a process of its own, so that it measures nothing of its own lag. Where the host allows that it goes before the
// threads that compute: clients are on other machines, and this one would wait for a core longer than for its answer.
const first = ["chrt", "--fifo", "50"];
const outranks = spawnSync(first[0]!, [...first.slice(1), "true"]).status === 0;
const [file, ...args] = [
  ...(outranks ? first : []),
  process.execPath,
  client,
  `${port}`,
  `${options.budgetMs * 2}`,
];
const { stdout } = await promisify(execFile)(file!, args);
p?.kill();
await p?.exited;
await machine.shutdown();
server.close();
const ms = JSON.parse(stdout) as number[];
report(percentile(ms, 99), { median: percentile(ms, 50), samples: ms.length, outranks: String(outranks) });
