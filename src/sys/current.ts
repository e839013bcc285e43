/**
 * Who runs now: set by the dispatcher at each resume and restored after (R13).
 *
 * It is the only state of this realm that the kernel's modules share.
 */
import type { Cpu } from "./cpu.js";
import type { Lwp } from "./lwp.js";

interface Current {
  /** The CPU that runs kernel code in this realm. */
  cpu: Cpu;
  /** The LWP on whose behalf it does. */
  lwp: Lwp;
  /** CPUs to be notified once no lock is held, as bits of their index - 1. */
  kicks: number;
}

export const cur: Current = {
  cpu: null as unknown as Cpu,
  lwp: null as unknown as Lwp,
  kicks: 0,
};
