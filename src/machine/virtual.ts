/**
 * What a program on a simulated machine finds instead of the host's clocks, random numbers, timers and timed signals.
 *
 * The linker binds these names (`compileFactory`): the program's own modules see them, packages and built-ins that it imports
 * see the host's. Time is the machine's, and reading it takes a microsecond of it, so that a loop that waits for time to
 * pass comes to its end. Random numbers follow from one choice of the machine's strategy. Timers are due by the machine's
 * clock: they run between two steps, after a tick, the earlier first and of the same time in the order they were set; like
 * the host's they never run early.
 */
import { inspect } from "node:util";
import { MICROSECOND, seededRandom, type SimulatedCpus } from "../cpu/simulated.js";

type Callback = (...args: unknown[]) => void;

/** A timer, with what Node's have. */
class Timer {
  readonly #timers: VirtualTimers;
  readonly id: number;
  readonly callback: Callback;
  readonly args: readonly unknown[];
  /** Milliseconds; of those that repeat also between two times. */
  readonly delay: number;
  readonly repeats: boolean;
  /** Machine time in seconds. */
  due = 0;
  keepsAlive = true;

  constructor(
    timers: VirtualTimers,
    id: number,
    callback: Callback,
    delay: number,
    repeats: boolean,
    args: unknown[],
  ) {
    if (typeof callback !== "function")
      throw new TypeError(`a timer needs a function, not ${inspect(callback)}`);
    this.#timers = timers;
    this.id = id;
    this.callback = callback;
    this.args = args;
    // As the host has it: what is no such number is 1.
    this.delay = delay >= 1 && delay <= 0x7fffffff ? Math.trunc(delay) : 1;
    this.repeats = repeats;
  }

  ref(): this {
    this.keepsAlive = true;
    return this;
  }
  unref(): this {
    this.keepsAlive = false;
    return this;
  }
  hasRef(): boolean {
    return this.keepsAlive;
  }
  refresh(): this {
    this.#timers.start(this);
    return this;
  }
  close(): void {
    this.#timers.stop(this);
  }
  [Symbol.toPrimitive](): number {
    return this.id;
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The timers of one program. */
export class VirtualTimers {
  readonly #sim: SimulatedCpus;
  readonly #set = new Map<number, Timer>();
  #last = 0;

  constructor(sim: SimulatedCpus) {
    this.#sim = sim;
  }

  /** Whether there is one that the machine must not stop before. */
  get pending(): boolean {
    for (const timer of this.#set.values()) if (timer.keepsAlive) return true;
    return false;
  }

  start(timer: Timer): void {
    timer.due = this.#sim.now() + timer.delay / 1000;
    // Last in its order.
    this.#set.delete(timer.id);
    this.#set.set(timer.id, timer);
  }

  stop(timer: unknown): void {
    if (timer instanceof Timer) this.#set.delete(timer.id);
    else if (typeof timer === "number" || typeof timer === "string") this.#set.delete(Number(timer));
  }

  stopAll(): void {
    this.#set.clear();
  }

  /** Runs those that are due. */
  fire(): void {
    const now = this.#sim.now();
    const due = [...this.#set.values()].filter((timer) => timer.due <= now).sort((a, b) => a.due - b.due);
    for (const timer of due) {
      // One that ran before it may have stopped it.
      if (this.#set.get(timer.id) !== timer) continue;
      if (timer.repeats) this.start(timer);
      else this.#set.delete(timer.id);
      timer.callback(...timer.args);
    }
  }

  /** The names for the program. */
  readonly globals = {
    setTimeout: (callback: Callback, delay?: number, ...args: unknown[]) =>
      this.#add(callback, delay, false, args),
    setInterval: (callback: Callback, delay?: number, ...args: unknown[]) =>
      this.#add(callback, delay, true, args),
    setImmediate: (callback: Callback, ...args: unknown[]) => this.#add(callback, 0, false, args),
    clearTimeout: (timer: unknown) => this.stop(timer),
    clearInterval: (timer: unknown) => this.stop(timer),
    clearImmediate: (timer: unknown) => this.stop(timer),
  };

  #add(callback: Callback, delay: number | undefined, repeats: boolean, args: unknown[]): Timer {
    const timer = new Timer(this, ++this.#last, callback, Number(delay), repeats, args);
    this.start(timer);
    return timer;
  }
}

/** The host of the programs of one simulated machine. */
export class VirtualHost {
  readonly #sim: SimulatedCpus;
  readonly #timers = new Map<number, VirtualTimers>();
  #random: (() => number) | null = null;

  constructor(sim: SimulatedCpus) {
    this.#sim = sim;
    sim.timers = {
      pending: () => {
        for (const timers of this.#timers.values()) if (timers.pending) return true;
        return false;
      },
      fire: () => {
        for (const timers of [...this.#timers.values()]) timers.fire();
      },
    };
  }

  /** The global names of a program, by its number. */
  globals(program: number): Readonly<Record<string, unknown>> {
    const timers = new VirtualTimers(this.#sim);
    this.#timers.set(program, timers);
    return {
      Date: this.#date(),
      Math: Object.create(Math, {
        random: { value: () => this.#nextRandom(), configurable: true, writable: true },
      }),
      performance: this.#performance(),
      AbortSignal: this.#abortSignal(timers),
      ...timers.globals,
    };
  }

  /** The program is gone: nothing of it runs any more. */
  drop(program: number): void {
    this.#timers.get(program)?.stopAll();
    this.#timers.delete(program);
  }

  /** Machine time in milliseconds; a microsecond passes. */
  #now(): number {
    const { g } = this.#sim.k;
    g.time += MICROSECOND;
    return g.time * 1000;
  }

  #wallclock(): number {
    return Math.floor(this.#now() + this.#sim.k.g.wallAtBoot * 1000);
  }

  #nextRandom(): number {
    this.#random ??= seededRandom(this.#sim.choose("random", 2 ** 31));
    return this.#random();
  }

  /** Makes dates of the host's own class, so that they travel as such. */
  #date(): DateConstructor {
    const now = (): number => this.#wallclock();
    return new Proxy(Date, {
      apply: () => new Date(now()).toString(),
      construct: (target, args: unknown[], newTarget) => {
        return Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object;
      },
      get: (target, key) => (key === "now" ? now : (Reflect.get(target, key) as unknown)),
    });
  }

  /** Its `timeout` counts machine time. */
  #abortSignal(timers: VirtualTimers): typeof AbortSignal {
    const timeout = (delay: number): AbortSignal => {
      if (!Number.isInteger(delay) || delay < 0 || delay > 0xffffffff)
        throw new RangeError(`a timeout is an integer 0..2^32 - 1 of milliseconds, not ${inspect(delay)}`);
      const controller = new AbortController();
      const abort = (): void =>
        controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
      timers.globals.setTimeout(abort, delay);
      return controller.signal;
    };
    return new Proxy(AbortSignal, {
      get: (target, key) => (key === "timeout" ? timeout : (Reflect.get(target, key) as unknown)),
    });
  }

  #performance(): typeof performance {
    const own: Record<PropertyKey, unknown> = {
      now: () => this.#now(),
      timeOrigin: this.#sim.k.g.wallAtBoot * 1000,
    };
    return new Proxy(performance, {
      get: (target, key) => {
        if (key in own) return own[key];
        const value = Reflect.get(target, key) as unknown;
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  }
}
