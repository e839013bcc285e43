/** The thread library on a simulated machine: its processes are closures, and every invariant is checked after each step. */
import assert from "node:assert/strict";
import * as K from "lwp/kernel";
import { LwpError, type Operation } from "lwp/syscall";
import { TestMachine, type TestMachineOptions } from "./sim.js";

export interface ThreadMachineOptions extends TestMachineOptions {
  /** Generator functions that count as portable entries. */
  readonly entries?: readonly unknown[];
}

export class ThreadMachine extends TestMachine {
  /** What threads threw that nobody has joined. */
  readonly unjoined: unknown[] = [];

  constructor(options: ThreadMachineOptions = {}) {
    super(options);
    const entries = options.entries ?? [];
    K.setThreadHost(this.k, {
      entryOf: (_program, f) => entries.indexOf(f),
      entryAt: (_program, entry) => entries[entry] as K.ThreadMain,
      fatal: (_pid, _lid, error) => this.uncaught.push(error),
      unjoined: (_pid, _lid, error) => this.unjoined.push(error),
    });
    K.attachContexts(this.k, {
      steps: options.steps,
      startEntry: K.startEntry,
      entryAt: (_l, entry) => entries[entry],
      entryOf: (_l, f) => entries.indexOf(f),
      ending: K.threadEnding,
    });
  }

  /** Starts a process whose first thread, lid 1, runs `main`; its return ends the process. */
  override spawn(main: () => K.Body, options: Partial<K.ProcOptions> = {}): K.Proc {
    const t = this.asCpu(() => K.mainRecord(this.k, []));
    assert.ok(t !== null, "the table of threads is full");
    const p = this.sim.spawn(
      { comm: "test", ...options },
      { kind: K.CTX_CLOSURE, closure: main, arg: t.index },
    );
    assert.ok(p !== null, "the process table is full");
    t.pid = p.pid;
    return p;
  }

  /** Runs one process to its end. It must return normally, and leave nothing on the machine. */
  runMain(main: () => K.Body, options: Partial<K.ProcOptions> = {}): void {
    assert.equal(this.runToEnd(main, options), 0);
    this.asCpu(() => {
      for (const { pid } of this.sim.collected) K.freeLeftovers(this.k, pid, 0);
    });
    assert.deepEqual(K.checkEmpty(this.k), []);
  }

  /** Milliseconds of virtual time since the boot. */
  get now(): number {
    return this.k.g.time * 1000;
  }
}

/** Sleeps until `open` is called: an operation of the library as small as can be. */
export class Gate {
  isOpen = false;
  readonly #machine: ThreadMachine;
  /** What the wait sleeps on. */
  readonly channel: number;
  /** Waits that have given up. */
  abandoned = 0;

  constructor(machine: ThreadMachine) {
    this.#machine = machine;
    this.channel = machine.words(2);
  }

  wait(options?: { timeout?: number; signal?: AbortSignal }): Operation<string> {
    return new GateWait(this, options);
  }

  /** Called by a thread. */
  open(): void {
    const { k } = this.#machine;
    this.isOpen = true;
    const bucket = K.sleeptabBucket(k.sleeptab, this.channel);
    K.spinEnter(k, bucket);
    K.sleepqWake(k, K.bucketQueue(bucket), this.channel, Number.MAX_SAFE_INTEGER, bucket);
  }
}

class GateWait extends K.BlockingOperation<string> {
  readonly #gate: Gate;
  constructor(gate: Gate, options: { timeout?: number; signal?: AbortSignal } | undefined) {
    super("Gate.wait", options);
    this.#gate = gate;
  }
  protected override attempt(): boolean {
    if (this.#gate.isOpen) this.result = "open";
    return this.#gate.isOpen;
  }
  protected override block(l: K.Lwp, ticks: number): number {
    const { channel } = this.#gate;
    const bucket = K.sleeptabBucket(l.k.sleeptab, channel);
    K.spinEnter(l.k, bucket);
    if (this.#gate.isOpen) {
      K.spinExit(l.k, bucket);
      return K.BLOCK_RETRY;
    }
    K.sleepqEnter(l, bucket);
    K.sleepqEnqueue(l, K.bucketQueue(bucket), channel, "gate", K.SOBJ_SLEEP);
    return K.sleepqBlock(l, ticks, true);
  }
  protected override abandon(): boolean {
    this.#gate.abandoned++;
    return false;
  }
}

/** What an operation returns, or the code of the error it throws, or its name if it has none. */
export function* outcome<T>(operation: Operation<T>): Generator<K.Token, T | string, undefined> {
  try {
    return yield* operation;
  } catch (error) {
    if (error instanceof LwpError) return error.code;
    if (error instanceof Error) return error.name;
    return String(error);
  }
}
