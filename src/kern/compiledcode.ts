/** The compiled code and what it imports; written anew when the package is built. */
import type { Kernel } from "../sys/kernel.js";

/** A WebAssembly module in base64; null = nothing was compiled. */
export const CODE: string | null = null;

/** Its imports, but for the memory. */
export function environment(_k: Kernel): object {
  return {};
}
