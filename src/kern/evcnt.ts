/**
 * Event counters by group and name (MCH-97): they only grow, and are exact to 2^53.
 *
 * There is no group "kpreempt", since kernel code is never preempted here, and none of soft interrupts, which are no threads.
 */
import type { Kernel } from "../sys/kernel.js";

export interface Evcnt {
  readonly group: string;
  readonly name: string;
  readonly count: number;
}

/** All event counters. Takes no lock. */
export function evcntList(k: Kernel): Evcnt[] {
  const list: Evcnt[] = [
    { group: "crosscall", name: "unicast", count: k.xc.unicast },
    { group: "crosscall", name: "broadcast", count: k.xc.broadcast },
    { group: "pserialize", name: "exclusive access", count: k.psz.exclusive },
  ];
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    const n = i - 1;
    list.push(
      { group: `cpu${n}`, name: "runqueue pull", count: ci.pull },
      { group: `cpu${n}`, name: "runqueue push", count: ci.push },
      { group: `cpu${n}`, name: "runqueue stay", count: ci.stay },
      { group: `cpu${n}`, name: "runqueue localize", count: ci.localize },
      { group: "callout", name: `late/${n}`, count: ci.calloutLate },
      { group: "callout", name: `wait/${n}`, count: ci.calloutWait },
    );
  }
  return list;
}
