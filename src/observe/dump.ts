/**
 * The dump of a machine: every LWP, every lock that is held and who waits for it.
 *
 * Takes no lock and trusts nothing it reads, so that it works on a wedged machine, from any realm.
 */
import type { Cpu } from "../sys/cpu.js";
import { type Kernel, type Pool, POOL_LOCK } from "../sys/kernel.js";
import type { View } from "../sys/record.js";
import {
  LIDTAB_STRIPES,
  LOCK_WORDS,
  OBJTAB_SIZE,
  SLEEPTAB_BUCKET_WORDS,
  SLEEPTAB_SIZE,
  TSTAB_BUCKET_WORDS,
  TSTAB_SIZE,
} from "../sys/shapes.js";
import { lwpByIndex } from "../kern/waitfor.js";
import { listLwps, liveRecords, nameOf } from "./listing.js";
import { psTable, threadText } from "./table.js";

const CPU_STATES = ["absent", "starting", "online", "halted", "FAILED"];

/** The whole dump, as lines. */
export function dump(k: Kernel): string[] {
  const lines = [`machine time ${k.g.time.toFixed(6)} s, tick ${k.g.ticks}, ${k.g.ncpu} CPUs`];
  for (let i = 1; i <= k.g.ncpu; i++) lines.push(cpuLine(k, i));
  lines.push(
    ...psTable(listLwps(k, { system: true }))
      .trimEnd()
      .split("\n"),
  );
  const locks = heldLocks(k);
  lines.push(locks.length === 0 ? "no spin lock is held" : "spin locks held:", ...locks);
  return lines;
}

function cpuLine(k: Kernel, i: number): string {
  const ci = k.cpus.view(i);
  return `CPU ${i - 1}: ${CPU_STATES[ci.state] ?? ci.state}, runs ${curlwpText(k, ci)}, ${ci.count} queued, ${ci.nswitch} switches`;
}

/** Of a record that may be anything. */
function curlwpText(k: Kernel, ci: Cpu): string {
  const l = lwpByIndex(k, ci.w[ci.at + k.cpus.type.offset.curlwp]);
  return l === null ? "nothing" : threadText(nameOf(l));
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
  for (const pool of [k.lwps, k.turnstiles, k.syncobjs, k.messages, ...pools] as Pool<View>[])
    look(`pool of ${pool.type.name}`, pool.header + POOL_LOCK);
  look("proc_lock", k.g.procLock);
  look("uid table", k.g.uidLock);
  for (let i = 0; i < SLEEPTAB_SIZE; i++) {
    look(`sleep table bucket ${i}`, k.sleeptab + i * SLEEPTAB_BUCKET_WORDS);
    look(`park table bucket ${i}`, k.parktab + i * SLEEPTAB_BUCKET_WORDS);
  }
  for (let i = 0; i < TSTAB_SIZE; i++) look(`turnstile chain ${i}`, k.tstab + i * TSTAB_BUCKET_WORDS);
  for (let i = 0; i < OBJTAB_SIZE; i++) look(`lock ${i} of objects`, k.objtab + i * LOCK_WORDS);
  for (let i = 0; i < LIDTAB_STRIPES; i++) look(`lid table stripe ${i}`, k.lidStripes + i * 2);
  return lines;
}
