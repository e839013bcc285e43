/**
 * The end of a dead LWP: what it still holds goes back (LWP-58..60).
 */
import { cur } from "../sys/current.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";
import { COLD_USED } from "../sys/record.js";
import { LP_RUNNING, LPR_DETACHED, PRI_NONE } from "../sys/param.js";
import { cvBroadcast, cvDestroy } from "./condvar.js";
import { AT_FREE_UNLINKED, delayPoint } from "./delay.js";
import { lidRemove } from "./lid.js";
import { lwpCtlFree } from "./lwpctl.js";
import { kassert } from "./panic.js";
import { rawPut } from "./pool.js";
import { atomicLoad, spinExit, spinOwned } from "./spin.js";
import { chglwpcnt } from "./uid.js";

const PFLAG = LwpRecord.offset.pflag;

/**
 * Frees `l`, never the caller. `p.lock` is held, and released, unless `last`: the last LWP of its process, which the
 * process's end frees. With `recycle` the record stays, for the LWP that is being created. The turnstile stays with the record in any
 * case, as what a cache has constructed (MCH-45): the next LWP of that record has it.
 */
export function lwpFree(l: Lwp, recycle: boolean, last: boolean): void {
  const { k } = l;
  const p = l.proc;
  kassert(k, l !== cur.lwp, "lwpFree: the caller itself");
  kassert(k, last || spinOwned(k, p.lock), "lwpFree: the process is not locked");
  if (p.index !== 1 && p.nlwps !== 1) chglwpcnt(k, p.uid, -1);
  if (!last) {
    p.rtime += l.rtime;
    p.nvcsw += l.ncsw - l.nivcsw;
    p.nivcsw += l.nivcsw;
    // Most LWPs die before anything of this was written.
    if (l.w[l.at + COLD_USED] !== 0) {
      p.pctcpu += l.pctcpu;
      p.nvcsw += l.nvcswRu;
      p.nivcsw += l.nivcswRu;
    }
    unlinkSibling(l);
    p.nlwps--;
    p.nzlwps--;
    if ((l.prflag & LPR_DETACHED) !== 0) p.ndlwps--;
    else p.nzjoin--;
  }
  lidRemove(l);
  if (!last) {
    // Waiters look for deadlock again.
    cvBroadcast(k, p.lwpcv);
    spinExit(k, p.lock);
  }
  delayPoint(k, AT_FREE_UNLINKED);
  waitOffCpu(l);
  kassert(
    k,
    l.piLenders === null && l.inheritedprio === PRI_NONE && l.blcnt === 0,
    "lwpFree: it holds loans",
  );
  cvDestroy(k, l.sigcv);
  cvDestroy(k, l.waitcv);
  if (l.lwpctl !== 0) lwpCtlFree(l);
  l.affinity = 0;
  l.named = 0;
  if (recycle) return;
  rawPut(k, k.lwps.header, l.at, l.index);
}

/** It may still be on its way off the CPU. */
function waitOffCpu(l: Lwp): void {
  const word = l.at + PFLAG;
  for (let round = 0; ; round++) {
    const flags = atomicLoad(l.k, word);
    if ((flags & LP_RUNNING) === 0 && l.cpu.curlwp !== l) return;
    l.k.port.relax("lwpFree", round, word, flags);
  }
}

function unlinkSibling(l: Lwp): void {
  const { k } = l;
  const p = l.proc;
  if (l.siblingPrev === 0) p.lwps = l.siblingNext;
  else k.lwps.view(l.siblingPrev).siblingNext = l.siblingNext;
  if (l.siblingNext !== 0) k.lwps.view(l.siblingNext).siblingPrev = l.siblingPrev;
}
