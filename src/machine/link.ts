/**
 * The program linker: makes one factory script out of a program's modules. What a factory is, and what
 * becomes of it, stands in `factory.ts`.
 *
 *   1. Bundle. The bundler follows the program's own modules, TypeScript or JavaScript. A plugin resolves
 *      everything else to a name that means the same from everywhere (`node:fs`, a file URL) and leaves it
 *      out. `lwp` and `lwp/…` keep their names: each machine supplies its own.
 *   2. Register. The plugin appends to each module a line that registers its portable entries. It stands
 *      inside the module, so that whatever the bundler renames stays right, and after the last line, so that
 *      positions stay right.
 *   3. Rewrite. The bundle's import and export declarations, `import.meta` and `import()` are replaced by
 *      uses of `__lwp`, and polls are put into its loops (`instrument.ts`). Line 1 is the linker's own; on the
 *      others every replacement is as long as what it replaces or ends its line, and for what is inserted the
 *      columns of the bundler's source map are shifted (`columns.ts`).
 *
 * What belongs to the program, and so exists anew in each process: whatever it imports by a relative or
 * absolute path or through `#…` of its package.json, further every TypeScript file outside `node_modules` and
 * all JSON. CommonJS modules, packages and built-ins are loaded by Node and shared.
 *
 * Imported names are read when the program is instantiated: an outside module that assigns to an export later
 * is not followed.
 *
 * Loads the bundler: import this module only where programs are linked.
 */
import { readFile, realpath, stat } from "node:fs/promises";
import { isBuiltin, SourceMap } from "node:module";
import { basename, dirname, isAbsolute, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as acorn from "acorn";
import * as esbuild from "esbuild";
import { type Insertion, shiftColumns } from "./columns.js";
import {
  isMachineModule,
  LinkError,
  type LinkedEntry,
  type LinkedProgram,
  type Position,
  type SpawnSite,
} from "./factory.js";
import { type Edit, insertPolls } from "./instrument.js";
import { refusal } from "./means.js";

export { LinkError, type LinkedEntry, type LinkedProgram } from "./factory.js";

export interface LinkOptions {
  /** Put polls into loops; true unless said. */
  readonly polls?: boolean;
}

/**
 * Links the program in a file. A string is a path, relative to the current directory, or a file URL.
 *
 * Rejects with `LinkError`: ENOENT if there is no such file, ENOEXEC if it or a module of it has a syntax
 * error, imports what cannot be found, or if it exports no generator function named `main`.
 */
export async function linkProgram(file: string | URL, options: LinkOptions = {}): Promise<LinkedProgram> {
  const path = await findProgram(file);
  const bundled = await bundle(path);
  return rewrite(path, bundled, options.polls ?? true);
}

async function findProgram(file: string | URL): Promise<string> {
  const given = String(file);
  let path: string;
  try {
    path = await realpath(
      file instanceof URL || given.startsWith("file:") ? fileURLToPath(file) : resolve(given),
    );
  } catch (error) {
    const missing = ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code!);
    if (missing) throw new LinkError("ENOENT", `${given}: no such program`, { cause: error });
    const why = refusal(error) ?? (error as Error).message;
    throw new LinkError("ENOEXEC", `${given}: ${why}`, { cause: error });
  }
  if (!(await stat(path)).isFile()) throw new LinkError("ENOEXEC", `${given}: not a file`);
  if (!moduleFile.test(path)) throw new LinkError("ENOEXEC", `${given}: not a TypeScript or JavaScript file`);
  return path;
}

/** Paths as people write them: relative to the current directory if inside it. */
function showPath(path: string): string {
  const shown = relative("", path);
  return shown.startsWith("..") || isAbsolute(shown) ? path : shown;
}

/** A module's name in entry ids: its path from the program's folder, with slashes on every system. */
function moduleName(folder: string, path: string): string {
  return relative(folder, path).split(sep).join("/");
}

// -----------------------------------------------------------------------------------------------------------
// Bundle

const moduleFile = /\.[cm]?[jt]sx?$/;
const typeScriptFile = /\.(?:[cm]?ts|tsx)$/;
const packageFolder = /[\\/]node_modules[\\/]/;

interface Bundle {
  readonly code: string;
  readonly map: RawSourceMap;
}

