/**
 * Quiet: nothing in a machine can ever move again by itself.
 *
 * That is so when all CPUs sleep at one moment with nothing queued for any of them, no thread's time-out pending, and no event
 * loop in which something of the host could still happen. It stays so then, since every change begins on a CPU that is
 * awake, or in a callback of its realm's event loop. Kernel memory tells all of it, so any realm may look, without a lock:
 *
 * (1) A CPU says how it sleeps. ASLEEP_BLOCKED: its event loop stands still. ASLEEP_IN_LOOP: it waits in its event loop, and
 * callbacks of the host may run. ASLEEP_LOOP_EMPTY: it does, and its event loop has nothing left to wait for.
 * (2) A CPU that wakes counts that in `turns` before it does anything else.
 * (3) Whoever queues work for a CPU that sleeps does so before he notifies it, so from then until it is awake its queue or its
 * attention word shows it.
 * (4) Who looks reads all CPUs twice. One that is asleep both times, and has not turned in between, has slept all the
 * while; if that holds of all, there was a moment at which all slept. Work that one of them had queued for another before
 * that moment shows at the second look.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import type { Kernel } from "../sys/kernel.js";
import { ASLEEP_BLOCKED, ASLEEP_IN_LOOP, ASLEEP_LOOP_EMPTY, CPU_ONLINE } from "../sys/param.js";
import { CO_ARG, CO_FUNC, CO_NEXT, COLIST_WORDS, WHEEL_LEVELS, WHEEL_SIZE } from "../sys/shapes.js";
import { CALLOUT_SLEEPQ_TIMEOUT } from "../kern/callout.js";

const { sleeping: SLEEPING, turns: TURNS, attention: ATTENTION, todo: TODO, wheel: WHEEL } = CpuRecord.offset;

/**
 * Whether nothing in the machine can move again, as far as memory tells. `host`: index of the CPU whose realm booted the
 * machine, 0 if that is none. It has to wait in its event loop, and is asked itself whether that is empty.
 */
export function machineQuiet(k: Kernel, host: number): boolean {
  const turns = turnsOf(k);
  return allAsleep(k, host) && !programTimers(k) && allAsleep(k, host) && turnsOf(k) === turns;
}

/** How often the CPUs have woken, all together. */
export function turnsOf(k: Kernel): number {
  let turns = 0;
  for (let i = 1; i <= k.g.ncpu; i++) turns = (turns + Atomics.load(k.w, k.cpus.view(i).at + TURNS)) | 0;
  return turns;
}

/** One look: every CPU sleeps and has nothing to do. */
export function allAsleep(k: Kernel, host: number): boolean {
  const { g } = k;
  if (g.zombies !== 0 || g.halted !== 0 || g.dead !== 0) return false;
  for (let i = 1; i <= g.ncpu; i++) {
    const ci = k.cpus.view(i);
    if (!sleepsWell(ci, i === host) || ci.state !== CPU_ONLINE) return false;
    if (Atomics.load(k.w, ci.at + ATTENTION) !== 0 || ci.count !== 0 || ci.migrating !== null) return false;
  }
  return true;
}

/** Whether nothing of the host can wake it; the one that is asked itself need only be in its event loop. */
function sleepsWell(ci: Cpu, host: boolean): boolean {
  const how = Atomics.load(ci.w, ci.at + SLEEPING);
  return host ? how === ASLEEP_IN_LOOP : how === ASLEEP_BLOCKED || how === ASLEEP_LOOP_EMPTY;
}

/** Whether a time-out of a program's thread is pending. Those of the system's own threads do not count. */
function programTimers(k: Kernel): boolean {
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    if (ci.ncallouts === 0) continue;
    if (listCounts(k, ci.at + TODO)) return true;
    for (let n = 0; n < WHEEL_LEVELS * WHEEL_SIZE; n++)
      if (listCounts(k, ci.at + WHEEL + n * COLIST_WORDS)) return true;
  }
  return false;
}

function listCounts(k: Kernel, list: number): boolean {
  const { w } = k;
  // The list may change meanwhile; then a CPU is awake, and the second look sees that.
  for (let c = w[list], n = 0; c !== 0 && n < k.limits.lwps; c = w[c + CO_NEXT], n++) {
    if (w[c + CO_FUNC] !== CALLOUT_SLEEPQ_TIMEOUT || k.lwps.view(w[c + CO_ARG]).proc.index !== 1) return true;
  }
  return false;
}
