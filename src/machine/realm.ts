/**
 * One realm of a machine: its kernel, its CPU, and the programs it has loaded.
 *
 * The same for the booting realm and for workers; only who carries letters and news differs.
 */
import { basename } from "node:path";
import type { SharedMemory } from "../sys/atomic.js";
import { cur } from "../sys/current.js";
import { type Cpu, CpuRecord } from "../sys/cpu.js";
import { EAGAIN, KernelAssertion, LwpError } from "../sys/errno.js";
import { Kernel, type KernelOptions, type Limits } from "../sys/kernel.js";
import { CPU_HALTED, CTX_CLOSURE, CTX_ENTRY } from "../sys/param.js";
import type { Proc } from "../sys/proc.js";
import { SIGKILL } from "../sys/signal.js";
import type { ThreadRec } from "../sys/thread.js";
import type { Body } from "../context/generator.js";
import { attachContexts } from "../context/index.js";
import { forgetPolls } from "../context/polls.js";
import type { StepFunction } from "../context/step.js";
import { asCpu } from "../cpu/dispatcher.js";
import { HostPort } from "../cpu/hostport.js";
import { cpuLoop, type LoopOptions } from "../cpu/loop.js";
import { attachCompiled } from "../kern/compiled.js";
import { hostwaitAdd } from "../kern/hostwait.js";
import { kernelAttach } from "../kern/init.js";
import { panic } from "../kern/panic.js";
import { procReap, procSpawn } from "../kern/proc.js";
import { procKill } from "../kern/prockill.js";
import { pollsOf } from "../thread/checkpoint.js";
import { type RealmServices, setThreadHost, type ThreadMain } from "../thread/host.js";
import { threadEnding } from "../thread/ending.js";
import { freeLeftovers } from "../thread/leftovers.js";
import { dropLocals, freeRecord } from "../thread/record.js";
import { inContext, mainRecord, startEntry } from "../thread/spawn.js";
import { asyncContext } from "./asynccontext.js";
import {
  compileFactory,
  type Factory,
  type Instance,
  instantiate,
  isMachineModule,
  type LinkedProgram,
  mapStack,
  mapStacks,
  type SpawnSite,
} from "./factory.js";
import { holdLoop } from "./keepalive.js";
import type { Letter, News } from "./letters.js";
import { observer, type ReportFormat } from "./observer.js";
import { writeNow } from "./output.js";
import type { VirtualHost } from "./virtual.js";

/** A program in this realm. */
interface Program {
  readonly instance: Instance;
  /** Entries by number: their order in the linked program. */
  readonly entries: readonly ThreadMain[];
  readonly numbers: ReadonlyMap<ThreadMain, number>;
  /** Where it starts threads. */
  readonly spawns: readonly SpawnSite[];
}

/** Modules of the machine's own copy that a program may import. */
const MODULES: Readonly<Record<string, string>> = {
  lwp: "../index.js",
  "lwp/kernel": "../kernel.js",
  "lwp/syscall": "../syscall/index.js",
};

export interface RealmOptions {
  /** How reports are written; for people unless said. */
  readonly format?: ReportFormat;
  /** Stands in for the host where its promises cannot be awaited: on a simulated machine. */
  readonly host?: (promise: PromiseLike<unknown>) => unknown;
  /** Has the clocks, random numbers and timers of its programs: on a simulated machine. */
  readonly virtual?: VirtualHost;
}

export class Realm {
  readonly k: Kernel;
  /** Where news go. */
  readonly #tell: (news: News) => void;
  readonly #format: ReportFormat;
  readonly #programs = new Map<number, Program>();
  /** The program last asked for, and its entry: most threads start as the one before. */
  #lastId = 0;
  #lastProgram: Program | undefined;
  #lastEntry: ThreadMain | null = null;
  #lastNumber = -1;
  readonly #factories = new Map<string, Factory>();
  /** How to give up loading, for each program that is being loaded. */
  readonly #loading = new Map<number, (why: string) => void>();
  readonly #steps: StepFunction[] = [];
  /** Who is told of an exception that ends a process, instead of standard error; by pid. */
  readonly #catchers = new Map<number, (error: unknown) => void>();
  readonly #virtual: VirtualHost | undefined;
  ci: Cpu | null = null;

