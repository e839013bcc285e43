/** Sleeping for a time, on nothing that anybody could wake (kpause(9)). */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
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
  return yield* pause(cur.lwp, wmesg, ticks, false);
}

/**
 * The same interruptibly, 0 ticks = for ever: EINTR or ERESTART by a signal, EINTR by `lwpWakeup`, 0 if it was stopped or
 * suspended meanwhile. May sleep.
 */
export function kpauseSig(l: Lwp, wmesg: string, ticks: number): Generator<void, number, void> {
  return pause(l, wmesg, ticks, true);
}

function* pause(l: Lwp, wmesg: string, ticks: number, catchSignals: boolean): Generator<void, number, void> {
  const { k } = l;
  // Its own record is a channel on which nobody else sleeps.
  const bucket = sleeptabBucket(k.sleeptab, l.at);
  spinEnter(k, bucket);
  sleepqEnter(l, bucket);
  sleepqEnqueue(l, bucketQueue(bucket), l.at, wmesg, SOBJ_SLEEP);
  const how = sleepqBlock(l, ticks, catchSignals);
  if (how === BLOCK_SWITCHED) yield;
  return sleepqUnblock(l, how, ticks, catchSignals);
}
