/**
 * Pending signals with their details: a set, and a queue of records (PRC-67).
 *
 * A process has such a pair, and so has each LWP. A queue has at most one record for a signal, whose bit then is set; a bit
 * without a record is a signal of which nothing is known. An empty queue is a zero. `p.lock` is held for all of it.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import type { Proc } from "../sys/proc.js";
import { type Ksiginfo, NSIG, SI_NOINFO, type Siginfo } from "../sys/signal.js";
import { poolGet, poolPut } from "./pool.js";
import { fire, PROBE_SIGNAL_CLEAR, probing } from "./probe.js";
import { sigaddset, sigdelset, sigismember, type Sigset } from "./sigpending.js";

/** Whose pending signals they are. */
type Owner = Lwp | Proc;

/** What is handed to whoever takes a signal; also the details that are to be posted. */
export function siginfo(signo: number, code = SI_NOINFO, pid = 0, uid = 0, lid = 0): Siginfo {
  return { signo, code, pid, uid, lid };
}

function find(k: Kernel, owner: Owner, sig: number): Ksiginfo | null {
  for (let i = owner.siginfo; i !== 0; ) {
    const record = k.ksiginfos.view(i);
    if (record.signo === sig) return record;
    i = record.next;
  }
  return null;
}

/**
 * Adds a signal: new details replace those that are queued, and one without leaves them. False: there is no room for the
 * details, and the signal is lost.
 */
export function sigput(owner: Owner, info: Siginfo): boolean {
  const { k } = owner;
  if (info.code !== SI_NOINFO) {
    let record = find(k, owner, info.signo);
    if (record === null) {
      record = poolGet(k.ksiginfos);
      if (record === null) return false;
      record.signo = info.signo;
      record.next = owner.siginfo;
      owner.siginfo = record.index;
    }
    record.code = info.code;
    record.pid = info.pid;
    record.uid = info.uid;
    record.lid = info.lid;
  }
  sigaddset(k, owner.sigpend, info.signo);
  return true;
}

/** Takes signal `sig`, which is pending, and its details, into `out`. False: it is not pending here. */
export function sigget(owner: Owner, sig: number, out: Siginfo): boolean {
  const { k } = owner;
  if (!sigismember(k, owner.sigpend, sig)) return false;
  sigdelset(k, owner.sigpend, sig);
  const record = find(k, owner, sig);
  out.signo = sig;
  out.code = record === null ? SI_NOINFO : record.code;
  out.pid = record === null ? 0 : record.pid;
  out.uid = record === null ? 0 : record.uid;
  out.lid = record === null ? 0 : record.lid;
  if (record !== null) drop(k, owner, record);
  return true;
}

function drop(k: Kernel, owner: Owner, record: Ksiginfo): void {
  if (owner.siginfo === record.index) {
    owner.siginfo = record.next;
  } else {
    let before = k.ksiginfos.view(owner.siginfo);
    while (before.next !== record.index) before = k.ksiginfos.view(before.next);
    before.next = record.next;
  }
  poolPut(k.ksiginfos, record);
}

/** Forgets the signals of a set; null = all. */
export function sigclear(owner: Owner, set: Sigset | null): void {
  const { k, w } = owner;
  const pending = owner.sigpend;
  if ((w[pending] | w[pending + 1]) === 0) return;
  if (probing(k, PROBE_SIGNAL_CLEAR)) fireClear(owner, set);
  w[pending] &= set === null ? 0 : ~set[0];
  w[pending + 1] &= set === null ? 0 : ~set[1];
  ksiginfoQueueDrain(owner);
}

/** Gives back the records of signals that are not pending any more. */
export function ksiginfoQueueDrain(owner: Owner): void {
  const { k } = owner;
  for (let i = owner.siginfo; i !== 0; ) {
    const record = k.ksiginfos.view(i);
    i = record.next;
    if (!sigismember(k, owner.sigpend, record.signo)) drop(k, owner, record);
  }
}

function fireClear(owner: Owner, set: Sigset | null): void {
  const { k, w } = owner;
  const [pid, lid] = "proc" in owner ? [owner.proc.pid, owner.lid] : [owner.pid, 0];
  for (let sig = 1; sig < NSIG; sig++) {
    const word = (sig - 1) >> 5;
    const bit = 1 << ((sig - 1) & 31);
    if ((w[owner.sigpend + word] & bit) === 0 || (set !== null && (set[word] & bit) === 0)) continue;
    fire(k, PROBE_SIGNAL_CLEAR, pid, lid, sig);
  }
}
