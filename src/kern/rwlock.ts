/**
 * Readers/writer locks (BLK-50..55).
 *
 * One word: readers, or the LWP that has write-locked it; HAS_WAITERS; WRITE_WANTED, which keeps new readers out while a
 * writer waits. All changes of it are compare-and-exchange; those of the two bits have the turnstile's chain locked.
 *
 * Entering, in steps: (1) admitted: take it; (2) its writer runs on another CPU, and nobody waits: spin for a while; (3) lock
 * the chain, set the bits, look again; (4) sleep, as a reader or a writer; (5) a woken reader owns it, a woken writer if the
 * word says so; else from the start. Leaving it free with waiters, under the chain lock: it is given away.
 *
 * Locks of programs differ in two things: their waits can be ended from outside, and a free one goes to the first writer, or
 * else to all readers (THR-41), where the kernel's lets readers and writers alternate (BLK-53).
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LP_RUNNING, SOBJ_RW } from "../sys/param.js";
import {
  RW_HAS_WAITERS,
  RW_READ_INCR,
  RW_SHIFT,
  RW_THREAD,
  RW_WRITE_LOCKED,
  RW_WRITE_WANTED,
} from "../sys/shapes.js";
import type { Turnstile } from "../sys/turnstile.js";
import { AT_RWLOCK_EXIT, AT_RWLOCK_HELD, delayPoint } from "./delay.js";
import { kassert, panic } from "./panic.js";
import { BLOCK_BACK, BLOCK_SWITCHED, sleepqFirst } from "./sleepq.js";
import { atomicCas, atomicLoad } from "./spin.js";
import {
  TS_READER_Q,
  TS_WRITER_Q,
  turnstileBlock,
  turnstileBlockSig,
  turnstileExit,
  turnstileLookup,
  turnstileUnblock,
  turnstileWaiters,
  turnstileWakeup,
} from "./turnstile.js";

/** How to enter; also the queue to wait on. */
export const RW_READER = TS_READER_Q;
export const RW_WRITER = TS_WRITER_Q;

/** `rwEnterSig`: the lock is the caller's. Other than every BLOCK_*. */
export const RW_TAKEN = 3;
const RETRY = 2;

/** Rounds to spin for a writer that runs on another CPU: see kern/mutex.ts. */
const SPIN_ROUNDS = 400;

/** A word at `rw`, and one of padding. */
export function rwInit(k: Kernel, rw: number): void {
  k.w[rw] = 0;
}

/** It must be free, and wanted by nobody. */
export function rwDestroy(k: Kernel, rw: number): void {
  kassert(k, k.w[rw] === 0, "rwDestroy: in use");
}

/** Which bits of the word keep somebody out (BLK-51). */
function admission(op: number): number {
  return op === RW_READER ? RW_WRITE_LOCKED | RW_WRITE_WANTED : RW_WRITE_LOCKED | RW_THREAD;
}

function hold(l: Lwp, op: number): number {
  return op === RW_READER ? RW_READ_INCR : (l.index << RW_SHIFT) | RW_WRITE_LOCKED;
}

/** Takes the lock: `yield* rwEnter(k, rw, RW_READER)`. May sleep. */
export function* rwEnter(k: Kernel, rw: number, op: number): Generator<void, void, void> {
  const l = cur.lwp;
  for (let rounds = 0; ; rounds++) {
    if (admitted(k, rw, l, op)) return;
    if (rwWriteHeld(k, rw)) panic(k, `locking against myself: rwlock ${rw}, LWP ${l.proc.pid}.${l.lid}`);
    if (rounds < SPIN_ROUNDS && writerRunsElsewhere(k, rw)) continue;
    const kpribase = l.kpribase;
    const how = rwWait(k, rw, l, op, false, 0);
    if (how === RETRY) continue;
    if (how === BLOCK_SWITCHED) yield;
    turnstileUnblock(l, kpribase);
    if (op === RW_READER || rwWriteHeld(k, rw)) return;
  }
}

/**
 * A program's way in: interruptible, for at most `ticks` ticks, 0 = for ever. RW_TAKEN, or the first half of a sleep as
 * `sleepqBlock` gives it; after the second half ask `rwAwoken`. A lock that is the caller's for writing already must not be
 * entered.
 */
