/**
 * Runs one random program on a simulated machine to its end, checking everything after every step.
 *
 * Three kinds of choices make the schedule, all answered by the program's seed: who takes the next step (a CPU or the clock),
 * what is done by hand between two steps, and what another CPU does while one stands in a window.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { Hands } from "./hands.js";
import { Model, type ProcessModel } from "./model.js";
import type { CallName, Program } from "./program.js";
import { CALL, DESTRUCTOR, KernelCalls, KTHREAD } from "./kernel.js";
import { stepFunction, Threads } from "./threads.js";

/** So few processes, and ids, that those who take them for their LWPs run out of them. */
const PROCS = 10;
/** Scripts are finite: a program that takes more steps goes round in circles. */
const STEPS_MAX = 100_000;
/** Ticks, and nothing else, after which it is only a process that cannot stop, since one of its threads waits for a child that sleeps. */
const IDLE_TICKS_MAX = 40;
/** Rounds of waking and killing after which a program must be gone. */
const ROUNDS_MAX = 60;

/**
 * What is counted: calls, migrations by hand, creations with an id of the pid table and those for which there was none left,
 * processes made with vfork, those for which there was no room, and those that let their parent go before they end.
 */
export type Counted =
  | CallName
  | "lwpMigrate"
  | "LWP_PIDLID"
  | "LWP_PIDLID EAGAIN"
  | "vfork made"
  | "vfork EAGAIN"
  | "vforkDone";

export interface RunResult {
  readonly steps: number;
  /** LWPs created. */
  readonly lwps: number;
  readonly counts: ReadonlyMap<Counted, number>;
  /** By `FROM -> TO`. */
  readonly transitions: ReadonlyMap<string, number>;
  readonly collected: number;
  /** Answers of the strategy. */
  readonly schedule: readonly number[];
  /** Results of all calls; all trace records, as text, when asked for. */
  readonly log: readonly string[];
  readonly trace: readonly string[];
  /** Everybody slept for ever, and had to be woken. */
  readonly deadlocked: boolean;
}

export interface RunOptions {
  /** Keep the trace rings' records. */
  readonly traced?: boolean;
  /** Answers instead of the program's seed: a schedule to be replayed. */
  readonly schedule?: readonly number[];
  /** Called before the checks of every step: what breaks the machine on purpose. */
  readonly spoil?: (k: K.Kernel, step: number) => void;
}

/** A machine that can run one program after the other. */
export class PropertyMachine {
  readonly sim: K.SimulatedCpus;
  readonly #cpus: number;
  readonly #lwps: number;
  #strategy: K.Strategy = K.firstStrategy;
  #run: Run | null = null;
  #used = false;

