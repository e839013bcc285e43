/**
 * The start of a thread (THR-8..10): its record, its LWP, and what the caller asked for.
 *
 * All that may be wrong is checked before anything is made; the thread starts last, and may have ended before its handle is
 * returned.
 */
import { cur } from "../sys/current.js";
import { EAGAIN, EINVAL, ENOTSUP, EPERM } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  CPU_ONLINE,
  CTX_CLOSURE,
  CTX_ENTRY,
  LWP_SUSPENDED,
  MAXCOMLEN,
  NPRI_USER,
  PRI_NONE,
  PRI_USER_RT,
  SCHED_FIFO,
  SCHED_OTHER,
  SCHED_RR,
} from "../sys/param.js";
import { ProcRecord } from "../sys/proc.js";
import { THREAD_DETACHED, THREAD_MAIN, THREAD_NAMELEN, type ThreadRec } from "../sys/thread.js";
import type { Code } from "../context/beginning.js";
import { type Body, GeneratorContext, isGenerator } from "../context/generator.js";
import { threadBody, threadBodyAround } from "../context/polls.js";
import { lwpStart } from "../kern/lwpcreate.js";
import { lwpLock, lwpUnlock, lwpUnlockTo } from "../kern/lwplock.js";
import { flushKicks } from "../kern/resched.js";
import { convertPri } from "../kern/schedparam.js";
import { fail } from "../syscall/operation.js";
import { warnOfClosure } from "./closurewarning.js";
import { threadEnding } from "./ending.js";
import { type Enter, type ThreadMain, threadHost } from "./host.js";
import { putArgs, takeArgs } from "./passing.js";
import {
  bearThread,
  freeRecord,
  IN_USER_MODE,
  newRecord,
  NO_LWP,
  NO_RECORD,
  spawnClosure,
} from "./record.js";

// By address: see kern/runq.ts.
const PROGRAM = ProcRecord.offset.program;

/** How a thread is scheduled: time-sharing, first in first out, or round robin. */
export type Policy = "other" | "fifo" | "rr";

/** What a thread is to be like; see `Thread.with`. */
export interface ThreadOptions {
  /** At most 31 characters; the kernel, and its tools, keep the first 15. */
  readonly name?: string;
  /** 0..63, 43 unless the spawner's is another; higher goes first. */
  readonly priority?: number;
  /** As the spawner's unless said. Only the superuser may choose "fifo" or "rr". */
  readonly policy?: Policy;
  /** The only CPU that it and its threads run on, from 0. A thread that stays in its realm runs on that CPU alone anyhow. */
  readonly cpu?: number;
  /** It stays in this realm, and gets its arguments as they are, even if it could start anywhere. */
  readonly local?: boolean;
  /** Nobody will join it. */
  readonly detached?: boolean;
  /** It starts when it is resumed. */
  readonly suspended?: boolean;
}

const POLICIES: Readonly<Record<Policy, number>> = { other: SCHED_OTHER, fifo: SCHED_FIFO, rr: SCHED_RR };
/** The same the other way round. */
export const POLICY_NAMES: readonly Policy[] = ["other", "fifo", "rr"];

/** Checks a thread's name. Throws EINVAL. */
export function checkName(name: unknown, syscall: string): void {
  if (typeof name === "string" && name.length < THREAD_NAMELEN) return;
  fail(EINVAL, syscall, undefined, `a name is a string of at most ${THREAD_NAMELEN - 1} characters`);
}

/** Checks a priority. Throws EINVAL. */
export function checkPriority(priority: unknown, syscall: string): void {
  const whole = Number.isInteger(priority) && (priority as number) >= 0 && (priority as number) < NPRI_USER;
  if (!whole) fail(EINVAL, syscall, undefined, `a priority is an integer 0..${NPRI_USER - 1}`);
}

