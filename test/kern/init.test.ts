/** Boot: what stands in memory before the first step (LWP-37, 38). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { assertPanics, stateOf, TestMachine } from "../support/sim.js";

const LIMITS: K.Limits = { ...K.SIMULATED_LIMITS, cpus: 2 };

/** Boots a memory and leaves it as boot does: nobody has run yet. */
function bootOnly(limits = LIMITS): K.Kernel {
  const saved = { ...K.cur };
  try {
    const k = new K.Kernel(limits, { mp: false });
    k.port = new K.SimulatedCpus();
    K.kernelBoot(k, { cpus: 2, realmOf: (i) => i * 10 });
    return k;
  } finally {
    Object.assign(K.cur, saved);
  }
}

test("LWP-37: boot leaves alllwp with lwp0 and the threads of the CPUs alone, newest first, and a pool that clears what it hands out", () => {
  const k = bootOnly();
  assert.deepEqual(
    K.allLwps(k).map((l) => l.name),
    ["xcall/1", "xcall/0", "idle/1", "idle/0", "swapper"],
  );
  assert.deepEqual([k.g.nlwps, k.lwps.inUse, k.turnstiles.inUse], [5, 5, 5]);
  assert.deepEqual(
    K.allProcs(k).map((p) => [p.pid, p.comm, p.nlwps]),
    [[0, "system", 5]],
  );
});

test("LWP-37: boot leaves an empty park table, and all other queues and locks empty", () => {
  const k = bootOnly();
  const tables = [
    [k.sleeptab, K.SLEEPTAB_SIZE * K.SLEEPTAB_BUCKET_WORDS],
    [k.parktab, K.SLEEPTAB_SIZE * K.SLEEPTAB_BUCKET_WORDS],
    [k.tstab, K.TSTAB_SIZE * K.TSTAB_BUCKET_WORDS],
    [k.lidStripes, K.LIDTAB_STRIPES * K.LOCK_WORDS],
    [k.g.procLock, K.LOCK_WORDS],
  ];
  for (const [at, words] of tables) assert.ok(k.w.subarray(at, at + words).every((word) => word === 0));
  assert.deepEqual(K.checkInvariants(k), []);
  for (const n of [1, 2]) assert.deepEqual([k.cpus.view(n).count, k.cpus.view(n).ncallouts], [0, 0]);
});

test("LWP-37: maxlwp is what the platform says (here: the LWPs that there is room for)", () => {
  for (const lwps of [8, 2048]) assert.equal(bootOnly({ ...LIMITS, lwps }).g.maxlwp, lwps);
});

