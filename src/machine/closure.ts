/** Running a closure to its value: a process of this realm whose result does not have to be a status. */
import type { Body, Token } from "../context/generator.js";
import { iteratorOf, refuseAsync } from "../thread/spawn.js";
import { ExitError, type Main, type Process } from "./process.js";
import type { Realm } from "./realm.js";

/** What became of the closure: nothing yet, its value, or the exception that ended its process. */
interface Outcome<T> {
  readonly value?: T;
  readonly error?: unknown;
}

/**
 * Runs `main` as a process that `spawn` makes, and resolves with what it returns. Rejects with what it throws, or what
 * another thread of it leaves uncaught; with ExitError if the process ends before that; as `p.exited` does.
 */
export async function runClosure<T>(
  realm: Realm,
  spawn: (main: () => Body) => Process,
  main: Main<T>,
): Promise<T> {
  refuseAsync(main, "run");
  const outcomes: Outcome<T>[] = [];
  const p = spawn(function* () {
    const made = iteratorOf(main(), "run") as Iterator<Token, T, undefined>;
    outcomes.push({ value: yield* { [Symbol.iterator]: () => made } });
  });
  realm.catchFatal(p.pid, (error) => outcomes.push({ error }));
  try {
    const exit = await p.exited;
    // An error counts even if `main` had returned: it was left uncaught before, and is told at the end. The first one.
    const outcome = outcomes.find((o) => "error" in o) ?? outcomes[0];
    if (outcome === undefined) throw new ExitError(exit);
    if ("error" in outcome) throw outcome.error;
    return outcome.value as T;
  } finally {
    realm.catchFatal(p.pid, null);
  }
}
