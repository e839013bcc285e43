/** Bytes back into values: the other side of encode.ts. No code of a program runs here. */
import type { Kernel } from "../sys/kernel.js";
import { errorClass, handleKind } from "./handles.js";
import * as wire from "./wire.js";

/** A container whose contents are being read. */
interface Frame {
  readonly kind: number;
  readonly target: object;
  /** Contents still to come, names apart. */
  left: number;
  /** Key that the next value belongs to; place of the next element. */
  key: unknown;
  at: number;
}

const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);
/** Units of a string that are made into characters at a time. */
const CHUNK = 4096;

const NO_BYTES: Uint8Array = new Uint8Array(0);

export class Decoder {
  readonly #k: Kernel;
  #bytes = NO_BYTES;
  #at = 0;
  readonly #frames: Frame[] = [];
  readonly #objects: object[] = [];

  constructor(k: Kernel) {
    this.#k = k;
  }

  /** The value that stands at `start` of these bytes. */
  decode(bytes: Uint8Array, start: number): unknown {
    this.#bytes = bytes;
    this.#at = start;
    const frames = this.#frames;
    try {
      const value = this.#value();
      while (frames.length > 0) {
        const frame = frames[frames.length - 1];
        if (frame.left === 0) frames.pop();
        else this.#next(frame);
      }
      return value;
    } finally {
      this.#bytes = NO_BYTES;
      frames.length = 0;
      this.#objects.length = 0;
    }
  }

  #next(frame: Frame): void {
    const { target } = frame;
    frame.left--;
    switch (frame.kind) {
      case wire.ARRAY: {
        const at = frame.at++;
        if (this.#bytes[this.#at] !== wire.HOLE) {
          (target as unknown[])[at] = this.#value();
        } else {
          this.#at++;
          (target as unknown[]).length = at + 1;
        }
        return;
      }
      case wire.SPARSE: {
        const at = this.#int();
        (target as unknown[])[at] = this.#value();
        return;
      }
      case wire.MAP:
        if (frame.left % 2 === 1) frame.key = this.#value();
        else (target as Map<unknown, unknown>).set(frame.key, this.#value());
        return;
      case wire.SET:
        (target as Set<unknown>).add(this.#value());
        return;
      default:
        this.#property(frame.kind, target);
    }
  }

  #property(kind: number, target: object): void {
    const name = this.#value() as string;
    const value = this.#value();
    if (kind === wire.ERROR) define(target, name, value, !wire.ERROR_PARTS.includes(name));
    else if (name === "__proto__") define(target, name, value, true);
    else (target as Record<string, unknown>)[name] = value;
  }

