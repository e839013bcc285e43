// Binds what the kernel's compiled modules import and export to plain constants; runs after the compiler.
//
// V8 reads an imported or exported binding from its cell at every use, checks that it is initialised, and never folds it:
// each `LSRUN` is three instructions, each call of another file's function checks which function that is. A module's own
// `const` it folds. So
//
//     import { spinEnter } from "./spin.js";     becomes     import { spinEnter as spinEnter$ } …; const spinEnter = spinEnter$;
//     export function lwpLock(l) { … }           becomes     function lwpLock(l) { … } … export { lwpLock$ as lwpLock };
//
// The sources have no import cycles, so every binding has its value when a module begins. Lines stay where they are, and so
// does each column but those of import statements: source maps remain right. Done twice, it does nothing more.
//
// What it buys: a switch of threads takes 0.8 of the time.
//
// Functions that were compiled to WebAssembly (wasm.mjs) get the name `f$js`, and one that calls either stands in their place.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as acorn from "acorn";
import { compileKernel } from "./wasm.mjs";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const floors = ["sys", "kern", "cpu", "context", "syscall", "thread"];
const { text: code, wrappers, hosts } = await compileKernel();
const how = [
  readFileSync(new URL(import.meta.url)),
  JSON.stringify([...wrappers]),
  JSON.stringify([...hosts].map(([m, n]) => [m, [...n]])),
];
const mark = `/* bound ${createHash("sha256").update(how.join()).digest("hex").slice(0, 12)} */`;

const modules = floors.flatMap((floor) =>
  readdirSync(`${dist}${floor}`)
    .filter((name) => name.endsWith(".js"))
    .map((name) => `${floor}/${name.slice(0, -3)}`),
);
const textOf = (module) => readFileSync(`${dist}${module}.js`, "utf8");
const isStale = (text) => text.includes("/* bound ") && !text.includes(mark);
if (modules.some((module) => isStale(textOf(module)))) {
  // Bound in another way before: the compiler writes all of it once more.
  execFileSync("npx", ["tsc", "-b", "src", "--force"], { cwd: `${dist}..`, stdio: "inherit" });
}
writeFileSync(`${dist}kern/compiledcode.js`, code);
for (const module of modules) {
  const text = textOf(module);
  if (!text.includes(mark)) writeFileSync(`${dist}${module}.js`, bind(text, module));
}

function bind(text, module) {
  const { body } = acorn.parse(text, { ecmaVersion: "latest", sourceType: "module" });
  const edits = [];
  let exports = "";
  const compiled = wrappers.get(module) ?? [];
  for (const node of body) {
    const id = (node.declaration ?? node).id;
    if (compiled.some((f) => f.name === id?.name)) edits.push({ start: id.end, end: id.end, text: "$js" });
    if (node.type === "ImportDeclaration") {
      const names = importedNames(node);
      if (names !== null) edits.push({ ...node, text: importText(node, names, text) });
    } else if (node.type === "ExportNamedDeclaration" && node.declaration !== null) {
      const names = declaredNames(node.declaration);
      if (names === null) continue;
      edits.push({
        start: node.start,
        end: node.declaration.start,
        text: " ".repeat(node.declaration.start - node.start),
      });
      for (const n of names) exports += `const ${n}$ = ${n}; export { ${n}$ as ${n} }; `;
    }
  }
  for (const f of compiled) exports += `${f.text} `;
  for (const name of hosts.get(module) ?? []) exports += `export { ${name} as ${name}$host }; `;
  let bound = text;
  for (const { start, end, text: t } of edits.toSorted((a, b) => b.start - a.start))
    bound = bound.slice(0, start) + t + bound.slice(end);
  const map = bound.lastIndexOf("//# sourceMappingURL");
  const end = map < 0 ? bound.length : map;
  return `${bound.slice(0, end)}${mark} ${exports}\n${bound.slice(end)}`;
}

/** Pairs of names, or null if the import is of another form, or of what is not the package's own. */
function importedNames({ source, specifiers }) {
  const plain = specifiers.length > 0 && specifiers.every((s) => s.type === "ImportSpecifier");
  return plain && source.value.startsWith(".")
    ? specifiers.map((s) => [s.imported.name, s.local.name])
    : null;
}

function importText({ start, end, source }, names, text) {
  const list = names.map(([imported, local]) => `${imported} as ${local}$`).join(", ");
  const consts = names.map(([, local]) => `${local} = ${local}$`).join(", ");
  const lines = text.slice(start, end).split("\n").length - 1;
  return `import { ${list} } from ${source.raw}; const ${consts};${"\n".repeat(lines)}`;
}

/** What a declaration declares; null if it is a variable that may change. */
function declaredNames(declaration) {
  if (declaration.type !== "VariableDeclaration") return [declaration.id.name];
  const names = declaration.declarations.map((d) => d.id.name);
  return declaration.kind === "const" && names.every((n) => n !== undefined) ? names : null;
}
