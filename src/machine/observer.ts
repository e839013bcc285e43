/**
 * What a machine shows of itself: listings, and reports of what went wrong. A slot that the floor above fills when it is
 * loaded (R8): with the package in the booting realm, by its address in a worker.
 */
import type { Kernel } from "../sys/kernel.js";

/** A thread, as a listing names it. */
export interface LwpName {
  readonly pid: number;
  readonly lid: number;
  /** The name it was given; "" = none. */
  readonly name: string;
  /** The function it started with, where the realm that looks knows it; "" otherwise. */
  readonly entry: string;
}

/** What a thread waits for. */
export interface LwpWait {
  /** mutex, end, promise, park, sleep, … */
  readonly kind: string;
  /** The same for people, with what tells it from others of its kind. */
  readonly what: string;
  /** Without these the wait does not end: who holds the lock, whom it joins. Empty: nobody in particular. */
  readonly holders: readonly LwpName[];
  /** Seconds until it ends by itself; null = never. */
  readonly secondsLeft: number | null;
}

/** One thread in a listing. */
export interface LwpInfo extends LwpName {
  /**
   * One letter, as ps(1) of NetBSD has them: O on a CPU, R runnable, S asleep, I asleep for more than 20 s, D asleep and
   * not to be interrupted, T stopped, U suspended, Z dead and not yet collected, N not yet started.
   */
  readonly state: string;
  /** What its program sees, 0..223. */
  readonly priority: number;
  /** With the kernel's boost and what waiters lend: what the scheduler goes by. */
  readonly effectivePriority: number;
  /** The CPU it is tied to, from 0: where it runs, or ran last. */
  readonly cpu: number;
  /** Seconds it has run. */
  readonly seconds: number;
  /** The kernel's short message of its sleep; "" = it does not sleep. */
  readonly wmesg: string;
  readonly waitsFor: LwpWait | null;
}

/** What a listing has. */
export interface ListOptions {
  /** Only this process. */
  readonly pid?: number;
  /** With the system's own threads, which have pid 0. */
  readonly system?: boolean;
}

/** For people, or one line of JSON for each report. */
export type ReportFormat = "text" | "json";

/** A thread that failed. */
export interface Failure {
  readonly pid: number;
  readonly lid: number;
  readonly error: unknown;
  /** `file:line:column`; "" = unknown. */
  readonly spawnedAt: string;
}

export interface Observer {
  /** All threads by pid and lid. Takes no lock; callable from any realm, also of a machine that is dead. */
  list(k: Kernel, options?: ListOptions): LwpInfo[];
  /** Reports, with a newline at their end. */
  listing(k: Kernel, format: ReportFormat): string;
  /** An exception that ends its process. */
  exception(k: Kernel, failure: Failure, format: ReportFormat): string;
  /** A thread that failed, and nobody joined it before its process ended. */
  unjoined(k: Kernel, failure: Failure, format: ReportFormat): string;
  /** Nothing can wake anyone any more. */
  stall(k: Kernel, format: ReportFormat): string;
  /** What a program had better do otherwise. */
  warning(text: string, format: ReportFormat): string;
  /** An exception outside threads that ends CPU `cpu` (from 0): of a callback of the host, or a promise that nobody awaits. */
  uncaught(cpu: number, error: unknown, format: ReportFormat): string;
  /** The machine stopped, as CPU `cpu` (from 0) has seen; null: as a realm that is none. */
  stopped(k: Kernel, cpu: number | null, message: string, format: ReportFormat): string;
}

let filled: Observer | null = null;

/** Called by the floor above when it is loaded. */
export function fillObserver(observer: Observer): void {
  filled = observer;
}

/** Loads it into a realm that nothing else brings it into: a worker's. */
export async function loadObserver(): Promise<void> {
  await import(new URL("../observe/reports.js", import.meta.url).href);
}

/** The one of this realm. */
export function observer(): Observer {
  if (filled === null) throw new Error("the observer is not loaded");
  return filled;
}
