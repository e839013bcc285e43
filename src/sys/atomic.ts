/**
 * Atomic operations on the words of kernel memory that several CPUs share.
 *
 * Each is one machine instruction, in a function of WebAssembly: a call of that costs ten instructions, one of `Atomics` a
 * hundred. So the memory of a machine whose CPUs run in parallel is a WebAssembly memory. Where there is no WebAssembly,
 * or it is forbidden, the memory is a plain SharedArrayBuffer, and the operations are those of `Atomics`.
 *
 * All are sequentially consistent, and their addresses are indices of words. This realm's functions serve one memory.
 */

export interface Atomic {
  load(at: number): number;
  store(at: number, value: number): void;
  /** Sets the word if it is `from`. Returns what it was, as all that follow do. */
  cas(at: number, from: number, to: number): number;
  or(at: number, bits: number): number;
  and(at: number, bits: number): number;
  add(at: number, n: number): number;
  /** Sets the word to 0, then reads the next one: a lock, and how many sleep for it. */
  release(at: number): number;
}

/** What one realm hands to another so that both see the same words. */
export type SharedMemory = SharedArrayBuffer | WasmMemory;

/** A `WebAssembly.Memory`, as far as it is used here. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The same of the global, which not every realm has. */
declare const WebAssembly:
  | {
      Memory: new (size: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
      Module: new (code: Uint8Array) => object;
      Instance: new (module: object, imports: object) => { readonly exports: object };
    }
  | undefined;

const WASM_PAGE_BYTES = 65536;

/** Memory of at least `bytes`, all 0. What was never touched of it costs nothing. */
export function sharedMemory(bytes: number): SharedMemory {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  try {
    if (typeof WebAssembly === "object") {
      const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
      byWasm(memory);
      return memory;
    }
  } catch {
    // Forbidden by the page, or there is not as much.
  }
  return new SharedArrayBuffer(bytes);
}

/** The words of a memory. */
export function bufferOf(memory: SharedMemory | ArrayBuffer): SharedArrayBuffer | ArrayBuffer {
  return "byteLength" in memory ? memory : memory.buffer;
}

/** The operations on it. */
export function atomicOn(memory: SharedMemory | ArrayBuffer): Atomic {
  return "byteLength" in memory ? byAtomics(new Int32Array(memory)) : byWasm(memory);
}

function byAtomics(w: Int32Array): Atomic {
  return {
    load: (at) => Atomics.load(w, at),
    store: (at, value) => void Atomics.store(w, at, value),
    cas: (at, from, to) => Atomics.compareExchange(w, at, from, to),
    or: (at, bits) => Atomics.or(w, at, bits),
    and: (at, bits) => Atomics.and(w, at, bits),
    add: (at, n) => Atomics.add(w, at, n),
    release: (at) => {
      Atomics.store(w, at, 0);
      return Atomics.load(w, at + 1);
    },
  };
}

// The module, put together here, since it is shorter than the tools that would.

const I32 = 0x7f;
const LOCAL_GET = 0x20;
const I32_CONST = 0x41;
const I32_SHL = 0x74;
const END = 0x0b;
const ATOMIC = 0xfe;
/** The instructions' names after ATOMIC. All take a byte address, and an alignment and an offset in the code. */
const LOAD = 0x10;
const STORE = 0x17;
const ADD = 0x1e;
const AND = 0x2c;
const OR = 0x33;
const CAS = 0x48;
/** log2 of the alignment. */
const WORD = 2;

const get = (n: number) => [LOCAL_GET, n];
/** The byte address of the word whose index is the first parameter. */
const ADDRESS = [...get(0), I32_CONST, 2, I32_SHL];
const atomic = (what: number, offset = 0) => [ATOMIC, what, WORD, offset];

/** How many parameters, whether there is a result, and the code. */
const FUNCTIONS: readonly [name: keyof Atomic, params: number, results: number, code: readonly number[]][] = [
  ["load", 1, 1, [...ADDRESS, ...atomic(LOAD)]],
  ["store", 2, 0, [...ADDRESS, ...get(1), ...atomic(STORE)]],
  ["cas", 3, 1, [...ADDRESS, ...get(1), ...get(2), ...atomic(CAS)]],
  ["or", 2, 1, [...ADDRESS, ...get(1), ...atomic(OR)]],
  ["and", 2, 1, [...ADDRESS, ...get(1), ...atomic(AND)]],
  ["add", 2, 1, [...ADDRESS, ...get(1), ...atomic(ADD)]],
  ["release", 1, 1, [...ADDRESS, I32_CONST, 0, ...atomic(STORE), ...ADDRESS, ...atomic(LOAD, 4)]],
];

/** A number in seven bits a byte. */
function leb(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...leb(n >>> 7)];
}

const text = (s: string) => [s.length, ...Array.from(s, (c) => c.charCodeAt(0))];
const list = (items: readonly (readonly number[])[]) => [...leb(items.length), ...items.flat()];
const section = (id: number, content: readonly number[]) => [id, ...leb(content.length), ...content];
const words = (n: number) => Array.from({ length: n }, () => I32);

/** A memory of any size, shared. */
const MEMORY = [...text("k"), ...text("memory"), 2, 3, ...leb(0), ...leb(65536)];

function moduleCode(): Uint8Array {
  const types = FUNCTIONS.map(([, params, results]) => [
    0x60,
    params,
    ...words(params),
    results,
    ...words(results),
  ]);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(types)),
    ...section(2, list([MEMORY])),
    ...section(3, list(FUNCTIONS.map((_, i) => [i]))),
    ...section(7, list(FUNCTIONS.map(([name], i) => [...text(name), 0, i]))),
    ...section(10, list(FUNCTIONS.map(([, , , code]) => [code.length + 2, 0, ...code, END]))),
  ]);
}

function byWasm(memory: WasmMemory): Atomic {
  return instanceOn(memory, moduleCode(), {}) as Atomic;
}

/** What a module exports that works on `memory`, with `imports` besides. */
export function instanceOn(memory: WasmMemory, code: Uint8Array, imports: object): object {
  if (WebAssembly === undefined) throw new Error("there is no WebAssembly here");
  const module = new WebAssembly.Module(code);
  return new WebAssembly.Instance(module, { k: { memory, ...imports } }).exports;
}
