/** What the stress of the thread library leaves behind, and must not. */
import type { Machine } from "lwp";
import * as X from "./library-shared.js";

/** Pairs of counters that must agree, and what it means if they do not. */
const PAIRS: readonly (readonly [number, number, string])[] = [
  [X.SENT, X.RECEIVED, "values of channels"],
  [X.CANCELLED, X.CLEANED, "cancelled threads"],
  [X.CALLS_ASKED, X.CALLS_RUN, "cross-calls"],
  [X.KTHREADS_MADE, X.KTHREADS_RUN, "kernel threads"],
  [X.PIDLIDS_MADE, X.PIDLIDS_RUN, "LWPs with ids of processes"],
  [X.VALUES_STORED, X.VALUES_DESTROYED, "values of specificdata"],
  [X.AFFINE_MADE, X.AFFINE_RUN, "LWPs with a CPU of their own"],
];

/** What is wrong with a machine at rest, after the program of the library. */
export function judgeLibrary({ kernel: k }: Machine): string[] {
  const at = (offset: number) => k.w[k.scratch + offset];
  const wrong = PAIRS.filter(([a, b]) => at(a) !== at(b)).map(
    ([a, b, what]) => `${what}: ${at(a)}, not ${at(b)}`,
  );
  for (let n = 0; n < X.OBJECTS; n++) {
    if (at(X.IN_MUTEX + n) !== 0) wrong.push(`somebody is left in mutex ${n}`);
    if (at(X.PERMITS + n) !== 0) wrong.push(`permits of semaphore ${n} are in use`);
  }
  return wrong;
}
