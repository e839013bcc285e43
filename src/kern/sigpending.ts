/**
 * Sets of signals, and what is pending for an LWP: sets of 64 in two words each.
 *
 * Deliverable for an LWP is what is pending for it or its process, less what is ignored and what it masks (PRC-68), and less
 * what is caught by a handler that it cannot run: a closure of another realm.
 */
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import type { Kernel } from "../sys/kernel.js";
import type { Proc } from "../sys/proc.js";
import { NSIG, SIGACT_HANDLER, SIGACT_WORDS, SIGPROP, SP_CANTMASK, SP_STOP } from "../sys/signal.js";

const { sigpend: SIGPEND, sigmask: SIGMASK } = LwpRecord.offset;

/** A set, by its two words. */
export type Sigset = readonly [number, number];

const bitOf = (sig: number): number => 1 << ((sig - 1) & 31);
const wordOf = (sig: number): number => (sig - 1) >> 5;

/** The set of these signals. */
export function sigset(...signals: readonly number[]): Sigset {
  const set: [number, number] = [0, 0];
  for (const sig of signals) set[wordOf(sig)] |= bitOf(sig);
  return set;
}

/** The set of the signals with one of these properties. */
function sigsetOf(props: number): Sigset {
  const signals: number[] = [];
  for (let sig = 1; sig < NSIG; sig++) if ((SIGPROP[sig] & props) !== 0) signals.push(sig);
  return sigset(...signals);
}

/** Signals that stop; that nothing can be done about. */
export const STOP_SIGNALS: Sigset = sigsetOf(SP_STOP);
export const CANTMASK_SIGNALS: Sigset = sigsetOf(SP_CANTMASK);

export function sigaddset({ w }: Kernel, set: number, sig: number): void {
  w[set + wordOf(sig)] |= bitOf(sig);
}

export function sigdelset({ w }: Kernel, set: number, sig: number): void {
  w[set + wordOf(sig)] &= ~bitOf(sig);
}

export function sigismember({ w }: Kernel, set: number, sig: number): boolean {
  return (w[set + wordOf(sig)] & bitOf(sig)) !== 0;
}

export function isStopSignal(sig: number): boolean {
  return (SIGPROP[sig] & SP_STOP) !== 0;
}

/** Address of the table of actions of a process. */
export function sigactsOf(p: Proc): number {
  return p.k.sigacts + (p.index - 1) * SIGACT_WORDS;
}

/** The handler of a signal: SIG_DFL, SIG_IGN, or whose it is. */
export function sighandler(p: Proc, sig: number): number {
  return p.sigacts === 0 ? 0 : p.k.w[sigactsOf(p) + SIGACT_HANDLER + sig];
}

/** Whether `l` cannot run the handler of a signal. On a machine of one realm there is no such handler. */
export function sigforeign(l: Lwp, sig: number): boolean {
  const p = l.proc;
  return sigismember(l.k, p.siglocal, sig) && -sighandler(p, sig) !== l.realm;
}

function foreign(l: Lwp, word: number, bits: number): number {
  let set = 0;
  for (let left = bits; left !== 0; left &= left - 1) {
    if (sigforeign(l, word * 32 + 32 - Math.clz32(left & -left))) set |= left & -left;
  }
  return set;
}

function deliverable(l: Lwp, word: number): number {
  const { w, at } = l;
  const p = l.proc;
  const pending = w[at + SIGPEND + word] | w[p.sigpend + word];
  if (pending === 0) return 0;
  const bits = pending & ~w[p.sigignore + word] & ~w[at + SIGMASK + word];
  const local = bits & w[p.siglocal + word];
  return local === 0 ? bits : bits & ~foreign(l, word, local);
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
