/** Scheduling parameters and affinity (SYS-34..41, 90..93). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, parked, stateOf, TestMachine } from "../support/sim.js";

const { SCHED_NONE: NONE, SCHED_OTHER: OTHER, SCHED_FIFO: FIFO, SCHED_RR: RR } = S;

/** Parks for ever, whatever wakes it. */
function* rest(): Generator<K.Token, never, undefined> {
  for (;;) yield* attempt(S.lwpPark());
}

/** What LWPs of a process are like, the newest first: class and kernel priority. */
function classes(p: K.Proc): string {
  return K.procLwps(p)
    .map((l) => `${["OTHER", "FIFO", "RR"][l.class]} ${l.priority}`)
    .join(", ");
}

const set = (pid: number, lid: number, policy: number, priority: number) =>
  attempt(S.schedSetparam(pid, lid, policy, { priority }));

/** A process of `n` LWPs, of which the first runs `main` and ends nothing. */
function caller(
  m: TestMachine,
  n: number,
  uid: number,
  main: () => Generator<K.Token, unknown, undefined>,
): K.Proc {
  return m.spawn(
    function* () {
      for (let i = 1; i < n; i++) yield* S.lwpCreate(rest);
      yield* main();
      yield* rest();
    },
    { uid },
  );
}

describe("schedSetparam", () => {
  test("SYS-34: the policies are -1, 0, 1, 2; priority -1 leaves it; real-time priorities are 0..63", () => {
    assert.deepEqual([NONE, OTHER, FIFO, RR, S.PRI_NONE, K.PRI_NONE], [-1, 0, 1, 2, -1, -1]);
    const m = new TestMachine();
    const got: unknown[] = [];
    const p = caller(m, 1, 0, function* () {
      for (const priority of [0, 63, 64, -2, 0.5]) {
        got.push(yield* set(0, 1, RR, priority));
        got.push(m.lwp(p, 1).priority);
      }
    });
    m.run();
    assert.deepEqual(got, [undefined, 128, undefined, 191, "EINVAL", 191, "EINVAL", 191, "EINVAL", 191]);
  });

  test("SYS-35, SYS-91: errors in the order stated: both none is 0 whatever else is wrong, then policy, priority, process, LWP", () => {
    const m = new TestMachine();
    const got: unknown[] = [];
    const other = m.spawn(rest, { uid: 0 });
    const p = caller(m, 2, 0, function* () {
      const cases: [number, number, number, number][] = [
        [999, 999, NONE, -1],
        [0, 2, 9, -1],
        [0, 2, -2, -1],
        [0, 2, 1.5, -1],
        [999, 2, RR, 64],
        [0, 2, RR, -2],
        [999, 2, RR, 1],
        [-1, 2, RR, 1],
        [2 ** 32, 2, RR, 1],
        [0, 99, RR, 1],
        [0, 2 ** 32 + 2, RR, 1],
        [0, -2, RR, 1],
        [0, 2, OTHER, 3],
        [0, 2, NONE, 3],
        [other.pid, 1, RR, 7],
      ];
      for (const c of cases) got.push(yield* set(...c));
    });
    m.run();
    assert.deepEqual(got, [
      undefined,
      ...["EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"],
      ...["ESRCH", "ESRCH", "ESRCH", "ESRCH", "ESRCH", "ESRCH"],
      ...["EINVAL", "EINVAL"],
      undefined,
    ]);
    assert.equal(classes(p), "OTHER 43, OTHER 43");
    assert.equal(classes(other), "RR 135");
  });

  test("SYS-35: the system's process is EPERM; one that is dead, or about to be, ESRCH", () => {
    const m = new TestMachine();
    const got: unknown[] = [];
    const other = m.spawn(rest, { uid: 0 });
    caller(m, 1, 0, function* () {
      const system = other.flag;
      other.flag |= K.PK_SYSTEM;
      got.push(yield* set(other.pid, 0, RR, 1));
      other.flag = system;
      for (const stat of [K.SIDL, K.SDYING, K.SZOMB, K.SSTOP]) {
        other.stat = stat;
        got.push(yield* set(other.pid, 0, RR, 1));
      }
      other.stat = K.SACTIVE;
    });
    m.sim.check = () => {};
    m.run();
    assert.deepEqual(got, ["EPERM", "ESRCH", "ESRCH", "ESRCH", undefined]);
  });

  test("SYS-35: lid 0 is all, the newest first, in any state; the first error stops, and those before stay changed", () => {
    const m = new TestMachine();
    const got: unknown[] = [];
    const p = caller(m, 4, 0, function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.schedYield();
      // 5 is a zombie, 6 suspended, 2..4 are parked or run.
      assert.deepEqual(
        K.procLwps(p)
          .map((l) => `${l.lid} ${stateOf(l)}`)
          .slice(0, 2),
        ["6 SUSPENDED", "5 ZOMB"],
      );
      got.push(yield* set(0, 0, FIFO, 9), classes(p));
      // Priorities may only be given to those of a real-time class.
      yield* set(0, 3, OTHER, -1);
      got.push(yield* set(0, 0, NONE, 11), classes(p));
      got.push(yield* set(0, 5, RR, 2), classes(p));
    });
    m.run();
    assert.deepEqual(got, [
      undefined,
      "FIFO 137, FIFO 137, FIFO 137, FIFO 137, FIFO 137, FIFO 137",
      "EINVAL",
      "FIFO 139, FIFO 139, FIFO 139, OTHER 9, FIFO 137, FIFO 137",
      undefined,
      "FIFO 139, RR 130, FIFO 139, OTHER 9, FIFO 137, FIFO 137",
    ]);
  });

  test("SYS-35: one that is queued is queued anew, one that sleeps on a lock moves in its queue", () => {
    const m = new TestMachine();
    const order: number[] = [];
    const mutex = m.words(K.MTX_WORDS);
    m.asCpu(() => K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE));
    const p = m.spawn(
      function* () {
        const { k } = m;
        yield* K.mutexEnter(k, mutex);
        for (let lid = 2; lid <= 4; lid++) {
          yield* S.lwpCreate(function* () {
            yield* K.mutexEnter(k, mutex);
            order.push(lid);
            K.mutexExit(k, mutex);
          });
        }
        yield* S.schedYield();
        assert.deepEqual(
          [2, 3, 4].map((lid) => stateOf(m.lwp(p, lid))),
          ["SLEEP", "SLEEP", "SLEEP"],
        );
        yield* S.schedSetparam(0, 4, FIFO, { priority: 2 });
        yield* S.schedSetparam(0, 3, FIFO, { priority: 1 });
        K.mutexExit(k, mutex);
        yield* S.lwpWait(0);
        yield* S.lwpWait(0);
        yield* S.lwpWait(0);
        // Queued: 6 before 5, though it came later.
        yield* S.lwpCreate(function* () {
          order.push(5);
        });
        yield* S.lwpCreate(function* () {
          order.push(6);
        });
        yield* S.schedSetparam(0, 6, RR, { priority: -1 });
        yield* S.lwpWait(0);
        yield* S.lwpWait(0);
      },
      { uid: 0 },
    );
    m.run();
    assert.deepEqual(order, [4, 3, 2, 6, 5]);
  });

  /** Class and kernel priority before, what is asked for, and the kernel priority after. */
  const CONVERSIONS: [number, number, number, number, number][] = [
    [OTHER, 43, NONE, -1, 43],
    [OTHER, 43, OTHER, -1, 43],
    [OTHER, 43, FIFO, -1, 128],
    [OTHER, 43, RR, -1, 128],
    [OTHER, 43, RR, 5, 133],
    [FIFO, 133, OTHER, -1, 5],
    [RR, 191, OTHER, -1, 63],
    [FIFO, 133, FIFO, -1, 133],
    [FIFO, 133, RR, -1, 133],
    [RR, 133, FIFO, -1, 133],
    [RR, 133, FIFO, 7, 135],
    [RR, 133, NONE, 7, 135],
  ];
  for (const [from, before, policy, priority, after] of CONVERSIONS) {
    test(`SYS-36, SYS-92: class ${from} at ${before}, asked for class ${policy} and priority ${priority}: ${after}`, () => {
      const m = new TestMachine();
      const p = caller(m, 2, 0, function* () {
        const l = m.lwp(p, 2);
        while (stateOf(l) !== "SLEEP") yield* S.schedYield();
        l.class = from;
        l.priority = before;
        yield* S.schedSetparam(0, 2, policy, { priority });
        assert.deepEqual([l.class, l.priority], [policy === NONE ? from : policy, after]);
      });
      m.run();
    });
  }

  /** Ids of the caller and of the target, and whether one is the other's. */
  const IDS: [caller: [number, number], target: [number, number], match: boolean][] = [
    [[7, 7], [7, 7], true],
    [[7, 8], [9, 7], true],
    [[8, 7], [7, 9], true],
    [[8, 7], [9, 7], true],
    [[7, 8], [7, 9], true],
    [[7, 8], [9, 10], false],
  ];
  for (const [mine, theirs, match] of IDS) {
    test(`SYS-37, SYS-38: real and effective uid ${mine.join("/")} ${match ? "may stay or go down" : "may do nothing"} with a process of ${theirs.join("/")}`, () => {
      const m = new TestMachine();
      const got: unknown[] = [];
      const other = m.spawn(rest, { uid: 5 });
      Object.assign(other.cred as K.Cred, { uid: theirs[0], euid: theirs[1], svuid: 1 });
      const p = caller(m, 1, 6, function* () {
        const t = m.lwp(other, 1);
        got.push(yield* attempt(S.schedGetparam(other.pid, 1)));
        got.push(yield* set(other.pid, 1, OTHER, -1));
        got.push(yield* set(other.pid, 1, RR, -1), yield* set(other.pid, 1, FIFO, 0));
        t.class = RR;
        t.priority = 140;
        got.push(
          yield* set(other.pid, 1, RR, 13),
          yield* set(other.pid, 1, NONE, 12),
          yield* set(other.pid, 1, FIFO, 0),
        );
        got.push(yield* set(other.pid, 1, NONE, 11));
        got.push(t.priority);
        got.push(yield* set(other.pid, 1, OTHER, -1));
      });
      Object.assign(p.cred as K.Cred, { uid: mine[0], euid: mine[1], svuid: 1 });
      m.sim.check = () => {};
      m.run();
      assert.deepEqual(
        got,
        match
          ? [
              { policy: OTHER, priority: 43 },
              undefined,
              "EPERM",
              "EPERM",
              "EPERM",
              undefined,
              "EPERM",
              undefined,
              139,
              undefined,
            ]
          : ["EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", 140, "EPERM"],
      );
    });
  }

  test("SYS-90: the superuser makes every LWP FIFO at 133; an ordinary user gets EPERM at the first, and changes none", () => {
    for (const uid of [0, 7]) {
      const m = new TestMachine();
      const got: unknown[] = [];
      const p = caller(m, 3, uid, function* () {
        got.push(yield* set(0, 0, FIFO, 5), yield* attempt(S.schedGetparam(0, 2)));
      });
      m.run();
      assert.deepEqual(
        [classes(p), ...got],
        uid === 0
          ? ["FIFO 133, FIFO 133, FIFO 133", undefined, { policy: FIFO, priority: 5 }]
          : ["OTHER 43, OTHER 43, OTHER 43", "EPERM", { policy: OTHER, priority: 43 }],
      );
    }
  });

  test("SYS-38: lid 0 is the newest LWP in whatever state, another one must be alive", () => {
    const m = new TestMachine();
    const got: unknown[] = [];
    caller(m, 2, 0, function* () {
      yield* S.lwpCreate(function* () {});
      yield* S.schedYield();
      yield* set(0, 3, RR, 9);
      for (const lid of [0, 3, 2, -1]) got.push(yield* attempt(S.schedGetparam(0, lid)));
      got.push(yield* attempt(S.schedGetparam(999, 0)));
    });
    m.run();
    assert.deepEqual(got, [
      { policy: RR, priority: 9 },
      "ESRCH",
      { policy: OTHER, priority: 43 },
      "ESRCH",
      "ESRCH",
    ]);
  });
});

