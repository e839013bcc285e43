/**
 * Boot: process 0 with lwp0, the CPUs and their idle threads (LWP-37, 38, SCH-53).
 *
 * Runs once per machine, on CPU 0, before any other CPU looks at the memory. `kernelAttach` does what every realm must
 * do for itself.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  CPU_ONLINE,
  CPU_STARTING,
  CTX_KTHREAD,
  LP_BOUND,
  LP_MPSAFE,
  LP_RUNNING,
  LPR_DETACHED,
  LSIDL,
  LSONPROC,
  LSSLEEP,
  LW_IDLE,
  LW_SYSTEM,
  NPRI_USER,
  PK_SYSTEM,
  PRI_KERNEL,
  PRI_NONE,
  PRI_USER,
  PRI_USER_RT,
  PRI_XCALL,
  SACTIVE,
  SCHED_OTHER,
  SCHED_RR,
  SOBJ_CV,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { CALLOUT_MPSAFE, CV_SLEEPQ, SLEEPQ_HEAD, SLEEPQ_TAIL } from "../sys/shapes.js";
import { alarmCallout } from "./alarm.js";
import {
  CALLOUT_ALARM,
  CALLOUT_PROC_STOP,
  CALLOUT_SLEEPQ_TIMEOUT,
  calloutInit,
  calloutSetfunc,
} from "./callout.js";
import { cvInit } from "./condvar.js";
import { kauthInit } from "./kauth.js";
import { kauthCredAlloc, lwpInitCreds } from "./cred.js";
import { KCPUSET_CACHE, kcpusetAtomicSet, kcpusetCreate, kcpusetSet } from "./kcpuset.js";
import { lidInsert } from "./lid.js";
import { IPL_NONE, MUTEX_DEFAULT, mutexInit } from "./mutex.js";
import { panic } from "./panic.js";
import { pidtabInit } from "./pid.js";
import { poolGet } from "./pool.js";
import { poolCacheInit } from "./poolcache.js";
import { issignal, postsig, sigrestart } from "./signal.js";
import { KTHREAD_PSTATS, pstatsThread } from "./pstats.js";
import { sleepqTimeout, sleeptabBucket } from "./sleepq.js";
import { umemInit } from "./umem.js";
import { DTOR_NONE, specificdataInit } from "./specificdata.js";
import { uidKnown } from "./uid.js";
import { KTHREAD_XCALL, XC_NULLOP, xcThread } from "./xcall.js";

const STATE = CpuRecord.offset.state;
import { procStopCallout, procStopInit } from "./procstop.js";

export interface BootOptions {
  /** CPUs, at most `limits.cpus`. */
  readonly cpus: number;
  /** Realm of each CPU; simulated CPUs share realm 1. */
  readonly realmOf: (index: number) => number;
  /** Whether an LWP is preempted when its time slice is over; true unless said. */
  readonly preempt?: boolean;
  /** How often a program that wants a lock looks at an owner that runs, before it sleeps; 400 unless said. */
  readonly spins?: number;
  /** DIAG_*: what the library does about a misuse besides throwing; nothing unless said. */
  readonly diag?: number;
}

/** Rounds of looking at the owner of a lock. The host may have taken its core, so they end. */
const SPIN_ROUNDS = 400;

/** Fills the slots of this realm's kernel: every realm does so before it runs kernel code. */
export function kernelAttach(k: Kernel): void {
  k.slots.calloutHandlers[CALLOUT_SLEEPQ_TIMEOUT] = sleepqTimeout;
  k.slots.kthreads[KTHREAD_XCALL] = xcThread;
  k.slots.kthreads[KTHREAD_PSTATS] = pstatsThread;
  k.slots.crosscalls[XC_NULLOP] = () => {};
  k.slots.destructors[DTOR_NONE] = () => {};
  if (k.slots.auth.models.size === 0) kauthInit(k);
  k.slots.calloutHandlers[CALLOUT_PROC_STOP] = procStopCallout;
  k.slots.calloutHandlers[CALLOUT_ALARM] = alarmCallout;
  k.slots.issignal = issignal;
  k.slots.postsig = postsig;
  k.slots.sigrestart = sigrestart;
}

