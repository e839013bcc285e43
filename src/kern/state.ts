/**
 * The state of an LWP, and the one function that writes it (R7).
 *
 *   RUN ------> ONPROC            ONPROC ---> RUN, SLEEP, STOP, SUSPENDED, ZOMB
 *                                        ---> IDL (kernel threads)
 *   STOP -----> RUN, SLEEP        SUSPENDED -> RUN
 *          `--> ONPROC (*)               `--> ONPROC (*)
 *   SLEEP ----> RUN, ONPROC (*)   IDL ------> RUN, SUSPENDED, STOP
 *          `--> STOP (+)                 `--> ONPROC (kernel threads), ZOMB (never started)
 *
 *   (*) while it has not yet left its CPU: LP_RUNNING.   (+) from an interruptible sleep: LW_SINTR.
 *
 * Every change needs the LWP's lock. Which lock that is depends on the state (LWP-17):
 *
 *   ONPROC, ZOMB       its CPU's lwplock
 *   IDL, RUN           its CPU's run-queue lock (idle threads: the lwplock)
 *   SLEEP              the lock of the sleep queue it is on
 *   STOP, SUSPENDED    the sleep queue's while it is on one, else its CPU's lwplock
 */
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

const STAT = LwpRecord.offset.stat;

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
  if (((ALWAYS[from] & (1 << stat)) === 0 && !permitted(l, from, stat)) || !lwpLocked(l))
    refuse(l, from, stat);
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
