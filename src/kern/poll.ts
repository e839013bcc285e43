/**
 * Polls: the return to user mode of an LWP that computes and enters no operation (SCH-133).
 *
 * On real CPUs a poll is worth the kernel's time only when the CPU's attention word is not 0: whoever wants something of a
 * running LWP sets a bit there. On a stepwise machine each poll is a choice (R12): to go on, or to be preempted.
 */
import type { Lwp } from "../sys/lwp.js";
import { LW_USERRET, RESCHED_KPREEMPT } from "../sys/param.js";
import { cpuNeedResched } from "./resched.js";
import { RET_USER, userret } from "./userret.js";

/** Most polls of a step: a loop that waits for time to pass, or for another CPU, must come to its end. */
export const POLLS_PER_STEP_MAX = 1000;

/** A poll of the current LWP; what it returns, and what is to be done then, is as for `userret`. */
export function pollLwp(l: Lwp): number {
  const { k } = l;
  if (k.stepwise) {
    if (l.cpu.attention === 0 && (l.flag & LW_USERRET) === 0) {
      if (++k.polls < POLLS_PER_STEP_MAX && k.port.choose("poll", 2) === 0) return RET_USER;
      cpuNeedResched(l.cpu, RESCHED_KPREEMPT);
    }
    k.polls = 0;
  }
  return userret(l);
}
