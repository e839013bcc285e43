/**
 * User memory: ranges of whole pages that programs share between CPUs, and that large values travel in.
 *
 * First fit over boundary tags. The pages are tiled by ranges, each in use or free. The first and the last page of a range say
 * how long it is and whether it is in use, so that a range which is given back finds its neighbours at once and joins those
 * that are free. Free ranges are on one list, ranges of a process on the list of that process.
 *
 * Invariants: no two free ranges are neighbours; a page above the high-water mark was never handed out, and costs nothing; the
 * generation of a range's first page is odd exactly while it is in use. One spin lock covers it all; no other is taken with it
 * held. None of this looks at the memory itself, but to zero what is handed out again.
 */
import type { Kernel } from "../sys/kernel.js";
import { type Proc, ProcRecord } from "../sys/proc.js";
import {
  PAGE_SIZE,
  UM_GEN,
  UM_NEXT,
  UM_OWNER,
  UM_PREV,
  UM_SIZE,
  UMEM_FREE,
  UMEM_HIGH,
  UMEM_INUSE,
  UMEM_LOCK,
  UMEM_PAGE_WORDS,
} from "../sys/shapes.js";
import { panic } from "./panic.js";
import { spinEnter, spinExit } from "./spin.js";

/** Address of the words of page `page`, from 1. */
function at(k: Kernel, page: number): number {
  return k.umemPages + (page - 1) * UMEM_PAGE_WORDS;
}

/** Byte of user memory at which a page begins. */
export function umemByte(page: number): number {
  return (page - 1) * PAGE_SIZE;
}

/** Pages that `bytes` take; one at least. */
export function umemPagesOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / PAGE_SIZE));
}

/** Makes all of it one free range: at boot. */
export function umemInit(k: Kernel): void {
  const { userPages } = k.limits;
  if (userPages === 0) return;
  setSize(k, 1, userPages, userPages);
  k.w[k.umem + UMEM_FREE] = 1;
}

/**
 * Hands out `pages` neighbouring pages to a process, or to the kernel (null). The first page, from 1; 0 when no free range is
 * long enough. `zeroed`: all its bytes are 0, which costs time for pages that served before.
 */
export function umemAlloc(k: Kernel, p: Proc | null, pages: number, zeroed: boolean): number {
  const { w } = k;
  const header = k.umem;
  spinEnter(k, header + UMEM_LOCK);
  let page = w[header + UMEM_FREE];
  while (page !== 0 && w[at(k, page) + UM_SIZE] < pages) page = w[at(k, page) + UM_NEXT];
  if (page === 0) {
    spinExit(k, header + UMEM_LOCK);
    return 0;
  }
  const size = w[at(k, page) + UM_SIZE];
  unlink(k, header + UMEM_FREE, page);
  if (size > pages) {
    setSize(k, page + pages, size - pages, size - pages);
    link(k, header + UMEM_FREE, page + pages);
  }
  setSize(k, page, pages, -pages);
  w[at(k, page) + UM_OWNER] = p === null ? 0 : p.index;
  w[at(k, page) + UM_GEN]++;
  if (p !== null) link(k, ownerHead(p), page);
  w[header + UMEM_INUSE] += pages;
  const high = w[header + UMEM_HIGH];
  const end = page - 1 + pages;
  if (end > high) w[header + UMEM_HIGH] = end;
  spinExit(k, header + UMEM_LOCK);
  // Nobody else has it yet.
  if (zeroed && page <= high) k.ub.fill(0, umemByte(page), umemByte(Math.min(end, high) + 1));
  return page;
}

/** Takes a range back; its generation must be the one with which it was handed out. False: somebody has done so before. */
export function umemFree(k: Kernel, page: number, gen: number): boolean {
  const header = k.umem;
  spinEnter(k, header + UMEM_LOCK);
  const known = umemIsLive(k, page, gen);
  if (known) release(k, page);
  spinExit(k, header + UMEM_LOCK);
  return known;
}

/** Takes back all that a process has; none of its LWPs run any more. */
export function umemFreeProc(p: Proc): void {
  const { k } = p;
  if (p.umem === 0) return;
  const header = k.umem;
  spinEnter(k, header + UMEM_LOCK);
  while (p.umem !== 0) release(k, p.umem);
  spinExit(k, header + UMEM_LOCK);
}

/** The generation of a range in use, by its first page. */
export function umemGen(k: Kernel, page: number): number {
  return k.w[at(k, page) + UM_GEN];
}

/** Whether the range that was handed out with this generation is still in use. Takes no lock: what it says may be over. */
export function umemIsLive(k: Kernel, page: number, gen: number): boolean {
  return (gen & 1) === 1 && k.w[at(k, page) + UM_GEN] === gen;
}

