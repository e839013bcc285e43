// Compiles the kernel's hot functions to WebAssembly; runs after the compiler, and before the modules are bound.
//
// V8 spends six to eight instructions on each word that a function reads or writes; in WebAssembly it is one or two, and an atomic
// operation is no call. So the functions below, and what they call, are compiled once more, from the same source, to a module that
// machines with several CPUs run instead (src/kern/compiled.ts). The JavaScript stays: machines with one CPU, simulated ones, those
// under lockstep and pages that forbid WebAssembly run that, and tests compare the two word by word.

import { fileURLToPath } from "node:url";
import { Compiler } from "./wasm/compile.mjs";
import { encodeModule } from "./wasm/module.mjs";
import { Sources } from "./wasm/sources.mjs";

/** What JavaScript calls. */
const ENTRIES = {
  "kern/switch": ["miSwitch", "yieldCpu", "preempt", "lwpExitSwitchaway"],
  "kern/park": ["parkBlock", "unpark"],
  "kern/sleepq": ["sleepqRemove"],
  "kern/lwpcreate": ["bear", "admit"],
  "kern/lwpexit": ["lwpExitAtOnce"],
  "kern/lwpfree": ["lwpFree"],
  "kern/pool": ["rawPut"],
  "thread/record": ["newRecord", "bearThread", "spawnClosure"],
  "thread/ending": ["endRecord", "endAtOnce"],
  "thread/join": ["takeReturned"],
};

const root = fileURLToPath(new URL("../", import.meta.url));

/**
 * Compiles. `text` is the module of JavaScript that carries the code; `wrappers` has by module the functions that stand for the two,
 * `hosts` what it must export for that. `constant`: functions that are taken to return a constant, and to do nothing.
 */
export async function compileKernel(constant = {}) {
  const sys = async (file) => import(new URL(`../dist/sys/${file}.js`, import.meta.url).href);
  const compiler = new Compiler(
    new Sources(root),
    {
      Lwp: { record: (await sys("lwp")).LwpRecord, pool: "lwps" },
      Cpu: { record: (await sys("cpu")).CpuRecord, pool: "cpus" },
      Proc: { record: (await sys("proc")).ProcRecord, pool: "procs" },
      Turnstile: { record: (await sys("turnstile")).TurnstileRecord, pool: "turnstiles" },
      Cred: { record: (await sys("cred")).CredRecord, pool: "creds" },
      Syncobj: { record: (await sys("syncobj")).SyncobjRecord, pool: "syncobjs" },
      ThreadRec: { record: (await sys("thread")).ThreadRecord, pool: "threads" },
      Globals: { record: (await sys("globals")).GlobalsRecord, pool: null },
    },
    constant,
  );
  const wrappers = new Map();
  for (const [module, names] of Object.entries(ENTRIES)) {
    for (const name of names) {
      const f = await compiler.entry(module, name);
      wrappers.set(module, [...(wrappers.get(module) ?? []), { name, text: wrapper(f) }]);
    }
  }
  compiler.prune();
  const functions = [...compiler.functions.values()];
  const { bytes, places } = encodeModule([...compiler.imports.values()], functions);
  if (!WebAssembly.validate(bytes)) await WebAssembly.compile(bytes);
  return { text: code(compiler, bytes, places), wrappers, hosts: compiler.hosts, compiler, bytes };
}

/** The function that stands in the module for the two: the compiled one, where there is one. */
function wrapper({ name, kinds, declared, returns }) {
  const params = declared.map((p) => (p.value === undefined ? p.name : `${p.name} = ${p.value}`)).join(", ");
  const k = declared[0].name === "k" ? "k" : `${declared[0].name}.k`;
  const args = declared.filter((_, i) => kinds[i] !== "k").map((p) => argument(p));
  const call = (f) => `compiled.${f}(${args.join(", ")})`;
  const pool = { Lwp: "lwps", ThreadRec: "threads" }[returns.replace(" | null", "")];
  const number = returns === "boolean" ? `return ${call(name)} !== 0;` : `return ${call(name)};`;
  const view = `const i = ${call(`${name}$index`)}; return i === 0 ? null : ${k}.${pool}.view(i);`;
  const plain = `${name}$js(${declared.map((p) => p.name).join(", ")})`;
  return `function ${name}(${params}) { const { compiled } = ${k}; if (compiled === null) return ${plain}; ${pool ? view : number} }`;
}

function argument({ name, type }) {
  if (type === "number" || type === "boolean") return name;
  return type.endsWith(" | null") ? `${name} === null ? 0 : ${name}.at` : `${name}.at`;
}

/** The module of JavaScript that carries the code, and what it imports. */
function code({ imports, messages, hosts }, bytes, places) {
  const from = [...hosts].map(
    ([module, names]) =>
      `import { ${[...names].map((n) => `${n}$host as ${n}`).join(", ")} } from "../${module}.js";`,
  );
  const constants = places.map(([name, at]) => `    [${constantText(name)}, [${at}]],`);
  const functions = [...imports.values()].map(({ name, text }) => `    ${JSON.stringify(name)}: ${text},`);
  return `// Written by scripts/wasm.mjs.
import { cur } from "../sys/current.js";
import { panic } from "./panic.js";
${from.join("\n")}
const MESSAGES = ${JSON.stringify(messages)};
const zero = (pool) => pool.base - pool.type.words;
const view = (pool, at) => (at === 0 ? null : pool.view((at - zero(pool)) / pool.type.words));
const addressOf = (v) => (v === null ? 0 : v.at);
export const CODE = "${Buffer.from(bytes).toString("base64")}";
export function constants(k, ci) {
  return [
${constants.join("\n")}
  ];
}
export function environment(k) {
  return {
${functions.join("\n")}
  };
}
`;
}

function constantText(name) {
  const [of, field] = name.split(".");
  if (name === "me") return "ci.at";
  if (name === "myIndex") return "ci.index";
  if (name === "g") return "k.g.at";
  if (of === "k") return `Number(k.${field})`;
  if (of === "limits") return `k.limits.${field}`;
  return field === "zero" ? `zero(k.${of})` : `k.${of}.${field}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { compiler, bytes } = await compileKernel();
  console.log(
    `${bytes.length} bytes, ${compiler.functions.size} functions: ${[...compiler.functions.keys()].join(" ")}`,
  );
  console.log(`calls of JavaScript: ${[...compiler.imports.keys()].join(" ")}`);
  for (const [name, why] of compiler.refused) console.log(`not compiled: ${name}: ${why}`);
}
