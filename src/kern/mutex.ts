/**
 * Kernel mutexes: adaptive ones, which may sleep, and spin ones behind the same face (BLK-40..47).
 *
 * Four words at an address: owner, type, and a spin lock's two. The owner word of an adaptive mutex is the owning LWP's
 * index shifted left, with bit 0 saying that there are waiters. All changes of it are compare-and-exchange, so no
 * release can wipe a waiters bit.
 *
 * Entering, in steps: (1) free: take it, keeping the bit; (2) its owner runs on another CPU: spin for a while; (3) lock
 * the turnstile chain, set the bit, look again; (4) sleep as a writer; (5) from the start. Releasing with waiters: under
 * the chain lock clear the owner and wake one of them, leaving the bit if there are more. Nothing is handed off:
 * others may barge in.
 *
 * Differs from the original: it wakes one waiter, not all (BLK-43), which is quadratic under contention; `g.mutexWakeAll`
 * restores the original's way.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LP_RUNNING, SOBJ_MUTEX } from "../sys/param.js";
import { MTX_ADAPTIVE, MTX_OWNER, MTX_SPIN, MTX_SPINLOCK, MTX_TYPE, MTX_WAITERS } from "../sys/shapes.js";
import { AT_MUTEX_EXIT, AT_MUTEX_HELD, AT_MUTEX_WAITERS, delayPoint } from "./delay.js";
import { kassert, panic } from "./panic.js";
import { BLOCK_BACK, BLOCK_SWITCHED } from "./sleepq.js";
import { atomicCas, atomicLoad, spinEnter, spinExit, spinOwned, spinTryenter } from "./spin.js";
import {
  TS_WRITER_Q,
  turnstileBlock,
  turnstileBlockSig,
  turnstileExit,
  turnstileLookup,
  turnstileUnblock,
  turnstileWaiters,
  turnstileWakeup,
} from "./turnstile.js";

/** Types of `mutexInit`. */
export const MUTEX_SPIN = 0;
export const MUTEX_ADAPTIVE = 1;
export const MUTEX_DEFAULT = 2;
export const MUTEX_DRIVER = 3;
export const MUTEX_NODEBUG = 4;
/** Interrupt levels, ascending. Here they only tell adaptive from spin. */
export const IPL_NONE = 0;
export const IPL_PREEMPT = 1;
export const IPL_SOFTCLOCK = 2;
export const IPL_SOFTBIO = 3;
export const IPL_SOFTNET = 4;
export const IPL_SOFTSERIAL = 5;
export const IPL_VM = 6;
export const IPL_SCHED = 7;
export const IPL_HIGH = 8;

/** Rounds to spin for an owner that runs on another CPU before sleeping all the same: the host may have taken its core. */
const SPIN_ROUNDS = 400;

/** Sets up a mutex; DEFAULT and DRIVER are adaptive at IPL_NONE and at the soft levels (BLK-40). */
export function mutexInit(k: Kernel, m: number, type: number, ipl: number): void {
  const soft = ipl >= IPL_SOFTCLOCK && ipl <= IPL_SOFTSERIAL;
  const sleeps = ipl === IPL_NONE || soft;
  const adaptive = type === MUTEX_ADAPTIVE || ((type === MUTEX_DEFAULT || type === MUTEX_DRIVER) && sleeps);
  kassert(k, type !== MUTEX_ADAPTIVE || ipl === IPL_NONE, "mutexInit: ADAPTIVE needs IPL_NONE");
  k.w.fill(0, m, m + 4);
  k.w[m + MTX_TYPE] = adaptive ? MTX_ADAPTIVE : MTX_SPIN;
}

/** It must be free and without waiters (BLK-45). */
export function mutexDestroy(k: Kernel, m: number): void {
  const w = k.w;
  kassert(k, isMutex(k, m) && w[m + MTX_OWNER] === 0 && w[m + MTX_SPINLOCK] === 0, "mutexDestroy: in use");
  w[m + MTX_TYPE] = 0;
}

function isMutex(k: Kernel, m: number): boolean {
  const type = k.w[m + MTX_TYPE];
  return type === MTX_ADAPTIVE || type === MTX_SPIN;
}

function swapOwner(k: Kernel, m: number, from: number, to: number): boolean {
  return atomicCas(k, m + MTX_OWNER, from, to);
}

/** A sleep that was not needed. It has no state, so one serves all. */
const ACQUIRED = {
  [Symbol.iterator]: () => ACQUIRED,
  next: () => ({ done: true, value: undefined }),
} as unknown as Generator<void, void, void>;

/** Takes the mutex: `yield* mutexEnter(k, m)`. May sleep if it is adaptive; a free one is taken at the call. */
export function mutexEnter(k: Kernel, m: number): Generator<void, void, void> {
  if (k.w[m + MTX_TYPE] === MTX_ADAPTIVE && tryAcquire(k, m, cur.lwp)) return ACQUIRED;
  return mutexEnterSlow(k, m);
}

function* mutexEnterSlow(k: Kernel, m: number): Generator<void, void, void> {
  if (k.w[m + MTX_TYPE] === MTX_SPIN) return spinEnter(k, m + MTX_SPINLOCK);
  if (k.w[m + MTX_TYPE] !== MTX_ADAPTIVE) panic(k, `mutexEnter: no mutex at ${m}`);
  const l = cur.lwp;
  for (let rounds = 0; ; rounds++) {
    if (tryAcquire(k, m, l)) return;
    if (ownerRunsElsewhere(k, m) && rounds < SPIN_ROUNDS) continue;
    const kpribase = l.kpribase;
    const how = mutexWait(k, m, l, false, 0);
    if (how === BLOCK_SWITCHED) yield;
    if (how !== RETRY) turnstileUnblock(l, kpribase);
  }
}

