/**
 * Probes and the trace rings they write to (MCH-55).
 *
 * A probe is a bit of `g.probes`; firing one that nobody listens to costs a load. A fired probe writes one record
 * of fixed size into its CPU's ring, numbered over all CPUs. The ring overwrites its oldest records; a reader that falls
 * behind sees from the head how many it lost.
 */
import { cur } from "../sys/current.js";
import type { Cpu } from "../sys/cpu.js";
import { GlobalsRecord } from "../sys/globals.js";
import type { Kernel } from "../sys/kernel.js";
import { TRACE_WORDS } from "../sys/shapes.js";

/** The probes, in the order of their bits. The first three are the seed's (LWP-114). */
export const PROBES = [
  "lwp_create",
  "lwp_start",
  "lwp_exit",
  "state",
  "switch",
  "wakeup",
  "migrate",
  "steal",
  "create",
  "exit",
  "signal_send",
  "signal_discard",
  "signal_clear",
  "signal_handle",
] as const;
export type ProbeName = (typeof PROBES)[number];
export const PROBE_LWP_CREATE = 0;
export const PROBE_LWP_START = 1;
export const PROBE_LWP_EXIT = 2;
export const PROBE_STATE = 3;
export const PROBE_SWITCH = 4;
export const PROBE_WAKEUP = 5;
export const PROBE_MIGRATE = 6;
export const PROBE_STEAL = 7;
export const PROBE_CREATE = 8;
export const PROBE_EXIT = 9;
export const PROBE_SIGNAL_SEND = 10;
/** Declared, and fired by nothing, as in the original. */
export const PROBE_SIGNAL_DISCARD = 11;
export const PROBE_SIGNAL_CLEAR = 12;
export const PROBE_SIGNAL_HANDLE = 13;

/** Why a process has ended: first word of the probe "exit". */
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;

const MASK = GlobalsRecord.offset.probes;
const SEQ = GlobalsRecord.offset.traceSeq;

/** A bit of the same word that is no probe: switches are to be told to `pserializeSwitchpoint`. */
export const HOOK_PSERIALIZE = 1 << 30;

/** Whether anybody listens to probe `id`: ask first where the arguments cost something. */
export function probing(k: Kernel, id: number): boolean {
  return (k.w[k.probesAt] & (1 << id)) !== 0;
}

/** Fires probe `id` about LWP `lid` of process `pid`, with up to five words. */
export function fire(
  k: Kernel,
  id: number,
  pid: number,
  lid: number,
  a = 0,
  b = 0,
  c = 0,
  d = 0,
  e = 0,
): void {
  if (probing(k, id)) write(k, cur.cpu, id, pid, lid, a, b, c, d, e);
}

function write(
  k: Kernel,
  ci: Cpu,
  id: number,
  pid: number,
  lid: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
): void {
  const w = k.w;
  const head = ci.traceHead;
  const at = ringOf(k, ci) + (head & (k.limits.trace - 1)) * TRACE_WORDS;
  w[at] = id;
  w[at + 1] = ci.index - 1;
  w[at + 2] = pid;
  w[at + 3] = lid;
  k.d[(at + 4) >> 1] = k.g.time;
  w[at + 6] = a;
  w[at + 7] = b;
  w[at + 8] = c;
  w[at + 9] = d;
  w[at + 10] = e;
  w[at + 11] = k.mp === true ? k.atomic.add(k.g.at + SEQ, 1) : w[k.g.at + SEQ]++;
  ci.traceHead = head + 1;
}

function ringOf(k: Kernel, ci: Cpu): number {
  return k.trace + (ci.index - 1) * k.limits.trace * TRACE_WORDS;
}

/** One record of a trace ring. */
export interface TraceRecord {
  readonly probe: ProbeName;
  /** Machine time in seconds. */
  readonly time: number;
  readonly cpu: number;
  readonly pid: number;
  readonly lid: number;
  readonly args: readonly number[];
  /** Its number among the records of all CPUs, as an int32 that wraps. */
  readonly seq: number;
}

/** Switches probes on or off for the whole machine. */
export function probeEnable(k: Kernel, names: readonly ProbeName[], on: boolean): void {
  let bits = 0;
  for (const name of names) bits |= 1 << PROBES.indexOf(name);
  if (on) Atomics.or(k.w, k.g.at + MASK, bits);
  else Atomics.and(k.w, k.g.at + MASK, ~bits);
}

/** Reads a CPU's ring from record number `from`: what is still there, and how many were overwritten. */
export function traceRead(
  k: Kernel,
  ci: Cpu,
  from: number,
): { records: TraceRecord[]; next: number; lost: number } {
  const head = ci.traceHead;
  const first = Math.max(from, head - k.limits.trace);
  const records: TraceRecord[] = [];
  for (let n = first; n < head; n++) {
    const at = ringOf(k, ci) + (n & (k.limits.trace - 1)) * TRACE_WORDS;
    records.push({
      probe: PROBES[k.w[at]],
      time: k.d[(at + 4) >> 1],
      cpu: k.w[at + 1],
      pid: k.w[at + 2],
      lid: k.w[at + 3],
      args: Array.from(k.w.subarray(at + 6, at + 11)),
      seq: k.w[at + 11],
    });
  }
  // Whoever wrote meanwhile may have overwritten the oldest of what was copied.
  const overwritten = Math.max(0, ci.traceHead - k.limits.trace - first);
  return { records: records.slice(overwritten), next: head, lost: first - from + overwritten };
}
