/** The error matrix: for each call every error that it may give, and nothing else. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { codesOf, commentOf, exportedSyscalls } from "../support/declarations.js";
import { attempt, TestMachine } from "../support/sim.js";

type Call = Generator<K.Token, unknown, undefined>;

/** Parks for ever, whatever tokens are left over. */
function* rest(): Generator<K.Token, never, undefined> {
  for (;;) yield* attempt(S.lwpPark());
}

interface Row {
  /** As the matrix has it. */
  readonly stated: readonly string[];
  /** Stated, but without a counterpart here, and why. */
  readonly none?: Readonly<Record<string, string>>;
  /** Not stated: a value of the wrong type, which C's compiler refuses. */
  readonly wrongType?: true;
  readonly success: unknown;
  /** How each is provoked, in a process with LWPs 2 (parked), 3 (dead), 4 (suspended), 5 (in a kernel sleep). */
  readonly cases: Readonly<Record<string, (m: TestMachine) => Call>>;
}

const bad = "wrong" as unknown as number;
const NOW = 1_000_000_000;
const NO_CHANGE = { priority: S.PRI_NONE };
/** A wait, or whatever sleeps, that LWP 2 interrupts. */
function* interrupted(call: () => S.Operation<unknown>): Call {
  yield* S.lwpCreate(function* () {
    yield* attempt(S.lwpWakeup(1));
    yield* rest();
  });
  return yield* call();
}

