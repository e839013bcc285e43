/**
 * What is known of a running program from outside the kernel: who was created, who must still be collected, who has a wakeup
 * to come, who may move. Told of every call as it is made, and compared with the kernel after every step.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { type Action, type LwpCtl, SIG_DFL } from "lwp/syscall";

/** A call of `lwpSuspend` that is under way: its target, and how things were when it began. */
export interface Suspending {
  readonly t: ThreadModel;
  readonly suspended: number;
  readonly resumed: number;
  readonly silent: number;
  readonly wakeups: number;
}

/** One thread, from its creation on. */
export class ThreadModel {
  readonly lid: number;
  /** Number of its creation. */
  readonly seq: number;
  /** Its record while it exists, which is as long as that has this generation. */
  readonly l: K.Lwp;
  readonly gen: number;
  /** Nobody has detached it. */
  joinable: boolean;
  /** Its exit has begun. */
  exiting = false;
  /** A wait has returned its lid. */
  collected = false;
  /** Steps of its own code. */
  progress = 0;
  /** A wakeup is remembered for it (LW_UNPARKED). */
  token = false;
  /** The park it is in must end with EALREADY, since a wakeup was pending when it began. */
  already = false;
  /** Order in which it parked. */
  parkSeq = 0;
  /** Times it was taken out of an interruptible sleep, or nearly, by an unpark, a suspension or a continue. */
  kicks = 0;
  /** Calls of `lwpSuspend` that name it and have not ended. */
  suspenders = 0;
  /** Somebody has asked for its suspension, and nobody has continued it since. */
  wanted = false;
  /** Times it has become suspended, and has left that state. */
  suspended = 0;
  resumed = 0;
  /** What it waits for: an LWP to die (0 = any), or to be suspended; and how things were when it began. */
  waitsFor: number | null = null;
  suspends: Suspending | null = null;
  /** The lid of the first that waits for it. */
  waiter = 0;
  /** `lwpWakeup` calls that named it. */
  wakeups = 0;
  /** Continues that named it; those that only cancelled a suspension, of which nobody is told (LWP-70). */
  continues = 0;
  silent = 0;
  name = "";
  /** Its private pointer; the words that it shares with the kernel, and how often it was switched in when it looked last. */
  private = 0;
  words: LwpCtl | null = null;
  pctr = 0;
  /** Its progress when it was first seen stopped or suspended; -1 = it is neither. */
  frozen = -1;
  /** Step at which it was first seen waiting for a CPU; -1 = it does not. */
  runnableSince = -1;

  /** How it is scheduled, and where: only calls that name it change that. */
  class: number;
  priority: number;
  affinity: number;

  /** It masks SIGUSR1; it has sent itself one that is pending; how many it has handled. */
  masks = false;
  pending = false;
  handled = 0;
  /** The process that it made with vfork, and waits for. */
  child: ProcessModel | null = null;

  /** `from`: who created it, null = the system. */
  constructor(l: K.Lwp, seq: number, from: ThreadModel | null) {
    this.lid = l.lid;
    this.seq = seq;
    this.l = l;
    this.gen = l.gen;
    // A process that nobody forks begins with what nice 0 gives (SCH-81), whatever its creator has.
    this.class = from?.class ?? K.SCHED_OTHER;
    this.priority = from?.priority ?? 43;
    this.affinity = from?.affinity ?? l.affinity;
    this.masks = from?.masks ?? false;
    this.joinable = (l.prflag & K.LPR_DETACHED) === 0;
  }

  /** Its exit is over. */
  get isGone(): boolean {
    return this.l.gen !== this.gen || this.l.stat === K.LSZOMB;
  }
}

