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
import { TSTAB_BUCKET_WORDS, TSTAB_SIZE } from "../sys/shapes.js";
import { type Turnstile, TurnstileRecord } from "../sys/turnstile.js";
import { kassert } from "./panic.js";
import {
  BLOCK_SWITCHED,
  sleepqBlock,
  sleepqEnqueue,
  sleepqEnter,
  sleepqFirst,
  sleepqRemove,
} from "./sleepq.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";

const NEXT = TurnstileRecord.offset.next;

const TSTILE = packText("tstile");

export const TS_READER_Q = 0;
export const TS_WRITER_Q = 1;

/** Chain of a lock: its spin lock, with the index of the first turnstile behind it. */
export function tschain(k: Kernel, obj: number): number {
  return k.tstab + ((obj >> 3) & (TSTAB_SIZE - 1)) * TSTAB_BUCKET_WORDS;
}

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
  l.kpriority = 1;
  if (l.kpribase < PRI_KTHREAD) l.kpribase = PRI_KTHREAD;
  sleepqEnqueue(l, queueOf(active, q), obj, TSTILE, sobj);
  return sleepqBlock(l, 0, false) === BLOCK_SWITCHED;
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
    active = turnstileRemove(k, chain, ts, l, q);
  }
  spinExit(k, chain);
}

/** Takes one LWP off; returns the turnstile if it stays active. */
function turnstileRemove(k: Kernel, chain: number, ts: Turnstile, l: Lwp, q: number): Turnstile | null {
  let left: Turnstile | null = ts;
  if (ts.free !== 0) {
    const spare = k.turnstiles.view(ts.free);
    ts.free = spare.free;
    spare.free = 0;
    spare.obj = 0;
    l.ts = spare;
  } else {
    unchain(k, chain, ts);
    ts.obj = 0;
    left = null;
  }
  if (q === TS_READER_Q) ts.nreaders--;
  else ts.nwriters--;
  sleepqRemove(l);
  return left;
}

function unchain(k: Kernel, chain: number, ts: Turnstile): void {
  let at = chain + 2;
  while (k.w[at] !== ts.index) at = k.turnstiles.view(k.w[at]).at + NEXT;
  k.w[at] = ts.next;
  ts.next = 0;
}
