/**
 * Awaiting the host: `yield* until(promise)`.
 */
import { ENOTSUP } from "../sys/errno.js";
import { packText } from "../sys/record.js";
import type { Lwp } from "../sys/lwp.js";
import type { Cpu } from "../sys/cpu.js";
import { asCpu } from "../cpu/dispatcher.js";
import { endIdleWait } from "../cpu/loop.js";
import { hostBlock, hostWakeup, hostwaitAdd } from "../kern/hostwait.js";
import { fail, type Operation } from "../syscall/operation.js";
import { threadHost } from "./host.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const PROMISE = packText("promise");

// Where the promise stands.
const UNSEEN = 0;
const PENDING = 1;
const FULFILLED = 2;
const REJECTED = 3;

class UntilOperation<T> extends BlockingOperation<T> {
  private readonly promise: PromiseLike<T>;
  private state = UNSEEN;
  /** What it was fulfilled or rejected with. */
  private settled: unknown = undefined;
  /** The CPU whose event loop must turn, while the thread sleeps. */
  private waiting: Cpu | null = null;

  constructor(promise: PromiseLike<T>, options: WaitOptions | undefined) {
    super("until", options);
    this.promise = promise;
  }

  protected override attempt(l: Lwp): boolean {
    if (this.state === UNSEEN) this.look(l);
    if (this.state === PENDING) return false;
    if (this.state === REJECTED) throw this.settled;
    this.result = this.settled as T;
    return true;
  }

  private look(l: Lwp): void {
    if (typeof this.promise?.then !== "function") throw new TypeError("until needs a promise");
    this.state = PENDING;
    if (!l.k.mp && !l.k.selfClocked) return this.ask(l);
    // Whoever has given up still listens, so that a late rejection is nobody's surprise.
    this.promise.then(
      (value) => this.settle(l, FULFILLED, value),
      (error: unknown) => this.settle(l, REJECTED, error),
    );
  }

  /** On a simulated machine, what stands in for the host answers at once. */
  private ask(l: Lwp): void {
    const { awaitHost } = threadHost(l.k);
    if (awaitHost === undefined) fail(ENOTSUP, "until", l.lid, "a simulated machine cannot await the host");
    // Nobody else may be told that nobody listens.
    this.promise.then(undefined, () => {});
    this.settled = awaitHost(this.promise);
    this.state = FULFILLED;
  }

  private settle(l: Lwp, state: number, what: unknown): void {
    this.state = state;
    this.settled = what;
    const ci = this.waiting;
    if (ci === null || ci.k.g.dead !== 0) return;
    asCpu(ci, () => hostWakeup(l));
    endIdleWait(ci);
  }

  protected override block(l: Lwp, ticks: number): number {
    if (this.state !== PENDING) return BLOCK_RETRY;
    this.waiting = l.cpu;
    hostwaitAdd(this.waiting, 1);
    return hostBlock(l, PROMISE, ticks);
  }

  protected override unblock(l: Lwp, how: number, ticks: number): void {
    super.unblock(l, how, ticks);
    if (this.waiting !== null) hostwaitAdd(this.waiting, -1);
    this.waiting = null;
  }
}

/**
 * Waits for a promise, on whatever CPU the thread runs, and returns its value or throws its reason. May sleep. Others of
 * the CPU run meanwhile, and its event loop keeps turning. If the wait ends before that, nobody hears of the promise.
 *
 * Errors: ENOTSUP on a simulated machine, where the host's time does not pass, unless it has something to answer for it;
 * TypeError it is no promise; those of every wait (`WaitOptions`).
 */
export function until<T>(promise: PromiseLike<T>, options?: WaitOptions): Operation<T> {
  return new UntilOperation(promise, options);
}
