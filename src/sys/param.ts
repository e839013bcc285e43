/**
 * The numbers of the kernel: states, flags, classes, priorities. Values are NetBSD's; tools rely on them.
 */

// --- LWP states (LWP-13) -----------------------------------------------------------------------

/** Created but not yet started, or a kernel thread between two units of work. */
export const LSIDL = 1;
/** On a run queue. */
export const LSRUN = 2;
/** On a sleep queue, or about to be switched out from one. */
export const LSSLEEP = 3;
/** Stopped with its whole process. */
export const LSSTOP = 4;
/** Dead or dying. */
export const LSZOMB = 5;
/** Never assigned. */
export const LSDEAD = 6;
/** On a CPU. */
export const LSONPROC = 7;
/** Suspended by another LWP. */
export const LSSUSPENDED = 8;

export const STATE_NAMES = ["", "IDL", "RUN", "SLEEP", "STOP", "ZOMB", "DEAD", "ONPROC", "SUSPENDED"];

// --- l.flag (LWP-9) ----------------------------------------------------------------------------

export const LW_IDLE = 0x1;
export const LW_LWPCTL = 0x2;
export const LW_SINTR = 0x80;
export const LW_SYSTEM = 0x200;
export const LW_WSUSPEND = 0x20000;
export const LW_BATCH = 0x40000;
export const LW_WCORE = 0x80000;
export const LW_WEXIT = 0x100000;
export const LW_PENDSIG = 0x1000000;
export const LW_CANCELLED = 0x2000000;
export const LW_WREBOOT = 0x8000000;
export const LW_UNPARKED = 0x10000000;
export const LW_RUMP_CLEAR = 0x40000000;
export const LW_RUMP_QEXIT = 0x80000000 | 0;
/** Any of these forces the user-return loop (LWP-10). */
export const LW_USERRET = LW_WEXIT | LW_PENDSIG | LW_WREBOOT | LW_WSUSPEND | LW_WCORE | LW_LWPCTL;

// --- l.pflag (LWP-11) --------------------------------------------------------------------------

export const LP_KTRACTIVE = 0x1;
export const LP_KTRCSW = 0x2;
export const LP_KTRCSWUSER = 0x4;
export const LP_PIDLID = 0x8;
export const LP_OWEUPC = 0x10;
export const LP_MPSAFE = 0x20;
export const LP_INTR = 0x40;
export const LP_SYSCTLWRITE = 0x80;
export const LP_MUSTJOIN = 0x100;
export const LP_VFORKWAIT = 0x200;
export const LP_TIMEINTR = 0x10000;
/** Really on a CPU, whatever `l.stat` says (LWP-14). */
export const LP_RUNNING = 0x20000000;
/** May never migrate: idle threads and other threads of one CPU. */
export const LP_BOUND = 0x80000000 | 0;

// --- l.prflag, creation flags (LWP-12) ---------------------------------------------------------

export const LPR_CRMOD = 0x100;
export const LPR_DETACHED = 0x800000;
export const LWP_DETACHED = 0x40;
export const LWP_SUSPENDED = 0x80;
export const LWP_PIDLID = 0x40000000;
export const LWP_VFORK = 0x80000000 | 0;
/** Flag of `lwpWait1`: the caller coordinates the exit of its process. */
export const LWPWAIT_EXITCONTROL = 1;
/** With it: EAGAIN after one sleep, so that the caller can look at everybody again (LWP-117, PRC-33). */
export const LWPWAIT_ONCE = 2;

// --- processes (PRC-1, PRC-2) ------------------------------------------------------------------

export const SIDL = 1;
export const SACTIVE = 2;
export const SDYING = 3;
export const SSTOP = 4;
export const SZOMB = 5;
export const SDEAD = 6;

/** p.sflag */
export const PS_WCORE = 0x1000;
export const PS_WEXIT = 0x2000;
/** Stop it when it forks, execs, exits: set by sysctl. */
export const PS_STOPFORK = 0x800000;
export const PS_STOPEXEC = 0x1000000;
export const PS_STOPEXIT = 0x2000000;
export const PS_STOPPING = 0x80000000 | 0;
/** p.flag */
export const PK_SYSTEM = 0x2;
/** p.slflag */
export const PSL_TRACED = 0x800;
/** p.lflag */
export const PL_PPWAIT = 0x10;

// --- priorities and classes (SCH-1..3) ---------------------------------------------------------

export const PRI_NONE = -1;
export const PRI_IDLE = 0;
export const PRI_USER = 0;
export const NPRI_USER = 64;
export const PRI_KERNEL = 64;
export const PRI_KTHREAD = 96;
export const PRI_USER_RT = 128;
export const PRI_KERNEL_RT = 192;
export const PRI_COUNT = 224;

export const PRI_SOFTSERIAL = 223;
export const PRI_SOFTNET = 222;
export const PRI_SOFTBIO = 221;
export const PRI_SOFTCLOCK = 220;
export const PRI_XCALL = 127;
export const PRI_PGDAEMON = 126;
export const PRI_VM = 125;
export const PRI_IOFLUSH = 124;
export const PRI_BIO = 123;

