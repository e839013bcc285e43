/** Signals: posting, taking, delivering, masks and waits (PRC-66..90), and the vectors PRC-120..122. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { attempt, stateOf, TestMachine, withLock, type ThreadBody } from "../support/sim.js";
import { onProbe, overridePort } from "../support/spy.js";

const { SIGUSR1, SIGUSR2, SIGTERM, SIGSTOP, SIGTSTP, SIGCONT, SIGKILL, SIGCHLD } = K;

/** Runs the body with `proc_lock` and the process locked. */
function bothLocked<T>(m: TestMachine, p: K.Proc, body: () => T): T {
  return m.asCpu(() => {
    const result = withLock(m.k, m.k.g.procLock, () => withLock(m.k, p.lock, body));
    K.flushKicks(m.k);
    return result;
  });
}

const post = (m: TestMachine, p: K.Proc, sig: number, lid = 0, code = K.SI_USER): void =>
  bothLocked(m, p, () => K.kpsignal(p, K.siginfo(sig, code, 7, 8, lid)));

/** A process whose LWP `i + 1` runs `bodies[i]`. */
function process(...bodies: ThreadBody[]): { m: TestMachine; p: K.Proc } {
  const m = new TestMachine();
  const p = m.spawn(function* () {
    for (const body of bodies.slice(1)) yield* S.lwpCreate(body);
    yield* { [Symbol.iterator]: () => bodies[0]() } as Iterable<K.Token>;
  });
  m.run();
  return { m, p };
}

/** Parks for ever; logs each return. */
const sleeper = (log: unknown[] = []): ThreadBody =>
  function* () {
    for (;;) log.push(`${K.cur.lwp.lid} ${String(yield* attempt(S.lwpPark()))}`);
  };

/** Parks for ever, with these signals masked. */
const masking = (log: unknown[], ...signals: number[]): ThreadBody =>
  function* () {
    yield* S.sigprocmask(K.SIG_BLOCK, signals);
    yield* { [Symbol.iterator]: sleeper(log) } as Iterable<K.Token>;
  };

/** Catches a signal, logging which thread does, and goes on with another body. */
const catching = (log: unknown[], signals: number[], then: ThreadBody, flags = K.SA_RESTART): ThreadBody =>
  function* () {
    for (const sig of signals) {
      yield* S.sigaction(sig, { handler: (info) => log.push(`${K.cur.lwp.lid} ${info.signal}`), flags });
    }
    yield* { [Symbol.iterator]: then } as Iterable<K.Token>;
  };

/** As `_lwp_wakeup` does to one that sleeps. */
const wakeup = (m: TestMachine, l: K.Lwp): void =>
  m.asCpu(() => {
    K.lwpLock(l);
    l.flag |= K.LW_CANCELLED;
    K.lwpUnsleep(l, true);
  });

const status = (m: TestMachine, p: K.Proc): number | undefined =>
  m.sim.collected.find((c) => c.pid === p.pid)?.status;

describe("numbers", () => {
  test("PRC-66: 64 signals with these properties", () => {
    const with_ = (prop: number): number[] =>
      [...K.SIGPROP.keys()].filter((s) => (K.SIGPROP[s] & prop) !== 0);
    assert.equal(K.SIGPROP.length, 64);
    assert.equal(K.SIGPROP[0], 0);
    const range = (a: number, b: number): number[] => Array.from({ length: b - a + 1 }, (_, i) => a + i);
    const ignored = [16, 19, 20, 23, 28, 29, 32];
    const stops = [17, 18, 21, 22];
    assert.deepEqual(
      with_(K.SP_KILL),
      range(1, 63).filter((s) => !ignored.includes(s) && !stops.includes(s)),
    );
    assert.deepEqual(with_(K.SP_CORE), [3, 4, 5, 6, 7, 8, 10, 11, 12]);
    assert.deepEqual([with_(K.SP_STOP), with_(K.SP_TTYSTOP)], [stops, [18, 21, 22]]);
    assert.deepEqual([with_(K.SP_IGNORE), with_(K.SP_CONT)], [ignored, [19]]);
    assert.deepEqual(
      [with_(K.SP_CANTMASK), with_(K.SP_NORESET)],
      [
        [9, 17],
        [4, 5, 32],
      ],
    );
    assert.deepEqual(with_(K.SP_TOLWP), [4, 5, 7, 8, 10, 11, 12]);
    assert.deepEqual(with_(K.SP_TOALL), [9, 17, 18, 19, 21, 22]);
    for (const [sig, name] of K.SIGNAL_NAMES.entries()) {
      if (sig > 0) assert.equal((K as unknown as Record<string, number>)[name], sig);
    }
    assert.equal(K.SIGNAL_NAMES.length, 33);
  });
});

