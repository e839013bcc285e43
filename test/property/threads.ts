/**
 * The threads of a random program: each makes the calls of its script, and compares every result with what the model and the
 * process's list of LWPs say it can be.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import type { KernelCalls } from "./kernel.js";
import { SignalCalls } from "./signals.js";
import { type Model, type ProcessModel, sameUser, type ThreadModel } from "./model.js";
import { type Call, type CallName, CALLS, type ProcessSpec } from "./program.js";

/** LWPs that one process creates at most. */
const CREATIONS = 14;
/** Processes that one program makes with vfork at most. */
const FORKS = 8;
/** Functions of step threads: index of the only one. */
const STEP_ENTRY = 0;

/** A step thread: up to four rounds, two bits of its argument each: yield, yield, park with a timeout, park. */
export function stepFunction(model: () => Model): K.StepFunction {
  return (t) => {
    const me = model().threadOf(t.l);
    me.progress++;
    const round = t.get(0);
    if (round > 0 && t.get(1) !== 0) checkStepPark(me, t);
    if (round >= 4) return K.STEP_EXIT;
    const kind = (t.l.arg >> (round * 2)) & 3;
    t.set(0, round + 1);
    t.set(1, kind >> 1);
    t.set(K.STEP_TICKS_WORD, kind === 2 ? 1 + (t.l.arg & 3) : 0);
    t.set(2, me.kicks);
    return kind < 2 ? K.STEP_YIELD : K.STEP_PARK;
  };
}

function checkStepPark(me: ThreadModel, t: K.StepThread): void {
  const timed = t.get(K.STEP_TICKS_WORD) !== 0;
  if (me.already) assert.equal(t.result, K.EALREADY);
  else if (t.result === 0) assert.ok(wasKicked(me, t.get(2)), "a park ended for no reason");
  else if (t.result === K.EINTR) assert.ok(me.wakeups > 0, "EINTR, but nobody woke it");
  else assert.equal(t.result, timed ? K.ETIMEDOUT : 0);
  me.already = false;
}

/** Whether anybody has taken it out of a sleep since it was kicked `before` times. */
function wasKicked(me: ThreadModel, before: number): boolean {
  return me.kicks > before || me.suspenders > 0;
}

/** What the threads of one run share. */
export class Threads {
  readonly #model: Model;
  readonly kernel: KernelCalls;
  readonly signals: SignalCalls;
  /** How often each call was made. */
  readonly counts = new Map<CallName, number>(CALLS.map((name) => [name, 0]));
  /** `pid.lid call -> result`, in order. */
  readonly log: string[] = [];
  /** LWPs with an id of the pid table; and how often there was none left. */
  pidlids = 0;
  pidlidsRefused = 0;
  /** Calls of vfork for which there was no room; children that let their parent go before they end. */
  forksRefused = 0;
  execs = 0;

  constructor(model: Model, kernel: KernelCalls) {
    this.#model = model;
    this.kernel = kernel;
    this.signals = new SignalCalls(model);
  }

  /** The start of a process's first thread. */
  main(spec: ProcessSpec): () => K.Body {
    return () => new Thread(this, this.#model, spec, 0).run();
  }

  tally(name: CallName): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}

class Thread {
  readonly #shared: Threads;
  readonly #model: Model;
  readonly #spec: ProcessSpec;
  readonly #script: number;
  #m!: ProcessModel;
  #me!: ThreadModel;

  constructor(shared: Threads, model: Model, spec: ProcessSpec, script: number) {
    this.#shared = shared;
    this.#model = model;
    this.#spec = spec;
    this.#script = script;
  }

