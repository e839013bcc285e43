// Which places of the kernel a test reaches, by V8's coverage of its run.

import { readFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** Reads the coverage in `folder`, and removes it. Returns whether the offset `at` of `file` in `kern` was executed. */
export function reachOf(folder, kern) {
  const prefix = `${pathToFileURL(kern).href}/`;
  const ranges = new Map();
  for (const name of readdirSync(folder)) {
    const { result } = JSON.parse(readFileSync(path.join(folder, name), "utf8"));
    for (const { url, functions } of result.filter((script) => script.url.startsWith(prefix))) {
      const file = url.slice(prefix.length);
      ranges.set(file, [...(ranges.get(file) ?? []), ...functions.flatMap((f) => f.ranges)]);
    }
  }
  rmSync(folder, { recursive: true });
  return (file, at) => {
    const around = (ranges.get(file) ?? []).filter((r) => r.startOffset <= at && at < r.endOffset);
    const length = (r) => r.endOffset - r.startOffset;
    const innermost = Math.min(...around.map(length));
    return around.some((r) => r.count > 0 && length(r) === innermost);
  };
}
