/**
 * Giving back what dead LWPs leave in their records (LWP-40), and their turnstiles with it.
 *
 * A free record keeps its words: a CPU that spins for a mutex may still be looking whether its owner, dead since, runs. It
 * does so between two switches. So, in steps: (1) note which records are free; (2) a call on every CPU that does nothing, and
 * wait for it: who was looking has stopped; (3) clear those that have been free all the while, but for their generation.
 */
import type { Kernel } from "../sys/kernel.js";
import { POOL_FREE, POOL_LOCK } from "../sys/kernel.js";
import { LwpRecord } from "../sys/lwp.js";
import { kassert } from "./panic.js";
import { clear, clearCold, rawPut } from "./pool.js";
import { spinEnter, spinExit } from "./spin.js";
import { XC_NULLOP, xcBroadcast, xcWait } from "./xcall.js";

const { cpu: CPU, proc: PROC, ts: TS } = LwpRecord.offset;
const NEXT_FREE = 1;

/** Clears all records of LWPs that are free; how many there were. May sleep. Source: lwp_dtor, pool_cache_invalidate(9). */
export function* lwpReclaim(k: Kernel): Generator<void, number, void> {
  const free = new Map<number, number>();
  forEachFree(k, (index, at) => free.set(index, k.w[at]));
  if (free.size === 0) return 0;
  yield* xcWait(k, yield* xcBroadcast(k, 0, XC_NULLOP));
  let cleared = 0;
  forEachFree(k, (index, at) => {
    // Of the same generation: it has been free all the while.
    if (free.get(index) !== k.w[at]) return;
    lwpDtor(k, index, at);
    cleared++;
  });
  return cleared;
}

/** All free records that somebody has used, with their pool locked. */
function forEachFree(k: Kernel, body: (index: number, at: number) => void): void {
  const { w } = k;
  const { header } = k.lwps;
  spinEnter(k, header + POOL_LOCK);
  for (let i = w[header + POOL_FREE]; i !== 0; ) {
    const at = k.lwpBase + i * LwpRecord.words;
    if (w[at + PROC] !== 0) body(i, at);
    i = w[at + NEXT_FREE];
  }
  spinExit(k, header + POOL_LOCK);
}

function lwpDtor(k: Kernel, index: number, at: number): void {
  kassert(k, k.w[at + CPU] !== 0, "lwpDtor: an LWP without a CPU");
  clearCold(k.lwps, index);
  const ts = k.w[at + TS];
  const { header, base, type } = k.turnstiles;
  if (ts !== 0) rawPut(k, header, base + (ts - 1) * type.words, ts);
  clear(k, at + 2, at + LwpRecord.words);
}
