/** What each CPU of a machine has done. */
import type { Kernel } from "../sys/kernel.js";

/** One line of `stats`. */
export interface CpuStats {
  readonly index: number;
  /** LWPs that first ran here. */
  readonly lwps: number;
  readonly switches: number;
  /** Seconds not idle. */
  readonly busy: number;
}

export function cpuStats(k: Kernel): CpuStats[] {
  const list: CpuStats[] = [];
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    list.push({ index: i - 1, lwps: ci.nlwps, switches: ci.nswitch, busy: ci.busy });
  }
  return list;
}
