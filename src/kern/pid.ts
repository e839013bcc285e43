/**
 * The table of process ids (PRC-1, LWP-36).
 *
 * A process has an id from here, and so has an LWP that was made with LWP_PIDLID, whose lid it is: looking up either finds
 * the process. The low bits of an id are its slot. A slot that serves again gives an id that is greater by the size of the
 * table, and the one that has been free longest serves first: so an id comes back as late as it can.
 *
 * A slot is two words, covered by `proc_lock`:
 *
 *   in use   the id           index of the process
 *   free     the id to give   minus the next free slot, 0 at the end of the list
 *
 * Slot 0 is process 0's for ever. `g.npids` counts ids in use or reserved; it never exceeds the limit of processes (maxproc),
 * which the table exceeds, so whoever has reserved an id gets one.
 */
import type { Kernel } from "../sys/kernel.js";
import { SACTIVE, SSTOP } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { kassert } from "./panic.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";

const PID = 0;
const OWNER = 1;
const PID_MAX = 0x7fffffff;

/** Sets up the table of a machine that boots: process 0 has id 0, all others are free, the lowest first. */
export function pidtabInit(k: Kernel, p0: Proc): void {
  const { w, g, pidtab, pidtabMask } = k;
  w[pidtab + OWNER] = p0.index;
  for (let slot = 1; slot <= pidtabMask; slot++) {
    w[pidtab + slot * 2 + PID] = slot;
    w[pidtab + slot * 2 + OWNER] = slot === pidtabMask ? 0 : -(slot + 1);
  }
  g.pidFirst = 1;
  g.pidLast = pidtabMask;
  g.npids = 1;
}

/** Reserves an id: false if as many are in use as there may be processes (EAGAIN). `proc_lock` is not held. */
export function procReservePid(k: Kernel): boolean {
  const { g } = k;
  spinEnter(k, g.procLock);
  const free = g.npids < k.limits.procs;
  if (free) g.npids++;
  spinExit(k, g.procLock);
  return free;
}

/** Gives a reservation back that was not used. */
export function procUnreservePid(k: Kernel): void {
  const { g } = k;
  spinEnter(k, g.procLock);
  g.npids--;
  spinExit(k, g.procLock);
}

/** Takes the id that was reserved; looking it up finds `p`. `proc_lock` is held. */
export function procAllocPid(p: Proc): number {
  const { k } = p;
  const { w, g, pidtab } = k;
  const slot = g.pidFirst;
  kassert(k, spinOwned(k, g.procLock) && slot !== 0, "procAllocPid: not locked, or no id was reserved");
  const at = pidtab + slot * 2;
  g.pidFirst = -w[at + OWNER];
  if (g.pidFirst === 0) g.pidLast = 0;
  w[at + OWNER] = p.index;
  return w[at + PID];
}

/** Gives an id back. `proc_lock` is held. */
export function procFreePid(k: Kernel, pid: number): void {
  const { w, g, pidtab, pidtabMask } = k;
  const slot = pid & pidtabMask;
  const at = pidtab + slot * 2;
  kassert(k, spinOwned(k, g.procLock), "procFreePid: proc_lock is not held");
  kassert(k, slot !== 0 && w[at + PID] === pid && w[at + OWNER] > 0, "procFreePid: an id that is not in use");
  w[at + PID] = pid > PID_MAX - (pidtabMask + 1) ? slot : pid + pidtabMask + 1;
  w[at + OWNER] = 0;
  if (g.pidLast === 0) g.pidFirst = slot;
  else w[pidtab + g.pidLast * 2 + OWNER] = -slot;
  g.pidLast = slot;
  g.npids--;
}

/** The process with that id, or with an LWP that has it, in whatever state; null if there is none. `proc_lock` is held. */
export function procFindRaw(k: Kernel, pid: number): Proc | null {
  const { w, pidtab, pidtabMask } = k;
  kassert(k, spinOwned(k, k.g.procLock), "procFindRaw: proc_lock is not held");
  const at = pidtab + (pid & pidtabMask) * 2;
  return w[at + PID] === pid && w[at + OWNER] > 0 ? k.procs.view(w[at + OWNER]) : null;
}

/** The same, if the process is alive: SACTIVE or SSTOP. */
export function procFind(k: Kernel, pid: number): Proc | null {
  const p = procFindRaw(k, pid);
  return p !== null && (p.stat === SACTIVE || p.stat === SSTOP) ? p : null;
}

/** The live process with that id, locked, or null. No lock is held. */
export function procFindLocked(k: Kernel, pid: number): Proc | null {
  const { g } = k;
  spinEnter(k, g.procLock);
  const p = procFind(k, pid);
  // Before proc_lock goes, so that the record is still this process's.
  if (p !== null) spinEnter(k, p.lock);
  spinExit(k, g.procLock);
  return p;
}
