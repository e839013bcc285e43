/**
 * Values of each thread's own (THR-50, 51): `pthread_key_create`, `getspecific`, `setspecific`.
 *
 * A key belongs to its process (kern/threadkey.ts); the values hang on the contexts of the threads, each in the one realm where
 * its thread lives, and are read without a lock. The code of a step LWP, which may move between realms, has its words instead.
 *
 * At the end of a thread its destructors run, on the thread itself, so they may wait: passes over keys 0 to 255, in which each
 * value is removed before its destructor is called with it; and again while a pass has found something, five passes at most.
 * None run when the process ends, by the return of main too, as in C.
 */
import { EAGAIN, EINVAL, KernelAssertion } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import type { Proc } from "../sys/proc.js";
import { TSD_KEYS_MAX } from "../sys/shapes.js";
import type { Token } from "../context/generator.js";
import {
  threadKeyCreate,
  threadKeyDelete,
  threadKeyDtor,
  threadKeyGen,
  threadKeyIsLive,
} from "../kern/threadkey.js";
import { caller, fail } from "../syscall/operation.js";
import { registerHandle } from "./handles.js";
import { type ThreadMain, threadHost } from "./host.js";

/** Passes over the keys at the end of a thread: one, and four that destructors have made necessary. */
const PASSES_MAX = 5;

/** Words of destructors: none; one that stays in its realm; else the number of a portable entry, after these. */
const DTOR_NONE = 0;
const DTOR_LOCAL = 1;
const DTOR_ENTRY = 2;

/** What is called with a value at the end of its thread: a generator function may wait, another returns at once. */
export type Destructor<T> = (value: T) => unknown;

/** What a context keeps for a key. */
interface Slot {
  readonly gen: number;
  readonly value: unknown;
  readonly destructor: Destructor<never> | null;
}

/** A value of each thread's own. A handle: threads on all CPUs may share the key, each with its own value. */
export class ThreadLocal<T> implements Disposable {
  readonly #destructor: Destructor<T> | null;
  #proc: Proc | null = null;
  /** -1 until a thread uses it. */
  #key = -1;
  #gen = 0;

  /**
   * Makes a key. Outside a thread, in the top level of a module, it is made by the first `set`. A destructor that is to run on
   * other CPUs too must be a top-level generator function. Does not sleep.
   *
   * Errors: EAGAIN all 256 keys of the process are in use; TypeError the destructor is no function. Source:
   * pthread_key_create(3).
   */
  constructor(destructor?: Destructor<T>);
  constructor(destructor?: Destructor<T> | Key) {
    if (isKey(destructor)) {
      const { proc, key, gen } = destructor;
      this.#proc = proc;
      this.#key = key;
      this.#gen = gen;
      this.#destructor = destructorOf(proc, key, gen) as Destructor<T> | null;
      return;
    }
    if (destructor !== undefined && typeof destructor !== "function") {
      throw new TypeError("the destructor of a ThreadLocal must be a function");
    }
    this.#destructor = destructor ?? null;
    const l = callerOrNull();
    if (l !== null) this.#make(l);
  }

