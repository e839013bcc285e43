/** Checks of arguments that come from programs. What the original answers with EFAULT is a value of the wrong type here. */
import { EFAULT, EINVAL } from "../sys/errno.js";
import { fail } from "./operation.js";

/** A lid: any integer of 32 bits; absurd ones are simply not found (SYS-72). */
export function lidArg(value: unknown, syscall: string, name = "lid"): number {
  if (typeof value !== "number")
    fail(EFAULT, syscall, undefined, `${name} must be a number, not ${typeof value}`);
  return Number.isInteger(value) ? value | 0 : fail(EINVAL, syscall, undefined, `${name} must be an integer`);
}

/** A hint: any 32-bit integer; left out, 0. */
export function hintArg(value: unknown, syscall: string): number {
  if (value === undefined) return 0;
  return lidArg(value, syscall, "hint");
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
