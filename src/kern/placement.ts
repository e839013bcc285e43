/**
 * Where an LWP runs: choosing a CPU, stealing, migrating.
 *
 * Differs from the original: the victim of an idle CPU is the CPU with most movable LWPs at that moment. The
 * averages of SCH-50 are not kept, since they hide a lone queued LWP for ever.
 */
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import { CPU_ONLINE, LP_BOUND, LSIDL, PRI_COUNT, SPCF_OFFLINE } from "../sys/param.js";
import { AT_MIGRATE_CHOSEN, AT_STEAL_CHOSEN, delayPoint } from "./delay.js";
import { lwpSetlock } from "./lwplock.js";
import { lwpEprio } from "./priority.js";
import { fire, PROBE_MIGRATE, PROBE_STEAL } from "./probe.js";
import { isMovable, runqFirst, runqNext, schedDequeue, schedEnqueue } from "./runq.js";
import { spinEnter, spinEnterTwo, spinExit, spinTryenter } from "./spin.js";

// The words of placing a new LWP and of looking for one to steal, by address: see runq.ts.
const { ctxswtch: CTXSWTCH, cpu: CPU, realm: REALM, pflag: PFLAG } = LwpRecord.offset;
const { affinity: AFFINITY, psid: PSID, stat: STAT } = LwpRecord.offset;
const { realm: CPU_REALM, state: STATE, flags: FLAGS, psid: CPU_PSID } = CpuRecord.offset;
const { curpriority: CURPRIORITY, maxpriority: MAXPRIORITY, count: COUNT, mcount: MCOUNT } = CpuRecord.offset;
const CPU_WORDS = CpuRecord.words;

/** Whether `l` may run on `ci`: online, affinity or processor set, and the port's word (SCH-40, R4). */
export function schedMigratable(l: Lwp, ci: Cpu): boolean {
  const { w, at } = l;
  const c = ci.at;
  if (w[c + STATE] !== CPU_ONLINE || (w[c + FLAGS] & SPCF_OFFLINE) !== 0) return false;
  const affinity = w[at + AFFINITY];
  if (affinity !== 0 ? (affinity & (1 << (ci.index - 1))) === 0 : w[c + CPU_PSID] !== w[at + PSID])
    return false;
  const { k } = l;
  // On real CPUs a realm is all that ties an LWP down, and whoever is placed or stolen for the first time has none.
  return (k.mp === true && w[at + REALM] === 0) || k.port.mayRun(l, ci);
}

/** The CPU for a locked LWP that is about to become runnable (SCH-42). */
export function schedTakecpu(l: Lwp): Cpu {
  const { k, w, at } = l;
  const own = k.cpuv[w[at + CPU]] ?? l.cpu;
  const realm = w[at + REALM];
  // A context stays in its realm, and on real CPUs each realm is one CPU.
  if (realm !== 0 && k.mp === true && (w[at + PFLAG] & LP_BOUND) === 0) return ofRealm(k, own, realm);
  const ncpu = k.g.ncpu;
  if (ncpu === 1 || (w[at + PFLAG] & LP_BOUND) !== 0) return own;
  if (w[own.at + CPU_PSID] === w[at + PSID]) {
    if (w[own.at + COUNT] === 0) return stay(own);
    if (w[at + STAT] !== LSIDL && cacheHot(l) && lwpEprio(l) >= own.curpriority) return stay(own);
  }
  const here = cur.cpu;
  if (lwpEprio(l) > w[here.at + CURPRIORITY] && schedMigratable(l, here)) {
    here.localize++;
    return here;
  }
  const best = leastLoaded(l, own, ncpu);
  best.push++;
  return best;
}

function ofRealm(k: Kernel, own: Cpu, realm: number): Cpu {
  return own.w[own.at + CPU_REALM] === realm ? own : k.cpus.view(realm);
}

function stay(own: Cpu): Cpu {
  own.stay++;
  return own;
}

/** Ran within the present tick (SCH-41, with the default of 3 ms at hz 100). */
function cacheHot(l: Lwp): boolean {
  return l.slptime === 0 && l.rticks !== 0 && l.k.g.ticks === l.rticks;
}

/** The CPU of least load, scanning cyclically from the LWP's own (SCH-42(4), SCH-43). */
function leastLoaded(l: Lwp, own: Cpu, ncpu: number): Cpu {
  const { k, w } = l;
  let best = own;
  let bestLoad = PRI_COUNT;
  let n = own.index - 1;
  for (let i = 0; i < ncpu; i++) {
    n = n < ncpu ? n + 1 : 1;
    const c = k.cpus.base + (n - 1) * CPU_WORDS;
    const running = w[c + CURPRIORITY];
    const queued = w[c + MAXPRIORITY];
    const load = running > queued ? running : queued;
    if (load > bestLoad) continue;
    if (load === bestLoad && w[best.at + COUNT] < w[c + COUNT]) continue;
    const ci = k.cpus.view(n);
    if (!schedMigratable(l, ci)) continue;
    best = ci;
    bestLoad = load;
  }
  return best;
}

