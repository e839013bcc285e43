/**
 * What the machine-independent kernel asks of the machine under it: the one way down.
 *
 * One object per kernel and realm. No function of it may sleep.
 */
import type { Cpu } from "./cpu.js";
import type { Lwp } from "./lwp.js";
import type { Proc } from "./proc.js";

export interface Port {
  /** Whether `l` may run on `ci` as far as its context is concerned (R4). */
  mayRun(l: Lwp, ci: Cpu): boolean;
  /** Wakes a CPU that has said it sleeps. No lock is held. */
  notify(ci: Cpu): void;
  /** Machine time in seconds, read from the clock itself. */
  now(): number;
  /** Reads the clock and raises what is due: called by a CPU with `k.readsClock`. Returns the machine time in seconds. */
  selfClock(ci: Cpu): number;
  /** Wall-clock time in seconds. */
  wallclock(): number;
  /** Waits a moment for another CPU; `address` is the word it is to change, `seen` what it was. */
  relax(site: string, rounds: number, address: number, seen: number): void;
  /** The last LWP of a process has exited: nobody will run its program any more. */
  procExited(p: Proc): void;
  /** Answers a choice, 0..n-1; 0 on real CPUs (R6). */
  choose(site: string, n: number): number;
  /** A line for whoever looks after the machine. */
  log(message: string): void;
  /** The machine is dead: write the dump. Takes no lock. */
  panicked(message: string): void;
  /** Stops at a delay point until it is granted (lockstep). */
  held(ci: Cpu, point: number): unknown;
}
