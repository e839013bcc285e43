/**
 * Park and unpark: the sleep of user-level locks (SYS-23..28).
 *
 * One wakeup is remembered per LWP (LW_UNPARKED). The hint only says which bucket to look in first, so an unpark is never
 * lost. Two halves around the switch, like `sleepqBlock`.
 */
import { EALREADY, EINTR, ERESTART, ESRCH, ETIMEDOUT, EWOULDBLOCK } from "../sys/errno.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import { LW_CANCELLED, LW_UNPARKED, SOBJ_PARK } from "../sys/param.js";
import { packText } from "../sys/record.js";
import type { Proc } from "../sys/proc.js";
import { SLEEPQ_HEAD } from "../sys/shapes.js";
import { AT_PARK_ENTER, AT_UNPARK_MISSED, delayPoint } from "./delay.js";
import { lwpLock, lwpUnlock, lwpUnlockTo } from "./lwplock.js";
import { lwpFind } from "./lwpref.js";
import {
  bucketQueue,
  sleepqBlock,
  sleepqEnqueuePacked,
  sleepqRemove,
  sleeptabBucket,
  sleepqUnblock,
} from "./sleepq.js";
import { spinEnter, spinExit } from "./spin.js";

const { lid: LID, proc: PROC, flag: FLAG, sleepqNext: NEXT } = LwpRecord.offset;
const LWP_WORDS = LwpRecord.words;
const PARKED = packText("parked");

/** Longest look along a hinted queue; whoever stands further back is found by id, as under a wrong hint. */
const LOOK_MAX = 8;

/** Result of `parkBlock`: a wakeup was pending, and is used up; nothing slept. */
export const PARK_PENDING = -2;

/** The wait channel of a hint: the process, told apart by the hint. Never 0. */
export function parkChannel(p: Proc, hint: number): number {
  const channel = (p.at ^ hint) | 0;
  return channel === 0 ? -1 : channel;
}

/** First half: PARK_PENDING, or what `sleepqBlock` returns. `ticks` 0 = no timeout. */
export function parkBlock(l: Lwp, hint: number, ticks: number): number {
  const { k } = l;
  const wchan = parkChannel(l.proc, hint);
  const bucket = sleeptabBucket(k.parktab, wchan);
  delayPoint(k, AT_PARK_ENTER);
  spinEnter(k, bucket);
  lwpLock(l);
  if ((l.w[l.at + FLAG] & (LW_CANCELLED | LW_UNPARKED)) !== 0) {
    l.flag &= ~(LW_CANCELLED | LW_UNPARKED);
    lwpUnlock(l);
    spinExit(k, bucket);
    return PARK_PENDING;
  }
  lwpUnlockTo(l, bucket);
  sleepqEnqueuePacked(l, bucketQueue(bucket), wchan, PARKED[0], PARKED[1], SOBJ_PARK);
  return sleepqBlock(l, ticks, true);
}

/** Second half: 0, EALREADY, ETIMEDOUT or EINTR; park is never restarted (SYS-26). */
export function parkUnblock(l: Lwp, how: number, ticks: number): number {
  if (how === PARK_PENDING) return EALREADY;
  const error = sleepqUnblock(l, how, ticks, true);
  if (error === EWOULDBLOCK) return ETIMEDOUT;
  return error === ERESTART ? EINTR : error;
}

/** Wakes the LWP of `p` with that lid, or remembers that it is to be woken (SYS-27): 0 or ESRCH. */
export function unpark(p: Proc, lid: number, hint: number): number {
  const { k } = p;
  const bucket = sleeptabBucket(k.parktab, parkChannel(p, hint));
  spinEnter(k, bucket);
  const { w, lwpBase } = k;
  let look = LOOK_MAX;
  // By address: the views of those who stand in front are not touched.
  for (let i = w[bucketQueue(bucket) + SLEEPQ_HEAD]; i !== 0 && look-- > 0; ) {
    const at = lwpBase + i * LWP_WORDS;
    // The channel is not compared: the bucket is where it stands.
    if (w[at + LID] === lid && w[at + PROC] === p.index) {
      sleepqRemove(k.lwpAt(i));
      spinExit(k, bucket);
      return 0;
    }
    i = w[at + NEXT];
  }
  spinExit(k, bucket);
  delayPoint(k, AT_UNPARK_MISSED);
  return unparkSlow(p, lid);
}

/** Not where the hint said: parked under another hint, or not parked yet. */
function unparkSlow(p: Proc, lid: number): number {
  const { k } = p;
  spinEnter(k, p.lock);
  const t = lwpFind(p, lid);
  if (t === null) {
    spinExit(k, p.lock);
    return ESRCH;
  }
  lwpLock(t);
  if (t.syncobj === SOBJ_PARK) {
    const lock = t.mutex;
    sleepqRemove(t);
    spinExit(k, lock);
  } else {
    t.flag |= LW_UNPARKED;
    lwpUnlock(t);
  }
  spinExit(k, p.lock);
  return 0;
}
