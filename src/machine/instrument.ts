/**
 * Puts polls into the loops of a program (context/polls.ts says what a poll must know).
 *
 *   thread functions, that is generator functions without a plain `yield`:
 *
 *     function* f() { const __lwp_t = __lwp.enter(), …        takes what it was told at its start
 *       while (x) { if (__lwp_p(__lwp_t)) do yield __lwp.token(); while (__lwp.again());
 *         yield* __lwp.call(__lwp_t, 7, g, g(y)); }            tells the next one, if `g` is a thread function
 *       __lwp.use("m.lock", m.lock, m.lock());                 throws if the call made an operation: nobody would run it
 *     }                                                        and the mark of a function with polls before the brace
 *
 *     `__lwp_p` is `__lwp.poll`: as a variable of the function a poll costs a nanosecond, and not four.
 *
 *   in any function, a call that may start a thread, which is told where it was (thread/spawn.ts):
 *
 *     pool.spawn(f, __lwp.at(3, x));                           says last of all that this is spawn site 3
 *
 *   plain functions, arrow functions and async functions:
 *
 *     while (x) { __lwp.poll(false); … }                        can only end its thread
 *
 *   everywhere else than in a thread function, calls whose value nobody takes, if by its name it may be an operation, or what a
 *   thread function gives:
 *
 *     c.send(x);                                                __lwp.lost("c.send", c.send, c.send(x));  throws if it is one
 *     list.forEach((x) => c.send(x));                           so here, and where a timer or an event calls
 *
 * A generator function with a plain `yield` is an iterator, and is left alone, as async generators are and the code of a
 * module outside its functions. Each function goes by its own rule, whatever it stands in.
 *
 * Nothing else changes for the program: the text is inserted, on the same lines; `g` is read once more than before, and only
 * where it is a name, or a property that is a thread method's by its name. Polls of a thread function leave the context only
 * where it was started by `yield* g()`, or by a thread as its first; iterated in any other way they can only end it.
 */
import type * as acorn from "acorn";
import { POLLS_MARK } from "../context/polls.js";
import { OPERATIONS } from "../lint.js";
import { Scopes } from "./captures.js";
import { isMachineModule } from "./factory.js";

/** A replacement of code[start..end). */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** An insertion. */
export interface Insert extends Edit {
  /** Where in the code is what it stands for in stack traces; unless said, what it was put before. */
  readonly standsFor?: number;
  /** Only to be made if there is a thread method of this name. */
  readonly method?: string;
  /** Only to be made if a call of this name may make an operation, or start a thread function. */
  readonly maker?: string;
}

/** A call that may start a thread. */
export interface SpawnCall {
  /** What stands in the code for it. */
  readonly node: acorn.Node;
  /** It is given a closure that could as well be a top-level function: what that closes over. */
  readonly closure: readonly string[] | null;
}

export interface Inserts {
  readonly inserts: Insert[];
  /** Spawn sites, from number 1. */
  readonly spawns: readonly SpawnCall[];
}

/** The insertions into a program. `outside` are names bound to what it imports, and from where: none
 * of them is a thread function. */
export function insertPolls(
  code: string,
  tree: acorn.Program,
  outside: ReadonlyMap<string, string>,
): Inserts {
  const instrument = new Instrument(code, tree, outside);
  instrument.visit(tree, null);
  const { inserts, methods, functions, spawns } = instrument;
  const wanted = ({ method, maker }: Insert): boolean => {
    if (maker !== undefined)
      return OPERATION_METHODS.has(maker) || methods.has(maker) || functions.has(maker);
    return method === undefined || methods.has(method);
  };
  return { inserts: inserts.filter(wanted), spawns };
}

/** What is done in a function. */
interface Frame {
  /** The poll at the head of its loops. */
  readonly poll: string;
  /** It is a generator function and has had no plain `yield` so far. */
  thread: boolean;
  readonly inserts: Insert[];
  /** The checks of calls that stand alone; they need nothing of the function. */
  readonly uses: Insert[];
}

const THREAD_POLL = "if(__lwp_p(__lwp_t))do yield __lwp.token();while(__lwp.again());";
const PLAIN_POLL = "__lwp.poll(false);";
/** Longest name of a call that errors show. */
const NAME_MAX = 60;
/** Methods that make operations, by their names. */
const OPERATION_METHODS: ReadonlySet<string> = new Set(Object.values(OPERATIONS).flat());
/** Who calls a function that it is given, and drops what that returns. */
const DROPPERS: ReadonlySet<string> = new Set([
  ...["forEach", "on", "once", "addListener", "addEventListener"],
  ...["setTimeout", "setInterval", "setImmediate", "queueMicrotask", "nextTick"],
]);
const PROLOGUE = "const __lwp_t=__lwp.enter(),__lwp_p=__lwp.poll;";

