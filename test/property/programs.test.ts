/**
 * Random programs of system calls on simulated machines of 1 to 4 CPUs, under random schedules.
 *
 * 300 programs, or as many as LWP_PROPERTY_RUNS says. All transitions of LWP-15 happen in them. Those that no system call of
 * theirs asks for are driven by hand (hands.ts):
 *
 * - ONPROC, SLEEP or IDL to STOP, and STOP to RUN, ONPROC or SLEEP, by a debugger that stops and continues the process;
 * - IDL to ZOMB by a creator that throws an LWP away before it has started, as a failed clone would;
 * - SUSPENDED to ONPROC, and STOP to ONPROC, by a continue in the window before the switch.
 *
 * ONPROC to IDL and IDL to ONPROC are the idle threads'; no soft-interrupt or other kernel thread is built.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as K from "lwp/kernel";
import { CALLS, type Program, program } from "./program.js";
import { PropertyMachine, type RunResult } from "./run.js";

const RUNS = Number(process.env.LWP_PROPERTY_RUNS ?? 300);
const SEED = 20120830;
/** How often each call and each transition must have happened in 300 programs. */
const OFTEN = 1000;

/** How often in as many programs as there are; of a few, half of that, since they differ. */
function share(): number {
  return (OFTEN * RUNS) / (RUNS < 300 ? 600 : 300);
}

/** One machine for each shape, cleared between programs. */
const machines = new Map<string, PropertyMachine>();

function machineFor(p: Program): PropertyMachine {
  const shape = `${p.cpus} ${p.lwps}`;
  let machine = machines.get(shape);
  if (machine === undefined) {
    machine = new PropertyMachine(p.cpus, p.lwps);
    machines.set(shape, machine);
  }
  return machine;
}

function runOnce(p: Program): RunResult {
  const machine = machineFor(p);
  try {
    return machine.run(p);
  } catch (error) {
    // A dead machine cannot be cleared.
    machines.delete(`${p.cpus} ${p.lwps}`);
    throw error;
  }
}

class Totals {
  readonly calls = new Map<string, number>();
  readonly transitions = new Map<string, number>();
  readonly callsOfEach: number[] = [];
  readonly lwpsOfEach: number[] = [];
  steps = 0;
  collected = 0;
  deadlocked = 0;

  add(r: RunResult): void {
    let calls = 0;
    for (const [name, n] of r.counts) {
      this.calls.set(name, (this.calls.get(name) ?? 0) + n);
      calls += n;
    }
    for (const [name, n] of r.transitions) this.transitions.set(name, (this.transitions.get(name) ?? 0) + n);
    this.callsOfEach.push(calls);
    this.lwpsOfEach.push(r.lwps);
    this.steps += r.steps;
    this.collected += r.collected;
    if (r.deadlocked) this.deadlocked++;
  }

  text(): string[] {
    const list = (counts: ReadonlyMap<string, number>) =>
      [...counts].map(([name, n]) => `${name} ${n}`).join(", ");
    return [
      `${this.callsOfEach.length} programs, ${this.steps} steps; seed ${SEED}`,
      `median of calls ${median(this.callsOfEach)}, of LWPs ${median(this.lwpsOfEach)}`,
      `${this.collected} LWPs collected by a wait; ${this.deadlocked} programs had to be woken`,
      `calls: ${list(this.calls)}`,
      `transitions: ${list(this.transitions)}`,
    ];
  }
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}

let totals: Totals | undefined;

/** Runs all programs, the first time it is called. */
function runAll(): Totals {
  if (totals !== undefined) return totals;
  const sum = new Totals();
  fc.assert(
    fc.property(program, (p) => sum.add(runOnce(p))),
    { numRuns: RUNS, seed: SEED, includeErrorInReport: true },
  );
  totals = sum;
  return sum;
}

test("LWP-14, LWP-28, BLK-100: every invariant holds after every step of random programs, and nothing is left", (t) => {
  for (const line of runAll().text()) t.diagnostic(line);
});