/** One process. */
export class ProcessModel {
  readonly p: K.Proc;
  readonly pid: number;
  readonly threads = new Map<number, ThreadModel>();
  /** Lids in order of creation. */
  readonly lids: number[] = [];
  /** Status it must end with, once somebody has asked for one. */
  status = 0;
  ended = false;
  /** All its threads mask SIGUSR2 and SIGALRM; those sent and taken, and alarms set and taken. */
  signals = false;
  sent = 0;
  taken = 0;
  alarms = 0;
  rung = 0;
  /** What it does about SIGUSR1, and how often that was changed. */
  action: Action["handler"] = SIG_DFL;
  actions = 0;
  /** The thread that has made it with vfork and waits until it lets it go. */
  waiter: ThreadModel | null;

  constructor(p: K.Proc, waiter: ThreadModel | null) {
    this.p = p;
    this.waiter = waiter;
    this.pid = p.pid;
  }

  thread(lid: number): ThreadModel {
    const t = this.threads.get(lid);
    assert.ok(t !== undefined, `LWP ${this.pid}.${lid} was never created`);
    return t;
  }

  /** The LWP of that lid in whatever state, found without the kernel's table. */
  find(lid: number): K.Lwp | null {
    for (let i = this.p.lwps; i !== 0; ) {
      const l = this.p.k.lwps.view(i);
      if (l.lid === lid) return l;
      i = l.siblingNext;
    }
    return null;
  }

  /** The same, but neither unborn nor dead (LWP-77). */
  alive(lid: number): K.Lwp | null {
    const l = this.find(lid);
    return l === null || l.stat === K.LSIDL || l.stat === K.LSZOMB ? null : l;
  }

  get all(): K.Lwp[] {
    return K.procLwps(this.p);
  }
}

/** Steps that somebody may wait for a CPU while others get one. */
const STARVES = 6_000;

export class Model {
  readonly k: K.Kernel;
  readonly processes: ProcessModel[] = [];
  /** By index of the process's record. */
  readonly #byIndex = new Map<number, ProcessModel>();
  /** LWPs created in all, and the last of them. */
  created = 0;
  last: K.Lwp | null = null;
  /** LWPs that a wait has returned. */
  collected = 0;
  /** Processes made with vfork, and threads that wait for one now. */
  forked = 0;
  vforking = 0;
  #seq = 0;

  constructor(k: K.Kernel) {
    this.k = k;
  }

  of(p: K.Proc): ProcessModel {
    const m = this.#byIndex.get(p.index);
    assert.ok(m !== undefined && m.pid === p.pid, `process ${p.pid} was never started`);
    return m;
  }

  threadOf(l: K.Lwp): ThreadModel {
    return this.of(l.proc).thread(l.lid);
  }

  get alive(): ProcessModel[] {
    return this.processes.filter((m) => !m.ended);
  }

  // --- told by the kernel's hooks ------------------------------------------------------------------

  /** `l1`: its creator. */
  born(l1: K.Lwp, l: K.Lwp): void {
    // A kernel thread.
    if (l.proc.index === 1) return;
    const from = l1.proc.index === 1 ? null : this.threadOf(l1);
    if (this.#byIndex.get(l.proc.index)?.pid !== l.proc.pid) this.#forked(l.proc, from);
    const m = this.of(l.proc);
    this.created++;
    if ((l.pflag & K.LP_PIDLID) !== 0) this.#checkPidlid(m, l);
    // LWP-31: strictly increasing, none twice.
    else assert.equal(l.lid, (m.lids.at(-1) ?? 0) + 1, "the next lid");
    // LWP-44: the first LWP of a process that somebody waits for has the kernel's boost.
    assert.equal(l.kpriority, m.waiter !== null && m.lids.length === 0 ? 1 : 0);
    const t = new ThreadModel(l, this.created, from);
    m.threads.set(l.lid, t);
    m.lids.push(l.lid);
    this.last = l;
  }

  /** A new process. `from`: who has made it with vfork, null = nobody. */
  #forked(p: K.Proc, from: ThreadModel | null): void {
    const m = new ProcessModel(p, from);
    this.processes.push(m);
    this.#byIndex.set(p.index, m);
    if (from === null) return;
    m.signals = this.of(from.l.proc).signals;
    assert.ok(from.child === null, "a thread that waits makes another process");
    from.child = m;
    this.forked++;
    this.vforking++;
  }

