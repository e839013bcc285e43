/**
 * What a process does about signals, and what its LWPs mask (PRC-80..86).
 *
 * Actions are the process's, masks the LWP's own. `p.lock` is held for all of it, but where said.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import type { Proc } from "../sys/proc.js";
import {
  NSIG,
  SA_NODEFER,
  SA_RESTART,
  SIG_BLOCK,
  SIG_DFL,
  SIG_IGN,
  SIG_UNBLOCK,
  SIGACT_FLAGS,
  SIGACT_HANDLER,
  SIGACT_MASK,
  SIGACT_WORDS,
  SIGCONT,
  SIGPROP,
  SP_IGNORE,
} from "../sys/signal.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { sigcheck } from "./signal.js";
import {
  CANTMASK_SIGNALS,
  sigactsOf,
  sigaddset,
  sigdelset,
  sighandler,
  sigispending,
  type Sigset,
  sigset,
} from "./sigpending.js";
import { sigclear } from "./sigqueue.js";

/** An action: whose handler, which flags, what else is masked meanwhile. */
export interface Sigaction {
  readonly handler: number;
  readonly flags: number;
  readonly mask: Sigset;
}

/** A new process ignores what is ignored by default, but for SIGCONT. Nobody else knows it yet. */
export function siginit(p: Proc): void {
  for (let sig = 1; sig < NSIG; sig++) if (ignoredByDefault(sig)) sigaddset(p.k, p.sigignore, sig);
}

function ignoredByDefault(sig: number): boolean {
  return (SIGPROP[sig] & SP_IGNORE) !== 0 && sig !== SIGCONT;
}

/** The action of a signal. */
export function sigactionGet(p: Proc, sig: number): Sigaction {
  const { w } = p.k;
  const acts = sigactsOf(p);
  if (p.sigacts === 0) return { handler: SIG_DFL, flags: SA_RESTART, mask: [0, 0] };
  const mask = acts + SIGACT_MASK + 2 * sig;
  return {
    handler: sighandler(p, sig),
    flags: w[acts + SIGACT_FLAGS + sig] ^ SA_RESTART,
    mask: [w[mask], w[mask + 1]],
  };
}

/** Sets the action of a signal, which can be caught (PRC-80). What is ignored from now on is forgotten. */
export function sigaction1(l: Lwp, sig: number, action: Sigaction): void {
  const { k, w } = l;
  const p = l.proc;
  if (p.sigacts === 0) {
    k.w.fill(0, sigactsOf(p), sigactsOf(p) + SIGACT_WORDS);
    p.sigacts = 1;
  }
  const acts = sigactsOf(p);
  const own = (action.flags & SA_NODEFER) === 0 ? sigset(sig) : sigset();
  w[acts + SIGACT_HANDLER + sig] = action.handler;
  w[acts + SIGACT_FLAGS + sig] = action.flags ^ SA_RESTART;
  for (let i = 0; i < 2; i++) {
    w[acts + SIGACT_MASK + 2 * sig + i] = (action.mask[i] | own[i]) & ~CANTMASK_SIGNALS[i];
  }
  for (const set of [p.sigignore, p.sigcatch, p.siglocal]) sigdelset(k, set, sig);
  if (action.handler === SIG_IGN || (action.handler === SIG_DFL && (SIGPROP[sig] & SP_IGNORE) !== 0)) {
    // SIGCONT is never in the set: it continues whatever its action.
    if (sig !== SIGCONT) sigaddset(k, p.sigignore, sig);
    sigforget(p, sigset(sig));
  } else if (action.handler !== SIG_DFL) {
    sigaddset(k, p.sigcatch, sig);
    if (k.mp && action.handler < 0) sigaddset(k, p.siglocal, sig);
  }
  sigcheck(l);
}

/** Forgets the signals of a set that are pending for the process or any of its LWPs; null = all. */
export function sigforget(p: Proc, set: Sigset | null): void {
  sigclear(p, set);
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) sigclear(l, set);
}

/** The caller's mask. */
export function sigmaskOf(l: Lwp): Sigset {
  return [l.w[l.sigmask], l.w[l.sigmask + 1]];
}

/** Changes the caller's mask: SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK (PRC-81). */
export function sigprocmask1(l: Lwp, how: number, set: Sigset): void {
  const { w } = l;
  for (let i = 0; i < 2; i++) {
    const old = w[l.sigmask + i];
    const bits = set[i] & ~CANTMASK_SIGNALS[i];
    w[l.sigmask + i] = how === SIG_BLOCK ? old | bits : how === SIG_UNBLOCK ? old & ~set[i] : bits;
  }
  if (how !== SIG_BLOCK) sigcheck(l);
}

/** What is pending for the LWP or its process, masked or not (PRC-82). */
export function sigpending1(l: Lwp): Sigset {
  const { w } = l;
  const p = l.proc;
  return [w[l.sigpend] | w[p.sigpend], w[l.sigpend + 1] | w[p.sigpend + 1]];
}

/** Puts a mask in place of the caller's until the next handler has returned (PRC-86). */
export function sigsuspendSetup(l: Lwp, set: Sigset): void {
  const { w } = l;
  for (let i = 0; i < 2; i++) {
    w[l.sigoldmask + i] = w[l.sigmask + i];
    w[l.sigmask + i] = set[i] & ~CANTMASK_SIGNALS[i];
  }
  l.sigrestore = 1;
  sigcheck(l);
}

/** No handler is entered after all: the mask comes back. If a signal is to be delivered it is left to that. */
export function sigsuspendTeardown(l: Lwp): void {
  const { w } = l;
  if (l.sigrestore === 0) return;
  sigcheck(l);
  if (sigispending(l)) return;
  l.sigrestore = 0;
  w[l.sigmask] = w[l.sigoldmask];
  w[l.sigmask + 1] = w[l.sigoldmask + 1];
  sigcheck(l);
}

/** Nothing is left of it: the process has ended. */
export function sigactsFree(k: Kernel, p: Proc): void {
  p.handlers = null;
  if (p.sigacts === 0) return;
  k.w.fill(0, sigactsOf(p), sigactsOf(p) + SIGACT_WORDS);
  p.sigacts = 0;
}
