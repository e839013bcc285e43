/**
 * The kernel's invariants, checked from outside while nothing runs: LWP-14..28, BLK-100, the queues, the tables.
 *
 * Returns what is wrong, one line each; an empty list is a sound machine. Used by tests after every step, by the
 * stress program at its end, and by dumps. It starts from the pools, not from the lists: what is allocated must be found on
 * every list that it belongs to, and nothing else may be.
 */
import type { Cpu } from "../sys/cpu.js";
import type { Cred } from "../sys/cred.js";
import type { Kernel, Pool } from "../sys/kernel.js";
import { POOL_LOCK } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import {
  LP_BOUND,
  LP_PIDLID,
  LP_RUNNING,
  LPR_CRMOD,
  LPR_DETACHED,
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
  PRI_COUNT,
  PS_WCORE,
  SACTIVE,
  SDYING,
  SOBJ_CV,
  SOBJ_MUTEX,
  SOBJ_OBJ,
  SOBJ_OBJ_LIFO,
  SOBJ_PARK,
  SOBJ_RW,
  SOBJ_SCHED,
  SOBJ_SELECT,
  SOBJ_SLEEP,
  SSTOP,
  STATE_NAMES,
  SZOMB,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import type { View } from "../sys/record.js";
import {
  CALLOUT_PENDING,
  CO_CPU,
  CO_FLAGS,
  CO_LIST,
  CV_SLEEPQ,
  LIDTAB_STRIPES,
  LOCK_WORDS,
  OBJTAB_SIZE,
  SLEEPQ_HEAD,
  SLEEPQ_TAIL,
  SLEEPTAB_BUCKET_WORDS,
  SLEEPTAB_SIZE,
  TSTAB_BUCKET_WORDS,
  TSTAB_SIZE,
  UMEM_INUSE,
  UMEM_LOCK,
} from "../sys/shapes.js";
import { SyncobjRecord } from "../sys/syncobj.js";
import type { Turnstile } from "../sys/turnstile.js";
import { procLwps } from "./lwpref.js";
import { threadKeysInUse } from "./threadkey.js";
import { umemCheck } from "./umem.js";
import { lwpCtlCheck } from "./lwpctl.js";
import { lwpEprio } from "./priority.js";
import { allLwps, allProcs } from "./proc.js";
import { isMovable, runqList } from "./runq.js";
import { bucketQueue, sleepqList, sleeptabBucket } from "./sleepq.js";
import { coveringLock } from "./state.js";
import { syncobjAt } from "./syncobj.js";
import { tschain } from "./tstab.js";

/** The lock of the sleep queue that `l` is on. */
export function sleepLockOf(l: Lwp): number {
  const { k } = l;
  switch (l.syncobj) {
    case SOBJ_PARK:
      return sleeptabBucket(k.parktab, l.wchan);
    case SOBJ_CV:
    case SOBJ_SLEEP:
      return sleeptabBucket(k.sleeptab, l.wchan);
    case SOBJ_OBJ:
    case SOBJ_OBJ_LIFO:
      return syncobjAt(k, l.wchan).lock;
    default:
      return tschain(k, l.wchan);
  }
}

/** Everything that is wrong. The machine must be at rest: no CPU in the middle of kernel code. */
export function checkInvariants(k: Kernel): string[] {
  const wrong: string[] = [];
  const lwps = allocated(k.lwps);
  const procs = allocated(k.procs);
  const listed = new Set(allLwps(k));
  checkLists(k, procs, listed, wrong);
  for (const p of procs) checkProc(p, listed, wrong);
  const queued = new Set<Lwp>();
  for (let i = 1; i <= k.g.ncpu; i++) checkCpu(k.cpus.view(i), queued, wrong);
  for (const l of lwps) checkLwp(l, listed.has(l), queued.has(l), wrong);
  checkSleepQueues(k, lwps, wrong);
  checkTurnstiles(k, lwps, wrong);
  checkLidTable(k, lwps, wrong);
  checkPidTable(k, procs, lwps, wrong);
  checkCreds(k, procs, lwps, wrong);
  checkLocks(k, procs, wrong);
  return wrong;
}

/** What is left of a machine on which every process has ended; an empty list means nothing but the system's own. */
export function checkEmpty(k: Kernel): string[] {
  const wrong: string[] = [];
  // lwp0, and for each CPU the idle thread and the cross-call thread.
  const own = 2 * k.g.ncpu + 1;
  // The last kernel thread that has ended keeps its record until the next one is made (LWP-43).
  const kept = own + (k.procs.view(1).zomblwp === null ? 0 : 1);
  const level = (pool: Pool<View>, n: number) => {
    if (pool.inUse !== n) wrong.push(`${pool.inUse} ${pool.type.name} in use, not ${n}`);
  };
  level(k.procs, 1);
  level(k.lwps, kept);
  level(k.turnstiles, turnstileOwners(k));
  level(k.threads, 0);
  if (k.w[k.umem + UMEM_INUSE] !== 0) wrong.push(`${k.w[k.umem + UMEM_INUSE]} pages of user memory in use`);
  wrong.push(...umemCheck(k));
  if (threadKeysInUse(k) !== 0) wrong.push(`${threadKeysInUse(k)} keys of thread-specific data in use`);
  level(k.syncobjs, 0);
  level(k.messages, 0);
  level(k.creds, 1);
  level(k.ksiginfos, 0);
  if (k.g.nprocs !== 1 || k.g.nlwps !== own) wrong.push(`${k.g.nprocs} processes, ${k.g.nlwps} LWPs counted`);
  if (k.g.npids !== 1) wrong.push(`${k.g.npids} process ids in use`);
  if (k.g.zombies !== 0) wrong.push("a dead process that nobody has collected");
  for (let at = 0; at < k.limits.uids; at++) {
    const [uid, n] = [k.w[k.uidtab + at * 2] - 1, k.w[k.uidtab + at * 2 + 1]];
    if (n !== 0) wrong.push(`uid ${uid} is charged for ${n} LWPs`);
  }
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    if (ci.curlwp !== ci.idlelwp && (ci.curlwp.flag & LW_SYSTEM) === 0)
      wrong.push(`CPU ${i - 1} is not idle`);
    // Who is queued can only be one of the system's, whose work never ends.
    if (ci.ncallouts !== 0) wrong.push(`CPU ${i - 1}: ${ci.ncallouts} callouts`);
  }
  for (let i = 1; i <= k.lwps.highWater; i++) {
    const l = k.lwps.view(i);
    if ((l.gen & 1) === 0 && (l.context !== null || l.closure !== null || l.stepped))
      wrong.push(`LWP record ${i} still has a context`);
  }
  return wrong.concat(checkInvariants(k));
}

