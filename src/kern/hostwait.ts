/**
 * Waiting for work of the host: a promise, a timer, I/O.
 *
 * The LWP sleeps on itself, interruptibly, without the kernel boost; the host's callback, which runs on the LWP's own CPU
 * between two LWPs, wakes it. `ci.hostwait` tells that CPU that it must keep its event loop turning.
 */
import type { Lwp } from "../sys/lwp.js";
import { SOBJ_SLEEP } from "../sys/param.js";
import { CpuRecord, type Cpu } from "../sys/cpu.js";
import {
  bucketQueue,
  sleepqBlockUser,
  sleepqEnqueue,
  sleepqEnter,
  sleeptabBucket,
  sleepqWake,
  type Wmesg,
} from "./sleepq.js";
import { atomicAdd, spinEnter } from "./spin.js";

const HOSTWAIT = CpuRecord.offset.hostwait;

/** First half of the sleep; the second is `sleepqUnblock`. */
export function hostBlock(l: Lwp, wmesg: Wmesg, ticks: number): number {
  const { k } = l;
  const bucket = sleeptabBucket(k.sleeptab, l.at);
  spinEnter(k, bucket);
  sleepqEnter(l, bucket);
  sleepqEnqueue(l, bucketQueue(bucket), l.at, wmesg, SOBJ_SLEEP);
  return sleepqBlockUser(l, ticks);
}

/** Wakes it, if it still sleeps there. */
export function hostWakeup(l: Lwp): void {
  const { k } = l;
  const bucket = sleeptabBucket(k.sleeptab, l.at);
  spinEnter(k, bucket);
  sleepqWake(k, bucketQueue(bucket), l.at, 1, bucket);
}

/** One more, or one less, LWP of this realm that awaits the host. */
export function hostwaitAdd(ci: Cpu, n: number): void {
  atomicAdd(ci.k, ci.at + HOSTWAIT, n);
}
