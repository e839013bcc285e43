/**
 * The alarm of a process: SIGALRM after a time, once (alarm(3)).
 *
 * One callout a process, set up with its first alarm. Its handler finds the process by index; it is waited for before that can
 * be another's.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Proc } from "../sys/proc.js";
import { CALLOUT_MPSAFE, CO_TIME } from "../sys/shapes.js";
import { SI_TIMER, SIGALRM } from "../sys/signal.js";
import {
  CALLOUT_ALARM,
  calloutDestroy,
  calloutHaltSpin,
  calloutInit,
  calloutPending,
  calloutSchedule,
  calloutSetfunc,
  calloutStop,
} from "./callout.js";
import { psignal } from "./signal.js";
import { siginfo } from "./sigqueue.js";
import { spinEnter, spinExit } from "./spin.js";

/** Sets the alarm to `ticks` from now, 0 = none; the ticks that were left of the one before. No lock is held. */
export function alarmSet(p: Proc, ticks: number): number {
  const { k } = p;
  spinEnter(k, p.lock);
  const c = p.alarmCh;
  if (p.alarmed === 0) {
    calloutInit(k, c, CALLOUT_MPSAFE);
    calloutSetfunc(k, c, CALLOUT_ALARM, p.index);
    p.alarmed = 1;
  }
  const left = calloutPending(k, c) ? Math.max((k.w[c + CO_TIME] - k.g.ticks) | 0, 1) : 0;
  if (ticks === 0) calloutStop(k, c);
  else calloutSchedule(k, c, ticks);
  spinExit(k, p.lock);
  return left;
}

/** Handler of the callout. */
export function alarmCallout(k: Kernel, index: number): void {
  const p = k.procs.view(index);
  psignal(p, siginfo(SIGALRM, SI_TIMER, p.pid));
}

/** The process exits: no alarm comes any more. Its last LWP calls it, with no lock held. */
export function alarmEnd(p: Proc): void {
  if (p.alarmed === 0) return;
  calloutHaltSpin(p.k, p.alarmCh);
  calloutDestroy(p.k, p.alarmCh);
}