const TS = LwpRecord.offset.ts;

function allocated<T extends View>(pool: Pool<T>): T[] {
  const list: T[] = [];
  for (let i = 1; i <= pool.highWater; i++) {
    const v = pool.view(i);
    if ((v.gen & 1) === 1) list.push(v);
  }
  return list;
}

function say(wrong: string[], l: Lwp, what: string): void {
  wrong.push(`LWP ${l.proc.pid}.${l.lid} (${STATE_NAMES[l.stat]}): ${what}`);
}

/** alllwp and allproc against the pools and the counts. */
function checkLists(k: Kernel, procs: readonly Proc[], listed: ReadonlySet<Lwp>, wrong: string[]): void {
  if (k.g.nlwps !== listed.size) wrong.push(`${k.g.nlwps} LWPs counted, ${listed.size} on alllwp`);
  let prev = 0;
  for (const l of listed) {
    if (l.listPrev !== prev) say(wrong, l, "wrong link on alllwp");
    if ((l.gen & 1) === 0) say(wrong, l, "free, but on alllwp");
    prev = l.index;
  }
  const all = new Set(allProcs(k));
  if (k.g.nprocs !== all.size) wrong.push(`${k.g.nprocs} processes counted, ${all.size} on allproc`);
  for (const p of procs) {
    // One that is SDYING leaves the list once its specificdata is destroyed.
    const dead = p.stat === SZOMB;
    if (p.stat !== SDYING && all.has(p) === dead)
      wrong.push(`process ${p.pid}: ${dead ? "dead, but" : "not"} on allproc`);
  }
}

