/** Records, pools, generations, trace rings: what all kernel state stands in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { assertPanics, TestMachine } from "../support/sim.js";

const LIMITS: K.Limits = { ...K.SIMULATED_LIMITS, cpus: 1, procs: 3, lwps: 5, trace: 8 };

/** One field of each kind, laid out so that a double needs padding before it; some apart, in the cold table of LWPs. */
const FIELDS: K.Fields = {
  small: K.i32("~"),
  big: K.f64("~"),
  name: K.text("~", 8),
  room: K.area("~", 3),
  lock: K.spinlock(),
  other: K.ref("~", "lwp"),
  always: K.the("~", "cpu"),
  last: K.f64("~"),
  coldSmall: K.cold(K.i32("~")),
  coldBig: K.cold(K.f64("~")),
  coldName: K.cold(K.text("~", 8)),
  coldRoom: K.cold(K.area("~", 2)),
  coldOther: K.cold(K.ref("~", "lwp")),
};

interface Sample extends K.View {
  small: number;
  big: number;
  name: string;
  readonly room: number;
  readonly lock: number;
  other: K.Lwp | null;
  always: K.Cpu;
  last: number;
  coldSmall: number;
  coldBig: number;
  coldName: string;
  readonly coldRoom: number;
  coldOther: K.Lwp | null;
}

/** Declares the record where `new Function` throws, as under a page's content security policy. */
function withoutEval<T>(body: () => T): T {
  const real = globalThis.Function;
  globalThis.Function = class {
    constructor() {
      throw new EvalError("unsafe-eval is not allowed");
    }
  } as unknown as FunctionConstructor;
  try {
    return body();
  } finally {
    globalThis.Function = real;
  }
}

const compiled = K.defineRecord<Sample>("Lwp", FIELDS);
const closures = withoutEval(() => K.defineRecord<Sample>("Lwp", FIELDS));

/** Works on a record through all kinds of fields, and tells what it reads. */
function exercise(k: K.Kernel, type: K.RecordType<Sample>): unknown[] {
  const at = k.scratch + 10 + (k.scratch % 2);
  const v = new type.View(k, at, 3);
  const coldAt = k.lwps.coldAt(3);
  const lwp = k.lwps.view(2);
  const cpu = k.cpus.view(1);
  const seen: unknown[] = [v.index, v.at - k.scratch, v.gen, v.small, v.big, v.name, v.other];
  v.small = 0x80000000;
  v.big = Math.PI;
  v.name = "naïve";
  v.other = lwp;
  v.always = cpu;
  v.last = -1e300;
  k.w[v.room + 2] = 5;
  k.w[v.lock + 1] = 6;
  seen.push(v.small, v.big, v.name, v.other === lwp, v.always === cpu, v.last);
  v.small++;
  v.big += 1;
  v.name = "sehr langer Name";
  v.other = null;
  seen.push(v.small, v.big, v.name, v.other);
  v.name = "日本x";
  v.coldSmall = -7;
  v.coldBig = 0.5;
  v.coldName = "cold";
  v.coldOther = lwp;
  seen.push(v.name, v.room - at, v.lock - at, v.coldRoom - coldAt);
  seen.push(v.coldSmall, v.coldBig, v.coldName, v.coldOther === lwp);
  seen.push(...k.w.subarray(at, at + type.words), ...k.w.subarray(coldAt, coldAt + type.coldWords));
  return seen;
}

const EXPECTED = [
  ...[3, 10, 0, 0, 0, "", null],
  ...[-0x80000000, Math.PI, "naïve", true, true, -1e300],
  ...[-0x7fffffff, Math.PI + 1, "sehr lan", null],
  ...["??x", 8, 11, 6],
  ...[-7, 0.5, "cold", true],
];

test("a record's accessors read and write all kinds of fields, over shared memory and over plain memory", () => {
  for (const mp of [true, false]) {
    const k = new K.Kernel(LIMITS, { mp });
    assert.equal(k.buffer instanceof SharedArrayBuffer, mp);
    assert.deepEqual(exercise(k, compiled).slice(0, EXPECTED.length), EXPECTED);
  }
});

