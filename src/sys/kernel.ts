/**
 * Kernel memory and the realm's face on it.
 *
 * One buffer of fixed size, laid out by the limits given at boot: globals, per-CPU records, tables, pools,
 * trace rings. A page of it that was never touched costs nothing. All CPUs of a machine see the same words;
 * a `Kernel` and the views it hands out belong to one realm.
 *
 * Invariant: nothing outside this buffer decides what the kernel does, but for the contexts of LWPs, which hang
 * on the views of the realm that owns them.
 */
import { type Atomic, atomicOn, bufferOf, type SharedMemory, sharedMemory } from "./atomic.js";
import { type Cpu, CpuRecord } from "./cpu.js";
import { type Cred, CredRecord } from "./cred.js";
import { type Globals, GlobalsRecord } from "./globals.js";
import { type Context, type Lwp, LwpRecord } from "./lwp.js";
import { type Message, MessageRecord } from "./message.js";
import { type Mutexobj, MutexobjRecord } from "./mutexobj.js";
import { type Kcpuset, KcpusetRecord } from "./kcpuset.js";
import { type Lcpage, LcpageRecord, type Lcproc, LcprocRecord, LWPCTL_UAREA_BYTES } from "./lwpctl.js";
import { HZ } from "./param.js";
import type { Port } from "./port.js";
import { type Proc, ProcRecord } from "./proc.js";
import { type Pserialize, PserializeRecord, type PszGlobals, PszGlobalsRecord } from "./pserialize.js";
import { LINE_WORDS, type RecordType, type View } from "./record.js";
import * as shape from "./shapes.js";
import { type Ksiginfo, KsiginfoRecord, SIGACT_WORDS } from "./signal.js";
import { type Container, ContainerRecord, SPD_WORDS } from "./specificdata.js";
import { type Syncobj, SyncobjRecord } from "./syncobj.js";
import { THREAD_LOCKS, type ThreadRec, ThreadRecord } from "./thread.js";
import { type Turnstile, TurnstileRecord } from "./turnstile.js";
import { type Xcall, XcallRecord } from "./xcall.js";

/** Sizes of the machine's tables. Each is a limit, and each limit an error when it is reached. */
export interface Limits {
  /** CPUs, 1..32. */
  readonly cpus: number;
  /** Processes. */
  readonly procs: number;
  /** LWPs; also the ceiling of `kern.maxlwp`. */
  readonly lwps: number;
  /** Distinct real uids that own LWPs. */
  readonly uids: number;
  /** Records in each CPU's trace ring; a power of two. */
  readonly trace: number;
  /** Words for condition variables, mutexes and callouts made by kernel users (`lwp/kernel`). */
  readonly scratch: number;
  /** Thread records, and arena blocks of 64 words for arguments and results. */
  readonly threads: number;
  readonly blocks: number;
  /** Pages of user memory, of 4,096 bytes. */
  readonly userPages: number;
  /** Synchronisation objects of the thread library, and messages in its channels. */
  readonly syncobjs: number;
  readonly messages: number;
}

export const DEFAULT_LIMITS: Limits = {
  cpus: 2,
  procs: 256,
  lwps: 131072,
  uids: 64,
  trace: 16384,
  scratch: 65536,
  threads: 131072,
  blocks: 131072,
  userPages: 65536,
  syncobjs: 131072,
  messages: 131072,
};

/** Credentials that there is room for: a process's own, and older ones that its LWPs still use. */
const CREDS_PER_PROC = 4;

/** Details of pending signals that there is room for: one for each signal of each process. */
const SIGINFOS_PER_PROC = 64;

/** Words of an arena block, its link included. */
export const BLOCK_WORDS = 64;

/** Records of one type: where they stand, and this realm's views of them. */
export class Pool<T extends View> {
  /** By index; 0 is null, so that a reference needs no test of its own. Undefined where this realm has none yet. */
  readonly views: T[] = [null as unknown as T];
  readonly k: Kernel;
  readonly type: RecordType<T>;
  /** Address of record 1, and of the cold part of record 0, which is none. */
  readonly base: number;
  readonly coldBase: number;
  readonly limit: number;
  /** Address of the header: lock (2), first free, high-water mark, in use, spare. */
  readonly header: number;

