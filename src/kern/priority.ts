/** The effective priority of an LWP. */
import type { Lwp } from "../sys/lwp.js";
import { LW_SYSTEM, PRI_KERNEL } from "../sys/param.js";

/** What queueing, comparing and lending use: priority with boost and loans (SCH-4). */
export function lwpEprio(l: Lwp): number {
  let pri = l.priority;
  if (pri < PRI_KERNEL && l.kpriority !== 0 && (l.flag & LW_SYSTEM) === 0) pri = (pri >> 1) + l.kpribase;
  const lent = l.inheritedprio;
  return lent > pri ? lent : pri;
}
