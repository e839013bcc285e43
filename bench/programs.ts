// The benchmarks: what each measures, the programs that run it, and the figures to reach. To add a row, add an
// entry here and, for a new workload, a case in the programs it names.

import type { Mode } from "./measure.js";

export interface Program {
  /** The name of its row, and its key in --json. */
  name: string;
  kind: "ours" | "peer";
  /** From build/bench if it is JavaScript, else the source from bench. */
  file: string;
  args: readonly string[];
  /** The compiler without which the program is left out. */
  needs?: Compiler;
  /** Overrides the benchmark's number of threads; such a program stays out of "how cost grows". */
  threads?: number;
  /** Stays out of "how cost grows" beyond this many threads. */
  threadsMax?: number;
}

export type Compiler = "cc" | "go";

/** mode's median <= times x the median of peer + plus, or <= plus if no peer is named. In the benchmark's unit. */
export interface Goal {
  level: "first" | "full";
  mode: Mode;
  peer?: string;
  times?: number;
  plus?: number;
}

export interface Benchmark {
  id: string;
  title: string;
  unit: "ns" | "us" | "ms" | "bytes";
  threads: number;
  /** The peer the column "ratio" refers to. */
  reference?: string;
  programs: readonly Program[];
  goals: readonly Goal[];
  /** Shown under "how cost grows", at `growthSizes` threads. */
  grows?: boolean;
  /** What the reader of "how cost grows" should know. */
  growthNote?: string;
}

export const growthSizes = [10, 1_000, 100_000] as const;

/** bench/ours/<id>.ts in each of `modes`. */
function ours(id: string, ...modes: Mode[]): Program[] {
  return modes.map((mode) => ({
    name: mode,
    kind: "ours",
    file: `ours/${id.toLowerCase()}.js`,
    args: ["--bench", id, "--mode", mode],
  }));
}

function peer(name: string, id: string, file = `peers/${name}.js`, more: Partial<Program> = {}): Program {
  return { name, kind: "peer", file, args: ["--bench", id], ...more };
}

/** pthreads are left out beyond 10,000: hosts limit the threads and mappings of a process. */
function compiledPeers(id: string, more: { pthreads?: Partial<Program> } = {}): Program[] {
  return [
    peer("pthreads", id, "peers/pthreads.c", { needs: "cc", threadsMax: 10_000, ...more.pthreads }),
    peer("go", id, "peers/goroutines.go", { needs: "go" }),
  ];
}

/** Tasks handed to two workers. */
function workerPools(id: string): Program[] {
  return ["postMessage", "piscina"].map((name) => ({
    name,
    kind: "peer",
    file: "peers/tasks.js",
    args: ["--bench", id, "--peer", name],
  }));
}

/** What first and full ask of mp and up, each as a multiple of `peer`. */
function multiplesOf(
  name: string,
  first: Partial<Record<Mode, number>>,
  full: Partial<Record<Mode, number>>,
) {
  const goals: Goal[] = [];
  for (const [level, wanted] of [["first", first] as const, ["full", full] as const]) {
    for (const [mode, times] of Object.entries(wanted)) {
      goals.push({ level, mode: mode as Mode, times, peer: name });
    }
  }
  return goals;
}

