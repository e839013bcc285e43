/**
 * What a process leaves when it ends: records of the thread library that nobody has given back.
 */
import type { Kernel } from "../sys/kernel.js";
import { freeObjects } from "./object.js";
import { freeThreads } from "./thread.js";

/** Gives back what process `pid`, which has no LWPs any more, has left. Called by the CPU that collects it. */
export function freeLeftovers(k: Kernel, pid: number): void {
  freeThreads(k, pid);
  freeObjects(k, pid);
}
