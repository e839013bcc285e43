/**
 * A mutex with a count of references: one that several owners share and the last one frees (BLK-45).
 */
import { area, defineRecord, type Face, i32, View } from "./record.js";
import { MTX_WORDS } from "./shapes.js";

export const mutexobjFields = {
  refcnt: i32("@"),
  mutex: area("self", MTX_WORDS),
} as const;

class MutexobjView extends View {}

export interface Mutexobj extends MutexobjView, Face<typeof mutexobjFields> {}
declare module "./record.js" {
  interface RecordTypes {
    mutexobj: Mutexobj;
  }
}
export const MutexobjRecord = defineRecord<Mutexobj>("Mutexobj", mutexobjFields, MutexobjView);
