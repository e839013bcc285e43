/** sysctl: the tree, `kern.maxlwp`, `kern.lwp`, `kern.proc2` (LWP-39, MCH-60..64, 104, 105, 114). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, parked, stateOf, TestMachine, type ThreadBody } from "../support/sim.js";

function get(m: TestMachine, name: string, uid = 0): K.SysctlResult {
  return m.asCpu(() => K.sysctl(m.k, uid, name));
}

function set(m: TestMachine, name: string, value: number, uid = 0): number {
  return m.asCpu(() => K.sysctl(m.k, uid, name, value).error);
}

describe("the tree", () => {
  test("every name has a type and a description, can be read, and says truly whether it can be written", () => {
    const m = new TestMachine();
    m.spawn(parked);
    m.run();
    const list = m.asCpu(() => K.sysctlList(m.k));
    assert.equal(new Set(list.map(({ name }) => name)).size, list.length);
    for (const { name, type, description, value, writable } of list) {
      assert.ok(description.length > 0, name);
      assert.equal(
        typeof value,
        { [K.CTLTYPE_INT]: "number", [K.CTLTYPE_STRING]: "string" }[type] ?? "object",
        name,
      );
      assert.deepEqual(get(m, name).error, 0);
      const error = set(m, name, 1);
      assert.equal(error === K.EPERM, !writable, `${name}: ${error}`);
    }
  });

  test("ENOENT, ENOTDIR and EISDIR tell wrong names, before anything is asked about the caller", () => {
    const m = new TestMachine();
    for (const [name, error] of [
      ["nothing", K.ENOENT],
      ["kern.nothing", K.ENOENT],
      ["", K.ENOENT],
      ["kern.maxlwp.more", K.ENOTDIR],
      ["kern", K.EISDIR],
      ["proc.0", K.EISDIR],
      ["proc.77.stopfork", K.ENOENT],
    ] as const) {
      assert.deepEqual(get(m, name), { error, value: null }, name);
      assert.equal(set(m, name, 5, 100), error, name);
    }
  });

  test("threads ask as their user: what is refused is an LwpError", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    m.spawn(
      function* () {
        seen.push(yield* attempt(S.sysctl("kern.maxlwp")));
        seen.push(yield* attempt(S.sysctl("kern.maxlwp", 10)));
        seen.push(yield* attempt(S.sysctl("no.such")));
        seen.push(yield* attempt(S.sysctl("kern.uidinfo.lwpcnt")));
      },
      { uid: 7 },
    );
    m.run();
    assert.deepEqual(seen, [m.k.limits.lwps, "EPERM", "ENOENT", 0]);
  });
});

/** What is written to kern.maxlwp of a machine with room for 256 LWPs: the error. */
const MAXLWP: [number, number][] = [
  [-1, K.EINVAL],
  [0, 0],
  [1, 0],
  [256, 0],
  [257, K.EINVAL],
  [65535, K.EINVAL],
  [65536, K.EINVAL],
  [1.5, K.EINVAL],
  [2 ** 40, K.EINVAL],
  [Number.NaN, K.EINVAL],
];

