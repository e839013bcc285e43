/**
 * Looking into the kernel while it runs: probes, delay points, the port, the order of locks.
 */
import * as K from "lwp/kernel";
import type { TestMachine } from "./sim.js";

/** Calls `seen` before each write to a field of one record through its accessor; the old value still stands there. */
export function watch(record: K.View, type: K.RecordType<unknown>, field: string, seen: Seen): void {
  const real = Object.getOwnPropertyDescriptor(type.View.prototype, field) as Required<PropertyDescriptor>;
  Object.defineProperty(record, field, {
    configurable: true,
    get: () => real.get.call(record) as unknown,
    set: (value: unknown) => {
      seen(real.get.call(record), value);
      real.set.call(record, value);
    },
  });
}

export type Seen = (from: unknown, to: unknown) => void;

/** Calls `seen` whenever one of the probes fires, in the very place where it does. */
export function onProbe(
  m: TestMachine,
  names: readonly K.ProbeName[],
  seen: (r: K.TraceRecord) => void,
): void {
  K.probeEnable(m.k, names, true);
  for (let n = 0; n < m.k.g.ncpu; n++) {
    const ci = m.cpu(n);
    const earlier = Object.getOwnPropertyDescriptor(ci, "traceHead");
    let head = ci.traceHead;
    // The ring's head is moved once the record is complete.
    Object.defineProperty(ci, "traceHead", {
      configurable: true,
      get: () => head,
      set: (value: number) => {
        const from = head;
        head = value;
        earlier?.set?.call(ci, value);
        for (const r of K.traceRead(m.k, ci, from).records) if (names.includes(r.probe)) seen(r);
      },
    });
  }
}

/** Calls `seen` at each change of state of an LWP, with the locks held under which it is made. */
export function onState(m: TestMachine, seen: (l: K.Lwp, from: number, to: number) => void): void {
  onProbe(m, ["state"], ({ pid, lid, args }) => seen(find(m.k, pid, lid), args[0], args[1]));
}

/** The LWP with these ids, taking no lock. */
function find(k: K.Kernel, pid: number, lid: number): K.Lwp {
  for (let i = 1; i <= k.lwps.highWater; i++) {
    const l = k.lwps.view(i);
    if ((l.gen & 1) === 1 && l.lid === lid && l.proc.pid === pid) return l;
  }
  throw new Error(`no LWP ${pid}.${lid}`);
}

/** Replaces some of what the machine under the kernel does; the rest stays the simulated machine's. */
export function overridePort(m: TestMachine, changed: Partial<K.Port>): void {
  const under = m.k.port;
  m.k.port = new Proxy(under, {
    get(target, key) {
      if (Object.hasOwn(changed, key)) return changed[key as keyof K.Port];
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Calls `reached` whenever a CPU comes to the delay point; the CPU's current LWP is the one that stands there. */
export function atDelayPoint(m: TestMachine, name: K.DelayPoint, reached: (l: K.Lwp) => void): void {
  m.k.g.lockstep = 1;
  const under = m.k.port;
  const bit = K.delayBit(name);
  overridePort(m, {
    held: (ci, point) => {
      if (point === bit) reached(K.cur.lwp);
      else under.held(ci, point);
    },
  });
}

/** Which lock is taken while which is held: an entry for each pair of kinds, "held -> taken"; if they are of one kind, "held -> next" or "held -> previous". */
export class LockOrder {
  readonly pairs = new Set<string>();
  readonly #m: TestMachine;
  readonly #kinds = new Map<number, string>();

  /**
   * From here on every lock that is free belongs to a CPU that does not exist, which lets go of it as soon as somebody
   * wants it: so the machine itself tells of each lock that is taken.
   */
  constructor(m: TestMachine) {
    this.#m = m;
    overridePort(m, { relax: (site, _rounds, address) => this.#taken(site, address) });
  }

  /** To be called between steps. */
  arm(): void {
    const { k } = this.#m;
    this.#findLocks();
    for (const address of this.#kinds.keys()) if (k.w[address] === 0) k.w[address] = NOBODY;
  }

  /** Gives the locks back, so that the machine can be looked at. */
  disarm(): void {
    const { k } = this.#m;
    for (const address of this.#kinds.keys()) if (k.w[address] === NOBODY) k.w[address] = 0;
  }

  #findLocks(): void {
    const { k } = this.#m;
    const { g } = k;
    const kinds = this.#kinds;
    kinds.set(g.procLock, "proc_lock");
    for (let i = 1; i <= k.procs.highWater; i++) kinds.set(k.procs.view(i).lock, "p_lock");
    for (let i = 1; i <= g.ncpu; i++) {
      kinds.set(k.cpus.view(i).lwplock, "lwplock");
      kinds.set(k.cpus.view(i).mutex, "spc_mutex");
    }
    for (let i = 0; i < K.SLEEPTAB_SIZE; i++) {
      kinds.set(k.sleeptab + i * K.SLEEPTAB_BUCKET_WORDS, "sleeptab");
      kinds.set(k.parktab + i * K.SLEEPTAB_BUCKET_WORDS, "sleeptab");
    }
    for (let i = 0; i < K.TSTAB_SIZE; i++) kinds.set(k.tstab + i * K.TSTAB_BUCKET_WORDS, "tschain");
  }

  #taken(site: string, address: number): void {
    const { k } = this.#m;
    const kind = this.#kinds.get(address);
    if (kind === undefined || k.w[address] !== NOBODY)
      throw new Error(`${site}: nobody will let go of ${address}`);
    k.w[address] = 0;
    for (const [other, held] of this.#kinds) {
      const taken = held !== kind ? kind : other < address ? "next" : "previous";
      if (k.w[other] === K.cur.cpu.index) this.pairs.add(`${held} -> ${taken}`);
      else if (k.w[other] === 0 && other !== address) k.w[other] = NOBODY;
    }
  }
}

/** Index of no CPU. */
const NOBODY = 99;
