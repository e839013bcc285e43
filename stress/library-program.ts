/**
 * The program of the stress of the thread library, and of what the kernel has beside threads: random operations of every kind,
 * by agents on every CPU, on objects that they share.
 *
 * On a sound kernel nobody waits for ever:
 * - who holds a lock or a permit gives it back before it waits for anything else;
 * - who waits for what others may never do (a signal, a partner, a value) does so for a while only;
 * - who waits for ever is a victim: a thread that is cancelled.
 *
 * Each object notes which CPU used it last, so that it is known how many operations reached across CPUs.
 */
import { Barrier, Channel, Condition, Mutex, Once, RwLock, Scope, Semaphore, SharedBytes } from "lwp";
import { LwpError, Thread, ThreadError, ThreadLocal } from "lwp";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import * as X from "./library-shared.js";
import { add, base, chance, check, cpu, enterRealm, k, load, type Run, setSeed, store, w } from "./realm.js";

/** The objects that all threads share: they travel to each as handles. */
interface Objects {
  readonly mutexes: Mutex[];
  readonly conditions: Condition[];
  readonly semaphores: Semaphore[];
  readonly rwlocks: RwLock[];
  readonly barriers: Barrier[];
  readonly onces: Once[];
  readonly channels: Channel<number>[];
  /** Never posted, signalled, complete or sent to: what victims wait for. */
  readonly nothing: Semaphore;
  readonly silence: Channel<number>;
  readonly local: ThreadLocal<number>;
}

// Module variables are per process and CPU.
let quota = 0;

const CHUNK = 32;
const CALL = 10;
const KTHREAD = 10;
const DESTRUCTOR = 10;
const SIGSTOP = 17;
const NUMBER = new Map(X.KINDS.map((name, n) => [name as string, n]));

/** Every realm does this before anything else of it runs. */
function attach(): void {
  if (!enterRealm(X.SEED)) return;
  k.slots.crosscalls[CALL] = (k2) => void Atomics.add(k2.w, k2.scratch + X.CALLS_RUN, 1);
  k.slots.kthreads[KTHREAD] = kernelThread;
  k.slots.destructors[DESTRUCTOR] = (k2) => void Atomics.add(k2.w, k2.scratch + X.VALUES_DESTROYED, 1);
}

/** Counts an operation; `across`: on what another CPU has used last, or on the other CPUs themselves. */
function count(kind: X.Kind, across: boolean): void {
  const n = NUMBER.get(kind) as number;
  w[base + X.countAt(cpu, n, 0)]++;
  if (across) w[base + X.countAt(cpu, n, 1)]++;
  quota--;
}

/** Kinds of objects, for the words that say who used them last. */
const MUTEX = 0;
const CONDITION = 1;
const SEMAPHORE = 2;
const RWLOCK = 3;
const BARRIER = 4;
const ONCE = 5;
const CHANNEL = 6;
const KERNEL = 7;

/** Counts an operation on object `n` of a kind. */
function use(kind: X.Kind, objects: number, n: number): void {
  const last = Atomics.exchange(w, base + X.LAST + objects * X.OBJECTS + n, cpu + 1);
  count(kind, last !== 0 && last !== cpu + 1);
}

/** Whether there is anything left to do for this CPU. */
function working(): boolean {
  while (quota <= 0) {
    if (load(X.LEFT) <= 0 || add(X.LEFT, -CHUNK) <= 0) return false;
    quota += CHUNK;
  }
  return true;
}

/** Waits for at most one to three ticks: whether it came. */
function* patiently(wait: (options: { timeout: number }) => S.Operation<unknown>): Run<boolean> {
  try {
    yield* wait({ timeout: 1 + chance(25) });
    return true;
  } catch (error) {
    if (error instanceof LwpError && error.code === "ETIMEDOUT") return false;
    throw error;
  }
}

// --- objects -----------------------------------------------------------------------------------