describe("kern.maxlwp", () => {
  for (const [value, error] of MAXLWP) {
    test(`LWP-39, MCH-105: ${value} is ${error === 0 ? "stored" : K.errorCode(error)}`, () => {
      const m = new TestMachine();
      assert.equal(K.cpuMaxlwp(m.k), 256);
      assert.equal(set(m, "kern.maxlwp", value), error);
      assert.equal(get(m, "kern.maxlwp").value, error === 0 ? value : 256);
    });
  }

  test("LWP-39: from 65536 on it is refused also where there would be room", () => {
    const m = new TestMachine({ limits: { lwps: 70000, threads: 8 }, checked: false });
    assert.equal(get(m, "kern.maxlwp").value, 70000);
    assert.deepEqual(
      [65535, 65536, 69999].map((value) => set(m, "kern.maxlwp", value)),
      [0, K.EINVAL, K.EINVAL],
    );
  });

  test("LWP-39: its description; EPERM for an unprivileged writer comes before the checks of the value", () => {
    const m = new TestMachine();
    const entry = m.asCpu(() => K.sysctlList(m.k)).find(({ name }) => name === "kern.maxlwp");
    assert.deepEqual(
      [entry?.type, entry?.writable, entry?.description],
      [K.CTLTYPE_INT, true, "Maximum number of simultaneous threads"],
    );
    for (const value of [100, -1]) assert.equal(set(m, "kern.maxlwp", value, 100), K.EPERM);
    assert.equal(get(m, "kern.maxlwp", 100).value, 256);
  });

  test("LWP-39: lowering it does nothing to LWPs that are there; it is the ceiling of the next process's limit alone", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    const body: ThreadBody = function* () {
      let n = 0;
      while ((yield* attempt(S.lwpCreate(parked))) !== "EAGAIN") n++;
      seen.push(n);
      yield* S.procExit(0);
    };
    const before = m.spawn(parked, { uid: 5 });
    m.run();
    assert.equal(set(m, "kern.maxlwp", 3), 0);
    assert.deepEqual([before.nthrSoft, before.nthrHard, before.nlwps], [256, 256, 1]);
    m.spawn(body, { uid: 6 });
    m.run();
    assert.deepEqual(seen, [3], "three beside the first, which is not counted");
  });
});

/** A process with LWPs 1 (parked), 2 (dead), 3 (suspended, detached, named). */
function three(m: TestMachine): K.Proc {
  const p = m.spawn(
    function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED | S.LWP_DETACHED);
      yield* S.lwpSetname(3, "third");
      yield* S.lwpPark();
    },
    { uid: 9 },
  );
  m.run();
  return p;
}

