/**
 * The kernel debugger's views, as lines of text (MCH-70..73).
 *
 * They take no lock, so that they work on a machine that is wedged or dead, from any realm; what they show of one that runs may
 * not fit together. An address is a byte of kernel memory.
 */
import { type Cpu, RUNQ_BITMAP_WORDS } from "../sys/cpu.js";
import type { Kernel, Pool } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { LP_RUNNING, LSONPROC, LSRUN, LSSLEEP, PRI_COUNT } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import type { View } from "../sys/record.js";
import {
  CALLOUT_FIRED,
  CALLOUT_PENDING,
  CO_ARG,
  CO_FLAGS,
  CO_FUNC,
  CO_NEXT,
  CO_TIME,
  COLIST_WORDS,
  MTX_ADAPTIVE,
  MTX_OWNER,
  MTX_SPIN,
  MTX_SPINLOCK,
  MTX_TYPE,
  MTX_WAITERS,
  WHEEL_LEVELS,
  WHEEL_SIZE,
} from "../sys/shapes.js";
import { evcntList } from "../kern/evcnt.js";
import { procLwps } from "../kern/lwpref.js";
import { lwpEprio } from "../kern/priority.js";
import { allLwps, allProcs } from "../kern/proc.js";

const USAGE_PS = "usage: show all procs [/a] [/l] [/n] [/w]";
const USAGE_PROC = "usage: show proc [/p pid] [/a lwp-address]";

const address = (v: View) => `0x${(v.at * 4).toString(16)}`;
const hex = (n: number) => (n >>> 0).toString(16);
const runs = (l: Lwp) => l.stat === LSONPROC || (l.pflag & LP_RUNNING) !== 0;
const nameOf = (l: Lwp) => (l.named === 0 ? l.proc.comm : l.name);
const waits = (l: Lwp) => (l.wchan === 0 ? "" : l.wmesg);

/** Index of the CPU it is tied to; -1 = none. */
function cpuOf(l: Lwp): number {
  return l.w[l.at + l.k.lwps.type.offset.cpu] - 1;
}

/** `show all procs` or `ps`, in one of the modes l (LWPs), n, w, a; anything else is told how to be used. */
export function dbShowAllProcs(k: Kernel, mode = "l"): string[] {
  const show = { l: byLwp, n: byProcess, w: byWait, a: byAddress }[mode];
  return show === undefined ? [USAGE_PS] : show(k);
}

function byLwp(k: Kernel): string[] {
  const lines = ["PID    LID S CPU     FLAGS       STRUCT LWP *               NAME WAIT    "];
  for (const p of allProcs(k)) {
    for (const l of procLwps(p)) {
      lines.push(
        [
          String(p.pid).padEnd(5) + (runs(l) ? ">" : " ") + String(l.lid).padStart(4),
          String(l.stat),
          String(cpuOf(l)).padStart(3),
          hex(l.flag).padStart(9),
          address(l).padStart(18),
          nameOf(l).padStart(18),
          waits(l).padEnd(8),
        ].join(" "),
      );
    }
  }
  return lines;
}

function byWait(k: Kernel): string[] {
  const lines = ["PID       LID          COMMAND     EMUL  PRI WAIT-MSG WAIT-CHANNEL"];
  for (const p of allProcs(k)) {
    for (const l of procLwps(p)) {
      lines.push(
        [
          String(p.pid).padEnd(8),
          String(l.lid).padStart(4),
          p.comm.padStart(16),
          // There is one: the system calls of lwp/syscall.
          "netbsd".padStart(8),
          String(l.priority).padStart(4),
          waits(l).padEnd(8),
          l.wchan === 0 ? "" : `0x${(l.wchan * 4).toString(16)}`,
        ].join(" "),
      );
    }
  }
  return lines;
}

/** There are no process groups: each process is its own. */
function byProcess(k: Kernel): string[] {
  const lines = ["PID       PPID     PGRP        UID S   FLAGS LWPS          COMMAND WAIT"];
  for (const p of allProcs(k)) {
    const lwps = procLwps(p);
    lines.push(
      [
        String(p.pid).padEnd(8),
        String(p.parent?.pid ?? -1).padStart(5),
        String(p.pid).padStart(8),
        String(p.uid).padStart(10),
        String(p.stat),
        hex(p.flag).padStart(7),
        String(p.nlwps).padStart(4),
        p.comm.padStart(16),
        lwps.length > 1 ? "*" : lwps.length === 1 ? waits(lwps[0]) : "",
      ].join(" "),
    );
  }
  return lines;
}