function* mutex({ mutexes }: Objects): Run {
  const n = chance(X.OBJECTS);
  const m = mutexes[n];
  if (chance(2) === 0) {
    use("Mutex.lock", MUTEX, n);
    yield* m.lock();
  } else {
    use("Mutex.lock timed", MUTEX, n);
    if (!(yield* patiently((options) => m.lock(options)))) return;
  }
  const before = Atomics.exchange(w, base + X.IN_MUTEX + n, K.cur.lwp.lid);
  check(before === 0, "two threads hold a mutex");
  if (chance(3) === 0) yield* Thread.yield();
  check(Atomics.exchange(w, base + X.IN_MUTEX + n, 0) === K.cur.lwp.lid, "another thread has been let in");
  use("Mutex.unlock", MUTEX, n);
  m.unlock();
}

function* condition({ conditions, mutexes }: Objects): Run {
  const n = chance(X.OBJECTS);
  yield* mutexes[n].lock();
  use("Condition.wait", CONDITION, n);
  yield* patiently((options) => conditions[n].wait(mutexes[n], options));
  check(mutexes[n].owner === K.cur.lwp.lid, "a wait ended without its mutex");
  mutexes[n].unlock();
}

function* signal({ conditions }: Objects): Run {
  const n = chance(X.OBJECTS);
  use("Condition.signal", CONDITION, n);
  conditions[n].signal();
  yield* S.lwpSelf();
}

function* broadcast({ conditions }: Objects): Run {
  const n = chance(X.OBJECTS);
  use("Condition.broadcast", CONDITION, n);
  conditions[n].broadcast();
  yield* S.lwpSelf();
}

/** Permits of each semaphore. */
const PERMITS = 2;

function* semaphore({ semaphores }: Objects): Run {
  const n = chance(X.OBJECTS);
  const s = semaphores[n];
  if (chance(2) === 0) {
    use("Semaphore.wait", SEMAPHORE, n);
    yield* s.wait();
  } else {
    use("Semaphore.wait timed", SEMAPHORE, n);
    if (!(yield* patiently((options) => s.wait(options)))) return;
  }
  check(add(X.PERMITS + n, 1) < PERMITS, "more permits than there are");
  if (chance(3) === 0) yield* Thread.yield();
  add(X.PERMITS + n, -1);
  use("Semaphore.post", SEMAPHORE, n);
  s.post();
}

/** A reader has come in, or leaves: 1 or -1. */
function reader(n: number, by: number): void {
  add(X.READERS + n, by);
  check(load(X.WRITERS + n) === 0, "readers beside a writer");
}

function writer(n: number, by: number): void {
  const before = add(X.WRITERS + n, by);
  check(before === (by > 0 ? 0 : 1) && load(X.READERS + n) === 0, "a writer beside others");
}

function* rwlock({ rwlocks }: Objects): Run {
  const n = chance(X.OBJECTS);
  const lock = rwlocks[n];
  const reads = chance(2) === 0;
  const timed = chance(2) === 0;
  use(reads ? "RwLock.readLock" : "RwLock.writeLock", RWLOCK, n);
  if (timed) {
    const enter = (options: { timeout: number }) =>
      reads ? lock.readLock(options) : lock.writeLock(options);
    if (!(yield* patiently(enter))) return;
  } else {
    yield* reads ? lock.readLock() : lock.writeLock();
  }
  const move = reads ? reader : writer;
  move(n, 1);
  if (chance(3) === 0) yield* Thread.yield();
  move(n, -1);
  use("RwLock.unlock", RWLOCK, n);
  lock.unlock();
}

function* barrier({ barriers }: Objects): Run {
  const n = chance(X.OBJECTS);
  use("Barrier.wait", BARRIER, n);
  yield* patiently((options) => barriers[n].wait(options));
}

function* once({ onces }: Objects): Run {
  const n = chance(X.OBJECTS);
  use("Once.run", ONCE, n);
  yield* onces[n].run(function* () {
    yield* Thread.yield();
    add(X.ONCE_RUNS + n, 1);
  });
  check(load(X.ONCE_RUNS + n) === 1, "a routine was not run once");
}

function* send({ channels }: Objects): Run {
  const n = chance(X.OBJECTS);
  const value = 1 + chance(100);
  use("Channel.send", CHANNEL, n);
  const sent =
    chance(4) === 0
      ? channels[n].trySend(value)
      : yield* patiently((options) => channels[n].send(value, options));
  if (sent) add(X.SENT, value);
  yield* S.lwpSelf();
}

