// Peer "trampoline": a FIFO of bare generators without priorities, states or accounting. A floor, not a product.

import { Meter, programOptions, report, residentBytes } from "../measure.js";

type Task = Generator<boolean, void, undefined>;

/** What a task yields: whether it stays runnable. */
const YIELD = true;
const PARK = false;

let ready: Task[] = [];

function run(): void {
  while (ready.length > 0) {
    const batch = ready;
    ready = [];
    for (let i = 0; i < batch.length; i++) {
      const task = batch[i]!;
      const { done, value } = task.next();
      if (done !== true && value === YIELD) ready.push(task);
    }
  }
}

const { bench, threads, budgetMs } = programOptions();
const meter = new Meter(budgetMs);

/** B1: the clock starts when every thread runs and stops when the last has made its yields. */
function yieldAmongAll(): void {
  let running = 0;
  function* yielder(rounds: number, first: boolean): Task {
    yield YIELD;
    if (first) meter.begin();
    for (let i = 0; i < rounds; i++) yield YIELD;
    if (--running === 0) meter.end(threads * rounds);
  }
  for (const rounds of meter) {
    running = threads;
    for (let i = 0; i < threads; i++) ready.push(yielder(rounds, i === 0));
    run();
  }
}

/** B2. */
function spawnAndJoin(): void {
  let running = 0;
  let joiner: Task;
  function* body(): Task {
    if (--running === 0) ready.push(joiner);
  }
  function* batches(rounds: number): Task {
    meter.begin();
    for (let round = 0; round < rounds; round++) {
      running = threads;
      for (let i = 0; i < threads; i++) ready.push(body());
      yield PARK;
    }
    meter.end(threads * rounds);
  }
  for (const rounds of meter) {
    ready.push((joiner = batches(rounds)));
    run();
  }
}

/** B3. */
function ring(): void {
  const tasks: Task[] = [];
  let passesLeft = 0;
  function* member(next: number): Task {
    for (;;) {
      yield PARK;
      if (--passesLeft > 0) ready.push(tasks[next]!);
    }
  }
  for (let i = 0; i < threads; i++) ready.push((tasks[i] = member((i + 1) % threads)));
  run();
  for (const passes of meter) {
    passesLeft = passes;
    meter.begin();
    ready.push(tasks[0]!);
    run();
    meter.end(passes);
  }
}

/** B7. */
function idle(): number {
  function* parked(): Task {
    yield PARK;
  }
  const tasks: Task[] = [];
  const spawn = (): void => {
    const task = parked();
    tasks.push(task);
    ready.push(task);
  };
  for (let i = 0; i < 100; i++) spawn();
  run();
  const before = residentBytes();
  for (let i = 0; i < threads; i++) spawn();
  run();
  const bytes = (residentBytes() - before) / threads;
  for (const task of tasks) ready.push(task);
  run();
  return bytes;
}

switch (bench) {
  case "B1":
    yieldAmongAll();
    report(meter.nsPerOperation);
    break;
  case "B2":
    spawnAndJoin();
    report(meter.nsPerOperation);
    break;
  case "B3":
    ring();
    report(meter.nsPerOperation);
    break;
  case "B7":
    report(idle());
    break;
  default:
    throw new RangeError(`--bench ${bench}`);
}
