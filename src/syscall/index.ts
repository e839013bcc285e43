/** The system calls: `lwp/syscall`. */
export { LwpError } from "../sys/errno.js";
export type { Timespec } from "./args.js";
export { geteuid, getuid, seteuid, setuid } from "./ids.js";
export {
  LWP_DETACHED,
  LWP_SUSPENDED,
  lwpContinue,
  lwpCreate,
  lwpDetach,
  lwpExit,
  lwpGetname,
  lwpGetprivate,
  lwpSelf,
  lwpSetname,
  lwpSetprivate,
  lwpSuspend,
  lwpWait,
  lwpWakeup,
  procExit,
  schedYield,
  type ThreadFunction,
} from "./lwp.js";
export { LwpCtl, lwpCtl, LWPCTL_FEATURE_CURCPU, LWPCTL_FEATURE_PCTR } from "./lwpctl.js";
export {
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SIG_BLOCK,
  SIG_DFL,
  SIG_IGN,
  SIG_SETMASK,
  SIG_UNBLOCK,
} from "../sys/signal.js";
export { SYSCALL_NUMBERS } from "./numbers.js";
export type { Operation } from "./operation.js";
export {
  PRI_NONE,
  SCHED_FIFO,
  SCHED_NONE,
  SCHED_OTHER,
  SCHED_RR,
  schedGetaffinity,
  schedGetparam,
  schedSetaffinity,
  schedSetparam,
} from "./sched.js";
export { sysctl } from "./sysctl.js";
export { lwpPark, lwpUnpark, lwpUnparkAll } from "./park.js";
export {
  type Action,
  alarm,
  kill,
  lwpKill,
  sigaction,
  type SignalHandler,
  type SignalInfo,
  sigpending,
  sigprocmask,
  sigsuspend,
  sigtimedwait,
} from "./signal.js";
