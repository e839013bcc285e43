/**
 * Reports: what is said when something goes wrong, or when somebody asks. As text for people, or as one line of JSON with
 * the same in it; the property `event` says which report it is. Loading this module fills the
 * machine's slot for it.
 */
import { inspect } from "node:util";
import type { Kernel } from "../sys/kernel.js";
import { mapStack } from "../machine/factory.js";
import { type Failure, fillObserver, type LwpInfo, type ReportFormat } from "../machine/observer.js";
import { dump } from "./dump.js";
import { cyclesOf } from "./graph.js";
import { listLwps } from "./listing.js";
import { psTable, threadText, waitText } from "./table.js";

/** A report as its name, its text, and what its line of JSON has besides. */
function report(format: ReportFormat, event: string, text: string, facts: object): string {
  return format === "json" ? `${JSON.stringify({ event, ...facts })}\n` : text;
}

function listing(k: Kernel, format: ReportFormat): string {
  const threads = listLwps(k);
  const cycles = cyclesOf(threads);
  return report(format, "listing", psTable(threads) + deadlockText(cycles), {
    threads,
    deadlocks: names(cycles),
  });
}

/** Where a thread was started, as its report says it. */
function origin(spawnedAt: string): string {
  return spawnedAt === "" ? "" : `, spawned at ${spawnedAt},`;
}

function exception(k: Kernel, { pid, lid, error, spawnedAt }: Failure, format: ReportFormat): string {
  const threads = listLwps(k, { pid });
  const text =
    `process ${pid}: thread ${lid}${origin(spawnedAt)} ended it with an exception:\n${errorText(error)}\n` +
    `The threads of process ${pid}:\n${psTable(threads)}`;
  return report(format, "exception", text, { pid, lid, spawnedAt, error: errorFacts(error), threads });
}

function unjoined(k: Kernel, { pid, lid, error, spawnedAt }: Failure, format: ReportFormat): string {
  const who = threadText(
    listLwps(k, { pid }).find((l) => l.lid === lid) ?? { pid, lid, name: "", entry: "" },
    pid,
  );
  const text = `process ${pid}: ${who}${origin(spawnedAt)} failed, and nobody has joined it:\n${errorText(error)}\n`;
  return report(format, "unjoined", text, { pid, lid, spawnedAt, error: errorFacts(error) });
}

function stall(k: Kernel, format: ReportFormat): string {
  const threads = listLwps(k);
  const cycles = cyclesOf(threads);
  const text = `lwp: stalled: no thread can go on, and nothing is left that could wake one\n${deadlockText(cycles)}${psTable(threads)}`;
  return report(format, "stall", text, { threads, deadlocks: names(cycles) });
}

function warning(text: string, format: ReportFormat): string {
  return report(format, "warning", `lwp: warning: ${text}\n`, { text });
}

function uncaught(cpu: number, error: unknown, format: ReportFormat): string {
  const text = `lwp: an exception on CPU ${cpu} outside threads (of a callback, or a promise that nobody awaits):\n${errorText(error)}\n`;
  return report(format, "uncaught", text, { cpu, error: errorFacts(error) });
}

function stopped(k: Kernel, cpu: number | null, message: string, format: ReportFormat): string {
  const lines = dump(k);
  const where = cpu === null ? "" : ` (seen by CPU ${cpu})`;
  const text = `lwp: the machine stopped${where}: ${message}\n${lines.join("\n")}\n`;
  return report(format, "stopped", text, { message, cpu, dump: lines });
}

/** Each cycle: who waits for what, and who has that. */
function deadlockText(cycles: readonly LwpInfo[][]): string {
  let text = "";
  for (const cycle of cycles) {
    const n = cycle.length;
    text += n === 1 ? "A thread waits for itself:\n" : `A deadlock of ${n} threads:\n`;
    for (const l of cycle) {
      if (l.waitsFor !== null) text += `  ${threadText(l, l.pid)} waits for ${waitText(l.waitsFor, l.pid)}\n`;
    }
  }
  return text;
}

function names(cycles: readonly LwpInfo[][]): { pid: number; lid: number }[][] {
  return cycles.map((cycle) => cycle.map(({ pid, lid }) => ({ pid, lid })));
}

/** What reading a thrown value gives: that may run code of the program, which must not fail the CPU that reports. */
function reading<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

const UNREADABLE = "a value that cannot be shown";

function errorText(error: unknown): string {
  const show = () => (error instanceof Error ? mapStack(inspect(error)) + hintText(error) : String(error));
  return reading(show, UNREADABLE);
}

function hintText(error: Error): string {
  const hint = hintOf(error) ?? (error.cause instanceof Error ? hintOf(error.cause) : undefined);
  return hint === undefined ? "" : `\n${hint}`;
}

/** What to do about an error whose message, the engine's own, hardly says what was done. */
function hintOf({ name, message }: Error): string | undefined {
  if (name !== "TypeError" || !/^(?:yield\* .*|object) is not iterable/.test(message)) return undefined;
  return "After `yield*` stands an operation or a generator; a promise is awaited by `yield* until(promise)`.";
}

function errorFacts(error: unknown, within: readonly unknown[] = []): object {
  return reading(() => factsOf(error, within), { value: UNREADABLE });
}

/** `within`: the errors that it is the cause of, which it may be itself. */
function factsOf(error: unknown, within: readonly unknown[]): object {
  if (!(error instanceof Error)) return { value: String(error) };
  const { name, message, stack, cause } = error;
  const { code } = error as { readonly code?: unknown };
  const known = cause === undefined || cause === error || within.includes(cause);
  return {
    name,
    message,
    code: typeof code === "string" ? code : undefined,
    stack: mapStack(stack ?? ""),
    hint: hintOf(error),
    cause: known ? undefined : errorFacts(cause, [...within, error]),
  };
}

fillObserver({ list: listLwps, listing, exception, unjoined, stall, warning, uncaught, stopped });
