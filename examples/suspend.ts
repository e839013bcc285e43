/** A computation that is suspended in the middle of its loop, and goes on from there: `lwp run examples/suspend.ts`. */
import { checkpoint, SharedBytes, Thread } from "lwp";

export function* main() {
  using memory = new SharedBytes(8);
  const counter = memory.i32;
  const t = yield* Thread.spawn(count, memory);
  yield* moves(counter);
  console.log("it counts");

  yield* t.suspend();
  const stopped = Atomics.load(counter, 0);
  yield* Thread.sleep(50);
  console.log(Atomics.load(counter, 0) === stopped ? "suspended, it stands still" : "it should not count");

  yield* t.resume();
  yield* moves(counter);
  console.log("resumed, it counts on");

  Atomics.store(counter, 1, 1);
  console.log((yield* t.join()) > stopped ? "and comes to its end" : "it should have counted further");
}

/** Counts in shared memory until it is told to stop. */
function* count(memory: SharedBytes) {
  const counter = memory.i32;
  while (Atomics.load(counter, 1) === 0) {
    Atomics.add(counter, 0, 1);
    // Where it can be suspended.
    yield* checkpoint();
  }
  return Atomics.load(counter, 0);
}

/** Waits until somebody has counted on. */
function* moves(counter: Int32Array) {
  const before = Atomics.load(counter, 0);
  while (Atomics.load(counter, 0) === before) yield* Thread.yield();
}