test("LWP-37: a machine whose tables are too small to boot is a kernel assertion", () => {
  assertPanics(() => bootOnly({ ...LIMITS, lwps: 2 }), /boot: the machine's tables are too small/);
});

test("LWP-38: lwp0, field by field", () => {
  const k = bootOnly();
  const l = k.lwps.view(1);
  const p0 = k.procs.view(1);
  const ci = k.cpus.view(1);
  assert.deepEqual(
    {
      lid: l.lid,
      proc: l.proc === p0,
      flag: l.flag,
      stat: stateOf(l),
      running: l.pflag & K.LP_RUNNING,
      mpsafe: l.pflag & K.LP_MPSAFE,
      turnstile0: l.ts?.index,
      syncobj: l.syncobj,
      refcnt: l.refcnt,
      priority: l.priority,
      inheritedprio: l.inheritedprio,
      kpribase: l.kpribase,
      class: l.class,
      psid: l.psid,
      lenders: l.piLenders,
      named: l.named,
      name: l.name,
      fd: l.fd,
      cpu: l.cpu === ci,
      mutex: l.mutex,
      waitcv: K.cvWmesg(k, l.waitcv),
      sigcv: K.cvWmesg(k, l.sigcv),
      timeout: k.slots.calloutHandlers[k.w[l.timeoutCh + K.CO_FUNC]],
      timeoutArg: k.w[l.timeoutCh + K.CO_ARG],
      timeoutFlags: k.w[l.timeoutCh + K.CO_FLAGS],
    },
    {
      lid: 1,
      proc: true,
      flag: K.LW_SYSTEM,
      stat: "ONPROC",
      running: K.LP_RUNNING,
      mpsafe: K.LP_MPSAFE,
      turnstile0: 1,
      syncobj: K.SOBJ_SCHED,
      refcnt: 1,
      priority: 63,
      inheritedprio: -1,
      kpribase: K.PRI_KERNEL,
      class: K.SCHED_OTHER,
      psid: K.PS_NONE,
      lenders: null,
      named: 1,
      name: "swapper",
      fd: 1,
      cpu: true,
      mutex: ci.lwplock,
      waitcv: "vfork",
      sigcv: "sigwait",
      timeout: K.sleepqTimeout,
      timeoutArg: 1,
      timeoutFlags: K.CALLOUT_MPSAFE,
    },
  );
  assert.deepEqual([ci.curlwp, ci.onproc], [l, l]);
});

test("LWP-38: lwp0 is the first of process 0, which has a reference of each of its LWPs on credentials and descriptors", () => {
  const k = bootOnly();
  const p0 = k.procs.view(1);
  // Four threads of the CPUs came after lwp0, which had the number that the process counted from.
  assert.deepEqual([p0.nlwps, p0.nzlwps, p0.nrlwps, p0.ndlwps, p0.nlwpid], [5, 0, 5, 4, 5]);
  assert.deepEqual([p0.credrefs, p0.fdrefs, p0.uid], [5, 5, 0]);
  assert.deepEqual([p0.stat, p0.flag & K.PK_SYSTEM], [K.SACTIVE, K.PK_SYSTEM]);
  assert.deepEqual(
    K.procLwps(p0).map((l) => l.lid),
    [5, 4, 3, 2, 1],
  );
});

test("LWP-38: turnstile0 is never given back, whatever is done on the machine", () => {
  const m = new TestMachine();
  const lwp0 = m.k.lwps.view(1);
  for (let i = 0; i < 3; i++) m.runToEnd(function* () {});
  // Those of lwp0 and the two of its CPU, and one that has stayed with the record of three LWPs.
  assert.deepEqual([lwp0.ts?.index, m.k.turnstiles.inUse], [1, 4]);
});

test("MCH-90, MCH-91: boot leaves the CPU sets, the locks and the queues of all mechanisms ready before the first LWP runs", () => {
  const k = bootOnly();
  const { g, xc, w } = k;
  for (const m of [g.kthreadLock, xc.lock]) assert.equal(w[m + K.MTX_TYPE], K.MTX_ADAPTIVE);
  assert.deepEqual(
    [K.cvWmesg(k, g.kthreadCv), K.cvWmesg(k, xc.cv), K.cvWmesg(k, xc.hiCv)],
    ["kthrwait", "xclocv", "xchicv"],
  );
  assert.deepEqual([xc.head, xc.tail, xc.done, xc.hiHead, xc.hiDone, k.psz.pending], [0, 0, 0, 0, 0, 0]);
  // What each stage needs of the ones before: the limit of LWPs, lwp0 with turnstile0 on the first CPU, then the threads.
  assert.equal(g.maxlwp, LIMITS.lwps);
  assert.deepEqual([k.lwps.view(1).ts?.index, k.lwps.view(1).cpu], [1, k.cpus.view(1)]);
  assert.equal(k.slots.calloutHandlers[K.CALLOUT_SLEEPQ_TIMEOUT], K.sleepqTimeout);
});

test("MCH-92: each CPU gets its number, its set, its idle and its cross-call thread; on the boot CPU the booter runs, elsewhere the idle thread", () => {
  const k = bootOnly();
  const lwp0 = k.lwps.view(1);
  assert.equal(k.g.ncpu, 2);
  assert.equal(k.g.ncpuonline, 2);
  for (let n = 0; n < 2; n++) {
    const ci = k.cpus.view(n + 1);
    assert.equal(K.kcpusetIsset(k.g.attached, n), true);
    assert.deepEqual(
      [K.kcpusetCountset(ci.cpuset as K.Kcpuset), K.kcpusetIsset(ci.cpuset as K.Kcpuset, n)],
      [1, true],
    );
    assert.deepEqual([ci.idlelwp.name, ci.xcalllwp.name], [`idle/${n}`, `xcall/${n}`]);
    assert.equal(ci.curlwp, n === 0 ? lwp0 : ci.idlelwp);
    assert.deepEqual([ci.count, ci.ncallouts, K.cvWmesg(k, ci.haltCv)], [0, 0, "callout"]);
    assert.deepEqual([stateOf(ci.xcalllwp), K.sleepqFirst(k, ci.xcallCv)], ["SLEEP", ci.xcalllwp]);
  }
});

test("MCH-93: only the boot CPU is among those that run until the others' loops have started", () => {
  const k = bootOnly();
  const running = () => [0, 1].filter((n) => K.kcpusetIsset(k.g.running, n));
  assert.deepEqual(running(), [0]);
  assert.equal(k.cpus.view(2).state, K.CPU_STARTING);
  K.cpuRunning(k.cpus.view(2));
  assert.deepEqual([running(), k.cpus.view(2).state], [[0, 1], K.CPU_ONLINE]);
});