test("where new Function is forbidden the accessors are closures and do the same, word for word", () => {
  assert.notEqual(closures.View.toString(), compiled.View.toString(), "the closures were not used");
  assert.deepEqual(closures.offset, compiled.offset);
  assert.equal(closures.words, compiled.words);
  for (const mp of [true, false]) {
    const a = exercise(new K.Kernel(LIMITS, { mp }), compiled);
    const b = exercise(new K.Kernel(LIMITS, { mp }), closures);
    assert.deepEqual(b, a);
  }
});

test("fields never overlap, doubles stand on even words, and records are even in size", () => {
  for (const type of [
    compiled,
    closures,
    K.LwpRecord,
    K.ProcRecord,
    K.CpuRecord,
    K.GlobalsRecord,
    K.TurnstileRecord,
  ]) {
    const hot = new Map([
      [0, "generation"],
      [1, "free link"],
    ]);
    const cold = new Map<number, string>();
    for (const [name, field] of Object.entries(type.fields)) {
      const offset = type.offset[name];
      const taken = field.cold === true ? cold : hot;
      if (field.kind === "f64") assert.equal(offset % 2, 0, `${type.name}.${name}`);
      for (let i = offset; i < offset + field.words; i++) {
        assert.equal(taken.get(i), undefined, `${type.name}.${name} at ${i}`);
        taken.set(i, name);
      }
    }
    assert.deepEqual([type.words % 2, type.coldWords % 2], [0, 0]);
    assert.ok(Math.max(...hot.keys()) < type.words);
    assert.ok(Math.max(-1, ...cold.keys()) < Math.max(type.coldWords, 1));
  }
});

test("a pool has one view per record, and refuses indices outside its limit", () => {
  const k = new K.Kernel(LIMITS, { mp: false });
  assert.equal(k.lwps.view(3), k.lwps.view(3));
  assert.equal(k.lwps.view(1).at, k.lwps.base);
  assert.equal(k.lwps.view(4).at, k.lwps.base + 3 * K.LwpRecord.words);
  for (const index of [0, -1, 6, Number.NaN]) {
    assert.throws(() => k.lwps.view(index), RangeError, `index ${index}`);
  }
});

/** A machine of five LWPs, of which boot has taken three. */
function poolMachine(): TestMachine {
  return new TestMachine({ limits: LIMITS });
}

test("a pool hands out zeroed records until its limit, and the last one freed first", () => {
  const m = poolMachine();
  const { lwps } = m.k;
  m.asCpu(() => {
    assert.equal(lwps.inUse, 3);
    const a = K.poolGet(lwps) as K.Lwp;
    const b = K.poolGet(lwps) as K.Lwp;
    assert.deepEqual([a.index, b.index, lwps.inUse, lwps.highWater], [4, 5, 5, 5]);
    assert.equal(K.poolGet(lwps), null);
    assert.equal(lwps.inUse, 5);
    a.lid = 77;
    a.rtime = 1.5;
    a.name = "old";
    a.private = 5;
    K.poolPut(lwps, a);
    K.poolPut(lwps, b);
    assert.deepEqual([lwps.inUse, lwps.highWater], [3, 5]);
    assert.equal(K.poolGet(lwps), b);
    assert.equal(m.k.w[b.at + 1], 0, "what linked it to the next free one");
    assert.equal(K.poolGet(lwps), a);
    assert.deepEqual([a.lid, a.rtime, a.name, a.private], [0, 0, "", 0]);
    const { words, coldWords } = K.LwpRecord;
    const coldAt = lwps.coldAt(a.index);
    assert.ok(m.k.w.subarray(a.at + 1, a.at + words).every((word) => word === 0));
    assert.ok(m.k.w.subarray(coldAt, coldAt + coldWords).every((word) => word === 0));
  });
});

