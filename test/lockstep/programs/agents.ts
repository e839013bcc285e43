/**
 * One thread on each CPU, which does what the test tells it: the other half of test/support/lockstep.ts.
 *
 * An agent that has nothing to do waits outside the kernel and keeps its CPU.
 */
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import * as T from "lwp";
import { Word, mailbox, scenarioWords, STEP } from "../../support/lockstep-words.js";
import type { Tools } from "../../support/lockstep.js";

type Action = (x: Tools, ...args: number[]) => unknown;

/** An agent: takes an action, does it, returns to user mode, says that it is done. */
export function* agent(): Generator<K.Token, void, undefined> {
  const l = K.cur.lwp;
  const { k, w } = l;
  const at = mailbox(k, K.cur.cpu.index - 1);
  const known = new Map<string, Action>();
  const x = tools(l);
  for (let seen = 0; ; ) {
    // Behind the poll that the linker puts at the head of this loop: from here to the next action it never enters the kernel.
    Atomics.store(w, at + Word.DONE, seen);
    K.announce(k);
    seen = nextPost(w, at, seen);
    if (w[at + Word.LENGTH] === 0) break;
    let failed = 0;
    try {
      const result: unknown = perform(
        x,
        read(w, at),
        Array.from(w.subarray(at + Word.ARGS, at + Word.ARGS + 4)),
      );
      const value: unknown = isGenerator(result) ? yield* result : result;
      yield* S.lwpSelf();
      w[at + Word.RESULT] = Number(value ?? 0);
    } catch (error) {
      if (error instanceof K.KernelAssertion) throw error;
      failed = 1;
      write(w, at, error instanceof Error ? `${error.message}\n${error.stack}` : String(error));
    }
    w[at + Word.FAILED] = failed;
  }
  w[at + Word.HOME] = 1;
  yield* S.lwpUnpark(MAIN);

  function perform(tools: Tools, source: string, args: number[]): unknown {
    const action = known.get(source) ?? (new Function(`return (${source})`) as () => Action)();
    known.set(source, action);
    return action(tools, ...args);
  }
}

/** Waits for an action: the number of its post. No thread function, so that its loop has no poll that asks to be suspended. */
function nextPost(w: Int32Array, at: number, seen: number): number {
  while (Atomics.load(w, at + Word.POSTED) === seen) Atomics.wait(w, at + Word.POSTED, seen);
  return Atomics.load(w, at + Word.POSTED);
}

/** What a thread may be started with on another CPU. */
export function* returns(value: number): Generator<K.Token, number, undefined> {
  yield* S.schedYield();
  return value;
}

/** Sets the agents up, one for each CPU, and waits until they have gone. `entry`: the number of `agent`. */
export function* main(args: string[]): Generator<K.Token, number, undefined> {
  const l = K.cur.lwp;
  const { k, w } = l;
  for (let i = 1; i <= k.g.ncpu; i++) {
    const t = K.poolGet(k.threads) as K.ThreadRec;
    t.flags = K.THREAD_DETACHED;
    t.pid = l.proc.pid;
    const lid = K.createLwp(l, 0, { kind: K.CTX_ENTRY, entry: Number(args[0]), arg: t.index, realm: i });
    w[mailbox(k, i - 1) + Word.LID] = lid;
  }
  // Parked, not waiting for them: what goes on in the process shall not wake it.
  while (mailboxes(k).some((at) => w[at + Word.HOME] === 0)) yield* S.lwpPark();
  return 0;
}

/** The first LWP of a process. */
const MAIN = 1;

function mailboxes(k: K.Kernel): number[] {
  return Array.from({ length: k.g.ncpu }, (_, cpu) => mailbox(k, cpu));
}

function isGenerator(value: unknown): value is Generator<K.Token, unknown, undefined> {
  return typeof value === "object" && value !== null && Symbol.iterator in value;
}

function tools(l: K.Lwp): Tools {
  const { k } = l;
  const lwp = (lid: number): K.Lwp => {
    const found = K.procLwps(l.proc).find((other) => other.lid === lid);
    if (found === undefined) throw new Error(`there is no LWP ${lid}`);
    return found;
  };
  return {
    K,
    S,
    T,
    entry: returns,
    k,
    l,
    p: l.proc,
    w: k.w,
    lwp,
    cpu: (n) => k.cpus.view(n + 1),
    at: (n) => scenarioWords(k) + n,
    step: (n, flags = 0) => K.createLwp(l, flags, { kind: K.CTX_STEP, entry: n }),
    spawn: (body, flags = 0) =>
      K.createLwp(l, flags, { kind: K.CTX_CLOSURE, closure: body, realm: l.cpu.realm }),
    code: (body) => {
      try {
        body();
        return "";
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    },
  };
}

function read(w: Int32Array, at: number): string {
  const codes = w.subarray(at + Word.TEXT, at + Word.TEXT + w[at + Word.LENGTH]);
  return codes.reduce((text, code) => text + String.fromCharCode(code), "");
}

function write(w: Int32Array, at: number, text: string): void {
  const n = Math.min(text.length, Word.SIZE - Word.TEXT);
  for (let i = 0; i < n; i++) w[at + Word.TEXT + i] = text.charCodeAt(i);
  w[at + Word.LENGTH] = n;
}

// --- step functions, which may go on on any CPU --------------------------------------------------

/** Writes down on which CPU it ran, and how often it came here. */
function leaveTrace(t: K.StepThread, result: number): number {
  const at = scenarioWords(t.l.k);
  const { w } = t.l;
  w[at + STEP.CPU] = K.cur.cpu.index - 1;
  w[at + STEP.RESULT] = result;
  Atomics.add(w, at + STEP.RUNS, 1);
  K.announce(t.l.k);
  return K.STEP_EXIT;
}

export const steps: K.StepFunction[] = [
  // STEP.RUN
  (t) => leaveTrace(t, 0),
  // STEP.PARK: parks, once, for as many ticks as the scenario says; 0 = until somebody wakes it.
  (t) => {
    if (t.get(0) !== 0) return leaveTrace(t, t.result);
    t.set(0, 1);
    t.set(K.STEP_TICKS_WORD, t.l.w[scenarioWords(t.l.k) + STEP.TICKS]);
    return K.STEP_PARK;
  },
  // STEP.SPIN: computes until the scenario says that it is enough.
  (t) => {
    if (Atomics.load(t.l.w, scenarioWords(t.l.k) + STEP.STOP) !== 0) return leaveTrace(t, 0);
    Atomics.store(t.l.w, scenarioWords(t.l.k) + STEP.SPINS, 1);
    K.announce(t.l.k);
    Atomics.wait(t.l.w, scenarioWords(t.l.k) + STEP.STOP, 0, 1);
    return K.STEP_YIELD;
  },
];