describe("kern.lwp", () => {
  test("MCH-60: three more components, and nothing to be written: anything else is EINVAL", () => {
    const m = new TestMachine();
    const { pid } = three(m);
    const call = (name: number[], value?: unknown) =>
      m.asCpu(() => K.kernLwp(m.k, name, new Uint8Array(1024), value).error);
    for (const name of [[], [pid], [pid, 128], [pid, 128, 1, 0]]) assert.equal(call(name), K.EINVAL);
    assert.equal(call([pid, 128, 8], 5), K.EINVAL);
    assert.equal(call([pid, 128, 8]), 0);
    assert.equal(call([pid + 1, 128, 8]), K.ESRCH);
    assert.equal(call([0, 128, 8]), 0, "process 0 is one, too");
  });

  test("MCH-60: LWPs newest first, zombies of live processes included; -1 is all processes; dead ones are not found", () => {
    const m = new TestMachine();
    const p = three(m);
    const buffer = new Uint8Array(128 * 32);
    const lids = (pid: number) => {
      const { bytes } = m.asCpu(() => K.kernLwp(m.k, [pid, 128, 32], buffer));
      return Array.from({ length: bytes / 128 }, (_, i) =>
        new DataView(buffer.buffer).getInt32(i * 128 + 32, true),
      );
    };
    assert.deepEqual(lids(p.pid), [3, 2, 1]);
    assert.deepEqual(lids(-1), [3, 2, 1, 3, 2, 1], "process 0 has lwp0 and two more");
    p.stat = K.SDYING;
    assert.equal(
      m.asCpu(() => K.kernLwp(m.k, [p.pid, 128, 32], buffer).error),
      K.ESRCH,
    );
    assert.deepEqual(lids(-1), [3, 2, 1], "skipped");
    p.stat = K.SACTIVE;
  });

  test("MCH-60: a smaller element size cuts entries, a larger one leaves gaps; the process is locked, so none vanishes (EAGAIN)", () => {
    const m = new TestMachine();
    const p = three(m);
    for (const size of [40, 200]) {
      const buffer = new Uint8Array(size * 3).fill(0xee);
      const { bytes, error } = m.asCpu(() => K.kernLwp(m.k, [p.pid, size, 3], buffer));
      assert.deepEqual([bytes, error], [size * 3, 0]);
      const v = new DataView(buffer.buffer);
      assert.deepEqual(
        [0, 1, 2].map((i) => v.getInt32(i * size + 32, true)),
        [3, 2, 1],
      );
      if (size === 200) assert.ok(buffer.subarray(128, 200).every((byte) => byte === 0xee));
    }
  });

  test("MCH-60: proc_lock is held while processes are looked up and read or set: none is collected meanwhile", () => {
    const m = new TestMachine({ cpus: 2 });
    const { pid } = m.spawn(parked);
    m.run();
    const calls: Record<string, () => unknown> = {
      "kern.lwp": () => get(m, "kern.lwp"),
      "kern.proc2": () => get(m, "kern.proc2"),
      "kern.uidinfo.proccnt": () => get(m, "kern.uidinfo.proccnt"),
      "proc.PID.stopfork, read": () => get(m, `proc.${pid}.stopfork`),
      "proc.PID.stopfork, set": () => set(m, `proc.${pid}.stopfork`, 1),
      "the whole tree": () => m.asCpu(() => K.sysctlList(m.k)),
      "kern.lwp in bytes": () => m.asCpu(() => K.kernLwp(m.k, [-1, 128, 9], new Uint8Array(9 * 128))),
    };
    const lock = m.k.g.procLock;
    for (const [name, call] of Object.entries(calls)) {
      let waited = 0;
      // The other CPU has it, and lets go of it once it is waited for.
      m.k.w[lock] = m.cpu(1).index;
      m.whileWaiting(() => {
        waited++;
        m.k.w[lock] = 0;
      });
      call();
      assert.deepEqual([waited, m.k.w[lock]], [1, 0], name);
    }
  });

  test("MCH-61: every field of kinfo_lwp, at its place in 128 bytes", () => {
    const m = new TestMachine({ cpus: 2 });
    const p = three(m);
    const l = m.lwp(p, 1);
    [l.swtime, l.slptime, l.cpticks, l.pctcpu, l.rtime] = [11, 12, 13, 14, 2.25];
    const bytes = m.locked(p, () => K.packKinfoLwp(K.kinfoLwp(l)));
    assert.equal(bytes.length, K.KINFO_LWP_BYTES);
    const v = new DataView(bytes.buffer);
    const words = (at: number, n: number) =>
      Array.from({ length: n }, (_, i) => v.getInt32(at + i * 4, true));
    const longs = (at: number, n: number) =>
      Array.from({ length: n }, (_, i) => Number(v.getBigUint64(at + i * 8, true)));
    const text = (at: number, n: number) =>
      String.fromCharCode(...bytes.subarray(at, at + n)).replace(/\0.*$/s, "");
    assert.deepEqual(longs(0, 4), [0, 0, l.at * 4, m.k.lwps.coldAt(l.index) * 4]);
    assert.deepEqual(words(32, 6), [1, 4 | 0x80, 11, 12, 0, 0]);
    assert.deepEqual(
      [bytes[56], bytes[57], bytes[58], bytes[59], ...words(60, 1)],
      [K.lwpEprio(l), l.priority, 3, 0, 0],
    );
    assert.deepEqual([text(64, 8), ...longs(72, 2)], ["parked", l.wchan * 4, l.cpu.index - 1]);
    assert.deepEqual(words(88, 5), [2, 250000, 13, 14, p.pid]);
    assert.equal(text(108, 20), "");
    const third = m.locked(p, () => K.packKinfoLwp(K.kinfoLwp(m.lwp(p, 3))));
    assert.equal(String.fromCharCode(...third.subarray(108, 114)), "third\0");
  });

  test("MCH-61: the scheduler's flags only while it runs; a message of eight characters has no terminator", () => {
    const m = new TestMachine();
    const idle = m.cpu(0).idlelwp;
    m.cpu(0).flags = K.SPCF_RUNNING;
    const flags = () => m.locked(idle.proc, () => K.kinfoLwp(idle).schedflags);
    assert.equal(stateOf(idle), "ONPROC");
    assert.equal(flags(), K.SPCF_RUNNING);
    const l = m.k.lwps.view(1);
    assert.equal(
      m.locked(l.proc, () => K.kinfoLwp(l).schedflags),
      0,
    );
    const info = { ...m.locked(l.proc, () => K.kinfoLwp(l)), wmesg: "12345678", wchan: 0x101 };
    assert.deepEqual(
      [...K.packKinfoLwp(info).subarray(64, 74)],
      [..."12345678"].map((c) => c.charCodeAt(0)).concat(1, 1),
    );
  });

  /** Flags of an LWP, and what is exported of them. */
  const FLAGS: [string, number, number, number][] = [
    ["nothing", 0, 0, 0x4],
    ["SINTR", K.LW_SINTR, 0, 0x84],
    ["SYSTEM", K.LW_SYSTEM, 0, 0x204],
    ["DETACHED", 0, K.LPR_DETACHED, 0x800004],
    ["all others", ~(K.LW_SINTR | K.LW_SYSTEM), ~K.LPR_DETACHED, 0x4],
  ];
  for (const [name, flag, prflag, exported] of FLAGS) {
    test(`MCH-62: of ${name}: 0x${exported.toString(16)}`, () => {
      const m = new TestMachine();
      const p = m.spawn(parked);
      m.run();
      const l = m.lwp(p, 1);
      [l.flag, l.prflag] = [flag, prflag];
      assert.equal(
        m.locked(p, () => K.kinfoLwp(l).flag),
        exported,
      );
    });
  }

  test("MCH-104: three LWPs, room for two: two entries, newest first, and ENOMEM; a null buffer: 3 x size and 5 x 128", () => {
    const m = new TestMachine();
    const p = three(m);
    const buffer = new Uint8Array(128 * 2);
    assert.deepEqual(
      m.asCpu(() => K.kernLwp(m.k, [p.pid, 128, 2], buffer)),
      { error: K.ENOMEM, bytes: 256 },
    );
    const v = new DataView(buffer.buffer);
    assert.deepEqual([v.getInt32(32, true), v.getInt32(160, true)], [3, 2]);
    for (const size of [128, 64])
      assert.deepEqual(
        m.asCpu(() => K.kernLwp(m.k, [p.pid, size, 2], null)),
        { error: 0, bytes: 3 * size + 640 },
      );
  });
});

