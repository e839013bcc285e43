/**
 * The controller of lockstep: decides which CPU goes on when several stand at delay points (R11).
 *
 * It runs in a realm that is no CPU of the machine. Arming a point makes a CPU stop whenever it gets there; `reached` waits
 * until it has, `release` lets it go on. From its making until `off` the machine's clock stands still; `tick` moves it.
 *
 * `run` drives the whole machine instead: all points are armed on all CPUs, and one CPU goes at a time, from one point to
 * the next. So the answers of the strategy decide the interleaving, and the same answers give the same one.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { GlobalsRecord } from "../sys/globals.js";
import type { Kernel } from "../sys/kernel.js";
import { ATTN_TICK } from "../sys/param.js";
import { hostTime } from "./hostport.js";
import { DELAY_POINTS, type DelayPoint, delayBit } from "../kern/delay.js";

const ARMED = CpuRecord.offset.armed;
const HELD_AT = CpuRecord.offset.heldAt;
const GRANT = CpuRecord.offset.grant;
const ATTENTION = CpuRecord.offset.attention;
const SLEEPING = CpuRecord.offset.sleeping;
const WAKE = CpuRecord.offset.wake;
const REACHED = GlobalsRecord.offset.lockstepReached;

const ALL_POINTS = 2 ** DELAY_POINTS.length - 1;
/** How often the state is looked at though nobody has told of a change, in milliseconds. */
const LOOK_MS = 5;
/** Grants in a row to CPUs that only wait for each other, after which nothing can come any more. */
const STUCK = 2000;

/** One decision of `run`: the CPU that went on and from where, or a tick. */
export type Grant = `${number} ${DelayPoint}` | "tick";

export interface RunOptions {
  /** Answers which of n comes next. */
  readonly choose: (n: number) => number;
  /** Rejects after so many grants. */
  readonly limit: number;
  /** True once a CPU is out of the kernel for good: it is no longer waited for. */
  readonly finished: (cpu: number) => boolean;
}

/** What was to happen did not: the machine is dead, or it took longer than it may. */
export class LockstepError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "LockstepError";
  }
}

export class Lockstep {
  readonly #k: Kernel;
  readonly #limitMs: number;

  /** `limitMs`: how long the machine may take to come to a point; only a run that fails takes that long. */
  constructor(k: Kernel, limitMs = 10_000) {
    this.#k = k;
    this.#limitMs = limitMs;
    k.g.lockstep = 1;
  }

