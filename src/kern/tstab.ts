/**
 * The table of turnstiles: the chain of a lock, and how an LWP gets a turnstile back when it leaves (BLK-30, 33).
 *
 * Below the sleep queues, so that a sleep on a lock can be ended from outside as any other.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { TSTAB_BUCKET_WORDS, TSTAB_SIZE } from "../sys/shapes.js";
import { type Turnstile, TurnstileRecord } from "../sys/turnstile.js";
import { kassert } from "./panic.js";
import { spinOwned } from "./spin.js";

const NEXT = TurnstileRecord.offset.next;

/** Chain of a lock: its spin lock, with the index of the first turnstile behind it. */
export function tschain(k: Kernel, obj: number): number {
  return k.tstab + ((obj >> 3) & (TSTAB_SIZE - 1)) * TSTAB_BUCKET_WORDS;
}

/**
 * An LWP is about to leave the turnstile it sleeps on: it gets a spare one, or as the last one the active one itself. The
 * chain is locked. Returns the turnstile if it stays active.
 */
export function turnstileDetach(l: Lwp): Turnstile | null {
  const { k } = l;
  const ts = l.ts as Turnstile;
  const chain = tschain(k, ts.obj);
  kassert(k, spinOwned(k, chain), "turnstileDetach: the chain is not locked");
  if (l.sleepq === ts.readers) ts.nreaders--;
  else ts.nwriters--;
  if (ts.free !== 0) {
    const spare = k.turnstiles.view(ts.free);
    ts.free = spare.free;
    spare.free = 0;
    spare.obj = 0;
    l.ts = spare;
    return ts;
  }
  unchain(k, chain, ts);
  ts.obj = 0;
  return null;
}

function unchain(k: Kernel, chain: number, ts: Turnstile): void {
  let at = chain + 2;
  while (k.w[at] !== ts.index) at = k.turnstiles.view(k.w[at]).at + NEXT;
  k.w[at] = ts.next;
  ts.next = 0;
}
