/**
 * LWPs charged to each real uid, over the whole machine (PRC-50).
 *
 * A table of (uid + 1, count) pairs. Entries are added under a lock and never removed; counts change atomically.
 */
import { GlobalsRecord } from "../sys/globals.js";
import type { Kernel } from "../sys/kernel.js";
import { panic } from "./panic.js";
import { atomicAdd, spinEnter, spinExit } from "./spin.js";

const LOCK = GlobalsRecord.offset.uidLock;

/** Adds `diff` to the count of LWPs of `uid`, and returns the new count. */
export function chglwpcnt(k: Kernel, uid: number, diff: number): number {
  const slot = slotOf(k, uid);
  if (slot === 0) panic(k, `more than ${k.limits.uids} uids`);
  const n = atomicAdd(k, slot + 1, diff) + diff;
  if (n < 0) panic(k, `uid ${uid} owns ${n} LWPs`);
  return n;
}

/** LWPs charged to `uid`, of whom nobody need have heard. */
export function lwpcntOf(k: Kernel, uid: number): number {
  const end = k.uidtab + k.limits.uids * 2;
  for (let at = k.uidtab; at < end && k.w[at] !== 0; at += 2) if (k.w[at] === uid + 1) return k.w[at + 1];
  return 0;
}

function slotOf(k: Kernel, uid: number): number {
  const end = k.uidtab + k.limits.uids * 2;
  for (let at = k.uidtab; at < end && k.w[at] !== 0; at += 2) if (k.w[at] === uid + 1) return at;
  return addSlot(k, uid, end);
}

/** Whether LWPs can be charged to `uid`: false if the table has no room for another one (EAGAIN). */
export function uidKnown(k: Kernel, uid: number): boolean {
  const end = k.uidtab + k.limits.uids * 2;
  for (let at = k.uidtab; at < end && k.w[at] !== 0; at += 2) if (k.w[at] === uid + 1) return true;
  return addSlot(k, uid, end) !== 0;
}

/** 0: the table is full. */
function addSlot(k: Kernel, uid: number, end: number): number {
  const lock = k.g.at + LOCK;
  spinEnter(k, lock);
  for (let at = k.uidtab; at < end; at += 2) {
    if (k.w[at] === 0) k.w[at] = uid + 1;
    if (k.w[at] === uid + 1) {
      spinExit(k, lock);
      return at;
    }
  }
  spinExit(k, lock);
  return 0;
}
