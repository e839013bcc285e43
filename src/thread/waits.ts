/** What the library's own waits are: see kern/waitfor.ts. */
import type { Lwp } from "../sys/lwp.js";
import { THREAD_RUNNING } from "../sys/thread.js";
import { endOfThread, type WaitFor } from "../kern/waitfor.js";

export function describeThreadWait(l: Lwp): WaitFor | null {
  switch (l.wmesg) {
    case "promise":
      return { kind: "promise", what: "a promise", holders: [] };
    case "nanoslp":
      return { kind: "sleep", what: "the end of its sleep", holders: [] };
    case "parked":
      return describeJoin(l);
    default:
      return null;
  }
}

/** `Thread.join` parks with the address of the thread's record as its hint. */
function describeJoin(l: Lwp): WaitFor | null {
  const { k } = l;
  const { base, type, limit } = k.threads;
  const n = ((l.wchan ^ l.proc.at) - base) / type.words;
  if (!Number.isInteger(n) || n < 0 || n >= limit) return null;
  const t = k.threads.view(n + 1);
  if ((t.gen & 1) === 0 || t.joiner !== l.lid || t.state !== THREAD_RUNNING || t.pid !== l.proc.pid)
    return null;
  return endOfThread(k, t.pid, t.lid);
}
