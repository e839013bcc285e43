/** `_lwp_ctl` (SYS-32): words that the kernel keeps up to date for an LWP, and its program reads without a call. */
import { cur } from "../sys/current.js";
import { ENODEV } from "../sys/errno.js";
import { LWPCTL_CURCPU, LWPCTL_PCTR, LWPCTL_WORDS } from "../sys/shapes.js";
import { lwpCtlAlloc, lwpCtlByte } from "../kern/lwpctl.js";
import { wordArg } from "./args.js";
import { fail, type Operation, quick } from "./operation.js";

/** Features of `lwpCtl`: all of them are there, whichever are asked for. */
export const LWPCTL_FEATURE_CURCPU = 1;
/** `pctr` is kept. */
export const LWPCTL_FEATURE_PCTR = 2;
const FEATURES = LWPCTL_FEATURE_CURCPU | LWPCTL_FEATURE_PCTR;

/** The words of an LWP, in user memory: any thread of the process may read them, on any CPU. */
export class LwpCtl {
  /** Byte of user memory at which they stand: passes to other threads as a number, for `LwpCtl.at`. */
  readonly address: number;
  readonly #w: Int32Array;
  readonly #at: number;

  private constructor(w: Int32Array, address: number) {
    this.address = address;
    this.#w = w;
    this.#at = (address >> 2) + LWPCTL_WORDS;
  }

  /** The words at an address that `lwpCtl` gave, perhaps to another thread. They are its process's until that ends. */
  static at(address: number): LwpCtl {
    return new LwpCtl(cur.cpu.k.uw, address);
  }

  /** Index of the CPU that the LWP runs on; -1 while it is switched out, -2 once it exits. */
  get curcpu(): number {
    return Atomics.load(this.#w, this.#at + LWPCTL_CURCPU);
  }

  /** How often it was switched in, modulo 2^32; a slot that served another LWP goes on from there. */
  get pctr(): number {
    return Atomics.load(this.#w, this.#at + LWPCTL_PCTR);
  }
}

/**
 * The caller's words; the same at every call. `features` is a sum of LWPCTL_FEATURE_CURCPU and LWPCTL_FEATURE_PCTR, or 0.
 *
 * Errors: EFAULT not a number; ENODEV another feature; EBUSY the process was made by vfork and its parent waits; ENOMEM
 * the process has 8,192 already, or user memory has no room for them. Source: _lwp_ctl(2).
 */
export function lwpCtl(features = FEATURES): Operation<LwpCtl> {
  return quick("lwpCtl", (l) => {
    if ((wordArg(features, "lwpCtl", "the features") & ~FEATURES) !== 0)
      fail(ENODEV, "lwpCtl", l.lid, "no such feature");
    const error = lwpCtlAlloc(l);
    if (error !== 0) fail(error, "lwpCtl", l.lid);
    return LwpCtl.at(lwpCtlByte(l));
  });
}
