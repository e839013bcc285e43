/**
 * Passive serialisation: readers that take no lock, and writers that wait them out (MCH-10..12).
 *
 * A reader works between `pserializeReadEnter` and `pserializeReadExit`, and neither sleeps nor gives its CPU away there. A
 * writer holds its own lock, takes out what readers may still look at, calls `pserializePerform`, and frees it then.
 *
 * Waiting, in steps: (1) the object notes the CPUs that run, and joins the first queue; (2) when each of them has passed a
 * switch point, it moves to the second; (3) when each has passed one more, it is through. A switch point is a context switch,
 * or the end of a high-priority cross-call, of which the writer sends rounds.
 *
 * A switch point costs a switch nothing while nobody waits: HOOK_PSERIALIZE stands among the probes, of which a switch asks
 * anyway.
 *
 * Differs from the original: what has been passed is compared with the CPUs waited for, so that a CPU that came up meanwhile
 * cannot keep an object waiting for ever.
 */
import type { Cpu } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import type { Pserialize } from "../sys/pserialize.js";
import { kassert } from "./panic.js";
import { poolGet, poolPut } from "./pool.js";
import { HOOK_PSERIALIZE } from "./probe.js";
import { atomicAnd, atomicOr, spinEnter, spinExit } from "./spin.js";

/** An object to wait with; null when the table is full. */
export function pserializeCreate(k: Kernel): Pserialize | null {
  return poolGet(k.pserializes);
}

/** Nobody may wait with it. */
export function pserializeDestroy(psz: Pserialize): void {
  kassert(psz.k, psz.target === 0, "pserializeDestroy: in use");
  poolPut(psz.k.pserializes, psz);
}

/** Begins to read. Nests. What it returns goes to `pserializeReadExit`. Source: pserialize(9). */
export function pserializeReadEnter(_k: Kernel): number {
  return cur.lwp.nopreempt++;
}

/** Has read. */
export function pserializeReadExit(k: Kernel, s: number): void {
  const l = cur.lwp;
  kassert(k, l.nopreempt === s + 1, "pserializeReadExit: not the last one entered");
  l.nopreempt = s;
}

/** Whether the current LWP reads now. */
export function pserializeInReadSection(): boolean {
  return cur.lwp.nopreempt !== 0;
}

/** First part of a wait: notes the CPUs that run, and joins the first queue. */
export function pserializeEnqueue(psz: Pserialize, running: number): void {
  const { k } = psz;
  const { psz: q } = k;
  spinEnter(k, q.lock);
  kassert(k, psz.target === 0, "pserializePerform: somebody waits with it");
  psz.target = running;
  psz.pass = 0;
  append(k, q.first, psz);
  q.pending++;
  atomicOr(k, k.probesAt, HOOK_PSERIALIZE);
  spinExit(k, q.lock);
}

/** This CPU passes a switch point. Called with or without the locks of a switch; takes no other lock. */
export function pserializeSwitchpoint(ci: Cpu): void {
  const { k } = ci;
  const { psz: q } = k;
  if (q.pending === 0) return;
  kassert(k, cur.lwp.nopreempt === 0, "pserialize: a reader gives its CPU away");
  const bit = 1 << (ci.index - 1);
  spinEnter(k, q.lock);
  // The second queue goes before the first, so that one switch point never counts twice.
  pass(k, q.second, 0, bit);
  pass(k, q.first, q.second, bit);
  spinExit(k, q.lock);
}

/** Marks the CPU on all objects of a queue; those that all have passed go on to the next one, 0 = they are through. */
function pass(k: Kernel, queue: number, next: number, bit: number): void {
  const { w, psz: q } = k;
  let index = w[queue];
  w[queue] = 0;
  w[queue + 1] = 0;
  while (index !== 0) {
    const psz = k.pserializes.view(index);
    index = psz.next;
    psz.pass |= bit;
    if ((psz.pass & psz.target) !== psz.target) {
      append(k, queue, psz);
      continue;
    }
    psz.pass = 0;
    if (next !== 0) {
      append(k, next, psz);
      continue;
    }
    psz.next = 0;
    psz.target = 0;
    q.pending--;
    q.exclusive++;
    if (q.pending === 0) atomicAnd(k, k.probesAt, ~HOOK_PSERIALIZE);
  }
}

function append(k: Kernel, queue: number, psz: Pserialize): void {
  const { w } = k;
  psz.next = 0;
  if (w[queue] === 0) w[queue] = psz.index;
  else k.pserializes.view(w[queue + 1]).next = psz.index;
  w[queue + 1] = psz.index;
}
