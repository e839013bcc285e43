/** What the stress of lock lending and its driver share: what is done to a thread, and where the figures stand. */
import { CPUS_MAX } from "./shared.js";

/** What is done. */
export const ACTS = ["suspend", "continue", "wakeup", "unpark", "priority", "migrate", "ping"] as const;
/** To whom. */
export const TARGETS = ["generator", "step"] as const;
/** Words for states, which are 1..8. */
export const STATES = 10;

let words = 0;
const take = (n: number) => {
  const at = words;
  words += n;
  return at;
};

/** Operations still to be handed out, and the seed. */
export const LEFT = take(1);
export const SEED = take(1);
/** CPUs whose agent has been started, and agents that have not ended; the LWP that waits for them. */
export const LAUNCHED = take(1);
export const BUSY = take(1);
export const MAIN_LID = take(1);
/** Somebody waits for a suspension. */
export const WAITS = take(1);
/** The two targets are to end. */
export const STOP = take(1);
/** Of each target: its lid, the agent that waits for an answer + 1, its last CPU + 1, moves to another CPU, times it ran. */
export const TARGET_WORDS = 5;
export const T_LID = 0;
export const T_PINGER = 1;
export const T_CPU = 2;
export const T_MOVES = 3;
export const T_RUNS = 4;
export const TARGET = take(TARGETS.length * TARGET_WORDS);
/** Agents, one on each CPU: its lid, and whether it has been answered. */
export const AGENT_WORDS = 2;
export const A_LID = 0;
export const A_ANSWER = 1;
export const AGENT = take(CPUS_MAX * AGENT_WORDS);
/** Of each CPU, how often what was done to whom in which state. */
export const COUNTS = take(CPUS_MAX * ACTS.length * TARGETS.length * STATES);
export const SCRATCH_WORDS = words;

export const targetAt = (target: number): number => TARGET + target * TARGET_WORDS;

export function countAt(cpu: number, act: number, target: number, state: number): number {
  return COUNTS + ((cpu * ACTS.length + act) * TARGETS.length + target) * STATES + state;
}