/** Sets up a zeroed memory. */
export function kernelBoot(k: Kernel, options: BootOptions): void {
  kernelAttach(k);
  const { g } = k;
  (g.w as Int32Array)[g.at] = 1;
  g.ncpu = options.cpus;
  g.ncpuonline = options.cpus;
  g.noSlices = options.preempt === false ? 1 : 0;
  g.nspins = options.spins ?? SPIN_ROUNDS;
  g.diag = options.diag ?? 0;
  g.maxlwp = k.limits.lwps;
  g.upreemptPri = 0;
  g.kpreemptPri = PRI_USER_RT;
  g.wallAtBoot = k.port.wallclock();
  // Ticks start at 1: `l.rticks` of 0 means never chosen to run.
  g.ticks = 1;

  // Before there is a current CPU no lock can be taken; nobody else is there yet.
  cur.cpu = k.cpus.view(1);
  initTables(k);
  const p0 = createProc0(k);
  const cpus: Cpu[] = [];
  for (let i = 1; i <= options.cpus; i++) cpus.push(attachCpu(k, options.realmOf(i)));
  createLwp0(k, p0, cpus[0]);
  umemInit(k);
  for (const ci of cpus) createIdle(k, p0, ci);
  for (const ci of cpus) createXcall(k, p0, ci);
}

/** What stands before the first process: the sets of CPUs, the locks and queues of mechanisms (MCH-90). */
function initTables(k: Kernel): void {
  const { g, xc } = k;
  // The superuser has his place, however many others come.
  uidKnown(k, 0);
  specificdataInit(k, k.lwpSpecific);
  specificdataInit(k, k.procSpecific);
  poolCacheInit(k, KCPUSET_CACHE);
  g.attached = kcpusetCreate(k, true);
  g.running = kcpusetCreate(k, true);
  mutexInit(k, g.kthreadLock, MUTEX_DEFAULT, IPL_NONE);
  cvInit(k, g.kthreadCv, "kthrwait");
  mutexInit(k, xc.lock, MUTEX_DEFAULT, IPL_NONE);
  cvInit(k, xc.cv, "xclocv");
  cvInit(k, xc.hiCv, "xchicv");
}

/** A CPU runs: from its loop's start on it takes LWPs, and broadcasts (MCH-41, 93). */
export function cpuRunning(ci: Cpu): void {
  kcpusetAtomicSet(ci.k.g.running, ci.index - 1);
  if (ci.k.mp) Atomics.store(ci.w, ci.at + STATE, CPU_ONLINE);
  else ci.state = CPU_ONLINE;
}

/** A record that boot cannot do without. */
function must<T>(k: Kernel, record: T | null): T {
  if (record === null) panic(k, "boot: the machine's tables are too small");
  return record;
}

function createProc0(k: Kernel): Proc {
  const p = must(k, poolGet(k.procs));
  p.stat = SACTIVE;
  p.flag = PK_SYSTEM;
  p.comm = "system";
  p.nlwpid = 1;
  p.nlwps = 1;
  p.nrlwps = 1;
  p.fdrefs = 1;
  p.cred = must(k, kauthCredAlloc(k));
  p.nice = 20;
  cvInit(k, p.lwpcv, "lwpwait");
  cvInit(k, p.waitcv, "wait");
  k.g.allproc = p.index;
  k.g.nprocs = 1;
  pidtabInit(k, p);
  procStopInit(k);
  return p;
}

function attachCpu(k: Kernel, realm: number): Cpu {
  const ci = must(k, poolGet(k.cpus));
  ci.state = CPU_STARTING;
  ci.realm = realm;
  ci.tick = k.g.ticks;
  ci.ticks = k.hz / 10;
  cvInit(k, ci.haltCv, "callout");
  cvInit(k, ci.xcallCv, "xcall");
  ci.cpuset = kcpusetCreate(k, true);
  kcpusetSet(ci.cpuset, ci.index - 1);
  kcpusetSet(k.g.attached, ci.index - 1);
  if (ci.index === 1) kcpusetSet(k.g.running, 0);
  return ci;
}