interface RawSourceMap {
  version: number;
  sources: string[];
  names: string[];
  mappings: string;
}

/** What is learnt about the modules in one run of the bundler and wanted in the next. */
interface Findings {
  /** Names of modules that are only imported dynamically: a CPU may want an entry of one before that. */
  readonly lazy: Set<string>;
  /** Absolute paths of CommonJS modules: Node shall load them. */
  readonly commonJs: Set<string>;
}

async function bundle(path: string): Promise<Bundle> {
  const folder = dirname(path);
  const findings: Findings = { lazy: new Set(), commonJs: new Set() };
  let result = await runBundler(path, findings);
  // Both kinds are rare, so the usual program is bundled once. A run can only add to the findings.
  while (addFindings(folder, basename(path), result.metafile, findings)) {
    result = await runBundler(path, findings);
  }
  const [code, map] = ["program.js", "program.js.map"].map(
    (name) => result.outputFiles.find((output) => basename(output.path) === name)!.text,
  );
  const parsed = JSON.parse(map!) as RawSourceMap;
  parsed.sources = parsed.sources.map((source) => pathToFileURL(resolve(folder, source)).href);
  return { code: code!, map: parsed };
}

type BundleResult = esbuild.BuildResult<{ write: false; metafile: true }>;

async function runBundler(path: string, findings: Findings): Promise<BundleResult> {
  const folder = dirname(path);
  try {
    return await esbuild.build({
      absWorkingDir: folder,
      banner: { js: "//" }, // Becomes line 1, the linker's own.
      bundle: true,
      charset: "utf8",
      conditions: ["node-addons"], // Any condition switches off "module", which Node does not know.
      entryPoints: [path],
      format: "esm",
      // A program means what it says when Node runs it: nothing with an effect is dropped on a hint.
      ignoreAnnotations: true,
      legalComments: "none",
      logLevel: "silent",
      mainFields: ["main"],
      metafile: true,
      outfile: resolve(folder, "program.js"),
      platform: "node",
      plugins: [programPlugin(path, findings)],
      sourcemap: "external",
      sourcesContent: false,
      target: "node20",
      write: false,
    });
  } catch (error) {
    throw bundlerError(folder, path, error);
  }
}

function bundlerError(folder: string, path: string, error: unknown): LinkError {
  const failure = (error as Partial<esbuild.BuildFailure>).errors?.[0];
  const refused = refusal(error);
  const text =
    refused === null
      ? (failure?.text ?? String(error)).split("\n", 1)[0]! + awaitHint(failure)
      : `the bundler cannot be started: ${refused}`;
  const at = failure?.location;
  const where = at ? `${showPath(resolve(folder, at.file))}:${at.line}:${at.column + 1}` : showPath(path);
  return new LinkError("ENOEXEC", `${where}: ${text}`, { cause: error });
}

/** What somebody wants who writes `await` in a thread function. */
function awaitHint(failure: esbuild.Message | undefined): string {
  return failure?.text.startsWith('"await" can only') === true
    ? "; a thread awaits by `yield* until(promise)`"
    : "";
}

/** Adds what a run has shown; true if that was something new. */
function addFindings(folder: string, entry: string, metafile: esbuild.Metafile, findings: Findings): boolean {
  const before = findings.lazy.size + findings.commonJs.size;
  const reached = reachStatically(entry, metafile);
  for (const [name, input] of Object.entries(metafile.inputs)) {
    if (!moduleFile.test(name)) continue;
    const path = resolve(folder, name);
    const commonJs = input.format === "cjs" && !typeScriptFile.test(name) && name !== entry;
    if (commonJs) findings.commonJs.add(path);
    else if (!reached.has(name)) findings.lazy.add(moduleName(folder, path));
  }
  return findings.lazy.size + findings.commonJs.size > before;
}

function reachStatically(entry: string, metafile: esbuild.Metafile): Set<string> {
  const reached = new Set([entry]);
  for (const name of reached) {
    for (const imported of metafile.inputs[name]?.imports ?? []) {
      if (imported.kind !== "dynamic-import" && !imported.external) reached.add(imported.path);
    }
  }
  return reached;
}

