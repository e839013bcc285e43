/**
 * The life of a real CPU, cooperative with its realm's event loop.
 *
 * It dispatches until there is nothing to run or its slice is over. It turns the loop once a slice while an LWP of it awaits
 * host work (or its realm has a life of its own), and idles in the loop then; only otherwise does it block.
 *
 * Going idle, in steps: (1) spin for a moment, where there are cores for all CPUs; (2) say so in `sleeping`; (3) look once
 * more; (4) wait for `wake` to change. See kern/resched.ts for the other side.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { ATTN_HALT, CPU_HALTED } from "../sys/param.js";
import { AT_IDLE_ANNOUNCED, AT_IDLE_SLEEPING, delayPoint } from "../kern/delay.js";
import { cpuRunning } from "../kern/init.js";
import { schedVictim } from "../kern/placement.js";
import { clockPoll } from "../kern/softclock.js";
import { asCpu, dispatch, STOP_HALT, STOP_SLICE } from "./dispatcher.js";

const SLEEPING = CpuRecord.offset.sleeping;
const WAKE = CpuRecord.offset.wake;
const STATE = CpuRecord.offset.state;
const ATTENTION = CpuRecord.offset.attention;
/** Longest blocking wait in milliseconds; a wake-up that only this finds was lost, and is counted. */
const IDLE_WAIT_MS = 1000;

export interface LoopOptions {
  /** Whether the realm's event loop has work of its own now: then never block it, and turn it once a slice. */
  embedded(): boolean;
  /** Rounds to spin before going to sleep. */
  readonly idleSpins: number;
  /** Turns the event loop once. */
  turn(): Promise<void>;
  /** Looks at what is not an LWP's: letters, dead processes. True if it did something. */
  errands(): boolean | Promise<boolean>;
}

/** Runs the CPU until the machine stops. */
export async function cpuLoop(ci: Cpu, options: LoopOptions): Promise<void> {
  const { k } = ci;
  cpuRunning(ci);
  for (;;) {
    const why = dispatch(ci, Number.POSITIVE_INFINITY);
    if (why === STOP_HALT) break;
    const errand = options.errands();
    if (typeof errand === "boolean" ? errand : await errand) continue;
    if (why === STOP_SLICE) {
      if (ci.hostwait !== 0 || options.embedded()) await options.turn();
      continue;
    }
    const waiting = idleWait(ci, options);
    if (waiting !== null) await waiting;
    wakeUp(ci);
  }
  Atomics.store(k.w, ci.at + STATE, CPU_HALTED);
}

/** Whether there is a reason to dispatch. */
function hasWork(ci: Cpu): boolean {
  const { k } = ci;
  if (Atomics.load(k.w, ci.at + ATTENTION) !== 0 || ci.count !== 0 || ci.migrating !== null) return true;
  return (ci.index === 1 && k.g.zombies !== 0) || schedVictim(k, ci) !== null;
}

/** Blocks, or returns a promise to wait for; null = there was something to do, or it is over. */
function idleWait(ci: Cpu, options: LoopOptions): Promise<unknown> | null {
  const { k } = ci;
  const { w } = k;
  const inLoop = ci.hostwait !== 0 || options.embedded() || !k.shared;
  if (!inLoop) for (let i = 0; i < options.idleSpins; i++) if (hasWork(ci)) return null;
  Atomics.store(w, ci.at + SLEEPING, 1);
  delayPoint2(ci, AT_IDLE_ANNOUNCED);
  const seen = Atomics.load(w, ci.at + WAKE);
  if (hasWork(ci)) {
    Atomics.store(w, ci.at + SLEEPING, 0);
    return null;
  }
  delayPoint2(ci, AT_IDLE_SLEEPING);
  // Nobody else raises the ticks of a CPU that is its own clock.
  const tick = k.selfClocked && ci.ncallouts !== 0 ? untilTick(ci) : Number.POSITIVE_INFINITY;
  if (!k.shared) return waitInLoop(ci, tick);
  if (inLoop) {
    const result = Atomics.waitAsync(w, ci.at + WAKE, seen, tick);
    return result.async ? result.value : null;
  }
  const how = Atomics.wait(w, ci.at + WAKE, seen, Math.min(tick, IDLE_WAIT_MS));
  if (how === "timed-out" && hasWork(ci) && (ci.attention & ATTN_HALT) === 0) ci.lostWakeups++;
  return null;
}

/** Waits in the event loop alone, where memory cannot be waited on: only this realm can end it. */
function waitInLoop(ci: Cpu, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = Number.isFinite(milliseconds) ? setTimeout(resolve, milliseconds) : undefined;
    ci.wakeIdle = () => {
      ci.wakeIdle = null;
      clearTimeout(timer);
      resolve();
    };
  });
}

/** Milliseconds until the next tick. */
function untilTick({ k }: Cpu): number {
  return Math.max(1, Math.ceil((k.g.ticks / k.hz - k.port.now()) * 1000));
}

/** A delay point outside any LWP. */
function delayPoint2(ci: Cpu, point: number): void {
  if (ci.k.g.lockstep !== 0) asCpu(ci, () => delayPoint(ci.k, point));
}

/** Awake: the time has gone on meanwhile. */
function wakeUp(ci: Cpu): void {
  const { k } = ci;
  Atomics.store(k.w, ci.at + SLEEPING, 0);
  k.g.time = k.port.now();
  if (k.selfClocked) k.port.selfClock(ci);
  if (k.g.ticks !== ci.tick && k.g.dead === 0) asCpu(ci, () => clockPoll(ci));
}

/** Ends an idle wait of this realm's own CPU: called by host callbacks that have made an LWP go on. */
export function endIdleWait(ci: Cpu): void {
  const { w } = ci.k;
  Atomics.add(w, ci.at + WAKE, 1);
  Atomics.notify(w, ci.at + WAKE);
  ci.wakeIdle?.();
}