function* receive({ channels }: Objects): Run {
  const n = chance(X.OBJECTS);
  use("Channel.receive", CHANNEL, n);
  let value: number | undefined;
  if (chance(4) === 0) value = channels[n].tryReceive()?.value;
  else {
    yield* patiently(function* (options) {
      ({ value } = yield* channels[n].receive(options));
    } as (options: { timeout: number }) => S.Operation<void>);
  }
  if (value !== undefined) add(X.RECEIVED, value);
  yield* S.lwpSelf();
}

// --- threads -----------------------------------------------------------------------------------

/** Waits for ever, in one way or another, until it is cancelled. */
export function* victim(
  how: number,
  { nothing, silence, local }: Pick<Objects, "nothing" | "silence" | "local">,
) {
  attach();
  local.set(how + 1);
  yield* storeValue(how + 1);
  try {
    switch (how) {
      case 0:
        yield* nothing.wait();
        break;
      case 1:
        yield* silence.receive();
        break;
      case 2:
        yield* Thread.sleep(1e9);
        break;
      default:
        for (;;) {
          yield* Thread.testCancel();
          yield* Thread.yield();
        }
    }
  } finally {
    check(local.get() === how + 1, "a thread has another's value");
    add(X.CLEANED, 1);
  }
}

/** A destructor: on whatever CPU the thread ends. */
export function* forget(_value: number) {
  yield* S.lwpSelf();
}

function isElsewhere(lid: number): boolean {
  const { proc } = K.cur.lwp;
  K.spinEnter(k, proc.lock);
  const there = K.lidLookup(proc, lid)?.cpu;
  K.spinExit(k, proc.lock);
  return there !== undefined && there !== K.cur.cpu;
}

/** Of the agents. */
const PRIORITY = 43;

/** Starts a thread that waits for ever, pauses it, changes its priority, and cancels it. */
function* cancel({ nothing, silence, local }: Objects): Run {
  const anywhere = Thread.with({ cpu: chance(k.g.ncpu) });
  const t = yield* anywhere.spawn(victim, chance(4), { nothing, silence, local });
  count("Thread.spawn", isElsewhere(t.lid));
  for (let n = chance(3); n > 0; n--) yield* Thread.yield();
  if (chance(16) !== 0) {
    count("Thread.suspend", isElsewhere(t.lid));
    yield* t.suspend();
    count("Thread.priority", isElsewhere(t.lid));
    // Below the agents': one that computes must not keep the CPU from who is to cancel it.
    t.priority = chance(PRIORITY);
    count("Thread.resume", isElsewhere(t.lid));
    yield* t.resume();
  }
  t.priority = PRIORITY;
  count("Thread.cancel", isElsewhere(t.lid));
  yield* t.cancel();
  add(X.CANCELLED, 1);
  count("Thread.join", isElsewhere(t.lid));
  try {
    yield* t.join();
  } catch (error) {
    if (error instanceof ThreadError && (error.cause as LwpError).code === "ECANCELED") return;
    throw error;
  }
  check(false, "a cancelled thread returned");
}

export function* half(value: number) {
  yield* Thread.yield();
  if (value < 0) throw new RangeError("deliberate");
  return value / 2;
}

/** Two threads that end with their block; one of them may fail. */
function* scope(): Run {
  count("Scope.run", false);
  const fails = chance(3) === 0;
  const value = chance(1000);
  try {
    const sum = yield* Scope.run(function* (s) {
      const a = yield* s.spawn(half, fails ? -1 : value);
      const b = yield* s.spawn(half, value);
      return (yield* a.join()) + (yield* b.join());
    });
    check(!fails && sum === value, "a scope gave another sum");
  } catch (error) {
    const cause = error instanceof ThreadError ? error.cause : error;
    if (!(fails && cause instanceof RangeError)) throw error;
  }
}

function* threadLocal({ local }: Objects): Run {
  const value = 1 + chance(1000);
  count("ThreadLocal", false);
  local.set(value);
  yield* Thread.yield();
  check(local.get() === value, "a thread has another's value");
}

