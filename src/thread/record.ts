/**
 * The record of a thread, and handles on it: index and generation.
 *
 * A handle is good until the thread has been joined, or has ended detached (THR-3). Whoever uses one takes the record's lock
 * first and looks then: a record is marked dead under that lock before it is given back, and its generation changes before
 * it serves again. Locks of two threads are never held together.
 */
import { cur } from "../sys/current.js";
import { ESRCH } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { CTX_CLOSURE, LWP_DETACHED } from "../sys/param.js";
import { ProcRecord } from "../sys/proc.js";
import { packText } from "../sys/record.js";
import { LOCK_WORDS } from "../sys/shapes.js";
import { THREAD_DEAD, THREAD_LOCKS, type ThreadRec, ThreadRecord } from "../sys/thread.js";
import { cvInitWords } from "../kern/condvar.js";
import { admit, bear } from "../kern/lwpcreate.js";
import { poolGet, rawPut } from "../kern/pool.js";
import { atomicLoad, spinEnter, spinExit } from "../kern/spin.js";
import { userretAtOnce } from "../kern/userret.js";
import { fail } from "../syscall/operation.js";
import { threadHost } from "./host.js";
import { dropValue, VALUE_LOCAL, VALUE_NONE } from "./passing.js";

// The words of every spawn and join, by address: see kern/runq.ts.
const { state: STATE, pid: PID, valueKind: VALUE_KIND, cv: CV } = ThreadRecord.offset;
const PROC_PID = ProcRecord.offset.pid;
const JOIN = packText("join");

/** A fresh record, or null when the table is full. */
export function newRecord(k: Kernel): ThreadRec | null {
  const t = poolGet(k.threads);
  if (t !== null) cvInitWords(k, t.at + CV, JOIN[0], JOIN[1]);
  return t;
}

/** Makes the LWP of a thread, left LSIDL, and says in the thread's record whose it is; null = the limit of LWPs is reached. */
export function bearThread(
  l: Lwp,
  t: ThreadRec,
  kind: number,
  entry: number,
  site: number,
  realm: number,
): Lwp | null {
  const p = l.proc;
  const l2 = bear(l, p, LWP_DETACHED, l.class, kind, entry, t.index, realm);
  if (l2 === null) return null;
  t.pid = p.pid;
  t.lid = l2.lid;
  t.site = site;
  if (kind === CTX_CLOSURE) t.realm = cur.cpu.realm;
  return l2;
}

/** Bit that says that the caller has returned to user mode. */
export const IN_USER_MODE = 1;
/** There is no record, or no LWP, for one more thread. */
export const NO_RECORD = 0;
export const NO_LWP = -2;

/**
 * Record and LWP of a closure's thread, which starts. The index of the LWP, whose context the caller provides before anything
 * else runs on this CPU, the only one that may run it, times two, and IN_USER_MODE; or NO_RECORD, NO_LWP.
 */
export function spawnClosure(l: Lwp, site: number, realm: number): number {
  const t = newRecord(l.k);
  if (t === null) return NO_RECORD;
  const l2 = bearThread(l, t, CTX_CLOSURE, 0, site, realm);
  if (l2 === null) {
    rawPut(l.k, l.k.threads.header, t.at, t.index);
    return NO_LWP;
  }
  admit(l, l2, 0);
  return userretAtOnce(l) ? l2.index * 2 + IN_USER_MODE : l2.index * 2;
}

/** The lock of a record: what the view has as `t.lock`. */
export function lockOf(t: ThreadRec): number {
  return t.k.threadLocks + (t.index & (THREAD_LOCKS - 1)) * LOCK_WORDS;
}

/** Whether a handle is good. The record is locked, or cannot be given back now. */
export function isGood(t: ThreadRec, gen: number): boolean {
  const { k, w, at } = t;
  // The state first: in a record that serves again it may look alive, but then the generation has changed before.
  const state = atomicLoad(k, at + STATE);
  return state !== THREAD_DEAD && w[at] === gen;
}

/** Locks the thread of a handle. Throws ESRCH if there is none any more, or it is another process's. */
export function lockThread(l: Lwp, t: ThreadRec, gen: number, syscall: string): void {
  const { k, w } = l;
  spinEnter(k, t.lock);
  if (isGood(t, gen) && w[t.at + PID] === w[l.proc.at + PROC_PID]) return;
  spinExit(k, t.lock);
  fail(ESRCH, syscall, undefined, "the thread was joined before, or has ended detached");
}

/** Gives a record back, with what still hangs on it. It is THREAD_DEAD, or was never seen by anybody else. */
export function freeRecord(k: Kernel, t: ThreadRec): void {
  const { at } = t;
  if (k.w[at + VALUE_KIND] !== VALUE_NONE) dropValue(k, t);
  rawPut(k, k.threads.header, at, t.index);
}

/** Forgets the values of this realm that no record stands for any more. */
export function dropLocals(k: Kernel): void {
  const { locals } = threadHost(k);
  for (const index of locals.keys()) {
    const t = k.threads.view(index);
    if ((t.gen & 1) === 0 || t.valueKind !== VALUE_LOCAL) locals.delete(index);
  }
  for (const p of k.procv) if (p && p.handlersGen !== p.gen) p.handlers = null;
}