const MATRIX: Record<string, Row> = {
  lwpCreate: {
    stated: ["EFAULT", "EINVAL", "ENOMEM", "EAGAIN"],
    none: { EINVAL: "no registers to be validated", ENOMEM: "no stack to be allocated" },
    success: 6,
    cases: {
      success: () => S.lwpCreate(rest) as Call,
      EFAULT: () => S.lwpCreate(bad as unknown as S.ThreadFunction) as Call,
      EAGAIN: function* () {
        K.cur.lwp.proc.nthrSoft = 4;
        return yield* S.lwpCreate(rest);
      },
    },
  },
  lwpExit: { stated: [], success: "never returns", cases: {} },
  lwpSelf: { stated: [], success: 1, cases: { success: () => S.lwpSelf() as Call } },
  lwpGetprivate: { stated: [], success: 0, cases: { success: () => S.lwpGetprivate() as Call } },
  schedYield: { stated: [], success: undefined, cases: { success: () => S.schedYield() as Call } },
  lwpSetprivate: {
    stated: ["EINVAL"],
    none: { EINVAL: "no address that a machine could refuse" },
    wrongType: true,
    success: undefined,
    cases: { success: () => S.lwpSetprivate(1) as Call, EFAULT: () => S.lwpSetprivate(bad) as Call },
  },
  lwpCtl: {
    stated: ["ENODEV", "EBUSY", "ENOMEM", "EFAULT"],
    success: 0,
    cases: {
      success: function* () {
        return (yield* S.lwpCtl()).curcpu;
      },
      ENODEV: () => S.lwpCtl(4) as Call,
      EBUSY: function* () {
        K.cur.lwp.proc.lflag |= K.PL_PPWAIT;
        return yield* S.lwpCtl();
      },
      ENOMEM: (m) => {
        m.asCpu(() => K.umemAlloc(m.k, null, m.k.limits.userPages, false));
        return S.lwpCtl() as Call;
      },
      EFAULT: () => S.lwpCtl(bad) as Call,
    },
  },
  lwpWait: {
    stated: ["ESRCH", "EDEADLK", "EINTR", "EFAULT"],
    success: 3,
    cases: {
      success: () => S.lwpWait(3) as Call,
      ESRCH: () => S.lwpWait(99) as Call,
      EDEADLK: () => S.lwpWait(1) as Call,
      EINTR: () => interrupted(() => S.lwpWait(2)),
      EFAULT: () => S.lwpWait(bad) as Call,
    },
  },
  lwpSuspend: {
    stated: ["ESRCH", "EDEADLK"],
    wrongType: true,
    success: undefined,
    cases: {
      success: () => S.lwpSuspend(2) as Call,
      ESRCH: () => S.lwpSuspend(3) as Call,
      EDEADLK: function* () {
        // All others halted or dead.
        yield* S.lwpSuspend(2);
        K.cur.lwp.proc.nrlwps = 1;
        try {
          return yield* S.lwpSuspend(1);
        } finally {
          K.cur.lwp.proc.nrlwps = 2;
        }
      },
      EFAULT: () => S.lwpSuspend(bad) as Call,
    },
  },
  lwpContinue: {
    stated: ["ESRCH"],
    wrongType: true,
    success: undefined,
    cases: {
      success: () => S.lwpContinue(4) as Call,
      ESRCH: () => S.lwpContinue(3) as Call,
      EFAULT: () => S.lwpContinue(bad) as Call,
    },
  },
  lwpWakeup: {
    stated: ["ESRCH", "ENODEV", "EBUSY"],
    wrongType: true,
    success: undefined,
    cases: {
      success: () => S.lwpWakeup(2) as Call,
      ESRCH: () => S.lwpWakeup(3) as Call,
      ENODEV: () => S.lwpWakeup(4) as Call,
      EBUSY: () => S.lwpWakeup(5) as Call,
      EFAULT: () => S.lwpWakeup(bad) as Call,
    },
  },
  lwpKill: {
    stated: ["EINVAL", "ESRCH"],
    wrongType: true,
    success: undefined,
    cases: {
      success: () => S.lwpKill(2, 0) as Call,
      EINVAL: () => S.lwpKill(2, 64) as Call,
      ESRCH: () => S.lwpKill(99, 0) as Call,
      EFAULT: () => S.lwpKill(bad, 0) as Call,
    },
  },
  lwpDetach: {
    stated: ["ESRCH", "EINVAL"],
    wrongType: true,
    success: undefined,
    cases: {
      success: () => S.lwpDetach(3) as Call,
      ESRCH: () => S.lwpDetach(99) as Call,
      EINVAL: function* () {
        yield* S.lwpDetach(2);
        return yield* S.lwpDetach(2);
      },
      EFAULT: () => S.lwpDetach(bad) as Call,
    },
  },
  lwpPark: {
    stated: ["EFAULT", "ESRCH", "ETIMEDOUT", "EINVAL", "EALREADY", "EINTR"],
    success: undefined,
    cases: {
      success: function* () {
        yield* S.lwpCreate(function* () {
          yield* S.lwpUnpark(1);
          yield* rest();
        });
        return yield* S.lwpPark();
      },
      EFAULT: () => S.lwpPark(bad as unknown as S.Timespec) as Call,
      ESRCH: () => S.lwpPark(null, 3) as Call,
      ETIMEDOUT: () => S.lwpPark({ sec: NOW, nsec: 20_000_000 }) as Call,
      EINVAL: () => S.lwpPark({ sec: NOW + 1, nsec: 1e9 }) as Call,
      EALREADY: function* () {
        yield* S.lwpUnpark(1);
        return yield* S.lwpPark();
      },
      EINTR: () => interrupted(() => S.lwpPark()),
    },
  },
  lwpUnpark: {
    stated: ["ESRCH"],
    wrongType: true,
    success: undefined,
    cases: {
      success: () => S.lwpUnpark(2) as Call,
      ESRCH: () => S.lwpUnpark(3) as Call,
      EFAULT: () => S.lwpUnpark(bad) as Call,
    },
  },
  lwpUnparkAll: {
    stated: ["EINVAL", "EFAULT", "ENOMEM"],
    none: { ENOMEM: "no buffer to be allocated" },
    success: 0,
    cases: {
      success: () => S.lwpUnparkAll([2, 3]) as Call,
      EINVAL: () => S.lwpUnparkAll([]) as Call,
      EFAULT: () => S.lwpUnparkAll([bad]) as Call,
    },
  },
  lwpSetname: {
    stated: ["EFAULT", "ESRCH"],
    success: undefined,
    cases: {
      success: () => S.lwpSetname(2, "x") as Call,
      EFAULT: () => S.lwpSetname(2, 5 as unknown as string) as Call,
      ESRCH: () => S.lwpSetname(3, "x") as Call,
    },
  },
  lwpGetname: {
    stated: ["ESRCH", "ENAMETOOLONG", "EFAULT"],
    success: "two",
    cases: {
      success: () => S.lwpGetname(2) as Call,
      ESRCH: () => S.lwpGetname(3) as Call,
      ENAMETOOLONG: () => S.lwpGetname(2, 3) as Call,
      EFAULT: () => S.lwpGetname(2, bad) as Call,
    },
  },
  schedSetparam: {
    stated: ["EFAULT", "EINVAL", "ESRCH", "EPERM"],
    success: undefined,
    cases: {
      success: () => S.schedSetparam(0, 2, S.SCHED_OTHER, NO_CHANGE) as Call,
      EFAULT: () => S.schedSetparam(0, 2, S.SCHED_OTHER, null as unknown as typeof NO_CHANGE) as Call,
      EINVAL: () => S.schedSetparam(0, 2, 3, NO_CHANGE) as Call,
      ESRCH: () => S.schedSetparam(0, 77, S.SCHED_OTHER, NO_CHANGE) as Call,
      EPERM: () => S.schedSetparam(0, 2, S.SCHED_RR, NO_CHANGE) as Call,
    },
  },
  schedGetparam: {
    stated: ["ESRCH", "EPERM", "EFAULT"],
    success: 43,
    cases: {
      success: function* () {
        return (yield* S.schedGetparam(0, 2)).priority;
      },
      ESRCH: () => S.schedGetparam(0, 3) as Call,
      EPERM: (m) => S.schedGetparam(m.spawn(rest, { uid: 5 }).pid, 1) as Call,
      EFAULT: () => S.schedGetparam(bad, 2) as Call,
    },
  },
  schedSetaffinity: {
    stated: ["EINVAL", "EFAULT", "EPERM", "ESRCH"],
    success: undefined,
    cases: {
      success: (m) => {
        m.k.g.userSetCpuAffinity = 1;
        return S.schedSetaffinity(0, 2, Uint8Array.of(1)) as Call;
      },
      EINVAL: () => S.schedSetaffinity(0, 2, new Uint8Array(9)) as Call,
      EFAULT: () => S.schedSetaffinity(0, 2, [1] as unknown as Uint8Array) as Call,
      EPERM: () => S.schedSetaffinity(0, 2, Uint8Array.of(1)) as Call,
      ESRCH: () => S.schedSetaffinity(77, 1, Uint8Array.of(1)) as Call,
    },
  },
  schedGetaffinity: {
    stated: ["EINVAL", "EFAULT", "ESRCH"],
    success: undefined,
    cases: {
      success: () => S.schedGetaffinity(0, 2, new Uint8Array(1)) as Call,
      EINVAL: () => S.schedGetaffinity(0, 2, new Uint8Array(9)) as Call,
      EFAULT: () => S.schedGetaffinity(0, 2, bad as unknown as Uint8Array) as Call,
      ESRCH: () => S.schedGetaffinity(0, 3, new Uint8Array(1)) as Call,
    },
  },
};

