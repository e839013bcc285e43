/**
 * Polls in loops: `yield* checkpoint()`, and what the linker puts into the loops of programs.
 *
 *   thread functions    if (poll(mayLeave)) do yield token(); while (again());
 *   plain functions     poll(false);
 *
 * A poll is one plain load when the CPU is asked for nothing. Otherwise a poll that may leave is a return to user mode:
 * preemption, suspension, the end of the slice and of the process happen there, and it is a cancellation point. One that may
 * not can only end its thread, by an exception. Outside a thread polls do nothing.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { ATTN_HALT, LW_IDLE, LW_WEXIT } from "../sys/param.js";
import { type Token, tokenOf } from "../context/generator.js";
import { KILLED } from "../context/polls.js";
import { pollLwp } from "../kern/poll.js";
import { RET_USER, userret } from "../kern/userret.js";
import { caller, guardOperation, type Operation } from "../syscall/operation.js";
import { testCancel } from "./cancel.js";

const ATTENTION = CpuRecord.offset.attention;
/** A constant of this module costs a poll nothing; what is imported is looked up each time, at twice the poll's price. */
const here = cur;

// --- by hand -----------------------------------------------------------------------------------

/**
 * Gives way, if this CPU is asked for anything: for loops that enter no operation and have no poll of the linker, as those
 * of a closure have none. Does not sleep by itself. A cancellation point.
 *
 * Errors: ECANCELED (`Cancelled`).
 */
export function checkpoint(): Operation<void> {
  const ci = here.cpu;
  if (ci === null || ci.k.stepwise) return new Checkpoint();
  if (ci.k.readsClock && --left <= 0) readClock(ci);
  return ci.w[ci.at + ATTENTION] === 0 ? NOTHING : new Checkpoint();
}

const DONE: IteratorReturnResult<void> = { done: true, value: undefined };

/** The checkpoint of a CPU that is asked for nothing; it has no state, so one serves all. */
class Nothing implements Operation<void>, Iterator<Token, void, undefined> {
  [Symbol.iterator](): this {
    return this;
  }
  next(): IteratorResult<Token, void> {
    return DONE;
  }
}
guardOperation(Nothing.prototype, "checkpoint");
const NOTHING = new Nothing();

class Checkpoint implements Operation<void>, Iterator<Token, void, undefined> {
  private begun = false;

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Token, void> {
    const l = caller("checkpoint");
    const r = this.begun ? userret(l) : pollLwp(l);
    this.begun = true;
    if (r !== RET_USER) return { done: false, value: tokenOf(r) };
    testCancel(l, "checkpoint");
    return DONE;
  }
}
guardOperation(Checkpoint.prototype, "checkpoint");

// --- by the linker -------------------------------------------------------------------------------

/** What the loops of a linked program call. */
export interface Polls {
  /** True: yield `token()`, and again while `again()`. */
  poll(mayLeave: boolean): boolean;
  again(): boolean;
  token(): Token;
}

/** The polls of a machine: what makes one more than a load depends on the machine. */
export function pollsOf(k: Kernel): Polls {
  return { poll: k.stepwise ? look : k.readsClock ? pollAndRead : poll, again, token };
}

/** What the poll that has just returned true yields. */
let yielded: Token;

function poll(mayLeave: boolean): boolean {
  const ci = here.cpu;
  return ci === null || ci.w[ci.at + ATTENTION] === 0 ? false : look(mayLeave);
}

function pollAndRead(mayLeave: boolean): boolean {
  const ci = here.cpu;
  if (ci === null) return false;
  if (mayLeave && --left <= 0) readClock(ci);
  return ci.w[ci.at + ATTENTION] === 0 ? false : look(mayLeave);
}

function look(mayLeave: boolean): boolean {
  const l = cur.lwp;
  if (l === null || (l.flag & LW_IDLE) !== 0) return false;
  if (mayLeave && l.nopreempt === 0) return answer(l, pollLwp(l));
  if ((cur.cpu.attention & ATTN_HALT) !== 0 || (l.flag & LW_WEXIT) !== 0) throw KILLED;
  return false;
}

/** Whether the LWP has not come back to user mode yet, where it has left. */
function again(): boolean {
  const l = cur.lwp;
  return answer(l, userret(l));
}

function token(): Token {
  return yielded;
}

function answer(l: Lwp, r: number): boolean {
  if (r === RET_USER) {
    testCancel(l, "poll");
    return false;
  }
  yielded = tokenOf(r);
  return true;
}

// A CPU that reads the clock does so once in so many polls that little of a slice passes in between. How long that takes is
// known only afterwards: few polls a reading where loops are slow, many where they are fast. Where nobody else reads it, a
// loop that turns slow must not go on for long.
const LEFT_MAX = 1024;
const LEFT_MAX_ALONE = 64;
let interval = LEFT_MAX_ALONE;
let left = interval;
let readAt = 0;

function readClock(ci: Cpu): void {
  const { k } = ci;
  const now = k.port.selfClock(ci);
  const passed = now - readAt;
  readAt = now;
  if (passed > 1e-4) interval = Math.max(1, interval >> 3);
  else if (passed < 2e-5) interval = Math.min(k.selfClocked ? LEFT_MAX_ALONE : LEFT_MAX, interval << 1);
  left = interval;
}