  /** `compiled`: on the kernel's compiled code. */
  constructor(cpus: number, lwps: number, compiled = false) {
    this.#cpus = cpus;
    this.#lwps = lwps;
    this.sim = new K.SimulatedCpus({
      cpus,
      strategy: (site, n) => this.#strategy(site, n),
      limits: { lwps, procs: PROCS, trace: 1024 },
      compilable: compiled,
    });
    const { k } = this.sim;
    if (compiled) runCompiled(k);
    K.attachContexts(k, {
      steps: [stepFunction(() => this.#current.model)],
      ending: {
        ...K.PLAIN_ENDING,
        threw: (_l, error) => {
          this.#current.failure ??= error;
          return true;
        },
      },
    });
    k.slots.lwpFork = (l1, l2) => this.#current.model.born(l1, l2);
    k.slots.lwpExit = (l) => this.#current.model.exiting(l);
    k.slots.crosscalls[CALL] = (_k, number, waits) => this.#current.kernel.called(number, waits);
    k.slots.kthreads[KTHREAD] = (_k, number) => this.#current.kernel.thread(number);
    k.slots.destructors[DESTRUCTOR] = (_k, value) => this.#current.kernel.destroyed(value);
    const port: K.Port = this.sim;
    port.held = (ci, point) => this.#run?.window(ci, point);
    port.procExited = (p) => this.#run?.procExited(p);
  }

  get #current(): Run {
    assert.ok(this.#run !== null);
    return this.#run;
  }

  /** Runs the program from a cleared machine. What goes wrong is thrown, with the program and its schedule. */
  run(program: Program, options: RunOptions = {}): RunResult {
    assert.deepEqual([program.cpus, program.lwps], [this.#cpus, this.#lwps]);
    this.#run = null;
    if (this.#used) this.sim.reset();
    this.#used = true;
    this.#strategy =
      options.schedule === undefined ? K.seededStrategy(program.seed) : replay(options.schedule);
    const run = new Run(this.sim, program, options);
    this.#run = run;
    try {
      return run.toEnd();
    } catch (error) {
      throw new Error(explain(program, this.sim, error), { cause: error });
    } finally {
      this.#run = null;
    }
  }
}

/** Lets a simulated machine run compiled code: each call goes to the code of the CPU that makes it. */
function runCompiled(k: K.Kernel): void {
  const codes: K.Compiled[] = [];
  for (let i = 1; i <= k.g.ncpu; i++) {
    const code = K.compiledFor(k.cpus.view(i));
    assert.ok(code !== null, "there is no compiled code");
    codes.push(code);
  }
  const names = Object.keys(codes[0]);
  k.compiled = Object.fromEntries(
    names.map((name) => [name, (...args) => codes[K.cur.cpu.index - 1][name](...args)]),
  );
}

/** Gives recorded answers. */
export function replay(schedule: readonly number[]): K.Strategy {
  let i = 0;
  return (site, n) => {
    assert.ok(
      i < schedule.length && schedule[i] < n,
      `the schedule does not fit: answer ${i}, ${site} of ${n}`,
    );
    return schedule[i++];
  };
}

function explain(program: Program, sim: K.SimulatedCpus, error: unknown): string {
  const what = error instanceof Error ? error.message : String(error);
  return [
    `seed ${program.seed}, step ${sim.steps}: ${what}`,
    `program: ${JSON.stringify(program)}`,
    `schedule: ${JSON.stringify(sim.schedule)}`,
  ].join("\n");
}

class Run {
  readonly model: Model;
  readonly kernel: KernelCalls;
  /** What left a thread: a check that failed inside it. */
  failure: unknown = null;
  readonly #sim: K.SimulatedCpus;
  readonly #k: K.Kernel;
  readonly #program: Program;
  readonly #threads: Threads;
  readonly #hands: Hands;
  readonly #options: RunOptions;
  readonly #trace: string[] = [];
  readonly #transitions = new Map<string, number>();
  readonly #read: number[] = [];
  readonly #idle: number[] = [];
  #reaped = 0;
  #idleTicks = 0;
  #deadlocked = false;
  #windows = false;

  constructor(sim: K.SimulatedCpus, program: Program, options: RunOptions) {
    this.#sim = sim;
    this.#k = sim.k;
    this.#program = program;
    this.#options = options;
    this.model = new Model(this.#k);
    this.kernel = new KernelCalls(this.model);
    this.#threads = new Threads(this.model, this.kernel);
    this.#hands = new Hands(this.#k, this.model, (site, n) => sim.choose(site, n));
    for (let i = 0; i < program.cpus; i++) {
      this.#read.push(0);
      this.#idle.push(K.LSIDL);
    }
  }

  toEnd(): RunResult {
    K.probeEnable(this.#k, K.PROBES, true);
    this.#k.g.lockstep = 1;
    this.#windows = true;
    for (const spec of this.#program.processes) {
      const options = { comm: "random", uid: spec.uid, nthr: spec.nthr };
      const start = { kind: K.CTX_CLOSURE, closure: this.#threads.main(spec) };
      assert.ok(this.#sim.spawn(options, start) !== null);
    }
    this.#loop();
    // The callout that looks after stopping processes may still be due.
    while (this.#sim.step()) this.#look();
    this.#windows = false;
    this.kernel.checkEnd();
    assert.deepEqual(K.checkEmpty(this.#k), [], "what is left of the machine");
    for (const m of this.model.processes) assert.ok(m.ended, `process ${m.pid} was never collected`);
    const counts = new Map<Counted, number>(this.#threads.counts);
    counts.set("LWP_PIDLID", this.#threads.pidlids);
    counts.set("LWP_PIDLID EAGAIN", this.#threads.pidlidsRefused);
    counts.set("lwpMigrate", this.#hands.migrations);
    counts.set("vfork made", this.model.forked);
    counts.set("vfork EAGAIN", this.#threads.forksRefused);
    counts.set("vforkDone", this.#threads.execs);
    return {
      steps: this.#sim.steps,
      lwps: this.model.created,
      counts,
      transitions: this.#transitions,
      collected: this.model.collected,
      schedule: [...this.#sim.schedule],
      log: this.#threads.log,
      trace: this.#trace,
      deadlocked: this.#deadlocked,
    };
  }

  #loop(): void {
    let rounds = 0;
    while (this.model.alive.length > 0) {
      if (this.#sim.choose("by hand", 4) === 0) {
        this.#hands.act();
        this.#look();
      }
      if (this.#sim.steps > STEPS_MAX) assert.fail("it neither ends nor comes to rest");
      const { ticks } = this.#k.g;
      if (!this.#sim.step()) this.#endDeadlock(rounds++);
      this.#idleTicks = this.#k.g.ticks === ticks ? 0 : this.#idleTicks + 1;
      if (this.#idleTicks > IDLE_TICKS_MAX) this.#hands.unstopAll();
      this.#look();
    }
  }

  /** Everything is checked that can be seen between two steps. */
  #look(): void {
    if (this.#sim.panic !== null) throw new K.KernelAssertion(this.#sim.panic);
    if (this.failure !== null) throw this.failure;
    this.#options.spoil?.(this.#k, this.#sim.steps);
    for (; this.#reaped < this.#sim.collected.length; this.#reaped++) {
      this.model.ended(this.#sim.collected[this.#reaped]);
    }
    this.#sim.check();
    this.model.check(this.#sim.steps);
    this.kernel.check();
    this.#readTrace();
    this.model.checkAsleep();
  }

  /** A legal end: everybody sleeps. The stopped are continued, the others woken or killed, until they have ended. */
  #endDeadlock(round: number): void {
    assert.ok(round < ROUNDS_MAX, "a program cannot be brought to its end");
    if (this.#hands.releaseAll()) return;
    if (this.#hands.unstopAll()) return;
    // One of its threads may wait for a child, which is woken or killed with the others.
    const waits = (m: ProcessModel): boolean => m.all.some((l) => l.vforkwait !== 0);
    const stuck = this.model.alive.find((m) => (m.p.sflag & K.PS_WEXIT) !== 0 && !waits(m));
    assert.ok(stuck === undefined, `process ${stuck?.pid} exits, and never gets done`);
    this.#deadlocked = true;
    if (round > ROUNDS_MAX / 2 || this.#sim.choose("end", 4) === 0) this.#hands.killAll();
    else this.#hands.wakeAll(round);
  }

  // --- windows -----------------------------------------------------------------------------------

  /** A CPU has reached a delay point; at some of them it holds no lock, and another CPU may act. */
  window(ci: K.Cpu, point: number): void {
    if (!this.#windows) return;
    const l = K.cur.lwp;
    const user = (l.flag & K.LW_SYSTEM) === 0;
    switch (point) {
      case K.AT_PARK_ENTER:
        if (this.#sim.choose("window park", 4) === 0) this.#hands.actAt(ci, l);
        return this.model.parks(l);
      case K.AT_USERRET_SUSPENDED:
        return this.#suspended(ci, l);
      case K.AT_SWITCH_UNLOCKED:
        if (user && this.#sim.choose("window switch", 5) === 0) this.#hands.actAt(ci, l);
        return;
      case K.AT_SIGSWITCH_STOPPED:
        if (this.#sim.choose("window stopped", 3) === 0) this.#hands.unstopAt(ci, l);
        return;
      case K.AT_CREATE_IDLE:
        return this.#birth(ci);
      default:
    }
  }

  /** The caller is LSSUSPENDED and has not switched yet: often somebody continues it right now. */
  #suspended(ci: K.Cpu, l: K.Lwp): void {
    const what = this.#sim.choose("window suspended", 4);
    if (what === 0) this.#hands.actAt(ci, l);
    else if (what < 3) this.#hands.continueAt(ci, l);
  }

  /** Between creation and start: the new LWP is migrated, or its process stopped. */
  #birth(ci: K.Cpu): void {
    const l = this.model.last as K.Lwp;
    const what = this.#sim.choose("window birth", 4);
    if (what === 0) this.#hands.migrate(ci, l);
    else if (what === 1 && l.proc.nlwps > 1) this.#hands.stopBirth(ci, l.proc);
  }

  /** LWP-22..26 at the very end of a process. */
  procExited(p: K.Proc): void {
    assert.deepEqual([p.nlwps, p.nzlwps, p.nrlwps, p.ndlwps, p.nlwpwait], [1, 1, 0, 0, 0]);
    assert.ok(p.zomblwp === null);
  }

  // --- the trace -----------------------------------------------------------------------------------

  #readTrace(): void {
    for (let i = 0; i < this.#program.cpus; i++) {
      const ci = this.#k.cpus.view(i + 1);
      if (ci.traceHead !== this.#read[i]) this.#readRing(ci, i);
      // Idle threads are put on their CPU without a probe.
      const { stat } = ci.idlelwp;
      if (stat === K.LSONPROC && this.#idle[i] === K.LSIDL) this.#count(K.LSIDL, stat);
      this.#idle[i] = stat;
    }
  }

  #readRing(ci: K.Cpu, i: number): void {
    const { records, next, lost } = K.traceRead(this.#k, ci, this.#read[i]);
    assert.equal(lost, 0);
    this.#read[i] = next;
    for (const r of records) {
      if (r.probe === "state") {
        this.#count(r.args[0], r.args[1]);
        this.model.changes(r.pid, r.lid, r.args[0], r.args[1]);
      }
      if (this.#options.traced)
        this.#trace.push(`${r.time} ${r.cpu} ${r.pid}.${r.lid} ${r.probe} ${r.args.join(" ")}`);
    }
  }

  #count(from: number, to: number): void {
    const name = `${K.STATE_NAMES[from]} -> ${K.STATE_NAMES[to]}`;
    this.#transitions.set(name, (this.#transitions.get(name) ?? 0) + 1);
  }
}
