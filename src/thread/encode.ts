/**
 * Values into bytes (wire.ts): what travels, and what does not.
 *
 * By value: all that a structured clone copies, with these differences. What would lose its class is refused, not made plain:
 * an instance of a class of the program's, a subclass of Map. Errors keep `code`, `cause` and their other properties. Handles
 * travel as handles. A view brings its own part of its buffer alone. Shared memory is refused: SharedBytes is for that.
 * Symbols as keys, properties that cannot be enumerated, and named properties of arrays stay behind.
 *
 * Invariant: no recursion, so that depth has no limit; the frames of the containers under way are the path of an error.
 */
import { ENOMEM, LwpError } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import { PAGE_SIZE } from "../sys/shapes.js";
import { errorClassName, handleKind, handleTag } from "./handles.js";
import { isOperation } from "../syscall/operation.js";
import * as wire from "./wire.js";

/** A container whose contents are being written. */
interface Frame {
  kind: number;
  source: object;
  /** Names of properties, or keys and values of a map, or elements of a set. */
  items: readonly unknown[];
  next: number;
  count: number;
}

const NO_ITEMS: readonly unknown[] = [];
/** More room than this is given back after use. */
const ROOM_KEPT = 1 << 16;
/** Objects that are looked up one by one; more have a table. */
const SEEN_FEW = 8;

const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);

export class Encoder {
  readonly #k: Kernel;
  /** What `encode` wrote: `length` bytes, until it is called again. */
  bytes = new Uint8Array(256);
  length = 0;
  #busy = false;
  /** Name of the whole in paths. */
  #root = "";
  /** Write what cannot travel as a text about it, and throw nothing. */
  #lenient = false;
  readonly #frames: Frame[] = [];
  #depth = 0;
  readonly #seen: object[] = [];
  #numbers: Map<object, number> | null = null;

  constructor(k: Kernel) {
    this.#k = k;
  }

  /**
   * Writes a value; returns the encoder that did: another than this one if a getter of the value has come here again.
   *
   * Errors: DataCloneError what cannot travel, by its path from `root`; ENOMEM it is larger than user memory; what a getter
   * throws.
   */
  encode(value: unknown, root: string, lenient = false): Encoder {
    if (this.#busy) return new Encoder(this.#k).encode(value, root, lenient);
    this.#busy = true;
    this.#root = root;
    this.#lenient = lenient;
    if (this.bytes.length > ROOM_KEPT) this.bytes = new Uint8Array(256);
    this.length = 0;
    try {
      this.#value(value);
      while (this.#depth > 0) this.#next(this.#frames[this.#depth - 1]);
      return this;
    } finally {
      this.#forget();
    }
  }

  #forget(): void {
    this.#busy = false;
    // Frames serve again; they must not keep what they showed.
    for (const frame of this.#frames) {
      frame.source = NO_ITEMS;
      frame.items = NO_ITEMS;
    }
    this.#depth = 0;
    this.#seen.length = 0;
    this.#numbers = null;
  }

  // --- contents of containers --------------------------------------------------------------------

  #next(frame: Frame): void {
    if (frame.next === frame.count) {
      this.#depth--;
      return;
    }
    const i = frame.next++;
    const { source, items } = frame;
    switch (frame.kind) {
      case wire.ARRAY: {
        const array = source as readonly unknown[];
        const value = array[i];
        if (value === undefined && !(i in array)) this.#byte(wire.HOLE);
        else this.#value(value);
        break;
      }
      case wire.SPARSE:
        this.#int(Number(items[i]));
        this.#property(source, items[i] as string);
        break;
      case wire.OBJECT:
      case wire.ERROR:
        this.#string(items[i] as string);
        this.#property(source, items[i] as string);
        break;
      default:
        this.#value(items[i]);
    }
  }

  #property(source: object, name: string): void {
    let value: unknown;
    try {
      value = (source as Record<string, unknown>)[name];
    } catch (error) {
      if (!this.#lenient) throw error;
      value = "[what its getter throws]";
    }
    this.#value(value);
  }