  constructor(k: Kernel, type: RecordType<T>, header: number, base: number, limit: number, cold = 0) {
    this.k = k;
    this.type = type;
    this.header = header;
    this.base = base;
    this.coldBase = cold - type.coldWords;
    this.limit = limit;
  }

  /** Address of the cold part of record `index`. */
  coldAt(index: number): number {
    return this.coldBase + index * this.type.coldWords;
  }

  /** This realm's view of record `index`, 1..limit. */
  view(index: number): T {
    return this.views[index] ?? this.#makeView(index);
  }

  #makeView(index: number): T {
    if (!(index > 0 && index <= this.limit))
      throw new RangeError(`${this.type.name} ${index} of ${this.limit}`);
    while (this.views.length < index) this.views.push(undefined as unknown as T);
    const v = new this.type.View(this.k, this.base + (index - 1) * this.type.words, index);
    this.views[index] = v;
    return v;
  }

  /** Records handed out at some time since the last reset. */
  get highWater(): number {
    return this.k.w[this.header + POOL_HIGH];
  }

  get inUse(): number {
    return this.k.w[this.header + POOL_INUSE];
  }
}

export const POOL_LOCK = 0;
export const POOL_FREE = 2;
export const POOL_HIGH = 3;
export const POOL_INUSE = 4;
/** With an empty cache line behind it, so that locks of two pools do not share one. */
const POOL_HEADER_WORDS = 6 + LINE_WORDS;

/** How a machine's memory is laid out; a function of its limits alone, so that all realms agree. */
class Layout {
  words = 16;
  take(words: number): number {
    const at = this.words;
    this.words += words + (words % 2);
    return at;
  }
}

export interface KernelOptions {
  /** Several CPUs run in parallel: locks are real. Otherwise they are plain words, still checked. */
  readonly mp: boolean;
  /** A context is left at the end of every operation, so that a simulated machine can choose (R12). */
  readonly stepwise?: boolean;
  /** Memory that compiled code can work on, whatever `mp` says; as `mp` unless said. */
  readonly compilable?: boolean;
  /** Shared memory, whatever `mp` says; as `mp` unless said. */
  readonly shared?: boolean;
  /** Delay points may be armed (lockstep). */
  readonly delays?: boolean;
  /** There is no clock but the CPU itself, which reads the time at every 64th user return. */
  readonly selfClocked?: boolean;
  /** This realm's CPU reads the clock at its polls, so that its event loop turns on time; so does one that is its own clock. */
  readonly readsClock?: boolean;
  /** The clock is read at every switch, so that run time is exact; otherwise it is as fine as `g.time`. */
  readonly exact?: boolean;
}

/** A kernel thread's function: what it returns is what it exits with (MCH-51). */
export type KthreadFunction = (k: Kernel, arg: number) => Generator<void, number | void, void>;

/** A cross-call's function. One of high priority must be a plain one. */
export type CrossCall = (k: Kernel, a: number, b: number) => Generator<void, void, void> | void;

/** A request that is to be authorised: `uid` wants to do `action`, perhaps with a process. */
export interface AuthRequest {
  readonly uid: number;
  readonly scope: string;
  readonly action: string;
  readonly target: Proc | null;
  /** All ids of the caller, if an LWP asks. */
  readonly cred: Cred | null;
  /** How an LWP is to be scheduled, if that is what is asked for. */
  readonly sched: SchedRequest | null;
}

/** A class and a kernel priority for an LWP, which is locked. */
export interface SchedRequest {
  readonly l: Lwp;
  readonly policy: number;
  readonly priority: number;
}

/** Destroys a value of specificdata. */
export type Destructor = (k: Kernel, value: number) => Generator<void, void, void> | void;

