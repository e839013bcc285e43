/**
 * A program's factory: what the linker makes of a program, compiled once per realm and called once per
 * process.
 *
 *   linkProgram (booting realm)      compileFactory (each realm)      instantiate (each process and realm)
 *   files -> LinkedProgram    --->   Factory                  --->    Instance
 *
 * A `LinkedProgram` is plain data and may be posted to workers. Its code is a script whose completion value
 * is an async function; each call of that function evaluates all modules of the program anew, so the module
 * variables belong to one process on one CPU. Nothing of an instance is reachable from its factory: dropping
 * the instance frees it.
 *
 * What the code finds as `__lwp` is the interface `Linkage` below. It is private to these two files.
 *
 * Stack traces name a factory's positions by a file name that ends in `?lwp=<hash>`. `mapStack` turns them
 * into positions of the original files; it can be called on any stack, and more than once. In realms that have
 * no other way with stacks, `mapStacks` does so wherever one is read.
 */
import { createHash } from "node:crypto";
import { createRequire, isBuiltin, Module, SourceMap } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Script } from "node:vm";
import { isOperation } from "../syscall/operation.js";
import { handshake, hasPolls } from "../context/polls.js";
import { atSpawnSite } from "../thread/spawnsite.js";
import type { Polls } from "../thread/checkpoint.js";

/** A portable entry: a top-level generator function of a program module. */
export interface LinkedEntry {
  /** `<path relative to the program's folder>#<name>`, the same on every CPU. */
  readonly id: string;
  /** Absolute path of the module it stands in. */
  readonly file: string;
  /** Line of the function in `file`, from 1. */
  readonly line: number;
}

/** A call that may start a thread. */
export interface SpawnSite {
  /** `file:line:column`; "" = unknown. */
  readonly at: string;
  /** Given to it is a closure that could as well be a top-level function: the names that it closes over. */
  readonly closure: readonly string[] | null;
}

/** A linked program. Plain data: it may be posted to a worker. */
export interface LinkedProgram {
  /** Absolute path of the program. */
  readonly file: string;
  /** The same as a file URL. */
  readonly url: string;
  /** The factory script. */
  readonly code: string;
  /** Its source map (JSON); sources are file URLs. */
  readonly map: string;
  /** What it imports from outside, in order: `lwp`, `lwp/…`, `node:…` or a file URL, each once. */
  readonly imports: readonly string[];
  /** Its portable entries, in order of evaluation. */
  readonly entries: readonly LinkedEntry[];
  /** Where it starts threads, from number 1. */
  readonly spawns: readonly SpawnSite[];
  /** The id of the entry that it exports as `main`. */
  readonly main: string;
}

/** A program could not be linked or loaded. The message is one line. */
export class LinkError extends Error {
  override readonly name = "LinkError";
  /** `ENOENT`: there is no such program. `ENOEXEC`: there is one, but it cannot be run. */
  readonly code: "ENOENT" | "ENOEXEC";

