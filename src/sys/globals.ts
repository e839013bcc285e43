/**
 * The kernel's global variables, as one record. Locks: a = proc_lock, @ = atomic, ~ = stable, clock = written by
 * the clock alone.
 */
import { area, defineRecord, type Face, f64, i32, line, ref, spinlock, text, the, View } from "./record.js";
import { CALLOUT_WORDS, CV_WORDS, MTX_WORDS } from "./shapes.js";

export const globalsFields = {
  /** Who is to say why the machine is dead: set first, by one only. Then the text, then `dead`. */
  dying: i32("@"),
  /** Not 0 once a kernel assertion failed: index of the CPU that panicked, plus one, or -1. */
  dead: i32("@"),
  /** Why: the message of the assertion. */
  deadText: text("@", 256),
  /** Not 0 once the machine shuts down in good order. */
  halted: i32("@"),
  /** CPUs that exist. */
  ncpu: i32("~"),
  /** CPUs that accept work. */
  ncpuonline: i32("@"),

  /** Seconds of machine time; refreshed at ticks, idle exits and every n-th switch. */
  time: f64("clock"),
  /** Wall-clock seconds at machine time 0. */
  wallAtBoot: f64("~"),
  /** The global tick. */
  ticks: i32("clock"),
  /** Heartbeats of the clock; the slice in which CPUs are. */
  heartbeat: i32("clock"),

  line1: line(),
  /** proc_lock: lists of processes and LWPs, parentage. */
  procLock: spinlock(),
  /** First on alllwp, first on allproc. */
  alllwp: i32("a"),
  allproc: i32("a"),
  /** First of the dead processes that nobody has collected. */
  zombies: i32("a"),
  /** Due at the next tick while a process is stopping. */
  stopCh: area("~", CALLOUT_WORDS),
  nprocs: i32("a"),
  /** Process ids in use or reserved; first and last of the free slots of their table (see kern/pid.ts). */
  npids: i32("a"),
  pidFirst: i32("a"),
  pidLast: i32("a"),
  /** LWPs that exist. */
  nlwps: i32("a"),
  line2: line(),

  /** kern.maxlwp */
  maxlwp: i32("@"),
  /** LWPs charged to each real uid: a small open table of pairs follows the globals. */
  uidLock: spinlock(),

  /** Thresholds of SCH-21. */
  upreemptPri: i32("@"),
  kpreemptPri: i32("@"),

  /** Bit set per probe id that somebody listens to. */
  probes: i32("@"),
  /** Trace records written so far, over all CPUs. */
  traceSeq: i32("@"),
  /** Tick of the first CPU at which the statistics thread is due. */
  pstatsAt: i32("@"),
  /** 1: a released mutex wakes all its waiters, as the original does; 0: one. */
  mutexWakeAll: i32("~"),
  /** How often a program that wants a lock looks at an owner that runs, before it sleeps. */
  nspins: i32("~"),
  /** DIAG_* */
  diag: i32("~"),
  /** security.models.extensions.user_set_cpu_affinity: 1 = a user may set the affinity of his own processes. */
  userSetCpuAffinity: i32("@"),
  /** 1: no LWP is preempted because its time slice is over. */
  noSlices: i32("~"),
  /** 1: delay points are armed somewhere. */
  lockstep: i32("@"),
  /** Notified by a CPU that reached a delay point. */
  lockstepReached: i32("@"),
  /** Sets of CPUs: those that exist, those that run (MCH-41). */
  attached: the("~", "kcpuset"),
  running: the("~", "kcpuset"),
  /** The one join of kernel threads that goes on: its lock, who is waited for, "kthrwait" (MCH-51). */
  kthreadLock: area("self", MTX_WORDS),
  kthreadTarget: ref("kthreadLock", "lwp"),
  kthreadCv: area("kthreadLock", CV_WORDS),
  /** LWPs asleep with something in the host to wake them, over all CPUs. */
  hostwait: i32("@"),
} as const;

class GlobalsView extends View {}

export interface Globals extends GlobalsView, Face<typeof globalsFields> {}
declare module "./record.js" {
  interface RecordTypes {
    globals: Globals;
  }
}
export const GlobalsRecord = defineRecord<Globals>("Globals", globalsFields, GlobalsView);
