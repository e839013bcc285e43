/** Actions that several lockstep tests have their agents do. Each travels as its source (lockstep.ts). */
import type { Action } from "./lockstep.js";

export const nothing: Action = () => {};

export const giveWay: Action = function* (x) {
  yield* x.S.schedYield();
};

/** Waits for an LWP to exit; returns its lid. */
export const wait: Action = function* (x, lid) {
  return yield* x.S.lwpWait(lid);
};

/** Parks, as the kernel does; 0 or an error. */
export const park: Action = function* (x, hint) {
  const how = x.K.parkBlock(x.l, hint, 0);
  if (how === x.K.BLOCK_SWITCHED) yield;
  return x.K.parkUnblock(x.l, how, 0);
};

/** Parks, as a program does, handlers included; the number of the error that ends it. */
export const callPark: Action = function* (x) {
  try {
    yield* x.S.lwpPark();
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
};

export const unpark: Action = (x, lid, hint) => x.K.unpark(x.p, lid, hint);

/** Wakes a CPU for nothing. */
export const kick: Action = (x, cpu) => {
  x.K.cpuKick(x.cpu(cpu));
  x.K.flushKicks(x.k);
};

/** A thread that is parked on the agent's CPU; returns its lid. */
export const makeSleeper: Action = function* (x) {
  const lid = x.spawn(function* () {
    yield* x.S.lwpPark();
  });
  yield* x.S.schedYield();
  return lid;
};

/** Locks an LWP; 1 if it was asleep then, 2 if queued, and the lock held was the right one. */
export const lockIt: Action = (x, lid) => {
  const t = x.lwp(lid);
  x.K.lwpLock(t);
  const asleep = t.stat === x.K.LSSLEEP && x.K.lwpLocked(t, x.K.sleepLockOf(t));
  const queued = t.stat === x.K.LSRUN && x.K.lwpLocked(t, t.cpu.mutex);
  x.K.lwpUnlock(t);
  return asleep ? 1 : queued ? 2 : 0;
};
