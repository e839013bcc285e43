/** The count of letters that a CPU has read, against `ci.mail`: what was posted. */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { ATTN_SLICE } from "../sys/param.js";

const MAIL = CpuRecord.offset.mail;
const ATTENTION = CpuRecord.offset.attention;
const SLEEPING = CpuRecord.offset.sleeping;
const WAKE = CpuRecord.offset.wake;

export class AttachedCpu {
  readonly #ci: Cpu;
  #read = 0;

  constructor(ci: Cpu) {
    this.#ci = ci;
  }

  /** Whether a letter was posted that nobody has read; counts it as read. */
  hasMail(): boolean {
    const { w, at } = this.#ci;
    if (Atomics.load(w, at + MAIL) === this.#read) return false;
    this.#read = (this.#read + 1) | 0;
    return true;
  }
}

/** Tells a CPU that a letter was posted; the post itself comes before. */
export function ringCpu(ci: Cpu): void {
  const { w, at } = ci;
  Atomics.add(w, at + MAIL, 1);
  attend(ci, ATTN_SLICE);
}

/** Sets attention bits of a CPU from a realm that is none, and wakes it. */
export function attend(ci: Cpu, bits: number): void {
  const { w, at } = ci;
  Atomics.or(w, at + ATTENTION, bits);
  if (Atomics.load(w, at + SLEEPING) !== 0) {
    Atomics.add(w, at + WAKE, 1);
    Atomics.notify(w, at + WAKE);
  }
}
