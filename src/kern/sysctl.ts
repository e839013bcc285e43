/**
 * The tree of what can be looked at and set while the machine runs (sysctl(9), MCH-60..64, LWP-39, MCH-114).
 *
 * A node has a name, a type, a description and an access; the tree itself is the same on every machine, only what it shows is
 * in kernel memory. A name is looked up, then the right to write is asked for, then the node's own checks are made: so errors
 * come in this order: ENOENT, EISDIR or ENOTDIR, EPERM, EINVAL. Nothing here sleeps.
 *
 * `proc_lock` is held all the while: a process that was looked up stays what it is until it has been read or written.
 */
import { EINVAL, EISDIR, ENOENT, ENOTDIR, EPERM } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import { PS_STOPEXEC, PS_STOPEXIT, PS_STOPFORK, SACTIVE, SSTOP } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import {
  CRED_KERNEL,
  KAUTH_PROCESS_STOPFLAG,
  KAUTH_SCOPE_PROCESS,
  KAUTH_SCOPE_SYSTEM,
  KAUTH_SYSTEM_SYSCTL,
  kauthAuthorize,
} from "./kauth.js";
import { type KinfoLwp, kinfoLwp, type KinfoProc2, kinfoProc2 } from "./kinfo.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { spinEnter, spinExit } from "./spin.js";
import { lwpcntOf } from "./uid.js";

export const CTLTYPE_NODE = 1;
export const CTLTYPE_INT = 2;
export const CTLTYPE_STRING = 3;
export const CTLTYPE_STRUCT = 5;

export const CTLFLAG_READONLY = 0x0;
export const CTLFLAG_READWRITE = 0x70;
/** Anybody may write; the node checks by itself. */
export const CTLFLAG_ANYWRITE = 0x80;
/** Cannot be removed. */
export const CTLFLAG_PERMANENT = 0x200;

/** What a node shows. */
export type SysctlValue = number | string | readonly KinfoLwp[] | readonly KinfoProc2[];

/** Who asks: its uid, and the process it is about if it asks for itself. */
interface Asker {
  readonly uid: number;
}

export interface SysctlNode {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly description: string;
  /** Of a node of type NODE. */
  children?(k: Kernel): readonly SysctlNode[];
  read?(k: Kernel, asker: Asker): SysctlValue;
  /** Stores a number, or says what is wrong with it: an error number. */
  write?(k: Kernel, value: number, asker: Asker): number;
}

const RO = CTLFLAG_READONLY | CTLFLAG_PERMANENT;
const RW = CTLFLAG_READWRITE | CTLFLAG_PERMANENT;

function node(name: string, description: string, children: readonly SysctlNode[]): SysctlNode {
  return { name, type: CTLTYPE_NODE, flags: RO, description, children: () => children };
}

function int(
  name: string,
  description: string,
  read: (k: Kernel, asker: Asker) => number,
  write?: SysctlNode["write"],
): SysctlNode {
  return { name, type: CTLTYPE_INT, flags: write === undefined ? RO : RW, description, read, write };
}

function string(name: string, description: string, read: (k: Kernel) => string): SysctlNode {
  return { name, type: CTLTYPE_STRING, flags: RO, description, read };
}

// --- kern -------------------------------------------------------------------------------------------

/** Ids of LWPs fit into 16 bits elsewhere: no limit may exceed that. */
const MAXLWP_MAX = 65536;

const maxlwp = int(
  "maxlwp",
  "Maximum number of simultaneous threads",
  (k) => k.g.maxlwp,
  (k, value) => {
    if (value < 0 || value >= MAXLWP_MAX || value > cpuMaxlwp(k)) return EINVAL;
    k.g.maxlwp = value;
    return 0;
  },
);

/** What the platform has room for. */
export function cpuMaxlwp(k: Kernel): number {
  return k.limits.lwps;
}

const lwp: SysctlNode = {
  name: "lwp",
  type: CTLTYPE_STRUCT,
  flags: RO,
  description: "LWPs of all processes, the newest of each first",
  read: (k) => {
    const list: KinfoLwp[] = [];
    eachLive(k, (p) => {
      for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) list.push(kinfoLwp(l));
    });
    return list;
  },
};

