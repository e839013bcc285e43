/** What the stress of the thread library and its driver share: the kinds of operations, and where their figures stand. */
import { CPUS_MAX } from "./shared.js";
import { Words } from "./words.js";

/** Kinds of operations, in the order of their counters. */
export const KINDS = [
  "Mutex.lock",
  "Mutex.lock timed",
  "Mutex.unlock",
  "Condition.wait",
  "Condition.signal",
  "Condition.broadcast",
  "Semaphore.wait",
  "Semaphore.wait timed",
  "Semaphore.post",
  "RwLock.readLock",
  "RwLock.writeLock",
  "RwLock.unlock",
  "Barrier.wait",
  "Once.run",
  "Channel.send",
  "Channel.receive",
  "Thread.spawn",
  "Thread.cancel",
  "Thread.join",
  "Thread.suspend",
  "Thread.resume",
  "Thread.priority",
  "Scope.run",
  "ThreadLocal",
  "SharedBytes",
  "lwpCtl",
  "lwpSetprivate",
  "lwpCreate PIDLID",
  "schedSetparam",
  "schedSetaffinity",
  "stop and continue",
  "setresuid",
  "cross-call low",
  "cross-call high",
  "kthread",
  "pserialize read",
  "pserialize perform",
  "specificdata",
  "rwEnter",
] as const;

export type Kind = (typeof KINDS)[number];

/** Agents of each CPU. */
export const AGENTS = 16;
/** Objects of each kind. */
export const OBJECTS = 4;

const words = new Words();
const take = (n: number) => words.take(n);

/** Operations still to be handed out, the seed, agents that have begun. */
export const LEFT = take(1);
export const SEED = take(1);
export const READY = take(1);
/** Of each CPU, the CPU + 1 that last used an object; objects are numbered over all kinds. */
export const LAST = take(64);
/** Who is in each mutex; the permits in use of each semaphore; readers, and writers, of each rwlock, the last the kernel's. */
export const IN_MUTEX = take(OBJECTS);
export const PERMITS = take(OBJECTS);
export const READERS = take(OBJECTS + 1);
export const WRITERS = take(OBJECTS + 1);
/** How often the routine of each Once has run. */
export const ONCE_RUNS = take(OBJECTS);
/** Sums of the values that were sent, and received. */
export const SENT = take(1);
export const RECEIVED = take(1);
/** Threads cancelled where they waited, and those that have cleaned up. */
export const CANCELLED = take(1);
export const CLEANED = take(1);
/** Calls that CPUs were asked for, and have run. */
export const CALLS_ASKED = take(1);
export const CALLS_RUN = take(1);
/** Kernel threads started, and run. */
export const KTHREADS_MADE = take(1);
export const KTHREADS_RUN = take(1);
/** LWPs with an id of the pid table made, and run. */
export const PIDLIDS_MADE = take(1);
export const PIDLIDS_RUN = take(1);
/** Threads that have stored a value of specificdata, and values destroyed. */
export const VALUES_STORED = take(1);
export const VALUES_DESTROYED = take(1);
/** LWPs that were given a CPU of their own before they ran, and that ran there. */
export const AFFINE_MADE = take(1);
export const AFFINE_RUN = take(1);
/** What readers of passive serialisation look at: which of the objects; 1 = it may be looked at. */
export const CURRENT = take(1);
export const VALID = take(CPUS_MAX * AGENTS);
/** A rwlock of the kernel; the key of specificdata. */
export const RWLOCK = take(2);
export const KEY = take(1);
/** Counters of each CPU: operations by kind, and those on what another CPU had used last. */
export const COUNTS = take(CPUS_MAX * KINDS.length * 2);
export const SCRATCH_WORDS = words.taken;

export function countAt(cpu: number, kind: number, cross: 0 | 1): number {
  return COUNTS + (cpu * KINDS.length + kind) * 2 + cross;
}
