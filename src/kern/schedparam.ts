/**
 * Class and priority of LWPs, as programs set and ask for them (SYS-34..38).
 *
 * A program's priority is 0..63, of a real-time class alone; -1 leaves it as it is. The kernel counts those from 128 on
 * (SYS-36). A process is locked while its LWPs are changed, and each LWP for its own change: the first error ends the call, and
 * those that were changed before it stay so.
 */
import { EINVAL, EPERM, ESRCH } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import {
  NPRI_USER,
  PK_SYSTEM,
  PRI_NONE,
  PRI_USER_RT,
  SCHED_NONE,
  SCHED_OTHER,
  SCHED_RR,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import {
  KAUTH_PROCESS_SCHEDULER_GETPARAM,
  KAUTH_PROCESS_SCHEDULER_SETPARAM,
  KAUTH_SCOPE_PROCESS,
  kauthAuthorizeLwp,
} from "./kauth.js";
import { lidLookup } from "./lid.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { lwpFind2, procFirstLwp, siblingNext } from "./lwpref.js";
import { procFindLocked } from "./pid.js";
import { flushKicks } from "./resched.js";
import { spinEnter, spinExit } from "./spin.js";
import { lwpChangepri } from "./synch.js";

/** What `schedGetparam` fills in. */
export interface SchedParam {
  policy: number;
  priority: number;
}

/** The process that a call names, locked; `pid` 0 = the caller's own. Null: there is none alive, and nothing is locked. */
export function schedProc(l: Lwp, pid: number): Proc | null {
  if (pid !== 0) return procFindLocked(l.k, pid);
  spinEnter(l.k, l.proc.lock);
  return l.proc;
}

/** The first LWP that a call names, in whatever state; `lid` 0 = all, the newest first. `p.lock` is held. */
export function schedFirst(p: Proc, lid: number): Lwp | null {
  return lid === 0 ? procFirstLwp(p) : lidLookup(p, lid);
}

/** The next one. */
export function schedNext(t: Lwp, lid: number): Lwp | null {
  return lid === 0 ? siblingNext(t) : null;
}

/**
 * Sets class and priority of one LWP, or of all of a process; `l` is the caller. 0, or EINVAL, ESRCH, EPERM. No lock is held.
 * Source: do_sched_setparam.
 */
export function doSchedSetparam(l: Lwp, pid: number, lid: number, policy: number, priority: number): number {
  const { k } = l;
  if (policy === SCHED_NONE && priority === PRI_NONE) return 0;
  if (policy < SCHED_NONE || policy > SCHED_RR) return EINVAL;
  if (priority < PRI_NONE || priority >= NPRI_USER) return EINVAL;
  const p = schedProc(l, pid);
  if (p === null) return ESRCH;
  let error = ESRCH;
  if (pid !== 0 && (p.flag & PK_SYSTEM) !== 0) {
    error = EPERM;
  } else {
    for (let t = schedFirst(p, lid); t !== null; t = schedNext(t, lid)) {
      lwpLock(t);
      error = setLwp(l, t, policy === SCHED_NONE ? t.class : policy, priority);
      lwpUnlock(t);
      if (error !== 0) break;
    }
  }
  spinExit(k, p.lock);
  flushKicks(k);
  return error;
}

function setLwp(l: Lwp, t: Lwp, policy: number, priority: number): number {
  if (policy === SCHED_OTHER && priority !== PRI_NONE) return EINVAL;
  const kernelPriority = convertPri(t, policy, priority);
  const sched = { l: t, policy, priority: kernelPriority };
  const error = kauthAuthorizeLwp(l, KAUTH_SCOPE_PROCESS, KAUTH_PROCESS_SCHEDULER_SETPARAM, t.proc, sched);
  if (error !== 0) return error;
  t.class = policy;
  lwpChangepri(t, kernelPriority);
  return 0;
}

/** The kernel's priority of a locked LWP that is to have this class, and this priority unless that is -1 (SYS-36). */
export function convertPri(t: Lwp, policy: number, priority: number): number {
  if (priority !== PRI_NONE) return PRI_USER_RT + priority;
  if (policy === t.class || (policy !== SCHED_OTHER && t.class !== SCHED_OTHER)) return t.priority;
  return policy === SCHED_OTHER ? t.priority - PRI_USER_RT : PRI_USER_RT;
}

/**
 * Asks for class and priority of an LWP; `lid` 0 = the newest one. 0, or ESRCH, EPERM. No lock is held. Source:
 * do_sched_getparam.
 */
export function doSchedGetparam(l: Lwp, pid: number, lid: number, out: SchedParam): number {
  const { k } = l;
  const t = lwpFind2(k, pid, lid);
  if (t === null) return ESRCH;
  const p = t.proc;
  const error = kauthAuthorizeLwp(l, KAUTH_SCOPE_PROCESS, KAUTH_PROCESS_SCHEDULER_GETPARAM, p);
  if (error === 0) {
    lwpLock(t);
    out.policy = t.class;
    out.priority = t.class === SCHED_OTHER ? t.priority : t.priority - PRI_USER_RT;
    lwpUnlock(t);
  }
  spinExit(k, p.lock);
  return error;
}
