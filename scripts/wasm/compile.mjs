// Compiles functions of the kernel to WebAssembly: those that work on words alone.
//
// A view is its address (null = 0), a number an i32, or an f64 where a double of the record comes from; booleans are i32. `k.x`
// that never changes is a constant, whose value is written into the code when that is loaded, and so are address and index of
// `cur.cpu`: the code is loaded for one CPU. `cur.lwp` is what that runs; locks are always real ones. A kernel assertion is a call with the number of its message.
// What a function calls is compiled as well, if it can be; else it is a call of the JavaScript function, with views made of
// addresses and back. So is everything that happens rarely.

import { f64Bytes, leb, sleb, valueType } from "./module.mjs";

/** What an odd number must be multiplied by to give 1, in 32 bits: each round doubles the bits that are right. */
function inverse(odd) {
  let x = odd;
  for (let i = 0; i < 4; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}

/** It is not of the subset: whoever calls it calls the JavaScript function. */
class Unsupported extends Error {}

const unsupported = (node, why) => {
  throw new Unsupported(`${why ?? node.type} (${node.start})`);
};

const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load: 0x28,
  f64load: 0x2b,
  store: 0x36,
  f64store: 0x39,
  i32: 0x41,
  f64: 0x44,
  eqz: 0x45,
  clz: 0x67,
  add: 0x6a,
  sub: 0x6b,
  mul: 0x6c,
  remS: 0x6f,
  shrU: 0x76,
  and: 0x71,
  shl: 0x74,
  toF64: 0xb7,
  brTable: 0x0e,
  i64: 0x42,
  i64store: 0x37,
}; // prettier-ignore

const I32_BINARY = {
  "+": 0x6a,
  "-": 0x6b,
  "*": 0x6c,
  "%": 0x6f,
  "&": 0x71,
  "|": 0x72,
  "^": 0x73,
  "<<": 0x74,
  ">>": 0x75,
  ">>>": 0x76,
  "===": 0x46,
  "!==": 0x47,
  "<": 0x48,
  ">": 0x4a,
  "<=": 0x4c,
  ">=": 0x4e,
}; // prettier-ignore
const F64_BINARY = {
  "+": 0xa0,
  "-": 0xa1,
  "*": 0xa2,
  "/": 0xa3,
  "===": 0x61,
  "!==": 0x62,
  "<": 0x63,
  ">": 0x64,
  "<=": 0x65,
  ">=": 0x66,
}; // prettier-ignore
const COMPARES = new Set(["===", "!==", "<", ">", "<=", ">="]);
/** Atomic operations: their code after 0xfe, and whether they leave a value. */
const ATOMIC = { load: 0x10, store: 0x17, add: 0x1e, and: 0x2c, or: 0x33, cas: 0x48 };
const PORT = { now: "f64", mayRun: "i32", relax: "void", notify: "void", selfClock: "void" };
/** Fields of the kernel that change. */
const MUTABLE = new Set(["polls"]);

/** Functions of at most so many bytes stand where they are called: V8 puts no WebAssembly function into another. */
const INLINE_BYTES = 1000;
/** But not these, which run rarely. */
const RARE = new Set([
  "contend",
  "permitted",
  "waitContextSaved",
  "abortedEarly",
  "turnstileDetach",
  "addSlot",
  "cvWakeup",
]);

/** Whether it says `cur.cpu`. */
const isCurrentCpu = (node) => node.object?.name === "cur" && node.property.name === "cpu";

/** Whether something of that type is passed at all. */
const isValue = (type) => type !== "k" && !type.startsWith("pool:");

const isRec = (type) => type.startsWith("rec:") || type === "null";
const EMPTY = 0x40;
/** A number of the machine, or of the CPU. */
function ofMachine(name) {
  return { constant: name };
}

/** Records of at most so many words are cleared by a row of stores: a call of the host's `fill` costs as much as a hundred. */
const UNROLLED_WORDS = 128;

/** The number that code leaves which does nothing else, or null. */
function numberOf(code) {
  if (code[0] !== OP.i32 || code.some((c) => typeof c !== "number")) return null;
  let value = 0;
  for (let i = 1, shift = 0; i < code.length; i++, shift += 7) {
    value |= (code[i] & 0x7f) << shift;
    if ((code[i] & 0x80) !== 0) continue;
    if (i !== code.length - 1) return null;
    const unused = 32 - shift - 7;
    return (code[i] & 0x40) !== 0 && unused > 0 ? value | (-1 << (shift + 7)) : value;
  }
  return null;
}

/** The current CPU, and its index, which every lock is asked for. */
const ME = ofMachine("me");
const MY_INDEX = ofMachine("myIndex");

export class Compiler {
  /** By name of function: `{ name, params, results, locals, code, exported }`. */
  functions = new Map();
  /** By name: `{ name, params, results, text }`; `text` is the JavaScript of the imported function. */
  imports = new Map();
  /** Messages of assertions, by number. */
  messages = [];
  /** Functions of JavaScript that the imports call: module -> names. */
  hosts = new Map();
  /** Why functions are not compiled. */
  refused = new Map();
  #sources;
  #records;

  /**
   * `records`: by type's name, `{ record, pool }`, where the pool is null for what there is one of; `constant`: numbers instead of
   * calls, by the function's name.
   */
  constructor(sources, records, constant) {
    this.constant = constant;
    this.#sources = sources;
    this.#records = records;
  }

  record(type) {
    return this.#records[type.slice(4)];
  }