describe("the queue", () => {
  test("PRC-67: a set, and one siginfo a number: a newer one replaces it, one without information leaves it", () => {
    const { m, p } = process(masking([], SIGUSR1, SIGUSR2));
    const level = m.k.ksiginfos.inUse;
    post(m, p, SIGUSR1, 0, K.SI_USER);
    post(m, p, SIGUSR1, 0, K.SI_QUEUE);
    post(m, p, SIGUSR1, 0, K.SI_NOINFO);
    post(m, p, SIGUSR2, 0, K.SI_NOINFO);
    assert.equal(m.k.ksiginfos.inUse, level + 1);
    const take = (sig: number): K.Siginfo => {
      const out = K.siginfo(0);
      assert.equal(
        m.locked(p, () => K.sigget(p, sig, out)),
        true,
      );
      assert.equal(
        m.locked(p, () => K.sigget(p, sig, K.siginfo(0))),
        false,
      );
      return out;
    };
    assert.deepEqual(take(SIGUSR1), { signo: SIGUSR1, code: K.SI_QUEUE, pid: 7, uid: 8, lid: 0 });
    assert.deepEqual(take(SIGUSR2), { signo: SIGUSR2, code: K.SI_NOINFO, pid: 0, uid: 0, lid: 0 });
    assert.equal(m.k.ksiginfos.inUse, level);
  });

  test("PRC-67: with no room for a siginfo the signal is dropped, but for one that has none", () => {
    const { m, p } = process(masking([], ...Array.from({ length: 63 }, (_, i) => i + 1)));
    const held: K.Ksiginfo[] = [];
    m.asCpu(() => {
      for (let r = K.poolGet(m.k.ksiginfos); r !== null; r = K.poolGet(m.k.ksiginfos)) held.push(r);
    });
    post(m, p, SIGUSR1);
    post(m, p, SIGUSR2, 0, K.SI_NOINFO);
    assert.equal(K.sigismember(m.k, p.sigpend, SIGUSR1), false);
    assert.equal(K.sigismember(m.k, p.sigpend, SIGUSR2), true);
    m.asCpu(() => held.forEach((r) => K.poolPut(m.k.ksiginfos, r)));
    post(m, p, SIGUSR1);
    assert.equal(K.sigismember(m.k, p.sigpend, SIGUSR1), true);
  });

  test("PRC-67: sigclear forgets a set, or all, with the details, for process and LWP alike", () => {
    const { m, p } = process(masking([], SIGUSR1, SIGUSR2, SIGTERM));
    const level = m.k.ksiginfos.inUse;
    for (const sig of [SIGUSR1, SIGUSR2, SIGTERM]) {
      post(m, p, sig);
      post(m, p, sig, 1);
    }
    assert.equal(m.k.ksiginfos.inUse, level + 6);
    for (const owner of [p, m.lwp(p, 1)]) {
      m.locked(p, () => K.sigclear(owner, K.sigset(SIGUSR2, SIGTERM)));
      assert.deepEqual([m.k.w[owner.sigpend], m.k.w[owner.sigpend + 1]], [1 << (SIGUSR1 - 1), 0]);
      m.locked(p, () => K.sigclear(owner, null));
      assert.equal(m.k.w[owner.sigpend], 0);
    }
    assert.equal(m.k.ksiginfos.inUse, level);
  });

  test("PRC-68: deliverable is what is pending for the LWP or its process, not ignored, and not masked", () => {
    for (const [own, ignored, masked] of [0, 1, 2, 3, 4, 5, 6, 7].map((n) => [n & 1, n & 2, n & 4])) {
      const { m, p } = process(sleeper());
      const l = m.lwp(p, 1);
      const sig = 40;
      m.locked(p, () => {
        K.sigaddset(m.k, own !== 0 ? l.sigpend : p.sigpend, sig);
        if (ignored !== 0) K.sigaddset(m.k, p.sigignore, sig);
        if (masked !== 0) K.sigaddset(m.k, l.sigmask, sig);
        const expected = ignored === 0 && masked === 0;
        assert.equal(K.sigispending(l), expected);
        assert.equal(K.firstsig(l), expected ? sig : 0);
      });
    }
  });

  test("an LWP that exits, and a process, leave no details behind", () => {
    const { m, p } = process(sleeper(), masking([], SIGUSR1, SIGUSR2));
    post(m, p, SIGUSR1, 2);
    m.setFlags(m.lwp(p, 2), K.LW_WEXIT);
    m.asCpu(() => K.unpark(p, 2, 2 << 8));
    m.run();
    assert.equal(m.k.ksiginfos.inUse, 0);
    m.locked(p, () => K.sigaddset(m.k, m.lwp(p, 1).sigmask, SIGUSR2));
    post(m, p, SIGUSR2);
    assert.equal(m.k.ksiginfos.inUse, 1);
    m.asCpu(() => K.procKill(m.k, p.pid, SIGKILL));
    m.run();
    assert.equal(m.k.ksiginfos.inUse, 0);
    assert.deepEqual(K.checkEmpty(m.k), []);
  });
});

