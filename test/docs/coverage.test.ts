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
import { dirname, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const dist = join(root, "dist");

/** Something that is exported: where it is declared. */
interface Exported {
  readonly name: string;
  readonly file: string;
  readonly isType: boolean;
}

/** A member of a class, or the constructor, with the comment before it. */
interface Member {
  readonly name: string;
  readonly comment: string;
}

function exportsOf(file: string): Exported[] {
  const found: Exported[] = [];
  const text = readFileSync(file, "utf8");
  for (const [, types, list, from] of text.matchAll(/^export (type )?\{([^}]*)\} from "([^"]+)";/gm)) {
    for (const item of list.split(",")) {
      const isType = types !== undefined || /^\s*type /.test(item);
      const name = item.replace(/^\s*type /, "").trim();
      found.push({ name, isType, file: resolve(dirname(file), from.replace(/\.js$/, ".d.ts")) });
    }
  }
  return found;
}

/** Body of a class or interface, and what it extends. */
function declarationOf(file: string, name: string): { body: string; base: string | null } | null {
  const text = readFileSync(file, "utf8");
  const at = new RegExp(
    `^(?:export )?(?:declare )?(?:abstract )?(?:class|interface) ${name}\\b[^\\n]*\\{\\n`,
    "m",
  ).exec(text);
  if (at === null) return null;
  const start = at.index + at[0].length;
  const base = /\bextends (\w+)/.exec(at[0].replace(/<[^>]*>/g, ""));
  return { body: text.slice(start, text.indexOf("\n}", start) + 1), base: base === null ? null : base[1] };
}

const MEMBER =
  /^ {4}(\/\*\*[\s\S]*?\*\/\n {4})?((?:(?:static|readonly|declare|get|set|abstract|protected|private|override) )*)(\[?[\w.#]+\]?)\??([(<:;])/gm;

/** Public members, one entry for each declaration. */
function membersOf(body: string): Member[] {
  const members: Member[] = [];
  for (const [, comment = "", modifiers, name] of body.matchAll(MEMBER)) {
    if (/private|protected/.test(modifiers) || name.startsWith("#") || comment.includes("@internal"))
      continue;
    // Those with a symbol that only the library has.
    if (name.startsWith("[") && !name.startsWith("[Symbol.")) continue;
    members.push({ name, comment });
  }
  return members;
}

/** The same with what the class inherits from a class of this package. */
function allMembers(file: string, name: string): Member[] {
  const found = declarationOf(file, name);
  if (found === null) return [];
  const members = membersOf(found.body);
  if (found.base === null || /Error$/.test(found.base)) return members;
  const text = readFileSync(file, "utf8");
  const from = new RegExp(`import \\{[^}]*\\b${found.base}\\b[^}]*\\} from "([^"]+)"`).exec(text);
  const baseFile = from === null ? file : resolve(dirname(file), from[1].replace(/\.js$/, ".d.ts"));
  const own = new Set(members.map((m) => m.name));
  const inherited = allMembers(baseFile, found.base).filter(
    (m) => !own.has(m.name) && m.name !== "constructor",
  );
  return [...members, ...inherited];
}

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

const exported = exportsOf(join(dist, "index.d.ts"));

/** Whether code uses a member. */
function uses(code: string, member: string, owner: string): boolean {
  if (member === "constructor" || member === "[Symbol.asyncIterator]") return code.includes(owner);
  if (member === "[Symbol.dispose]") return /\busing \w/.test(code);
  if (member === "[Symbol.asyncDispose]") return /\bawait using \w/.test(code);
  return new RegExp(`\\.${member}\\b|[{,] ?${member}\\b`).test(code);
}

/** The codes that a comment names as errors. */
function codesOf(comment: string): string[] {
  const codes = comment.match(/\bE[A-Z]{4,}\b/g) ?? [];
  // Those of the original, where the call returns false instead.
  const original =
    comment.match(/false is (?:\w+'s )?E[A-Z]+/g)?.map((text) => text.replace(/.* /, "")) ?? [];
  return [...new Set(codes)].filter((code) => !original.includes(code));
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
