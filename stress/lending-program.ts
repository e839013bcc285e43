/**
 * The program of the stress of lock lending: one LWP on each CPU works on two threads at once.
 *
 * The two, a generator thread and a step thread, run, yield, park and park with a time-out. The others suspend, continue, wake
 * and unpark them, change their priority and ask them to migrate, each whenever it likes. So the lock of each of the two goes
 * from a CPU to a run queue to a sleep queue and back, while others wait for it or have just looked which it is.
 *
 * A lost wakeup hangs it: who pings waits, without a time-out, until it is answered. Nobody stays suspended: who suspends also
 * continues, before it waits for anything else.
 */
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import * as X from "./lending-shared.js";
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

const CHUNK = 32;
const [SUSPEND, CONTINUE, WAKEUP, UNPARK, PRIORITY, MIGRATE, PING] = X.ACTS.keys();
const [GENERATOR, STEP] = X.TARGETS.keys();

const agentAt = (number: number) => X.AGENT + number * X.AGENT_WORDS;
const lidOf = (target: number) => load(X.targetAt(target) + X.T_LID);

/** Makes a call that may end with one of these errors. */
function* ignoring(op: S.Operation<unknown>, ...codes: string[]): Run {
  try {
    yield* op;
  } catch (error) {
    if (!(error instanceof S.LwpError && codes.includes(error.code))) throw error;
  }
}

// --- the two who are worked on -----------------------------------------------------------------

/** Each time one of the two gets the CPU: notes where, and answers who waits for it. */
function ranHere(target: number): void {
  const at = X.targetAt(target);
  const here = cpu + 1;
  const last = Atomics.exchange(w, base + at + X.T_CPU, here);
  if (last !== 0 && last !== here) add(at + X.T_MOVES, 1);
  add(at + X.T_RUNS, 1);
  const pinger = Atomics.exchange(w, base + at + X.T_PINGER, 0);
  if (pinger === 0) return;
  const agentWords = agentAt(pinger - 1);
  store(agentWords + X.A_ANSWER, 1);
  check(K.unpark(K.cur.lwp.proc, load(agentWords + X.A_LID), 0) === 0, "who waits is not found");
}

function* generator(): Run {
  while (load(X.STOP) === 0) {
    ranHere(GENERATOR);
    switch (chance(4)) {
      case 0:
        yield* S.schedYield();
        break;
      case 1:
        yield* ignoring(S.lwpPark(), "EALREADY", "EINTR");
        break;
      case 2:
        yield* ignoring(S.lwpPark(deadline()), "EALREADY", "EINTR", "ETIMEDOUT");
        break;
      default:
        yield* S.lwpSelf();
    }
  }
}

function stepThread(t: K.StepThread): number {
  enterRealm(X.SEED);
  if (load(X.STOP) !== 0) return K.STEP_EXIT;
  ranHere(STEP);
  if (chance(2) === 0) return K.STEP_YIELD;
  t.set(K.STEP_TICKS_WORD, chance(3));
  return K.STEP_PARK;
}

// --- what is done to them ----------------------------------------------------------------------

/** What waits is rare: while an agent waits, its CPU does nothing to the two. */
const PLAN = [SUSPEND, WAKEUP, UNPARK, PRIORITY, MIGRATE].flatMap((act) => [act, act, act]).concat(PING);

function* agent(number: number): Run {
  const me = agentAt(number);
  store(me + X.A_LID, yield* S.lwpSelf());
  while (load(X.LAUNCHED) < ncpu) yield* S.schedYield();
  for (let left = 0; ; left--) {
    if (left === 0) {
      if (add(X.LEFT, -CHUNK) <= 0) break;
      left = CHUNK;
    }
    const target = chance(2);
    const act = PLAN[chance(PLAN.length)];
    if (act === PING) yield* ping(me, number, target);
    else if (act === SUSPEND) yield* suspend(target);
    else {
      actOn(act, target);
      // Kernel code: the return to user mode is the caller's.
      yield* S.lwpSelf();
    }
    if (chance(4) === 0) yield* S.schedYield();
  }
  if (add(X.BUSY, -1) === 1) yield* S.lwpUnpark(load(X.MAIN_LID));
}

function count(act: number, target: number, state: number): void {
  w[base + X.countAt(cpu, act, target, state)]++;
}

