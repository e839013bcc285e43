/**
 * The clock of a machine with several CPUs: a realm of its own that takes no lock and never blocks.
 *
 * At each beat it writes the time, advances the tick (hz = 100) and raises attention words: the tick's for CPUs that run or
 * have callouts, or are idle while there is something to steal; the slice's for CPUs whose event loop must turn, when their
 * slice is over.
 */
import { CpuRecord } from "../sys/cpu.js";
import type { Kernel } from "../sys/kernel.js";
import { ATTN_SLICE, ATTN_TICK } from "../sys/param.js";
import { schedVictim } from "../kern/placement.js";

/** Milliseconds between two beats. */
export const BEAT_MS = 2;

const ATTENTION = CpuRecord.offset.attention;

/**
 * One beat. `turnBeats`: CPU 0's event loop has work of its own, and turns every so many beats; 0 = it has none. Under lockstep the
 * controller is the clock.
 */
export function clockBeat(k: Kernel, turnBeats: number): void {
  const { g, w } = k;
  if (g.lockstep !== 0) return;
  const now = k.port.now();
  g.time = now;
  g.heartbeat = (g.heartbeat + 1) | 0;
  const ticks = Math.floor(now * k.hz) + 1;
  const ticked = ticks !== g.ticks;
  if (ticked) g.ticks = ticks;
  const turns = turnBeats !== 0 && g.heartbeat % turnBeats === 0;
  for (let i = 1; i <= g.ncpu; i++) {
    const ci = k.cpus.view(i);
    const idle = ci.sleeping !== 0;
    let bits = 0;
    // SCH-52: an idle CPU looks for something to steal at every tick.
    if (ticked && (!idle || ci.ncallouts !== 0 || schedVictim(k, ci) !== null)) bits |= ATTN_TICK;
    const mustTurn = ci.hostwait !== 0 || (turns && i === 1);
    // One that turns only every so many beats has no slices.
    if (!idle && mustTurn && (turnBeats > 1 || now >= ci.sliceEnd)) bits |= ATTN_SLICE;
    if (bits === 0) continue;
    Atomics.or(w, ci.at + ATTENTION, bits);
    // Also one that was awake before: it may have gone to sleep in between, and not seen the bits.
    k.port.notify(ci);
  }
}