  *run(): Generator<K.Token, void, undefined> {
    this.#m = this.#model.of(K.cur.lwp.proc);
    this.#me = this.#model.threadOf(K.cur.lwp);
    this.#model.entersUserMode(K.cur.lwp);
    if (!this.#m.signals) yield* this.#shared.signals.prepare(this.#m);
    for (const given of this.#spec.scripts[this.#script]) {
      const call = this.#allowed(given);
      this.#me.progress++;
      this.#shared.tally(call[0]);
      const said = yield* this.#make(call);
      this.#model.entersUserMode(K.cur.lwp);
      this.#me.progress++;
      this.#shared.log.push(`${this.#m.pid}.${this.#me.lid} ${call.join(" ")} -> ${said}`);
    }
  }

  /** Programs end: from some number of LWPs, or processes, on, a creation is only a yield. And what has no key makes one. */
  #allowed(call: Call): Call {
    const [name, a, b] = call;
    const { lwpData, procData } = this.#shared.kernel;
    if (name === "lwpSetspecific" && !lwpData.hasKey()) return ["lwpSpecificKeyCreate", a, b];
    if (name === "procSetspecific" && !procData.hasKey()) return ["procSpecificKeyCreate", a, b];
    // Nobody sends itself what would end its process.
    if (name === "lwpKill" && this.#m.action === S.SIG_DFL) return ["sigaction", a, b];
    if (name === "vfork") return this.#model.forked >= FORKS ? ["schedYield", 0, 0] : call;
    const creates = name === "lwpCreate" || name === "createStep" || name === "createAbandoned";
    return creates && this.#m.lids.length > CREATIONS ? ["schedYield", 0, 0] : call;
  }

  /** Some LWP that was created, or none. */
  #target(a: number): number {
    const { lids } = this.#m;
    const n = a % (lids.length + 1);
    return n === lids.length ? 1000 + a : lids[n];
  }