/** The lock is held. */
function release(k: Kernel, page: number): void {
  const { w } = k;
  const header = k.umem;
  const pages = -w[at(k, page) + UM_SIZE];
  if (pages <= 0) panic(k, `umem: page ${page} begins no range in use`);
  const owner = w[at(k, page) + UM_OWNER];
  if (owner !== 0) unlink(k, ownerHead(k.procs.view(owner)), page);
  w[at(k, page) + UM_GEN]++;
  w[header + UMEM_INUSE] -= pages;
  let first = page;
  let size = pages;
  const after = page + pages;
  if (after <= k.limits.userPages && w[at(k, after) + UM_SIZE] > 0) {
    unlink(k, header + UMEM_FREE, after);
    size += w[at(k, after) + UM_SIZE];
  }
  if (page > 1 && w[at(k, page - 1) + UM_SIZE] > 0) {
    first = page - w[at(k, page - 1) + UM_SIZE];
    unlink(k, header + UMEM_FREE, first);
    size += page - first;
  }
  setSize(k, first, size, size);
  link(k, header + UMEM_FREE, first);
}

/** Both tags of a range of `pages`. */
function setSize(k: Kernel, page: number, pages: number, size: number): void {
  k.w[at(k, page) + UM_SIZE] = size;
  k.w[at(k, page + pages - 1) + UM_SIZE] = size;
}

const RANGES = ProcRecord.offset.umem;

/** Head of a process's list. */
function ownerHead(p: Proc): number {
  return p.at + RANGES;
}

/** Puts a range in front of the list whose head stands at `head`. */
function link(k: Kernel, head: number, page: number): void {
  const { w } = k;
  const next = w[head];
  w[at(k, page) + UM_NEXT] = next;
  w[at(k, page) + UM_PREV] = 0;
  if (next !== 0) w[at(k, next) + UM_PREV] = page;
  w[head] = page;
}

function unlink(k: Kernel, head: number, page: number): void {
  const { w } = k;
  const next = w[at(k, page) + UM_NEXT];
  const prev = w[at(k, page) + UM_PREV];
  if (prev === 0) w[head] = next;
  else w[at(k, prev) + UM_NEXT] = next;
  if (next !== 0) w[at(k, next) + UM_PREV] = prev;
}

/** A range as the tags show it. For tools and tests. */
export interface UmemRange {
  readonly page: number;
  readonly pages: number;
  /** Index of the process; 0 = the kernel's, -1 = it is free. */
  readonly owner: number;
}

/** All ranges, from the first page on. For tools and tests, on a machine at rest. */
export function umemRanges(k: Kernel): UmemRange[] {
  const list: UmemRange[] = [];
  for (let page = 1; page <= k.limits.userPages; ) {
    const size = k.w[at(k, page) + UM_SIZE];
    if (size === 0) break;
    const pages = Math.abs(size);
    list.push({ page, pages, owner: size > 0 ? -1 : k.w[at(k, page) + UM_OWNER] });
    page += pages;
  }
  return list;
}

/** Which of the invariants above is broken. On a machine at rest. */
export function umemCheck(k: Kernel): string[] {
  const wrong: string[] = [];
  const ranges = umemRanges(k);
  let [inUse, next] = [0, 1];
  for (const [i, { page, pages, owner }] of ranges.entries()) {
    if (page !== next || k.w[at(k, page) + UM_SIZE] !== k.w[at(k, page + pages - 1) + UM_SIZE])
      wrong.push(`umem: the tags of page ${page} do not fit`);
    next = page + pages;
    if (owner >= 0) inUse += pages;
    else if (i > 0 && ranges[i - 1].owner < 0) wrong.push(`umem: free neighbours at page ${page}`);
    if ((k.w[at(k, page) + UM_GEN] & 1) !== (owner >= 0 ? 1 : 0))
      wrong.push(`umem: generation of page ${page}`);
    if (owner >= 0 && next - 1 > k.w[k.umem + UMEM_HIGH]) wrong.push(`umem: page ${page} is above the mark`);
  }
  if (next !== k.limits.userPages + 1) wrong.push(`umem: the ranges end at page ${next}`);
  if (inUse !== k.w[k.umem + UMEM_INUSE]) wrong.push(`umem: ${inUse} pages in use, not as counted`);
  const listed = new Map<number, number>();
  const walk = (first: number, owner: number) => {
    for (let page = first, prev = 0; page !== 0; prev = page, page = k.w[at(k, page) + UM_NEXT]) {
      if (k.w[at(k, page) + UM_PREV] !== prev) wrong.push(`umem: links of page ${page}`);
      listed.set(page, owner);
    }
  };
  walk(k.w[k.umem + UMEM_FREE], -1);
  for (const { owner } of ranges) if (owner > 0) walk(k.procs.view(owner).umem, owner);
  for (const { page, owner } of ranges) {
    if (owner !== 0 && listed.get(page) !== owner)
      wrong.push(`umem: page ${page} is on no list, or another's`);
  }
  return wrong;
}