  /** PRC-14: the process has no more need of the thread that made it. */
  letsGo(m: ProcessModel): void {
    if (m.waiter === null) return;
    m.waiter.child = null;
    m.waiter = null;
    this.vforking--;
  }

  /** LWP-36: nobody else's id, by which the process is found. */
  #checkPidlid(m: ProcessModel, l: K.Lwp): void {
    assert.ok(!m.threads.has(l.lid) && this.processes.every((other) => other.ended || other.pid !== l.lid));
    assert.equal(this.found(l.lid), m.p, `the process of id ${l.lid}`);
  }

  /** The process that the pid table has under an id. */
  found(pid: number): K.Proc | null {
    return K.asCpu(this.k.cpus.view(1), () => {
      K.spinEnter(this.k, this.k.g.procLock);
      const p = K.procFindRaw(this.k, pid);
      K.spinExit(this.k, this.k.g.procLock);
      return p;
    });
  }

  exiting(l: K.Lwp): void {
    if (l.proc.index === 1) return;
    const t = this.threadOf(l);
    assert.ok(!t.exiting, "an LWP exits once");
    t.exiting = true;
    if (l.proc.stat === K.SDYING) this.letsGo(this.of(l.proc));
  }

  ended(c: K.Collected): void {
    const m = this.alive.find((other) => other.pid === c.pid);
    assert.ok(m !== undefined, `process ${c.pid} ended, but was not there`);
    assert.equal(c.status, m.status, `status of process ${c.pid}`);
    m.ended = true;
  }

  /** SYS-25: the LWP is about to park. A wakeup that is pending, or a cancellation, is used up instead. */
  parks(l: K.Lwp): void {
    const t = this.threadOf(l);
    t.already = t.token || (l.flag & K.LW_CANCELLED) !== 0;
    if (t.already) t.token = false;
    else t.parkSeq = ++this.#seq;
  }

  // --- told of calls, before they are made ----------------------------------------------------------

  /** SYS-27. Whether the LWP is there. `woken`: those whom the same call wakes before. */
  unparks(m: ProcessModel, lid: number, woken = new Set<number>()): boolean {
    const l = m.alive(lid);
    if (l === null) return false;
    const t = m.thread(lid);
    if (l.syncobj === K.SOBJ_PARK && !woken.has(lid)) t.kicks++;
    else t.token = true;
    woken.add(lid);
    return true;
  }

  /** SYS-18. The error it must end with. */
  wakes(m: ProcessModel, lid: number): number {
    const l = m.alive(lid);
    if (l === null) return K.ESRCH;
    const t = m.thread(lid);
    t.token = true;
    t.wakeups++;
    if (l.stat !== K.LSSLEEP) return K.ENODEV;
    return (l.flag & K.LW_SINTR) === 0 ? K.EBUSY : 0;
  }

  /** LWP-72: a suspension ends an interruptible sleep for a moment. */
  suspends(m: ProcessModel, lid: number): void {
    const l = m.alive(lid);
    if (l === null) return;
    const t = m.thread(lid);
    if (l.wchan !== 0) t.kicks++;
    t.wanted = true;
  }

  continues(m: ProcessModel, lid: number): void {
    const l = m.alive(lid);
    if (l === null) return;
    const t = m.thread(lid);
    t.continues++;
    t.wanted = false;
    if (l.stat !== K.LSSUSPENDED) t.silent++;
  }

  // --- scheduling ------------------------------------------------------------------------------------

  /** The LWPs that a call names; lid 0 = all, the newest first. */
  #named(p: K.Proc, lid: number): K.Lwp[] {
    return K.procLwps(p).filter((l) => lid === 0 || l.lid === lid);
  }

  /** SYS-35..37. The error it must end with; what it has changed before that stays. */
  setsParam(cred: K.Cred, p: K.Proc | null, lid: number, policy: number, priority: number): number {
    if (policy === -1 && priority === -1) return 0;
    if (policy < -1 || policy > 2 || priority < -1 || priority > 63) return K.EINVAL;
    if (p === null) return K.ESRCH;
    const named = this.#named(p, lid);
    for (const l of named) {
      const t = this.threadOf(l);
      const to = policy === -1 ? t.class : policy;
      if (to === K.SCHED_OTHER && priority !== -1) return K.EINVAL;
      const realTime = to !== K.SCHED_OTHER;
      let pri = priority === -1 ? t.priority : K.PRI_USER_RT + priority;
      if (priority === -1 && realTime !== (t.class !== K.SCHED_OTHER))
        pri = realTime ? K.PRI_USER_RT : t.priority - K.PRI_USER_RT;
      const stays = (to === t.class || !realTime) && pri <= t.priority;
      if (cred.euid !== 0 && !(stays && sameUser(cred, p.cred))) return K.EPERM;
      t.class = to;
      t.priority = pri;
    }
    return named.length === 0 ? K.ESRCH : 0;
  }

  /** SYS-39, 40, likewise. */
  setsAffinity(cred: K.Cred, p: K.Proc | null, lid: number, cpus: number): number {
    if (p === null) return K.ESRCH;
    if (cred.euid !== 0 && !(this.k.g.userSetCpuAffinity === 1 && sameUser(cred, p.cred))) return K.EPERM;
    const named = this.#named(p, lid).filter((l) => l.stat !== K.LSZOMB);
    for (const l of named) this.threadOf(l).affinity = cpus;
    return named.length === 0 ? K.ESRCH : 0;
  }

  /** LWP-84: nothing is to be done on the way out when its code goes on. */
  entersUserMode(l: K.Lwp): void {
    assert.equal(l.flag & K.LW_USERRET, 0, "in user mode with something left to do");
    assert.notEqual(l.proc.stat, K.SSTOP, "in user mode while its process is stopped");
  }

  /** A state has changed, as the probe says. */
  changes(pid: number, lid: number, from: number, to: number): void {
    const t = this.alive.find((m) => m.pid === pid)?.threads.get(lid);
    if (t === undefined) return;
    if (to === K.LSSUSPENDED) t.suspended++;
    if (from === K.LSSUSPENDED) t.resumed++;
  }

  /** Whoever still sleeps has had no reason to wake up: what gives one broadcasts (LWP-70). */
  checkAsleep(): void {
    for (const m of this.alive) {
      if ((m.p.sflag & K.PS_WEXIT) !== 0) continue;
      for (const l of m.all) {
        const t = m.thread(l.lid);
        // One that exits has left its call, and waits for its references.
        if (l.stat !== K.LSSLEEP || t.exiting) continue;
        if (t.waitsFor !== null) checkWaiting(m, t, t.waitsFor);
        if (t.suspends !== null) checkSuspending(m, t);
      }
    }
  }

  // --- after every step ------------------------------------------------------------------------------

  check(step: number): void {
    for (const m of this.processes) if (!m.ended) this.#checkProcess(m, step);
    this.#checkParked();
    this.#checkUids();
    this.#checkChildren();
  }

  #checkProcess(m: ProcessModel, step: number): void {
    checkVfork(m);
    let newer = Number.POSITIVE_INFINITY;
    let here = 0;
    for (let i = m.p.lwps; i !== 0; here++) {
      const l = this.k.lwps.view(i);
      i = l.siblingNext;
      const t = m.thread(l.lid);
      assert.ok(t.seq < newer, `process ${m.pid}: LWP ${l.lid} stands before an older one`);
      newer = t.seq;
      assert.ok(!t.collected, `LWP ${m.pid}.${l.lid} was collected and is still there`);
      checkThread(m, t, l, step);
    }
    assert.ok(here > 0, `process ${m.pid} has no LWP`);
    // The first LWP has the reference that its process was made with; each that exits drops one, with its copy of the
    // credentials, once its specificdata is destroyed (LWP-53).
    if (m.p.stat !== K.SDYING && m.p.stat !== K.SZOMB) {
      let holders = 0;
      let copies = 0;
      for (const l of m.all) {
        if (l.fd !== 0 || l.specdataref !== 0) holders++;
        if (l.cred !== null) copies++;
      }
      assert.equal(m.p.fdrefs, holders, `process ${m.pid}: references on its descriptors`);
      assert.equal(copies, holders, `process ${m.pid}: copies of its credentials`);
    }
  }

  /** LIFO: whoever stands before another on a park queue has parked after it (SYS-23). */
  #checkParked(): void {
    const { k } = this;
    for (let i = 0; i < K.SLEEPTAB_SIZE; i++) {
      const q = K.bucketQueue(k.parktab + i * K.SLEEPTAB_BUCKET_WORDS);
      if (k.w[q] === 0) continue;
      let before = Number.POSITIVE_INFINITY;
      for (let l = K.sleepqFirst(k, q); l !== null; l = K.sleepqNext(l)) {
        const { parkSeq } = this.threadOf(l);
        assert.ok(parkSeq < before, `LWP ${l.proc.pid}.${l.lid} parked later than one before it`);
        before = parkSeq;
      }
    }
  }

  /** LWP-42, 59: a user is charged for all LWPs of his processes but one each. */
  #checkUids(): void {
    const { k } = this;
    for (let at = k.uidtab; at < k.uidtab + k.limits.uids * 2 && k.w[at] !== 0; at += 2) {
      assert.equal(k.w[at + 1], this.charged(k.w[at] - 1), `LWPs charged to uid ${k.w[at] - 1}`);
    }
  }

  /** A parent counts its children, and those that have stopped and that it has not heard of. */
  #checkChildren(): void {
    const children = new Map<K.Proc, number>();
    const stopped = new Map<K.Proc, number>();
    for (const { p, ended } of this.processes) {
      if (ended || p.parent === null) continue;
      children.set(p.parent, (children.get(p.parent) ?? 0) + 1);
      if (p.stat === K.SSTOP && p.waited === 0) stopped.set(p.parent, (stopped.get(p.parent) ?? 0) + 1);
    }
    for (const p of [this.k.procs.view(1), ...this.processes.filter((m) => !m.ended).map((m) => m.p)]) {
      assert.equal(p.nchildren, children.get(p) ?? 0, `children of process ${p.pid}`);
      assert.equal(p.nstopchild, stopped.get(p) ?? 0, `stopped children of process ${p.pid}`);
    }
  }

  charged(uid: number): number {
    let n = 0;
    for (const m of this.processes) if (!m.ended && m.p.uid === uid) n += m.p.nlwps - 1;
    return n;
  }
}

