/**
 * Waiting for an LWP to exit (LWP-61..70).
 */
import { cur } from "../sys/current.js";
import { EAGAIN, EDEADLK, ERESTART, ESRCH } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { LPR_DETACHED, LSZOMB, LWPWAIT_EXITCONTROL, LWPWAIT_ONCE, PS_WCORE, PS_WEXIT } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { cvBroadcast, cvWait, cvWaitSig } from "./condvar.js";
import { lidLookup } from "./lid.js";
import { lwpFree } from "./lwpfree.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { kassert, panic } from "./panic.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";
import { RET_EXIT, RET_SWITCH, lwpUserret } from "./userret.js";

/** What became of a wait: 0 and the lid, or an error. */
export interface Departed {
  lid: number;
}

/** What one look at the process found. */
const FOUND_NONE = -1;
const FOUND_SOME = -2;

/**
 * Waits until an LWP of the caller's process has exited, and frees it. `lid` 0 = any undetached one. `p.lock` is held
 * on entry and on return. Returns 0, ESRCH, EDEADLK, EINTR, ERESTART or, for LWPWAIT_ONCE, EAGAIN. May sleep.
 */
export function* lwpWait1(
  lid: number,
  departed: Departed | null,
  flags: number,
): Generator<void, number, void> {
  const l = cur.lwp;
  const p = l.proc;
  const { k } = l;
  const exiting = (flags & LWPWAIT_EXITCONTROL) !== 0;
  kassert(k, spinOwned(k, p.lock), "lwpWait1: the process is not locked");
  p.nlwpwait++;
  l.waitingfor = lid;
  let error: number;
  for (;;) {
    if ((p.sflag & PS_WCORE) !== 0) {
      yield* leaveForCoredump(l);
      // Neither count nor mark is undone; the caller's own return to user mode ends in its exit.
      return ERESTART;
    }
    reapDetached(p);
    const found = lid !== 0 && !exiting ? lookFor(l, lid) : scan(l, lid, exiting);
    if (found >= 0) {
      if (found === EDEADLK) {
        error = EDEADLK;
        break;
      }
      collect(l, k.lwps.view(found - EDEADLK), departed);
      return 0;
    }
    if (found === FOUND_NONE) {
      error = ESRCH;
      break;
    }
    if (exiting) {
      kassert(k, p.nlwps > 1, "lwpWait1: nobody left to wait for");
      yield* cvWait(k, p.lwpcv, p.lock);
      // Whoever is halted must be kicked anew. One on its way to LSZOMB hides another here, but broadcasts once more.
      const halted = p.nlwps - p.nzlwps - p.nrlwps;
      if ((flags & LWPWAIT_ONCE) === 0 || halted <= 0) continue;
      error = EAGAIN;
      break;
    }
    // LWP-67: everyone who could become a zombie is itself waiting.
    if ((p.sflag & PS_WEXIT) !== 0 || p.nrlwps + p.nzlwps - p.ndlwps <= p.nlwpwait) {
      error = EDEADLK;
      break;
    }
    error = yield* cvWaitSig(k, p.lwpcv, p.lock);
    if (error !== 0) break;
  }
  giveUp(l, lid);
  return error;
}

/**
 * LWP-62: the process dumps core; suspended until that is done, then the LWP is to exit. Coming back without having been
 * told to is an error of whoever dumps (LWP-119).
 */
function* leaveForCoredump(l: Lwp): Generator<void, void, void> {
  spinExit(l.k, l.proc.lock);
  let r = lwpUserret(l);
  for (; r === RET_SWITCH; r = lwpUserret(l)) yield;
  if (r !== RET_EXIT) panic(l.k, "lwpWait1: came back from the user-return loop");
  spinEnter(l.k, l.proc.lock);
}

/** Frees the detached zombie; nobody is told (LWP-63). */
function reapDetached(p: Proc): void {
  for (let z = p.zomblwp; z !== null; z = p.zomblwp) {
    p.zomblwp = null;
    lwpFree(z, false, false);
    spinEnter(p.k, p.lock);
  }
}

/** Looks at one LWP by the table: the others cannot matter to a specific wait (LWP-64). */
function lookFor(l: Lwp, lid: number): number {
  const l2 = lidLookup(l.proc, lid);
  return l2 === null ? FOUND_NONE : inspect(l, l2, lid, false);
}

/** Looks at all LWPs, newest first. EDEADLK, EDEADLK + index of a zombie to collect, or FOUND_*. */
function scan(l: Lwp, lid: number, exiting: boolean): number {
  // With nothing to collect, all that the exit coordinator asks is whether anybody is left: no scan for each that goes.
  if (exiting && l.proc.nzjoin === 0) return l.proc.nlwps > 1 ? FOUND_SOME : FOUND_NONE;
  let found = FOUND_NONE;
  for (let l2 = procFirstLwp(l.proc); l2 !== null; l2 = siblingNext(l2)) {
    const r = inspect(l, l2, lid, exiting);
    if (r >= 0) return r;
    if (r === FOUND_SOME) found = FOUND_SOME;
  }
  return found;
}

function inspect(l: Lwp, l2: Lwp, lid: number, exiting: boolean): number {
  // LWP-64: the deadlock test comes before the self-skip, and before detachment.
  if (l2.lid === lid && l2.waitingfor === l.lid) return EDEADLK;
  if (l2 === l) return FOUND_NONE;
  if ((l2.prflag & LPR_DETACHED) !== 0) return exiting ? FOUND_SOME : FOUND_NONE;
  if (lid !== 0) {
    if (l2.lid !== lid) return FOUND_NONE;
    if (l2.waiter === 0) l2.waiter = l.lid;
  } else if (l2.waiter !== 0) {
    return FOUND_SOME;
  }
  return l2.stat === LSZOMB ? EDEADLK + l2.index : FOUND_SOME;
}

/** Takes over what the dead LWP leaves, and frees it (LWP-64(8)). */
function collect(l: Lwp, l2: Lwp, departed: Departed | null): void {
  const p = l.proc;
  l.waitingfor = 0;
  l2.waiter = 0;
  p.nlwpwait--;
  if (departed !== null) departed.lid = l2.lid;
  // sched_lwp_collect of 4.4BSD: not clamped until the next schedclock (SCH-85).
  l.estcpu += l2.estcpu;
  lwpFree(l2, false, false);
  spinEnter(l.k, p.lock);
}

/** LWP-69. */
function giveUp(l: Lwp, lid: number): void {
  const p = l.proc;
  if (lid !== 0) {
    const l2 = lidLookup(p, lid);
    if (l2 !== null && l2.waiter === l.lid) l2.waiter = 0;
  }
  p.nlwpwait--;
  l.waitingfor = 0;
  cvBroadcast(l.k, p.lwpcv);
}
