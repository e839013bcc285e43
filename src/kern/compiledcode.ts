/** The compiled code and what it imports; written anew when the package is built. */
import type { Cpu } from "../sys/cpu.js";
import type { Kernel } from "../sys/kernel.js";

/** A WebAssembly module in base64; null = nothing was compiled. */
export const CODE: string | null = null;

/** Its imports in the realm of `ci`, but for the memory. */
export function environment(_k: Kernel, _ci: Cpu): object {
  return {};
}