function byAddress(k: Kernel): string[] {
  const lines = ["COMMAND              STRUCT PROC *            UAREA *  VMSPACE/VM_MAP"];
  for (const p of allProcs(k)) {
    const first = procLwps(p)[0];
    const uarea = first === undefined ? "0x0" : uareaOf(first);
    lines.push(`${p.comm.padEnd(16)} ${address(p).padStart(18)} ${uarea.padStart(18)} ${vmspaceOf(p)}`);
  }
  return lines;
}

/** The part of an LWP's record that is rarely touched. */
function uareaOf(l: Lwp): string {
  return `0x${(l.k.lwps.coldAt(l.index) * 4).toString(16)}`;
}

/** Its first page of user memory. */
function vmspaceOf(p: Proc): string {
  return p.umem === 0 ? "0x0" : `page ${p.umem}`;
}

/** Which process `show proc` is about: /p a pid, or /a the address of an LWP. */
export type DbWhich = { readonly pid: number } | { readonly lwp: number };

/** `show proc`: a process and its LWPs; by an LWP's address that one and the older ones. */
export function dbShowProc(k: Kernel, which?: DbWhich): string[] {
  if (which === undefined) return [USAGE_PROC];
  let first: Lwp | null = null;
  let p: Proc | undefined;
  if ("pid" in which) {
    p = allProcs(k).find(({ pid }) => pid === which.pid);
  } else {
    first = allLwps(k).find((l) => l.at * 4 === which.lwp) ?? null;
    p = first?.proc;
  }
  if (p === undefined) return ["bad address"];
  const lines = first === null ? [] : [`lwp_t ${address(first)}`];
  const memory = `vmspace/map ${vmspaceOf(p)}`;
  lines.push(`${p.comm}: pid ${p.pid} proc ${address(p)} ${memory} flags ${hex(p.flag)}`);
  const lwps = procLwps(p);
  for (const l of first === null ? lwps : lwps.slice(lwps.indexOf(first))) {
    const name = l.named === 0 ? "" : ` [${l.name}]`;
    lines.push(
      `${runs(l) ? "> " : "  "}lwp ${l.lid}${name} ${address(l)} pcb ${uareaOf(l)}`,
      `    stat ${l.stat} flags ${hex(l.flag)} cpu ${cpuOf(l)} pri ${l.priority}`,
    );
    if (l.wchan !== 0) lines.push(`    wmesg ${l.wmesg} wchan 0x${(l.wchan * 4).toString(16)}`);
  }
  return lines;
}

/** `show sched_qs`: each CPU's run queue, then every LWP. */
export function dbShowSchedQs(k: Kernel): string[] {
  const lines: string[] = [];
  for (let i = 1; i <= k.g.ncpu; i++) lines.push(...runQueue(k.cpus.view(i)));
  lines.push("   LID PRI EPRI        FL ST          LWP         CPU TCI LRTICKS");
  for (const p of allProcs(k)) {
    lines.push(`  /- ${p.pid} (${p.comm})`);
    for (const l of procLwps(p)) {
      const where = l.stat === LSRUN ? "RQ" : l.stat === LSSLEEP ? "SQ" : "-";
      lines.push(
        [
          ` |${String(l.lid).padStart(5)}`,
          String(l.priority).padStart(3),
          String(lwpEprio(l)).padStart(4),
          hex(l.flag).padStart(9),
          where.padEnd(2),
          address(l).padStart(12),
          String(cpuOf(l)).padStart(11),
          String(l.targetCpu === null ? -1 : l.targetCpu.index - 1).padStart(3),
          String(k.g.ticks - l.rticks),
        ].join(" "),
      );
    }
  }
  return lines;
}

function runQueue(ci: Cpu): string[] {
  const l = ci.curlwp;
  const migrating = ci.migrating;
  const words: string[] = [];
  // Highest first.
  for (let i = RUNQ_BITMAP_WORDS - 1; i >= 0; i--)
    words.push(`[${hex(ci.w[ci.bitmap + i]).padStart(8, "0")}]`);
  return [
    `Run-queue (CPU = ${ci.index - 1}):`,
    ` pid.lid = ${l.proc.pid}.${l.lid}, r_count = ${ci.count}, r_avgcount = ${ci.avgcount}, maxpri = ${ci.maxpriority}, mlwp = ${
      migrating === null ? "0x0" : address(migrating)
    }`,
    ` bitmap (${PRI_COUNT} priorities): ${words.join(" ")}`,
  ];
}

