/** What an LWP is (LWP-1..3), and what of it has a name and a number (LWP-4..13). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

/** A process whose LWPs come, go, wait and yield. */
function* busy(): Generator<K.Token, void, undefined> {
  const lids: number[] = [];
  for (let i = 0; i < 3; i++) {
    lids.push(
      yield* S.lwpCreate(function* () {
        yield* S.schedYield();
      }),
    );
    yield* S.lwpCreate(function* () {
      yield* S.schedYield();
    }, S.LWP_DETACHED);
  }
  for (const lid of lids) yield* S.lwpWait(lid);
}

test("LWP-1: an LWP belongs to one process for life, and a live process has at least one LWP", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(seed) });
    /** The process that each life (record and generation) was given. */
    const owner = new Map<string, K.Proc>();
    for (let i = 0; i < 3; i++) m.spawn(busy);
    while (m.sim.step()) {
      for (let i = 1; i <= m.k.lwps.highWater; i++) {
        const l = m.k.lwps.view(i);
        if ((l.gen & 1) === 0) continue;
        const life = `${l.index}.${l.gen}`;
        assert.equal(l.proc, owner.get(life) ?? l.proc, `seed ${seed}: LWP ${life} changes its process`);
        owner.set(life, l.proc);
      }
      for (const p of K.allProcs(m.k)) {
        if (p.stat !== K.SACTIVE) continue;
        assert.ok(p.nlwps - p.nzlwps >= 1, `seed ${seed}: process ${p.pid} lives without an LWP`);
        for (const l of K.procLwps(p)) assert.equal(l.proc, p);
      }
    }
    assert.equal(m.sim.collected.length, 3, `seed ${seed}`);
    assert.equal(owner.size, 3 * 7 + m.k.lwps.inUse, `seed ${seed}`);
  }
});

test("LWP-1: kernel threads are LWPs of process 0", () => {
  const m = new TestMachine();
  const p0 = m.k.procs.view(1);
  let ran: K.Lwp | null = null;
  const closure = function* (): Generator<undefined, void> {
    ran = K.cur.lwp;
  };
  const lwp0 = m.k.lwps.view(1);
  const l = m.asCpu(() => {
    const made = K.lwpCreate(lwp0, p0, 0, { kind: K.CTX_CLOSURE, closure }, K.SCHED_OTHER) as K.Lwp;
    K.lwpStart(lwp0, made, 0);
    return made;
  });
  assert.equal(l.proc, p0);
  assert.equal(l.proc.pid, 0);
  assert.notEqual(l.flag & K.LW_SYSTEM, 0);
  for (const other of K.procLwps(p0)) assert.notEqual(other.flag & K.LW_SYSTEM, 0);
  m.run();
  assert.equal(ran, l);
  assert.equal(stateOf(l), "ZOMB");
});

test("LWP-2: LWPs share their process's pending signals, dispositions, credentials and descriptors; mask, own signals, name, private pointer and times are each one's own", () => {
  const m = new TestMachine();
  const SIGUSR1 = 1 << (30 - 1);
  const SIGUSR2 = 1 << (31 - 1);
  const p = m.spawn(function* () {
    for (let i = 0; i < 2; i++) {
      yield* S.lwpCreate(function* () {
        yield* S.lwpSetname(0, `t${K.cur.lwp.lid}`);
        yield* S.lwpSetprivate(K.cur.lwp.lid * 100);
        for (let n = 0; n < K.cur.lwp.lid; n++) yield* S.schedYield();
        yield* S.lwpPark();
      });
    }
    yield* S.lwpPark();
  });
  m.run();
  const [c, b, a] = K.procLwps(p);
  assert.deepEqual([a.lid, b.lid, c.lid], [1, 2, 3]);
  const pending = () => [a, b, c].map((l) => K.sigispending(l));
  // To the process: whoever does not mask it. To one LWP: that one.
  m.k.w[p.sigpend] = SIGUSR1;
  assert.deepEqual(pending(), [true, true, true]);
  m.k.w[b.sigmask] = SIGUSR1;
  assert.deepEqual(pending(), [true, false, true]);
  m.k.w[p.sigpend] = 0;
  m.k.w[c.sigpend] = SIGUSR2;
  assert.deepEqual(pending(), [false, false, true]);
  m.k.w[c.sigpend] = 0;
  m.k.w[a.sigpend] = SIGUSR2;
  assert.deepEqual(pending(), [true, false, false]);
  m.k.w[p.sigignore] = SIGUSR2;
  assert.deepEqual(pending(), [false, false, false]);

  assert.deepEqual(
    [a, b, c].map((l) => [l.named, l.name, l.private]),
    [
      [0, "", 0],
      [1, "t2", 200],
      [1, "t3", 300],
    ],
  );
  // Each was charged for what it did itself.
  assert.ok(a.rtime > 0 && b.rtime > 0 && c.rtime > 0 && a.ncsw > 0);
  // Shared: one table and one set of credentials, each LWP with a reference.
  assert.deepEqual([p.fdrefs, p.credrefs, a.fd, b.fd, c.fd], [3, 3, 1, 1, 1]);
});

