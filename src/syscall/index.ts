/** The system calls: `lwp/syscall`. */
export { LwpError } from "../sys/errno.js";
export type { Timespec } from "./args.js";
export {
  LWP_DETACHED,
  LWP_SUSPENDED,
  lwpContinue,
  lwpCreate,
  lwpDetach,
  lwpExit,
  lwpGetname,
  lwpSelf,
  lwpSetname,
  lwpSuspend,
  lwpWait,
  lwpWakeup,
  procExit,
  schedYield,
  type ThreadFunction,
} from "./lwp.js";
export type { Operation } from "./operation.js";
export { lwpPark, lwpUnpark, lwpUnparkAll } from "./park.js";
