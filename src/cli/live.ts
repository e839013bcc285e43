/**
 * `lwp run --ps SECONDS`: a table of the threads while the program runs, on standard error.
 *
 * On a terminal each table takes the place of the one before; elsewhere they follow each other, with `--json` as a line each.
 */
import type { Machine } from "../machine/machine.js";
import { writeNow } from "../machine/output.js";
import { psTable } from "../observe/table.js";

const HOME = "\u001b[H\u001b[J";

export interface LiveOptions {
  readonly seconds: number;
  readonly json: boolean;
  /** Whether standard error is a terminal. */
  readonly terminal: boolean;
}

/** Begins; the function that is returned ends it. */
export function livePs(machine: Machine, { seconds, json, terminal }: LiveOptions): () => void {
  const timer = setInterval(() => {
    const list = machine.ps();
    if (json) writeNow(2, `${JSON.stringify({ time: machine.kernel.g.time, threads: list })}\n`);
    else writeNow(2, `${terminal ? HOME : ""}${psTable(list)}${terminal ? "" : "\n"}`);
  }, seconds * 1000);
  timer.unref();
  return () => clearInterval(timer);
}