class Instrument {
  readonly #code: string;
  readonly #outside: ReadonlyMap<string, string>;
  /** Where several have the same place, in their order there. */
  readonly inserts: Insert[] = [];
  /** Names of the methods, and other properties, that are thread functions. */
  readonly methods = new Set<string>();
  /** Names of thread functions, and of what is imported from the machine's modules. */
  readonly functions = new Set<string>();
  readonly spawns: SpawnCall[] = [];
  readonly #tree: acorn.Program;
  /** Made for the first closure that is given to a spawn. */
  #scopes: Scopes | null = null;
  /** Call sites so far. */
  #calls = 0;

  constructor(code: string, tree: acorn.Program, outside: ReadonlyMap<string, string>) {
    this.#code = code;
    this.#tree = tree;
    this.#outside = outside;
    for (const [name, from] of outside) if (isMachineModule(from)) this.functions.add(name);
  }

  /** `frame` is that of the function around the node; null = there is none, or it is left alone. */
  visit(node: acorn.AnyNode, frame: Frame | null): void {
    switch (node.type) {
      case "FunctionDeclaration":
      case "FunctionExpression":
      case "ArrowFunctionExpression":
        this.#function(node);
        return;
      case "StaticBlock":
        this.#frame(node, plainFrame());
        return;
      case "ForStatement":
      case "ForInStatement":
      case "ForOfStatement":
      case "WhileStatement":
      case "DoWhileStatement":
        this.#loop(node, frame);
        return;
      case "ExpressionStatement":
        this.#statement(node, frame);
        return;
      case "YieldExpression":
        this.#yield(node, frame);
        return;
      case "CallExpression":
        this.#spawn(node);
        this.#drops(node);
        break;
    }
    this.#children(node, frame);
    this.#name(node);
  }

