/**
 * Run queues: one per CPU, 224 FIFO queues by effective priority and a bitmap of the non-empty ones.
 *
 * Lock: the CPU's `mutex`. Invariants: bit MSB >> (p & 31) of word p >> 5 is set exactly when queue p is not empty;
 * `maxpriority` is the highest non-empty queue, 0 when all are empty; `count` LWPs are queued, of which `mcount`
 * could be moved to another CPU; the effective priority of a queued LWP changes only through
 * `lwpChangepri`/`lwpLendpri`.
 */
import { cur } from "../sys/current.js";
import { type Cpu, CpuRecord, RUNQ_BITMAP_WORDS } from "../sys/cpu.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import { ATTN_TICK, LP_BOUND, LSRUN, RESCHED_IMMED, RESCHED_KPREEMPT, RESCHED_LAZY } from "../sys/param.js";
import { kassert } from "./panic.js";
import { lwpEprio } from "./priority.js";
import { cpuNeedResched } from "./resched.js";

// The words of the hot paths, by address: an accessor costs a few nanoseconds, and a switch would need fifty.
const NEXT = LwpRecord.offset.runqNext;
const PREV = LwpRecord.offset.runqPrev;
const RTICKS = LwpRecord.offset.rticks;
const RTICKSUM = LwpRecord.offset.rticksum;
const CPU = LwpRecord.offset.cpu;
const PFLAG = LwpRecord.offset.pflag;
const REALM = LwpRecord.offset.realm;
const LWP_WORDS = LwpRecord.words;
const QUEUES = CpuRecord.offset.queues;
const BITMAP = CpuRecord.offset.bitmap;
const MUTEX = CpuRecord.offset.mutex;
const COUNT = CpuRecord.offset.count;
const MCOUNT = CpuRecord.offset.mcount;
const MAXPRIORITY = CpuRecord.offset.maxpriority;
const CURPRIORITY = CpuRecord.offset.curpriority;
const MIGRATING = CpuRecord.offset.migrating;
const MSB = 0x80000000 | 0;

/** Queues an LWP that the caller has made LSRUN; `swtch`: it was just switched out (SCH-20). */
export function schedEnqueue(l: Lwp, swtch: boolean): void {
  const { k, w, at } = l;
  const ci = w[at + CPU] === cur.cpu.index ? cur.cpu : l.cpu;
  const c = ci.at;
  kassert(k, w[c + MUTEX] === cur.cpu.index, "schedEnqueue: the run queue is not locked");
  const ticks = w[k.ticksAt];
  if (swtch) w[at + RTICKSUM] += ticks - w[at + RTICKS];
  else if (w[at + RTICKS] === 0) w[at + RTICKS] = ticks;

  const pri = lwpEprio(l);
  const q = c + QUEUES + pri * 2;
  const tail = w[q + 1];
  if (tail === 0) {
    w[q] = l.index;
    w[c + BITMAP + (pri >> 5)] |= MSB >>> (pri & 31);
  } else {
    w[k.lwpBase + tail * LWP_WORDS + NEXT] = l.index;
  }
  w[at + PREV] = tail;
  w[at + NEXT] = 0;
  w[q + 1] = l.index;
  w[c + COUNT]++;
  if (isMovable(l)) w[c + MCOUNT]++;
  if (pri > w[c + MAXPRIORITY]) w[c + MAXPRIORITY] = pri;

  if (!swtch && pri > w[c + CURPRIORITY]) cpuNeedResched(ci, reschedFlags(ci, pri));
}

/** How hard to ask for a CPU on behalf of priority `pri` (SCH-21). */
function reschedFlags(ci: Cpu, pri: number): number {
  const g = ci.k.g;
  if (pri >= g.kpreemptPri) return RESCHED_KPREEMPT;
  return pri >= g.upreemptPri ? RESCHED_IMMED : RESCHED_LAZY;
}

/** Takes an LWP off its run queue (SCH-22). */
export function schedDequeue(l: Lwp): void {
  const { k, w, at } = l;
  const ci = w[at + CPU] === cur.cpu.index ? cur.cpu : l.cpu;
  const c = ci.at;
  kassert(k, w[c + MUTEX] === cur.cpu.index, "schedDequeue: the run queue is not locked");
  if (w[c + MIGRATING] === l.index) w[c + MIGRATING] = 0;
  const pri = lwpEprio(l);
  const q = c + QUEUES + pri * 2;
  const prev = w[at + PREV];
  const next = w[at + NEXT];
  if (prev === 0) w[q] = next;
  else w[k.lwpBase + prev * LWP_WORDS + NEXT] = next;
  if (next === 0) w[q + 1] = prev;
  else w[k.lwpBase + next * LWP_WORDS + PREV] = prev;
  w[at + NEXT] = 0;
  w[at + PREV] = 0;
  w[c + COUNT]--;
  if (isMovable(l)) w[c + MCOUNT]--;
  if (w[q] === 0) emptied(ci, pri);
}

