/** Listings as text: columns that line up, and the words in which waits are told. */
import type { LwpInfo, LwpName, LwpWait } from "../machine/observer.js";

const HEAD = ["PID", "LID", "NAME", "S", "PRI", "CPU", "TIME", "WAITS FOR"] as const;
/** Columns whose text stands at the left. */
const LEFT: ReadonlySet<string> = new Set(["NAME", "S", "WAITS FOR"]);

/** An aligned table, a line for each thread below a line of headings; each ends in a newline. */
export function psTable(list: readonly LwpInfo[]): string {
  const rows = [HEAD as readonly string[], ...list.map(cells)];
  const widths = HEAD.map((_, i) => rows.reduce((width, row) => Math.max(width, row[i].length), 0));
  return rows.map((row) => `${line(row, widths)}\n`).join("");
}

function cells(l: LwpInfo): string[] {
  return [
    String(l.pid),
    String(l.lid),
    ownName(l),
    l.state,
    String(l.priority),
    String(l.cpu),
    l.seconds.toFixed(3),
    l.waitsFor === null ? "" : waitText(l.waitsFor, l.pid),
  ];
}

function line(row: readonly string[], widths: readonly number[]): string {
  const padded = row.map((text, i) =>
    LEFT.has(HEAD[i]) ? text.padEnd(widths[i]) : text.padStart(widths[i]),
  );
  return padded.join("  ").trimEnd();
}

/** The name it was given, or the function it started with. */
function ownName(l: LwpName): string {
  return l.name === "" && l.entry !== "" ? `${l.entry}()` : l.name;
}

/** `thread 7 "worker"`, `thread 7 worker()`; with its process unless that is `pid`. */
export function threadText(l: LwpName, pid: number | null = null): string {
  const name = l.name !== "" ? ` "${l.name}"` : l.entry !== "" ? ` ${l.entry}()` : "";
  return `thread ${l.lid}${name}${l.pid === pid ? "" : ` of process ${l.pid}`}`;
}

/** What a thread of process `pid` waits for, and who has it. */
export function waitText(wait: LwpWait, pid: number): string {
  const holders = wait.holders.map((h) => threadText(h, pid)).join(", ");
  const left = wait.secondsLeft === null ? "" : `, at most ${wait.secondsLeft.toFixed(2)} s`;
  if (wait.kind === "end") return `the end of ${holders === "" ? wait.what : holders}${left}`;
  return `${wait.what}${holders === "" ? "" : `, held by ${holders}`}${left}`;
}
