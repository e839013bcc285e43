/** The compiled code and what it needs; written anew when the package is built. */
import type { Cpu } from "../sys/cpu.js";
import type { Kernel } from "../sys/kernel.js";

/** A WebAssembly module in base64; null = nothing was compiled. */
export const CODE: string | null = null;

/** Numbers of the machine and of the CPU that runs the code, each with the places in it where five bytes wait for it. */
export function constants(
  _k: Kernel,
  _ci: Cpu,
): readonly (readonly [value: number, places: readonly number[]])[] {
  return [];
}

/** Its imports, but for the memory. */
export function environment(_k: Kernel): object {
  return {};
}
