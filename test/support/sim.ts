/**
 * Driving a simulated machine from a test: a process of closures, run step by step, with every invariant checked after
 * each step.
 */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { LwpError, lwpPark, type Operation } from "lwp/syscall";

/** What a thread runs. */
export type ThreadBody = () => K.Body;

export interface TestMachineOptions extends K.SimulatedOptions {
  /** Step functions by id. */
  readonly steps?: readonly K.StepFunction[];
}

/** A simulated machine with contexts; one CPU, and always the first of each choice, unless said. */
export class TestMachine {
  readonly sim: K.SimulatedCpus;
  readonly k: K.Kernel;
  /** Exceptions that left a thread. */
  readonly uncaught: unknown[] = [];
  #scratchUsed = 0;

  constructor(options: TestMachineOptions = {}) {
    this.sim = new K.SimulatedCpus({ checked: true, ...options });
    this.k = this.sim.k;
    K.attachContexts(this.k, {
      steps: options.steps,
      ending: {
        ...K.PLAIN_ENDING,
        threw: (_l, error) => {
          this.uncaught.push(error);
          return false;
        },
      },
    });
  }

  /** Starts a process whose first LWP, lid 1, runs `main`. */
  spawn(main: ThreadBody, options: Partial<K.ProcOptions> = {}): K.Proc {
    const p = this.sim.spawn({ comm: "test", ...options }, { kind: K.CTX_CLOSURE, closure: main });
    assert.ok(p !== null, "the process table is full");
    return p;
  }

  /** Runs until nothing can happen any more. What left a thread uncaught fails the test. */
  run(limit = 100_000): void {
    const end = this.sim.run(limit);
    if (this.uncaught.length > 0) throw this.uncaught[0];
    assert.equal(this.sim.panic, null);
    assert.equal(end, "idle", `still busy after ${limit} steps`);
  }

  /** Runs until the condition holds after a step. */
  until(condition: () => boolean, limit = 10_000): void {
    for (let i = 0; i < limit; i++) {
      if (condition()) return;
      assert.ok(this.sim.step(), "nothing can happen any more, and the condition does not hold");
    }
    assert.fail(`the condition does not hold after ${limit} steps`);
  }

  /** Runs one process to its end, and returns its status as `wait` gives it. */
  runToEnd(main: ThreadBody, options: Partial<K.ProcOptions> = {}): number {
    const { pid } = this.spawn(main, options);
    this.run();
    const collected = this.sim.collected.find((c) => c.pid === pid);
    assert.ok(collected !== undefined, "the process has not ended");
    return collected.status;
  }

  /** Runs kernel code as CPU `n`, between LWPs. */
  asCpu<T>(body: () => T, n = 0): T {
    return K.asCpu(this.cpu(n), body);
  }

  /** The same with the process locked. */
  locked<T>(p: K.Proc, body: () => T): T {
    return this.asCpu(() => withLock(this.k, p.lock, body));
  }

  /** CPU number `n`, from 0. */
  cpu(n: number): K.Cpu {
    return this.k.cpus.view(n + 1);
  }

  /** The LWP of a process by its lid, in whatever state. */
  lwp(p: K.Proc, lid: number): K.Lwp {
    const l = K.procLwps(p).find((other) => other.lid === lid);
    assert.ok(l !== undefined, `no LWP ${lid}`);
    return l;
  }

  /** Calls `body` whenever a CPU waits for another, instead of failing; it plays the other CPU. */
  whileWaiting(body: (site: string) => void): void {
    this.sim.relax = body as (site: string) => never;
  }

  /** Fresh words of scratch memory, for a mutex, a condition variable, a callout. */
  words(n: number): number {
    const at = this.k.scratch + this.#scratchUsed;
    this.#scratchUsed += n + (n & 1);
    return at;
  }

  /** The first LWP of a new process, on a run queue, with this priority. */
  queued(priority: number, body: ThreadBody): K.Lwp {
    const l = this.lwp(this.spawn(body), 1);
    this.holding(l, () => K.lwpChangepri(l, priority));
    return l;
  }

  /** Runs kernel code as CPU `n` with an LWP locked; it may hand the LWP over to another lock it holds. */
  holding<T>(l: K.Lwp, body: () => T, n = 0): T {
    return this.asCpu(() => {
      K.lwpLock(l);
      const result = body();
      K.lwpUnlock(l);
      return result;
    }, n);
  }

  /** Sets flags of an LWP, as another CPU would. */
  setFlags(l: K.Lwp, flags: number): void {
    this.asCpu(() => {
      K.lwpLock(l);
      l.flag |= flags;
      K.lwpUnlock(l);
    });
  }
}

/** The counters of a process as the test vectors write them: LWPs, zombies, running, detached, waiting. */
export function counters(p: K.Proc): string {
  return `nl${p.nlwps} nz${p.nzlwps} nr${p.nrlwps} nd${p.ndlwps} nw${p.nlwpwait}`;
}

/** A thread that parks once, for ever unless it is woken. */
export function* parked(): Generator<K.Token, void, undefined> {
  yield* lwpPark();
}

/** What an operation returns, or the code of the error it throws. */
export function* attempt<T>(operation: Operation<T>): Generator<K.Token, T | string, undefined> {
  try {
    return yield* operation;
  } catch (error) {
    if (error instanceof LwpError) return error.code;
    throw error;
  }
}

/** Runs the body with a spin lock held; the body may not sleep, and may not release it. */
export function withLock<T>(k: K.Kernel, lock: number, body: () => T): T {
  K.spinEnter(k, lock);
  try {
    return body();
  } finally {
    if (K.spinOwned(k, lock)) K.spinExit(k, lock);
  }
}

/** The name of an LWP's state. */
export function stateOf(l: K.Lwp): string {
  return K.STATE_NAMES[l.stat];
}

/** That the body breaks a precondition of the kernel: the machine is dead afterwards, so give it one of its own. */
export function assertPanics(body: () => unknown, message: RegExp): void {
  assert.throws(body, (error) => {
    assert.ok(error instanceof K.KernelAssertion, `threw ${String(error)}`);
    assert.match(error.message, message);
    return true;
  });
}
