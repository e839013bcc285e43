/**
 * Authorisation: who may do what (MCH-112, 113).
 *
 * A request is judged by all listeners of the realm: one that denies refuses it, otherwise one that allows it suffices; if all
 * defer it is refused, unless no security model is loaded at all. Nothing is remembered: the policy is asked at each call,
 * about the credentials that the caller has cached (LWP-80) and those that the target has now. What the kernel asks for on its
 * own behalf is always allowed.
 */
import { EPERM } from "../sys/errno.js";
import type { Cred } from "../sys/cred.js";
import type { AuthRequest, Kernel, SchedRequest } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { SCHED_FIFO, SCHED_RR } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";

export const KAUTH_RESULT_ALLOW = 0;
export const KAUTH_RESULT_DENY = 1;
export const KAUTH_RESULT_DEFER = 2;

/** Scopes and actions that the kernel asks about. */
export const KAUTH_SCOPE_PROCESS = "process";
export const KAUTH_SCOPE_SYSTEM = "system";
/** More LWPs than the limit allows (LWP-42). */
export const KAUTH_PROCESS_RLIMIT_BYPASS = "rlimit bypass";
/** Setting STOPFORK, STOPEXEC, STOPEXIT (MCH-114). */
export const KAUTH_PROCESS_STOPFLAG = "stopflag";
/** Class and priority of an LWP (SYS-37, 38), and the CPUs that it may use (SYS-39). */
export const KAUTH_PROCESS_SCHEDULER_GETPARAM = "scheduler getparam";
export const KAUTH_PROCESS_SCHEDULER_SETPARAM = "scheduler setparam";
export const KAUTH_PROCESS_SCHEDULER_SETAFFINITY = "scheduler setaffinity";
export const KAUTH_SYSTEM_SYSCTL = "sysctl";

/** The kernel's own credentials. */
export const CRED_KERNEL = -1;

/** Whether `uid` may: 0, or EPERM. `target` is the process concerned, if one is. Takes no lock. */
export function kauthAuthorize(
  k: Kernel,
  uid: number,
  scope: string,
  action: string,
  target: Proc | null = null,
  cred: Cred | null = null,
  sched: SchedRequest | null = null,
): number {
  if (uid === CRED_KERNEL) return 0;
  const request: AuthRequest = { uid, scope, action, target, cred, sched };
  const { auth } = k.slots;
  let result = auth.models.size === 0 ? KAUTH_RESULT_ALLOW : KAUTH_RESULT_DEFER;
  for (const listener of auth.listeners) {
    const verdict = listener(k, request);
    if (verdict === KAUTH_RESULT_DENY) return EPERM;
    if (verdict === KAUTH_RESULT_ALLOW) result = KAUTH_RESULT_ALLOW;
  }
  return result === KAUTH_RESULT_ALLOW ? 0 : EPERM;
}

/** The same for an LWP, by the effective user of the credentials it has cached. */
export function kauthAuthorizeLwp(
  l: Lwp,
  scope: string,
  action: string,
  target: Proc | null = null,
  sched: SchedRequest | null = null,
): number {
  return kauthAuthorize(l.k, l.cred === null ? l.uid : l.cred.euid, scope, action, target, l.cred, sched);
}

/** Whether a real or effective user of one is a real or effective user of the other. Source: kauth_cred_uidmatch(9). */
export function kauthCredUidmatch(a: Cred | null, b: Cred | null): boolean {
  if (a === null || b === null) return false;
  return a.uid === b.uid || a.uid === b.euid || a.euid === b.uid || a.euid === b.euid;
}

/** Loads the security models that a machine has unless told otherwise: the superuser, and the rules among users. */
export function kauthInit(k: Kernel): void {
  const { auth } = k.slots;
  auth.models.add("suser").add("bsd44").add("extensions");
  auth.listeners.push(
    (_k, r) => (r.uid === 0 ? KAUTH_RESULT_ALLOW : KAUTH_RESULT_DEFER),
    (_k, r) =>
      r.action === KAUTH_PROCESS_STOPFLAG && r.target !== null && r.target.uid === r.uid
        ? KAUTH_RESULT_ALLOW
        : KAUTH_RESULT_DEFER,
    (k, r) => (maySchedule(k, r) ? KAUTH_RESULT_ALLOW : KAUTH_RESULT_DEFER),
  );
}

/** What a user may do with the scheduling of his own processes: look, stay as he is, go down (SYS-37..39). */
function maySchedule(k: Kernel, r: AuthRequest): boolean {
  if (!kauthCredUidmatch(r.cred, r.target === null ? null : r.target.cred)) return false;
  switch (r.action) {
    case KAUTH_PROCESS_SCHEDULER_GETPARAM:
      return true;
    case KAUTH_PROCESS_SCHEDULER_SETPARAM: {
      if (r.sched === null) return false;
      const { l, policy, priority } = r.sched;
      const realTime = policy === SCHED_FIFO || policy === SCHED_RR;
      return (policy === l.class || !realTime) && priority <= l.priority;
    }
    case KAUTH_PROCESS_SCHEDULER_SETAFFINITY:
      return k.g.userSetCpuAffinity !== 0;
    default:
      return false;
  }
}