  /** Type of a record's view by its name in references. */
  named(name) {
    const type = Object.keys(this.#records).find((t) => this.#records[t].record.name.toLowerCase() === name);
    return type === undefined ? null : `rec:${type}`;
  }

  /** The type that a parameter's says; `of`, what stands for T. */
  typeOf(text, of) {
    if (text === "Pool<T>") return of === undefined ? null : `pool:${of}`;
    if (text === "T" || text === "T | null") return of === undefined ? null : `rec:${of}`;
    const type = text.replace(" | null", "");
    if (type === "Kernel") return "k";
    if (type === "number" || type === "boolean") return "i32";
    if (type === "void" || type === "never") return "void";
    return type in this.#records ? `rec:${type}` : null;
  }

  /** Compiles `name` of a module for JavaScript to call. */
  async entry(moduleName, name) {
    const f = await this.callee(moduleName, name, null);
    if (f === null) throw new Error(`${moduleName}: ${name} cannot be compiled: ${this.refused.get(name)}`);
    if (!isRec(f.result)) f.exported = true;
    else this.functions.set(`${name}$index`, new FunctionCompiler(this, null, null).indexed(f));
    return f;
  }

  /** The compiled function, or null if it must stay JavaScript. `args`: types of the arguments, null = as declared. */
  async callee(moduleName, plainName, args) {
    // Functions on pools are compiled for each type of record.
    const of = args?.find((type) => type.startsWith("pool:"))?.slice(5);
    const name = of === undefined ? plainName : `${plainName}<${of}>`;
    const known = this.functions.get(name);
    if (known !== undefined) return known;
    if (this.refused.has(name)) return null;
    const module = await this.#sources.module(moduleName);
    const fn = module.functions.get(plainName);
    if (fn === undefined) return null;
    // Nobody calls itself: a second call while it is being compiled stays outside.
    this.refused.set(name, "it calls itself");
    const saved = [new Map(this.imports), [...this.messages], new Set(this.functions.keys())];
    try {
      const compiled = await new FunctionCompiler(this, module, fn).compile(name, args, of);
      this.functions.set(name, compiled);
      this.refused.delete(name);
      return compiled;
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      [this.imports, this.messages] = saved;
      for (const other of this.functions.keys()) if (!saved[2].has(other)) this.functions.delete(other);
      this.refused.set(name, error.message);
      return null;
    }
  }

  import(name, params, results, text) {
    if (!this.imports.has(name)) this.imports.set(name, { name, params, results, text });
    return { call: name };
  }

  message(text) {
    const at = this.messages.indexOf(text);
    return at >= 0 ? at : this.messages.push(text) - 1;
  }

  module(name) {
    return this.#sources.module(name);
  }

  /** Forgets the functions and imports that nobody calls. */
  prune() {
    const called = new Set();
    const visit = (f) => {
      if (f === undefined || called.has(f.name)) return;
      called.add(f.name);
      for (const c of f.code)
        if (c.call !== undefined) visit(this.functions.get(c.call) ?? this.imports.get(c.call));
    };
    for (const f of this.imports.values()) f.code = [];
    for (const f of this.functions.values()) if (f.exported) visit(f);
    for (const table of [this.functions, this.imports])
      for (const name of table.keys()) if (!called.has(name)) table.delete(name);
  }
}

class FunctionCompiler {
  #c;
  #module;
  #fn;
  #out = [];
  #locals = [];
  #params = 0;
  #scopes = [new Map()];
  #result = null;
  /** The last expression of which a member was taken. */
  #followed = null;
  /** Labels that are open: "break", "continue" or null, innermost last. */
  #labels = [];
  /** Labels that are open around what is inlined; null = a return is one. */
  #inlined = null;

  constructor(compiler, module, fn) {
    this.#c = compiler;
    this.#module = module;
    this.#fn = fn;
  }

  async compile(name, args, of) {
    const { node, params, result } = this.#fn;
    if (node.generator || node.async || params === undefined) unsupported(node, "no plain function");
    const types = [];
    const kinds = params.map(
      (p) => this.#c.typeOf(p.type, of) ?? unsupported(node, `parameter ${p.name}: ${p.type}`),
    );
    kinds.forEach((kind, i) => {
      if (!isValue(kind)) return this.#bind(params[i].name, { type: kind });
      const type = kind === "i32" && args !== null && args[i] === "f64" ? "f64" : kind;
      this.#bind(params[i].name, { type, local: types.length });
      types.push(type);
    });
    this.#params = types.length;
    const declared = this.#c.typeOf(result, of);
    if (declared === null) unsupported(node, `result ${result}`);
    if (declared !== "i32") this.#result = declared;
    await this.#statement(node.body);
    const type = this.#result ?? "void";
    if (type !== "void") this.#emit(OP.unreachable);
    return {
      name,
      params: types,
      kinds,
      declared: params,
      returns: result,
      result: type,
      results: type === "void" ? [] : [type],
      locals: this.#locals,
      code: this.#out,
      exported: false,
      module: this.#module.name,
      plainName: this.#fn.node.id.name,
    };
  }

  /** The same as `f`, with the index of the view that it returns. */
  indexed(f) {
    this.#params = f.params.length;
    for (const i of f.params.keys()) this.#emit(OP.get, ...leb(i));
    this.#emit({ call: f.name });
    this.#reference(f.result);
    return {
      ...f,
      name: `${f.name}$index`,
      results: ["i32"],
      locals: this.#locals,
      code: this.#out,
      exported: true,
    };
  }

  // --- names, locals, code --------------------------------------------------------------------

  #emit(...code) {
    this.#out.push(...code);
  }

