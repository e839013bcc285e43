/**
 * What stands behind the words that LWPs share with their programs (LWP-90): a header for each process that uses them, and a
 * record for each of its pages.
 *
 * Lock: lp = the header's own, ~ = stable. It spins: its holders never sleep.
 */
import { area, defineRecord, type Face, i32, spinlock, View } from "./record.js";

/** Bytes of a page, of a slot; slots of a page, and the words of its map (LWP-89). */
export const LWPCTL_PAGE_BYTES = 4096;
export const LWPCTL_BYTES = 8;
export const LWPCTL_PER_PAGE = (LWPCTL_PAGE_BYTES / LWPCTL_BYTES) & ~31;
export const LWPCTL_BITMAP_WORDS = LWPCTL_PER_PAGE >> 5;
/** LWPs of a process that are sure to find a slot; the region is that many slots, rounded up to pages. */
export const MAX_LWP_PER_PROC = 8000;
export const LWPCTL_UAREA_BYTES =
  Math.ceil((MAX_LWP_PER_PROC * LWPCTL_BYTES) / LWPCTL_PAGE_BYTES) * LWPCTL_PAGE_BYTES;

export const lcprocFields = {
  lock: spinlock(),
  /** First page of its region in user memory, from 1; 0 = none yet. The generation with which it was handed out. */
  region: i32("lp"),
  regionGen: i32("lp"),
  /** First of its pages. */
  pages: i32("lp"),
  /** Bytes of the region that have become pages, and all its bytes. */
  cur: i32("lp"),
  max: i32("~"),
} as const;

class LcprocView extends View {}

export interface Lcproc extends LcprocView, Face<typeof lcprocFields> {}
export const LcprocRecord = defineRecord<Lcproc>("Lcproc", lcprocFields, LcprocView);

export const lcpageFields = {
  /** Next page of the process. */
  chain: i32("lp"),
  /** Byte of user memory at which it begins: the same for the kernel and for the program. */
  uaddr: i32("~"),
  nfree: i32("lp"),
  /** Word of the map at which the search begins. */
  rotor: i32("lp"),
  /** Bit set: the slot is free. */
  bitmap: area("lp", LWPCTL_BITMAP_WORDS),
} as const;

class LcpageView extends View {}

export interface Lcpage extends LcpageView, Face<typeof lcpageFields> {}
export const LcpageRecord = defineRecord<Lcpage>("Lcpage", lcpageFields, LcpageView);
