/**
 * Specificdata: values that parts of the kernel keep with an LWP or a process, by keys (MCH-30). Lock: d = the domain's.
 *
 * A domain is words at an address: its lock, how many keys were ever made, its first container, the destructor of each key.
 */
import { area, defineRecord, type Face, i32, View } from "./record.js";
import { MTX_WORDS } from "./shapes.js";

/** Keys of a domain that may be there at a time. */
export const SPECIFIC_KEYS_MAX = 30;

export const SPD_LOCK = 0;
export const SPD_NKEYS = MTX_WORDS;
export const SPD_FIRST = MTX_WORDS + 1;
/** Numbers of destructors, `slots.destructors`; 0 = the key is free. */
export const SPD_KEYS = MTX_WORDS + 2;
export const SPD_WORDS = SPD_KEYS + SPECIFIC_KEYS_MAX;

/** What one LWP or process keeps. */
export const containerFields = {
  /** On the domain's list. */
  next: i32("d"),
  prev: i32("d"),
  /** Keys that were there when it was sized: those beyond are null. */
  nkey: i32("d"),
  /** A word for each key; 0 = null. */
  values: area("d", SPECIFIC_KEYS_MAX),
} as const;

class ContainerView extends View {}

export interface Container extends ContainerView, Face<typeof containerFields> {}
export const ContainerRecord = defineRecord<Container>("Container", containerFields, ContainerView);