test("LWP-3: a lid is unique within its process only", () => {
  const m = new TestMachine();
  const body = function* (): Generator<K.Token, void, undefined> {
    yield* S.lwpCreate(function* () {
      yield* S.lwpPark();
    });
    yield* S.lwpPark();
  };
  const [p, q] = [m.spawn(body), m.spawn(body)];
  m.run();
  for (const lid of [1, 2]) {
    const [l, other] = [p, q].map((proc) => m.locked(proc, () => K.lwpFind(proc, lid)));
    assert.ok(l !== null && other !== null && l !== other);
    assert.deepEqual([l.lid, other.lid, l.proc, other.proc], [lid, lid, p, q]);
  }
  assert.equal(
    m.locked(p, () => K.lwpFind(p, 3)),
    null,
  );
});

// --- fields -------------------------------------------------------------------------------------------

/** The original's names, and those here. A list's entry is two links. */
const FIELDS: Readonly<Record<string, readonly (readonly [string, ...(keyof K.Lwp & string)[]])[]>> = {
  "LWP-4: the scheduling fields": [
    ["l_runq", "runqNext", "runqPrev"],
    ["l_cpu", "cpu"],
    ["l_mutex", "mutex"],
    ["l_ctxswtch", "ctxswtch"],
    ["l_flag", "flag"],
    ["l_stat", "stat"],
    ["l_rtime", "rtime"],
    ["l_stime", "stime"],
    ["l_swtime", "swtime"],
    ["l_slptime", "slptime"],
    ["l_rticks", "rticks"],
    ["l_rticksum", "rticksum"],
    ["l_slpticks", "slpticks"],
    ["l_slpticksum", "slpticksum"],
    ["l_class", "class"],
    ["l_kpriority", "kpriority"],
    ["l_kpribase", "kpribase"],
    ["l_priority", "priority"],
    ["l_inheritedprio", "inheritedprio"],
    ["l_pi_lenders", "piLenders"],
    ["l_ncsw", "ncsw"],
    ["l_nivcsw", "nivcsw"],
    ["l_cpticks", "cpticks"],
    ["l_pctcpu", "pctcpu"],
    ["l_estcpu", "estcpu"],
    ["l_sched.timeslice", "timeslice"],
    ["l_psid", "psid"],
    ["l_target_cpu", "targetCpu"],
    ["l_affinity", "affinity"],
    ["l_lwpctl", "lwpctl"],
    ["l_lcpage", "lcpage"],
    ["l_biglocks", "biglocks"],
  ],
  "LWP-5: the synchronisation fields": [
    ["l_ts", "ts"],
    ["l_syncobj", "syncobj"],
    ["l_sleepchain", "sleepqNext", "sleepqPrev"],
    ["l_wchan", "wchan"],
    ["l_wmesg", "wmesg"],
    ["l_sleepq", "sleepq"],
    ["l_sleeperr", "sleeperr"],
    ["l_timeout_ch", "timeoutCh"],
    ["l_waitcv", "waitcv"],
  ],
  "LWP-6: the process-level fields": [
    ["l_list", "listNext", "listPrev"],
    ["l_sibling", "siblingNext", "siblingPrev"],
    ["l_ctxlink", "ctxlink"],
    ["l_waiter", "waiter"],
    ["l_waitingfor", "waitingfor"],
    ["l_prflag", "prflag"],
    ["l_refcnt", "refcnt"],
    ["l_lid", "lid"],
    ["l_name", "named", "name"],
  ],
  "LWP-7: the fields of signals and select": [
    ["l_sigrestore", "sigrestore"],
    ["l_sigoldmask", "sigoldmask"],
    ["l_sigwaitset", "sigwaitset"],
    ["l_sigwaited", "sigwaited"],
    ["l_sigwaiter", "sigwaiterNext"],
    ["l_sigcv", "sigcv"],
    ["l_sigpendset", "sigpendset"],
    ["l_sigstk", "sigstk"],
    ["l_sigmask", "sigmask"],
    ["l_sigpend.sp_set", "sigpend"],
    ["l_sigpend.sp_info", "siginfo"],
    ["l_selflag", "selflag"],
    ["l_selwait", "selwait"],
    ["l_selret", "selret"],
    ["l_selrec", "selrec"],
    ["l_selcluster", "selcluster"],
    ["l_selbits", "selbits"],
    ["l_selni", "selni"],
  ],
  "LWP-8: the private fields (l_cred is its uid, l_ru two counters; l_cv_signalled, used no longer, is left out)":
    [
      ["l_specdataref", "specdataref"],
      ["l_private", "private"],
      ["l_switchto", "switchto"],
      ["l_cred", "uid"],
      ["l_fd", "fd"],
      ["l_emuldata", "emuldata"],
      ["l_nopreempt", "nopreempt"],
      ["l_dopreempt", "dopreempt"],
      ["l_pflag", "pflag"],
      ["l_ru", "nvcswRu", "nivcswRu"],
      ["l_ld_locks", "ldLocks"],
      ["l_shlocks", "shlocks"],
      ["l_exlocks", "exlocks"],
      ["l_blcnt", "blcnt"],
      ["l_ktrcsw", "ktrcsw"],
      ["l_sysent", "sysent"],
      ["l_dupfd", "dupfd"],
      ["l_tcgen", "tcgen"],
      ["l_pfailaddr", "pfailaddr"],
      ["l_pfaillock", "pfaillock"],
      ["l_pfailtime", "pfailtime"],
      ["l_dtrace", "dtrace"],
    ],
};

