/** What covers what, seen from the data: a field is written only with the lock held that its declaration names. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, parked, TestMachine, withLock } from "../support/sim.js";
import { onState, watch } from "../support/spy.js";

/** Who writes without the lock, and why he may. */
const MAY: Record<string, string> = {
  "Proc.stat by procCreate": "it has no LWP yet, and so nobody looks at it",
  "Lwp.affinity by place": "nobody has heard of the LWP yet",
  "Lwp.psid by place": "the same",
  "Lwp.cpu by place": "who finds the LWP has its process locked, as its creator has now",
  "Lwp.mutex by place": "the same",
  "Lwp.priority by procSpawn": "nobody has heard of the LWP yet",
  "Lwp.realm by contextFor": "its CPU, which is about to run it",
  "Lwp.stime by lwpExitSwitchaway": "the same",
  "Lwp.stat by setIdleOnproc": "an idle thread is its own CPU's",
  "Lwp.estcpu by collect": "the LWP itself",
  "Lwp.named by kthreadCreate": "nobody has heard of the thread",
  "Lwp.name by kthreadCreate": "the same",
  "Lwp.lwpctl by lwpCtlAlloc": "the LWP itself, and the lock of the process's pages covers what it is given",
  "Lwp.lcpage by lwpCtlAlloc": "the same",
  "Lwp.lwpctl by lwpCtlExit": "the last LWP of its process",
  "Lwp.lcpage by lwpCtlExit": "the same",
  "Proc.lwpctl by lwpCtlExit": "the same",
  "Lwp.lwpctl by vforkDone": "the LWP itself: what it wrote to was its parent's",
};

/** The lock that a letter of a declaration means, or null: it means none, or one that is not looked at here. */
function lockOf(record: K.View, letter: string): number | null {
  if (letter === "a") return record.k.g.procLock;
  if (letter === "p" && record instanceof K.ProcRecord.View) return record.lock;
  if (!(record instanceof K.LwpRecord.View)) return null;
  return letter === "p" ? record.proc.lock : record.mutex;
}

/** Whether others can find it: not while it is being made, nor once it is off all lists. */
function isShared(record: K.View): boolean {
  if (record instanceof K.LwpRecord.View)
    return isShared(record.proc) && K.procLwps(record.proc).includes(record);
  if (record instanceof K.ProcRecord.View)
    return record.stat === K.SDYING || K.allProcs(record.k).includes(record);
  return true;
}

