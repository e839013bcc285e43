/**
 * LWPs and processes as sysctl shows them: `kern.lwp` and `kern.proc2` (MCH-60..63).
 *
 * The processes stay on their list, and each is locked while its LWPs are copied, so that nothing vanishes meanwhile: the
 * original's EAGAIN has no counterpart. Nor has ESRCH for a process that is busy with an exec, since there is no `p_reflock`.
 */
import { EINVAL, ENOMEM, ESRCH } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  LPR_DETACHED,
  LSDEAD,
  LSIDL,
  LSONPROC,
  LSRUN,
  LSSLEEP,
  LSSTOP,
  LSSUSPENDED,
  LSZOMB,
  LW_SINTR,
  LW_SYSTEM,
  SACTIVE,
  SDYING,
  SSTOP,
  WMESGLEN,
} from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { procFirstLwp, siblingNext } from "./lwpref.js";
import { lwpEprio } from "./priority.js";
import { spinEnter, spinExit } from "./spin.js";

/** Flags of `KinfoLwp.flag`, beside LW_SINTR, LW_SYSTEM and LPR_DETACHED, whose values they share. */
export const L_INMEM = 0x4;
export const L_SINTR = LW_SINTR;
export const L_SYSTEM = LW_SYSTEM;
export const L_DETACHED = LPR_DETACHED;

/** Bytes of a `kinfo_lwp`, and of its name. */
export const KINFO_LWP_BYTES = 128;
export const KI_LNAMELEN = 20;

/** `struct kinfo_lwp`, in its order. Addresses are bytes of kernel memory. */
export interface KinfoLwp {
  readonly forw: number;
  readonly back: number;
  /** The LWP's record, and the part of it that is rarely touched: what a u-area is elsewhere. */
  readonly laddr: number;
  readonly addr: number;
  readonly lid: number;
  readonly flag: number;
  readonly swtime: number;
  readonly slptime: number;
  /** The flags of its CPU's scheduler while it runs, else 0. */
  readonly schedflags: number;
  readonly holdcnt: number;
  /** Effective priority, and its own. */
  readonly priority: number;
  readonly usrpri: number;
  readonly stat: number;
  readonly wmesg: string;
  readonly wchan: number;
  /** The CPU it is tied to, also while it sleeps. */
  readonly cpuid: number;
  /** Run time without the running slice. */
  readonly rtimeSec: number;
  readonly rtimeUsec: number;
  readonly cpticks: number;
  readonly pctcpu: number;
  readonly pid: number;
  readonly name: string;
}

/** What `kern.lwp` tells of an LWP. Its process is locked. */
export function kinfoLwp(l: Lwp): KinfoLwp {
  const { k } = l;
  const sec = Math.floor(l.rtime);
  return {
    forw: 0,
    back: 0,
    laddr: l.at * 4,
    addr: k.lwps.coldAt(l.index) * 4,
    lid: l.lid,
    flag: L_INMEM | (l.flag & (LW_SINTR | LW_SYSTEM)) | (l.prflag & LPR_DETACHED),
    swtime: l.swtime,
    slptime: l.slptime,
    schedflags: l.stat === LSONPROC ? l.cpu.flags : 0,
    holdcnt: 0,
    priority: lwpEprio(l),
    usrpri: l.priority,
    stat: l.stat,
    wmesg: l.wchan === 0 ? "" : l.wmesg,
    wchan: l.wchan * 4,
    cpuid: l.cpu.index - 1,
    rtimeSec: sec,
    rtimeUsec: Math.floor((l.rtime - sec) * 1e6),
    cpticks: l.cpticks,
    pctcpu: l.pctcpu,
    pid: l.proc.pid,
    name: l.named === 0 ? "" : l.name,
  };
}

/** The structure as bytes, little-endian. */
export function packKinfoLwp(i: KinfoLwp): Uint8Array {
  const bytes = new Uint8Array(KINFO_LWP_BYTES);
  const v = new DataView(bytes.buffer);
  const u64 = (at: number, value: number) => v.setBigUint64(at, BigInt(value), true);
  const i32 = (at: number, value: number) => v.setInt32(at, value, true);
  const text = (at: number, length: number, value: string) => {
    for (let n = 0; n < Math.min(length, value.length); n++) bytes[at + n] = value.charCodeAt(n);
  };
  [i.forw, i.back, i.laddr, i.addr].forEach((value, n) => u64(n * 8, value));
  [i.lid, i.flag, i.swtime, i.slptime, i.schedflags, i.holdcnt].forEach((value, n) => i32(32 + n * 4, value));
  v.setUint8(56, i.priority);
  v.setUint8(57, i.usrpri);
  v.setInt8(58, i.stat);
  // A message of eight characters has no NUL.
  text(64, WMESGLEN, i.wmesg);
  u64(72, i.wchan);
  u64(80, i.cpuid);
  [i.rtimeSec, i.rtimeUsec, i.cpticks, i.pctcpu, i.pid].forEach((value, n) => i32(88 + n * 4, value));
  text(108, KI_LNAMELEN - 1, i.name);
  return bytes;
}

/** Answer of `kernLwp`: an error, and how many bytes were, or would be, written. */
export interface Copied {
  error: number;
  bytes: number;
}

/** Full-size entries by which the estimate for a null buffer exceeds what there is. */
const SLACK = 5;

