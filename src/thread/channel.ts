/**
 * `Channel`: values from thread to thread, in order.
 *
 * Values travel as arguments do: by value, in records of their own, messages. A channel holds so many of them without anybody
 * waiting; the senders of those behind wait until there is room, which of a channel of capacity 0 means: until theirs is
 * received. All stand on one list, the waiting ones last.
 *
 * Receivers wait only while the list is empty, so a message goes to the first of them at once. Taking a message makes room for
 * the first waiting one, and lets its sender go on. Both under the channel's lock, with what the waiter is given noted in it:
 * so one that gives up at the same time knows whether its message was taken, or which one it was given.
 */
import { flushKicks } from "../kern/resched.js";
import { poolGet, poolPut } from "../kern/pool.js";
import { sleepqBlockUser } from "../kern/sleepq.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { syncobjEnqueue, syncobjFirst, syncobjGrant, syncobjGrantAll } from "../kern/syncobj.js";
import { caller, fail, type Operation } from "../syscall/operation.js";
import { cur } from "../sys/current.js";
import { EINVAL, ENOMEM, EPIPE } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import type { Message } from "../sys/message.js";
import { SOBJ_OBJ } from "../sys/param.js";
import { packText } from "../sys/record.js";
import { SO_CHANNEL, SOF_CLOSED, type Syncobj } from "../sys/syncobj.js";
import {
  Existing,
  letTravel,
  makeObject,
  maker,
  type ObjectOptions,
  onRelease,
  SyncObject,
} from "./object.js";
import { dropValue, putValue, takeValue } from "./passing.js";
import { BLOCK_RETRY, BlockingOperation, type WaitOptions } from "./wait.js";

const SENDING = packText("chansend");
const RECEIVING = packText("chanrecv");

/** What a waiter is given: a sender, that there is room; anybody, that the channel was closed. A receiver, else a message. */
const ACCEPTED = 1;
const CLOSED = -1;

// --- messages ----------------------------------------------------------------------------------

function makeMessage(l: Lwp, value: unknown, call: string): Message {
  const { k } = l;
  const m = poolGet(k.messages);
  if (m === null)
    fail(ENOMEM, call, undefined, `the limit of ${k.limits.messages} messages in channels is reached`);
  m.pid = l.proc.pid;
  try {
    putValue(k, m, value, "value", call);
  } catch (error) {
    poolPut(k.messages, m);
    throw error;
  }
  return m;
}

function dropMessage(k: Kernel, m: Message): void {
  dropValue(k, m);
  poolPut(k.messages, m);
}

function link(o: Syncobj, m: Message): void {
  m.next = 0;
  m.prev = o.last;
  if (o.last === 0) o.first = m.index;
  else o.k.messages.view(o.last).next = m.index;
  o.last = m.index;
}

function unlink(o: Syncobj, m: Message): void {
  const { messages } = o.k;
  if (m.prev === 0) o.first = m.next;
  else messages.view(m.prev).next = m.next;
  if (m.next === 0) o.last = m.prev;
  else messages.view(m.next).prev = m.prev;
  if (o.pending === m.index) o.pending = m.next;
}

/** Tells the sender of a message what became of it; it may have left the queue, and looks before it gives up. */
function tellSender(o: Syncobj, m: Message, what: number): void {
  const l = m.sender;
  m.sender = null;
  if (l === null) return;
  if (l.sleepq === o.senders) syncobjGrant(l, what);
  else l.granted = what;
}

/** Gives a message to a receiver, or finds room for it: true. Throws EPIPE. The channel is locked, and unlocked if it throws. */
function deliver(o: Syncobj, m: Message, call: string): boolean {
  if ((o.flags & SOF_CLOSED) !== 0) {
    spinExit(o.k, o.lock);
    fail(EPIPE, call, undefined, "the channel is closed");
  }
  const receiver = syncobjFirst(o, o.queue);
  if (receiver !== null) {
    syncobjGrant(receiver, m.index);
    return true;
  }
  if (o.value >= o.limit) return false;
  o.value++;
  link(o, m);
  return true;
}

/** Takes the first message of a locked channel, or null. */
function takeFirst(o: Syncobj): Message | null {
  if (o.first === 0) return null;
  const { messages } = o.k;
  const m = messages.view(o.first);
  const waits = m.index === o.pending;
  unlink(o, m);
  if (waits) {
    tellSender(o, m, ACCEPTED);
  } else if (o.pending === 0) {
    o.value--;
  } else {
    const next = messages.view(o.pending);
    o.pending = next.next;
    tellSender(o, next, ACCEPTED);
  }
  return m;
}

