/**
 * Moving an LWP to another CPU on request (LWP-75).
 */
import type { Cpu } from "../sys/cpu.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LP_RUNNING,
  LSIDL,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  RESCHED_KPREEMPT,
} from "../sys/param.js";
import { lwpLocked, lwpUnlock, lwpUnlockTo } from "./lwplock.js";
import { kassert } from "./panic.js";
import { cpuNeedResched } from "./resched.js";
import { spinEnter, spinExit } from "./spin.js";

/** Moves a locked LWP to `tci`, now or when it next leaves its CPU runnable; unlocks it. */
export function lwpMigrate(l: Lwp, tci: Cpu): void {
  const { k } = l;
  kassert(k, lwpLocked(l), "lwpMigrate: the LWP is not locked");
  if (l.targetCpu !== null) {
    l.targetCpu = tci;
    return lwpUnlock(l);
  }
  if (l.cpu === tci) return lwpUnlock(l);
  switch ((l.pflag & LP_RUNNING) !== 0 ? LSONPROC : l.stat) {
    case LSRUN:
      l.targetCpu = tci;
      break;
    case LSIDL:
      l.cpu = tci;
      return lwpUnlockTo(l, tci.mutex);
    case LSSLEEP:
      l.cpu = tci;
      break;
    case LSSTOP:
    case LSSUSPENDED:
      l.cpu = tci;
      if (l.wchan === 0) return lwpUnlockTo(l, tci.lwplock);
      break;
    case LSONPROC: {
      l.targetCpu = tci;
      const ci = l.cpu;
      spinEnter(k, ci.mutex);
      cpuNeedResched(ci, RESCHED_KPREEMPT);
      spinExit(k, ci.mutex);
      break;
    }
    default:
      break;
  }
  lwpUnlock(l);
}