/** Queue `pri` has lost its last LWP. */
function emptied(ci: Cpu, pri: number): void {
  const { w, at: c } = ci;
  w[c + BITMAP + (pri >> 5)] &= ~(MSB >>> (pri & 31));
  if (pri === w[c + MAXPRIORITY]) w[c + MAXPRIORITY] = w[c + COUNT] === 0 ? 0 : topPriority(ci);
}

/**
 * What a yield among equals does, in one step: `l`, which runs here and is LSRUN now, goes to the end of the highest queue,
 * and the first of that queue is taken off it. Null, and nothing done, if another queue is the highest.
 */
export function schedRotate(ci: Cpu, l: Lwp): Lwp | null {
  const { k, w, at } = l;
  const c = ci.at;
  const pri = w[c + MAXPRIORITY];
  const q = c + QUEUES + pri * 2;
  const first = w[q];
  if (first === 0 || lwpEprio(l) !== pri) return null;
  kassert(k, w[c + MUTEX] === ci.index, "schedRotate: the run queue is not locked");
  const next = k.lwpAt(first) as Lwp;
  const ticks = w[k.ticksAt];
  w[at + RTICKSUM] += ticks - w[at + RTICKS];
  w[next.at + RTICKS] = ticks;
  const last = w[q + 1];
  if (last === first) {
    w[q] = l.index;
    w[at + PREV] = 0;
  } else {
    const second = w[next.at + NEXT];
    w[q] = second;
    w[k.lwpBase + second * LWP_WORDS + PREV] = 0;
    w[k.lwpBase + last * LWP_WORDS + NEXT] = l.index;
    w[at + PREV] = last;
    w[next.at + NEXT] = 0;
  }
  w[at + NEXT] = 0;
  w[q + 1] = l.index;
  const movable = isMovable(l);
  if (movable !== isMovable(next)) w[c + MCOUNT] += movable ? 1 : -1;
  return next;
}

/** Highest non-empty queue, 0 if all are empty. */
function topPriority(ci: Cpu): number {
  const w = ci.w;
  for (let i = RUNQ_BITMAP_WORDS - 1; i >= 0; i--) {
    const word = w[ci.at + BITMAP + i];
    // The lowest set bit is the highest priority of the word (SCH-114).
    if (word !== 0) return i * 32 + Math.clz32(word & -word);
  }
  return 0;
}

/** First LWP of the highest queue, or null. */
export function runqFirst(ci: Cpu): Lwp | null {
  if (ci.w[ci.at + COUNT] === 0) return null;
  const { w, at } = ci;
  return ci.k.lwpAt(w[at + QUEUES + w[at + MAXPRIORITY] * 2]);
}

/** The LWP behind `l` on its queue, or null. */
export function runqNext(l: Lwp): Lwp | null {
  return l.k.lwpAt(l.w[l.at + NEXT]);
}

/** All LWPs queued with priority `pri`, first to last. For tools and tests. */
export function runqList(ci: Cpu, pri: number): Lwp[] {
  const list: Lwp[] = [];
  const first = ci.w[ci.at + QUEUES + pri * 2];
  for (let l = first === 0 ? null : ci.k.lwps.view(first); l !== null; l = runqNext(l)) list.push(l);
  return list;
}

/** Whether a CPU has something to do: its soft interrupt, which is the tick's, or what is queued (SCH-24). Unlocked. */
export function curcpuRunnable(ci: Cpu): boolean {
  return (ci.attention & ATTN_TICK) !== 0 || ci.count !== 0;
}

/** Whether a thief may look at it: neither bound nor tied to the realm of its context. */
export function isMovable(l: Lwp): boolean {
  const { w, at } = l;
  return (w[at + PFLAG] & LP_BOUND) === 0 && (w[at + REALM] === 0 || l.k.mp === false);
}

/** Makes a locked LWP runnable on its CPU, whose run queue is locked too. */
export function runqAdmit(l: Lwp): void {
  kassert(l.k, l.stat === LSRUN, "runqAdmit: not LSRUN");
  l.slptime = 0;
  schedEnqueue(l, false);
}
