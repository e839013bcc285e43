// What covers what: a function that changes a table waits for the lock of that table, and for no other.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import { parked, TestMachine } from "../support/sim.js";
import { overridePort } from "../support/spy.js";

/** Index of no CPU: it holds the locks. */
const NOBODY = 99;

/** Runs the body while somebody else holds these locks, and lets go of each when it is waited for: which ones were, in order. */
function waitedFor(m: TestMachine, locks: readonly number[], body: () => unknown): number[] {
  const { w } = m.k;
  const waited: number[] = [];
  overridePort(m, {
    relax: (site, _round, address) => {
      assert.equal(w[address], NOBODY, `${site}: waits for ${address}, which nobody will let go of`);
      waited.push(address);
      w[address] = 0;
    },
  });
  for (const lock of locks) w[lock] = NOBODY;
  body();
  for (const lock of locks) if (w[lock] === NOBODY) w[lock] = 0;
  return waited;
}

/** The locks that the call takes, in order, and the call. The caller is `l`, an LWP of process `p`. */
type Case = (k: K.Kernel, p: K.Proc, l: K.Lwp) => readonly [locks: number[], call: () => unknown];

const pageTable = (k: K.Kernel) => k.umem + K.UMEM_LOCK;
const keyTable = (k: K.Kernel, p: K.Proc) => k.threadKeys + (p.index - 1) * K.TSD_WORDS + K.TSD_LOCK;
const cacheLock = (k: K.Kernel) => k.caches + K.KCPUSET_CACHE.index * K.CACHE_WORDS + K.CACHE_LOCK;

/** A callout of this CPU that is to come much later. */
function pending(k: K.Kernel): number {
  K.calloutInit(k, k.scratch, K.CALLOUT_MPSAFE);
  K.calloutSetfunc(k, k.scratch, 1, 0);
  K.calloutSchedule(k, k.scratch, 1000);
  return k.scratch;
}

