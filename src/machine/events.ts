/**
 * Events of a machine: what its probes write into the trace rings, and what the machine itself has to tell.
 *
 * One hub a machine, in the realm that booted it. While somebody listens, the hub switches the probes on that are listened
 * to, and reads all rings once a slice. Records are numbered over all CPUs, so the events come in the order in which they
 * were written; a number that is missing is waited for until the next look (its CPU is just writing it), then given up. While
 * nobody listens the probes are off, and nothing is read.
 *
 * An event is lost when a ring is overwritten before it is read, or when a listener does not keep up; each event says how
 * many were lost right before it.
 */
import { basename } from "node:path";
import type { Kernel } from "../sys/kernel.js";
import { STATE_NAMES } from "../sys/param.js";
import {
  CLD_EXITED,
  probeEnable,
  type ProbeName,
  PROBES,
  type TraceRecord,
  traceRead,
} from "../kern/probe.js";
import type { Process } from "./process.js";

/** What each type of event has of its own. */
export interface EventFields {
  /** A process was made; its pid. */
  create: { readonly parent: number };
  /** A process ends: its status, or the signal that ends it. */
  exit: { readonly status: number | null; readonly signal: number | null };
  /** A program was asked for. */
  exec: { readonly path: string };
  /** It is a process now; its pid. */
  exec_success: { readonly name: string };
  /** It could not be started. */
  exec_failure: { readonly error: string };
  lwp_create: object;
  /** Before the first instruction of an LWP. */
  lwp_start: object;
  lwp_exit: object;
  signal_send: { readonly signal: number };
  signal_discard: { readonly signal: number };
  signal_clear: { readonly signal: number };
  signal_handle: { readonly signal: number };
  /** The state of an LWP changes. */
  state: { readonly from: string; readonly to: string };
  /** `lid` leaves its CPU, in that state, to another LWP. */
  switch: { readonly state: string; readonly nextPid: number; readonly nextLid: number };
  /** A sleeping LWP is made runnable, for that CPU. */
  wakeup: { readonly target: number };
  /** An LWP changes its CPU. */
  migrate: { readonly from: number; readonly to: number };
  /** An idle CPU takes an LWP from another's queue. */
  steal: { readonly from: number };
  /** Nothing can go on any more: why, as far as it is known. */
  stall: { readonly text: string };
}
/** What kinds of events there are. */
export type EventType = keyof EventFields;

export interface EventCommon {
  /** Seconds of machine time, refreshed at ticks. */
  readonly time: number;
  /** CPU on which it happened, from 0; -1 for what is no CPU's. */
  readonly cpu: number;
  /** Process and LWP it is about; 0 = none, or the system's. */
  readonly pid: number;
  readonly lid: number;
  /** How many events were lost right before this one. */
  readonly dropped: number;
}

/** An event of a machine; `type` says which. */
export type MachineEvent<T extends EventType = EventType> = {
  [K in T]: Readonly<{ type: K }> & EventCommon & EventFields[K];
}[T];

/** Which events, and how many may wait. */
export interface EventOptions<T extends EventType = EventType> {
  /** Types to listen to; all unless said. */
  readonly types?: readonly T[];
  /** Events that may wait to be read; 65,536 unless said. More are dropped. */
  readonly limit?: number;
}

const state = (n: number) => STATE_NAMES[n] ?? String(n);
const signal = ([n]: readonly number[]) => ({ signal: n });
const nothing = () => ({});

/** What the words of a probe mean. */
const WORDS: { readonly [P in ProbeName]: (args: readonly number[]) => EventFields[P] } = {
  lwp_create: nothing,
  lwp_start: nothing,
  lwp_exit: nothing,
  state: ([from, to]) => ({ from: state(from), to: state(to) }),
  switch: ([stat, nextLid, nextPid]) => ({ state: state(stat), nextPid, nextLid }),
  wakeup: ([target]) => ({ target }),
  migrate: ([from, to]) => ({ from, to }),
  steal: ([from]) => ({ from }),
  create: ([parent]) => ({ parent }),
  exit: ([reason, n]) => (reason === CLD_EXITED ? { status: n, signal: null } : { status: null, signal: n }),
  signal_send: signal,
  signal_discard: signal,
  signal_clear: signal,
  signal_handle: signal,
};

/** Types that the machine itself tells, and no probe. */
export const HOST_EVENTS = ["exec", "exec_success", "exec_failure", "stall"] as const;
/** All types of events. */
export const EVENT_TYPES: readonly EventType[] = [...PROBES, ...HOST_EVENTS];

const LOOK_MS = 2;
const QUEUE_LIMIT = 65_536;

/** Whoever is told of events as they are read. */
export interface Listener {
  readonly types: ReadonlySet<EventType>;
  /** Takes one event; its `dropped` counts what all listeners have lost. */
  take(event: MachineEvent): void;
  /** The machine has ended. */
  end(): void;
}

export class EventHub {
  readonly #k: Kernel;
  readonly #listeners = new Set<Listener>();
  /** Records read from each ring. */
  readonly #read: number[] = [];
  /** Read, but something before it is missing. */
  #held: TraceRecord[] = [];
  /** Number of the next record, and whether it was missing at the last look. */
  #next = 0;
  #missing = false;
  #lost = 0;
  #enabled = new Set<ProbeName>();
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(k: Kernel) {
    this.#k = k;
  }

  /** Whether anybody listens. */
  get listening(): boolean {
    return this.#listeners.size > 0;
  }