/** `show callout`: those on any CPU's lists, with the tick they are due at. */
export function dbShowCallout(k: Kernel): string[] {
  const lines = [`hardclock_ticks now: ${k.g.ticks}`, "    ticks  wheel       arg  func"];
  for (let i = 1; i <= k.g.ncpu; i++) {
    const ci = k.cpus.view(i);
    lines.push(...calloutList(ci, ci.todo, `todo/${i - 1}`));
    for (let n = 0; n < WHEEL_LEVELS * WHEEL_SIZE; n++) {
      lines.push(...calloutList(ci, ci.wheel + n * COLIST_WORDS, `${n}/${i - 1}`));
    }
  }
  return lines;
}

function calloutList(ci: Cpu, list: number, name: string): string[] {
  const { k, w } = ci;
  const lines: string[] = [];
  for (let c = w[list]; c !== 0 && lines.length < k.limits.lwps; c = w[c + CO_NEXT]) {
    const flags = w[c + CO_FLAGS];
    const marks = `${(flags & CALLOUT_PENDING) === 0 ? " idle" : ""}${(flags & CALLOUT_FIRED) === 0 ? "" : " fired"}`;
    const due = w[c + CO_TIME] - k.g.ticks;
    lines.push(
      `${String(due).padStart(9)} ${name.padStart(6)} ${String(w[c + CO_ARG]).padStart(9)}  ${w[c + CO_FUNC]}${marks}`,
    );
  }
  return lines;
}

/** `show lock`: what kind of lock stands at an address, who has it, and whether somebody waits. */
export function dbShowLock(k: Kernel, at: number): string[] {
  const a = at / 4;
  const { w } = k;
  if (!Number.isInteger(a) || a <= 0 || a + MTX_SPINLOCK >= w.length) return ["bad address"];
  switch (w[a + MTX_TYPE]) {
    case MTX_ADAPTIVE: {
      const owner = w[a + MTX_OWNER] >> 1;
      const waiters = (w[a + MTX_OWNER] & MTX_WAITERS) !== 0 ? 1 : 0;
      return [
        "type : sleep/adaptive",
        `owner field  : ${owner === 0 ? "0x0" : address(k.lwps.view(owner))} wait: ${waiters}`,
      ];
    }
    case MTX_SPIN:
      return [
        "type : spin",
        `held : ${w[a + MTX_SPINLOCK] === 0 ? "no" : `by CPU ${w[a + MTX_SPINLOCK] - 1}`}`,
      ];
    default:
      return ["lock not initialized"];
  }
}

/** `show event`: the event counters that have counted. */
export function dbShowEvent(k: Kernel): string[] {
  return evcntList(k)
    .filter(({ count }) => count !== 0)
    .map(({ group, name, count }) => `evcnt type misc: ${group} ${name} = ${count}`);
}

/** `whatis`: which record, or whose rarely touched part, an address of kernel memory belongs to. */
export function dbWhatis(k: Kernel, at: number): string[] {
  const lines: string[] = [];
  for (const l of allLwps(k)) {
    // It stands for the kernel stack, which no LWP has here.
    const base = k.lwps.coldAt(l.index) * 4;
    if (at >= base && at < base + k.lwps.type.coldWords * 4)
      lines.push(`0x${at.toString(16)} is 0x${base.toString(16)}+${at - base}, LWP ${address(l)}'s stack`);
  }
  for (const pool of [k.cpus, k.procs, k.lwps, k.turnstiles, k.threads] as unknown as Pool<View>[]) {
    const bytes = pool.type.words * 4;
    const n = Math.floor((at - pool.base * 4) / bytes);
    if (n < 0 || n >= pool.limit) continue;
    const base = pool.base * 4 + n * bytes;
    const use = (k.w[base / 4] & 1) === 1 ? "allocated" : "free";
    lines.push(
      `0x${at.toString(16)} is 0x${base.toString(16)}+${at - base} in pool of ${pool.type.name}, ${use} record ${n + 1}`,
    );
  }
  return lines.length === 0 ? [`0x${at.toString(16)} is nothing that the kernel knows of`] : lines;
}
