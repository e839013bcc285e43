/**
 * Signals that time alone aborts: those of `AbortSignal.timeout`, and what `AbortSignal.any` has made of one.
 *
 * The host's timer of such a signal does not keep an event loop going. A loop that is empty otherwise would look as if nothing
 * could end a wait any more, so whoever waits must hold it. Only the host knows its signals apart, by properties that Node
 * keeps under symbols; where it has no such, a wait by such a signal alone counts as one that nobody ends.
 */

/** Whether time will abort a signal. */
export function abortsInTime(signal: AbortSignal): boolean {
  for (const key of Object.getOwnPropertySymbols(signal)) {
    const value = (signal as unknown as Record<symbol, unknown>)[key];
    if (key.description === "kTimeout") return value === true;
    if (key.description === "kSourceSignals") return someInTime(value as Sources);
  }
  return false;
}

/** A set of weak references, neither of the usual class. */
type Sources = Iterable<{ deref(): unknown }>;

function someInTime(sources: Sources): boolean {
  for (const source of sources) {
    const signal = source.deref();
    if (signal instanceof AbortSignal && abortsInTime(signal)) return true;
  }
  return false;
}