  /** Listens from now on. Events before are not seen. */
  add(listener: Listener): void {
    if (this.#ended) return listener.end();
    // What was written before belongs to those who listen already.
    this.look();
    if (!this.listening) this.#begin();
    this.#listeners.add(listener);
    this.#enable();
  }

  remove(listener: Listener): void {
    if (!this.#listeners.delete(listener)) return;
    this.#enable();
    if (!this.listening) clearInterval(this.#timer);
  }

  #begin(): void {
    const { g, cpus } = this.#k;
    this.#next = g.traceSeq;
    this.#held = [];
    this.#lost = 0;
    for (let i = 1; i <= g.ncpu; i++) this.#read[i] = cpus.view(i).traceHead;
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    // Listening keeps no process alive; the machine does.
    this.#timer.unref();
  }

  /** Switches on the probes that are listened to, and off what no longer is. */
  #enable(): void {
    const wanted = new Set<ProbeName>();
    for (const { types } of this.#listeners) for (const name of PROBES) if (types.has(name)) wanted.add(name);
    probeEnable(
      this.#k,
      [...wanted].filter((name) => !this.#enabled.has(name)),
      true,
    );
    probeEnable(
      this.#k,
      [...this.#enabled].filter((name) => !wanted.has(name)),
      false,
    );
    this.#enabled = wanted;
  }

  /** Reads the rings, and hands out what is complete. */
  look(): void {
    if (!this.listening) return;
    const { cpus, g } = this.#k;
    let lost = 0;
    for (let i = 1; i <= g.ncpu; i++) {
      const ring = traceRead(this.#k, cpus.view(i), this.#read[i]);
      this.#read[i] = ring.next;
      this.#held.push(...ring.records);
      lost += ring.lost;
    }
    this.#held.sort((a, b) => (a.seq - b.seq) | 0);
    this.#lost += lost;
    let n = 0;
    for (; n < this.#held.length; n++) {
      const record = this.#held[n];
      if (record.seq !== this.#next && lost === 0 && !this.#missing) break;
      this.#missing = false;
      this.#next = (record.seq + 1) | 0;
      this.#deliver(eventOf(record, this.#lost));
    }
    this.#held.splice(0, n);
    this.#missing = this.#held.length > 0;
  }

  /** An event that the machine itself has to tell; it comes after all that have happened. */
  emit<T extends (typeof HOST_EVENTS)[number]>(type: T, fields: EventFields[T], pid = 0): void {
    if (!this.listening) return;
    this.look();
    const common = { type, time: this.#k.g.time, cpu: -1, pid, lid: 0, dropped: this.#lost };
    this.#deliver({ ...common, ...fields } as unknown as MachineEvent);
  }

  #deliver(event: MachineEvent): void {
    let heard = false;
    for (const listener of this.#listeners) {
      if (!listener.types.has(event.type)) continue;
      heard = true;
      listener.take(event);
    }
    if (heard) this.#lost = 0;
  }

  /** The machine has ended: hands out what is left. */
  end(): void {
    if (this.#ended) return;
    // The second look gives up what is missing.
    this.look();
    this.look();
    this.#ended = true;
    clearInterval(this.#timer);
    for (const listener of [...this.#listeners]) {
      this.remove(listener);
      listener.end();
    }
  }
}

function eventOf(r: TraceRecord, dropped: number): MachineEvent {
  const { probe, time, cpu, pid, lid } = r;
  return { type: probe, time, cpu, pid, lid, dropped, ...WORDS[probe](r.args) } as unknown as MachineEvent;
}

/** The events of a machine as they come: `for await (const e of machine.events())`. Ends with the machine. */
export class EventStream<T extends EventType = EventType>
  implements AsyncIterableIterator<MachineEvent<T>, undefined>, Listener
{
  readonly types: ReadonlySet<EventType>;
  readonly #hub: EventHub;
  readonly #limit: number;
  #queue: MachineEvent<T>[] = [];
  #taken = 0;
  #lost = 0;
  #ended = false;
  #wake: (() => void) | null = null;

  constructor(hub: EventHub, options: EventOptions<T>) {
    this.#hub = hub;
    this.#limit = options.limit ?? QUEUE_LIMIT;
    this.types = new Set<EventType>(options.types ?? EVENT_TYPES);
    for (const type of this.types)
      if (!EVENT_TYPES.includes(type)) throw new TypeError(`there are no events of type ${type}`);
    hub.add(this);
  }

  take(event: MachineEvent): void {
    const lost = this.#lost + event.dropped;
    if (this.#queue.length - this.#taken >= this.#limit) {
      this.#lost = lost + 1;
      return;
    }
    this.#lost = 0;
    this.#queue.push((lost === event.dropped ? event : { ...event, dropped: lost }) as MachineEvent<T>);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<MachineEvent<T>, undefined>> {
    while (this.#taken === this.#queue.length) {
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    const value = this.#queue[this.#taken++];
    if (this.#taken === this.#queue.length) {
      this.#queue = [];
      this.#taken = 0;
    }
    return { done: false, value };
  }

  async return(): Promise<IteratorResult<MachineEvent<T>, undefined>> {
    this.#hub.remove(this);
    this.end();
    this.#queue = [];
    this.#taken = 0;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** Starts a program, and tells of it: "exec" first, then "exec_success" or "exec_failure". */
export async function tellExec(hub: EventHub, path: string, start: () => Promise<Process>): Promise<Process> {
  hub.emit("exec", { path });
  try {
    const p = await start();
    hub.emit("exec_success", { name: basename(path) }, p.pid);
    return p;
  } catch (error) {
    hub.emit("exec_failure", { error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}
