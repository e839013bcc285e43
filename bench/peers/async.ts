// Peer "async": native async functions on the microtask queue.

import { Meter, programOptions, report, residentBytes } from "../measure.js";

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
  case "B7":
    report(idle());
    break;
  default:
    throw new RangeError(`--bench ${bench}`);
}
