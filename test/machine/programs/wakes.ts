/**
 * One LWP of CPU 0 and what an LWP of CPU 1 does to it: suspend, continue, wakeup, unpark, while it computes between polls,
 * sleeps, or is blocked on a mutex. Step threads are sent to and fro between the CPUs all the time. Prints a line of JSON.
 */
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";

type Run<T = void> = Generator<K.Token, T, undefined>;

/** Words of scratch memory. */
const STOP = 0;
const RELEASE = 1;
const HOLDING = 2;
const TARGET = 3;
const END = 4;
/** CPUs on which each step thread has run. */
const SEEN = 6;
const HOPPERS = 2;
const MUTEX = 16;

let k: K.Kernel;
const load = (at: number) => Atomics.load(k.w, k.scratch + at);
const store = (at: number, value: number) => Atomics.store(k.w, k.scratch + at, value);

/** "" or the code of the error. */
function* attempt(op: S.Operation<unknown>): Run<string> {
  try {
    yield* op;
    return "";
  } catch (error) {
    if (error instanceof S.LwpError) return error.code;
    throw error;
  }
}

/** What became of the target. */
interface Outcome {
  /** What the call returned, the target's state afterwards. */
  call: string;
  state: string;
  /** What its sleep returned, if it slept, and then a park with a deadline: whether a wakeup was remembered. */
  slept: string | null;
  park: string;
}
let outcome: Outcome;

const CALLS: Record<string, (lid: number) => S.Operation<unknown>> = {
  suspend: S.lwpSuspend,
  continue: S.lwpContinue,
  wakeup: S.lwpWakeup,
  unpark: S.lwpUnpark,
};

const STATES: Record<string, () => Run<string | null>> = {
  *computing() {
    for (let x = 0; load(STOP) === 0; yield* S.lwpSelf()) for (let i = 0; i < 1000; i++) x = (x * 31 + i) | 0;
    return null;
  },
  *sleeping() {
    return yield* attempt(S.lwpPark());
  },
  *blocked() {
    yield* K.mutexEnter(k, k.scratch + MUTEX);
    K.mutexExit(k, k.scratch + MUTEX);
    yield* S.lwpSelf();
    return null;
  },
};

// --- on CPU 0 ----------------------------------------------------------------------------------

export function* main() {
  k = K.cur.lwp.k;
  K.mutexInit(k, k.scratch + MUTEX, K.MUTEX_DEFAULT, K.IPL_NONE);
  for (let n = 0; n < HOPPERS; n++) start(HOP, n, 0);
  const outcomes: Record<string, Outcome> = {};
  for (const call of Object.keys(CALLS)) {
    for (const state of Object.keys(STATES)) outcomes[`${call} ${state}`] = yield* scenario(call, state);
  }
  // They were sent away all the while; on a busy host one may still have to arrive.
  for (let n = 0; n < HOPPERS; n++) while (load(SEEN + n) !== 3) yield* hopping();
  store(END, 1);
  for (let n = 0; n < HOPPERS; n++) yield* S.lwpWait(0);
  console.log(JSON.stringify({ outcomes, seen: [load(SEEN), load(SEEN + 1)] }));
}

/** A step thread with two words. */
function start(entry: number, word: number, realm: number): void {
  const l = K.lwpCreate(
    K.cur.lwp,
    K.cur.lwp.proc,
    0,
    { kind: K.CTX_STEP, entry, realm },
    K.SCHED_OTHER,
  ) as K.Lwp;
  k.w[l.words] = word;
  K.lwpStart(K.cur.lwp, l, 0);
}

function* scenario(call: string, state: string): Run<Outcome> {
  for (const at of [STOP, RELEASE, HOLDING, TARGET]) store(at, 0);
  outcome = { call: "", state: "", slept: null, park: "" };
  const number = Object.keys(CALLS).indexOf(call) * 4 + Object.keys(STATES).indexOf(state);
  // The other CPU than this one, where main may have been taken.
  start(LAUNCH, number, 3 - K.cur.cpu.realm);
  while (state === "blocked" && load(HOLDING) === 0) yield* S.schedYield();
  store(TARGET, yield* S.lwpCreate(() => target(state)));
  // The launcher, the target, who acts, who holds the mutex; they end in any order.
  const lids = [load(TARGET)];
  for (let n = state === "blocked" ? 4 : 3; n > 0; n--) lids.push(yield* S.lwpWait(0));
  return { ...outcome, ...decode() };
}

