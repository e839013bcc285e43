/**
 * Scopes: threads that do not outlive the block that started them.
 *
 *   const sum = yield* Scope.run(function* (scope) {
 *     const a = yield* scope.spawn(half, data, 0);
 *     const b = yield* scope.spawn(half, data, 1);
 *     return (yield* a.join()) + (yield* b.join());
 *   });
 *
 * However the block is left, the threads that still run are cancelled, and joined. If one of them fails, the block itself is
 * interrupted where it waits, and what the thread threw is thrown by `run`.
 *
 * How the owner hears of it: a record names the thread that owns its scope; a thread that fails sets CANCEL_SCOPE there and
 * wakes it. The owner gets `Cancelled` once, which its scopes let pass until the one that has the failed thread.
 */
import { EINVAL } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { CANCEL_PENDING, type ThreadRec } from "../sys/thread.js";
import type { Token } from "../context/generator.js";
import { delegateTo } from "../context/polls.js";
import {
  caller,
  fail,
  guardOperation,
  type Operation,
  operate,
  quick,
  usedTwice,
} from "../syscall/operation.js";
import { Cancelled, setCancelState, setScopeFailed } from "./cancel.js";
import { ThreadError } from "./join.js";
import { Call, type ThreadOptions } from "./spawn.js";
import { takeSpawnSite } from "./spawnsite.js";
import {
  type Args,
  CANCEL,
  DROP,
  FAILED,
  type Result,
  SPAWN,
  Thread,
  type ThreadFunction,
} from "./thread.js";
import type { WaitOptions } from "./wait.js";

/** Names that only this file uses. */
const LEAVE = Symbol("leave");
const INTERRUPTED = Symbol("interrupted");

/** The threads of a block. */
export class Scope {
  /** Those that it has started and not found gone. */
  readonly #threads = new Set<Thread>();
  readonly #owner: ThreadRec;
  readonly #gen: number;
  /** The one around it, of the same thread. */
  readonly #outer: Scope | null;
  #open = true;

  /** A scope of the calling thread, for `using`: see `[Symbol.dispose]`. Error: ESRCH the caller is no thread. */
  constructor() {
    const l = caller("Scope");
    void Thread.self;
    this.#owner = l.k.threads.view(l.arg);
    this.#gen = this.#owner.gen;
    const outer = this.#owner.scope as Scope | null;
    this.#outer = outer !== null && outer.#gen === this.#gen ? outer : null;
    this.#owner.scope = this;
  }

  /**
   * Runs `body` with a scope of its own, and returns what it returns. May sleep, and does until all threads of the scope have
   * ended.
   *
   * Errors: what `body` throws; ThreadError a thread of the scope has failed.
   */
  static run<T>(body: (scope: Scope) => Iterator<Token, T, undefined>): Operation<T> {
    return new ScopeOperation(body);
  }

  /** Starts a thread of the scope: as `Thread.spawn`. Further error: EINVAL the scope has been left. */
  spawn<F extends ThreadFunction>(f: F, ...args: Args<F>): Operation<Thread<Result<F>>> {
    return this.#spawn({}, f, args);
  }

  /** The same with options: as `Thread.with`, but a thread of a scope is not detached. */
  with(options: Omit<ThreadOptions, "detached">): Pick<Scope, "spawn"> {
    return { spawn: (f, ...args) => this.#spawn(options, f, args) };
  }

  #spawn<F>(options: ThreadOptions, f: F, args: unknown[]): Operation<Thread<Result<F>>> {
    const site = takeSpawnSite();
    return quick("Scope.spawn", (l) => {
      if (!this.#open) fail(EINVAL, "Scope.spawn", l.lid, "the scope has been left");
      const request = { ...options, detached: false, owner: this.#owner };
      const t = Thread[SPAWN](l, new Call(f, args), request, site);
      this.#threads.add(t);
      return t;
    });
  }

  /** Waits until all threads of the scope have ended. May sleep. Errors: ThreadError one failed; those of every wait. */
  join(options?: WaitOptions): Operation<void> {
    const threads = this.#threads;
    return operate("Scope.join", function* () {
      for (const t of threads) {
        if (t.isGood) yield* t.join(options);
        threads.delete(t);
      }
    });
  }

  /** Cancels all threads of the scope. Does not sleep. */
  cancel(): Operation<void> {
    return quick("Scope.cancel", (l) => this.#cancelAll(l));
  }

  #cancelAll(l: Lwp): void {
    for (const t of this.#threads) if (t.isGood) Thread[CANCEL](l, t);
  }

  /**
   * Leaves the scope: cancels its threads, and waits for them, whatever comes. Returns what one of them that failed threw;
   * null if none did. May sleep.
   */
  *[LEAVE](l: Lwp): Generator<Token, ThreadError | null, undefined> {
    this.#open = false;
    let failure: ThreadError | null = null;
    const enabled = setCancelState(l, false);
    try {
      this.#cancelAll(l);
      for (const t of this.#threads) {
        try {
          if (t.isGood) yield* t.join();
        } catch (error) {
          if (!(error instanceof ThreadError)) throw error;
          if (error.code !== "ECANCELED") failure ??= error;
        }
      }
      this.#close(l);
    } finally {
      setCancelState(l, enabled);
    }
    return failure;
  }

  /** The scope is over: what its threads had to say of failures was heard. What those of outer ones have was not. */
  #close(l: Lwp): void {
    this.#threads.clear();
    this.#owner.scope = this.#outer;
    setScopeFailed(l, false);
    for (let s = this.#outer; s !== null; s = s.#outer) {
      for (const t of s.#threads) if (Thread[FAILED](t)) setScopeFailed(l, true);
    }
  }

  /** Whether the caller, who has caught `error`, was only interrupted because a thread of a scope failed. */
  [INTERRUPTED](error: unknown): boolean {
    return error instanceof Cancelled && (this.#owner.cancel & CANCEL_PENDING) === 0;
  }

  /**
   * Leaves the scope without waiting, for `using`: its threads are cancelled and detached; what one of them that has failed
   * threw is thrown. `Scope.run` waits for them, and is the better choice wherever it can be used.
   */
  [Symbol.dispose](): void {
    const l = caller("Scope");
    if (!this.#open) return;
    this.#open = false;
    this.#cancelAll(l);
    let failure: ThreadError | null = null;
    for (const t of this.#threads) if (t.isGood) failure ??= Thread[DROP](l, t);
    this.#close(l);
    if (failure !== null) throw failure;
  }
}

class ScopeOperation<T> implements Operation<T> {
  readonly syscall = "Scope.run";
  private readonly body: (scope: Scope) => Iterator<Token, T, undefined>;
  private ran = false;

  constructor(body: (scope: Scope) => Iterator<Token, T, undefined>) {
    this.body = body;
  }

  [Symbol.iterator](): Generator<Token, T, undefined> {
    if (this.ran) usedTwice(this.syscall);
    this.ran = true;
    return runScope(this.body);
  }
}
guardOperation(ScopeOperation.prototype);

function* runScope<T>(body: (scope: Scope) => Iterator<Token, T, undefined>): Generator<Token, T, undefined> {
  const l = caller("Scope.run");
  const scope = new Scope();
  let value: T;
  try {
    value = yield* { [Symbol.iterator]: () => delegateTo(body, body(scope)) };
  } catch (error) {
    const interrupted = scope[INTERRUPTED](error);
    const failure = yield* scope[LEAVE](l);
    throw interrupted && failure !== null ? failure : error;
  }
  const failure = yield* scope[LEAVE](l);
  if (failure !== null) throw failure;
  return value;
}
