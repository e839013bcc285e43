/** The example that counts words in a pipeline of channels: the same as counting them in a loop. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { lwp, program } from "../support/host.js";

const example = fileURLToPath(new URL("../../../examples/pipeline.ts", import.meta.url));
const WORDS = "one two three four five six seven eight nine ten eleven twelve".split(" ");

for (const cpus of ["1", "2"]) {
  test(`words of 60 files are counted, whoever reads and counts them (${cpus} CPUs)`, async () => {
    const files: string[] = [];
    const counts = new Map<string, number>();
    for (let i = 0; i < 60; i++) {
      const words = Array.from({ length: 100 + i }, (_, n) => WORDS[(n * n + i) % WORDS.length]);
      for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
      files.push(program(words.join(i % 2 === 0 ? " " : ", "), `words${i}.txt`));
    }
    const sorted = [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
    const { status, stdout, stderr } = await lwp("run", "--cpus", cpus, example, ...files);
    assert.deepEqual([status, stderr], [0, ""]);
    const lines = sorted.slice(0, 10).map(([word, n]) => `${n} ${word}\n`);
    assert.equal(stdout, lines.join(""));
  });
}
