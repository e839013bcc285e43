/** Credentials of a process and its LWPs' copies; who is charged for LWPs: LWP-80, 121, 153, PRC-51, 54. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { assertPanics, attempt, parked, TestMachine } from "../support/sim.js";

const charged = (m: TestMachine, uid: number): number => m.asCpu(() => K.chglwpcnt(m.k, uid, 0));

/** Sleeps inside a system call until `words` is broadcast; what the caller is before and after. */
function longCall(cv: () => number, seen: unknown[]): () => K.Body {
  return function* () {
    const me = () => [K.cur.lwp.uid, (K.cur.lwp.prflag & K.LPR_CRMOD) !== 0];
    yield* S.lwpSelf();
    const { k, proc } = K.cur.lwp;
    seen.push(["before", ...me()]);
    K.spinEnter(k, proc.lock);
    yield* K.cvWait(k, cv(), proc.lock);
    K.spinExit(k, proc.lock);
    seen.push(["after", ...me()]);
    seen.push(["next call", yield* S.getuid(), ...me()]);
    yield* parked();
  };
}

describe("credentials of a process", () => {
  test("LWP-80: updating takes the process's credentials, clears LPR_CRMOD and releases the old ones", () => {
    const m = new TestMachine({ checked: false });
    const p = m.spawn(parked, { uid: 5 });
    m.run();
    const l = m.lwp(p, 1);
    const old = l.cred as K.Cred;
    const next = m.asCpu(() => K.kauthCredDup(old)) as K.Cred;
    assert.deepEqual([old.refcnt, p.credrefs, next.refcnt, next.uid], [1, 1, 1, 5]);
    // As if another LWP had changed them.
    m.asCpu(() => {
      K.kauthCredHold(old);
      p.cred = next;
      p.credrefs = 0;
      l.prflag |= K.LPR_CRMOD;
    });
    const locks: boolean[] = [];
    m.asCpu(() => K.lwpUpdateCreds(l));
    locks.push(m.k.w[p.lock] === 0);
    assert.deepEqual([l.cred === next, l.prflag & K.LPR_CRMOD, p.credrefs, old.refcnt], [true, 0, 1, 1]);
    assert.deepEqual(locks, [true]);
    m.asCpu(() => K.kauthCredFree(old));
    assert.equal(old.gen & 1, 0, "nobody holds them any more");
    m.asCpu(() => K.lwpUpdateCreds(l));
    assert.deepEqual([p.credrefs, next.refcnt], [1, 1], "once more, and nothing changes");
  });

  test("LWP-80, PRC-54: who changes them adopts at once, all others when they next enter the kernel; until then both are held", () => {
    const m = new TestMachine();
    const seen: unknown[] = [];
    let old: K.Cred | null = null;
    const p = m.spawn(function* () {
      const other = yield* S.lwpCreate(function* () {
        for (;;) yield* S.lwpPark();
      });
      yield* S.schedYield();
      const { lwp } = K.cur;
      old = lwp.cred as K.Cred;
      const t = m.lwp(p, other);
      yield* S.setuid(7);
      seen.push(["own", lwp.cred === p.cred, lwp.prflag & K.LPR_CRMOD, p.uid]);
      seen.push(["other", t.cred === old, t.prflag & K.LPR_CRMOD, old.refcnt > 0, p.credrefs]);
      yield* S.lwpUnpark(other);
      yield* S.schedYield();
      seen.push(["other", t.cred === p.cred, t.prflag & K.LPR_CRMOD, p.credrefs]);
      yield* parked();
    });
    m.run();
    assert.deepEqual(seen, [
      ["own", true, 0, 7],
      ["other", true, K.LPR_CRMOD, true, 1],
      ["other", true, 0, 2],
    ]);
    // The old ones were process 0's, too, and still are.
    assert.equal((old as unknown as K.Cred).refcnt, 1);
  });

  test("LWP-153: an LWP inside a system call keeps the identity that it came with, and has the new one in its next call", () => {
    const m = new TestMachine();
    const cv = m.words(K.CV_WORDS);
    K.cvInit(m.k, cv, "long");
    const seen: unknown[] = [];
    m.spawn(function* () {
      yield* S.lwpCreate(longCall(() => cv, seen));
      yield* S.schedYield();
      yield* S.setuid(8);
      const { k, proc } = K.cur.lwp;
      K.spinEnter(k, proc.lock);
      K.cvBroadcast(k, cv);
      K.spinExit(k, proc.lock);
      yield* parked();
    });
    m.run();
    assert.deepEqual(seen, [
      ["before", 0, false],
      ["after", 0, true],
      ["next call", 8, 8, false],
    ]);
  });

  test("PRC-54: credentials that are shared are replaced, not written: another process of the same user keeps its own", () => {
    const m = new TestMachine();
    const other = m.spawn(parked);
    const p = m.spawn(function* () {
      assert.equal(K.cur.lwp.cred, other.cred);
      yield* S.setuid(9);
      yield* parked();
    });
    m.run();
    assert.deepEqual([p.uid, other.uid, other.cred === m.k.procs.view(1).cred], [9, 0, true]);
  });

  test("what setuid and seteuid allow: a superuser anything, others what they have", () => {
    const m = new TestMachine();
    const said: unknown[] = [];
    m.spawn(function* () {
      said.push(yield* attempt(S.setuid(-1)), yield* attempt(S.setuid(1.5)));
      yield* S.seteuid(4);
      said.push([yield* S.getuid(), yield* S.geteuid()]);
      said.push(yield* attempt(S.seteuid(5)), yield* attempt(S.setuid(5)));
      // The real and the saved one are still the superuser's.
      yield* S.seteuid(0);
      yield* S.setuid(5);
      said.push([yield* S.getuid(), yield* S.geteuid()]);
      said.push(yield* attempt(S.seteuid(0)), yield* attempt(S.setuid(5)), yield* attempt(S.seteuid(5)));
    });
    m.run();
    assert.deepEqual(said, [
      "EINVAL",
      "EINVAL",
      [0, 4],
      "EPERM",
      "EPERM",
      [5, 5],
      "EPERM",
      undefined,
      undefined,
    ]);
  });

  test("a change to a user for whom there is no room, or without room for credentials, is EAGAIN and changes nothing", () => {
    const m = new TestMachine({ limits: { uids: 2, procs: 2 } });
    const said: unknown[] = [];
    m.spawn(
      function* () {
        yield* S.lwpCreate(parked);
        said.push(yield* attempt(S.setuid(1)), yield* attempt(S.setuid(2)));
        said.push(yield* S.getuid());
        yield* parked();
      },
      { uid: 0 },
    );
    m.run();
    assert.deepEqual(said, [undefined, "EPERM", 1]);
    const full = new TestMachine({ limits: { uids: 1 } });
    full.spawn(function* () {
      yield* S.lwpCreate(parked);
      said.push((yield* attempt(S.setuid(1))) ?? "");
      said.push(yield* S.getuid());
      yield* parked();
    });
    full.run();
    assert.deepEqual(said.slice(3), ["EAGAIN", 0]);
    assert.equal(full.sim.spawn({ comm: "x", uid: 1 }, { kind: K.CTX_CLOSURE, closure: parked }), null);
    full.sim.check();
  });

  test("the superuser has his place in the table of users, though others come first", () => {
    const m = new TestMachine({ limits: { uids: 2 } });
    const start = { kind: K.CTX_CLOSURE, closure: parked };
    assert.notEqual(m.sim.spawn({ comm: "x", uid: 1 }, start), null);
    assert.equal(m.sim.spawn({ comm: "y", uid: 2 }, start), null);
    const p = m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* parked();
    });
    m.run();
    assert.deepEqual([p.uid, p.nlwps], [0, 2]);
  });

  test("holding or freeing credentials that nobody holds, and a change without the lock, are kernel assertions", () => {
    const fresh = () => {
      const m = new TestMachine({ checked: false });
      const p = m.spawn(parked, { uid: 3 });
      m.run();
      return { m, p, cr: p.cred as K.Cred };
    };
    const a = fresh();
    a.cr.refcnt = 0;
    assertPanics(() => a.m.asCpu(() => K.kauthCredHold(a.cr)), /that nobody holds/);
    const b = fresh();
    b.cr.refcnt = 0;
    assertPanics(() => b.m.asCpu(() => K.kauthCredFree(b.cr)), /that nobody holds/);
    const c = fresh();
    assertPanics(() => c.m.asCpu(() => K.procCrmod(c.m.lwp(c.p, 1), c.cr)), /procCrmod: not locked/);
    const d = fresh();
    assertPanics(() => d.m.locked(d.p, () => K.procCrmod(d.m.lwp(d.p, 1), d.cr)), /procCrmod: not a copy/);
  });
});

