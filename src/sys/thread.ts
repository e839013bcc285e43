/**
 * A thread of the library: what outlives its LWP until somebody has joined it.
 *
 * Lock: t = its own lock, ~ = stable once spawned.
 */
import { area, defineRecord, type Face, f64, i32, spinlock, View } from "./record.js";

export const threadFields = {
  lock: spinlock(),
  /** Pid of its process, lid of its LWP. */
  pid: i32("~"),
  lid: i32("~"),
  /** THREAD_RUNNING, THREAD_RETURNED, THREAD_FAILED */
  state: i32("t"),
  /** THREAD_DETACHED, THREAD_MAIN */
  flags: i32("t"),
  /** CANCEL_*; the thread itself reads it without the lock. */
  cancel: i32("t"),
  /** Lid of the thread that joins it; 0 = nobody yet. */
  joiner: i32("t"),
  /** Its arguments until it starts, then its result or the error it failed with: VALUE_*, and how long or where. */
  valueKind: i32("t"),
  valueAt: i32("t"),
  /** The value, where it is a number; with `room` the bytes of a short one. */
  number: f64("t"),
  room: area("t", 6),
  /** Realm in which it stays, with its values; 0 = it may run anywhere, and they travel. */
  realm: i32("~"),
} as const;

/** Bytes of a value that fit into the record. */
export const THREAD_ROOM = 32;

export const THREAD_RUNNING = 0;
export const THREAD_RETURNED = 1;
export const THREAD_FAILED = 2;

export const THREAD_DETACHED = 0x1;
/** The first thread of a process: its return ends the process. */
export const THREAD_MAIN = 0x2;
/** A handle on it may be in other realms: its result must travel. */
export const THREAD_ABROAD = 0x4;

/** It is to be cancelled; never taken back (THR-14). */
export const CANCEL_PENDING = 0x1;
/** It does not want to hear of that now. */
export const CANCEL_DISABLED = 0x2;

class ThreadView extends View {}

export interface ThreadRec extends ThreadView, Face<typeof threadFields> {}
declare module "./record.js" {
  interface RecordTypes {
    thread: ThreadRec;
  }
}
export const ThreadRecord = defineRecord<ThreadRec>("Thread", threadFields, ThreadView);
