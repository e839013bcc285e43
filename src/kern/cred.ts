/**
 * Credentials of processes, and the copies that their LWPs keep (LWP-80, PRC-51, PRC-54).
 *
 * The master copy is `p.cred`; each LWP has `l.cred`, which it reads without a lock. A process that changes its credentials
 * gets a new record. The LWP that makes the change adopts it at once; all others are marked LPR_CRMOD, and adopt it when they
 * next enter the kernel (`cacheCreds`). So an LWP inside a system call keeps the credentials it came with.
 *
 * References. A process holds one for itself and for all its LWPs whose copy is the master; `p.credrefs` counts those. An LWP
 * with an older copy holds one of its own. So LWPs come and go without touching the record, which processes share.
 *
 * The machine's count of LWPs by user (uid.ts) follows the process: under `p.lock` its LWPs but one are charged to its real
 * uid of that moment. As written a change of uid, a stale creator or a stale dead LWP would leave both counts wrong (LWP-121).
 */
import type { Cred } from "../sys/cred.js";
import { CredRecord } from "../sys/cred.js";
import { EAGAIN, EPERM } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LPR_CRMOD } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { kassert } from "./panic.js";
import { poolGet, poolPut } from "./pool.js";
import { atomicAdd, spinEnter, spinExit, spinOwned } from "./spin.js";
import { chglwpcnt, uidKnown } from "./uid.js";

const REFCNT = CredRecord.offset.refcnt;
const IDS = CredRecord.offset.uid;

// --- records (kauth_cred(9)) -----------------------------------------------------------------------

/** New credentials, all ids 0, with one reference; null when the table is full. Source: kauth_cred_alloc(9). */
export function kauthCredAlloc(k: Kernel): Cred | null {
  const cr = poolGet(k.creds);
  if (cr !== null) cr.refcnt = 1;
  return cr;
}

/** A copy with one reference; null when the table is full. Source: kauth_cred_dup(9). */
export function kauthCredDup(cr: Cred): Cred | null {
  const copy = kauthCredAlloc(cr.k);
  if (copy !== null) copy.w.copyWithin(copy.at + IDS, cr.at + IDS, cr.at + CredRecord.words);
  return copy;
}

/** Adds a reference; returns its argument. Source: kauth_cred_hold(9). */
export function kauthCredHold(cr: Cred): Cred {
  addref(cr, 1);
  return cr;
}

function addref(cr: Cred, n: number): void {
  kassert(cr.k, atomicAdd(cr.k, cr.at + REFCNT, n) > 0, "kauthCredHold: credentials that nobody holds");
}

/** Drops a reference; the last one frees the record. Source: kauth_cred_free(9). */
export function kauthCredFree(cr: Cred): void {
  const { k } = cr;
  const before = atomicAdd(k, cr.at + REFCNT, -1);
  kassert(k, before > 0, "kauthCredFree: credentials that nobody holds");
  if (before === 1) poolPut(k.creds, cr);
}

/** Whether these are a superuser's. Source: kauth_cred_geteuid(9), secmodel_suser(9). */
export function isSuperuser(cr: Cred): boolean {
  return cr.euid === 0;
}

// --- copies ----------------------------------------------------------------------------------------

/** Gives a new LWP its copy. `p.lock` is held. */
export function lwpInitCreds(l: Lwp, p: Proc): void {
  l.cred = p.cred;
  l.uid = p.uid;
  p.credrefs++;
}

/** Takes the copy of an LWP that exits; the uid stays, for who frees it. `p.lock` is held. */
export function lwpDropCreds(l: Lwp): void {
  const p = l.proc;
  const old = l.cred;
  l.cred = null;
  if (old === p.cred) p.credrefs--;
  else if (old !== null) kauthCredFree(old);
}

/** Lets an LWP adopt the credentials of its process; its older ones are released. Source: lwp_update_creds. */
export function lwpUpdateCreds(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  const old = l.cred;
  spinEnter(k, p.lock);
  l.prflag &= ~LPR_CRMOD;
  const stale = old !== p.cred;
  if (stale) lwpInitCreds(l, p);
  spinExit(k, p.lock);
  if (stale && old !== null) kauthCredFree(old);
}

/** What every system call begins with: one load, as long as nothing has changed. Source: LWP_CACHE_CREDS. */
export function cacheCreds(l: Lwp): void {
  if ((l.prflag & LPR_CRMOD) !== 0) lwpUpdateCreds(l);
}

// --- changes ---------------------------------------------------------------------------------------

/**
 * Replaces the credentials of the caller's process by `cr`, whose one reference it takes over, and moves the LWPs that are
 * charged to the real uid. `p.lock` is held, and released. Source: proc_crmod_leave.
 */
export function procCrmod(l: Lwp, cr: Cred): void {
  const { k } = l;
  const p = l.proc;
  kassert(k, spinOwned(k, p.lock) && p.index !== 1, "procCrmod: not locked, or the system's process");
  const old = p.cred;
  kassert(k, old !== null && cr !== old, "procCrmod: not a copy");
  // From here on those LWPs hold what the process held for them.
  addref(old, p.credrefs);
  p.credrefs = 0;
  p.cred = cr;
  if (cr.uid !== p.uid) {
    // PRC-51: zombies included; the first LWP of a process is free.
    chglwpcnt(k, p.uid, 1 - p.nlwps);
    chglwpcnt(k, cr.uid, p.nlwps - 1);
    p.uid = cr.uid;
  }
  for (let l2 = procFirstLwp(p); l2 !== null; l2 = siblingNext(l2))
    if (l2.cred !== null) l2.prflag |= LPR_CRMOD;
  spinExit(k, p.lock);
  lwpUpdateCreds(l);
  kauthCredFree(old);
}

/**
 * Sets the user ids of the caller's process; -1 leaves one as it is. Who is not a superuser may only choose among the three
 * that the process has. 0, EPERM, or EAGAIN when a table is full. Source: do_setresuid.
 */
export function doSetresuid(l: Lwp, uid: number, euid: number, svuid: number): number {
  const { k } = l;
  const p = l.proc;
  spinEnter(k, p.lock);
  const error = setresuid(l, uid, euid, svuid);
  // Changed, the process is unlocked.
  if (spinOwned(k, p.lock)) spinExit(k, p.lock);
  return error;
}

function setresuid(l: Lwp, uid: number, euid: number, svuid: number): number {
  const now = l.proc.cred as Cred;
  for (const id of [uid, euid, svuid]) {
    const mine = id === -1 || id === now.uid || id === now.euid || id === now.svuid;
    if (!mine && !isSuperuser(now)) return EPERM;
  }
  const next = { uid: pick(uid, now.uid), euid: pick(euid, now.euid), svuid: pick(svuid, now.svuid) };
  if (next.uid === now.uid && next.euid === now.euid && next.svuid === now.svuid) return 0;
  if (!uidKnown(l.k, next.uid)) return EAGAIN;
  const cr = kauthCredDup(now);
  if (cr === null) return EAGAIN;
  Object.assign(cr, next);
  procCrmod(l, cr);
  return 0;
}

function pick(id: number, now: number): number {
  return id === -1 ? now : id;
}