  constructor(code: "ENOENT" | "ENOEXEC", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What a process gives its instance. */
export interface Bindings {
  /** The machine's own module `lwp` or `lwp/…`, as a namespace; undefined if there is no such module. */
  import(specifier: string): object | undefined;
  /** Values of the global names that the factory was compiled with. Every one of them must be given. */
  readonly globals?: Readonly<Record<string, unknown>>;
  /** What the polls in its loops call; without it they do nothing. */
  readonly polls?: Polls;
}

/** A compiled program. Belongs to one realm. */
export interface Factory {
  readonly file: string;
  readonly url: string;
  readonly imports: readonly string[];
  /** Global names that `Bindings.globals` must supply. */
  readonly globals: readonly string[];
  /** Calls the script: evaluates the program's modules and returns what the program exports. */
  readonly evaluate: (linkage: Linkage, globals: object) => Promise<Readonly<Record<string, unknown>>>;
  /** Packages and built-ins already imported; never a module of `lwp`, which is each machine's own. */
  readonly shared: Map<string, object>;
}

/** Where an entry stands: its module, relative to the program's folder, and its line from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
}

/** One process's copy of a program in one realm. */
export interface Instance {
  /** What the program exports; reads are live. */
  readonly exports: Readonly<Record<string, unknown>>;
  /** The portable entries of the modules evaluated so far. */
  readonly entries: ReadonlyMap<string, GeneratorFunction>;
  /** The id of a portable entry of this instance; undefined for any other value. */
  idOf(fn: unknown): string | undefined;
  /** Where a portable entry of this instance stands; undefined for any other value. */
  positionOf(fn: unknown): Position | undefined;
  /**
   * The entry of this id; first evaluates its module if the program imports that only dynamically and has not
   * done so on this CPU. Undefined if there is none.
   */
  load(id: string): Promise<GeneratorFunction | undefined>;
}

/** What the linked code calls. */
interface Linkage {
  /** The namespace of an external module; checks that it has the named exports. */
  import(specifier: string, names: readonly string[]): object;
  /** `import.meta` of the module with this URL. */
  meta(url: string): object;
  /** `import()` of the module with this URL. */
  importer(url: string): (specifier: unknown, options?: ImportCallOptions) => Promise<object>;
  /** Registers a portable entry, at the end of its module. */
  entry(id: string, fn: GeneratorFunction, position: Position): void;
  /** Registers a module with entries that is imported only dynamically. */
  lazy(module: string, load: () => Promise<unknown>): void;
  /** First instruction of a thread function: whether its polls may leave the context. */
  enter(): boolean;
  /** Passes on `made`, which call site `site` has got of `f`, and is about to delegate to; `mayLeave` is the caller's own. */
  call<T>(mayLeave: boolean, site: number, f: unknown, made: T): T;
  /** Passes on the last argument of a call that may start a thread, and notes that it is spawn site `site`. */
  at<T>(site: number, value: T): T;
  /** What a call that stands alone as a statement has returned, and what was called if that can be told. */
  use(call: string, f: unknown, value: unknown): void;
  /** The same where nothing could `yield*` it. */
  lost(call: string, f: unknown, value: unknown): void;
  readonly poll: Polls["poll"];
  readonly again: Polls["again"];
  readonly token: Polls["token"];
}

/** True of the names bound to the running machine's own copy. */
export function isMachineModule(specifier: string): boolean {
  return specifier === "lwp" || specifier.startsWith("lwp/");
}

/**
 * Compiles a linked program in this realm. Calls nothing of it.
 *
 * `globals` are names that the program shall find in `Bindings.globals` of its instance instead of on the
 * global object: a simulated machine binds its clock and its random numbers so. Throws `LinkError` ENOEXEC.
 */
export function compileFactory(
  linked: Pick<LinkedProgram, "code" | "map" | "url" | "file" | "imports">,
  globals: readonly string[] = [],
): Factory {
  const { code, map, url, file, imports } = linked;
  const hash = createHash("sha256").update(code).update(map).digest("hex").slice(0, 12);
  // The globals are an outer scope: a program may declare the same names itself.
  const wrapped = `(({${globals.join(",")}})=>${code})`;
  let open: (globals: object) => (linkage: Linkage) => Promise<Readonly<Record<string, unknown>>>;
  try {
    // Line 1 of the code is the linker's own and has no mappings, so the wrapper may stand before it.
    open = new Script(wrapped, { filename: `${url}?lwp=${hash}` }).runInThisContext();
  } catch (error) {
    throw new LinkError("ENOEXEC", `${file}: ${firstLine(error)}`, { cause: error });
  }
  maps.set(hash, { url, json: map, parsed: undefined });
  return {
    file,
    url,
    imports,
    globals,
    evaluate: (linkage, given) => open(given)(linkage),
    shared: new Map(),
  };
}

/**
 * Makes one process's copy of a program in this realm: imports what it needs from outside, then evaluates its
 * modules, which may await.
 *
 * Rejects with `LinkError` ENOEXEC if an external module cannot be imported or lacks an export, and with
 * whatever the program's modules throw.
 */
export async function instantiate(factory: Factory, bindings: Bindings): Promise<Instance> {
  const namespaces = await importAll(factory, bindings);
  const entries = new Map<string, GeneratorFunction>();
  const idOf = new Map<unknown, string>();
  const positionOf = new Map<unknown, Position>();
  const lazy = new Map<string, () => Promise<unknown>>();
  const linkage: Linkage = {
    import: (specifier, names) => checkExports(factory, specifier, namespaces.get(specifier)!, names),
    meta: makeMeta,
    importer: (url) => makeImporter(url, bindings),
    entry: (id, fn, position) => {
      restoreName(fn, id);
      entries.set(id, fn);
      idOf.set(fn, id);
      positionOf.set(fn, position);
    },
    lazy: (module, load) => lazy.set(module, load),
    enter,
    call: callSites(),
    use,
    lost,
    at: atSpawnSite,
    ...(bindings.polls ?? NO_POLLS),
  };
  handshake.used = true;
  const exports = await factory.evaluate(linkage, bindings.globals ?? {});
  return {
    exports,
    entries,
    idOf: (fn) => idOf.get(fn),
    positionOf: (fn) => positionOf.get(fn),
    load: async (id) => {
      if (!entries.has(id)) await lazy.get(id.slice(0, id.lastIndexOf("#")))?.();
      return entries.get(id);
    },
  };
}

const NO_POLLS: Polls = { poll: () => false, again: () => false, token: () => undefined };

function enter(): boolean {
  const mayLeave = handshake.delegated;
  handshake.delegated = false;
  return mayLeave;
}

/** The call sites of an instance. Each remembers the function it called last, since it is mostly the same. */
function callSites(): Linkage["call"] {
  const withPolls: unknown[] = [];
  const without: unknown[] = [];
  return (mayLeave, site, f, made) => {
    if (!mayLeave) return made;
    if (withPolls[site] !== f) {
      if (without[site] === f) return made;
      const has = hasPolls(f);
      (has ? withPolls : without)[site] = f;
      if (!has) return made;
    }
    handshake.delegated = true;
    return made;
  };
}

/** A call that stands alone has returned `value`: an operation, or the generator of `f`, would never run, so it throws. */
function use(call: string, f: unknown, value: unknown): void {
  if (isLost(f, value)) throw forgotten(call, "write `yield*` before it", use);
}

/** The same in a function that cannot iterate it. */
function lost(call: string, f: unknown, value: unknown): void {
  if (isLost(f, value)) throw forgotten(call, "only a generator function can `yield*` it", lost);
}

/** Other generators than that of `f` itself may be somebody's for another purpose. */
function isLost(f: unknown, value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (isOperation(value)) return true;
  const made = typeof f === "function" && Object.getPrototypeOf(value) === (f.prototype as unknown);
  return made && Object.prototype.toString.call(value) === "[object Generator]";
}

/** The error of the statement that called `above`; it names the call, and where it stands. */
function forgotten(call: string, what: string, above: typeof use): TypeError {
  const here = new TypeError();
  Error.captureStackTrace(here, above);
  const frame = mapStack(here.stack!.split("\n")[1] ?? "");
  const at = /(?:file:\/\/)?[^\s(]+:\d+:\d+/.exec(frame)?.[0].replace("file://", "");
  const error = new TypeError(`${call}(…) at ${at} does nothing: ${what}`);
  Error.captureStackTrace(error, above);
  return error;
}

/** Imports everything a program needs from outside, in its order: built-ins and packages once per factory. */
async function importAll(factory: Factory, bindings: Bindings): Promise<Map<string, object>> {
  const namespaces = new Map<string, object>();
  for (const specifier of factory.imports) {
    let namespace = isMachineModule(specifier) ? bindings.import(specifier) : factory.shared.get(specifier);
    if (namespace === undefined) {
      namespace = await importShared(factory, specifier);
      factory.shared.set(specifier, namespace);
    }
    namespaces.set(specifier, namespace);
  }
  return namespaces;
}

async function importShared(factory: Factory, specifier: string): Promise<object> {
  if (isMachineModule(specifier)) {
    throw new LinkError("ENOEXEC", `${factory.file}: there is no module "${specifier}"`);
  }
  try {
    return (await import(specifier)) as object;
  } catch (error) {
    const message = `${factory.file}: cannot import "${specifier}": ${firstLine(error)}`;
    throw new LinkError("ENOEXEC", message, { cause: error });
  }
}

function checkExports(
  factory: Factory,
  specifier: string,
  namespace: object,
  names: readonly string[],
): object {
  for (const name of names) {
    if (name in namespace) continue;
    throw new LinkError("ENOEXEC", `${factory.file}: "${specifier}" has no export named "${name}"`);
  }
  return namespace;
}

/** The bundler renames functions that have the same name in two modules; their threads shall not show it. */
function restoreName(fn: GeneratorFunction, id: string): void {
  const name = id.slice(id.lastIndexOf("#") + 1);
  if (fn.name !== name) Object.defineProperty(fn, "name", { value: name, configurable: true });
}

/** `import.meta`. Its `resolve` finds packages by the conditions of `require`: Node 20 has no other way. */
function makeMeta(url: string): object {
  const filename = fileURLToPath(url);
  return Object.assign(Object.create(null) as object, {
    dirname: dirname(filename),
    filename,
    resolve: (specifier: string) => resolveFrom(url, `${specifier}`),
    url,
  });
}

function resolveFrom(url: string, specifier: string): string {
  if (isMachineModule(specifier)) return specifier;
  if (isBuiltin(specifier)) return specifier.startsWith("node:") ? specifier : `node:${specifier}`;
  if (/^(\.{0,2}\/|[a-z][a-z0-9+.-]*:)/i.test(specifier)) return new URL(specifier, url).href;
  return pathToFileURL(createRequire(url).resolve(specifier)).href;
}

type NativeImport = (specifier: string, options?: ImportCallOptions) => Promise<object>;

/** Native `import()` as seen from a file, by the file's URL. One a module, so that instances share them. */
const nativeImports = new Map<string, NativeImport>();

function nativeImport(url: string): NativeImport {
  let found = nativeImports.get(url);
  if (found === undefined) {
    // Node resolves a specifier against the file of the code that the import() stands in. A script of
    // `node:vm` can have that too, at the price of a warning to every user; a CommonJS module has it
    // for free.
    const file = fileURLToPath(url);
    const module = new Module(file) as Module & { _compile(code: string, file: string): void };
    module._compile("module.exports=(s,o)=>import(s,o)", file);
    found = module.exports as NativeImport;
    nativeImports.set(url, found);
  }
  return found;
}

function makeImporter(url: string, bindings: Bindings): ReturnType<Linkage["importer"]> {
  return async (value, options) => {
    const specifier = `${value as string}`;
    const own = isMachineModule(specifier) ? bindings.import(specifier) : undefined;
    return own ?? nativeImport(url)(specifier, options);
  };
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n", 1)[0]!;
}

interface FactoryMap {
  readonly url: string;
  readonly json: string;
  /** Parsed when the first stack asks for it. */
  parsed: SourceMap | undefined;
}

/** Source maps of this realm's factories by the hash of their code: one for each distinct program. */
const maps = new Map<string, FactoryMap>();

const factoryPosition = /file:\/\/\S*?\?lwp=([0-9a-f]{12}):(\d+):(\d+)/g;

/**
 * Rewrites the frames of linked programs in a stack trace to file, line and column of the original source.
 * Other lines are left as they are. Only knows factories compiled in this realm: map a stack before it is
 * sent elsewhere.
 */
export function mapStack(stack: string): string {
  if (!stack.includes("?lwp=")) return stack;
  return stack.replace(/^[ \t]+at .*$/gm, (frame) => frame.replace(factoryPosition, mapPosition));
}

let mapsStacks = false;

/**
 * From now on, what `error.stack` gives in this realm names the original files of linked programs. Not where Node
 * maps stacks itself (`--enable-source-maps`), which only it could go on doing.
 */
export function mapStacks(): void {
  const before = Error.prepareStackTrace as typeof formatStack | undefined;
  if (mapsStacks || (before === undefined && process.sourceMapsEnabled)) return;
  mapsStacks = true;
  const format = before ?? formatStack;
  Error.prepareStackTrace = (error, frames) => {
    const stack = format(error, frames);
    return typeof stack === "string" ? mapStack(stack) : stack;
  };
}

/** As the engine does it. */
function formatStack(error: Error, frames: readonly NodeJS.CallSite[]): unknown {
  let title: string;
  try {
    title = Error.prototype.toString.call(error);
  } catch {
    title = "<error>";
  }
  return [title, ...frames.map((frame) => `    at ${String(frame)}`)].join("\n");
}

function mapPosition(generated: string, hash: string, line: string, column: string): string {
  const map = maps.get(hash);
  if (map === undefined) return generated;
  map.parsed ??= new SourceMap(JSON.parse(map.json) as ConstructorParameters<typeof SourceMap>[0]);
  const found = map.parsed.findEntry(Number(line) - 1, Number(column) - 1);
  // The linker's own lines stand nowhere in the program.
  if (!("originalSource" in found) || found.originalSource === undefined) return map.url;
  return `${found.originalSource}:${found.originalLine + 1}:${found.originalColumn + 1}`;
}
