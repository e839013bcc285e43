/** What an LWP waits for: asks each floor that makes LWPs sleep, the upper ones first. */
import type { Lwp } from "../sys/lwp.js";
import { describeKernelWait, type WaitDescriber, type WaitFor } from "../kern/waitfor.js";
import { describeThreadWait } from "../thread/waits.js";

const DESCRIBERS: readonly WaitDescriber[] = [describeThreadWait, describeKernelWait];

/** What `l` waits for; by its message alone, if nobody knows its channel. `l.wchan` is not 0. */
export function describeWait(l: Lwp): WaitFor {
  for (const describer of DESCRIBERS) {
    const found = describer(l);
    if (found !== null) return found;
  }
  const { wmesg } = l;
  return { kind: wmesg, what: `${wmesg} (channel ${l.wchan})`, holders: [] };
}
