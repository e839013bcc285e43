/**
 * Records: words in kernel memory with a typed face.
 *
 * A record is declared once, as a table of fields; each field has a kind, the lock that covers it (the
 * letter is explained where the record is declared) and a comment with its meaning. `defineRecord` lays the
 * fields out and makes the class of *views*: objects that read and write the words. There is one view per
 * record per realm, so that views can be compared with `===`.
 *
 * Invariants:
 * - word 0 of every record is its generation: odd while the record is allocated, one more at every
 *   allocation and every release. Word 1 links free records.
 * - a reference is stored as a record index, 0 for null; a zeroed record has only null references.
 *
 * The accessors are compiled from source text, since closures made in a loop share their type feedback and
 * cost ten times as much. Where a page forbids `new Function`, they are closures.
 */
import type { Kernel } from "./kernel.js";

interface FieldBase {
  readonly words: number;
  readonly lock: string;
  /** Stands apart from the rest, see `cold`. */
  readonly cold?: boolean;
}
export interface I32Field extends FieldBase {
  readonly kind: "i32";
}
export interface F64Field extends FieldBase {
  readonly kind: "f64";
}
export interface TextField extends FieldBase {
  readonly kind: "text";
}
export interface AreaField extends FieldBase {
  readonly kind: "area";
  readonly what: "words" | "lock";
}
export interface RefField<N extends string, Null extends boolean> extends FieldBase {
  readonly kind: "ref";
  readonly to: N;
  readonly nullable: Null;
}
/** Words of a cache line. */
export const LINE_WORDS = 16;

export type Field = I32Field | F64Field | TextField | AreaField | RefField<RecordName, boolean>;
export type Fields = Readonly<Record<string, Field>>;

/** Which record types there are; each declaring module adds its own. */
// eslint-disable-next-line typescript/no-empty-object-type
export interface RecordTypes {}
export type RecordName = keyof RecordTypes & string;

type Plain<F> = F extends I32Field | F64Field
  ? number
  : F extends TextField
    ? string
    : F extends RefField<infer N, infer Null>
      ? N extends RecordName
        ? Null extends true
          ? RecordTypes[N] | null
          : RecordTypes[N]
        : never
      : never;

type AreaKeys<T> = { [K in keyof T]: T[K] extends AreaField ? K : never }[keyof T];

/** The typed face of a table of fields: areas are addresses and cannot be assigned. */
export type Face<T> = { -readonly [K in keyof T as K extends AreaKeys<T> ? never : K]: Plain<T[K]> } & {
  readonly [K in AreaKeys<T>]: number;
};

/**
 * A field that is rarely touched: it stands in a second table of the pool, whose pages cost nothing until they are, and
 * leaves the cache lines of the record to the others.
 */
export const cold = <F extends Field>(field: F): F => ({ ...field, cold: true });

/** A 32-bit signed integer, or a set of flags. */
export const i32 = (lock: string): I32Field => ({ kind: "i32", words: 1, lock });
/** A double. */
export const f64 = (lock: string): F64Field => ({ kind: "f64", words: 2, lock });
/** Up to `bytes` Latin-1 characters, NUL-padded. */
export const text = (lock: string, bytes: number): TextField => ({ kind: "text", words: bytes >> 2, lock });
/** Room for a structure; the accessor gives its address in words. */
export const area = (lock: string, words: number): AreaField => ({
  kind: "area",
  what: "words",
  words,
  lock,
});
/** A spin lock; the accessor gives its address. */
export const spinlock = (): AreaField => ({ kind: "area", what: "lock", words: 2, lock: "self" });
/** An empty cache line: what stands before it and behind it is used by different CPUs, and must not share one. */
export const line = (): AreaField => area("~", LINE_WORDS);
/** A reference that may be null. */
export const ref = <N extends string>(lock: string, to: N) =>
  ({ kind: "ref", words: 1, lock, to, nullable: true }) as RefField<N, true>;
/** A reference that is never null once the record is set up. */
export const the = <N extends string>(lock: string, to: N) =>
  ({ kind: "ref", words: 1, lock, to, nullable: false }) as RefField<N, false>;

/** The base of all views. */
export class View {
  /** The kernel memory this record stands in, as this realm sees it. */
  readonly k: Kernel;
  readonly w: Int32Array;
  /** Address of the record: index of its first word. */
  readonly at: number;
  /** Index in its pool, from 1. */
  readonly index: number;

  constructor(k: Kernel, at: number, index: number) {
    this.k = k;
    this.w = k.w;
    this.at = at;
    this.index = index;
  }

  /** Odd while allocated; changes whenever the record is allocated or released. */
  get gen(): number {
    return this.w[this.at];
  }
}

export interface RecordType<T> {
  readonly name: string;
  /** Size in words, even. */
  readonly words: number;
  /** Size of its cold part in words, even. */
  readonly coldWords: number;
  readonly fields: Fields;
  /** Offset of each field in words, from the record's address or, if it is cold, that of its cold part. */
  readonly offset: Readonly<Record<string, number>>;
  readonly View: new (k: Kernel, at: number, index: number) => T;
}

/** Reads NUL-terminated Latin-1 text of at most `words * 4` bytes. */
export function readText(w: Int32Array, at: number, words: number): string {
  let out = "";
  for (let i = 0; i < words * 4; i++) {
    const c = (w[at + (i >> 2)] >> ((i & 3) << 3)) & 0xff;
    if (c === 0) break;
    out += String.fromCharCode(c);
  }
  return out;
}

