/**
 * A worker CPU that dies while CPU 0 is idle, computes, or spins on a lock that the dead one holds: arguments how, and what
 * CPU 0 does; "hang": a third CPU computes and never looks up.
 */
import { Thread, until } from "lwp";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";

/** The last of these lines is the time of death. */
function sayWhen(): void {
  process.stdout.write(`${Date.now()}\n`);
}

/** Ways to die. */
const DEATHS: Record<string, () => unknown> = {
  exit: () => process.exit(7),
  memory: () => {
    const hoard: unknown[] = [];
    for (; ; sayWhen()) hoard.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
  },
  throw: () => {
    throw new RangeError("on purpose");
  },
};

/** What CPU 0 does meanwhile. */
const STATES: Record<string, () => Generator<K.Token, void, undefined>> = {
  *idle() {
    for (;;) yield* S.lwpPark();
  },
  *computing() {
    for (let x = 0; ; yield* S.schedYield()) for (let i = 0; i < 1e6; i++) x = (x * 31 + i) | 0;
  },
  *spinning() {
    for (;;) yield* S.lwpSetname(0, "spinning");
  },
};

export function* main(args: string[]) {
  // A program begins on any CPU.
  yield* (yield* Thread.with({ cpu: 0 }).spawn(scene, args)).join();
}

export function* scene([how, what, other]: string[]) {
  const { k } = K.cur.lwp;
  if (other === "hang") {
    K.createLwp(K.cur.lwp, 0, { kind: K.CTX_STEP, entry: 1, realm: 3 });
    while (Atomics.load(k.w, k.scratch) === 0) yield* S.schedYield();
  }
  // A step thread of the second CPU's realm starts the one that dies, with these words.
  const start: K.Start = { kind: K.CTX_STEP, entry: 0, realm: 2 };
  const l = K.lwpCreate(K.cur.lwp, K.cur.lwp.proc, 0, start, K.SCHED_OTHER) as K.Lwp;
  k.w[l.words] = Object.keys(DEATHS).indexOf(how);
  k.w[l.words + 1] = what === "spinning" ? 1 : 0;
  K.lwpStart(K.cur.lwp, l, 0);
  // Let it get started, whatever follows.
  yield* S.schedYield();
  yield* STATES[what]();
}

function startVictim(t: K.StepThread): number {
  const death = Object.values(DEATHS)[t.get(0)];
  const holding = t.get(1) !== 0;
  const closure = () => victim(death, holding);
  K.createLwp(t.l, 0, { kind: K.CTX_CLOSURE, closure, realm: K.cur.cpu.realm });
  return K.STEP_EXIT;
}

function hang(t: K.StepThread): number {
  const { k } = t.l;
  Atomics.store(k.w, k.scratch, 1);
  for (;;);
}

export const steps: K.StepFunction[] = [startVictim, hang];

/** Dies in a callback of its event loop, while others of its CPU could run; with the lock of its process, if asked to. */
function* victim(death: () => unknown, holding: boolean) {
  const ci = K.cur.cpu;
  const { proc } = K.cur.lwp;
  setTimeout(() => {
    sayWhen();
    if (holding) K.asCpu(ci, () => K.spinEnter(ci.k, proc.lock));
    death();
  }, 100);
  yield* until(new Promise(() => {}));
}
