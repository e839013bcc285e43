/**
 * LWPs: what they are, the states they are in, and which lock covers each. Start reading here.
 *
 * An LWP ("lightweight process") is a thread as the kernel sees it: something that a CPU can run. It belongs to one process
 * for life; a process that lives has at least one. What its LWPs share, such as limits, credentials and whether it is
 * stopped, is the process's (sys/proc.ts); what each has of its own is the LWP's (sys/lwp.ts). The kernel's own threads are
 * LWPs of process 0.
 *
 * ## States
 *
 * Four say what is:
 *
 *   ONPROC      a CPU runs it, its program's code or the kernel's on its behalf
 *   RUN         it stands on the run queue of a CPU
 *   IDL         it has been made and not yet started, or is a kernel thread without work
 *   SUSPENDED   another LWP of its process has suspended it, or the machine shuts down
 *
 * Three say what is meant. The LWP may still be on its CPU, on its way to the switch; `LP_RUNNING` in `l.pflag` tells, and
 * whoever asks whether it is off its CPU asks that:
 *
 *   SLEEP       it stands on a sleep queue, and waits for a wakeup
 *   STOP        its process is stopped; in the kernel it may run for a moment, in user mode it does not
 *   ZOMB        it has exited, and somebody may collect it
 *
 * Stopping is decided for a whole process (procstop.ts), suspending for one LWP (lwpsuspend.ts). Either waits until the LWP
 * is about to return to user mode, or finds it in a sleep that may be interrupted: so whoever is halted holds no lock.
 *
 * ## Transitions
 *
 *                   lwpCreate
 *                       |                                        (+) only from an interruptible sleep: LW_SINTR
 *                       v        start                           (*) also back to ONPROC, while it has not left
 *                      IDL -------------------.                      its CPU: LP_RUNNING
 *                      | |  born halted       |
 *     thrown away      | `-----> SUSPENDED    |
 *     .----------------'   `---> STOP         |
 *     |                                       v      chosen
 *     |            .-----------------------> RUN <-----------> ONPROC ----> IDL  (kernel threads, and back)
 *     |            |                          ^    preempted     |
 *     |            |  wakeup (*)              |                  |
 *     |          SLEEP <----------------------+------------------+   waits
 *     |            ^ |                        |                  |
 *     |            | v  (+)      continue (*) |                  |
 *     |           STOP -----------------------+------------------+   its process stops
 *     |                                       |                  |
 *     |         SUSPENDED --------------------' <----------------+   suspended
 *     |                      continue (*)                        |
 *     `------------------------> ZOMB <--------------------------'   exits
 *
 * `TRANSITIONS` below is the same as a table. Every change goes through `setStat`, which refuses all others (R7).
 *
 * ## Locks
 *
 * One spin lock at a time covers an LWP; `l.mutex` says which. It follows the state, so that whoever works on a queue has
 * all LWPs on it locked at once: the lock is *lent*. It may change until it is held, so an LWP is taken with `lwpLock`,
 * which looks again (lwplock.ts).
 *
 *   ONPROC, ZOMB       its CPU's lwplock
 *   IDL, RUN           its CPU's run-queue lock (idle threads: the lwplock)
 *   SLEEP              the lock of the sleep queue it is on
 *   STOP, SUSPENDED    the sleep queue's while it is on one, else its CPU's lwplock
 *
 * A change of state needs that lock. Into and out of IDL, ZOMB, STOP and SUSPENDED needs the process's lock too, and its
 * counters move with it: `p.nrlwps` counts IDL, RUN, ONPROC and SLEEP, those that run or soon may. Between RUN, ONPROC and
 * SLEEP nothing of the process changes, so a switch never takes its lock.
 *
 * The order in which they are taken, outermost first:
 *
 *   proc_lock -> p.lock -> lwplock -> sleep queue -> turnstile chain -> run queue
 *
 * Of two run queues that of the lower CPU comes first.
 *
 * ## What is different because a CPU is a JavaScript realm
 *
 * - Nothing interrupts kernel code on its own CPU. A thread is left only where it leaves: at an operation, a poll, a switch.
 *   There are no interrupt levels, and a spin lock is never held across a switch.
 * - A switch is two halves. `miSwitch` picks the next LWP and says "leave"; the context returns to the dispatcher, which
 *   marks it saved (`l.ctxswtch`) and resumes the next. Whoever takes over an LWP waits for that mark.
 * - The context of a thread, a generator, lives in one realm and cannot be moved: such an LWP runs only on that realm's
 *   CPUs. One that has not started, or whose whole state is in kernel memory, may go anywhere (R4).
 * - "Return to user mode" is the end of every operation: `userret`, where signals, suspension, exit and preemption happen.
 * - The exit of an LWP runs on its own context, after its program's code has ended, and may wait there.
 * - Records are words that all realms see. The host may stop a realm at any point, also one that holds a spin lock: waiting
 *   for a lock ends in a sleep, and looks whether the owner's CPU still lives.
 */
