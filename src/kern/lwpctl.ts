/**
 * Words that an LWP shares with its program: the CPU it runs on, and how often it was switched in (LWP-88, 100..110).
 *
 * They stand in user memory, in a region of the process: 16 pages of 512 slots. The dispatcher keeps them up to date
 * (publishSwitch in switch.ts), so that the program reads them without a call. A slot that is freed keeps its count: whoever
 * gets it next goes on from there.
 *
 * Invariants: `nfree` of a page is the number of bits in its map; pages are never given back before the process ends; the
 * first page of the list has a free slot unless all have none, or none was freed since it filled up.
 *
 * Locks: the header's lock covers pages and slots; `p.lock` covers who has a header. Both spin, and are not held together.
 */
import { cur } from "../sys/current.js";
import { EBUSY, ENOMEM } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import {
  type Lcpage,
  type Lcproc,
  LWPCTL_BITMAP_WORDS,
  LWPCTL_BYTES,
  LWPCTL_PAGE_BYTES,
  LWPCTL_PER_PAGE,
  LWPCTL_UAREA_BYTES,
} from "../sys/lwpctl.js";
import { LW_LWPCTL, PL_PPWAIT } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { LWPCTL_CURCPU, LWPCTL_PCTR, LWPCTL_WORDS } from "../sys/shapes.js";
import { lwpLock, lwpUnlock } from "./lwplock.js";
import { kassert } from "./panic.js";
import { poolGet, poolPut } from "./pool.js";
import { spinEnter, spinExit } from "./spin.js";
import { umemAlloc, umemByte, umemFree, umemGen, umemPagesOf } from "./umem.js";

/** `l.lwpctl` of the words at a byte of user memory: the word behind them, so that 0 is no address. */
function lwpctlOf(byte: number): number {
  return (byte >> 2) + LWPCTL_WORDS;
}

/** Byte of user memory at which the words of `l` stand; it has some. */
export function lwpCtlByte(l: Lwp): number {
  return (l.lwpctl - LWPCTL_WORDS) << 2;
}

/**
 * Gives the caller its words, or leaves it those it has: 0, and `lwpCtlByte` says where they are. Errors: EBUSY the process was
 * made by vfork and its parent waits; ENOMEM all 8,192 slots are taken, or there is no room for the region. Source: lwp_ctl_alloc.
 */
export function lwpCtlAlloc(l: Lwp): number {
  const { k } = l;
  const p = l.proc;
  kassert(k, l === cur.lwp, "lwpCtlAlloc: not the caller's own");
  if ((p.lflag & PL_PPWAIT) !== 0) return EBUSY;
  if (l.lcpage !== 0) return 0;
  const lp = headerOf(p);
  if (lp === null) return ENOMEM;
  spinEnter(k, lp.lock);
  const page = hasRegion(k, p, lp) ? pageWithRoom(k, lp) : null;
  if (page === null) {
    spinExit(k, lp.lock);
    return ENOMEM;
  }
  const slot = takeSlot(page);
  l.lcpage = page.index;
  l.lwpctl = lwpctlOf(page.uaddr + slot * LWPCTL_BYTES);
  spinExit(k, lp.lock);
  k.uw[l.lwpctl + LWPCTL_CURCPU] = cur.cpu.index - 1;
  return 0;
}

/** The header of the process, made at its first use; null when there is no room for one. */
function headerOf(p: Proc): Lcproc | null {
  const { k } = p;
  if (p.lwpctl !== 0) return k.lcprocs.view(p.lwpctl);
  spinEnter(k, p.lock);
  let lp = p.lwpctl === 0 ? null : k.lcprocs.view(p.lwpctl);
  if (lp === null) {
    lp = poolGet(k.lcprocs);
    if (lp !== null) {
      lp.max = LWPCTL_UAREA_BYTES;
      p.lwpctl = lp.index;
    }
  }
  spinExit(k, p.lock);
  return lp;
}

/** Sees that there is a region; a failure leaves the header for the next attempt. */
function hasRegion(k: Kernel, p: Proc, lp: Lcproc): boolean {
  if (lp.region !== 0) return true;
  const page = umemAlloc(k, p, umemPagesOf(lp.max), true);
  if (page === 0) return false;
  lp.region = page;
  lp.regionGen = umemGen(k, page);
  return true;
}

/** The first page with a free slot; if there is none, the next one of the region, in front of the others (LWP-101). */
function pageWithRoom(k: Kernel, lp: Lcproc): Lcpage | null {
  for (let i = lp.pages; i !== 0; ) {
    const page = k.lcpages.view(i);
    if (page.nfree !== 0) return page;
    i = page.chain;
  }
  const page = lp.cur === lp.max ? null : poolGet(k.lcpages);
  if (page === null) return null;
  page.uaddr = umemByte(lp.region) + lp.cur;
  lp.cur += LWPCTL_PAGE_BYTES;
  page.nfree = LWPCTL_PER_PAGE;
  k.w.fill(-1, page.bitmap, page.bitmap + LWPCTL_BITMAP_WORDS);
  page.chain = lp.pages;
  lp.pages = page.index;
  return page;
}

