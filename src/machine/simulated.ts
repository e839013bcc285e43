/**
 * Simulated machines for programs: the same programs and closures on any number of simulated CPUs, in this realm, in virtual
 * time. The seed decides who goes on at every step, so the same calls with the same seed give the same interleaving, the
 * same output and the same trace.
 *
 * Nothing runs before somebody asks for the end of a process (`p.exited`): until then processes are only made ready, in the
 * order of the calls. Then the machine runs until all of them have ended, or none can go on; a thousand steps, or the end of
 * a process, and the event loop turns. A program that is to be started meanwhile waits for all that.
 */
import { EAGAIN, KernelAssertion, LwpError } from "../sys/errno.js";
import type { Kernel, Limits } from "../sys/kernel.js";
import { SIGKILL } from "../sys/signal.js";
import type { Body } from "../context/generator.js";
import { asCpu } from "../cpu/dispatcher.js";
import { seededStrategy, SimulatedCpus, type Strategy } from "../cpu/simulated.js";
import { procKill } from "../kern/prockill.js";
import type { SysctlValue } from "../kern/sysctl.js";
import { freeLeftovers } from "../thread/leftovers.js";
import { Publisher } from "./channels.js";
import { runClosure } from "./closure.js";
import { EventHub, type EventOptions, EventStream, type EventType, tellExec } from "./events.js";
import { LinkError, type LinkedProgram } from "./factory.js";
import { Keepalive } from "./keepalive.js";
import type { Letter } from "./letters.js";
import { type ListOptions, type LwpInfo, observer, type ReportFormat } from "./observer.js";
import { type Exit, exitOf, type Main, MachineError, type Process, StallError } from "./process.js";
import { mainOf, Realm } from "./realm.js";
import { type CpuStats, cpuStats } from "./stats.js";
import { VirtualHost } from "./virtual.js";
import { machineSysctl } from "./sysctl.js";

/** What a simulated machine is to be like. */
export interface Simulation {
  /** Decides every choice; 0 unless said. */
  readonly seed?: number;
  /** Answers every choice instead of the seed. */
  readonly strategy?: Strategy;
  /** Simulated CPUs, 1..32; 2 unless said. */
  readonly cpus?: number;
  readonly limits?: Partial<Limits>;
  /** Check all invariants after every step. */
  readonly checked?: boolean;
  /** Wall-clock seconds since 1970 at boot; 1,000,000,000 unless said. */
  readonly wallAtBoot?: number;
  /**
   * Stands in for the host: called with what a thread awaits (`until`), it returns the value or throws the reason. Without
   * it `until` is ENOTSUP.
   */
  readonly host?: (promise: PromiseLike<unknown>) => unknown;
  /** How reports are written to standard error: for people, or as lines of JSON. "text" unless said. */
  readonly reports?: ReportFormat;
}

/** Limits of simulated machines that run programs. */
export const SIMULATION_LIMITS: Partial<Limits> = {
  procs: 64,
  lwps: 16384,
  uids: 8,
  trace: 4096,
  scratch: 4096,
  threads: 16384,
  blocks: 16384,
};

const STEPS_PER_TURN = 1000;

interface Living {
  readonly exited: Promise<Exit>;
  resolve(exit: Exit): void;
  reject(error: Error): void;
}

/** A machine on simulated CPUs, with the interface of a real one: see the top of this file. */
export class SimulatedMachine {
  /** How many CPUs it has. */
  readonly cpus: number;
  readonly #sim: SimulatedCpus;
  readonly #realm: Realm;
  readonly #format: ReportFormat;
  readonly #events: EventHub;
  readonly #publisher: Publisher;
  readonly #living = new Map<number, Living>();
  /** Resolves when the run that is under way is over. */
  #driving: Promise<void> | null = null;
  /** Resolves when the last program that was asked for has been started. */
  #started: Promise<unknown> = Promise.resolve();
  #nextProgram = 1;
  #dead: MachineError | null = null;

