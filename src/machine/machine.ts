/**
 * A machine: boot, exec, shut down.
 *
 * The booting realm is CPU 0, unless it asks to be a client; a clock worker starts the others. With one CPU there are no
 * workers: the CPU is its own clock.
 */
import { availableParallelism } from "node:os";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { SharedMemory } from "../sys/atomic.js";
import { cur } from "../sys/current.js";
import { EAGAIN, KernelAssertion, LwpError } from "../sys/errno.js";
import { DEFAULT_LIMITS, type Kernel, type Limits } from "../sys/kernel.js";
import { ATTN_HALT } from "../sys/param.js";
import type { Body } from "../context/generator.js";
import { asCpu, retireBooter } from "../cpu/dispatcher.js";
import { Lockstep } from "../cpu/lockstep.js";
import { endIdleWait } from "../cpu/loop.js";
import { machineQuiet } from "../cpu/quiet.js";
import { kernelBoot } from "../kern/init.js";
import { panic } from "../kern/panic.js";
import type { SysctlEntry, SysctlValue } from "../kern/sysctl.js";
import { AttachedCpu, attend, ringCpu } from "./attached.js";
import { Publisher } from "./channels.js";
import { runClosure } from "./closure.js";
import { EventHub, type EventOptions, EventStream, type EventType, tellExec } from "./events.js";
import { diagFromEnvironment, spinsFromEnvironment } from "./environment.js";
import { LinkError, type LinkedProgram } from "./factory.js";
import type { ClockBoot, ClockNews, Letter, News } from "./letters.js";
import { Keepalive } from "./keepalive.js";
import { hasSharedMemory, refusal, warnOneCpu, whyOneCpu, WorkersError } from "./means.js";
import { type ListOptions, type LwpInfo, observer, type ReportFormat } from "./observer.js";
import { writeNow } from "./output.js";
import { type Exit, exitOf, type Main, MachineError, type Process } from "./process.js";
import { hostKernel, mainOf, Realm } from "./realm.js";
import { SimulatedMachine, type Simulation } from "./simulated.js";
import { type CpuStats, cpuStats } from "./stats.js";
import { machineSysctl, machineSysctls } from "./sysctl.js";
import { turnLoop } from "./turn.js";

