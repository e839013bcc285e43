// Peer "async": native async functions on the microtask queue.

import { FAN_OUT, Meter, programOptions, report, residentBytes, sumOfLeaves } from "../measure.js";

const { bench, threads, budgetMs } = programOptions();
const meter = new Meter(budgetMs);

/** B1: the clock starts when every function runs and stops when the last has made its yields. */
async function yieldAmongAll(): Promise<void> {
  let running = 0;
  async function yielder(rounds: number, first: boolean): Promise<void> {
    await null;
    if (first) meter.begin();
    for (let i = 0; i < rounds; i++) await null;
    if (--running === 0) meter.end(threads * rounds);
  }
  for (const rounds of meter) {
    running = threads;
    const all: Promise<void>[] = [];
    for (let i = 0; i < threads; i++) all.push(yielder(rounds, i === 0));
    await Promise.all(all);
  }
}

/**
 * B2. The body begins with an await, as a thread begins in the run queue: without it the call would run to its
 * end inside its caller and nothing would have been spawned.
 */
async function spawnAndJoin(): Promise<void> {
  async function body(): Promise<void> {
    await null;
  }
  const spawned: Promise<void>[] = [];
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < threads; i++) spawned[i] = body();
      for (let i = 0; i < threads; i++) await spawned[i];
    }
    meter.end(threads * rounds);
  }
}

/** B3: parked is awaiting a new promise, unpark is its resolve function. */
async function ring(): Promise<void> {
  const unpark: (() => void)[] = [];
  let passesLeft = 0;
  let finished: () => void;
  async function member(own: number, next: number): Promise<void> {
    const park = (resolve: () => void): void => {
      unpark[own] = resolve;
    };
    for (;;) {
      await new Promise<void>(park);
      if (--passesLeft > 0) unpark[next]!();
      else finished();
    }
  }
  for (let i = 0; i < threads; i++) void member(i, (i + 1) % threads);
  for (const passes of meter) {
    passesLeft = passes;
    const end = new Promise<void>((resolve) => {
      finished = resolve;
    });
    meter.begin();
    unpark[0]!();
    await end;
    meter.end(passes);
  }
}

/** A lock handed on in the order of asking. */
class Mutex {
  #locked = false;
  readonly #waiters: (() => void)[] = [];
  /** Those before it have been served. */
  #first = 0;
  readonly #wait = (resolve: () => void): void => {
    this.#waiters.push(resolve);
  };

  /** Null: it is the caller's already. */
  lock(): Promise<void> | null {
    if (this.#locked) return new Promise(this.#wait);
    this.#locked = true;
    return null;
  }

  unlock(): void {
    if (this.#first === this.#waiters.length) {
      this.#locked = false;
      return;
    }
    this.#waiters[this.#first++]!();
    if (this.#first < 1024) return;
    this.#waiters.splice(0, this.#first);
    this.#first = 0;
  }
}

/** For one waiter at a time, which is all that the ring needs. */
class Condition {
  #wake: (() => void) | null = null;
  readonly #wait = (resolve: () => void): void => {
    this.#wake = resolve;
  };

  async wait(mutex: Mutex): Promise<void> {
    const signalled = new Promise<void>(this.#wait);
    mutex.unlock();
    await signalled;
    await mutex.lock();
  }

  signal(): void {
    this.#wake?.();
    this.#wake = null;
  }
}

/** B4. */
async function conditionRing(): Promise<void> {
  const mutex = new Mutex();
  const finished = new Condition();
  const turns = Array.from({ length: threads }, () => new Condition());
  let turn = -1;
  let passesLeft = 0;
  async function member(own: number, next: number): Promise<void> {
    await mutex.lock();
    for (;;) {
      while (turn !== own) await turns[own]!.wait(mutex);
      if (--passesLeft > 0) {
        turn = next;
        turns[next]!.signal();
      } else {
        turn = -1;
        finished.signal();
      }
    }
  }
  for (let i = 0; i < threads; i++) void member(i, (i + 1) % threads);
  await mutex.lock();
  for (const passes of meter) {
    meter.begin();
    passesLeft = passes;
    turn = 0;
    turns[0]!.signal();
    while (turn !== -1) await finished.wait(mutex);
    meter.end(passes);
  }
}

/** B5. */
async function contended(): Promise<void> {
  const sections = 1_000;
  const mutex = new Mutex();
  async function member(): Promise<void> {
    for (let i = 0; i < sections; i++) {
      await mutex.lock();
      await null;
      mutex.unlock();
    }
  }
  for (const rounds of meter) {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: threads }, member));
    }
    meter.end(rounds * threads * sections);
  }
}

/** B6. Each begins with an await, as in B2. */
async function skynet(first: number, size: number): Promise<number> {
  await null;
  if (size === 1) return first;
  const below = size / FAN_OUT;
  const leaves: Promise<number>[] = [];
  let sum = 0;
  for (let i = 0; i < FAN_OUT; i++) {
    const child = skynet(first + i * below, below);
    if (below === 1) leaves.push(child);
    else sum += await child;
  }
  for (const leaf of leaves) sum += await leaf;
  return sum;
}

async function skynetMs(): Promise<number> {
  await skynet(0, threads / FAN_OUT ** 2);
  const begun = performance.now();
  const sum = await skynet(0, threads);
  const ms = performance.now() - begun;
  if (sum !== sumOfLeaves(threads)) throw new Error(`the sum is ${sum}`);
  return ms;
}

/** B7: an async function that awaits a promise somebody else can resolve. */
function idle(): number {
  const unpark: (() => void)[] = [];
  const park = (resolve: () => void): void => {
    unpark.push(resolve);
  };
  async function parked(): Promise<void> {
    await new Promise<void>(park);
  }
  for (let i = 0; i < 100; i++) void parked();
  const before = residentBytes();
  for (let i = 0; i < threads; i++) void parked();
  const bytes = (residentBytes() - before) / threads;
  for (const wake of unpark) wake();
  return bytes;
}

switch (bench) {
  case "B1":
    await yieldAmongAll();
    report(meter.nsPerOperation);
    break;
  case "B2":
    await spawnAndJoin();
    report(meter.nsPerOperation);
    break;
  case "B3":
    await ring();
    report(meter.nsPerOperation);
    break;
  case "B4":
    await conditionRing();
    report(meter.nsPerOperation);
    break;
  case "B5":
    await contended();
    report(meter.nsPerOperation);
    break;
  case "B6":
    report(await skynetMs());
    break;
  case "B7":
    report(idle());
    break;
  default:
    throw new RangeError(`--bench ${bench}`);
}