  #enter(kind: number, source: object, items: readonly unknown[], count: number): void {
    let frame = this.#frames[this.#depth];
    if (frame === undefined) {
      frame = { kind, source, items, next: 0, count };
      this.#frames.push(frame);
    } else {
      frame.kind = kind;
      frame.source = source;
      frame.items = items;
      frame.next = 0;
      frame.count = count;
    }
    this.#depth++;
  }

  // --- values ------------------------------------------------------------------------------------

  #value(value: unknown): void {
    switch (typeof value) {
      case "undefined":
        return this.#byte(wire.UNDEFINED);
      case "boolean":
        return this.#byte(value ? wire.TRUE : wire.FALSE);
      case "number":
        return this.#number(value);
      case "string":
        return this.#string(value);
      case "bigint":
        this.#byte(value < 0n ? wire.NEGATIVE_BIGINT : wire.BIGINT);
        return this.#string((value < 0n ? -value : value).toString(16));
      case "object":
        return value === null ? this.#byte(wire.NULL) : this.#object(value);
      default:
        this.#refuse(value);
    }
  }

  #number(value: number): void {
    const i = value | 0;
    if (i === value && (i !== 0 || 1 / value > 0)) {
      this.#room(5);
      const { bytes, length: at } = this;
      bytes[at] = wire.INT;
      bytes[at + 1] = i;
      bytes[at + 2] = i >> 8;
      bytes[at + 3] = i >> 16;
      bytes[at + 4] = i >> 24;
      this.length = at + 5;
    } else {
      this.#byte(wire.DOUBLE);
      this.#double(value);
    }
  }

  #object(value: object): void {
    const known = this.#numberOf(value);
    if (known >= 0) {
      this.#byte(wire.REF);
      this.#int(known);
      return;
    }
    const proto: unknown = Object.getPrototypeOf(value);
    if (Array.isArray(value) && proto === Array.prototype) this.#array(value);
    else if (proto === Object.prototype) this.#plain(wire.OBJECT, value);
    else if (proto === null) this.#plain(wire.BARE, value);
    else if (ArrayBuffer.isView(value)) this.#view(value, proto as object);
    else if (value instanceof Error) this.#error(value);
    else this.#other(value, proto as object);
  }

  /** The number of an object that was written before; else it gets one, and -1 is the answer. */
  #numberOf(value: object): number {
    const seen = this.#seen;
    const n = seen.length;
    if (this.#numbers === null) {
      for (let i = 0; i < n; i++) if (seen[i] === value) return i;
      seen.push(value);
      if (n + 1 === SEEN_FEW) this.#numbers = new Map(seen.map((object, i) => [object, i]));
      return -1;
    }
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    this.#numbers.set(value, this.#numbers.size);
    return -1;
  }

  #array(value: readonly unknown[]): void {
    const { length } = value;
    // A long array with few elements is written by its elements, so that it takes no time for the others.
    if (length > 64 && !(length - 1 in value && length >> 1 in value)) {
      const keys = Object.keys(value).filter((key) => isIndex(key, length));
      this.#byte(wire.SPARSE);
      this.#int(length);
      this.#int(keys.length);
      this.#enter(wire.SPARSE, value, keys, keys.length);
      return;
    }
    this.#byte(wire.ARRAY);
    this.#int(length);
    this.#enter(wire.ARRAY, value, NO_ITEMS, length);
  }

  #plain(kind: number, value: object): void {
    const keys = Object.keys(value);
    this.#byte(kind);
    this.#int(keys.length);
    this.#enter(wire.OBJECT, value, keys, keys.length);
  }

  /** Objects with slots of their own. A proxy of one has none, nor what only borrows the prototype: TypeError. */
  #other(value: object, proto: object): void {
    const tag = handleTag(value);
    if (tag !== null) return this.#handle(tag, value);
    try {
      if (proto === Map.prototype) {
        const items = [...Map.prototype.entries.call(value)].flat();
        this.#byte(wire.MAP);
        this.#int(items.length >> 1);
        this.#enter(wire.MAP, value, items, items.length);
      } else if (proto === Set.prototype) {
        const items = [...Set.prototype.values.call(value)];
        this.#byte(wire.SET);
        this.#int(items.length);
        this.#enter(wire.SET, value, items, items.length);
      } else if (proto === Date.prototype) {
        const time = Date.prototype.getTime.call(value);
        this.#byte(wire.DATE);
        this.#double(time);
      } else if (proto === RegExp.prototype) {
        const { source, flags } = value as RegExp;
        this.#byte(wire.REGEXP);
        this.#string(source);
        this.#string(flags);
      } else if (proto === ArrayBuffer.prototype) {
        const bytes = new Uint8Array(value as ArrayBuffer, 0, byteLength.call(value));
        this.#byte(wire.BUFFER);
        this.#blob(bytes);
      } else if (BOXES.has(proto)) {
        const inner = (value as { valueOf(): unknown }).valueOf();
        if (typeof inner === "object") return this.#refuse(value);
        this.#byte(wire.BOXED);
        this.#value(inner);
      } else {
        this.#refuse(value);
      }
    } catch (error) {
      if (error instanceof TypeError) return this.#refuse(value);
      throw error;
    }
  }

  #view(value: ArrayBufferView, proto: object): void {
    const own = wire.VIEWS.findIndex((Class) => Class.prototype === proto);
    const place = proto === wire.HostBuffer?.prototype ? wire.NODE_BUFFER : own;
    const { buffer } = value;
    if (place < 0 || isShared(this.#k, buffer)) return this.#refuse(value);
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(buffer, value.byteOffset, value.byteLength);
    } catch {
      return this.#refuse(value);
    }
    this.#byte(wire.VIEW);
    this.#int(place);
    this.#blob(bytes);
  }

  #error(value: Error): void {
    const names = Object.keys(value);
    for (const part of wire.ERROR_PARTS) {
      if (!names.includes(part) && Object.hasOwn(value, part)) names.push(part);
    }
    this.#byte(wire.ERROR);
    this.#string(errorClassName(value));
    for (const part of ["name", "message", "stack"] as const) this.#text(value, part);
    this.#int(names.length);
    this.#enter(wire.ERROR, value, names, names.length);
  }

  /** A part of an error that should be a string. */
  #text(value: Error, part: "name" | "message" | "stack"): void {
    let text: unknown;
    try {
      text = value[part];
    } catch (error) {
      if (!this.#lenient) throw error;
    }
    if (typeof text === "string") this.#string(text);
    else this.#byte(wire.UNDEFINED);
  }

  #handle(tag: string, value: object): void {
    let numbers: readonly number[];
    try {
      numbers = handleKind(tag).write(this.#k, value);
    } catch (error) {
      if (!this.#lenient) throw this.#refusal(error instanceof Error ? error.message : String(error));
      this.#unsee(value);
      return this.#string(`[${tag}]`);
    }
    this.#byte(wire.HANDLE);
    this.#string(tag);
    this.#int(numbers.length);
    for (const n of numbers) this.#double(n);
  }

  // --- what cannot travel ------------------------------------------------------------------------

  #refuse(value: unknown): void {
    const what = this.#describe(value);
    if (!this.#lenient) throw this.#refusal(`${what} cannot travel between threads`);
    // The number it was given stands for nothing that was written: whoever refers to it gets the same text.
    if (typeof value === "object" && value !== null) this.#unsee(value);
    this.#string(`[${what}]`);
  }

  #describe(value: unknown): string {
    if (ArrayBuffer.isView(value) && isShared(this.#k, value.buffer)) {
      return "a view of shared memory (SharedBytes is made for that)";
    }
    return describe(value);
  }

  #refusal(why: string): DOMException {
    return new DOMException(`${this.#path()}: ${why}`, "DataCloneError");
  }

  /** Takes back the last number given. */
  #unsee(value: object): void {
    if (this.#numbers === null) this.#seen.pop();
    else this.#numbers.delete(value);
  }

  #path(): string {
    let path = this.#root;
    for (let d = 0; d < this.#depth; d++) path += segment(this.#frames[d]);
    return path;
  }

  // --- bytes -------------------------------------------------------------------------------------

  #room(n: number): void {
    if (this.length + n > this.bytes.length) this.#grow(n);
  }

  #grow(n: number): void {
    const all = this.#k.limits.userPages * PAGE_SIZE;
    if (this.length + n > all) {
      const detail = `${this.#root} takes more than the ${all} bytes of user memory (limits.userPages)`;
      throw new LwpError(ENOMEM, "Thread", { detail });
    }
    const bytes = new Uint8Array(Math.max(this.length + n, this.bytes.length * 2));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
  }

  #byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  #int(value: number): void {
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#byte((rest & 127) | 128);
    this.#byte(rest);
  }

  #double(value: number): void {
    this.#room(8);
    double[0] = value;
    for (let i = 0; i < 8; i++) this.bytes[this.length + i] = doubleBytes[i];
    this.length += 8;
  }

  #blob(bytes: Uint8Array): void {
    this.#int(bytes.length);
    this.#room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  #string(text: string): void {
    const n = text.length;
    const start = this.length;
    this.#byte(wire.LATIN);
    this.#int(n);
    this.#room(n);
    const { bytes } = this;
    let at = this.length;
    for (let i = 0; i < n; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0xff) {
        this.length = start;
        return this.#wide(text);
      }
      bytes[at++] = unit;
    }
    this.length = at;
  }

  #wide(text: string): void {
    const n = text.length;
    this.#byte(wire.WIDE);
    this.#int(n);
    this.#room(n * 2);
    const { bytes } = this;
    let at = this.length;
    for (let i = 0; i < n; i++) {
      const unit = text.charCodeAt(i);
      bytes[at++] = unit;
      bytes[at++] = unit >> 8;
    }
    this.length = at;
  }
}