test("the cold part of a record counts as used once a word of it is written, or its address taken, and not when it is read", () => {
  const uses: [string, (l: K.Lwp) => unknown, number][] = [
    ["reading", (l) => [l.name, l.pctcpu, l.switchto, l.pfailtime], 0],
    ["a text", (l) => (l.name = "x"), 1],
    ["a word", (l) => (l.pctcpu = 0), 1],
    ["a double", (l) => (l.pfailtime = 0), 1],
    ["a reference", (l) => (l.switchto = null), 1],
    ["an address", (l) => l.words, 1],
  ];
  const m = poolMachine();
  m.asCpu(() => {
    for (const [what, use, used] of uses) {
      const l = K.poolGet(m.k.lwps) as K.Lwp;
      use(l);
      assert.equal(l.w[l.at + K.COLD_USED], used, what);
      K.poolPut(m.k.lwps, l);
    }
  });
});

test("a generation is odd while the record is allocated, and changes at every allocation and release", () => {
  const m = poolMachine();
  m.asCpu(() => {
    const l = K.poolGet(m.k.lwps) as K.Lwp;
    const seen = [l.gen];
    for (let i = 0; i < 3; i++) {
      K.poolPut(m.k.lwps, l);
      seen.push(l.gen);
      assert.equal(K.poolGet(m.k.lwps), l);
      seen.push(l.gen);
    }
    assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7]);
  });
});

test("a record freed twice is a kernel assertion", () => {
  const m = poolMachine();
  m.asCpu(() => {
    const l = K.poolGet(m.k.lwps) as K.Lwp;
    K.poolPut(m.k.lwps, l);
    assertPanics(() => K.poolPut(m.k.lwps, l), /freed twice/);
  });
  assert.notEqual(m.k.g.dead, 0);
});

test("tables that are full are errors: no process beyond the limit, and nothing of it stays behind", () => {
  const m = poolMachine();
  const body = function* (): Generator<undefined, void> {};
  const spawn = () => m.sim.spawn({ comm: "x" }, { kind: K.CTX_CLOSURE, closure: body });
  // Boot has taken one process and three LWPs; of five LWPs and three processes each runs out once.
  assert.notEqual(spawn(), null);
  assert.notEqual(spawn(), null);
  assert.equal(spawn(), null, "three processes, and five LWPs, are all there are");
  m.run();
  // Turnstiles stay with their records.
  assert.deepEqual([m.k.lwps.inUse, m.k.procs.inUse, m.k.turnstiles.inUse], [3, 1, 5]);
  assert.equal(m.sim.collected.length, 2);
});

test("a machine that cannot have its LWP's turnstile gives the record back", () => {
  // Not checked: no machine at rest has turnstiles without LWPs.
  const m = new TestMachine({ checked: false, limits: { ...LIMITS, procs: 8 } });
  const body = function* (): Generator<undefined, void> {};
  const spawn = () => m.sim.spawn({ comm: "x" }, { kind: K.CTX_CLOSURE, closure: body });
  const spare = m.asCpu(() => [K.poolGet(m.k.turnstiles), K.poolGet(m.k.turnstiles)]);
  assert.equal(spawn(), null);
  assert.deepEqual([m.k.lwps.inUse, m.k.procs.inUse, m.k.g.nprocs], [3, 1, 1]);
  m.asCpu(() => K.poolPut(m.k.turnstiles, spare[0] as K.Turnstile));
  assert.notEqual(spawn(), null);
  m.run();
});

test("resetting a machine leaves no word of an earlier life but those of its rings", () => {
  const fresh = new TestMachine({ limits: LIMITS });
  const used = new TestMachine({ limits: LIMITS });
  used.runToEnd(function* () {});
  used.sim.reset();
  const kept = [used.k.trace, used.k.trace + LIMITS.trace * K.TRACE_WORDS];
  const differ: number[] = [];
  fresh.k.w.forEach((word, i) => {
    if (word !== used.k.w[i] && (i < kept[0] || i >= kept[1])) differ.push(i);
  });
  assert.deepEqual(differ, []);
  assert.equal(used.k.lwps.view(3).context, null);
});

