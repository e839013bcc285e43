/**
 * Every kind of value that travels between threads, and every kind that does not. As a program it sends each to a portable
 * thread and back, on one CPU or two, and writes what went wrong as JSON.
 */
import { Socket } from "node:net";
import { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { threadId } from "node:worker_threads";
import { LwpError, Thread, ThreadError } from "lwp";

/** A value that travels. Unless said it comes out deeply equal, and as another object. */
export interface Row {
  readonly name: string;
  make(): unknown;
  same?(sent: never, back: never): boolean;
}

class Own extends Error {
  override name = "Own";
  readonly detail = { n: 1 };
}

const error = <E extends Error>(e: E, own: object = {}): E => Object.assign(e, own);

/** Whether errors are alike in class, text, properties and cause. */
function alike(sent: Error, back: Error): boolean {
  return (
    sent.constructor === back.constructor &&
    sent.name === back.name &&
    sent.message === back.message &&
    sent.stack === back.stack &&
    isDeepStrictEqual(Object.keys(sent), Object.keys(back)) &&
    isDeepStrictEqual({ ...sent }, { ...back }) &&
    Object.hasOwn(sent, "cause") === Object.hasOwn(back, "cause") &&
    isDeepStrictEqual(sent.cause, back.cause)
  );
}

function cyclic<T>(object: T, tie: (object: T) => void): T {
  tie(object);
  return object;
}

function deep(depth: number): unknown {
  let list: unknown = null;
  for (let i = 0; i < depth; i++) list = { next: list };
  return list;
}

function depthOf(list: unknown): number {
  let n = 0;
  for (let at = list as { next: never } | null; at !== null; at = at.next) n++;
  return n;
}

const plain = [
  ...[
    undefined,
    null,
    true,
    false,
    0,
    -0,
    1,
    -1,
    127,
    128,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 31,
    1.5,
    Number.NaN,
  ],
  ...[
    Infinity,
    -Infinity,
    2 ** 53,
    Number.MIN_VALUE,
    "",
    "a",
    "\u00e4\u00ff",
    "\u0100",
    "\u{1f600}",
    "\ud800",
  ],
  ...["x".repeat(15), "x".repeat(16), "\u00ff".repeat(100_000), "\u{1f600}".repeat(50_000)],
  ...[0n, 1n, -1n, 2n ** 64n, -(2n ** 200n)],
];

const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);