export const benchmarks: readonly Benchmark[] = [
  {
    id: "B1",
    title: "yield among 1,000 threads on one CPU",
    unit: "ns",
    threads: 1_000,
    reference: "async",
    programs: [
      ...ours("B1", "mp", "up"),
      peer("trampoline", "B1"),
      peer("async", "B1"),
      peer("effect", "B1"),
      ...compiledPeers("B1"),
    ],
    goals: multiplesOf("async", { mp: 1.8 }, { mp: 1.0, up: 0.8 }),
    grows: true,
  },
  {
    id: "B2",
    title: "spawn + exit + join, in batches of 1,000",
    unit: "ns",
    threads: 1_000,
    reference: "async",
    programs: [
      ...ours("B2", "mp", "up"),
      peer("trampoline", "B2"),
      peer("async", "B2"),
      peer("effect", "B2"),
      ...compiledPeers("B2"),
    ],
    goals: multiplesOf("async", { mp: 2.5 }, { mp: 1.3, up: 1.0 }),
    grows: true,
  },
  {
    id: "B3",
    title: "ring of 503 threads, park + unpark",
    unit: "ns",
    threads: 503,
    reference: "async",
    programs: [
      ...ours("B3", "mp", "up"),
      peer("trampoline", "B3"),
      peer("async", "B3"),
      peer("effect", "B3"),
      ...compiledPeers("B3"),
    ],
    goals: multiplesOf("async", { mp: 3 }, { mp: 1.8, up: 1.1 }),
    grows: true,
    growthNote: "effect hands on by Deferred up to 503 fibers, beyond by Latch, through its scheduler",
  },
  {
    id: "B4",
    title: "ring of 503 threads, by condition variable",
    unit: "ns",
    threads: 503,
    reference: "async",
    programs: [...ours("B4", "mp", "up"), peer("async", "B4")],
    goals: multiplesOf("async", { mp: 4 }, { mp: 2.2 }),
  },
  {
    id: "B5",
    title: "contended mutex, 100 threads x 1,000 sections with a yield inside",
    unit: "ns",
    threads: 100,
    reference: "async",
    programs: [...ours("B5", "mp", "up"), peer("async", "B5"), peer("effect", "B5")],
    goals: multiplesOf("async", {}, { mp: 1.0 }),
  },
  {
    id: "B6",
    title: "Skynet, a million leaves, fan-out 10, depth first",
    unit: "ms",
    threads: 1_000_000,
    reference: "async",
    programs: [...ours("B6", "mp", "up"), peer("async", "B6"), peer("effect", "B6")],
    goals: multiplesOf("async", { mp: 4 }, { mp: 2, up: 1.3 }),
  },
  {
    id: "B7",
    title: "resident bytes of an idle parked thread, 100,000 of them",
    unit: "bytes",
    threads: 100_000,
    reference: "async",
    programs: [
      ...ours("B7", "mp", "up"),
      peer("trampoline", "B7"),
      peer("async", "B7"),
      peer("effect", "B7"),
      ...compiledPeers("B7", { pthreads: { threads: 10_000 } }),
      peer("worker", "B7", "peers/worker.js", { threads: 20 }),
    ],
    goals: [
      { level: "first", mode: "mp", plus: 1_300 },
      { level: "full", mode: "mp", plus: 700 },
    ],
    grows: true,
    growthNote: "a few threads share their pages with much else: read the last column",
  },
  {
    id: "B8",
    title: "wake across CPUs, target spinning, round trip",
    unit: "ns",
    threads: 2,
    reference: "raw",
    programs: [...ours("B8", "mp"), peer("raw", "B8")],
    goals: [
      { level: "first", mode: "mp", times: 1, peer: "raw", plus: 4_000 },
      { level: "full", mode: "mp", times: 1, peer: "raw", plus: 1_000 },
    ],
  },
  {
    id: "B9",
    title: "wake across CPUs, target asleep, round trip",
    unit: "us",
    threads: 2,
    reference: "raw",
    programs: [...ours("B9", "mp"), peer("raw", "B9")],
    goals: multiplesOf("raw", { mp: 1.2 }, { mp: 1.05 }),
  },
  {
    id: "B10",
    title: "1,000 portable tasks of 0.8 ms on two CPUs (ideal: 400 ms)",
    unit: "ms",
    threads: 1_000,
    reference: "postMessage",
    programs: [...ours("B10", "mp", "up"), ...workerPools("B10")],
    goals: [
      { level: "first", mode: "mp", plus: 430 },
      { level: "full", mode: "mp", plus: 412 },
      { level: "full", mode: "mp", times: 1, peer: "postMessage" },
    ],
  },
  {
    id: "B11",
    title: "20,000 empty portable tasks, spawn + join each",
    unit: "ns",
    threads: 20_000,
    reference: "postMessage",
    programs: [...ours("B11", "mp", "up"), ...workerPools("B11")],
    goals: [
      { level: "first", mode: "mp", times: 1.2, peer: "postMessage" },
      { level: "full", mode: "mp", plus: 500 },
    ],
  },
  {
    id: "B12",
    title: "uncontended mutex, lock + unlock",
    unit: "ns",
    threads: 1,
    programs: ours("B12", "mp", "up"),
    goals: [
      { level: "first", mode: "mp", plus: 60 },
      { level: "full", mode: "mp", plus: 30 },
    ],
  },
  {
    id: "B14",
    title: "lag of the event loop while CPU 0 is full, 99th percentile (a slice is 2 ms)",
    unit: "ms",
    threads: 10,
    programs: ours("B14", "mp", "up"),
    goals: [
      { level: "first", mode: "mp", plus: 4 },
      { level: "full", mode: "mp", plus: 2.4 },
    ],
  },
  {
    id: "B15",
    title: "B1 with nobody listening, beside a kernel without probes",
    unit: "ns",
    threads: 1_000,
    reference: "unprobed",
    programs: [
      ...ours("B15", "mp"),
      {
        name: "listening",
        kind: "ours",
        file: "ours/b15.js",
        args: ["--bench", "B15", "--peer", "listening"],
      },
      peer("unprobed", "B15", "ours/b15.js", { args: ["--bench", "B15", "--peer", "unprobed"] }),
    ],
    goals: multiplesOf("unprobed", { mp: 1.02 }, { mp: 1.01 }),
  },
  {
    id: "POLL",
    title: "a round of a loop with a poll, against the loop as it was written",
    unit: "ns",
    threads: 1,
    reference: "unpolled",
    programs: [
      ...ours("POLL", "mp", "up"),
      peer("unpolled", "POLL", "ours/poll.js", { args: ["--bench", "POLL", "--peer", "unpolled"] }),
    ],
    goals: [{ level: "full", mode: "mp", times: 1, peer: "unpolled", plus: 2 }],
  },
  {
    id: "PREEMPT",
    title: "suspend, resume, cancel or kill a thread that computes, worst 95th percentile of 100",
    unit: "ms",
    threads: 1,
    programs: ours("PREEMPT", "mp"),
    goals: [{ level: "full", mode: "mp", plus: 20 }],
  },
  {
    id: "HTTP",
    title: "a request to a server while threads compute on all CPUs, 99th percentile",
    unit: "ms",
    threads: 1,
    reference: "idle",
    programs: [
      ...ours("HTTP", "mp"),
      peer("idle", "HTTP", "ours/http.js", { args: ["--bench", "HTTP", "--peer", "idle"] }),
    ],
    goals: [{ level: "full", mode: "mp", times: 1, peer: "idle", plus: 2 }],
  },
];