  #make([name, a, b]: Call): Generator<K.Token, string, undefined> {
    switch (name) {
      case "lwpCreate":
        return this.#create(a, b);
      case "createStep":
        return this.#createStep(a, b);
      case "createAbandoned":
        return this.#createAbandoned();
      case "lwpExit":
        return this.#exit();
      case "lwpSelf":
        return this.#self();
      case "lwpWait":
        return this.#wait(b % 3 === 0 ? 0 : this.#target(a));
      case "lwpSuspend":
        return this.#suspend(this.#target(a));
      case "lwpContinue":
        return this.#continue(this.#target(a));
      case "lwpWakeup":
        return this.#wakeup(this.#target(a));
      case "lwpDetach":
        return this.#detach(this.#target(a));
      case "lwpPark":
        return this.#park(null, b % 4 === 0 ? this.#target(a) : 0, hintOf(b));
      case "lwpPark until":
        return this.#park(a % 12, 0, hintOf(b));
      case "lwpUnpark":
        return this.#unpark(this.#target(a), hintOf(b));
      case "lwpUnparkAll":
        return this.#unparkAll(a, b);
      case "lwpSetname":
        return this.#setname(a % 4 === 0 ? 0 : this.#target(a), "n".repeat(b % 20));
      case "lwpGetname":
        return this.#getname(a % 4 === 0 ? 0 : this.#target(a), b % 20);
      case "lwpCtl":
        return this.#lwpCtl();
      case "lwpSetprivate":
        return this.#setprivate(a * 256 + b);
      case "lwpGetprivate":
        return settle(S.lwpGetprivate(), (error, value) =>
          assert.deepEqual([error, value], [0, this.#me.private]),
        );
      case "schedYield":
        return this.#yield();
      case "setuid":
        return this.#setuid(S.setuid(a % 3), a % 3);
      case "seteuid":
        return this.#setuid(S.seteuid(a % 3), a % 3);
      case "getuid":
        return settle(S.getuid(), (error, uid) => assert.deepEqual([error, uid], [0, K.cur.lwp.cred?.uid]));
      case "geteuid":
        return settle(S.geteuid(), (error, uid) => assert.deepEqual([error, uid], [0, K.cur.lwp.cred?.euid]));
      case "schedSetparam":
        return this.#setparam(a, b);
      case "schedGetparam":
        return this.#getparam(a, b);
      case "schedSetaffinity":
        return this.#setaffinity(a, b);
      case "schedGetaffinity":
        return this.#getaffinity(a, b);
      case "sysctl":
        return this.#sysctl(a, b);
      case "vfork":
        return this.#vfork(a, b);
      case "lwpReclaim":
        return inKernel(this.#shared.kernel.reclaim());
      case "xcall low":
        return inKernel(this.#shared.kernel.crossCall(0, a));
      case "xcall high":
        return inKernel(this.#shared.kernel.crossCall(K.XC_HIGHPRI, a));
      case "kthread":
        return inKernel(this.#shared.kernel.kthread(a, b));
      case "pserializePerform":
        return inKernel(this.#shared.kernel.perform());
      case "lwpSpecificKeyCreate":
        return inKernel(this.#shared.kernel.lwpData.create(a));
      case "lwpSpecificKeyDelete":
        return inKernel(this.#shared.kernel.lwpData.remove(a));
      case "lwpSetspecific":
        return inKernel(this.#shared.kernel.lwpData.set(this.#me, a));
      case "lwpGetspecific":
        return answer(this.#shared.kernel.lwpData.get(this.#me, a));
      case "procSpecificKeyCreate":
        return inKernel(this.#shared.kernel.procData.create(a));
      case "procSpecificKeyDelete":
        return inKernel(this.#shared.kernel.procData.remove(a));
      case "procSetspecific":
        return inKernel(this.#shared.kernel.procData.set(this.#m, a));
      case "procGetspecific":
        return answer(this.#shared.kernel.procData.get(this.#m, a));
      case "sigaction":
        return this.#shared.signals.act(this.#m, a);
      case "lwpKill":
        return this.#shared.signals.send(this.#m, this.#me);
      case "sigprocmask":
        return this.#shared.signals.mask(this.#me, a);
      case "sigpending":
        return this.#shared.signals.pending(this.#m, this.#me);
      case "kill":
        return this.#kill(a);
      case "sigtimedwait":
        return this.#shared.signals.wait(this.#m, this.#me, a);
      case "sigsuspend":
        return this.#shared.signals.suspend(this.#me);
      case "alarm":
        return this.#shared.signals.alarm(this.#m, a);
      case "procExit":
        return this.#procExit(a);
    }
  }

  // --- life and death ------------------------------------------------------------------------------

  /** LWP-42, 43: EAGAIN, or 0. */
  #creationError(): number {
    const { p } = this.#m;
    const { k } = this.#model;
    const limit = p.nthrSoft;
    // The charge is the real user's, the right to exceed it the effective one's (LWP-42).
    if (p.cred?.euid !== 0 && this.#model.charged(p.uid) + 1 > limit) return K.EAGAIN;
    if (this.#spec.pidlids && k.g.npids === k.limits.procs) return K.EAGAIN;
    return p.zomblwp === null && k.lwps.inUse === k.lwps.limit ? K.EAGAIN : 0;
  }

  *#create(a: number, b: number): Generator<K.Token, string, undefined> {
    const script = 1 + (a % (this.#spec.scripts.length - 1));
    const flags = ((b & 3) === 0 ? S.LWP_SUSPENDED : 0) | ((b & 12) === 0 ? S.LWP_DETACHED : 0);
    const expected = this.#creationError();
    const lid = this.#m.lids.length + 1;
    const start = () => new Thread(this.#shared, this.#model, this.#spec, script).run();
    if (this.#spec.pidlids) {
      return yield* this.#createPidlid({ kind: K.CTX_CLOSURE, closure: start }, flags);
    }
    return yield* settle(S.lwpCreate(start, flags), (error, made) => {
      assert.equal(error, expected);
      if (error === 0) assert.equal(made, lid);
    });
  }

  *#createStep(a: number, b: number): Generator<K.Token, string, undefined> {
    const expected = this.#creationError();
    const flags = (b & 3) === 0 ? S.LWP_DETACHED : 0;
    if (this.#spec.pidlids) {
      return yield* this.#createPidlid({ kind: K.CTX_STEP, entry: STEP_ENTRY, arg: a }, flags);
    }
    const l = K.cur.lwp;
    K.cacheCreds(l);
    try {
      const lid = K.createLwp(l, flags, { kind: K.CTX_STEP, entry: STEP_ENTRY, arg: a });
      assert.equal(expected, 0);
      yield* S.lwpSelf();
      return `${lid}`;
    } catch (error) {
      assert.equal(errnoOf(error), expected);
      return codeOf(error);
    }
  }

  /** LWP-36: as Linux emulation makes its threads. */
  *#createPidlid(start: K.Start, flags: number): Generator<K.Token, string, undefined> {
    const expected = this.#creationError();
    const refused = expected !== 0 && this.#model.k.g.npids === this.#model.k.limits.procs;
    const l = K.cur.lwp;
    K.cacheCreds(l);
    const detached = flags & S.LWP_DETACHED;
    const made = K.lwpCreate(l, l.proc, detached | K.LWP_PIDLID, start, l.class);
    assert.equal(made === null, expected !== 0);
    if (made === null) {
      if (refused) this.#shared.pidlidsRefused++;
      return "EAGAIN";
    }
    this.#shared.pidlids++;
    const { lid } = made;
    K.lwpStart(l, made, flags);
    yield* S.lwpSelf();
    return `${lid}`;
  }

  /** Created, and thrown away before it has started, as a failed clone would be (LWP-51). */
  *#createAbandoned(): Generator<K.Token, string, undefined> {
    const expected = this.#creationError();
    const l = K.cur.lwp;
    K.cacheCreds(l);
    const flags = this.#spec.pidlids ? K.LWP_PIDLID : 0;
    const made = K.lwpCreate(l, l.proc, flags, { kind: K.CTX_STEP, entry: STEP_ENTRY }, l.class);
    assert.equal(made === null, expected !== 0);
    if (made === null) return "EAGAIN";
    assert.equal(K.lwpExitBegin(made), K.EXIT_READY);
    K.lwpExitFinish(made);
    assert.equal(made.stat, K.LSZOMB);
    yield* S.lwpSelf();
    return `${made.lid}`;
  }

  /** PRC-14. The child runs one of the scripts; some let the parent go first, as with a program of their own. */
  *#vfork(a: number, b: number): Generator<K.Token, string, undefined> {
    const { k } = this.#model;
    const { lwp } = K.cur;
    const script = a % this.#spec.scripts.length;
    const full =
      k.g.npids === k.limits.procs || k.procs.inUse === k.procs.limit || k.lwps.inUse === k.lwps.limit;
    const child = new Thread(this.#shared, this.#model, this.#spec, script);
    const start = { kind: K.CTX_CLOSURE, closure: () => child.#runForked(b % 3 === 0) };
    K.cacheCreds(lwp);
    const pid = yield* K.vfork1(lwp, { comm: "vforked", nthr: this.#spec.nthr }, start);
    if (full) this.#shared.forksRefused++;
    assert.equal(pid === 0, full);
    if (pid !== 0) {
      const m = this.#model.processes.find((other) => other.pid === pid);
      assert.ok(m !== undefined && m.waiter === null, `process ${pid} has not let its parent go`);
    }
    yield* S.lwpSelf();
    return `${pid}`;
  }

  *#runForked(execs: boolean): Generator<K.Token, void, undefined> {
    const { lwp } = K.cur;
    if (execs) {
      this.#shared.execs++;
      K.vforkDone(lwp);
      this.#model.letsGo(this.#model.of(lwp.proc));
      yield* S.lwpSelf();
    }
    yield* this.run();
  }

  *#exit(): Generator<K.Token, string, undefined> {
    yield* S.lwpExit();
    return assert.fail("lwpExit came back");
  }

  *#procExit(status: number): Generator<K.Token, string, undefined> {
    const { p } = this.#m;
    // PRC-28: the first who asks decides.
    if ((p.sflag & K.PS_WEXIT) === 0) this.#m.status = status << 8;
    yield* S.procExit(status);
    return assert.fail("procExit came back");
  }

  *#self(): Generator<K.Token, string, undefined> {
    const lid = yield* S.lwpSelf();
    assert.equal(lid, this.#me.lid);
    return `${lid}`;
  }

  /** A superuser may become anybody, others who they are or were. All its LWPs are charged to the new real user at once. */
  #setuid(call: S.Operation<void>, id: number): Generator<K.Token, string, undefined> {
    const { uid, euid, svuid } = this.#m.p.cred as K.Cred;
    const expected = euid === 0 || [uid, euid, svuid].includes(id) ? 0 : K.EPERM;
    return settle(call, (error) => {
      assert.equal(error, expected);
      assert.equal(K.cur.lwp.uid, K.cur.lwp.cred?.uid);
    });
  }

  *#yield(): Generator<K.Token, string, undefined> {
    yield* S.schedYield();
    return "";
  }

  // --- waiting for others ----------------------------------------------------------------------------

  #wait(lid: number): Generator<K.Token, string, undefined> {
    const m = this.#m;
    this.#me.waitsFor = lid;
    return settle(S.lwpWait(lid), (error, departed) => {
      this.#me.waitsFor = null;
      if (error === 0) return this.#collected(lid, departed as number);
      assert.ok([K.ESRCH, K.EDEADLK, K.EINTR].includes(error));
      if (error === K.EINTR) assert.ok(this.#me.wakeups > 0, "EINTR, but nobody woke it");
      if (lid === this.#me.lid) assert.notEqual(error, K.ESRCH);
      // SYS-11: no such LWP, detached, or collected by somebody else.
      const l = error === K.ESRCH && lid !== 0 ? m.find(lid) : null;
      assert.ok(l === null || (l.prflag & K.LPR_DETACHED) !== 0, `ESRCH for ${lid}, which is joinable`);
    });
  }

  /** Each joinable LWP once, after its exit, and to whom asked for it. */
  #collected(asked: number, departed: number): void {
    const t = this.#m.thread(departed);
    assert.ok(asked === 0 || asked === departed, `asked for ${asked}, got ${departed}`);
    // LWP-64: a wait for any leaves alone whom somebody waits for by name.
    assert.ok(asked !== 0 || t.waiter === 0, `LWP ${departed} was kept for ${t.waiter}`);
    assert.ok(t.joinable && t.exiting && !t.collected, `LWP ${departed} cannot be collected`);
    assert.ok(this.#m.find(departed) === null, `LWP ${departed} is still there`);
    t.collected = true;
    this.#model.collected++;
  }

  #suspend(lid: number): Generator<K.Token, string, undefined> {
    const m = this.#m;
    const self = lid === this.#me.lid;
    const onlyOne = self && m.p.nrlwps === 1;
    const there = m.alive(lid) !== null;
    const before = there ? m.thread(lid).continues : 0;
    if (there && !onlyOne) this.#beginSuspend(m.thread(lid));
    return settle(S.lwpSuspend(lid), (error) => {
      if (this.#me.suspends !== null) this.#endSuspend(m.thread(lid), this.#me.suspends.wakeups);
      assert.ok([0, K.ESRCH, K.EDEADLK].includes(error));
      if (!there) assert.equal(error, K.ESRCH);
      if (onlyOne) assert.equal(error, K.EDEADLK);
      if (error === K.EDEADLK) assert.ok(self);
      if (error === K.ESRCH) assert.ok(m.alive(lid) === null, `ESRCH for ${lid}, which is there`);
      if (error !== 0 || self || (m.p.sflag & K.PS_WEXIT) !== 0) return;
      // SYS-15: it is suspended, unless somebody has let it go on.
      const t = m.thread(lid);
      const l = m.alive(lid);
      if (t.continues === before) assert.equal(l?.stat, K.LSSUSPENDED, `${lid} was not suspended`);
    });
  }

  #beginSuspend(t: ThreadModel): void {
    t.suspenders++;
    t.wanted = true;
    const { suspended, resumed, silent } = t;
    // A cancellation that is pending will have the call executed again, like one that comes later.
    const wakeups = (K.cur.lwp.flag & K.LW_CANCELLED) === 0 ? this.#me.wakeups : -1;
    this.#me.suspends = { t, suspended, resumed, silent, wakeups };
  }

  /** A call that was woken was executed again, and may have taken its target out of a sleep each time. */
  #endSuspend(t: ThreadModel, wakeups: number): void {
    t.suspenders--;
    t.kicks++;
    if (this.#me.wakeups !== wakeups) t.wanted = true;
    this.#me.suspends = null;
  }

  #continue(lid: number): Generator<K.Token, string, undefined> {
    const l = this.#m.alive(lid);
    this.#model.continues(this.#m, lid);
    return settle(S.lwpContinue(lid), (error) => assert.equal(error, l === null ? K.ESRCH : 0));
  }

  #wakeup(lid: number): Generator<K.Token, string, undefined> {
    const expected = this.#model.wakes(this.#m, lid);
    return settle(S.lwpWakeup(lid), (error) => assert.equal(error, expected));
  }

  #detach(lid: number): Generator<K.Token, string, undefined> {
    const l = this.#m.find(lid);
    let expected = 0;
    if (l === null || l.stat === K.LSIDL) expected = K.ESRCH;
    else if ((l.prflag & K.LPR_DETACHED) !== 0) expected = K.EINVAL;
    if (expected === 0) this.#m.thread(lid).joinable = false;
    return settle(S.lwpDetach(lid), (error) => assert.equal(error, expected));
  }

  // --- parking ---------------------------------------------------------------------------------------

  /** `until`: ticks from now, or null for ever; 0 and 1 have passed. */
  *#park(until: number | null, unpark: number, hint: number): Generator<K.Token, string, undefined> {
    const { k } = this.#model;
    const me = this.#me;
    const unknown = unpark !== 0 && !this.#model.unparks(this.#m, unpark);
    const deadline = until === null ? null : timeAtTick(k, until - 1);
    const passed = until !== null && until <= 1;
    const before = { kicks: me.kicks, token: me.token };
    me.already = false;
    return yield* settle(S.lwpPark(deadline, unpark, hint), (error) => {
      if (unknown) return assert.equal(error, K.ESRCH);
      if (passed) return assert.equal(error, K.ETIMEDOUT);
      if (me.already || error === K.EALREADY) {
        assert.ok(me.already, "EALREADY, but nothing was pending");
        return assert.equal(error, K.EALREADY);
      }
      assert.ok(!before.token, "a wakeup that was pending got lost");
      if (error === 0) assert.ok(wasKicked(me, before.kicks), "a park ended for no reason");
      else if (error === K.EINTR) assert.ok(me.wakeups > 0, "EINTR, but nobody woke it");
      else {
        assert.equal(error, K.ETIMEDOUT);
        assert.ok(until !== null && reached(k, deadline as S.Timespec), "a time-out before its time");
      }
    });
  }

  #unpark(lid: number, hint: number): Generator<K.Token, string, undefined> {
    const found = this.#model.unparks(this.#m, lid);
    return settle(S.lwpUnpark(lid, hint), (error) => assert.equal(error, found ? 0 : K.ESRCH));
  }

  #unparkAll(a: number, b: number): Generator<K.Token, string, undefined> {
    if (b % 16 === 0) {
      return settle(S.lwpUnparkAll(null), (error, most) => assert.deepEqual([error, most], [0, 1024]));
    }
    const lids = Array.from({ length: b % 5 }, (_, i) => this.#target(a + i * 7));
    const woken = new Set<number>();
    for (const lid of lids) this.#model.unparks(this.#m, lid, woken);
    return settle(S.lwpUnparkAll(lids, hintOf(b)), (error) =>
      assert.equal(error, lids.length === 0 ? K.EINVAL : 0),
    );
  }

  // --- names -----------------------------------------------------------------------------------------

  #setname(lid: number, name: string): Generator<K.Token, string, undefined> {
    const target = lid === 0 ? this.#me.lid : lid;
    const there = this.#m.alive(target) !== null;
    if (there) this.#m.thread(target).name = name.slice(0, 15);
    return settle(S.lwpSetname(lid, name), (error) => assert.equal(error, there ? 0 : K.ESRCH));
  }

  #getname(lid: number, len: number): Generator<K.Token, string, undefined> {
    const target = lid === 0 ? this.#me.lid : lid;
    const there = this.#m.alive(target) !== null;
    const name = there ? this.#m.thread(target).name : "";
    const long = name.length + 1 > len;
    return settle(S.lwpGetname(lid, len), (error, got) => {
      assert.equal(error, there ? (long ? K.ENAMETOOLONG : 0) : K.ESRCH);
      if (error === 0) assert.equal(got, name);
    });
  }

  // --- scheduling, and what the machine lets itself be asked -------------------------------------------

  /** A process: its own, by 0 or by its id, another one, or none. With it what the call is to find. */
  #process(a: number): { pid: number; p: K.Proc | null } {
    const { processes } = this.#model;
    const n = a % (processes.length + 3);
    if (n < 2) return { pid: n === 0 ? 0 : this.#m.pid, p: this.#m.p };
    const m = processes[n - 3];
    if (m === undefined) return { pid: 9999, p: null };
    const live = !m.ended && (m.p.stat === K.SACTIVE || m.p.stat === K.SSTOP);
    return { pid: m.pid, p: live ? m.p : null };
  }

  /** An LWP of that process, or none; 0 = all, or the newest. */
  #lwpOf(p: K.Proc | null, b: number): number {
    const lids = p === null ? [] : K.procLwps(p).map((l) => l.lid);
    const n = b % (lids.length + 2);
    return n < 2 ? n * 5000 : lids[n - 2];
  }

  /** The caller's ids: it adopts its process's when it enters the call. */
  #cred(): K.Cred {
    return this.#m.p.cred as K.Cred;
  }

  /** Only the superuser may, or who has the same real user. */
  #kill(a: number): Generator<K.Token, string, undefined> {
    const { pid, p } = this.#process(a);
    const may = p === this.#m.p || this.#cred().euid === 0 || this.#cred().uid === p?.uid;
    return this.#shared.signals.kill(this.#me, pid, p, may);
  }

  #setparam(a: number, b: number): Generator<K.Token, string, undefined> {
    const { pid, p } = this.#process(a);
    const lid = this.#lwpOf(p, b);
    const policy = (b % 5) - 1;
    const priority = a % 3 === 0 ? (a % 67) - 1 : -1;
    const expected = this.#model.setsParam(this.#cred(), p, lid, policy, priority);
    return settle(S.schedSetparam(pid, lid, policy, { priority }), (error) => assert.equal(error, expected));
  }

  #getparam(a: number, b: number): Generator<K.Token, string, undefined> {
    const { pid, p } = this.#process(a);
    const lid = this.#lwpOf(p, b);
    const t = this.#asked(p, lid);
    let expected = t === null ? K.ESRCH : 0;
    const cred = this.#cred();
    if (t !== null && cred.euid !== 0 && !sameUser(cred, (p as K.Proc).cred)) expected = K.EPERM;
    const param = t === null ? null : { policy: t.class, priority: t.priority & 63 };
    return settle(S.schedGetparam(pid, lid), (error, got) => {
      assert.equal(error, expected);
      if (error === 0) assert.deepEqual(got, param);
    });
  }

