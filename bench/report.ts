// The tables of the benchmarks, as plain text.

import { type Benchmark, type Goal, growthSizes } from "./programs.js";
import type { Result } from "./runner.js";
import { median, spread } from "./stats.js";

/** The results of one benchmark at each size of "how cost grows", for the programs that can run at more than one. */
export type Growth = Map<number, Result[]>;

const unitNames = { ns: "ns", us: "µs", ms: "ms", bytes: "bytes" } as const;

export function benchmarkTable(benchmark: Benchmark, results: readonly Result[]): string {
  const { id, title, unit, reference } = benchmark;
  const unitName = unitNames[unit];
  const referenceMedian = reference === undefined ? Number.NaN : medianOf(results, "peer", reference);
  const head = [
    "",
    `median ${unitName}`,
    "min .. max",
    ...(reference === undefined ? [] : [`× ${reference}`]),
  ];
  const rows: string[][] = [];
  for (const { program, values } of results) {
    if (values.length === 0) continue;
    const { min, max } = spread(values);
    const middle = median(values);
    const row = [rowName(program), formatNumber(middle), `${formatNumber(min)} .. ${formatNumber(max)}`];
    if (reference !== undefined) {
      row.push(Number.isNaN(referenceMedian) ? "–" : (middle / referenceMedian).toFixed(2));
    }
    rows.push(row);
  }
  const lines = [`${id}  ${title}`, ""];
  if (rows.length > 0) lines.push(...alignColumns([head, ...rows]));
  for (const goal of benchmark.goals) lines.push(indent(goalLine(goal, results, unitName)));
  for (const line of leftOutLines(results)) lines.push(indent(line));
  return `${lines.join("\n")}\n`;
}

export function growthTable({ id, title, unit, growthNote }: Benchmark, growth: Growth): string {
  const sizes = growthSizes.filter((size) => growth.has(size));
  const head = ["", ...sizes.map((size) => `${size.toLocaleString("en")} threads`)];
  const rows: string[][] = [];
  const programs = growth.get(sizes[0]!)!.map((result) => result.program);
  for (const program of programs) {
    const cells = sizes.map((size) => {
      const values = growth.get(size)!.find((result) => result.program === program)?.values ?? [];
      return values.length === 0 ? "–" : formatNumber(median(values));
    });
    if (cells.some((cell) => cell !== "–")) rows.push([rowName(program), ...cells]);
  }
  const workload = title.split(/,| among| of/, 1)[0];
  const lines = [`${id}  how cost grows: ${workload}, median ${unitNames[unit]}`, ""];
  if (rows.length > 0) lines.push(...alignColumns([head, ...rows]));
  if (growthNote !== undefined) lines.push(indent(growthNote));
  return `${lines.join("\n")}\n`;
}

/** What --json prints: the medians. A program that was left out has no entry. */
export function medians({ unit }: Benchmark, results: readonly Result[]) {
  const ours: Record<string, number> = {};
  const peers: Record<string, number> = {};
  for (const { program, values } of results) {
    if (values.length === 0) continue;
    (program.kind === "ours" ? ours : peers)[program.name] = Number(median(values).toPrecision(6));
  }
  return { unit, ours, peers };
}

function goalLine(goal: Goal, results: readonly Result[], unit: string): string {
  const { level, mode, peer, times = 1, plus = 0 } = goal;
  const terms: string[] = [];
  if (peer !== undefined) terms.push(times === 1 ? peer : `${times} × ${peer}`);
  if (plus !== 0) terms.push(`${formatNumber(plus)} ${unit}`);
  const limit = (peer === undefined ? 0 : times * medianOf(results, "peer", peer)) + plus;
  const wanted = `${level}: ${mode} ≤ ${terms.join(" + ")}`;
  if (Number.isNaN(limit)) return `${wanted}: not known without ${peer}`;
  const figure = peer === undefined ? wanted : `${wanted} = ${formatNumber(limit)} ${unit}`;
  const reached = medianOf(results, "ours", mode);
  if (Number.isNaN(reached)) return `${figure}: not measured`;
  return `${figure}: ${reached <= limit ? "reached" : "NOT REACHED"} (${formatNumber(reached)} ${unit})`;
}

function leftOutLines(results: readonly Result[]): string[] {
  const namesByReason = new Map<string, string[]>();
  for (const { program, leftOut } of results) {
    if (leftOut === undefined) continue;
    namesByReason.set(leftOut, [...(namesByReason.get(leftOut) ?? []), rowName(program)]);
  }
  return [...namesByReason].map(([reason, names]) => `left out: ${names.join(", ")}: ${reason}`);
}

function medianOf(results: readonly Result[], kind: "ours" | "peer", name: string): number {
  const result = results.find(({ program }) => program.kind === kind && program.name === name);
  return median(result?.values ?? []);
}

function rowName({ kind, name }: Result["program"]): string {
  return kind === "ours" ? `lwp ${name}` : name;
}

/** Three significant digits, and all of those before the point. */
function formatNumber(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** The first column to the left, the others to the right. */
function alignColumns(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    indent(
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("   ")
        .trimEnd(),
    ),
  );
}

function indent(line: string): string {
  return `    ${line}`;
}
