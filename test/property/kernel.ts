/**
 * What the threads of a random program do as parts of the kernel would: cross-calls, kernel threads, specificdata, passive
 * serialisation, giving back what dead LWPs have left. Each call is compared with what it must have come to; `check` with what
 * must hold meanwhile.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import type { Model, ProcessModel, ThreadModel } from "./model.js";

type Run<T = void> = Generator<K.Token, T, undefined>;

/** Numbers of the functions that cross-calls and kernel threads run, and of the destructor of values. */
export const CALL = 10;
export const KTHREAD = 10;
export const DESTRUCTOR = 10;

/** A key of specificdata, and the values that are stored under it, by whose they are. */
interface Key {
  readonly destroys: boolean;
  /** Calls that store a value under it and have not ended. */
  users: number;
  dying: boolean;
  readonly values: Map<ThreadModel | ProcessModel, number>;
}

/** Functions of one of the two domains of specificdata. */
interface Functions<T> {
  create(k: K.Kernel, dtor: number): Generator<void, number, void>;
  remove(k: K.Kernel, key: number): Generator<void, void, void>;
  set(owner: T, key: number, value: number): Generator<void, void, void>;
  get(owner: T, key: number): number;
  /** It has lived: its values are destroyed. */
  isGone(owner: T): boolean;
  /** It begins to go, or has gone: those without a destructor vanish. */
  goes(owner: T): boolean;
}

/** One of the two domains of specificdata. No value is stored twice. */
class Domain<T extends ThreadModel | ProcessModel> {
  readonly #k: K.Kernel;
  readonly #f: Functions<T>;
  readonly #keys = new Map<number, Key>();
  readonly #next: () => number;

  constructor(k: K.Kernel, f: Functions<T>, next: () => number) {
    this.#k = k;
    this.#f = f;
    this.#next = next;
  }

  /** Some key that stays, or null. */
  #pick(a: number): { key: number; of: Key } | null {
    const stay = [...this.#keys].filter(([, of]) => !of.dying);
    if (stay.length === 0) return null;
    const [key, of] = stay[a % stay.length];
    return { key, of };
  }

  hasKey(): boolean {
    return this.#pick(0) !== null;
  }