  constructor(options: Simulation = {}) {
    this.cpus = options.cpus ?? 2;
    if (!Number.isInteger(this.cpus) || this.cpus < 1 || this.cpus > 32) {
      throw new RangeError(`a machine has 1 to 32 CPUs, not ${this.cpus}`);
    }
    this.#format = options.reports ?? "text";
    const { limits, checked, wallAtBoot, host } = options;
    const strategy = options.strategy ?? seededStrategy(options.seed ?? 0);
    this.#sim = new SimulatedCpus({
      cpus: this.cpus,
      strategy,
      checked,
      wallAtBoot,
      limits: { ...SIMULATION_LIMITS, ...limits },
    });
    const virtual = new VirtualHost(this.#sim);
    this.#realm = new Realm(this.#sim.k, () => {}, { host, virtual, format: this.#format });
    this.#realm.ci = this.kernel.cpus.view(1);
    this.#events = new EventHub(this.kernel);
    this.#publisher = new Publisher(this.#events, this);
  }

  /** The kernel, for those who look inside. */
  get kernel(): Kernel {
    return this.#sim.k;
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#sim.steps;
  }

  /** Virtual seconds since boot. */
  get time(): number {
    return this.kernel.g.time;
  }

  /** The answers to all choices so far: given again, they repeat the run. */
  get schedule(): readonly number[] {
    return this.#sim.schedule;
  }

  // --- processes ---------------------------------------------------------------------------------

  /** Links a program, loads it, and makes a process of it. Rejects as `Machine.exec`. */
  exec(file: string | URL, args: readonly string[] = []): Promise<Process> {
    const start = async (): Promise<Process> => {
      const { linkProgram } = await import("./link.js");
      return this.#start(await linkProgram(file), args);
    };
    return this.#inTurn(() => tellExec(this.#events, String(file), start));
  }

  /** The same for a program that is linked already. @internal */
  execLinked(linked: LinkedProgram, args: readonly string[] = []): Promise<Process> {
    return this.#inTurn(() => tellExec(this.#events, linked.file, () => this.#start(linked, args)));
  }

  /** One after another, in the order of the calls, and none while the machine runs: how long linking takes decides nothing. */
  #inTurn<T>(start: () => Promise<T>): Promise<T> {
    const started = this.#started.then(() => this.#driving).then(start);
    this.#started = started.catch(() => {});
    return started;
  }

  async #start(linked: LinkedProgram, args: readonly string[]): Promise<Process> {
    this.#check();
    const program = this.#nextProgram++;
    const error = await this.#load({ kind: "load", program, linked });
    this.#check();
    const pid =
      error === null
        ? this.#realm.spawn({ kind: "exec", program, ...mainOf(linked), args: [...args] })
        : null;
    if (pid !== null && pid > 0) return this.#process(pid);
    this.#realm.unload(program);
    throw pid === null ? new LinkError("ENOEXEC", error as string) : new LwpError(-pid, "exec");
  }

  /** Loads a program; the error if it never ends, since the event loop is empty and no time passes. */
  async #load(letter: Extract<Letter, { kind: "load" }>): Promise<string | null> {
    const alive = new Keepalive();
    alive.watch(() => this.#realm.giveUpLoading());
    try {
      return await this.#realm.loadOrGiveUp(letter);
    } finally {
      alive.close();
    }
  }

  /** Makes a process whose `main` is a closure: what it returns is the exit status, as in a program. */
  spawn(main: () => Body, comm = "main"): Process {
    this.#check();
    const p = asCpu(this.kernel.cpus.view(1), () => this.#realm.spawnClosure(main, comm));
    if (p === null) throw new LwpError(EAGAIN, "spawn");
    return this.#process(p.pid);
  }

  /** Runs a closure as `spawn` does, and resolves with what it returns: any value. Rejects as `Machine.run`. */
  async run<T>(main: Main<T>, comm = "main"): Promise<T> {
    return runClosure(this.#realm, (body) => this.spawn(body, comm), main);
  }

  #process(pid: number): Process {
    let living: Pick<Living, "resolve" | "reject">;
    const exited = new Promise<Exit>((resolve, reject) => {
      living = { resolve, reject };
    });
    exited.catch(() => {});
    this.#living.set(pid, { exited, ...living! });
    const drive = () => this.#drive();
    return {
      pid,
      get exited() {
        drive();
        return exited;
      },
      kill: () => {
        if (this.#dead === null) asCpu(this.kernel.cpus.view(1), () => procKill(this.kernel, pid, SIGKILL));
      },
    };
  }

  // --- running -----------------------------------------------------------------------------------

  #drive(): void {
    if (this.#dead !== null || this.#living.size === 0) return;
    this.#driving ??= this.#runOn().finally(() => {
      this.#driving = null;
    });
  }

  async #runOn(): Promise<void> {
    // What the caller starts before it gives way comes along.
    await null;
    while (this.#living.size > 0 && this.#dead === null) {
      if (!this.#someSteps()) return this.#stuck();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Runs until a process has ended, or for a while; false: nothing can happen any more. */
  #someSteps(): boolean {
    try {
      for (let n = 0; n < STEPS_PER_TURN; n++) {
        if (!this.#sim.step()) return this.#sim.panic === null ? false : this.#die(this.#sim.panic);
        if (this.#events.listening) this.#events.look();
        if (this.#sim.collected.length > 0) return this.#collect();
      }
      return true;
    } catch (error) {
      return this.#die(error instanceof KernelAssertion ? error.message : String((error as Error).stack));
    }
  }

  #collect(): true {
    for (const { pid, program, status: raw, seconds } of this.#sim.collected.splice(0)) {
      const status = asCpu(this.kernel.cpus.view(1), () => freeLeftovers(this.kernel, pid, raw, program));
      if (program !== 0) this.#realm.unload(program);
      this.#living.get(pid)?.resolve(exitOf(pid, status, seconds));
      this.#living.delete(pid);
    }
    return true;
  }

  /** No thread can ever go on: told to all who wait, and the machine stays as it is, to be looked at. */
  #stuck(): void {
    const pids = [...this.#living.keys()];
    const which = pids.length === 1 ? `process ${pids[0]}` : `processes ${pids.join(", ")}`;
    const text = `deadlock: no thread of ${which} can ever go on`;
    const report = observer().stall(this.kernel, this.#format);
    this.#events.emit("stall", { text: report });
    this.#rejectAll(new StallError(report, text));
  }

  #die(message: string): true {
    this.#dead = new MachineError(message);
    this.#rejectAll(this.#dead);
    this.#events.end();
    this.#publisher.end();
    return true;
  }

  #rejectAll(error: MachineError): void {
    for (const living of this.#living.values()) living.reject(error);
    this.#living.clear();
  }

  #check(): void {
    if (this.#dead !== null) throw this.#dead;
  }

  // --- looking, stopping -------------------------------------------------------------------------

  /** The events of the machine from now on, in order: see `Machine.events`. The same run gives the same. */
  events<T extends EventType = EventType>(options: EventOptions<T> = {}): EventStream<T> {
    return new EventStream(this.#events, options);
  }

  /** Every thread, what it does and what it waits for, by process and id. */
  ps(options: ListOptions = {}): LwpInfo[] {
    return observer().list(this.kernel, options);
  }

  /** What stands under a name of the kernel's tree; with `value` that is set. As of `Machine`. */
  sysctl(name: string, value?: number): SysctlValue {
    return machineSysctl(this.kernel, name, value);
  }

  /** What each CPU has done. */
  stats(): CpuStats[] {
    return cpuStats(this.kernel);
  }

  /** Stops it, wherever its LWPs stand. */
  async shutdown(): Promise<void> {
    if (this.#dead === null) this.#die("the machine has been shut down");
    await this.#driving;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** Runs one program to its end on a simulated machine. Rejects as `exec` and `Process.exited`. */
export async function runSimulated(
  file: string | URL,
  args: readonly string[] = [],
  options: Simulation = {},
): Promise<Exit> {
  const machine = new SimulatedMachine(options);
  try {
    const p = await machine.exec(file, args);
    return await p.exited;
  } finally {
    await machine.shutdown();
  }
}
