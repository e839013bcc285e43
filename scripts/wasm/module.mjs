// A WebAssembly module from functions whose code is a list of bytes and of names: `{ call: name }`, `{ global: name }`.

const I32 = 0x7f;
const F64 = 0x7c;
const SHARED_OF_ANY_SIZE = [2, 3, 0, ...leb(65536)];

/** Globals that change. */
const CURRENT = ["me", "myIndex"];

/** A value type's byte. */
export const valueType = (type) => (type === "f64" ? F64 : I32);

/** An unsigned number in seven bits a byte. */
export function leb(n) {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...leb(n >>> 7)];
}

/** A signed one. */
export function sleb(n) {
  const low = n & 0x7f;
  const rest = n >> 7;
  const last = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
  return last ? [low] : [low | 0x80, ...sleb(rest)];
}

/** The eight bytes of a double. */
export const f64Bytes = (n) => [...new Uint8Array(new Float64Array([n]).buffer)];

const text = (s) => [...leb(s.length), ...Array.from(s, (c) => c.charCodeAt(0))];
const list = (items) => [...leb(items.length), ...items.flat()];
const section = (id, content) => [id, ...leb(content.length), ...content];

/**
 * The module. Functions, and imports, have `name`, `params` and `results`, as types; a function also `locals`, `code` and whether it
 * is exported, by its name. All imports are of "k", as is the memory; globals are words that never change, but for `me` and `myIndex`, which are exported.
 */
export function encodeModule(imports, globals, functions) {
  const types = [];
  const typeOf = ({ params, results }) => {
    const type = [
      0x60,
      ...list(params.map((t) => [valueType(t)])),
      ...list(results.map((t) => [valueType(t)])),
    ];
    const at = types.findIndex((t) => String(t) === String(type));
    return at >= 0 ? at : types.push(type) - 1;
  };
  const numbers = new Map([...imports, ...functions].map(({ name }, i) => [name, i]));
  const globalNumbers = new Map([...globals, ...CURRENT].map((name, i) => [name, i]));
  const bytes = (code) =>
    code.flatMap((c) =>
      typeof c === "number"
        ? [c]
        : c.call !== undefined
          ? [0x10, ...leb(numbers.get(c.call))]
          : [0x23, ...leb(globalNumbers.get(c.global))],
    );
  const imported = [
    [...text("k"), ...text("memory"), ...SHARED_OF_ANY_SIZE],
    ...imports.map((f) => [...text("k"), ...text(f.name), 0, ...leb(typeOf(f))]),
    ...globals.map((name) => [...text("k"), ...text(name), 3, I32, 0]),
  ];
  const bodies = functions.map(({ locals, code }) => {
    const body = [...list(locals.map((t) => [1, valueType(t)])), ...bytes(code), 0x0b];
    return [...leb(body.length), ...body];
  });
  const declared = functions.map((f) => leb(typeOf(f)));
  const exported = functions
    .filter((f) => f.exported)
    .map(({ name }) => [...text(name), 0, ...leb(numbers.get(name))]);
  const current = CURRENT.map((name, i) => [...text(name), 3, ...leb(globals.length + i)]);
  const names = functions.map(({ name }) => [...leb(numbers.get(name)), ...text(name)]);
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(types)),
    ...section(2, list(imported)),
    ...section(3, list(declared)),
    ...section(6, list(CURRENT.map(() => [I32, 1, 0x41, 0, 0x0b]))),
    ...section(7, list([...exported, ...current])),
    ...section(10, list(bodies)),
    ...section(0, [...text("name"), ...section(1, list(names))]),
  ]);
}
