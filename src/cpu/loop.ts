/**
 * The life of a real CPU, cooperative with its realm's event loop.
 *
 * It dispatches until there is nothing to run or its slice is over. It turns the loop after each slice while an LWP of it
 * awaits host work (or its realm has a life of its own), and idles in the loop then; only otherwise does it block.
 *
 * Going idle, in steps: (1) spin for a moment, where there are cores for all CPUs; (2) read `wake`; (3) say so in `sleeping`;
 * (4) look once more; (5) wait until `wake` is another. See kern/resched.ts for the other side. Who notifies says that the CPU is
 * awake, and then changes `wake`: so it is notified once, however many queue work for it until it runs. Since it has read
 * `wake` before, it never sleeps while it passes for awake.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { ASLEEP_BLOCKED, ASLEEP_IN_LOOP, ATTN_HALT, ATTN_SLICE, AWAKE, CPU_HALTED } from "../sys/param.js";
import { AT_IDLE_ANNOUNCED, AT_IDLE_SLEEPING, AT_IDLE_WOKEN, delayPoint } from "../kern/delay.js";
import { cpuRunning } from "../kern/init.js";
import { schedCanSteal } from "../kern/placement.js";
import { clockPoll } from "../kern/softclock.js";
import { atomicAnd } from "../kern/spin.js";
import { asCpu, dispatch, STOP_HALT, STOP_SLICE } from "./dispatcher.js";
import { Slices } from "./slice.js";

const SLEEPING = CpuRecord.offset.sleeping;
const WAKE = CpuRecord.offset.wake;
const TURNS = CpuRecord.offset.turns;
const STATE = CpuRecord.offset.state;
const ATTENTION = CpuRecord.offset.attention;
/** Longest blocking wait in milliseconds; a wake-up that only this finds was lost, and is counted. */
const IDLE_WAIT_MS = 1000;
/** A CPU that listens waits in its event loop once it has idled so long, and turns it so often while it computes. */
const LISTEN_IDLE_MS = 20;
const LISTEN_TURN_MS = 50;

export interface LoopOptions {
  /** Whether the realm's event loop has work of its own now: then never block it, and turn it once a slice. */
  embedded(): boolean;
  /** Rounds to spin before going to sleep. */
  readonly idleSpins: number;
  /**
   * Its event loop hears signals: it turns every now and then whatever the LWPs do, and a CPU that has idled for a while
   * waits in it.
   */
  readonly listens: boolean;
  /** The CPU begins to wait in its event loop; it is awake again. */
  rest(): void;
  rise(): void;
  /** Turns the event loop; whether it had something to do. */
  turn(): Promise<boolean>;
  /** Looks at what is not an LWP's: letters, dead processes. True if it did something. */
  errands(): boolean | Promise<boolean>;
}

/** Runs the CPU until the machine stops. */
export async function cpuLoop(ci: Cpu, options: LoopOptions): Promise<void> {
  const { k } = ci;
  const listener = options.listens ? new Listener() : DEAF;
  const slices = new Slices(ci);
  cpuRunning(ci);
  for (;;) {
    const why = dispatch(ci, Number.POSITIVE_INFINITY);
    if (why === STOP_HALT) break;
    if (why === STOP_SLICE && (ci.hostwait !== 0 || options.embedded() || listener.isDue())) {
      listener.turned();
      slices.begin(await options.turn());
      // What was asked for meanwhile is done below: LWPs get their slice, however much the host has to do.
      atomicAnd(k, ci.at + ATTENTION, ~ATTN_SLICE);
    }
    const errand = options.errands();
    if (typeof errand === "boolean" ? errand : await errand) continue;
    if (why === STOP_SLICE) continue;
    const inLoop = ci.hostwait !== 0 || options.embedded() || !k.shared || listener.hasIdled(ci);
    const waiting = idleWait(ci, options, inLoop);
    if (waiting !== null) {
      options.rest();
      await waiting;
      options.rise();
      listener.turned();
      slices.begin(true);
    }
    delayPoint2(ci, AT_IDLE_WOKEN);
    wakeUp(ci);
  }
  options.rise();
  Atomics.store(k.w, ci.at + STATE, CPU_HALTED);
}

/** When the event loop of a CPU that hears signals must be looked after. */
class Listener {
  #turnedAt = performance.now();
  #idleSince = 0;
  #switches = -1;

  /** The event loop turns now. */
  turned(): void {
    this.#turnedAt = performance.now();
  }

  /** Whether it has not turned for long. */
  isDue(): boolean {
    return performance.now() - this.#turnedAt >= LISTEN_TURN_MS;
  }

  /** Whether the CPU, which is idle, has run nothing for long. */
  hasIdled(ci: Cpu): boolean {
    const now = performance.now();
    if (ci.nswitch !== this.#switches) this.#idleSince = now;
    this.#switches = ci.nswitch;
    return now - this.#idleSince >= LISTEN_IDLE_MS;
  }
}

/** Of a CPU that does not listen. */
const DEAF = { turned: () => {}, isDue: () => false, hasIdled: () => false };

/**
 * Whether there is a reason to dispatch. Movable LWPs of another CPU are none as long as none of them may come here: it would be
 * looked for over and over, under both run queues' locks, while the tick looks often enough (SCH-52).
 */
function hasWork(ci: Cpu): boolean {
  return wasAsked(ci) || (ci.index === 1 && ci.k.g.zombies !== 0) || schedCanSteal(ci);
}

/** Whether there is one that somebody has notified it of: nobody does of what it might steal, which it finds at a tick. */
function wasAsked(ci: Cpu): boolean {
  return Atomics.load(ci.w, ci.at + ATTENTION) !== 0 || ci.count !== 0 || ci.migrating !== null;
}

/** Blocks, or returns a promise to wait for; null = there was something to do, or it is over. */
function idleWait(ci: Cpu, options: LoopOptions, inLoop: boolean): Promise<unknown> | null {
  const { k } = ci;
  const { w } = k;
  if (!inLoop) for (let i = 0; i < options.idleSpins; i++) if (hasWork(ci)) return null;
  const seen = Atomics.load(w, ci.at + WAKE);
  Atomics.store(w, ci.at + SLEEPING, inLoop ? ASLEEP_IN_LOOP : ASLEEP_BLOCKED);
  delayPoint2(ci, AT_IDLE_ANNOUNCED);
  if (hasWork(ci)) {
    Atomics.store(w, ci.at + SLEEPING, AWAKE);
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
  const limit = options.listens ? LISTEN_IDLE_MS : IDLE_WAIT_MS;
  const how = Atomics.wait(w, ci.at + WAKE, seen, Math.min(tick, limit));
  if (how === "timed-out" && wasAsked(ci) && (ci.attention & ATTN_HALT) === 0) ci.lostWakeups++;
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
  // See quiet.ts: first the count, then anything else.
  Atomics.add(k.w, ci.at + TURNS, 1);
  Atomics.store(k.w, ci.at + SLEEPING, AWAKE);
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
