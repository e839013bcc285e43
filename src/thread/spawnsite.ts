/**
 * Where threads are started, for who wants to know why there is one that failed.
 *
 * A stack for every spawn would cost more than the spawn. The linker numbers the calls of a program that may start a thread
 * instead; each says its number as the last thing before the call, and `Thread.spawn` takes it as its first. So the number is
 * that call's, whatever runs later. Code that was not linked says none.
 */

let last = 0;

/** What linked code calls around the last argument; returns it. */
export function atSpawnSite<T>(site: number, value: T): T {
  last = site;
  return value;
}

/** The site of the call that is being made; 0 = unknown. */
export function takeSpawnSite(): number {
  const site = last;
  last = 0;
  return site;
}
