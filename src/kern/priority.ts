/** The effective priority of an LWP. */
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { LW_SYSTEM, PRI_KERNEL } from "../sys/param.js";

const { priority: PRIORITY, kpriority: KPRIORITY, kpribase: KPRIBASE } = LwpRecord.offset;
const { inheritedprio: INHERITEDPRIO, flag: FLAG } = LwpRecord.offset;

/** What queueing, comparing and lending use: priority with boost and loans (SCH-4). */
export function lwpEprio(l: Lwp): number {
  const { w, at } = l;
  let pri = w[at + PRIORITY];
  if (pri < PRI_KERNEL && w[at + KPRIORITY] !== 0 && (w[at + FLAG] & LW_SYSTEM) === 0) {
    pri = (pri >> 1) + w[at + KPRIBASE];
  }
  const lent = w[at + INHERITEDPRIO];
  return lent > pri ? lent : pri;
}
