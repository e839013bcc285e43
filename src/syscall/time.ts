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
 * difference are out of range, or the seconds no number. A past time wins over a malformed one (SYS-25).
 */
export function absoluteTicks(k: Kernel, ts: Timespec): TicksOrError {
  const now = wallclockAtTick(k);
  let sec = ts.sec - now.sec;
  let nsec = ts.nsec - now.nsec;
  if (nsec < 0) {
    sec--;
    nsec += NSEC;
  }
  if (sec < 0 || (sec === 0 && nsec <= 0)) return -ETIMEDOUT;
  return timerTicks(k, sec, nsec);
}

/** Relative time of a timer or a wait: what is not 0 lasts at least a tick; -EINVAL if a field is out of range. */
export function timerTicks(k: Kernel, sec: number, nsec: number): TicksOrError {
  if (!(sec >= 0 && nsec >= 0 && nsec < NSEC)) return -EINVAL;
  const tick = NSEC / k.hz;
  return relativeTicks(k, sec, sec === 0 && nsec > 0 && nsec < tick ? tick : nsec);
}

/** Relative time to ticks: cut to microseconds, rounded up, plus one; 0 if nothing is left of it. */
export function relativeTicks(k: Kernel, sec: number, nsec: number): number {
  const tick = 1e6 / k.hz;
  const usec = sec * 1e6 + Math.floor(nsec / 1000);
  return usec <= 0 ? 0 : Math.min(Math.ceil(usec / tick) + 1, TICKS_MAX);
}

/** Milliseconds to ticks, cut: unlike the above it may end early (BLK-75). */
export function millisToTicks(k: Kernel, ms: number): number {
  return Math.floor((ms * k.hz) / 1000);
}

/** The wall clock at the resolution of ticks. */
export function wallclockAtTick(k: Kernel): Timespec {
  // Not as one sum: a double of that size has no room for the nanoseconds of a tick.
  const { wallAtBoot } = k.g;
  const boot = Math.floor(wallAtBoot);
  const ticks = k.g.ticks - 1;
  const whole = Math.floor(ticks / k.hz);
  const nsec = Math.round((wallAtBoot - boot) * NSEC) + (ticks - whole * k.hz) * (NSEC / k.hz);
  return { sec: boot + whole + Math.floor(nsec / NSEC), nsec: nsec % NSEC };
}
