/**
 * Turnstiles: the sleep queues of contended locks (BLK-30..33).
 *
 * 64 chains by lock address, each with a spin lock that covers the active turnstiles on it and the LWPs that sleep
 * there. Each LWP brings one turnstile; a lock with waiters uses exactly one, the others hang on its free list; whoever
 * leaves takes one from there, the last one the active one itself.
 *
 * Priority is not lent yet: `eprio`, `inheritor` and `pichain` are there for it, and stay empty.
 */
import { packText } from "../sys/record.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { PRI_KTHREAD, SOBJ_MUTEX } from "../sys/param.js";
import type { Turnstile } from "../sys/turnstile.js";
import { kassert } from "./panic.js";
import {
  BLOCK_SWITCHED,
  sleepqBlock,
  sleepqBlockUser,
  sleepqEnqueue,
  sleepqEnter,
  sleepqFirst,
  sleepqRemove,
} from "./sleepq.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";
import { tschain, turnstileDetach } from "./tstab.js";

const TSTILE = packText("tstile");

export const TS_READER_Q = 0;
export const TS_WRITER_Q = 1;

/** Locks the chain and returns the lock's active turnstile, if it has one (BLK-31). */
export function turnstileLookup(k: Kernel, obj: number): Turnstile | null {
  const chain = tschain(k, obj);
  spinEnter(k, chain);
  for (let i = k.w[chain + 2]; i !== 0; ) {
    const ts = k.turnstiles.view(i);
    if (ts.obj === obj) return ts;
    i = ts.next;
  }
  return null;
}

/** Gives the operation up: unlocks the chain. */
export function turnstileExit(k: Kernel, obj: number): void {
  spinExit(k, tschain(k, obj));
}

/**
 * Queues the current LWP on a lock, whose chain is locked, and switches (BLK-32). True: leave the context now. On
 * resumption call `turnstileUnblock`. Never interruptible, never timed.
 */
export function turnstileBlock(
  l: Lwp,
  ts: Turnstile | null,
  q: number,
  obj: number,
  sobj = SOBJ_MUTEX,
): boolean {
  l.kpriority = 1;
  if (l.kpribase < PRI_KTHREAD) l.kpribase = PRI_KTHREAD;
  turnstileEnqueue(l, ts, q, obj, sobj);
  return sleepqBlock(l, 0, false) === BLOCK_SWITCHED;
}

/**
 * The same for a lock of programs: at most `ticks` ticks, 0 = for ever, interruptible, and without the kernel's boost.
 * Returns what `sleepqBlock` does; `l.granted` says afterwards whether the wait was ended by `turnstileWakeup`.
 */
export function turnstileBlockSig(
  l: Lwp,
  ts: Turnstile | null,
  q: number,
  obj: number,
  sobj: number,
  ticks: number,
): number {
  turnstileEnqueue(l, ts, q, obj, sobj);
  return sleepqBlockUser(l, ticks);
}

function turnstileEnqueue(l: Lwp, ts: Turnstile | null, q: number, obj: number, sobj: number): void {
  const { k } = l;
  const chain = tschain(k, obj);
  kassert(k, spinOwned(k, chain), "turnstileBlock: the chain is not locked");
  const own = l.ts;
  kassert(k, own !== null, "turnstileBlock: the LWP has no turnstile");
  let active = ts;
  if (active === null) {
    active = own;
    active.obj = obj;
    active.inheritor = null;
    active.next = k.w[chain + 2];
    k.w[chain + 2] = active.index;
  } else {
    own.free = active.free;
    active.free = own.index;
    l.ts = active;
  }
  if (q === TS_READER_Q) active.nreaders++;
  else active.nwriters++;
  sleepqEnter(l, chain);
  l.granted = 0;
  sleepqEnqueue(l, queueOf(active, q), obj, TSTILE, sobj);
}

/** After the sleep: the base of the boost is what it was; the boost itself stays until user return. */
export function turnstileUnblock(l: Lwp, kpribase: number): void {
  l.kpribase = kpribase;
}

function queueOf(ts: Turnstile, q: number): number {
  return q === TS_READER_Q ? ts.readers : ts.writers;
}

/** LWPs that wait on a queue. */
export function turnstileWaiters(ts: Turnstile, q: number): number {
  return q === TS_READER_Q ? ts.nreaders : ts.nwriters;
}

/** Wakes `count` LWPs from the head of a queue, or only `nl`, and unlocks the chain (BLK-33). */
export function turnstileWakeup(
  k: Kernel,
  ts: Turnstile,
  q: number,
  count: number,
  nl: Lwp | null = null,
): void {
  const chain = tschain(k, ts.obj);
  kassert(k, spinOwned(k, chain), "turnstileWakeup: the chain is not locked");
  let active: Turnstile | null = ts;
  for (let n = nl === null ? count : 1; n > 0 && active !== null; n--) {
    const l = nl ?? sleepqFirst(k, queueOf(ts, q));
    kassert(k, l !== null && l.ts === ts, "turnstileWakeup: nobody to wake");
    active = turnstileRemove(l);
  }
  spinExit(k, chain);
}

/** Takes one LWP off, for good; returns the turnstile if it stays active. */
function turnstileRemove(l: Lwp): Turnstile | null {
  const left = turnstileDetach(l);
  l.granted = 1;
  sleepqRemove(l);
  return left;
}