  #cpu(cpu: number): Cpu {
    return this.#k.cpus.view(cpu + 1);
  }

  /** CPU number `cpu` (from 0) will stop at these points. */
  arm(cpu: number, ...points: DelayPoint[]): void {
    for (const point of points) Atomics.or(this.#k.w, this.#cpu(cpu).at + ARMED, 1 << delayBit(point));
  }

  /** It will no longer stop there; where it stands it stays until released. */
  disarm(cpu: number, ...points: DelayPoint[]): void {
    for (const point of points) Atomics.and(this.#k.w, this.#cpu(cpu).at + ARMED, ~(1 << delayBit(point)));
  }

  /** The point at which a CPU stands, or null. */
  heldAt(cpu: number): DelayPoint | null {
    const at = Atomics.load(this.#k.w, this.#cpu(cpu).at + HELD_AT);
    return at === 0 ? null : DELAY_POINTS[at - 1];
  }

  /** Waits until the CPU stands at that point, or any if none is given. Rejects if the machine dies first. */
  async reached(cpu: number, point?: DelayPoint): Promise<DelayPoint> {
    const there = (): boolean => {
      const at = this.heldAt(cpu);
      return at !== null && (point === undefined || at === point);
    };
    await this.until(`CPU ${cpu} stands at ${point ?? "a point"}`, there);
    return this.heldAt(cpu) as DelayPoint;
  }

  /**
   * Waits until `test` is true; who makes it so tells by `announce`. Rejects if the machine dies first, or if that takes
   * too long.
   */
  async until(what: string, test: () => boolean): Promise<void> {
    const { w, g } = this.#k;
    const word = g.at + REACHED;
    const started = performance.now();
    for (;;) {
      const seen = Atomics.load(w, word);
      if (test()) return;
      if (g.dead !== 0) throw new LockstepError(`until ${what}: the machine is dead: ${g.deadText}`);
      if (performance.now() - started > this.#limitMs)
        throw new LockstepError(`never came: ${what}\n${this.describe()}`);
      const wait = Atomics.waitAsync(w, word, seen, LOOK_MS);
      if (wait.async) await wait.value;
    }
  }

  /** Where all CPUs stand, one line each. */
  describe(): string {
    const lines: string[] = [];
    for (let cpu = 0; cpu < this.#k.g.ncpu; cpu++) {
      const ci = this.#cpu(cpu);
      const l = ci.curlwp;
      const where = this.heldAt(cpu) ?? (ci.sleeping !== 0 ? "asleep" : "going");
      lines.push(`CPU ${cpu}: ${where}, LWP ${l.proc.pid}.${l.lid}, ${ci.count} queued`);
    }
    return lines.join("\n");
  }

  /** Lets a CPU go on from where it stands. */
  release(cpu: number): void {
    const { w } = this.#k;
    const ci = this.#cpu(cpu);
    // Here, so that `reached` does not see where it stood before.
    Atomics.store(w, ci.at + HELD_AT, 0);
    Atomics.add(w, ci.at + GRANT, 1);
    Atomics.notify(w, ci.at + GRANT);
  }

  /** Moves the clock on by one tick, for all CPUs that run or have callouts. */
  tick(): void {
    const { g, w, hz } = this.#k;
    g.ticks = (g.ticks + 1) | 0;
    g.time += 1 / hz;
    for (let cpu = 0; cpu < g.ncpu; cpu++) {
      const ci = this.#cpu(cpu);
      if (ci.sleeping !== 0 && ci.ncallouts === 0) continue;
      Atomics.or(w, ci.at + ATTENTION, ATTN_TICK);
      if (Atomics.load(w, ci.at + SLEEPING) !== 0) this.#wake(ci);
    }
  }

  #wake(ci: Cpu): void {
    Atomics.add(ci.w, ci.at + WAKE, 1);
    Atomics.notify(ci.w, ci.at + WAKE);
  }

  // --- the whole machine -------------------------------------------------------------------------

  /**
   * Arms everything, and lets the CPUs come to where they would sleep, with their clocks alike: so that every `run` begins
   * the same. `outside`: those that compute outside the kernel, and go on computing until the caller lets them come in.
   */
  async armAll(outside: (cpu: number) => boolean): Promise<void> {
    const { g, w, hz } = this.#k;
    for (let cpu = 0; cpu < g.ncpu; cpu++) Atomics.store(w, this.#cpu(cpu).at + ARMED, ALL_POINTS);
    g.pstatsAt = (g.ticks + hz) | 0;
    for (let cpu = 0; cpu < g.ncpu; cpu++) {
      const ci = this.#cpu(cpu);
      if (!outside(cpu)) {
        this.#wake(ci);
        while ((await this.reached(cpu)) !== "idle.sleeping" || ci.attention !== 0) {
          if (this.heldAt(cpu) === "idle.sleeping") this.#wake(ci);
          this.release(cpu);
        }
      }
      ci.tick = g.ticks;
      ci.ticks = hz / 10;
      Atomics.and(w, ci.at + ATTENTION, ~ATTN_TICK);
    }
  }

  /**
   * Runs the machine, one CPU at a time, until nothing can happen any more, after `armAll`. Returns what was granted.
   *
   * A CPU that is about to sleep is asked for a grant once somebody has woken it. The clock is an actor while callouts are
   * pending.
   */
  async run(options: RunOptions): Promise<Grant[]> {
    const { g, w } = this.#k;
    const grants: Grant[] = [];
    /** For CPUs that are about to sleep: their count of wake-ups when they came there. */
    const asleepAt = new Map<number, number>();
    let relaxed = 0;
    for (;;) {
      // First wait until everybody stands, then look: who goes may wake another.
      for (let cpu = 0; cpu < g.ncpu; cpu++) {
        const stands = (): boolean => options.finished(cpu) || this.heldAt(cpu) !== null;
        await this.until(`CPU ${cpu} comes to a point`, stands);
      }
      const ready: number[] = [];
      for (let cpu = 0; cpu < g.ncpu; cpu++) {
        if (options.finished(cpu)) continue;
        const wake = Atomics.load(w, this.#cpu(cpu).at + WAKE);
        if (this.heldAt(cpu) !== "idle.sleeping") asleepAt.delete(cpu);
        else if (!asleepAt.has(cpu)) asleepAt.set(cpu, wake);
        if (asleepAt.get(cpu) !== wake) ready.push(cpu);
      }
      const clock = this.#calloutsPending();
      if (ready.length === 0 && !clock) return grants;
      if (grants.length >= options.limit) {
        throw new LockstepError(`not at rest after ${options.limit} grants\n${this.describe()}`);
      }
      const n = options.choose(ready.length + (clock ? 1 : 0));
      if (n === ready.length) {
        grants.push("tick");
        this.tick();
        continue;
      }
      const cpu = ready[n];
      const point = this.heldAt(cpu) as DelayPoint;
      relaxed = point === "cpu.relax" ? relaxed + 1 : 0;
      if (relaxed > STUCK) throw new LockstepError(`all wait for each other\n${this.describe()}`);
      grants.push(`${cpu} ${point}`);
      asleepAt.delete(cpu);
      this.release(cpu);
    }
  }

  #calloutsPending(): boolean {
    for (let cpu = 0; cpu < this.#k.g.ncpu; cpu++) if (this.#cpu(cpu).ncallouts !== 0) return true;
    return false;
  }

  /** Disarms everything and lets everybody go; the clock goes on from where it stands. */
  off(): void {
    const { g, w, hz } = this.#k;
    g.time = Math.max(g.time, (g.ticks - 0.5) / hz);
    g.wallAtBoot = hostTime() - g.time;
    g.lockstep = 0;
    for (let cpu = 0; cpu < g.ncpu; cpu++) {
      Atomics.store(w, this.#cpu(cpu).at + ARMED, 0);
      this.release(cpu);
    }
  }
}

/** Tells the controller that something has changed: for programs that it drives. */
export function announce(k: Kernel): void {
  Atomics.add(k.w, k.g.at + REACHED, 1);
  Atomics.notify(k.w, k.g.at + REACHED);
}