/** LWP-22..28. */
function checkProc(p: Proc, listed: ReadonlySet<Lwp>, wrong: string[]): void {
  const lwps = procLwps(p);
  const name = `process ${p.pid}`;
  const count = (test: (l: Lwp) => boolean) => lwps.reduce((n, l) => (test(l) ? n + 1 : n), 0);
  let prev = 0;
  for (const l of lwps) {
    if (l.proc !== p || l.siblingPrev !== prev || (l.gen & 1) === 0)
      say(wrong, l, `not ${name}'s, free, or badly linked`);
    prev = l.index;
  }
  if (p.nlwps !== lwps.length) wrong.push(`${name}: nlwps ${p.nlwps}, ${lwps.length} on the list`);
  if ((p.stat === SACTIVE || p.stat === SSTOP) && p.nlwps > 0 && p.nlwps === p.nzlwps)
    wrong.push(`${name}: nobody lives in it`);
  const zombies = count((l) => l.stat === LSZOMB);
  // From the start of lwpExit an LWP counts, has no descriptors any more, and leaves alllwp; one that runs exit1 does not
  // count before its end.
  const window = p.stat === SDYING ? 0 : count((l) => l.stat !== LSZOMB && (l.fd === 0 || !listed.has(l)));
  if (p.nzlwps !== zombies + window)
    wrong.push(`${name}: nzlwps ${p.nzlwps}, ${zombies} zombies and ${window} about to be`);
  const detached = count((l) => (l.prflag & LPR_DETACHED) !== 0);
  if (p.stat !== SZOMB && p.ndlwps !== detached)
    wrong.push(`${name}: ndlwps ${p.ndlwps}, ${detached} detached`);
  const going = count((l) => [LSIDL, LSRUN, LSONPROC, LSSLEEP].includes(l.stat));
  if (p.nrlwps !== going) wrong.push(`${name}: nrlwps ${p.nrlwps}, ${going} running or about to`);
  if (p.nrlwps > p.nlwps - p.nzlwps + window) wrong.push(`${name}: nrlwps exceeds what lives`);
  checkWaiters(p, lwps, name, wrong);
  wrong.push(...lwpCtlCheck(p, lwps));
}

/** Who waits in `lwpWait1`, for whom, and the one detached zombie (LWP-26, 54, 64). */
function checkWaiters(p: Proc, lwps: readonly Lwp[], name: string, wrong: string[]): void {
  const z = p.zomblwp;
  if (z !== null && (z.proc !== p || z.stat !== LSZOMB || (z.prflag & LPR_DETACHED) === 0))
    say(wrong, z, `${name}'s zomblwp, but no detached zombie of it`);
  for (const l of lwps) {
    if (l.stat === LSZOMB && (l.prflag & LPR_DETACHED) !== 0 && z !== l)
      say(wrong, l, "a detached zombie that nobody will free");
  }
  // LWP-62: a wait that a core dump has diverted is never undone.
  if ((p.sflag & PS_WCORE) !== 0) return;
  const waiting = lwps.filter((l) => l.waitingfor !== 0);
  if (p.nlwpwait < waiting.length || p.nlwpwait > p.nlwps)
    wrong.push(`${name}: nlwpwait ${p.nlwpwait}, ${waiting.length} wait for a given LWP`);
  if ((p.stat === SDYING || p.stat === SZOMB) && p.nlwpwait !== 0)
    wrong.push(`${name}: nlwpwait ${p.nlwpwait}, though all others are gone`);
  for (const l of waiting) if (l.stat === LSZOMB) say(wrong, l, `dead, and waits for ${l.waitingfor}`);
  for (const l of lwps) {
    if (l.waiter !== 0 && !waiting.some((x) => x.lid === l.waiter && x.waitingfor === l.lid))
      say(wrong, l, `kept for LWP ${l.waiter}, which does not wait for it`);
  }
}

