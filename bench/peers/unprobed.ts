// Peer "unprobed": the program of B15 on a kernel of which the probes were taken out as it was loaded.

import { register } from "node:module";

const hooks = `
export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!url.endsWith("/dist/kern/probe.js")) return loaded;
  const text = String(loaded.source);
  const asked = text.replace(/(function probing\\([^)]*\\) \\{)/, "$1 return false;");
  const source = asked.replace(/(function fire\\([^)]*\\) \\{)/, "$1 return;");
  if (asked === text || source === asked) throw new Error("kern/probe.js has no probing() or fire() any more");
  return { ...loaded, source };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
await import("../ours/b15.js");
