/**
 * What an LWP waits for, for people and tools.
 *
 * A wait channel is an address and a short message; only who sleeps there knows what it is. So each floor that makes LWPs
 * sleep has a *describer*: a function that looks at an LWP and says what its channel is, if that is its own. Describers
 * take no lock and trust nothing they read, since the LWP may go on at any moment, or stand on a wedged machine: what they
 * find is looked at twice by who asks (observe/listing.ts).
 */
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { MTX_ADAPTIVE, MTX_OWNER, MTX_TYPE } from "../sys/shapes.js";
import { lidGlance } from "./lid.js";

export interface WaitFor {
  /** One word for what it is: mutex, join, promise, park, … */
  readonly kind: string;
  /** The same for people, with what tells it from others of its kind: `mutex 3 "accounts"`. */
  readonly what: string;
  /** Without these LWPs the wait does not end: who holds the lock, whom it joins. Empty: nobody in particular. */
  readonly holders: readonly Lwp[];
}

/** Says what `l` waits for; null if it does not know that channel. */
export type WaitDescriber = (l: Lwp) => WaitFor | null;

/** The waits of the kernel itself. */
export function describeKernelWait(l: Lwp): WaitFor | null {
  switch (l.wmesg) {
    case "tstile":
      return { kind: "mutex", what: "a kernel mutex", holders: ownersOf(l.k, l.wchan) };
    case "lwpwait":
      return endOf(l);
    case "parked":
      return { kind: "park", what: "an unpark", holders: [] };
    case "sigwait":
      return { kind: "signal", what: "a signal", holders: [] };
    case "pause":
      return { kind: "signal", what: "the handler of a signal", holders: [] };
    default:
      return null;
  }
}

/** `lwpWait` for one thread, or for any; a process that ends waits for all. */
function endOf(l: Lwp): WaitFor {
  const lid = l.waitingfor;
  if (lid === 0) return { kind: "end", what: "any thread", holders: [] };
  return endOfThread(l.k, l.proc.pid, lid);
}

/** The wait for the end of that thread. */
export function endOfThread(k: Kernel, pid: number, lid: number): WaitFor {
  const target = lwpByIndex(k, lidGlance(k, pid, lid));
  return { kind: "end", what: `thread ${lid}`, holders: target === null ? [] : [target] };
}

function ownersOf(k: Kernel, m: number): Lwp[] {
  if (!(m > 0 && m < k.w.length) || k.w[m + MTX_TYPE] !== MTX_ADAPTIVE) return [];
  const owner = lwpByIndex(k, k.w[m + MTX_OWNER] >> 1);
  return owner === null ? [] : [owner];
}

/** LWP number `index` if there is one: of an index that may be anything. */
export function lwpByIndex(k: Kernel, index: number): Lwp | null {
  if (!(index > 0 && index <= Math.min(k.lwps.highWater, k.limits.lwps))) return null;
  const l = k.lwps.view(index);
  return (l.gen & 1) === 1 ? l : null;
}
