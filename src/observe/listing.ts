/**
 * The listing: every LWP, what it does, and what it waits for.
 *
 * Reads kernel memory without a lock, from any realm, of a machine that runs or is dead. A record is read whole and then
 * looked at once more: if its generation or its wait channel has changed meanwhile, it is read again, and after a few times
 * taken as it is, or left out if it is gone.
 */
import type { Kernel, Pool } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { CTX_ENTRY, LP_RUNNING, LSONPROC, LW_SINTR } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import type { View } from "../sys/record.js";
import { CALLOUT_PENDING, CO_FLAGS, CO_TIME } from "../sys/shapes.js";
import { lwpEprio } from "../kern/priority.js";
import { entryName } from "../thread/host.js";
import type { ListOptions, LwpInfo, LwpName, LwpWait } from "../machine/observer.js";
import { stateLetter } from "./psstate.js";
import { describeWait } from "./waits.js";

const TRIES = 4;

/** All LWPs by pid and lid. */
export function listLwps(k: Kernel, options: ListOptions = {}): LwpInfo[] {
  const list: LwpInfo[] = [];
  for (const l of liveRecords(k, k.lwps)) {
    const info = lwpInfo(l);
    if (info === null) continue;
    const wanted =
      options.pid === undefined ? info.pid !== 0 || options.system === true : info.pid === options.pid;
    if (wanted) list.push(info);
  }
  return list.sort((a, b) => a.pid - b.pid || a.lid - b.lid);
}

/** Allocated records of a pool. */
export function* liveRecords<T extends View>(k: Kernel, pool: Pool<T>): Generator<T> {
  const last = Math.min(pool.highWater, pool.limit);
  for (let i = 1; i <= last; i++)
    if ((k.w[pool.base + (i - 1) * pool.type.words] & 1) === 1) yield pool.view(i);
}

/** One LWP as it is now; null if it is gone, or not yet there. */
export function lwpInfo(l: Lwp): LwpInfo | null {
  for (let tries = TRIES; ; tries--) {
    const { gen, wchan } = l;
    const p = procOf(l);
    if ((gen & 1) === 0 || p === null || l.lid === 0 || l.stat === 0) return null;
    const info = read(l, p);
    if (l.gen !== gen) continue;
    if (l.wchan === wchan || tries === 0) return info;
  }
}

function read(l: Lwp, p: Proc): LwpInfo {
  const asleep = l.wchan !== 0;
  return {
    ...nameOf(l, p),
    state: letterOf(l),
    priority: l.priority,
    effectivePriority: lwpEprio(l),
    cpu: l.w[l.at + l.k.lwps.type.offset.cpu] - 1,
    seconds: secondsOf(l),
    wmesg: asleep ? l.wmesg : "",
    waitsFor: asleep ? waitOf(l) : null,
  };
}

/** How a listing names an LWP. */
export function nameOf(l: Lwp, p: Proc | null = procOf(l)): LwpName {
  const entry = p !== null && l.ctxkind === CTX_ENTRY ? entryName(l.k, p.program, l.entry) : "";
  return { pid: p?.pid ?? -1, lid: l.lid, name: l.named === 0 ? "" : l.name, entry };
}

/** Of a record that may not be set up. */
function procOf(l: Lwp): Proc | null {
  const index = l.w[l.at + l.k.lwps.type.offset.proc];
  return index > 0 && index <= l.k.limits.procs ? l.k.procs.view(index) : null;
}

function letterOf(l: Lwp): string {
  return stateLetter({ stat: l.stat, interruptible: (l.flag & LW_SINTR) !== 0, slptime: l.slptime });
}

/** What it was charged, and what it has run since it was put on its CPU. */
function secondsOf(l: Lwp): number {
  const running = (l.pflag & LP_RUNNING) !== 0 && l.stat === LSONPROC;
  return l.rtime + (running ? Math.max(0, l.k.g.time - l.stime) : 0);
}

function waitOf(l: Lwp): LwpWait {
  const { kind, what, holders } = describeWait(l);
  return { kind, what, holders: holders.map((holder) => nameOf(holder)), secondsLeft: secondsLeft(l) };
}

/** Until the time-out of its sleep. */
function secondsLeft(l: Lwp): number | null {
  const { k, w } = l;
  const callout = l.timeoutCh;
  if ((w[callout + CO_FLAGS] & CALLOUT_PENDING) === 0) return null;
  return Math.max(0, (w[callout + CO_TIME] - k.g.ticks) | 0) / k.hz;
}