/** Runs `body` as LWP 1 of the process that the rows describe, and gives what became of it. */
function outcome(body: (m: TestMachine) => Call): { value?: unknown; error?: unknown } {
  const m = new TestMachine();
  // Unchecked: some cases set what they need by hand.
  m.sim.check = () => {};
  let result: { value?: unknown; error?: unknown } = { value: "still waits" };
  const p = m.spawn(
    function* () {
      yield* S.lwpCreate(rest);
      yield* S.lwpSetname(2, "two");
      yield* S.lwpCreate(function* () {});
      yield* S.lwpCreate(rest, S.LWP_SUSPENDED);
      yield* S.lwpCreate(function* () {
        const l = K.cur.lwp;
        K.spinEnter(l.k, l.proc.lock);
        yield* K.cvWait(l.k, l.waitcv, l.proc.lock);
      });
      yield* S.schedYield();
      try {
        result = { value: yield* body(m) };
      } catch (error) {
        result = { error };
      }
      yield* rest();
    },
    { uid: 100 },
  );
  m.run();
  assert.equal(m.lwp(p, 1).lid, 1);
  return result;
}

/** Errors of calls that the matrix does not have. */
const MORE: Record<string, Record<string, (m: TestMachine) => Call>> = {
  setuid: {
    EINVAL: () => S.setuid(-1) as Call,
    EPERM: () => S.setuid(5) as Call,
    EAGAIN: function* (m) {
      fillCreds(m);
      return yield* S.setuid(200);
    },
  },
  seteuid: {
    EINVAL: () => S.seteuid(1.5) as Call,
    EPERM: () => S.seteuid(5) as Call,
    EAGAIN: function* (m) {
      fillCreds(m);
      return yield* S.seteuid(200);
    },
  },
  alarm: { EFAULT: () => S.alarm(bad) as Call, EINVAL: () => S.alarm(-1) as Call },
  kill: {
    EFAULT: () => S.kill(bad, 0) as Call,
    EINVAL: () => S.kill(0, 64) as Call,
    ESRCH: () => S.kill(99, 0) as Call,
  },
  sigaction: { EFAULT: () => S.sigaction(bad) as Call, EINVAL: () => S.sigaction(64) as Call },
  sigprocmask: {
    EFAULT: () => S.sigprocmask(1, bad as unknown as number[]) as Call,
    EINVAL: () => S.sigprocmask(9, []) as Call,
  },
  sigsuspend: {
    EFAULT: () => S.sigsuspend(bad as unknown as number[]) as Call,
    EINVAL: () => S.sigsuspend([64]) as Call,
    EINTR: () => interrupted(() => S.sigsuspend([])),
  },
  sigtimedwait: {
    EFAULT: () => S.sigtimedwait(bad as unknown as number[]) as Call,
    EINVAL: () => S.sigtimedwait([64]) as Call,
    EAGAIN: () => S.sigtimedwait([30], { sec: 0, nsec: 0 }) as Call,
    ECANCELED: () => interrupted(() => S.sigtimedwait([30])),
  },
  sysctl: {
    ENOENT: () => S.sysctl("kern.none") as Call,
    ENOTDIR: () => S.sysctl("kern.maxlwp.x") as Call,
    EISDIR: () => S.sysctl("kern") as Call,
    EPERM: () => S.sysctl("kern.maxlwp", 5) as Call,
    EINVAL: function* () {
      K.cur.lwp.cred!.euid = 0;
      return yield* S.sysctl("kern.maxlwp", -1);
    },
  },
};

