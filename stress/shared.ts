/**
 * What the stress program and its driver share: the kinds of operations, and where their figures stand in the scratch words
 * of kernel memory.
 */
import { Words } from "./words.js";

/** Kinds of operations, in the order of their counters. */
export const KINDS = [
  "lwpCreate",
  "lwpCreate with flags",
  "lwpExit",
  "lwpWait lid",
  "lwpWait any",
  "lwpDetach",
  "lwpSuspend",
  "lwpContinue",
  "lwpWakeup",
  "lwpPark",
  "lwpPark deadline",
  "lwpUnpark",
  "lwpUnparkAll",
  "lwpSetname, lwpGetname",
  "lwpSelf",
  "schedYield",
  "Thread.spawn",
  "Thread.join",
  "mutexEnter, mutexExit",
  "cvWait",
  "cvSignal, cvBroadcast",
  "callout",
  "lwpMigrate",
  "step park",
  "step yield",
  "vfork",
  "lwpReclaim",
  "lwpKill, kill, sigwait",
] as const;

export type Kind = (typeof KINDS)[number];

/** Agents and puppets of each CPU, and step threads of each CPU. */
export const AGENTS = 24;
export const PUPPETS = 4;
export const STEPS = 4;
export const CPUS_MAX = 32;
/** Mutexes; the first one is the interlock of the condition variables. */
export const MUTEXES = 4;

/** Offsets in words from the start of scratch memory. */
const words = new Words();
const take = (n: number) => words.take(n);

/** Operations still to be handed out to CPUs. */
export const LEFT = take(1);
/** The puppets are to end. */
export const STOP = take(1);
/** Agents that have not ended, and the LWP that waits for them. */
export const AGENTS_LEFT = take(1);
export const MAIN_LID = take(1);
/** Index of the process that all of them belong to. */
export const PROC = take(1);
export const SEED = take(1);
/** CPUs whose agents and puppets have been started. */
export const LAUNCHED = take(1);
/** Set by the first agent that ends: nobody waits for tokens any more. */
export const DRAIN = take(1);
/** Tokens in stock, made, used; agents that wait for one. Under mutex 0. */
export const TOKENS = take(1);
export const TOKENS_MADE = take(1);
export const TOKENS_USED = take(1);
export const TOKEN_WAITERS = take(1);
/** Joinable LWPs made; collected; detached later; those that nobody has laid claim to. */
export const JOINABLE = take(1);
export const COLLECTED = take(1);
export const DETACHED = take(1);
export const UNCLAIMED = take(1);
/** Callouts set, and handlers run. */
export const CALLOUTS_SET = take(1);
export const CALLOUTS_RUN = take(1);
/** Processes made with vfork; and those that have ended. */
export const FORKED = take(1);
export const FORKS_ENDED = take(1);
/** Signals sent to the process; and those that somebody has taken, of which there may be fewer. */
export const SIGNALS_SENT = take(1);
export const SIGNALS_TAKEN = take(1);
/** A mutex, and behind it who is inside. */
export const MUTEX = take(MUTEXES * 8);
/** Condition variables with mutex 0: of tokens, and one that nobody signals. */
export const CV_TOKENS = take(4);
export const CV_TIMED = take(4);

/** Puppets and step threads: lid, wakeups posted, the agent that waits for an answer, CPUs it has run on. */
export const TARGET_WORDS = 4;
export const T_LID = 0;
export const T_POSTED = 1;
export const T_PINGER = 2;
export const T_CPUS = 3;
export const TARGETS = take(CPUS_MAX * (PUPPETS + STEPS) * TARGET_WORDS);
/** Agents: lid, answer, callout, how far the child is that it waits for, signals that its handler has had. */
export const AGENT_WORDS = 14;
export const A_LID = 0;
export const A_ANSWER = 1;
export const A_CALLOUT = 2;
export const A_CHILD = 12;
export const A_HANDLED = 13;
export const AGENT = take(CPUS_MAX * AGENTS * AGENT_WORDS);
/** Counters of each CPU: operations by kind, and those whose target was on another CPU. */
export const COUNTS = take(CPUS_MAX * KINDS.length * 2);
export const SCRATCH_WORDS = words.taken;

export function countAt(cpu: number, kind: number, cross: 0 | 1): number {
  return COUNTS + (cpu * KINDS.length + kind) * 2 + cross;
}