/** Calls it, and waits for its answer. */
function* ping(me: number, number: number, target: number): Run {
  const t = X.targetAt(target);
  if (Atomics.compareExchange(w, base + t + X.T_PINGER, 0, number + 1) !== 0) return actOn(UNPARK, target);
  actOn(UNPARK, target);
  count(PING, target, 0);
  while (load(me + X.A_ANSWER) === 0) yield* ignoring(S.lwpPark(), "EALREADY", "EINTR");
  store(me + X.A_ANSWER, 0);
}

/**
 * Suspends it, perhaps waiting until it is, and lets it go on. One agent at a time waits: who suspends what is suspended
 * already waits for the next change (SYS-16), which another one must make.
 */
function* suspend(target: number): Run {
  if (chance(4) === 0 && Atomics.compareExchange(w, base + X.WAITS, 0, 1) === 0) {
    count(SUSPEND, target, 0);
    yield* S.lwpSuspend(lidOf(target));
    store(X.WAITS, 0);
  } else {
    actOn(SUSPEND, target);
    yield* S.lwpSelf();
  }
  if (chance(2) === 0) {
    actOn(MIGRATE, target);
    yield* S.lwpSelf();
  }
  actOn(CONTINUE, target);
  yield* S.lwpSelf();
}

/** Does it at once, whatever state its target is in. */
function actOn(act: number, target: number): void {
  const { proc } = K.cur.lwp;
  const lid = lidOf(target);
  if (act === UNPARK) {
    count(act, target, 0);
    check(K.unpark(proc, lid, 0) === 0, "a target is not found");
    return;
  }
  K.spinEnter(k, proc.lock);
  const l = K.lwpFind(proc, lid);
  check(l !== null, "a target is not found");
  K.lwpLock(l);
  count(act, target, l.stat);
  switch (act) {
    case SUSPEND:
      check(K.lwpSuspend(K.cur.lwp, l) === 0, "a target cannot be suspended");
      break;
    case CONTINUE:
      K.lwpContinue(l);
      break;
    case WAKEUP:
      l.flag |= K.LW_CANCELLED | K.LW_UNPARKED;
      if (l.stat === K.LSSLEEP && (l.flag & K.LW_SINTR) !== 0) K.lwpUnsleep(l, true);
      else K.lwpUnlock(l);
      break;
    case PRIORITY:
      K.lwpChangepri(l, chance(K.PRI_KERNEL));
      K.lwpUnlock(l);
      break;
    case MIGRATE:
      K.lwpMigrate(l, k.cpus.view(1 + chance(ncpu)));
      break;
    default:
      throw new RangeError(`act ${act}`);
  }
  K.spinExit(k, proc.lock);
}

// --- the whole ---------------------------------------------------------------------------------

/** The first LWP of each CPU: starts the agent that belongs there, and on one of them the generator thread. */
function launch(t: K.StepThread): number {
  enterRealm(X.SEED);
  const spawn = (closure: () => Run, flags: number) =>
    K.createLwp(t.l, flags, { kind: K.CTX_CLOSURE, closure, realm: K.cur.cpu.realm });
  if (w[base + X.SEED] % ncpu === cpu) store(X.targetAt(GENERATOR) + X.T_LID, spawn(generator, 0));
  const number = cpu;
  spawn(() => agent(number), S.LWP_DETACHED);
  add(X.LAUNCHED, 1);
  return K.STEP_EXIT;
}

const STEP_THREAD = 0;
const LAUNCH = 1;
export const steps: K.StepFunction[] = [stepThread, launch];

/** `args`: operations, seed. */
export function* main(args: string[]) {
  setSeed(X.SEED, Number(args[1]));
  enterRealm(X.SEED);
  store(X.LEFT, Number(args[0]));
  store(X.BUSY, ncpu);
  store(X.MAIN_LID, yield* S.lwpSelf());
  const { lwp } = K.cur;
  store(X.targetAt(STEP) + X.T_LID, K.createLwp(lwp, 0, { kind: K.CTX_STEP, entry: STEP_THREAD }));
  for (let realm = 1; realm <= ncpu; realm++) {
    K.createLwp(lwp, S.LWP_DETACHED, { kind: K.CTX_STEP, entry: LAUNCH, realm });
  }
  while (load(X.BUSY) > 0) yield* ignoring(S.lwpPark(), "EALREADY", "EINTR");
  store(X.STOP, 1);
  for (const target of [GENERATOR, STEP]) {
    // One that runs has seen the word already, and may be a zombie.
    yield* ignoring(S.lwpUnpark(lidOf(target)), "ESRCH");
    yield* S.lwpWait(lidOf(target));
  }
}