describe("sigpost", () => {
  /** An LWP in a state, as a signal finds it. */
  const STATES: Record<string, (m: TestMachine, p: K.Proc, l: K.Lwp) => void> = {
    RUN: (m, p) => m.asCpu(() => K.unpark(p, 2, 2 << 8)),
    "SLEEP, interruptible": () => {},
    "SLEEP, not interruptible": (m, _p, l) => m.holding(l, () => (l.flag &= ~K.LW_SINTR)),
    SUSPENDED: (m, p, l) => {
      m.locked(p, () => {
        K.lwpLock(l);
        K.lwpSuspend(K.cur.lwp, l);
      });
      m.asCpu(() => K.unpark(p, 2, 2 << 8));
      m.run();
    },
    "STOP on a queue": (m, p) => bothLocked(m, p, () => K.procStop(p, SIGSTOP)),
  };
  const ROWS: readonly [string, number, boolean, string][] = [
    ["RUN", SIGTERM, true, "RUN"],
    ["RUN", SIGSTOP, true, "RUN"],
    ["SLEEP, interruptible", SIGTERM, true, "RUN"],
    ["SLEEP, interruptible", SIGSTOP, true, "RUN"],
    ["SLEEP, not interruptible", SIGTERM, false, "SLEEP"],
    ["SUSPENDED", SIGTERM, false, "SUSPENDED"],
    ["STOP on a queue", SIGSTOP, false, "STOP"],
    ["STOP on a queue", SIGCONT, true, "SLEEP"],
    ["STOP on a queue", SIGTERM, true, "RUN"],
    ["STOP on a queue", SIGKILL, true, "RUN"],
  ];

  for (const [state, sig, takes, after] of ROWS) {
    test(`PRC-72: an LWP in ${state} will ${takes ? "" : "not "}take signal ${sig} soon, and is ${after} then`, () => {
      const { m, p } = process(sleeper(), sleeper());
      const l = m.lwp(p, 2);
      STATES[state](m, p, l);
      const priority = l.priority;
      bothLocked(m, p, () => {
        assert.equal(K.sigpost(l, true, K.SIGPROP[sig], sig), takes);
        assert.equal(stateOf(l), after);
        assert.notEqual(l.flag & K.LW_PENDSIG, 0, "it looks, at its next return at the latest");
        assert.equal(l.priority, (K.SIGPROP[sig] & K.SP_KILL) !== 0 ? 63 : priority);
      });
    });
  }

  test("PRC-72: masked, nobody takes it, but for a continue of who is stopped; without references nobody is asked", () => {
    const { m, p } = process(sleeper(), masking([], SIGUSR1, SIGCONT));
    const l = m.lwp(p, 2);
    bothLocked(m, p, () => {
      assert.equal(K.sigpost(l, true, K.SP_KILL, SIGUSR1), false);
      assert.deepEqual([stateOf(l), (l.flag & K.LW_PENDSIG) !== 0], ["SLEEP", true]);
      l.flag &= ~K.LW_PENDSIG;
      assert.equal(K.sigpost(l, false, K.SIGPROP[SIGCONT], SIGCONT), false);
      K.procStop(p, SIGSTOP);
      assert.equal(K.sigpost(l, false, K.SIGPROP[SIGCONT], SIGCONT), true);
      assert.equal(stateOf(l), "SLEEP");
      l.flag &= ~K.LW_PENDSIG;
      l.refcnt = 0;
      assert.equal(K.sigpost(l, true, K.SP_KILL, SIGTERM), false);
      assert.equal(l.flag & K.LW_PENDSIG, 0);
      l.refcnt = 1;
    });
  });

  test("PRC-72: a suspended LWP of a process that is dumped goes on for a signal that kills", () => {
    const { m, p } = process(sleeper(), sleeper());
    const l = m.lwp(p, 2);
    STATES["SUSPENDED"](m, p, l);
    m.setFlags(l, K.LW_WCORE);
    bothLocked(m, p, () => assert.equal(K.sigpost(l, true, K.SP_KILL, SIGTERM), true));
    assert.equal(stateOf(l), "RUN");
  });

  test("PRC-73: if nobody can take it now, all are told, and the first to unmask handles it", () => {
    const log: unknown[] = [];
    const unmasks: ThreadBody = function* () {
      yield* S.sigprocmask(K.SIG_BLOCK, [SIGUSR1]);
      yield* S.lwpPark();
      yield* S.sigprocmask(K.SIG_UNBLOCK, [SIGUSR1]);
      log.push("unmasked");
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    };
    const { m, p } = process(catching(log, [SIGUSR1], masking([], SIGUSR1)), unmasks, unmasks);
    post(m, p, SIGUSR1);
    for (const l of K.procLwps(p)) assert.notEqual(l.flag & K.LW_PENDSIG, 0);
    m.run();
    assert.deepEqual(log, []);
    m.asCpu(() => K.unpark(p, 2, 2 << 8));
    m.run();
    m.asCpu(() => K.unpark(p, 3, 3 << 8));
    m.run();
    assert.deepEqual(log, ["2 SIGUSR1", "unmasked", "unmasked"]);
  });
});

