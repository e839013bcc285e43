/**
 * Processes and LWPs as ps and top list them (MCH-81, 82).
 *
 * Built on the structures of `kern.lwp` and `kern.proc2`, so it locks each process for a moment: to be called as a CPU. What
 * there is not, such as terminals and resident pages, is shown as ps shows what it does not know.
 */
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LPR_DETACHED,
  LSIDL,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LSZOMB,
  LW_SINTR,
  PK_SYSTEM,
  PL_PPWAIT,
  PS_WEXIT,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { PAGE_SIZE } from "../sys/shapes.js";
import { lwpEprio } from "../kern/priority.js";
import { procLwps } from "../kern/lwpref.js";
import { allProcs } from "../kern/proc.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { umemRanges } from "../kern/umem.js";
import { lwpState, procState, topState } from "./psstate.js";

/** The nice value that is neither. */
const NZERO = 20;

/** The columns of `ps -s`, and all keywords for LWPs. */
export const PS_LWP_COLUMNS = [
  "uid",
  "pid",
  "ppid",
  "cpu",
  "lid",
  "nlwp",
  "pri",
  "nice",
  "vsz",
  "rss",
  "wchan",
  "lstate",
  "tt",
  "time",
  "command",
] as const;
export const PS_KEYWORDS = ["lid", "lname", "lstate", "nlwp", "rlwp", "pri", "cpuid", "wchan", "sl"] as const;
export type PsColumn = (typeof PS_LWP_COLUMNS)[number] | (typeof PS_KEYWORDS)[number] | "state";

/** Headings that are not the keyword in capitals. */
const HEADINGS: Partial<Record<PsColumn, string>> = { lstate: "STAT", state: "STAT", nice: "NI" };
const LEFT: ReadonlySet<PsColumn> = new Set(["wchan", "lstate", "state", "tt", "lname", "command"]);

/**
 * The LWP that stands for a process in ps without -s: of the best class, the last found, which is the oldest. Its state letter is
 * not this one's, but that of `kern.proc2` (MCH-63).
 */
export function psRepresentative(lwps: readonly Lwp[]): Lwp {
  const classes = [LSONPROC, LSRUN, LSSLEEP, LSSTOP, LSSUSPENDED];
  for (const stat of classes) {
    const found = lwps.findLast((l) => l.stat === stat);
    if (found !== undefined) return found;
  }
  return lwps[lwps.length - 1];
}

/** The text of one column. */
function cell(column: PsColumn, p: Proc, l: Lwp, nlwps: number): string {
  switch (column) {
    case "uid":
      return String(p.uid);
    case "pid":
      return String(p.pid);
    case "ppid":
      return String(p.parent?.pid ?? 0);
    case "cpu":
      return String(l.estcpu);
    case "cpuid":
      return String(l.cpu.index - 1);
    case "lid":
      return String(l.lid);
    case "lname":
      return l.named === 0 ? "-" : l.name;
    case "nlwp":
      return String(nlwps);
    case "rlwp":
      return String(p.nrlwps);
    case "pri":
      return String(lwpEprio(l));
    case "nice":
      return String(p.nice - NZERO);
    case "vsz":
      return String(kilobytes(p));
    // All user memory of a process is there.
    case "rss":
      return String(kilobytes(p));
    case "wchan":
      return l.wchan === 0 ? "-" : l.wmesg;
    case "sl":
      return String(l.slptime);
    case "lstate":
      return lwpState({
        ...sleepOf(l),
        stat: l.stat,
        system: (p.flag & PK_SYSTEM) !== 0,
        detached: (l.prflag & LPR_DETACHED) !== 0,
      });
    case "state":
      return procState({
        ...sleepOf(l),
        stat: l.stat,
        nice: p.nice - NZERO,
        // Nobody traces, and there are no sessions and no terminals.
        traced: false,
        leader: false,
        foreground: false,
        exiting: (p.sflag & PS_WEXIT) !== 0,
        vforked: (p.lflag & PL_PPWAIT) !== 0,
        system: (p.flag & PK_SYSTEM) !== 0,
        nlwps,
      });
    case "tt":
      return "-";
    case "time":
      return clock(l.rtime);
    case "command":
      return p.comm;
  }
}