const proc2: SysctlNode = {
  name: "proc2",
  type: CTLTYPE_STRUCT,
  flags: RO,
  description: "Processes, each with the LWP that stands for it",
  read: (k) => {
    const list: KinfoProc2[] = [];
    for (let i = k.g.allproc; i !== 0; i = k.procs.view(i).listNext) list.push(kinfoProc2(k.procs.view(i)));
    return list;
  },
};

/** Calls `body` for each live process, locked. `proc_lock` is held. */
function eachLive(k: Kernel, body: (p: Proc) => void): void {
  for (let i = k.g.allproc; i !== 0; i = k.procs.view(i).listNext) {
    const p = k.procs.view(i);
    spinEnter(k, p.lock);
    if (p.stat === SACTIVE || p.stat === SSTOP) body(p);
    spinExit(k, p.lock);
  }
}

function processesOf(k: Kernel, uid: number): number {
  let n = 0;
  for (let i = k.g.allproc; i !== 0; i = k.procs.view(i).listNext) if (k.procs.view(i).uid === uid) n++;
  return n;
}

const uidinfo = node("uidinfo", "Resources of the caller's user", [
  int("proccnt", "Number of processes", (k, { uid }) => processesOf(k, uid)),
  int("lwpcnt", "Number of LWPs", (k, { uid }) => lwpcntOf(k, uid)),
  int("lockcnt", "Number of file locks; there are none here", () => 0),
  int("sbsize", "Bytes of socket buffers; there are none here", () => 0),
]);

const sched = node("sched", "Scheduler options", [
  string("name", "Scheduler name", () => "4.4BSD"),
  int("rtts", "Round-robin time quantum in milliseconds", () => 100),
  int("pri_min", "Lowest priority of time-shared threads", () => 0),
  int("pri_max", "Highest priority of time-shared threads", () => 63),
  int(
    "kpreempt_pri",
    "Lowest priority that asks for a CPU at once",
    (k) => k.g.kpreemptPri,
    (k, value) => {
      k.g.kpreemptPri = value;
      return 0;
    },
  ),
  int(
    "upreempt_pri",
    "Lowest priority that asks for a CPU at the next return to user mode",
    (k) => k.g.upreemptPri,
    (k, value) => {
      k.g.upreemptPri = value;
      return 0;
    },
  ),
]);

const kern = node("kern", "High kernel", [
  maxlwp,
  int("maxproc", "Maximum number of simultaneous processes", (k) => k.limits.procs),
  int("hardclock_ticks", "Ticks since boot", (k) => k.g.ticks),
  int("boottime", "Seconds since 1970 at boot", (k) => Math.floor(k.g.wallAtBoot)),
  lwp,
  proc2,
  uidinfo,
  sched,
]);

const hw = node("hw", "Generic CPU, I/O", [
  int("ncpu", "Number of CPUs", (k) => k.g.ncpu),
  int("ncpuonline", "Number of CPUs that accept work", (k) => k.g.ncpuonline),
  int("pagesize", "Bytes of a page of user memory", () => 4096),
]);

const security = node("security", "Security", [
  node("models", "Security models", [
    node("extensions", "Rights of users beyond the traditional ones", [
      int(
        "user_set_cpu_affinity",
        "Whether users may set the CPUs that their own processes run on",
        (k) => k.g.userSetCpuAffinity,
        (k, value) => {
          if (value !== 0 && value !== 1) return EINVAL;
          k.g.userSetCpuAffinity = value;
          return 0;
        },
      ),
    ]),
  ]),
]);

// --- proc.PID ---------------------------------------------------------------------------------------

/** A flag of the process that stops it at an event (MCH-114). */
function stopFlag(p: Proc, name: string, event: string, bit: number): SysctlNode {
  return {
    name,
    type: CTLTYPE_INT,
    flags: RW | CTLFLAG_ANYWRITE,
    description: `Stop process at ${event}`,
    read: () => ((p.sflag & bit) !== 0 ? 1 : 0),
    write: (k, value, { uid }) => {
      if (value !== 0 && value !== 1) return EINVAL;
      const error = kauthAuthorize(k, uid, KAUTH_SCOPE_PROCESS, KAUTH_PROCESS_STOPFLAG, p);
      if (error !== 0) return error;
      spinEnter(k, p.lock);
      p.sflag = value === 1 ? p.sflag | bit : p.sflag & ~bit;
      spinExit(k, p.lock);
      return 0;
    },
  };
}

