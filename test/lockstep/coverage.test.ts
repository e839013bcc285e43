import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as K from "lwp/kernel";

const folder = new URL(".", import.meta.url);

test("every delay point has a lockstep test", () => {
  const sources = readdirSync(folder)
    .filter((name) => name.endsWith(".test.js"))
    .map((name) => readFileSync(new URL(name, folder), "utf8"));
  const tested = sources.flatMap((text) => [...text.matchAll(/^window\("([a-z.]+)"/gm)].map((m) => m[1]));
  assert.deepEqual(tested.sort(), [...K.DELAY_POINTS].sort());
});

test("delay points are numbered in the order of their list", () => {
  const numbers = Object.entries(K)
    .filter(([name]) => name.startsWith("AT_"))
    .map(([name, bit]) => [name.slice(3).toLowerCase().replace("_", "."), bit]);
  assert.deepEqual(
    numbers.sort((a, b) => Number(a[1]) - Number(b[1])),
    K.DELAY_POINTS.map((name) => [name, K.delayBit(name)]),
  );
  assert.ok(K.DELAY_POINTS.length <= 32, "the bits fit into a word");
});
