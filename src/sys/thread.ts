/**
 * A thread of the library: what outlives its LWP until somebody has joined it.
 *
 * Lock: t = its own lock, ~ = stable once spawned.
 */
import { defineRecord, type Face, f64, i32, spinlock, View } from "./record.js";

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
  /** Arguments: how they travel, and the arena block or host key they stand in. */
  argKind: i32("~"),
  argAt: i32("~"),
  /** Result, or the error it failed with. */
  resultKind: i32("t"),
  resultAt: i32("t"),
  resultNumber: f64("t"),
  /** Realm in which host-side values of it live. */
  realm: i32("~"),
} as const;

export const THREAD_RUNNING = 0;
export const THREAD_RETURNED = 1;
export const THREAD_FAILED = 2;

export const THREAD_DETACHED = 0x1;
/** The first thread of a process: its return ends the process. */
export const THREAD_MAIN = 0x2;

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
