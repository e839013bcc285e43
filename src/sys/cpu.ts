/**
 * `struct cpu_info` with its scheduler state.
 *
 * Locks: s = ci.mutex (the run-queue lock), c = ci.calloutLock, @ = atomic, ! = only the CPU itself,
 * ~ = stable.
 */
import { area, defineRecord, type Face, f64, i32, line, ref, spinlock, the, View } from "./record.js";
import { COLIST_WORDS, CV_WORDS, WHEEL_LEVELS, WHEEL_SIZE } from "./shapes.js";
import { PRI_COUNT } from "./param.js";

/** Words of the bitmap of non-empty queues. */
export const RUNQ_BITMAP_WORDS = PRI_COUNT / 32;

export const cpuFields = {
  /** CPU_ABSENT .. CPU_FAILED */
  state: i32("@"),
  /** Which realm runs it; simulated CPUs share one. From 1. */
  realm: i32("~"),

  // --- asked for by others ---
  /** RESCHED_* and ATTN_*: what this CPU is to look at. Polled at every resume and at every user return. */
  attention: i32("@"),
  /** AWAKE, or ASLEEP_*: not 0 while it is idle in a way that needs a notify to wake it. */
  sleeping: i32("@"),
  /** Counts wake-ups; an idle CPU waits for it to change. */
  wake: i32("@"),
  /** Counts how often it has woken; changes before it does anything else. */
  turns: i32("@"),
  /** Idle waits that only their time-out ended while there was work: lost wake-ups. */
  lostWakeups: i32("!"),

  // --- scheduling ---
  line1: line(),
  /** Covers running, dead, stopped and suspended LWPs. */
  lwplock: spinlock(),
  /** What it runs. */
  curlwp: the("!", "lwp"),
  /** Like curlwp; the thread underneath a soft interrupt. */
  onproc: the("s", "lwp"),
  idlelwp: the("~", "lwp"),
  /** Effective priority of what runs, as of its dispatch or last user return (SCH-39). */
  curpriority: i32("s"),
  line2: line(),
  /** Run-queue lock: covers IDL and RUN LWPs. Others come here as well. */
  mutex: spinlock(),
  /** LWP that waits for the idle loop to move it. */
  migrating: ref("s", "lwp"),
  /** Highest priority queued; 0 when nothing is. */
  maxpriority: i32("s"),
  psid: i32("s"),
  lastmod: i32("s"),
  /** SPCF_* */
  flags: i32("s"),
  /** Ticks until `schedTick`. */
  ticks: i32("!"),
  schedticks: i32("!"),
  /** Bit MSB >> (priority & 31) of word priority >> 5: that queue is not empty. */
  bitmap: area("s", RUNQ_BITMAP_WORDS),
  /** First and last LWP of each of the 224 queues. */
  queues: area("s", PRI_COUNT * 2),
  /** LWPs queued, and those that may be moved. */
  count: i32("s"),
  mcount: i32("s"),
  avgcount: i32("s"),
  pull: i32("s"),
  push: i32("s"),
  stay: i32("s"),
  localize: i32("s"),
  line3: line(),

  // --- time ---
  /** Hardclock ticks this CPU has handled. */
  tick: i32("!"),
  /** Statclock ticks spent in user mode, the same if niced, in the kernel, in interrupts, idle. */
  cpTime: area("!", 5),
  /** Seconds not idle. */
  busy: f64("!"),
  /** Context switches, LWPs started here, user returns. */
  nswitch: i32("!"),
  nlwps: i32("!"),
  /** LWPs of this realm that await host work. */
  hostwait: i32("@"),
  /** Machine time at which its slice is over, if its event loop must turn. The clock worker reads it. */
  sliceEnd: f64("!"),
  /** Letters posted to this realm so far. */
  mail: i32("@"),

  // --- callouts ---
  calloutLock: spinlock(),
  /** Callouts to look at in the next pass. */
  todo: area("c", COLIST_WORDS),
  wheel: area("c", COLIST_WORDS * WHEEL_LEVELS * WHEEL_SIZE),
  /** Tick up to which the wheel has been turned. */
  wheelTick: i32("c"),
  /** Callout whose handler runs now. */
  calloutRunning: i32("@"),
  /** LWPs that wait for a handler to end, and their interlock. */
  haltLock: spinlock(),
  haltCv: area("haltLock", CV_WORDS),
  /** Callouts queued. */
  ncallouts: i32("c"),

  // --- cross-calls, CPU sets ---
  /** It has a low-priority cross-call to run. */
  xcallPending: i32("xc.lock"),
  /** Ticket of the one that its thread runs; 0 = none. */
  xcallTicket: f64("xc.lock"),
  /** "xcall": its cross-call thread waits here, with `xc.lock`. */
  xcallCv: area("xc.lock", CV_WORDS),
  xcalllwp: the("~", "lwp"),
  /** The set that holds this CPU alone. */
  cpuset: ref("~", "kcpuset"),

  // --- event counters (MCH-97) ---
  /** Callouts that were due before the tick that ran them; waits for a handler to end. */
  calloutLate: f64("c"),
  calloutWait: f64("haltLock"),

  /** What the last join on this CPU has taken, where that is a number. */
  taken: f64("!"),

  // --- lockstep ---
  /** Bits of the delay points at which it stops. */
  armed: i32("@"),
  /** Delay point at which it stands, plus one; 0 = it runs. */
  heldAt: i32("@"),
  /** Changes when it may go on. */
  grant: i32("@"),

  // --- trace ---
  /** Records written so far. */
  traceHead: f64("!"),
} as const;

class CpuView extends View {
  /** Ends an idle wait in this realm's event loop; null = it is in none, or waits in memory. */
  wakeIdle: (() => void) | null = null;
}

export interface Cpu extends CpuView, Face<typeof cpuFields> {}
declare module "./record.js" {
  interface RecordTypes {
    cpu: Cpu;
  }
}
export const CpuRecord = defineRecord<Cpu>("Cpu", cpuFields, CpuView);
