/** What a machine tells of its processes, and the errors of embedding. */

import type { Token } from "../context/generator.js";

/** What `run` is given: a generator function. */
export type Main<T> = () => Iterator<Token, T, undefined>;

/** What became of a process. */
export interface Exit {
  readonly pid: number;
  /** Exit status 0..255, or null if a signal (an uncaught exception counts as one) ended it. */
  readonly status: number | null;
  readonly signal: number | null;
  /** Wall-clock seconds from its main's first instruction to its last exit; of virtual time on a simulated machine. */
  readonly seconds: number;
}

/** A process of a machine. */
export interface Process {
  readonly pid: number;
  /** Resolves when it has ended; rejects with MachineError if the machine stops first. */
  readonly exited: Promise<Exit>;
  /**
   * Ends it, as SIGKILL would, wherever its threads stand; one that computes without an operation is ended at its next.
   * Nothing happens if it has ended.
   */
  kill(): void;
}

/** The machine stopped: a CPU died, or a kernel assertion failed, or it was shut down. */
export class MachineError extends Error {
  readonly code = "EMACHINE";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MachineError";
  }
}

/** The machine stalled: no thread could ever go on, and nothing was left that could wake one. */
export class StallError extends MachineError {
  /** Who waits for what, as the machine reports it. */
  readonly report: string;
  constructor(report: string, message = "no thread can go on, and nothing is left that could wake one") {
    super(message);
    this.name = "StallError";
    this.report = report;
  }
}

/** The process of a closure ended before its `main` did: a thread of it called for its exit, or it was killed. */
export class ExitError extends Error {
  readonly code = "EEXIT";
  readonly exit: Exit;
  constructor(exit: Exit) {
    const how = exit.signal === null ? `with status ${exit.status}` : `by signal ${exit.signal}`;
    super(`the process ended ${how} before its main returned`);
    this.name = "ExitError";
    this.exit = exit;
  }
}

/** From the status that `wait` gives. */
export function exitOf(pid: number, status: number, seconds: number): Exit {
  const signal = status & 0x7f;
  if (signal === 0) return { pid, status: status >> 8, signal: null, seconds };
  return { pid, status: null, signal, seconds };
}
