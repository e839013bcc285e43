/**
 * Operations: system calls as a program sees them.
 *
 * An operation acts when it is iterated (`yield* lwpWait(2)`), never when it is called. It ends in the return to user
 * mode, where preemption, suspension and exit happen; errors are thrown after that, as `LwpError`. A call that must be
 * executed again (ERESTART) is, once signals have been looked at.
 */
import { cur } from "../sys/current.js";
import { ERESTART, KernelAssertion, LwpError } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { LW_IDLE } from "../sys/param.js";
import { ENTER_HANDLER, EXIT_LWP, type Token, tokenOf } from "../context/generator.js";
import { cacheCreds } from "../kern/cred.js";
import { RET_SIGNAL, RET_SWITCH, RET_USER, userret } from "../kern/userret.js";

/** Something that may sleep: use it with `yield*` inside a thread. */
export interface Operation<T> {
  [Symbol.iterator](): Iterator<Token, T, undefined>;
}

/** On the prototypes of operations. */
const OPERATION = Symbol("operation");

/**
 * Makes a class one of operations: one that a call has left lying about is known for what it is, and to use it as anything else
 * says what to do. `await`, arithmetic, a template, JSON, and what only its value has (`r.done`, `t.join()`, `using`) throw,
 * since nobody would ever iterate it; `console.log` shows a line. Costs an operation nothing, since it is on the prototype.
 * `syscall` is its name, unless its instances have one.
 */
export function guardOperation(prototype: object, syscall?: string): void {
  Object.defineProperties(prototype, {
    ...(syscall === undefined ? {} : { syscall: { value: syscall } }),
    [OPERATION]: { value: true },
    ...("throw" in prototype ? {} : { throw: { value: thrownInto, writable: true } }),
    then: { get: awaited },
    toJSON: { value: usedAsValue },
    [Symbol.toPrimitive]: { value: usedAsValue },
    [INSPECT]: { value: shown },
    ...Object.fromEntries(OF_VALUES.map((name) => [name, { get: usedAsValue }])),
  });
}

/** What the values of operations have, and no operation has: results of a channel, guards, threads. */
const OF_VALUES = [
  ...["done", "value", Symbol.dispose],
  ...["lid", "isGood", "join", "detach", "cancel", "suspend", "resume", "kill"],
];

/** By this name `console.log` of Node, and what else shows values, asks an object how it is to be shown. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** What all operations have. */
export interface Guarded {
  /** The call that made it. */
  readonly syscall: string;
}

/** Whether something is an operation of this package. */
export function isOperation(value: object): value is Guarded {
  return OPERATION in value;
}

/** What a signal's handler throws ends the operation that it has interrupted. */
function thrownInto(error: unknown): never {
  throw error;
}

function awaited(this: Guarded): never {
  throw new TypeError(`${this.syscall} cannot be awaited: yield* it inside a thread`);
}

function usedAsValue(this: Guarded): never {
  throw new TypeError(
    `${this.syscall} gives its value when it is iterated: write \`yield*\` before the call`,
  );
}

function shown(this: Guarded): string {
  return `[operation ${this.syscall}: acts when it is iterated, write \`yield*\` before the call]`;
}

/** The calling LWP; an error that says what to do, outside a thread. */
export function caller(syscall: string): Lwp {
  const l = cur.lwp;
  return l === null || (l.flag & LW_IDLE) !== 0 ? outside(syscall) : l;
}

function outside(syscall: string): never {
  throw new TypeError(
    `${syscall} works only inside a thread: in a generator function that a machine runs, and in no callback`,
  );
}

/** Throws what a kernel function returned. */
export function fail(errno: number, syscall: string, lid?: number, detail?: string): never {
  if (errno === ERESTART) throw RESTART;
  throw new LwpError(errno, syscall, { pid: cur.lwp.proc.pid, lid, detail });
}

const RESTART = new Error("system call must be restarted");

