/** The thread library. */
export { Cancelled } from "./cancel.js";
export { Thread, ThreadError } from "./thread.js";
export { until } from "./until.js";
export type { WaitOptions } from "./wait.js";
