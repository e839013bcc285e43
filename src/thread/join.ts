/**
 * Waiting for the end of a thread (THR-12).
 *
 * Any number may wait; the first to come takes the result and the record with it, the others get ESRCH. A thread that failed
 * is delivered as `ThreadError`.
 */
import { EDEADLK, EINVAL } from "../sys/errno.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import { ProcRecord } from "../sys/proc.js";
import {
  THREAD_DEAD,
  THREAD_DETACHED,
  THREAD_FAILED,
  THREAD_RETURNED,
  THREAD_RUNNING,
  type ThreadRec,
  ThreadRecord,
} from "../sys/thread.js";
import { rawPut } from "../kern/pool.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { userretAtOnce } from "../kern/userret.js";
import { fail } from "../syscall/operation.js";
import { Cancelled, isCancelled } from "./cancel.js";
import { registerError } from "./handles.js";
import { spawnedAt } from "./host.js";
import { takeValue, VALUE_NONE, VALUE_NUMBER } from "./passing.js";
import { freeRecord, lockOf, lockThread } from "./record.js";

// The words of every join, by address: see kern/runq.ts.
const { state: STATE, flags: FLAGS, pid: PID, lid: LID, valueKind: VALUE_KIND } = ThreadRecord.offset;
const PROC_PID = ProcRecord.offset.pid;
const LWP_LID = LwpRecord.offset.lid;

/** A thread that failed, or was cancelled: `cause` is what it threw. */
export class ThreadError extends Error {
  /** ECANCELED if it was cancelled. */
  readonly code: "ETHREAD" | "ECANCELED";
  readonly lid: number;
  /** The thread's name; may be empty. */
  readonly thread: string;
  /** Where its program started it, `file:line:column`; "" = unknown, as it is of what no linker has seen. */
  readonly spawnedAt: string;
  constructor(lid: number, cause: unknown, thread = "", spawnedAt = "") {
    const cancelled = cause instanceof Cancelled;
    const who = thread === "" ? `thread ${lid}` : `thread ${lid} (${thread})`;
    const what = cause instanceof Error ? cause.message : String(cause);
    super(cancelled ? `${who} was cancelled` : `${who} failed: ${what}`, { cause });
    this.name = "ThreadError";
    this.code = cancelled ? "ECANCELED" : "ETHREAD";
    this.lid = lid;
    this.thread = thread;
    this.spawnedAt = spawnedAt;
  }
}

registerError("ThreadError", ThreadError);

/** Locks a thread that the caller may join. Throws ESRCH, EINVAL, EDEADLK. */
export function lockToJoin(l: Lwp, t: ThreadRec, gen: number, syscall: string): void {
  lockThread(l, t, gen, syscall);
  const { w, at } = t;
  const lid = w[at + LID];
  const self = lid === w[l.at + LWP_LID];
  if (!self && (w[at + FLAGS] & THREAD_DETACHED) === 0) return;
  spinExit(l.k, t.lock);
  if (self) fail(EDEADLK, syscall, lid, "a thread cannot join itself");
  fail(EINVAL, syscall, lid, "it is detached");
}

/** Takes the result of a thread that has ended, and frees its record, which is locked. Throws ThreadError if it failed. */
export function collect(k: Kernel, t: ThreadRec): unknown {
  const { w, at } = t;
  const state = w[at + STATE];
  w[at + STATE] = THREAD_DEAD;
  spinExit(k, t.lock);
  if (state === THREAD_RETURNED) return valueOf(k, t);
  const failed = state === THREAD_FAILED;
  const { name, lid, site } = t;
  const cause = failed ? takeValue(k, t) : new Cancelled("Thread", { lid, pid: t.pid });
  freeRecord(k, t);
  throw new ThreadError(lid, cause, name, spawnedAt(k, cur.lwp.proc.program, site));
}

/** What the thread of a dead record returned; the record goes. Nobody else touches it until then. */
export function valueOf(k: Kernel, t: ThreadRec): unknown {
  const value = t.w[t.at + VALUE_KIND] === VALUE_NONE ? undefined : takeResult(k, t);
  freeRecord(k, t);
  return value;
}

/** The thread runs and may be joined; it has returned, and its record is dead, and the caller's. */
export const RUNS = 1;
export const TAKEN = 2;
/** It has returned nothing, or a number, which stands in `cpu.taken`; its record is gone. */
export const TAKEN_NOTHING = 4;
export const TAKEN_NUMBER = 6;
/** Bit of these two: the caller has returned to user mode. */
export const IN_USER_MODE = 1;
/** Something stands in the way, and nothing has changed: the long way finds out what. */
export const LONG_WAY = 0;

/** The short way of a join. */
export function takeReturned(l: Lwp, t: ThreadRec, gen: number): number {
  const { k, w, at } = t;
  const lock = lockOf(t);
  spinEnter(k, lock);
  // The state before the generation: see `isGood`.
  const state = w[at + STATE];
  const ours =
    w[at] === gen &&
    w[at + PID] === w[l.proc.at + PROC_PID] &&
    w[at + LID] !== w[l.at + LWP_LID] &&
    (w[at + FLAGS] & THREAD_DETACHED) === 0;
  let found = LONG_WAY;
  let kind = 0;
  if (ours && state === THREAD_RUNNING) {
    found = RUNS;
  } else if (ours && state === THREAD_RETURNED && !isCancelled(l)) {
    w[at + STATE] = THREAD_DEAD;
    kind = w[at + VALUE_KIND];
    found = TAKEN;
  }
  spinExit(k, lock);
  if (found !== TAKEN || kind > VALUE_NUMBER) return found;
  if (kind === VALUE_NUMBER) cur.cpu.taken = t.number;
  rawPut(k, k.threads.header, at, t.index);
  const taken = kind === VALUE_NUMBER ? TAKEN_NUMBER : TAKEN_NOTHING;
  return userretAtOnce(l) ? taken + IN_USER_MODE : taken;
}

/** Takes the value, and frees the record if that fails. */
function takeResult(k: Kernel, t: ThreadRec): unknown {
  try {
    return takeValue(k, t);
  } catch (error) {
    freeRecord(k, t);
    throw error;
  }
}