/** Steps 1: true if the caller owns it now; panics if it did before. */
function tryAcquire(k: Kernel, m: number, l: Lwp): boolean {
  const word = loadOwner(k, m);
  const owner = word >> 1;
  if (owner === l.index) panic(k, `locking against myself: mutex ${m}, LWP ${l.proc.pid}.${l.lid}`);
  return owner === 0 && swapOwner(k, m, word, (l.index << 1) | (word & MTX_WAITERS));
}

function loadOwner(k: Kernel, m: number): number {
  return atomicLoad(k, m + MTX_OWNER);
}

function ownerRunsElsewhere(k: Kernel, m: number): boolean {
  const owner = loadOwner(k, m) >> 1;
  if (owner === 0) return false;
  const l = k.lwps.view(owner);
  return (l.pflag & LP_RUNNING) !== 0 && l.cpu !== cur.cpu;
}

/** The mutex was not held any more; or, of `mutexEnterSig`, is the caller's now. Other than every BLOCK_*. */
const RETRY = 2;
export const MUTEX_TAKEN = 3;

/** Steps 3 and 4: RETRY, or how the sleep went, as `sleepqBlock` says. */
function mutexWait(k: Kernel, m: number, l: Lwp, user: boolean, ticks: number): number {
  const ts = turnstileLookup(k, m);
  const word = loadOwner(k, m);
  delayPoint(k, AT_MUTEX_HELD);
  const held = word >> 1 !== 0;
  if (!held || !swapOwner(k, m, word, word | MTX_WAITERS)) {
    turnstileExit(k, m);
    return RETRY;
  }
  delayPoint(k, AT_MUTEX_WAITERS);
  if (user) return turnstileBlockSig(l, ts, TS_WRITER_Q, m, SOBJ_MUTEX, ticks);
  return turnstileBlock(l, ts, TS_WRITER_Q, m) ? BLOCK_SWITCHED : BLOCK_BACK;
}

/**
 * A program's way in: interruptible, and for at most `ticks` ticks, 0 = for ever. MUTEX_TAKEN, or the first half of a sleep
 * as `sleepqBlock` gives it; after the second half try again, also when the sleep was ended from outside: that passes on a
 * wakeup that came at the same time, for either the mutex is free, or whoever has taken it will wake the next. Its owner
 * may call it too, and waits for itself.
 */
export function mutexEnterSig(k: Kernel, m: number, l: Lwp, ticks: number): number {
  for (let rounds = 0; ; rounds++) {
    if (mutexTryenter(k, m)) return MUTEX_TAKEN;
    if (ownerRunsElsewhere(k, m) && rounds < k.g.nspins) continue;
    const how = mutexWait(k, m, l, true, ticks);
    if (how !== RETRY) return how;
  }
}

/** Releases the mutex, and wakes a waiter if there is one. */
export function mutexExit(k: Kernel, m: number): void {
  if (k.w[m + MTX_TYPE] === MTX_SPIN) return spinExit(k, m + MTX_SPINLOCK);
  const mine = cur.lwp.index << 1;
  const word = loadOwner(k, m);
  if ((word & ~MTX_WAITERS) !== mine) panic(k, `mutexExit: mutex ${m} is not held by the caller`);
  delayPoint(k, AT_MUTEX_EXIT);
  if (word === mine && swapOwner(k, m, mine, 0)) return;
  const ts = turnstileLookup(k, m);
  const waiters = ts === null ? 0 : turnstileWaiters(ts, TS_WRITER_Q);
  const wake = k.g.mutexWakeAll !== 0 ? waiters : Math.min(waiters, 1);
  // With the chain locked nobody else sets the bit, and only the owner clears the rest.
  const left = waiters > wake ? MTX_WAITERS : 0;
  swapOwner(k, m, loadOwner(k, m), left);
  if (ts === null) turnstileExit(k, m);
  else turnstileWakeup(k, ts, TS_WRITER_Q, wake);
}

/** One attempt; false also if the caller holds it (BLK-44). */
export function mutexTryenter(k: Kernel, m: number): boolean {
  if (k.w[m + MTX_TYPE] === MTX_SPIN) return spinTryenter(k, m + MTX_SPINLOCK);
  const word = loadOwner(k, m);
  return word >> 1 === 0 && swapOwner(k, m, word, (cur.lwp.index << 1) | (word & MTX_WAITERS));
}

/** Adaptive: held by the caller. Spin: held by anyone. 0: false. */
export function mutexOwned(k: Kernel, m: number): boolean {
  if (m === 0) return false;
  if (k.w[m + MTX_TYPE] === MTX_SPIN) return k.w[m + MTX_SPINLOCK] !== 0;
  return loadOwner(k, m) >> 1 === cur.lwp.index;
}

/** Owner of an adaptive mutex, or null. */
export function mutexOwner(k: Kernel, m: number): Lwp | null {
  const owner = loadOwner(k, m) >> 1;
  return owner === 0 ? null : k.lwps.view(owner);
}

// --- interlocks: a mutex of either kind, or a bare spin lock of a record ------------------------

export function interlockExit(k: Kernel, a: number): void {
  if (isMutex(k, a)) mutexExit(k, a);
  else spinExit(k, a);
}

/** May sleep if the interlock is an adaptive mutex. */
export function* interlockEnter(k: Kernel, a: number): Generator<void, void, void> {
  if (isMutex(k, a)) yield* mutexEnter(k, a);
  else spinEnter(k, a);
}

export function interlockOwned(k: Kernel, a: number): boolean {
  return isMutex(k, a) ? mutexOwned(k, a) : spinOwned(k, a);
}