describe("kern.proc2", () => {
  const ORDER = [K.LSONPROC, K.LSRUN, K.LSSLEEP, K.LSSTOP, K.LSSUSPENDED, K.LSIDL, K.LSDEAD, K.LSZOMB];

  test("MCH-63: of any two states the more active one stands for the process, whichever is newer", () => {
    const m = new TestMachine({ checked: false });
    const p = three(m);
    const [a, b] = [m.lwp(p, 1), m.lwp(p, 3)];
    m.lwp(p, 2).stat = K.LSZOMB;
    ORDER.forEach((high, i) => {
      for (const low of ORDER.slice(i + 1)) {
        for (const [first, second] of [
          [a, b],
          [b, a],
        ]) {
          [first.stat, second.stat] = [high, low];
          assert.equal(K.procActiveLwp(p), first);
        }
      }
    });
  });

  test("MCH-63: of equals the one with more ticks, else the newest", () => {
    const m = new TestMachine({ checked: false });
    const p = three(m);
    for (const lid of [1, 2, 3]) m.lwp(p, lid).stat = K.LSSLEEP;
    assert.equal(K.procActiveLwp(p)?.lid, 3);
    m.lwp(p, 1).cpticks = 2;
    m.lwp(p, 2).cpticks = 5;
    assert.equal(K.procActiveLwp(p)?.lid, 2);
  });

  test("MCH-63: sums, both states, counts; pending sets are united with the process's own (the original puts that into the mask)", () => {
    const m = new TestMachine();
    const p = three(m);
    p.pctcpu = 100;
    m.k.w[p.sigpend] = 1;
    for (const lid of [1, 3]) {
      const l = m.lwp(p, lid);
      [l.cpticks, l.pctcpu, l.estcpu] = [lid, lid * 10, lid * 100];
      m.k.w[l.sigpend] = 2 * lid;
      m.k.w[l.sigmask + 1] = 8 * lid;
    }
    const info = m.asCpu(() => K.kinfoProc2(p));
    assert.deepEqual(info, {
      pid: p.pid,
      comm: "test",
      uid: 9,
      stat: K.LSSLEEP,
      realstat: K.SACTIVE,
      nlwps: 3,
      nrlwps: 1,
      cpticks: 4,
      pctcpu: 140,
      estcpu: 400,
      lid: 1,
      priority: m.lwp(p, 1).priority,
      wmesg: "parked",
      wchan: m.lwp(p, 1).wchan * 4,
      cpuid: 0,
      siglist: [1 | 2 | 6, 0],
      sigmask: [0, 8 | 24],
    });
    // The message of the last sleep stays behind.
    const asleep = m.lwp(p, 1).wchan;
    m.lwp(p, 1).wchan = 0;
    const awake = m.asCpu(() => K.kinfoProc2(p));
    assert.deepEqual([awake.wmesg, awake.wchan], ["", 0]);
    m.lwp(p, 1).wchan = asleep;
    p.stat = K.SDYING;
    assert.deepEqual(
      [m.asCpu(() => K.kinfoProc2(p)).lid, m.asCpu(() => K.kinfoProc2(p)).stat],
      [null, K.SDYING],
    );
    p.stat = K.SACTIVE;
    for (const lid of [1, 3]) m.k.w.fill(0, m.lwp(p, lid).sigpend, m.lwp(p, lid).sigpend + 2);
  });
});

