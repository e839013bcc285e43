/**
 * The kernel's hot functions, compiled to WebAssembly.
 *
 * When the package is built, functions that work on words alone are compiled a second time, from the same source
 * (scripts/wasm.mjs says which, and how). Each then stands for two: where `k.compiled` is null the JavaScript runs. That is so on
 * machines of one CPU and on simulated ones, whose locks are plain words, and where WebAssembly is forbidden.
 *
 * Invariant: a compiled function leaves every word of kernel memory as its JavaScript would.
 */
import { instanceOn } from "../sys/atomic.js";
import type { Cpu } from "../sys/cpu.js";
import type { Compiled, Kernel } from "../sys/kernel.js";
import { CODE, environment } from "./compiledcode.js";

/** Node and pages have it. */
declare function atob(base64: string): string;

/** Lets the realm of `ci` run compiled code from now on, where it may. */
export function attachCompiled(ci: Cpu): void {
  const { k } = ci;
  if (k.mp) k.compiled = compiledFor(k)?.runOn(ci) ?? null;
}

/** Compiled code on the memory of `k`, which is a WebAssembly one; null = there is none. `runOn` says which CPU runs it. */
export function compiledFor(k: Kernel): { runOn(ci: Cpu): Compiled } | null {
  if (CODE === null || !("buffer" in k.memory)) return null;
  const code = Uint8Array.from(atob(CODE), (c) => c.charCodeAt(0));
  const exports = instanceOn(k.memory, code, environment(k)) as Record<"me" | "myIndex", { value: number }>;
  const { me, myIndex, ...functions } = exports;
  return {
    runOn(ci) {
      me.value = ci.at;
      myIndex.value = ci.index;
      // A plain object: what V8 makes of exports is looked up by name at every call.
      return functions as unknown as Compiled;
    },
  };
}
