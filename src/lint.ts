/**
 * `lwp/lint`: a plugin for ESLint, and for linters with the same interface, that finds operations which never run.
 *
 *   import lwp from "lwp/lint";                           // eslint.config.js
 *   export default [lwp.configs.recommended];
 *
 * The rule `lwp/no-floating-operation` reports a call that makes an operation where nobody iterates it: alone as a statement,
 * awaited, or yielded without a star; where it is taken for its value, as a condition, an operand, in a template or by
 * `console`; and a call of a generator function of the file that stands alone. It knows classes by
 * how the file declares its variables and parameters, not by types, so it misses what comes from elsewhere; a program that
 * is linked complains about the rest when it runs.
 */

// Only what is used of the interface: the syntax tree is ESTree's, with the nodes of TypeScript.
interface Node {
  readonly type: string;
  readonly range?: readonly [number, number];
  readonly parent?: Node;
  readonly [key: string]: unknown;
}
interface Fixer {
  insertTextBefore(node: Node, text: string): unknown;
}
interface Report {
  readonly node: Node;
  readonly messageId: string;
  readonly data?: Record<string, string>;
  readonly fix?: (fixer: Fixer) => unknown;
}
interface Context {
  report(report: Report): void;
}

/** What makes an operation, by class; `static` are those of the class itself. */
export const OPERATIONS: Readonly<Record<string, readonly string[]>> = {
  "Thread.": ["spawn", "yield", "sleep", "exit", "testCancel", "uncancellable", "all", "race"],
  Thread: ["join", "detach", "cancel", "suspend", "resume", "kill"],
  "Signals.": ["handle", "kill", "raise", "alarm", "block", "unblock", "setMask", "wait", "suspend"],
  Spawner: ["spawn"],
  "Scope.": ["run"],
  Scope: ["spawn", "join", "cancel"],
  Mutex: ["lock", "guard"],
  RwLock: ["readLock", "writeLock", "readGuard", "writeGuard"],
  Condition: ["wait"],
  Semaphore: ["wait"],
  Barrier: ["wait"],
  SpinLock: ["lock", "guard"],
  Channel: ["send", "receive"],
};

/** Functions that make one, by the module they come from. */
export const FUNCTIONS: Readonly<Record<string, readonly string[]>> = {
  lwp: ["checkpoint", "schedYield", "until"],
  "lwp/syscall": [
    "alarm",
    "geteuid",
    "getuid",
    "kill",
    "lwpContinue",
    "lwpCreate",
    "lwpCtl",
    "lwpDetach",
    "lwpExit",
    "lwpGetname",
    "lwpGetprivate",
    "lwpKill",
    "lwpPark",
    "lwpSelf",
    "lwpSetname",
    "lwpSetprivate",
    "lwpSuspend",
    "lwpUnpark",
    "lwpUnparkAll",
    "lwpWait",
    "lwpWakeup",
    "procExit",
    "schedGetaffinity",
    "schedGetparam",
    "schedSetaffinity",
    "schedSetparam",
    "schedYield",
    "seteuid",
    "setuid",
    "sigaction",
    "sigpending",
    "sigprocmask",
    "sigsuspend",
    "sigtimedwait",
    "sysctl",
  ],
};

/** Methods that mean an operation whatever they are called on, in a file that imports `lwp`: they do nothing else alone. */
const TELLING = ["join", "lock", "guard", "readLock", "writeLock", "readGuard", "writeGuard"];

/** The name of a class for an instance of it, `Class.` for the class itself, `Class[]` for a list; null = unknown. */
type Kind = string | null;

class File {
  /** By name; a name that is declared in several ways is unknown. */
  readonly #kinds = new Map<string, Kind>();
  readonly #functions = new Set<string>();
  readonly #generators = new Set<string>();
  imports = false;

  import(node: Node): void {
    const from = (node["source"] as Node)["value"] as string;
    if (from !== "lwp" && from !== "lwp/syscall") return;
    this.imports = true;
    for (const specifier of node["specifiers"] as Node[]) {
      if (specifier.type !== "ImportSpecifier") continue;
      const imported = (specifier["imported"] as Node)["name"] as string;
      const local = (specifier["local"] as Node)["name"] as string;
      if (imported in OPERATIONS) this.#kinds.set(local, `${imported}.`);
      if (FUNCTIONS[from]!.includes(imported)) this.#functions.add(local);
    }
  }