describe("who is charged", () => {
  test("PRC-51: a change of the real uid moves all LWPs but one to the new user, zombies included", () => {
    const m = new TestMachine();
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.lwpCreate(function* () {});
      yield* S.schedYield();
      const { proc } = K.cur.lwp;
      assert.deepEqual([proc.nlwps, proc.nzlwps], [3, 1]);
      assert.deepEqual([charged(m, 0), charged(m, 6)], [2, 0]);
      yield* S.setuid(6);
      assert.deepEqual([charged(m, 0), charged(m, 6)], [0, 2]);
      yield* S.lwpWait(3);
      assert.deepEqual([charged(m, 0), charged(m, 6)], [0, 1]);
      yield* parked();
    });
    m.run();
  });

  test("PRC-51: a change of the effective uid alone moves nobody", () => {
    const m = new TestMachine();
    m.spawn(function* () {
      yield* S.lwpCreate(parked);
      yield* S.seteuid(6);
      assert.deepEqual([charged(m, 0), charged(m, 6)], [1, 0]);
      yield* parked();
    });
    m.run();
  });

  test("LWP-121: an LWP that dies with old credentials, and a creator that has some, leave no count wrong (as written they do)", () => {
    const m = new TestMachine();
    const start: K.Start = { kind: K.CTX_CLOSURE, closure: parked };
    m.spawn(function* () {
      const { proc } = K.cur.lwp;
      // Told to exit while it sleeps, it never enters the kernel again before.
      const dies = yield* S.lwpCreate(parked);
      const creator = yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        yield* S.lwpPark();
        assert.notEqual(l.prflag & K.LPR_CRMOD, 0);
        const made = K.lwpCreate(l, proc, 0, start, l.class) as K.Lwp;
        K.lwpStart(l, made, 0);
        assert.deepEqual([charged(m, 0), charged(m, 6)], [0, proc.nlwps - 1]);
        yield* S.lwpExit();
      });
      yield* S.schedYield();
      yield* S.setuid(6);
      const l = m.lwp(proc, dies);
      K.spinEnter(m.k, proc.lock);
      K.tellToExit(l);
      K.spinExit(m.k, proc.lock);
      yield* S.lwpWait(dies);
      assert.deepEqual([charged(m, 0), charged(m, 6)], [0, 1]);
      yield* S.lwpUnpark(creator);
      yield* S.lwpWait(creator);
      assert.deepEqual([charged(m, 0), charged(m, 6)], [0, 1]);
      yield* S.procExit(0);
    });
    m.run();
    assert.deepEqual([charged(m, 0), charged(m, 6)], [0, 0]);
    assert.deepEqual(
      m.asCpu(() => K.checkEmpty(m.k)),
      [],
    );
  });
});
