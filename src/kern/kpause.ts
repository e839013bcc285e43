/** Sleeping for a time, on nothing that anybody could wake (kpause(9)). */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { SOBJ_SLEEP } from "../sys/param.js";
import {
  BLOCK_SWITCHED,
  bucketQueue,
  sleepqBlock,
  sleepqEnqueue,
  sleepqEnter,
  sleeptabBucket,
  sleepqUnblock,
} from "./sleepq.js";
import { spinEnter } from "./spin.js";

/** Sleeps `ticks` ticks, at least one; nothing interrupts it. May sleep. EWOULDBLOCK, as a sleep that timed out. */
export function* kpause(k: Kernel, wmesg: string, ticks: number): Generator<void, number, void> {
  const l = cur.lwp;
  // Its own record is a channel on which nobody else sleeps.
  const bucket = sleeptabBucket(k.sleeptab, l.at);
  spinEnter(k, bucket);
  sleepqEnter(l, bucket);
  sleepqEnqueue(l, bucketQueue(bucket), l.at, wmesg, SOBJ_SLEEP);
  const how = sleepqBlock(l, ticks, false);
  if (how === BLOCK_SWITCHED) yield;
  return sleepqUnblock(l, how, ticks, false);
}