describe("delivery", () => {
  test("PRC-77: the handler runs under the action's mask, with the signal in it; the mask before comes back", () => {
    const log: unknown[] = [];
    const { m, p } = process(function* () {
      yield* S.sigaction(SIGUSR1, {
        handler: function* (info) {
          log.push(info, yield* S.sigprocmask(K.SIG_BLOCK));
          yield* S.lwpSelf();
        } as K.SignalHandler,
        mask: [SIGUSR2, SIGKILL, K.SIGRTMIN + 1],
      });
      yield* S.sigprocmask(K.SIG_BLOCK, [SIGTERM, K.SIGRTMIN]);
      yield* attempt(S.lwpPark());
      log.push(yield* S.sigprocmask(K.SIG_BLOCK));
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    });
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual(log, [
      { signal: "SIGUSR1", signo: SIGUSR1, code: K.SI_USER, pid: 7, uid: 8, lid: 0 },
      [SIGTERM, SIGUSR1, SIGUSR2, K.SIGRTMIN, K.SIGRTMIN + 1],
      [SIGTERM, K.SIGRTMIN],
    ]);
    assert.equal(m.lwp(p, 1).nsignals, 1);
  });

  test("PRC-77: what came while the handler ran, masked by it, is taken when it has returned", () => {
    const log: unknown[] = [];
    const { m, p } = process(function* () {
      for (const sig of [SIGUSR1, K.SIGRTMIN]) {
        yield* S.sigaction(sig, {
          handler: function* ({ signo }) {
            log.push(signo);
            if (signo === SIGUSR1) yield* S.lwpKill(1, K.SIGRTMIN);
            log.push(`${signo} ends`);
          } as K.SignalHandler,
          mask: [K.SIGRTMIN],
        });
      }
      yield* attempt(S.lwpPark());
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    });
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual(log, [SIGUSR1, `${SIGUSR1} ends`, K.SIGRTMIN, `${K.SIGRTMIN} ends`]);
  });

  test("PRC-77: with NODEFER the signal itself is not masked; RESETHAND resets the action, also to ignoring, but NORESET signals", () => {
    const log: unknown[] = [];
    const { m, p } = process(
      catching(log, [SIGUSR1, SIGCHLD, K.SIGPWR], sleeper(), K.SA_RESETHAND | K.SA_NODEFER),
    );
    const acts = (): unknown[] => [SIGUSR1, SIGCHLD, K.SIGPWR].map((sig) => K.sighandler(p, sig));
    const own = -1;
    assert.deepEqual(acts(), [own, own, own]);
    for (const sig of [SIGCHLD, K.SIGPWR]) post(m, p, sig);
    m.run();
    assert.deepEqual(log, ["1 SIGCHLD", "1 SIGPWR"]);
    assert.deepEqual(acts(), [own, K.SIG_DFL, own]);
    post(m, p, SIGCHLD);
    assert.equal(K.sigismember(m.k, p.sigpend, SIGCHLD), false, "ignored again");
    post(m, p, SIGUSR1);
    m.run();
    assert.equal(p.stat, K.SACTIVE);
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual([log[2], status(m, p)], ["1 SIGUSR1", SIGUSR1]);
  });

  test("PRC-77: the default action ends the process, by the signal", () => {
    for (const sig of [SIGTERM, SIGUSR1, K.SIGSEGV, K.SIGRTMIN, 63, SIGKILL]) {
      const { m, p } = process(sleeper(), sleeper());
      post(m, p, sig);
      m.run();
      assert.equal(status(m, p), sig);
      assert.deepEqual(K.checkEmpty(m.k), []);
    }
  });

  test("LWP-85, PRC-77: a process ends by its signal though each of its LWPs was to suspend itself: here exit goes before that (differs)", () => {
    for (const from of ["a signal", "outside"]) {
      // Each waits in the kernel for what does not happen; told to suspend itself it looks, and waits on.
      const waiting: ThreadBody = function* () {
        const { k, proc, waitcv } = K.cur.lwp;
        K.spinEnter(k, proc.lock);
        while ((yield* K.cvWaitSig(k, waitcv, proc.lock)) === 0);
        K.spinExit(k, proc.lock);
        yield* S.lwpSelf();
      };
      const { m, p } = process(waiting, waiting);
      m.locked(p, () => {
        for (const l of K.procLwps(p)) {
          K.lwpLock(l);
          assert.equal(K.lwpSuspend(K.cur.lwp, l), 0);
        }
      });
      m.run();
      const flags = [1, 2].map((lid) => [stateOf(m.lwp(p, lid)), (m.lwp(p, lid).flag & K.LW_WSUSPEND) !== 0]);
      assert.deepEqual(flags, [
        ["SLEEP", true],
        ["SLEEP", true],
      ]);
      if (from === "a signal") post(m, p, SIGKILL);
      else m.asCpu(() => assert.equal(K.procKill(m.k, p.pid, SIGKILL), true));
      m.run();
      assert.equal(status(m, p), SIGKILL, from);
      assert.deepEqual(K.checkEmpty(m.k), []);
    }
  });

  test("a process that is killed while its last LWP waits for p_lock to suspend itself ends, and the LWP does not suspend", () => {
    const m = new TestMachine();
    const p = m.spawn(function* () {
      for (;;) yield* S.schedYield();
    });
    const main = m.lwp(p, 1);
    m.until(() => m.cpu(0).curlwp === main);
    m.locked(p, () => {
      K.lwpLock(main);
      assert.equal(K.lwpSuspend(K.cur.lwp, main), 0);
    });
    // Somebody has the process locked, and kills it.
    m.k.w[p.lock] = 99;
    m.whileWaiting(() => {
      m.k.w[p.lock] = 0;
      m.asCpu(() => assert.equal(K.procKill(m.k, p.pid, SIGKILL), true));
    });
    m.run();
    assert.equal(status(m, p), SIGKILL);
  });

  test("a handler interrupts another that does not mask it; what it throws goes to what it has interrupted", () => {
    const log: unknown[] = [];
    const { m, p } = process(function* () {
      yield* S.sigaction(SIGUSR1, {
        handler: function* () {
          log.push("one");
          try {
            yield* attempt(S.lwpPark());
            log.push("not reached");
          } catch (error) {
            log.push(`one: ${String(error)}`, yield* S.sigprocmask(K.SIG_BLOCK));
            throw new Error("out");
          }
        } as K.SignalHandler,
      });
      yield* S.sigaction(SIGUSR2, {
        handler: () => {
          log.push("two");
          throw new Error("in");
        },
      });
      try {
        yield* S.lwpPark();
      } catch (error) {
        log.push(`main: ${String(error)}`, yield* S.sigprocmask(K.SIG_BLOCK));
      }
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    });
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual(log, ["one"]);
    post(m, p, SIGUSR2);
    m.run();
    assert.deepEqual(log, ["one", "two", "one: Error: in", [SIGUSR1], "main: Error: out", []]);
  });

  test("a handler may end its thread, and its process", () => {
    for (const [how, expected] of [
      [() => S.lwpExit(), undefined],
      [() => S.procExit(3), 3 << 8],
    ] as const) {
      const { m, p } = process(sleeper(), function* () {
        yield* S.sigaction(SIGUSR1, {
          handler: function* () {
            yield* how();
          } as K.SignalHandler,
        });
        yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
      });
      post(m, p, SIGUSR1, 2);
      m.run();
      assert.equal(status(m, p), expected);
      if (expected === undefined) assert.equal(K.procLwps(p).filter((l) => stateOf(l) !== "ZOMB").length, 1);
    }
  });

  test("a thread that has not run yet, one that computes and a step thread take signals, too", () => {
    const log: unknown[] = [];
    const m = new TestMachine({ steps: [() => K.STEP_PARK] });
    const p = m.spawn(function* () {
      yield* {
        [Symbol.iterator]: catching(log, [SIGUSR1], () => [][Symbol.iterator]()),
      } as Iterable<K.Token>;
      const l = K.cur.lwp;
      K.createLwp(l, 0, { kind: K.CTX_STEP, entry: 0 });
      const lid = yield* S.lwpCreate(sleeper(), S.LWP_SUSPENDED);
      yield* S.lwpKill(lid, SIGUSR1);
      yield* S.lwpContinue(lid);
      for (let i = 0; i < 5; i++) yield* S.schedYield();
      yield* S.lwpKill(1, SIGUSR1);
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    });
    m.run();
    assert.deepEqual(log, ["3 SIGUSR1", "1 SIGUSR1"]);
    post(m, p, SIGUSR1, 2);
    m.run();
    const l = m.lwp(p, 2);
    assert.deepEqual([stateOf(l), l.sigcaught, K.sigismember(m.k, l.sigmask, SIGUSR1)], ["SLEEP", 0, false]);
  });
});

