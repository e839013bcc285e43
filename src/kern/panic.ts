/**
 * Kernel assertions (R10).
 *
 * `panic` marks the machine dead in memory first, so that every CPU stops at its next poll, then writes the dump
 * without taking a lock, then throws. The exception is never delivered to a program.
 */
import { CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import { KernelAssertion } from "../sys/errno.js";
import { GlobalsRecord } from "../sys/globals.js";
import type { Kernel } from "../sys/kernel.js";
import { ATTN_HALT } from "../sys/param.js";

const DEAD = GlobalsRecord.offset.dead;
const DYING = GlobalsRecord.offset.dying;
const ATTENTION = CpuRecord.offset.attention;

/** Stops the machine. */
export function panic(k: Kernel, message: string): never {
  const where = cur.cpu !== null && cur.cpu.k === k ? cur.cpu.index : -1;
  if (Atomics.compareExchange(k.w, k.g.at + DYING, 0, where) === 0) {
    // Whoever sees that the machine is dead finds the reason.
    k.g.deadText = message;
    Atomics.store(k.w, deadWord(k), where);
    for (let i = 1; i <= k.g.ncpu; i++) raiseHalt(k, i);
    k.port.panicked(message);
  }
  throw new KernelAssertion(message);
}

/** A precondition; what the specification marks [assert]. The message is a constant: it is made before the test. */
export function kassert(k: Kernel, condition: boolean, message: string): asserts condition {
  if (!condition) panic(k, message);
}

/** Address of the word that says the machine is dead. */
export function deadWord(k: Kernel): number {
  return k.g.at + DEAD;
}

function raiseHalt(k: Kernel, index: number): void {
  const ci = k.cpus.view(index);
  Atomics.or(k.w, ci.at + ATTENTION, ATTN_HALT);
  k.port.notify(ci);
}
