/**
 * The state of cross-calls: one request of each priority is in flight (MCH-2, MCH-4).
 *
 * Locks: x = lock, a mutex that may sleep; h = hiLock, which spins.
 */
import { area, defineRecord, type Face, f64, i32, spinlock, View } from "./record.js";
import { CV_WORDS, MTX_WORDS } from "./shapes.js";

export const xcallFields = {
  // --- low priority ---
  lock: area("self", MTX_WORDS),
  /** "xclocv": those who wait for their turn, and for an end. */
  cv: area("x", CV_WORDS),
  /** Calls asked for, taken up, and done, since boot: tail <= head, done <= tail. */
  head: f64("x"),
  tail: f64("x"),
  done: f64("x"),
  /** The request in flight: number of its function, its arguments. */
  func: i32("x"),
  arg1: i32("x"),
  arg2: i32("x"),

  // --- high priority ---
  hiLock: spinlock(),
  /** "xchicv" */
  hiCv: area("h", CV_WORDS),
  hiHead: f64("h"),
  hiDone: f64("h"),
  hiFunc: i32("h"),
  hiArg1: i32("h"),
  hiArg2: i32("h"),

  // --- event counters "crosscall" (MCH-6) ---
  unicast: f64("x"),
  broadcast: f64("x"),
} as const;

class XcallView extends View {}

export interface Xcall extends XcallView, Face<typeof xcallFields> {}
export const XcallRecord = defineRecord<Xcall>("Xcall", xcallFields, XcallView);
