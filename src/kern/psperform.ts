/** The wait of passive serialisation: `pserializePerform` (MCH-11). */
import type { Pserialize } from "../sys/pserialize.js";
import { XC_HIGHPRI } from "../sys/param.js";
import { kpause } from "./kpause.js";
import { pserializeEnqueue } from "./pserialize.js";
import { XC_NULLOP, xcBroadcast, xcWait } from "./xcall.js";

/**
 * Waits until every CPU that runs has passed two switch points: all who read before have finished then. The caller keeps its
 * writer's lock; one waits with an object at a time. After a panic it does nothing. May sleep. Source: pserialize(9).
 */
export function* pserializePerform(psz: Pserialize): Generator<void, void, void> {
  const { k } = psz;
  if (k.g.dead !== 0) return;
  // A machine has at most 32 CPUs: one word of the set.
  pserializeEnqueue(psz, k.w[k.g.running.bits]);
  do {
    yield* xcWait(k, yield* xcBroadcast(k, XC_HIGHPRI, XC_NULLOP));
    yield* kpause(k, "psrlz", 1);
  } while (psz.target !== 0);
}
