/**
 * Lockstep tests: a machine of real CPUs with an agent on each, which does what the test says.
 *
 *   const a = await rig.hold(0, "park.enter", function* (x) { yield* x.S.lwpPark(); });
 *   await rig.call(1, (x, lid) => x.K.unpark(x.p, lid, 0), rig.lid(0));
 *   await a.go();
 *
 * An action travels as its source, so it may use nothing but its arguments: the tools `x`, and up to four numbers. What it
 * returns must be a number, a boolean or nothing.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { boot, type Machine } from "lwp";
import * as K from "lwp/kernel";
import type * as S from "lwp/syscall";
import type * as T from "lwp";
import { linkProgram } from "#dist/machine/link.js";
import { mailbox, SCENARIO_WORDS, scenarioWords, SCRATCH_WORDS, Word } from "./lockstep-words.js";

/** What an action finds. */
export interface Tools {
  readonly K: typeof K;
  readonly S: typeof S;
  readonly T: typeof T;
  readonly k: K.Kernel;
  /** The agent. */
  readonly l: K.Lwp;
  readonly p: K.Proc;
  readonly w: Int32Array;
  /** LWP of the agents' process by its lid. */
  lwp(lid: number): K.Lwp;
  /** CPU by its number from 0. */
  cpu(n: number): K.Cpu;
  /** Address of word `n` of the scenario. */
  at(n: number): number;
  /** Starts a step function, which may run on any CPU; returns its lid. */
  step(n: number, flags?: number): number;
  /** Starts a thread on the agent's CPU; returns its lid. */
  spawn(body: () => Generator<K.Token, unknown, undefined>, flags?: number): number;
  /** A portable entry, which returns its argument. */
  readonly entry: (value: number) => Generator<K.Token, number, undefined>;
  /** The code of the error that the body throws, or "". */
  code(body: () => unknown): string;
}

type Value = number | boolean | void;
export type Action = (x: Tools, ...args: number[]) => Value | Generator<K.Token, Value, undefined>;

/** How long a machine may take for what takes it microseconds; only a test that fails waits so long. */
const LIMIT_MS = Number(process.env["LOCKSTEP_LIMIT_MS"] ?? 20_000);

/** Small tables. */
export const LOCKSTEP_LIMITS = {
  procs: 16,
  lwps: 256,
  trace: 256,
  scratch: SCRATCH_WORDS,
  threads: 256,
  blocks: 64,
};

/** An action on its way. */
export class Run {
  readonly #rig: Rig;
  readonly #cpu: number;
  readonly #number: number;

  constructor(rig: Rig, cpu: number, number: number) {
    this.#rig = rig;
    this.#cpu = cpu;
    this.#number = number;
  }