  static {
    registerHandle<ThreadLocal<unknown>>("ThreadLocal", {
      is: (value): value is ThreadLocal<unknown> => #gen in value,
      write(k, local) {
        const l = caller("ThreadLocal");
        if (local.#key < 0) local.#make(l);
        const p = local.#proc as Proc;
        if (p.k !== k || p !== l.proc) throw new Error("a ThreadLocal of another process");
        if (local.#destructor !== null && threadKeyDtor(p, local.#key) === DTOR_LOCAL)
          throw new Error(STAYS.replace("%", local.#destructor.name).replace("  ", " "));
        return [local.#key, local.#gen];
      },
      read(_k, [key, gen]) {
        const handle: Key = { proc: caller("ThreadLocal").proc, key, gen };
        return new ThreadLocal(handle as unknown as Destructor<unknown>);
      },
    });
  }

  #make(l: Lwp): void {
    const p = l.proc;
    let dtor = DTOR_NONE;
    if (this.#destructor !== null) {
      const entry = threadHost(l.k).entryOf(p.program, this.#destructor as unknown as ThreadMain);
      dtor = entry < 0 ? DTOR_LOCAL : entry + DTOR_ENTRY;
    }
    const key = threadKeyCreate(p, dtor);
    if (key < 0) fail(EAGAIN, "ThreadLocal", undefined, `all ${TSD_KEYS_MAX} keys of the process are in use`);
    this.#proc = p;
    this.#key = key;
    this.#gen = threadKeyGen(p, key);
  }

  /** The calling thread's value; undefined if it has none. Takes no lock. Source: pthread_getspecific(3). */
  get(): T | undefined {
    const l = caller("ThreadLocal.get");
    const slot = l.context?.locals?.[this.#key] as Slot | undefined;
    if (slot === undefined || slot.gen !== this.#gen || !this.live) return undefined;
    return slot.value as T;
  }

  /**
   * Sets the calling thread's value; null or undefined removes it. Errors: EINVAL the key was deleted, or the caller is no
   * thread of a program; EAGAIN as for a new one, at the first use. Source: pthread_setspecific(3).
   */
  set(value: T | null | undefined): void {
    const l = caller("ThreadLocal.set");
    if (this.#key < 0) this.#make(l);
    if (!this.live || l.proc !== this.#proc) fail(EINVAL, "ThreadLocal.set", l.lid, "the key was deleted");
    const { context } = l;
    if (context?.locals === undefined)
      fail(EINVAL, "ThreadLocal.set", l.lid, "the caller has no values of its own");
    const locals = (context.locals ??= []);
    if (value === null || value === undefined) locals[this.#key] = undefined;
    else locals[this.#key] = { gen: this.#gen, value, destructor: this.#destructor } satisfies Slot;
  }

  /** Whether it was not deleted yet. */
  get live(): boolean {
    return this.#key < 0 || threadKeyIsLive(this.#proc as Proc, this.#key, this.#gen);
  }

  /**
   * Deletes the key: no thread has a value any more, and no destructor runs. A second time does nothing. Source:
   * pthread_key_delete(3).
   */
  dispose(): void {
    caller("ThreadLocal.dispose");
    if (this.#key >= 0) threadKeyDelete(this.#proc as Proc, this.#key, this.#gen);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const STAYS = "its destructor % stays in its realm: make it a top-level generator function";

/** A key as a handle names it. */
interface Key {
  readonly proc: Proc;
  readonly key: number;
  readonly gen: number;
}

function isKey(value: unknown): value is Key {
  return typeof value === "object" && value !== null && "proc" in value;
}

function callerOrNull(): Lwp | null {
  try {
    return caller("ThreadLocal");
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

function destructorOf(p: Proc, key: number, gen: number): ThreadMain | null {
  const dtor = threadKeyIsLive(p, key, gen) ? threadKeyDtor(p, key) : DTOR_NONE;
  return dtor < DTOR_ENTRY ? null : threadHost(p.k).entryAt(p.program, dtor - DTOR_ENTRY);
}

/** Runs the destructors of a thread that ends. The first exception of one is thrown when all have run. May sleep. */
export function* runDestructors(l: Lwp, locals: unknown[]): Generator<Token, void, undefined> {
  let failure: { readonly error: unknown } | null = null;
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    let found = false;
    for (let key = 0; key < locals.length; key++) {
      const slot = locals[key] as Slot | undefined;
      if (slot === undefined) continue;
      locals[key] = undefined;
      if (!threadKeyIsLive(l.proc, key, slot.gen)) continue;
      found = true;
      if (slot.destructor === null) continue;
      try {
        const running = slot.destructor(slot.value as never);
        if (isIterator(running)) yield* { [Symbol.iterator]: () => running };
      } catch (error) {
        if (error instanceof KernelAssertion) throw error;
        failure ??= { error };
      }
    }
    if (!found) break;
  }
  if (failure !== null) throw failure.error;
}

function isIterator(value: unknown): value is Iterator<Token, unknown, undefined> {
  return (
    typeof value === "object" && value !== null && typeof (value as { next?: unknown }).next === "function"
  );
}
