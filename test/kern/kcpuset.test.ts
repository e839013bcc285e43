/** Sets of CPUs (MCH-40, 41, 106), and the caches that they come from (MCH-45). */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as K from "lwp/kernel";
import { assertPanics, TestMachine } from "../support/sim.js";

function set(m: TestMachine, ...cpus: number[]): K.Kcpuset {
  const s = m.asCpu(() => K.kcpusetCreate(m.k, true));
  for (const i of cpus) K.kcpusetSet(s, i);
  return s;
}

const members = (s: K.Kcpuset) => {
  const list: number[] = [];
  for (let i = 0; i < K.MAXCPUS; i++) if (K.kcpusetIsset(s, i)) list.push(i);
  return list;
};

test("MCH-40: bit i of word i >> 5, of a set that is MAXCPUS rounded up to 32", () => {
  const m = new TestMachine();
  const s = set(m, 0, 31, 32, 63);
  assert.equal(K.KCPUSET_WORDS, K.MAXCPUS / 32);
  assert.deepEqual([...m.k.w.subarray(s.bits, s.bits + 2)], [0x80000001 | 0, 0x80000001 | 0]);
  const words = new Uint32Array(3);
  K.kcpusetExportU32(s, words);
  assert.deepEqual([...words], [0x80000001, 0x80000001, 0]);
  assertPanics(() => K.kcpusetSet(s, K.MAXCPUS), /no such CPU/);
});

test("MCH-40: every operation agrees with a set of numbers", () => {
  const cpus = fc.uniqueArray(fc.integer({ min: 0, max: K.MAXCPUS - 1 }));
  const m = new TestMachine();
  fc.assert(
    fc.property(cpus, cpus, fc.integer({ min: 0, max: K.MAXCPUS - 1 }), (a, b, i) => {
      const [x, y, z] = [set(m, ...a), set(m, ...b), set(m)];
      const sorted = (list: Iterable<number>) => [...list].sort((p, q) => p - q);
      assert.deepEqual(members(x), sorted(a));
      assert.equal(K.kcpusetCountset(x), a.length);
      assert.equal(K.kcpusetIszero(x), a.length === 0);
      assert.equal(
        K.kcpusetIsotherset(x, i),
        a.some((n) => n !== i),
      );
      assert.equal(K.kcpusetMatch(x, y), String(sorted(a)) === String(sorted(b)));
      K.kcpusetCopy(z, x);
      assert.ok(K.kcpusetMatch(z, x));
      K.kcpusetMerge(z, y);
      assert.deepEqual(members(z), sorted(new Set([...a, ...b])));
      K.kcpusetIntersect(x, y);
      assert.deepEqual(members(x), sorted(a.filter((n) => b.includes(n))));
      K.kcpusetAtomicSet(y, i);
      assert.ok(K.kcpusetIsset(y, i));
      K.kcpusetAtomicClear(y, i);
      assert.ok(!K.kcpusetIsset(y, i));
      K.kcpusetFill(z);
      assert.equal(K.kcpusetCountset(z), K.MAXCPUS);
      K.kcpusetClear(z, i);
      assert.equal(K.kcpusetCountset(z), K.MAXCPUS - 1);
      K.kcpusetZero(z);
      assert.ok(K.kcpusetIszero(z));
      m.asCpu(() => [x, y, z].forEach((s) => K.kcpusetUnuse(s)));
    }),
  );
  assert.equal(m.k.kcpusets.inUse, 3 + 3, "the machine's own, and those in the cache");
});

test("MCH-40: the last reference destroys the set, or puts it on a list that is destroyed later", () => {
  const m = new TestMachine();
  const free = () => m.k.w[m.k.caches + K.CACHE_COUNT];
  m.asCpu(() => {
    const s = K.kcpusetCreate(m.k, true);
    K.kcpusetUse(s);
    assert.equal(K.kcpusetUnuse(s, null), null);
    assert.deepEqual([s.refcnt, free()], [1, 0]);
    K.kcpusetUnuse(s);
    assert.equal(free(), 1);
    const [a, b] = [K.kcpusetCreate(m.k, true), K.kcpusetCreate(m.k, true)];
    let list = K.kcpusetUnuse(a, null);
    list = K.kcpusetUnuse(b, list);
    assert.deepEqual([list, free()], [b, 0]);
    K.kcpusetDestroy(list as K.Kcpuset);
    assert.equal(free(), 2);
    assertPanics(() => K.kcpusetUse(a), /it is free/);
  });
});

