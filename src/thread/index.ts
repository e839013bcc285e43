/** The thread library. */
export { Barrier } from "./barrier.js";
export { Cancelled } from "./cancel.js";
export { Channel } from "./channel.js";
export { Condition } from "./condition.js";
export { type Guard, Mutex, type MutexOptions } from "./mutex.js";
export type { ObjectOptions } from "./object.js";
export { Once } from "./once.js";
export { RwLock } from "./rwlock.js";
export type { OpenOptions } from "./named.js";
export { SEM_VALUE_MAX, Semaphore } from "./semaphore.js";
export { SpinLock, type SpinLockOptions } from "./spinlock.js";
export { ThreadExit } from "./ending.js";
export { ThreadError } from "./join.js";
export { Scope } from "./scope.js";
export type { Policy, ThreadOptions } from "./spawn.js";
export { Spawner, Thread } from "./thread.js";
export { until } from "./until.js";
export type { WaitOptions } from "./wait.js";
