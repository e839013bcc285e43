/**
 * What a function of a program closes over: the variables of the functions around it that it uses.
 *
 * By the places of declarations, in steps: (1) every declaration of the program is noted with the part of the text in which it
 * holds; (2) a use of a name means the innermost one that holds there; (3) that is the function's own, a variable of a module,
 * or one that the function closes over.
 */
import type * as acorn from "acorn";

/** A declaration of a name, and where it holds. */
interface Declaration {
  readonly start: number;
  readonly end: number;
  /** It is of a module, not of a function. */
  readonly global: boolean;
  readonly kind: Kind;
}

/** Of a function or a class; of an import; of a loop, each of whose turns has a variable of its own; of any other variable. */
type Kind = "function" | "import" | "loop" | "variable";

/** A node, with the nodes around it from the outside. */
type Path = readonly acorn.AnyNode[];

export class Scopes {
  readonly #declarations = new Map<string, Declaration[]>();
  /** Names of variables that some assignment changes. */
  readonly #assigned = new Set<string>();

  constructor(program: acorn.Program) {
    walk(program, [], (node, path) => this.#note(node, path));
  }

  /**
   * The names that `f` closes over, in the order of their first use. Null: it may be there for sharing variables, also of its
   * module. It changes one, or something in one, or calls a method of one; or one may change elsewhere; or it uses `this`, or a
   * function of those around it.
   */
  capturesOf(f: acorn.FunctionExpression | acorn.ArrowFunctionExpression): string[] | null {
    const names = new Set<string>();
    let shares = false;
    walk(f, [], (node, path) => {
      if (node.type === "ThisExpression") shares ||= thisIsOutside(path);
      if (node.type !== "Identifier" || !isUse(node, path.at(-1))) return;
      const found = this.#meaning(node);
      if (found === null || found.start >= f.start) return;
      if (!found.global) names.add(node.name);
      shares ||= this.#mayBeShared(found, node, path);
    });
    return shares ? null : [...names];
  }

  #mayBeShared({ kind, global }: Declaration, use: acorn.Identifier, path: Path): boolean {
    if (kind === "function" || kind === "import") return !global;
    return mayChange(use, path) || (kind === "variable" && this.#assigned.has(use.name));
  }

  /** The innermost declaration that holds at a use; null: it is a global name. */
  #meaning({ name, start }: acorn.Identifier): Declaration | null {
    let found: Declaration | null = null;
    for (const d of this.#declarations.get(name) ?? [])
      if (d.start <= start && start < d.end && (found === null || d.start > found.start)) found = d;
    return found;
  }

  #note(node: acorn.AnyNode, path: Path): void {
    switch (node.type) {
      case "FunctionDeclaration":
      case "ClassDeclaration":
        if (node.id) this.#declare(node.id, block(path), "function");
        break;
      case "FunctionExpression":
      case "ClassExpression":
        if (node.id) this.#declare(node.id, node, "function");
        break;
      case "VariableDeclaration":
        for (const { id, init } of node.declarations) {
          const scope = node.kind === "var" ? functionAround(path) : block(path);
          const made =
            init && (isFunction(init) || init.type === "ClassExpression") ? "function" : "variable";
          this.#declare(id, scope, scope.type === "ForStatement" ? "loop" : made);
        }
        break;
      case "CatchClause":
        if (node.param) this.#declare(node.param, node, "variable");
        break;
      case "ImportSpecifier":
      case "ImportDefaultSpecifier":
      case "ImportNamespaceSpecifier":
        this.#declare(node.local, path[0], "import");
        break;
      case "AssignmentExpression":
        for (const name of boundNames(node.left)) this.#assigned.add(name);
        break;
      case "UpdateExpression":
        if (node.argument.type === "Identifier") this.#assigned.add(node.argument.name);
        break;
      case "ForInStatement":
      case "ForOfStatement":
        if (node.left.type !== "VariableDeclaration")
          for (const name of boundNames(node.left)) this.#assigned.add(name);
        break;
    }
    if (isFunction(node)) for (const param of node.params) this.#declare(param, node, "variable");
  }

  #declare(pattern: acorn.Pattern, scope: acorn.AnyNode, kind: Kind): void {
    for (const name of boundNames(pattern)) {
      const known = this.#declarations.get(name) ?? [];
      known.push({ start: scope.start, end: scope.end, global: scope.type === "Program", kind });
      this.#declarations.set(name, known);
    }
  }
}

const BLOCKS = /^(?:Program|BlockStatement|StaticBlock|SwitchStatement|For\w*Statement)$/;

function block(path: Path): acorn.AnyNode {
  return path.findLast((node) => BLOCKS.test(node.type) || isFunction(node))!;
}

function functionAround(path: Path): acorn.AnyNode {
  return path.findLast((node) => node.type === "Program" || node.type === "StaticBlock" || isFunction(node))!;
}

function isFunction(node: acorn.AnyNode): node is acorn.Function & acorn.AnyNode {
  return /^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);
}

/** Names that a pattern binds. */
function boundNames(pattern: acorn.Pattern): string[] {
  switch (pattern.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((p) => boundNames(p.type === "Property" ? p.value : p.argument));
    case "ArrayPattern":
      return pattern.elements.flatMap((element) => (element === null ? [] : boundNames(element)));
    case "RestElement":
      return boundNames(pattern.argument);
    case "AssignmentPattern":
      return boundNames(pattern.left);
    default:
      return [];
  }
}

/** Whether an identifier is a variable, and not the name of a property or a label. */
function isUse(node: acorn.Identifier, parent: acorn.AnyNode | undefined): boolean {
  switch (parent?.type) {
    case "MemberExpression":
      return parent.object === node || parent.computed;
    case "Property":
      return parent.value === node || parent.computed;
    case "MethodDefinition":
    case "PropertyDefinition":
      return parent.value === node || parent.computed;
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
    case "MetaProperty":
      return false;
    default:
      return true;
  }
}

/** Whether a use may change a variable or what is in it: assigned to, or reached into by a call or an assignment. */
function mayChange(node: acorn.AnyNode, path: Path): boolean {
  let inner = node;
  for (const outer of path.toReversed()) {
    if (outer.type === "MemberExpression" && outer.object === inner) inner = outer;
    else if (outer.type === "CallExpression" || outer.type === "NewExpression") return outer.callee === inner;
    else if (outer.type === "TaggedTemplateExpression") return outer.tag === inner;
    else if (outer.type === "AssignmentExpression") return outer.left === inner;
    else if (outer.type === "ForOfStatement" || outer.type === "ForInStatement") return outer.left === inner;
    else if (outer.type === "UpdateExpression") return true;
    else if (outer.type === "UnaryExpression") return outer.operator === "delete";
    else return /Pattern$|^RestElement$/.test(outer.type);
  }
  return false;
}

/** Whether `this` in a function, by the path from that, is not its own. */
function thisIsOutside(path: Path): boolean {
  return path.every((node) => !isFunction(node) || node.type === "ArrowFunctionExpression");
}

/** Visits every node, parents first. */
function walk(node: acorn.AnyNode, path: Path, visit: (node: acorn.AnyNode, path: Path) => void): void {
  visit(node, path);
  const inner = [...path, node];
  for (const child of Object.values(node) as unknown[]) {
    for (const item of Array.isArray(child) ? (child as unknown[]) : [child])
      if (isNode(item)) walk(item, inner, visit);
  }
}

function isNode(value: unknown): value is acorn.AnyNode {
  return typeof value === "object" && value !== null && typeof (value as acorn.Node).type === "string";
}