// --- the kernel's own --------------------------------------------------------------------------

function* sharedBytes(): Run {
  count("SharedBytes", false);
  const bytes = new SharedBytes(8 + chance(3 * 4096));
  check(
    bytes.i32.every((word) => word === 0),
    "user memory is not empty",
  );
  bytes.i32.fill(1);
  yield* Thread.yield();
  check(
    bytes.i32.every((word) => word === 1),
    "user memory is another's too",
  );
  bytes.dispose();
}

function* lwpCtl(): Run {
  count("lwpCtl", false);
  const words = yield* S.lwpCtl();
  check(words.curcpu === cpu, "the shared word names another CPU");
  const { pctr } = words;
  yield* Thread.yield();
  check(words.curcpu === cpu && words.pctr >= pctr, "the shared words are not this thread's");
}

function* setprivate(): Run {
  const value = chance(0x40000000);
  count("lwpSetprivate", false);
  yield* S.lwpSetprivate(value);
  yield* Thread.yield();
  check((yield* S.lwpGetprivate()) === value, "the private pointer is another");
}

function pidLidChild(t: K.StepThread): number {
  Atomics.add(t.l.w, t.l.k.scratch + X.PIDLIDS_RUN, 1);
  return K.STEP_EXIT;
}

function affineChild(t: K.StepThread): number {
  check(t.l.affinity === 1 << (K.cur.cpu.index - 1), "an LWP runs where its affinity is not");
  Atomics.add(t.l.w, t.l.k.scratch + X.AFFINE_RUN, 1);
  return K.STEP_EXIT;
}

const PIDLID_CHILD = 0;
const AFFINE_CHILD = 1;
export const steps: K.StepFunction[] = [pidLidChild, affineChild];

/** An LWP whose lid is an id of the pid table: its process is found by it. */
function* pidLid(): Run {
  const { lwp } = K.cur;
  count("lwpCreate PIDLID", false);
  const flags = K.LWP_PIDLID | K.LWP_DETACHED;
  const l = K.lwpCreate(lwp, lwp.proc, flags, { kind: K.CTX_STEP, entry: PIDLID_CHILD }, lwp.class);
  // The table may be full for a moment.
  if (l !== null) {
    K.spinEnter(k, k.g.procLock);
    const found = K.procFind(k, l.lid);
    K.spinExit(k, k.g.procLock);
    check(found === lwp.proc, "a process is not found by the id of its LWP");
    add(X.PIDLIDS_MADE, 1);
    K.lwpStart(lwp, l, 0);
  }
  yield* S.lwpSelf();
}

/** Another CPU for an LWP that has not run yet: it moves there at once, and stays there. */
function* affinity(): Run {
  const { lwp } = K.cur;
  const target = chance(k.g.ncpu);
  count("schedSetaffinity", target !== cpu);
  const start = { kind: K.CTX_STEP, entry: AFFINE_CHILD };
  const l = K.lwpCreate(lwp, lwp.proc, K.LWP_DETACHED, start, lwp.class);
  if (l !== null) {
    const { lid } = l;
    K.lwpStart(lwp, l, S.LWP_SUSPENDED);
    const set = Uint8Array.of(1 << target);
    yield* S.schedSetaffinity(0, lid, set);
    set[0] = 0;
    yield* S.schedGetaffinity(0, lid, set);
    check(set[0] === 1 << target, "another affinity than was set");
    add(X.AFFINE_MADE, 1);
    yield* S.lwpContinue(lid);
  }
  yield* S.lwpSelf();
}

/** The caller is a real-time thread for a moment, and has its priority back afterwards. */
function* realTime(): Run {
  count("schedSetparam", false);
  const lid = yield* S.lwpSelf();
  const { priority } = yield* S.schedGetparam(0, lid);
  yield* S.schedSetparam(0, lid, S.SCHED_RR, { priority });
  yield* S.schedYield();
  const now = yield* S.schedGetparam(0, lid);
  check(now.policy === S.SCHED_RR && now.priority === priority, "other parameters than were set");
  yield* S.schedSetparam(0, lid, S.SCHED_OTHER, { priority: S.PRI_NONE });
}