/** An operation from its body, which runs with the caller as argument and may sleep. */
export function operate<T>(syscall: string, body: SleepingBody<T>): Operation<T> {
  return new SleepingOperation(syscall, body);
}

type SleepingBody<T> = (l: Lwp) => Generator<Token, T, undefined>;

class SleepingOperation<T> implements Operation<T> {
  private readonly syscall: string;
  private readonly body: SleepingBody<T>;
  private ran = false;

  constructor(syscall: string, body: SleepingBody<T>) {
    this.syscall = syscall;
    this.body = body;
  }

  [Symbol.iterator](): Generator<Token, T, undefined> {
    if (this.ran) usedTwice(this.syscall);
    this.ran = true;
    return sleeping(this.syscall, this.body);
  }
}
guardOperation(SleepingOperation.prototype);

function* sleeping<T>(syscall: string, body: SleepingBody<T>): Generator<Token, T, undefined> {
  const l = caller(syscall);
  for (;;) {
    let value: T | undefined;
    let error: unknown;
    cacheCreds(l);
    try {
      value = yield* body(l);
    } catch (e) {
      if (e instanceof KernelAssertion) throw e;
      error = e;
    }
    const r = userret(l);
    if (r !== RET_USER) yield* returnToUser(l, r);
    if (error === undefined) return value as T;
    if (error !== RESTART) throw error;
  }
}

/** An operation that never sleeps in the kernel. An iterator rather than a generator: half the cost. */
class QuickOperation<T> implements Operation<T>, Iterator<Token, T, undefined> {
  private readonly syscall: string;
  private readonly body: (l: Lwp) => T;
  private ran = false;
  private outcome: T | undefined = undefined;
  private error: unknown = undefined;

  constructor(syscall: string, body: (l: Lwp) => T) {
    this.syscall = syscall;
    this.body = body;
  }

  [Symbol.iterator](): this {
    if (this.ran) usedTwice(this.syscall);
    return this;
  }

  next(): IteratorResult<Token, T> {
    const l = caller(this.syscall);
    if (!this.ran) {
      this.ran = true;
      cacheCreds(l);
      try {
        this.outcome = this.body(l);
      } catch (e) {
        if (e instanceof KernelAssertion) throw e;
        this.error = e;
      }
    }
    const step = returnStep(l);
    if (step !== null) return step;
    if (this.error !== undefined) throw this.error;
    return { done: true, value: this.outcome as T };
  }
}

guardOperation(QuickOperation.prototype);

/** An operation acts once: one that is iterated again would do nothing, in silence. */
export function usedTwice(syscall: string): never {
  throw new TypeError(`${syscall}: an operation serves once: make the call again`);
}

/** An operation from a body that does not sleep; it runs when the operation is first iterated. */
export function quick<T>(syscall: string, body: (l: Lwp) => T): Operation<T> {
  return new QuickOperation(syscall, body);
}

/** The rest of a return to user mode that did not succeed at once. */
export function* returnToUser(l: Lwp, first: number): Generator<Token, void, undefined> {
  for (let r = first; r !== RET_USER; r = userret(l)) yield tokenOf(r);
}

const LEAVE: IteratorResult<Token, never> = { done: false, value: undefined };
const LEAVE_FOR_GOOD: IteratorResult<Token, never> = { done: false, value: EXIT_LWP };
const HANDLE: IteratorResult<Token, never> = { done: false, value: ENTER_HANDLER };

/** For operations written as iterators: the step of their return to user mode, or null when they are done. */
export function returnStep(l: Lwp): IteratorResult<Token, never> | null {
  const r = userret(l);
  if (r === RET_USER) return null;
  if (r === RET_SWITCH) return LEAVE;
  return r === RET_SIGNAL ? HANDLE : LEAVE_FOR_GOOD;
}

/** Leaves the context. */
export function leave(): IteratorResult<Token, never> {
  return LEAVE;
}
