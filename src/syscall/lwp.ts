/**
 * The `_lwp_*` system calls that make, end, await, suspend and name LWPs (SYS-1..22, 30, 31, 33).
 *
 * All are operations: use them with `yield*` inside a thread. None reaches outside the calling process (SYS-71).
 */
import {
  EAGAIN,
  EBUSY,
  EDEADLK,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENODEV,
  ERESTART,
  ESRCH,
} from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import {
  CTX_CLOSURE,
  LPR_DETACHED,
  LSIDL,
  LSSLEEP,
  LSSUSPENDED,
  LSZOMB,
  LW_CANCELLED,
  LW_SINTR,
  LW_UNPARKED,
  LW_WCORE,
  LW_WEXIT,
  LW_WSUSPEND,
  LWP_DETACHED,
  LWP_SUSPENDED,
  MAXCOMLEN,
} from "../sys/param.js";
import { EXIT_LWP, EXIT_PROC, type Body, type Token } from "../context/generator.js";
import { cvBroadcast, cvWaitSig } from "../kern/condvar.js";
import { lidLookup } from "../kern/lid.js";
import { lwpCreate as kernLwpCreate, lwpStart, type Start } from "../kern/lwpcreate.js";
import { lwpFree } from "../kern/lwpfree.js";
import { lwpLock, lwpUnlock } from "../kern/lwplock.js";
import { lwpSetprivate as kernSetprivate } from "../kern/lwpmisc.js";
import { lwpFind } from "../kern/lwpref.js";
import { lwpContinue as kernLwpContinue, lwpSuspend as kernLwpSuspend } from "../kern/lwpsuspend.js";
import { type Departed, lwpWait1 } from "../kern/lwpwait.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { yieldCpu } from "../kern/switch.js";
import { lwpUnsleep } from "../kern/synch.js";
import { lidArg, wordArg } from "./args.js";
import {
  caller,
  fail,
  guardOperation,
  leave,
  type Operation,
  operate,
  quick,
  returnStep,
} from "./operation.js";

export { LWP_DETACHED, LWP_SUSPENDED };

/** What a thread's function gives: a generator that yields operations. */
export type ThreadFunction = () => Body;

/**
 * Makes an LWP that runs `start`, a generator function, on the caller's realm; returns its lid. Flags: LWP_DETACHED (nobody
 * waits for it), LWP_SUSPENDED (`lwpContinue` starts it); others are ignored.
 *
 * Errors: EFAULT `start` is not a function; EAGAIN the limit of LWPs is reached. Does not sleep. Source: _lwp_create(2).
 */
export function lwpCreate(start: ThreadFunction, flags = 0): Operation<number> {
  return quick("lwpCreate", (l) => {
    if (typeof start !== "function")
      fail(EFAULT, "lwpCreate", undefined, "the start must be a generator function");
    return createLwp(l, flags, { kind: CTX_CLOSURE, closure: start, realm: l.k.mp ? l.cpu.realm : 0 });
  });
}

/** The same from any start; for the library and for tests. */
export function createLwp(l: Lwp, flags: number, start: Start): number {
  const l2 = kernLwpCreate(l, l.proc, flags & LWP_DETACHED, start, l.class);
  if (l2 === null) fail(EAGAIN, "lwpCreate", undefined, "the limit of LWPs is reached");
  const lid = l2.lid;
  lwpStart(l, l2, flags);
  return lid;
}

/** Ends the calling LWP; the last live one ends its process with status 0. Never returns. Source: _lwp_exit(2). */
export function* lwpExit(): Generator<Token, never, undefined> {
  caller("lwpExit");
  yield EXIT_LWP;
  throw new Error("lwpExit: resumed after exit");
}

/** Ends the calling process with `status`, 0..255. Never returns. Source: exit(3). */
export function* procExit(status: number): Generator<Token, never, undefined> {
  caller("procExit").retval = status & 0xff;
  yield EXIT_PROC;
  throw new Error("procExit: resumed after exit");
}

/** The caller's lid. Cannot fail. Source: _lwp_self(2). */
export function lwpSelf(): Operation<number> {
  return quick("lwpSelf", (l) => l.lid);
}