describe("calls", () => {
  test("SYS-21: lwpKill: EINVAL, ESRCH, 0 only looks; the details name the caller; ignored and suspended are no error", () => {
    const log: unknown[] = [];
    const { m, p } = process(
      catching(log, [SIGUSR1], function* () {
        for (const sig of [-1, 64, 1.5, 2 ** 32]) log.push(yield* attempt(S.lwpKill(77, sig)));
        for (const lid of [77, 0, -1]) log.push(yield* attempt(S.lwpKill(lid, SIGUSR1)));
        log.push(yield* attempt(S.lwpKill(77, 0)), yield* attempt(S.lwpKill(2, 0)));
        log.push(yield* attempt(S.lwpKill(2, SIGCHLD)));
        yield* S.sigaction(SIGUSR2, { handler: (info) => log.push(info) });
        yield* S.lwpKill(2, SIGUSR2);
        yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
      }),
      sleeper(),
    );
    const { EINVAL, ESRCH } = { EINVAL: "EINVAL", ESRCH: "ESRCH" };
    assert.deepEqual(log, [
      ...[EINVAL, EINVAL, EINVAL, EINVAL, ESRCH, ESRCH, ESRCH, ESRCH],
      ...[undefined, undefined],
      { signal: "SIGUSR2", signo: SIGUSR2, code: K.SI_LWP, pid: p.pid, uid: 0, lid: 2 },
    ]);
    // A suspended target keeps it.
    const l = m.lwp(p, 2);
    m.locked(p, () => {
      K.lwpLock(l);
      K.lwpSuspend(K.cur.lwp, l);
    });
    m.asCpu(() => K.unpark(p, 2, 2 << 8));
    m.run();
    log.length = 0;
    post(m, p, SIGUSR1, 2);
    m.run();
    assert.deepEqual([stateOf(l), log], ["SUSPENDED", []]);
    m.locked(p, () => {
      K.lwpLock(l);
      K.lwpContinue(l);
    });
    m.run();
    assert.deepEqual(log, ["2 SIGUSR1"]);
  });

  test("kill: EINVAL, ESRCH, EPERM for another user's, the caller's own by 0 or its id; a zombie is no error", () => {
    const log: unknown[] = [];
    const { m, p } = process(sleeper());
    const other = m.spawn(
      catching(log, [SIGUSR1], function* () {
        log.push(yield* attempt(S.kill(0, 64)), yield* attempt(S.kill(12345, 0)));
        log.push(yield* attempt(S.kill(p.pid, 0)), yield* attempt(S.kill(p.pid, SIGTERM)));
        yield* S.kill(0, SIGUSR1);
        yield* S.kill(other.pid, SIGUSR1);
        yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
      }),
      { uid: 5 },
    );
    m.run();
    assert.deepEqual(log, ["EINVAL", "ESRCH", "EPERM", "EPERM", "1 SIGUSR1", "1 SIGUSR1"]);
    const root = m.spawn(function* () {
      yield* S.kill(other.pid, SIGTERM);
    });
    m.run();
    assert.deepEqual([status(m, other), status(m, root)], [SIGTERM, 0]);
  });

  test("PRC-80: sigaction: EINVAL; it acts process-wide, forgets what is ignored from now on, and tells the old action", () => {
    const log: unknown[] = [];
    const handler = (): void => {};
    const { m, p } = process(function* () {
      for (const sig of [0, 64, -1]) log.push(yield* attempt(S.sigaction(sig)));
      for (const sig of [SIGKILL, SIGSTOP]) {
        log.push(yield* attempt(S.sigaction(sig, { handler: K.SIG_IGN })), yield* S.sigaction(sig));
      }
      log.push(yield* attempt(S.sigaction(SIGUSR1, { handler, flags: 0x80 })));
      log.push(yield* S.sigaction(SIGUSR1, { handler, mask: [SIGTERM, SIGKILL], flags: 0 }));
      log.push(yield* S.sigaction(SIGUSR1, { handler, flags: K.SA_NODEFER }));
      log.push(yield* S.sigaction(SIGUSR1));
      yield* S.sigprocmask(K.SIG_BLOCK, [SIGUSR1, SIGUSR2, SIGCHLD]);
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    });
    const dfl = { handler: K.SIG_DFL, flags: K.SA_RESTART, mask: [] };
    assert.deepEqual(log, [
      ...["EINVAL", "EINVAL", "EINVAL", "EINVAL", dfl, "EINVAL", dfl, "EINVAL", dfl],
      { handler, flags: 0, mask: [SIGTERM, SIGUSR1] },
      { handler, flags: K.SA_NODEFER, mask: [] },
    ]);
    const pend = (owner: K.Proc | K.Lwp, sig: number): boolean => K.sigismember(m.k, owner.sigpend, sig);
    const l = m.lwp(p, 1);
    for (const sig of [SIGUSR1, SIGUSR2, SIGCHLD]) {
      m.asCpu(() => {
        withLock(m.k, p.lock, () => {
          K.sigaddset(m.k, l.sigpend, sig);
          K.sigaddset(m.k, p.sigpend, sig);
        });
      });
    }
    const set = (sig: number, handler: number): void =>
      m.locked(p, () => K.sigaction1(l, sig, { handler, flags: 0, mask: [0, 0] }));
    set(SIGUSR1, K.SIG_IGN);
    assert.deepEqual([pend(l, SIGUSR1), pend(p, SIGUSR1)], [false, false]);
    set(SIGUSR2, K.SIG_DFL);
    assert.deepEqual([pend(l, SIGUSR2), pend(p, SIGUSR2)], [true, true]);
    set(SIGCHLD, K.SIG_DFL);
    assert.deepEqual([pend(l, SIGCHLD), pend(p, SIGCHLD)], [false, false]);
    // SIGCONT is never in the set of ignored ones.
    set(SIGCONT, K.SIG_IGN);
    assert.equal(K.sigismember(m.k, p.sigignore, SIGCONT), false);
  });

  test("PRC-81: sigprocmask: EINVAL, three ways, per LWP, KILL and STOP silently unblockable; unblocking delivers at once", () => {
    const log: unknown[] = [];
    const { m, p } = process(
      catching(log, [SIGUSR1], function* () {
        log.push(yield* attempt(S.sigprocmask(4, [])), yield* attempt(S.sigprocmask(4)));
        log.push(yield* S.sigprocmask(K.SIG_BLOCK, [SIGUSR1, SIGKILL, SIGSTOP, 63]));
        log.push(yield* S.sigprocmask(K.SIG_BLOCK, [SIGTERM]));
        yield* S.lwpKill(1, SIGUSR1);
        log.push(yield* S.sigprocmask(K.SIG_UNBLOCK, [SIGUSR1]), "after");
        log.push(yield* S.sigprocmask(K.SIG_SETMASK, [SIGUSR1]));
        yield* S.lwpKill(1, SIGUSR1);
        log.push(yield* S.sigpending());
        yield* S.sigprocmask(K.SIG_SETMASK, []);
        yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
      }),
      sleeper(),
    );
    assert.deepEqual(log, [
      ...["EINVAL", [], [], [SIGUSR1, 63], "1 SIGUSR1", [SIGTERM, SIGUSR1, 63], "after", [SIGTERM, 63]],
      ...[[SIGUSR1], "1 SIGUSR1"],
    ]);
    assert.equal(m.k.w[m.lwp(p, 2).sigmask], 0);
  });

  test("PRC-86: a mask that sigsuspend has put there stays while a signal can be delivered under it, which is looked at", () => {
    const { m, p } = process(catching([], [SIGUSR1, SIGUSR2], masking([], SIGUSR1)));
    const l = m.lwp(p, 1);
    const blocked = () => K.sigismember(m.k, l.sigmask, SIGUSR1);
    const facts = () => [l.flag & K.LW_PENDSIG, l.sigrestore, blocked()];
    const pend = (sig: number) => {
      l.flag &= ~K.LW_PENDSIG;
      K.sigaddset(m.k, l.sigpend, sig);
    };
    bothLocked(m, p, () => {
      K.sigsuspendSetup(l, K.sigset());
      assert.deepEqual(facts(), [0, 1, false]);
      pend(SIGUSR2);
      K.sigsuspendTeardown(l);
      assert.deepEqual(facts(), [K.LW_PENDSIG, 1, false]);
      K.sigdelset(m.k, l.sigpend, SIGUSR2);
      l.flag &= ~K.LW_PENDSIG;
      K.sigsuspendTeardown(l);
      assert.deepEqual(facts(), [0, 0, true]);
      // The other way round: what comes back lets one through.
      K.sigprocmask1(l, K.SIG_UNBLOCK, K.sigset(SIGUSR1));
      K.sigsuspendSetup(l, K.sigset(SIGUSR1));
      pend(SIGUSR1);
      K.sigsuspendTeardown(l);
      assert.deepEqual(facts(), [K.LW_PENDSIG, 0, false]);
    });
  });

  test("a stop signal is taken under proc_lock: whoever has to wait for that lets go of his process, and looks anew", () => {
    const { m, p } = process(sleeper());
    const { k } = m;
    const seen: unknown[] = [];
    // Another CPU has it until somebody waits for it.
    overridePort(m, {
      relax: (_why, _round, lock) => {
        seen.push(lock === k.g.procLock, k.w[p.lock]);
        k.w[lock] = 0;
      },
    });
    post(m, p, SIGTSTP);
    k.w[k.g.procLock] = 9;
    m.run();
    assert.deepEqual([seen, stateOf(m.lwp(p, 1)), k.w[k.g.procLock], k.w[p.lock]], [[true, 0], "STOP", 0, 0]);
  });

  test("MCH-55: a signal that is forgotten is told for whom it was pending: the process, as LWP 0, or one LWP", () => {
    const all = [1, SIGUSR1, K.SIGRTMIN, K.NSIG - 1];
    const { m, p } = process(masking([], ...all));
    const seen: unknown[] = [];
    onProbe(m, ["signal_clear"], (r) => seen.push([r.pid, r.lid, r.args[0]]));
    post(m, p, SIGUSR1);
    post(m, p, SIGUSR1, 1);
    bothLocked(m, p, () => K.sigforget(p, K.sigset(SIGUSR1)));
    assert.deepEqual(seen.splice(0), [
      [p.pid, 0, SIGUSR1],
      [p.pid, 1, SIGUSR1],
    ]);
    for (const sig of all) post(m, p, sig);
    bothLocked(m, p, () => K.sigforget(p, K.sigset(SIGTERM)));
    assert.deepEqual(seen, []);
    bothLocked(m, p, () => K.sigforget(p, null));
    assert.deepEqual(
      seen,
      all.map((sig) => [p.pid, 0, sig]),
    );
  });

  test("PRC-86: sigsuspend: always EINTR, the old mask comes back after the handler; also by a wakeup, unlike as written", () => {
    const log: unknown[] = [];
    const { m, p } = process(
      catching(log, [SIGUSR1, SIGUSR2], function* () {
        yield* S.sigprocmask(K.SIG_BLOCK, [SIGUSR1]);
        // Pending before: it is taken at once.
        yield* S.lwpKill(1, SIGUSR1);
        for (let i = 0; i < 3; i++) {
          log.push(yield* attempt(S.sigsuspend([SIGTERM])), yield* S.sigprocmask(K.SIG_BLOCK));
        }
        yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
      }),
      sleeper(),
    );
    const l = m.lwp(p, 1);
    const one = ["1 SIGUSR1", "EINTR", [SIGUSR1]];
    assert.deepEqual(log, one);
    assert.deepEqual([l.wmesg, m.k.w[l.sigmask]], ["pause", 1 << (SIGTERM - 1)]);
    // A stop and a continue do not end it, nor does a suspension.
    post(m, p, SIGSTOP);
    m.run();
    for (let i = 0; i < 3; i++) m.sim.tick();
    m.run();
    post(m, p, SIGCONT);
    m.run();
    assert.deepEqual([log, l.wmesg, stateOf(l)], [one, "pause", "SLEEP"]);
    post(m, p, SIGUSR2, 1);
    m.run();
    const two = ["1 SIGUSR2", "EINTR", [SIGUSR1]];
    assert.deepEqual(log, [...one, ...two]);
    wakeup(m, l);
    m.run();
    assert.deepEqual(log, [...one, ...two, "EINTR", [SIGUSR1]]);
    assert.equal(l.sigrestore, 0);
  });

  test("PRC-90: sigtimedwait takes what is pending, the process's first; a zero time polls, unlike as written", () => {
    const log: unknown[] = [];
    process(function* () {
      yield* S.sigprocmask(K.SIG_BLOCK, [SIGUSR1, SIGUSR2]);
      const zero = { sec: 0, nsec: 0 };
      log.push(yield* attempt(S.sigtimedwait([SIGUSR1], zero)));
      for (const bad of [
        { sec: -1, nsec: 0 },
        { sec: 0, nsec: 1e9 },
        { sec: 0, nsec: -1 },
      ]) {
        log.push(yield* attempt(S.sigtimedwait([SIGUSR1], bad)));
      }
      yield* S.lwpKill(1, SIGUSR1);
      yield* S.kill(0, SIGUSR1);
      yield* S.kill(0, SIGUSR2);
      for (let i = 0; i < 3; i++) {
        const info = yield* S.sigtimedwait([SIGUSR1, SIGUSR2, SIGKILL], zero);
        log.push([info.signal, info.code]);
      }
      log.push(yield* S.sigpending());
      yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
    });
    assert.deepEqual(log, [
      ...["EAGAIN", "EINVAL", "EINVAL", "EINVAL"],
      ...[["SIGUSR1", K.SI_USER], ["SIGUSR2", K.SI_USER], ["SIGUSR1", K.SI_LWP], []],
    ]);
  });

  /** A thread that waits for SIGUSR1, which it masks, and logs what comes. */
  const waiter = (log: unknown[], ticks: number | null): ThreadBody =>
    function* () {
      const { lid } = K.cur.lwp;
      yield* S.sigprocmask(K.SIG_BLOCK, [SIGUSR1]);
      const time = ticks === null ? null : { sec: 0, nsec: ticks * 1e7 };
      const got = yield* attempt(S.sigtimedwait([SIGUSR1], time));
      log.push(`${lid} ${typeof got === "string" ? got : got.signal}`);
      yield* { [Symbol.iterator]: masking([], SIGUSR1) } as Iterable<K.Token>;
    };

  test("PRC-90, SYS-51: a time-out is EAGAIN, a wakeup ECANCELED, a handler that restarts waits on, one that does not ECANCELED", () => {
    for (const [restart, expected] of [
      [true, "1 SIGUSR1"],
      [false, "1 ECANCELED"],
    ] as const) {
      const log: unknown[] = [];
      const { m, p } = process(catching([], [SIGUSR2], waiter(log, null), restart ? K.SA_RESTART : 0));
      post(m, p, SIGUSR2);
      m.run();
      if (restart) {
        assert.deepEqual(log, []);
        post(m, p, SIGUSR1);
        m.run();
      }
      assert.deepEqual(log, [expected]);
    }
    const log: unknown[] = [];
    const { m, p } = process(waiter(log, null), waiter(log, 5));
    for (let i = 0; i < 8; i++) m.sim.tick();
    m.run();
    assert.deepEqual(log, ["2 EAGAIN"]);
    const l = m.lwp(p, 1);
    wakeup(m, l);
    m.run();
    assert.deepEqual(log, ["2 EAGAIN", "1 ECANCELED"]);
    assert.equal(p.sigwaiters, null);
  });

  test("PRC-74: a signal goes to the latest that waits for it, or to whom it is directed; it never becomes pending", () => {
    const log: unknown[] = [];
    const { m, p } = process(waiter(log, null), waiter(log, null), waiter(log, null), masking([], SIGUSR1));
    // Directed to one that does not wait, it stays pending for that one.
    post(m, p, SIGUSR1, 4);
    m.run();
    assert.deepEqual([log, K.sigismember(m.k, m.lwp(p, 4).sigpend, SIGUSR1)], [[], true]);
    post(m, p, SIGUSR1, 2);
    m.run();
    assert.deepEqual(log, ["2 SIGUSR1"]);
    const rest = p.sigwaiters?.lid;
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual(log, ["2 SIGUSR1", `${rest} SIGUSR1`]);
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual([log.length, p.sigwaiters, m.k.w[p.sigpend]], [3, null, 0]);
    // Ignored ones were dropped earlier.
    m.locked(p, () => {
      K.sigaddset(m.k, p.sigignore, SIGUSR2);
    });
    post(m, p, SIGUSR2);
    assert.equal(m.k.w[p.sigpend], 0);
  });

  test("PRC-90: what was handed over counts, whatever ends the wait then: unlike as written it is not lost", () => {
    const log: unknown[] = [];
    const m = new TestMachine();
    const p = m.spawn(waiter(log, 3));
    const l = m.lwp(p, 1);
    m.until(() => stateOf(l) === "SLEEP");
    post(m, p, SIGUSR1);
    m.setFlags(l, K.LW_CANCELLED);
    for (let i = 0; i < 5; i++) m.sim.tick();
    m.run();
    assert.deepEqual(log, ["1 SIGUSR1"]);
  });

  test("alarm: SIGALRM after so many seconds, once; a new one replaces it and tells what was left", () => {
    const log: unknown[] = [];
    let begun = 0;
    const { m, p } = process(
      catching(log, [K.SIGALRM], function* () {
        begun = K.cur.lwp.k.g.ticks;
        log.push(yield* attempt(S.alarm(-1)), yield* S.alarm(100), yield* S.alarm(0.05), yield* S.alarm(0));
        log.push(yield* S.alarm(0.05));
        yield* { [Symbol.iterator]: sleeper() } as Iterable<K.Token>;
      }),
    );
    assert.deepEqual(log, ["EINVAL", 0, 100, 1, 0, "1 SIGALRM"]);
    assert.equal(m.k.g.ticks - begun, 6, "not earlier, and at most a tick later");
    for (let i = 0; i < 20; i++) m.sim.tick();
    m.run();
    assert.equal(log.length, 6);
    // Its process ends before it comes.
    m.asCpu(() => K.alarmSet(p, 1000));
    m.asCpu(() => K.procKill(m.k, p.pid, SIGKILL));
    m.run();
    assert.deepEqual(K.checkEmpty(m.k), []);
  });
});

