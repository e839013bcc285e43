/**
 * A thread of the library: what outlives its LWP until somebody has joined it.
 *
 * Lock: t = its lock, one of 64 in a table, by index: so a handle that is too old can be checked under it, whatever has
 * become of the record (THR-2); ~ = stable once spawned.
 */
import { area, cold, defineRecord, type Face, f64, i32, text, View } from "./record.js";
import { CV_WORDS, LOCK_WORDS } from "./shapes.js";
import type { Kernel } from "./kernel.js";

/** Locks over the thread records. */
export const THREAD_LOCKS = 64;
/** Bytes of a thread's name, the final NUL included. */
export const THREAD_NAMELEN = 32;

export const threadFields = {
  /** Pid of its process, lid of its LWP. */
  pid: i32("~"),
  lid: i32("~"),
  /** THREAD_RUNNING .. THREAD_DEAD */
  state: i32("t"),
  /** THREAD_DETACHED, THREAD_MAIN, ... */
  flags: i32("t"),
  /** CANCEL_*; the thread itself reads it without the lock. */
  cancel: i32("t"),
  /** "join": who waits for its end. Broadcast when it ends or is detached. */
  cv: area("t", CV_WORDS),
  /** Index and generation of the record of the thread whose scope it belongs to; 0 = none. */
  owner: i32("~"),
  ownerGen: i32("~"),
  /** Its arguments until it starts, then its result or the error it failed with: VALUE_*, and how long or where. */
  valueKind: i32("t"),
  valueAt: i32("t"),
  /** The value, where it is a number; with `room` the bytes of a short one. */
  number: f64("t"),
  room: area("t", 6),
  /** Realm in which it stays, with its values; 0 = it may run anywhere, and they travel. */
  realm: i32("~"),
  /** Number of the place in its program where it was started; 0 = unknown. */
  site: i32("~"),
  /** As the program calls it; may be empty. */
  name: cold(text("t", THREAD_NAMELEN)),
} as const;

/** Bytes of a value that fit into the record. */
export const THREAD_ROOM = 32;

export const THREAD_RUNNING = 0;
export const THREAD_RETURNED = 1;
export const THREAD_FAILED = 2;
/** It ended because it was cancelled. */
export const THREAD_CANCELLED = 3;
/** Joined, or detached and ended: no handle on it is good any more. */
export const THREAD_DEAD = 4;

export const THREAD_DETACHED = 0x1;
/** The first thread of a process: its return ends the process. */
export const THREAD_MAIN = 0x2;
/** A handle on it may be in other realms: its result must travel. */
export const THREAD_ABROAD = 0x4;
/** Somebody wants to know when it ends, or only if it fails: the process's channel is woken then (thread/combine.ts). */
export const THREAD_WATCHED = 0x8;
export const THREAD_WATCHED_FAILURE = 0x10;

/** It is to be cancelled; never taken back (THR-14). */
export const CANCEL_PENDING = 0x1;
/** It does not want to hear of that now. */
export const CANCEL_DISABLED = 0x2;
/** A thread of a scope of it has failed; taken back when it has been told. */
export const CANCEL_SCOPE = 0x4;

class ThreadView extends View {
  /** Host side: this realm's handle on the thread; of an earlier life if its generation says so. */
  handle: unknown = null;
  /** Host side, in the realm where it runs: the innermost scope that it is in; of an earlier life if its generation says so. */
  scope: unknown = null;

  /** Address of its lock. */
  readonly lock: number;
  constructor(k: Kernel, at: number, index: number) {
    super(k, at, index);
    this.lock = k.threadLocks + (index & (THREAD_LOCKS - 1)) * LOCK_WORDS;
  }
}

export interface ThreadRec extends ThreadView, Face<typeof threadFields> {}
declare module "./record.js" {
  interface RecordTypes {
    thread: ThreadRec;
  }
}
export const ThreadRecord = defineRecord<ThreadRec>("Thread", threadFields, ThreadView);