/** Writes text, cut to `words * 4` bytes; a character beyond Latin-1 becomes `?`. */
export function writeText(w: Int32Array, at: number, words: number, value: string): void {
  for (let i = 0; i < words; i++) {
    let word = 0;
    for (let b = 0; b < 4; b++) {
      const at1 = i * 4 + b;
      const c = at1 < value.length ? value.charCodeAt(at1) : 0;
      word |= (c > 0xff ? 0x3f : c) << (b << 3);
    }
    w[at + i] = word;
  }
}

/** Text of up to eight characters as the two words it takes: for messages that are written often. */
export function packText(value: string): readonly [number, number] {
  const w = new Int32Array(2);
  writeText(w, 0, 2, value);
  return [w[0], w[1]];
}

/**
 * Offset of a word that records with a cold part have: not 0 once that was written, or its address taken. Until then it is all
 * zero, and need not be touched to be cleared, or to be read.
 */
export const COLD_USED = 2;

/** Declares a record. `extra` gives host-side fields that each realm's view has of its own. */
export function defineRecord<T extends View>(
  name: string,
  fields: Fields,
  Base: new (k: Kernel, at: number, index: number) => View = View,
): RecordType<T> {
  const offset: Record<string, number> = {};
  let words = Object.values(fields).some((field) => field.cold === true) ? COLD_USED + 1 : 2;
  let coldWords = 0;
  for (const [key, field] of Object.entries(fields)) {
    const at = field.cold === true ? coldWords : words;
    offset[key] = field.kind === "f64" ? at + (at % 2) : at;
    if (field.cold === true) coldWords = offset[key] + field.words;
    else words = offset[key] + field.words;
  }
  words += words % 2;
  coldWords += coldWords % 2;
  const Class = compileClass(name, fields, offset, Base) as RecordType<T>["View"];
  return { name, words, coldWords, fields, offset, View: Class };
}

type ViewClass = new (k: Kernel, at: number, index: number) => View;

function compileClass(
  name: string,
  fields: Fields,
  offset: Record<string, number>,
  Base: ViewClass,
): ViewClass {
  const body = Object.entries(fields).map(([key, f]) => accessorSource(name, key, f, offset[key]));
  const source = `return class ${name} extends Base {\n${body.join("\n")}\n}`;
  try {
    return new Function("Base", "readText", "writeText", source)(Base, readText, writeText) as ViewClass;
  } catch {
    return closureClass(name, fields, offset, Base);
  }
}

/** Pool of a record type in the kernel. */
const poolName = (record: string) => `${record.toLowerCase()}s`;

function accessorSource(record: string, key: string, f: Field, o: number): string {
  const base = f.cold === true ? `this.k.${poolName(record)}.coldAt(this.index)` : "this.at";
  const word = `this.w[${base} + ${o}]`;
  const mark = f.cold === true ? `this.w[this.at + ${COLD_USED}] = 1; ` : "";
  switch (f.kind) {
    case "i32":
      return `get ${key}() { return ${word}; } set ${key}(v) { ${mark}${word} = v; }`;
    case "f64":
      return `get ${key}() { return this.k.d[(${base} + ${o}) >> 1]; } set ${key}(v) { ${mark}this.k.d[(${base} + ${o}) >> 1] = v; }`;
    case "text":
      return `get ${key}() { return readText(this.w, ${base} + ${o}, ${f.words}); } set ${key}(v) { ${mark}writeText(this.w, ${base} + ${o}, ${f.words}, v); }`;
    case "area":
      return `get ${key}() { ${mark}return ${base} + ${o}; }`;
    case "ref":
      return (
        `get ${key}() { const k = this.k, i = ${word}, v = k.${f.to}v[i]; return v === undefined ? k.${f.to}s.view(i) : v; }` +
        ` set ${key}(v) { ${mark}${word} = v === null ? 0 : v.index; }`
      );
  }
}

function closureClass(
  record: string,
  fields: Fields,
  offset: Record<string, number>,
  Base: ViewClass,
): ViewClass {
  const Class = class extends Base {};
  for (const [key, f] of Object.entries(fields)) {
    Object.defineProperty(Class.prototype, key, closureAccessor(record, f, offset[key]));
  }
  return Class;
}

function closureAccessor(record: string, f: Field, o: number): PropertyDescriptor & ThisType<View> {
  type Pools = Record<string, { coldAt(i: number): number }>;
  const base = (v: View): number =>
    f.cold === true ? (v.k as unknown as Pools)[poolName(record)].coldAt(v.index) : v.at;
  const mark = (v: View): void => {
    if (f.cold === true) v.w[v.at + COLD_USED] = 1;
  };
  switch (f.kind) {
    case "i32":
      return {
        get() {
          return this.w[base(this) + o];
        },
        set(v: number) {
          mark(this);
          this.w[base(this) + o] = v;
        },
      };
    case "f64":
      return {
        get() {
          return this.k.d[(base(this) + o) >> 1];
        },
        set(v: number) {
          mark(this);
          this.k.d[(base(this) + o) >> 1] = v;
        },
      };
    case "text":
      return {
        get() {
          return readText(this.w, base(this) + o, f.words);
        },
        set(v: string) {
          mark(this);
          writeText(this.w, base(this) + o, f.words, v);
        },
      };
    case "area":
      return {
        get() {
          mark(this);
          return base(this) + o;
        },
      };
    case "ref":
      return {
        get() {
          const i = this.w[base(this) + o];
          const pools = this.k as unknown as Record<string, { view(i: number): View }>;
          return i === 0 ? null : pools[`${f.to}s`].view(i);
        },
        set(v: View | null) {
          mark(this);
          this.w[base(this) + o] = v === null ? 0 : v.index;
        },
      };
  }
}