/** Functions that lower parts of the kernel call and upper ones provide. Only of this realm. */
export interface Slots {
  /** Kernel threads and cross-calls by their numbers, from 1; a number means the same in every realm. */
  readonly kthreads: KthreadFunction[];
  readonly crosscalls: CrossCall[];
  /** Destructors of specificdata, likewise. */
  readonly destructors: Destructor[];
  /** Security models that are loaded, and who is asked about each request: KAUTH_RESULT_*. */
  readonly auth: { models: Set<string>; listeners: ((k: Kernel, request: AuthRequest) => number)[] };
  /** By handler id; 0 is unused, 1 is the time-out of a sleep. */
  readonly calloutHandlers: ((k: Kernel, arg: number) => void)[];
  /** Takes the next deliverable signal of `l`, 0 = none. `p.lock` is held. */
  issignal(l: Lwp): number;
  /** Delivers it. */
  postsig(l: Lwp, sig: number): void;
  /** The function of the LWP's program that is the portable entry with that number, in this realm; and the reverse, or -1. */
  entryAt(l: Lwp, entry: number): unknown;
  entryOf(l: Lwp, f: unknown): number;
  /** Whether a call interrupted by this signal is executed again. */
  sigrestart(l: Lwp, sig: number): boolean;
  /** The context of an LWP that has none in this realm: makes one, or finds the one that serves all of its kind. */
  contextFor(l: Lwp): Context;
  /** The emulation's hooks at creation and exit; null = it has none. */
  lwpFork: ((l1: Lwp, l2: Lwp) => void) | null;
  lwpExit: ((l: Lwp) => void) | null;
}

/** Functions of compiled code (kern/compiled.ts): views are passed as their addresses, null as 0. */
export type Compiled = Readonly<Record<string, (...args: number[]) => number>>;

export class Kernel {
  /** What another realm attaches to. */
  readonly memory: SharedMemory | ArrayBuffer;
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  /** Operations on words of it that several CPUs share. */
  readonly atomic: Atomic;
  readonly w: Int32Array;
  readonly d: Float64Array;
  /** The same memory by bytes. */
  readonly b: Uint8Array;
  /** User memory: the only one that programs get views of. Empty where a realm has attached without it. */
  readonly user: SharedArrayBuffer | ArrayBuffer;
  /** The same by words and by bytes. */
  readonly uw: Int32Array;
  readonly ub: Uint8Array;
  readonly limits: Limits;
  readonly mp: boolean;
  readonly stepwise: boolean;
  readonly selfClocked: boolean;
  /** This realm's CPU reads the clock itself, if only for its slices. */
  readonly readsClock: boolean;
  /** Run time is charged by the clock itself. */
  readonly exact: boolean;
  /** The memory is shared: `Atomics.wait` works on it. */
  readonly shared: boolean;
  /** Delay points may be armed. */
  readonly delays: boolean;
  /** Address of the word that says which probes are on, and of the tick. */
  readonly probesAt: number;
  readonly ticksAt: number;
  /** Index of the time in `d`. */
  readonly timeAt: number;
  /** Address of LWP 0, which is none: LWP `i` stands at `lwpBase + i * LwpRecord.words`. */
  readonly lwpBase: number;
  /** User returns of this realm, where they drive the clock; on a stepwise machine, polls since the last step. */
  polls = 0;
  readonly hz = HZ;
  /** Compiled code of this realm; null = there is none, and JavaScript runs. */
  compiled: Compiled | null = null;
  /** What the machine-independent kernel asks of the machine under it. */
  port!: Port;
  /** Host side: what the thread library needs of this realm (thread/host.ts); null = it is not attached. */
  threadHost: object | null = null;
  /** Slots that upper parts of the kernel fill at boot, so that imports go down only (R8). */
  readonly slots: Slots = {
    kthreads: [],
    crosscalls: [],
    destructors: [],
    auth: { models: new Set(), listeners: [] },
    calloutHandlers: [],
    issignal: () => 0,
    postsig: () => {},
    entryAt: () => undefined,
    entryOf: () => -1,
    sigrestart: () => true,
    contextFor: () => {
      throw new Error("no contexts are attached to this kernel");
    },
    lwpFork: null,
    lwpExit: null,
  };