export const TRAVELS: readonly Row[] = [
  ...plain.map((value) => ({ name: `the ${typeof value} ${String(value).slice(0, 20)}`, make: () => value })),
  { name: "an empty array", make: () => [] },
  { name: "nested arrays", make: () => [1, [2, [3, []]]] },
  { name: "an array with holes", make: () => withHoles(), same: sameHoles },
  { name: "a long array with a hole", make: () => holed(200), same: sameHoles },
  { name: "an array of a million with two elements", make: () => sparse(1_000_000), same: sameHoles },
  { name: "an array of 2^32 - 1 with one element", make: () => sparse(2 ** 32 - 1), same: sameHoles },
  { name: "an array of 1,000 strings", make: () => Array.from({ length: 1000 }, (_, i) => `${i}`) },
  {
    name: "an array with a named property",
    make: () => /b/.exec("abc"),
    same: (_: never, b: never) => isDeepStrictEqual(b, ["b"]),
  },
  { name: "an object", make: () => ({ a: { b: "c" }, 1: 2, "": 3, "\u{1f600}": undefined }) },
  { name: "an object's order of properties", make: () => ({ z: 1, a: 2 }), same: sameKeys },
  {
    name: "a property named __proto__",
    make: () => JSON.parse('{"__proto__": {"x": 1}}') as object,
    same: sameProto,
  },
  {
    name: "an object without a prototype",
    make: () => Object.assign(Object.create(null) as object, { a: 1 }),
  },
  {
    name: "a frozen object",
    make: () => Object.freeze({ a: 1 }),
    same: (_: never, b: never) => !Object.isFrozen(b),
  },
  {
    name: "what a getter gives",
    make: () => ({
      get a() {
        return 1;
      },
    }),
    same: sameGetter,
  },
  {
    name: "no symbols, nothing hidden",
    make: () => Object.defineProperty({ [Symbol("s")]: 1, a: 1 }, "h", { value: 1 }),
    same: (_: never, b: never) => isDeepStrictEqual(b, { a: 1 }),
  },
  {
    name: "arguments",
    make: () => argumentsOf(1, 2),
    same: (_: never, b: never) => isDeepStrictEqual(b, { 0: 1, 1: 2 }),
  },
  {
    name: "a proxy of an object, as what it shows",
    make: () => new Proxy({ a: 1 }, {}),
    same: (_: never, b: never) => isDeepStrictEqual(b, { a: 1 }),
  },
  {
    name: "a proxy of an array, as what it shows",
    make: () => new Proxy([1, 2], {}),
    same: (_: never, b: never) => isDeepStrictEqual(b, [1, 2]),
  },
  {
    name: "a Map",
    make: () =>
      new Map<unknown, unknown>([
        [1, { x: 2 }],
        [{ k: 1 }, [1]],
        [-0, null],
      ]),
  },
  { name: "a Set", make: () => new Set<unknown>(["y", 1, { a: 1 }, Number.NaN]) },
  { name: "an empty Map and Set", make: () => [new Map(), new Set()] },
  { name: "a Date", make: () => new Date(5) },
  {
    name: "an invalid Date",
    make: () => new Date(Number.NaN),
    same: (_: never, b: never) => (b as unknown) instanceof Date && Number.isNaN((b as Date).getTime()),
  },
  { name: "a RegExp", make: () => /a\/\u{1f600}[b]/giu },
  { name: "an ArrayBuffer", make: () => bytes.slice().buffer },
  ...[Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array].map(
    viewRow,
  ),
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView].map(viewRow),
  {
    name: "a Buffer",
    make: () => Buffer.from("bytes"),
    same: (_: never, b: never) => Buffer.isBuffer(b) && isDeepStrictEqual(b, Buffer.from("bytes")),
  },
  { name: "a part of a buffer alone", make: () => new Uint16Array(bytes.buffer, 2, 3), same: samePart },
  { name: "an empty typed array", make: () => new Float64Array(0) },
  {
    name: "numbers, strings, booleans and bigints as objects",
    make: () => [Object(1), Object("s"), Object(false), Object(1n)],
  },
  { name: "a cyclic object", make: () => cyclic<{ self?: unknown }>({}, (o) => (o.self = o)) },
  { name: "a cyclic array", make: () => cyclic<unknown[]>([], (a) => a.push(a)) },
  { name: "a cyclic Map", make: () => cyclic<Map<unknown, unknown>>(new Map(), (m) => m.set("m", m)) },
  {
    name: "a Set that contains itself",
    make: () => cyclic<Set<unknown>>(new Set(), (s) => s.add(s)),
    same: (_: never, b: never) => (b as Set<unknown>).has(b),
  },
  {
    name: "shared parts, few and many",
    make: () => twice(3),
    same: (_: never, b: never) => sharedParts(b, 3),
  },
  {
    name: "shared parts of a hundred",
    make: () => twice(100),
    same: (_: never, b: never) => sharedParts(b, 100),
  },
  {
    name: "a list of 100,000 links",
    make: () => deep(100_000),
    same: (_: never, b: never) => depthOf(b) === 100_000,
  },
  ...[Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((Class) => ({
    name: `an ${Class.name}`,
    make: () => error(new Class("text")),
    same: alike,
  })),
  {
    name: "an error with code and cause",
    make: () => error(new Error("e", { cause: new TypeError("c") }), { code: "ENOENT", errno: -2 }),
    same: alike,
  },
  {
    name: "an error whose cause is undefined",
    make: () => new Error("e", { cause: undefined }),
    same: alike,
  },
  {
    name: "an AggregateError",
    make: () => new AggregateError([new RangeError("r"), 1], "many"),
    same: sameErrors,
  },
  {
    name: "a DOMException",
    make: () => new DOMException("no", "AbortError"),
    same: (s: never, b: never) => alike(s, b) && (b as DOMException).code === 20,
  },
  { name: "an LwpError", make: () => new LwpError(3, "lwpWait", { lid: 7 }), same: alike },
  { name: "a ThreadError", make: () => new ThreadError(5, new RangeError("deep")), same: alike },
  {
    name: "an error of the program's class, as the nearest known one",
    make: () => new Own("own"),
    same: sameOwn,
  },
  {
    name: "an error that is its own cause",
    make: () => cyclic(new Error("e"), (e) => (e.cause = e)),
    same: (_: never, b: never) => (b as Error).cause === b,
  },
];

