/**
 * The program that the stress test runs: random operations of every kind, on every CPU.
 *
 * Agents, on each CPU, do random operations; nobody suspends them. Puppets (generators) and step threads are what they work
 * on: suspended, woken, unparked, migrated. All blocking is so ordered that on a sound kernel nobody waits for ever:
 * - a child made with vfork only yields, and so comes to its end;
 * - who has suspended somebody does nothing that blocks until it has continued it;
 * - who holds a mutex waits for nothing but its CPU;
 * - an agent that pings a puppet waits, without a time-out, until the puppet has answered: a lost unpark hangs it;
 * - waits for "any" LWP lay claim to one first, so that there is one for each of them;
 * - at most a quarter of the agents wait for tokens, the others make some.
 */
import { Thread, ThreadError } from "lwp";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import {
  add,
  base,
  chance,
  check,
  cpu,
  deadline,
  enterRealm,
  k,
  load,
  ncpu,
  type Run,
  setSeed,
  store,
  w,
} from "./realm.js";
import * as X from "./shared.js";

// Module variables are per process and CPU.
let quota = 0;

const CHUNK = 32;
const HANDLER = 2;
/** Handled by who it is sent to. */
const SIGUSR1 = 30;
/** Masked by all, and waited for. */
const SIGUSR2 = 31;
const NUMBER = new Map(X.KINDS.map((name, n) => [name as string, n]));

/** Every realm does this before anything else of it runs. */
function attach(): void {
  if (enterRealm(X.SEED)) k.slots.calloutHandlers[HANDLER] = answerCallout;
}

/** Takes one of a counted stock, if there is one. */
function claim(at: number): boolean {
  for (;;) {
    const n = load(at);
    if (n <= 0) return false;
    if (Atomics.compareExchange(w, base + at, n, n - 1) === n) return true;
  }
}

