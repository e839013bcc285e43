/**
 * Delay points: every window in which two CPUs can interleave badly has a name (R11).
 *
 * Free when off: one load. Under lockstep a CPU that reaches an armed point stands still there until the
 * controller lets it go on, so that a test hits the window exactly, in either order.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";

/** The windows, in the order of their bits. */
export const DELAY_POINTS = [
  /** `lwpLock` has read the pointer but not yet taken the lock. */
  "lwplock.read",
  /** `lwpLock` has the lock but has not re-read the pointer. */
  "lwplock.taken",
  /** A sleeper is on its queue and still holds the interlock. */
  "sleep.enqueued",
  /** A sleeper has released the interlock and not yet switched. */
  "sleep.released",
  /** `miSwitch` has unlocked the LWP; its context is not saved. */
  "switch.unlocked",
  /** A CPU is about to wait for another to save the context of its next LWP. */
  "switch.waitctx",
  /** A CPU has said that it sleeps and will look once more for work. */
  "idle.announced",
  /** A CPU has looked once more and will sleep now. */
  "idle.sleeping",
  /** An LWP has been queued for another CPU that was not yet notified. */
  "kick.pending",
  /** A dying LWP is LSZOMB, `p.lock` is released, and it still runs. */
  "exit.zombie",
  /** A dead LWP has left its CPU, which is about to jump to the next. */
  "exit.away",
  /** `lwpFree` has unlinked the LWP and not yet waited until it is off its CPU. */
  "free.unlinked",
  /** `mutexEnter` has found the mutex held and will set the waiters bit. */
  "mutex.held",
  /** The waiters bit is set and the LWP not yet on the turnstile. */
  "mutex.waiters",
  /** `mutexExit` has seen no waiters and will clear the owner. */
  "mutex.exit",
  /** `userret` has set LSSUSPENDED, holds no lock, and will switch. */
  "userret.suspended",
  /** `lwpUnpark` has not found the LWP on the hinted queue and will look it up. */
  "unpark.missed",
  /** `lwpPark` is about to lock its bucket. */
  "park.enter",
  /** An idle CPU has chosen a victim and will lock both queues. */
  "steal.chosen",
  /** The idle loop has seen a migration and will lock both queues. */
  "migrate.chosen",
  /** A callout is off the wheel and its handler about to run. */
  "callout.fired",
  /** An LWP has been created and is not yet on a run queue. */
  "create.idle",
  /** An LWP has been chosen to run and its old CPU's queue lock is released. */
  "setrunnable.chosen",
  /** An LWP is on the queue of an object of the library, whose lock it holds; its mutex, if any, is still held. */
  "syncobj.enqueued",
  /** `rwEnter` has found the lock held and will set the bits. */
  "rwlock.held",
  /** `rwExit` has seen no waiters and will change the word. */
  "rwlock.exit",
  /** A CPU is about to wait for what another one holds or has yet to do; each further look comes back here. */
  "cpu.relax",
  /** `sigswitch` has set LSSTOP, holds no lock, and will switch. */
  "sigswitch.stopped",
  /** An operation of the library has not found what it waits for, and will look once more before it sleeps. */
  "wait.tried",
  /** A CPU has woken and not yet said so. */
  "idle.woken",
  /** A high-priority cross-call is in flight, and its targets were not yet told. */
  "xcall.asked",
  /** A signal is pending, and no LWP was told yet. */
  "signal.queued",
] as const;

export type DelayPoint = (typeof DELAY_POINTS)[number];

const BIT = new Map(DELAY_POINTS.map((name, bit) => [name as string, bit]));

/** Bit number of a delay point. */
export function delayBit(name: DelayPoint): number {
  return BIT.get(name) as number;
}

export const AT_LWPLOCK_READ = 0;
export const AT_LWPLOCK_TAKEN = 1;
export const AT_SLEEP_ENQUEUED = 2;
export const AT_SLEEP_RELEASED = 3;
export const AT_SWITCH_UNLOCKED = 4;
export const AT_SWITCH_WAITCTX = 5;
export const AT_IDLE_ANNOUNCED = 6;
export const AT_IDLE_SLEEPING = 7;
export const AT_KICK_PENDING = 8;
export const AT_EXIT_ZOMBIE = 9;
export const AT_EXIT_AWAY = 10;
export const AT_FREE_UNLINKED = 11;
export const AT_MUTEX_HELD = 12;
export const AT_MUTEX_WAITERS = 13;
export const AT_MUTEX_EXIT = 14;
export const AT_USERRET_SUSPENDED = 15;
export const AT_UNPARK_MISSED = 16;
export const AT_PARK_ENTER = 17;
export const AT_STEAL_CHOSEN = 18;
export const AT_MIGRATE_CHOSEN = 19;
export const AT_CALLOUT_FIRED = 20;
export const AT_CREATE_IDLE = 21;
export const AT_SETRUNNABLE_CHOSEN = 22;
export const AT_SYNCOBJ_ENQUEUED = 23;
export const AT_RWLOCK_HELD = 24;
export const AT_RWLOCK_EXIT = 25;
export const AT_CPU_RELAX = 26;
export const AT_SIGSWITCH_STOPPED = 27;
export const AT_WAIT_TRIED = 28;
export const AT_IDLE_WOKEN = 29;
export const AT_XCALL_ASKED = 30;
export const AT_SIGNAL_QUEUED = 31;

/** Stands at a window, if this CPU is armed for it. */
export function delayPoint(k: Kernel, point: number): void {
  if (k.delays === true && k.g.lockstep !== 0) k.port.held(cur.cpu, point);
}