export function rwEnterSig(k: Kernel, rw: number, l: Lwp, op: number, ticks: number): number {
  for (let rounds = 0; ; rounds++) {
    if (admitted(k, rw, l, op)) return RW_TAKEN;
    if (rounds < k.g.nspins && writerRunsElsewhere(k, rw)) continue;
    const how = rwWait(k, rw, l, op, true, ticks);
    if (how !== RETRY) return how;
  }
}

/** After the sleep of `rwEnterSig`: whether the lock was handed over. If not, the wait is over, and the bits are put right. */
export function rwAwoken(k: Kernel, rw: number, l: Lwp): boolean {
  if (l.granted !== 0) return true;
  withdraw(k, rw);
  return false;
}

/** Step 1. Acquisition clears WRITE_WANTED: who else wants to write sets it anew. */
function admitted(k: Kernel, rw: number, l: Lwp, op: number): boolean {
  for (;;) {
    const word = atomicLoad(k, rw);
    if ((word & admission(op)) !== 0) return false;
    if (atomicCas(k, rw, word, (word + hold(l, op)) & ~RW_WRITE_WANTED)) return true;
  }
}

function writerRunsElsewhere(k: Kernel, rw: number): boolean {
  const word = atomicLoad(k, rw);
  if ((word & (RW_WRITE_LOCKED | RW_HAS_WAITERS)) !== RW_WRITE_LOCKED) return false;
  const owner = k.lwps.view(word >> RW_SHIFT);
  return (owner.pflag & LP_RUNNING) !== 0 && owner.cpu !== cur.cpu;
}

/** Steps 3 and 4: RETRY, or how the sleep went. */
function rwWait(k: Kernel, rw: number, l: Lwp, op: number, user: boolean, ticks: number): number {
  const ts = turnstileLookup(k, rw);
  const word = atomicLoad(k, rw);
  delayPoint(k, AT_RWLOCK_HELD);
  const wanted = op === RW_READER ? RW_HAS_WAITERS : RW_HAS_WAITERS | RW_WRITE_WANTED;
  if ((word & admission(op)) === 0 || !atomicCas(k, rw, word, word | wanted)) {
    turnstileExit(k, rw);
    return RETRY;
  }
  if (user) return turnstileBlockSig(l, ts, op, rw, SOBJ_RW, ticks);
  return turnstileBlock(l, ts, op, rw, SOBJ_RW) ? BLOCK_SWITCHED : BLOCK_BACK;
}

/** Somebody has left the queues: the bits say who still waits, and readers that only he kept out come in. */
function withdraw(k: Kernel, rw: number): void {
  const ts = turnstileLookup(k, rw);
  const readers = waiting(ts, TS_READER_Q);
  const writers = waiting(ts, TS_WRITER_Q);
  for (;;) {
    const word = atomicLoad(k, rw);
    if (ts !== null && writers === 0 && (word & RW_WRITE_LOCKED) === 0) {
      if (!atomicCas(k, rw, word, (word & RW_THREAD) + readers * RW_READ_INCR)) continue;
      return turnstileWakeup(k, ts, TS_READER_Q, readers);
    }
    const bits = (readers + writers > 0 ? RW_HAS_WAITERS : 0) | (writers > 0 ? RW_WRITE_WANTED : 0);
    if (atomicCas(k, rw, word, (word & ~(RW_HAS_WAITERS | RW_WRITE_WANTED)) | bits)) break;
  }
  turnstileExit(k, rw);
}

function waiting(ts: Turnstile | null, q: number): number {
  return ts === null ? 0 : turnstileWaiters(ts, q);
}

/** Releases a hold of the kernel's (BLK-53), or of a program's (THR-41). */
export function rwExit(k: Kernel, rw: number, user = false): void {
  for (;;) {
    const word = atomicLoad(k, rw);
    const writing = (word & RW_WRITE_LOCKED) !== 0;
    kassert(k, writing ? rwWriteHeld(k, rw) : word >> RW_SHIFT > 0, "rwExit: not held by the caller");
    const left = word - (writing ? hold(cur.lwp, RW_WRITER) : RW_READ_INCR);
    delayPoint(k, AT_RWLOCK_EXIT);
    if ((left & (RW_THREAD | RW_HAS_WAITERS)) !== RW_HAS_WAITERS) {
      if (atomicCas(k, rw, word, left)) return;
      continue;
    }
    if (giveAway(k, rw, writing, user)) return;
  }
}

