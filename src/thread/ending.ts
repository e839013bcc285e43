/**
 * The end of a thread (THR-11): what its code returned or threw, and who is told.
 *
 * In steps: (1) its code has ended, with all its `finally` blocks and the destructors of its own values; (2) the result is put
 * where the joiner can take it; (3) under the record's lock the state changes and who waits is woken; (4) its LWP exits.
 */
import type { Kernel } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import {
  CANCEL_PENDING,
  CANCEL_SCOPE,
  THREAD_CANCELLED,
  THREAD_DEAD,
  THREAD_DETACHED,
  THREAD_FAILED,
  THREAD_MAIN,
  THREAD_RETURNED,
  THREAD_WATCHED,
  THREAD_WATCHED_FAILURE,
  type ThreadRec,
  ThreadRecord,
} from "../sys/thread.js";
import { type Ending, EXIT_LWP, EXIT_PROC } from "../context/generator.js";
import { cvBroadcast } from "../kern/condvar.js";
import { dropHostSide, lwpExitAtOnce } from "../kern/lwpexit.js";
import { rawPut } from "../kern/pool.js";
import { flushKicks } from "../kern/resched.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { Cancelled, cancelThread } from "./cancel.js";
import { wakeWatchers } from "./combine.js";
import { spawnedAt, threadHost } from "./host.js";
import { putResult, takeValue, VALUE_NONE, VALUE_NUMBER } from "./passing.js";
import { freeRecord, isGood, lockOf } from "./record.js";
import { runDestructors } from "./threadlocal.js";

// The words of every end, by address: see kern/runq.ts.
const { state: STATE, flags: FLAGS, owner: OWNER, ownerGen: OWNER_GEN, cv: CV } = ThreadRecord.offset;
const ARG = LwpRecord.offset.arg;

/** Thrown by `Thread.exit`. Let it pass: it ends the thread. */
export class ThreadExit extends Error {
  readonly value: unknown;
  constructor(value: unknown) {
    super("the thread ends here: whoever catches this must throw it on");
    this.name = "ThreadExit";
    this.value = value;
  }
}

/** What the contexts do when a thread's code ends. */
export const threadEnding: Ending = {
  returned(l, value) {
    const kind = plainKind(value);
    if (kind >= 0 && l.k.slots.lwpExit === null) {
      const { context } = l;
      dropHostSide(l);
      const how = endAtOnce(l, kind, kind === VALUE_NUMBER ? (value as number) : 0);
      if (how >= 0) return how;
      l.context = context;
      if (how === WATCHED) {
        wakeWatchers(l.proc);
        return EXIT_LWP;
      }
    }
    const t = recordOf(l);
    if (t === null) return EXIT_LWP;
    if ((t.w[t.at + FLAGS] & THREAD_MAIN) === 0) {
      finish(l, t, THREAD_RETURNED, value);
      return EXIT_LWP;
    }
    l.retval = statusOf(value);
    finish(l, t, THREAD_RETURNED, undefined);
    return EXIT_PROC;
  },
  threw(l, error) {
    const t = recordOf(l);
    const how = howItEnded(t, error);
    if (how === THREAD_FAILED && (t === null || (t.flags & THREAD_DETACHED) !== 0)) {
      const site = t === null ? 0 : t.site;
      threadHost(l.k).fatal(l.proc.pid, l.lid, error, spawnedAt(l.k, l.proc.program, site));
      if (t !== null) finish(l, t, THREAD_FAILED, undefined);
      return false;
    }
    if (t === null) return true;
    const { site } = t;
    const detached = finish(l, t, how, error instanceof ThreadExit ? error.value : error);
    if (how !== THREAD_FAILED || !detached) return true;
    // Since it was asked above: nobody else hears of it.
    threadHost(l.k).fatal(l.proc.pid, l.lid, error, spawnedAt(l.k, l.proc.program, site));
    return false;
  },
  destructors(l, locals, returned) {
    // The return of main ends the process: no destructor runs then.
    const t = recordOf(l);
    const main = t !== null && (t.flags & THREAD_MAIN) !== 0;
    return main && returned ? null : runDestructors(l, locals);
  },
};

/** What an exception makes of its thread; null = an LWP without a record. */
function howItEnded(t: ThreadRec | null, error: unknown): number {
  if (error instanceof ThreadExit) return THREAD_RETURNED;
  const cancelled = error instanceof Cancelled && t !== null && (t.cancel & CANCEL_PENDING) !== 0;
  return cancelled ? THREAD_CANCELLED : THREAD_FAILED;
}

function recordOf(l: Lwp): ThreadRec | null {
  const index = l.w[l.at + ARG];
  return index === 0 ? null : l.k.threadAt(index);
}