/** LWP-15, spelled out. */
const PERMITTED: Readonly<Record<string, readonly string[]>> = {
  RUN: ["ONPROC"],
  ONPROC: ["RUN", "SLEEP", "STOP", "SUSPENDED", "ZOMB", "IDL"],
  SLEEP: ["ONPROC", "RUN", "STOP"],
  STOP: ["RUN", "ONPROC", "SLEEP"],
  SUSPENDED: ["RUN", "ONPROC"],
  IDL: ["RUN", "SUSPENDED", "STOP", "ONPROC", "ZOMB"],
};

test("LWP-15, LWP-16, LWP-19: random programs make every permitted transition, each 1,000 times, and no other", () => {
  const { transitions } = runAll();
  const permitted = Object.entries(PERMITTED).flatMap(([from, all]) => all.map((to) => `${from} -> ${to}`));
  assert.deepEqual([...transitions.keys()].sort(), permitted.sort());
  const enough = share();
  for (const [name, n] of transitions) assert.ok(n >= enough, `${name}: ${n} times`);
});

test("random programs are of some size, and make every call 1,000 times", () => {
  const sum = runAll();
  assert.ok(median(sum.callsOfEach) >= 50);
  assert.ok(median(sum.lwpsOfEach) >= 4);
  const enough = share();
  for (const name of [...CALLS, "lwpMigrate", "LWP_PIDLID", "vfork made"]) {
    const n = sum.calls.get(name) ?? 0;
    assert.ok(n >= enough, `${name}: ${n} times`);
  }
  for (const name of ["LWP_PIDLID EAGAIN", "vfork EAGAIN", "vforkDone"]) {
    const n = sum.calls.get(name) ?? 0;
    assert.ok(n >= enough / 10, `${name}: ${n} times`);
  }
});

/** Some programs on each number of CPUs. */
const SAMPLES = fc.sample(program, { numRuns: 12, seed: SEED });

function everything(r: RunResult): unknown {
  return [r.steps, r.schedule, r.log, r.trace, [...r.transitions], [...r.counts]];
}

test("the same seed gives the same run: on a new machine, on a used one, and from its schedule", () => {
  for (const p of SAMPLES) {
    const machine = new PropertyMachine(p.cpus, p.lwps);
    const first = machine.run(p, { traced: true });
    assert.ok(first.trace.length > 100 && first.schedule.length > 100);
    const expected = everything(first);
    assert.deepEqual(everything(machine.run(p, { traced: true })), expected, "after a reset");
    assert.deepEqual(everything(machine.run(p, { traced: true, schedule: first.schedule })), expected);
    const other = new PropertyMachine(p.cpus, p.lwps);
    other.run({ ...p, seed: p.seed ^ 1 });
    assert.deepEqual(everything(other.run(p, { traced: true })), expected, "after another program");
  }
});

test("another seed gives another run", () => {
  const p = SAMPLES[0];
  const machine = new PropertyMachine(p.cpus, p.lwps);
  assert.notDeepEqual(machine.run(p).schedule, machine.run({ ...p, seed: p.seed ^ 1 }).schedule);
});

/** A lost count, as a kernel with a defect would have it. */
function miscount(k: K.Kernel, step: number): void {
  const p = K.allProcs(k).find((other) => other.pid !== 0);
  if (step === 50 && p !== undefined) p.nlwps++;
}

function failureOf(p: Program, schedule?: readonly number[]): string {
  try {
    new PropertyMachine(p.cpus, p.lwps).run(p, { spoil: miscount, schedule });
  } catch (error) {
    return (error as Error).message;
  }
  return assert.fail("a wrong count went unnoticed");
}

test("a failure names the seed, the step, the program and the schedule, and comes again from each of them", () => {
  const p = SAMPLES[1];
  const message = failureOf(p);
  const [what, programLine, scheduleLine] = message.split("\n");
  assert.match(what, new RegExp(`^seed ${p.seed}, step 50: .*nlwps \\d+, \\d+ on the list`));
  const printed = JSON.parse(programLine.slice("program: ".length)) as Program;
  const schedule = JSON.parse(scheduleLine.slice("schedule: ".length)) as number[];
  assert.equal(failureOf(printed), message);
  assert.equal(
    failureOf({ ...printed, seed: 0 }, schedule),
    message.replace(`seed ${p.seed}`, "seed 0").replace(`"seed":${p.seed}`, '"seed":0'),
  );
});