  /** A variable or a parameter. */
  declare(id: Node, init: Node | null): void {
    if (id.type !== "Identifier") return;
    const name = id["name"] as string;
    if (init !== null && isGenerator(init)) this.#generators.add(name);
    const annotation = id["typeAnnotation"] as Node | undefined;
    const kind = annotation ? this.#ofType(annotation["typeAnnotation"] as Node) : this.kindOf(init);
    this.#kinds.set(name, this.#kinds.has(name) && this.#kinds.get(name) !== kind ? null : kind);
  }

  function(node: Node): void {
    const id = node["id"] as Node | null;
    if (node.type === "FunctionDeclaration" && id !== null && isGenerator(node)) {
      this.#generators.add(id["name"] as string);
    }
    for (const param of node["params"] as Node[]) {
      if (param.type === "AssignmentPattern") this.declare(param["left"] as Node, param["right"] as Node);
      else this.declare(param, null);
    }
  }

  #ofType(type: Node): Kind {
    if (type.type === "TSArrayType") return listOf(this.#ofType(type["elementType"] as Node));
    if (type.type === "TSTypeOperator") return this.#ofType(type["typeAnnotation"] as Node);
    if (type.type !== "TSTypeReference") return null;
    const { name } = type["typeName"] as Node;
    const kind = this.#kinds.get(name as string);
    return kind?.endsWith(".") === true ? kind.slice(0, -1) : null;
  }

  kindOf(node: Node | null): Kind {
    switch (node?.type) {
      case "Identifier":
        return this.#kinds.get(node["name"] as string) ?? null;
      case "TSNonNullExpression":
      case "TSAsExpression":
      case "ChainExpression":
        return this.kindOf(node["expression"] as Node);
      case "NewExpression":
        return instanceOf(this.kindOf(node["callee"] as Node));
      case "YieldExpression":
        return node["delegate"] === true ? this.#ofResult(node["argument"] as Node) : null;
      case "CallExpression":
        return calls(node, "with") && this.#receiver(node) !== null ? "Spawner" : null;
      case "MemberExpression":
        return this.#ofMember(node);
      default:
        return null;
    }
  }

  #ofMember(node: Node): Kind {
    const kind = this.kindOf(node["object"] as Node);
    if (node["computed"] === true) return kind?.endsWith("[]") === true ? kind.slice(0, -2) : null;
    return kind === "Thread." && (node["property"] as Node)["name"] === "self" ? "Thread" : null;
  }

  /** Of what `yield*` of a call gives. */
  #ofResult(call: Node): Kind {
    return this.isOperation(call) && calls(call, "spawn") ? "Thread" : null;
  }

  /** What a method is called on. */
  #receiver(call: Node): Kind {
    const callee = call["callee"] as Node;
    return callee.type === "MemberExpression" ? this.kindOf(callee["object"] as Node) : null;
  }

  /** Whether a node is a call that makes an operation. */
  isOperation(node: Node | null): boolean {
    if (node?.type === "ChainExpression") return this.isOperation(node["expression"] as Node);
    if (node?.type !== "CallExpression") return false;
    const callee = node["callee"] as Node;
    if (callee.type === "Identifier") return this.#functions.has(callee["name"] as string);
    if (callee.type !== "MemberExpression" || callee["computed"] === true) return false;
    const method = (callee["property"] as Node)["name"] as string;
    const kind = this.#receiver(node);
    if (kind !== null) return OPERATIONS[kind]?.includes(method) === true;
    return this.imports && TELLING.includes(method) && (node["arguments"] as Node[]).length === 0;
  }

  /** Whether it is a call of a generator function of this file. */
  isGeneratorCall(node: Node): boolean {
    const callee = node["callee"] as Node | undefined;
    return this.imports && callee?.type === "Identifier" && this.#generators.has(callee["name"] as string);
  }
}

function instanceOf(kind: Kind): Kind {
  return kind?.endsWith(".") === true ? kind.slice(0, -1) : null;
}

function listOf(kind: Kind): Kind {
  return kind === null ? null : `${kind}[]`;
}

function isGenerator(node: Node): boolean {
  return node["generator"] === true && node["async"] !== true;
}

/** Whether a call is one of a method of this name. */
function calls(call: Node, method: string): boolean {
  const callee = call["callee"] as Node;
  return callee.type === "MemberExpression" && (callee["property"] as Node)["name"] === method;
}

/** Whether `yield*` may be written where a node stands. */
function inGenerator(node: Node): boolean {
  for (let n = node.parent; n !== undefined && n !== null; n = n.parent) {
    if (/Function/.test(n.type)) return isGenerator(n);
  }
  return false;
}