function* target(state: string): Run {
  const slept = yield* STATES[state]();
  // Whoever has woken it looks at it first.
  while (load(STOP) === 0) yield* S.schedYield();
  const { sec, nsec } = K.wallclockAtTick(k);
  const park = yield* attempt(
    S.lwpPark({ sec: sec + Math.floor((nsec + 2e7) / 1e9), nsec: (nsec + 2e7) % 1e9 }),
  );
  outcome.slept = slept;
  outcome.park = park;
}

// --- on CPU 1 ----------------------------------------------------------------------------------

/** Its outcome travels to the other realm in words. */
const CODES = ["", "ENODEV", "EBUSY", "ESRCH", "EDEADLK", "EINTR"];
const CALL_CODE = 12;
const STATE_CODE = 13;

function decode(): Pick<Outcome, "call" | "state"> {
  return { call: CODES[load(CALL_CODE)], state: stateName(load(STATE_CODE)) };
}

/** Running and about to run are the same to whoever looks from outside. */
function stateName(stat: number): string {
  return stat === K.LSONPROC || stat === K.LSRUN ? "running" : K.STATE_NAMES[stat];
}

function launch(t: K.StepThread): number {
  k = t.l.k;
  const number = t.get(0);
  const call = Object.keys(CALLS)[number >> 2];
  const state = Object.keys(STATES)[number & 3];
  const realm = K.cur.cpu.realm;
  if (state === "blocked") K.createLwp(t.l, 0, { kind: K.CTX_CLOSURE, closure: hold, realm });
  K.createLwp(t.l, 0, { kind: K.CTX_CLOSURE, closure: () => act(call, state), realm });
  return K.STEP_EXIT;
}

/** Looks at the target, locked. */
function look<T>(what: (l: K.Lwp) => T): T | null {
  const { proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  const l = load(TARGET) === 0 ? null : K.lwpFind(proc, load(TARGET));
  let result: T | null = null;
  if (l !== null) {
    K.lwpLock(l);
    result = what(l);
    K.lwpUnlock(l);
  }
  K.spinExit(k, proc.lock);
  return result;
}

function* hold(): Run {
  yield* K.mutexEnter(k, k.scratch + MUTEX);
  store(HOLDING, 1);
  // Who suspends the target waits until it is off the mutex, so let it go as soon as it has been asked to.
  while (load(RELEASE) === 0 && look((l) => l.flag & K.LW_WSUSPEND) !== K.LW_WSUSPEND) yield* S.schedYield();
  K.mutexExit(k, k.scratch + MUTEX);
  yield* S.lwpSelf();
}

function* act(call: string, state: string): Run {
  const stat = state === "computing" ? K.LSONPROC : K.LSSLEEP;
  while (look((l) => l.stat === stat) !== true) yield* hopping();
  const lid = load(TARGET);
  const code = yield* attempt(CALLS[call](lid));
  store(CALL_CODE, CODES.indexOf(code));
  store(STATE_CODE, look((l) => l.stat) ?? 0);
  if (call === "suspend") {
    // It stays where it is.
    for (let n = 0; n < 100; n++) yield* hopping();
    if (look((l) => l.stat) !== K.LSSUSPENDED) throw new Error("a suspended LWP runs");
    yield* S.lwpContinue(lid);
  }
  store(RELEASE, 1);
  store(STOP, 1);
  if (call === "continue" && state === "sleeping") yield* S.lwpUnpark(lid);
}

/** Sends the step threads elsewhere, and gives way. */
function* hopping(): Run {
  const { proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  for (const l of K.procLwps(proc)) {
    if (l.ctxkind !== K.CTX_STEP || l.entry !== HOP || l.stat === K.LSZOMB) continue;
    K.lwpLock(l);
    K.lwpMigrate(l, k.cpus.view(3 - l.cpu.index));
  }
  K.spinExit(k, proc.lock);
  yield* S.schedYield();
}

// --- on both -----------------------------------------------------------------------------------

function hop(t: K.StepThread): number {
  const { k: kernel } = t.l;
  Atomics.or(kernel.w, kernel.scratch + SEEN + t.get(0), 1 << (K.cur.cpu.index - 1));
  if (Atomics.load(kernel.w, kernel.scratch + END) !== 0) return K.STEP_EXIT;
  t.set(K.STEP_TICKS_WORD, 1);
  t.set(1, t.get(1) + 1);
  return t.get(1) % 4 === 0 ? K.STEP_PARK : K.STEP_YIELD;
}

const LAUNCH = 0;
const HOP = 1;
export const steps: K.StepFunction[] = [launch, hop];