/** In a call: leave the class as it is. */
export const SCHED_NONE = -1;
export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;
export const SCHED_RR = 2;

/** No processor set. */
export const PS_NONE = 0;

// --- per-CPU scheduler flags (SCH-6) -----------------------------------------------------------

export const SPCF_SEENRR = 0x1;
export const SPCF_SHOULDYIELD = 0x2;
export const SPCF_OFFLINE = 0x4;
export const SPCF_RUNNING = 0x8;
export const SPCF_NOINTR = 0x10;

/** Reschedule requests (SCH-37); 0 means the same as LAZY. */
export const RESCHED_LAZY = 0x1;
export const RESCHED_IMMED = 0x2;
export const RESCHED_KPREEMPT = 0x4;
export const RESCHED_ANY = RESCHED_LAZY | RESCHED_IMMED | RESCHED_KPREEMPT;

/** Further bits of a CPU's attention word, which it polls. */
export const ATTN_TICK = 0x10;
/** The slice is over: let the host's event loop turn. */
export const ATTN_SLICE = 0x20;
/** The machine stops: it was shut down, or a kernel assertion failed. */
export const ATTN_HALT = 0x40;
/** A cross-call of high priority is to be run: the counterpart of the interrupt that other CPUs send (MCH-4). */
export const ATTN_XCALL = 0x80;

// --- CPU states (ci.state) ---------------------------------------------------------------------

export const CPU_ABSENT = 0;
export const CPU_STARTING = 1;
export const CPU_ONLINE = 2;
export const CPU_HALTED = 3;
/** Its worker died. Whoever waits for a lock it holds panics. */
export const CPU_FAILED = 4;

// --- how a CPU sleeps (ci.sleeping) ------------------------------------------------------------

export const AWAKE = 0;
/** It blocks: nothing of its event loop can happen. */
export const ASLEEP_BLOCKED = 1;
/** It waits in its event loop. */
export const ASLEEP_IN_LOOP = 2;
/** The same, and there is nothing left in it. */
export const ASLEEP_LOOP_EMPTY = 3;

// --- kernel threads and cross-calls (MCH-50, MCH-1) ---------------------------------------------

/** Leave it LSIDL. */
export const KTHREAD_IDLE = 0x1;
export const KTHREAD_MPSAFE = 0x2;
/** It serves interrupts; needs MPSAFE. */
export const KTHREAD_INTR = 0x4;
/** Time-shared; round-robin otherwise. */
export const KTHREAD_TS = 0x8;
/** Somebody will join it, and it waits for that. */
export const KTHREAD_MUSTJOIN = 0x10;

/** Run it at the target's next poll instead of in its cross-call thread. */
export const XC_HIGHPRI = 1;

// --- sizes -------------------------------------------------------------------------------------

/** CPUs that a set of CPUs has room for, a multiple of 32; a machine has at most 32 (MCH-40). */
export const MAXCPUS = 64;
/** Bytes of an LWP's name buffer, the final NUL included. */
export const MAXCOMLEN = 16;
/** Bytes of a wait message that tools show. */
export const WMESGLEN = 8;
export const RLIMIT_NTHR = 11;
/** Most targets of one `lwpUnparkAll` (SYS-28). */
export const LWP_UNPARK_MAX = 1024;
/** Ticks a second. */
export const HZ = 100;
/** Most ticks a CPU catches up on at one poll; the rest is a jump for which nothing is charged. */
export const TICKS_CAUGHT_UP_MAX = 10;

// --- synchronisation objects (BLK-1, BLK-2) ----------------------------------------------------

export const SOBJ_SCHED = 0;
export const SOBJ_SLEEP = 1;
export const SOBJ_CV = 2;
export const SOBJ_SELECT = 3;
export const SOBJ_PARK = 4;
export const SOBJ_MUTEX = 5;
export const SOBJ_RW = 6;
/** An object of the thread library: its queue, and the lock of that, stand in its record. */
export const SOBJ_OBJ = 7;
/** The same, but of equals the latest comes first (THR-36). */
export const SOBJ_OBJ_LIFO = 8;

// --- what the library does about a misuse, besides throwing (g.diag) ------------------------------

/** It ends the process. */
export const DIAG_ABORT = 0x1;
/** It is written to standard error. */
export const DIAG_STDERR = 0x2;

// --- what an LWP runs (l.ctxkind) --------------------------------------------------------------

/** Nothing: idle threads, and process 0's LWP 0. */
export const CTX_NONE = 0;
/** A closure, started in the realm it was made in. */
export const CTX_CLOSURE = 1;
/** A portable entry of a linked program; free to start on any CPU. */
export const CTX_ENTRY = 2;
/** A step function: its whole state is in kernel memory. */
export const CTX_STEP = 3;
/** A function of the kernel, by its number in `slots.kthreads`: the same on every CPU. */
export const CTX_KTHREAD = 4;
