/**
 * What is known of a running program from outside the kernel: who was created, who must still be collected, who has a wakeup
 * to come, who may move. Told of every call as it is made, and compared with the kernel after every step.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";

/** One thread, from its creation on. */
export class ThreadModel {
  readonly lid: number;
  /** Its record while it exists. */
  readonly l: K.Lwp;
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
  /** `lwpWakeup` calls that named it. */
  wakeups = 0;
  /** Continues that named it. */
  continues = 0;
  name = "";
  /** Its progress when it was first seen stopped or suspended; -1 = it is neither. */
  frozen = -1;
  /** Step at which it was first seen waiting for a CPU; -1 = it does not. */
  runnableSince = -1;

  constructor(l: K.Lwp) {
    this.lid = l.lid;
    this.l = l;
    this.joinable = (l.prflag & K.LPR_DETACHED) === 0;
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

  constructor(p: K.Proc) {
    this.p = p;
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

  born(l: K.Lwp): void {
    if (l.proc.nlwpid === 1) {
      const m = new ProcessModel(l.proc);
      this.processes.push(m);
      this.#byIndex.set(l.proc.index, m);
    }
    const m = this.of(l.proc);
    // LWP-31: strictly increasing, none twice.
    assert.equal(l.lid, (m.lids.at(-1) ?? 0) + 1, "the next lid");
    m.threads.set(l.lid, new ThreadModel(l));
    m.lids.push(l.lid);
    this.created++;
    this.last = l;
  }

  exiting(l: K.Lwp): void {
    const t = this.threadOf(l);
    assert.ok(!t.exiting, "an LWP exits once");
    t.exiting = true;
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
    if (l !== null && l.wchan !== 0) m.thread(lid).kicks++;
  }

  continues(m: ProcessModel, lid: number): void {
    if (m.alive(lid) !== null) m.thread(lid).continues++;
  }

  // --- after every step ------------------------------------------------------------------------------

  check(step: number): void {
    for (const m of this.processes) if (!m.ended) this.#checkProcess(m, step);
    this.#checkParked();
    this.#checkUids();
  }

  #checkProcess(m: ProcessModel, step: number): void {
    let newer = Number.POSITIVE_INFINITY;
    let here = 0;
    for (let i = m.p.lwps; i !== 0; here++) {
      const l = this.k.lwps.view(i);
      i = l.siblingNext;
      assert.ok(l.lid < newer, `process ${m.pid}: LWP ${l.lid} stands before an older one`);
      newer = l.lid;
      const t = m.thread(l.lid);
      assert.ok(!t.collected, `LWP ${m.pid}.${l.lid} was collected and is still there`);
      checkThread(m, t, l, step);
    }
    assert.ok(here > 0, `process ${m.pid} has no LWP`);
    // The first LWP has the reference that its process was made with; each that begins to exit drops one (LWP-53).
    if (m.p.stat !== K.SDYING && m.p.stat !== K.SZOMB) {
      const holders = m.all.filter((l) => l.fd !== 0).length;
      assert.equal(m.p.fdrefs, holders, `process ${m.pid}: references on its descriptors`);
      assert.equal(m.p.credrefs, holders, `process ${m.pid}: references on its credentials`);
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

  charged(uid: number): number {
    let n = 0;
    for (const m of this.processes) if (!m.ended && m.p.uid === uid) n += m.p.nlwps - 1;
    return n;
  }
}

function checkThread(m: ProcessModel, t: ThreadModel, l: K.Lwp, step: number): void {
  const name = `LWP ${m.pid}.${t.lid}`;
  assert.equal((l.flag & K.LW_UNPARKED) !== 0, t.token, `${name}: a remembered wakeup`);
  assert.equal((l.prflag & K.LPR_DETACHED) === 0, t.joinable, `${name}: joinable`);
  // LWP-14, 16: halted is halted.
  const halted = l.stat === K.LSSUSPENDED || l.stat === K.LSSTOP;
  if (halted && t.frozen >= 0) assert.equal(t.progress, t.frozen, `${name} moved while ${K.STATE_NAMES[l.stat]}`);
  t.frozen = halted ? t.progress : -1;
  if (l.stat !== K.LSRUN) t.runnableSince = -1;
  else if (t.runnableSince < 0) t.runnableSince = step;
  else assert.ok(step - t.runnableSince < STARVES, `${name} starves: runnable since step ${t.runnableSince}`);
}
