/**
 * `_lwp_park`, `_lwp_unpark`, `_lwp_unpark_all` (SYS-23..29): what user-level locks are built on.
 */
import { EFAULT, EINVAL, KernelAssertion } from "../sys/errno.js";
import { LWP_UNPARK_MAX } from "../sys/param.js";
import type { Lwp } from "../sys/lwp.js";
import type { Token } from "../context/generator.js";
import { cacheCreds } from "../kern/cred.js";
import { parkBlock, parkUnblock, unpark } from "../kern/park.js";
import { BLOCK_SWITCHED } from "../kern/sleepq.js";
import { hintArg, lidArg, type Timespec, timespecArg, wordArg } from "./args.js";
import { caller, fail, guardOperation, leave, type Operation, quick, returnStep } from "./operation.js";
import { absoluteTicks } from "./time.js";

// Where a park stands; from 0 on it returns, with that error number.
const CHECK = -1;
const BLOCKED = -2;
/** It returns, and throws `arg`. */
const REFUSED = -3;

/** An iterator rather than a generator: this is the hot path of every lock. Small, since every parked thread has one. */
class ParkOperation implements Operation<void>, Iterator<Token, void, undefined> {
  private state = CHECK;
  private ticks = 0;
  /** The time; then what is wrong with an argument, thrown on the return to user mode, like all errors. */
  private arg: unknown;
  private readonly unparkLid: number;
  private readonly hint: number | undefined;
  private readonly unparkHint: number | undefined;

  constructor(
    ts: Timespec | null | undefined,
    lid: number,
    hint: number | undefined,
    unparkHint: number | undefined,
  ) {
    this.arg = ts;
    this.unparkLid = lid;
    this.hint = hint;
    this.unparkHint = unparkHint;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Token, void> {
    const l = caller("lwpPark");
    if (this.state === CHECK) {
      if (this.block(l) === BLOCK_SWITCHED) return leave();
    } else if (this.state === BLOCKED) {
      this.finish(l, BLOCK_SWITCHED);
    }
    const step = returnStep(l);
    if (step !== null) return step;
    if (this.state === REFUSED) throw this.arg;
    if (this.state !== 0) fail(this.state, "lwpPark", l.lid);
    return DONE;
  }

  private block(l: Lwp): number {
    let ts: Timespec | null;
    let hint: number;
    this.state = 0;
    try {
      cacheCreds(l);
      // Arguments first, before anything has happened.
      ts = timespecArg(this.arg, "lwpPark");
      hint = hintArg(this.hint, l.lid, "lwpPark");
      if (this.unparkLid !== 0) {
        const lid = lidArg(this.unparkLid, "lwpPark");
        this.state = unpark(l.proc, lid, hintArg(this.unparkHint, lid, "lwpPark"));
      }
    } catch (error) {
      if (error instanceof KernelAssertion) throw error;
      this.arg = error;
      this.state = REFUSED;
      return NOT_BLOCKED;
    }
    if (this.state !== 0) return NOT_BLOCKED;
    if (ts !== null) {
      const ticks = absoluteTicks(l.k, ts);
      if (ticks < 0) {
        this.state = -ticks;
        return NOT_BLOCKED;
      }
      this.ticks = ticks;
    }
    const how = parkBlock(l, hint, this.ticks);
    if (how === BLOCK_SWITCHED) this.state = BLOCKED;
    else this.finish(l, how);
    return how;
  }

  private finish(l: Lwp, how: number): void {
    this.state = parkUnblock(l, how, this.ticks);
  }
}

guardOperation(ParkOperation.prototype, "lwpPark");

/** `block` ended before `parkBlock`. */
const NOT_BLOCKED = -100;
const DONE: IteratorResult<Token, void> = { done: true, value: undefined };

/**
 * Sleeps until unparked, at most until the absolute wall-clock time `ts` (null = for ever); first unparks `lid` (0 = nobody).
 * One unpark that comes early is remembered. May sleep; may return without an unpark, so test what you wait for.
 *
 * Errors: EFAULT; ESRCH `lid` is unknown (and nothing slept); ETIMEDOUT; EINVAL a malformed time; EALREADY an unpark or
 * wakeup was pending; EINTR `lwpWakeup`, a signal, or the exit of the process. Source: _lwp_park(2).
 */
export function lwpPark(
  ts: Timespec | null = null,
  lid = 0,
  hint?: number,
  unparkHint?: number,
): Operation<void> {
  return new ParkOperation(ts, lid, hint, unparkHint);
}

/** An iterator of its own, as the other half of that path. */
class UnparkOperation implements Operation<void>, Iterator<Token, void, undefined> {
  private ran = false;
  private refused: unknown = undefined;
  private readonly target: number;
  private readonly hint: number | undefined;

  constructor(lid: number, hint: number | undefined) {
    this.target = lid;
    this.hint = hint;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Token, void> {
    const l = caller("lwpUnpark");
    if (!this.ran) {
      this.ran = true;
      try {
        const lid = lidArg(this.target, "lwpUnpark");
        const error = unpark(l.proc, lid, hintArg(this.hint, lid, "lwpUnpark"));
        if (error !== 0) fail(error, "lwpUnpark", lid);
      } catch (error) {
        if (error instanceof KernelAssertion) throw error;
        this.refused = error;
      }
    }
    const step = returnStep(l);
    if (step !== null) return step;
    if (this.refused !== undefined) throw this.refused;
    return DONE;
  }
}

guardOperation(UnparkOperation.prototype, "lwpUnpark");

/** Wakes a parked LWP, or lets its next park return at once. Error: ESRCH. Source: _lwp_unpark(2). */
export function lwpUnpark(lid: number, hint?: number): Operation<void> {
  return new UnparkOperation(lid, hint);
}

/**
 * Unparks each of `lids`, in order; unknown ones are skipped. With null it only says how many one call takes: 1024.
 *
 * Errors: EFAULT not an array of numbers; EINVAL none, or more than 1024. Source: _lwp_unpark_all(2).
 */
export function lwpUnparkAll(lids: readonly number[] | null, hint?: number): Operation<number> {
  return quick("lwpUnparkAll", (l) => {
    if (lids === null) return LWP_UNPARK_MAX;
    if (!Array.isArray(lids)) fail(EFAULT, "lwpUnparkAll", undefined, "the targets must be an array of lids");
    if (lids.length === 0 || lids.length > LWP_UNPARK_MAX) fail(EINVAL, "lwpUnparkAll");
    // The whole array is checked before anybody is woken; then unknown ids are skipped.
    hintArg(hint, 0, "lwpUnparkAll");
    for (const lid of lids) wordArg(lid, "lwpUnparkAll", "lid");
    for (const lid of lids) {
      if (lid === (lid | 0)) unpark(l.proc, lid, hintArg(hint, lid, "lwpUnparkAll"));
    }
    return 0;
  });
}