// --- operations --------------------------------------------------------------------------------

class Send extends BlockingOperation<void> {
  readonly #channel: SyncObject;
  readonly #value: unknown;
  #o: Syncobj | null = null;
  /** Until it is sent. */
  #message: Message | null = null;
  #waited = false;

  constructor(channel: SyncObject, value: unknown, options: WaitOptions | undefined) {
    super("Channel.send", options);
    this.#channel = channel;
    this.#value = value;
  }

  protected attempt(l: Lwp): boolean {
    if (this.#o === null) {
      this.#o = this.#channel.object(l, "send");
      this.#message = makeMessage(l, this.#value, this.syscall);
    }
    if (this.#waited) this.#awake(l, this.#o, this.#message as Message);
    return this.#message === null;
  }

  #awake(l: Lwp, o: Syncobj, m: Message): void {
    this.#waited = false;
    spinEnter(o.k, o.lock);
    const { granted } = l;
    if (granted === 0) {
      m.sender = null;
      unlink(o, m);
    }
    spinExit(o.k, o.lock);
    if (granted === ACCEPTED) this.#message = null;
    else if (granted === CLOSED) {
      this.#drop(l);
      fail(EPIPE, this.syscall, l.lid, "the channel was closed");
    }
  }

  protected block(l: Lwp, ticks: number): number {
    const m = this.#message as Message;
    let o: Syncobj;
    let sent: boolean;
    try {
      o = this.#channel.locked(l, "send");
      sent = deliver(o, m, this.syscall);
    } catch (error) {
      this.#drop(l);
      throw error;
    }
    if (sent) {
      this.#message = null;
      spinExit(o.k, o.lock);
      flushKicks(o.k);
      return BLOCK_RETRY;
    }
    m.sender = l;
    link(o, m);
    if (o.pending === 0) o.pending = m.index;
    this.#waited = true;
    syncobjEnqueue(l, o, o.senders, SENDING, SOBJ_OBJ);
    return sleepqBlockUser(l, ticks);
  }

  protected override abandon(l: Lwp): boolean {
    this.#drop(l);
    return false;
  }

  #drop(l: Lwp): void {
    if (this.#message !== null) dropMessage(l.k, this.#message);
    this.#message = null;
  }
}

class Receive<T> extends BlockingOperation<IteratorResult<T, undefined>> {
  readonly #channel: Channel<T>;
  #waited = false;
  #received: IteratorResult<T, undefined> | null = null;

  constructor(channel: Channel<T>, options: WaitOptions | undefined) {
    super("Channel.receive", options);
    this.#channel = channel;
  }

  protected attempt(l: Lwp): boolean {
    if (this.#waited && l.granted !== 0) {
      const { k, granted } = l;
      this.#received = granted === CLOSED ? DONE : (open(k, k.messages.view(granted)) as IteratorResult<T>);
    }
    this.#waited = false;
    this.#received ??= this.#channel.take(l, "receive");
    if (this.#received === null) return false;
    this.result = this.#received;
    return true;
  }

  protected block(l: Lwp, ticks: number): number {
    const o = this.#channel.locked(l, "receive");
    if (o.first !== 0 || (o.flags & SOF_CLOSED) !== 0) {
      spinExit(o.k, o.lock);
      return BLOCK_RETRY;
    }
    this.#waited = true;
    syncobjEnqueue(l, o, o.queue, RECEIVING, SOBJ_OBJ);
    return sleepqBlockUser(l, ticks);
  }
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };

/** The value of a message, which is given back. */
function open(k: Kernel, m: Message): IteratorResult<unknown, undefined> {
  try {
    return { done: false, value: takeValue(k, m) };
  } finally {
    poolPut(k.messages, m);
  }
}

// --- the class ---------------------------------------------------------------------------------

/**
 * A queue of values between threads, with room for so many.
 *
 *     for (let r = yield* channel.receive(); !r.done; r = yield* channel.receive()) use(r.value);
 *
 * Values travel by value, also on one CPU: see `Thread.spawn` for what does.
 */
export class Channel<T = unknown> extends SyncObject {
  protected readonly kind = "Channel";

  /**
   * With room for `capacity` values, 0 or more; with 0 a sender waits until its value is received. Errors: EINVAL no such
   * capacity; ENOMEM the table of objects is full; TypeError outside a thread.
   */
  constructor(capacity = 0, options: ObjectOptions = {}) {
    super(Existing.from(capacity) ?? make(capacity, options));
  }