function viewRow(Class: { readonly name: string; new (buffer: ArrayBuffer): object }): Row {
  return { name: `a ${Class.name}`, make: () => new Class(bytes.slice().buffer) };
}

/** Holes at the start, in the middle and at the end. */
function withHoles(): unknown[] {
  const array: unknown[] = [];
  array[1] = 1;
  array[3] = undefined;
  array.length = 6;
  return array;
}

function holed(n: number): unknown[] {
  const array = Array.from({ length: n }, (_, i) => i);
  delete array[50];
  return array;
}

function sparse(n: number): unknown[] {
  const array: unknown[] = [];
  array.length = n;
  array[n - 2] = { last: true };
  array[3] = undefined;
  return array;
}

function sameHoles(sent: never, back: never): boolean {
  const [a, b] = [sent as unknown[], back as unknown[]];
  return a.length === b.length && isDeepStrictEqual(Object.entries(a), Object.entries(b));
}

function sameKeys(sent: never, back: never): boolean {
  return isDeepStrictEqual(Object.entries(sent), Object.entries(back));
}

function sameProto(_: never, back: never): boolean {
  return Object.getPrototypeOf(back) === Object.prototype && JSON.stringify(back) === '{"__proto__":{"x":1}}';
}

function sameGetter(_: never, back: never): boolean {
  return Object.getOwnPropertyDescriptor(back, "a")?.value === 1;
}

function samePart(sent: never, back: never): boolean {
  return isDeepStrictEqual(sent, back) && (back as Uint16Array).buffer.byteLength === 6;
}

function sameErrors(sent: never, back: never): boolean {
  const { errors } = back as AggregateError;
  return alike(sent, back) && errors[0] instanceof RangeError && errors[1] === 1 && errors.length === 2;
}

function sameOwn(sent: never, back: never): boolean {
  const [a, b] = [sent, back] as unknown as Own[];
  return (
    Object.getPrototypeOf(b) === Error.prototype &&
    b.name === "Own" &&
    b.message === a.message &&
    b.detail.n === 1
  );
}

function argumentsOf(..._: unknown[]): unknown {
  // oxlint-disable-next-line prefer-rest-params
  return arguments;
}

function twice(n: number): unknown[] {
  const parts = Array.from({ length: n }, (_, i) => ({ i }));
  return [...parts, ...parts];
}

function sharedParts(back: unknown, n: number): boolean {
  const parts = back as { i: number }[];
  return parts.every((part, i) => part.i === i % n && part === parts[i % n]) && parts[0] !== parts[1];
}

class Plain {
  x = 1;
}
class LruMap extends Map {}
class Rows extends Array {}

const detached = new ArrayBuffer(8);
structuredClone(detached, { transfer: [detached] });

