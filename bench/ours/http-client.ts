// The client of HTTP: one request after another on one connection, one every other millisecond; prints what each took, in ms.

import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const [port, budgetMs] = process.argv.slice(2).map(Number) as [number, number];
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function request(): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ port, host: "127.0.0.1", agent }, (response) => response.resume().on("end", resolve)).on(
      "error",
      reject,
    );
  });
}

const ms: number[] = [];
for (let i = 0; i < 20; i++) await request();
for (const end = performance.now() + budgetMs; performance.now() < end; ) {
  const start = performance.now();
  await request();
  ms.push(performance.now() - start);
  await sleep(2);
}
agent.destroy();
console.log(JSON.stringify(ms));
