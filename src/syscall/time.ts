/** Time as sleeps count it: ticks (BLK-76). */
import { EINVAL, ETIMEDOUT } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Timespec } from "./args.js";

const NSEC = 1e9;
const TICKS_MAX = 0x7fffffff;

/** A number of ticks, or an error as a negative number. */
export type TicksOrError = number;

/**
 * Ticks until an absolute wall-clock time, at least 2; -ETIMEDOUT when it has passed, -EINVAL when the nanoseconds of the
 * difference are out of range. A past time wins over a malformed one (SYS-25).
 */
export function absoluteTicks(k: Kernel, ts: Timespec): TicksOrError {
  const now = wallclockAtTick(k);
  let sec = ts.sec - now.sec;
  let nsec = ts.nsec - now.nsec;
  if (nsec < 0) {
    sec--;
    nsec += NSEC;
  }
  if (sec < 0 || (sec === 0 && nsec === 0)) return -ETIMEDOUT;
  if (!(nsec >= 0 && nsec < NSEC)) return -EINVAL;
  return relativeTicks(k, sec, nsec);
}

/** Relative time to ticks: cut to microseconds, at least a tick, rounded up, plus one. */
export function relativeTicks(k: Kernel, sec: number, nsec: number): number {
  const tick = 1e6 / k.hz;
  const usec = Math.max(sec * 1e6 + Math.floor(nsec / 1000), tick);
  return Math.min(Math.ceil(usec / tick) + 1, TICKS_MAX);
}

/** The wall clock at the resolution of ticks. */
export function wallclockAtTick(k: Kernel): Timespec {
  const seconds = k.g.wallAtBoot + (k.g.ticks - 1) / k.hz;
  const sec = Math.floor(seconds);
  return { sec, nsec: Math.round((seconds - sec) * NSEC) };
}