/** A real or effective user of one is one of the other (SYS-37). */
export function sameUser(a: K.Cred, b: K.Cred | null): boolean {
  return b !== null && [a.uid, a.euid].some((id) => id === b.uid || id === b.euid);
}

/** PRC-14: who has made a process with vfork sleeps until that lets it go, and is known to it until then. */
function checkVfork({ p, pid, waiter }: ProcessModel): void {
  assert.equal((p.lflag & K.PL_PPWAIT) !== 0, waiter !== null, `process ${pid} and who waits for it`);
  assert.equal(p.vforklwp, waiter?.l ?? null, `who waits for process ${pid}`);
  if (waiter === null) return;
  const { l } = waiter;
  assert.ok(
    waiter.isGone === false && l.stat === K.LSSLEEP && (l.flag & K.LW_SINTR) === 0 && l.wmesg === "vfork",
    `LWP ${l.proc.pid}.${l.lid} does not wait for process ${pid}, but is ${K.STATE_NAMES[l.stat]}`,
  );
}

/** LWP-64..67: nobody to collect, somebody to wait for, and somebody who may die. */
function checkWaiting(m: ProcessModel, t: ThreadModel, lid: number): void {
  const name = `LWP ${m.pid}.${t.lid}, which waits for ${lid}`;
  const { p } = m;
  const joinable = m.all.filter((l) => l.lid !== t.lid && (l.prflag & K.LPR_DETACHED) === 0);
  const mine = joinable.filter((l) => lid === 0 || l.lid === lid);
  assert.ok(mine.length > 0, `${name}: there is none`);
  const dead = mine.find((l) => l.stat === K.LSZOMB && (lid !== 0 || l.waiter === 0));
  assert.ok(dead === undefined, `${name}: ${dead?.lid} is dead`);
  // Neither a stop nor a creation is broadcast, and one created detached and suspended lowers the sum.
  const detached = (l: K.Lwp) => (l.prflag & K.LPR_DETACHED) !== 0;
  if (m.all.some((l) => l.stat === K.LSSTOP || (l.stat === K.LSSUSPENDED && detached(l)))) return;
  assert.ok(p.nrlwps + p.nzlwps - p.ndlwps > p.nlwpwait, `${name}: nobody is left to die`);
}

