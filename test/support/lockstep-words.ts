/** Where a lockstep test and its agents write to each other: the scratch words of kernel memory. */
import type { Kernel } from "lwp/kernel";

/** One mailbox per CPU. */
export const Word = {
  /** Counts the actions asked for; the last one that is done. */
  POSTED: 0,
  DONE: 1,
  RESULT: 2,
  FAILED: 3,
  LID: 4,
  ARGS: 5,
  /** Source of the action, or what it failed with. Length 0: go home. */
  LENGTH: 9,
  TEXT: 10,
  SIZE: 4096,
} as const;

const MAILBOXES = 4;
export const SCENARIO_WORDS = 256;
export const SCRATCH_WORDS = MAILBOXES * Word.SIZE + SCENARIO_WORDS;

/** The mailbox of CPU number `cpu` (from 0). */
export function mailbox(k: Kernel, cpu: number): number {
  return k.scratch + cpu * Word.SIZE;
}

/** Words of the scenario: cleared before each. The first ones are the step functions'. */
export function scenarioWords(k: Kernel): number {
  return k.scratch + MAILBOXES * Word.SIZE;
}

/** Step functions by number, and the words they use. */
export const STEP = {
  RUN: 0,
  PARK: 1,
  SPIN: 2,
  CPU: 0,
  RESULT: 1,
  RUNS: 2,
  TICKS: 3,
  STOP: 4,
  SPINS: 5,
  /** First word that is free. */
  FREE: 16,
} as const;
