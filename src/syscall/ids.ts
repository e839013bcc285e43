/** User ids of the calling process (PRC-51, PRC-54). All its threads have them; each adopts a change at its next system call. */
import { EINVAL } from "../sys/errno.js";
import type { Cred } from "../sys/cred.js";
import { doSetresuid } from "../kern/cred.js";
import { fail, type Operation, quick } from "./operation.js";

/** The real user id of the caller. Cannot fail. Source: getuid(2). */
export function getuid(): Operation<number> {
  return quick("getuid", (l) => (l.cred as Cred).uid);
}

/** The effective user id of the caller. Cannot fail. Source: geteuid(2). */
export function geteuid(): Operation<number> {
  return quick("geteuid", (l) => (l.cred as Cred).euid);
}

/**
 * Sets real, effective and saved user id of the process: any for a superuser, the present real one for others.
 *
 * Errors: EINVAL no user id; EPERM; EAGAIN no room for another user, or for credentials. Source: setuid(2).
 */
export function setuid(uid: number): Operation<void> {
  return quick("setuid", (l) => change("setuid", uid, () => doSetresuid(l, uid, uid, uid)));
}

/**
 * Sets the effective user id of the process: any for a superuser, the real or saved one for others.
 *
 * Errors: EINVAL no user id; EPERM; EAGAIN no room for credentials. Source: seteuid(2).
 */
export function seteuid(euid: number): Operation<void> {
  return quick("seteuid", (l) => change("seteuid", euid, () => doSetresuid(l, -1, euid, -1)));
}

function change(syscall: string, uid: number, set: () => number): void {
  if (!Number.isInteger(uid) || uid < 0 || uid > 0x7ffffffe)
    fail(EINVAL, syscall, undefined, "a user id is an integer from 0 to 2147483646");
  const error = set();
  if (error !== 0) fail(error, syscall);
}