import { cur } from "../sys/current.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import {
  LP_RUNNING,
  LSIDL,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LSZOMB,
  LW_IDLE,
  LW_SINTR,
  LW_SYSTEM,
  STATE_NAMES,
} from "../sys/param.js";
import { lwpLocked } from "./lwplock.js";
import { panic } from "./panic.js";
import { fire, PROBE_STATE, probing } from "./probe.js";

const { stat: STAT, mutex: MUTEX } = LwpRecord.offset;

const bit = (...states: number[]) => states.reduce((set, s) => set | (1 << s), 0);

/** For each state, the states that may follow (LWP-15). */
export const TRANSITIONS: readonly number[] = (() => {
  const t: number[] = Array.from({ length: 9 }, () => 0);
  t[LSRUN] = bit(LSONPROC);
  t[LSONPROC] = bit(LSRUN, LSSLEEP, LSSTOP, LSSUSPENDED, LSZOMB, LSIDL);
  t[LSSLEEP] = bit(LSONPROC, LSRUN, LSSTOP);
  t[LSSTOP] = bit(LSRUN, LSONPROC, LSSLEEP);
  t[LSSUSPENDED] = bit(LSRUN, LSONPROC);
  t[LSIDL] = bit(LSRUN, LSSUSPENDED, LSSTOP, LSONPROC, LSZOMB);
  return t;
})();

/** Those of them that need nothing else to hold. */
const ALWAYS: readonly number[] = (() => {
  const t = [...TRANSITIONS];
  t[LSONPROC] &= ~bit(LSIDL);
  t[LSSLEEP] &= ~bit(LSONPROC, LSSTOP);
  t[LSSTOP] &= ~bit(LSONPROC);
  t[LSSUSPENDED] &= ~bit(LSONPROC);
  t[LSIDL] &= ~bit(LSONPROC);
  return t;
})();

/** Changes the state of a locked LWP. */
export function setStat(l: Lwp, stat: number): void {
  const { w, at } = l;
  const from = w[at + STAT];
  // `lwpLocked`, written out: every switch comes here twice.
  const locked = w[w[at + MUTEX]] === cur.cpu.index;
  if (!locked || ((ALWAYS[from] & (1 << stat)) === 0 && !permitted(l, from, stat))) refuse(l, from, stat);
  w[at + STAT] = stat;
  if (probing(l.k, PROBE_STATE)) fire(l.k, PROBE_STATE, l.proc.pid, l.lid, from, stat, l.cpu.index - 1);
}

/** The conditions in LWP-15's table. */
function permitted(l: Lwp, from: number, stat: number): boolean {
  if ((TRANSITIONS[from] & (1 << stat)) === 0) return false;
  if (from === LSIDL || stat === LSIDL) return (l.flag & (LW_IDLE | LW_SYSTEM)) !== 0;
  return stat === LSSTOP ? (l.flag & LW_SINTR) !== 0 : (l.pflag & LP_RUNNING) !== 0;
}

/** Puts an idle thread on its CPU. It is bound there, and its state is read by nobody else, so no lock is needed. */
export function setIdleOnproc(l: Lwp): void {
  if ((l.flag & LW_IDLE) === 0) refuse(l, l.stat, LSONPROC);
  l.stat = LSONPROC;
}

function refuse(l: Lwp, from: number, stat: number): never {
  const locked = lwpLocked(l) ? "" : ", not locked";
  panic(
    l.k,
    `LWP ${l.proc.pid}.${l.lid}: ${STATE_NAMES[from]} -> ${STATE_NAMES[stat]} is not permitted${locked}`,
  );
}

/** Address of the lock that LWP-17 says covers `l` now. */
export function coveringLock(l: Lwp, queueLock: (sleepq: number) => number): number {
  switch (l.stat) {
    case LSONPROC:
    case LSZOMB:
      return l.cpu.lwplock;
    case LSIDL:
      return (l.flag & LW_IDLE) !== 0 ? l.cpu.lwplock : l.cpu.mutex;
    case LSRUN:
      return l.cpu.mutex;
    default:
      return l.wchan !== 0 ? queueLock(l.sleepq) : l.cpu.lwplock;
  }
}