  #enter<T extends object>(kind: number, target: T, left: number): T {
    this.#objects.push(target);
    if (left > 0) this.#frames.push({ kind, target, left, key: undefined, at: 0 });
    return target;
  }

  #leaf<T extends object>(object: T): T {
    this.#objects.push(object);
    return object;
  }

  #value(): unknown {
    const kind = this.#bytes[this.#at++];
    switch (kind) {
      case wire.UNDEFINED:
        return undefined;
      case wire.NULL:
        return null;
      case wire.TRUE:
        return true;
      case wire.FALSE:
        return false;
      case wire.INT: {
        const at = this.#at;
        const b = this.#bytes;
        this.#at = at + 4;
        return b[at] | (b[at + 1] << 8) | (b[at + 2] << 16) | (b[at + 3] << 24);
      }
      case wire.DOUBLE:
        return this.#double();
      case wire.BIGINT:
        return BigInt(`0x${this.#value() as string}`);
      case wire.NEGATIVE_BIGINT:
        return -BigInt(`0x${this.#value() as string}`);
      case wire.LATIN:
        return this.#latin(this.#int());
      case wire.WIDE:
        return this.#wide(this.#int());
      case wire.REF:
        return this.#objects[this.#int()];
      default:
        return this.#object(kind);
    }
  }

  #object(kind: number): object {
    switch (kind) {
      case wire.ARRAY:
        // Filled from its start: so it is packed, unless it has holes.
        return this.#enter(kind, [], this.#int());
      case wire.SPARSE: {
        const array: unknown[] = [];
        array.length = this.#int();
        return this.#enter(kind, array, this.#int());
      }
      case wire.OBJECT:
        return this.#enter(kind, {}, this.#int());
      case wire.BARE:
        return this.#enter(kind, Object.create(null) as object, this.#int());
      case wire.MAP:
        return this.#enter(kind, new Map(), this.#int() * 2);
      case wire.SET:
        return this.#enter(kind, new Set(), this.#int());
      case wire.DATE:
        return this.#leaf(new Date(this.#double()));
      case wire.REGEXP: {
        const source = this.#value() as string;
        return this.#leaf(new RegExp(source, this.#value() as string));
      }
      case wire.BUFFER:
        return this.#leaf(this.#blob());
      case wire.VIEW: {
        const place = this.#int();
        return this.#leaf(viewOf(place, this.#blob()));
      }
      case wire.BOXED:
        return this.#leaf(Object(this.#value()) as object);
      case wire.ERROR:
        return this.#error();
      case wire.HANDLE:
        return this.#leaf(this.#handle());
      default:
        throw new Error(`a value that was sent has the kind ${kind}`);
    }
  }

  #error(): Error {
    const className = this.#value() as string;
    const name = this.#value();
    const message = this.#value();
    const stack = this.#value();
    const error = blankError(className, message, name);
    if (name !== undefined && error.name !== name) define(error, "name", name, false);
    define(error, "stack", stack, false);
    return this.#enter(wire.ERROR, error, this.#int());
  }

  #handle(): object {
    const tag = this.#value() as string;
    const numbers: number[] = [];
    for (let n = this.#int(); n > 0; n--) numbers.push(this.#double());
    return handleKind(tag).read(this.#k, numbers);
  }

  // --- bytes -------------------------------------------------------------------------------------

  #int(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  #double(): number {
    for (let i = 0; i < 8; i++) doubleBytes[i] = this.#bytes[this.#at + i];
    this.#at += 8;
    return double[0];
  }

  /** Bytes in a buffer of their own, whatever memory they came in. */
  #blob(): ArrayBuffer {
    const n = this.#int();
    const own = new Uint8Array(n);
    own.set(this.#bytes.subarray(this.#at, this.#at + n));
    this.#at += n;
    return own.buffer;
  }

  #latin(n: number): string {
    const bytes = this.#bytes;
    let text = "";
    const end = this.#at + n;
    if (n < 16) {
      while (this.#at < end) text += String.fromCharCode(bytes[this.#at++]);
      return text;
    }
    for (; this.#at < end; this.#at += CHUNK) {
      text += String.fromCharCode.apply(
        null,
        bytes.subarray(this.#at, Math.min(end, this.#at + CHUNK)) as unknown as number[],
      );
    }
    this.#at = end;
    return text;
  }

  #wide(n: number): string {
    const bytes = this.#bytes;
    const end = this.#at + n * 2;
    let text = "";
    while (this.#at < end) {
      const units: number[] = [];
      for (const stop = Math.min(end, this.#at + CHUNK * 2); this.#at < stop; this.#at += 2) {
        units.push(bytes[this.#at] | (bytes[this.#at + 1] << 8));
      }
      text += String.fromCharCode.apply(null, units);
    }
    return text;
  }
}

function blankError(className: string, message: unknown, name: unknown): Error {
  const text = typeof message === "string" ? message : undefined;
  if (className === "DOMException")
    return new DOMException(text, typeof name === "string" ? name : undefined);
  const error = new Error(text);
  const Class = errorClass(className);
  if (Class !== Error) Object.setPrototypeOf(error, Class.prototype);
  return error;
}

function define(target: object, name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable });
}

function viewOf(place: number, buffer: ArrayBuffer): ArrayBufferView {
  if (place !== wire.NODE_BUFFER) return new wire.VIEWS[place](buffer);
  return wire.HostBuffer === undefined ? new Uint8Array(buffer) : wire.HostBuffer.from(buffer);
}