function checkLwp(l: Lwp, listed: boolean, queued: boolean, wrong: string[]): void {
  const lock = coveringLock(l, () => sleepLockOf(l));
  if (l.mutex !== lock) say(wrong, l, `covered by lock ${l.mutex}, not ${lock}`);
  if ((l.wchan !== 0) !== (l.sleepq !== 0)) say(wrong, l, "wait channel and sleep queue disagree");
  if ((l.wchan !== 0) !== (l.syncobj !== SOBJ_SCHED)) say(wrong, l, "wait channel and sync object disagree");
  if (l.wchan === 0 && (l.flag & LW_SINTR) !== 0) say(wrong, l, "LW_SINTR off a sleep queue");
  if (l.stat === LSSLEEP && l.wchan === 0) say(wrong, l, "asleep on nothing");
  if (l.wchan !== 0) {
    if (l.sleepq !== queueFor(l)) say(wrong, l, "not on the queue of its wait channel");
    if (l.stat !== LSSLEEP && l.stat !== LSSTOP) say(wrong, l, "on a sleep queue in this state");
    if (l.stat === LSSTOP && (l.flag & LW_SINTR) === 0)
      say(wrong, l, "stopped in a sleep that cannot be interrupted");
  } else if (l.sleepqNext !== 0 || l.sleepqPrev !== 0) {
    say(wrong, l, "linked to a sleep queue that it is not on");
  }
  if (queued !== (l.stat === LSRUN)) say(wrong, l, queued ? "on a run queue" : "not on its CPU's run queue");
  const running = (l.pflag & LP_RUNNING) !== 0;
  if (running !== (l.cpu.curlwp === l)) say(wrong, l, "LP_RUNNING and its CPU disagree");
  if (l.stat === LSONPROC && !running) say(wrong, l, "LSONPROC but on no CPU");
  if ((l.stat === LSRUN || l.stat === LSIDL || l.stat === LSZOMB) && running)
    say(wrong, l, "on a CPU in this state");
  if (l.ctxswtch !== 0) say(wrong, l, "its context was never saved");
  if (l.stat === LSSUSPENDED && l.wchan !== 0) say(wrong, l, "suspended on a sleep queue");
  if (l.stat === LSZOMB ? l.refcnt !== 0 : l.refcnt < (listed ? 1 : 0)) say(wrong, l, `refcnt ${l.refcnt}`);
  if ((l.flag & LW_IDLE) !== 0 && (l.pflag & LP_BOUND) === 0)
    say(wrong, l, "an idle thread that is not bound");
  checkTimeout(l, wrong);
}

/** The queue that its wait channel stands for (BLK-4, 5, 30). */
function queueFor(l: Lwp): number {
  const { k, wchan } = l;
  switch (l.syncobj) {
    case SOBJ_PARK:
    case SOBJ_SLEEP:
      return bucketQueue(sleepLockOf(l));
    case SOBJ_CV:
      return wchan + CV_SLEEPQ;
    case SOBJ_MUTEX:
    case SOBJ_RW: {
      const ts = l.ts;
      if (ts === null || ts.obj !== wchan) return -1;
      return sleepqList(k, ts.readers).includes(l) ? ts.readers : ts.writers;
    }
    case SOBJ_OBJ:
    case SOBJ_OBJ_LIFO: {
      const { queue, senders } = SyncobjRecord.offset;
      return l.sleepq === wchan + senders ? l.sleepq : wchan + queue;
    }
    default:
      return l.sleepq;
  }
}

