/**
 * Handles on synchronisation objects: what mutexes, conditions and the others have in common.
 *
 * An object is a record in kernel memory (sys/syncobj.ts), made by `new` inside a thread. It belongs to the process of that
 * thread, works for its threads on every CPU, and lives until `dispose`, the end of a `using` block, or the end of the process.
 * A handle names it by index and generation, and travels between threads as a handle: every use checks that the object is
 * still there, and this process's.
 */
import { poolPut } from "../kern/pool.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { syncobjAlloc, syncobjFree, syncobjHasWaiters } from "../kern/syncobj.js";
import { caller, fail } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EBUSY, EINVAL, ENOMEM } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { LW_IDLE } from "../sys/param.js";
import { type Syncobj, SyncobjRecord, SYNCOBJ_NAMELEN } from "../sys/syncobj.js";
import { misuse } from "./misuse.js";
import { registerHandle } from "./handles.js";

const OBJ_PROC = SyncobjRecord.offset.proc;
const LWP_PROC = LwpRecord.offset.proc;

/** What all synchronisation objects may have. */
export interface ObjectOptions {
  /** For listings and reports: up to 31 Latin-1 characters are kept. */
  readonly name?: string;
}

/** An object that exists already: what a handle is made of. */
export class Existing {
  readonly o: Syncobj;
  readonly gen: number;
  constructor(o: Syncobj, gen: number) {
    this.o = o;
    this.gen = gen;
  }

  /** What a constructor was called with, if it was called to make a handle on what exists. */
  static from(argument: unknown): Existing | null {
    return argument instanceof Existing ? argument : null;
  }
}

/**
 * The thread that makes an object. Outside of threads it throws a TypeError: what the modules of a program make when they are
 * loaded would exist once on every CPU.
 */
export function maker(Class: string): Lwp {
  const l = cur.lwp;
  if (l !== null && (l.flag & LW_IDLE) === 0) return l;
  throw new TypeError(
    `new ${Class} works only inside a thread: at the top of a module there would be one on every CPU; make it in main and pass it as an argument`,
  );
}

/** A new object of the caller's process. Error: ENOMEM the table is full. */
export function makeObject(l: Lwp, Class: string, kind: number, { name = "" }: ObjectOptions): Existing {
  if (typeof name !== "string") fail(EINVAL, `new ${Class}`, undefined, "the name must be a string");
  const o = syncobjAlloc(l, kind, name.slice(0, SYNCOBJ_NAMELEN - 1));
  if (o !== null) return new Existing(o, o.gen);
  const { syncobjs } = l.k.limits;
  return fail(
    ENOMEM,
    `new ${Class}`,
    undefined,
    `the limit of ${syncobjs} synchronisation objects is reached`,
  );
}

/** Lets handles of a class travel between threads: as index and generation. Called once, where the class is declared. */
export function letTravel(tag: string, Class: new (existing: never) => SyncObject): void {
  registerHandle<SyncObject>(tag, {
    is: (value): value is SyncObject => value instanceof Class && SyncObject.isHandle(value),
    write: (k, handle) => SyncObject.numbers(k, handle),
    read: (k, [index, gen]) => new Class(new Existing(k.syncobjs.view(index), gen) as never),
  });
}

/** By kind: gives back what hangs on an object that is about to be freed. */
const releasers: (((o: Syncobj) => void) | undefined)[] = [];

/** Says what hangs on objects of a kind. Called once, where the class is declared. */
export function onRelease(kind: number, release: (o: Syncobj) => void): void {
  releasers[kind] = release;
}

export abstract class SyncObject {
  readonly #o: Syncobj;
  readonly #gen: number;
  /** Name of the class, for errors. */
  protected abstract readonly kind: string;

  protected constructor(made: Existing) {
    this.#o = made.o;
    this.#gen = made.gen;
  }

  /** As its maker called it; "" if not at all, or if it is gone. */
  get name(): string {
    return this.#o.gen === this.#gen ? this.#o.name : "";
  }

  /** Its number: unique while it lives; what listings show. */
  get id(): number {
    return this.#o.index;
  }

  /** The record, for the caller to use. Throws EINVAL if it was disposed, or belongs to another process. @internal */
  object(l: Lwp, call: string): Syncobj {
    const o = this.#o;
    if (o.w[o.at] !== this.#gen || o.w[o.at + OBJ_PROC] !== l.w[l.at + LWP_PROC] || o.k !== l.k)
      this.#gone(call);
    return o;
  }

  /** The same, locked: for objects that are covered by their lock. @internal */
  locked(l: Lwp, call: string): Syncobj {
    const o = this.object(l, call);
    spinEnter(o.k, o.lock);
    if (o.w[o.at] !== this.#gen) {
      spinExit(o.k, o.lock);
      this.#gone(call);
    }
    return o;
  }

  /** Whether it was not disposed since `object` looked. @internal */
  isAlive(): boolean {
    return this.#o.w[this.#o.at] === this.#gen;
  }

  #gone(call: string): never {
    fail(EINVAL, `${this.kind}.${call}`, undefined, "it was disposed, or belongs to another process");
  }

  /**
   * Frees it. Does not sleep. Errors: EINVAL it was disposed before, belongs to another process, or is a RwLock in use; EBUSY
   * it is held, or somebody waits.
   */
  dispose(): void {
    this.free("dispose");
  }

  /** Frees it, as that call does. */
  protected free(call: string): void {
    const l = caller(`${this.kind}.${call}`);
    const o = this.object(l, call);
    const { lock } = this.covering(o);
    spinEnter(o.k, lock);
    if (!this.isAlive()) {
      spinExit(o.k, lock);
      this.#gone(call);
    }
    const error = syncobjHasWaiters(o) ? EBUSY : this.inUse(o, call);
    if (error === 0) {
      releasers[o.kind]?.(o);
      syncobjFree(o);
    }
    spinExit(o.k, lock);
    if (error !== 0) misuse(l, error, `${this.kind}.${call}`, "it is held, or somebody waits");
  }

  /** Frees it at the end of a `using` block, if that was not done before. */
  [Symbol.dispose](): void {
    if (this.isAlive()) this.dispose();
  }

  /** The object whose lock keeps others from beginning to use it. */
  protected covering(o: Syncobj): Syncobj {
    return o;
  }

  /** Why it cannot be freed though nobody is on its queues; 0 = it can. Its lock is held. */
  protected inUse(_o: Syncobj, _call: string): number {
    return 0;
  }

  /** What names a handle. @internal */
  static numbers(k: Kernel, handle: SyncObject): readonly number[] {
    if (handle.#o.k !== k) throw new Error(`a ${handle.kind} of another machine`);
    return [handle.#o.index, handle.#gen];
  }

  /** Whether a value is a handle of this class. @internal */
  static isHandle(value: object): value is SyncObject {
    return #o in value;
  }
}

/** A process has ended: frees its objects. Called by the CPU that collects it. */
export function freeObjects(k: Kernel, pid: number): void {
  const { syncobjs } = k;
  const last = syncobjs.inUse === 0 ? 0 : syncobjs.highWater;
  for (let i = 1; i <= last; i++) {
    const o = syncobjs.view(i);
    // Nobody else touches an object of this pid: its process has no LWPs.
    if ((o.gen & 1) === 0 || o.pid !== pid) continue;
    releasers[o.kind]?.(o);
    poolPut(syncobjs, o);
  }
}
