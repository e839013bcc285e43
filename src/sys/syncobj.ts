/**
 * A synchronisation object of the thread library: mutex, condition variable, semaphore, rwlock, barrier, once, channel, spin
 * lock.
 *
 * One record serves all kinds; each uses the words it needs. A handle is (index, generation), and good in one process.
 *
 * Locks: o = one of 256, by the object's index, which covers the LWPs on its queues too. It stands outside of the record, so
 * that it outlives it: a program may use on one CPU what it frees on another. m = the words of the mutex or rwlock, which
 * change by compare-and-exchange, with waiters on turnstiles; ~ = stable.
 */
import { area, cold, defineRecord, type Face, i32, text, View } from "./record.js";
import { MTX_WORDS, OBJTAB_SIZE, RW_WORDS, SLEEPQ_WORDS } from "./shapes.js";

/** Bytes of an object's name, the final NUL included. */
export const SYNCOBJ_NAMELEN = 32;

export const syncobjFields = {
  /** SO_* */
  kind: i32("~"),
  /** The process it belongs to: the index of its record, and its id. 0 = a named semaphore, which is the machine's. */
  proc: i32("~"),
  pid: i32("~"),
  /** Mutex: its type. Others: SOF_* */
  flags: i32("o"),
  /** Mutex and once: an adaptive mutex. */
  mutex: area("m", MTX_WORDS),
  rwlock: area("m", RW_WORDS),
  /** Lid of who holds it (mutex, once, spin lock), or holds it for writing; 0 = nobody. Written by that thread alone. */
  owner: i32("m"),
  /** Recursive mutex: how often it is held beyond the first time. Barrier: rounds. Named semaphore: how often it is open. */
  count: i32("m"),
  /** Semaphore: its value, unsigned; a reference to a named one: who waits through it. Barrier: threads that wait. Channel: messages it has room for. Once: 1 = done. */
  value: i32("o"),
  /** Barrier: threads it takes. Channel: messages it holds without anybody waiting. */
  limit: i32("o"),
  /** Who waits; a channel's receivers. */
  queue: area("o", SLEEPQ_WORDS),
  /** A channel's senders. */
  senders: area("o", SLEEPQ_WORDS),
  /** Channel: first and last message, and the first whose sender waits for room; only such are behind it. */
  first: i32("o"),
  last: i32("o"),
  pending: i32("o"),
  /** A process's reference to a named semaphore: the index of that. A named semaphore: the next one; lock of their list. */
  target: i32("~"),
  /** As its maker called it; may be empty. */
  name: cold(text("~", SYNCOBJ_NAMELEN)),
} as const;

export const SO_MUTEX = 1;
export const SO_CONDITION = 2;
export const SO_SEMAPHORE = 3;
export const SO_RWLOCK = 4;
export const SO_BARRIER = 5;
export const SO_ONCE = 6;
export const SO_CHANNEL = 7;
/** A named semaphore, and a process's reference to one. */
export const SO_NAMED = 8;
export const SO_OPEN = 9;
export const SO_SPIN = 10;

/** What each kind is called. */
export const SYNCOBJ_KINDS = [
  "",
  "mutex",
  "condition",
  "semaphore",
  "rwlock",
  "barrier",
  "once",
  "channel",
  "named semaphore",
  "open semaphore",
  "spin lock",
];

/** Types of a mutex (THR-30). */
export const PTHREAD_MUTEX_NORMAL = 0;
export const PTHREAD_MUTEX_ERRORCHECK = 1;
export const PTHREAD_MUTEX_RECURSIVE = 2;

/** Channel: closed. Named semaphore: unlinked, goes with its last reference. */
export const SOF_CLOSED = 0x1;
export const SOF_UNLINKED = 0x2;

class SyncobjView extends View {
  /** Address of the lock that covers it. */
  get lock(): number {
    return this.k.objtab + ((this.index & (OBJTAB_SIZE - 1)) << 1);
  }
}

export interface Syncobj extends SyncobjView, Face<typeof syncobjFields> {}
declare module "./record.js" {
  interface RecordTypes {
    syncobj: Syncobj;
  }
}
export const SyncobjRecord = defineRecord<Syncobj>("Syncobj", syncobjFields, SyncobjView);
