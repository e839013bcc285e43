// What a program under test uses: its options, a meter of the cost of one operation, and the line it reports.
//
// A program runs one workload in a process of its own and prints one line of JSON, `{"value": number, ...}`. The
// harness passes `--bench`, `--threads` and `--budget`, and to our own programs `--mode` besides.

import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** mp: booted with two CPUs. up: with one. exact: as mp, with `accounting: "exact"`. */
export type Mode = "mp" | "up" | "exact";

export interface ProgramOptions {
  bench: string;
  mode: Mode;
  /** How many threads the workload has; a batch of B2 has this many too. */
  threads: number;
  /** How long the measured part should last. */
  budgetMs: number;
  /** Which peer, where one program is several. */
  peer: string;
}

export function programOptions(): ProgramOptions {
  const { values } = parseArgs({
    options: {
      bench: { type: "string", default: "" },
      mode: { type: "string", default: "mp" },
      threads: { type: "string", default: "1000" },
      budget: { type: "string", default: "600" },
      peer: { type: "string", default: "" },
    },
  });
  const threads = Number(values.threads);
  const budgetMs = Number(values.budget);
  if (!Number.isInteger(threads) || threads < 1) throw new RangeError(`--threads ${values.threads}`);
  if (!(budgetMs > 0)) throw new RangeError(`--budget ${values.budget}`);
  if (values.mode !== "mp" && values.mode !== "up" && values.mode !== "exact") {
    throw new RangeError(`--mode ${values.mode}`);
  }
  return { bench: values.bench, mode: values.mode, threads, budgetMs, peer: values.peer };
}

/**
 * Finds the number of rounds that fills the time budget, and the cost of one operation in them.
 *
 *     for (const rounds of meter) {
 *       meter.begin();
 *       ... do `rounds` rounds ...
 *       meter.end(rounds * operationsPerRound);
 *     }
 *     report(meter.nsPerOperation);
 *
 * The warm-up repeats and doubles the count until it has taken half of the budget, and its last step a fifth. Then
 * follows the one measurement that counts, which takes about all of the budget. The meter is an iterable, so that
 * it serves plain, async and generator code alike.
 */
export class Meter implements Iterable<number> {
  readonly #budgetNs: number;
  #begunAt = 0n;
  /** Of the round last ended; negative between begin() and end(). */
  #elapsedNs = 0;
  #operations = 0;

  constructor(budgetMs: number) {
    this.#budgetNs = budgetMs * 1e6;
  }

  *[Symbol.iterator](): Generator<number, void, undefined> {
    let rounds = 1;
    let warmupNs = 0;
    for (;;) {
      yield rounds;
      this.#mustHaveEnded();
      warmupNs += this.#elapsedNs;
      const enough = this.#elapsedNs >= this.#budgetNs / 5;
      if (enough && warmupNs >= this.#budgetNs / 2) break;
      if (!enough) rounds *= 2;
    }
    yield Math.max(1, Math.round((rounds * this.#budgetNs) / this.#elapsedNs));
    this.#mustHaveEnded();
  }

  begin(): void {
    this.#elapsedNs = -1;
    this.#begunAt = process.hrtime.bigint();
  }

  end(operations: number): void {
    this.#elapsedNs = Number(process.hrtime.bigint() - this.#begunAt);
    this.#operations = operations;
  }

  get nsPerOperation(): number {
    this.#mustHaveEnded();
    return this.#elapsedNs / this.#operations;
  }

  get operations(): number {
    return this.#operations;
  }

  #mustHaveEnded(): void {
    if (this.#operations === 0 || this.#elapsedNs < 0) throw new Error("a round was not begun and ended");
  }
}

/** B6: how many children a thread of Skynet has. */
export const FAN_OUT = 10;

/** B6: what Skynet of so many leaves returns. */
export function sumOfLeaves(leaves: number): number {
  return (leaves * (leaves - 1)) / 2;
}

/** Prints the line the harness reads. Once a process. */
export function report(value: number, details: Record<string, number | string> = {}): void {
  if (!Number.isFinite(value)) throw new RangeError(`measured ${value}`);
  process.stdout.write(`${JSON.stringify({ value, ...details })}\n`);
}

let gc: (() => void) | undefined;

/** The resident bytes of this process after a full garbage collection. */
export function residentBytes(): number {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as () => void;
  }
  gc();
  gc();
  return process.memoryUsage.rss();
}