/** Stops the process, the caller's own, and lets it go on before the caller itself would stop. */
function* stopAndContinue(): Run {
  const { proc } = K.cur.lwp;
  count("stop and continue", true);
  locked(proc, () => K.procStop(proc, SIGSTOP));
  for (let n = chance(300); n > 0; n--) load(X.LEFT);
  locked(proc, () => K.procUnstop(proc, 0));
  yield* S.lwpSelf();
}

function locked(p: K.Proc, body: () => void): void {
  K.spinEnter(k, k.g.procLock);
  K.spinEnter(k, p.lock);
  body();
  K.spinExit(k, p.lock);
  K.spinExit(k, k.g.procLock);
  K.flushKicks(k);
}

/** Other credentials for the whole process: each LWP adopts them at its next call. */
function* setresuid(): Run {
  count("setresuid", true);
  const error = K.doSetresuid(K.cur.lwp, chance(4), -1, chance(4));
  check(error === 0 || error === K.EAGAIN, `setresuid gave ${error}`);
  yield* S.lwpSelf();
}

function* crossCallLow(): Run {
  count("cross-call low", k.g.ncpu > 1);
  add(X.CALLS_ASKED, k.g.ncpu);
  yield* K.xcWait(k, yield* K.xcBroadcast(k, 0, CALL));
  yield* S.lwpSelf();
}

function* crossCallHigh(): Run {
  const target = chance(k.g.ncpu);
  count("cross-call high", target !== cpu);
  add(X.CALLS_ASKED, 1);
  yield* K.xcWait(k, yield* K.xcUnicast(k, K.XC_HIGHPRI, CALL, 0, 0, k.cpus.view(target + 1)));
  yield* S.lwpSelf();
}

function* kernelThread(k2: K.Kernel): Generator<void, void, void> {
  Atomics.add(k2.w, k2.scratch + X.KTHREADS_RUN, 1);
}

function* kthread(): Run {
  const target = chance(k.g.ncpu);
  count("kthread", target !== cpu);
  const flags = K.KTHREAD_MPSAFE | K.KTHREAD_MUSTJOIN;
  const { l } = K.kthreadCreate(k, K.PRI_NONE, flags, k.cpus.view(target + 1), KTHREAD, 0, "stress");
  check(l !== null, "there is no room for a kernel thread");
  add(X.KTHREADS_MADE, 1);
  yield* K.kthreadJoin(l);
  yield* S.lwpSelf();
}

/** Looks at the object that stands there: nobody spoils it before all who look have finished. */
function* pserializeRead(): Run {
  use("pserialize read", KERNEL, 0);
  const section = K.pserializeReadEnter(k);
  const object = load(X.CURRENT);
  for (let n = 0; n < 50; n++) check(load(X.VALID + object) === 1, "a reader has seen a spoilt object");
  K.pserializeReadExit(k, section);
  yield* S.lwpSelf();
}

/** Puts an object of its own there, and spoils the one before. Each agent has one, which is free when it is not there. */
function* pserializePerform(_o: Objects, number: number): Run {
  use("pserialize perform", KERNEL, 0);
  const psz = K.pserializeCreate(k);
  if (psz === null) return yield* pserializeRead();
  if (load(X.VALID + number) === 0) {
    store(X.VALID + number, 1);
    const before = Atomics.exchange(w, base + X.CURRENT, number);
    yield* K.pserializePerform(psz);
    store(X.VALID + before, 0);
  } else {
    yield* K.pserializePerform(psz);
  }
  K.pserializeDestroy(psz);
  yield* S.lwpSelf();
}

/** The value of the thread, which is destroyed when that ends. */
function* storeValue(value: number): Run {
  if (K.lwpGetspecific(load(X.KEY)) === 0) add(X.VALUES_STORED, 1);
  yield* K.lwpSetspecific(load(X.KEY), value);
}

function* specificdata(): Run {
  const value = 1 + chance(1000);
  count("specificdata", false);
  yield* storeValue(value);
  yield* Thread.yield();
  check(K.lwpGetspecific(load(X.KEY)) === value, "the specific data is another's");
}

