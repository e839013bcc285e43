/**
 * `struct proc`: what the LWPs of a process share.
 *
 * Locks: a = proc_lock, p = p.lock, u = that of user memory, ~ = stable, ! = the coordinating LWP only.
 */
import { area, defineRecord, type Face, f64, i32, ref, spinlock, text, View } from "./record.js";
import { CALLOUT_WORDS, CV_WORDS } from "./shapes.js";
import { MAXCOMLEN } from "./param.js";

export const procFields = {
  pid: i32("~"),
  /** SIDL .. SDEAD */
  stat: i32("p"),
  /** PS_* */
  sflag: i32("p"),
  /** PK_* */
  flag: i32("p"),
  /** PSL_*; written with both locks held. */
  slflag: i32("ap"),
  /** PL_* */
  lflag: i32("a"),
  comm: text("p", MAXCOMLEN),
  /** Covers the process and its LWPs' process-level fields. Spins here; adaptive in the original. */
  lock: spinlock(),
  parent: ref("a", "proc"),
  /** On allproc, newest first. */
  listNext: i32("a"),
  listPrev: i32("a"),

  /** On the list of dead processes. */
  zombieNext: i32("a"),

  /** First of its LWPs, newest first. */
  lwps: i32("p"),
  /** LWPs, zombies included (LWP-22). */
  nlwps: i32("p"),
  /** Zombies, and LWPs on their way to be one (LWP-23). */
  nzlwps: i32("p"),
  /** Running or likely to run soon: IDL, RUN, ONPROC, SLEEP (LWP-25). */
  nrlwps: i32("p"),
  /** Zombies that somebody may still collect: neither detached nor freed. */
  nzjoin: i32("p"),
  /** Detached LWPs, zombies included (LWP-24). */
  ndlwps: i32("p"),
  /** LWPs in `lwpWait1` (LWP-26). */
  nlwpwait: i32("p"),
  /** Last lid handed out (LWP-27). */
  nlwpid: i32("p"),
  /** The one detached zombie that nobody has freed yet. */
  zomblwp: ref("p", "lwp"),
  /** "lwpwait": broadcast whenever a condition of `lwpWait1` may have changed (LWP-70). */
  lwpcv: area("p", CV_WORDS),
  /** "wait": the parent waits here for children. */
  waitcv: area("a", CV_WORDS),

  /** Two words of pending signals. */
  sigpend: area("p", 2),
  /** First of the queued details of those. */
  siginfo: i32("p"),
  /** Two words of ignored signals, and of caught ones. */
  sigignore: area("p", 2),
  sigcatch: area("p", 2),
  /** Of those the ones whose handler is a closure: only LWPs of its realm can run it. */
  siglocal: area("p", 2),
  /** Not 0 once an action was set: the table of them is not as it began. */
  sigacts: i32("p"),
  /** First of the LWPs in `sigtimedwait`, the latest first. */
  sigwaiters: ref("p", "lwp"),
  /** Its alarm, once it has one: the callout is set up. */
  alarmed: i32("p"),
  alarmCh: area("p", CALLOUT_WORDS),
  /** Exit status, or the signal that stopped it. */
  xstat: i32("p"),
  /** Signal that ends it as soon as one of its LWPs comes to its exit; 0 = none. */
  killed: i32("p"),
  waited: i32("p"),
  nstopchild: i32("a"),
  /** Children, the dead ones that nobody has collected included. */
  nchildren: i32("a"),
  /** The LWP that waits for it since a vfork; PL_PPWAIT is set with it. */
  vforklwp: ref("a", "lwp"),

  /** Its credentials: the master copy, of which each LWP has one of its own. */
  cred: ref("p", "cred"),
  /** Their real uid. */
  uid: i32("p"),
  /** LWPs whose copy is the master; references on the descriptor table. */
  credrefs: i32("p"),
  fdrefs: i32("p"),
  /** Soft and hard RLIMIT_NTHR. */
  nthrSoft: i32("p"),
  nthrHard: i32("p"),
  /** Seconds of run time of LWPs that are gone, their share of the CPU, their switches. */
  rtime: f64("p"),
  pctcpu: i32("p"),
  nvcsw: f64("p"),
  nivcsw: f64("p"),
  nice: i32("p"),
  /** Machine time when its main began, and when its last LWP exited. */
  startTime: f64("!"),
  endTime: f64("p"),
  /** Which linked program its LWPs run; 0 = none. */
  program: i32("~"),
  /** Whoever runs it has been warned of a closure that stays on its CPU. */
  warned: i32("a"),
  /** First of its ranges of user memory. */
  umem: i32("u"),
  /** Its container of specificdata; 0 = none. */
  specdataref: i32("p"),
  /** Its lwpctl header; 0 = none. */
  lwpctl: i32("p"),
} as const;

class ProcView extends View {
  /** Host side: handlers of signals that are closures of this realm, by signal; of an earlier life if `handlersGen` says so. */
  handlers: unknown[] | null = null;
  handlersGen = 0;
}

export interface Proc extends ProcView, Face<typeof procFields> {}
declare module "./record.js" {
  interface RecordTypes {
    proc: Proc;
  }
}
export const ProcRecord = defineRecord<Proc>("Proc", procFields, ProcView);
