/**
 * Awaiting the host: `yield* until(promise)`.
 */
import { ENOTSUP } from "../sys/errno.js";
import { packText } from "../sys/record.js";
import type { Lwp } from "../sys/lwp.js";
import type { Cpu } from "../sys/cpu.js";
import type { Token } from "../context/generator.js";
import { asCpu } from "../cpu/dispatcher.js";
import { endIdleWait } from "../cpu/loop.js";
import { hostBlock, hostWakeup, hostwaitAdd } from "../kern/hostwait.js";
import { BLOCK_SWITCHED, sleepqUnblock } from "../kern/sleepq.js";
import { RET_USER, userret } from "../kern/userret.js";
import { caller, fail, type Operation, returnToUser } from "../syscall/operation.js";
import { threadHost } from "./host.js";

const PROMISE = packText("promise");

/** Where a promise stands. */
interface Settlement<T> {
  done: boolean;
  failed: boolean;
  value: T | undefined;
  error: unknown;
}

/**
 * Waits for a promise, on whatever CPU the thread runs, and returns its value or throws its reason. May sleep. Others of
 * the CPU run meanwhile, and its event loop keeps turning.
 *
 * Errors: ENOTSUP on a simulated machine, where the host's time does not pass, unless it has something to answer for it.
 */
export function until<T>(promise: PromiseLike<T>): Operation<T> {
  return awaitPromise(promise);
}

function* awaitPromise<T>(promise: PromiseLike<T>): Generator<Token, T, undefined> {
  const l = caller("until");
  if (!l.k.mp && !l.k.selfClocked) return yield* answered(l, promise);
  const ci = l.cpu;
  const state: Settlement<T> = { done: false, failed: false, value: undefined, error: undefined };
  hostwaitAdd(ci, 1);
  let waiting = true;
  const settle = () => {
    state.done = true;
    if (waiting) wake(ci, l);
  };
  promise.then(
    (value) => {
      state.value = value;
      settle();
    },
    (error: unknown) => {
      state.failed = true;
      state.error = error;
      settle();
    },
  );
  while (!state.done) {
    const how = hostBlock(l, PROMISE, 0);
    if (how === BLOCK_SWITCHED) yield;
    sleepqUnblock(l, how, 0, true);
    if (state.done) break;
    // Woken by something else: a suspension, or the exit of the process, which does not come back.
    waiting = false;
    hostwaitAdd(ci, -1);
    const r = userret(l);
    if (r !== RET_USER) yield* returnToUser(l, r);
    waiting = true;
    hostwaitAdd(ci, 1);
  }
  waiting = false;
  hostwaitAdd(ci, -1);
  const r = userret(l);
  if (r !== RET_USER) yield* returnToUser(l, r);
  if (state.failed) throw state.error;
  return state.value as T;
}

/** On a simulated machine: what stands in for the host answers at once. */
function* answered<T>(l: Lwp, promise: PromiseLike<T>): Generator<Token, T, undefined> {
  const { awaitHost } = threadHost(l.k);
  if (awaitHost === undefined) fail(ENOTSUP, "until", l.lid, "a simulated machine cannot await the host");
  // Nobody else may be told that nobody listens.
  promise.then(undefined, () => {});
  const value = awaitHost(promise) as T;
  const r = userret(l);
  if (r !== RET_USER) yield* returnToUser(l, r);
  return value;
}

function wake(ci: Cpu, l: Lwp): void {
  if (ci.k.g.dead !== 0) return;
  asCpu(ci, () => hostWakeup(l));
  endIdleWait(ci);
}
