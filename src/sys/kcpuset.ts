/**
 * A set of CPUs with a count of references (MCH-40). Locks: @ = atomic, o = whoever may change the set, d = its deferred list.
 */
import { MAXCPUS } from "./param.js";
import { area, defineRecord, type Face, i32, View } from "./record.js";

export const KCPUSET_WORDS = MAXCPUS >> 5;

export const kcpusetFields = {
  refcnt: i32("@"),
  /** Next on a list of sets that are to be destroyed once no spin lock is held. */
  next: i32("d"),
  /** Bit i & 31 of word i >> 5: CPU i is in it. */
  bits: area("o", KCPUSET_WORDS),
} as const;

class KcpusetView extends View {}

export interface Kcpuset extends KcpusetView, Face<typeof kcpusetFields> {}
declare module "./record.js" {
  interface RecordTypes {
    kcpuset: Kcpuset;
  }
}
export const KcpusetRecord = defineRecord<Kcpuset>("Kcpuset", kcpusetFields, KcpusetView);