/** The callout of its sleep: on a list exactly while it is pending, and gone before the LWP is. */
function checkTimeout(l: Lwp, wrong: string[]): void {
  const { w } = l;
  const c = l.timeoutCh;
  const pending = (w[c + CO_FLAGS] & CALLOUT_PENDING) !== 0;
  if (pending !== (w[c + CO_LIST] !== 0)) say(wrong, l, "its timeout is lost");
  if (pending && (l.stat === LSZOMB || l.k.cpus.view(w[c + CO_CPU]).ncallouts < 1))
    say(wrong, l, "its timeout is pending after its death, or uncounted");
}

function checkCpu(ci: Cpu, queued: Set<Lwp>, wrong: string[]): void {
  const name = `CPU ${ci.index - 1}`;
  const { w } = ci;
  let count = 0;
  let movable = 0;
  let top = 0;
  for (let pri = 0; pri < PRI_COUNT; pri++) {
    const bit = (w[ci.bitmap + (pri >> 5)] & ((0x80000000 | 0) >>> (pri & 31))) !== 0;
    const first = w[ci.queues + pri * 2];
    if (!bit && first === 0 && w[ci.queues + pri * 2 + 1] === 0) continue;
    const list = runqList(ci, pri);
    if (!bit || list.length === 0)
      wrong.push(`${name}: bitmap of priority ${pri} is ${bit}, ${list.length} queued`);
    let prev = 0;
    for (const l of list) {
      if (l.stat !== LSRUN) say(wrong, l, `queued on ${name}`);
      if (l.cpu !== ci) say(wrong, l, `queued on ${name}, tied to CPU ${l.cpu.index - 1}`);
      if (lwpEprio(l) !== pri) say(wrong, l, `priority ${lwpEprio(l)}, queued at ${pri}`);
      if (l.runqPrev !== prev || queued.has(l)) say(wrong, l, `badly linked on the run queue of ${name}`);
      if (isMovable(l)) movable++;
      queued.add(l);
      prev = l.index;
    }
    if (w[ci.queues + pri * 2 + 1] !== prev) wrong.push(`${name}: wrong tail of queue ${pri}`);
    count += list.length;
    if (list.length > 0) top = pri;
  }
  if (ci.count !== count) wrong.push(`${name}: count ${ci.count}, ${count} queued`);
  if (ci.mcount !== movable) wrong.push(`${name}: mcount ${ci.mcount}, ${movable} movable`);
  if (ci.maxpriority !== top) wrong.push(`${name}: maxpriority ${ci.maxpriority}, ${top} queued`);
  if (ci.onproc !== ci.curlwp || ci.curlwp.cpu !== ci) wrong.push(`${name}: it runs two LWPs, or another's`);
  const mover = ci.migrating;
  if (mover !== null && (mover.cpu !== ci || !queued.has(mover) || mover.targetCpu === null))
    say(wrong, mover, `about to leave ${name}, but not queued there or with nowhere to go`);
}

/** Queues that nobody is on are empty; on the others stands everybody whose queue it is, once, in order (BLK-6, 100). */
function checkSleepQueues(k: Kernel, lwps: readonly Lwp[], wrong: string[]): void {
  const members = new Map<number, number>();
  for (const l of lwps) if (l.sleepq !== 0) members.set(l.sleepq, (members.get(l.sleepq) ?? 0) + 1);
  for (const [q, n] of members) {
    const list = sleepqList(k, q);
    let prev: Lwp | null = null;
    for (const l of list) {
      if (l.sleepq !== q || l.sleepqPrev !== (prev === null ? 0 : prev.index))
        say(wrong, l, "badly linked on its sleep queue");
      const sorted = l.syncobj !== SOBJ_PARK && l.syncobj !== SOBJ_SELECT;
      if (sorted && prev !== null && lwpEprio(prev) < lwpEprio(l)) say(wrong, l, "behind a lower priority");
      prev = l;
    }
    if (list.length !== n) wrong.push(`sleep queue ${q}: ${n} LWPs are on it, ${list.length} linked`);
    if (k.w[q + SLEEPQ_TAIL] !== (prev === null ? 0 : prev.index)) wrong.push(`sleep queue ${q}: wrong tail`);
  }
  for (const table of [k.sleeptab, k.parktab]) {
    for (let i = 0; i < SLEEPTAB_SIZE; i++) {
      const q = bucketQueue(table + i * SLEEPTAB_BUCKET_WORDS);
      if (k.w[q + SLEEPQ_HEAD] !== 0 && !members.has(q)) wrong.push(`sleep queue ${q}: not empty`);
    }
  }
}

