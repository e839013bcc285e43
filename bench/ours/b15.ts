// B15: loads the kernel as it is, or with `--peer unprobed` without its probes, in JavaScript and in compiled code; then runs the
// program. Both come through the same hooks: how a module was loaded makes a difference of its own, larger than that of the
// probes. So nothing that loads the kernel is imported here.

import { register } from "node:module";
import { programOptions } from "../measure.js";

const { peer } = programOptions();

const compiler = new URL("../../../scripts/wasm.mjs", import.meta.url).href;
const hooks = `
import { compileKernel } from ${JSON.stringify(compiler)};
const without = ${peer === "unprobed"};
const compiled = async () => (await compileKernel(without ? { probing: 0, fire: 0 } : {})).text;
export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (url.endsWith("/dist/kern/compiledcode.js")) return { ...loaded, source: await compiled() };
  if (!url.endsWith("/dist/kern/probe.js")) return loaded;
  const text = String(loaded.source);
  if (!without) return { ...loaded, source: text };
  const asked = text.replace(/(function probing\\([^)]*\\) \\{)/, "$1 return false;");
  const source = asked.replace(/(function fire\\([^)]*\\) \\{)/, "$1 return;");
  if (asked === text || source === asked) throw new Error("kern/probe.js has no probing() or fire() any more");
  return { ...loaded, source };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
await import("./b15-program.js");
