// Copies of the compiled package that may be broken, each in a folder of its own; and work on many of them, a few at a time.

import { cpSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./run-tests.mjs";

/**
 * A copy of what the tests need, as `name` in the folder; returns where it is. It runs JavaScript alone: what is broken there would
 * be whole in the compiled code.
 */
export function copyPackage(folder, name) {
  const to = path.join(folder, name);
  for (const part of ["dist", "build/test"])
    cpSync(path.join(root, part), path.join(to, part), { recursive: true });
  writeFileSync(
    path.join(to, "dist/kern/compiledcode.js"),
    "export const CODE = null;\nexport const constants = () => [];\nexport const environment = () => ({});\n",
  );
  cpSync(path.join(root, "package.json"), path.join(to, "package.json"));
  symlinkSync(path.join(root, "node_modules"), path.join(to, "node_modules"));
  return to;
}

/** `body(item, index)` of all items, at most `concurrency` of them at a time. */
export async function inParallel(list, concurrency, body) {
  const results = [];
  let next = 0;
  const work = async () => {
    while (next < list.length) {
      const n = next++;
      results[n] = await body(list[n], n);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return results;
}
