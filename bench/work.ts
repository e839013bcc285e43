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

export interface Task {
  /** Steps that take about TASK_MS here and now. */
  readonly steps: number;
  /** What they take, in milliseconds. */
  readonly ms: number;
}

/** Finds out how many steps a task has, and what it takes while nothing else runs. */
export function calibrate(): Task {
  let steps = 10_000;
  for (let ms = 0; ms < 20; ) {
    steps *= 2;
    ms = timeOf(() => burn(steps));
  }
  steps = Math.round(
    (steps * TASK_MS) / Math.min(...Array.from({ length: 5 }, () => timeOf(() => burn(steps)))),
  );
  const rounds = 50;
  const ms = timeOf(() => {
    for (let i = 0; i < rounds; i++) burn(steps);
  });
  return { steps, ms: ms / rounds };
}

function timeOf(body: () => void): number {
  const begun = performance.now();
  body();
  return performance.now() - begun;
}

/** Milliseconds of a run, as they would be if a task took TASK_MS exactly. */
export function scaled(elapsedMs: number, task: Task): number {
  return (elapsedMs * TASK_MS) / task.ms;
}
