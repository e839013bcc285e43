/**
 * Passive serialisation: its objects, and the queues they pass through (MCH-11, 12). Lock: z = the queues' lock.
 */
import { area, defineRecord, type Face, f64, i32, spinlock, View } from "./record.js";

/** What writers wait with: which CPUs must pass switch points, and which have. */
export const pserializeFields = {
  /** Next on its queue. */
  next: i32("z"),
  /** CPUs that ran when the wait began, as bits; 0 = nobody waits, or the wait is over. */
  target: i32("z"),
  /** Those that have passed a switch point since it joined its queue. */
  pass: i32("z"),
} as const;

class PserializeView extends View {}

export interface Pserialize extends PserializeView, Face<typeof pserializeFields> {}
export const PserializeRecord = defineRecord<Pserialize>("Pserialize", pserializeFields, PserializeView);

export const pszGlobalsFields = {
  lock: spinlock(),
  /** First and last object that waits for its first round of switch points, and for its second. */
  first: area("z", 2),
  second: area("z", 2),
  /** Objects on a queue. */
  pending: i32("z"),
  /** Event counter "exclusive access": waits that are over. */
  exclusive: f64("z"),
} as const;

class PszGlobalsView extends View {}

export interface PszGlobals extends PszGlobalsView, Face<typeof pszGlobalsFields> {}
export const PszGlobalsRecord = defineRecord<PszGlobals>("PszGlobals", pszGlobalsFields, PszGlobalsView);