const BOXES = new Set<object>([Number.prototype, String.prototype, Boolean.prototype, BigInt.prototype]);

const byteLength = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "byteLength")?.get as () => number;

/** Memory of the machine is no value, whether the host can share it or not. */
function isShared(k: Kernel, buffer: ArrayBufferLike): boolean {
  return !(buffer instanceof ArrayBuffer) || buffer === k.user || buffer === k.buffer;
}

function isIndex(key: string, length: number): boolean {
  const n = Number(key);
  return n < length && Number.isInteger(n) && n >= 0 && String(n) === key;
}

/** The step from a container to what is being written of it. */
function segment({ kind, items, next }: Frame): string {
  const i = next - 1;
  switch (kind) {
    case wire.ARRAY:
      return `[${i}]`;
    case wire.SPARSE:
      return `[${String(items[i])}]`;
    case wire.MAP:
      return i % 2 === 1 ? `.get(${show(items[i - 1])})` : `.keys()[${i >> 1}]`;
    case wire.SET:
      return `.values()[${i}]`;
    default: {
      const name = String(items[i]);
      return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
    }
  }
}

function show(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key);
  return typeof key === "object" && key !== null ? describe(key) : String(key);
}

/** What a value is, in words. */
function describe(value: unknown): string {
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "function") return value.name === "" ? "a function" : `the function ${value.name}`;
  const name = className(value as object);
  if (name === "SharedArrayBuffer") return "a SharedArrayBuffer (SharedBytes is made for that)";
  if (name.startsWith("operation "))
    return `the ${name}, which was not iterated (write \`yield*\` before the call),`;
  return name === "Object" ? "an object with a prototype of its own" : `an instance of ${name}`;
}

function className(value: object): string {
  try {
    if (isOperation(value)) return `operation ${value.syscall}`;
    const proto: unknown = Object.getPrototypeOf(value);
    const made = (proto as { constructor?: unknown }).constructor;
    if (typeof made === "function" && made.name !== "") return made.name;
  } catch {
    // A proxy may throw at anything.
  }
  return "a class without a name";
}