  /** MCH-31: the lowest that is free, or EAGAIN. */
  *create(a: number): Run<string> {
    const destroys = a % 4 !== 0;
    const key = yield* this.#f.create(this.#k, destroys ? DESTRUCTOR : 0);
    let free = 0;
    while (this.#keys.has(free)) free++;
    assert.equal(
      key,
      free < K.SPECIFIC_KEYS_MAX ? free : -K.EAGAIN,
      "another key than the lowest that is free",
    );
    if (key >= 0) this.#keys.set(key, { destroys, users: 0, dying: false, values: new Map() });
    return `${key}`;
  }

  /** MCH-32. One under which somebody stores a value just now stays. */
  *remove(a: number): Run<string> {
    const picked = this.#pick(a);
    if (picked === null || picked.of.users > 0) {
      yield* this.#f.remove(this.#k, K.SPECIFIC_KEYS_MAX + a);
      return "none";
    }
    const { key, of } = picked;
    of.dying = true;
    yield* this.#f.remove(this.#k, key);
    if (of.destroys)
      assert.equal(of.values.size, 0, "a key was deleted, and not all of its values destroyed");
    this.#keys.delete(key);
    return `${key}`;
  }

  *set(owner: T, a: number): Run<string> {
    const { key, of } = this.#pick(a) as { key: number; of: Key };
    const value = this.#next();
    of.users++;
    yield* this.#f.set(owner, key, value);
    of.users--;
    // MCH-35: the one before is not destroyed.
    of.values.set(owner, value);
    return `${key}`;
  }

  get(owner: T, a: number): string {
    const picked = this.#pick(a);
    const key = picked?.key ?? K.SPECIFIC_KEYS_MAX + a;
    const value = this.#f.get(owner, key);
    assert.equal(value, picked?.of.values.get(owner) ?? 0, "another value than was stored");
    return `${value}`;
  }

  /** A destructor runs: whether for a value of this domain, which is gone by then. */
  destroys(value: number): boolean {
    for (const [key, { destroys, values }] of this.#keys) {
      for (const [owner, stored] of values) {
        if (stored !== value) continue;
        assert.ok(destroys, "a destructor for a key that has none");
        assert.equal(this.#f.get(owner as T, key), 0, "destroyed, but still there");
        values.delete(owner);
        return true;
      }
    }
    return false;
  }

  check(): void {
    for (const [key, of] of this.#keys) {
      for (const [owner, value] of of.values) {
        if (!of.destroys && (of.dying || this.#f.goes(owner as T))) {
          of.values.delete(owner);
          continue;
        }
        assert.ok(!this.#f.isGone(owner as T), `value ${value} was never destroyed`);
        // Who stores one may have done so, and not been told yet.
        if (of.users === 0) assert.equal(this.#f.get(owner as T, key), value, `a value under key ${key}`);
      }
    }
  }
}

export class KernelCalls {
  readonly #model: Model;
  readonly #k: K.Kernel;
  readonly lwpData: Domain<ThreadModel>;
  readonly procData: Domain<ProcessModel>;
  /** CPUs on which each cross-call that is waited for has run. */
  readonly #ran = new Map<number, number[]>();
  /** Kernel threads that have been started, and that have run. */
  readonly #started = new Map<number, K.Cpu | null>();
  readonly #through = new Set<number>();
  /** Records of dead LWPs that were given back, and their generation then. */
  readonly #emptied = new Map<number, number>();
  /** Threads that wait until all readers have finished. */
  #performing = 0;
  #numbers = 0;

  constructor(model: Model) {
    this.#model = model;
    this.#k = model.k;
    const next = (): number => ++this.#numbers;
    this.lwpData = new Domain<ThreadModel>(
      this.#k,
      {
        create: K.lwpSpecificKeyCreate,
        remove: K.lwpSpecificKeyDelete,
        set: (_t, key, value) => K.lwpSetspecific(key, value),
        get: (t, key) => K.lwpGetspecificByLwp(t.l, key),
        isGone: (t) => t.isGone,
        goes: (t) => t.exiting,
      },
      next,
    );
    this.procData = new Domain<ProcessModel>(
      this.#k,
      {
        create: K.procSpecificKeyCreate,
        remove: K.procSpecificKeyDelete,
        set: (m, key, value) => K.procSetspecific(m.p, key, value),
        get: (m, key) => K.procGetspecific(m.p, key),
        isGone: (m) => m.ended || m.p.stat === K.SZOMB,
        goes: (m) => m.ended || m.p.stat === K.SDYING || m.p.stat === K.SZOMB,
      },
      next,
    );
  }

  // --- what runs as a number -----------------------------------------------------------------------

  /** A cross-call. One of low priority may wait for a moment: `waits`. */
  called(number: number, waits: number): Generator<void, void, void> | void {
    const ran = this.#ran.get(number);
    assert.ok(ran !== undefined, "a call that nobody waits for any more");
    const runs = (): void => void ran.push(K.cur.cpu.index);
    return waits !== 0 ? this.#wait(runs) : runs();
  }

  *#wait(after: () => void): Generator<void, void, void> {
    yield* K.kpause(this.#k, "random", 1);
    after();
  }

  *thread(number: number): Generator<void, void, void> {
    const ci = this.#started.get(number);
    assert.ok(ci !== undefined && !this.#through.has(number), "a kernel thread that nobody has started");
    if (ci !== null) assert.equal(K.cur.cpu, ci, "a bound kernel thread on another CPU");
    if (number % 3 === 0) yield* K.kpause(this.#k, "random", 1);
    if (ci !== null) assert.equal(K.cur.cpu, ci, "a bound kernel thread has moved");
    this.#through.add(number);
  }

  destroyed(value: number): Generator<void, void, void> | void {
    const mine = this.lwpData.destroys(value) || this.procData.destroys(value);
    assert.ok(mine, `value ${value} is destroyed twice, or was replaced`);
    if (value % 4 === 0) return this.#wait(() => {});
  }

  // --- calls ---------------------------------------------------------------------------------------

  /** MCH-1..5: it has run on each of the CPUs asked for, once, when the wait is over. */
  *crossCall(flags: number, a: number): Run<string> {
    const k = this.#k;
    const target = a % 2 === 0 ? null : k.cpus.view(1 + ((a >> 1) % k.g.ncpu));
    const all = Array.from({ length: k.g.ncpu }, (_, i) => i + 1);
    const number = ++this.#numbers;
    this.#ran.set(number, []);
    const waits = flags === 0 && a % 3 === 0 ? 1 : 0;
    const ticket =
      target === null
        ? yield* K.xcBroadcast(k, flags, CALL, number, waits)
        : yield* K.xcUnicast(k, flags, CALL, number, waits, target);
    yield* K.xcWait(k, ticket);
    const ran = this.#ran.get(number) as number[];
    assert.deepEqual([...ran].sort(), target === null ? all : [target.index]);
    this.#ran.delete(number);
    return "";
  }

  /** MCH-50, 51: one that must be joined has run when it is. */
  *kthread(a: number, b: number): Run<string> {
    const k = this.#k;
    const ci = a % 2 === 0 ? null : k.cpus.view(1 + ((a >> 1) % k.g.ncpu));
    const joins = b % 4 !== 0;
    const number = ++this.#numbers;
    this.#started.set(number, ci);
    const full = k.procs.view(1).zomblwp === null && k.lwps.inUse === k.lwps.limit;
    const flags = K.KTHREAD_MPSAFE | (joins ? K.KTHREAD_MUSTJOIN : 0) | (b % 8 < 4 ? K.KTHREAD_TS : 0);
    const { error, l } = K.kthreadCreate(k, K.PRI_NONE, flags, ci, KTHREAD, number, "random");
    assert.equal(error, full ? K.ENOMEM : 0);
    if (l === null) {
      this.#started.delete(number);
      return "ENOMEM";
    }
    if (joins) {
      yield* K.kthreadJoin(l);
      assert.ok(this.#through.has(number), "joined, but it has not run");
    }
    return "";
  }

  /** MCH-11. Nobody can read for longer than a step here: what is looked at is that it comes to an end, and when. */
  *perform(): Run<string> {
    const k = this.#k;
    const psz = K.pserializeCreate(k);
    if (psz === null) return "full";
    this.#performing++;
    const rounds = k.xc.hiDone;
    yield* K.pserializePerform(psz);
    this.#performing--;
    assert.ok(k.xc.hiDone >= rounds + k.g.ncpu, "no CPU was asked for a switch point");
    K.pserializeDestroy(psz);
    return "";
  }

  /** LWP-40: what was free before it, and is still, is empty. */
  *reclaim(): Run<string> {
    const free = this.#freeLwps();
    const n = yield* K.lwpReclaim(this.#k);
    const still = free.filter(({ l, gen }) => l.gen === gen);
    // One that was free is emptied once, though several ask at once.
    const mine = still.filter(({ l, gen }) => this.#emptied.get(l.index) !== gen);
    assert.equal(n, mine.length, "records of dead LWPs given back");
    for (const { l, gen } of mine) this.#emptied.set(l.index, gen);
    for (const { l } of still) {
      const words = l.w.subarray(l.at + 2, l.at + K.LwpRecord.words);
      assert.ok(
        words.every((word) => word === 0),
        `something is left in record ${l.index}`,
      );
    }
    return `${n}`;
  }

  /** Records that LWPs have died in, and that nobody has emptied. */
  #freeLwps(): { l: K.Lwp; gen: number }[] {
    const { lwps, w } = this.#k;
    const list = [];
    for (let i = 1; i <= lwps.highWater; i++) {
      const l = lwps.view(i);
      if ((l.gen & 1) === 0 && w[l.at + K.LwpRecord.offset.proc] !== 0) list.push({ l, gen: l.gen });
    }
    return list;
  }

  // --- after every step ------------------------------------------------------------------------------

  check(): void {
    const { xc, psz } = this.#k;
    assert.ok(xc.done <= xc.tail && xc.tail <= xc.head, "cross-calls done, taken up, asked for");
    assert.ok(xc.hiDone <= xc.hiHead, "cross-calls of high priority");
    assert.ok(psz.pending <= this.#performing, "more wait for readers than there are");
    this.lwpData.check();
    this.procData.check();
  }

  /** When everything has ended. */
  checkEnd(): void {
    assert.equal(this.#through.size, this.#started.size, "kernel threads that have run");
    assert.deepEqual([this.#ran.size, this.#performing, this.#k.psz.pending], [0, 0, 0]);
    assert.equal(this.#k.containers.inUse, 0, "containers of specificdata in use");
    assert.equal(this.#model.vforking, 0, "threads that wait for a child");
  }
}