/** The caller's private pointer: a word that means something to the program alone. Cannot fail. Source: _lwp_getprivate(2). */
export function lwpGetprivate(): Operation<number> {
  return quick("lwpGetprivate", (l) => l.private);
}

/** Sets the caller's private pointer: a number, cut to 32 bits. Error: EFAULT not a number. Source: _lwp_setprivate(2). */
export function lwpSetprivate(value: number): Operation<void> {
  return quick("lwpSetprivate", (l) => {
    kernSetprivate(l, wordArg(value, "lwpSetprivate", "the private pointer"));
  });
}

/**
 * Waits until an undetached LWP of the process has exited, and frees it: `lid`, or any (0). Returns its lid. May sleep.
 *
 * Errors: ESRCH no such LWP, or it is, or became, detached, or another waiter collected it; EDEADLK it waits for the caller,
 * or everyone who could exit waits; EINTR `lwpWakeup`. Source: _lwp_wait(2).
 */
export function lwpWait(lid: number): Operation<number> {
  return operate("lwpWait", function* (l) {
    const id = lidArg(lid, "lwpWait");
    const { k } = l;
    const lock = l.proc.lock;
    const departed: Departed = { lid: 0 };
    spinEnter(k, lock);
    const error = yield* lwpWait1(id, departed, 0);
    spinExit(k, lock);
    if (error !== 0) fail(error, "lwpWait", id);
    return departed.lid;
  });
}

/**
 * Suspends an LWP at its next return to user mode, and waits until it is. May sleep.
 *
 * Suspending a suspended LWP, or oneself, waits for the next change of the process all the same (SYS-16, as the code does).
 * Errors: ESRCH; EDEADLK the caller is the only LWP not halted and names itself, or is to exit. Source: _lwp_suspend(2).
 */
export function lwpSuspend(lid: number): Operation<void> {
  return operate("lwpSuspend", function* (l) {
    const id = lidArg(lid, "lwpSuspend");
    const { k } = l;
    const p = l.proc;
    spinEnter(k, p.lock);
    let t = lwpFind(p, id);
    let error = t === null ? ESRCH : 0;
    if (error === 0 && ((t === l && p.nrlwps === 1) || (l.flag & (LW_WCORE | LW_WEXIT)) !== 0))
      error = EDEADLK;
    if (error === 0) {
      lwpLock(t as Lwp);
      error = kernLwpSuspend(l, t as Lwp);
    }
    // It always sleeps first and tests afterwards (SYS-15).
    while (error === 0) {
      const interrupted = yield* cvWaitSig(k, p.lwpcv, p.lock);
      if (interrupted !== 0) error = ERESTART;
      else {
        t = lwpFind(p, id);
        if (t === null) error = ESRCH;
        else if (((l.flag | t.flag) & (LW_WCORE | LW_WEXIT)) !== 0) error = ERESTART;
        else if (t.stat === LSSUSPENDED || (t.flag & LW_WSUSPEND) === 0) break;
      }
    }
    spinExit(k, p.lock);
    if (error !== 0) fail(error, "lwpSuspend", id);
  });
}

/** Lets a suspended LWP go on, or cancels a suspension that is on its way. Error: ESRCH. Source: _lwp_continue(2). */
export function lwpContinue(lid: number): Operation<void> {
  return quick("lwpContinue", (l) => {
    const t = findLocked(l, lidArg(lid, "lwpContinue"), "lwpContinue");
    lwpLock(t);
    kernLwpContinue(t);
    spinExit(l.k, l.proc.lock);
  });
}

/** Finds an LWP and leaves the process locked. */
function findLocked(l: Lwp, lid: number, syscall: string): Lwp {
  spinEnter(l.k, l.proc.lock);
  const t = lwpFind(l.proc, lid);
  if (t !== null) return t;
  spinExit(l.k, l.proc.lock);
  return fail(ESRCH, syscall, lid);
}

/**
 * Ends the interruptible sleep of an LWP with EINTR; if it is in none, its next one, or its next park with EALREADY.
 *
 * Errors: ESRCH; ENODEV it does not sleep; EBUSY its sleep cannot be interrupted. Source: _lwp_wakeup(2).
 */
