/**
 * A turnstile: the sleep queues of one contended lock (BLK-30). Lock: the chain's.
 *
 * Each LWP brings one. A lock with waiters uses the first waiter's; those of the others hang on its free list.
 */
import { area, defineRecord, type Face, i32, ref, View } from "./record.js";
import { SLEEPQ_WORDS } from "./shapes.js";

export const turnstileFields = {
  /** Next on its chain, or on a free list. */
  next: i32("chain"),
  free: i32("chain"),
  /** Address of the lock it serves; 0 = none. */
  obj: i32("chain"),
  /** Readers, writers: a sleep queue and a count each. */
  readers: area("chain", SLEEPQ_WORDS),
  writers: area("chain", SLEEPQ_WORDS),
  nreaders: i32("chain"),
  nwriters: i32("chain"),
  /** Highest priority lent through it; who has it; link on that LWP's list of loans. */
  eprio: i32("chain"),
  inheritor: ref("chain", "lwp"),
  pichain: i32("l"),
} as const;

class TurnstileView extends View {}

export interface Turnstile extends TurnstileView, Face<typeof turnstileFields> {}
declare module "./record.js" {
  interface RecordTypes {
    turnstile: Turnstile;
  }
}
export const TurnstileRecord = defineRecord<Turnstile>("Turnstile", turnstileFields, TurnstileView);