/** It takes two processes: test/kern/signal.test.ts. */
const ELSEWHERE = ["kill EPERM"];

/** A superuser, and no room for credentials. */
function fillCreds(m: TestMachine): void {
  K.cur.lwp.cred!.euid = 0;
  while (K.poolGet(m.k.creds) !== null);
}

describe("the errors that a call's comment names", () => {
  for (const { name, file, isType } of exportedSyscalls) {
    const comment = isType ? null : commentOf(file, name);
    if (comment === null) continue;
    const cases = { ...MATRIX[name]?.cases, ...MORE[name] };
    test(`${name}: each is provoked`, () => {
      // Before that it says what the call does, to others also.
      const [, errors = ""] = /\bErrors?: ([\s\S]*)/.exec(comment) ?? [];
      const missing = codesOf(errors).filter(
        (code) => !(code in cases) && !ELSEWHERE.includes(`${name} ${code}`),
      );
      assert.deepEqual(missing, []);
      for (const [code, body] of Object.entries(MORE[name] ?? {})) {
        const { value, error } = outcome(body);
        assert.ok(error instanceof S.LwpError, `${code}: ${String(value ?? error)}`);
        assert.deepEqual([error.code, error.syscall], [code, name]);
      }
    });
  }
});

describe("error matrix", () => {
  test("SYS-70: the rows are those of the calls that there are", () => {
    const calls = Object.keys(S).filter((name) => /^(lwp|sched|pset)[A-Z]/.test(name));
    assert.deepEqual(Object.keys(MATRIX).sort(), calls.sort());
  });

  for (const [call, row] of Object.entries(MATRIX)) {
    test(`SYS-70: ${call}: ${row.stated.join(", ") || "cannot fail"}`, () => {
      const expected = row.stated.filter((code) => !(code in (row.none ?? {})));
      if (row.wrongType) expected.push("EFAULT");
      const errors = Object.keys(row.cases).filter((name) => name !== "success");
      assert.deepEqual(errors.sort(), expected.sort());
      for (const [name, body] of Object.entries(row.cases)) {
        const { value, error } = outcome(body);
        if (name === "success") {
          assert.equal(error, undefined);
          assert.equal(value, row.success);
          continue;
        }
        assert.ok(error instanceof S.LwpError, `${name}: ${String(value)}`);
        assert.equal(error.code, name);
        assert.equal(error.syscall, call);
        assert.equal(error.errno, (K as unknown as Record<string, number>)[name]);
        assert.equal(error.name, "LwpError");
        assert.match(error.message, new RegExp(`^${call}: ${name}: .`));
      }
    });
  }

  test("SYS-70: lwpUnparkAll of null returns 1024", () => {
    assert.deepEqual(
      outcome(() => S.lwpUnparkAll(null) as Call),
      { value: 1024 },
    );
  });

  test("SYS-70: EFAULT: each argument of each call, of each wrong type; nothing happens", () => {
    const notNumbers: unknown[] = ["2", "", null, undefined, {}, [], [2], true, 2n, Symbol("x"), () => 2];
    const calls: Record<string, (value: unknown) => S.Operation<unknown>> = {
      lwpWait: (v) => S.lwpWait(v as number),
      lwpSuspend: (v) => S.lwpSuspend(v as number),
      lwpContinue: (v) => S.lwpContinue(v as number),
      lwpWakeup: (v) => S.lwpWakeup(v as number),
      lwpDetach: (v) => S.lwpDetach(v as number),
      lwpKill: (v) => S.lwpKill(v as number, 0),
      lwpUnpark: (v) => S.lwpUnpark(v as number),
      "lwpUnpark hint": (v) => S.lwpUnpark(2, v as number),
      "lwpUnparkAll hint": (v) => S.lwpUnparkAll([2], v as number),
      "lwpPark lid": (v) => S.lwpPark(null, v as number),
      "lwpPark hint": (v) => S.lwpPark(null, 0, v as number),
      "lwpPark unpark hint": (v) => S.lwpPark(null, 2, 0, v as number),
      "lwpPark seconds": (v) => S.lwpPark({ sec: v as number, nsec: 0 }),
      "lwpPark nanoseconds": (v) => S.lwpPark({ sec: NOW, nsec: v as number }),
      lwpSetprivate: (v) => S.lwpSetprivate(v as number),
      "lwpSetname lid": (v) => S.lwpSetname(v as number, "x"),
      "lwpGetname lid": (v) => S.lwpGetname(v as number),
      "lwpGetname length": (v) => S.lwpGetname(2, v as number),
      "schedSetparam pid": (v) => S.schedSetparam(v as number, 2, S.SCHED_OTHER, NO_CHANGE),
      "schedSetparam lid": (v) => S.schedSetparam(0, v as number, S.SCHED_OTHER, NO_CHANGE),
      "schedSetparam policy": (v) => S.schedSetparam(0, 2, v as number, NO_CHANGE),
      "schedSetparam parameters": (v) => S.schedSetparam(0, 2, S.SCHED_RR, v as typeof NO_CHANGE),
      "schedSetparam priority": (v) => S.schedSetparam(0, 2, S.SCHED_RR, { priority: v as number }),
      "schedGetparam pid": (v) => S.schedGetparam(v as number, 2),
      "schedGetparam lid": (v) => S.schedGetparam(0, v as number),
      "schedSetaffinity pid": (v) => S.schedSetaffinity(v as number, 2, new Uint8Array(1)),
      "schedSetaffinity lid": (v) => S.schedSetaffinity(0, v as number, new Uint8Array(1)),
      "schedSetaffinity set": (v) => S.schedSetaffinity(0, 2, v as Uint8Array),
      "schedGetaffinity pid": (v) => S.schedGetaffinity(v as number, 2, new Uint8Array(1)),
      "schedGetaffinity lid": (v) => S.schedGetaffinity(0, v as number, new Uint8Array(1)),
      "schedGetaffinity set": (v) => S.schedGetaffinity(0, 2, v as Uint8Array),
    };
    // Left out, these have a value.
    const optional = /hint$|^lwpPark lid|length$/;
    const m = new TestMachine();
    const wrong: unknown[] = [];
    const p = m.spawn(function* () {
      yield* S.lwpCreate(rest);
      yield* S.schedYield();
      const t = m.lwp(p, 2);
      const look = () => [t.stat, t.flag, t.prflag, t.named, K.cur.lwp.flag, K.cur.lwp.private].join();
      const before = look();
      for (const [name, call] of Object.entries(calls)) {
        for (const value of notNumbers) {
          if (value === undefined && optional.test(name)) continue;
          const got = yield* attempt(call(value));
          if (got !== "EFAULT" || look() !== before) wrong.push([name, String(value), got]);
        }
      }
      for (const name of [5, null, undefined, {}, ["x"]]) {
        const got = yield* attempt(S.lwpSetname(2, name as string));
        if (got !== "EFAULT" || look() !== before) wrong.push(["lwpSetname name", String(name), got]);
      }
      for (const ts of [5, "x", true, [], {}, { sec: 1 }, { nsec: 1 }]) {
        const got = yield* attempt(S.lwpPark(ts as unknown as S.Timespec));
        if (got !== "EFAULT" || look() !== before) wrong.push(["lwpPark time", String(ts), got]);
      }
      yield* rest();
    });
    m.run();
    assert.deepEqual(wrong, []);
  });
});