/** Records of LWPs with a turnstile: those in use, and those that once were. */
function turnstileOwners(k: Kernel): number {
  let owners = 0;
  for (let i = 1; i <= k.lwps.highWater; i++) if (k.w[k.lwps.view(i).at + TS] !== 0) owners++;
  return owners;
}

/** Each LWP has one turnstile, also a free one; a lock's active one has as many spare ones as waiters but one (BLK-30). */
function checkTurnstiles(k: Kernel, lwps: readonly Lwp[], wrong: string[]): void {
  const own = turnstileOwners(k);
  if (k.turnstiles.inUse !== own) wrong.push(`${k.turnstiles.inUse} turnstiles, ${own} LWPs that have one`);
  const active = new Set<Turnstile>();
  for (let i = 0; i < TSTAB_SIZE; i++) {
    const chain = k.tstab + i * TSTAB_BUCKET_WORDS;
    for (let t = k.w[chain + 2]; t !== 0; t = k.turnstiles.view(t).next) {
      const ts = k.turnstiles.view(t);
      active.add(ts);
      if (ts.obj === 0 || tschain(k, ts.obj) !== chain) wrong.push(`turnstile ${t}: on the wrong chain`);
      const readers = sleepqList(k, ts.readers).length;
      const writers = sleepqList(k, ts.writers).length;
      let spare = 0;
      for (let f = ts.free; f !== 0; f = k.turnstiles.view(f).free) spare++;
      if (ts.nreaders !== readers || ts.nwriters !== writers || spare !== readers + writers - 1)
        wrong.push(`turnstile ${t}: ${readers}+${writers} wait, ${ts.nreaders}+${ts.nwriters} counted`);
    }
  }
  for (const l of lwps) {
    const waits = l.syncobj === SOBJ_MUTEX || l.syncobj === SOBJ_RW;
    if (l.ts === null || active.has(l.ts) !== waits) say(wrong, l, "none or the wrong turnstile");
  }
}

/** Every LWP stands in the table once, and nothing else does. */
function checkLidTable(k: Kernel, lwps: readonly Lwp[], wrong: string[]): void {
  const found = new Set<Lwp>();
  for (let at = k.lidtab; at <= k.lidtab + k.lidtabMask; at++) {
    for (let i = k.w[at]; i !== 0; i = k.lwps.view(i).lidNext) {
      const l = k.lwps.view(i);
      if (found.has(l) || (l.gen & 1) === 0) say(wrong, l, "twice in the lid table, or free");
      if (found.size > lwps.length) return;
      found.add(l);
    }
  }
  for (const l of lwps) if (!found.has(l)) say(wrong, l, "not in the lid table");
}

/** Credentials are held by their processes, and by LWPs whose copy is older; `p.credrefs` counts the other LWPs. */
function checkCreds(k: Kernel, procs: readonly Proc[], lwps: readonly Lwp[], wrong: string[]): void {
  const holders = new Map<Cred, number>();
  const hold = (cr: Cred | null) => cr !== null && holders.set(cr, (holders.get(cr) ?? 0) + 1);
  for (const p of procs) {
    hold(p.cred);
    const n = lwps.filter((l) => l.proc === p && l.cred === p.cred).length;
    if (p.credrefs !== n)
      wrong.push(`process ${p.pid}: ${p.credrefs} LWPs with its credentials counted, ${n} have them`);
    if (p.cred !== null && p.cred.uid !== p.uid)
      wrong.push(`process ${p.pid}: uid ${p.uid}, by its credentials ${p.cred.uid}`);
  }
  for (const l of lwps) {
    const stale = l.cred !== null && l.cred !== l.proc.cred;
    if (stale) hold(l.cred);
    if (l.cred !== null && stale !== ((l.prflag & LPR_CRMOD) !== 0))
      say(wrong, l, "LPR_CRMOD and its credentials disagree");
  }
  for (const cr of allocated(k.creds)) {
    if (cr.refcnt !== (holders.get(cr) ?? 0))
      wrong.push(`credentials ${cr.index}: ${cr.refcnt} references, ${holders.get(cr) ?? 0} holders`);
  }
}

