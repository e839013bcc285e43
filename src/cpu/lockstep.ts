/**
 * The controller of lockstep: decides which CPU goes on when several stand at delay points (R11).
 *
 * It runs in a realm that is no CPU of the machine. Arming a point makes a CPU stop whenever it gets there; `reached`
 * waits until it has, `release` lets it go on.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { GlobalsRecord } from "../sys/globals.js";
import type { Kernel } from "../sys/kernel.js";
import { DELAY_POINTS, type DelayPoint, delayBit } from "../kern/delay.js";

const ARMED = CpuRecord.offset.armed;
const HELD_AT = CpuRecord.offset.heldAt;
const GRANT = CpuRecord.offset.grant;
const REACHED = GlobalsRecord.offset.lockstepReached;

export class Lockstep {
  readonly #k: Kernel;
  constructor(k: Kernel) {
    this.#k = k;
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
    const { w } = this.#k;
    const word = this.#k.g.at + REACHED;
    for (;;) {
      const seen = Atomics.load(w, word);
      const at = this.heldAt(cpu);
      if (at !== null && (point === undefined || at === point)) return at;
      if (this.#k.g.dead !== 0) throw new Error(`lockstep: the machine is dead: ${this.#k.g.deadText}`);
      const wait = Atomics.waitAsync(w, word, seen, 100);
      if (wait.async) await wait.value;
    }
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

  /** Disarms everything and lets everybody go. */
  off(): void {
    for (let cpu = 0; cpu < this.#k.g.ncpu; cpu++) {
      Atomics.store(this.#k.w, this.#cpu(cpu).at + ARMED, 0);
      this.release(cpu);
    }
    this.#k.g.lockstep = 0;
  }
}
