/**
 * What a process leaves when it ends: records of the thread library that nobody has given back.
 */
import type { Kernel } from "../sys/kernel.js";
import { freeMessages } from "./channel.js";
import { freeThreads } from "./ending.js";
import { freeObjects } from "./object.js";

/**
 * Gives back what process `pid` of `program`, which has no LWPs any more, has left. Called by the CPU that collects it. Returns its status
 * (as in `wait`), which is a failing one if a thread failed and was never joined.
 */
export function freeLeftovers(k: Kernel, pid: number, status: number, program = 0): number {
  freeObjects(k, pid);
  freeMessages(k, pid);
  return freeThreads(k, pid, status, program);
}
