/**
 * Slices: how long a CPU keeps its event loop waiting.
 *
 * A CPU whose event loop must turn says in its record when its slice is over. Whoever reads the clock first after that raises
 * ATTN_SLICE: the CPU itself, where it reads the clock at its polls (`k.readsClock`), or the clock worker at a beat, which the
 * host may hold up for milliseconds while computing threads have all its cores.
 *
 * A slice is short while the host has work: most of what a program of the host does takes several turns of the event loop with
 * something of the host in between (a file is opened, read, closed), and is not to wait for a whole slice each time. Every
 * turn in which there was nothing to do makes it longer by a quarter.
 */
import type { Cpu } from "../sys/cpu.js";

/** The longest slice and the shortest, in seconds. */
export const SLICE = 0.002;
export const SLICE_MIN = SLICE / 8;

export class Slices {
  readonly #ci: Cpu;
  #length = SLICE;

  constructor(ci: Cpu) {
    this.#ci = ci;
  }

  /** The event loop has turned, and had something to do or not: the next slice begins. */
  begin(hostWorked: boolean): void {
    const ci = this.#ci;
    this.#length = hostWorked ? SLICE_MIN : Math.min(SLICE, this.#length * 1.25);
    ci.sliceEnd = ci.k.port.now() + this.#length;
  }
}
