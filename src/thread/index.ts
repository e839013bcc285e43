/** The thread library. */
export { Barrier } from "./barrier.js";
export { Cancelled } from "./cancel.js";
export { Condition } from "./condition.js";
export { type Guard, Mutex, type MutexOptions } from "./mutex.js";
export type { ObjectOptions } from "./object.js";
export { Once } from "./once.js";
export { RwLock } from "./rwlock.js";
export { SEM_VALUE_MAX, Semaphore } from "./semaphore.js";
export { Thread, ThreadError } from "./thread.js";
export { until } from "./until.js";
export type { WaitOptions } from "./wait.js";
