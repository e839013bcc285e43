/**
 * `_sched_setparam` and its kin: how LWPs are scheduled, and on which CPUs (SYS-34..41). They reach other processes too, as far
 * as the caller's user may.
 */
import { EFAULT, EINVAL } from "../sys/errno.js";
import { MAXCPUS, PRI_NONE, SCHED_FIFO, SCHED_NONE, SCHED_OTHER, SCHED_RR } from "../sys/param.js";
import { doSchedGetaffinity, doSchedSetaffinity } from "../kern/affinity.js";
import { doSchedGetparam, doSchedSetparam, type SchedParam } from "../kern/schedparam.js";
import { lidArg, pidArg, wholeArg } from "./args.js";
import { fail, type Operation, quick } from "./operation.js";

export { PRI_NONE, SCHED_FIFO, SCHED_NONE, SCHED_OTHER, SCHED_RR };

/**
 * Sets class and priority of an LWP; `pid` 0 = the caller's process, `lid` 0 = all its LWPs. `policy` is SCHED_OTHER,
 * SCHED_FIFO, SCHED_RR, or SCHED_NONE to leave it; the priority 0..63 of a real-time class, or PRI_NONE to leave it. The first
 * LWP for which it fails ends the call. Does not sleep.
 *
 * Errors: EFAULT not numbers; EINVAL no such policy or priority, or a priority for SCHED_OTHER; ESRCH; EPERM the system's process,
 * another user's, or for one who is not the superuser a real-time class or a higher priority. Source: _sched_setparam(2).
 */
export function schedSetparam(
  pid: number,
  lid: number,
  policy: number,
  param: Pick<SchedParam, "priority">,
): Operation<void> {
  return quick("schedSetparam", (l) => {
    const id = pidArg(pid, "schedSetparam");
    const t = lidArg(lid, "schedSetparam");
    const p = wholeArg(policy, "schedSetparam", "the policy");
    if (typeof param !== "object" || param === null)
      fail(EFAULT, "schedSetparam", t, "the parameters must be { priority }");
    const priority = wholeArg(param.priority, "schedSetparam", "the priority");
    const error = doSchedSetparam(l, id, t, p, priority);
    if (error !== 0) fail(error, "schedSetparam", t);
  });
}

/**
 * Class and priority of an LWP; `pid` 0 = the caller's process, `lid` 0 = its newest LWP. Does not sleep.
 *
 * Errors: EFAULT not numbers; ESRCH; EPERM another user's. Source: _sched_getparam(2).
 */
export function schedGetparam(pid: number, lid: number): Operation<Readonly<SchedParam>> {
  return quick("schedGetparam", (l) => {
    const id = pidArg(pid, "schedGetparam");
    const t = lidArg(lid, "schedGetparam");
    const out: SchedParam = { policy: SCHED_NONE, priority: PRI_NONE };
    const error = doSchedGetparam(l, id, t, out);
    if (error !== 0) fail(error, "schedGetparam", t);
    return out;
  });
}

/**
 * Sets the CPUs that an LWP may run on, bit i & 7 of byte i >> 3 for CPU i, and moves it to the first of them; `pid` 0 = the
 * caller's process, `lid` 0 = all its LWPs. A set without any CPU of the machine means all CPUs. Does not sleep.
 *
 * Errors: EFAULT not bytes, or not numbers; EINVAL more than 8 bytes; EPERM a CPU of a processor set, none that is online, or
 * that the LWP's context could follow to, the system's process, or a user who may not; ESRCH. Source: _sched_setaffinity(2).
 */
export function schedSetaffinity(pid: number, lid: number, set: Uint8Array): Operation<void> {
  return quick("schedSetaffinity", (l) => {
    const id = pidArg(pid, "schedSetaffinity");
    const t = lidArg(lid, "schedSetaffinity");
    checkSet(set, "schedSetaffinity");
    let cpus = 0;
    // What has no bit in a word is no CPU of any machine.
    for (let i = 0; i < Math.min(4, set.length); i++) cpus |= set[i] << (i << 3);
    const error = doSchedSetaffinity(l, id, t, cpus);
    if (error !== 0) fail(error, "schedSetaffinity", t);
  });
}

/**
 * Writes the CPUs that an LWP may run on into `set`, as much as there is room for: none = all. `pid` 0 = the caller's process,
 * `lid` 0 = its newest LWP. Does not sleep.
 *
 * Errors: EFAULT not bytes, or not numbers; EINVAL more than 8 bytes; ESRCH. Source: _sched_getaffinity(2).
 */
export function schedGetaffinity(pid: number, lid: number, set: Uint8Array): Operation<void> {
  return quick("schedGetaffinity", (l) => {
    const id = pidArg(pid, "schedGetaffinity");
    const t = lidArg(lid, "schedGetaffinity");
    checkSet(set, "schedGetaffinity");
    const out = { cpus: 0 };
    const error = doSchedGetaffinity(l, id, t, out);
    if (error !== 0) fail(error, "schedGetaffinity", t);
    for (let i = 0; i < set.length; i++) set[i] = i < 4 ? out.cpus >>> (i << 3) : 0;
  });
}

function checkSet(set: unknown, syscall: string): void {
  if (!(set instanceof Uint8Array)) fail(EFAULT, syscall, undefined, "the set must be a Uint8Array");
  if (set.length > MAXCPUS >> 3)
    fail(EINVAL, syscall, undefined, `a set has at most ${MAXCPUS >> 3} bytes, not ${set.length}`);
}