function statusOf(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 255) return value;
  throw new TypeError(`main must return nothing or an exit status 0..255, not ${String(value)}`);
}

/** The record's side of its end. Whether it was detached, and so nobody will ask for `value`. */
function finish(l: Lwp, t: ThreadRec, state: number, value: unknown): boolean {
  const { k, w } = l;
  const { at } = t;
  // A record that holds nothing holds `undefined`.
  if (value !== undefined && (w[at + FLAGS] & THREAD_DETACHED) === 0 && state !== THREAD_CANCELLED) {
    putResult(k, t, value, state === THREAD_FAILED);
  }
  // Once it has ended, and is not detached, the record is its joiner's.
  const owner = w[at + OWNER];
  const ownerGen = w[at + OWNER_GEN];
  const flags = endRecord(l, t, state);
  const detached = (flags & THREAD_DETACHED) !== 0;
  if (detached) {
    freeRecord(k, t);
    return true;
  }
  if (state === THREAD_FAILED && owner !== 0) tellOwner(l, owner, ownerGen);
  const watched = state === THREAD_RETURNED ? THREAD_WATCHED : THREAD_WATCHED | THREAD_WATCHED_FAILURE;
  if ((flags & watched) !== 0) wakeWatchers(l.proc);
  flushKicks(k);
  return false;
}

/** The kind of a value that a compiled function can put into the record: nothing, or a whole number; -1 = it is no such value. */
function plainKind(value: unknown): number {
  if (value === undefined) return VALUE_NONE;
  return typeof value === "number" && Object.is(value, value | 0) ? VALUE_NUMBER : -1;
}

/** The thread has ended, its LWP not: somebody wants to know. */
const WATCHED = -1;
/** Nothing has changed: the LWP has no record, or is its process's first. */
const LONG_WAY = -2;

/**
 * The end of a thread that returned `value`, of a plain kind, and the exit of its LWP, on whose view nothing hangs any more.
 * What that returns (`lwpExitAtOnce`), or WATCHED, LONG_WAY.
 */
export function endAtOnce(l: Lwp, kind: number, value: number): number {
  const { k } = l;
  if (l.arg === 0) return LONG_WAY;
  const t = k.threads.view(l.arg);
  if ((t.flags & THREAD_MAIN) !== 0) return LONG_WAY;
  t.valueKind = kind;
  t.number = value;
  const flags = endRecord(l, t, THREAD_RETURNED);
  if ((flags & THREAD_DETACHED) !== 0) rawPut(k, k.threads.header, t.at, t.index);
  else if ((flags & THREAD_WATCHED) !== 0) return WATCHED;
  return lwpExitAtOnce(l);
}

/** The record says that its thread has ended, and who waits for that is woken. Its flags at that moment. */
export function endRecord(l: Lwp, t: ThreadRec, state: number): number {
  const { k, w, at } = t;
  // From here it has no record: none of its operations runs again.
  w[l.at + ARG] = 0;
  const lock = lockOf(t);
  spinEnter(k, lock);
  const flags = w[at + FLAGS];
  w[at + STATE] = (flags & THREAD_DETACHED) !== 0 ? THREAD_DEAD : state;
  cvBroadcast(k, at + CV);
  spinExit(k, lock);
  return flags;
}

/** A thread of a scope has failed: interrupts the thread that owns the scope (thread/scope.ts). */
function tellOwner(l: Lwp, owner: number, gen: number): void {
  const { k } = l;
  const t = k.threads.view(owner);
  spinEnter(k, t.lock);
  if (isGood(t, gen)) cancelThread(l, t, CANCEL_SCOPE);
  else spinExit(k, t.lock);
}

/** Exit status of a process that would have succeeded, but a thread of it failed and nobody ever joined it. */
const STATUS_UNJOINED = 1;

/**
 * A process has ended with `status` (as in `wait`): gives back the records of its threads that were killed or that nobody has
 * joined, and reports each of these that failed. Returns the status, a failing one if there were any. Called by the CPU that
 * collects the process; what other realms keep for the records goes with `dropLocals`.
 */
export function freeThreads(k: Kernel, pid: number, status: number, program: number): number {
  const { threads } = k;
  let failed = false;
  const last = threads.inUse === 0 ? 0 : threads.highWater;
  for (let i = 1; i <= last; i++) {
    const t = threads.view(i);
    // Nobody else touches a record of this pid: its process has no LWPs.
    if ((t.gen & 1) === 0 || t.pid !== pid) continue;
    if (t.state === THREAD_FAILED) {
      failed = true;
      threadHost(k).unjoined(pid, t.lid, takeValue(k, t), spawnedAt(k, program, t.site));
    }
    freeRecord(k, t);
  }
  return failed && status === 0 ? STATUS_UNJOINED << 8 : status;
}
