/**
 * The events of machines on `node:diagnostics_channel`: `lwp:proc:lwp_create`, `lwp:sched:switch` and so on.
 *
 * Subscribers in the realm that booted a machine get the events of all its CPUs, in order, as `{ machine, ...event }`. A
 * channel tells nobody that it has been subscribed to, so ours are made to: each hub listens while a channel has subscribers,
 * and to nothing else.
 */
import { type Channel, channel } from "node:diagnostics_channel";
import { EVENT_TYPES, type EventHub, type EventType, type Listener, type MachineEvent } from "./events.js";

/** What only the scheduler does; all else is the provider "proc"'s, as in the original. */
const PROVIDERS: Partial<Record<EventType, string>> = {
  state: "sched",
  switch: "sched",
  wakeup: "sched",
  migrate: "sched",
  steal: "sched",
  stall: "machine",
};

/** Name of the channel of an event type. */
export function channelName(type: EventType): string {
  return `lwp:${PROVIDERS[type] ?? "proc"}:${type}`;
}

/** The channels, once there is a machine; kept here, because diagnostics_channel itself holds them weakly. */
let channels: ReadonlyMap<EventType, Channel> | null = null;
/** Machines that have not ended. Weakly, since a simulated machine may be forgotten without being shut down. */
const publishers = new Set<WeakRef<Publisher>>();

function open(): ReadonlyMap<EventType, Channel> {
  return new Map(EVENT_TYPES.map((type) => [type, watched(channel(channelName(type)))]));
}

/** Makes a channel tell of who subscribes. What is inherited changes with the first subscriber, so look it up each time. */
function watched(c: Channel): Channel {
  type Method = "subscribe" | "unsubscribe";
  const tellOf = (name: Method) => ({
    configurable: true,
    value(this: Channel, ...args: Parameters<Channel[Method]>): unknown {
      const result: unknown = (Object.getPrototypeOf(this) as Channel)[name].apply(this, args);
      for (const publisher of publishers) publisher.deref()?.update();
      return result;
    },
  });
  return Object.defineProperties(c, { subscribe: tellOf("subscribe"), unsubscribe: tellOf("unsubscribe") });
}

export class Publisher implements Listener {
  types: ReadonlySet<EventType> = new Set();
  readonly #hub: EventHub;
  readonly #machine: object;

  readonly #self = new WeakRef(this);

  /** Publishes the events of a machine from now on, until that ends; the machine keeps it. */
  constructor(hub: EventHub, machine: object) {
    this.#hub = hub;
    this.#machine = machine;
    channels ??= open();
    for (const other of publishers) if (other.deref() === undefined) publishers.delete(other);
    publishers.add(this.#self);
    this.update();
  }

  /** Listens to what has subscribers now. */
  update(): void {
    const wanted = [...channels!].filter(([, c]) => c.hasSubscribers).map(([type]) => type);
    if (wanted.length === this.types.size && wanted.every((type) => this.types.has(type))) return;
    // What has happened before belongs to the subscribers there were.
    this.#hub.look();
    this.types = new Set(wanted);
    if (wanted.length > 0) this.#hub.add(this);
    else this.#hub.remove(this);
  }

  take(event: MachineEvent): void {
    channels!.get(event.type)?.publish({ machine: this.#machine, ...event });
  }

  /** The machine has ended. */
  end(): void {
    publishers.delete(this.#self);
  }
}
