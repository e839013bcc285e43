/**
 * The port of real CPUs: clock, notifies, back-off.
 *
 * Uses only what Node's workers and pages both have: `performance`, `Atomics`. One per kernel and realm.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { KernelAssertion } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { ATTN_SLICE, ATTN_TICK, AWAKE } from "../sys/param.js";
import type { Port } from "../sys/port.js";
import type { Proc } from "../sys/proc.js";
import { GlobalsRecord } from "../sys/globals.js";
import { AT_CPU_RELAX, DELAY_POINTS } from "../kern/delay.js";
import { panic } from "../kern/panic.js";
import { atomicOr } from "../kern/spin.js";

/** Rounds of pure spinning before a waiting CPU sleeps a moment. */
const SPIN_ROUNDS = 200;
/** Longest wait for another CPU, in milliseconds: NetBSD's spinout. */
export const SPINOUT_MS = 10_000;

const SLEEPING = CpuRecord.offset.sleeping;
const WAKE = CpuRecord.offset.wake;
const ATTENTION = CpuRecord.offset.attention;
const HELD_AT = CpuRecord.offset.heldAt;
const GRANT = CpuRecord.offset.grant;
const REACHED = GlobalsRecord.offset.lockstepReached;

/** Seconds since 1970, monotonic within a process and equal in all its realms. */
export function hostTime(): number {
  return (performance.timeOrigin + performance.now()) / 1000;
}

export class HostPort implements Port {
  readonly #k: Kernel;
  readonly #onPanic: (message: string) => void;
  #spunSince = 0;

  constructor(k: Kernel, onPanic: (message: string) => void) {
    this.#k = k;
    this.#onPanic = onPanic;
  }

  /** R4: a context that lives in a realm runs on the CPU of that realm. */
  mayRun(l: Lwp, ci: Cpu): boolean {
    return l.realm === 0 || l.realm === ci.realm;
  }

  notify(ci: Cpu): void {
    const { w } = this.#k;
    if (Atomics.load(w, ci.at + SLEEPING) === AWAKE) return;
    // In this order: see cpu/loop.ts. The host may take long to let it run, and others are not to notify it meanwhile.
    Atomics.store(w, ci.at + SLEEPING, AWAKE);
    Atomics.add(w, ci.at + WAKE, 1);
    Atomics.notify(w, ci.at + WAKE);
  }

  now(): number {
    const { g } = this.#k;
    // Under lockstep the controller is the clock.
    return g.lockstep !== 0 ? g.time : hostTime() - g.wallAtBoot;
  }

  wallclock(): number {
    return hostTime();
  }

  /** Steps: spin; then sleep a millisecond at a time, and look whether the other CPU can still come. */
  relax(site: string, rounds: number, address: number, seen: number): void {
    // Under lockstep each look is granted, so that waiting takes no part in who goes first.
    if (this.#k.g.lockstep !== 0 && this.held(cur.cpu, AT_CPU_RELAX)) return;
    if (rounds < SPIN_ROUNDS) {
      if (rounds === 0) this.#spunSince = performance.now();
      return;
    }
    const k = this.#k;
    // If the other one has died, the supervisor says so: nobody else knows why.
    if (k.g.dead !== 0) throw new KernelAssertion(`${site}: the machine is dead: ${k.g.deadText}`);
    if (performance.now() - this.#spunSince > SPINOUT_MS && k.g.lockstep === 0) {
      panic(k, `${site}: spinout on CPU ${cur.cpu.index - 1}, word ${address} is ${seen}`);
    }
    Atomics.wait(k.w, address, seen, 1);
  }

  /** The end of a slice; time and tick only without a clock worker, which is their one writer. */
  selfClock(ci: Cpu): number {
    const k = this.#k;
    const now = this.now();
    let bits = 0;
    if (k.selfClocked) {
      k.g.time = now;
      const ticks = Math.floor(now * k.hz) + 1;
      if (ticks !== k.g.ticks) {
        k.g.ticks = ticks;
        bits |= ATTN_TICK;
      }
    }
    if (now >= ci.sliceEnd) bits |= ATTN_SLICE;
    if (bits !== 0) atomicOr(k, ci.at + ATTENTION, bits);
    return now;
  }

  /** CPU 0 collects: let it leave its LWPs for a moment. */
  procExited(_p: Proc): void {
    const ci = this.#k.cpus.view(1);
    atomicOr(this.#k, ci.at + ATTENTION, ATTN_SLICE);
    cur.kicks |= 1;
  }

  choose(): number {
    return 0;
  }

  log(message: string): void {
    console.error(`lwp: ${message}`);
  }

  panicked(message: string): void {
    this.#onPanic(message);
  }

  /**
   * Lockstep: (1) say where this CPU stands; (2) tell the controller; (3) wait for the grant. False: the point is not
   * armed. The end of lockstep, or of the machine, is a grant too.
   */
  held(ci: Cpu, point: number): boolean {
    if ((ci.armed & (1 << point)) === 0) return false;
    const k = this.#k;
    const { w } = k;
    const grant = Atomics.load(w, ci.at + GRANT);
    Atomics.store(w, ci.at + HELD_AT, point + 1);
    Atomics.add(w, k.g.at + REACHED, 1);
    Atomics.notify(w, k.g.at + REACHED);
    while (Atomics.load(w, ci.at + GRANT) === grant && k.g.lockstep !== 0 && k.g.halted === 0) {
      if (k.g.dead !== 0) throw new KernelAssertion(`held at ${DELAY_POINTS[point]}: the machine is dead`);
      Atomics.wait(w, ci.at + GRANT, grant, 100);
    }
    // A grant has cleared it already; what ends the wait otherwise has not.
    if (Atomics.load(w, ci.at + GRANT) === grant) Atomics.store(w, ci.at + HELD_AT, 0);
    return true;
  }
}