/** Arguments that are refused at the spawn, and the error's message. */
export const REFUSED: readonly (readonly [args: () => unknown[], message: string])[] = [
  [() => [() => {}], "args[0]: a function cannot travel between threads"],
  [() => [1, Plain], "args[1]: the function Plain cannot travel between threads"],
  [() => [Symbol("s")], "args[0]: a symbol cannot travel between threads"],
  [() => [Object(Symbol("s"))], "args[0]: an instance of Symbol cannot travel between threads"],
  [() => [new WeakMap()], "args[0]: an instance of WeakMap cannot travel between threads"],
  [() => [new WeakSet()], "args[0]: an instance of WeakSet cannot travel between threads"],
  [() => [new WeakRef({})], "args[0]: an instance of WeakRef cannot travel between threads"],
  [() => [Promise.resolve()], "args[0]: an instance of Promise cannot travel between threads"],
  [() => [new Plain()], "args[0]: an instance of Plain cannot travel between threads"],
  [() => [new LruMap()], "args[0]: an instance of LruMap cannot travel between threads"],
  [() => [new Rows()], "args[0]: an instance of Rows cannot travel between threads"],
  [
    () => [Object.create({ x: 1 })],
    "args[0]: an object with a prototype of its own cannot travel between threads",
  ],
  [() => [Object.create(Map.prototype)], "args[0]: an instance of Map cannot travel between threads"],
  [() => [new Proxy(new Map(), {})], "args[0]: an instance of Map cannot travel between threads"],
  [() => [new Proxy(new Date(), {})], "args[0]: an instance of Date cannot travel between threads"],
  [() => [new Proxy(() => {}, {})], "args[0]: a function cannot travel between threads"],
  [() => [new URL("file:///")], "args[0]: an instance of URL cannot travel between threads"],
  [() => [new AbortController().signal], "args[0]: an instance of AbortSignal cannot travel between threads"],
  [
    () => [new SharedArrayBuffer(8)],
    "args[0]: a SharedArrayBuffer (SharedBytes is made for that) cannot travel between threads",
  ],
  [
    () => [new Uint8Array(new SharedArrayBuffer(8))],
    "args[0]: a view of shared memory (SharedBytes is made for that) cannot travel between threads",
  ],
  [() => [detached], "args[0]: an instance of ArrayBuffer cannot travel between threads"],
  [
    () => [0, { socket: new Socket() }],
    "args[1].socket: an instance of Socket cannot travel between threads",
  ],
  [() => [{ in: [new Readable()] }], "args[0].in[0]: an instance of Readable cannot travel between threads"],
  [
    () => [[1, [2, { "a b": () => {} }]]],
    'args[0][1][1]["a b"]: the function a b cannot travel between threads',
  ],
  [() => [new Map([["k", Symbol("s")]])], 'args[0].get("k"): a symbol cannot travel between threads'],
  [() => [new Map([[Symbol("s"), 1]])], "args[0].keys()[0]: a symbol cannot travel between threads"],
  [() => [new Set([1, Symbol("s")])], "args[0].values()[1]: a symbol cannot travel between threads"],
  [() => [error(new Error("e"), { f: () => {} })], "args[0].f: the function f cannot travel between threads"],
  [() => [new Error("e", { cause: Symbol("s") })], "args[0].cause: a symbol cannot travel between threads"],
  [
    () => [Object.assign([], { 4000: () => {} })],
    "args[0][4000]: the function 4000 cannot travel between threads",
  ],
];

// --- as a program ------------------------------------------------------------------------------

let failures: string[] = [];

/** Checks one value that was sent and has come back. */
export function compare(row: Row, sent: unknown, back: unknown): string | null {
  if (typeof sent === "object" && sent !== null && sent === back) return `${row.name}: the very same object`;
  const good =
    row.same === undefined ? isDeepStrictEqual(sent, back) : row.same(sent as never, back as never);
  return good ? null : `${row.name}: came back otherwise`;
}

/** Sends all of them; what went wrong. `elsewhere`: to the other of two CPUs. */
export function* sendAll(elsewhere: boolean) {
  failures = [];
  for (const row of TRAVELS) {
    const sent = row.make();
    const t = yield* Thread.with({ ...(elsewhere && { cpu: 1 - Thread.cpu }) }).spawn(echo, sent);
    const { back, realm } = yield* t.join();
    if (elsewhere === (realm === threadId)) failures.push(`${row.name}: ran in realm ${realm}`);
    const wrong = compare(row, sent, back);
    if (wrong !== null) failures.push(wrong);
    const alone = compare(row, sent, yield* (yield* Thread.spawn(only, sent)).join());
    if (alone !== null) failures.push(`alone: ${alone}`);
  }
  for (const [args, message] of REFUSED) {
    let told = "nothing was thrown";
    try {
      yield* Thread.spawn(only, ...(args() as [unknown]));
    } catch (e) {
      told = `${(e as Error).name}: ${(e as Error).message}`;
    }
    if (told !== `DataCloneError: ${message}`) failures.push(`${message}: ${told}`);
  }
  yield* refusedResults();
  return failures;
}

/** A result that cannot travel is the failure of its thread. */
function* refusedResults() {
  try {
    yield* (yield* Thread.spawn(badResult)).join();
    failures.push("a function as a result: nothing was thrown");
  } catch (e) {
    const { cause } = e as ThreadError;
    const message = "result.deep[0]: the function sendAll cannot travel between threads";
    const good =
      cause instanceof DOMException && cause.name === "DataCloneError" && cause.message === message;
    if (!good) failures.push(`a function as a result: ${String(cause)}`);
  }
}

export function* echo(back: unknown) {
  return { back, realm: threadId };
}

export function* only(value: unknown) {
  return value;
}

export function* badResult() {
  return { deep: [sendAll] };
}

export function* main([elsewhere]: string[]) {
  console.log(JSON.stringify(yield* sendAll(elsewhere === "elsewhere")));
}
