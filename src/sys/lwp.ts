/**
 * `struct lwp`: one schedulable thread.
 *
 * Locks (LWP-4..8): a = proc_lock, p = p.lock, l = the LWP's own lock (`l.mutex` says which one that is at
 * the moment), s = run-queue lock, h = stripe of the lid table, S = select cluster, ! = only the LWP itself,
 * ~ = stable, @ = atomic, r = the realm it belongs to.
 */
import { area, cold, defineRecord, type Face, f64, i32, ref, text, the, View } from "./record.js";
import { CALLOUT_WORDS, CV_WORDS } from "./shapes.js";
import { MAXCOMLEN, WMESGLEN } from "./param.js";
import { SF_WORDS } from "./signal.js";
import type { Kernel } from "./kernel.js";

export const lwpFields = {
  // --- switching: what every switch touches, together ---
  /** LSIDL .. LSSUSPENDED; written by `setStat` alone. */
  stat: i32("l"),
  /** LW_*; other CPUs set bits with the LWP locked. */
  flag: i32("l"),
  /** LP_*; written by the LWP, or by the CPU that switches it. */
  pflag: i32("!"),
  /** Address of the spin lock that covers it now; follows the state (LWP-17). */
  mutex: i32("l"),
  /** 1 from the moment it is switched out until its context is saved; whoever takes it over waits. */
  ctxswtch: i32("@"),
  /** The CPU it is tied to: runs, ran last, or is queued on. */
  cpu: the("l", "cpu"),
  /** A migration asked for; survives sleeping, cleared by the idle loop alone (LWP-76). */
  targetCpu: ref("l", "cpu"),
  /** What user space sees and decay works on; 0..223. */
  priority: i32("l"),
  /** Lent by waiters; -1 = none. */
  inheritedprio: i32("l"),
  /** Whether the kernel boost is on (SCH-5). */
  kpriority: i32("!"),
  /** Base of the boost: PRI_KERNEL, or PRI_KTHREAD on a turnstile. */
  kpribase: i32("!"),
  /** Realm its context lives in; 0 = none yet, or a context that lives in no realm (R4). */
  realm: i32("l"),
  runqNext: i32("s"),
  runqPrev: i32("s"),
  /** Tick when it was last chosen to run. */
  rticks: i32("l"),
  /** Ticks of running that ended in a yield or preemption. */
  rticksum: i32("l"),
  /** Machine time when it was put on a CPU. */
  stime: f64("l"),
  /** Run time in seconds, charged at switch-out. */
  rtime: f64("l"),
  /** Context switches, and how many of them were asked for by `preempt`: 64-bit counters, exact to 2^53 as doubles. */
  ncsw: f64("l"),
  dopreempt: i32("s"),
  /** The word of user memory behind its two lwpctl words; 0 = none. */
  lwpctl: i32("p"),

  // --- sleeping ---
  /** Opaque identity of what it waits for; 0 = on no sleep queue. */
  wchan: i32("l"),
  /** Short text for tools; meaningful while `wchan` is set. */
  wmesg: text("l", WMESGLEN),
  /** SOBJ_*; SOBJ_SCHED while on no sleep queue. */
  syncobj: i32("l"),
  /** Address of the sleep queue it is on; 0 = none. */
  sleepq: i32("l"),
  sleepqNext: i32("l"),
  sleepqPrev: i32("l"),
  /** Result of the sleep. */
  sleeperr: i32("!"),
  /** Whole seconds since it blocked. */
  slptime: i32("l"),
  /** Tick when it went to sleep. */
  slpticks: i32("l"),
  /** Ticks asleep. */
  slpticksum: i32("l"),
  /**
   * What its waker gave it: 0 = the wait was ended from outside, 1 = what it waited for; more is said by who gives it. Set
   * with the queue locked, so whoever takes an LWP off an object's queue decides what becomes of its wait.
   */
  granted: i32("l"),
  /** Interlock of the condition variable it waits on. */
  cvlock: i32("l"),
  /** The turnstile it owns, or sleeps on. */
  ts: ref("l", "turnstile"),

  // --- life: identity, lists, what it runs ---
  /** Its process, for life (LWP-1). */
  proc: the("~", "proc"),
  /** Id within the process; strictly increasing there (LWP-31). */
  lid: i32("~"),
  /** LPR_* */
  prflag: i32("p"),
  /** References; its own is the first. At 0 signals ignore it (LWP-29, 30). */
  refcnt: i32("p"),
  /** SCHED_OTHER, SCHED_FIFO, SCHED_RR */
  class: i32("l"),
  /** Whether it has a name at all. */
  named: i32("p"),
  /** CTX_*: how its context is made when it first runs. */
  ctxkind: i32("~"),
  /** Entry or step-function id. */
  entry: i32("~"),
  /** One word of argument: often the index of a thread record. */
  arg: i32("~"),
  /** How far a step context, or an epilogue, has come. */
  phase: i32("!"),
  /** On p.lwps, newest first. */
  siblingNext: i32("p"),
  siblingPrev: i32("p"),
  /** On alllwp, newest first. */
  listNext: i32("a"),
  listPrev: i32("a"),
  /** On its bucket of the lid table. */
  lidNext: i32("h"),
  /** Lid of the first specific waiter; 0 = none. */
  waiter: i32("p"),
  /** Lid it waits for; 0 = any, or not waiting. */
  waitingfor: i32("p"),
  /** Its copy of the process's credentials (kern/cred.ts); null once it exits. */
  cred: ref("!", "cred"),
  /** Real uid of the cached credentials; still read after the reference is gone (LWP-53). */
  uid: i32("!"),
  /** Whether it holds a reference on its process's descriptor table. */
  fd: i32("!"),
  /** Its specificdata; every exit asks. */
  specdataref: i32("!"),
  /** Two words of pending signals, two of the mask; alternate stack as an opaque word. */
  sigpend: area("p", 2),
  sigmask: area("p", 2),
  /** First of the turnstiles through which priority is lent to it. */
  piLenders: ref("l", "turnstile"),
  /** Time-sharing estimate of recent CPU use. */
  estcpu: i32("l"),
  /** Processor set. */
  psid: i32("l"),
  /** Affinity mask of CPU indices as bits; 0 = none. */
  affinity: i32("l"),
  /** Preemption is off while this is not 0; a request met meanwhile waits in dopreempt. */
  nopreempt: i32("!"),
  /** Depth of the big kernel lock, and what it was before the last switch; there is none here, so always 0. */
  blcnt: i32("!"),
  /** Statclock ticks since last taken. */
  cpticks: i32("@"),
  nivcsw: f64("l"),
  /** Timeout of its sleep; the handler is `sleepqTimeout`. */
  timeoutCh: area("!", CALLOUT_WORDS),
  /** "vfork": the parent waits here. */
  waitcv: area("a", CV_WORDS),
  /** "sigwait" */
  sigcv: area("p", CV_WORDS),

  // --- cold: rarely touched, in a table of their own ---
  /** Name, kept when `named`; "(zombie)" once dead. */
  name: cold(text("p", MAXCOMLEN)),
  /** M2: ticks of its slice. */
  timeslice: cold(i32("l")),
  /** Seconds it has existed. */
  swtime: cold(i32("l")),
  pctcpu: cold(i32("p")),
  sigstk: cold(i32("p")),
  /** First of the queued details of its pending signals. */
  siginfo: cold(i32("p")),
  /** The mask to go back to after the next handler, and whether that is asked for (sigsuspend). */
  sigoldmask: cold(area("p", 2)),
  sigrestore: cold(i32("p")),
  /** In sigwait: whether it is on its process's list, the set (two words), the signal it was handed, the next on the list. */
  sigwaiting: cold(i32("p")),
  sigwaitset: cold(area("p", 2)),
  sigwaited: cold(i32("p")),
  sigwaiterNext: cold(i32("p")),
  /** Signal whose handler it is about to enter, 0 = none; what with (SF_*), or with what it was handed a signal. */
  sigcaught: cold(i32("!")),
  sigframe: cold(area("p", SF_WORDS)),
  /** Handlers it has entered. */
  nsignals: cold(i32("!")),
  /** The set from which a signal was taken that is not yet delivered. */
  sigpendset: cold(i32("p")),
  /** Its user-level context link. */
  ctxlink: cold(i32("p")),
  /** State of the wait; first descriptor record waited for; result. S = the cluster's lock. */
  selflag: cold(i32("S")),
  selwait: cold(i32("S")),
  selret: cold(i32("S")),
  selrec: cold(i32("!")),
  selcluster: cold(i32("!")),
  selbits: cold(i32("~")),
  selni: cold(i32("~")),
  /** Its private pointer; the emulation's. */
  private: cold(i32("!")),
  emuldata: cold(i32("!")),
  /** A fast soft interrupt lent by this LWP: the LWP to switch to. */
  switchto: cold(ref("!", "lwp")),
  /** Locks held, as the lock checker counts them: first of the list, shared, exclusive. */
  ldLocks: cold(i32("!")),
  shlocks: cold(i32("!")),
  exlocks: cold(i32("!")),
  /** Traced context switches pending; system-call table in force; descriptor that an open has cloned. */
  ktrcsw: cold(i32("!")),
  sysent: cold(i32("!")),
  dupfd: cold(i32("!")),
  /** Generation of the time counter it reads. */
  tcgen: cold(i32("!")),
  /** The last preemption refused: where, for which lock, when. */
  pfailaddr: cold(i32("!")),
  pfaillock: cold(i32("!")),
  pfailtime: cold(f64("!")),
  /** Data of a tracer. */
  dtrace: cold(i32("~")),
  lcpage: cold(i32("p")),
  biglocks: cold(i32("l")),
  /** Voluntary and involuntary switches of its rusage. */
  nvcswRu: cold(i32("!")),
  nivcswRu: cold(i32("!")),
  /** Not 0 while it waits for the child of its vfork. */
  vforkwait: cold(i32("a")),
  /** Words of a step function. */
  words: cold(area("!", 16)),
  /** Result of the last kernel call of a step context. */
  retval: cold(i32("!")),
} as const;

/** What an LWP runs, as its realm holds it. */
export interface Context {
  /**
   * Runs until the LWP leaves its context, and returns whether there is one to come back to: false means the LWP has
   * exited and its record may be gone. Called by the dispatcher alone.
   */
  resume(l: Lwp): boolean;
  /** Values of the thread's own, by key (ThreadLocal); null until there is one. Contexts without have none. */
  locals?: unknown[] | null;
}

class LwpView extends View {
  /** Host side (R1): only in the realm that owns it, null otherwise and after exit. */
  context: Context | null = null;
  /** Host side: the closure a CTX_CLOSURE LWP starts with. */
  closure: unknown = null;
  /** Host side, stepwise machines: the step of the current operation has ended. */
  stepped = false;
  constructor(k: Kernel, at: number, index: number) {
    super(k, at, index);
  }
}

export interface Lwp extends LwpView, Face<typeof lwpFields> {}
declare module "./record.js" {
  interface RecordTypes {
    lwp: Lwp;
  }
}
export const LwpRecord = defineRecord<Lwp>("Lwp", lwpFields, LwpView);
