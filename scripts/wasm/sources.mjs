// The kernel's sources as the compiler reads them: each module's functions with their types, its constants, its imports.

import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import * as acorn from "acorn";
import { transformSync } from "esbuild";

/** The modules of the project, read as they are asked for. */
export class Sources {
  #modules = new Map();

  constructor(root) {
    this.root = root;
  }

  /** The module `name`, such as "kern/switch". */
  async module(name) {
    let module = this.#modules.get(name);
    if (module === undefined) this.#modules.set(name, (module = await this.#read(name)));
    return module;
  }

  async #read(name) {
    const source = readFileSync(path.join(this.root, "src", `${name}.ts`), "utf8");
    const { code } = transformSync(source, { loader: "ts", target: "es2022" });
    const { body } = acorn.parse(code, { ecmaVersion: "latest", sourceType: "module" });
    const module = { name, functions: new Map(), imports: new Map(), constants: {} };
    const scope = {};
    let declarations = "";
    const names = [];
    for (const statement of body) {
      if (statement.type === "ImportDeclaration") {
        const from = path.posix.join(path.posix.dirname(name), statement.source.value.replace(/\.js$/, ""));
        const values = await import(pathToFileURL(path.join(this.root, "dist", `${from}.js`)).href);
        for (const { imported, local } of statement.specifiers) {
          if (imported === undefined) continue;
          module.imports.set(local.name, { module: from, name: imported.name });
          scope[local.name] = values[imported.name];
        }
        continue;
      }
      const node = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
      if (node?.type === "FunctionDeclaration") {
        module.functions.set(node.id.name, { node, exported: node !== statement, module: name });
      } else if (node?.type === "VariableDeclaration" && node.kind === "const") {
        for (const { id } of node.declarations) names.push(...boundNames(id));
      } else continue;
      declarations += `${code.slice(node.start, node.end)}\n`;
    }
    module.constants = {
      ...scope,
      ...new Function(...Object.keys(scope), `${declarations}return { ${names.join(", ")} };`)(
        ...Object.values(scope),
      ),
    };
    for (const [fn, { params, result }] of signatures(source)) {
      Object.assign(module.functions.get(fn) ?? {}, { params, result });
    }
    return module;
  }
}

function boundNames(id) {
  return id.type === "Identifier" ? [id.name] : id.properties.map((p) => p.value.name);
}

/** What the source says of the types of its functions: `[name, { params: [{ name, type, text }], result }]`. */
function* signatures(source) {
  const heads = /^(?:export )?function (\w+)(?:<[^>]*>)?\(([^{]*?)\): ([^{]+?) \{$/gms;
  for (const [, name, list, result] of source.matchAll(heads)) {
    const params = list
      .split(",")
      .map((p) => p.trim())
      .filter((p) => p !== "")
      .map((p) => {
        const [, param, type, value] = /^(\w+)(?:: ([^=]+?))?(?: = (.+))?$/.exec(p) ?? [null, p, "unknown"];
        return { name: param, type: type ?? "number", value };
      });
    yield [name, { params, result }];
  }
}