/**
 * `kern.lwp.PID.SIZE.COUNT`: entries of SIZE bytes into `buffer`, newest first, zombies included; PID -1 = all processes. With
 * null, the bytes to have at hand. SIZE is not checked: less cuts entries, more leaves gaps.
 *
 * Errors: EINVAL not three numbers, or something to be written; ESRCH no such live process; ENOMEM as many as fit, there are
 * more. Source: sysctl(7).
 */
export function kernLwp(
  k: Kernel,
  name: readonly number[],
  buffer: Uint8Array | null,
  newValue?: unknown,
): Copied {
  if (name.length !== 3 || newValue !== undefined) return { error: EINVAL, bytes: 0 };
  const [pid, size, count] = name;
  const limit = buffer === null ? 0 : Math.min(count, Math.floor(buffer.length / Math.max(1, size)));
  let [found, n, bytes] = [false, 0, 0];
  spinEnter(k, k.g.procLock);
  for (let i = k.g.allproc; i !== 0; i = k.procs.view(i).listNext) {
    const p = k.procs.view(i);
    if (pid !== -1 && p.pid !== pid) continue;
    spinEnter(k, p.lock);
    const live = p.stat === SACTIVE || p.stat === SSTOP;
    if (live) found = true;
    for (let l = live ? procFirstLwp(p) : null; l !== null; l = siblingNext(l)) {
      if (buffer !== null && n < limit) {
        buffer.set(packKinfoLwp(kinfoLwp(l)).subarray(0, size), n * size);
        bytes += size;
      }
      n++;
    }
    spinExit(k, p.lock);
  }
  spinExit(k, k.g.procLock);
  if (!found && pid !== -1) return { error: ESRCH, bytes: 0 };
  if (buffer === null) return { error: 0, bytes: n * size + SLACK * KINFO_LWP_BYTES };
  return { error: n > limit ? ENOMEM : 0, bytes };
}

/** Rank by state: which LWP stands for its process (MCH-63). */
const RANKS: readonly number[] = (() => {
  const ranks: number[] = [];
  ranks[LSONPROC] = 7;
  ranks[LSRUN] = 6;
  ranks[LSSLEEP] = 5;
  ranks[LSSTOP] = 4;
  ranks[LSSUSPENDED] = 3;
  ranks[LSIDL] = 2;
  ranks[LSDEAD] = 1;
  ranks[LSZOMB] = 0;
  return ranks;
})();

/** The LWP that stands for the process: the most active one; of equals the one with most ticks, else the newest. */
export function procActiveLwp(p: Proc): Lwp | null {
  let best: Lwp | null = null;
  for (let l = procFirstLwp(p); l !== null; l = siblingNext(l)) {
    if (best === null || RANKS[l.stat] > RANKS[best.stat]) best = l;
    else if (RANKS[l.stat] === RANKS[best.stat] && l.cpticks > best.cpticks) best = l;
  }
  return best;
}

/** What `kern.proc2` tells of the LWPs of a process. */
export interface KinfoProc2 {
  readonly pid: number;
  readonly comm: string;
  readonly uid: number;
  /** State of the LWP that stands for it, and of the process itself. */
  readonly stat: number;
  readonly realstat: number;
  readonly nlwps: number;
  readonly nrlwps: number;
  /** Sums over the LWPs; the share includes that of LWPs that are gone. */
  readonly cpticks: number;
  readonly pctcpu: number;
  readonly estcpu: number;
  /** The LWP that stands for it; null for a process that is as good as dead. */
  readonly lid: number | null;
  readonly priority: number;
  readonly wmesg: string;
  readonly wchan: number;
  readonly cpuid: number;
  /** Two words each: what is pending for the process or any LWP, and what any LWP masks. */
  readonly siglist: readonly [number, number];
  readonly sigmask: readonly [number, number];
}

/** The entry of one process, which stays on its list. Locks it. */
export function kinfoProc2(p: Proc): KinfoProc2 {
  const { k } = p;
  spinEnter(k, p.lock);
  const live = p.stat < SDYING || p.stat === SSTOP;
  const l = live ? procActiveLwp(p) : null;
  let [cpticks, pctcpu, estcpu] = [0, p.pctcpu, 0];
  // The process's own set is pending, too; the original puts it into the mask.
  const siglist: [number, number] = [k.w[p.sigpend], k.w[p.sigpend + 1]];
  const sigmask: [number, number] = [0, 0];
  for (let t = live ? procFirstLwp(p) : null; t !== null; t = siblingNext(t)) {
    cpticks += t.cpticks;
    pctcpu += t.pctcpu;
    estcpu += t.estcpu;
    for (let i = 0; i < 2; i++) {
      siglist[i] |= k.w[t.sigpend + i];
      sigmask[i] |= k.w[t.sigmask + i];
    }
  }
  const info: KinfoProc2 = {
    pid: p.pid,
    comm: p.comm,
    uid: p.uid,
    stat: l === null ? p.stat : l.stat,
    realstat: p.stat,
    nlwps: p.nlwps,
    nrlwps: p.nrlwps,
    cpticks,
    pctcpu,
    estcpu,
    lid: l === null ? null : l.lid,
    priority: l === null ? 0 : l.priority,
    wmesg: l === null || l.wchan === 0 ? "" : l.wmesg,
    wchan: l === null ? 0 : l.wchan * 4,
    cpuid: l === null ? 0 : l.cpu.index - 1,
    siglist,
    sigmask,
  };
  spinExit(k, p.lock);
  return info;
}