  #setaffinity(a: number, b: number): Generator<K.Token, string, undefined> {
    const { k } = this.#model;
    const { pid, p } = this.#process(a);
    const lid = this.#lwpOf(p, b);
    const set = Uint8Array.of(a % 3 === 0 ? 0 : 0xf0 | (a >> 4) | 1);
    const expected = this.#model.setsAffinity(this.#cred(), p, lid, set[0] & ((1 << k.g.ncpu) - 1));
    return settle(S.schedSetaffinity(pid, lid, set), (error) => assert.equal(error, expected));
  }

  #getaffinity(a: number, b: number): Generator<K.Token, string, undefined> {
    const { pid, p } = this.#process(a);
    const lid = this.#lwpOf(p, b);
    const t = this.#asked(p, lid);
    const cpus = t?.affinity;
    const set = new Uint8Array(1);
    return settle(S.schedGetaffinity(pid, lid, set), (error) => {
      assert.equal(error, t === null ? K.ESRCH : 0);
      if (error === 0) assert.equal(set[0], cpus);
    });
  }

  /** Whom a call that asks finds: the newest in any state, or one that is alive (LWP-78). */
  #asked(p: K.Proc | null, lid: number): ThreadModel | null {
    if (p === null) return null;
    const m = this.#model.of(p);
    const l = lid === 0 ? m.all[0] : m.alive(lid);
    return l === undefined || l === null ? null : m.thread(l.lid);
  }

  #sysctl(a: number, b: number): Generator<K.Token, string, undefined> {
    const { g, limits } = this.#model.k;
    const may = this.#cred().euid === 0;
    const [name, now, most] =
      a % 2 === 0
        ? ["kern.maxlwp", g.maxlwp, limits.lwps]
        : ["security.models.extensions.user_set_cpu_affinity", g.userSetCpuAffinity, 1];
    const value = b % 3 === 0 ? undefined : (b % (most + 3)) - 1;
    const wrong = value !== undefined && (value < 0 || value > most);
    const expected = value === undefined ? 0 : !may ? K.EPERM : wrong ? K.EINVAL : 0;
    return settle(S.sysctl(name, value), (error, before) => {
      assert.equal(error, expected);
      if (error === 0) assert.equal(before, now);
    });
  }

  // --- words and the private pointer -----------------------------------------------------------------

  #setprivate(value: number): Generator<K.Token, string, undefined> {
    this.#me.private = value;
    return settle(S.lwpSetprivate(value), (error) => assert.equal(error, 0));
  }

  /** The same words at each call, which tell of this CPU, and of every switch. */
  #lwpCtl(): Generator<K.Token, string, undefined> {
    const me = this.#me;
    // LWP-103: who is waited for by its maker has no words of its own.
    const borrows = (this.#m.p.lflag & K.PL_PPWAIT) !== 0;
    return settle(S.lwpCtl(), (error, words) => {
      assert.equal(error, borrows ? K.EBUSY : 0);
      if (borrows) return;
      assert.equal(words?.curcpu, K.cur.cpu.index - 1);
      if (me.words === null) me.words = words as S.LwpCtl;
      else assert.ok(words.address === me.words.address && words.pctr >= me.pctr, "other words");
      me.pctr = me.words.pctr;
    });
  }
}

