/**
 * A random program for the controller of lockstep: threads that park, unpark, suspend, continue, wait for each other and
 * share a mutex, over all CPUs. `boss`, on CPU 0, starts them and helps whoever is stuck, until all are through.
 */
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { RANDOM } from "../../support/lockstep-words.js";

type Body = Generator<K.Token, void, undefined>;

const THREADS = 5;
const STEPS = 2;
const OPERATIONS = 8;

const at = (k: K.Kernel, n: number): number => k.scratch + n;

/** Pseudo-random integers below n: one step of a linear generator over a word of kernel memory. */
function random(w: Int32Array, state: number, n: number): number {
  w[state] = (Math.imul(w[state], 1664525) + 1013904223) | 0;
  return (w[state] >>> 8) % n;
}

/** Which of the threads this is. */
function rank(l: K.Lwp): number {
  const lids = at(l.k, RANDOM.LIDS);
  for (let i = 0; ; i++) if (l.w[lids + i] === l.lid) return i;
}

function* parkFor(ticks: number): Body {
  const { lwp: l } = K.cur;
  const how = K.parkBlock(l, 0, ticks);
  if (how === K.BLOCK_SWITCHED) yield;
  K.parkUnblock(l, how, how === K.PARK_PENDING ? 0 : ticks);
  yield* S.lwpSelf();
}

function* section(l: K.Lwp): Body {
  const { k, w } = l;
  const m = at(k, RANDOM.MUTEX);
  yield* K.mutexEnter(k, m);
  if (w[at(k, RANDOM.INSIDE)]++ !== 0) w[at(k, RANDOM.BROKEN)] = 1;
  yield* S.schedYield();
  w[at(k, RANDOM.INSIDE)]--;
  K.mutexExit(k, m);
}

function* operation(l: K.Lwp, what: number, lid: number): Body {
  switch (what) {
    case 0:
      return yield* parkFor(1 + (lid & 1));
    case 1:
      return yield* S.lwpPark();
    case 2:
      return yield* S.lwpUnpark(lid);
    case 3:
      // Suspending oneself ends only when another suspends one (SYS-16).
      return yield* lid === l.lid ? S.schedYield() : S.lwpSuspend(lid);
    case 4:
      return yield* S.lwpContinue(lid);
    case 5:
      yield* S.lwpWait(lid);
      return;
    case 6:
      return yield* S.schedYield();
    default:
      return yield* section(l);
  }
}

/** Does an operation that may fail. */
function* attempt(body: Iterable<K.Token, void, undefined>): Body {
  try {
    yield* body;
  } catch (error) {
    if (!(error instanceof S.LwpError)) throw error;
  }
}

export function* thread(): Body {
  const l = K.cur.lwp;
  const { k, w } = l;
  const me = rank(l);
  const state = at(k, RANDOM.STATES) + me;
  w[state] = w[at(k, RANDOM.SEED)] * 1000 + me;
  for (let i = 0; i < OPERATIONS; i++) {
    const what = random(w, state, 8);
    const lid = w[at(k, RANDOM.LIDS) + random(w, state, THREADS + STEPS)];
    yield* attempt(operation(l, what, lid));
  }
  Atomics.add(w, at(k, RANDOM.THROUGH), 1);
}

export const steps: K.StepFunction[] = [
  (t) => {
    const { l } = t;
    const { k, w } = l;
    const state = at(k, RANDOM.STATES) + rank(l);
    if (t.get(0) === 0) w[state] = w[at(k, RANDOM.SEED)] * 1000 + rank(l);
    t.set(0, t.get(0) + 1);
    if (t.get(0) > OPERATIONS) {
      Atomics.add(w, at(k, RANDOM.THROUGH), 1);
      return K.STEP_EXIT;
    }
    const what = random(w, state, 3);
    if (what === 0) return K.STEP_YIELD;
    if (what === 1) {
      t.set(K.STEP_TICKS_WORD, random(w, state, 3));
      return K.STEP_PARK;
    }
    K.unpark(l.proc, w[at(k, RANDOM.LIDS) + random(w, state, THREADS)], 0);
    return K.STEP_YIELD;
  },
];

/** `entry` of a thread that needs a record, and nothing else of it. */
function start(l: K.Lwp, entry: number, realm: number): number {
  const t = K.poolGet(l.k.threads) as K.ThreadRec;
  t.flags = K.THREAD_DETACHED;
  t.pid = l.proc.pid;
  return K.createLwp(l, 0, { kind: K.CTX_ENTRY, entry, arg: t.index, realm });
}

function stand(w: Int32Array, word: number): void {
  while (Atomics.load(w, word) === 0) Atomics.wait(w, word, 0);
}

export function* boss(): Body {
  const l = K.cur.lwp;
  const { k, w } = l;
  K.mutexInit(k, at(k, RANDOM.MUTEX), K.MUTEX_DEFAULT, K.IPL_NONE);
  Atomics.store(w, at(k, RANDOM.READY), 1);
  K.announce(k);
  stand(w, at(k, RANDOM.GO));
  const lids = at(k, RANDOM.LIDS);
  for (let i = 0; i < THREADS; i++) w[lids + i] = start(l, w[at(k, RANDOM.ENTRY)], 0);
  for (let i = 0; i < STEPS; i++) {
    w[lids + THREADS + i] = K.createLwp(l, K.LWP_SUSPENDED, { kind: K.CTX_STEP, entry: 0 });
  }
  for (let round = 1; Atomics.load(w, at(k, RANDOM.THROUGH)) < THREADS + STEPS; round++) {
    for (let i = 0; i < THREADS + STEPS; i++) {
      yield* attempt(S.lwpContinue(w[lids + i]));
      yield* attempt(S.lwpUnpark(w[lids + i]));
      // Threads that wait for each other. Not often: a suspension that is interrupted begins anew.
      if (round % 5 === 0) yield* attempt(S.lwpWakeup(w[lids + i]));
    }
    yield* parkFor(1);
  }
  for (let i = 0; i < THREADS + STEPS; i++) yield* attempt(collect(w[lids + i]));
  Atomics.store(w, at(k, RANDOM.FINISHED), 1);
  K.announce(k);
  stand(w, at(k, RANDOM.LEAVE));
  yield* S.lwpUnpark(1);
}

function* collect(lid: number): Body {
  yield* S.lwpWait(lid);
}

/** `args`: the numbers of `boss` and `thread`. */
export function* main(args: string[]): Generator<K.Token, number, undefined> {
  const l = K.cur.lwp;
  const { k, w } = l;
  w[at(k, RANDOM.ENTRY)] = Number(args[1]);
  start(l, Number(args[0]), 1);
  while (Atomics.load(w, at(k, RANDOM.LEAVE)) === 0) yield* S.lwpPark();
  return w[at(k, RANDOM.BROKEN)];
}
