/**
 * Suspend and continue of one LWP (LWP-71..73).
 */
import { EDEADLK, EINTR } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LSIDL,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LSZOMB,
  LW_SINTR,
  LW_WCORE,
  LW_WEXIT,
  LW_WREBOOT,
  LW_WSUSPEND,
} from "../sys/param.js";
import { lwpLocked, lwpUnlock } from "./lwplock.js";
import { kassert, panic } from "./panic.js";
import { lwpNeedUserret } from "./resched.js";
import { spinOwned } from "./spin.js";
import { setrunnable } from "./synch.js";

/**
 * Asks `t` to suspend itself at its next user return. `p.lock` is held, and `t` locked; unlocks it. Returns 0, EDEADLK
 * when the caller itself is to exit or to dump core, EINTR for an LWP unborn or dead. Never waits.
 */
export function lwpSuspend(curl: Lwp, t: Lwp): number {
  const { k } = t;
  kassert(k, spinOwned(k, t.proc.lock) && lwpLocked(t), "lwpSuspend: process or LWP not locked");
  kassert(k, t !== curl || t.stat === LSONPROC, "lwpSuspend: the caller is not on a CPU");
  if ((curl.flag & (LW_WEXIT | LW_WCORE)) !== 0) {
    lwpUnlock(t);
    return EDEADLK;
  }
  switch (t.stat) {
    case LSRUN:
    case LSONPROC:
      t.flag |= LW_WSUSPEND;
      lwpNeedUserret(t);
      lwpUnlock(t);
      return 0;
    case LSSLEEP:
      t.flag |= LW_WSUSPEND;
      // It sees a spurious wakeup with result 0, and goes back to sleep if it must.
      if ((t.flag & LW_SINTR) !== 0) setrunnable(t);
      else lwpUnlock(t);
      return 0;
    case LSSUSPENDED:
      lwpUnlock(t);
      return 0;
    case LSSTOP:
      t.flag |= LW_WSUSPEND;
      setrunnable(t);
      return 0;
    case LSIDL:
    case LSZOMB:
      lwpUnlock(t);
      return EINTR;
    default:
      panic(k, `lwpSuspend: state ${t.stat}`);
  }
}

/** Ends or cancels a suspension. `p.lock` is held, and `l` locked; unlocks it. */
export function lwpContinue(l: Lwp): void {
  const { k } = l;
  kassert(k, spinOwned(k, l.proc.lock) && lwpLocked(l), "lwpContinue: process or LWP not locked");
  if ((l.flag & LW_WREBOOT) !== 0) return lwpUnlock(l);
  l.flag &= ~LW_WSUSPEND;
  if (l.stat === LSSUSPENDED) setrunnable(l);
  else lwpUnlock(l);
}
