/**
 * How arguments and results travel between threads.
 *
 * By value: nothing, numbers and booleans in the record itself; everything else as bytes in the arena, a pool of blocks of
 * 64 words linked into chains. What cannot travel throws, and says where it stands. A thread that stays in its realm gets
 * its arguments as they are.
 */
import { BLOCK_WORDS, type Kernel } from "../sys/kernel.js";
import { ENOMEM, LwpError } from "../sys/errno.js";
import { rawGet, rawPut } from "../kern/pool.js";
import { fail } from "../syscall/operation.js";
import { Cancelled } from "./cancel.js";

/** Kinds of values in a record. */
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

/** Turns values into bytes and back; the host's. */
export interface Codec {
  /** Throws when a value cannot travel. */
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/** What a thread threw, in a form that keeps more of an error than a structured clone does: `code` above all. */
type Thrown =
  | { readonly value: unknown }
  | {
      readonly name: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly own: Readonly<Record<string, unknown>>;
      readonly cause: Thrown | null;
    };

const ERRORS: Readonly<Record<string, { readonly prototype: Error }>> = {
  Cancelled,
  EvalError,
  LwpError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** What was thrown, as bytes. Never throws: what of it cannot travel goes as its text, or stays behind. */
export function encodeThrown(codec: Codec, thrown: unknown): Uint8Array {
  for (const form of [() => packThrown(thrown, true), () => packThrown(thrown, false)]) {
    try {
      return codec.encode(form());
    } catch {
      // The next form has less in it.
    }
  }
  return codec.encode({ value: `a ${typeof thrown} that cannot be shown` } satisfies Thrown);
}

function packThrown(thrown: unknown, whole: boolean): Thrown {
  if (!(thrown instanceof Error)) return { value: whole ? thrown : String(thrown) };
  const { name, message, stack, cause } = thrown;
  const own = whole ? { ...thrown } : {};
  return { name, message, stack, own, cause: cause === undefined ? null : packThrown(cause, whole) };
}

export function decodeThrown(codec: Codec, bytes: Uint8Array): unknown {
  return unpackThrown(codec.decode(bytes) as Thrown);
}

function unpackThrown(thrown: Thrown): unknown {
  if ("value" in thrown) return thrown.value;
  const { name, message, stack, own, cause } = thrown;
  const error = cause === null ? new Error(message) : new Error(message, { cause: unpackThrown(cause) });
  const known = ERRORS[name];
  if (known !== undefined) Object.setPrototypeOf(error, known.prototype);
  const hidden = { configurable: true, writable: true };
  if (error.name !== name) Object.defineProperty(error, "name", { value: name, ...hidden });
  Object.defineProperty(error, "stack", { value: stack, ...hidden });
  return Object.assign(error, own);
}

/** Bytes a block holds; its first two words are generation and link. */
const PAYLOAD = (BLOCK_WORDS - 3) * 4;

/** Puts bytes into the arena and returns the first block; throws ENOMEM when it is full. */
export function arenaPut(k: Kernel, bytes: Uint8Array, syscall: string): number {
  const memory = new Uint8Array(k.buffer);
  let first = 0;
  let previous = 0;
  let at = 0;
  do {
    const index = rawGet(k, k.blockPool, k.blockBase, BLOCK_WORDS, k.limits.blocks);
    if (index === 0) {
      if (first !== 0) arenaFree(k, first);
      fail(ENOMEM, syscall, undefined, "the arena for arguments and results is full");
    }
    const block = addressOf(k, index);
    if (previous === 0) {
      first = index;
      k.w[block + 2] = bytes.length;
    } else {
      k.w[addressOf(k, previous) + 1] = index;
    }
    k.w[block + 1] = 0;
    memory.set(bytes.subarray(at, at + PAYLOAD), (block + 3) * 4);
    at += PAYLOAD;
    previous = index;
  } while (at < bytes.length);
  return first;
}

/** Takes bytes out of the arena and gives the blocks back. */
export function arenaTake(k: Kernel, first: number): Uint8Array {
  const memory = new Uint8Array(k.buffer);
  const bytes = new Uint8Array(k.w[addressOf(k, first) + 2]);
  let at = 0;
  for (let index = first; index !== 0; index = k.w[addressOf(k, index) + 1]) {
    const start = (addressOf(k, index) + 3) * 4;
    const n = Math.min(PAYLOAD, bytes.length - at);
    bytes.set(memory.subarray(start, start + n), at);
    at += n;
  }
  arenaFree(k, first);
  return bytes;
}

/** Gives a chain of blocks back. */
export function arenaFree(k: Kernel, first: number): void {
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
