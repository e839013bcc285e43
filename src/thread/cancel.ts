/**
 * Cancellation of threads (THR-14..16).
 *
 * `cancel` marks the record of the thread and wakes its LWP, so that whatever it sleeps on interruptibly, now or next, ends;
 * the thread acts at a *cancellation point*: `Cancelled` is thrown there, so that its `finally` blocks run. That happens
 * once: as in POSIX, cancellation is disabled from then on, so that these blocks may wait themselves.
 *
 * Differs from the original, where waits for mutexes, rwlocks, barriers and semaphores are none (THR-17): every blocking
 * operation of the library is a cancellation point. A LWP without a thread record is never cancelled.
 */
import { ECANCELED, ENODEV, LwpError } from "../sys/errno.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import {
  CANCEL_DISABLED,
  CANCEL_PENDING,
  CANCEL_SCOPE,
  type ThreadRec,
  ThreadRecord,
} from "../sys/thread.js";
import { lwpLock } from "../kern/lwplock.js";
import { lwpFind } from "../kern/lwpref.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { lwpInterrupt } from "../kern/synch.js";
import { wakeupLwp } from "../syscall/lwp.js";
import { flushKicks, lwpNeedUserret } from "../kern/resched.js";
import { registerError } from "./handles.js";

/** Thrown in a cancelled thread at a blocking operation. Let it pass: it ends the thread. */
export class Cancelled extends LwpError {
  constructor(syscall: string, about?: { lid?: number; pid?: number }) {
    super(ECANCELED, syscall, { ...about, detail: "the thread was cancelled" });
    this.name = "Cancelled";
  }
}
registerError("Cancelled", Cancelled);

const ARG = LwpRecord.offset.arg;
const CANCEL = ThreadRecord.offset.cancel;
const WORDS = ThreadRecord.words;

/** The cancellation flags of a thread, read without a lock; 0 for an LWP that is none. */
function flagsOf(l: Lwp): number {
  const { k, w } = l;
  const index = w[l.at + ARG];
  return index === 0 ? 0 : w[k.threads.base + (index - 1) * WORDS + CANCEL];
}

/** Whether the caller must act on a cancellation at its next point, or is to hear that a thread of a scope failed. */
export function isCancelled(l: Lwp): boolean {
  const flags = flagsOf(l);
  return (flags & (CANCEL_PENDING | CANCEL_SCOPE)) !== 0 && (flags & CANCEL_DISABLED) === 0;
}

/** The caller acts on it: what to throw. A cancellation acts once, and is off from here. */
export function actOnCancel(l: Lwp, syscall: string): Cancelled {
  if ((flagsOf(l) & CANCEL_PENDING) !== 0) setCancelState(l, false);
  else setScopeFailed(l, false);
  return new Cancelled(syscall, { pid: l.proc.pid, lid: l.lid });
}

/** Throws `Cancelled` if the caller is to be cancelled: a cancellation point that waits for nothing. */
export function testCancel(l: Lwp, syscall: string): void {
  if (isCancelled(l)) throw actOnCancel(l, syscall);
}

/** Enables or disables cancellation of the caller; whether it was enabled. */
export function setCancelState(l: Lwp, enabled: boolean): boolean {
  const { k } = l;
  if (l.arg === 0) return true;
  const t = k.threads.view(l.arg);
  spinEnter(k, t.lock);
  const old = t.cancel;
  t.cancel = enabled ? old & ~CANCEL_DISABLED : old | CANCEL_DISABLED;
  spinExit(k, t.lock);
  return (old & CANCEL_DISABLED) === 0;
}

/** Says whether the caller has yet to hear that a thread of a scope of it failed. */
export function setScopeFailed(l: Lwp, failed: boolean): void {
  const { k } = l;
  const t = k.threads.view(l.arg);
  spinEnter(k, t.lock);
  t.cancel = failed ? t.cancel | CANCEL_SCOPE : t.cancel & ~CANCEL_SCOPE;
  spinExit(k, t.lock);
}

/**
 * Asks a thread of the caller's process to end (or, with CANCEL_SCOPE, to hear of a thread that failed). `t` is locked, and
 * unlocked.
 */
export function cancelThread(l: Lwp, t: ThreadRec, why = CANCEL_PENDING): void {
  const { k } = l;
  t.cancel |= why;
  const { lid } = t;
  const enabled = (t.cancel & CANCEL_DISABLED) === 0;
  spinExit(k, t.lock);
  // Its LWP may be gone, or not asleep: then there is nothing to end (THR-14). One that computes comes to a poll.
  if (enabled && wakeupLwp(l, lid) === ENODEV) pollSoon(l, lid);
  flushKicks(k);
}

function pollSoon({ k, proc }: Lwp, lid: number): void {
  spinEnter(k, proc.lock);
  const t = lwpFind(proc, lid);
  if (t !== null) {
    lwpLock(t);
    lwpNeedUserret(t);
    // One that was stopped in its sleep would go back to it when it is continued (LWP-115).
    lwpInterrupt(t);
  }
  spinExit(k, proc.lock);
}