/** LWP-38. Its turnstile is `turnstile0`: taken here, and never given back. */
function createLwp0(k: Kernel, p0: Proc, ci: Cpu): Lwp {
  const l = newLwp(k, p0, ci);
  l.lid = p0.nlwpid;
  l.priority = PRI_USER + NPRI_USER - 1;
  l.class = SCHED_OTHER;
  l.named = 1;
  l.name = "swapper";
  l.stat = LSONPROC;
  l.pflag |= LP_RUNNING;
  l.mutex = ci.lwplock;
  insert(k, p0, l);
  ci.curlwp = l;
  ci.onproc = l;
  cur.lwp = l;
  return l;
}

/** "idle/N": priority 0, bound, never enqueued (SCH-53). */
function createIdle(k: Kernel, p0: Proc, ci: Cpu): void {
  const l = newLwp(k, p0, ci);
  l.class = SCHED_RR;
  l.flag |= LW_IDLE;
  l.pflag |= LP_BOUND;
  l.priority = 0;
  l.name = `idle/${ci.index - 1}`;
  l.stat = LSIDL;
  l.mutex = ci.lwplock;
  adopt(p0, l);
  ci.idlelwp = l;
  if (ci.index === 1) return;
  // The other CPUs come up running their idle thread.
  l.stat = LSONPROC;
  l.pflag |= LP_RUNNING;
  ci.curlwp = l;
  ci.onproc = l;
}

/**
 * "xcall/N": bound, of priority 127 (MCH-2). It is born asleep, as it would be after its first run: there is nothing to do
 * until somebody wakes it.
 */
function createXcall(k: Kernel, p0: Proc, ci: Cpu): void {
  const l = newLwp(k, p0, ci);
  l.class = SCHED_RR;
  l.pflag |= LP_BOUND;
  l.priority = PRI_XCALL;
  l.name = `xcall/${ci.index - 1}`;
  l.ctxkind = CTX_KTHREAD;
  l.entry = KTHREAD_XCALL;
  adopt(p0, l);
  l.stat = LSSLEEP;
  l.syncobj = SOBJ_CV;
  l.wchan = ci.xcallCv;
  l.sleepq = ci.xcallCv + CV_SLEEPQ;
  l.wmesg = "xcall";
  l.cvlock = k.xc.lock;
  l.mutex = sleeptabBucket(k.sleeptab, ci.xcallCv);
  k.w[l.sleepq + SLEEPQ_HEAD] = l.index;
  k.w[l.sleepq + SLEEPQ_TAIL] = l.index;
  ci.xcalllwp = l;
}

/** Makes it a detached thread of process 0. */
function adopt(p0: Proc, l: Lwp): void {
  l.lid = p0.nlwpid = p0.nlwpid + 1;
  l.named = 1;
  l.prflag = LPR_DETACHED;
  p0.nlwps++;
  p0.nrlwps++;
  p0.ndlwps++;
  p0.fdrefs++;
  insert(p0.k, p0, l);
}

function newLwp(k: Kernel, p0: Proc, ci: Cpu): Lwp {
  const l = must(k, poolGet(k.lwps));
  l.proc = p0;
  lwpInitCreds(l, p0);
  l.refcnt = 1;
  l.fd = 1;
  l.cpu = ci;
  l.flag = LW_SYSTEM;
  l.pflag = LP_MPSAFE;
  l.kpribase = PRI_KERNEL;
  l.inheritedprio = PRI_NONE;
  l.ts = must(k, poolGet(k.turnstiles));
  calloutInit(k, l.timeoutCh, CALLOUT_MPSAFE);
  calloutSetfunc(k, l.timeoutCh, CALLOUT_SLEEPQ_TIMEOUT, l.index);
  cvInit(k, l.sigcv, "sigwait");
  cvInit(k, l.waitcv, "vfork");
  return l;
}

function insert(k: Kernel, p0: Proc, l: Lwp): void {
  l.siblingNext = p0.lwps;
  if (p0.lwps !== 0) k.lwps.view(p0.lwps).siblingPrev = l.index;
  p0.lwps = l.index;
  l.listNext = k.g.alllwp;
  if (k.g.alllwp !== 0) k.lwps.view(k.g.alllwp).listPrev = l.index;
  k.g.alllwp = l.index;
  k.g.nlwps++;
  lidInsert(l);
}