/**
 * Moves one LWP from `victim`'s queue to this CPU's; both run queues are locked, victim's is released (SCH-51).
 * Returns it, already queued here, or null.
 */
export function schedCatchlwp(victim: Cpu): Lwp | null {
  const ci = cur.cpu;
  const k = ci.k;
  const l = stealable(victim, ci);
  if (l !== null) {
    schedDequeue(l);
    waitContextSaved(l);
    l.cpu = ci;
    lwpSetlock(l, ci.mutex);
    victim.pull++;
    fire(k, PROBE_STEAL, l.proc.pid, l.lid, victim.index - 1);
    schedEnqueue(l, false);
  }
  spinExit(k, victim.mutex);
  return l;
}

/** The first LWP of `victim`'s highest queue that may come to `ci`, or null. */
function stealable(victim: Cpu, ci: Cpu): Lwp | null {
  for (let l = victim.mcount > 0 ? runqFirst(victim) : null; l !== null; l = runqNext(l)) {
    if (isMovable(l) && schedMigratable(l, ci)) return l;
  }
  return null;
}

/** Whether the idle loop of `ci` would steal something now. Unlocked, so an answer may be too old at once. */
export function schedCanSteal(ci: Cpu): boolean {
  if ((ci.flags & SPCF_OFFLINE) !== 0) return false;
  const victim = schedVictim(ci.k, ci);
  return victim !== null && stealable(victim, ci) !== null;
}

/** Waits until an LWP's last CPU has saved its context (R3). */
export function waitContextSaved(l: Lwp): void {
  if (l.ctxswtch === 0) return;
  const word = l.at + CTXSWTCH;
  for (let round = 0; Atomics.load(l.w, word) !== 0; round++) l.k.port.relax("ctxswtch", round, word, 1);
}

/** The CPU with most movable LWPs queued, or null. Unlocked. */
export function schedVictim(k: Kernel, ci: Cpu): Cpu | null {
  const { w } = k;
  const set = w[ci.at + CPU_PSID];
  let victim = 0;
  let most = 0;
  for (let n = 1; n <= k.g.ncpu; n++) {
    const c = k.cpus.base + (n - 1) * CPU_WORDS;
    const movable = w[c + MCOUNT];
    if (movable <= most || c === ci.at || w[c + CPU_PSID] !== set) continue;
    victim = n;
    most = movable;
  }
  return victim === 0 ? null : k.cpus.view(victim);
}

/** What an idle CPU does before it idles: migrate, then steal (SCH-52). No lock is held. */
export function schedIdle(ci: Cpu): void {
  const k = ci.k;
  if (ci.migrating !== null) migrate(ci);
  if ((ci.flags & SPCF_OFFLINE) !== 0 || ci.count !== 0 || k.g.ncpu === 1) return;
  const victim = schedVictim(k, ci);
  if (victim === null) return;
  delayPoint(k, AT_STEAL_CHOSEN);
  spinEnterTwo(k, ci.mutex, victim.mutex);
  schedCatchlwp(victim);
  spinExit(k, ci.mutex);
}

/** Steals on the way to idling, with the own queue locked: never waits for the other (SCH-23). */
export function schedSteal(ci: Cpu): Lwp | null {
  const k = ci.k;
  if (k.g.ncpu === 1 || (ci.flags & SPCF_OFFLINE) !== 0) return null;
  const victim = schedVictim(k, ci);
  if (victim === null || !spinTryenter(k, victim.mutex)) return null;
  return schedCatchlwp(victim);
}

/** The idle loop's migrator: the only place that clears `l.targetCpu` (SCH-60, LWP-76). */
function migrate(ci: Cpu): void {
  const k = ci.k;
  spinEnter(k, ci.mutex);
  for (;;) {
    const l = ci.migrating;
    if (l === null) break;
    const target = l.targetCpu;
    if (target === null || target === ci) {
      l.targetCpu = null;
      ci.migrating = null;
      break;
    }
    if (target.mutex > ci.mutex) {
      spinEnter(k, target.mutex);
    } else if (!spinTryenter(k, target.mutex)) {
      // Lock order: drop ours, take both, and look again at everything.
      spinExit(k, ci.mutex);
      delayPoint(k, AT_MIGRATE_CHOSEN);
      spinEnterTwo(k, ci.mutex, target.mutex);
      if (ci.migrating !== l || l.targetCpu !== target) {
        spinExit(k, target.mutex);
        continue;
      }
    }
    moveQueued(l, ci, target);
    spinExit(k, target.mutex);
    break;
  }
  spinExit(k, ci.mutex);
}

function moveQueued(l: Lwp, from: Cpu, target: Cpu): void {
  from.migrating = null;
  l.targetCpu = null;
  if (!l.k.port.mayRun(l, target)) return;
  schedDequeue(l);
  waitContextSaved(l);
  l.cpu = target;
  lwpSetlock(l, target.mutex);
  fire(l.k, PROBE_MIGRATE, l.proc.pid, l.lid, from.index - 1, target.index - 1);
  schedEnqueue(l, false);
}
