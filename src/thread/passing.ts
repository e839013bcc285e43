/**
 * How arguments and results travel between threads: by value, as bytes (encode.ts), in the thread's record.
 *
 * A number, a boolean, null and undefined, also as the only argument, need no bytes. Up to 32 bytes stand in the record itself;
 * up to 4,096 in the arena, a pool of blocks of 64 words linked into chains; more in a range of user memory. A thread that
 * stays in its realm gets its arguments as they are, and so is its result handed over, unless a handle on it has left.
 */
import { BLOCK_WORDS, type Kernel } from "../sys/kernel.js";
import { ENOMEM, LwpError } from "../sys/errno.js";
import { PAGE_SIZE } from "../sys/shapes.js";
import { THREAD_ABROAD, THREAD_FAILED, THREAD_ROOM, type ThreadRec } from "../sys/thread.js";
import { rawGet, rawPut } from "../kern/pool.js";
import { spinEnter, spinExit } from "../kern/spin.js";
import { umemAlloc, umemByte, umemFree, umemGen, umemPagesOf } from "../kern/umem.js";
import { fail, isOperation } from "../syscall/operation.js";
import type { Encoder } from "./encode.js";
import { registerError } from "./handles.js";
import { threadHost } from "./host.js";
import { noUserMemory } from "./sharedbytes.js";

/** Kinds of values in a record: undefined, or none. */
export const VALUE_NONE = 0;
export const VALUE_NUMBER = 1;
export const VALUE_TRUE = 2;
export const VALUE_FALSE = 3;
export const VALUE_NULL = 4;
/** Bytes in the arena. */
export const VALUE_BYTES = 5;
/** A value that never leaves the realm. */
export const VALUE_LOCAL = 6;
/** There was one, but the arena had no room for it. */
export const VALUE_LOST = 7;
/** Bytes in the record. */
export const VALUE_SHORT = 8;
/** Bytes in user memory. */
export const VALUE_LONG = 9;
/** With one of the kinds that need no bytes: not the list of the arguments, but the only one of them. */
const VALUE_SOLE = 16;