describe("others", () => {
  test("MCH-64: resources of the caller's user, scheduler, limits of a process; what is counted, and what there is none of", () => {
    const m = new TestMachine();
    const p = three(m);
    m.spawn(parked, { uid: 9 });
    m.run();
    const values = (uid: number) =>
      ["proccnt", "lwpcnt", "lockcnt", "sbsize"].map((name) => get(m, `kern.uidinfo.${name}`, uid).value);
    // The first LWP of a process is not counted.
    assert.deepEqual(values(9), [2, 2, 0, 0]);
    assert.deepEqual(values(10), [0, 0, 0, 0]);
    // Asking takes no place in the table of users.
    for (let uid = 100; uid < 200; uid++) assert.deepEqual(values(uid), [0, 0, 0, 0]);
    assert.equal(
      m.asCpu(() => K.uidKnown(m.k, 200)),
      true,
    );
    assert.equal(get(m, `proc.${p.pid}.rlimit.maxlwp.soft`).value, p.nthrSoft);
    assert.equal(get(m, `proc.${p.pid}.rlimit.maxlwp.hard`).value, p.nthrHard);
    assert.equal(set(m, "kern.sched.upreempt_pri", 200), 0);
    assert.equal(m.k.g.upreemptPri, 200);
    assert.deepEqual(
      ["pri_min", "pri_max", "name", "rtts"].map((name) => get(m, `kern.sched.${name}`).value),
      [0, 63, "4.4BSD", 100],
    );
    const affinity = "security.models.extensions.user_set_cpu_affinity";
    assert.equal(get(m, affinity).value, 0);
    assert.deepEqual(
      [set(m, affinity, 2), set(m, affinity, -1), set(m, affinity, 1, 9)],
      [K.EINVAL, K.EINVAL, K.EPERM],
    );
    assert.deepEqual([set(m, affinity, 1), get(m, affinity).value], [0, 1]);
  });

  const STOPS: [string, number][] = [
    ["stopfork", K.PS_STOPFORK],
    ["stopexec", K.PS_STOPEXEC],
    ["stopexit", K.PS_STOPEXIT],
  ];
  for (const [name, bit] of STOPS) {
    test(`MCH-114: ${name} is set for one process, by its user or the superuser; reading tells the flag (the original: always 0)`, () => {
      const m = new TestMachine();
      const p = m.spawn(parked, { uid: 9 });
      m.run();
      const path = `proc.${p.pid}.${name}`;
      assert.equal(get(m, path).value, 0);
      assert.equal(set(m, path, 1, 10), K.EPERM);
      assert.equal(p.sflag & bit, 0);
      for (const uid of [9, 0]) {
        assert.equal(set(m, path, 1, uid), 0);
        assert.deepEqual(
          [p.sflag & (K.PS_STOPFORK | K.PS_STOPEXEC | K.PS_STOPEXIT), get(m, path).value],
          [bit, 1],
        );
        assert.equal(set(m, path, 2, uid), K.EINVAL);
        assert.equal(set(m, path, 0, uid), 0);
        assert.equal(get(m, path).value, 0);
      }
    });
  }
});

