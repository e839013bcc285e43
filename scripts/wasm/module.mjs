// A WebAssembly module from functions whose code is a list of bytes and of names: `{ call: name }`, and `{ constant: name }` for a
// number of the machine, which is written into the code when that is loaded.

const I32 = 0x7f;
const F64 = 0x7c;
const SHARED_OF_ANY_SIZE = [2, 3, 0, ...leb(65536)];

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

/** Five bytes, a signed number, that one of the machine takes the place of: like none that code is likely to have. */
const placeholder = (n) => [0x80 | (n & 0x7f), 0x80 | (n >> 7), 0xbd, 0xdb, 0x05];

/** The eight bytes of a double. */
export const f64Bytes = (n) => [...new Uint8Array(new Float64Array([n]).buffer)];

const text = (s) => [...leb(s.length), ...Array.from(s, (c) => c.charCodeAt(0))];
const list = (items) => [...leb(items.length), ...items.flat()];
const section = (id, content) => [id, ...leb(content.length), ...content];

/**
 * The module. Functions, and imports, have `name`, `params` and `results`, as types; a function also `locals`, `code` and whether it
 * is exported, by its name. All imports are of "k", as is the memory. Returns the bytes, and by the name of each constant where it
 * stands.
 */
export function encodeModule(imports, functions) {
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
  const constants = [];
  const constantNumber = (name) => {
    const at = constants.indexOf(name);
    return at >= 0 ? at : constants.push(name) - 1;
  };
  const bytes = (code) =>
    code.flatMap((c) =>
      typeof c === "number"
        ? [c]
        : c.call !== undefined
          ? [0x10, ...leb(numbers.get(c.call))]
          : [0x41, ...placeholder(constantNumber(c.constant))],
    );
  const imported = [
    [...text("k"), ...text("memory"), ...SHARED_OF_ANY_SIZE],
    ...imports.map((f) => [...text("k"), ...text(f.name), 0, ...leb(typeOf(f))]),
  ];
  const bodies = functions.map(({ locals, code }) => {
    const body = [...list(locals.map((t) => [1, valueType(t)])), ...bytes(code), 0x0b];
    return [...leb(body.length), ...body];
  });
  const declared = functions.map((f) => leb(typeOf(f)));
  const exported = functions
    .filter((f) => f.exported)
    .map(({ name }) => [...text(name), 0, ...leb(numbers.get(name))]);
  const names = functions.map(({ name }) => [...leb(numbers.get(name)), ...text(name)]);
  const module = new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, list(types)),
    ...section(2, list(imported)),
    ...section(3, list(declared)),
    ...section(7, list(exported)),
    ...section(10, list(bodies)),
    ...section(0, [...text("name"), ...section(1, list(names))]),
  ]);
  const used = functions.flatMap(({ code }) => code.filter((c) => c.constant !== undefined)).length;
  const places = constants.map((name, n) => [
    name,
    occurrences(Buffer.from(module), Buffer.from(placeholder(n))),
  ]);
  if (places.flatMap(([, at]) => at).length !== used)
    throw new Error("code that looks like a constant's place");
  return { bytes: module, places };
}

function occurrences(bytes, wanted) {
  const found = [];
  for (let i = bytes.indexOf(wanted); i >= 0; i = bytes.indexOf(wanted, i + 1)) found.push(i);
  return found;
}