const CASES: Record<string, Case> = {
  "calloutSchedule, that of the CPU's callouts": (k) => {
    const c = pending(k);
    K.calloutStop(k, c);
    return [[K.cur.cpu.calloutLock], () => K.calloutSchedule(k, c, 1000)];
  },
  "calloutStop, that of the CPU's callouts": (k) => {
    const c = pending(k);
    return [[K.cur.cpu.calloutLock], () => K.calloutStop(k, c)];
  },
  "clockPoll, that of the CPU's callouts": (k) => {
    pending(k);
    k.g.ticks++;
    return [[K.cur.cpu.calloutLock], () => K.clockPoll(K.cur.cpu)];
  },
  "poolGet, the pool's": (k) => [[k.kcpusets.header + K.POOL_LOCK], () => K.poolGet(k.kcpusets)],
  "poolPut, the pool's": (k) => {
    const record = K.poolGet(k.kcpusets) as K.Kcpuset;
    return [[k.kcpusets.header + K.POOL_LOCK], () => K.poolPut(k.kcpusets, record)];
  },
  "poolCacheTryget, the cache's, then the pool's": (k) => [
    [cacheLock(k), k.kcpusets.header + K.POOL_LOCK],
    () => K.poolCacheTryget(k, K.KCPUSET_CACHE),
  ],
  "poolCachePut, the cache's": (k) => {
    const set = K.poolCacheTryget(k, K.KCPUSET_CACHE) as K.Kcpuset;
    return [[cacheLock(k)], () => K.poolCachePut(k, K.KCPUSET_CACHE, set)];
  },
  "poolCacheInvalidate, the cache's": (k) => [
    [cacheLock(k)],
    () => K.poolCacheInvalidate(k, K.KCPUSET_CACHE),
  ],
  "umemAlloc, that of user memory": (k, p) => [[pageTable(k)], () => K.umemAlloc(k, p, 1, false)],
  "umemAlloc without room, the same": (k, p) => [
    [pageTable(k)],
    () => K.umemAlloc(k, p, k.limits.userPages + 1, false),
  ],
  "umemFree, that of user memory": (k, p) => {
    const page = K.umemAlloc(k, p, 1, false);
    return [[pageTable(k)], () => K.umemFree(k, page, K.umemGen(k, page))];
  },
  "umemFreeProc, that of user memory": (k, p) => {
    K.umemAlloc(k, p, 1, false);
    return [[pageTable(k)], () => K.umemFreeProc(p)];
  },
  "uidKnown of a new user, that of the table of users": (k) => [
    [k.g.at + K.GlobalsRecord.offset.uidLock],
    () => K.uidKnown(k, 4711),
  ],
  "threadKeyCreate, that of the process's keys": (k, p) => [[keyTable(k, p)], () => K.threadKeyCreate(p, 0)],
  "threadKeyDelete, that of the process's keys": (k, p) => {
    const key = K.threadKeyCreate(p, 0);
    return [[keyTable(k, p)], () => K.threadKeyDelete(p, key, K.threadKeyGen(p, key))];
  },
  "procReservePid, proc_lock": (k) => [
    [k.g.procLock],
    () => {
      K.procReservePid(k);
      k.g.npids--;
    },
  ],
  "procUnreservePid, proc_lock": (k) => {
    K.procReservePid(k);
    return [[k.g.procLock], () => K.procUnreservePid(k)];
  },
  "lwpUpdateCreds, p_lock": (_k, p, l) => [[p.lock], () => K.lwpUpdateCreds(l)],
  "doSetresuid, p_lock": (_k, p, l) => [[p.lock], () => K.doSetresuid(l, -1, -1, -1)],
  "kinfoProc2, p_lock": (_k, p) => [[p.lock], () => K.kinfoProc2(p)],
  "kernLwp, p_lock": (k, p) => [
    [p.lock],
    () => K.kernLwp(k, [p.pid, K.KINFO_LWP_BYTES, 9], new Uint8Array(999)),
  ],
  "lwpDelref, p_lock": (_k, p, l) => {
    l.refcnt++;
    return [[p.lock], () => K.lwpDelref(l)];
  },
  "lwpFind2 of a process, proc_lock, then p_lock": (k, p) => [
    [k.g.procLock, p.lock],
    () => K.lwpFind2(k, p.pid, 4711),
  ],
  "lwpFind2 of the caller's, p_lock": (k, p) => [[p.lock], () => K.lwpFind2(k, 0, 4711)],
  "procKill, proc_lock, then p_lock": (k, p) => [
    [k.g.procLock, p.lock],
    () => {
      p.killed = 1;
      assert.equal(K.procKill(k, p.pid, 9), false);
      p.killed = 0;
    },
  ],
  "lwpReclaim, that of the pool of LWPs": (k) => [
    [k.lwps.header + K.POOL_LOCK],
    () => assert.deepEqual(K.lwpReclaim(k).next(), { done: true, value: 0 }),
  ],
  "the function of a cross-call of high priority, that of such calls": (k) => {
    k.xc.hiFunc = K.XC_NULLOP;
    return [[k.xc.hiLock], () => K.xcPoll(K.cur.cpu)];
  },
  "asking for one, the same": (k) => [
    [k.xc.hiLock],
    () => assert.equal(K.xcUnicast(k, K.XC_HIGHPRI, K.XC_NULLOP, 0, 0, K.cur.cpu).next().done, true),
  ],
  "waiting for one that is done, the same": (k) => {
    k.xc.hiHead = k.xc.hiDone = 1;
    return [[k.xc.hiLock], () => assert.equal(K.xcWait(k, -1).next().done, true)];
  },
  "procStopCallout, proc_lock, then p_lock": (k, p) => [[k.g.procLock, p.lock], () => K.procStopCallout(k)],
  "suspendsched, proc_lock, then p_lock, then that of the run queue": (k, p) => [
    [k.g.procLock, p.lock, K.cur.cpu.mutex],
    () => {
      K.suspendsched(k);
      p.stat = K.SACTIVE;
      (p.parent as K.Proc).nstopchild--;
    },
  ],
  "pserializePerform, that of the queues": (k) => {
    k.psz.pending = 1;
    return [
      [k.psz.lock],
      () => {
        K.pserializeSwitchpoint(K.cur.cpu);
        k.psz.pending = 0;
      },
    ];
  },
  "softclock, that of those who wait for a callout to be over": (k) => {
    k.slots.calloutHandlers[9] = () => {};
    const c = pending(k);
    K.calloutReset(k, c, 1, 9, 0);
    k.g.ticks++;
    return [[K.cur.cpu.haltLock], () => K.clockPoll(K.cur.cpu)];
  },
  "unpark of nobody, p_lock": (_k, p) => [[p.lock], () => K.unpark(p, 4711, 0)],
  "lwpCtlAlloc, the first of the process, p_lock": (_k, p, l) => [
    [p.lock],
    () => assert.equal(K.lwpCtlAlloc(l), 0),
  ],
  "procCreate, for the credentials of the parent, its p_lock": (k, p) => [
    [p.lock],
    () => K.procDestroy(K.procCreate(k, p, { comm: "child" }) as K.Proc),
  ],
  "the flag that stops a process at an event, p_lock": (k, p) => [
    [p.lock],
    () => K.sysctl(k, 0, `proc.${p.pid}.stopfork`, 1),
  ],
  "turnstileLookup, that of the object's chain, until turnstileExit": (k) => [
    [K.tschain(k, k.scratch)],
    () => {
      assert.equal(K.turnstileLookup(k, k.scratch), null);
      assert.ok(K.spinOwned(k, K.tschain(k, k.scratch)));
      K.turnstileExit(k, k.scratch);
    },
  ],
  "lwpCtlAlloc, that of the process's pages": (k, p, l) => {
    assert.equal(K.lwpCtlAlloc(l), 0);
    K.lwpCtlFree(l);
    return [[k.lcprocs.view(p.lwpctl).lock], () => assert.equal(K.lwpCtlAlloc(l), 0)];
  },
  "lwpCtlFree, that of the process's pages": (k, p, l) => {
    assert.equal(K.lwpCtlAlloc(l), 0);
    return [[k.lcprocs.view(p.lwpctl).lock], () => K.lwpCtlFree(l)];
  },
};

describe("while another CPU holds them, these wait for their locks, and let them go again:", () => {
  for (const [name, make] of Object.entries(CASES)) {
    test(name, () => {
      const m = new TestMachine();
      m.runToEnd(function* () {
        const l = K.cur.lwp;
        const [locks, call] = make(m.k, l.proc, l);
        assert.deepEqual(waitedFor(m, locks, call), locks);
        for (const lock of locks) assert.equal(m.k.w[lock], 0);
        if (name.includes("callouts")) K.calloutStop(m.k, m.k.scratch);
      });
    });
  }

  test("the table of LWPs by id, one of its locks for each", () => {
    const m = new TestMachine();
    const p = m.spawn(parked);
    m.run();
    const l = m.lwp(p, 1);
    const stripes = Array.from({ length: K.LIDTAB_STRIPES }, (_, i) => m.k.lidStripes + i * 2);
    const waited = [() => K.lidRemove(l), () => K.lidInsert(l), () => K.lidLookup(p, 1)].map((call) =>
      m.asCpu(() => waitedFor(m, stripes, call)),
    );
    assert.equal(waited[0].length, 1);
    assert.deepEqual(waited, [waited[0], waited[0], waited[0]]);
  });
});