/** Tells the bundler which modules are the program's own, and appends the registrations to these. */
function programPlugin(program: string, findings: Findings): esbuild.Plugin {
  const folder = dirname(program);
  const resolving = Symbol("resolving");
  return {
    name: "lwp",
    setup(build) {
      build.onResolve({ filter: /./ }, async (args) => {
        if (args.kind === "entry-point" || args.pluginData === resolving) return undefined;
        const outside = nameOutside(args.path);
        if (outside !== undefined) return { path: outside, external: true };
        const wanted = args.path.startsWith("file:") ? fileURLToPath(args.path) : args.path;
        const { importer, resolveDir, kind } = args;
        const found = await build.resolve(wanted, { importer, resolveDir, kind, pluginData: resolving });
        if (found.errors.length > 0) {
          // A dynamic import that cannot be resolved fails when it is called, if ever.
          return kind === "import-statement" ? undefined : { path: args.path, external: true };
        }
        if (found.external) return { path: found.path, external: true };
        const { path, namespace, suffix } = found;
        if (isOwn(wanted, path, findings)) {
          // What the bundler finds itself is compiled as its tsconfig.json says.
          return wanted === args.path ? undefined : { path, namespace, suffix };
        }
        return { path: pathToFileURL(path).href, external: true };
      });
      build.onLoad({ filter: moduleFile, namespace: "file" }, async ({ path }) => {
        const contents = await readFile(path, "utf8");
        const name = moduleName(folder, path);
        const tail = await registrations(name, contents, loaderOf(path));
        const lazy = path === program ? lazyRegistrations(findings.lazy) : "";
        return { contents: tail || lazy ? `${contents}\n;${tail}${lazy}` : contents, loader: loaderOf(path) };
      });
    },
  };
}

/** The name of a module that is not a file of anybody's: the machine's own, a built-in, a data URL. */
function nameOutside(specifier: string): string | undefined {
  if (isMachineModule(specifier) || specifier.startsWith("data:")) return specifier;
  if (!isBuiltin(specifier)) return undefined;
  return specifier.startsWith("node:") ? specifier : `node:${specifier}`;
}

function isOwn(specifier: string, path: string, findings: Findings): boolean {
  if (path.endsWith(".json")) return true;
  if (/\.(?:cjs|node)$/.test(path) || findings.commonJs.has(path)) return false;
  if (/^\.{1,2}(?:\/|$)/.test(specifier) || isAbsolute(specifier)) return true;
  return !packageFolder.test(path) && (specifier.startsWith("#") || typeScriptFile.test(path));
}

function loaderOf(path: string): esbuild.Loader {
  if (path.endsWith("x")) return path.endsWith(".tsx") ? "tsx" : "jsx";
  return typeScriptFile.test(path) ? "ts" : "js";
}

// -----------------------------------------------------------------------------------------------------------
// Register

interface Found {
  /** As in the entry's id: its name in the module, or `default`. */
  readonly name: string;
  /** The expression that yields it at the end of the module. */
  readonly local: string;
  readonly line: number;
}

const defaultLocal = "__lwp_default";

/** The line that registers a module's entries; empty if it has none. */
async function registrations(module: string, source: string, loader: esbuild.Loader): Promise<string> {
  let found: Found[];
  try {
    found = await findEntries(source, loader);
  } catch {
    return ""; // The bundler will report what is wrong, with its position.
  }
  let line = "";
  for (const entry of found) {
    const position: Position = { file: module, line: entry.line };
    // A module can import itself: the only name that an anonymous default export has.
    if (entry.local === defaultLocal) {
      line += `import{default as ${defaultLocal}}from${JSON.stringify(`./${basename(module)}`)};`;
    }
    const id = `${module}#${entry.name}`;
    line += `__lwp.entry(${JSON.stringify(id)},${entry.local},${JSON.stringify(position)});`;
  }
  return line;
}

function lazyRegistrations(modules: Iterable<string>): string {
  let line = "";
  for (const module of modules) {
    const specifier = module.startsWith("../") ? module : `./${module}`;
    line += `__lwp.lazy(${JSON.stringify(module)},()=>import(${JSON.stringify(specifier)}));`;
  }
  return line;
}