/** The last hold goes and somebody waits. False: the word has changed, look again. */
function giveAway(k: Kernel, rw: number, writing: boolean, user: boolean): boolean {
  const ts = turnstileLookup(k, rw);
  const word = atomicLoad(k, rw);
  const readers = waiting(ts, TS_READER_Q);
  const writers = waiting(ts, TS_WRITER_Q);
  const last = writing ? (word & RW_WRITE_LOCKED) !== 0 : word >> RW_SHIFT === 1;
  const toWriter = writers > 0 && (user || readers === 0 || !writing);
  let next = 0;
  let first: Lwp | null = null;
  let count = readers;
  if (toWriter && (user || readers > 0)) {
    first = sleepqFirst(k, (ts as Turnstile).writers) as Lwp;
    next = hold(first, RW_WRITER);
    if (writers + readers > 1) next |= RW_HAS_WAITERS;
    if (writers > 1) next |= RW_WRITE_WANTED;
  } else if (toWriter) {
    // Only writers: let them fight it out, and no reader in.
    next = RW_WRITE_WANTED;
    count = writers;
  } else {
    next = readers * RW_READ_INCR;
    if (writers > 0) next |= RW_HAS_WAITERS | RW_WRITE_WANTED;
  }
  // A reader may come or go meanwhile, and a waiter that left has not yet put the bits right.
  const done = last && atomicCas(k, rw, word, next);
  if (!done || ts === null) turnstileExit(k, rw);
  else turnstileWakeup(k, ts, toWriter ? TS_WRITER_Q : TS_READER_Q, count, first);
  return done;
}

/** One attempt; never sleeps, and leaves WRITE_WANTED as it is (BLK-54). */
export function rwTryenter(k: Kernel, rw: number, op: number): boolean {
  for (;;) {
    const word = atomicLoad(k, rw);
    if ((word & admission(op)) !== 0) return false;
    if (atomicCas(k, rw, word, word + hold(cur.lwp, op))) return true;
  }
}

/** From the only reader to writer, keeping the bits; false if others read too. The caller holds it for reading. */
export function rwTryupgrade(k: Kernel, rw: number): boolean {
  for (;;) {
    const word = atomicLoad(k, rw);
    kassert(k, (word & RW_WRITE_LOCKED) === 0 && word >> RW_SHIFT > 0, "rwTryupgrade: not held for reading");
    if (word >> RW_SHIFT !== 1) return false;
    if (atomicCas(k, rw, word, (word & ~RW_THREAD) | hold(cur.lwp, RW_WRITER))) return true;
  }
}

/** From writer to reader; readers that wait come in too (BLK-54). */
export function rwDowngrade(k: Kernel, rw: number): void {
  kassert(k, rwWriteHeld(k, rw), "rwDowngrade: not held for writing by the caller");
  for (;;) {
    const word = atomicLoad(k, rw);
    if ((word & RW_HAS_WAITERS) === 0) {
      if (atomicCas(k, rw, word, RW_READ_INCR)) return;
      continue;
    }
    const ts = turnstileLookup(k, rw);
    const readers = waiting(ts, TS_READER_Q);
    const writers = waiting(ts, TS_WRITER_Q);
    const bits = writers > 0 ? RW_HAS_WAITERS | RW_WRITE_WANTED : 0;
    const done = atomicCas(k, rw, atomicLoad(k, rw), (readers + 1) * RW_READ_INCR + bits);
    if (done && ts !== null && readers > 0) turnstileWakeup(k, ts, TS_READER_Q, readers);
    else turnstileExit(k, rw);
    if (done) return;
  }
}

/** Whether somebody holds it for reading; whether anybody holds it; whether the caller does for writing (BLK-55). */
export function rwReadHeld(k: Kernel, rw: number): boolean {
  if (rw === 0) return false;
  const word = atomicLoad(k, rw);
  return (word & RW_WRITE_LOCKED) === 0 && word >> RW_SHIFT > 0;
}

export function rwLockHeld(k: Kernel, rw: number): boolean {
  return rw !== 0 && (atomicLoad(k, rw) & RW_THREAD) !== 0;
}

export function rwWriteHeld(k: Kernel, rw: number): boolean {
  return rw !== 0 && (atomicLoad(k, rw) & ~(RW_HAS_WAITERS | RW_WRITE_WANTED)) === hold(cur.lwp, RW_WRITER);
}

/** Who has write-locked it, or null: readers have no names (BLK-55). */
export function rwOwner(k: Kernel, rw: number): Lwp | null {
  const word = atomicLoad(k, rw);
  return (word & RW_WRITE_LOCKED) === 0 ? null : k.lwps.view(word >> RW_SHIFT);
}
