/**
 * Death of an LWP (LWP-51..57).
 *
 * The dispatcher runs it on the LWP's context once the program's code has ended; it may sleep. In phases, so that the
 * common case needs no generator: `lwpExitBegin`, which says whether the rest may have to wait; `lwpExitFinish`.
 */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LP_PIDLID, LPR_DETACHED, LSIDL, LSZOMB, LW_PENDSIG } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { LWPCTL_CPU_EXITED, LWPCTL_CURCPU } from "../sys/shapes.js";
import { calloutDestroy } from "./callout.js";
import { cvBroadcast } from "./condvar.js";
import { lwpDropCreds } from "./cred.js";
import { AT_EXIT_ZOMBIE, delayPoint } from "./delay.js";
import { lwpDrainrefs, procFirstLwp, siblingNext } from "./lwpref.js";
import { lwpFree } from "./lwpfree.js";
import { lwpLock, lwpSetlock, lwpUnlock } from "./lwplock.js";
import { kassert } from "./panic.js";
import { procFreePid } from "./pid.js";
import { fire, PROBE_LWP_EXIT } from "./probe.js";
import { flushKicks } from "./resched.js";
import { procHasPending } from "./sigpending.js";
import { sigclear } from "./sigqueue.js";
import { lwpFinispecific } from "./specificdata.js";
import { spinEnter, spinExit } from "./spin.js";
import { setStat } from "./state.js";
import { lwpExitSwitchaway } from "./switch.js";

/** The last live LWP: the process exits, with `p.lock` held. */
export const EXIT_PROCESS = 0;
/** Somebody holds a reference: `lwpExitDrain` must wait, with `p.lock` held. */
export const EXIT_DRAIN = 1;
/** Nothing to wait for: `lwpExitFinish`, with `p.lock` held. */
export const EXIT_READY = 2;

/** It has specificdata, whose destructors may wait: `lwpExitSpecific`, with nothing held. */
export const EXIT_SPECIFIC = 3;
/** Nothing was to be waited for, and it has left. */
export const EXIT_DONE = 4;
/** Its process is being killed, and nothing has been done yet. */
export const EXIT_KILLED = 5;

/** First part: everything up to the wait for references. */
export function lwpExitBegin(l: Lwp): number {
  if (isLast(l)) return EXIT_PROCESS;
  l.k.slots.lwpExit?.(l);
  if (l.fd !== 0) l.fd = 0;
  return l.specdataref === 0 ? giveUp(l) : EXIT_SPECIFIC;
}

/**
 * All of it at once, where nothing has to be waited for: EXIT_DONE. Else EXIT_KILLED, or the first part, and what that returns.
 * `l` is the caller, has no hook (`slots.lwpExit`), and nothing hangs on its view any more.
 */
export function lwpExitAtOnce(l: Lwp): number {
  if (l.proc.killed !== 0) return EXIT_KILLED;
  if (isLast(l)) return EXIT_PROCESS;
  if (l.fd !== 0) l.fd = 0;
  if (l.specdataref !== 0) return EXIT_SPECIFIC;
  const how = giveUp(l);
  if (how !== EXIT_READY) return how;
  die(l);
  delayPoint(l.k, AT_EXIT_ZOMBIE);
  lwpExitSwitchaway(l);
  return EXIT_DONE;
}

/** Whether no other LWP of the process lives; then `p.lock` stays held. If one does, this one counts as dead from now on. */
export function isLast(l: Lwp): boolean {
  const { k } = l;
  const p = l.proc;
  kassert(
    k,
    l === cur.lwp || (l.stat === LSIDL && l.targetCpu === null),
    "lwpExit: neither the caller nor unborn, or about to migrate",
  );
  kassert(k, p === cur.lwp.proc, "lwpExit: an LWP of another process");
  fire(k, PROBE_LWP_EXIT, p.pid, l.lid);
  spinEnter(k, p.lock);
  if (p.nlwps - p.nzlwps === 1) {
    kassert(k, l === cur.lwp && p.index !== 1, "lwpExit: the last LWP is not the caller, or the system's");
    return true;
  }
  p.nzlwps++;
  spinExit(k, p.lock);
  return false;
}

/** Destroys the specificdata, and goes on with the first part. May sleep. */
export function* lwpExitSpecific(l: Lwp): Generator<void, number, void> {
  yield* lwpFinispecific(l);
  return giveUp(l);
}