/** What a machine is to be like. */
export interface BootOptions {
  /** CPUs, 1..32; as many as the machine has cores unless said. */
  readonly cpus?: number;
  readonly limits?: Partial<Limits>;
  /**
   * The calling realm has nothing to do but run the machine's processes: CPU 0 may block its event loop while there are
   * some and none of their threads awaits the host. Otherwise it never blocks, and turns the loop once a slice.
   */
  readonly dedicated?: boolean;
  /** The caller is no CPU: all of them are workers. */
  readonly client?: boolean;
  /**
   * How run time is charged: "sampled", unless said, by a clock that is refreshed at ticks and idle exits; "exact" by a clock
   * that is read at every switch, which then takes some 80 ns more.
   */
  readonly accounting?: "sampled" | "exact";
  /** How reports are written to standard error: for people, or as lines of JSON. "text" unless said. */
  readonly reports?: ReportFormat;
  /**
   * Whether a thread is preempted when its time slice is over; true unless said. Without that threads of one priority give
   * way to each other only at operations that do so; suspending and ending them works all the same.
   */
  readonly preempt?: boolean;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

interface Loading extends Waiter<void> {
  left: number;
}

type Living = Waiter<Exit>;

/**
 * Boots a machine; resolves when all its CPUs are online. Where the host allows only one CPU it has one, and a warning
 * (LWP_ONE_CPU) says why.
 *
 * Rejects with RangeError if `cpus` is none of 1..32, TypeError if `accounting` is neither of its words; with WorkersError if a client's workers cannot be made.
 */
export async function boot(options?: BootOptions): Promise<Machine>;
/** A simulated machine: see machine/simulated.ts. Rejects with RangeError if `cpus` is none of 1..32. */
export async function boot(options: { readonly simulated: Simulation }): Promise<SimulatedMachine>;
export async function boot(
  options: BootOptions & { readonly simulated?: Simulation } = {},
): Promise<Machine | SimulatedMachine> {
  return options.simulated === undefined ? bootReal(options) : new SimulatedMachine(options.simulated);
}

async function bootReal(options: BootOptions): Promise<Machine> {
  const cpus = checkCpus(options.cpus ?? availableParallelism());
  const client = options.client ?? false;
  const why = whyOneCpu();
  if (why !== null && client) throw new WorkersError(`a client machine needs workers: ${why}`);
  if (why !== null && options.cpus !== 1) return bootOne(options, why);
  let machine: Machine | null = null;
  try {
    machine = new Machine({ ...options, cpus });
    await machine.ready;
    return machine;
  } catch (error) {
    if (!(error instanceof WorkersError)) throw error;
    await machine?.shutdown();
    if (client) throw error;
    return bootOne(options, error.message);
  }
}

function bootOne(options: BootOptions, why: string): Machine {
  warnOneCpu(why);
  return new Machine({ ...options, cpus: 1 });
}

function checkCpus(cpus: number): number {
  if (Number.isInteger(cpus) && cpus >= 1 && cpus <= 32) return cpus;
  throw new RangeError(`a machine has 1 to 32 CPUs, not ${cpus}`);
}

function checkAccounting(accounting = "sampled"): string {
  if (accounting === "sampled" || accounting === "exact") return accounting;
  throw new TypeError(`accounting is "sampled" or "exact", not ${accounting}`);
}

/** A machine on real CPUs: `boot` makes one. */
export class Machine {
  /** How many CPUs it has. */
  readonly cpus: number;
  /** Resolves when all its CPUs run; rejects with WorkersError if they cannot be made. `boot` has waited for it. */
  readonly ready: Promise<void>;
  readonly #realm: Realm;
  readonly #events: EventHub;
  readonly #publisher: Publisher;
  readonly #client: boolean;
  readonly #format: ReportFormat;
  readonly #ports: MessagePort[] = [];
  /** Letters to CPU 0 where that is this realm. */
  readonly #ownLetters: Letter[] = [];
  readonly #loading = new Map<number, Loading>();
  readonly #spawning = new Map<number, Waiter<number>>();
  readonly #living = new Map<number, Living>();
  /** Exits that came before anybody asked for them. */
  readonly #early = new Map<number, Exit>();
  #clock: Worker | null = null;
  #clockStopped: Promise<void> = Promise.resolve();
  #ownCpu: Promise<void> = Promise.resolve();
  #next = 1;
  #dead: MachineError | null = null;
  #booting: Waiter<void> | null = null;
  /** All CPUs run. */
  #online = false;
  readonly #alive: Keepalive;
  /**
   * Called with the report when the machine has stalled. Unless it is set, or somebody listens to events, the report goes to
   * standard error.
   */
  onStall: ((report: string) => void) | null = null;

  constructor(options: BootOptions) {
    const cores = availableParallelism();
    this.#client = options.client ?? false;
    this.#format = options.reports ?? "text";
    this.cpus = checkCpus(options.cpus ?? cores);
    const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits, cpus: this.cpus };
    const mp = this.cpus > 1 || this.#client;
    const shared = hasSharedMemory();
    const exact = checkAccounting(options.accounting) === "exact";
    const dedicated = options.dedicated ?? false;
    const readsClock = !dedicated && !this.#client;
    const kernelOptions = {
      mp,
      compilable: shared,
      selfClocked: !mp,
      readsClock,
      shared,
      delays: this.#client,
      exact,
    };
    const k = hostKernel(limits, kernelOptions, this.#format);
    this.#realm = new Realm(k, (news) => this.#hear(news), { format: this.#format });
    this.#bootKernel(options.preempt ?? true);
    this.#events = new EventHub(k);
    this.#publisher = new Publisher(this.#events, this);
    const idleSpins = this.cpus <= cores ? 2000 : 0;
    this.ready = mp ? this.#startClock(limits, idleSpins, !dedicated) : Promise.resolve();
    // Last, since a constructor that throws must leave nothing behind.
    this.#alive = new Keepalive();
    if (!this.#client) {
      this.#ownCpu = this.ready.then(
        () => this.#runCpu0(idleSpins, dedicated),
        () => {},
      );
    }
  }

  /** The kernel, for those who look inside. */
  get kernel(): Kernel {
    return this.#realm.k;
  }