  readonly g: Globals;
  readonly xc: Xcall;
  readonly psz: PszGlobals;
  /** The views of the pools below, so that a reference is one load from here. */
  readonly cpuv: Cpu[];
  readonly procv: Proc[];
  readonly lwpv: Lwp[];
  readonly turnstilev: Turnstile[];
  readonly threadv: ThreadRec[];
  readonly cpus: Pool<Cpu>;
  readonly procs: Pool<Proc>;
  readonly lwps: Pool<Lwp>;
  readonly turnstiles: Pool<Turnstile>;
  readonly mutexobjs: Pool<Mutexobj>;
  readonly kcpusets: Pool<Kcpuset>;
  readonly kcpusetv: Kcpuset[];
  readonly pserializes: Pool<Pserialize>;
  readonly containers: Pool<Container>;
  readonly syncobjv: Syncobj[];
  readonly syncobjs: Pool<Syncobj>;
  readonly messages: Pool<Message>;
  readonly lcprocs: Pool<Lcproc>;
  readonly lcpages: Pool<Lcpage>;
  readonly ksiginfos: Pool<Ksiginfo>;
  readonly credv: Cred[];
  readonly creds: Pool<Cred>;

  /** Addresses of tables. */
  readonly sleeptab: number;
  readonly parktab: number;
  readonly tstab: number;
  readonly objtab: number;
  readonly namedtab: number;
  readonly lidtab: number;
  readonly lidtabMask: number;
  readonly lidStripes: number;
  readonly uidtab: number;
  readonly threadLocks: number;
  readonly pidtab: number;
  readonly pidtabMask: number;
  /** Headers of the object caches, by their numbers. */
  readonly caches: number;
  /** The two domains of specificdata. */
  readonly lwpSpecific: number;
  readonly procSpecific: number;
  readonly trace: number;
  readonly scratch: number;
  readonly threads: Pool<ThreadRec>;
  /** The arena for arguments and results: header and first block. */
  readonly blockPool: number;
  readonly blockBase: number;
  /** User memory: header, and the first page's words. */
  readonly umem: number;
  readonly umemPages: number;
  /** Keys of thread-specific data: a table of each process. */
  readonly threadKeys: number;
  /** Actions of signals: a table of each process. */
  readonly sigacts: number;
  /** End of the part that a reset clears as a whole. */
  readonly #fixedEnd: number;