/** The kernel's number of a policy. Throws ENOTSUP. */
export function policyNumber(policy: Policy, syscall: string): number {
  if (Object.hasOwn(POLICIES, policy)) return POLICIES[policy];
  return fail(ENOTSUP, syscall, undefined, `there is no policy ${String(policy)}`);
}

/** Checks the options of a thread of which `l` is the spawner. Throws EINVAL, ENOTSUP, EPERM. */
function checkOptions(l: Lwp, o: ThreadOptions, staysHere: boolean): void {
  const syscall = "Thread.spawn";
  const { k } = l;
  if (o.name !== undefined) checkName(o.name, syscall);
  if (o.priority !== undefined) checkPriority(o.priority, syscall);
  if (o.policy !== undefined) {
    const policy = policyNumber(o.policy, syscall);
    // SYS-37: an ordinary user can only stay.
    if (policy !== SCHED_OTHER && policy !== l.class && l.uid !== 0) fail(EPERM, syscall);
  }
  if (o.cpu === undefined) return;
  const valid = Number.isInteger(o.cpu) && o.cpu >= 0 && o.cpu < k.g.ncpu;
  if (!valid || k.cpus.view(o.cpu + 1).state !== CPU_ONLINE) {
    fail(EINVAL, syscall, undefined, `there is no CPU ${String(o.cpu)} online`);
  }
  if (staysHere && k.mp && k.cpus.view(o.cpu + 1).realm !== l.cpu.realm) {
    fail(EINVAL, syscall, undefined, `a closure, or a local thread, runs on CPU ${l.cpu.index - 1} alone`);
  }
}

/** Makes the new LWP what the options say. It is LSIDL, and nobody else's yet. */
function applyOptions(l2: Lwp, t: ThreadRec, o: SpawnRequest): void {
  const { k } = l2;
  if (o.owner !== undefined) {
    t.owner = o.owner.index;
    t.ownerGen = o.owner.gen;
  }
  if (o.name !== undefined) setNames(t, l2, o.name);
  if (o.detached === true) t.flags |= THREAD_DETACHED;
  lwpLock(l2);
  if (o.policy !== undefined) {
    const policy = POLICIES[o.policy];
    l2.priority = convertPri(l2, policy, PRI_NONE);
    l2.class = policy;
  }
  if (o.priority !== undefined) l2.priority = kernelPriority(l2, o.priority);
  if (o.cpu === undefined) return lwpUnlock(l2);
  const ci = k.cpus.view(o.cpu + 1);
  l2.affinity = 1 << o.cpu;
  l2.cpu = ci;
  lwpUnlockTo(l2, ci.mutex);
}

/** A user's priority as the kernel counts it, in the class of the LWP (SYS-36). */
export function kernelPriority(l: Lwp, priority: number): number {
  return l.class === SCHED_OTHER ? priority : PRI_USER_RT + priority;
}

/** Names a thread, and its LWP unless that is gone (THR-100). `t` and the process are locked, or nobody else's yet. */
export function setNames(t: ThreadRec, l: Lwp | null, name: string): void {
  t.name = name;
  if (l === null) return;
  l.named = 1;
  l.name = name.slice(0, MAXCOMLEN - 1);
}

/** What the library asks for besides. */
export interface SpawnRequest extends ThreadOptions {
  /** Record of the thread whose scope it belongs to. */
  readonly owner?: ThreadRec;
}

/**
 * Starts a thread, of spawn site `site`; the handle that `handleOf` makes before it runs. Throws EAGAIN, ENOMEM, what cannot
 * travel, and the errors of the options.
 */