/** An id in use is that of a process, or of an LWP on alllwp that has one of its own; all others are on the list of the free. */
function checkPidTable(k: Kernel, procs: readonly Proc[], lwps: readonly Lwp[], wrong: string[]): void {
  const { w, g, pidtab, pidtabMask } = k;
  const owners = new Map<number, Proc>(procs.map((p) => [p.pid, p]));
  const own = (l: Lwp) => (l.pflag & LP_PIDLID) !== 0 && l.lid !== l.proc.pid;
  for (const l of allLwps(k)) if (lwps.includes(l) && own(l)) owners.set(l.lid, l.proc);
  if (g.npids !== owners.size) wrong.push(`${g.npids} process ids counted, ${owners.size} in use`);
  for (const [pid, p] of owners) {
    const at = pidtab + (pid & pidtabMask) * 2;
    if (w[at] !== pid || w[at + 1] !== p.index) wrong.push(`process id ${pid}: not in the table`);
  }
  let free = 0;
  let last = 0;
  for (let slot = g.pidFirst; slot !== 0 && free <= pidtabMask; slot = -w[pidtab + slot * 2 + 1]) {
    if ((w[pidtab + slot * 2] & pidtabMask) !== slot) wrong.push(`process id slot ${slot}: not its own id`);
    free++;
    last = slot;
  }
  if (free !== pidtabMask + 1 - owners.size || g.pidLast !== last)
    wrong.push(`${free} free process ids, ${owners.size} in use, of ${pidtabMask + 1}`);
}

/** At rest no spin lock is held (R2). */
function checkLocks(k: Kernel, procs: readonly Proc[], wrong: string[]): void {
  const held = (a: number, what: string) => {
    if (k.w[a] !== 0) wrong.push(`CPU ${k.w[a] - 1} holds ${what}`);
  };
  held(k.g.procLock, "proc_lock");
  held(k.g.uidLock, "the lock of the uid table");
  held(k.umem + UMEM_LOCK, "the lock of user memory");
  for (const p of procs) held(p.lock, `the lock of process ${p.pid}`);
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    for (const a of [ci.mutex, ci.lwplock, ci.calloutLock, ci.haltLock]) held(a, `a lock of CPU ${i - 1}`);
  }
  for (const pool of [k.procs, k.lwps, k.turnstiles, k.threads, k.syncobjs, k.messages])
    held(pool.header + POOL_LOCK, `the lock of ${pool.type.name} records`);
  for (let i = 0; i < OBJTAB_SIZE; i++) held(k.objtab + i * LOCK_WORDS, `lock ${i} of objects`);
  for (let i = 0; i < SLEEPTAB_SIZE; i++) {
    held(k.sleeptab + i * SLEEPTAB_BUCKET_WORDS, `sleep bucket ${i}`);
    held(k.parktab + i * SLEEPTAB_BUCKET_WORDS, `park bucket ${i}`);
  }
  for (let i = 0; i < TSTAB_SIZE; i++) held(k.tstab + i * TSTAB_BUCKET_WORDS, `turnstile chain ${i}`);
  for (let i = 0; i < LIDTAB_STRIPES; i++) held(k.lidStripes + i * LOCK_WORDS, `lid stripe ${i}`);
}
