/**
 * What acts on a program from outside: a debugger that stops and continues it and holds references, and somebody who
 * migrates its threads. By hand, under the locks that LWP-16..20 demand, as one CPU would while the others stand between steps
 * or in a window.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import type { Model, ProcessModel } from "./model.js";

export type Choose = (site: string, n: number) => number;

const SIGSTOP = 17;

/** Whether the process is to come to a halt, or has. */
function isStopping(p: K.Proc): boolean {
  return (p.stat === K.SSTOP || (p.sflag & K.PS_STOPPING) !== 0) && (p.sflag & K.PS_WEXIT) === 0;
}

export class Hands {
  readonly #k: K.Kernel;
  readonly #model: Model;
  readonly #choose: Choose;
  /** LWPs on which a reference is held. */
  #held: K.Lwp[] = [];
  /** Calls of `lwpMigrate`. */
  migrations = 0;

  constructor(k: K.Kernel, model: Model, choose: Choose) {
    this.#k = k;
    this.#model = model;
    this.#choose = choose;
  }

  #pick<T>(site: string, list: readonly T[]): T | null {
    return list.length === 0 ? null : list[this.#choose(site, list.length)];
  }

  #anyCpu(): K.Cpu {
    return this.#k.cpus.view(1 + this.#choose("hand cpu", this.#k.g.ncpu));
  }

  /** Some process, and some LWP of it. */
  #anyLwp(): { m: ProcessModel; l: K.Lwp } | null {
    const m = this.#pick("hand process", this.#model.alive);
    const l = m === null ? null : this.#pick("hand lwp", m.all);
    return m === null || l === null ? null : { m, l };
  }

  /** One act between two steps. */
  act(): void {
    const target = this.#anyLwp();
    if (target === null) return;
    const { m, l } = target;
    const ci = this.#anyCpu();
    switch (this.#choose("hand", 10)) {
      case 0:
      case 1:
        return this.migrate(ci, l);
      case 2:
        return K.asCpu(ci, () => this.#stop(m));
      case 3:
        if (this.#choose("continue", 3) === 0) return this.unstopOne(ci, m, l);
        return void this.unstop(ci, m, this.#choose("debugger", 2) === 0);
      case 4:
        return this.#hold(ci, l);
      case 5:
        return this.#release(ci, this.#choose("hand ref", Math.max(1, this.#held.length)));
      case 6:
        return this.suspend(ci, m, l);
      case 7:
        return this.unpark(ci, m, l);
      default:
        return this.wakeup(ci, m, l);
    }
  }

  /** One act at a window in which `l` stands on another CPU, which holds no lock. */
  actAt(ci: K.Cpu, l: K.Lwp): void {
    const other = this.#otherCpu(ci);
    if (other === null) return;
    const m = this.#model.of(l.proc);
    switch (this.#choose("window act", 5)) {
      case 0:
        return this.unpark(other, m, l);
      case 1:
        return this.wakeup(other, m, l);
      case 2:
        return this.suspend(other, m, l);
      case 3:
        return this.migrate(other, l);
      default:
        return this.continue(other, m, l);
    }
  }

  /** The same, and what is done is a continue. */
  continueAt(ci: K.Cpu, l: K.Lwp): void {
    const other = this.#otherCpu(ci);
    if (other !== null) this.continue(other, this.#model.of(l.proc), l);
  }

  #otherCpu(ci: K.Cpu): K.Cpu | null {
    const others = [];
    for (let i = 1; i <= this.#k.g.ncpu; i++) if (i !== ci.index) others.push(this.#k.cpus.view(i));
    return this.#pick("window cpu", others);
  }

  // --- calls on behalf of nobody -----------------------------------------------------------------

  unpark(ci: K.Cpu, m: ProcessModel, l: K.Lwp): void {
    K.asCpu(ci, () => {
      const found = this.#model.unparks(m, l.lid);
      assert.equal(K.unpark(m.p, l.lid, 0), found ? 0 : K.ESRCH);
    });
  }

  wakeup(ci: K.Cpu, m: ProcessModel, l: K.Lwp): void {
    this.#locked(ci, m, () => {
      if (m.alive(l.lid) === null) return;
      const error = this.#model.wakes(m, l.lid);
      K.lwpLock(l);
      l.flag |= K.LW_CANCELLED | K.LW_UNPARKED;
      if (error === 0) K.lwpUnsleep(l, true);
      else K.lwpUnlock(l);
    });
  }

  suspend(ci: K.Cpu, m: ProcessModel, l: K.Lwp): void {
    this.#locked(ci, m, () => {
      this.#model.suspends(m, l.lid);
      const refused = (K.cur.lwp.flag & (K.LW_WEXIT | K.LW_WCORE)) !== 0;
      const expected = refused ? K.EDEADLK : m.alive(l.lid) === null ? K.EINTR : 0;
      K.lwpLock(l);
      assert.equal(K.lwpSuspend(K.cur.lwp, l), expected);
    });
  }

  continue(ci: K.Cpu, m: ProcessModel, l: K.Lwp): void {
    // In a stopped process nobody runs who could continue another.
    if (m.p.stat === K.SSTOP) return;
    this.#locked(ci, m, () => {
      this.#model.continues(m, l.lid);
      K.lwpLock(l);
      K.lwpContinue(l);
      assert.notEqual(l.stat, K.LSSUSPENDED);
    });
  }

  #locked(ci: K.Cpu, m: ProcessModel, body: () => void): void {
    K.asCpu(ci, () => {
      K.spinEnter(this.#k, m.p.lock);
      body();
      K.spinExit(this.#k, m.p.lock);
    });
  }

  /** Moves an LWP, and compares what happens at once with LWP-75. */
  migrate(ci: K.Cpu, l: K.Lwp): void {
    const target = this.#anyCpu();
    this.migrations++;
    const was = { cpu: l.cpu, pending: l.targetCpu, stat: l.stat, mutex: l.mutex };
    const state = (l.pflag & K.LP_RUNNING) !== 0 ? K.LSONPROC : was.stat;
    K.asCpu(ci, () => {
      K.lwpLock(l);
      K.lwpMigrate(l, target);
    });
    assert.equal(l.stat, was.stat);
    if (was.pending !== null) {
      assert.ok(l.targetCpu === target && l.cpu === was.cpu, "a pending migration only changes its aim");
      return;
    }
    const later = state === K.LSRUN || state === K.LSONPROC;
    const moved = was.cpu !== target && state !== K.LSZOMB;
    assert.ok(l.targetCpu === (moved && later ? target : null), "where it is to go");
    assert.ok(l.cpu === (moved && !later ? target : was.cpu), "its CPU");
    let { mutex } = was;
    if (moved && state === K.LSIDL) mutex = target.mutex;
    if (moved && (state === K.LSSTOP || state === K.LSSUSPENDED) && l.wchan === 0) mutex = target.lwplock;
    assert.equal(l.mutex, mutex);
  }

  // --- references ----------------------------------------------------------------------------------

  #hold(ci: K.Cpu, l: K.Lwp): void {
    if (l.stat === K.LSZOMB || l.refcnt === 0 || this.#held.length > 3) return;
    K.asCpu(ci, () => {
      K.spinEnter(this.#k, l.proc.lock);
      K.lwpAddref(l);
      K.spinExit(this.#k, l.proc.lock);
    });
    this.#held.push(l);
  }

  #release(ci: K.Cpu, n: number): void {
    const l = this.#held[n];
    if (l === undefined) return;
    this.#held.splice(n, 1);
    K.asCpu(ci, () => K.lwpDelref(l));
  }

  /** Lets go of everything; false if there was nothing. */
  releaseAll(): boolean {
    const any = this.#held.length > 0;
    while (this.#held.length > 0) this.#release(this.#k.cpus.view(1), 0);
    return any;
  }

  // --- stop and continue ---------------------------------------------------------------------------

  /** The caller is a CPU. */
  #stop(m: ProcessModel): void {
    this.#bothLocked(m, () => K.procStop(m.p, SIGSTOP));
  }

  /** Continues a process as SIGCONT does, or as a debugger, which has a sleeper take a signal. */
  unstop(ci: K.Cpu, m: ProcessModel, debug = false): boolean {
    const { p } = m;
    if (!isStopping(p)) return false;
    const halted = m.all.filter((l) => l.stat === K.LSSTOP);
    const asleep = halted.filter((l) => l.wchan !== 0);
    const running = p.nrlwps;
    const taker = debug ? asleep[0] : undefined;
    if (taker !== undefined) m.thread(taker.lid).kicks++;
    K.asCpu(ci, () => this.#bothLocked(m, () => K.procUnstop(p, debug ? SIGSTOP : 0)));
    assert.deepEqual([p.stat, p.sflag & K.PS_STOPPING], [K.SACTIVE, 0]);
    assert.equal(p.nrlwps, running + halted.length, "all that were stopped count as running again");
    for (const l of asleep) assert.equal(l.stat === K.LSSLEEP, l !== taker, "who slept sleeps on");
    return true;
  }

  /** Continues one LWP (LWP-74). */
  unstopOne(ci: K.Cpu, m: ProcessModel, l: K.Lwp): void {
    const { p } = m;
    const stopped = l.stat === K.LSSTOP;
    const { stat } = p;
    const others = m.all.filter((other) => other !== l).map((other) => other.stat);
    if (stopped && l.wchan !== 0 && p.xstat !== 0) m.thread(l.lid).kicks++;
    K.asCpu(ci, () => this.#bothLocked(m, () => K.lwpUnstop(l)));
    assert.equal(p.stat, stopped ? K.SACTIVE : stat);
    assert.notEqual(l.stat, K.LSSTOP);
    const now = m.all.filter((other) => other !== l).map((other) => other.stat);
    assert.deepEqual(now, others, "nobody else goes on");
  }

  #bothLocked(m: ProcessModel, body: () => void): void {
    const { procLock } = this.#k.g;
    K.spinEnter(this.#k, procLock);
    K.spinEnter(this.#k, m.p.lock);
    body();
    K.spinExit(this.#k, m.p.lock);
    K.spinExit(this.#k, procLock);
  }

  /** The caller of `sigswitch` is LSSTOP and has not switched yet. */
  unstopAt(ci: K.Cpu, l: K.Lwp): void {
    const other = this.#otherCpu(ci);
    if (other === null || l.stat !== K.LSSTOP) return;
    if (this.#choose("continue one", 2) === 0) this.unstopOne(other, this.#model.of(l.proc), l);
    else this.unstop(other, this.#model.of(l.proc));
    if (l.stat !== K.LSSTOP) assert.equal(l.stat, K.LSONPROC, "continued before it has left its CPU");
  }

  /** The debugger stops the process between a creation and the new LWP's start (SYS-3). */
  stopBirth(ci: K.Cpu, p: K.Proc): void {
    K.asCpu(ci, () => this.#stop(this.#model.of(p)));
  }

  // --- the end ---------------------------------------------------------------------------------------

  /** Continues everything that the debugger has stopped; false if there was nothing. */
  unstopAll(): boolean {
    let any = false;
    for (const m of this.#model.alive) {
      any = this.unstop(this.#k.cpus.view(1), m) || any;
      for (const l of m.all) {
        if (l.stat !== K.LSSTOP) continue;
        this.unstopOne(this.#k.cpus.view(1), m, l);
        any = true;
      }
    }
    return any;
  }

  /** Wakes everybody who can be woken, by a way that changes from round to round. */
  wakeAll(round: number): void {
    const ci = this.#k.cpus.view(1);
    for (const m of this.#model.alive) {
      for (const l of m.all) {
        if (m.alive(l.lid) === null) continue;
        this.continue(ci, m, l);
        if (round % 3 === 0) this.unpark(ci, m, l);
        if (round % 3 === 1) this.wakeup(ci, m, l);
      }
      this.#locked(ci, m, () => K.cvBroadcast(this.#k, m.p.lwpcv));
    }
  }

  /** Tells every LWP to exit, as a fatal signal would. */
  killAll(): void {
    for (const m of this.#model.alive) {
      this.#locked(this.#k.cpus.view(1), m, () => {
        for (const l of m.all) {
          if (m.alive(l.lid) === null || l.refcnt === 0) continue;
          // One that is suspended goes on; a suspension that is only wanted stays so.
          m.thread(l.lid).continues++;
          K.tellToExit(l);
        }
      });
    }
  }
}