function* kernelRwlock(): Run {
  const op = chance(2) === 0 ? K.RW_READER : K.RW_WRITER;
  const move = op === K.RW_READER ? reader : writer;
  use("rwEnter", KERNEL, 1);
  yield* K.rwEnter(k, base + X.RWLOCK, op);
  move(X.OBJECTS, 1);
  move(X.OBJECTS, -1);
  K.rwExit(k, base + X.RWLOCK);
  yield* S.lwpSelf();
}

// --- the whole ---------------------------------------------------------------------------------

type Deed = (objects: Objects, number: number) => Run;

/** Those that count two kinds alternately stand here twice. */
const TABLE: readonly Deed[] = [
  mutex,
  mutex,
  condition,
  signal,
  broadcast,
  semaphore,
  semaphore,
  rwlock,
  rwlock,
  barrier,
  once,
  send,
  receive,
  cancel,
  scope,
  threadLocal,
  sharedBytes,
  lwpCtl,
  setprivate,
  pidLid,
  affinity,
  realTime,
  stopAndContinue,
  setresuid,
  crossCallLow,
  crossCallHigh,
  kthread,
  pserializeRead,
  pserializePerform,
  specificdata,
  kernelRwlock,
];

export function* agent(number: number, objects: Objects) {
  attach();
  add(X.READY, 1);
  // What runs as a number must be known in every realm.
  while (load(X.READY) < k.g.ncpu * X.AGENTS) yield* Thread.sleep(1);
  while (working()) yield* TABLE[chance(TABLE.length)](objects, number);
}

function makeObjects(): Objects {
  const several = <T>(make: (n: number) => T): T[] => Array.from({ length: X.OBJECTS }, (_, n) => make(n));
  return {
    mutexes: several(() => new Mutex()),
    conditions: several(() => new Condition()),
    semaphores: several(() => new Semaphore(PERMITS)),
    rwlocks: several(() => new RwLock()),
    barriers: several(() => new Barrier(2)),
    onces: several(() => new Once()),
    channels: several((n) => new Channel<number>(n * n)),
    nothing: new Semaphore(0),
    silence: new Channel<number>(),
    local: new ThreadLocal<number>(forget),
  };
}

const LIDS_FROM = 1 << 28;

/** Makes the process a superuser's, who may choose among ids. */
function becomeSuperuser(): void {
  const { lwp } = K.cur;
  const cr = K.kauthCredDup(lwp.proc.cred as K.Cred);
  check(cr !== null, "there is no room for credentials");
  cr.euid = 0;
  K.spinEnter(k, lwp.proc.lock);
  K.procCrmod(lwp, cr);
}

/** `args`: operations, seed. */
export function* main(args: string[]) {
  setSeed(X.SEED, Number(args[1]));
  attach();
  becomeSuperuser();
  // Ids of the pid table are lids too: the others begin above them.
  K.cur.lwp.proc.nlwpid = LIDS_FROM;
  store(X.LEFT, Number(args[0]));
  store(X.VALID, 1);
  K.rwInit(k, base + X.RWLOCK);
  store(X.KEY, yield* K.lwpSpecificKeyCreate(k, DESTRUCTOR));
  const objects = makeObjects();
  const agents: Thread<void>[] = [];
  for (let number = 0; number < k.g.ncpu * X.AGENTS; number++) {
    agents.push(yield* Thread.with({ cpu: number % k.g.ncpu }).spawn(agent, number, objects));
  }
  yield* Thread.all(agents);
  for (const channel of objects.channels) {
    for (let got = channel.tryReceive(); got !== null; got = channel.tryReceive())
      add(X.RECEIVED, got.value ?? 0);
  }
  // The last ones may be at their end still; what they do not destroy themselves would keep this waiting.
  while (load(X.VALUES_DESTROYED) < load(X.VALUES_STORED)) yield* Thread.sleep(1);
  yield* K.lwpSpecificKeyDelete(k, load(X.KEY));
  K.rwDestroy(k, base + X.RWLOCK);
}
