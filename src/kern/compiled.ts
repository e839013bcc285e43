/**
 * The kernel's hot functions, compiled to WebAssembly.
 *
 * When the package is built, functions that work on words alone are compiled a second time, from the same source
 * (scripts/wasm.mjs says which, and how). Each then stands for two: where `k.compiled` is null the JavaScript runs. That is so on
 * simulated CPUs, and where there is no WebAssembly or no shared memory. Its locks are always real ones, also for one CPU.
 *
 * Invariant: a compiled function leaves every word of kernel memory as its JavaScript would.
 */
import { instanceOn } from "../sys/atomic.js";
import type { Cpu } from "../sys/cpu.js";
import type { Compiled } from "../sys/kernel.js";
import { CODE, constants, environment } from "./compiledcode.js";

/** Node and pages have it. */
declare function atob(base64: string): string;

/** Lets the realm of `ci` run compiled code from now on, where it may. */
export function attachCompiled(ci: Cpu): void {
  ci.k.compiled = compiledFor(ci);
}

/** Compiled code for `ci`, whose kernel's memory is a WebAssembly one; null = there is none. */
export function compiledFor(ci: Cpu): Compiled | null {
  const { k } = ci;
  if (CODE === null || !("buffer" in k.memory)) return null;
  const text = atob(CODE);
  const code = new Uint8Array(text.length);
  for (let i = 0; i < code.length; i++) code[i] = text.charCodeAt(i);
  for (const [value, places] of constants(k, ci)) for (const at of places) writeNumber(code, at, value);
  // A plain object: what V8 makes of exports is looked up by name at every call.
  return { ...instanceOn(k.memory, code, environment(k)) } as Compiled;
}

/** A signed number in five bytes of seven bits, lowest first; all but the last have the high bit. */
function writeNumber(code: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 5; i++) code[at + i] = ((value >> (7 * i)) & 0x7f) | (i < 4 ? 0x80 : 0);
}
