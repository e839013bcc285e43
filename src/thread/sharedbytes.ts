/**
 * Memory that threads on all CPUs share: ranges of user memory (kern/umem.ts).
 *
 * A range belongs to the process that made it: it is given back by `dispose`, at the end of a `using` block, or when the
 * process ends. Handles on it travel; all of them show the same bytes. A view that is still in use after the range was given
 * back shows whatever stands there then: that is an error of the program which only the getters here can find.
 */
import { EINVAL, ENOMEM, ESRCH, LwpError } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import { PAGE_SIZE } from "../sys/shapes.js";
import { umemAlloc, umemByte, umemFree, umemGen, umemIsLive, umemPagesOf } from "../kern/umem.js";
import { caller, fail } from "../syscall/operation.js";
import { registerHandle } from "./handles.js";

/** A class of views: a typed array, or DataView. */
type ViewClass<V> = {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): V;
  readonly BYTES_PER_ELEMENT?: number;
};

/** A range, and how much of it was asked for. */
interface Range {
  readonly k: Kernel;
  readonly page: number;
  readonly gen: number;
  readonly byteLength: number;
}

/** Memory that is shared by threads on all CPUs. */
export class SharedBytes implements Disposable {
  readonly #k: Kernel;
  readonly #page: number;
  readonly #gen: number;
  /** Its size in bytes. */
  readonly byteLength: number;
  #u8: Uint8Array | null = null;
  #i32: Int32Array | null = null;
  #f64: Float64Array | null = null;

  /**
   * Takes `byteLength` bytes, all 0, at an address that 4,096 divides. It uses whole pages of 4,096 bytes. Does not sleep.
   *
   * Errors: EINVAL not a whole number from 0; ENOMEM user memory has no free range of that size (`limits.userPages`).
   */
  constructor(byteLength: number);
  constructor(size: number | Range) {
    const range = isRange(size) ? size : allocate(size);
    this.#k = range.k;
    this.#page = range.page;
    this.#gen = range.gen;
    this.byteLength = range.byteLength;
  }

  static {
    registerHandle<SharedBytes>("SharedBytes", {
      is: (value): value is SharedBytes => #gen in value,
      write(k, bytes) {
        if (bytes.#k !== k) throw new Error("SharedBytes of another machine");
        return [bytes.#page, bytes.#gen, bytes.byteLength];
      },
      read(k, [page, gen, byteLength]) {
        const range: Range = { k, page, gen, byteLength };
        return new SharedBytes(range as unknown as number);
      },
    });
  }

  /** All of it by bytes. Error, like that of the others: ESRCH it was given back. */
  get u8(): Uint8Array {
    this.#check();
    return (this.#u8 ??= this.view(Uint8Array));
  }

  /** As many 32-bit integers as fit; what `Atomics` works on. */
  get i32(): Int32Array {
    this.#check();
    return (this.#i32 ??= this.view(Int32Array));
  }

  /** As many doubles as fit. */
  get f64(): Float64Array {
    this.#check();
    return (this.#f64 ??= this.view(Float64Array));
  }

  /**
   * A part of it as any class of views: `view(Uint16Array, 8, 4)` are four elements from byte 8. Left out, `byteOffset` is 0
   * and `length` as many elements as fit (bytes of a DataView). Its `buffer` is all of user memory, also of other processes.
   *
   * Errors: ESRCH; RangeError the part is not within, or not aligned to its elements.
   */
  view<V>(Class: ViewClass<V>, byteOffset = 0, length?: number): V {
    this.#check();
    const size = Class.BYTES_PER_ELEMENT ?? 1;
    const elements = length ?? Math.floor((this.byteLength - byteOffset) / size);
    const within =
      Number.isInteger(byteOffset) &&
      Number.isInteger(elements) &&
      byteOffset >= 0 &&
      elements >= 0 &&
      byteOffset + elements * size <= this.byteLength;
    if (!within) {
      throw new RangeError(
        `${elements} elements from byte ${byteOffset} are not within ${this.byteLength} bytes`,
      );
    }
    return new Class(this.#k.user as ArrayBuffer, umemByte(this.#page) + byteOffset, elements);
  }

  /** Whether nobody has given it back yet. */
  get live(): boolean {
    return umemIsLive(this.#k, this.#page, this.#gen);
  }

  /** Gives it back; a second time does nothing. Its views must not be used any more, on any CPU. */
  dispose(): void {
    caller("SharedBytes.dispose");
    umemFree(this.#k, this.#page, this.#gen);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #check(): void {
    if (!this.live) throw new LwpError(ESRCH, "SharedBytes", { detail: "it was given back" });
  }
}

function isRange(size: unknown): size is Range {
  return typeof size === "object" && size !== null;
}

function allocate(byteLength: number): Range {
  const l = caller("SharedBytes");
  const { k } = l;
  if (!Number.isInteger(byteLength) || byteLength < 0) {
    fail(EINVAL, "SharedBytes", undefined, `the size must be bytes from 0, not ${String(byteLength)}`);
  }
  const page = umemAlloc(k, l.proc, umemPagesOf(byteLength), true);
  if (page === 0) fail(ENOMEM, "SharedBytes", undefined, noUserMemory(k, byteLength));
  return { k, page, gen: umemGen(k, page), byteLength };
}

/** Why ENOMEM. */
export function noUserMemory(k: Kernel, bytes: number): string {
  return `no ${bytes} bytes in a row are free of the ${k.limits.userPages * PAGE_SIZE} of user memory (limits.userPages)`;
}