/** The top-level generator functions of a module, of either language. */
async function findEntries(source: string, loader: esbuild.Loader): Promise<Found[]> {
  const { code, map } = await stripTypes(source, loader);
  let positions: SourceMap | undefined;
  const lineOf = (node: acorn.Node): number => {
    positions ??= new SourceMap(JSON.parse(map) as ConstructorParameters<typeof SourceMap>[0]);
    const { line, column } = node.loc!.start;
    const entry = positions.findEntry(line - 1, column);
    return "originalLine" in entry ? entry.originalLine + 1 : line;
  };
  const found: Found[] = [];
  for (const statement of parse(code, true).body) {
    if (statement.type === "ExportDefaultDeclaration") {
      const { declaration } = statement;
      if (!isEntry(declaration)) continue;
      const name = declaration.type === "FunctionDeclaration" ? declaration.id?.name : undefined;
      found.push({ name: name ?? "default", local: name ?? defaultLocal, line: lineOf(declaration) });
      continue;
    }
    const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (declaration?.type === "FunctionDeclaration" && isEntry(declaration)) {
      const { name } = declaration.id;
      found.push({ name, local: name, line: lineOf(declaration) });
    }
    // Only constants: what a variable holds may differ between CPUs.
    if (declaration?.type !== "VariableDeclaration" || declaration.kind !== "const") continue;
    for (const { id, init } of declaration.declarations) {
      if (id.type !== "Identifier" || !isEntry(init)) continue;
      found.push({ name: id.name, local: id.name, line: lineOf(id) });
    }
  }
  return found;
}

/** Only the types go: declarations stay what they are, except decorators, which the parser does not know. */
async function stripTypes(source: string, loader: esbuild.Loader): Promise<esbuild.TransformResult> {
  const options = {
    loader,
    logLevel: "silent",
    sourcemap: "external",
    supported: { decorators: false },
    target: "esnext",
  } as const;
  try {
    return await esbuild.transform(source, options);
  } catch {
    // Those of parameters are only known of the old kind.
    const tsconfigRaw = { compilerOptions: { experimentalDecorators: true } };
    return esbuild.transform(source, { ...options, tsconfigRaw });
  }
}

function isEntry(node: acorn.Node | null | undefined): node is acorn.Function {
  if (node?.type !== "FunctionDeclaration" && node?.type !== "FunctionExpression") return false;
  const { generator, async } = node as acorn.Function;
  return generator && !async;
}

function parse(code: string, locations: boolean): acorn.Program {
  return acorn.parse(code, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true, locations });
}

// -----------------------------------------------------------------------------------------------------------
// Rewrite

/** What is collected from the bundle while it is rewritten. */
interface Rewriting {
  readonly code: string;
  readonly edits: Edit[];
  /** Specifiers imported from outside, each once, in order. */
  readonly imports: Set<string>;
  /** Declarations for line 1. */
  readonly prologue: string[];
  /** Names that are bound to what is imported, and from where. */
  readonly outside: Map<string, string>;
  /** Properties of the object that the factory returns. */
  readonly exports: string[];
  /** Local name of what the program exports as `main`. */
  main: string | undefined;
}

function rewrite(path: string, { code, map }: Bundle, polls: boolean): LinkedProgram {
  const tree = parse(code, true);
  const r: Rewriting = {
    code,
    edits: [],
    imports: new Set(),
    prologue: [],
    outside: new Map(),
    exports: [],
    main: undefined,
  };
  for (const statement of tree.body) rewriteDeclaration(r, statement);
  const registered = rewriteExpressions(r, tree, map);
  const entries = registered.map(({ id, position }): LinkedEntry => {
    return { id, file: resolve(dirname(path), position.file), line: position.line };
  });
  const main = registered.find(({ local }) => local === r.main)?.id;
  const fail = (why: string): LinkError => {
    return new LinkError("ENOEXEC", `${showPath(path)}: ${why}: a program has an "export function* main"`);
  };
  if (r.main === undefined) throw fail("no exported main");
  if (main === undefined) throw fail("main is no entry");
  const spawns = polls ? addPolls(r, tree, map) : [];
  return {
    file: path,
    url: pathToFileURL(path).href,
    code: assemble(r),
    map: JSON.stringify(map),
    imports: [...r.imports],
    entries,
    spawns,
    main,
  };
}