  /**
   * Sends a value, and waits until there is room. May sleep. A cancellation point: a value whose sender gives up is not sent.
   *
   * Errors: EPIPE the channel is closed, or is closed while it waits; DataCloneError the value cannot travel; ENOMEM the table
   * of messages, or the arena, is full; those of waiting; EINVAL it was disposed, or is another process's.
   */
  send(value: T, options?: WaitOptions): Operation<void> {
    return new Send(this, value, options);
  }

  /** Sends a value if there is room, or a receiver: whether it did. Does not sleep. Errors: as `send`. */
  trySend(value: T): boolean {
    const call = "Channel.trySend";
    const l = caller(call);
    this.object(l, "trySend");
    const m = makeMessage(l, value, call);
    let sent = false;
    try {
      const o = this.locked(l, "trySend");
      sent = deliver(o, m, call);
      spinExit(o.k, o.lock);
    } finally {
      if (!sent) dropMessage(l.k, m);
    }
    if (cur.kicks !== 0) flushKicks(l.k);
    return sent;
  }

  /**
   * Receives the oldest value, and waits until there is one: `{ done: false, value }`; `{ done: true }` once the channel is
   * closed and empty. May sleep. A cancellation point. Receivers are served by priority, then in the order they came.
   *
   * Errors: those of waiting; EINVAL it was disposed, or is another process's.
   */
  receive(options?: WaitOptions): Operation<IteratorResult<T, undefined>> {
    return new Receive<T>(this, options);
  }

  /** The same if that takes no waiting; else null. Does not sleep. Error: EINVAL. */
  tryReceive(): IteratorResult<T, undefined> | null {
    return this.take(caller("Channel.tryReceive"), "tryReceive");
  }

  /**
   * Nothing more can be sent: senders that wait get EPIPE, receivers what was sent before, then `{ done: true }`. Once closed
   * it stays so. Does not sleep. Error: EINVAL.
   */
  close(): void {
    const o = this.locked(caller("Channel.close"), "close");
    o.flags |= SOF_CLOSED;
    syncobjGrantAll(o, o.queue, CLOSED);
    while (o.pending !== 0) {
      const m = o.k.messages.view(o.pending);
      unlink(o, m);
      tellSender(o, m, CLOSED);
    }
    spinExit(o.k, o.lock);
    flushKicks(o.k);
  }

  /** Whether it was closed. Error: EINVAL. */
  get isClosed(): boolean {
    return (this.object(caller("Channel.isClosed"), "isClosed").flags & SOF_CLOSED) !== 0;
  }

  /** Values in it now, without those of waiting senders. Error: EINVAL. */
  get length(): number {
    return this.object(caller("Channel.length"), "length").value;
  }

  /** How many it has room for. Error: EINVAL. */
  get capacity(): number {
    return this.object(caller("Channel.capacity"), "capacity").limit;
  }

  /** One attempt to receive; null: wait. @internal */
  take(l: Lwp, call: string): IteratorResult<T, undefined> | null {
    const o = this.locked(l, call);
    const m = takeFirst(o);
    const closed = (o.flags & SOF_CLOSED) !== 0;
    spinExit(o.k, o.lock);
    if (m === null) return closed ? DONE : null;
    if (cur.kicks !== 0) flushKicks(o.k);
    return open(o.k, m) as IteratorResult<T, undefined>;
  }
}

letTravel("Channel", Channel);

function make(capacity: number, options: ObjectOptions): Existing {
  const l = maker("Channel");
  if (!(Number.isInteger(capacity) && capacity >= 0 && capacity <= 0x7fffffff)) {
    fail(EINVAL, "new Channel", undefined, `the capacity must be 0 or more, not ${String(capacity)}`);
  }
  const made = makeObject(l, "Channel", SO_CHANNEL, options);
  made.o.limit = capacity;
  return made;
}

/** A channel that goes takes its messages with it. */
onRelease(SO_CHANNEL, (o) => {
  for (let m = takeFirst(o); m !== null; m = takeFirst(o)) dropMessage(o.k, m);
});

/** A process has ended: messages that its threads were about to send. Those in channels went with them. */
export function freeMessages(k: Kernel, pid: number): void {
  const { messages } = k;
  const last = messages.inUse === 0 ? 0 : messages.highWater;
  for (let i = 1; i <= last; i++) {
    const m = messages.view(i);
    if ((m.gen & 1) === 1 && m.pid === pid) dropMessage(k, m);
  }
}