  #bind(name, value) {
    this.#scopes.at(-1).set(name, value);
  }

  #local(type) {
    return this.#params + this.#locals.push(type) - 1;
  }

  #lookup(name) {
    for (const scope of this.#scopes.toReversed()) if (scope.has(name)) return scope.get(name);
    if (name === "undefined") return unsupported({ type: name });
    if (name === "cur") return { type: "cur" };
    return name in this.#module.constants ? { type: "const", value: this.#module.constants[name] } : null;
  }

  /** The code of `body`, apart, and what it returns. */
  async #apart(body) {
    const out = this.#out;
    this.#out = [];
    try {
      const value = await body();
      return [this.#out, value];
    } finally {
      this.#out = out;
    }
  }

  #number(n) {
    if (!Number.isInteger(n)) {
      this.#emit(OP.f64, ...f64Bytes(n));
      return "f64";
    }
    this.#emit(OP.i32, ...sleb(n | 0));
    return "i32";
  }

  // --- statements -----------------------------------------------------------------------------

  async #statement(node) {
    switch (node.type) {
      case "BlockStatement":
        this.#scopes.push(new Map());
        for (const s of node.body) await this.#statement(s);
        this.#scopes.pop();
        return;
      case "EmptyStatement":
        return;
      case "VariableDeclaration":
        for (const d of node.declarations) await this.#declare(d);
        return;
      case "ExpressionStatement":
        return this.#effect(node.expression);
      case "IfStatement":
        return this.#if(node);
      case "WhileStatement":
      case "ForStatement":
        return this.#loop(node);
      case "BreakStatement":
      case "ContinueStatement": {
        if (node.label !== null) unsupported(node);
        const to = this.#labels.lastIndexOf(node.type === "BreakStatement" ? "break" : "continue");
        return this.#emit(OP.br, ...leb(this.#labels.length - 1 - to));
      }
      case "ReturnStatement":
        return this.#return(node);
      default:
        return unsupported(node);
    }
  }

  async #if({ test, consequent, alternate }) {
    const depth = alternate === null ? 1 : 2;
    for (let i = 0; i < depth; i++) this.#open();
    await this.#jump(test, false, 0);
    await this.#statement(consequent);
    if (alternate !== null) {
      this.#emit(OP.br, 1);
      this.#close();
      await this.#statement(alternate);
    }
    this.#close();
  }

  #open() {
    this.#emit(OP.block, EMPTY);
    this.#labels.push(null);
  }

  #close() {
    this.#labels.pop();
    this.#emit(OP.end);
  }

  /**
   * Leaves `depth` blocks more than the innermost one if `test` is as `when` says. Each part of it jumps by itself: V8 makes a
   * value of what is joined first, and tests that.
   */
  async #jump(test, when, depth) {
    if (test.type === "UnaryExpression" && test.operator === "!")
      return this.#jump(test.argument, !when, depth);
    if (test.type === "LogicalExpression" && test.operator !== "??") {
      if ((test.operator === "||") === when) {
        await this.#jump(test.left, when, depth);
        return this.#jump(test.right, when, depth);
      }
      this.#open();
      await this.#jump(test.left, !when, 0);
      await this.#jump(test.right, when, depth + 1);
      return this.#close();
    }
    await this.#condition(test);
    if (!when) this.#emit(OP.eqz);
    this.#emit(OP.brIf, ...leb(depth));
  }

  async #return({ argument }) {
    if (argument === null) return this.#leave();
    if (this.#result === "void") {
      await this.#effect(argument);
      return this.#leave();
    }
    const type = await this.#expression(argument);
    this.#result ??= type;
    if (type !== this.#result && !(isRec(type) && isRec(this.#result)))
      unsupported(argument, `returns ${type}`);
    this.#leave();
  }

  #leave() {
    if (this.#inlined === null) this.#emit(OP.return);
    else this.#emit(OP.br, ...leb(this.#labels.length - this.#inlined));
  }

  /** break -> the outer block; continue -> the inner one, behind which the update stands. */
  async #loop(node) {
    this.#scopes.push(new Map());
    if (node.init) {
      if (node.init.type === "VariableDeclaration") await this.#statement(node.init);
      else await this.#effect(node.init);
    }
    this.#emit(OP.block, EMPTY, OP.loop, EMPTY);
    this.#labels.push("break", null);
    if (node.test) {
      await this.#jump(node.test, false, 1);
    }
    this.#emit(OP.block, EMPTY);
    this.#labels.push("continue");
    await this.#statement(node.body);
    this.#labels.pop();
    this.#emit(OP.end);
    if (node.update) await this.#effect(node.update);
    this.#emit(OP.br, 0, OP.end, OP.end);
    this.#labels.length -= 2;
    this.#scopes.pop();
  }

  async #declare({ id, init }) {
    if (id.type === "ObjectPattern") {
      const [, of] = await this.#apart(() => this.#expression(init));
      for (const { key, value } of id.properties) {
        const member = { type: "MemberExpression", object: init, property: key, start: init.start };
        if (!isRec(of) || !["k", "w"].includes(key.name)) await this.#define(value.name, member);
        else this.#bind(value.name, { type: key.name });
      }
      return;
    }
    if (init === null) unsupported(id, "a variable without a value");
    await this.#define(id.name, init);
  }

  async #define(name, init) {
    const [code, type] = await this.#apart(() => this.#expression(init));
    if (code.length === 0) return this.#bind(name, { type });
    const local = this.#local(type);
    this.#emit(...code, OP.set, ...leb(local));
    this.#bind(name, { type, local });
  }

  // --- expressions ----------------------------------------------------------------------------

  /** For its effect alone. */
  async #effect(node) {
    if (node.type === "AssignmentExpression") return this.#assign(node);
    if (node.type === "UpdateExpression") {
      const right = { type: "Literal", value: 1 };
      return this.#assign({
        left: node.argument,
        operator: node.operator === "++" ? "+=" : "-=",
        right,
        start: node.start,
      });
    }
    const type = await this.#expression(node);
    if (type !== "void") this.#emit(OP.drop);
  }

  /** Leaves 0, or something else. */
  async #condition(node) {
    const type = await this.#expression(node);
    if (type === "f64" || type === "void") unsupported(node, `a condition of type ${type}`);
  }

  /** Leaves the value, unless the type says that there is none: k, w, d, cur, atomic and so on. */
  async #expression(node) {
    switch (node.type) {
      case "Literal":
        if (node.value === null) {
          this.#emit(OP.i32, 0);
          return "null";
        }
        if (typeof node.value === "boolean") return this.#number(Number(node.value));
        return typeof node.value === "number" ? this.#number(node.value) : unsupported(node, "text");
      case "Identifier": {
        const found = this.#lookup(node.name) ?? unsupported(node, `unknown ${node.name}`);
        if (found.type === "const") {
          return typeof found.value === "number" ? this.#number(found.value) : unsupported(node, node.name);
        }
        if (found.local !== undefined) this.#emit(OP.get, ...leb(found.local));
        return found.type;
      }
      case "MemberExpression":
        return this.#member(node);
      case "CallExpression":
        return this.#call(node);
      case "UnaryExpression":
        return this.#unary(node);
      case "BinaryExpression":
        return this.#binary(node);
      case "LogicalExpression":
        return this.#logical(node);
      case "ConditionalExpression":
        return this.#conditional(node);
      case "UpdateExpression": {
        // What is counted stands at no place that counting changes.
        if (node.prefix) await this.#effect(node);
        const type = await this.#expression(node.argument);
        if (!node.prefix) await this.#effect(node);
        return type;
      }
      default:
        return unsupported(node);
    }
  }

  async #unary({ operator, argument }) {
    if (operator === "!") {
      await this.#condition(argument);
      this.#emit(OP.eqz);
      return "i32";
    }
    if (operator === "-" && argument.type === "Literal") return this.#number(-argument.value);
    if (operator === "-") {
      this.#emit(OP.i32, 0);
      await this.#expression(argument);
      this.#emit(OP.sub);
      return "i32";
    }
    if (operator === "~") {
      await this.#expression(argument);
      this.#emit(OP.i32, 0x7f, I32_BINARY["^"]);
      return "i32";
    }
    return unsupported(argument, operator);
  }

  async #binary(node) {
    const { operator } = node;
    const value = this.#constant(node);
    if (value !== null) return this.#number(value);
    const [left, leftType] = await this.#apart(() => this.#expression(node.left));
    const [right, rightType] = await this.#apart(() => this.#expression(node.right));
    if (leftType === "f64" || rightType === "f64") {
      const widen = (type) => (type === "f64" ? [] : [OP.toF64]);
      if (F64_BINARY[operator] === undefined) unsupported(node, `${operator} of doubles`);
      this.#emit(...left, ...widen(leftType), ...right, ...widen(rightType), F64_BINARY[operator]);
      return COMPARES.has(operator) ? "i32" : "f64";
    }
    const op = I32_BINARY[operator] ?? unsupported(node, operator);
    const views = isRec(leftType) || isRec(rightType);
    if (views && operator !== "===" && operator !== "!==") unsupported(node, "arithmetic on views");
    this.#emit(...left, ...right, op);
    return "i32";
  }

  /** The value of an expression of constants, or null. */
  #constant(node) {
    if (node.type === "Literal") return typeof node.value === "number" ? node.value : null;
    if (node.type === "Identifier") {
      const found = this.#lookup(node.name);
      return found?.type === "const" && Number.isInteger(found.value) ? found.value : null;
    }
    if (node.type !== "BinaryExpression" || !"+-*&|^<<>>".includes(node.operator)) return null;
    const left = this.#constant(node.left);
    const right = left === null ? null : this.#constant(node.right);
    return right === null ? null : new Function("a", "b", `return a ${node.operator} b`)(left, right);
  }

  async #logical({ operator, left, right }) {
    if (operator === "??") {
      const type = await this.#expression(left);
      const view = this.#local("i32");
      this.#emit(OP.tee, ...leb(view), OP.if, 0x7f, OP.get, ...leb(view), OP.else);
      this.#labels.push(null);
      const other = await this.#expression(right);
      this.#labels.pop();
      this.#emit(OP.end);
      return isRec(type) && isRec(other) ? type : unsupported(left, "??");
    }
    await this.#condition(left);
    this.#emit(OP.if, 0x7f);
    this.#labels.push(null);
    if (operator === "&&") {
      await this.#condition(right);
      this.#emit(OP.else, OP.i32, 0);
    } else {
      this.#emit(OP.i32, 1, OP.else);
      await this.#condition(right);
    }
    this.#labels.pop();
    this.#emit(OP.end);
    return "i32";
  }

  async #conditional({ test, consequent, alternate }) {
    await this.#condition(test);
    this.#labels.push(null);
    const [yes, yesType] = await this.#apart(() => this.#expression(consequent));
    const [no, noType] = await this.#apart(() => this.#expression(alternate));
    this.#labels.pop();
    const type = yesType === "null" ? noType : yesType;
    if (type !== noType && !(isRec(type) && isRec(noType))) unsupported(test, `${yesType} or ${noType}`);
    this.#emit(OP.if, type === "f64" ? 0x7c : 0x7f, ...yes, OP.else, ...no, OP.end);
    return type;
  }

  // --- memory ---------------------------------------------------------------------------------

  /** Leaves the byte address of the word that `node` is the index of; returns the rest of it, which is constant. */
  async #address(node) {
    const terms = [];
    let rest = 0;
    const collect = (n) => {
      const value = this.#constant(n);
      if (value !== null && value >= 0) rest += value;
      else if (n.type === "BinaryExpression" && n.operator === "+") [n.left, n.right].forEach(collect);
      else terms.push(n);
    };
    collect(node);
    if (terms.length === 0) this.#emit(OP.i32, 0);
    for (const [i, term] of terms.entries()) {
      const type = await this.#expression(term);
      if (type !== "i32" && !isRec(type)) unsupported(term, `an address of type ${type}`);
      if (i > 0) this.#emit(OP.add);
    }
    if (terms.length > 0) this.#emit(OP.i32, 2, OP.shl);
    return rest * 4;
  }

  /** The same for a double's index. */
  async #doubleAddress(node) {
    if (node.type === "BinaryExpression" && node.operator === ">>" && this.#constant(node.right) === 1) {
      return this.#address(node.left);
    }
    await this.#expression(node);
    this.#emit(OP.i32, 3, OP.shl);
    return 0;
  }

  /** The code of what a member is taken of, apart: it is followed, and so not null. */
  #object({ object }) {
    this.#followed = object;
    return this.#apart(() => this.#expression(object));
  }

  /** Where `node` stands in memory: leaves the byte address; null if it is no place in memory. */
  async #place(node) {
    if (node.type !== "MemberExpression") return null;
    if (node.computed) {
      const [, array] = await this.#apart(() => this.#expression(node.object));
      if (array === "w") return { type: "i32", offset: await this.#address(node.property) };
      if (array === "d") return { type: "f64", offset: await this.#doubleAddress(node.property) };
      return null;
    }
    const [code, of] = await this.#object(node);
    if (!of.startsWith("rec:")) return null;
    const name = node.property.name;
    if (name === "gen") {
      this.#emit(...code, OP.i32, 2, OP.shl);
      return { type: "i32", offset: 0 };
    }
    const { record, pool } = this.#c.record(of);
    const field = record.fields[name];
    if (field === undefined || field.kind === "text" || field.kind === "area") return null;
    const type = field.kind === "ref" ? (this.#c.named(field.to) ?? unsupported(node, name)) : field.kind;
    const cold = field.cold === true ? this.#local("i32") : null;
    if (cold === null) {
      this.#emit(...code, OP.i32, 2, OP.shl);
    } else {
      // Marks are for writers alone; #assign sets them.
      this.#emit(...code, OP.tee, ...leb(cold));
      this.#coldAt(of, record, pool);
      this.#emit(OP.i32, 2, OP.shl);
    }
    return { type, offset: record.offset[name] * 4, cold, nullable: field.nullable };
  }

  /** Of an address that is left, that of the cold part. */
  #coldAt(of, record, pool) {
    this.#indexOf(of);
    this.#emit(OP.i32, ...sleb(record.coldWords), OP.mul, ofMachine(`${pool}.coldBase`), OP.add);
  }

  /** Of an address that is left and not null, the index. */
  #indexOf(type) {
    const { record, pool } = this.#c.record(type);
    this.#emit(ofMachine(`${pool}.zero`), OP.sub);
    // It is a multiple of the words, so what divides it by them is a shift, and a multiplication.
    const shift = 31 - Math.clz32(record.words & -record.words);
    if (shift > 0) this.#emit(OP.i32, shift, OP.shrU);
    this.#emit(OP.i32, ...sleb(inverse(record.words >> shift)), OP.mul);
  }

  /** Of an index that is left, the address; of 0 null, where it can be that. */
  #viewOf(type, nullable) {
    const { record, pool } = this.#c.record(type);
    const local = this.#local("i32");
    if (nullable) this.#emit(OP.tee, ...leb(local));
    this.#emit(OP.i32, ...sleb(record.words), OP.mul, ofMachine(`${pool}.zero`), OP.add);
    if (nullable) this.#emit(OP.i32, 0, OP.get, ...leb(local), OP.select);
  }

  #load({ type, offset, nullable }) {
    if (type === "f64") this.#emit(OP.f64load, 3, ...leb(offset));
    else this.#emit(OP.load, 2, ...leb(offset));
    if (isRec(type)) this.#viewOf(type, nullable !== false);
    return type;
  }

  async #assign(node) {
    const { left, operator, right } = node;
    const op = operator.slice(0, -1);
    if (left.type === "Identifier") {
      const found = this.#lookup(left.name);
      if (found?.local === undefined) unsupported(left);
      const value =
        op === "" ? right : { type: "BinaryExpression", operator: op, left, right, start: left.start };
      const type = await this.#expression(value);
      if (found.type === "null") found.type = type;
      if (type !== found.type && !(isRec(type) && isRec(found.type)))
        unsupported(left, `${found.type} = ${type}`);
      return this.#emit(OP.set, ...leb(found.local));
    }
    if (left.object?.name === "cur" && left.property.name === "kicks" && operator === "|=") {
      await this.#expression(right);
      return this.#emit(this.#c.import("cur.kicks", ["i32"], [], "(bits) => void (cur.kicks |= bits)"));
    }
    const place = await this.#place(left);
    if (place === null) unsupported(left, "no place");
    const { type, offset, cold } = place;
    if (op !== "") {
      const address = this.#local("i32");
      this.#emit(OP.tee, ...leb(address), OP.get, ...leb(address));
      this.#load({ type, offset });
      const [code, of] = await this.#apart(() => this.#expression(right));
      if (type === "f64")
        this.#emit(...code, ...(of === "f64" ? [] : [OP.toF64]), F64_BINARY[op] ?? unsupported(node));
      else if (type === "i32" && of === "i32") this.#emit(...code, I32_BINARY[op] ?? unsupported(node));
      else unsupported(node, `${type} ${operator} ${of}`);
    } else {
      const of = await this.#expression(right);
      if (type === "f64" && of === "i32") this.#emit(OP.toF64);
      else if (isRec(type) && of !== "null") this.#reference(type);
      else if (type !== of && !isRec(type)) unsupported(node, `${type} = ${of}`);
    }
    if (type === "f64") this.#emit(OP.f64store, 3, ...leb(offset));
    else this.#emit(OP.store, 2, ...leb(offset));
    if (cold !== null && cold !== undefined) {
      this.#emit(OP.get, ...leb(cold), OP.i32, 2, OP.shl, OP.i32, 1, OP.store, 2, 8);
    }
  }

  /** Of a view that is left, perhaps null, the index. */
  #reference(type) {
    const local = this.#local("i32");
    this.#emit(OP.tee, ...leb(local));
    this.#indexOf(type);
    this.#emit(OP.i32, 0, OP.get, ...leb(local), OP.select);
  }

  async #member(node) {
    if (node.computed) return this.#element(node);
    const name = node.property.name;
    if (name === "index" && isCurrentCpu(node.object)) {
      this.#emit(MY_INDEX);
      return "i32";
    }
    const constant = this.#constantMember(node);
    if (constant !== null) return this.#number(constant);
    const [code, of] = await this.#object(node);
    if (of === "cur") {
      if (name === "cpu") this.#emit(ME);
      else if (name === "lwp") {
        const { offset } = this.#c.record("rec:Cpu").record;
        this.#emit(ME, OP.i32, 2, OP.shl);
        return this.#load({ type: "rec:Lwp", offset: offset.curlwp * 4 });
      } else return unsupported(node, `cur.${name}`);
      return "rec:Cpu";
    }
    if (of === "k") return this.#ofKernel(node, name);
    if (of === "limits") {
      this.#emit(ofMachine(`limits.${name}`));
      return "i32";
    }
    if (of.startsWith("pool:") || of.startsWith("type:")) return this.#ofPool(node, of, name);
    if (!of.startsWith("rec:")) return unsupported(node, `${of}.${name}`);
    if (name === "k" || name === "w") return name;
    if (name === "at") {
      this.#emit(...code);
      return "i32";
    }
    if (name === "index") {
      this.#emit(...code);
      this.#indexOf(of);
      return "i32";
    }
    const { record } = this.#c.record(of);
    if (record.fields[name]?.kind === "area") {
      if (record.fields[name].cold === true) unsupported(node, name);
      this.#emit(...code, OP.i32, ...sleb(record.offset[name]), OP.add);
      return "i32";
    }
    const place = await this.#place(node);
    if (place === null) return unsupported(node, name);
    return this.#load(node === this.#followed ? { ...place, nullable: false } : place);
  }

  /** `X.words` and the like. */
  #constantMember({ object, property }) {
    if (object.type !== "Identifier") return null;
    const found = this.#lookup(object.name);
    const value = found?.type === "const" ? found.value?.[property.name] : undefined;
    return typeof value === "number" ? value : null;
  }

  #ofKernel(node, name) {
    if (name === "w" || name === "d") return name;
    if (name === "atomic" || name === "port" || name === "slots" || name === "limits") return name;
    if (name === "mp" && this.#module.name === "kern/spin") return this.#number(1);
    const view = /^(\w+)v$/.exec(name);
    if (view !== null && this.#c.named(view[1]) !== null) return `views:${this.#c.named(view[1]).slice(4)}`;
    if (name === "g") {
      this.#emit(ofMachine("g"));
      return "rec:Globals";
    }
    const pool = this.#poolOf(name);
    if (pool !== null) return `pool:${pool}`;
    if (MUTABLE.has(name)) unsupported(node, `k.${name}`);
    this.#emit(ofMachine(`k.${name}`));
    return "i32";
  }

  #ofPool(node, of, name) {
    const type = of.slice(5);
    const { record, pool } = this.#c.record(`rec:${type}`);
    if (of.startsWith("type:") && typeof record[name] === "number") return this.#number(record[name]);
    if (name === "k") return name;
    if (name === "type") return `type:${type}`;
    if (!["header", "base", "limit", "coldBase"].includes(name)) unsupported(node, `${of}.${name}`);
    this.#emit(ofMachine(`${pool}.${name}`));
    return "i32";
  }

  /** Type's name of a pool. */
  #poolOf(name) {
    for (const type of ["Lwp", "Cpu", "Proc", "Turnstile", "Cred", "Syncobj", "ThreadRec"]) {
      if (this.#c.record(`rec:${type}`)?.pool === name) return type;
    }
    return null;
  }

  async #element(node) {
    const { object, property } = node;
    const table = object.type === "Identifier" ? this.#lookup(object.name) : null;
    if (table?.type === "const" && Array.isArray(table.value)) return this.#table(table.value, property);
    const [, of] = await this.#apart(() => this.#expression(object));
    if (of.startsWith("views:")) {
      await this.#expression(property);
      this.#viewOf(`rec:${of.slice(6)}`, true);
      return `rec:${of.slice(6)}`;
    }
    const place = await this.#place(node);
    return place === null ? unsupported(node, "no place") : this.#load(place);
  }

  /** An element of an array of constants. */
  async #table(values, property) {
    const at = this.#constant(property);
    if (!values.every((v) => Number.isInteger(v))) unsupported(property, "a table of others than numbers");
    if (at !== null) return this.#number(values[at]);
    // Each value's block ends where it is pushed; a jump out of all of them is the last.
    for (let i = 0; i <= values.length; i++) this.#emit(OP.block, i === 0 ? 0x7f : EMPTY);
    await this.#expression(property);
    this.#emit(OP.brTable, ...leb(values.length - 1), ...values.map((_, i) => i));
    for (const [i, value] of values.entries()) {
      this.#emit(OP.end, OP.i32, ...sleb(value), OP.br, ...leb(values.length - 1 - i));
    }
    this.#emit(OP.end);
    return "i32";
  }

  // --- calls ----------------------------------------------------------------------------------

  async #call(node) {
    const { callee, arguments: args } = node;
    if (callee.type === "MemberExpression") return this.#method(node, callee, args);
    if (callee.type !== "Identifier") return unsupported(node);
    if (callee.name in this.#c.constant) return this.#number(this.#c.constant[callee.name]);
    if (callee.name === "kassert") return this.#assertion(args);
    if (callee.name === "panic") return this.#panic(args[1]);
    if (callee.name === "delayPoint") return this.#delayPoint(args[1]);
    const imported = this.#module.imports.get(callee.name);
    const [moduleName, name] = imported ? [imported.module, imported.name] : [this.#module.name, callee.name];
    if (moduleName === "kern/pool" && name === "clear") return this.#clear(args);
    const values = [];
    const { params = [] } = (await this.#c.module(moduleName)).functions.get(name) ?? {};
    // What is left out and has a number for that is passed.
    const left = params.slice(args.length).map(({ value }) => ({ type: "Literal", value: Number(value) }));
    for (const arg of [...args, ...left.filter(({ value }) => Number.isInteger(value))]) {
      const [code, type] = await this.#apart(() => this.#expression(arg));
      values.push({ code, type });
    }
    const f = await this.#c.callee(
      moduleName,
      name,
      values.map((v) => v.type),
    );
    if (f === null || f.declared.length !== values.length) return this.#host(moduleName, name, values);
    const passed = values.filter((_, i) => isValue(f.kinds[i]));
    const inlined = f.code.length <= INLINE_BYTES && !RARE.has(f.plainName);
    // What is inlined sees constants as such.
    const constants = passed.map(({ code }) => (inlined ? numberOf(code) : null));
    for (const [i, value] of passed.entries()) if (constants[i] === null) this.#pass(value, f.params[i]);
    if (inlined) await this.#inline(moduleName, f, constants);
    else this.#emit({ call: f.name });
    return f.result;
  }

  /** The body of a function whose arguments are left, but for those that are constants. */
  async #inline(moduleName, f, constants) {
    const saved = [this.#module, this.#scopes, this.#result, this.#inlined];
    this.#module = await this.#c.module(moduleName);
    this.#scopes = [new Map()];
    this.#result = f.result;
    const locals = f.params.map((type, i) => (constants[i] === null ? this.#local(type) : null));
    for (const local of locals.toReversed()) if (local !== null) this.#emit(OP.set, ...leb(local));
    let next = 0;
    f.kinds.forEach((kind, i) => {
      const local = isValue(kind) ? next++ : undefined;
      const bound =
        local === undefined
          ? { type: kind }
          : locals[local] === null
            ? { type: "const", value: constants[local] }
            : { type: f.params[local], local: locals[local] };
      this.#bind(f.declared[i].name, bound);
    });
    this.#emit(OP.block, f.result === "void" ? EMPTY : valueType(f.result));
    this.#labels.push("inlined");
    this.#inlined = this.#labels.length;
    await this.#statement(this.#module.functions.get(f.plainName).node.body);
    if (f.result !== "void") this.#emit(OP.unreachable);
    this.#emit(OP.end);
    this.#labels.pop();
    [this.#module, this.#scopes, this.#result, this.#inlined] = saved;
  }

  /** `clear`, which JavaScript does by a loop. */
  async #clear([, from, to]) {
    const words = this.#distance(from, to);
    if (words !== null && words <= UNROLLED_WORDS) {
      const at = this.#local("i32");
      const offset = await this.#address(from);
      this.#emit(OP.set, ...leb(at));
      for (let i = 0; i < words; i += 2)
        this.#emit(OP.get, ...leb(at), OP.i64, 0, OP.i64store, 3, ...leb(offset + i * 4));
      return "void";
    }
    await this.#expression(from);
    this.#emit(OP.i32, 2, OP.shl, OP.i32, 0);
    await this.#expression(to);
    await this.#expression(from);
    this.#emit(OP.sub, OP.i32, 2, OP.shl, 0xfc, 0x0b, 0);
    return "void";
  }

  /** How many words there are from one address to another, if that is a constant; else null. */
  #distance(from, to) {
    if (from.type !== "BinaryExpression" || to.type !== "BinaryExpression") return null;
    if (
      from.operator !== "+" ||
      to.operator !== "+" ||
      from.left.name === undefined ||
      from.left.name !== to.left.name
    )
      return null;
    const [a, b] = [this.#constant(from.right), this.#constant(to.right)];
    return a === null || b === null ? null : b - a;
  }

  #pass({ code, type }, want) {
    this.#emit(...code);
    if (type === "i32" && want === "f64") this.#emit(OP.toF64);
    else if (type !== want && !(isRec(type) && isRec(want)))
      unsupported({ start: 0 }, `passes ${type} for ${want}`);
  }

  async #assertion([, condition, message]) {
    this.#open();
    await this.#jump(condition, true, 0);
    this.#emit(OP.i32, ...sleb(this.#c.message(message.value)));
    this.#emit(this.#c.import("panic", ["i32"], [], "(n) => panic(k, MESSAGES[n])"), OP.unreachable);
    this.#close();
    return "void";
  }

  /** A panic whose message tells numbers. */
  async #panic(message) {
    if (message.type !== "TemplateLiteral") unsupported(message);
    const types = [];
    for (const e of message.expressions) types.push(await this.#expression(e));
    if (types.some((type) => type !== "i32" && type !== "f64")) unsupported(message);
    const [first, ...rest] = message.quasis.map((q) => q.value.raw);
    const text = `${first}${rest.map((q, i) => `\${a${i}}${q}`).join("")}`;
    const names = types.map((_, i) => `a${i}`).join(", ");
    this.#emit(
      this.#c.import(`panic: ${text}`, types, [], `(${names}) => panic(k, \`${text}\`)`),
      OP.unreachable,
    );
    return "void";
  }

  async #delayPoint(point) {
    this.#emit(ofMachine("k.delays"), OP.if, EMPTY);
    await this.#host("kern/delay", "delayPoint", [
      { type: "k" },
      { type: "i32", code: [OP.i32, ...sleb(this.#constant(point))] },
    ]);
    this.#emit(OP.end);
    return "void";
  }

  async #method(node, { object, property }, args) {
    const name = property.name;
    if (object.name === "Math") return this.#math(node, name, args);
    if (object.name === "Atomics") return this.#atomics(node, name, args);
    const [, of] = await this.#apart(() => this.#expression(object));
    if (of === "atomic") return this.#atomic(node, name, args);
    if (of.startsWith("pool:") && name === "coldAt") {
      const { record, pool } = this.#c.record(`rec:${of.slice(5)}`);
      await this.#expression(args[0]);
      this.#emit(OP.i32, ...sleb(record.coldWords), OP.mul, ofMachine(`${pool}.coldBase`), OP.add);
      return "i32";
    }
    const views =
      of === "k" && name === "lwpAt" ? "Lwp" : of.startsWith("pool:") && name === "view" ? of.slice(5) : null;
    if (views !== null) {
      await this.#expression(args[0]);
      this.#viewOf(`rec:${views}`, name === "lwpAt");
      return `rec:${views}`;
    }
    if (of !== "port" || PORT[name] === undefined) return unsupported(node, `${of}.${name}()`);
    const types = [];
    const passed = [];
    for (const arg of args) {
      if (typeof arg.value === "string") passed.push(arg.raw);
      else {
        types.push(await this.#expression(arg));
        passed.push(this.#toView(types.at(-1), `a${types.length - 1}`));
      }
    }
    const results = PORT[name] === "void" ? [] : [PORT[name]];
    const text = `(${types.map((_, i) => `a${i}`).join(", ")}) => k.port.${name}(${passed.join(", ")})`;
    this.#emit(this.#c.import(`port.${name}(${passed})`, types, results, text));
    return PORT[name];
  }

  async #math(node, name, args) {
    if (name === "clz32") {
      await this.#expression(args[0]);
      this.#emit(OP.clz);
      return "i32";
    }
    if (name === "imul") {
      for (const arg of args) await this.#expression(arg);
      this.#emit(OP.mul);
      return "i32";
    }
    if (name !== "max" && name !== "min") return unsupported(node, `Math.${name}`);
    const locals = [this.#local("i32"), this.#local("i32")];
    for (const [i, local] of locals.entries()) {
      if ((await this.#expression(args[i])) !== "i32") unsupported(node);
      this.#emit(OP.tee, ...leb(local));
    }
    const [a, b] = locals.map((l) => [OP.get, ...leb(l)]);
    this.#emit(...a, ...b, I32_BINARY[name === "max" ? ">" : "<"], OP.select);
    return "i32";
  }

  /** `k.atomic`. */
  async #atomic(node, name, args) {
    const offset = await this.#address(args[0]);
    if (name === "release") {
      const at = this.#local("i32");
      this.#emit(OP.tee, ...leb(at), OP.i32, 0, 0xfe, ATOMIC.store, 2, ...leb(offset));
      this.#emit(OP.get, ...leb(at), 0xfe, ATOMIC.load, 2, ...leb(offset + 4));
      return "i32";
    }
    if (ATOMIC[name] === undefined) unsupported(node, name);
    for (const arg of args.slice(1)) await this.#expression(arg);
    this.#emit(0xfe, ATOMIC[name], 2, ...leb(offset));
    return name === "store" ? "void" : "i32";
  }

  /** `Atomics` on the words. */
  async #atomics(node, name, [, at, ...args]) {
    const atomic = { load: "load", store: "store", or: "or", and: "and", add: "add", compareExchange: "cas" }[
      name
    ];
    if (atomic !== undefined) return this.#atomic(node, atomic, [at, ...args]);
    if (name !== "notify") return unsupported(node, `Atomics.${name}`);
    const offset = await this.#address(at);
    await this.#expression(args[0]);
    this.#emit(0xfe, 0x00, 2, ...leb(offset));
    return "i32";
  }

  /** A call of the JavaScript function. */
  async #host(moduleName, name, values) {
    const module = await this.#c.module(moduleName);
    const fn = module.functions.get(name) ?? unsupported({ start: 0 }, `${name} is no function`);
    const params = values.filter(({ type }) => isValue(type));
    if (params.some(({ type }) => type === "w" || type === "d"))
      unsupported({ start: 0 }, "memory as argument");
    const result = this.#c.typeOf(fn.result ?? "?") ?? unsupported({ start: 0 }, `result of ${name}`);
    const names = params.map((_, i) => `a${i}`);
    let next = 0;
    const list = values.map(({ type }) => {
      if (type.startsWith("pool:")) return `k.${this.#c.record(`rec:${type.slice(5)}`).pool}`;
      return type === "k" ? "k" : this.#toView(type, names[next++]);
    });
    const call = `${name}(${list.join(", ")})`;
    const text = `(${names.join(", ")}) => ${isRec(result) ? `addressOf(${call})` : call}`;
    for (const { code } of params) this.#emit(...code);
    const types = params.map(({ type }) => type);
    this.#emit(this.#c.import(`${name}(${types})`, types, result === "void" ? [] : [result], text));
    if (!moduleName.startsWith("kern/")) unsupported({ start: 0 }, `${name} is above the kernel`);
    const hosts = this.#c.hosts.get(moduleName) ?? new Set();
    this.#c.hosts.set(moduleName, hosts.add(name));
    if (fn.result === "never") this.#emit(OP.unreachable);
    return result;
  }

  /** JavaScript that makes an argument from what is passed for it. */
  #toView(type, name) {
    if (type === "null") return "null";
    return isRec(type) ? `view(k.${this.#c.record(type).pool}, ${name})` : name;
  }
}
