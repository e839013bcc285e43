/**
 * Who drives a generator: what a poll in a loop must know before it may leave the context.
 *
 * The linker puts polls into the loops of thread functions: generator functions without a plain `yield`. A poll leaves by
 * yielding, as an operation does, and that is right only if the dispatcher gets what it yields: if each generator between
 * the two delegates with `yield*`. Where something else iterates the generator (a spread, `for-of`, a package), the token
 * would be taken for a value. A generator cannot see who drives it; so it is told at its start, in steps:
 *
 *   1. Who starts it sets `delegated`, if it knows three things: that it delegates itself, that the function is one with
 *      polls, and that the generator is new. The context knows it of a thread's first generator, an operation of what it runs
 *      for its caller, the linked code of a call `yield* f()` in a thread function which was told so itself.
 *   2. The generator takes it with its first instruction, and keeps the answer for as long as it lives.
 *
 * Between the two runs nothing that could start another generator, so who takes it is who was meant. Everybody else sets
 * nothing: driven by them, a poll never yields.
 */

/** How the text of a function with polls ends: with a comment that the linker puts before its last brace. */
export const POLLS_MARK = "/*lwp*/}";

export const handshake = {
  /** The generator about to start is driven by the dispatcher. */
  delegated: false,
  /** The generator last made by a function with polls for a thread to begin with, until the thread does. */
  first: null as object | null,
  /** This realm has linked programs. */
  used: false,
};

const textOf = Function.prototype.toString;
const GENERATOR_FUNCTION: object = Object.getPrototypeOf(function* () {});
let lastFunction: unknown = null;
let lastAnswer = false;

/** Whether `f` is a generator function whose loops have polls. */
export function hasPolls(f: unknown): boolean {
  if (f === lastFunction) return lastAnswer;
  if (typeof f !== "function" || Object.getPrototypeOf(f) !== GENERATOR_FUNCTION) return false;
  lastAnswer = textOf.call(f).endsWith(POLLS_MARK);
  lastFunction = f;
  return lastAnswer;
}

/** Forgets the function last asked for, which would keep its program in memory. */
export function forgetPolls(): void {
  lastFunction = null;
  lastAnswer = false;
}

/** Notes that `f()` has just made `body`, with which a thread is to begin; returns it. */
export function threadBody<T extends object>(f: unknown, body: T): T {
  if (handshake.used && hasPolls(f)) handshake.first = body;
  return body;
}

/** Notes that a thread which was to begin with `inner` begins with `body` instead, which only passes on; returns it. */
export function threadBodyAround<T extends object>(inner: object, body: T): T {
  if (handshake.first === inner) handshake.first = body;
  return body;
}

/** For operations that run a program's function: `body` is what `f()` has just made, and is delegated to at once. */
export function delegateTo<T>(f: unknown, body: T): T {
  handshake.delegated = handshake.used && hasPolls(f);
  return body;
}

/** Whether the polls of a thread's first generator may leave. The thread begins. */
export function takeFirst(body: object): boolean {
  const polls = handshake.first === body;
  handshake.first = null;
  return polls;
}

class Killed extends Error {
  constructor() {
    super("this thread is being ended");
    this.name = "Killed";
    this.stack = `${this.name}: ${this.message}`;
  }
}

/** Thrown by polls of plain functions, which cannot leave in any other way, to end their thread. There is but one. */
export const KILLED: Error = new Killed();
