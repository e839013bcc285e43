/**
 * Signals in a random program. SIGUSR1 is sent by threads to themselves only, so that nobody else's sleep ends; it is masked at
 * times, and handled or ignored. SIGUSR2 and SIGALRM, which all mask, go to whole processes: they stay pending, or are waited for.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import type { Model, ProcessModel, ThreadModel } from "./model.js";

type Run = Generator<K.Token, string, undefined>;

const { SIGUSR1, SIGUSR2, SIGALRM } = K;

/** The error number of an LwpError; anything else goes on up. */
function errnoOf(error: unknown): number {
  if (error instanceof S.LwpError) return error.errno;
  throw error;
}

export class SignalCalls {
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  /** The first thing that a process does, unless it has inherited the mask. */
  *prepare(m: ProcessModel): Run {
    yield* S.sigprocmask(S.SIG_BLOCK, [SIGUSR2, SIGALRM]);
    m.signals = true;
    return "";
  }

  /** The handler, on the thread that has taken the signal. */
  readonly #handler = function* (this: SignalCalls): Generator<K.Token, void, undefined> {
    const t = this.#model.threadOf(K.cur.lwp);
    assert.ok(t.pending && !t.masks, "a handler runs for no signal, or for one that is masked");
    t.pending = false;
    t.handled++;
    t.progress++;
    yield* S.lwpSelf();
  }.bind(this);

  /** PRC-79: the new action; one that ignores it forgets what is pending. */
  *act(m: ProcessModel, a: number): Run {
    const ignores = a % 3 === 0;
    const before = m.action;
    m.action = ignores ? S.SIG_IGN : this.#handler;
    m.actions++;
    if (ignores) for (const t of m.threads.values()) t.pending = false;
    const { handler } = yield* S.sigaction(SIGUSR1, { handler: m.action, flags: 0 });
    assert.equal(handler, before, "the action before");
    return ignores ? "ignore" : "handle";
  }

  /** To itself. Not masked, it is handled before the call returns. */
  *send(m: ProcessModel, t: ThreadModel): Run {
    const { handled } = t;
    const { actions } = m;
    const handles = m.action === this.#handler;
    if (handles) t.pending = true;
    yield* S.lwpKill(t.lid, SIGUSR1);
    // Another thread may have had the process forget it meanwhile.
    if (m.actions === actions)
      assert.equal(t.handled, handles && !t.masks ? handled + 1 : handled, "signals handled");
    return `${t.handled - handled}`;
  }

  *mask(t: ThreadModel, a: number): Run {
    const masks = a % 4 !== 3;
    const { masks: before } = t;
    t.masks = masks;
    const set = yield* S.sigprocmask(masks ? S.SIG_BLOCK : S.SIG_UNBLOCK, [SIGUSR1]);
    assert.deepEqual(
      set,
      [SIGALRM, SIGUSR1, SIGUSR2].filter((sig) => sig !== SIGUSR1 || before),
      "the mask",
    );
    assert.ok(masks || !t.pending, "a signal that is not masked any more was not handled");
    return masks ? "mask" : "unmask";
  }

  *pending(m: ProcessModel, t: ThreadModel): Run {
    // What it says may have changed when it comes back.
    const { pending } = t;
    const sent = m.sent > m.taken;
    const alarmed = m.alarms > m.rung;
    const set = yield* S.sigpending();
    assert.equal(set.includes(SIGUSR1), pending, "whether SIGUSR1 is pending");
    assert.ok(sent || !set.includes(SIGUSR2), "SIGUSR2 is pending, and was not sent");
    assert.ok(alarmed || !set.includes(SIGALRM), "SIGALRM is pending, and no alarm was set");
    return set.join();
  }

  /** To a process: its own, another one, or none. Who is not ready for it is only looked for. */
  *kill(t: ThreadModel, pid: number, p: K.Proc | null, may: boolean): Run {
    const m = p === null ? null : this.#model.of(p);
    const sig = m?.signals === true ? SIGUSR2 : 0;
    if (m !== null && sig !== 0 && may) m.sent++;
    try {
      yield* S.kill(pid, sig);
    } catch (error) {
      const errno = errnoOf(error);
      assert.equal(errno, p === null ? K.ESRCH : K.EPERM, `LWP ${t.lid} sends ${sig} to ${pid}`);
      assert.ok(p === null || !may, "EPERM, though it may");
      return String(errno);
    }
    // One that dies may be found still.
    assert.ok(p === null || may, "sent, though it may not");
    return `${sig}`;
  }

  /** PRC-90: takes one that is pending, or waits. */
  *wait(m: ProcessModel, t: ThreadModel, a: number): Run {
    const timeout = { sec: 0, nsec: (a % 4) * 1e7 };
    const there = [SIGUSR2, SIGALRM].some((sig) => K.sigismember(m.p.k, m.p.sigpend, sig));
    try {
      const { signo } = yield* S.sigtimedwait([SIGUSR2, SIGALRM], timeout);
      if (signo === SIGUSR2) m.taken++;
      else m.rung++;
      assert.ok(m.taken <= m.sent && m.rung <= m.alarms, `signal ${signo} was taken, and not sent`);
      return `${signo}`;
    } catch (error) {
      const errno = errnoOf(error);
      assert.ok(!there, "a signal was pending, and is not taken");
      assert.ok(
        errno === K.EAGAIN || (errno === K.ECANCELED && t.wakeups > 0),
        `errno ${errno}, but nobody woke it`,
      );
      return String(errno);
    }
  }

  /** PRC-86: what is pending is handled, since the mask is off meanwhile; or somebody wakes it. */
  *suspend(t: ThreadModel): Run {
    const { masks, handled } = t;
    // Nobody else could end it.
    if (!t.pending) return yield* this.mask(t, 0);
    t.masks = false;
    try {
      yield* S.sigsuspend([SIGUSR2, SIGALRM]);
    } catch (error) {
      assert.equal(errnoOf(error), K.EINTR);
    }
    t.masks = masks;
    assert.ok(t.handled === handled + 1 || t.wakeups > 0 || !t.pending, "it ended for no reason");
    return "";
  }

  *alarm(m: ProcessModel, a: number): Run {
    const ticks = a % 5;
    const alarmed = m.alarms > m.rung;
    if (ticks > 0) m.alarms++;
    const left = yield* S.alarm(ticks / 100);
    assert.ok(left === 0 || (left === 1 && alarmed), `${left} seconds were left`);
    return `${left}`;
  }
}