  #children(node: acorn.Node, frame: Frame | null): void {
    for (const child of Object.values(node) as unknown[]) {
      for (const item of Array.isArray(child) ? (child as unknown[]) : [child]) {
        if (isNode(item)) this.visit(item, frame);
      }
    }
  }

  #function(node: acorn.Function): void {
    if (!node.generator) return this.#frame(node, plainFrame());
    if (node.async) return this.#children(node, null);
    const frame: Frame = { poll: THREAD_POLL, thread: true, inserts: [], uses: [] };
    this.#children(node, frame);
    if (!frame.thread) {
      this.inserts.push(...frame.uses);
      return;
    }
    this.#threads.add(node);
    if (node.id) this.functions.add(node.id.name);
    const body = node.body as acorn.BlockStatement;
    if (frame.inserts.length > 0) {
      this.inserts.push(insertAt(afterDirectives(body), PROLOGUE), ...frame.inserts);
      this.inserts.push(insertAt(body.end - 1, POLLS_MARK.slice(0, -1)));
    }
    // Last: where a poll stands in the same place, as the body of a loop, it comes first.
    this.inserts.push(...frame.uses.map((use) => ({ ...use, maker: undefined })));
  }

  #frame(node: acorn.Node, frame: Frame): void {
    this.#children(node, frame);
    this.inserts.push(...frame.inserts, ...frame.uses);
  }

  readonly #threads = new Set<acorn.Node>();

  #loop(node: Loop, frame: Frame | null): void {
    if (frame === null) return this.#children(node, null);
    const { body } = node;
    const block = body.type === "BlockStatement";
    frame.inserts.push(block ? insertAt(body.start + 1, frame.poll) : insertAt(body.start, `{${frame.poll}`));
    this.#children(node, frame);
    if (!block) frame.inserts.push(insertAt(body.end, "}"));
  }

  /** A call whose value nobody wants. */
  #statement(node: acorn.ExpressionStatement, frame: Frame | null): void {
    const how = frame !== null && frame.poll === THREAD_POLL ? "use" : "lost";
    this.#use(node.expression, how, frame === null ? this.inserts : frame.uses);
    this.#children(node, frame);
  }

  /** A call that may be given a function whose value it drops. */
  #drops({ callee, arguments: args }: acorn.CallExpression): void {
    if (!DROPPERS.has(calleeName(callee) ?? "")) return;
    for (const f of args) {
      if (f.type === "ArrowFunctionExpression" && f.expression && !f.async)
        this.#use(f.body as acorn.Expression, "lost", this.inserts);
    }
  }

  /** Has an expression's value looked at, if that is a call's. */
  #use(expression: acorn.Expression, how: "use" | "lost", inserts: Insert[]): void {
    const call = expression.type === "ChainExpression" ? expression.expression : expression;
    if (call.type !== "CallExpression") return;
    const { callee } = call;
    const maker = calleeName(callee) ?? "";
    const text = this.#code.slice(callee.start, callee.end);
    const again = this.#canBeReadAgain(callee) ? text : "null";
    const name = JSON.stringify(text.length > NAME_MAX ? "a call" : text);
    inserts.push({ ...insertAt(call.start, `__lwp.${how}(${name},${again},`), maker });
    inserts.push({ ...insertAt(call.end, ")"), maker });
  }

  /** A name, or a property of one: what reading it once more can hardly change. */
  #canBeReadAgain(callee: acorn.CallExpression["callee"]): boolean {
    if (callee.type === "Identifier") return true;
    if (callee.type !== "MemberExpression" || callee.computed || callee.optional) return false;
    return callee.object.type === "Identifier" || callee.object.type === "ThisExpression";
  }

  /** A call of a method `spawn`, whosever. The last argument is told the site: nothing of the program runs after it. */
  #spawn({ callee, arguments: args }: acorn.CallExpression): void {
    const last = args.at(-1);
    if (callee.type !== "MemberExpression" || callee.computed || last === undefined) return;
    if (callee.property.type !== "Identifier" || callee.property.name !== "spawn") return;
    // As of node:child_process.
    const from = callee.object.type === "Identifier" ? this.#outside.get(callee.object.name) : undefined;
    if (from !== undefined && !isMachineModule(from)) return;
    const value = last.type === "SpreadElement" ? last.argument : last;
    // In its parentheses it would be two arguments.
    if (value.type === "SequenceExpression") return;
    this.spawns.push({ node: callee.property, closure: this.#closureOf(args[0]) });
    this.inserts.push(insertAt(value.start, `__lwp.at(${this.spawns.length},`), insertAt(value.end, ")"));
  }

  /** What a closure at a spawn closes over, if it is one that could as well be a top-level function. */
  #closureOf(f: acorn.Expression | acorn.SpreadElement): readonly string[] | null {
    if (f.type !== "FunctionExpression" && f.type !== "ArrowFunctionExpression") return null;
    if (f.async) return null;
    this.#scopes ??= new Scopes(this.#tree);
    return this.#scopes.capturesOf(f);
  }

  #yield(node: acorn.YieldExpression, frame: Frame | null): void {
    const call = node.argument;
    if (frame !== null && !node.delegate) frame.thread = false;
    const site = frame !== null && node.delegate && call?.type === "CallExpression" ? this.#site(call) : null;
    if (site === null) return this.#children(node, frame);
    frame!.inserts.push(site);
    this.#children(node, frame);
    frame!.inserts.push({ ...insertAt(call!.end, ")"), method: site.method });
  }

  /** What stands before a call that may start a thread function; null if it cannot. */
  #site({ start, callee, optional }: acorn.CallExpression): Insert | null {
    let method: string | undefined;
    if (optional) return null;
    if (callee.type === "Identifier") {
      if (this.#outside.has(callee.name)) return null;
    } else if (callee.type === "MemberExpression" && !callee.computed && !callee.optional) {
      if (!["Identifier", "ThisExpression", "Super"].includes(callee.object.type)) return null;
      method = keyName(callee.property);
    } else {
      return null;
    }
    const text = `__lwp.call(__lwp_t,${this.#calls++},${this.#code.slice(callee.start, callee.end)},`;
    // As an engine shows a call of a method: where its name stands.
    const standsFor = callee.type === "MemberExpression" ? callee.property.start : callee.start;
    return { ...insertAt(start, text), standsFor, method };
  }

  /** Notes the name under which an object or a class has a thread function. Called once its value was visited. */
  #name(node: acorn.AnyNode): void {
    let key: acorn.Node | undefined;
    let value: acorn.Node | null | undefined;
    if (node.type === "MethodDefinition" || node.type === "Property" || node.type === "PropertyDefinition") {
      if (!node.computed) ({ key, value } = node);
    } else if (node.type === "AssignmentExpression" && node.left.type === "MemberExpression") {
      if (!node.left.computed) [key, value] = [node.left.property, node.right];
    }
    if (key !== undefined && value !== null && this.#threads.has(value!)) this.methods.add(keyName(key));
    if (node.type !== "VariableDeclarator" || node.id.type !== "Identifier") return;
    if (node.init && this.#threads.has(node.init)) this.functions.add(node.id.name);
  }
}

type Loop =
  | acorn.ForStatement
  | acorn.ForInStatement
  | acorn.ForOfStatement
  | acorn.WhileStatement
  | acorn.DoWhileStatement;

const plainFrame = (): Frame => ({ poll: PLAIN_POLL, thread: false, inserts: [], uses: [] });
const insertAt = (at: number, text: string): Insert => ({ start: at, end: at, text });

/** The last name of what is called; undefined if it has none. */
function calleeName(callee: acorn.CallExpression["callee"]): string | undefined {
  if (callee.type === "Identifier") return callee.name;
  return callee.type === "MemberExpression" && !callee.computed ? keyName(callee.property) : undefined;
}

/** A private name is another name than the same without `#`. */
function keyName(key: acorn.Node): string {
  if (key.type === "PrivateIdentifier") return `#${(key as acorn.PrivateIdentifier).name}`;
  return key.type === "Identifier" ? (key as acorn.Identifier).name : String((key as acorn.Literal).value);
}

function afterDirectives({ start, body }: acorn.BlockStatement): number {
  let at = start + 1;
  for (const statement of body) {
    if (statement.type !== "ExpressionStatement" || statement.directive === undefined) break;
    at = statement.end;
  }
  return at;
}

function isNode(value: unknown): value is acorn.AnyNode {
  return typeof value === "object" && value !== null && typeof (value as acorn.Node).type === "string";
}
