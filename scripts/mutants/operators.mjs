// The changes that scripts/mutants.mjs makes: in the bodies of functions of a compiled file, one place each.

import * as acorn from "acorn";

export const OPERATORS = [
  "negate a condition",
  "drop a statement",
  "swap a lock",
  "off by one",
  "drop a wakeup",
];
const [NEGATE, DROP, SWAP, OFF_BY_ONE, WAKEUP] = OPERATORS;

/** Calls that make somebody else go on, or look up. */
const WAKEUPS = new Set(
  [
    "cvBroadcast cvSignal cvWakeup sleepqWake sleepqRemove sleepqUnsleep turnstileWakeup lwpUnsleep setrunnable unpark",
    "syncobjGrant syncobjGrantAll cpuNeedResched lwpNeedUserret cpuKick flushKicks calloutSchedule notify",
  ].flatMap((line) => line.split(" ")),
);
const LOCKS = new Set(["spinEnter", "spinEnterTwo", "lwpLock", "mutexEnter", "interlockEnter"]);
const UNLOCKS = new Set(["spinExit", "lwpUnlock", "lwpUnlockTo", "mutexExit", "interlockExit"]);
/** Calls that change nothing on a sound kernel: assertions, delay points, probes. */
const SILENT = new Set(["kassert", "panic", "delayPoint", "fire", "probing", "assertLocked", "assertThread"]);
const LIMITS = { "<": "<=", "<=": "<", ">": ">=", ">=": ">" };

/** All mutations of a file: `{ operator, start, end, replacement, before, after }`, in the order of the text. */
export function mutationsOf(text) {
  const found = [];
  const source = (node) => text.slice(node.start, node.end);
  const add = (operator, { start, end }, replacement) => {
    const line = (s) => s.replaceAll(/\s+/g, " ").slice(0, 90);
    const before = line(text.slice(start, end));
    found.push({
      operator,
      start,
      end,
      replacement,
      before,
      after: replacement === ";" ? "nothing" : line(replacement),
    });
  };
  const { body } = acorn.parse(text, { ecmaVersion: "latest", sourceType: "module" });
  for (const node of body) {
    const declared = node.type === "ExportNamedDeclaration" ? node.declaration : node;
    if (declared?.type === "FunctionDeclaration" || declared?.type === "ClassDeclaration") walk(declared);
  }
  return found;

  function walk(node) {
    if (SILENT.has(calledBy(node))) return;
    if (node.type === "BlockStatement") swaps(node.body);
    if (node.type === "SwitchCase") swaps(node.consequent);
    mutate(node);
    for (const child of childrenOf(node)) walk(child);
  }

  function mutate(node) {
    switch (node.type) {
      case "IfStatement":
      case "ConditionalExpression":
      case "WhileStatement":
        add(NEGATE, node.test, `!(${source(node.test)})`);
        break;
      case "ExpressionStatement":
        if (WAKEUPS.has(calledBy(node.expression))) add(WAKEUP, node, ";");
        else if (!isLocking(node)) add(DROP, node, ";");
        break;
      case "BinaryExpression":
        if (node.operator in LIMITS)
          add(OFF_BY_ONE, node, `${source(node.left)} ${LIMITS[node.operator]} ${source(node.right)}`);
        else if (["+", "-"].includes(node.operator) && isNumber(node.right))
          add(OFF_BY_ONE, node.right, String(node.right.value + 1));
        break;
      case "AssignmentExpression":
        if (["+=", "-="].includes(node.operator) && isNumber(node.right))
          add(OFF_BY_ONE, node.right, String(node.right.value + 1));
        break;
      default:
    }
  }

  /** A lock taken one statement later, or let go one earlier. */
  function swaps(statements) {
    for (const [i, s] of statements.entries()) {
      const called = s.type === "ExpressionStatement" ? calledBy(s.expression) : "";
      const [first, second] = LOCKS.has(called)
        ? [s, statements[i + 1]]
        : UNLOCKS.has(called)
          ? [statements[i - 1], s]
          : [];
      if (first === undefined || second === undefined) continue;
      if (isFixed(first) || isFixed(second)) continue;
      add(SWAP, { start: first.start, end: second.end }, `${source(second)} ${source(first)}`);
    }
  }
}

function isLocking({ expression }) {
  const called = calledBy(expression);
  return LOCKS.has(called) || UNLOCKS.has(called);
}

/** A name declared after its use would only crash, nothing comes after a return, and the silent ones may stand anywhere. */
function isFixed(node) {
  return node.type.endsWith("Declaration") || node.type === "ReturnStatement" || SILENT.has(calledBy(node));
}

const isNumber = (node) => node.type === "Literal" && typeof node.value === "number";

/** The name of the function that an expression calls, perhaps with `yield*`; "" if it is no call. */
function calledBy(node) {
  if (node.type === "ExpressionStatement") return calledBy(node.expression);
  if (node.type === "YieldExpression" && node.argument !== null) return calledBy(node.argument);
  if (node.type !== "CallExpression") return "";
  return node.callee.name ?? node.callee.property?.name ?? "";
}

function childrenOf(node) {
  return Object.values(node)
    .flat()
    .filter((child) => typeof child?.type === "string");
}
