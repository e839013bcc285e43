/** Checks of arguments that come from programs. What the original answers with EFAULT is a value of the wrong type here. */
import { EFAULT, EINVAL, ESRCH } from "../sys/errno.js";
import { fail } from "./operation.js";

/** A lid: a 32-bit integer; any other number is simply not found (SYS-72), and never taken for another lid. */
export function lidArg(value: unknown, syscall: string): number {
  const lid = wordArg(value, syscall, "lid");
  return lid === value ? lid : fail(ESRCH, syscall, value as number);
}

/** A process id, likewise. */
export function pidArg(value: unknown, syscall: string): number {
  const pid = wordArg(value, syscall, "pid");
  return pid === value ? pid : fail(ESRCH, syscall);
}

/** A number that must be a whole one of 32 bits: any other is no such value. */
export function wholeArg(value: unknown, syscall: string, name: string): number {
  const word = wordArg(value, syscall, name);
  return word === value ? word : fail(EINVAL, syscall, undefined, `${name} must be a whole number`);
}

/**
 * A hint: any number, of which the low 32 bits count. Left out, it is made of the id of the LWP that parks, so that each
 * has a bucket of its own as far as they go (the bucket is told by bits 8 and up).
 */
export function hintArg(value: unknown, lid: number, syscall: string): number {
  return value === undefined ? lid << 8 : wordArg(value, syscall, "hint");
}

/** A word: a number, cut to 32 bits. */
export function wordArg(value: unknown, syscall: string, name: string): number {
  if (typeof value !== "number")
    fail(EFAULT, syscall, undefined, `${name} must be a number, not ${typeof value}`);
  return value | 0;
}

/** An absolute time in seconds since 1970, or null. */
export interface Timespec {
  /** Whole seconds. */
  readonly sec: number;
  /** Nanoseconds. */
  readonly nsec: number;
}

export function timespecArg(value: unknown, syscall: string): Timespec | null {
  if (value === null || value === undefined) return null;
  const t = value as Partial<Timespec>;
  if (typeof value !== "object" || typeof t.sec !== "number" || typeof t.nsec !== "number") {
    fail(EFAULT, syscall, undefined, "the time must be null or { sec, nsec }");
  }
  return { sec: t.sec, nsec: t.nsec };
}
