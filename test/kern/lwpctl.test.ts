/** Words shared between an LWP and its program: pages, slots, rotor, who writes them (LWP-88..110, 144..146, SYS-32). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, parked, TestMachine, type ThreadBody } from "../support/sim.js";

/** A machine with room for many LWPs; unchecked, since the whole of it would be looked at after each step. */
function machine(lwps = 64, cpus = 1, userPages = 64): TestMachine {
  return new TestMachine({ cpus, checked: lwps <= 64, limits: { lwps, threads: 8, userPages } });
}

/** Runs the body as the main thread of a process, which goes on until the machine is at rest. */
function inThread(m: TestMachine, body: ThreadBody): K.Proc {
  const p = m.spawn(body);
  m.run(1_000_000);
  return p;
}

/** The words of an LWP: CPU and count. */
const words = (l: K.Lwp) => [l.k.uw[l.lwpctl + K.LWPCTL_CURCPU], l.k.uw[l.lwpctl + K.LWPCTL_PCTR]];

/** Slots, as numbers from the start of the region. */
class Slots {
  readonly m: TestMachine;
  readonly p: K.Proc;
  readonly #lwps: K.Lwp[] = [];
  constructor(m: TestMachine) {
    this.m = m;
    this.p = m.spawn(parked);
    m.run();
  }
  /** Takes a slot for one more LWP, which never runs. */
  take(): number {
    const { m, p } = this;
    return m.asCpu(() => {
      const l0 = m.lwp(p, 1);
      K.cur.lwp = l0;
      const l = K.lwpCreate(l0, p, 0, { kind: K.CTX_CLOSURE, closure: parked }, l0.class) as K.Lwp;
      K.cur.lwp = l;
      assert.equal(K.lwpCtlAlloc(l), 0);
      const { region } = m.k.lcprocs.view(p.lwpctl);
      const slot = (K.lwpCtlByte(l) - K.umemByte(region)) / K.LWPCTL_BYTES;
      this.#lwps[slot] = l;
      return slot;
    });
  }
  takeMany(n: number): number[] {
    return Array.from({ length: n }, () => this.take());
  }
  free(slot: number): void {
    this.m.asCpu(() => K.lwpCtlFree(this.#lwps[slot]));
  }
  lwp(slot: number): K.Lwp {
    return this.#lwps[slot];
  }
  /** Index and free slots of each page, first to last. */
  pages(): [first: number, free: number][] {
    const { k } = this.m;
    const lp = k.lcprocs.view(this.p.lwpctl);
    const list: [number, number][] = [];
    for (let i = lp.pages; i !== 0; i = k.lcpages.view(i).chain) {
      const page = k.lcpages.view(i);
      list.push([(page.uaddr - K.umemByte(lp.region)) / K.LWPCTL_BYTES, page.nfree]);
    }
    return list;
  }
}

const range = (from: number, n: number) => Array.from({ length: n }, (_, i) => from + i);

test("LWP-88: the CPU while running, -1 while switched out, -2 once exiting; the count grows at every switch in", () => {
  const m = machine(64, 2);
  const seen: unknown[] = [];
  let address = -1;
  inThread(m, function* () {
    const lid = yield* S.lwpCreate(function* () {
      const ctl = yield* S.lwpCtl();
      address = ctl.address;
      for (let i = 0; i < 2; i++) {
        seen.push([ctl.curcpu === K.cur.cpu.index - 1, ctl.pctr]);
        yield* attempt(S.lwpPark());
      }
    });
    const read = () => [S.LwpCtl.at(address).curcpu, S.LwpCtl.at(address).pctr];
    while (address < 0) yield* K.kpause(m.k, "wait", 1);
    yield* K.kpause(m.k, "wait", 1);
    const pctr = read()[1];
    assert.deepEqual(read(), [K.LWPCTL_CPU_NONE, pctr]);
    yield* S.lwpUnpark(lid);
    yield* K.kpause(m.k, "wait", 1);
    assert.equal(read()[0], K.LWPCTL_CPU_NONE);
    assert.ok(read()[1] > pctr);
    yield* S.lwpUnpark(lid);
    yield* K.kpause(m.k, "wait", 2);
    assert.equal(read()[0], K.LWPCTL_CPU_EXITED);
    yield* S.lwpWait(lid);
  });
  assert.equal(seen.length, 2);
  for (const [own] of seen as [boolean, number][]) assert.equal(own, true);
});

for (const features of [0, 1, 2, 3]) {
  test(`LWP-88, SYS-32: with features ${features} both words are kept all the same`, () => {
    const m = machine();
    inThread(m, function* () {
      const ctl = yield* S.lwpCtl(features);
      const { pctr } = ctl;
      yield* K.kpause(m.k, "away", 1);
      assert.deepEqual([ctl.curcpu, ctl.pctr - pctr], [0, 1]);
    });
  });
}

test("LWP-89: 512 slots of 8 bytes a page, 16 words of map, 16 pages, 8,192 slots", () => {
  assert.deepEqual(
    [K.LWPCTL_PER_PAGE, K.LWPCTL_BITMAP_WORDS, K.LWPCTL_UAREA_BYTES, K.MAX_LWP_PER_PROC],
    [512, 16, 65536, 8000],
  );
  const s = new Slots(machine());
  s.take();
  const page = s.m.k.lcpages.view(s.lwp(0).lcpage);
  const map = [...s.m.k.w.subarray(page.bitmap, page.bitmap + 16)];
  assert.deepEqual(map, [-2, ...Array.from({ length: 15 }, () => -1)], "bit set: free");
});

test("LWP-90: the header of a process is made at the first use; an LWP knows its page and its words", () => {
  const s = new Slots(machine());
  const { m, p } = s;
  assert.deepEqual([p.lwpctl, m.k.lcprocs.inUse], [0, 0]);
  s.takeMany(3);
  const lp = m.k.lcprocs.view(p.lwpctl);
  const page = m.k.lcpages.view(lp.pages);
  assert.deepEqual([lp.cur, lp.max, page.chain, page.nfree, page.rotor], [4096, 65536, 0, 509, 0]);
  assert.equal(page.uaddr, K.umemByte(lp.region));
  const l = s.lwp(2);
  assert.equal(l.lcpage, page.index);
  assert.equal((K.lwpCtlByte(l) - page.uaddr) / 8, 2);
});

test("LWP-100: EBUSY for a vforked child whose parent waits; the same words at every call", () => {
  const m = machine();
  inThread(m, function* () {
    const { proc } = K.cur.lwp;
    proc.lflag |= K.PL_PPWAIT;
    assert.equal(yield* attempt(S.lwpCtl()), "EBUSY");
    proc.lflag &= ~K.PL_PPWAIT;
    const first = yield* S.lwpCtl();
    const second = yield* S.lwpCtl(1);
    assert.equal(first.address, second.address);
    assert.equal(m.k.lcpages.view(K.cur.lwp.lcpage).nfree, 511);
  });
});

test("LWP-100: without room for the region ENOMEM; the header stays, and the next call tries again", () => {
  const m = machine(64, 1, 20);
  inThread(m, function* () {
    const { proc } = K.cur.lwp;
    const range1 = K.umemAlloc(m.k, null, 8, false);
    assert.equal(yield* attempt(S.lwpCtl()), "ENOMEM");
    assert.deepEqual([proc.lwpctl !== 0, m.k.lcprocs.inUse, K.cur.lwp.lwpctl], [true, 1, 0]);
    K.umemFree(m.k, range1, K.umemGen(m.k, range1));
    const header = proc.lwpctl;
    yield* S.lwpCtl();
    assert.equal(proc.lwpctl, header);
  });
});

test("LWP-101, LWP-102: slots in order; the next page when none is free, in front of the others", () => {
  const s = new Slots(machine(1100));
  assert.deepEqual(s.takeMany(512), range(0, 512));
  assert.deepEqual(s.pages(), [[0, 0]]);
  assert.deepEqual(s.takeMany(3), [512, 513, 514]);
  assert.deepEqual(s.pages(), [
    [512, 509],
    [0, 0],
  ]);
});

test("LWP-101: 8,192 slots are handed out; the next call gives ENOMEM, and one that is freed serves again", () => {
  const s = new Slots(machine(8300));
  assert.deepEqual(s.takeMany(8192), range(0, 8192));
  assert.throws(() => s.take(), /12 !== 0/, "ENOMEM");
  assert.equal(s.pages().length, 16);
  s.free(5000);
  assert.equal(s.take(), 5000);
});

test("LWP-102, LWP-146: a slot that serves again shows the old count as its start; the CPU is the current one", () => {
  const m = machine();
  inThread(m, function* () {
    let count = 0;
    let address = 0;
    const lid = yield* S.lwpCreate(function* () {
      const ctl = yield* S.lwpCtl();
      for (let i = 0; i < 3; i++) yield* K.kpause(m.k, "away", 1);
      count = ctl.pctr;
      ({ address } = ctl);
    });
    yield* S.lwpWait(lid);
    assert.ok(count >= 3);
    const ctl = yield* S.lwpCtl();
    assert.equal(ctl.address, address);
    assert.equal(ctl.curcpu, 0);
    assert.ok(ctl.pctr >= count, `${ctl.pctr} after ${count}`);
  });
});

test("LWP-108, LWP-144: with 33 slots used freeing 3 leaves the rotor, and the next is 33; with 32 used it is 3", () => {
  for (const [used, next] of [
    [33, 33],
    [32, 3],
  ]) {
    const s = new Slots(machine());
    s.takeMany(used);
    s.free(3);
    assert.equal(s.take(), next, `${used} used`);
  }
});

test("LWP-108, LWP-145: the 513th opens page 2; while it has room page 1 stays behind it, and comes forward when it has none", () => {
  const s = new Slots(machine(1100));
  s.takeMany(513);
  s.free(100);
  assert.deepEqual(s.pages(), [
    [512, 511],
    [0, 1],
  ]);
  assert.deepEqual(s.takeMany(511), range(513, 511));
  assert.deepEqual(s.pages()[0], [512, 0]);
  s.free(200);
  assert.deepEqual(s.pages(), [
    [0, 2],
    [512, 0],
  ]);
  assert.deepEqual(s.takeMany(2), [100, 200]);
  assert.equal(s.take(), 1024, "page 3");
});

test("LWP-108: an LWP that is freed gives its slot back; a vforked child's borrowed words are only forgotten", () => {
  const s = new Slots(machine());
  s.takeMany(2);
  s.free(0);
  assert.deepEqual(s.pages(), [[0, 511]]);
  assert.deepEqual([s.lwp(0).lwpctl, s.lwp(0).lcpage], [0, 0]);
  const child = s.lwp(1);
  s.p.lflag |= K.PL_PPWAIT;
  s.free(1);
  assert.deepEqual([child.lwpctl, s.pages()], [0, [[0, 511]]]);
});

test("LWP-108, LWP-123: words without a header, or of another page than the LWP's, are a kernel assertion", () => {
  const spoil: ((m: TestMachine, l: K.Lwp) => void)[] = [
    (_m, l) => (l.proc.lwpctl = 0),
    (_m, l) => (l.lwpctl += 512 * 2),
    (_m, l) => (l.lwpctl -= 2),
  ];
  for (const wrong of spoil) {
    const s = new Slots(machine());
    s.take();
    wrong(s.m, s.lwp(0));
    assertPanics(() => s.free(0), /no header, or a slot of another page/);
  }
});

test("LWP-109: the last LWP of a process gives up words, pages, region and header; asserted that it is the last", () => {
  const m = machine(1100);
  const before = m.k.w[m.k.umem + K.UMEM_INUSE];
  const p = inThread(m, function* () {
    yield* S.lwpCtl();
    assert.notEqual(K.cur.lwp.proc.lwpctl, 0);
  });
  assert.deepEqual([p.lwpctl, m.k.lcprocs.inUse, m.k.lcpages.inUse], [0, 0, 0]);
  assert.equal(m.k.w[m.k.umem + K.UMEM_INUSE], before);
  inThread(m, function* () {
    yield* S.lwpCtl();
    const l = K.cur.lwp;
    K.lwpCtlExit(l);
    assert.deepEqual([l.lwpctl, l.lcpage], [0, 0], "its switches are written nowhere from here on");
  });
  const m2 = machine();
  m2.spawn(function* () {
    yield* S.lwpCtl();
    yield* S.lwpCreate(parked);
    K.lwpCtlExit(K.cur.lwp);
  });
  assertPanics(() => m2.run(), /not the last LWP/);
});

test("LWP-109: a header that never got a region goes back as well", () => {
  const m = machine(64, 1, 20);
  const range1 = m.asCpu(() => K.umemAlloc(m.k, null, 8, false));
  const before = m.k.w[m.k.umem + K.UMEM_INUSE];
  const p = inThread(m, function* () {
    assert.equal(yield* attempt(S.lwpCtl()), "ENOMEM");
    assert.deepEqual([K.cur.lwp.proc.lwpctl !== 0, m.k.lcprocs.inUse], [true, 1]);
  });
  assert.deepEqual([p.lwpctl, m.k.lcprocs.inUse, m.k.lcpages.inUse], [0, 0, 0]);
  assert.equal(m.k.w[m.k.umem + K.UMEM_INUSE], before);
  assert.ok(range1 > 0);
});

test("LWP-110: a vforked child's runs show in the words of its parent; a child that is not vforked has none", () => {
  const m = machine(64, 2);
  inThread(m, function* () {
    const l = K.cur.lwp;
    const ctl = yield* S.lwpCtl();
    const make = (flags: number, closure: ThreadBody) => {
      const l2 = K.lwpCreate(l, l.proc, flags, { kind: K.CTX_CLOSURE, closure }, l.class) as K.Lwp;
      const lent = [l2.lwpctl, l2.lcpage];
      K.lwpStart(l, l2, 0);
      return { l2, lent };
    };
    let [inChild, before] = [[0, 0], 0];
    const { l2, lent } = make(K.LWP_VFORK, function* () {
      yield* S.lwpSelf();
      inChild = [ctl.curcpu, ctl.pctr];
    });
    assert.deepEqual(lent, [l.lwpctl, 0]);
    before = ctl.pctr;
    const { lid } = l2;
    while (inChild[1] === 0) yield* K.kpause(m.k, "wait", 1);
    assert.ok(inChild[1] > before);
    assert.deepEqual(make(0, function* () {}).lent, [0, 0]);
    yield* S.lwpWait(lid);
    yield* S.lwpWait(0);
    assert.equal(m.k.lcpages.view(l.lcpage).nfree, 511, "the parent's slot is still its own");
    l.lwpctl = K.lwpCtlByte(l) / 4 + 2;
    assert.deepEqual(words(l), [ctl.curcpu, ctl.pctr]);
  });
});

test("SYS-32: other features are ENODEV, what is no number EFAULT; the words are returned, so no copy-out can fail", () => {
  const m = machine();
  inThread(m, function* () {
    for (const features of [4, 7, -1, 1 << 31]) assert.equal(yield* attempt(S.lwpCtl(features)), "ENODEV");
    assert.equal(yield* attempt(S.lwpCtl("1" as unknown as number)), "EFAULT");
    assert.equal(K.cur.lwp.proc.lwpctl, 0, "nothing was taken");
  });
});
