/**
 * Generator contexts: threads written in TypeScript.
 *
 * The generator yields `undefined` whenever its LWP has been switched out (or its CPU has something else to do first), and
 * a token to leave for good. What ends the program's code ends the LWP: the context then runs the exit, which may sleep
 * as well. A program whose LWP is told to exit is dropped where it stands: like a killed process, it runs no `finally`.
 */
import { CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { KernelAssertion } from "../sys/errno.js";
import type { Context, Lwp } from "../sys/lwp.js";
import { LW_WEXIT, PS_WEXIT } from "../sys/param.js";
import {
  dropHostSide,
  EXIT_DONE,
  EXIT_DRAIN,
  EXIT_KILLED,
  EXIT_PROCESS,
  EXIT_READY,
  EXIT_SPECIFIC,
  lwpExitAtOnce,
  lwpExitBegin,
  lwpExitDrain,
  lwpExitFinish,
  lwpExitSpecific,
} from "../kern/lwpexit.js";
import { exit1 } from "../kern/proc.js";
import { isKilled } from "../kern/prockill.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { begin, type Code } from "./beginning.js";
import { bodyFrom, GENERATOR_NEXT, isGenerator, rethrow, tokenOf } from "./body.js";
import { handlerFrame, type HandlerFrame } from "./handler.js";
import { KILLED } from "./polls.js";
import { type Body, ENTER_HANDLER, EXIT_LWP, EXIT_PROC, type Token } from "./token.js";

export { type Body, ENTER_HANDLER, EXIT_LWP, EXIT_PROC, isGenerator, type Token, tokenOf };

/** Signal number with which a program's uncaught exception ends its process (SIGABRT). */
export const FATAL_SIGNAL = 6;

/** What happens when a thread's code ends, before its LWP does. */
export interface Ending {
  /**
   * It returned `value`: how to go on. For EXIT_PROC the status stands in `l.retval`; a number is what `lwpExitAtOnce` has
   * returned.
   */
  returned(l: Lwp, value: unknown): typeof EXIT_LWP | typeof EXIT_PROC | number;
  /** An exception left it: whether that is no more than its end. If not, the process ends as by a fatal signal. */
  threw(l: Lwp, error: unknown): boolean;
  /** It ends by itself and has values of its own: what still runs on its context first; null = nothing. */
  destructors?(l: Lwp, locals: unknown[], returned: boolean): Generator<Token, void, undefined> | null;
}

/** A raw LWP: its result is nobody's, its exception ends the process. */
export const PLAIN_ENDING: Ending = {
  returned: () => EXIT_LWP,
  threw: () => false,
};

/** The body is a generator, and not an iterator of somebody's making. */
const NATIVE = 1;
/** The body is the LWP's exit. */
const EXITING = 2;
/** Its destructors run, or have run. */
const DESTROYING = 4;
/** The body is the frame of a signal's handler, under which what it has interrupted waits. */
const HANDLING = 8;
/** It has not run: what stands for the body makes one of itself. */
const UNBEGUN = 16;

export class GeneratorContext implements Context {
  private body: Body | Code;
  /** NATIVE, EXITING, DESTROYING, HANDLING, UNBEGUN: one word, since there is one for every thread. */
  private flags: number;
  locals: unknown[] | null = null;
  private readonly ending: Ending;

  constructor(code: Code, ending: Ending) {
    this.body = code;
    this.flags = UNBEGUN;
    this.ending = ending;
  }

  resume(l: Lwp): boolean {
    let thrown: unknown = NOTHING;
    for (;;) {
      let step: IteratorResult<Token, unknown>;
      try {
        step = thrown === NOTHING ? this.advance(l) : throwInto(this.body as Body, thrown);
      } catch (error) {
        if ((this.flags & EXITING) !== 0 || error instanceof KernelAssertion) throw error;
        if ((this.flags & HANDLING) !== 0 && error !== KILLED) {
          // As a jump out of the handler: what it has interrupted goes on with the exception, under the mask of before.
          this.leaveHandler(l);
          thrown = error;
          continue;
        }
        if (this.locals !== null && this.destroy(l, false, () => rethrow(error))) continue;
        return this.fail(l, error);
      }
      thrown = NOTHING;
      if (step.done === true) {
        if ((this.flags & EXITING) !== 0) return false;
        if ((this.flags & HANDLING) !== 0) {
          this.leaveHandler(l);
          continue;
        }
        const { value } = step;
        if (this.locals !== null && this.destroy(l, true, () => value)) continue;
        return this.returned(l, value);
      }
      const token = step.value;
      if (token === undefined) {
        if ((this.flags & EXITING) !== 0 || hasLeft(l)) return true;
        thrown = new TypeError("a thread may not `yield`: write `yield*` before an operation");
      } else if (token === ENTER_HANDLER) {
        this.enterHandler(l);
      } else if (token === EXIT_LWP) {
        if (this.locals !== null && this.destroy(l, false, null)) continue;
        return this.leave(l);
      } else if (token === EXIT_PROC) {
        return this.exitProcess(l, l.retval << 8);
      } else {
        thrown = new TypeError(`a thread yielded ${describe(token)}: write \`yield*\` before an operation`);
      }
    }
  }

  /**
   * Puts the destructors of the thread's own values before its end, which `end` then repeats; null = it leaves for good. False:
   * there are none to run, or it is told to exit, and like a killed process runs none.
   */
  private destroy(l: Lwp, returned: boolean, end: (() => unknown) | null): boolean {
    const { destructors: make } = this.ending;
    if ((this.flags & DESTROYING) !== 0 || make === undefined || (l.flag & LW_WEXIT) !== 0) return false;
    this.flags |= DESTROYING;
    const destructors = make(l, this.locals as unknown[], returned);
    if (destructors === null) return false;
    this.body = destroyThenEnd(destructors, end);
    this.flags = (this.flags & ~HANDLING) | NATIVE;
    return true;
  }

  /** Puts the handler that the LWP is to enter on top of what it runs. */
  private enterHandler(l: Lwp): void {
    this.body = handlerFrame(l, this.body as Body, this.flags & (NATIVE | HANDLING));
    this.flags = (this.flags & ~NATIVE) | HANDLING;
  }

  /** The handler has ended. */
  private leaveHandler(l: Lwp): void {
    const frame = this.body as HandlerFrame;
    this.body = frame.interrupted;
    this.flags = (this.flags & ~(NATIVE | HANDLING)) | frame.flags;
    frame.leave(l);
  }

  private advance(l: Lwp): IteratorResult<Token, unknown> {
    if ((this.flags & (NATIVE | UNBEGUN)) === UNBEGUN) this.start(l);
    return (this.flags & NATIVE) !== 0 ? GENERATOR_NEXT.call(this.body) : (this.body as Body).next();
  }

  /** The first run. */
  private start(l: Lwp): void {
    const body = begin(l, this.body as Code);
    const native = isGenerator(body);
    this.body = native ? body : bodyFrom(body);
    this.flags = native ? NATIVE : 0;
  }

  private returned(l: Lwp, value: unknown): boolean {
    let how: typeof EXIT_LWP | typeof EXIT_PROC | number;
    try {
      how = this.ending.returned(l, value);
    } catch (error) {
      if (error instanceof KernelAssertion) throw error;
      return this.fail(l, error);
    }
    if (typeof how === "number") return this.goOnLeaving(l, how);
    return how === EXIT_PROC ? this.exitProcess(l, l.retval << 8) : this.leave(l);
  }

  private fail(l: Lwp, error: unknown): boolean {
    // A poll has ended it. Where its process does not exit the machine halts, and no context is resumed any more.
    if (error === KILLED) return (l.flag & LW_WEXIT) !== 0 ? this.leave(l) : true;
    return this.ending.threw(l, error) ? this.leave(l) : this.exitProcess(l, FATAL_SIGNAL);
  }

  /** `exit(n)`: of those who ask, the first ends the process, the others only themselves (PRC-28). */
  private exitProcess(l: Lwp, status: number): boolean {
    const { k } = l;
    const p = l.proc;
    spinEnter(k, p.lock);
    if ((p.sflag & PS_WEXIT) === 0) return this.run(l, exit1(l, status));
    spinExit(k, p.lock);
    return this.leave(l);
  }

  /** Ends the LWP, whatever its code is at. As `resume`. */
  leave(l: Lwp): boolean {
    if (l.k.slots.lwpExit === null) {
      dropHostSide(l);
      return this.goOnLeaving(l, lwpExitAtOnce(l));
    }
    return this.leaveInSteps(l);
  }

  private leaveInSteps(l: Lwp): boolean {
    // Told so from outside (kern/prockill.ts): the first to come here ends the process.
    if (isKilled(l) && (l.proc.sflag & PS_WEXIT) === 0) return this.exitProcess(l, l.proc.killed);
    const how = lwpExitBegin(l);
    if (how === EXIT_READY) {
      lwpExitFinish(l);
      return false;
    }
    return this.goOnLeaving(l, how);
  }

  /** `how`: what `lwpExitAtOnce` has returned. */
  private goOnLeaving(l: Lwp, how: number): boolean {
    if (how === EXIT_DONE) return false;
    if (how === EXIT_KILLED) return this.leaveInSteps(l);
    return this.run(l, how === EXIT_PROCESS ? exit1(l, 0) : finishExit(l, how));
  }

  private run(l: Lwp, exit: Generator<void, void, void>): boolean {
    this.flags = (this.flags & ~HANDLING) | EXITING | NATIVE;
    this.body = exit as Body;
    l.context = this;
    return this.resume(l);
  }
}

function* destroyThenEnd(
  destructors: Generator<Token, void, undefined>,
  end: (() => unknown) | null,
): Generator<Token, unknown, undefined> {
  yield* destructors;
  if (end === null) yield EXIT_LWP;
  else return end();
  return undefined;
}

/** The rest of an exit that must wait for something. */
function* finishExit(l: Lwp, how: number): Generator<void, void, void> {
  const left = how === EXIT_SPECIFIC ? yield* lwpExitSpecific(l) : how;
  if (left === EXIT_DRAIN) yield* lwpExitDrain(l);
  lwpExitFinish(l);
}

const CURLWP = CpuRecord.offset.curlwp;

const NOTHING = Symbol("nothing");

/** Whether the LWP really gave way: to another, to what its CPU is asked for, or at the end of a step. */
function hasLeft(l: Lwp): boolean {
  const ci = cur.cpu;
  return ci.w[ci.at + CURLWP] !== l.index || l.stepped || ci.attention !== 0;
}

/** What was yielded, for an error. */
function describe(token: unknown): string {
  const syscall = (token as { syscall?: unknown } | null)?.syscall;
  return typeof syscall === "string" ? `the operation ${syscall}` : `a ${typeof token}`;
}

function throwInto(body: Body, error: unknown): IteratorResult<Token, unknown> {
  if (body.throw === undefined) throw error;
  return body.throw(error);
}
