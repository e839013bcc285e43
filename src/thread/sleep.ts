/** `Thread.sleep`: waiting for nothing but time. */
import { EINTR, EINVAL } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { packText } from "../sys/record.js";
import { hostBlock } from "../kern/hostwait.js";
import { fail, type Operation } from "../syscall/operation.js";
import { BlockingOperation, ticksOf, type WaitOptions } from "./wait.js";

const NANOSLP = packText("nanoslp");

/** How a sleep may end before its time. */
export interface SleepOptions extends WaitOptions {
  /** With EINTR, as soon as the thread has run the handler of a signal. */
  readonly interruptible?: boolean;
}

class SleepOperation extends BlockingOperation<void> {
  private readonly milliseconds: number;
  /** The tick that ends it; meaningful once `begun`. */
  private due = 0;
  private begun = false;
  /** Of the sleep that goes on. */
  private slept = 0;
  private readonly interruptible: boolean;
  /** Handlers that the thread had entered before. */
  private entered = 0;

  constructor(milliseconds: number, options: SleepOptions | undefined) {
    super("Thread.sleep", options);
    this.milliseconds = milliseconds;
    this.interruptible = options?.interruptible === true;
  }

  protected override attempt(l: Lwp): boolean {
    const { k } = l;
    const { milliseconds } = this;
    if (this.interruptible) this.heed(l);
    if (!this.begun) {
      if (!(milliseconds >= 0)) fail(EINVAL, this.syscall, undefined, "the time must be milliseconds from 0");
      this.begun = true;
      this.due = milliseconds === 0 ? k.g.ticks : (k.g.ticks + ticksOf(k, milliseconds)) | 0;
    }
    return ((this.due - k.g.ticks) | 0) <= 0;
  }

  private heed(l: Lwp): void {
    if (!this.begun) this.entered = l.nsignals;
    else if (l.nsignals !== this.entered) fail(EINTR, this.syscall, l.lid, "a handler has run");
  }

  protected override block(l: Lwp, ticks: number): number {
    // The last tick may have gone by since it was found that some are left.
    const left = Math.max((this.due - l.k.g.ticks) | 0, 1);
    this.slept = ticks === 0 ? left : Math.min(left, ticks);
    return hostBlock(l, NANOSLP, this.slept);
  }

  protected override unblock(l: Lwp, how: number): void {
    super.unblock(l, how, this.slept);
  }
}

/**
 * Sleeps for at least that many milliseconds; the clock ticks 100 times a second, so it may be two ticks longer. May sleep.
 *
 * Errors: EINVAL not a number from 0; EINTR `interruptible`, and a handler has run; those of every wait (`WaitOptions`). Source:
 * nanosleep(2).
 */
export function sleep(milliseconds: number, options?: SleepOptions): Operation<void> {
  return new SleepOperation(milliseconds, options);
}