/** Puts polls into loops, and shifts the columns of the source map accordingly. Returns the spawn sites. */
function addPolls(r: Rewriting, tree: acorn.Program, map: RawSourceMap): SpawnSite[] {
  const { inserts, spawns } = insertPolls(r.code, tree, r.outside);
  const positions = new SourceMap(map as unknown as ConstructorParameters<typeof SourceMap>[0]);
  const sites = spawns.map(({ node, closure }) => ({ at: positionOf(positions, node), closure }));
  // In the order of their places; where two have the same, the order in which they come is the right one.
  inserts.sort((a, b) => a.start - b.start);
  let line = 0;
  let lineStart = 0;
  const insertions = inserts.map(({ start, text, standsFor = start }): Insertion => {
    for (let end = r.code.indexOf("\n", lineStart); end !== -1 && end < start; ) {
      line++;
      lineStart = end + 1;
      end = r.code.indexOf("\n", lineStart);
    }
    return { line, column: start - lineStart, length: text.length, standsFor: standsFor - lineStart };
  });
  r.edits.push(...inserts);
  map.mappings = shiftColumns(map.mappings, insertions);
  return sites;
}

/** `file:line:column` of a node of the bundle, in the program's own sources; "" if it stands in none. */
function positionOf(positions: SourceMap, node: acorn.Node): string {
  const { line, column } = node.loc!.start;
  const found = positions.findEntry(line - 1, column);
  if (!("originalSource" in found)) return "";
  return `${fileURLToPath(found.originalSource)}:${found.originalLine + 1}:${found.originalColumn + 1}`;
}

