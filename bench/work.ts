// A task that computes for 0.8 ms, for B10: in steps of a generator of pseudo-random numbers, so that nothing is optimised away.

/** What B10's figures are for. */
export const TASKS = 1_000;
export const TASK_MS = 0.8;
export const CPUS = 2;

/** Computes for `steps` steps. */
export function burn(steps: number): number {
  let x = 0x9e3779b9;
  for (let i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x;
}

/** Steps of a task that takes about TASK_MS here: what differs from that `TaskTimes` corrects. */
export function calibrate(): number {
  let steps = 10_000;
  for (let ms = 0; ms < 20; ) {
    steps *= 2;
    ms = timeOf(steps);
  }
  return Math.round((steps * TASK_MS) / leastOf(5, steps));
}

/**
 * The time of TASKS tasks on all CPUs, as it would be if a task took TASK_MS exactly, in milliseconds. The host does not
 * give the same speed for long, so runs alternate with measurements of what a task takes alone, in the same process, and
 * the best of each count.
 */
export class TaskTimes {
  readonly #steps: number;
  #taskMs: number;
  #runMs = Number.POSITIVE_INFINITY;

  constructor(steps: number) {
    this.#steps = steps;
    this.#taskMs = leastOf(50, steps);
  }

  /** A run of TASKS tasks took so long. */
  ran(elapsedMs: number): void {
    this.#runMs = Math.min(this.#runMs, elapsedMs);
    this.#taskMs = Math.min(this.#taskMs, leastOf(50, this.#steps));
  }

  get scaledMs(): number {
    return (this.#runMs * TASK_MS) / this.#taskMs;
  }
}

/** How often the tasks are run. */
export const RUNS = 3;

function leastOf(times: number, steps: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) least = Math.min(least, timeOf(steps));
  return least;
}

function timeOf(steps: number): number {
  const begun = performance.now();
  burn(steps);
  return performance.now() - begun;
}
