/** `Thread.sleep`: waiting for nothing but time. */
import { EINVAL } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { packText } from "../sys/record.js";
import { hostBlock } from "../kern/hostwait.js";
import { fail, type Operation } from "../syscall/operation.js";
import { BlockingOperation, ticksOf, type WaitOptions } from "./wait.js";

const NANOSLP = packText("nanoslp");

class SleepOperation extends BlockingOperation<void> {
  private readonly milliseconds: number;
  /** The tick that ends it; meaningful once `begun`. */
  private due = 0;
  private begun = false;
  /** Of the sleep that goes on. */
  private slept = 0;

  constructor(milliseconds: number, options: WaitOptions | undefined) {
    super("Thread.sleep", options);
    this.milliseconds = milliseconds;
  }

  protected override attempt({ k }: Lwp): boolean {
    const { milliseconds } = this;
    if (!this.begun) {
      if (!(milliseconds >= 0)) fail(EINVAL, this.syscall, undefined, "the time must be milliseconds from 0");
      this.begun = true;
      this.due = milliseconds === 0 ? k.g.ticks : (k.g.ticks + ticksOf(k, milliseconds)) | 0;
    }
    return ((this.due - k.g.ticks) | 0) <= 0;
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
 * Errors: EINVAL not a number from 0; those of every wait (`WaitOptions`). Source: nanosleep(2).
 */
export function sleep(milliseconds: number, options?: WaitOptions): Operation<void> {
  return new SleepOperation(milliseconds, options);
}
