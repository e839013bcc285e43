/**
 * The form in which values travel: one byte that says the kind, then what the table below names. Integers are in groups of
 * seven bits, the lowest first (`int`). Contents follow their container; each object has a number, in the order of
 * appearance, by which a second appearance refers to it. So cycles and shared parts come out as they went in.
 */
export const UNDEFINED = 0;
export const NULL = 1;
export const TRUE = 2;
export const FALSE = 3;
/** Four bytes. */
export const INT = 4;
/** Eight bytes. */
export const DOUBLE = 5;
/** A string of hexadecimal digits; and of a negative one. */
export const BIGINT = 6;
export const NEGATIVE_BIGINT = 7;
/** int: length; then a byte, or two, for each unit of UTF-16. */
export const LATIN = 8;
export const WIDE = 9;
/** int: number of the object. */
export const REF = 10;
/** A missing element of an array. */
export const HOLE = 11;
/** int: length; elements. */
export const ARRAY = 12;
/** int: length; int: elements there are; of each its index as an int, and the element. */
export const SPARSE = 13;
/** int: properties; of each its name, and the value. */
export const OBJECT = 14;
/** The same, without a prototype. */
export const BARE = 15;
/** int: entries; of each key and value. */
export const MAP = 16;
/** int: elements; elements. */
export const SET = 17;
/** Eight bytes. */
export const DATE = 18;
/** Source, flags. */
export const REGEXP = 19;
/** int: bytes; bytes. */
export const BUFFER = 20;
/** int: place in VIEWS; int: bytes; bytes. */
export const VIEW = 21;
/** The primitive in an object of Number, String, Boolean or BigInt. */
export const BOXED = 22;
/** Name of its class, message, stack; int: properties; of each its name, and the value. */
export const ERROR = 23;
/** Tag; int: numbers; eight bytes each. */
export const HANDLE = 24;

type ViewClass = new (buffer: ArrayBuffer) => ArrayBufferView;

/** Node's Buffer, where there is one. */
export const HostBuffer = (globalThis as { Buffer?: typeof Buffer }).Buffer;

/** Classes of views on bytes. */
export const VIEWS: readonly ViewClass[] = [
  Uint8Array,
  Uint8ClampedArray,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];
/** Place of Node's Buffer, after them. */
export const NODE_BUFFER = VIEWS.length;

/** Properties of errors that cannot be enumerated, and travel all the same. */
export const ERROR_PARTS: readonly string[] = ["cause", "errors"];