  /** Reserves memory; with `memory` it attaches to that of another realm, and with `user` to its user memory. */
  constructor(
    limits: Limits,
    options: KernelOptions,
    memory?: SharedMemory | ArrayBuffer,
    user?: SharedArrayBuffer | ArrayBuffer,
  ) {
    this.limits = limits;
    this.mp = options.mp;
    this.stepwise = options.stepwise ?? false;
    this.selfClocked = options.selfClocked ?? false;
    this.readsClock = this.selfClocked || (options.readsClock ?? false);
    this.exact = options.exact ?? false;
    this.delays = options.delays ?? false;
    const at = new Layout();
    const globals = at.take(GlobalsRecord.words);
    const headers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(() => at.take(POOL_HEADER_WORDS));
    this.sleeptab = at.take(shape.SLEEPTAB_SIZE * shape.SLEEPTAB_BUCKET_WORDS);
    this.parktab = at.take(shape.SLEEPTAB_SIZE * shape.SLEEPTAB_BUCKET_WORDS);
    this.tstab = at.take(shape.TSTAB_SIZE * shape.TSTAB_BUCKET_WORDS);
    this.lidStripes = at.take(shape.LIDTAB_STRIPES * shape.LOCK_WORDS);
    const syncobjPool = at.take(POOL_HEADER_WORDS);
    const messagePool = at.take(POOL_HEADER_WORDS);
    this.namedtab = at.take(shape.NAMED_WORDS);
    const credPool = at.take(POOL_HEADER_WORDS);
    const ksiginfoPool = at.take(POOL_HEADER_WORDS);
    this.objtab = at.take(shape.OBJTAB_SIZE * shape.LOCK_WORDS);
    this.threadLocks = at.take(THREAD_LOCKS * shape.LOCK_WORDS);
    this.uidtab = at.take(limits.uids * 2);
    this.pidtabMask = (1 << (32 - Math.clz32(limits.procs))) - 1;
    this.pidtab = at.take((this.pidtabMask + 1) * 2);
    this.lwpSpecific = at.take(SPD_WORDS);
    this.procSpecific = at.take(SPD_WORDS);
    this.caches = at.take(shape.CACHES_MAX * shape.CACHE_WORDS);
    this.blockPool = at.take(POOL_HEADER_WORDS);
    const xcall = at.take(XcallRecord.words);
    const psz = at.take(PszGlobalsRecord.words);
    this.umem = at.take(shape.UMEM_WORDS);
    const cpuBase = at.take(CpuRecord.words * limits.cpus);
    this.#fixedEnd = at.words;
    this.scratch = at.take(limits.scratch);
    const buckets = 1 << Math.max(6, Math.min(20, 32 - Math.clz32(limits.lwps - 1)));
    this.lidtabMask = buckets - 1;
    this.lidtab = at.take(buckets);
    this.trace = at.take(limits.cpus * limits.trace * shape.TRACE_WORDS);
    const procBase = at.take(ProcRecord.words * limits.procs);
    const lwpBase = at.take(LwpRecord.words * limits.lwps);
    const lwpCold = at.take(LwpRecord.coldWords * limits.lwps);
    const tsBase = at.take(TurnstileRecord.words * limits.lwps);
    // Processes share them: there are never more than processes.
    const mutexobjBase = at.take(MutexobjRecord.words * limits.procs);
    const kcpusetLimit = 2 + limits.cpus + limits.procs;
    const kcpusetBase = at.take(KcpusetRecord.words * kcpusetLimit);
    // One for each LWP and each process.
    const containerBase = at.take(ContainerRecord.words * (limits.lwps + limits.procs));
    const lcpages = limits.procs * (LWPCTL_UAREA_BYTES / shape.PAGE_SIZE);
    const lcprocBase = at.take(LcprocRecord.words * limits.procs);
    const lcpageBase = at.take(LcpageRecord.words * lcpages);
    const pserializeBase = at.take(PserializeRecord.words * limits.procs);
    const threadBase = at.take(ThreadRecord.words * limits.threads);
    const threadCold = at.take(ThreadRecord.coldWords * limits.threads);
    const syncobjBase = at.take(SyncobjRecord.words * limits.syncobjs);
    const syncobjCold = at.take(SyncobjRecord.coldWords * limits.syncobjs);
    const messageBase = at.take(MessageRecord.words * limits.messages);
    const credBase = at.take(CredRecord.words * limits.procs * CREDS_PER_PROC);
    const ksiginfoBase = at.take(KsiginfoRecord.words * limits.procs * SIGINFOS_PER_PROC);
    this.sigacts = at.take(SIGACT_WORDS * limits.procs);
    this.blockBase = at.take(BLOCK_WORDS * limits.blocks);
    this.umemPages = at.take(shape.UMEM_PAGE_WORDS * limits.userPages);
    this.threadKeys = at.take(shape.TSD_WORDS * limits.procs);

    const bytes = at.words * 4;
    this.shared = options.shared ?? options.mp;
    this.memory =
      memory ?? ((options.compilable ?? options.mp) ? sharedMemory(bytes) : makeBuffer(bytes, this.shared));
    this.buffer = bufferOf(this.memory);
    this.atomic = atomicOn(this.memory);
    this.w = new Int32Array(this.buffer);
    this.d = new Float64Array(this.buffer);
    this.b = new Uint8Array(this.buffer);
    const userBytes = memory === undefined ? limits.userPages * shape.PAGE_SIZE : 0;
    this.user = user ?? makeBuffer(userBytes, this.shared);
    this.uw = new Int32Array(this.user);
    this.ub = new Uint8Array(this.user);
    this.g = new GlobalsRecord.View(this, globals, 1);
    this.xc = new XcallRecord.View(this, xcall, 1);
    this.psz = new PszGlobalsRecord.View(this, psz, 1);
    this.probesAt = globals + GlobalsRecord.offset.probes;
    this.timeAt = (globals + GlobalsRecord.offset.time) >> 1;
    this.ticksAt = globals + GlobalsRecord.offset.ticks;
    this.lwpBase = lwpBase - LwpRecord.words;
    this.cpus = new Pool(this, CpuRecord, headers[0], cpuBase, limits.cpus);
    this.procs = new Pool(this, ProcRecord, headers[1], procBase, limits.procs);
    this.lwps = new Pool(this, LwpRecord, headers[2], lwpBase, limits.lwps, lwpCold);
    this.turnstiles = new Pool(this, TurnstileRecord, headers[3], tsBase, limits.lwps);
    this.cpuv = this.cpus.views;
    this.procv = this.procs.views;
    this.lwpv = this.lwps.views;
    this.turnstilev = this.turnstiles.views;
    this.threads = new Pool(this, ThreadRecord, headers[4], threadBase, limits.threads, threadCold);
    this.threadv = this.threads.views;
    this.mutexobjs = new Pool(this, MutexobjRecord, headers[5], mutexobjBase, limits.procs);
    this.kcpusets = new Pool(this, KcpusetRecord, headers[6], kcpusetBase, kcpusetLimit);
    this.kcpusetv = this.kcpusets.views;
    this.containers = new Pool(this, ContainerRecord, headers[8], containerBase, limits.lwps + limits.procs);
    this.lcprocs = new Pool(this, LcprocRecord, headers[9], lcprocBase, limits.procs);
    this.lcpages = new Pool(this, LcpageRecord, headers[10], lcpageBase, lcpages);
    this.pserializes = new Pool(this, PserializeRecord, headers[7], pserializeBase, limits.procs);
    this.syncobjs = new Pool(this, SyncobjRecord, syncobjPool, syncobjBase, limits.syncobjs, syncobjCold);
    this.syncobjv = this.syncobjs.views;
    this.messages = new Pool(this, MessageRecord, messagePool, messageBase, limits.messages);
    this.creds = new Pool(this, CredRecord, credPool, credBase, limits.procs * CREDS_PER_PROC);
    this.credv = this.creds.views;
    const siginfos = limits.procs * SIGINFOS_PER_PROC;
    this.ksiginfos = new Pool(this, KsiginfoRecord, ksiginfoPool, ksiginfoBase, siginfos);
  }

