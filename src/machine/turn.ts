/** Turns of the event loop of a realm that is a CPU. */
import { performance } from "node:perf_hooks";
import { SLICE } from "../cpu/slice.js";

/**
 * Turns the event loop until it has nothing to do at the moment, but at most for a slice: so what takes several turns, as a
 * connection that is accepted, read and answered, waits for one slice of the LWPs and not for one each turn. True if there was
 * something to do.
 */
export async function turnLoop(): Promise<boolean> {
  const first = hostEvents();
  const end = performance.now() + SLICE * 1000;
  for (let before = first; ; ) {
    await immediate();
    const now = hostEvents();
    if (now === before || performance.now() >= end) return now !== first;
    before = now;
  }
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Events of this realm's event loop so far, such as I/O that is done; always 0 where Node does not count them (before 20.18). */
function hostEvents(): number {
  return timing.uvMetricsInfo?.events ?? 0;
}

const timing: { readonly uvMetricsInfo?: { readonly events: number } } = performance.nodeTiming;
