/**
 * The dump of a machine: every LWP, every lock that is held and who waits for it.
 *
 * Takes no lock and trusts nothing it reads, so that it works on a wedged machine, from any realm.
 */
import type { Kernel, Pool } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LP_RUNNING, SOBJ_SCHED, STATE_NAMES } from "../sys/param.js";
import type { View } from "../sys/record.js";
import {
  LIDTAB_STRIPES,
  MTX_OWNER,
  SLEEPTAB_BUCKET_WORDS,
  SLEEPTAB_SIZE,
  TSTAB_BUCKET_WORDS,
  TSTAB_SIZE,
} from "../sys/shapes.js";
import { POOL_LOCK } from "../sys/kernel.js";

const CPU_STATES = ["absent", "starting", "online", "halted", "FAILED"];

/** The whole dump, as lines. */
export function dump(k: Kernel): string[] {
  const lines = [`machine time ${k.g.time.toFixed(6)} s, tick ${k.g.ticks}, ${k.g.ncpu} CPUs`];
  for (let i = 1; i <= k.g.ncpu; i++) lines.push(cpuLine(k, i));
  lines.push(" PID   LID STATE     PRI CPU   TIME(s) NAME             WAITS FOR");
  for (const l of liveRecords(k, k.lwps)) lines.push(lwpLine(l));
  const locks = heldLocks(k);
  lines.push(locks.length === 0 ? "no spin lock is held" : "spin locks held:", ...locks);
  return lines;
}

function cpuLine(k: Kernel, i: number): string {
  const ci = k.cpus.view(i);
  const l = lwpAt(k, ci.w[ci.at + k.cpus.type.offset.curlwp]);
  const what = l === null ? "nothing" : `LWP ${pidOf(l)}.${l.lid}`;
  return `CPU ${i - 1}: ${CPU_STATES[ci.state] ?? ci.state}, runs ${what}, ${ci.count} queued, ${ci.nswitch} switches`;
}

function lwpLine(l: Lwp): string {
  const running = (l.pflag & LP_RUNNING) !== 0 ? "*" : " ";
  const cpu = l.w[l.at + l.k.lwps.type.offset.cpu] - 1;
  return [
    String(pidOf(l)).padStart(4),
    String(l.lid).padStart(5),
    `${STATE_NAMES[l.stat] ?? l.stat}${running}`.padEnd(9),
    String(l.priority).padStart(3),
    String(cpu).padStart(3),
    l.rtime.toFixed(6).padStart(9),
    (l.named === 0 ? "" : l.name).padEnd(16),
    waitsFor(l),
  ].join(" ");
}

/** What an LWP waits for, and who has it. */
function waitsFor(l: Lwp): string {
  if (l.wchan === 0 || l.syncobj === SOBJ_SCHED) return "";
  const owner = l.wmesg === "tstile" ? lwpAt(l.k, l.w[l.wchan + MTX_OWNER] >> 1) : null;
  const held = owner === null ? "" : `, held by LWP ${pidOf(owner)}.${owner.lid}`;
  return `${l.wmesg} (channel ${l.wchan}${held})`;
}

function pidOf(l: Lwp): number {
  const p = l.w[l.at + l.k.lwps.type.offset.proc];
  return p > 0 && p <= l.k.limits.procs ? l.k.procs.view(p).pid : -1;
}

function lwpAt(k: Kernel, index: number): Lwp | null {
  return index > 0 && index <= k.limits.lwps ? k.lwps.view(index) : null;
}

/** Allocated records of a pool. */
function* liveRecords<T extends View>(k: Kernel, pool: Pool<T>): Generator<T> {
  const last = Math.min(pool.highWater, pool.limit);
  for (let i = 1; i <= last; i++)
    if ((k.w[pool.base + (i - 1) * pool.type.words] & 1) === 1) yield pool.view(i);
}

function heldLocks(k: Kernel): string[] {
  const lines: string[] = [];
  const look = (name: string, a: number) => {
    const owner = k.w[a];
    if (owner !== 0) lines.push(`  ${name}: held by CPU ${owner - 1}, ${k.w[a + 1]} CPUs wait`);
  };
  const pools: Pool<View>[] = [k.cpus, k.procs, k.threads] as unknown as Pool<View>[];
  for (const pool of pools) {
    for (const record of liveRecords(k, pool)) {
      for (const [key, field] of Object.entries(pool.type.fields)) {
        if (field.kind === "area" && field.what === "lock") {
          look(`${pool.type.name} ${record.index - 1} ${key}`, record.at + pool.type.offset[key]);
        }
      }
    }
  }
  for (const pool of [k.lwps, k.turnstiles, ...pools] as Pool<View>[])
    look(`pool of ${pool.type.name}`, pool.header + POOL_LOCK);
  look("proc_lock", k.g.procLock);
  look("uid table", k.g.uidLock);
  for (let i = 0; i < SLEEPTAB_SIZE; i++) {
    look(`sleep table bucket ${i}`, k.sleeptab + i * SLEEPTAB_BUCKET_WORDS);
    look(`park table bucket ${i}`, k.parktab + i * SLEEPTAB_BUCKET_WORDS);
  }
  for (let i = 0; i < TSTAB_SIZE; i++) look(`turnstile chain ${i}`, k.tstab + i * TSTAB_BUCKET_WORDS);
  for (let i = 0; i < LIDTAB_STRIPES; i++) look(`lid table stripe ${i}`, k.lidStripes + i * 2);
  return lines;
}
