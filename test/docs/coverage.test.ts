/**
 * The pages against what `lwp` exports, as its declaration files have it.
 *
 * docs/reference.md has a section for each class and function, with its name as heading. For each public member of the class,
 * inherited ones too, a code block of that section uses it: `.name`, or `using` for what is called at the end of a block; and
 * its text names each error that the member's comment does. What all synchronisation objects have stands in a section of its
 * own. For a type a code block anywhere names it, and each field of
 * options stands somewhere in the reference.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { allMembers, codesOf, declarationOf, exported, membersOf } from "../support/declarations.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Code of a text, and its text without code. */
function blocksOf(text: string): string {
  return [...text.matchAll(/^```(?:ts|js)\b[^\n]*\n([\s\S]*?)^```$/gm)].map((m) => m[1]).join("\n");
}

const reference = readFileSync(join(root, "docs/reference.md"), "utf8");
const sections = new Map<string, string>();
for (const part of reference.split(/^## /m).slice(1)) {
  const heading = part.slice(0, part.indexOf("\n"));
  sections.set(heading.replaceAll("`", ""), part);
}
const everywhere = readdirSync(join(root, "docs"))
  .filter((file) => file.endsWith(".md"))
  .map((file) => readFileSync(join(root, "docs", file), "utf8"))
  .concat(readFileSync(join(root, "README.md"), "utf8"))
  .map(blocksOf)
  .join("\n");

/** Whether code uses a member. */
function uses(code: string, member: string, owner: string): boolean {
  if (member === "constructor" || member === "[Symbol.asyncIterator]") return code.includes(owner);
  if (member === "[Symbol.dispose]") return /\busing \w/.test(code);
  if (member === "[Symbol.asyncDispose]") return /\bawait using \w/.test(code);
  return new RegExp(`\\.${member}\\b|[{,] ?${member}\\b`).test(code);
}

test("the exports are found", () => {
  assert.ok(exported.length > 40, String(exported.length));
  assert.deepEqual(
    membersOf("    /** a */\n    get x(): number;\n    #p;\n    private q;\n    static y<T>(): T;\n").map(
      (m) => m.name,
    ),
    ["x", "y"],
  );
});

/** Streams of events are only got from a machine, and what is iterated there is in its section. */
const VALUES = exported.filter((e) => !e.isType);

describe("docs/reference.md has for", () => {
  for (const { name, file } of VALUES) {
    test(`${name}: a section with a program for each call, and its errors by code`, () => {
      if (name === "SEM_VALUE_MAX" || name === "psTable") {
        assert.ok(everywhere.includes(name));
        return;
      }
      const section = sections.get(name);
      assert.ok(section !== undefined, `there is no section ## \`${name}\``);
      const code = section.includes("```ts") ? blocksOf(section) : everywhere;
      assert.match(code, new RegExp(`\\b${name}\\b`), `no code block uses ${name}`);
      const common = sections.get("Synchronisation objects") as string;
      const isObject = common.includes(`new ${name}(`);
      for (const member of allMembers(file, name)) {
        const used = uses(code, member.name, name) || (isObject && uses(blocksOf(common), member.name, name));
        assert.ok(used, `no code block of the section uses ${name}.${member.name}`);
        for (const errorCode of codesOf(member.comment)) {
          assert.ok(
            section.includes(errorCode) ||
              (isObject && /dispose/.test(member.name) && common.includes(errorCode)),
            `the section does not name ${errorCode} of ${name}.${member.name}`,
          );
        }
      }
    });
  }
});

describe("the pages have for the type", () => {
  for (const { name, file } of exported.filter((e) => e.isType)) {
    test(`${name}: a code block that names it, and each of its options`, () => {
      assert.ok(new RegExp(`\\b${name}\\b`).test(everywhere), `no code block names ${name}`);
      if (!/Options$|^Simulation$/.test(name)) return;
      const found = declarationOf(file, name);
      assert.ok(found !== null, `${name} is not in ${file}`);
      for (const { name: option } of membersOf(found.body)) {
        assert.match(reference, new RegExp(`\\b${option}\\b`), `the option ${option} of ${name}`);
      }
    });
  }
});

/** As GitHub makes the anchor of a heading. */
function anchor(heading: string): string {
  const plain = heading.toLowerCase().replaceAll(/[^\w\- ]/g, "");
  return plain.trim().replaceAll(" ", "-");
}

test("every link between the pages leads somewhere", () => {
  const broken: string[] = [];
  const pages = readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"));
  for (const page of ["README.md", ...pages.map((file) => join("docs", file))]) {
    const text = readFileSync(join(root, page), "utf8").replaceAll(/^```[\s\S]*?^```$/gm, "");
    for (const [, to] of text.matchAll(/\]\(([^)]+)\)/g)) {
      if (/^https?:/.test(to)) continue;
      const [path, hash] = to.split("#");
      const target = path === "" ? join(root, page) : join(root, dirname(page), path);
      const found = existsSync(target) && (hash === undefined || anchors(target).includes(hash));
      if (!found) broken.push(`${page}: ${to}`);
    }
  }
  assert.deepEqual(broken, []);
});

function anchors(page: string): string[] {
  return [...readFileSync(page, "utf8").matchAll(/^#+ (.*)$/gm)].map((m) => anchor(m[1]));
}