  constructor(k: Kernel, tell: (news: News) => void, options: RealmOptions = {}) {
    this.#tell = tell;
    this.#format = options.format ?? "text";
    this.#virtual = options.virtual;
    this.k = k;
    kernelAttach(this.k);
    setThreadHost(this.k, this.#services(options.host));
    attachContexts(this.k, {
      steps: this.#steps,
      ending: threadEnding,
      startEntry: (l): Body => startEntry(l),
      entryAt: (l, entry) => this.#find(l.proc.program)?.entries[entry],
      entryOf: (l, f) => this.#entryOf(l.proc.program, f as ThreadMain),
    });
  }

  /** The program with that number, if it is loaded here. */
  #find(id: number): Program | undefined {
    if (id === this.#lastId) return this.#lastProgram;
    const found = this.#programs.get(id);
    this.#remember(found === undefined ? 0 : id, found);
    return found;
  }

  #remember(id: number, program: Program | undefined): void {
    this.#lastId = id;
    this.#lastProgram = program;
    this.#lastEntry = null;
  }

  /** The number of an entry; -1 = it is none. A closure's process, of program 0, has none. */
  #entryOf(id: number, f: ThreadMain): number {
    const program = this.#find(id);
    if (program === undefined) return -1;
    if (f === this.#lastEntry) return this.#lastNumber;
    const number = program.numbers.get(f);
    // A closure is not remembered: it would keep what it closes over.
    if (number === undefined) return -1;
    this.#lastEntry = f;
    this.#lastNumber = number;
    return number;
  }