  /** This realm's view of LWP `index`, or null for 0. */
  lwpAt(index: number): Lwp {
    const l = this.lwpv[index];
    return l === undefined ? this.lwps.view(index) : l;
  }

  /** This realm's view of thread record `index`, which is not 0. */
  threadAt(index: number): ThreadRec {
    const t = this.threadv[index];
    return t === undefined ? this.threads.view(index) : t;
  }

  /** Bytes of kernel memory. */
  get bytes(): number {
    return this.buffer.byteLength;
  }

  /** Clears what was touched, so that the machine can be booted anew (simulated machines). */
  reset(scratchUsed: number): void {
    this.polls = 0;
    const pools = [this.procs, this.lwps, this.turnstiles, this.threads, this.mutexobjs];
    const more = [this.kcpusets, this.pserializes, this.containers, this.lcprocs, this.lcpages];
    for (const pool of [
      ...pools,
      ...more,
      this.syncobjs,
      this.messages,
      this.creds,
      this.ksiginfos,
    ] as Pool<View>[]) {
      this.w.fill(0, pool.base, pool.base + pool.highWater * pool.type.words);
      if (pool.type.coldWords > 0) this.w.fill(0, pool.coldAt(1), pool.coldAt(pool.highWater + 1));
    }
    for (let i = 1; i <= this.lwps.highWater; i++) {
      const l = this.lwps.view(i);
      l.context = null;
      l.closure = null;
      l.stepped = false;
    }
    for (const t of this.threads.views) if (t) t.handle = t.scope = null;
    for (const p of this.procs.views) if (p) p.handlers = null;
    const blocks = this.w[this.blockPool + POOL_HIGH];
    this.w.fill(0, this.blockBase, this.blockBase + blocks * BLOCK_WORDS);
    this.w.fill(0, this.sigacts, this.sigacts + SIGACT_WORDS * this.procs.highWater);
    this.w.fill(0, this.threadKeys, this.threadKeys + shape.TSD_WORDS * this.procs.highWater);
    const pages = this.w[this.umem + shape.UMEM_HIGH];
    this.ub.fill(0, 0, pages * shape.PAGE_SIZE);
    this.w.fill(0, this.umemPages, this.umemPages + pages * shape.UMEM_PAGE_WORDS);
    this.w.fill(0, this.lidtab, this.lidtab + this.lidtabMask + 1);
    this.w.fill(0, this.scratch, this.scratch + scratchUsed);
    this.w.fill(0, 0, this.#fixedEnd);
  }
}

function makeBuffer(bytes: number, shared: boolean): SharedArrayBuffer | ArrayBuffer {
  return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
}
