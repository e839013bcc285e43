// Peer "effect": fibers of Effect 4 under its default scheduler.

import { Deferred, Effect, Fiber, Latch, Semaphore } from "effect";
import { FAN_OUT, Meter, programOptions, report, residentBytes, sumOfLeaves } from "../measure.js";

const { bench, threads, budgetMs } = programOptions();
const meter = new Meter(budgetMs);

const largeRingThreads = 503;

/** B1: the clock starts when every fiber runs and stops when the last has made its yields. */
function* yieldAmongAll() {
  let running = 0;
  const yielder = (rounds: number, first: boolean) =>
    Effect.gen(function* () {
      yield* Effect.yieldNow;
      if (first) meter.begin();
      for (let i = 0; i < rounds; i++) yield* Effect.yieldNow;
      if (--running === 0) meter.end(threads * rounds);
    });
  for (const rounds of meter) {
    running = threads;
    const fibers: Fiber.Fiber<void>[] = [];
    for (let i = 0; i < threads; i++) fibers.push(yield* Effect.forkChild(yielder(rounds, i === 0)));
    for (const fiber of fibers) yield* Fiber.join(fiber);
  }
}

/** B2. */
function* spawnAndJoin() {
  const body = Effect.gen(function* () {});
  const fibers: Fiber.Fiber<void>[] = [];
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < threads; i++) fibers[i] = yield* Effect.forkChild(body);
      for (let i = 0; i < threads; i++) yield* Fiber.join(fibers[i]!);
    }
    meter.end(threads * rounds);
  }
}

/**
 * B3: parked is awaiting a new Deferred, unpark is its completion. That resumes the fiber on the stack of its
 * waker, which is the fastest hand-off there is here, but a ring of more than some 700 overflows the stack.
 */
function* ring() {
  const parkedOn: Deferred.Deferred<void>[] = [];
  const unpark = (i: number): void => {
    Deferred.doneUnsafe(parkedOn[i]!, Effect.void);
  };
  let passesLeft = 0;
  let finished = Deferred.makeUnsafe<void>();
  const member = (own: number, next: number) =>
    Effect.gen(function* () {
      for (;;) {
        yield* Deferred.await(parkedOn[own]!);
        parkedOn[own] = Deferred.makeUnsafe<void>();
        if (--passesLeft > 0) unpark(next);
        else Deferred.doneUnsafe(finished, Effect.void);
      }
    });
  for (let i = 0; i < threads; i++) parkedOn[i] = Deferred.makeUnsafe<void>();
  const members: Fiber.Fiber<void>[] = [];
  for (let i = 0; i < threads; i++) members.push(yield* Effect.forkChild(member(i, (i + 1) % threads)));
  yield* Effect.yieldNow;
  for (const passes of meter) {
    passesLeft = passes;
    finished = Deferred.makeUnsafe<void>();
    meter.begin();
    unpark(0);
    yield* Deferred.await(finished);
    meter.end(passes);
  }
  yield* Fiber.interruptAll(members);
}

/** B3 in large rings: parked is awaiting a closed Latch, whose release wakes through the scheduler. */
function* largeRing() {
  const latches: Latch.Latch[] = [];
  let passesLeft = 0;
  let finished = Latch.makeUnsafe();
  const member = (own: Latch.Latch, next: Latch.Latch) =>
    Effect.gen(function* () {
      for (;;) {
        yield* own.await;
        yield* --passesLeft > 0 ? next.release : finished.open;
      }
    });
  for (let i = 0; i < threads; i++) latches.push(Latch.makeUnsafe());
  const members: Fiber.Fiber<void>[] = [];
  for (let i = 0; i < threads; i++) {
    members.push(yield* Effect.forkChild(member(latches[i]!, latches[(i + 1) % threads]!)));
  }
  yield* Effect.yieldNow;
  for (const passes of meter) {
    passesLeft = passes;
    finished = Latch.makeUnsafe();
    meter.begin();
    yield* latches[0]!.release;
    yield* finished.await;
    meter.end(passes);
  }
  yield* Fiber.interruptAll(members);
}

/** B5. */
function* contended() {
  const sections = 1_000;
  const mutex = Semaphore.makeUnsafe(1);
  const section = mutex.withPermits(1)(Effect.yieldNow);
  const member = Effect.gen(function* () {
    for (let i = 0; i < sections; i++) yield* section;
  });
  const fibers: Fiber.Fiber<void>[] = [];
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < threads; i++) fibers[i] = yield* Effect.forkChild(member);
      for (let i = 0; i < threads; i++) yield* Fiber.join(fibers[i]!);
    }
    meter.end(rounds * threads * sections);
  }
}

/** B6. */
const skynet = (first: number, size: number): Effect.Effect<number> =>
  Effect.gen(function* () {
    if (size === 1) return first;
    const below = size / FAN_OUT;
    const leaves: Fiber.Fiber<number>[] = [];
    let sum = 0;
    for (let i = 0; i < FAN_OUT; i++) {
      const child = yield* Effect.forkChild(skynet(first + i * below, below));
      if (below === 1) leaves.push(child);
      else sum += yield* Fiber.join(child);
    }
    for (const leaf of leaves) sum += yield* Fiber.join(leaf);
    return sum;
  });

function* skynetMs() {
  yield* skynet(0, threads / FAN_OUT ** 2);
  const begun = performance.now();
  const sum = yield* skynet(0, threads);
  const ms = performance.now() - begun;
  if (sum !== sumOfLeaves(threads)) throw new Error(`the sum is ${sum}`);
  return ms;
}

/** B7: a fiber that awaits a Deferred somebody else can complete. */
function* idle() {
  const parkedOn: Deferred.Deferred<void>[] = [];
  const parked = Effect.gen(function* () {
    const wake = Deferred.makeUnsafe<void>();
    parkedOn.push(wake);
    yield* Deferred.await(wake);
  });
  for (let i = 0; i < 100; i++) yield* Effect.forkDetach(parked);
  yield* Effect.yieldNow;
  const before = residentBytes();
  for (let i = 0; i < threads; i++) yield* Effect.forkDetach(parked);
  yield* Effect.yieldNow;
  const bytes = (residentBytes() - before) / threads;
  if (parkedOn.length !== threads + 100) throw new Error("not every fiber is parked");
  for (const wake of parkedOn) Deferred.doneUnsafe(wake, Effect.void);
  return bytes;
}

switch (bench) {
  case "B1":
    await Effect.runPromise(Effect.gen(yieldAmongAll));
    report(meter.nsPerOperation);
    break;
  case "B2":
    await Effect.runPromise(Effect.gen(spawnAndJoin));
    report(meter.nsPerOperation);
    break;
  case "B3":
    await Effect.runPromise(Effect.gen(threads > largeRingThreads ? largeRing : ring));
    report(meter.nsPerOperation);
    break;
  case "B5":
    await Effect.runPromise(Effect.gen(contended));
    report(meter.nsPerOperation);
    break;
  case "B6":
    report(await Effect.runPromise(Effect.gen(skynetMs)));
    break;
  case "B7":
    report(await Effect.runPromise(Effect.gen(idle)));
    break;
  default:
    throw new RangeError(`--bench ${bench}`);
}