/** Writes something into a field and says whether it is read back, leaving the field as it was. */
function holds(k: K.Kernel, l: K.Lwp, name: string): boolean {
  const field = K.LwpRecord.fields[name];
  const at = (field.cold === true ? k.lwps.coldAt(l.index) : l.at) + K.LwpRecord.offset[name];
  const v = l as unknown as Record<string, unknown>;
  const old = Array.from(k.w.subarray(at, at + field.words));
  let ok: boolean;
  switch (field.kind) {
    case "i32":
      v[name] = -0x12345678;
      ok = v[name] === -0x12345678;
      break;
    case "f64":
      v[name] = 2 ** 53 - 1;
      ok = v[name] === 2 ** 53 - 1;
      break;
    case "text":
      v[name] = "abcd";
      ok = v[name] === "abcd";
      break;
    case "area":
      ok = v[name] === at;
      break;
    case "ref":
      v[name] =
        field.to === "lwp" ? l : field.to === "cpu" ? l.cpu : field.to === "turnstile" ? l.ts : l.proc;
      ok = v[name] !== null;
      break;
  }
  k.w.set(old, at);
  return ok;
}

for (const [name, fields] of Object.entries(FIELDS)) {
  test(name, () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpPark();
    });
    m.run();
    const l = m.lwp(p, 1);
    for (const [original, ...here] of fields) {
      for (const field of here) {
        assert.ok(Object.hasOwn(K.LwpRecord.fields, field), `${original}: no field ${field}`);
        assert.ok(holds(m.k, l, field), `${original}: ${field} does not hold what is written to it`);
      }
    }
    assert.deepEqual(K.checkInvariants(m.k), []);
    if (name.startsWith("LWP-4")) {
      assert.deepEqual([l.inheritedprio, l.piLenders, l.targetCpu, l.affinity], [-1, null, null, 0]);
    } else if (name.startsWith("LWP-5")) {
      assert.equal(l.syncobj, K.SOBJ_PARK);
      assert.equal(K.cvWmesg(m.k, l.waitcv), "vfork");
      assert.equal(m.k.w[l.timeoutCh + K.CO_FUNC], K.CALLOUT_SLEEPQ_TIMEOUT);
      assert.equal(m.k.w[l.timeoutCh + K.CO_ARG], l.index);
      assert.equal(m.k.slots.calloutHandlers[K.CALLOUT_SLEEPQ_TIMEOUT], K.sleepqTimeout);
    } else if (name.startsWith("LWP-6")) {
      assert.deepEqual([l.waiter, l.waitingfor, l.named, l.refcnt, l.lid], [0, 0, 0, 1, 1]);
      assert.equal(K.LwpRecord.fields.name.words * 4, K.MAXCOMLEN);
    } else if (name.startsWith("LWP-7")) {
      assert.equal(K.cvWmesg(m.k, l.sigcv), "sigwait");
    }
  });
}