/** What a thread does as a part of the kernel, and its return to user mode. */
function* inKernel(call: Generator<K.Token, string, undefined>): Generator<K.Token, string, undefined> {
  const said = yield* call;
  yield* S.lwpSelf();
  return said;
}

function* answer(said: string): Generator<K.Token, string, undefined> {
  yield* S.lwpSelf();
  return said;
}

/** Makes a call and has its outcome looked at: errno, or 0 and the value. Anything but an `LwpError` goes on up. */
function* settle<T>(
  operation: S.Operation<T>,
  look: (errno: number, value: T | undefined) => void,
): Generator<K.Token, string, undefined> {
  let value: T;
  try {
    value = yield* operation;
  } catch (error) {
    look(errnoOf(error), undefined);
    return codeOf(error);
  }
  look(0, value);
  return String(value ?? "");
}

function errnoOf(error: unknown): number {
  if (error instanceof S.LwpError) return error.errno;
  throw error;
}

function codeOf(error: unknown): string {
  return error instanceof S.LwpError ? error.code : String(error);
}

/** Four hints, which stand for four buckets. */
function hintOf(b: number): number {
  return (b & 0x30) << 4;
}

/** The wall-clock time `ticks` after the present tick. */
function timeAtTick(k: K.Kernel, ticks: number): S.Timespec {
  const at = k.g.ticks - 1 + ticks;
  const sec = Math.floor(at / k.hz);
  return { sec: k.g.wallAtBoot + sec, nsec: Math.round((at - sec * k.hz) * (1e9 / k.hz)) };
}

function reached(k: K.Kernel, ts: S.Timespec): boolean {
  const now = k.g.ticks - 1;
  return k.g.wallAtBoot + now / k.hz >= ts.sec + ts.nsec / 1e9 - 1e-6;
}
