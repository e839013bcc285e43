/** docs/seed.md against the code, and against the index of the specification. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

/** The words between backticks. */
const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map((m) => m[1]);

/** Rows of the tables in a text, each as its cells. */
const rows = (text: string): string[][] =>
  text
    .split("\n")
    .filter((line) => /^\| `/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );

const page = read("docs/seed.md");
const table = rows(page).map(([names, here, note]) => ({ names: quoted(names), here, note }));

/** Whether the file declares the symbol: as a function, a constant, a type, a field, or a name in a list. */
function declares(file: string, symbol: string): boolean {
  const text = read(file);
  return [
    `\\b(?:function\\*?|const|class|interface|type) ${symbol}\\b`,
    `^ +(?:readonly )?${symbol}[:(]`,
    `^ +"${symbol}",$`,
  ].some((pattern) => new RegExp(pattern, "m").test(text));
}

test("every counterpart of a name of the seed stands in the file that is named", () => {
  const missing: string[] = [];
  for (const { here } of table) {
    if (here === "—") continue;
    for (const part of here.split("; ")) {
      const [symbols, file] = part.split(" in ");
      assert.match(part, /^`[^`]+`(?:, `[^`]+`)* in `src\/[^`]+`$/, "how a counterpart is written");
      for (const symbol of quoted(symbols)) {
        if (!declares(quoted(file)[0], symbol)) missing.push(`${symbol} in ${quoted(file)[0]}`);
      }
    }
  }
  assert.deepEqual(missing, []);
});

test("a name without a counterpart has a reason, and each name stands in one row", () => {
  for (const { names, here, note } of table) if (here === "—") assert.notEqual(note, "", names.join());
  const all = table.flatMap(({ names }) => names);
  // A function, and the probe that it fires.
  assert.deepEqual(
    all.filter((name, i) => all.indexOf(name) !== i),
    ["lwp_exit"],
  );
});

test("every name of the specification's index is in the table", () => {
  const text = read("docs/spec/README.md");
  const index = text.slice(text.indexOf("## Everything named"), text.indexOf("## Known defects"));
  const known = new Set(table.flatMap(({ names }) => names));
  const missing = rows(index)
    // The names stand in the first column, and in the third where there are four.
    .flatMap((cells) => [cells[0], cells.length >= 4 ? cells[2] : ""])
    .flatMap((cell) => quoted(cell).flatMap((names) => names.split(" ")))
    .filter((name) => !known.has(name));
  assert.deepEqual(missing, []);
});