describe("stops", () => {
  const states = (m: TestMachine, p: K.Proc): string =>
    K.procLwps(p)
      .map((l) => `${l.lid} ${stateOf(l)}`)
      .reverse()
      .join(", ");

  test("PRC-120: SIGSTOP: who takes it first begins the stop, the other follows; SIGCONT: both run, the sleeper sleeps again", () => {
    const box = { steps: 0 };
    const log: unknown[] = [];
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        for (;;) {
          box.steps++;
          yield* S.schedYield();
        }
      });
      for (;;) log.push(yield* attempt(S.sigsuspend([])));
    });
    m.until(() => stateOf(m.lwp(p, 1)) === "SLEEP" && box.steps > 0);
    post(m, p, SIGSTOP);
    assert.equal(stateOf(m.lwp(p, 1)), "RUN", "the sleeper is made to run");
    m.until(() => p.stat === K.SSTOP);
    const { steps } = box;
    // Differs: a `sigsuspend` that was woken sleeps again in the kernel, and is stopped there, at the next tick.
    assert.deepEqual([p.nrlwps, p.xstat, p.parent?.nstopchild], [0, SIGSTOP, 1]);
    assert.equal(states(m, p), "1 STOP, 2 STOP");
    m.run();
    assert.equal(box.steps, steps);
    post(m, p, SIGCONT);
    assert.deepEqual([p.stat, p.nrlwps, p.parent?.nstopchild], [K.SACTIVE, 2, 0]);
    m.until(() => stateOf(m.lwp(p, 1)) === "SLEEP" && box.steps > steps + 2);
    assert.deepEqual(log, [], "no EINTR");
  });

  test("PRC-120: SIGTSTP, which the sleeper masks: it stops where it sleeps, without running, and sleeps on there", () => {
    const log: unknown[] = [];
    const m = new TestMachine();
    const p = m.spawn(function* () {
      yield* S.lwpCreate(function* () {
        for (;;) yield* S.schedYield();
      });
      yield* { [Symbol.iterator]: masking(log, SIGTSTP) } as Iterable<K.Token>;
    });
    const l = m.lwp(p, 1);
    m.until(() => stateOf(l) === "SLEEP");
    const { ncsw } = l;
    post(m, p, SIGTSTP);
    assert.equal(stateOf(l), "SLEEP");
    m.until(() => p.stat === K.SSTOP);
    assert.deepEqual([states(m, p), l.wchan !== 0], ["1 STOP, 2 STOP", true]);
    post(m, p, SIGCONT);
    assert.deepEqual([stateOf(l), l.ncsw, log], ["SLEEP", ncsw, []]);
  });

  test("PRC-97: a stop takes every interruptible sleeper that does not mask it off its queue; after the continue its park returns 0", () => {
    const log: unknown[] = [];
    const { m, p } = process(sleeper(log), masking(log, SIGTSTP));
    post(m, p, SIGTSTP);
    assert.deepEqual([m.lwp(p, 1).wchan !== 0, m.lwp(p, 2).wchan !== 0], [false, true]);
    m.run();
    assert.deepEqual([p.stat, log], [K.SSTOP, []]);
    post(m, p, SIGCONT);
    m.run();
    assert.deepEqual(log, ["1 undefined"]);
  });

  test("PRC-121: SIGUSR1 to a process of which one LWP does not mask it runs the handler there, wherever it stands in the list", () => {
    for (const open of [1, 2, 3]) {
      const log: unknown[] = [];
      const bodies = [1, 2, 3].map((lid) => (lid === open ? sleeper() : masking([], SIGUSR1)));
      bodies[0] = catching(log, [SIGUSR1], bodies[0]);
      const { m, p } = process(...bodies);
      post(m, p, SIGUSR1);
      m.run();
      assert.deepEqual(log, [`${open} SIGUSR1`]);
    }
    const log: unknown[] = [];
    const all = masking([], SIGUSR1);
    const { m, p } = process(catching(log, [SIGUSR1], all), all);
    post(m, p, SIGUSR1);
    m.run();
    assert.deepEqual([log, K.sigismember(m.k, p.sigpend, SIGUSR1)], [[], true]);
  });

  test("PRC-122: a directed SIGTERM that nobody catches ends the process; a directed SIGSTOP stops all LWPs", () => {
    const { m, p } = process(sleeper(), sleeper());
    post(m, p, SIGTERM, 2, K.SI_LWP);
    m.run();
    assert.equal(status(m, p), SIGTERM);
    const two = process(sleeper(), sleeper());
    post(two.m, two.p, SIGSTOP, 2, K.SI_LWP);
    two.m.run();
    assert.deepEqual([two.p.stat, states(two.m, two.p)], [K.SSTOP, "1 STOP, 2 STOP"]);
    // Stopped, it takes a signal that ends it only when it is continued; SIGKILL does so itself.
    post(two.m, two.p, SIGTERM);
    two.m.run();
    assert.equal(two.p.stat, K.SSTOP);
    post(two.m, two.p, SIGKILL);
    two.m.run();
    assert.equal(status(two.m, two.p), SIGKILL);
  });

  test("a stop forgets a continue that is pending, and a continue the stops; a stop of a stopped process is dropped", () => {
    const { m, p } = process(masking([], SIGTSTP, SIGCONT, K.SIGTTIN), sleeper());
    const pending = (sig: number): boolean => K.sigismember(m.k, p.sigpend, sig);
    const all = masking([], SIGTSTP, SIGCONT, K.SIGTTIN);
    assert.ok(all);
    m.locked(p, () => {
      for (const l of K.procLwps(p)) K.sigaddset(m.k, l.sigmask, SIGTSTP);
      K.sigaddset(m.k, p.sigcatch, SIGCONT);
      for (const l of K.procLwps(p)) K.sigaddset(m.k, l.sigmask, SIGCONT);
    });
    post(m, p, SIGTSTP);
    assert.deepEqual([pending(SIGTSTP), pending(SIGCONT)], [true, false]);
    post(m, p, SIGCONT);
    assert.deepEqual([pending(SIGTSTP), pending(SIGCONT)], [false, true]);
    post(m, p, SIGTSTP);
    assert.deepEqual([pending(SIGTSTP), pending(SIGCONT)], [true, false]);
    post(m, p, SIGSTOP);
    m.run();
    assert.equal(p.stat, K.SSTOP);
    post(m, p, K.SIGTTIN);
    assert.equal(pending(K.SIGTTIN), false);
  });
});
