/**
 * A closure that a program starts as a thread stays on the CPU of its spawner. Where it could as well be a top-level function,
 * which any CPU may run, whoever runs the program is told so: once a process, and only if there are other CPUs.
 *
 * Whether it could is the linker's answer: only if the closure certainly does not share what it closes over (captures.ts of the
 * machine). `local: true`, or a `cpu`, says that it is meant.
 */
import type { Lwp } from "../sys/lwp.js";
import { ProcRecord } from "../sys/proc.js";
import { atomicCas, atomicLoad } from "../kern/spin.js";
import { spawnedAt, threadHost } from "./host.js";

const { warned: WARNED } = ProcRecord.offset;

/** Warns of the closure that `l` starts at a spawn site, if there is reason to. No lock is held. */
export function warnOfClosure(l: Lwp, site: number): void {
  const { k, proc } = l;
  if (site === 0 || !k.mp || atomicLoad(k, proc.at + WARNED) !== 0) return;
  const host = threadHost(k);
  const names = host.movableClosure?.(proc.program, site) ?? null;
  if (names === null || !atomicCas(k, proc.at + WARNED, 0, 1)) return;
  const what =
    names.length === 0
      ? ""
      : `, with ${names.join(", ")} as ${names.length === 1 ? "argument" : "arguments"}`;
  host.warn?.(
    `${spawnedAt(k, proc.program, site)}: this closure runs only on the CPU of its spawner. A top-level function* could run ` +
      `on any${what}; if it is meant, say Thread.with({ local: true }).spawn(…)`,
  );
}
