/**
 * Authorisation: who may do what (MCH-112, 113).
 *
 * A request is judged by all listeners of the realm: one that denies refuses it, otherwise one that allows it suffices; if all
 * defer it is refused, unless no security model is loaded at all. Nothing is remembered: the policy is asked at each call,
 * about the credentials that the caller has cached (LWP-80) and those that the target has now. What the kernel asks for on its
 * own behalf is always allowed.
 */
import { EPERM } from "../sys/errno.js";
import type { AuthRequest, Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
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
): number {
  if (uid === CRED_KERNEL) return 0;
  const request: AuthRequest = { uid, scope, action, target };
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
export function kauthAuthorizeLwp(l: Lwp, scope: string, action: string, target: Proc | null = null): number {
  return kauthAuthorize(l.k, l.cred === null ? l.uid : l.cred.euid, scope, action, target);
}

/** Loads the security models that a machine has unless told otherwise: the superuser, and the rules among users. */
export function kauthInit(k: Kernel): void {
  const { auth } = k.slots;
  auth.models.add("suser").add("bsd44");
  auth.listeners.push(
    (_k, r) => (r.uid === 0 ? KAUTH_RESULT_ALLOW : KAUTH_RESULT_DEFER),
    (_k, r) =>
      r.action === KAUTH_PROCESS_STOPFLAG && r.target !== null && r.target.uid === r.uid
        ? KAUTH_RESULT_ALLOW
        : KAUTH_RESULT_DEFER,
  );
}
