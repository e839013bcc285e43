/**
 * The CPUs that an LWP may run on (SYS-39..41): `l.affinity`, bit i for CPU i; 0 = any of its processor set.
 *
 * Differs from the original: a machine has at most 32 CPUs, so a set of them is a word, and each LWP has its own instead of a
 * reference on one that they share; CPUs that there are not are left out of it. And a context that stays in its realm cannot
 * follow (R4): for it the CPUs of other realms are as good as offline.
 */
import type { Cpu } from "../sys/cpu.js";
import { EPERM, ESRCH } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { CPU_ONLINE, LSZOMB, PK_SYSTEM, PS_NONE, SPCF_OFFLINE } from "../sys/param.js";
import { KAUTH_PROCESS_SCHEDULER_SETAFFINITY, KAUTH_SCOPE_PROCESS, kauthAuthorizeLwp } from "./kauth.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { lwpMigrate } from "./lwpmigrate.js";
import { lwpFind2 } from "./lwpref.js";
import { flushKicks } from "./resched.js";
import { schedFirst, schedNext, schedProc } from "./schedparam.js";
import { spinExit } from "./spin.js";

/** What `schedGetaffinity` fills in. */
export interface Affinity {
  cpus: number;
}

/**
 * Sets the CPUs of one LWP, or of all of a process, and moves each to the first of them that is online; without any CPU that
 * exists, takes the affinity away. `l` is the caller. 0, or EPERM, ESRCH. No lock is held. Source: sys__sched_setaffinity.
 */
export function doSchedSetaffinity(l: Lwp, pid: number, lid: number, cpus: number): number {
  const { k } = l;
  const wanted = existing(k, cpus);
  const refused = wanted !== 0 && !mayBeUsed(k, wanted);
  if (refused) return EPERM;
  const p = schedProc(l, pid);
  if (p === null) return ESRCH;
  let error = pid !== 0 && (p.flag & PK_SYSTEM) !== 0 ? EPERM : 0;
  if (error === 0) error = kauthAuthorizeLwp(l, KAUTH_SCOPE_PROCESS, KAUTH_PROCESS_SCHEDULER_SETAFFINITY, p);
  if (error === 0) {
    error = ESRCH;
    for (let t = schedFirst(p, lid); t !== null; t = schedNext(t, lid)) {
      // A zombie has no use for it.
      if (t.stat === LSZOMB) continue;
      error = setLwp(t, wanted);
      if (error !== 0) break;
    }
  }
  spinExit(k, p.lock);
  flushKicks(k);
  return error;
}

/** Those of the CPUs that there are. */
function existing(k: Kernel, cpus: number): number {
  return k.g.ncpu === 32 ? cpus : cpus & ((1 << k.g.ncpu) - 1);
}

/** Whether none of them belongs to a processor set, and one is online. */
function mayBeUsed(k: Kernel, cpus: number): boolean {
  let online = false;
  for (let i = 1; i <= k.g.ncpu; i++) {
    if ((cpus & (1 << (i - 1))) === 0) continue;
    const ci = k.cpus.view(i);
    if (ci.psid !== PS_NONE) return false;
    online ||= isOnline(ci);
  }
  return online;
}

function isOnline(ci: Cpu): boolean {
  return ci.state === CPU_ONLINE && (ci.flags & SPCF_OFFLINE) === 0;
}

/** `p.lock` is held. */
function setLwp(t: Lwp, cpus: number): number {
  lwpLock(t);
  const ci = cpus === 0 ? null : firstFor(t, cpus);
  if (cpus !== 0 && ci === null) {
    lwpUnlock(t);
    return EPERM;
  }
  t.affinity = cpus;
  if (ci === null) lwpUnlock(t);
  else lwpMigrate(t, ci);
  return 0;
}

function firstFor(t: Lwp, cpus: number): Cpu | null {
  const { k } = t;
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    if ((cpus & (1 << (i - 1))) !== 0 && isOnline(ci) && k.port.mayRun(t, ci)) return ci;
  }
  return null;
}

/** The CPUs of an LWP, 0 = any; `lid` 0 = the newest one. 0 or ESRCH. Anybody may ask. Source: sys__sched_getaffinity. */
export function doSchedGetaffinity(l: Lwp, pid: number, lid: number, out: Affinity): number {
  const { k } = l;
  const t = lwpFind2(k, pid, lid);
  if (t === null) return ESRCH;
  lwpLock(t);
  out.cpus = t.affinity;
  lwpUnlock(t);
  spinExit(k, t.proc.lock);
  return 0;
}
