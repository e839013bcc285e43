/**
 * Reschedule requests, and waking CPUs that sleep.
 *
 * A request sets bits in the target's attention word, which it polls, under a lock. The wake-up comes after: the
 * requester notes the CPU in `cur.kicks`, and notifies it once it holds no lock, if that CPU has said it sleeps.
 *
 * Protocol with the idle loop: (1) requester queues work and sets attention; (2) it releases the lock; (3) it reads
 * `sleeping`. Idle CPU: (1) sets `sleeping`; (2) reads attention and its queue; (3) sleeps until `wake` changes.
 * The words are sequentially consistent, so one of the two sees the other. The first who finds it asleep says that it is awake, so
 * that nobody else notifies it; cpu/loop.ts says why it cannot sleep on.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { RESCHED_LAZY } from "../sys/param.js";
import { AT_KICK_PENDING, delayPoint } from "./delay.js";
import { lwpLocked } from "./lwplock.js";
import { kassert } from "./panic.js";
import { atomicOr } from "./spin.js";

const ATTENTION = CpuRecord.offset.attention;

/** Asks a CPU to reschedule; flags 0 means the same as LAZY (SCH-37). */
export function cpuNeedResched(ci: Cpu, flags: number): void {
  const bits = flags === 0 ? RESCHED_LAZY : flags;
  if ((ci.attention & bits) !== bits) atomicOr(ci.k, ci.at + ATTENTION, bits);
  if (ci !== cur.cpu) cur.kicks |= 1 << (ci.index - 1);
}

/** Makes a locked LWP look at its flags soon, wherever it runs (LWP-87). The flag is set before. */
export function lwpNeedUserret(l: Lwp): void {
  kassert(l.k, lwpLocked(l), "lwpNeedUserret: the LWP is not locked");
  cpuNeedResched(l.cpu, 0);
}

/** Wakes a CPU to look for work, without asking for a switch. */
export function cpuKick(ci: Cpu): void {
  if (ci !== cur.cpu) cur.kicks |= 1 << (ci.index - 1);
}

/** Notifies the CPUs that were asked for something. The caller holds no spin lock. */
export function flushKicks(k: Kernel): void {
  if (cur.kicks !== 0) notifyKicked(k);
}

function notifyKicked(k: Kernel): void {
  let { kicks } = cur;
  cur.kicks = 0;
  delayPoint(k, AT_KICK_PENDING);
  while (kicks !== 0) {
    const i = 31 - Math.clz32(kicks);
    kicks &= ~(1 << i);
    k.port.notify(k.cpus.view(i + 1));
  }
}
