/**
 * The table of LWPs by process and lid, so that finding one does not scan the process (LWP-77).
 *
 * Chains of LWPs by hash, covered by one of 64 locks. An LWP is in the table from its creation until it is freed, zombies
 * included; with the process locked it stays.
 */
import type { Kernel } from "../sys/kernel.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import type { Proc } from "../sys/proc.js";
import { LIDTAB_STRIPES } from "../sys/shapes.js";
import { spinEnter, spinExit } from "./spin.js";

const NEXT = LwpRecord.offset.lidNext;

function bucketOf(k: Kernel, pid: number, lid: number): number {
  return (lid + Math.imul(pid, 0x9e3779b1)) & k.lidtabMask;
}

function stripeOf(k: Kernel, bucket: number): number {
  return k.lidStripes + (bucket & (LIDTAB_STRIPES - 1)) * 2;
}

export function lidInsert(l: Lwp): void {
  const k = l.k;
  const bucket = bucketOf(k, l.proc.pid, l.lid);
  const lock = stripeOf(k, bucket);
  spinEnter(k, lock);
  l.lidNext = k.w[k.lidtab + bucket];
  k.w[k.lidtab + bucket] = l.index;
  spinExit(k, lock);
}

export function lidRemove(l: Lwp): void {
  const k = l.k;
  const bucket = bucketOf(k, l.proc.pid, l.lid);
  const lock = stripeOf(k, bucket);
  spinEnter(k, lock);
  let at = k.lidtab + bucket;
  while (k.w[at] !== l.index) at = k.lwps.view(k.w[at]).at + NEXT;
  k.w[at] = l.lidNext;
  spinExit(k, lock);
}

/** The LWP of `p` with that lid, in whatever state, or null; the newest if ids have wrapped. `p.lock` is held. */
export function lidLookup(p: Proc, lid: number): Lwp | null {
  const k = p.k;
  const bucket = bucketOf(k, p.pid, lid);
  const lock = stripeOf(k, bucket);
  spinEnter(k, lock);
  let index = k.w[k.lidtab + bucket];
  let found: Lwp | null = null;
  while (index !== 0) {
    const l = k.lwps.view(index);
    if (l.lid === lid && l.proc === p) {
      found = l;
      break;
    }
    index = l.lidNext;
  }
  spinExit(k, lock);
  return found;
}

/** Longest look along a chain without its lock. */
const GLANCE_MAX = 1000;

/** The same without a lock, for tools: an index, or 0. May miss one that comes or goes. */
export function lidGlance(k: Kernel, pid: number, lid: number): number {
  let index = k.w[k.lidtab + bucketOf(k, pid, lid)];
  for (let n = 0; index > 0 && index <= k.limits.lwps && n < GLANCE_MAX; n++) {
    const l = k.lwps.view(index);
    if (l.lid === lid && l.proc?.pid === pid) return index;
    index = l.lidNext;
  }
  return 0;
}
