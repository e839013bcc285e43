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
  /** Not 0 once the agent has gone. */
  HOME: 10,
  TEXT: 11,
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

/** Words of the random program, from the start of the scratch words. */
export const RANDOM = {
  SEED: 0,
  ENTRY: 1,
  /** `boss` stands before its work; it may begin. */
  READY: 2,
  GO: 3,
  /** It is through, and stands again; it may leave. */
  FINISHED: 4,
  LEAVE: 5,
  /** Threads that have done all they had to. */
  THROUGH: 6,
  /** LWPs in the section that the mutex guards; whether there was ever more than one. */
  INSIDE: 7,
  BROKEN: 8,
  MUTEX: 10,
  LIDS: 16,
  STATES: 32,
  SIZE: 64,
} as const;
