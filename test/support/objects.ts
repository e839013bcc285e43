/** For tests of synchronisation objects: threads that wait, and looking at them. */
import assert from "node:assert/strict";
import { schedYield, Thread } from "lwp";
import * as K from "lwp/kernel";
import { LwpError, type Operation } from "lwp/syscall";
import { outcome } from "./threads.js";

/** The code of the error that a plain call throws, or what it returns. */
export function codeOf<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (error instanceof LwpError) return error.code;
    throw error;
  }
}

/** LWPs of the caller's process that sleep on `o`, whatever the queue. */
export function waitersOf(object: { readonly id: number }): number[] {
  const { k, proc } = K.cur.lwp;
  const o = k.syncobjs.view(object.id);
  const channels = [o.at, o.mutex, o.rwlock];
  return K.procLwps(proc)
    .filter((l) => l.wchan !== 0 && channels.includes(l.wchan))
    .map((l) => l.lid);
}

/** Gives way until `n` threads wait on the object. */
export function* untilWaiting(
  object: { readonly id: number },
  n: number,
): Generator<K.Token, void, undefined> {
  for (let i = 0; waitersOf(object).length !== n; i++) {
    assert.ok(i < 10_000, `${waitersOf(object).length} wait, not ${n}`);
    yield* schedYield();
  }
}

/** A thread whose result is the outcome of the operation that `make` makes in it; `after` is called if it succeeds. */
export function waiter<T>(
  make: () => Operation<T>,
  after: () => void = () => {},
): Operation<Thread<T | string>> {
  return Thread.spawn(function* () {
    let got = false;
    const result = yield* outcome<T>({
      *[Symbol.iterator]() {
        const value = yield* make();
        got = true;
        return value;
      },
    });
    if (got) after();
    return result;
  });
}

/** What threads return, in order. */
export function* joinAll<T>(threads: readonly Thread<T>[]): Generator<K.Token, T[], undefined> {
  const results: T[] = [];
  for (const t of threads) results.push(yield* t.join());
  return results;
}