test("LWP-5: the sync object is never null: the scheduler's while the LWP is on no sleep queue", () => {
  const m = new TestMachine();
  const seen: number[] = [];
  const p = m.spawn(function* () {
    seen.push(K.cur.lwp.syncobj, K.cur.lwp.wchan);
    yield* S.lwpPark();
    seen.push(K.cur.lwp.syncobj, K.cur.lwp.wchan);
  });
  m.run();
  const l = m.lwp(p, 1);
  assert.equal(l.syncobj, K.SOBJ_PARK);
  assert.notEqual(l.wchan, 0);
  assert.equal(l.wmesg, "parked");
  m.asCpu(() => K.unpark(p, 1, 0));
  assert.deepEqual([l.syncobj, l.wchan, l.sleepq], [K.SOBJ_SCHED, 0, 0]);
  m.run();
  assert.deepEqual(seen, [K.SOBJ_SCHED, 0, K.SOBJ_SCHED, 0]);
});

// --- flags and constants --------------------------------------------------------------------------------

const LW = {
  LW_IDLE: 0x1,
  LW_LWPCTL: 0x2,
  LW_SINTR: 0x80,
  LW_SYSTEM: 0x200,
  LW_WSUSPEND: 0x20000,
  LW_BATCH: 0x40000,
  LW_WCORE: 0x80000,
  LW_WEXIT: 0x100000,
  LW_PENDSIG: 0x1000000,
  LW_CANCELLED: 0x2000000,
  LW_WREBOOT: 0x8000000,
  LW_UNPARKED: 0x10000000,
  LW_RUMP_CLEAR: 0x40000000,
  LW_RUMP_QEXIT: 0x80000000,
} as const;

/** Compares the kernel's constants with the table, as sets of bits. */
function assertConstants(table: Readonly<Record<string, number>>, prefix: RegExp): void {
  const all = K as unknown as Record<string, number>;
  for (const [name, value] of Object.entries(table)) assert.equal(all[name] >>> 0, value, name);
  const beyond = Object.keys(all).filter((name) => prefix.test(name) && !Object.hasOwn(table, name));
  assert.deepEqual(beyond, [], "flags that the specification does not have");
}

test("LWP-9: the flags of l_flag and their values", () => {
  assertConstants({ ...LW, LW_USERRET: K.LW_USERRET >>> 0 }, /^LW_/);
});

test("LWP-10: LW_USERRET is WEXIT, PENDSIG, WREBOOT, WSUSPEND, WCORE and LWPCTL", () => {
  const { LW_WEXIT, LW_PENDSIG, LW_WREBOOT, LW_WSUSPEND, LW_WCORE, LW_LWPCTL } = LW;
  assert.equal(K.LW_USERRET, LW_WEXIT | LW_PENDSIG | LW_WREBOOT | LW_WSUSPEND | LW_WCORE | LW_LWPCTL);
});

