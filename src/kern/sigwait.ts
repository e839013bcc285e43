/**
 * Waiting for signals: `sigtimedwait` (PRC-74, PRC-90).
 *
 * Who waits stands on its process's list, the latest first. A signal that is posted meanwhile is handed to one of them before
 * it would become pending, also if it is masked: `sigunwait` puts it into `l.sigwaited` and takes the LWP off the list.
 *
 * What was handed over counts, whatever else has ended the wait; in the original a time-out or another signal that comes
 * between the two loses it.
 */
import type { Lwp } from "../sys/lwp.js";
import type { Proc } from "../sys/proc.js";
import { SF_CODE, SF_LID, SF_PID, SF_UID, type Siginfo } from "../sys/signal.js";
import { cvEnter, cvSignal } from "./condvar.js";
import { lwpFind } from "./lwpref.js";
import { CANTMASK_SIGNALS, sigismember, type Sigset } from "./sigpending.js";
import { sigget } from "./sigqueue.js";
import { sleepqBlockUser } from "./sleepq.js";
import { spinEnter, spinExit } from "./spin.js";

/** Takes a signal of the set that is pending, the process's before the LWP's; false if there is none. `p.lock` is held. */
export function sigwaitTake(l: Lwp, set: Sigset, out: Siginfo): boolean {
  const { w } = l;
  for (const owner of [l.proc, l]) {
    for (let word = 0; word < 2; word++) {
      const bits = w[owner.sigpend + word] & set[word] & ~CANTMASK_SIGNALS[word];
      if (bits !== 0) return sigget(owner, word * 32 + 32 - Math.clz32(bits & -bits), out);
    }
  }
  return false;
}

/** First half of the wait, interruptible: as `sleepqBlock`. `p.lock` is held, and let go; 0 ticks = for ever. */
export function sigwaitBlock(l: Lwp, set: Sigset, ticks: number): number {
  const { w } = l;
  const p = l.proc;
  for (let i = 0; i < 2; i++) w[l.sigwaitset + i] = set[i] & ~CANTMASK_SIGNALS[i];
  l.sigwaited = 0;
  l.sigwaiting = 1;
  l.sigwaiterNext = p.sigwaiters === null ? 0 : p.sigwaiters.index;
  p.sigwaiters = l;
  cvEnter(l, l.sigcv, p.lock, 0);
  return sleepqBlockUser(l, ticks);
}

/** After the wait, whatever ended it: off the list. True: a signal was handed over, and is in `out`. No lock is held. */
export function sigwaitEnd(l: Lwp, out: Siginfo): boolean {
  const { k, w } = l;
  const p = l.proc;
  spinEnter(k, p.lock);
  if (l.sigwaiting !== 0) unlink(p, l);
  const sig = l.sigwaited;
  l.sigwaited = 0;
  if (sig !== 0) {
    const frame = l.sigframe;
    out.signo = sig;
    out.code = w[frame + SF_CODE];
    out.pid = w[frame + SF_PID];
    out.uid = w[frame + SF_UID];
    out.lid = w[frame + SF_LID];
  }
  spinExit(k, p.lock);
  return sig !== 0;
}

function unlink(p: Proc, l: Lwp): void {
  const { k } = p;
  l.sigwaiting = 0;
  if (p.sigwaiters === l) {
    p.sigwaiters = k.lwpAt(l.sigwaiterNext);
    return;
  }
  let before = p.sigwaiters as Lwp;
  while (before.sigwaiterNext !== l.index) before = k.lwps.view(before.sigwaiterNext);
  before.sigwaiterNext = l.sigwaiterNext;
}

/** Hands a signal to an LWP that waits for it: the one it is directed to, or the latest. False: there is none. */
export function sigunwait(p: Proc, info: Siginfo): boolean {
  const { k } = p;
  if (p.sigwaiters === null) return false;
  const l = info.lid !== 0 ? lwpFind(p, info.lid) : firstWaiter(p, info.signo);
  if (l === null || l.sigwaiting === 0 || !sigismember(k, l.sigwaitset, info.signo)) return false;
  unlink(p, l);
  const { w } = k;
  const frame = l.sigframe;
  w[frame + SF_CODE] = info.code;
  w[frame + SF_PID] = info.pid;
  w[frame + SF_UID] = info.uid;
  w[frame + SF_LID] = info.lid;
  l.sigwaited = info.signo;
  cvSignal(k, l.sigcv);
  return true;
}

function firstWaiter(p: Proc, sig: number): Lwp | null {
  const { k } = p;
  let l = p.sigwaiters;
  while (l !== null && !sigismember(k, l.sigwaitset, sig)) l = k.lwpAt(l.sigwaiterNext);
  return l;
}
