/** The example that embeds threads in an HTTP server. */
import assert from "node:assert/strict";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const example = new URL("../../examples/embed-http.js", import.meta.url);
const { serve } = (await import(fileURLToPath(example))) as {
  serve(port: number, threads?: number): Promise<{ server: Server; close(): Promise<void> }>;
};

test("requests are answered while threads that never sleep go on, and these go on between requests", async () => {
  const { server, close } = await serve(0, 50);
  const { port } = server.address() as AddressInfo;
  const get = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  try {
    // Requests that come one right after the other may be answered in one turn of the event loop.
    for (let before = 0, grown = 0; grown < 20; ) {
      const rounds = Number.parseInt(await get("/"), 10);
      assert.ok(rounds >= before, `${rounds} rounds after ${before}`);
      if (rounds > before) grown++;
      before = rounds;
    }
    const all = await Promise.all([10, 100, 1000, 10_000].map((n) => get(`/primes?below=${n}`)));
    assert.deepEqual(all, [
      "4 primes below 10\n",
      "25 primes below 100\n",
      "168 primes below 1000\n",
      "1229 primes below 10000\n",
    ]);
  } finally {
    await close();
  }
});