describe("affinity", () => {
  const bytes = (...cpus: number[]) => {
    const list = new Uint8Array(8);
    for (const cpu of cpus) list[cpu >> 3] |= 1 << (cpu & 7);
    return list;
  };

  test("SYS-93: an LWP that sleeps on CPU 0 is on CPU 1 at once, and wakes there; an empty set takes the affinity away, and it stays", () => {
    const m = new TestMachine({ cpus: 2, strategy: K.seededStrategy(1) });
    const woke: number[] = [];
    m.spawn(
      function* () {
        yield* S.lwpCreate(function* () {
          for (;;) {
            yield* attempt(S.lwpPark());
            woke.push(K.cur.cpu.index - 1);
          }
        });
        const t = m.lwp(K.cur.lwp.proc, 2);
        while (stateOf(t) !== "SLEEP") yield* S.schedYield();
        for (const cpu of [0, 1, 0]) {
          yield* S.schedSetaffinity(0, 2, bytes(cpu));
          assert.deepEqual([t.cpu.index - 1, t.affinity, stateOf(t)], [cpu, 1 << cpu, "SLEEP"]);
          yield* S.lwpUnpark(2);
          while (stateOf(t) !== "SLEEP") yield* S.schedYield();
        }
        yield* S.schedSetaffinity(0, 2, bytes(1));
        yield* S.schedSetaffinity(0, 2, new Uint8Array(0));
        assert.deepEqual([t.cpu.index - 1, t.affinity], [1, 0]);
        yield* S.procExit(0);
      },
      { uid: 0 },
    );
    m.run();
    assert.deepEqual(woke, [0, 1, 0]);
  });

  test("SYS-39: size and address come first, then the CPUs, the process, the user; a set without an existing CPU clears (the manual demands one)", () => {
    const m = new TestMachine({ cpus: 3 });
    const got: unknown[] = [];
    const affinity = (pid: number, lid: number, list: Uint8Array) =>
      attempt(S.schedSetaffinity(pid, lid, list));
    const p = caller(m, 2, 0, function* () {
      got.push(yield* affinity(999, 99, new Uint8Array(9)));
      got.push(yield* affinity(999, 99, [1] as unknown as Uint8Array));
      m.cpu(1).psid = 1;
      got.push(yield* affinity(999, 99, bytes(0, 1)));
      m.cpu(1).psid = 0;
      m.cpu(1).flags |= K.SPCF_OFFLINE;
      got.push(yield* affinity(999, 99, bytes(1)));
      got.push(yield* affinity(999, 99, bytes(1, 2)));
      // An offline one in a set is no obstacle, but not where it goes.
      got.push(yield* affinity(0, 2, bytes(1, 2)), m.lwp(p, 2).affinity);
      m.cpu(1).flags &= ~K.SPCF_OFFLINE;
      got.push(yield* affinity(0, 2, bytes(3, 31, 32, 63)), m.lwp(p, 2).affinity);
      got.push(yield* affinity(0, 99, bytes(0)));
      const other = m.spawn(rest, { uid: 0 });
      other.flag |= K.PK_SYSTEM;
      got.push(yield* affinity(other.pid, 0, bytes(0)));
      other.flag &= ~K.PK_SYSTEM;
      got.push(yield* affinity(other.pid, 0, bytes(0)));
    });
    m.run();
    assert.deepEqual(got, [
      ...["EINVAL", "EFAULT", "EPERM", "EPERM", "ESRCH"],
      ...[undefined, 0b110, undefined, 0],
      ...["ESRCH", "EPERM", undefined],
    ]);
  });

  test("SYS-39: an ordinary user may for his own processes, if the sysctl says so", () => {
    const m = new TestMachine({ cpus: 2 });
    const got: unknown[] = [];
    const other = m.spawn(rest, { uid: 8 });
    caller(m, 1, 7, function* () {
      for (const allowed of [0, 1]) {
        const error = K.sysctl(m.k, 0, "security.models.extensions.user_set_cpu_affinity", allowed).error;
        assert.equal(error, 0);
        got.push(yield* attempt(S.schedSetaffinity(0, 0, bytes(1))));
        got.push(yield* attempt(S.schedSetaffinity(other.pid, 0, bytes(1))));
      }
    });
    m.run();
    assert.deepEqual(got, ["EPERM", "EPERM", undefined, "EPERM"]);
  });

  test("SYS-40: each but zombies moves to the first CPU of the set, even one that runs on another member; each has a word of its own (the original: one shared set)", () => {
    const m = new TestMachine({ cpus: 3, strategy: K.seededStrategy(1) });
    const p = m.spawn(
      function* () {
        for (let i = 0; i < 2; i++) yield* S.lwpCreate(rest);
        yield* S.lwpCreate(function* () {});
        yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
        const lwps = K.procLwps(p);
        while (lwps.map(stateOf).join() !== "SUSPENDED,ZOMB,SLEEP,SLEEP,ONPROC") yield* S.schedYield();
        // Everybody to CPU 2, the caller too.
        yield* S.schedSetaffinity(0, 0, bytes(2));
        yield* S.schedYield();
        assert.equal(K.cur.cpu, m.cpu(2));
        yield* S.schedSetaffinity(0, 0, bytes(1, 2));
        assert.deepEqual(
          lwps.map((l) => l.affinity),
          [0b110, 0, 0b110, 0b110, 0b110],
        );
        assert.deepEqual(
          [0, 2, 3].map((i) => lwps[i].cpu.index - 1),
          [1, 1, 1],
          "those that do not run move at once",
        );
        assert.equal(yield* attempt(S.schedSetaffinity(0, 4, bytes(1))), "ESRCH", "a zombie alone is nobody");
        lwps[2].affinity = 0b100;
        assert.equal(lwps[3].affinity, 0b110);
        yield* S.procExit(0);
      },
      { uid: 0 },
    );
    m.run();
  });

  test("SYS-40: a context that stays in its realm is EPERM where it cannot go, and goes to the first CPU where it can", () => {
    const m = new TestMachine({ cpus: 3 });
    const got: unknown[] = [];
    const p = caller(m, 2, 0, function* () {
      const t = m.lwp(p, 2);
      while (stateOf(t) !== "SLEEP") yield* S.schedYield();
      m.sim.mayRun = ((l: K.Lwp, ci: K.Cpu) => l !== t || ci.index === 2) as () => boolean;
      got.push(yield* attempt(S.schedSetaffinity(0, 2, bytes(0, 2))), t.affinity);
      got.push(yield* attempt(S.schedSetaffinity(0, 2, bytes(0, 1))), t.affinity, t.cpu.index - 1);
    });
    m.run();
    assert.deepEqual(got, ["EPERM", 0, undefined, 0b11, 1]);
  });

  test("SYS-41: anybody may ask; as many bytes as fit, all 0 when there is none; lid 0 is the newest", () => {
    const m = new TestMachine({ cpus: 3 });
    const other = m.spawn(rest, { uid: 0 });
    m.lwp(other, 1).affinity = 0b101;
    const got: unknown[] = [];
    const p = caller(m, 2, 7, function* () {
      const ask = function* (pid: number, lid: number, size: number): Generator<K.Token, unknown, undefined> {
        const list = new Uint8Array(size).fill(0xff);
        const error = yield* attempt(S.schedGetaffinity(pid, lid, list));
        return error ?? [...list].join();
      };
      got.push(yield* ask(other.pid, 0, 2), yield* ask(other.pid, 1, 0), yield* ask(0, 1, 8));
      m.lwp(p, 2).affinity = 0b10;
      got.push(yield* ask(0, 0, 5), yield* ask(0, 9, 1), yield* ask(99, 0, 1), yield* ask(0, 0, 9));
      got.push(yield* attempt(S.schedGetaffinity(0, 0, {} as Uint8Array)));
    });
    m.run();
    assert.deepEqual(got, ["5,0", "", "0,0,0,0,0,0,0,0", "2,0,0,0,0", "ESRCH", "ESRCH", "EINVAL", "EFAULT"]);
  });
});

test("SYS-71, SYS-72: the sched calls are the only ones that reach another process; lid 0 means all to set, the newest to get", () => {
  const m = new TestMachine();
  const other = m.spawn(function* () {
    yield* S.lwpCreate(parked);
    yield* S.lwpPark();
  });
  caller(m, 1, 0, function* () {
    yield* S.schedYield();
    yield* S.schedSetparam(other.pid, 1, RR, { priority: 1 });
    assert.deepEqual(yield* S.schedGetparam(other.pid, 0), { policy: OTHER, priority: 43 });
    yield* S.schedSetparam(other.pid, 0, RR, { priority: 2 });
  });
  m.run();
  assert.equal(classes(other), "RR 130, RR 130");
});