// --- probes and trace rings -------------------------------------------------------------------------

/** Fires probe `switch` with the numbers from `from` to `to`. */
function fireSome(m: TestMachine, from: number, to: number): void {
  m.asCpu(() => {
    for (let i = from; i < to; i++) K.fire(m.k, K.PROBE_SWITCH, 1, i, i, i + 1, i + 2, i + 3, i + 4);
  });
}

test("a probe writes only while somebody listens, and only the ones that are listened to", () => {
  const m = new TestMachine({ limits: LIMITS });
  fireSome(m, 0, 3);
  assert.deepEqual(K.traceRead(m.k, m.cpu(0), 0), { records: [], next: 0, lost: 0 });
  K.probeEnable(m.k, ["switch", "steal"], true);
  m.asCpu(() => K.fire(m.k, K.PROBE_WAKEUP, 1, 1));
  fireSome(m, 3, 4);
  K.probeEnable(m.k, ["switch"], false);
  fireSome(m, 4, 5);
  const { records } = K.traceRead(m.k, m.cpu(0), 0);
  assert.deepEqual(records, [
    { probe: "switch", time: m.k.g.time, cpu: 0, pid: 1, lid: 3, args: [3, 4, 5, 6, 7], seq: 0 },
  ]);
});

test("a trace ring overwrites its oldest records, and says how many its reader has lost", () => {
  const m = new TestMachine({ limits: LIMITS });
  K.probeEnable(m.k, ["switch"], true);
  const lids = (from: number) => {
    const { records, next, lost } = K.traceRead(m.k, m.cpu(0), from);
    return { lids: records.map((r) => r.lid), next, lost };
  };
  fireSome(m, 0, 5);
  assert.deepEqual(lids(0), { lids: [0, 1, 2, 3, 4], next: 5, lost: 0 });
  assert.deepEqual(lids(5), { lids: [], next: 5, lost: 0 });
  fireSome(m, 5, 8);
  assert.deepEqual(lids(0), { lids: [0, 1, 2, 3, 4, 5, 6, 7], next: 8, lost: 0 });
  fireSome(m, 8, 9);
  assert.deepEqual(lids(0), { lids: [1, 2, 3, 4, 5, 6, 7, 8], next: 9, lost: 1 });
  fireSome(m, 9, 30);
  assert.deepEqual(lids(9), { lids: [22, 23, 24, 25, 26, 27, 28, 29], next: 30, lost: 13 });
});

test("a trace ring is still read in order after 2^31 and 2^32 records", () => {
  const m = new TestMachine({ limits: LIMITS });
  K.probeEnable(m.k, ["switch"], true);
  for (const start of [2 ** 31 - 2, 2 ** 32 - 2]) {
    m.cpu(0).traceHead = start;
    fireSome(m, 0, 4);
    const { records, next, lost } = K.traceRead(m.k, m.cpu(0), start);
    assert.deepEqual(
      records.map((r) => r.lid),
      [0, 1, 2, 3],
    );
    assert.deepEqual([next, lost], [start + 4, 0]);
  }
});

test("each CPU has a trace ring of its own", () => {
  const m = new TestMachine({ cpus: 2, limits: { ...LIMITS, cpus: 2, lwps: 8 } });
  K.probeEnable(m.k, [...K.PROBES], true);
  K.PROBES.forEach((_name, id) => {
    m.asCpu(() => K.fire(m.k, id, 1, 1), id % 2);
  });
  for (const n of [0, 1]) {
    const { records } = K.traceRead(m.k, m.cpu(n), 0);
    assert.deepEqual(
      records.map((r) => [r.cpu, r.probe]),
      K.PROBES.filter((_name, id) => id % 2 === n).map((probe) => [n, probe]),
    );
  }
});
