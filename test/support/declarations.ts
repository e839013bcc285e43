/** What `lwp` exports, as its declaration files have it: names, members, and the comments before them. */
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../../../dist/", import.meta.url));

/** Something that is exported: where it is declared. */
export interface Exported {
  readonly name: string;
  readonly file: string;
  readonly isType: boolean;
}

/** A member of a class, or the constructor, with the comment before it. */
export interface Member {
  readonly name: string;
  readonly comment: string;
  /** The rest of its line. */
  readonly signature: string;
}

function exportsOf(file: string): Exported[] {
  const found: Exported[] = [];
  const text = readFileSync(file, "utf8");
  for (const [, types, list, from] of text.matchAll(/^export (type )?\{([^}]*)\} from "([^"]+)";/gm)) {
    for (const item of list.split(",")) {
      const isType = types !== undefined || /^\s*type /.test(item);
      const name = item.replace(/^\s*type /, "").trim();
      if (name === "") continue;
      found.push({ name, isType, file: resolve(dirname(file), from.replace(/\.js$/, ".d.ts")) });
    }
  }
  return found;
}

/** Body of a class or interface, and what it extends. */
export function declarationOf(file: string, name: string): { body: string; base: string | null } | null {
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
  /^ {4}(\/\*\*[\s\S]*?\*\/\n {4})?((?:(?:static|readonly|declare|get|set|abstract|protected|private|override) )*)(\[?[\w.#]+\]?)\??([(<:;].*)/gm;

/** Public members, one entry for each declaration. */
export function membersOf(body: string): Member[] {
  const members: Member[] = [];
  for (const [, comment = "", modifiers, name, signature] of body.matchAll(MEMBER)) {
    if (/private|protected/.test(modifiers) || name.startsWith("#") || comment.includes("@internal"))
      continue;
    // Those with a symbol that only the library has.
    if (name.startsWith("[") && !name.startsWith("[Symbol.")) continue;
    members.push({ name, comment, signature });
  }
  return members;
}

/** The same with what the class inherits from a class of this package. */
export function allMembers(file: string, name: string): Member[] {
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

/** The codes that a comment names as errors. */
export function codesOf(comment: string): string[] {
  const codes = comment.match(/\bE[A-Z]{4,}\b/g) ?? [];
  // Those of the original, where the call returns false instead.
  const original =
    comment.match(/false is (?:\w+'s )?E[A-Z]+/g)?.map((text) => text.replace(/.* /, "")) ?? [];
  return [...new Set(codes)].filter((code) => !original.includes(code));
}

/** The comment of a function, of each of its overloads; null if the file declares no such function. */
export function commentOf(file: string, name: string): string | null {
  const text = readFileSync(file, "utf8");
  const found = [
    ...text.matchAll(
      new RegExp(`(\\/\\*\\*(?:(?!\\*\\/)[\\s\\S])*\\*\\/\\n)?export declare function ${name}\\b`, "g"),
    ),
  ];
  return found.length === 0 ? null : found.map(([, comment = ""]) => comment).join("");
}

/** Everything that the package exports under its name. */
export const exported = exportsOf(join(dist, "index.d.ts"));
/** The same under `lwp/syscall`. */
export const exportedSyscalls = exportsOf(join(dist, "syscall/index.d.ts"));