/** SYS-15: its target has neither become suspended nor let go on meanwhile, or it would have been told. */
function checkSuspending(m: ProcessModel, t: ThreadModel): void {
  const s = t.suspends;
  // One that was woken has begun anew.
  if (s === null || s.t === t || t.wakeups !== s.wakeups) return;
  const name = `LWP ${m.pid}.${t.lid}, which suspends ${s.t.lid}`;
  const l = m.alive(s.t.lid);
  assert.ok(l !== null, `${name}: there is none`);
  if (l.stat === K.LSSUSPENDED) assert.equal(s.t.suspended, s.suspended, `${name}: it is suspended`);
  else if ((l.flag & K.LW_WSUSPEND) === 0 && s.t.silent === s.silent)
    assert.equal(s.t.resumed, s.resumed, `${name}: it was let go on`);
}

function checkThread(m: ProcessModel, t: ThreadModel, l: K.Lwp, step: number): void {
  const name = `LWP ${m.pid}.${t.lid}`;
  assert.equal(l.vforkwait !== 0, t.child !== null, `${name}: waits for a child`);
  // What is pending is what it has sent itself, and has neither handled nor been made to forget.
  assert.ok(t.pending || !K.sigismember(l.k, l.sigpend, K.SIGUSR1), `${name}: a signal that is pending`);
  assert.equal((l.flag & K.LW_UNPARKED) !== 0, t.token, `${name}: a remembered wakeup`);
  assert.equal((l.prflag & K.LPR_DETACHED) === 0, t.joinable, `${name}: joinable`);
  if (l.class !== t.class || l.priority !== t.priority || l.affinity !== t.affinity)
    assert.deepEqual(
      [l.class, l.priority, l.affinity],
      [t.class, t.priority, t.affinity],
      `${name}: scheduling`,
    );
  // LWP-14, 16: halted is halted.
  const halted = l.stat === K.LSSUSPENDED || l.stat === K.LSSTOP;
  if (halted && t.frozen >= 0)
    assert.equal(t.progress, t.frozen, `${name} moved while ${K.STATE_NAMES[l.stat]}`);
  t.frozen = halted ? t.progress : -1;
  if ((l.flag & K.LW_WSUSPEND) !== 0)
    assert.ok(
      t.wanted || t.suspenders > 0,
      `${name} is to suspend itself, though nobody asked or it was continued`,
    );
  // The first waiter stays the first until it gives up (LWP-64).
  const first = m.find(t.waiter);
  if (t.waiter !== 0 && first?.waitingfor === t.lid)
    assert.equal(l.waiter, t.waiter, `${name}: its first waiter`);
  t.waiter = l.waiter;
  if (l.stat !== K.LSRUN) t.runnableSince = -1;
  else if (t.runnableSince < 0) t.runnableSince = step;
  else assert.ok(step - t.runnableSince < STARVES, `${name} starves: runnable since step ${t.runnableSince}`);
}