/** What the user-return loop makes of an LWP with just that flag, set while it runs in user mode. */
const USERRET: Readonly<Record<keyof typeof LW, string>> = {
  LW_IDLE: "not entered",
  LW_LWPCTL: "flag cleared",
  LW_SINTR: "not entered",
  LW_SYSTEM: "not entered",
  LW_WSUSPEND: "SUSPENDED",
  LW_BATCH: "not entered",
  LW_WCORE: "SUSPENDED",
  LW_WEXIT: "ZOMB",
  LW_PENDSIG: "flag cleared",
  LW_CANCELLED: "not entered",
  LW_WREBOOT: "SUSPENDED",
  LW_UNPARKED: "not entered",
  LW_RUMP_CLEAR: "not entered",
  LW_RUMP_QEXIT: "not entered",
};

for (const [name, expected] of Object.entries(USERRET)) {
  test(`LWP-10: with ${name} alone the return to user mode finds: ${expected}`, () => {
    const flag = LW[name as keyof typeof LW] | 0;
    // Neither checked nor left in between: LW_IDLE and LW_SINTR on a running thread are not as they should be.
    const m = new TestMachine({ checked: false, stepwise: false });
    let after = "";
    let checks = 0;
    m.k.slots.issignal = () => {
      checks++;
      return 0;
    };
    let lid = 0;
    const p = m.spawn(function* () {
      lid = yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        l.flag |= flag;
        // A plain return to user mode: nothing else of an operation that a flag could change.
        for (let r = K.userret(l); r !== K.RET_USER; r = K.userret(l)) {
          yield r === K.RET_EXIT ? K.EXIT_LWP : undefined;
        }
        after = (l.flag & flag) === 0 ? "flag cleared" : "not entered";
        l.flag &= ~flag;
      });
      yield* S.lwpPark();
    });
    m.run();
    const l = m.lwp(p, lid);
    assert.equal(after === "" ? stateOf(l) : after, expected);
    assert.equal(checks, name === "LW_PENDSIG" ? 1 : 0);
  });
}

test("LWP-11: the flags of l_pflag and their values", () => {
  const table = {
    LP_KTRACTIVE: 1,
    LP_KTRCSW: 2,
    LP_KTRCSWUSER: 4,
    LP_PIDLID: 8,
    LP_OWEUPC: 0x10,
    LP_MPSAFE: 0x20,
    LP_INTR: 0x40,
    LP_SYSCTLWRITE: 0x80,
    LP_MUSTJOIN: 0x100,
    LP_VFORKWAIT: 0x200,
    LP_TIMEINTR: 0x10000,
    LP_RUNNING: 0x20000000,
    LP_BOUND: 0x80000000,
  };
  assertConstants(table, /^LP_/);
});

test("LWP-12: the flags of l_prflag, and those of creation", () => {
  assertConstants({ LPR_DETACHED: 0x800000, LPR_CRMOD: 0x100 }, /^LPR_/);
  assertConstants(
    { LWP_DETACHED: 0x40, LWP_SUSPENDED: 0x80, LWP_PIDLID: 0x40000000, LWP_VFORK: 0x80000000 },
    /^LWP_(?!UNPARK_MAX)/,
  );
  assert.deepEqual([S.LWP_DETACHED, S.LWP_SUSPENDED], [0x40, 0x80]);
});

test("LWP-13: the states and their values; LSDEAD is never assigned", () => {
  const table = {
    LSIDL: 1,
    LSRUN: 2,
    LSSLEEP: 3,
    LSSTOP: 4,
    LSZOMB: 5,
    LSDEAD: 6,
    LSONPROC: 7,
    LSSUSPENDED: 8,
  };
  assertConstants(table, /^LS[A-Z]/);
  for (const [name, value] of Object.entries(table)) assert.equal(K.STATE_NAMES[value], name.slice(2));
  for (const from of Object.values(table)) {
    const m = new TestMachine({ checked: false });
    const p = m.spawn(function* () {});
    const l = m.lwp(p, 1);
    m.asCpu(() => {
      K.lwpLock(l);
      l.stat = from;
      assertPanics(() => K.setStat(l, K.LSDEAD), /not permitted/);
    });
    assert.equal(l.stat, from);
  }
});
