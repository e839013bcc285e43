/** What the library's own waits are: see kern/waitfor.ts. */
import type { Lwp } from "../sys/lwp.js";
import { MTX_OWNER, RW_SHIFT, RW_WRITE_LOCKED } from "../sys/shapes.js";
import { SO_CHANNEL, SYNCOBJ_KINDS, SyncobjRecord } from "../sys/syncobj.js";
import { THREAD_RUNNING, ThreadRecord } from "../sys/thread.js";
import { endOfThread, lwpByIndex, type WaitFor } from "../kern/waitfor.js";

const CV = ThreadRecord.offset.cv;

export function describeThreadWait(l: Lwp): WaitFor | null {
  switch (l.wmesg) {
    case "promise":
      return { kind: "promise", what: "a promise", holders: [] };
    case "nanoslp":
      return { kind: "sleep", what: "the end of its sleep", holders: [] };
    case "join":
      return describeJoin(l);
    case "threads":
      return { kind: "join", what: "the end of one of several threads", holders: [] };
    default:
      return describeObject(l);
  }
}

/** A synchronisation object, by the address of its record or of the lock in it. */
function describeObject(l: Lwp): WaitFor | null {
  const { k, wchan } = l;
  const { base, limit } = k.syncobjs;
  const n = Math.floor((wchan - base) / SyncobjRecord.words);
  if (!(n >= 0 && n < limit)) return null;
  const o = k.syncobjs.view(n + 1);
  const { w } = k;
  const kind = SYNCOBJ_KINDS[o.kind];
  if ((o.gen & 1) === 0 || kind === undefined) return null;
  const { name } = o;
  let what = `${kind} ${o.index}${name === "" ? "" : ` "${name}"`}`;
  if (o.kind === SO_CHANNEL) what = `${l.sleepq === o.senders ? "room in" : "a value from"} ${what}`;
  let index = 0;
  if (wchan === o.mutex) index = w[o.mutex + MTX_OWNER] >> 1;
  else if (wchan === o.rwlock && (w[o.rwlock] & RW_WRITE_LOCKED) !== 0) index = w[o.rwlock] >> RW_SHIFT;
  const holder = lwpByIndex(k, index);
  if (holder === null) return { kind, what, holders: [] };
  // A lid of 0 is that of one who was just handed the lock.
  const { owner } = o;
  if (owner === 0 || owner === holder.lid) return { kind, what, holders: [holder] };
  return { kind, what: `${what}, whose holder, thread ${owner}, is gone`, holders: [] };
}

/** `Thread.join` sleeps on the condition variable in the thread's record. */
function describeJoin(l: Lwp): WaitFor | null {
  const { k } = l;
  const { base, type, limit } = k.threads;
  const n = (l.wchan - CV - base) / type.words;
  if (!Number.isInteger(n) || n < 0 || n >= limit) return null;
  const t = k.threads.view(n + 1);
  if ((t.gen & 1) === 0 || t.state !== THREAD_RUNNING || t.pid !== l.proc.pid) return null;
  return endOfThread(k, t.pid, t.lid);
}