test("MCH-40, MCH-106: copyin and copyout take as many bytes as there are; more than a set has is EINVAL", () => {
  const m = new TestMachine();
  const s = set(m, 33);
  assert.equal(K.kcpusetIsotherset(s, 33), false);
  K.kcpusetSet(s, 2);
  assert.equal(K.kcpusetIsotherset(s, 33), true);
  assert.equal(K.kcpusetCopyin(s, Uint8Array.of(1, 0, 0, 0x80)), 0);
  assert.deepEqual(members(s), [0, 31, 33], "bits from 32 on are as they were");
  const fresh = set(m);
  K.kcpusetCopyin(fresh, Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  assert.equal(K.kcpusetCountset(fresh), 32);
  const bytes = new Uint8Array(5);
  assert.equal(K.kcpusetCopyout(s, bytes), 0);
  assert.deepEqual([...bytes], [1, 0, 0, 0x80, 2]);
  assert.equal(K.kcpusetCopyin(s, new Uint8Array(9)), K.EINVAL);
  assert.equal(K.kcpusetCopyout(s, new Uint8Array(9)), K.EINVAL);
  // CPUs that do not exist may be in a set.
  assert.deepEqual(members(s), [0, 31, 33]);
});

test("MCH-41: attached and running CPUs, and a set of each CPU alone; no early sets, since there is memory before CPUs", () => {
  const m = new TestMachine({ cpus: 3 });
  assert.deepEqual(members(m.k.g.attached), [0, 1, 2]);
  assert.deepEqual(members(m.k.g.running), [0, 1, 2]);
  for (let n = 0; n < 3; n++) assert.deepEqual(members(m.cpu(n).cpuset as K.Kcpuset), [n]);
  assert.notEqual(m.k.g.attached.index, m.k.g.running.index);
});

// --- object caches ----------------------------------------------------------------------------------

function cacheOf(log: string[]): K.PoolCache<K.Kcpuset> {
  return {
    index: 5,
    name: "testpl",
    pool: (k) => k.kcpusets,
    construct: (s) => void log.push(`construct ${s.index}`),
    destruct: (s) => void log.push(`destruct ${s.index}`),
  };
}

test("MCH-45: the constructor runs on the first allocation only, the destructor only when memory is given back", () => {
  const m = new TestMachine();
  const log: string[] = [];
  const cache = cacheOf(log);
  m.asCpu(() => {
    K.poolCacheInit(m.k, cache as unknown as K.PoolCache<K.View>);
    const a = K.poolCacheTryget(m.k, cache) as K.Kcpuset;
    const gen = a.gen;
    a.refcnt = 77;
    K.poolCachePut(m.k, cache, a);
    assert.equal(K.poolCacheTryget(m.k, cache), a);
    assert.equal(a.refcnt, 77, "as it was left");
    assert.notEqual(a.gen, gen, "but no handle of its former life finds it");
    const b = K.poolCacheTryget(m.k, cache) as K.Kcpuset;
    assert.deepEqual(log, [`construct ${a.index}`, `construct ${b.index}`]);
    K.poolCachePut(m.k, cache, a);
    K.poolCachePut(m.k, cache, b);
    const { inUse } = m.k.kcpusets;
    assert.equal(K.poolCacheInvalidate(m.k, cache), 2);
    assert.deepEqual(log.slice(2), [`destruct ${b.index}`, `destruct ${a.index}`]);
    assert.equal(m.k.kcpusets.inUse, inUse - 2);
  });
});

test("MCH-45: who may wait for an object does so when there is none, until one is put back", () => {
  const m = new TestMachine({ limits: { procs: 2 } });
  const cache = cacheOf([]);
  K.poolCacheInit(m.k, cache as unknown as K.PoolCache<K.View>);
  const all: K.Kcpuset[] = [];
  m.asCpu(() => {
    for (let s = K.poolCacheTryget(m.k, cache); s !== null; s = K.poolCacheTryget(m.k, cache)) all.push(s);
  });
  let got: K.Kcpuset | null = null;
  const p = m.spawn(function* () {
    got = yield* K.poolCacheGet(m.k, cache);
  });
  m.run();
  assert.equal(m.lwp(p, 1).wmesg, "testpl");
  m.asCpu(() => K.poolCachePut(m.k, cache, all[0]));
  m.run();
  assert.equal(got, all[0]);
});

test("MCH-45: a recycled turnstile stays with the recycled LWP", () => {
  const m = new TestMachine();
  m.k.slots.kthreads[10] = function* () {};
  const create = () =>
    m.asCpu(() => K.kthreadCreate(m.k, -1, K.KTHREAD_MPSAFE, null, 10, 0, "kt")).l as K.Lwp;
  const a = create();
  const ts = a.ts;
  m.run();
  const b = create();
  assert.deepEqual([b, b.ts], [a, ts]);
  m.run();
});