function limit(p: Proc, name: "soft" | "hard", field: "nthrSoft" | "nthrHard"): SysctlNode {
  return int(name, `${name} limit`, () => p[field]);
}

function procNode(p: Proc): SysctlNode {
  return node(String(p.pid), "Per-process settings", [
    node("rlimit", "Process limits", [
      node("maxlwp", "Number of LWPs of its user", [
        limit(p, "soft", "nthrSoft"),
        limit(p, "hard", "nthrHard"),
      ]),
    ]),
    stopFlag(p, "stopfork", "fork(2)", PS_STOPFORK),
    stopFlag(p, "stopexec", "execve(2)", PS_STOPEXEC),
    stopFlag(p, "stopexit", "completion", PS_STOPEXIT),
  ]);
}

const proc: SysctlNode = {
  name: "proc",
  type: CTLTYPE_NODE,
  flags: RO,
  description: "Settings of processes, by their ids",
  children: (k) => {
    const list: SysctlNode[] = [];
    eachLive(k, (p) => list.push(procNode(p)));
    return list;
  },
};

const ROOTS: readonly SysctlNode[] = [kern, hw, security, proc];

// --- looking up -------------------------------------------------------------------------------------

/** What a call comes to: an error, or a value; of a write, the value before. */
export interface SysctlResult {
  readonly error: number;
  readonly value: SysctlValue | null;
}

/** The node of a name such as `kern.maxlwp`, or an error number. */
function lookup(k: Kernel, name: string): SysctlNode | number {
  let children: readonly SysctlNode[] = ROOTS;
  let found: SysctlNode | undefined;
  for (const part of name.split(".")) {
    if (found !== undefined && found.children === undefined) return ENOTDIR;
    found = children.find((child) => child.name === part);
    if (found === undefined) return ENOENT;
    children = found.children?.(k) ?? [];
  }
  return found as SysctlNode;
}

/**
 * Reads a node and, with `value`, sets it then. `uid` is the caller's; CRED_KERNEL asks for the kernel itself.
 *
 * Errors: ENOENT no such name; ENOTDIR, EISDIR it goes too far, or not far enough; EPERM it cannot be written, or not by this
 * user; EINVAL not an integer of 32 bits, or not one that the node takes. Source: sysctl(3).
 */
export function sysctl(k: Kernel, uid: number, name: string, value?: number): SysctlResult {
  const { procLock } = k.g;
  spinEnter(k, procLock);
  const result = access(k, uid, name, value);
  spinExit(k, procLock);
  return result;
}

function access(k: Kernel, uid: number, name: string, value?: number): SysctlResult {
  const found = lookup(k, name);
  if (typeof found === "number") return { error: found, value: null };
  if (found.read === undefined) return { error: EISDIR, value: null };
  const asker = { uid };
  const before = found.read(k, asker);
  if (value === undefined) return { error: 0, value: before };
  const error = set(k, found, value, asker);
  return { error, value: error === 0 ? before : null };
}

function set(k: Kernel, found: SysctlNode, value: number, asker: Asker): number {
  if (found.write === undefined) return EPERM;
  if ((found.flags & CTLFLAG_ANYWRITE) === 0) {
    const error = kauthAuthorize(k, asker.uid, KAUTH_SCOPE_SYSTEM, KAUTH_SYSTEM_SYSCTL);
    if (error !== 0) return error;
  }
  if (value !== (value | 0)) return EINVAL;
  return found.write(k, value, asker);
}

/** A node as a listing shows it. */
export interface SysctlEntry {
  readonly name: string;
  readonly type: number;
  readonly writable: boolean;
  readonly description: string;
  readonly value: SysctlValue;
}

/** All nodes that show something, in the order of the tree. */
export function sysctlList(k: Kernel, uid = CRED_KERNEL): SysctlEntry[] {
  const list: SysctlEntry[] = [];
  const walk = (prefix: string, nodes: readonly SysctlNode[]) => {
    for (const n of nodes) {
      const name = prefix + n.name;
      if (n.children !== undefined) walk(`${name}.`, n.children(k));
      else if (n.read !== undefined) {
        const { type, description } = n;
        list.push({ name, type, writable: n.write !== undefined, description, value: n.read(k, { uid }) });
      }
    }
  };
  const { procLock } = k.g;
  spinEnter(k, procLock);
  walk("", ROOTS);
  spinExit(k, procLock);
  return list;
}