  #bootKernel(preempt: boolean): void {
    const { k } = this.#realm;
    const saved = { ...cur };
    cur.kicks = 0;
    kernelBoot(k, {
      cpus: this.cpus,
      realmOf: (index) => index,
      preempt,
      spins: spinsFromEnvironment(),
      diag: diagFromEnvironment(),
    });
    retireBooter();
    Object.assign(cur, saved);
  }

  #startClock(limits: Limits, idleSpins: number, embedded: boolean): Promise<void> {
    const remote: MessagePort[] = [];
    for (let i = this.#client ? 1 : 2; i <= this.cpus; i++) {
      const { port1, port2 } = new MessageChannel();
      port1.on("message", (news: News) => this.#hear(news));
      port1.unref();
      this.#ports.push(port1);
      remote.push(port2);
    }
    const data: ClockBoot = {
      memory: this.kernel.memory as SharedMemory,
      user: this.kernel.user as SharedArrayBuffer,
      limits,
      cpus: this.cpus,
      idleSpins,
      embedded,
      delays: this.#client,
      exact: this.kernel.exact,
      format: this.#format,
      client: this.#client,
      ports: remote,
    };
    const clock = startWorker(data, remote);
    this.#clock = clock;
    let why = "";
    this.#clockStopped = new Promise((stopped) => {
      clock.on("error", (error) => {
        why = `: ${error.message}`;
      });
      clock.on("exit", (code) => {
        const how = `(exit code ${code}${why})`;
        if (!this.#online) this.#booting?.reject(new WorkersError(`the clock did not start ${how}`));
        else if (this.kernel.g.halted === 0) this.#clockDied(`the clock died ${how}`);
        stopped();
      });
    });
    return new Promise((resolve, reject) => {
      this.#booting = { resolve, reject };
      clock.on("message", (news: ClockNews) => {
        if (news.kind === "online") {
          this.#online = true;
          resolve();
        } else if (news.kind === "unstarted") reject(new WorkersError(news.message));
        else if (news.kind === "dead") this.#die(news.message);
        else if (news.kind === "quiet") this.#askIfStalled();
      });
      // It does not keep this realm's event loop going, see #askIfStalled. After the listener, which would.
      clock.unref();
    });
  }

  /** Without a clock the machine stands still. If it died because the machine was dead, that is told already. */
  #clockDied(message: string): void {
    try {
      panic(this.kernel, message);
    } catch (error) {
      if (!(error instanceof KernelAssertion)) throw error;
    }
    this.#die(message);
  }

  async #runCpu0(idleSpins: number, dedicated: boolean): Promise<void> {
    const ci = this.kernel.cpus.view(1);
    const mail = new AttachedCpu(ci);
    const letters = (): Letter | null => (mail.hasMail() ? (this.#ownLetters.shift() ?? null) : null);
    const busy = () => this.#living.size === 0 || this.#loading.size > 0 || this.#spawning.size > 0;
    const embedded = () => !dedicated || busy() || this.#events.listening;
    // Where there is a clock, that says when it is time to ask this realm.
    const rest = () => {
      if (this.#realm.isLoading) this.#alive.watch(() => this.#realm.giveUpLoading());
      else if (this.kernel.selfClocked) this.#askIfStalled();
    };
    const rise = () => this.#alive.hold();
    await this.#realm.runCpu(
      ci,
      { embedded, listens: dedicated, idleSpins, turn: turnLoop, rest, rise },
      letters,
    );
    if (this.kernel.g.dead !== 0) this.#die(this.kernel.g.deadText);
  }

  // --- letters and news --------------------------------------------------------------------------

  #post(cpu: number, letter: Letter): void {
    const ports = this.#client ? cpu : cpu - 1;
    if (ports < 0) this.#ownLetters.push(letter);
    else this.#ports[ports].postMessage(letter);
    const ci = this.kernel.cpus.view(cpu + 1);
    ringCpu(ci);
    if (ports < 0) endIdleWait(ci);
  }

  #hear(news: News): void {
    switch (news.kind) {
      case "loaded": {
        // Others may be loading still: the event loop must not run out because this realm is done.
        if (!this.#realm.isLoading) this.#alive.hold();
        const loading = this.#loading.get(news.program);
        if (loading === undefined) return;
        if (news.error === null && --loading.left > 0) return;
        this.#loading.delete(news.program);
        if (news.error === null) loading.resolve();
        else loading.reject(new LinkError("ENOEXEC", news.error));
        return;
      }
      case "spawned":
        this.#spawning.get(news.id)?.resolve(news.pid);
        this.#spawning.delete(news.id);
        return;
      case "exited":
        this.#exited(news);
    }
  }

  #exited(news: Extract<News, { kind: "exited" }>): void {
    const exit = exitOf(news.pid, news.status, news.seconds);
    if (news.program !== 0) this.#unload(news.program);
    const living = this.#living.get(news.pid);
    this.#living.delete(news.pid);
    if (living === undefined) this.#early.set(news.pid, exit);
    else living.resolve(exit);
  }

  #unload(program: number): void {
    for (let cpu = 0; cpu < this.cpus; cpu++) this.#post(cpu, { kind: "unload", program });
  }

  // --- programs ----------------------------------------------------------------------------------

  /**
   * Links a program, loads it on every CPU, and starts it. Resolves when it has been started.
   *
   * Rejects with LinkError: ENOENT there is no such file; ENOEXEC it does not parse, has no `main`, or fails to load. With
   * LwpError: EAGAIN a table is full; ENOMEM the arena has no room for the arguments.
   */
  exec(file: string | URL, args: readonly string[] = []): Promise<Process> {
    return tellExec(this.#events, String(file), async () => {
      const { linkProgram } = await import("./link.js");
      return this.#start(await linkProgram(file), args);
    });
  }

  /** The same for a program that is linked already. @internal */
  execLinked(linked: LinkedProgram, args: readonly string[] = []): Promise<Process> {
    return tellExec(this.#events, linked.file, () => this.#start(linked, args));
  }

  async #start(linked: LinkedProgram, args: readonly string[]): Promise<Process> {
    this.#check();
    const program = this.#next++;
    await new Promise<void>((resolve, reject) => {
      this.#loading.set(program, { left: this.cpus, resolve, reject });
      for (let cpu = 0; cpu < this.cpus; cpu++) this.#post(cpu, { kind: "load", program, linked });
    }).catch((error: unknown) => {
      this.#unload(program);
      throw error;
    });
    this.#check();
    const id = this.#next++;
    const pid = await new Promise<number>((resolve, reject) => {
      this.#spawning.set(id, { resolve, reject });
      this.#post(0, { kind: "exec", id, program, ...mainOf(linked), args: [...args] });
    });
    if (pid < 0) {
      this.#unload(program);
      throw new LwpError(-pid, "exec");
    }
    return this.#process(pid);
  }

  /**
   * Starts a process of this realm whose `main` is a closure: what it returns is the exit status, as in a program. Its
   * threads stay on CPU 0.
   *
   * Errors: EAGAIN a table is full; MachineError the machine has stopped; Error a client machine has no CPU here.
   */
  spawn(main: () => Body, comm = "main"): Process {
    this.#check();
    if (this.#client) throw new Error("a client machine has no CPU in this realm to run a closure on");
    const ci = this.kernel.cpus.view(1);
    const p = asCpu(ci, () => this.#realm.spawnClosure(main, comm));
    endIdleWait(ci);
    if (p === null) throw new LwpError(EAGAIN, "spawn");
    return this.#process(p.pid);
  }

  /**
   * Runs a closure as `spawn` does, and resolves with what it returns: any value, since it stays in this realm.
   *
   * Rejects with what it throws, or what another thread of it leaves uncaught; with ExitError if its process ends before
   * that; with MachineError if the machine stops.
   */
  async run<T>(main: Main<T>, comm = "main"): Promise<T> {
    return runClosure(this.#realm, (body) => this.spawn(body, comm), main);
  }

  #kill(pid: number): void {
    if (this.#dead === null && this.kernel.g.halted === 0) this.#post(0, { kind: "kill", pid });
  }

  #process(pid: number): Process {
    const early = this.#early.get(pid);
    this.#early.delete(pid);
    const exited =
      early !== undefined
        ? Promise.resolve(early)
        : new Promise<Exit>((resolve, reject) => {
            this.#living.set(pid, { resolve, reject });
          });
    exited.catch(() => {});
    return { pid, exited, kill: () => this.#kill(pid) };
  }

  // --- looking, stopping -------------------------------------------------------------------------

  /**
   * The events of the machine from now on, in the order in which they happened, at most a slice late. Costs nothing while
   * nobody listens. Ends with the machine. TypeError: there are no events of such a type.
   */
  events<T extends EventType = EventType>(options: EventOptions<T> = {}): EventStream<T> {
    return new EventStream(this.#events, options);
  }

  /** Every thread, what it does and what it waits for, by process and id. Takes no lock; the machine goes on meanwhile. */
  ps(options: ListOptions = {}): LwpInfo[] {
    return observer().list(this.kernel, options);
  }

  /**
   * What stands under a name of the kernel's tree, such as "kern.maxlwp"; with `value` that is set first, and the value before
   * is returned. Acts as the superuser. LwpError: ENOENT, ENOTDIR, EISDIR the name; EPERM it cannot be written; EINVAL the
   * value. Source: sysctl(3).
   */
  sysctl(name: string, value?: number): SysctlValue {
    return machineSysctl(this.#looked(), name, value);
  }

  /** All names of that tree that have a value, with their descriptions. */
  sysctls(): SysctlEntry[] {
    return machineSysctls(this.#looked());
  }

  /** The kernel of a machine that runs, and of which this realm is a CPU: only a CPU may take its locks. */
  #looked(): Kernel {
    this.#check();
    if (this.#client) throw new Error("a client machine has no CPU in this realm");
    return this.kernel;
  }

  /** What each CPU has done. */
  stats(): CpuStats[] {
    return cpuStats(this.kernel);
  }

  /** Wake-ups that only a time-out found, over all CPUs: 0 on a sound machine. */
  get lostWakeups(): number {
    let n = 0;
    for (let i = 1; i <= this.cpus; i++) n += this.kernel.cpus.view(i).lostWakeups;
    return n;
  }

  /**
   * The machine is quiet. Whether it has stalled, in steps: (1) this realm's event loop is let run out, unless something of
   * the machine happens before; (2) once nothing is left in it, the machine is looked at again, and since this realm does
   * nothing else at that moment, it is final.
   */
  #askIfStalled(): void {
    if (this.#isQuiet()) this.#alive.watch(() => this.#stalled());
  }

  /** Whether there are processes, and none of them can move by anything that this realm does not do. */
  #isQuiet(): boolean {
    const { kernel } = this;
    const idle = kernel.g.nprocs <= 1 || this.#loading.size > 0 || this.#spawning.size > 0;
    // Under lockstep the controller moves the machine.
    return !idle && kernel.g.lockstep === 0 && machineQuiet(kernel, this.#client ? 0 : 1);
  }

  #stalled(): void {
    if (!this.#isQuiet()) return;
    const text = observer().stall(this.kernel, this.#format);
    if (this.onStall !== null) this.onStall(text);
    else if (!this.#events.listening) writeNow(2, text);
    this.#events.emit("stall", { text });
  }

  /** A controller of the machine's delay points; only for client machines. */
  lockstep(): Lockstep {
    if (!this.#client) throw new Error("lockstep needs a client machine: the controller must not be a CPU");
    return new Lockstep(this.kernel);
  }

  #check(): void {
    if (this.#dead !== null) throw this.#dead;
    if (this.kernel.g.halted !== 0) throw new MachineError("the machine has been shut down");
  }

  /** Rejects everything that waits for a dead machine. */
  #die(message: string): void {
    if (this.#dead !== null) return;
    this.#dead = new MachineError(message);
    this.#booting?.reject(this.#dead);
    this.#rejectAll(this.#dead);
    this.#end();
    this.#alive.close();
  }

  #end(): void {
    this.#events.end();
    this.#publisher.end();
  }

  #rejectAll(error: MachineError): void {
    const all = [...this.#loading.values(), ...this.#spawning.values(), ...this.#living.values()];
    for (const waiter of all) waiter.reject(error);
  }

  /** Stops all CPUs, wherever their LWPs stand, and waits until they have. */
  async shutdown(): Promise<void> {
    const { g } = this.kernel;
    this.#alive.hold();
    this.#clock?.ref();
    g.halted = 1;
    for (let i = 1; i <= this.cpus; i++) attend(this.kernel.cpus.view(i), ATTN_HALT);
    endIdleWait(this.kernel.cpus.view(1));
    await this.ready.catch(() => {});
    await this.#ownCpu;
    await this.#clockStopped;
    this.#alive.close();
    this.#rejectAll(new MachineError("the machine was shut down"));
    this.#end();
    for (const port of this.#ports) port.close();
  }

  /** As `shutdown`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

function startWorker(data: ClockBoot, ports: MessagePort[]): Worker {
  try {
    return new Worker(new URL("clock-worker.js", import.meta.url), {
      workerData: data,
      transferList: ports,
      name: "lwp clock",
      ...inheritedOptions(),
    });
  } catch (error) {
    for (const port of ports) port.close();
    throw new WorkersError(`workers cannot be made: ${refusal(error) ?? (error as Error).message}`, {
      cause: error,
    });
  }
}

/**
 * Options for the workers. They inherit those of the process, but one that is about the text of `node -e` alone would end
 * them at once.
 */
function inheritedOptions(): { execArgv?: string[] } {
  return process.execArgv.some((option) => option.startsWith("--input-type")) ? { execArgv: [] } : {};
}
