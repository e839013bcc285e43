/** What the booting realm and the CPUs write to each other beside kernel memory: programs, and news of processes. */
import type { MessagePort } from "node:worker_threads";
import type { SharedMemory } from "../sys/atomic.js";
import type { Limits } from "../sys/kernel.js";
import type { LinkedProgram } from "./factory.js";
import type { ReportFormat } from "./observer.js";

/** To a CPU. It is told by `ci.mail` and its attention word, and reads at its next turn. */
export type Letter =
  | { readonly kind: "load"; readonly program: number; readonly linked: LinkedProgram }
  | { readonly kind: "unload"; readonly program: number }
  /** To CPU 0 only: start a process of a loaded program. */
  | {
      readonly kind: "exec";
      readonly id: number;
      readonly program: number;
      readonly entry: number;
      readonly args: readonly string[];
      readonly comm: string;
    }
  /** To CPU 0 only: end a process. */
  | { readonly kind: "kill"; readonly pid: number };

/** From a CPU. */
export type News =
  | { readonly kind: "loaded"; readonly cpu: number; readonly program: number; readonly error: string | null }
  /** Answer to "exec": the pid, or an error number as a negative one. */
  | { readonly kind: "spawned"; readonly id: number; readonly pid: number }
  | {
      readonly kind: "exited";
      readonly pid: number;
      readonly program: number;
      readonly status: number;
      /** From the first instruction of its main to its last exit. */
      readonly seconds: number;
    };

/** What a worker needs to join the machine. */
export interface WorkerBoot {
  /** Kernel memory. */
  readonly memory: SharedMemory;
  /** User memory. */
  readonly user: SharedArrayBuffer;
  readonly limits: Limits;
  readonly cpus: number;
  readonly idleSpins: number;
  readonly embedded: boolean;
  /** Delay points may be armed. */
  readonly delays: boolean;
  /** Run time is charged by the clock itself. */
  readonly exact: boolean;
  /** How reports are written. */
  readonly format: ReportFormat;
}

export interface ClockBoot extends WorkerBoot {
  /** Whether the booting realm is no CPU: then CPU 0 is a worker too. */
  readonly client: boolean;
  /** One port a worker CPU, first to last. */
  readonly ports: readonly MessagePort[];
}

export interface CpuBoot extends WorkerBoot {
  /** Index of the CPU, from 1. */
  readonly index: number;
  readonly port: MessagePort;
}

/** From the clock to the booting realm. */
export type ClockNews =
  | { readonly kind: "online" }
  /** A CPU could not be started; the others end. */
  | { readonly kind: "unstarted"; readonly message: string }
  /** Nothing can move any more, unless something of the booting realm moves it. */
  | { readonly kind: "quiet" }
  | { readonly kind: "stopped" }
  | { readonly kind: "dead"; readonly message: string };