export function lwpWakeup(lid: number): Operation<void> {
  return quick("lwpWakeup", (l) => {
    const id = lidArg(lid, "lwpWakeup");
    const error = wakeupLwp(l, id);
    if (error !== 0) fail(error, "lwpWakeup", id);
  });
}

/** The same as a function, for the library: 0, ESRCH, ENODEV, EBUSY. */
export function wakeupLwp(l: Lwp, lid: number): number {
  const { lock } = l.proc;
  spinEnter(l.k, lock);
  const t = lwpFind(l.proc, lid);
  let error = 0;
  if (t === null) {
    error = ESRCH;
  } else {
    lwpLock(t);
    t.flag |= LW_CANCELLED | LW_UNPARKED;
    if (t.stat !== LSSLEEP) error = ENODEV;
    else if ((t.flag & LW_SINTR) === 0) error = EBUSY;
    if (error === 0) lwpUnsleep(t, true);
    else lwpUnlock(t);
  }
  spinExit(l.k, lock);
  return error;
}

/**
 * Detaches an LWP: nobody can wait for it any more, a zombie is freed at once.
 *
 * Errors: ESRCH, also for one that has not started; EINVAL it is detached already. Source: _lwp_detach(2).
 */
export function lwpDetach(lid: number): Operation<void> {
  return quick("lwpDetach", (l) => {
    const id = lidArg(lid, "lwpDetach");
    const { k } = l;
    const p = l.proc;
    spinEnter(k, p.lock);
    const t = lidLookup(p, id);
    let error = 0;
    if (t === null || t.stat === LSIDL) error = ESRCH;
    else if ((t.prflag & LPR_DETACHED) !== 0) error = EINVAL;
    if (t === null || error !== 0) {
      spinExit(k, p.lock);
      fail(error, "lwpDetach", id);
    }
    p.ndlwps++;
    t.prflag |= LPR_DETACHED;
    if (t.stat === LSZOMB) {
      p.nzjoin--;
      lwpFree(t, false, false);
      return;
    }
    cvBroadcast(k, p.lwpcv);
    spinExit(k, p.lock);
  });
}

/** Names an LWP, 0 = oneself: the first 15 characters. Errors: EFAULT not a string; ESRCH. Source: _lwp_setname(2). */
export function lwpSetname(lid: number, name: string): Operation<void> {
  return quick("lwpSetname", (l) => {
    if (typeof name !== "string") fail(EFAULT, "lwpSetname", lid, "the name must be a string");
    const id = lidArg(lid, "lwpSetname");
    const t = findLocked(l, id === 0 ? l.lid : id, "lwpSetname");
    t.named = 1;
    t.name = name.slice(0, MAXCOMLEN - 1);
    spinExit(l.k, l.proc.lock);
  });
}

/**
 * The name of an LWP, 0 = oneself; "" if it has none. `len` is the room of the caller's buffer with its NUL.
 *
 * Errors: ESRCH; ENAMETOOLONG `len` cannot hold it. Source: _lwp_getname(2).
 */
export function lwpGetname(lid: number, len = MAXCOMLEN): Operation<string> {
  return quick("lwpGetname", (l) => {
    const id = lidArg(lid, "lwpGetname");
    const t = findLocked(l, id === 0 ? l.lid : id, "lwpGetname");
    const name = t.named === 0 ? "" : t.name;
    spinExit(l.k, l.proc.lock);
    if (typeof len !== "number") fail(EFAULT, "lwpGetname", id, "the length must be a number");
    if (!(name.length < len)) fail(ENAMETOOLONG, "lwpGetname", id);
    return name;
  });
}

/** `sched_yield`: an iterator of its own, since it is the call that must cost least. */
class YieldOperation implements Operation<void>, Iterator<Token, void, undefined> {
  private yielded = false;

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Token, void> {
    const l = caller("schedYield");
    if (!this.yielded) {
      this.yielded = true;
      if (yieldCpu(l)) return leave();
    }
    return returnStep(l) ?? DONE;
  }
}

guardOperation(YieldOperation.prototype, "schedYield");

const DONE: IteratorResult<Token, void> = { done: true, value: undefined };

/** Gives the CPU to an LWP of the same or a higher priority. Cannot fail. Source: sched_yield(2). */
export function schedYield(): Operation<void> {
  return new YieldOperation();
}
