/**
 * vfork: a child process that borrows its parent's thread (PRC-14, LWP-44, LWP-110).
 *
 * The child starts with one LWP, made after the caller, on its CPU and with the kernel's boost. The calling LWP, and it alone,
 * sleeps uninterruptibly until the child has exited, or runs a program of its own: so its process cannot end meanwhile.
 *
 * It waits for a flag of its own, on its own condition variable. As written it looks at the flag of the child, which somebody
 * may have collected by then, and is woken through whoever is the child's parent at that moment.
 */
import type { Lwp } from "../sys/lwp.js";
import { LWP_VFORK, PL_PPWAIT } from "../sys/param.js";
import { cvWait } from "./condvar.js";
import { lwpCreate, lwpStart, type Start } from "./lwpcreate.js";
import { procCreate, procDestroy, type ProcOptions } from "./proc.js";
import { spinEnter, spinExit } from "./spin.js";

/**
 * Makes a process whose first LWP runs `start`, and waits until it lets go of the caller, `l1`. Its id, or 0 when a table is
 * full (EAGAIN). No lock is held. May sleep, uninterruptibly. Source: fork1 with FORK_PPWAIT.
 */
export function* vfork1(l1: Lwp, options: ProcOptions, start: Start): Generator<void, number, void> {
  const { k } = l1;
  const { g } = k;
  const p2 = procCreate(k, l1.proc, options);
  if (p2 === null) return 0;
  const { pid } = p2;
  spinEnter(k, g.procLock);
  p2.lflag |= PL_PPWAIT;
  p2.vforklwp = l1;
  l1.vforkwait = 1;
  spinExit(k, g.procLock);
  const l2 = lwpCreate(l1, p2, LWP_VFORK, start, l1.class);
  if (l2 === null) {
    l1.vforkwait = 0;
    procDestroy(p2);
    return 0;
  }
  lwpStart(l1, l2, 0);
  spinEnter(k, g.procLock);
  while (l1.vforkwait !== 0) yield* cvWait(k, l1.waitcv, g.procLock);
  spinExit(k, g.procLock);
  return pid;
}