for (const Class of [EvalError, LwpError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
  registerError(Class.name, Class);
}
registerError("AggregateError", AggregateError);
registerError("DOMException", DOMException);

/** What carries a value: the record of a thread, or of a message. Its room is the words behind `number`, and those of that. */
export type Carrier = Pick<ThreadRec, "valueKind" | "valueAt" | "number" | "room" | "index">;

/** Byte at which the room of a record begins. */
function roomOf(t: Carrier): number {
  return (t.room - 2) * 4;
}

/** What needs no bytes: true, and it is put. */
function putPlain(t: Carrier, value: unknown): boolean {
  if (typeof value === "number") {
    t.valueKind = VALUE_NUMBER;
    t.number = value;
  } else if (value === undefined) t.valueKind = VALUE_NONE;
  else if (value === null) t.valueKind = VALUE_NULL;
  else if (value === true) t.valueKind = VALUE_TRUE;
  else if (value === false) t.valueKind = VALUE_FALSE;
  else return false;
  return true;
}

/** Puts a value, which travels, into a record. Throws DataCloneError, naming the path from `name`, or ENOMEM. */
export function putValue(k: Kernel, t: Carrier, value: unknown, name: string, syscall: string): void {
  if (!putPlain(t, value)) store(k, t, threadHost(k).encoder.encode(value, name), syscall);
}

/** Puts the arguments of a portable thread into its record. Throws DataCloneError, or ENOMEM. */
export function putArgs(k: Kernel, t: ThreadRec, args: readonly unknown[]): void {
  if (args.length === 0) return;
  if (args.length === 1 && putPlain(t, args[0])) t.valueKind |= VALUE_SOLE;
  else store(k, t, threadHost(k).encoder.encode(args, "args"), "Thread.spawn");
}

/** The realm of CPU 0, which collects processes, and reports the errors that nobody has asked for: so they all get there. */
const COLLECTOR = 1;

const NO_ARGS: readonly unknown[] = [];

/** Takes them out. */
export function takeArgs(k: Kernel, t: ThreadRec): readonly unknown[] {
  const kind = t.valueKind;
  if (kind === VALUE_NONE) return NO_ARGS;
  if ((kind & VALUE_SOLE) === 0) return takeValue(k, t) as unknown[];
  t.valueKind = kind & ~VALUE_SOLE;
  return [takeValue(k, t)];
}

/**
 * Puts what a thread returned, or threw, into its record. What it returned may be refused (DataCloneError), or find no room
 * (ENOMEM): its failure then. What it threw never is: of an error that cannot travel whole, texts stand for the parts.
 */
export function putResult(k: Kernel, t: ThreadRec, value: unknown, failed: boolean): void {
  if (putPlain(t, value)) return;
  const stays = t.realm !== 0 && (t.flags & THREAD_ABROAD) === 0;
  if (stays && !(failed && t.realm !== COLLECTOR)) {
    if (!failed && typeof value === "object" && value !== null && isOperation(value)) {
      // A forgotten `yield*`: its joiner would be given what never ran.
      throw new TypeError(
        `a thread returned the operation ${value.syscall}: write \`yield*\` before the call`,
      );
    }
    t.valueKind = VALUE_LOCAL;
    threadHost(k).locals.set(t.index, value);
  } else if (failed) putThrown(k, t, value);
  else store(k, t, threadHost(k).encoder.encode(value, "result"), "Thread");
}

/** An error that finds no room must not fail its thread once more. */
function putThrown(k: Kernel, t: ThreadRec, thrown: unknown): void {
  try {
    store(k, t, encodeThrown(threadHost(k).encoder, thrown), "Thread");
  } catch (error) {
    if (!(error instanceof LwpError)) throw error;
    t.valueKind = VALUE_LOST;
  }
}

function encodeThrown(encoder: Encoder, thrown: unknown): Encoder {
  try {
    return encoder.encode(thrown, "error", true);
  } catch (error) {
    if (error instanceof LwpError && error.errno === ENOMEM) throw error;
    return encoder.encode(`a ${typeof thrown} that cannot be shown`, "error");
  }
}

/**
 * A handle on a thread is to leave its realm: from now on its result travels. Called in the realm of the thread. Throws, and
 * changes nothing, if there is a result already that cannot.
 */
export function letResultTravel(k: Kernel, t: ThreadRec): void {
  if (t.realm === 0 || (t.flags & THREAD_ABROAD) !== 0) return;
  setAbroad(k, t, THREAD_ABROAD);
  if (t.valueKind !== VALUE_LOCAL) return;
  const { locals } = threadHost(k);
  try {
    putResult(k, t, locals.get(t.index), t.state === THREAD_FAILED);
  } catch (error) {
    setAbroad(k, t, 0);
    throw error;
  }
  locals.delete(t.index);
}

function setAbroad(k: Kernel, t: ThreadRec, flag: number): void {
  spinEnter(k, t.lock);
  t.flags = (t.flags & ~THREAD_ABROAD) | flag;
  spinExit(k, t.lock);
}

/** Takes the value out of a record. */
export function takeValue(k: Kernel, t: Carrier): unknown {
  const kind = t.valueKind;
  t.valueKind = VALUE_NONE;
  switch (kind) {
    case VALUE_NONE:
      return undefined;
    case VALUE_NUMBER:
      return t.number;
    case VALUE_TRUE:
      return true;
    case VALUE_FALSE:
      return false;
    case VALUE_NULL:
      return null;
    case VALUE_SHORT:
      return threadHost(k).decoder.decode(k.b, roomOf(t));
    case VALUE_BYTES:
      return takeBytes(k, t.valueAt);
    case VALUE_LONG: {
      const value = threadHost(k).decoder.decode(k.ub, umemByte(t.valueAt));
      umemFree(k, t.valueAt, umemGen(k, t.valueAt));
      return value;
    }
    case VALUE_LOCAL: {
      const { locals } = threadHost(k);
      const value = locals.get(t.index);
      locals.delete(t.index);
      return value;
    }
    default:
      return new LwpError(ENOMEM, "Thread", { detail: "there was no memory for its error" });
  }
}

/** Gives back what a record holds, unseen. */
export function dropValue(k: Kernel, t: Carrier): void {
  if (t.valueKind === VALUE_BYTES) arenaFree(k, t.valueAt);
  else if (t.valueKind === VALUE_LONG) umemFree(k, t.valueAt, umemGen(k, t.valueAt));
  else if (t.valueKind === VALUE_LOCAL) threadHost(k).locals.delete(t.index);
  t.valueKind = VALUE_NONE;
}

function store(k: Kernel, t: Carrier, { bytes, length }: Encoder, syscall: string): void {
  if (length > PAGE_SIZE) {
    const page = umemAlloc(k, null, umemPagesOf(length), false);
    if (page === 0) fail(ENOMEM, syscall, undefined, noUserMemory(k, length));
    k.ub.set(bytes.subarray(0, length), umemByte(page));
    t.valueAt = page;
    t.valueKind = VALUE_LONG;
    return;
  }
  if (length > THREAD_ROOM) {
    t.valueAt = arenaPut(k, bytes, length, syscall);
    t.valueKind = VALUE_BYTES;
    return;
  }
  const start = roomOf(t);
  for (let i = 0; i < length; i++) k.b[start + i] = bytes[i];
  t.valueKind = VALUE_SHORT;
}

// --- the arena ---------------------------------------------------------------------------------

/** Bytes a block holds after three words: generation, link, length of the whole in the first one. */
const PAYLOAD = (BLOCK_WORDS - 3) * 4;

/** Puts bytes into the arena and returns the first block; throws ENOMEM when it is full. */
function arenaPut(k: Kernel, bytes: Uint8Array, length: number, syscall: string): number {
  let first = 0;
  let previous = 0;
  for (let at = 0; at < length; at += PAYLOAD) {
    const index = rawGet(k, k.blockPool, k.blockBase, BLOCK_WORDS, k.limits.blocks);
    if (index === 0) {
      if (first !== 0) arenaFree(k, first);
      fail(
        ENOMEM,
        syscall,
        undefined,
        `the arena of ${k.limits.blocks} blocks for arguments and results is full`,
      );
    }
    const block = addressOf(k, index);
    if (previous === 0) {
      first = index;
      k.w[block + 2] = length;
    } else {
      k.w[addressOf(k, previous) + 1] = index;
    }
    k.w[block + 1] = 0;
    k.b.set(bytes.subarray(at, Math.min(length, at + PAYLOAD)), (block + 3) * 4);
    previous = index;
  }
  return first;
}

/** The value in a chain of blocks, which is given back. */
function takeBytes(k: Kernel, first: number): unknown {
  const { decoder } = threadHost(k);
  const block = addressOf(k, first);
  const length = k.w[block + 2];
  const value =
    length <= PAYLOAD ? decoder.decode(k.b, (block + 3) * 4) : decoder.decode(gather(k, first, length), 0);
  arenaFree(k, first);
  return value;
}

function gather(k: Kernel, first: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let index = first; index !== 0; index = k.w[addressOf(k, index) + 1]) {
    const start = (addressOf(k, index) + 3) * 4;
    const n = Math.min(PAYLOAD, length - at);
    bytes.set(k.b.subarray(start, start + n), at);
    at += n;
  }
  return bytes;
}

/** Gives a chain of blocks back. */
function arenaFree(k: Kernel, first: number): void {
  for (let index = first; index !== 0; ) {
    const block = addressOf(k, index);
    const next = k.w[block + 1];
    rawPut(k, k.blockPool, block, index);
    index = next;
  }
}

function addressOf(k: Kernel, index: number): number {
  return k.blockBase + (index - 1) * BLOCK_WORDS;
}
