/**
 * The kernel's part in the objects of the thread library: their records, and the sleep on one.
 *
 * An object has a spin lock of its own, which covers its words, its queues and the LWPs on them. Whoever takes an LWP off a
 * queue with `syncobjGrant` gives it what it waits for; whoever ends its sleep from outside (time-out, wakeup, suspension,
 * exit) gives it nothing. One of the two comes first, so a wakeup is never lost on somebody who gives up.
 */
import type { Kernel } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import { SLEEPQ_HEAD } from "../sys/shapes.js";
import { type Syncobj, SyncobjRecord } from "../sys/syncobj.js";
import { AT_SYNCOBJ_ENQUEUED, delayPoint } from "./delay.js";
import { kassert } from "./panic.js";
import { poolGet, poolPut } from "./pool.js";
import { sleepqEnqueue, sleepqEnter, sleepqFirst, sleepqRemove, type Wmesg } from "./sleepq.js";
import { spinOwned } from "./spin.js";

const GRANTED = LwpRecord.offset.granted;
const { queue: QUEUE, senders: SENDERS } = SyncobjRecord.offset;

/** The object whose record stands at `at`: what a wait channel names. */
export function syncobjAt(k: Kernel, at: number): Syncobj {
  return k.syncobjs.view((at - k.syncobjs.base) / SyncobjRecord.words + 1);
}

/** An object of the caller's process, or null when the table is full. */
export function syncobjAlloc(l: Lwp, kind: number, name: string): Syncobj | null {
  const o = poolGet(l.k.syncobjs);
  if (o === null) return null;
  o.kind = kind;
  o.proc = l.proc.index;
  o.pid = l.proc.pid;
  if (name !== "") o.name = name;
  return o;
}

/** Frees an object on which nobody waits. */
export function syncobjFree(o: Syncobj): void {
  kassert(o.k, !syncobjHasWaiters(o), "syncobjFree: somebody waits");
  poolPut(o.k.syncobjs, o);
}

/** Whether somebody waits on its queues. */
export function syncobjHasWaiters(o: Syncobj): boolean {
  const { w, at } = o;
  return w[at + QUEUE + SLEEPQ_HEAD] !== 0 || w[at + SENDERS + SLEEPQ_HEAD] !== 0;
}

/**
 * Queues the caller on an object, which is locked, and stays so until the caller is off its CPU: `sleepqBlock` comes next, with
 * nothing in between that may sleep.
 */
export function syncobjEnqueue(l: Lwp, o: Syncobj, q: number, wmesg: Wmesg, sobj: number): void {
  kassert(o.k, spinOwned(o.k, o.lock), "syncobjEnqueue: the object is not locked");
  sleepqEnter(l, o.lock);
  l.w[l.at + GRANTED] = 0;
  sleepqEnqueue(l, q, o.at, wmesg, sobj);
  delayPoint(l.k, AT_SYNCOBJ_ENQUEUED);
}

/** First of a queue of a locked object, or null. */
export function syncobjFirst(o: Syncobj, q: number): Lwp | null {
  return sleepqFirst(o.k, q);
}

/** Gives a waiter what it waits for, and makes it go on. `what` is not 0; the object is locked, and stays so. */
export function syncobjGrant(l: Lwp, what: number): void {
  l.w[l.at + GRANTED] = what;
  sleepqRemove(l);
}

/** Gives it to all on a queue. */
export function syncobjGrantAll(o: Syncobj, q: number, what: number): void {
  for (let l = sleepqFirst(o.k, q); l !== null; l = sleepqFirst(o.k, q)) syncobjGrant(l, what);
}