/** Takes the lowest slot of the first word from the rotor on that has one (LWP-102). The page has one. */
function takeSlot(page: Lcpage): number {
  const { w, bitmap } = page;
  let i = page.rotor;
  while (w[bitmap + i] === 0) i = (i + 1) % LWPCTL_BITMAP_WORDS;
  const bits = w[bitmap + i];
  const bit = 31 - Math.clz32(bits & -bits);
  w[bitmap + i] = bits & ~(1 << bit);
  page.rotor = i;
  page.nfree--;
  return i * 32 + bit;
}

/** Gives the words of a dead LWP back; those that a vforked child had borrowed are not its own (LWP-108). */
export function lwpCtlFree(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  if (l.lcpage !== 0 && (p.lflag & PL_PPWAIT) === 0) {
    const page = k.lcpages.view(l.lcpage);
    const slot = (lwpCtlByte(l) - page.uaddr) / LWPCTL_BYTES;
    kassert(
      k,
      p.lwpctl !== 0 && slot >= 0 && slot < LWPCTL_PER_PAGE,
      "lwpCtlFree: no header, or a slot of another page",
    );
    const lp = k.lcprocs.view(p.lwpctl);
    spinEnter(k, lp.lock);
    giveSlot(page, slot);
    const first = k.lcpages.view(lp.pages);
    if (first.nfree === 0) moveToFront(k, lp, page);
    spinExit(k, lp.lock);
  }
  l.lcpage = 0;
  l.lwpctl = 0;
}

function giveSlot(page: Lcpage, slot: number): void {
  const { w, bitmap } = page;
  page.nfree++;
  w[bitmap + (slot >> 5)] |= 1 << (slot & 31);
  if (w[bitmap + page.rotor] === 0) page.rotor = slot >> 5;
}

function moveToFront(k: Kernel, lp: Lcproc, page: Lcpage): void {
  if (lp.pages === page.index) return;
  let prev = k.lcpages.view(lp.pages);
  while (prev.chain !== page.index) prev = k.lcpages.view(prev.chain);
  prev.chain = page.chain;
  page.chain = lp.pages;
  lp.pages = page.index;
}

/** Gives up all that the caller's process has; the caller is its last LWP. */
export function lwpCtlExit(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  kassert(k, p.lwpctl !== 0 && p.nlwps === 1, "lwpCtlExit: none, or not the last LWP");
  const lp = k.lcprocs.view(p.lwpctl);
  l.lcpage = 0;
  l.lwpctl = 0;
  for (let i = lp.pages; i !== 0; ) {
    const page = k.lcpages.view(i);
    i = page.chain;
    poolPut(k.lcpages, page);
  }
  if (lp.region !== 0) umemFree(k, lp.region, lp.regionGen);
  p.lwpctl = 0;
  poolPut(k.lcprocs, lp);
}

/** At the return to user mode of an LWP that has just got words: they tell of this run (LWP-85). */
export function lwpCtlRefresh(l: Lwp): void {
  const { k } = l;
  lwpLock(l);
  l.flag &= ~LW_LWPCTL;
  lwpUnlock(l);
  if (l.lwpctl === 0) return;
  k.uw[l.lwpctl + LWPCTL_CURCPU] = l.cpu.index - 1;
  k.uw[l.lwpctl + LWPCTL_PCTR]++;
}

/** What is wrong with the pages and slots of a process at rest. */
export function lwpCtlCheck(p: Proc, users: readonly Lwp[]): string[] {
  const { k } = p;
  const wrong: string[] = [];
  if (p.lwpctl === 0)
    return users.some((l) => l.lcpage !== 0) ? [`process ${p.pid}: lwpctl without a header`] : [];
  const slots = new Set(users.filter((l) => l.lcpage !== 0).map((l) => l.lwpctl));
  let used = 0;
  for (let i = k.lcprocs.view(p.lwpctl).pages; i !== 0; i = k.lcpages.view(i).chain) {
    const page = k.lcpages.view(i);
    let free = 0;
    for (let n = 0; n < LWPCTL_PER_PAGE; n++) {
      const isFree = (k.w[page.bitmap + (n >> 5)] & (1 << (n & 31))) !== 0;
      if (isFree) free++;
      else if (!slots.has(lwpctlOf(page.uaddr + n * LWPCTL_BYTES)))
        wrong.push(`process ${p.pid}: lwpctl slot ${n} of page ${i} is taken by nobody`);
    }
    if (free !== page.nfree)
      wrong.push(`process ${p.pid}: lwpctl page ${i}: ${page.nfree} free, not ${free}`);
    used += LWPCTL_PER_PAGE - free;
  }
  if (used !== slots.size) wrong.push(`process ${p.pid}: ${used} lwpctl slots taken, ${slots.size} in use`);
  return wrong;
}