describe("event counters", () => {
  test("MCH-97: by group and name, only growing; no kpreempt and no softint, of which there are none here", () => {
    const m = new TestMachine({ cpus: 2 });
    const counts = () =>
      new Map(K.evcntList(m.k).map(({ group, name, count }) => [`${group} ${name}`, count]));
    const before = counts();
    m.spawn(function* () {
      yield* K.xcWait(m.k, yield* K.xcBroadcast(m.k, 0, K.XC_NULLOP));
      yield* K.xcWait(m.k, yield* K.xcUnicast(m.k, 0, K.XC_NULLOP, 0, 0, m.cpu(1)));
      yield* K.pserializePerform(K.pserializeCreate(m.k) as K.Pserialize);
    });
    m.run();
    const after = counts();
    assert.deepEqual([...after.keys()].sort(), [
      "callout late/0",
      "callout late/1",
      "callout wait/0",
      "callout wait/1",
      "cpu0 runqueue localize",
      "cpu0 runqueue pull",
      "cpu0 runqueue push",
      "cpu0 runqueue stay",
      "cpu1 runqueue localize",
      "cpu1 runqueue pull",
      "cpu1 runqueue push",
      "cpu1 runqueue stay",
      "crosscall broadcast",
      "crosscall unicast",
      "pserialize exclusive access",
    ]);
    for (const [name, count] of after) assert.ok(count >= (before.get(name) as number), name);
    assert.deepEqual(
      ["crosscall broadcast", "crosscall unicast", "pserialize exclusive access"].map((name) =>
        after.get(name),
      ),
      [1, 1, 1],
    );
  });

  test("MCH-97: a callout that fires after its tick is late; a halt that finds its handler running waits", () => {
    const m = new TestMachine({ cpus: 2 });
    const c = m.words(K.CALLOUT_WORDS);
    m.k.slots.calloutHandlers[9] = () => {};
    m.asCpu(() => {
      K.calloutInit(m.k, c, K.CALLOUT_MPSAFE);
      K.calloutReset(m.k, c, 2, 9, 0);
    });
    const ci = m.cpu(0);
    m.sim.tick();
    m.sim.tick();
    assert.equal(ci.calloutLate, 0);
    m.asCpu(() => K.calloutReset(m.k, c, 2, 9, 0));
    m.k.w[c + K.CO_TIME] -= 5;
    m.sim.tick();
    assert.equal(ci.calloutLate, 1);
    m.asCpu(() => (ci.calloutRunning = c), 1);
    m.spawn(function* () {
      yield* K.calloutHalt(m.k, c, 0);
    });
    const halting = K.allLwps(m.k)[0];
    if (halting.cpu === ci) m.holding(halting, () => (halting.affinity = 2));
    for (let i = 0; i < 10; i++) K.dispatch(m.cpu(1), 1);
    assert.equal(ci.calloutWait + m.cpu(1).calloutWait, 1);
  });
});
