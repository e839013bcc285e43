/**
 * Simulated CPUs: any number of CPUs in one realm, virtual time, and a strategy that answers every choice.
 *
 * A step runs from the resume of a context to its next leave (R12): the next switch, or the end of the operation. The
 * actors of a step are the CPUs that have something to do, and the clock. Everything nondeterministic is the list of
 * answers the strategy gave, so the same strategy gives the same run.
 */
import type { Cpu } from "../sys/cpu.js";
import { CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { KernelAssertion } from "../sys/errno.js";
import { Kernel, type Limits } from "../sys/kernel.js";
import { ATTN_HALT, ATTN_TICK, ATTN_XCALL, LW_IDLE } from "../sys/param.js";
import type { Port } from "../sys/port.js";
import type { Proc } from "../sys/proc.js";
import { checkInvariants } from "../kern/invariants.js";
import { cpuRunning, kernelBoot } from "../kern/init.js";
import type { Start } from "../kern/lwpcreate.js";
import { schedCanSteal } from "../kern/placement.js";
import { type Collected, type ProcOptions, procReap, procSpawn } from "../kern/proc.js";
import { clockPoll } from "../kern/softclock.js";
import { atomicOr } from "../kern/spin.js";
import { asCpu, dispatch, retireBooter } from "./dispatcher.js";

/** Answers choices: an integer in 0..n-1. */
export type Strategy = (site: string, n: number) => number;

/** Limits of simulated machines: small tables, so that corners are reached and a reset is quick. */
export const SIMULATED_LIMITS: Limits = {
  cpus: 4,
  procs: 16,
  lwps: 256,
  uids: 8,
  trace: 256,
  scratch: 1024,
  threads: 256,
  blocks: 256,
  userPages: 256,
  syncobjs: 256,
  messages: 256,
};

/** Pseudo-random numbers by a seed (mulberry32): integers of 32 bits. */
function seeded(seed: number): () => number {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** Answers by a seed. */
export function seededStrategy(seed: number): Strategy {
  const next = seeded(seed);
  return (_site, n) => next() % n;
}

/** Numbers from 0 to 1, 1 excluded, by a seed. */
export function seededRandom(seed: number): () => number {
  const next = seeded(seed);
  return () => next() / 2 ** 32;
}

/** Always the first: CPUs in order, the clock last. */
export const firstStrategy: Strategy = () => 0;

export interface SimulatedOptions {
  /** CPUs; 1 unless said. */
  readonly cpus?: number;
  /** Unless said, the first of each choice. */
  readonly strategy?: Strategy;
  readonly limits?: Partial<Limits>;
  /** Check all invariants after every step, and fail with the first that is broken. */
  readonly checked?: boolean;
  /** Leave contexts at the end of every operation; true unless said. */
  readonly stepwise?: boolean;
  /** Memory that compiled code can work on; it runs if somebody sets `k.compiled`. */
  readonly compilable?: boolean;
  /** Wall-clock seconds at boot. */
  readonly wallAtBoot?: number;
}

const ATTENTION = CpuRecord.offset.attention;
/** What the shortest of things takes, in seconds. */
export const MICROSECOND = 1e-6;

/** Timers of programs, which go by the machine's clock. */
export interface TimerSource {
  /** Whether one of them can still make something happen. */
  pending(): boolean;
  /** Runs those that are due. */
  fire(): void;
}

/** Why `run` returned. */
export type RunEnd = "idle" | "steps";

export class SimulatedCpus implements Port {
  readonly k: Kernel;
  readonly #strategy: Strategy;
  readonly #checked: boolean;
  readonly #ncpu: number;
  readonly #wallAtBoot: number;
  /** Steps taken. */
  steps = 0;
  /** Answers given, when recorded. */
  readonly schedule: number[] = [];
  /** Processes that have ended. */
  readonly collected: Collected[] = [];
  /** What the kernel had to say. */
  readonly messages: string[] = [];
  /** The message of a kernel assertion. */
  panic: string | null = null;
  /** Runs after each tick, between two steps. */
  timers: TimerSource | null = null;

  constructor(options: SimulatedOptions = {}) {
    this.#ncpu = options.cpus ?? 1;
    this.#strategy = options.strategy ?? firstStrategy;
    this.#checked = options.checked ?? false;
    this.#wallAtBoot = options.wallAtBoot ?? 1_000_000_000;
    const limits = { ...SIMULATED_LIMITS, cpus: this.#ncpu, ...options.limits };
    const { stepwise = true, compilable = false } = options;
    this.k = new Kernel(limits, { mp: false, stepwise, delays: true, compilable });
    this.k.port = this;
    this.boot();
  }

  /** Boots the cleared machine. */
  boot(): void {
    const { k } = this;
    outsideLwps(() => {
      kernelBoot(k, { cpus: this.#ncpu, realmOf: () => 1 });
      for (let i = 1; i <= this.#ncpu; i++) cpuRunning(k.cpus.view(i));
      retireBooter();
    });
  }

  /** Clears the machine and boots it anew. */
  reset(scratchUsed = 0): void {
    this.k.reset(scratchUsed);
    this.steps = 0;
    this.schedule.length = 0;
    this.collected.length = 0;
    this.messages.length = 0;
    this.panic = null;
    this.boot();
  }

  /** Starts a process whose first LWP runs `start`. */
  spawn(options: ProcOptions, start: Start): Proc | null {
    return asCpu(this.k.cpus.view(1), () => procSpawn(this.k, options, start));
  }

  // --- steps -----------------------------------------------------------------------------------

  /** CPUs that have something to do. */
  #runnable(): Cpu[] {
    const list: Cpu[] = [];
    for (let i = 1; i <= this.#ncpu; i++) {
      const ci = this.k.cpus.view(i);
      if ((ci.attention & ATTN_HALT) !== 0) continue;
      const busy = (ci.curlwp.flag & LW_IDLE) === 0 || ci.count !== 0 || ci.migrating !== null;
      const called = (ci.attention & ATTN_XCALL) !== 0;
      if (busy || called || schedCanSteal(ci)) list.push(ci);
    }
    return list;
  }

  /** Takes one step; false when nothing can happen any more but by the hand of the caller. */
  step(): boolean {
    if (this.panic !== null) return false;
    const cpus = this.#runnable();
    const clock = this.#calloutsPending() || (this.timers?.pending() ?? false);
    if (cpus.length === 0 && !clock) return false;
    // The clock is an actor: a timeout may fire while others could run.
    const actors = cpus.length + (clock ? 1 : 0);
    const n = this.choose("actor", actors);
    this.steps++;
    if (n < cpus.length) this.#runCpu(cpus[n]);
    else this.tick();
    if (this.#checked) this.check();
    return true;
  }

  /** Runs until nothing can happen, or `limit` steps are taken. */
  run(limit = 1_000_000): RunEnd {
    for (let i = 0; i < limit; i++) if (!this.step()) return "idle";
    return "steps";
  }

  /** Throws the first invariant that is broken. */
  check(): void {
    const wrong = checkInvariants(this.k);
    if (wrong.length > 0) throw new KernelAssertion(`after step ${this.steps}: ${wrong.join("; ")}`);
  }

  #runCpu(ci: Cpu): void {
    this.k.g.time += MICROSECOND;
    dispatch(ci, 1);
    for (let c = procReap1(ci); c !== null; c = procReap1(ci)) this.collected.push(c);
  }

  /** Advances the machine by one tick on all CPUs. */
  tick(): void {
    const { k } = this;
    k.g.ticks = (k.g.ticks + 1) | 0;
    k.g.time = Math.max(k.g.time + MICROSECOND, (k.g.ticks - 1) / k.hz);
    for (let i = 1; i <= this.#ncpu; i++) {
      const ci = k.cpus.view(i);
      atomicOr(k, ci.at + ATTENTION, ATTN_TICK);
      asCpu(ci, () => clockPoll(ci));
    }
    this.timers?.fire();
  }

  #calloutsPending(): boolean {
    for (let i = 1; i <= this.#ncpu; i++) if (this.k.cpus.view(i).ncallouts !== 0) return true;
    return false;
  }

  // --- what the kernel asks ----------------------------------------------------------------------

  mayRun(): boolean {
    return true;
  }
  notify(): void {}
  selfClock(): number {
    return this.now();
  }
  now(): number {
    return this.k.g.time;
  }
  wallclock(): number {
    return this.#wallAtBoot + this.k.g.time;
  }
  relax(site: string): never {
    throw new KernelAssertion(`${site}: a simulated CPU waits for another, which cannot run`);
  }
  procExited(_p: Proc): void {}
  log(message: string): void {
    this.messages.push(message);
  }
  choose(site: string, n: number): number {
    if (n <= 1) return 0;
    const answer = this.#strategy(site, n);
    this.schedule.push(answer);
    return answer;
  }
  panicked(message: string): void {
    this.panic = message;
  }
  held(): void {}
}

function procReap1(ci: Cpu): Collected | null {
  return ci.k.g.zombies === 0 || ci.k.g.dead !== 0 ? null : asCpu(ci, () => procReap(ci.k));
}

/** Runs boot code, which has no current LWP of its own to come back to. */
function outsideLwps(body: () => void): void {
  const saved = { ...cur };
  try {
    cur.kicks = 0;
    body();
  } finally {
    Object.assign(cur, saved);
  }
}
