/**
 * The lock of an LWP, which changes under you.
 *
 * `l.mutex` is the address of the spin lock that covers the LWP in its present state (LWP-17); whoever holds that
 * lock may hand the LWP over to another one (lock lending). So: read the pointer, take the lock, read again
 * (LWP-20).
 */
import { cur } from "../sys/current.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { AT_LWPLOCK_READ, AT_LWPLOCK_TAKEN, delayPoint } from "./delay.js";
import { kassert } from "./panic.js";
import { spinEnter, spinExit, spinOwned, spinTryenter } from "./spin.js";

const MUTEX = LwpRecord.offset.mutex;

/** Locks the LWP. */
export function lwpLock(l: Lwp): void {
  const { k, w } = l;
  const at = l.at + MUTEX;
  for (;;) {
    const a = w[at];
    delayPoint(k, AT_LWPLOCK_READ);
    spinEnter(k, a);
    delayPoint(k, AT_LWPLOCK_TAKEN);
    if (w[at] === a) return;
    spinExit(k, a);
  }
}

/** Releases whatever lock covers the LWP now. */
export function lwpUnlock(l: Lwp): void {
  spinExit(l.k, l.w[l.at + MUTEX]);
}

/** Locks the LWP if that takes no waiting (LWP-82). */
export function lwpTrylock(l: Lwp): boolean {
  for (;;) {
    const a = l.mutex;
    if (!spinTryenter(l.k, a)) return false;
    if (l.mutex === a) return true;
    spinExit(l.k, a);
  }
}

/** Whether this CPU holds the LWP's lock, and, if given, that lock is `a` (LWP-81). */
export function lwpLocked(l: Lwp, a = 0): boolean {
  const { w } = l;
  const now = w[l.at + MUTEX];
  return w[now] === cur.cpu.index && (a === 0 || a === now);
}

/** Hands the locked LWP over to lock `a`; takes and releases nothing. */
export function lwpSetlock(l: Lwp, a: number): void {
  kassert(l.k, spinOwned(l.k, l.w[l.at + MUTEX]), "lwpSetlock: the LWP is not locked");
  l.w[l.at + MUTEX] = a;
}

/** Hands it over, and releases the lock that covered it. */
export function lwpUnlockTo(l: Lwp, a: number): void {
  const old = l.w[l.at + MUTEX];
  kassert(l.k, spinOwned(l.k, old), "lwpUnlockTo: the LWP is not locked");
  l.w[l.at + MUTEX] = a;
  spinExit(l.k, old);
}