  get isDone(): boolean {
    const { k } = this.#rig;
    return Atomics.load(k.w, mailbox(k, this.#cpu) + Word.DONE) === this.#number;
  }

  /** What it returns, once it has. */
  async result(): Promise<number> {
    const { k } = this.#rig;
    await this.#rig.ls.until(`the action on CPU ${this.#cpu} is done`, () => this.isDone);
    const at = mailbox(k, this.#cpu);
    if (k.w[at + Word.FAILED] === 0) return k.w[at + Word.RESULT];
    const text = k.w.subarray(at + Word.TEXT, at + Word.TEXT + k.w[at + Word.LENGTH]);
    throw new Error(String.fromCharCode(...text));
  }

  /** Lets its CPU go on from where it is held; what it returns. */
  async go(): Promise<number> {
    this.#rig.go(this.#cpu);
    return this.result();
  }
}

export class Rig {
  readonly machine: Machine;
  readonly k: K.Kernel;
  readonly ls: K.Lockstep;
  pid = 0;

  private constructor(machine: Machine) {
    this.machine = machine;
    this.k = machine.kernel;
    this.ls = new K.Lockstep(this.k, LIMIT_MS);
  }

  /** A machine with an agent on each CPU, all of them waiting. */
  static async boot(cpus = 2): Promise<Rig> {
    const rig = new Rig(await boot({ cpus, client: true, limits: LOCKSTEP_LIMITS }));
    const linked = await linkProgram(new URL("../lockstep/programs/agents.js", import.meta.url));
    const entry = linked.entries.findIndex(({ id }) => id.endsWith("agents.js#agent"));
    rig.pid = (await rig.machine.execLinked(linked, [String(entry)])).pid;
    for (let cpu = 0; cpu < cpus; cpu++) await rig.call(cpu, () => {});
    return rig;
  }

  // --- actions -----------------------------------------------------------------------------------

  /** Gives an agent something to do. */
  start(cpu: number, action: Action, ...args: number[]): Run {
    const { w } = this.k;
    const at = mailbox(this.k, cpu);
    const posted = Atomics.load(w, at + Word.POSTED);
    assert.equal(Atomics.load(w, at + Word.DONE), posted, `the agent of CPU ${cpu} is busy`);
    const source = action.toString();
    assert.ok(source.length <= Word.SIZE - Word.TEXT, "the action is too long");
    for (let i = 0; i < source.length; i++) w[at + Word.TEXT + i] = source.charCodeAt(i);
    w[at + Word.LENGTH] = source.length;
    for (let i = 0; i < 4; i++) w[at + Word.ARGS + i] = args[i] ?? 0;
    Atomics.store(w, at + Word.POSTED, posted + 1);
    Atomics.notify(w, at + Word.POSTED);
    return new Run(this, cpu, posted + 1);
  }

  /** The same, and waits until it is done. */
  call(cpu: number, action: Action, ...args: number[]): Promise<number> {
    return this.start(cpu, action, ...args).result();
  }

  /** The same, but only until its CPU stands at the point; it will stop there no more. */
  async hold(cpu: number, point: K.DelayPoint, action: Action, ...args: number[]): Promise<Run> {
    this.ls.arm(cpu, point);
    const run = this.start(cpu, action, ...args);
    await this.reached(cpu, point, run);
    return run;
  }

  /** Does the whole action though the point is armed: its CPU must not come there. */
  async passes(cpu: number, point: K.DelayPoint, action: Action, ...args: number[]): Promise<number> {
    this.ls.arm(cpu, point);
    const run = this.start(cpu, action, ...args);
    await this.#donePast(cpu, point, run);
    return run.result();
  }

  /** Waits until a CPU stands at a point that is armed, and disarms it. Fails at once if `run` is done before that. */
  async reached(cpu: number, point: K.DelayPoint, run?: Run): Promise<void> {
    await this.ls.until(
      `CPU ${cpu} stands at ${point}`,
      () => this.ls.heldAt(cpu) === point || (run?.isDone ?? false),
    );
    assert.equal(this.ls.heldAt(cpu), point, `where CPU ${cpu} stands`);
    this.ls.disarm(cpu, point);
  }

  /** Lets a CPU go on from where it stands. */
  go(cpu: number): void {
    assert.notEqual(this.ls.heldAt(cpu), null, `CPU ${cpu} is held nowhere`);
    this.ls.release(cpu);
  }

  /** Lets a CPU go on from where it stands, past the point: it must not stop there before the action is done. */
  async goPast(cpu: number, point: K.DelayPoint, run: Run): Promise<number> {
    this.ls.arm(cpu, point);
    this.go(cpu);
    await this.#donePast(cpu, point, run);
    return run.result();
  }

  async #donePast(cpu: number, point: K.DelayPoint, run: Run): Promise<void> {
    await this.ls.until(`the action on CPU ${cpu} is done`, () => run.isDone || this.ls.heldAt(cpu) !== null);
    assert.equal(this.ls.heldAt(cpu), null, `where CPU ${cpu} stands`);
    this.ls.disarm(cpu, point);
  }

  // --- looking -----------------------------------------------------------------------------------

  /** The lid of an agent. */
  lid(cpu: number): number {
    return this.k.w[mailbox(this.k, cpu) + Word.LID];
  }

  lwp(lid: number): K.Lwp {
    const p = K.allProcs(this.k).find(({ pid }) => pid === this.pid) as K.Proc;
    const l = K.procLwps(p).find((other) => other.lid === lid);
    assert.ok(l !== undefined, `there is no LWP ${lid}`);
    return l;
  }

  /** State and covering lock of an LWP, once they are `state`. */
  /** What an action returns that must not sleep any more: fails at once if the agent does. */
  async awake(run: Run, cpu: number): Promise<number> {
    const asleep = (): boolean => this.lwp(this.lid(cpu)).stat === K.LSSLEEP && this.cpu(cpu).sleeping !== 0;
    await this.ls.until(`the agent of CPU ${cpu} is done or sleeps`, () => run.isDone || asleep());
    assert.ok(run.isDone, `the agent of CPU ${cpu} sleeps`);
    return run.result();
  }

  /** Whether an LWP is really on a CPU, whatever its state says. */
  running(lid: number): boolean {
    return (this.lwp(lid).pflag & K.LP_RUNNING) !== 0;
  }

  async untilOff(lid: number): Promise<void> {
    await this.ls.until(`LWP ${lid} is off its CPU`, () => !this.running(lid));
  }

  async untilState(lid: number, state: string): Promise<void> {
    await this.ls.until(`LWP ${lid} is ${state}`, () => K.STATE_NAMES[this.lwp(lid).stat] === state);
  }

  state(lid: number): string {
    return K.STATE_NAMES[this.lwp(lid).stat];
  }

  cpu(n: number): K.Cpu {
    return this.k.cpus.view(n + 1);
  }

  /** Word `n` of the scenario. */
  word(n: number): number {
    return Atomics.load(this.k.w, scenarioWords(this.k) + n);
  }

  setWord(n: number, value: number): void {
    const at = scenarioWords(this.k) + n;
    Atomics.store(this.k.w, at, value);
    Atomics.notify(this.k.w, at);
  }

  async untilWord(n: number, value: number): Promise<void> {
    await this.ls.until(`word ${n} is ${value}`, () => this.word(n) === value);
  }

  // --- between scenarios -------------------------------------------------------------------------

  /** Before a scenario: its words are 0. */
  clear(): void {
    const at = scenarioWords(this.k);
    this.k.w.fill(0, at, at + SCENARIO_WORDS);
    // A wakeup that an agent was sent and had no more use for would end its next sleep.
    for (let n = 0; n < this.k.g.ncpu; n++) this.lwp(this.lid(n)).flag &= ~(K.LW_UNPARKED | K.LW_CANCELLED);
  }

  /** After it: nobody is held or armed, the agents wait outside the kernel, nothing is queued, and all is sound. */
  async assertAtRest(): Promise<void> {
    const { k } = this;
    const agents = (n: number): boolean =>
      this.cpu(n).curlwp.lid === this.lid(n) || this.ls.heldAt(n) !== null;
    for (let n = 0; n < k.g.ncpu; n++) await this.ls.until(`the agent of CPU ${n} is back`, () => agents(n));
    for (let n = 0; n < k.g.ncpu; n++) {
      const ci = this.cpu(n);
      const at = mailbox(k, n);
      assert.equal(this.ls.heldAt(n), null, `CPU ${n} is held`);
      assert.equal(ci.armed, 0, `CPU ${n} is armed`);
      assert.equal(k.w[at + Word.DONE], k.w[at + Word.POSTED], `the agent of CPU ${n} is busy`);
      assert.equal(ci.curlwp.lid, this.lid(n), `CPU ${n} runs another than its agent`);
      assert.equal(ci.count, 0, `LWPs queued on CPU ${n}`);
      assert.equal(ci.ncallouts, 0, `callouts pending on CPU ${n}`);
    }
    assert.deepEqual(K.checkInvariants(k), []);
    assert.equal(this.machine.lostWakeups, 0, "wake-ups that only a time-out found");
    const p = this.lwp(this.lid(0)).proc;
    assert.equal(p.nlwps - p.nzlwps, k.g.ncpu + 1, "LWPs that the scenario has left");
  }

  /** Sends the agents home and shuts the machine down. */
  async close(): Promise<void> {
    this.ls.off();
    this.#sendHome();
    await this.machine.shutdown();
  }

  /** The same when nobody knows what its CPUs do: stops them as after a panic, and does not wait for it. */
  abandon(): void {
    const { g } = this.k;
    if (g.dead === 0) {
      g.deadText = "the test has given it up";
      Atomics.store(this.k.w, K.deadWord(this.k), -1);
    }
    this.ls.off();
    this.#sendHome();
    this.machine.shutdown().catch(() => {});
    // The test has failed already; it shall not hang as well.
    setTimeout(() => process.exit(1), 3000).unref();
  }

  #sendHome(): void {
    const { k } = this;
    for (let cpu = 0; cpu < k.g.ncpu; cpu++) {
      const at = mailbox(k, cpu);
      k.w[at + Word.LENGTH] = 0;
      Atomics.add(k.w, at + Word.POSTED, 1);
      Atomics.notify(k.w, at + Word.POSTED);
    }
  }
}

// --- tests ---------------------------------------------------------------------------------------

let rig: Rig | null = null;
after(() => rig?.close());

/**
 * The tests of one window: what each order of events through it must come to. The machine is at rest before and after each;
 * a test that fails takes the machine with it.
 */
export function window(
  point: K.DelayPoint,
  orders: Readonly<Record<string, (rig: Rig) => Promise<void>>>,
): void {
  assert.ok(Object.keys(orders).length >= 2, `${point}: both orders`);
  for (const [name, order] of Object.entries(orders)) {
    test(`${point}: ${name}`, async () => {
      rig ??= await Rig.boot();
      rig.clear();
      try {
        await order(rig);
        await rig.assertAtRest();
      } catch (error) {
        rig.abandon();
        rig = null;
        throw error;
      }
    });
  }
}