export function spawn<H>(
  l: Lwp,
  call: ThreadCall<ThreadMain>,
  options: SpawnRequest | null,
  site: number,
  handleOf: (t: ThreadRec) => H,
): H {
  const { k } = l;
  const entry = entryFor(l, call.f, options, site);
  if (entry < 0 && options === null && k.slots.lwpFork === null) {
    const t = startClosure(l, call, site);
    const handle = handleOf(t);
    flushKicks(k);
    return handle;
  }
  const t = newRecord(k);
  if (t === null) return tooManyThreads(k);
  try {
    const l2 = entry < 0 ? bearClosure(l, t, call, site) : bearEntry(l, t, entry, call.args, site);
    if (options !== null) applyOptions(l2, t, options);
    // If it is detached it may be over, and its record gone, as soon as it has started.
    const handle = handleOf(t);
    lwpStart(l, l2, options !== null && options.suspended === true ? LWP_SUSPENDED : 0);
    return handle;
  } catch (error) {
    freeRecord(k, t);
    throw error;
  }
}

/** The number of the entry that `f` is, -1 for a closure; all is checked. */
function entryFor(l: Lwp, f: ThreadMain, options: SpawnRequest | null, site: number): number {
  if (typeof f !== "function") return notAFunction();
  const local = options !== null && options.local === true;
  const entry = local ? -1 : threadHost(l.k).entryOf(l.w[l.proc.at + PROGRAM], f);
  if (entry < 0) refuseAsync(f, "Thread.spawn");
  if (entry < 0 && site !== 0 && !local) warnOfStaying(l, site, options);
  if (options !== null) checkOptions(l, options, entry < 0);
  return entry;
}

function tooManyThreads(k: Kernel): never {
  return fail(EAGAIN, "Thread.spawn", undefined, `the limit of ${k.limits.threads} threads is reached`);
}

function tooManyLwps(): never {
  return fail(EAGAIN, "Thread.spawn", undefined, "the limit of LWPs is reached");
}

function notAFunction(): never {
  throw new TypeError("Thread.spawn needs a generator function");
}

function warnOfStaying(l: Lwp, site: number, options: SpawnRequest | null): void {
  if (options?.cpu === undefined) warnOfClosure(l, site);
}

/** The LWP of an entry of the program, which may begin in any realm, with the arguments that its record holds. */
function bearEntry(l: Lwp, t: ThreadRec, entry: number, args: readonly unknown[], site: number): Lwp {
  putArgs(l.k, t, args);
  return born(l, bearThread(l, t, CTX_ENTRY, entry, site, 0));
}

/** The LWP of a closure: it has its context in this realm. */
function bearClosure(l: Lwp, t: ThreadRec, call: ThreadCall<ThreadMain>, site: number): Lwp {
  const l2 = born(l, bearThread(l, t, CTX_CLOSURE, 0, site, ownRealm(l.k)));
  l2.context = closureContext(l.k, call);
  return l2;
}

function born(l: Lwp, l2: Lwp | null): Lwp {
  if (l2 === null) return tooManyLwps();
  l.k.slots.lwpFork?.(l, l2);
  return l2;
}

/** The thread of a closure, started; its record. */
function startClosure(l: Lwp, call: ThreadCall<ThreadMain>, site: number): ThreadRec {
  const { k } = l;
  const context = closureContext(k, call);
  const made = spawnClosure(l, site, ownRealm(k));
  if (made === NO_RECORD) return tooManyThreads(k);
  if (made === NO_LWP) return tooManyLwps();
  call.returned = (made & IN_USER_MODE) !== 0;
  const l2 = k.lwps.view(made >> 1);
  l2.context = context;
  return k.threads.view(l2.arg);
}

/** Where a closure stays; 0 = anywhere, since there is but one realm. */
function ownRealm(k: Kernel): number {
  return k.mp ? cur.cpu.realm : 0;
}

/** The context of a closure, in this realm; it begins when the thread does. */
function closureContext(k: Kernel, call: ThreadCall<ThreadMain>): GeneratorContext {
  const host = threadHost(k);
  const enter = host.asyncContext === undefined ? null : host.asyncContext();
  return new GeneratorContext(enter === null ? call : within(enter, call), threadEnding);
}