function sleepOf(l: Lwp): { interruptible: boolean; slptime: number } {
  return { interruptible: (l.flag & LW_SINTR) !== 0, slptime: l.slptime };
}

function kilobytes(p: Proc): number {
  if (p.umem === 0) return 0;
  let pages = 0;
  for (const range of umemRanges(p.k)) if (range.owner === p.index) pages += range.pages;
  return (pages * PAGE_SIZE) / 1024;
}

/** Minutes, seconds and hundredths. */
function clock(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - minutes * 60).toFixed(2).padStart(5, "0")}`;
}

/** `ps -s -o columns`: a line for each LWP of all processes, below one of headings. */
export function psLwps(k: Kernel, columns: readonly PsColumn[] = PS_LWP_COLUMNS): string[] {
  const rows: string[][] = [];
  eachProcess(k, (p, lwps) => {
    for (const l of lwps) rows.push(columns.map((column) => cell(column, p, l, lwps.length)));
  });
  return aligned(columns, rows);
}

/** `ps -o columns`: a line for each process, told by one of its LWPs. */
export function psProcesses(k: Kernel, columns: readonly PsColumn[]): string[] {
  const rows: string[][] = [];
  eachProcess(k, (p, lwps) => {
    if (lwps.length === 0) return;
    const l = psRepresentative(lwps);
    rows.push(columns.map((column) => cell(column, p, l, lwps.length)));
  });
  return aligned(columns, rows);
}

function eachProcess(k: Kernel, body: (p: Proc, lwps: readonly Lwp[]) => void): void {
  for (const p of allProcs(k).toSorted((a, b) => a.pid - b.pid)) {
    spinEnter(k, p.lock);
    body(p, procLwps(p));
    spinExit(k, p.lock);
  }
}

function aligned(columns: readonly PsColumn[], rows: readonly string[][]): string[] {
  const all = [columns.map((column) => HEADINGS[column] ?? column.toUpperCase()), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  return all.map((row) =>
    row
      .map((text, i) => (LEFT.has(columns[i]) ? text.padEnd(widths[i]) : text.padStart(widths[i])))
      .join(" ")
      .trimEnd(),
  );
}

/** A line of top's thread mode. */
export interface TopLine {
  readonly pid: number;
  readonly lid: number;
  readonly user: number;
  readonly pri: number;
  readonly state: string;
  readonly time: string;
  /** Weighted and plain share of a CPU, in percent. */
  readonly wcpu: number;
  readonly cpu: number;
  /** Its name, or "-". */
  readonly lname: string;
  readonly command: string;
}

/** Fixed point of `pctcpu`. */
const FSCALE = 2048;

/** The LWPs as top's thread mode lists them: those that run first, then by their share of a CPU. */
export function topLwps(k: Kernel): TopLine[] {
  const list: TopLine[] = [];
  eachProcess(k, (p, lwps) => {
    for (const l of lwps) {
      if (l.stat === LSZOMB || l.stat === LSIDL) continue;
      const cpu = (l.pctcpu / FSCALE) * 100;
      list.push({
        pid: p.pid,
        lid: l.lid,
        user: p.uid,
        pri: lwpEprio(l),
        state: topState(l.stat, l.wchan === 0 ? "" : l.wmesg, l.cpu.index - 1, k.g.ncpu),
        time: clock(l.rtime),
        // The average is not weighted by how long the LWP has existed.
        wcpu: cpu,
        cpu,
        lname: l.named === 0 ? "-" : l.name,
        command: p.comm,
      });
    }
  });
  return list.sort((a, b) => b.cpu - a.cpu || a.pid - b.pid || a.lid - b.lid);
}