/** Looks at all writes to processes, LWPs and globals: those without their lock, "Record.field by function". */
function unlockedWrites(m: TestMachine): Set<string> {
  const { k } = m;
  const found = new Set<string>();
  const look = (record: K.View, type: K.RecordType<unknown>) => {
    for (const [field, { lock, kind }] of Object.entries(type.fields)) {
      if (kind === "area" || !/^[apl]$/.test(lock)) continue;
      watch(record, type, field, () => {
        const address = lockOf(record, lock) as number;
        if (k.w[address] === K.cur.cpu.index || !isShared(record)) return;
        // Of a function that is compiled to WebAssembly too, its JavaScript is called "name$js".
        const by = /at (?:\S*\.)?(\w+)(?:\$js)? \(/.exec(new Error().stack?.split("\n")[3] ?? "")?.[1];
        found.add(`${type.name}.${field} by ${by}`);
      });
    }
  };
  look(k.g, K.GlobalsRecord);
  for (let i = 1; i <= k.limits.procs; i++) look(k.procs.view(i), K.ProcRecord);
  for (let i = 1; i <= k.limits.lwps; i++) look(k.lwps.view(i), K.LwpRecord);
  return found;
}

/** Runs a call that another process or a debugger would make, with proc_lock and p_lock held. */
function asDebugger(m: TestMachine, p: K.Proc, call: () => void): void {
  m.asCpu(() => withLock(m.k, m.k.g.procLock, () => withLock(m.k, p.lock, call)));
}

const LIMITS = { procs: 8, lwps: 32 };

/** What is done with a process; it has ended afterwards. */
const LIVES: Record<string, (m: TestMachine) => void> = {
  "threads made, joined, detached, found dead": (m) => {
    m.spawn(function* () {
      const joined = yield* S.lwpCreate(function* () {});
      yield* S.lwpWait(joined);
      for (let i = 0; i < 3; i++) {
        yield* S.lwpCreate(function* () {}, S.LWP_DETACHED);
        yield* S.schedYield();
      }
      const late = yield* S.lwpCreate(parked);
      yield* S.lwpDetach(late);
      const [one, other] = [yield* S.lwpCreate(function* () {}), yield* S.lwpCreate(function* () {})];
      assert.deepEqual([yield* S.lwpWait(0), yield* S.lwpWait(0)].sort(), [one, other]);
      const self = yield* S.lwpSelf();
      assert.equal(yield* attempt(S.lwpWait(self)), "EDEADLK");
      assert.equal(yield* attempt(S.lwpWait(4711)), "ESRCH");
    });
  },
  "threads that exit while somebody holds a reference": (m) => {
    const p = m.spawn(function* () {
      for (const flags of [0, S.LWP_DETACHED, S.LWP_DETACHED]) {
        yield* S.lwpCreate(function* () {
          const l = K.cur.lwp;
          withLock(l.k, l.proc.lock, () => l.refcnt++);
          yield* S.schedYield();
        }, flags);
      }
      yield* parked();
    });
    m.run();
    for (const lid of [2, 3, 4]) {
      m.asCpu(() => K.lwpDelref(m.lwp(p, lid)));
      m.run();
    }
    m.asCpu(() => K.unpark(p, 1, 0));
  },
  "threads suspended and continued, asleep and running": (m) => {
    m.spawn(function* () {
      const asleep = yield* S.lwpCreate(parked);
      const busy = yield* S.lwpCreate(function* () {
        for (let i = 0; i < 20; i++) yield* S.schedYield();
      });
      yield* S.schedYield();
      for (const lid of [asleep, busy]) {
        yield* S.lwpSuspend(lid);
        yield* S.lwpContinue(lid);
      }
      const unborn = yield* S.lwpCreate(function* () {}, S.LWP_SUSPENDED);
      yield* S.lwpContinue(unborn);
      yield* S.lwpSetname(unborn, "born");
    });
  },
  "a process stopped and continued, running and asleep, and one of its threads alone": (m) => {
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      for (let i = 0; i < 200; i++) yield* S.schedYield();
      yield* parked();
    });
    for (let i = 0; i < 10; i++) m.sim.step();
    asDebugger(m, p, () => K.procStop(p, 17));
    m.run();
    assert.equal(p.stat, K.SSTOP);
    asDebugger(m, p, () => K.procUnstop(p, 0));
    m.run();
    asDebugger(m, p, () => K.procStop(p, 17));
    asDebugger(m, p, () => K.lwpUnstop(m.lwp(p, 1)));
    m.run();
    asDebugger(m, p, () => K.procUnstop(p));
    m.asCpu(() => K.procKill(m.k, p.pid, 9));
  },
  "a process killed while it computes, sleeps and is suspended": (m) => {
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      for (;;) yield* S.schedYield();
    });
    for (let i = 0; i < 20; i++) m.sim.step();
    m.asCpu(() => K.procKill(m.k, p.pid, 9));
  },
  "a process that exits with other threads, stopped or not": (m) => {
    for (const stop of [false, true]) {
      const p = m.spawn(function* () {
        for (let i = 0; i < 3; i++) yield* S.lwpCreate(parked);
        yield* S.schedYield();
        yield* S.procExit(3);
      });
      if (stop) {
        for (let i = 0; i < 4; i++) m.sim.step();
        asDebugger(m, p, () => K.procStop(p, 17));
        m.run();
        asDebugger(m, p, () => K.procUnstop(p, 0));
      }
      m.run();
    }
  },
  "signals that are taken, and one that is left to the others by a thread that exits": (m) => {
    m.spawn(function* () {
      const { k, proc } = K.cur.lwp;
      const look = () => {
        const l = K.cur.lwp;
        K.lwpLock(l);
        l.flag |= K.LW_PENDSIG | K.LW_LWPCTL;
        K.lwpUnlock(l);
      };
      look();
      yield* S.lwpSelf();
      const lid = yield* S.lwpCreate(function* () {
        look();
        withLock(k, proc.lock, () => (k.w[proc.sigpend] = 2));
      });
      yield* S.lwpWait(lid);
      k.w[proc.sigpend] = 0;
    });
  },
  "vfork, a child that outlives its parent, one that its parent does not wait for": (m) => {
    m.spawn(function* () {
      const { lwp } = K.cur;
      yield* K.vfork1(lwp, { comm: "vchild" }, { kind: K.CTX_CLOSURE, closure: function* () {} });
      const child = K.procCreate(lwp.k, lwp.proc, { comm: "child" }) as K.Proc;
      const l = K.lwpCreate(lwp, child, 0, { kind: K.CTX_CLOSURE, closure: parked }, lwp.class) as K.Lwp;
      K.lwpStart(lwp, l, 0);
    });
    m.run();
    const left = K.allProcs(m.k).find((p) => p.comm === "child") as K.Proc;
    m.asCpu(() => K.unpark(left, 1, 0));
  },
  "credentials, lwpctl, names, limits": (m) => {
    m.spawn(function* () {
      const { lwp } = K.cur;
      assert.equal(K.lwpCtlAlloc(lwp), 0);
      yield* S.lwpCreate(function* () {
        K.lwpCtlAlloc(K.cur.lwp);
        yield* S.schedYield();
      });
      K.doSetresuid(lwp, 5, 5, 5);
      yield* S.lwpSelf();
      yield* S.lwpSetname(1, "main");
      yield* S.lwpWait(2);
    });
  },
  "kernel threads": (m) => {
    m.k.slots.kthreads[10] = function* () {
      yield* K.kpause(m.k, "a while", 2);
    };
    m.k.slots.kthreads[11] = function* (k) {
      const { l } = K.kthreadCreate(k, -1, K.KTHREAD_MPSAFE | K.KTHREAD_MUSTJOIN, null, 10, 0, "joined");
      yield* K.kthreadJoin(l as K.Lwp);
      K.kthreadDestroy(
        K.kthreadCreate(k, -1, K.KTHREAD_MPSAFE | K.KTHREAD_IDLE, null, 10, 0, "never").l as K.Lwp,
      );
    };
    m.asCpu(() => K.kthreadCreate(m.k, -1, K.KTHREAD_MPSAFE, null, 11, 0, "joiner"));
  },
  "the machine shuts down": (m) => {
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      for (let i = 0; i < 40; i++) yield* S.schedYield();
    });
    for (let i = 0; i < 20; i++) m.sim.step();
    m.asCpu(() => K.suspendsched(m.k));
  },
};

describe("a field is written only with the lock held that its declaration names:", () => {
  for (const [name, live] of Object.entries(LIVES)) {
    test(name, () => {
      const m = new TestMachine({ cpus: 2, limits: LIMITS });
      const found = unlockedWrites(m);
      onState(m, (l, from, to) => {
        const both = (1 << K.LSIDL) | (1 << K.LSZOMB) | (1 << K.LSSTOP) | (1 << K.LSSUSPENDED);
        const idle = (l.flag & K.LW_IDLE) !== 0;
        if (!idle && (((1 << from) | (1 << to)) & both) !== 0 && !K.spinOwned(m.k, l.proc.lock))
          found.add(`${K.STATE_NAMES[from]} to ${K.STATE_NAMES[to]}`);
      });
      live(m);
      m.run();
      const wrong = [...found].filter((write) => !Object.hasOwn(MAY, write));
      assert.deepEqual(wrong, []);
    });
  }
});
