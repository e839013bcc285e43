/**
 * Kernel threads (MCH-50..52).
 *
 * An LWP of process 0, detached, that runs a function of the kernel. The function is given by its number in
 * `slots.kthreads`, which means the same in every realm; what it returns is what it exits with. A thread with KTHREAD_MUSTJOIN
 * waits at its end until somebody joins it. One join goes on at a time, system-wide: (1) the joiner waits until the slot is
 * free, and names the thread in it; (2) the thread finds its name there, clears the slot and ends; (3) the joiner sees the
 * slot changed.
 *
 * Differs from the original: the big lock is CPU 0. A thread that is not MPSAFE is bound there, where it excludes all others
 * of its kind for as long as it does not sleep, which is what the lock gives.
 */
import type { Cpu } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { ENOMEM } from "../sys/errno.js";
import type { Kernel, KthreadFunction } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  CTX_KTHREAD,
  KTHREAD_IDLE,
  KTHREAD_INTR,
  KTHREAD_MPSAFE,
  KTHREAD_MUSTJOIN,
  KTHREAD_TS,
  LP_BOUND,
  LP_INTR,
  LP_MPSAFE,
  LP_MUSTJOIN,
  LSIDL,
  LSRUN,
  LWP_DETACHED,
  MAXCOMLEN,
  PRI_KTHREAD,
  PRI_NONE,
  PRI_USER,
  NPRI_USER,
  SCHED_OTHER,
  SCHED_RR,
} from "../sys/param.js";
import { cvBroadcast, cvWait } from "./condvar.js";
import { lwpCreate } from "./lwpcreate.js";
import { EXIT_READY, lwpExitBegin, lwpExitFinish } from "./lwpexit.js";
import { lwpLock, lwpUnlock, lwpUnlockTo } from "./lwplock.js";
import { mutexEnter, mutexExit } from "./mutex.js";
import { kassert } from "./panic.js";
import { flushKicks } from "./resched.js";
import { runqAdmit } from "./runq.js";
import { spinEnter, spinExit } from "./spin.js";
import { setStat } from "./state.js";

/** What `kthreadCreate` gives back: an error, or 0 and the thread. */
export interface NewKthread {
  error: number;
  l: Lwp | null;
}

/**
 * Makes a kernel thread that runs `func` with `arg`, bound to `ci` unless that is null; `pri` PRI_NONE is 63 for KTHREAD_TS
 * and 96 otherwise. Error: ENOMEM the table of LWPs is full. No lock is held. Source: kthread_create(9).
 */
export function kthreadCreate(
  k: Kernel,
  pri: number,
  flags: number,
  ci: Cpu | null,
  func: number,
  arg: number,
  name: string,
): NewKthread {
  kassert(
    k,
    (flags & (KTHREAD_INTR | KTHREAD_MPSAFE)) !== KTHREAD_INTR && k.slots.kthreads[func] !== undefined,
    "kthreadCreate: INTR without MPSAFE, or no such function",
  );
  const p0 = k.procs.view(1);
  const timeShared = (flags & KTHREAD_TS) !== 0;
  const where = ci ?? ((flags & KTHREAD_MPSAFE) !== 0 ? null : k.cpus.view(1));
  const l = lwpCreate(
    k.lwps.view(1),
    p0,
    LWP_DETACHED,
    { kind: CTX_KTHREAD, entry: func, arg },
    timeShared ? SCHED_OTHER : SCHED_RR,
  );
  if (l === null) return { error: ENOMEM, l: null };
  l.named = 1;
  l.name = name.slice(0, MAXCOMLEN - 1);
  if ((flags & KTHREAD_MPSAFE) === 0) l.pflag &= ~LP_MPSAFE;
  if ((flags & KTHREAD_INTR) !== 0) l.pflag |= LP_INTR;
  if ((flags & KTHREAD_MUSTJOIN) !== 0) l.pflag |= LP_MUSTJOIN;
  const base = timeShared ? PRI_USER + NPRI_USER - 1 : PRI_KTHREAD;
  spinEnter(k, p0.lock);
  lwpLock(l);
  // It is on no queue yet, so the priority is only a number.
  l.priority = pri === PRI_NONE ? base : pri;
  if (where !== null) {
    l.pflag |= LP_BOUND;
    l.cpu = where;
  }
  if ((flags & KTHREAD_IDLE) !== 0) {
    // An idle one that is bound is nobody's to enqueue: the lock of running LWPs covers it.
    if (where === null) lwpUnlock(l);
    else lwpUnlockTo(l, where.lwplock);
  } else {
    if (where !== null && l.mutex !== where.mutex) {
      lwpUnlockTo(l, where.mutex);
      lwpLock(l);
    }
    setStat(l, LSRUN);
    runqAdmit(l);
    lwpUnlock(l);
  }
  spinExit(k, p0.lock);
  flushKicks(k);
  return { error: 0, l };
}

/** What the context of a kernel thread runs: its function, then its exit. May sleep. */
export function* kthreadMain(l: Lwp): Generator<void, void, void> {
  const func = l.k.slots.kthreads[l.entry] as KthreadFunction;
  const code = yield* func(l.k, l.arg);
  yield* kthreadExit(l, code ?? 0);
}

/**
 * What the caller's own function does last: if it must be joined, waits for that. Its LWP ends when its function
 * returns. May sleep. Source: kthread_exit(9).
 */
export function* kthreadExit(l: Lwp, code: number): Generator<void, void, void> {
  const { k } = l;
  kassert(k, l === cur.lwp && l.ctxkind === CTX_KTHREAD, "kthreadExit: not a kernel thread's own");
  if (code !== 0) k.port.log(`kernel thread "${l.name}" (LWP ${l.lid}) exits with status ${code}`);
  if ((l.pflag & LP_MUSTJOIN) === 0) return;
  l.pflag &= ~LP_MUSTJOIN;
  const { g } = k;
  yield* mutexEnter(k, g.kthreadLock);
  while (g.kthreadTarget !== l) yield* cvWait(k, g.kthreadCv, g.kthreadLock);
  g.kthreadTarget = null;
  cvBroadcast(k, g.kthreadCv);
  mutexExit(k, g.kthreadLock);
}

/**
 * Waits until a thread made with KTHREAD_MUSTJOIN is at its end, which may be before it is gone. For one without that flag
 * it waits for ever. One at a time: others wait for their turn. May sleep. Returns 0. Source: kthread_join(9).
 */
export function* kthreadJoin(l: Lwp): Generator<void, number, void> {
  const { k } = l;
  const { g } = k;
  yield* mutexEnter(k, g.kthreadLock);
  while (g.kthreadTarget !== null) yield* cvWait(k, g.kthreadCv, g.kthreadLock);
  g.kthreadTarget = l;
  cvBroadcast(k, g.kthreadCv);
  while (g.kthreadTarget === l) yield* cvWait(k, g.kthreadCv, g.kthreadLock);
  mutexExit(k, g.kthreadLock);
  return 0;
}

/** Ends a thread that was made with KTHREAD_IDLE and never ran; the caller is a kernel thread. Source: kthread_destroy(9). */
export function kthreadDestroy(l: Lwp): void {
  const { k } = l;
  kassert(k, l.stat === LSIDL, "kthreadDestroy: it has run");
  const how = lwpExitBegin(l);
  kassert(k, how === EXIT_READY, "kthreadDestroy: somebody holds a reference");
  lwpExitFinish(l);
}
