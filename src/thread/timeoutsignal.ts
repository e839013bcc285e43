/**
 * Signals that time alone aborts: those of `AbortSignal.timeout`, and what `AbortSignal.any` has made of one.
 *
 * Who waits by such a signal has two things to do for it. The host's timer does not keep an event loop going: a loop that is
 * empty otherwise would look as if nothing could end the wait any more, so it must be held. And before Node 22.16 (and 24) a
 * signal of `AbortSignal.any` does not hold those that it was made of: the garbage collector takes a timeout that nobody else
 * holds, and then it never aborts. So the timeouts must be held too, as long as the wait lasts. One that was taken before is
 * gone: such a wait is one that nobody ends. Later versions hold them themselves.
 *
 * Only the host knows its signals apart, by properties that Node keeps under symbols (20, 22, 24 and 26: `kTimeout` and
 * `kSourceSignals`); where it has no such, a wait by such a signal alone counts as one that nobody ends.
 */

/** The timeouts that will abort a signal, itself perhaps; none if time does not. */
export function timeoutsOf(signal: AbortSignal): AbortSignal[] {
  const timeouts: AbortSignal[] = [];
  addTimeouts(signal, timeouts);
  return timeouts;
}

/** A set of weak references, neither of the usual class. */
type Sources = Iterable<{ deref(): unknown }>;

function addTimeouts(signal: AbortSignal, timeouts: AbortSignal[]): void {
  for (const key of Object.getOwnPropertySymbols(signal)) {
    const value = (signal as unknown as Record<symbol, unknown>)[key];
    if (key.description === "kTimeout" && value === true) timeouts.push(signal);
    if (key.description === "kSourceSignals") addSources(value as Sources, timeouts);
  }
}

function addSources(sources: Sources, timeouts: AbortSignal[]): void {
  for (const source of sources) {
    const signal = source.deref();
    if (signal instanceof AbortSignal) addTimeouts(signal, timeouts);
  }
}
