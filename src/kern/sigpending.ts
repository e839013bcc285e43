/**
 * Pending signals, as far as sleeping depends on them: sets of 64 in two words each.
 *
 * Deliverable for an LWP is what is pending for it or its process, less what is ignored and what it masks (PRC-68).
 */
import type { Lwp } from "../sys/lwp.js";

const SIGSTOP = 17;
const SIGTSTP = 18;
const SIGTTIN = 21;
const SIGTTOU = 22;

export function isStopSignal(sig: number): boolean {
  return sig === SIGSTOP || sig === SIGTSTP || sig === SIGTTIN || sig === SIGTTOU;
}

function deliverable(l: Lwp, word: number): number {
  const { w } = l;
  const p = l.proc;
  return (w[l.sigpend + word] | w[p.sigpend + word]) & ~w[p.sigignore + word] & ~w[l.sigmask + word];
}

/** Whether a signal could be delivered to `l`. */
export function sigispending(l: Lwp): boolean {
  return (deliverable(l, 0) | deliverable(l, 1)) !== 0;
}

/** Number of the first such signal, the LWP's own before the process's; 0 = none. `p.lock` is held. */
export function firstsig(l: Lwp): number {
  const { w } = l;
  for (const set of [l.sigpend, l.proc.sigpend]) {
    for (let word = 0; word < 2; word++) {
      const bits = w[set + word] & deliverable(l, word);
      if (bits !== 0) return word * 32 + 32 - Math.clz32(bits & -bits);
    }
  }
  return 0;
}

/** Whether the process-level set is not empty. */
export function procHasPending(l: Lwp): boolean {
  const { w } = l;
  const set = l.proc.sigpend;
  return (w[set] | w[set + 1]) !== 0;
}
