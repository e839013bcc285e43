/**
 * Parents and children (PRC-14, PRC-42).
 *
 * `p.parent`, `p.nchildren`, `p.nstopchild` and what vfork leaves in `p.vforklwp` are covered by `proc_lock`. A process that
 * ends gives its children to process 0, which stands in for init.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { PL_PPWAIT, SSTOP } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { cvBroadcast } from "./condvar.js";
import { kassert } from "./panic.js";
import { spinEnter, spinExit, spinOwned } from "./spin.js";

/** Gives a process another parent; a stop that the old one has not heard of goes along (PRC-42). `proc_lock` is held. */
export function procReparent(child: Proc, parent: Proc): void {
  const { k } = child;
  const old = child.parent;
  kassert(k, spinOwned(k, k.g.procLock) && old !== null, "procReparent: not locked, or no child");
  if (child.stat === SSTOP && child.waited === 0) {
    old.nstopchild--;
    parent.nstopchild++;
  }
  old.nchildren--;
  parent.nchildren++;
  child.parent = parent;
}

/** Process 0 adopts the children of one that ends, the dying ones too. `proc_lock` is held. */
export function procOrphan(p: Proc): void {
  const { k } = p;
  const p0 = k.procs.view(1);
  for (let i = 2; i <= k.procs.highWater && p.nchildren > 0; i++) {
    const child = k.procs.view(i);
    if ((child.gen & 1) === 1 && child.parent === p) procReparent(child, p0);
  }
}

/** The child of a vfork has no more need of its parent's LWP, which goes on (PRC-14): at its exec, or its exit. */
export function vforkDone(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  if ((p.lflag & PL_PPWAIT) === 0) return;
  // Its words are the parent's, who writes them from now on.
  l.lwpctl = 0;
  spinEnter(k, k.g.procLock);
  const waiter = p.vforklwp;
  p.vforklwp = null;
  p.lflag &= ~PL_PPWAIT;
  if (waiter !== null) {
    waiter.vforkwait = 0;
    cvBroadcast(k, waiter.waitcv);
  }
  spinExit(k, k.g.procLock);
}

/** Enters a new process with its parent. `proc_lock` is held. */
export function procAdopt(child: Proc, parent: Proc): void {
  child.parent = parent;
  parent.nchildren++;
}

/** A dead process leaves its parent. `proc_lock` is not held. */
export function procDisown(k: Kernel, child: Proc): void {
  spinEnter(k, k.g.procLock);
  if (child.parent !== null) child.parent.nchildren--;
  child.parent = null;
  spinExit(k, k.g.procLock);
}
