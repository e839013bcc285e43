/**
 * The kernel's hot functions, compiled to WebAssembly.
 *
 * When the package is built, functions that work on words alone are compiled a second time, from the same source
 * (scripts/wasm.mjs says which, and how). Each then stands for two: where `k.compiled` is null the JavaScript runs. That is so on
 * machines of one CPU, on simulated ones and under lockstep, whose locks are plain words and whose windows are delay points; and
 * where WebAssembly is forbidden. The compiled code serves one memory and one CPU: a realm has no more of either.
 *
 * Invariant: a compiled function leaves every word of kernel memory as its JavaScript would.
 */
import { instanceOn } from "../sys/atomic.js";
import type { Cpu } from "../sys/cpu.js";
import type { Compiled, Kernel } from "../sys/kernel.js";
import { CODE, environment } from "./compiledcode.js";

/** Lets the realm of `ci` run compiled code from now on, where it may. */
export function attachCompiled(k: Kernel, ci: Cpu): void {
  if (CODE === null || !k.mp || k.delays || !("buffer" in k.memory)) return;
  const code = Uint8Array.from(atob(CODE), (c) => c.charCodeAt(0));
  // A plain object: what V8 makes of exports is looked up by name at every call.
  k.compiled = { ...instanceOn(k.memory, code, environment(k, ci)) } as Compiled;
}