/** Counts an operation; `lid`: the LWP it is about. */
function count(kind: X.Kind, lid = 0): void {
  const n = NUMBER.get(kind) as number;
  w[base + X.countAt(cpu, n, 0)]++;
  quota--;
  if (lid === 0) return;
  const { proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  const there = K.lidLookup(proc, lid)?.cpu;
  K.spinExit(k, proc.lock);
  if (there !== undefined && there !== K.cur.cpu) w[base + X.countAt(cpu, n, 1)]++;
}

/** Whether there is anything left to do for this CPU. */
function working(): boolean {
  while (quota <= 0) {
    if (load(X.LEFT) <= 0 || add(X.LEFT, -CHUNK) <= 0) return false;
    quota += CHUNK;
  }
  return true;
}

/** Runs an operation; the code of its error, which must be one of `expected`. */
function* attempt(op: S.Operation<unknown>, ...expected: string[]): Run<string> {
  try {
    yield* op;
    return "";
  } catch (error) {
    if (error instanceof S.LwpError && expected.includes(error.code)) return error.code;
    throw error;
  }
}

const hint = () => chance(3) * 256;

// --- those who are worked on -------------------------------------------------------------------

const targetAt = (n: number) => X.TARGETS + n * X.TARGET_WORDS;
const targets = () => ncpu * (X.PUPPETS + X.STEPS);
const agentAt = (n: number) => X.AGENT + n * X.AGENT_WORDS;
const agents = () => ncpu * X.AGENTS;

/** Whether somebody has something for this target. */
const called = (t: number) => load(t + X.T_POSTED) !== 0 || load(t + X.T_PINGER) !== 0 || load(X.STOP) !== 0;

/** Takes what was posted; the agent that waits for an answer, or 0. */
function takeCalls(t: number): number {
  store(t + X.T_POSTED, 0);
  return Atomics.exchange(w, base + t + X.T_PINGER, 0);
}

function* puppet(t: number): Run {
  while (load(X.STOP) === 0) {
    while (!called(t)) {
      if (chance(8) !== 0) {
        count("lwpPark");
        yield* attempt(S.lwpPark(null, 0, hint()), "EALREADY", "EINTR");
      } else {
        count("lwpPark deadline");
        yield* attempt(S.lwpPark(deadline(), 0, hint()), "EALREADY", "EINTR", "ETIMEDOUT");
      }
    }
    const pinger = takeCalls(t);
    if (pinger !== 0) {
      const a = agentAt(pinger - 1);
      store(a + X.A_ANSWER, 1);
      const lid = load(a + X.A_LID);
      count("lwpUnpark", lid);
      yield* S.lwpUnpark(lid, hint());
    }
    switch (chance(8)) {
      case 0:
        yield* timedWait();
        break;
      case 1:
        yield* useMutex();
        break;
      case 3:
        count("schedYield");
        yield* S.schedYield();
        break;
      default:
    }
  }
}

/** Words of a step thread. */
const STEP_TARGET = 0;
const STEP_YIELDS = 1;

function stepPuppet(t: K.StepThread): number {
  attach();
  const target = t.get(STEP_TARGET);
  Atomics.or(w, base + target + X.T_CPUS, 1 << cpu);
  if (load(X.STOP) !== 0) return K.STEP_EXIT;
  if (t.get(STEP_YIELDS) > 0) {
    t.set(STEP_YIELDS, t.get(STEP_YIELDS) - 1);
    count("step yield");
    return K.STEP_YIELD;
  }
  if (called(target)) {
    const pinger = takeCalls(target);
    if (pinger !== 0) {
      const a = agentAt(pinger - 1);
      store(a + X.A_ANSWER, 1);
      const lid = load(a + X.A_LID);
      count("lwpUnpark", lid);
      check(K.unpark(t.l.proc, lid, hint()) === 0, "an agent that waits is not found");
    }
    if (chance(3) !== 0) {
      t.set(STEP_YIELDS, 1);
      count("step yield");
      return K.STEP_YIELD;
    }
  }
  t.set(K.STEP_TICKS_WORD, chance(2) === 0 ? 1 + chance(2) : 0);
  count("step park");
  return K.STEP_PARK;
}

/** A child that only exits, as a step thread. */
function stepChild(t: K.StepThread): number {
  attach();
  const left = t.get(0);
  t.set(0, left + 1);
  if (left < t.lid % 3) return K.STEP_YIELD;
  count("lwpExit");
  return K.STEP_EXIT;
}

/** The first LWP of each CPU: starts the agents and puppets that belong there. */
function launch(t: K.StepThread): number {
  attach();
  const { proc } = t.l;
  for (let n = 0; n < X.PUPPETS + X.STEPS; n++) {
    const target = targetAt(cpu * (X.PUPPETS + X.STEPS) + n);
    const start: K.Start =
      n < X.PUPPETS
        ? { kind: K.CTX_CLOSURE, closure: () => puppet(target), realm: K.cur.cpu.realm }
        : { kind: K.CTX_STEP, entry: STEP_PUPPET };
    const l2 = K.lwpCreate(t.l, proc, 0, start, t.l.class);
    check(l2 !== null, "the table of LWPs is too small");
    l2.w[l2.words + STEP_TARGET] = target;
    store(target + X.T_LID, l2.lid);
    K.lwpStart(t.l, l2, 0);
    add(X.JOINABLE, 1);
  }
  for (let n = 0; n < X.AGENTS; n++) {
    const number = cpu * X.AGENTS + n;
    const start = { kind: K.CTX_CLOSURE, closure: () => agent(number), realm: K.cur.cpu.realm };
    store(agentAt(number) + X.A_LID, K.createLwp(t.l, S.LWP_DETACHED, start));
  }
  add(X.LAUNCHED, 1);
  return K.STEP_EXIT;
}

/** How far the child is that an agent waits for. */
const RUNS = 1;
const LETS_GO = 2;

/** The only thread of a process made with vfork, for agent `arg >> 2`: lets it go when it ends or, bit 0, before that. */
function forkedChild(t: K.StepThread): number {
  attach();
  const { l } = t;
  const round = t.get(0);
  t.set(0, round + 1);
  const word = agentAt(l.arg >> 2) + X.A_CHILD;
  if (round === 0) check(Atomics.exchange(w, base + word, RUNS) === 0, "an agent waits for two children");
  const early = (l.arg & 1) !== 0;
  if (round === (l.arg & 2)) {
    store(word, LETS_GO);
    if (early) K.vforkDone(l);
  }
  if (round < (l.arg & 2) || (early && round < 3)) return K.STEP_YIELD;
  add(X.FORKS_ENDED, 1);
  return K.STEP_EXIT;
}

const STEP_PUPPET = 0;
const STEP_CHILD = 1;
const LAUNCH = 2;
const FORKED_CHILD = 3;
export const steps: K.StepFunction[] = [stepPuppet, stepChild, launch, forkedChild];

// --- what an agent does ------------------------------------------------------------------------

/** What an agent has on its hands. */
interface Agent {
  readonly number: number;
  readonly at: number;
  readonly lid: number;
  /** Joinable LWPs that it made. */
  readonly children: number[];
  readonly threads: { thread: Thread<unknown>; result: unknown }[];
}

function* agent(number: number): Run {
  const at = agentAt(number);
  // The launcher may not have written it yet.
  const me: Agent = { number, at, lid: yield* S.lwpSelf(), children: [], threads: [] };
  store(at + X.A_LID, me.lid);
  agentsHere.set(me.lid, at);
  const callout = base + at + X.A_CALLOUT;
  K.calloutInit(k, callout, K.CALLOUT_MPSAFE);
  K.calloutSetfunc(k, callout, HANDLER, number);
  while (load(X.LAUNCHED) < ncpu) yield* S.schedYield();
  while (working()) yield* TABLE[chance(TABLE.length)](me);
  yield* endAgent(me);
}

function* endAgent(me: Agent): Run {
  yield* K.mutexEnter(k, mutexAt(0));
  store(X.DRAIN, 1);
  K.cvBroadcast(k, base + X.CV_TOKENS);
  K.mutexExit(k, mutexAt(0));
  while (me.threads.length > 0) yield* join(me);
  K.calloutDestroy(k, base + me.at + X.A_CALLOUT);
  if (add(X.AGENTS_LEFT, -1) === 1) yield* S.lwpUnpark(load(X.MAIN_LID));
}

type Deed = (me: Agent) => Run;

/** What a child does in its life. */
function* child(n: number): Run {
  for (let i = 0; i < n; i++) yield* S.schedYield();
  count("lwpExit");
  yield* S.lwpExit();
}

function madeJoinable(me: Agent, lid: number): void {
  add(X.JOINABLE, 1);
  me.children.push(lid);
}

/** More than this many children, and an agent collects some first. */
const CHILDREN_MAX = 16;

function* createJoinable(me: Agent): Run {
  if (me.children.length > CHILDREN_MAX) return yield* waitLid(me);
  count("lwpCreate");
  if (chance(3) === 0) {
    madeJoinable(me, K.createLwp(K.cur.lwp, 0, { kind: K.CTX_STEP, entry: STEP_CHILD }));
  } else {
    const n = chance(4);
    madeJoinable(me, yield* S.lwpCreate(() => child(n)));
  }
  add(X.UNCLAIMED, 1);
}

function* createDetached(_me: Agent): Run {
  count("lwpCreate with flags");
  const n = chance(4);
  if (n === 0) K.createLwp(K.cur.lwp, S.LWP_DETACHED, { kind: K.CTX_STEP, entry: STEP_CHILD });
  else yield* S.lwpCreate(() => child(n), S.LWP_DETACHED);
}

function* createSuspended(me: Agent): Run {
  if (me.children.length > CHILDREN_MAX) return yield* waitLid(me);
  count("lwpCreate with flags");
  let lid: number;
  if (chance(2) === 0) {
    lid = K.createLwp(K.cur.lwp, S.LWP_SUSPENDED, { kind: K.CTX_STEP, entry: STEP_CHILD });
  } else {
    lid = yield* S.lwpCreate(() => child(1), S.LWP_SUSPENDED);
  }
  madeJoinable(me, lid);
  if (chance(2) === 0) yield* migrateLid(lid);
  count("lwpContinue", lid);
  yield* S.lwpContinue(lid);
  add(X.UNCLAIMED, 1);
}

/** ESRCH: another agent's wait for any has got it. EDEADLK: all that are left wait as well. */
function* waitLid(me: Agent): Run {
  const lid = me.children.shift();
  if (lid === undefined || !claim(X.UNCLAIMED)) {
    if (lid !== undefined) me.children.push(lid);
    return yield* createJoinable(me);
  }
  for (;;) {
    count("lwpWait lid", lid);
    const error = yield* attempt(S.lwpWait(lid), "ESRCH", "EINTR", "EDEADLK");
    if (error === "EINTR") continue;
    if (error === "") add(X.COLLECTED, 1);
    else add(X.UNCLAIMED, 1);
    if (error === "EDEADLK") me.children.push(lid);
    return;
  }
}

function* waitAny(me: Agent): Run {
  if (!claim(X.UNCLAIMED)) return yield* createJoinable(me);
  for (;;) {
    count("lwpWait any");
    const error = yield* attempt(S.lwpWait(0), "EINTR", "EDEADLK");
    if (error === "EINTR") continue;
    add(error === "" ? X.COLLECTED : X.UNCLAIMED, 1);
    return;
  }
}

function* detach(me: Agent): Run {
  const lid = me.children.pop();
  if (lid === undefined || !claim(X.UNCLAIMED)) {
    if (lid !== undefined) me.children.push(lid);
    return yield* createJoinable(me);
  }
  count("lwpDetach", lid);
  const error = yield* attempt(S.lwpDetach(lid), "ESRCH");
  add(error === "" ? X.DETACHED : X.UNCLAIMED, 1);
}

/** A puppet or step thread, or one of one's own children. */
function someLid(me: Agent): number {
  if (me.children.length > 0 && chance(6) === 0) return me.children[chance(me.children.length)];
  return load(targetAt(chance(targets())) + X.T_LID);
}

function* suspendAndContinue(me: Agent): Run {
  const lid = someLid(me);
  count("lwpSuspend", lid);
  // EINTR: it was dead already, which this call tells apart from ESRCH.
  const error = yield* attempt(S.lwpSuspend(lid), "ESRCH", "EINTR");
  for (let n = chance(4); n > 1; n--) {
    count("schedYield");
    yield* S.schedYield();
  }
  if (error === "" && chance(4) === 0) yield* migrateLid(lid);
  count("lwpContinue", lid);
  yield* attempt(S.lwpContinue(lid), "ESRCH");
}

function* wakeup(me: Agent): Run {
  const lid = chance(3) === 0 ? load(agentAt(chance(agents())) + X.A_LID) : someLid(me);
  count("lwpWakeup", lid);
  yield* attempt(S.lwpWakeup(lid), "ESRCH", "ENODEV", "EBUSY");
}

/** Posts to a puppet, and goes on. */
function* post(_me: Agent): Run {
  const t = targetAt(chance(targets()));
  add(t + X.T_POSTED, 1);
  const lid = load(t + X.T_LID);
  count("lwpUnpark", lid);
  yield* S.lwpUnpark(lid, hint());
}

function* postAll(_me: Agent): Run {
  const lids: number[] = [];
  for (let n = 2 + chance(3); n > 0; n--) {
    const t = targetAt(chance(targets()));
    add(t + X.T_POSTED, 1);
    lids.push(load(t + X.T_LID));
  }
  count("lwpUnparkAll", lids[0]);
  yield* S.lwpUnparkAll(lids, hint());
}

/** Calls a puppet and waits for its answer, however long that takes. */
function* ping(me: Agent): Run {
  const t = targetAt(chance(targets()));
  if (Atomics.compareExchange(w, base + t + X.T_PINGER, 0, me.number + 1) !== 0) return yield* post(me);
  const lid = load(t + X.T_LID);
  // Unparks it in the same call that waits for the answer.
  let unpark = chance(2) === 0 ? lid : 0;
  if (unpark === 0) {
    count("lwpUnpark", lid);
    yield* S.lwpUnpark(lid, hint());
  }
  while (load(me.at + X.A_ANSWER) === 0 || unpark !== 0) {
    count("lwpPark", unpark);
    yield* attempt(S.lwpPark(null, unpark, hint(), hint()), "EALREADY", "EINTR");
    unpark = 0;
  }
  store(me.at + X.A_ANSWER, 0);
}

// --- signals -----------------------------------------------------------------------------------

/** Agents of this realm by lid. */
const agentsHere = new Map<number, number>();

/** The handler: on the thread that has taken the signal. */
export function* handled(): Run {
  attach();
  const at = agentsHere.get(K.cur.lwp.lid);
  if (at !== undefined) add(at + X.A_HANDLED, 1);
  yield* S.lwpSelf();
}

/** As `ping`, but a signal ends its sleep, if it is asleep, and not an unpark. */
function* signalPing(me: Agent): Run {
  const t = targetAt(chance(targets()));
  if (Atomics.compareExchange(w, base + t + X.T_PINGER, 0, me.number + 1) !== 0) return yield* post(me);
  const lid = load(t + X.T_LID);
  count("lwpKill, kill, sigwait", lid);
  yield* S.lwpKill(lid, SIGUSR1);
  while (load(me.at + X.A_ANSWER) === 0) {
    count("lwpPark");
    yield* attempt(S.lwpPark(null, 0, hint()), "EALREADY", "EINTR");
  }
  store(me.at + X.A_ANSWER, 0);
}

/** Sends itself a signal that it masks: pending until then, handled once it does not. */
function* maskSignal(me: Agent): Run {
  count("lwpKill, kill, sigwait");
  yield* S.sigprocmask(S.SIG_BLOCK, [SIGUSR1]);
  const before = load(me.at + X.A_HANDLED);
  yield* S.lwpKill(me.lid, SIGUSR1);
  check((yield* S.sigpending()).includes(SIGUSR1), "a signal that was sent is not pending");
  check(load(me.at + X.A_HANDLED) === before, "a masked signal was handled");
  yield* S.sigprocmask(S.SIG_UNBLOCK, [SIGUSR1]);
  check(load(me.at + X.A_HANDLED) === before + 1, "a signal that is not masked any more was not handled");
}

/** To all, of whom one that waits takes it. */
function* sendSignal(_me: Agent): Run {
  count("lwpKill, kill, sigwait");
  add(X.SIGNALS_SENT, 1);
  yield* S.kill(0, SIGUSR2);
}

/** Waits for it, for a while. */
function* waitSignal(_me: Agent): Run {
  count("lwpKill, kill, sigwait");
  const timeout = { sec: 0, nsec: 1e6 + chance(3) * 1e7 };
  const error = yield* attempt(S.sigtimedwait([SIGUSR2], timeout), "EAGAIN", "ECANCELED");
  if (error === "") add(X.SIGNALS_TAKEN, 1);
}

function* parkDeadline(me: Agent): Run {
  const lid = chance(3) === 0 ? someLid(me) : 0;
  count("lwpPark deadline", lid);
  yield* attempt(
    S.lwpPark(deadline(), lid, hint(), hint()),
    "EALREADY",
    "EINTR",
    "ETIMEDOUT",
    ...(lid === 0 ? [] : ["ESRCH"]),
  );
}

function* setname(me: Agent): Run {
  const lid = someLid(me);
  count("lwpSetname, lwpGetname", lid);
  yield* attempt(S.lwpSetname(lid, `by ${me.number}`), "ESRCH");
}

function* getname(me: Agent): Run {
  const lid = someLid(me);
  count("lwpSetname, lwpGetname", lid);
  try {
    const name = yield* S.lwpGetname(lid);
    check(name === "" || /^by \d+$/.test(name), `LWP ${lid} has the name ${JSON.stringify(name)}`);
  } catch (error) {
    if (!(error instanceof S.LwpError && error.code === "ESRCH")) throw error;
  }
}

function* self(me: Agent): Run {
  count("lwpSelf");
  check((yield* S.lwpSelf()) === me.lid, "lwpSelf is wrong");
  check(K.cur.cpu.index - 1 === cpu, "a generator runs in the wrong realm");
}

function* yieldCpu(_me: Agent): Run {
  count("schedYield");
  yield* S.schedYield();
}

// --- threads -----------------------------------------------------------------------------------

export function* task(kind: number, value: number, text: string) {
  attach();
  if ((value & 3) === 0) yield* S.schedYield();
  switch (kind) {
    case 0:
      return value * 2;
    case 1:
      return [text, value];
    case 2:
      throw new RangeError(text);
    default:
      return null;
  }
}

function* spawn(me: Agent): Run {
  if (me.threads.length > 8) return yield* join(me);
  count("Thread.spawn");
  const kind = chance(4);
  const value = chance(1000);
  const text = `text ${value}`;
  const results = [value * 2, [text, value], new RangeError(text), null];
  const local = chance(4) === 0;
  const thread = local
    ? yield* Thread.with({ local: true }).spawn(function* () {
        return yield* task(kind, value, text);
      })
    : yield* Thread.spawn(task, kind, value, text);
  me.threads.push({ thread, result: results[kind] });
}

function* join(me: Agent): Run {
  const next = me.threads.shift();
  if (next === undefined) return yield* spawn(me);
  count("Thread.join", next.thread.lid);
  let got: unknown;
  try {
    got = yield* next.thread.join();
  } catch (error) {
    if (!(error instanceof ThreadError)) throw error;
    got = error.cause;
  }
  check(String(got) === String(next.result), `a thread gave ${String(got)}, not ${String(next.result)}`);
}

// --- mutexes, condition variables, callouts ----------------------------------------------------

const mutexAt = (n: number) => base + X.MUTEX + n * 8;

function* enter(m: number): Run {
  count("mutexEnter, mutexExit");
  yield* K.mutexEnter(k, m);
  check(w[m + 4] === 0, "two LWPs hold a mutex");
  w[m + 4] = K.cur.lwp.lid;
}

function* exit(m: number): Run {
  check(w[m + 4] === K.cur.lwp.lid, "another LWP has been let in");
  w[m + 4] = 0;
  K.mutexExit(k, m);
  // Kernel code: the return to user mode is the caller's.
  yield* S.lwpSelf();
}

function* useMutex(): Run {
  const m = mutexAt(1 + chance(X.MUTEXES - 1));
  yield* enter(m);
  if (chance(3) === 0) {
    count("schedYield");
    yield* S.schedYield();
  }
  yield* exit(m);
}

/** Waits on the variable that nobody signals. */
function* timedWait(): Run {
  const m = mutexAt(0);
  const catchSignals = chance(2) === 0;
  yield* enter(m);
  count("cvWait");
  w[m + 4] = 0;
  const cv = base + X.CV_TIMED;
  const ticks = 1 + chance(2);
  const error = yield* (catchSignals ? K.cvTimedwaitSig : K.cvTimedwait)(k, cv, m, ticks);
  w[m + 4] = K.cur.lwp.lid;
  // BLK-63: whoever times out passes a wakeup on, so 0 is possible.
  check(catchSignals || error === K.EWOULDBLOCK || error === 0, `cvTimedwait returned ${error}`);
  yield* exit(m);
}

function* waitToken(_me: Agent): Run {
  const m = mutexAt(0);
  yield* enter(m);
  if (load(X.TOKEN_WAITERS) < agents() / 4) {
    add(X.TOKEN_WAITERS, 1);
    while (load(X.TOKENS) === 0 && load(X.DRAIN) === 0) {
      count("cvWait");
      w[m + 4] = 0;
      if (chance(2) === 0) yield* K.cvWait(k, base + X.CV_TOKENS, m);
      else yield* K.cvWaitSig(k, base + X.CV_TOKENS, m);
      w[m + 4] = K.cur.lwp.lid;
    }
    add(X.TOKEN_WAITERS, -1);
    if (load(X.TOKENS) > 0) {
      add(X.TOKENS, -1);
      add(X.TOKENS_USED, 1);
    }
  }
  yield* exit(m);
}

function* makeToken(_me: Agent): Run {
  const m = mutexAt(0);
  yield* enter(m);
  const all = chance(2) === 0;
  const n = all ? 1 + chance(2) : 1;
  add(X.TOKENS, n);
  add(X.TOKENS_MADE, n);
  count("cvSignal, cvBroadcast");
  if (all) K.cvBroadcast(k, base + X.CV_TOKENS);
  else K.cvSignal(k, base + X.CV_TOKENS);
  yield* exit(m);
}

/** Handler of the agents' callouts: on whatever CPU, as whatever LWP runs there. */
function answerCallout(k2: K.Kernel, number: number): void {
  const a = k2.scratch + agentAt(number);
  Atomics.add(k2.w, k2.scratch + X.CALLOUTS_RUN, 1);
  Atomics.store(k2.w, a + X.A_ANSWER, 1);
  K.unpark(k2.procs.view(k2.w[k2.scratch + X.PROC]), k2.w[a + X.A_LID], 0);
}

function* callout(me: Agent): Run {
  const c = base + me.at + X.A_CALLOUT;
  count("callout");
  K.calloutSchedule(k, c, 1 + chance(2));
  if (chance(3) === 0) {
    // Cancelled, unless its handler was faster.
    yield* S.schedYield();
    yield* K.calloutHalt(k, c, 0);
    store(me.at + X.A_ANSWER, 0);
    return;
  }
  add(X.CALLOUTS_SET, 1);
  while (load(me.at + X.A_ANSWER) === 0) {
    count("lwpPark");
    yield* attempt(S.lwpPark(null, 0, hint()), "EALREADY", "EINTR");
  }
  store(me.at + X.A_ANSWER, 0);
  yield* K.calloutHalt(k, c, 0);
}

/** Makes a process, and sleeps until that lets go of it: not sooner, and whatever others do to it meanwhile. */
function* vfork(me: Agent): Run {
  const { lwp } = K.cur;
  const arg = me.number * 4 + chance(4);
  count("vfork");
  store(me.at + X.A_CHILD, 0);
  const start = { kind: K.CTX_STEP, entry: FORKED_CHILD, arg };
  const pid = yield* K.vfork1(lwp, { comm: "child" }, start);
  // 0: the table of processes is full until some are collected.
  check(load(me.at + X.A_CHILD) === (pid === 0 ? 0 : LETS_GO), "it goes on before its child has let it go");
  if (pid !== 0) add(X.FORKED, 1);
  yield* S.lwpSelf();
}

/** Gives back what dead LWPs have left, while others make new ones of them. */
function* reclaim(_me: Agent): Run {
  count("lwpReclaim");
  yield* K.lwpReclaim(k);
  yield* S.lwpSelf();
}

function* migrate(_me: Agent): Run {
  const n = chance(ncpu * X.STEPS);
  const t = targetAt(Math.floor(n / X.STEPS) * (X.PUPPETS + X.STEPS) + X.PUPPETS + (n % X.STEPS));
  yield* migrateLid(load(t + X.T_LID));
}

function* migrateLid(lid: number): Run {
  count("lwpMigrate", lid);
  const { proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  const l = K.lwpFind(proc, lid);
  if (l !== null) {
    K.lwpLock(l);
    K.lwpMigrate(l, k.cpus.view(1 + chance(ncpu)));
  }
  K.spinExit(k, proc.lock);
  yield* S.lwpSelf();
}

/** Deeds with their weights. */
const TABLE: readonly Deed[] = (
  [
    [createJoinable, 3],
    [createDetached, 3],
    [createSuspended, 3],
    [waitLid, 10],
    [waitAny, 6],
    [detach, 9],
    [suspendAndContinue, 6],
    [wakeup, 6],
    [post, 2],
    [postAll, 6],
    [ping, 4],
    [parkDeadline, 4],
    [setname, 4],
    [getname, 3],
    [self, 6],
    [yieldCpu, 1],
    [spawn, 5],
    [join, 5],
    [useMutex, 1],
    [timedWait, 4],
    [waitToken, 7],
    [makeToken, 7],
    [callout, 6],
    [migrate, 3],
    [vfork, 6],
    [reclaim, 6],
    [signalPing, 3],
    [maskSignal, 2],
    [sendSignal, 2],
    [waitSignal, 2],
  ] as const satisfies readonly (readonly [Deed, number])[]
).flatMap(([deed, weight]) => Array.from({ length: weight }, () => deed));

// --- the whole ---------------------------------------------------------------------------------

/** Who fell asleep when it was about to be suspended keeps its suspender waiting (SYS-16): that is no lost wakeup. */
function wakeToSuspend(lid: number): void {
  const { proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  const l = K.lwpFind(proc, lid);
  const pending = l !== null && l.stat === K.LSSLEEP && (l.flag & K.LW_WSUSPEND) !== 0;
  K.spinExit(k, proc.lock);
  if (pending) K.unpark(proc, lid, 0);
}

/** `args`: operations, seed. */
export function* main(args: string[]) {
  setSeed(X.SEED, Number(args[1]));
  attach();
  store(X.LEFT, Number(args[0]));
  store(X.AGENTS_LEFT, agents());
  store(X.MAIN_LID, yield* S.lwpSelf());
  store(X.PROC, K.cur.lwp.proc.index);
  // All others inherit the mask.
  yield* S.sigprocmask(S.SIG_BLOCK, [SIGUSR2]);
  yield* S.sigaction(SIGUSR1, { handler: handled, flags: 0 });
  for (let n = 0; n < X.MUTEXES; n++) K.mutexInit(k, mutexAt(n), K.MUTEX_DEFAULT, K.IPL_NONE);
  K.cvInit(k, base + X.CV_TOKENS, "tokens");
  K.cvInit(k, base + X.CV_TIMED, "timed");

  for (let realm = 1; realm <= ncpu; realm++) {
    add(X.JOINABLE, 1);
    K.createLwp(K.cur.lwp, 0, { kind: K.CTX_STEP, entry: LAUNCH, realm });
  }
  while (load(X.AGENTS_LEFT) > 0) {
    yield* attempt(S.lwpPark(deadline()), "EALREADY", "EINTR", "ETIMEDOUT");
    for (let n = 0; n < targets(); n++) wakeToSuspend(load(targetAt(n) + X.T_LID));
  }

  store(X.STOP, 1);
  for (let n = 0; n < targets(); n++) yield* attempt(S.lwpUnpark(load(targetAt(n) + X.T_LID)), "ESRCH");
  for (;;) {
    const error = yield* attempt(S.lwpWait(0), "EINTR", "ESRCH");
    if (error === "") add(X.COLLECTED, 1);
    else if (error === "ESRCH") break;
  }
  // Those that let their parent go may still run.
  const { proc } = K.cur.lwp;
  while (proc.nchildren > 0) yield* attempt(S.lwpPark(deadline()), "EALREADY", "EINTR", "ETIMEDOUT");
  for (let n = 0; n < X.MUTEXES; n++) K.mutexDestroy(k, mutexAt(n));
  K.cvDestroy(k, base + X.CV_TOKENS);
  K.cvDestroy(k, base + X.CV_TIMED);
}