/** Line 1 opens the factory and binds what it imports, the last line returns what it exports. */
function assemble({ code, edits, prologue, exports }: Rewriting): string {
  edits.sort((a, b) => a.start - b.start);
  // The banner, or a `#!` line that the bundler puts before it.
  let at = code.indexOf("\n");
  let text = `(async(__lwp)=>{"use strict";${prologue.join("")}`;
  for (const edit of edits) {
    text += code.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return `${text}${code.slice(at)}\nreturn{__proto__:null,${exports.join(",")}};})`;
}

/** Takes a top-level import or export declaration out of the code and notes what it declares. */
function rewriteDeclaration(r: Rewriting, node: acorn.Node): void {
  if (!/^(?:Import|Export\w+)Declaration$/.test(node.type)) return;
  const { start, end } = node;
  // Its line breaks stay, for the lines below.
  r.edits.push({ start, end, text: r.code.slice(start, end).replace(/[^\n]+/g, "") });
  if (node.type === "ImportDeclaration") noteImport(r, node as acorn.ImportDeclaration);
  if (node.type === "ExportAllDeclaration") noteReexport(r, node as acorn.ExportAllDeclaration);
  if (node.type === "ExportNamedDeclaration") noteExport(r, node as acorn.ExportNamedDeclaration);
}

function noteImport(r: Rewriting, { source, specifiers }: acorn.ImportDeclaration): void {
  const from = source.value as string;
  const names: string[] = [];
  const bound: string[] = [];
  let namespace: string | undefined;
  for (const specifier of specifiers) {
    if (specifier.type === "ImportNamespaceSpecifier") {
      namespace = specifier.local.name;
      r.outside.set(namespace, from);
      continue;
    }
    const name = specifier.type === "ImportDefaultSpecifier" ? "default" : nameOf(specifier.imported);
    names.push(name);
    r.outside.set(specifier.local.name, from);
    bound.push(`${JSON.stringify(name)}:${specifier.local.name}`);
  }
  const imported = importFrom(r, from, names);
  if (namespace !== undefined) r.prologue.push(`const ${namespace}=${imported};`);
  if (bound.length > 0) r.prologue.push(`const{${bound.join(",")}}=${namespace ?? imported};`);
}

function noteExport(r: Rewriting, { source, specifiers }: acorn.ExportNamedDeclaration): void {
  const names = source ? specifiers.map((specifier) => nameOf(specifier.local)) : [];
  const from = source ? importFrom(r, source.value as string, names) : undefined;
  for (const { local, exported } of specifiers) {
    const name = JSON.stringify(nameOf(exported));
    const value = from === undefined ? nameOf(local) : `${from}[${JSON.stringify(nameOf(local))}]`;
    // A getter, so that the export of a variable is read when it is asked for.
    r.exports.push(`get ${name}(){return ${value}}`);
    if (nameOf(exported) === "main") r.main = value;
  }
}

function noteReexport(r: Rewriting, { source, exported }: acorn.ExportAllDeclaration): void {
  const from = importFrom(r, source.value as string, []);
  if (exported) r.exports.push(`${JSON.stringify(nameOf(exported))}:${from}`);
  // Put first, so that the program's own exports win; a default is not passed on.
  else r.exports.unshift(`...(({default:_,...rest})=>rest)(${from})`);
}

function importFrom(r: Rewriting, from: string, names: readonly string[]): string {
  r.imports.add(from);
  return `__lwp.import(${JSON.stringify(from)},${JSON.stringify(names)})`;
}

function nameOf(node: acorn.Identifier | acorn.Literal): string {
  return node.type === "Identifier" ? node.name : String(node.value);
}

interface Registered {
  /** Where in the bundle it is registered. */
  readonly at: number;
  readonly id: string;
  /** Name that the bundler gave the function. */
  readonly local: string;
  readonly position: Position;
}

/** Replaces `import.meta` and `import` by names of the same length; returns the entries that it passes. */
function rewriteExpressions(r: Rewriting, tree: acorn.Program, map: RawSourceMap): Registered[] {
  const registered: Registered[] = [];
  let positions: SourceMap | undefined;
  // The bundle has many modules' expressions; the source map knows which module one was in.
  const moduleOf = (node: acorn.Node): string => {
    positions ??= new SourceMap(map as unknown as ConstructorParameters<typeof SourceMap>[0]);
    const { line, column } = node.loc!.start;
    const entry = positions.findEntry(line - 1, column);
    return "originalSource" in entry ? entry.originalSource : map.sources.at(-1)!;
  };
  const replacement = (kind: "meta" | "importer", prefix: string, length: number) => {
    const names = new Map<string, string>();
    return (node: acorn.Node, end: number): void => {
      const url = moduleOf(node);
      let name = names.get(url);
      if (name === undefined) {
        name = prefix + names.size.toString(36).padStart(length - prefix.length, "0");
        names.set(url, name);
        r.prologue.push(`const ${name}=__lwp.${kind}(${JSON.stringify(url)});`);
      }
      r.edits.push({ start: node.start, end, text: name });
    };
  };
  const replaceMeta = replacement("meta", "__lwpM", "import.meta".length);
  const replaceImport = replacement("importer", "__i", "import".length);
  walk(tree, (node) => {
    if (node.type === "MetaProperty" && r.code.startsWith("import", node.start)) replaceMeta(node, node.end);
    if (node.type === "ImportExpression") replaceImport(node, node.start + "import".length);
    if (node.type === "CallExpression") noteRegistration(registered, node as acorn.CallExpression, r.code);
  });
  return registered.sort((a, b) => a.at - b.at);
}

function noteRegistration(registered: Registered[], call: acorn.CallExpression, code: string): void {
  if (!code.startsWith("__lwp.entry(", call.start)) return;
  const [id, local, position] = call.arguments as acorn.Node[];
  const text = (node: acorn.Node): string => code.slice(node.start, node.end);
  const [file, line] = (position as acorn.ObjectExpression).properties.map((property) => {
    return ((property as acorn.Property).value as acorn.Literal).value;
  });
  registered.push({
    at: call.start,
    id: (id as acorn.Literal).value as string,
    local: text(local!),
    position: { file: file as string, line: line as number },
  });
}

/** Visits every node of a tree, parents first and in no other particular order. */
function walk(root: acorn.Node, visit: (node: acorn.Node) => void): void {
  const stack: acorn.Node[] = [root];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    visit(node);
    for (const child of Object.values(node) as unknown[]) {
      for (const item of Array.isArray(child) ? (child as unknown[]) : [child]) {
        if (isNode(item)) stack.push(item);
      }
    }
  }
}

function isNode(value: unknown): value is acorn.Node {
  return typeof value === "object" && value !== null && typeof (value as acorn.Node).type === "string";
}
