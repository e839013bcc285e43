/** The example that crawls a site: every page is visited once, and never more than fifty at a time. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { lwp } from "../support/host.js";

const example = fileURLToPath(new URL("../../../examples/crawler.ts", import.meta.url));
const PAGES = 2000;

/** Page 0 links to all others, these to each other and to one that is not there. */
function page(n: number): string {
  if (n > 0) return `<a href="/${(n % (PAGES - 1)) + 1}">next</a> <a class="x" href="/nowhere#top">gone</a>`;
  return Array.from({ length: PAGES - 1 }, (_, i) => `<a href="/${i + 1}">${i + 1}</a>`).join("\n");
}

test("2,000 threads visit 2,000 pages, each once, with never more than 50 requests at a time", async () => {
  const visits = new Map<string, number>();
  let open = 0;
  let most = 0;
  const server = createServer((request, response) => {
    const url = request.url as string;
    visits.set(url, (visits.get(url) ?? 0) + 1);
    most = Math.max(most, ++open);
    // Long enough for others to come meanwhile.
    setTimeout(() => {
      open--;
      const n = url === "/" ? 0 : Number(url.slice(1));
      response.statusCode = Number.isInteger(n) ? 200 : 404;
      response.end(Number.isInteger(n) ? page(n) : "");
    }, 5);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { status, stdout, stderr } = await lwp("run", "--cpus", "2", example, `http://127.0.0.1:${port}/`);
  server.closeAllConnections();
  server.close();
  assert.deepEqual([status, stderr], [0, ""]);
  assert.match(stdout, /^2001 pages, \d+ bytes, 1 broken links\n$/);
  assert.equal(visits.size, PAGES + 1);
  for (const [url, n] of visits) assert.equal(n, 1, url);
  assert.ok(most > 1 && most <= 50, `${most} at a time`);
});