/** The rest of the first part: nobody finds the LWP by its lists any more. */
export function giveUp(l: Lwp): number {
  const { k } = l;
  const p = l.proc;
  calloutDestroy(k, l.timeoutCh);
  unlistAll(k, l);
  spinEnter(k, p.lock);
  p.fdrefs--;
  lwpDropCreds(l);
  if (l.refcnt !== 1) return EXIT_DRAIN;
  // Drained at once. From here nobody can take a reference, so freeing the zombie needs no second wait (LWP-54).
  l.refcnt = 0;
  while ((l.prflag & LPR_DETACHED) !== 0 && p.zomblwp !== null) {
    freeZombie(p);
    spinEnter(k, p.lock);
  }
  return EXIT_READY;
}

/** Waits for references, and frees the previous detached zombie (LWP-54). `p.lock` is held throughout. May sleep. */
export function* lwpExitDrain(l: Lwp): Generator<void, void, void> {
  const { k } = l;
  const p = l.proc;
  yield* lwpDrainrefs(l);
  while ((l.prflag & LPR_DETACHED) !== 0 && p.zomblwp !== null) {
    freeZombie(p);
    spinEnter(k, p.lock);
    l.refcnt++;
    yield* lwpDrainrefs(l);
  }
}

/** Takes the detached zombie and frees it; `p.lock` is held and released. */
function freeZombie(p: Proc): void {
  const z = p.zomblwp as Lwp;
  p.zomblwp = null;
  lwpFree(z, false, false);
}

/** Last part: the LWP becomes a zombie and, if it is the caller, leaves its CPU for ever. `p.lock` is held. */
export function lwpExitFinish(l: Lwp): void {
  const { k } = l;
  dropHostSide(l);
  die(l);
  flushKicks(k);
  delayPoint(k, AT_EXIT_ZOMBIE);
  if (l === cur.lwp) lwpExitSwitchaway(l);
}

/** Becomes a zombie, of which others may take the record as soon as `p.lock` is released. */
export function die(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  if ((l.prflag & LPR_DETACHED) !== 0) p.zomblwp = l;
  else p.nzjoin++;
  if ((l.flag & LW_PENDSIG) !== 0 && procHasPending(l)) handSignalsOn(p);
  if ((l.w[l.sigpend] | l.w[l.sigpend + 1]) !== 0) sigclear(l, null);
  becomeZombie(l);
  p.nrlwps--;
  cvBroadcast(k, p.lwpcv);
  if (l.lwpctl !== 0) publishExit(l);
  spinExit(k, p.lock);
}

function publishExit(l: Lwp): void {
  l.k.uw[l.lwpctl + LWPCTL_CURCPU] = LWPCTL_CPU_EXITED;
}

/** What this realm has hung on it goes before anyone may free the record (R1). */
export function dropHostSide(l: Lwp): void {
  l.context = null;
  l.closure = null;
  l.stepped = false;
}

/** LSZOMB is covered by the CPU's lwplock; an unborn LWP is handed over from its run-queue lock. */
export function becomeZombie(l: Lwp): void {
  lwpLock(l);
  setStat(l, LSZOMB);
  if (l.named !== 0) nameDead(l);
  if (l.mutex === l.cpu.mutex) {
    const lock = l.mutex;
    lwpSetlock(l, l.cpu.lwplock);
    spinExit(l.k, lock);
  } else {
    lwpUnlock(l);
  }
}

function nameDead(l: Lwp): void {
  l.name = "(zombie)";
}

/** A signal to the process that this LWP would have taken: every other one looks for it (LWP-55). */
function handSignalsOn(p: Proc): void {
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    lwpLock(l);
    l.flag |= LW_PENDSIG;
    lwpUnlock(l);
  }
}

/** Off alllwp; an id that is its own goes back (LWP-36), also if it is this LWP that ends the process (PRC-34: a leak there). */
export function unlistAll(k: Kernel, l: Lwp): void {
  const g = k.g;
  spinEnter(k, g.procLock);
  if (l.listPrev === 0) g.alllwp = l.listNext;
  else k.lwps.view(l.listPrev).listNext = l.listNext;
  if (l.listNext !== 0) k.lwps.view(l.listNext).listPrev = l.listPrev;
  g.nlwps--;
  if ((l.pflag & LP_PIDLID) !== 0 && l.lid !== l.proc.pid) procFreePid(k, l.lid);
  spinExit(k, g.procLock);
}