/** What a thread is to run. */
export interface ThreadCall<F> extends Code {
  readonly f: F;
  readonly args: readonly unknown[];
  /** Set if the spawn has taken its caller back to user mode. */
  returned: boolean;
}

/** It, where there is no operation that is one. */
export class Call<F> implements ThreadCall<F> {
  readonly f: F;
  readonly args: readonly unknown[];
  returned = false;

  constructor(f: F, args: readonly unknown[]) {
    this.f = f;
    this.args = args;
  }

  make(): Body {
    return callBody(this.f as unknown as ThreadMain, this.args);
  }
}

/** The body of a thread that runs `f(...args)`. */
export function callBody(f: ThreadMain, args: readonly unknown[]): Body {
  return threadBody(f, iteratorOf(callWith(f, args), "Thread.spawn")) as Body;
}

/** The same in an asynchronous context that was kept. */
function within(enter: Enter, code: Code): Code {
  return { make: (l) => inContext(enter, () => code.make(l))() };
}

/** `f(...args)`. A call with a list of arguments goes by way of the host: so those of few are written out. */
function callWith(f: ThreadMain, args: readonly unknown[]): ReturnType<ThreadMain> {
  const g = f as (...args: unknown[]) => ReturnType<ThreadMain>;
  switch (args.length) {
    case 0:
      return g();
    case 1:
      return g(args[0]);
    case 2:
      return g(args[0], args[1]);
    case 3:
      return g(args[0], args[1], args[2]);
    default:
      return g(...args);
  }
}

/** Throws a TypeError if `f`, which a thread of `call` is to run, is an async function. */
export function refuseAsync(f: ThreadMain, call: string): void {
  // By its tag, which is one load: to ask for a prototype is a call of the host.
  const kind = (f as unknown as { readonly [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
  if (kind !== "AsyncFunction" && kind !== "AsyncGeneratorFunction") return;
  throw new TypeError(
    `${call} needs a generator function, not an async one: a thread awaits by yield* until(promise)`,
  );
}

/** What a function has returned that a thread of `call` is to run; TypeError if nobody can iterate it. */
export function iteratorOf<T>(
  made: Iterator<T, unknown, undefined>,
  call: string,
): Iterator<T, unknown, undefined> {
  if (isGenerator(made)) return made;
  if (typeof made?.next === "function" && !(Symbol.asyncIterator in made)) return made;
  throw new TypeError(`${call} needs a generator function: what this function returned is no iterator`);
}

/** A closure whose code runs in a context that was kept; null = in whatever its CPU has. */
export function inContext(enter: Enter | null, start: () => Body): () => Body {
  if (enter === null) return start;
  return () => {
    const body = enter(start);
    return threadBodyAround(body, {
      next: () => enter(() => body.next()),
      throw(error) {
        return enter(() => {
          if (body.throw === undefined) throw error;
          return body.throw(error);
        });
      },
    } satisfies Body);
  };
}

/**
 * Sets up the record of a process's first thread: its arguments, and that its return ends the process. Null when the table
 * is full; throws ENOMEM when the arena is.
 */
export function mainRecord(k: Kernel, args: readonly unknown[]): ThreadRec | null {
  const t = newRecord(k);
  if (t === null) return null;
  t.flags = THREAD_MAIN | THREAD_DETACHED;
  t.lid = 1;
  try {
    putArgs(k, t, args);
  } catch (error) {
    freeRecord(k, t);
    throw error;
  }
  return t;
}

/** Starts a portable entry in this realm: the code of a CTX_ENTRY LWP. */
export function startEntry(l: Lwp): Body {
  const { k } = l;
  const t = k.threads.view(l.arg);
  const f = threadHost(k).entryAt(l.proc.program, l.entry);
  const args = takeArgs(k, t);
  if ((t.flags & THREAD_MAIN) !== 0) {
    t.pid = l.proc.pid;
    l.proc.startTime = k.port.now();
  }
  return threadBody(f, f(...(args as never[])) as Body);
}