const noFloatingOperation = {
  meta: {
    type: "problem",
    docs: { description: "An operation of lwp acts when it is iterated: `yield*` it." },
    fixable: "code",
    schema: [],
    messages: {
      floating: "{{what}} does nothing until it is iterated: write `yield*` before it.",
      awaited: "An operation cannot be awaited: write `yield*` instead of `await`.",
      yielded: "`yield` hands the operation over unused: write `yield*`.",
      value: "An operation is not its value: write `(yield* …)` around the call.",
    },
  },
  create(context: Context): Record<string, (node: Node) => void> {
    const file = new File();
    // Looked at when all declarations are known.
    const later: (() => void)[] = [];
    const inspect = (node: Node, messageId: string, argument: Node): void => {
      later.push(() => {
        if (file.isOperation(argument)) context.report({ node, messageId });
      });
    };
    const declarations: (() => void)[] = [];
    /** What stands where a value is wanted at once. */
    const inspectValues = (values: readonly (Node | null)[]): void => {
      for (const value of values) if (value !== null) inspect(value, "value", value);
    };
    const inspectTest = (node: Node): void => inspectValues([node["test"] as Node | null]);
    return {
      ImportDeclaration: (node) => file.import(node),
      VariableDeclarator: (node) => {
        const id = node["id"] as Node;
        const init = node["init"] as Node | null;
        // Without either it is a loop's, or nothing is known of it.
        if (init !== null || id["typeAnnotation"]) declarations.push(() => file.declare(id, init));
      },
      ForOfStatement: (node) => {
        const left = node["left"] as Node;
        const [first] = left.type === "VariableDeclaration" ? (left["declarations"] as Node[]) : [];
        if (first === undefined) return;
        declarations.push(() => {
          const element: Node = { type: "MemberExpression", computed: true, object: node["right"] };
          file.declare(first["id"] as Node, element);
        });
      },
      FunctionDeclaration: (node) => void declarations.push(() => file.function(node)),
      FunctionExpression: (node) => void declarations.push(() => file.function(node)),
      ArrowFunctionExpression: (node) => void declarations.push(() => file.function(node)),
      AwaitExpression: (node) => inspect(node, "awaited", node["argument"] as Node),
      YieldExpression: (node) => {
        if (node["delegate"] !== true && node["argument"]) inspect(node, "yielded", node["argument"] as Node);
      },
      IfStatement: inspectTest,
      WhileStatement: inspectTest,
      DoWhileStatement: inspectTest,
      ForStatement: inspectTest,
      ConditionalExpression: inspectTest,
      LogicalExpression: (node) => inspectValues([node["left"] as Node]),
      BinaryExpression: (node) => inspectValues([node["left"] as Node, node["right"] as Node]),
      UnaryExpression: (node) => {
        if (node["operator"] !== "void") inspectValues([node["argument"] as Node]);
      },
      TemplateLiteral: (node) => {
        if (node.parent?.type !== "TaggedTemplateExpression") inspectValues(node["expressions"] as Node[]);
      },
      CallExpression: (node) => {
        const callee = node["callee"] as Node;
        const object = callee.type === "MemberExpression" ? (callee["object"] as Node) : null;
        if (object?.type === "Identifier" && object["name"] === "console")
          inspectValues(node["arguments"] as Node[]);
      },
      ExpressionStatement: (node) => {
        const call = node["expression"] as Node;
        later.push(() => {
          const operation = file.isOperation(call);
          if (!operation && !file.isGeneratorCall(call)) return;
          const what = operation ? "The operation" : "The generator";
          const fix = (fixer: Fixer): unknown => fixer.insertTextBefore(call, "yield* ");
          const report = { node: call, messageId: "floating", data: { what } };
          context.report(inGenerator(node) ? { ...report, fix } : report);
        });
      },
      "Program:exit": () => {
        for (const declaration of declarations) declaration();
        for (const look of later) look();
      },
    };
  },
} as const;

const rules = { "no-floating-operation": noFloatingOperation };

/** The plugin. */
const plugin = {
  meta: { name: "lwp" },
  rules,
  configs: {
    /** The rule as an error, for ESLint's flat configuration. */
    recommended: {
      plugins: { lwp: { meta: { name: "lwp" }, rules } },
      rules: { "lwp/no-floating-operation": "error" },
    },
  },
};

export default plugin;