  #services(awaitHost?: (promise: PromiseLike<unknown>) => unknown): RealmServices {
    const program = (id: number): Program => {
      const found = this.#find(id);
      if (found === undefined) throw new Error(`program ${id} is not loaded here`);
      return found;
    };
    return {
      entryOf: (id, f) => this.#entryOf(id, f),
      entryAt: (id, entry) => program(id).entries[entry],
      spawnSite: (id, site) => this.#programs.get(id)?.spawns[site - 1]?.at,
      movableClosure: (id, site) => this.#programs.get(id)?.spawns[site - 1]?.closure ?? null,
      warn: (text) => this.#say(observer().warning(text, this.#format)),
      fatal: (pid, lid, error, spawnedAt) => {
        const catcher = this.#catchers.get(pid);
        if (catcher === undefined)
          this.#say(observer().exception(this.k, { pid, lid, error, spawnedAt }, this.#format));
        else catcher(error);
      },
      diagnosed: (pid, lid, what) => this.#say(`lwp: ${what} (thread ${lid} of process ${pid})\n`),
      awaitHost,
      holdLoop,
      asyncContext,
      unjoined: (pid, lid, error, spawnedAt) => {
        const catcher = this.#catchers.get(pid);
        if (catcher === undefined)
          this.#say(observer().unjoined(this.k, { pid, lid, error, spawnedAt }, this.#format));
        else catcher(error);
      },
    };
  }

  /** Told at once, whatever the event loops do. */
  #say(report: string): void {
    writeNow(2, report);
  }

  /** From now on `catcher` is told of an exception that ends that process; null = standard error is. */
  catchFatal(pid: number, catcher: ((error: unknown) => void) | null): void {
    if (catcher === null) this.#catchers.delete(pid);
    else this.#catchers.set(pid, catcher);
  }

  /** Runs the CPU until the machine stops. A failure of the kernel's own code stops the machine. */
  async runCpu(ci: Cpu, options: Omit<LoopOptions, "errands">, letters: () => Letter | null): Promise<void> {
    this.ci = ci;
    attachCompiled(ci);
    try {
      await cpuLoop(ci, { ...options, errands: () => this.#errands(letters) });
    } catch (error) {
      if (!(error instanceof KernelAssertion)) this.#panicFrom(ci, error);
    } finally {
      Atomics.store(this.k.w, ci.at + CpuRecord.offset.state, CPU_HALTED);
    }
  }

  #panicFrom(ci: Cpu, error: unknown): void {
    try {
      asCpu(ci, () =>
        panic(this.k, `CPU ${ci.index - 1}: ${error instanceof Error ? error.stack : String(error)}`),
      );
    } catch {
      // The panic itself: the machine is dead now, which is all there is to do.
    }
  }

  // --- errands: letters, dead processes ----------------------------------------------------------

  #errands(letters: () => Letter | null): boolean {
    let done = this.ci?.index === 1 && this.#reap();
    for (let letter = letters(); letter !== null; letter = letters()) {
      this.#handle(letter);
      done = true;
    }
    return done;
  }

  /** Collects dead processes, as init would. */
  #reap(): boolean {
    if (this.k.g.zombies === 0) return false;
    const ci = this.ci as Cpu;
    for (let c = asCpu(ci, () => procReap(this.k)); c !== null; c = asCpu(ci, () => procReap(this.k))) {
      const { pid } = c;
      const { program, seconds } = c;
      const status = asCpu(ci, () => freeLeftovers(this.k, pid, c.status, program));
      this.#tell({ kind: "exited", pid, program, status, seconds });
    }
    return true;
  }

  /** Does what a letter says. */
  #handle(letter: Letter): void {
    if (letter.kind === "load") {
      void this.#loadAside(letter);
    } else if (letter.kind === "unload") {
      this.unload(letter.program);
    } else if (letter.kind === "kill") {
      asCpu(this.ci as Cpu, () => procKill(this.k, letter.pid, SIGKILL));
    } else {
      this.#tell({ kind: "spawned", id: letter.id, pid: this.spawn(letter) });
    }
  }

  /** Loads a program while the CPU's LWPs go on: its modules may await something, even for ever. */
  async #loadAside(letter: Extract<Letter, { kind: "load" }>): Promise<void> {
    const ci = this.ci as Cpu;
    hostwaitAdd(ci, 1);
    const error = await this.loadOrGiveUp(letter);
    hostwaitAdd(ci, -1);
    this.#tell({ kind: "loaded", cpu: ci.index - 1, program: letter.program, error });
  }

  /** As `load`, but ends also when `giveUpLoading` is called, or the program is unloaded meanwhile. */
  async loadOrGiveUp(letter: Extract<Letter, { kind: "load" }>): Promise<string | null> {
    const { program, linked } = letter;
    const givenUp = new Promise<string>((giveUp) => {
      this.#loading.set(program, (why) => giveUp(`${linked.file}: ${why}`));
    });
    const loaded = this.load(letter);
    void loaded.then(() => {
      if (!this.#loading.delete(program)) this.unload(program);
    });
    return Promise.race([loaded, givenUp]);
  }

  /** Whether a program is being loaded. */
  get isLoading(): boolean {
    return this.#loading.size > 0;
  }

  /** The event loop of this realm is empty: what is still being loaded awaits something that never comes. */
  giveUpLoading(): void {
    for (const giveUp of this.#loading.values()) giveUp(NEVER_LOADED);
    this.#loading.clear();
  }

  /** Loads a program here; null, or why that failed. */
  async load({ program, linked }: Extract<Letter, { kind: "load" }>): Promise<string | null> {
    try {
      mapStacks();
      const globals = this.#virtual?.globals(program) ?? {};
      let factory = this.#factories.get(linked.code);
      if (factory === undefined) {
        factory = compileFactory(linked, Object.keys(globals));
        this.#factories.clear();
        this.#factories.set(linked.code, factory);
      }
      const modules = new Map<string, object>();
      for (const spec of linked.imports)
        if (isMachineModule(spec)) modules.set(spec, await machineModule(spec));
      const instance = await instantiate(factory, {
        import: (spec) => modules.get(spec),
        globals,
        polls: pollsOf(this.k),
      });
      const entries = linked.entries.map(({ id }) => instance.entries.get(id) as ThreadMain);
      const numbers = new Map(entries.map((f, n) => [f, n]));
      this.#programs.set(program, { instance, entries, numbers, spawns: linked.spawns });
      const steps = instance.exports["steps"];
      if (Array.isArray(steps)) this.#steps.splice(0, this.#steps.length, ...(steps as StepFunction[]));
      return null;
    } catch (error) {
      return error instanceof Error
        ? mapStack(error.name === "LinkError" ? error.message : String(error.stack))
        : String(error);
    }
  }

  /** Drops a program and what its threads have left here. */
  unload(program: number): void {
    this.#loading.get(program)?.("it was unloaded");
    this.#loading.delete(program);
    this.#programs.delete(program);
    // Nothing of it may be kept.
    this.#remember(0, undefined);
    this.#virtual?.drop(program);
    dropLocals(this.k);
    forgetPolls();
  }

  /** The process of a closure, which only this realm can run; null when a table is full. Called as this CPU. */
  spawnClosure(main: () => Body, comm: string): Proc | null {
    const { k } = this;
    const t = mainRecord(k, []);
    if (t === null) return null;
    const start = {
      kind: CTX_CLOSURE,
      arg: t.index,
      closure: inContext(asyncContext(), main),
      realm: cur.cpu.realm,
    };
    const p = procSpawn(k, { comm, uid: DEFAULT_UID }, start);
    if (p === null) {
      freeRecord(k, t);
      return null;
    }
    t.pid = p.pid;
    p.startTime = k.port.now();
    return p;
  }

  /** Starts a process of a loaded program: its pid, or an error number as a negative one. */
  spawn(letter: Omit<Extract<Letter, { kind: "exec" }>, "id">): number {
    const { k } = this;
    return asCpu(this.ci as Cpu, () => {
      let t: ThreadRec | null;
      try {
        t = mainRecord(k, [letter.args]);
      } catch (error) {
        if (error instanceof LwpError) return -error.errno;
        throw error;
      }
      if (t === null) return -EAGAIN;
      const start = { kind: CTX_ENTRY, entry: letter.entry, arg: t.index };
      const p = procSpawn(k, { comm: letter.comm, uid: DEFAULT_UID, program: letter.program }, start);
      if (p === null) {
        freeRecord(k, t);
        return -EAGAIN;
      }
      return p.pid;
    });
  }
}

/** The kernel of a realm with real CPUs. */
export function hostKernel(
  limits: Limits,
  options: KernelOptions,
  format: ReportFormat,
  memory?: SharedMemory,
  user?: SharedArrayBuffer,
): Kernel {
  const k = new Kernel(limits, options, memory, user);
  k.port = new HostPort(k, (message) => writeDump(k, message, format));
  return k;
}

/** Where a linked program starts, and the name of its processes. */
export function mainOf(linked: LinkedProgram): { readonly entry: number; readonly comm: string } {
  return { entry: linked.entries.findIndex((e) => e.id === linked.main), comm: basename(linked.file) };
}

const NEVER_LOADED = "a top-level `await` never ended: nothing is left that could end it";

/** Programs run as an ordinary user: the limits apply. */
const DEFAULT_UID = 1000;

/** Upper floors are named by address: nothing imports upwards (R8). */
async function machineModule(spec: string): Promise<object> {
  const path = MODULES[spec];
  if (path === undefined) throw new Error(`there is no module ${spec}`);
  return (await import(new URL(path, import.meta.url).href)) as object;
}

/** The dump of a dead machine, synchronously and without a lock. */
export function writeDump(k: Kernel, message: string, format: ReportFormat): void {
  writeNow(2, observer().stopped(k, cur.cpu === null ? null : cur.cpu.index - 1, message, format));
}
