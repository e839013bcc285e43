/** The thread library. */
export { Thread, ThreadError } from "./thread.js";
export { until } from "./until.js";
