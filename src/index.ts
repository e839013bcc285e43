/**
 * `lwp`: threads for JavaScript, on every core of the machine.
 *
 * Programs import `Thread` and `until`; who embeds a machine imports `run` or `boot`.
 */
import "./observe/reports.js";

export { LwpError } from "./sys/errno.js";
export type { EventOptions, EventStream, EventType, MachineEvent } from "./machine/events.js";
export { boot, type BootOptions, Machine } from "./machine/machine.js";
export { LinkError } from "./machine/factory.js";
export { WorkersError } from "./machine/means.js";
export { type Exit, ExitError, MachineError, type Process, StallError } from "./machine/process.js";
export { run } from "./machine/run.js";
export { runSimulated, SimulatedMachine, type Simulation } from "./machine/simulated.js";
export type { CpuStats } from "./machine/stats.js";
export type { ListOptions, LwpInfo, LwpName, LwpWait } from "./machine/observer.js";
export { psTable } from "./observe/table.js";
export type { KinfoLwp, KinfoProc2 } from "./kern/kinfo.js";
export type { SysctlEntry, SysctlValue } from "./kern/sysctl.js";
export type { Operation } from "./syscall/operation.js";
export { Barrier } from "./thread/barrier.js";
export { Cancelled } from "./thread/cancel.js";
export { checkpoint } from "./thread/checkpoint.js";
export { SharedBytes } from "./thread/sharedbytes.js";
export { Channel } from "./thread/channel.js";
export { Condition } from "./thread/condition.js";
export { type Guard, Mutex, type MutexOptions } from "./thread/mutex.js";
export type { ObjectOptions } from "./thread/object.js";
export { Once } from "./thread/once.js";
export { RwLock } from "./thread/rwlock.js";
export type { OpenOptions } from "./thread/named.js";
export type { Disposition, HandlerOptions, Signal, SignalName } from "./thread/signals.js";
export { Signals } from "./thread/signals.js";
export type { SignalHandler, SignalInfo } from "./context/handler.js";
export type { SleepOptions } from "./thread/sleep.js";
export { SEM_VALUE_MAX, Semaphore } from "./thread/semaphore.js";
export { SpinLock, type SpinLockOptions } from "./thread/spinlock.js";
export { ThreadExit } from "./thread/ending.js";
export { ThreadError } from "./thread/join.js";
export { Scope } from "./thread/scope.js";
export type { Policy, ThreadOptions } from "./thread/spawn.js";
export { Spawner, Thread } from "./thread/thread.js";
export { type Destructor, ThreadLocal } from "./thread/threadlocal.js";
export { until } from "./thread/until.js";
export type { WaitOptions } from "./thread/wait.js";
export { schedYield } from "./syscall/lwp.js";
