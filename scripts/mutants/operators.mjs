// The operators: all mutants that can be made of one compiled file of the kernel, in the order of the text.
//
// A mutant is `{ file, operator, at, name, edits, from, to }`: `edits` replace ranges of the text; `at` is the offset of the
// first; `name` is the function it stands in; `from` and `to` are the statement or condition around it, before and after.
// With file and function these two are its key in survivors.json: line numbers change too easily.

import * as acorn from "acorn";
import { functionsLeftOut, isLeftOutCall, isLeftOutCondition } from "./left-out.mjs";

export const OPERATORS = ["negate", "drop", "lock", "off by one", "wakeup"];

/** Calls that wake an LWP or a CPU. */
const WAKEUPS = new Set([
  "cpuKick",
  "cpuNeedResched",
  "cvBroadcast",
  "cvSignal",
  "flushKicks",
  "lwpNeedUserret",
  "notify",
  "procWakeWaiters",
  "setrunnable",
  "sleepqChangepri",
  "sleepqWake",
  "sleepqWakeOne",
  "syncobjWake",
  "turnstileWakeup",
]);
/** How locks are taken and released, and which argument is the lock. */
const LOCKS = new Map([
  ["spinEnter", 1],
  ["spinExit", 1],
  ["mutexEnter", 1],
  ["mutexExit", 1],
  ["lwpLock", 0],
  ["lwpUnlock", 0],
]);
const OFF_BY_ONE = new Map([
  ["<", "<="],
  ["<=", "<"],
  [">", ">="],
  [">=", ">"],
]);

/** All mutants of `text`, the compiled kern/`file`. */
export function mutantsOf(file, text) {
  const program = acorn.parse(text, { ecmaVersion: "latest", sourceType: "module" });
  const found = [];
  // Behind the sources' own text stands what scripts/bind.mjs has added.
  const end = text.indexOf("/* bound ");
  for (const node of program.body) {
    if (end >= 0 && node.start > end) break;
    if (node.type === "FunctionDeclaration" && !functionsLeftOut.has(node.id.name))
      inFunction(found, { file, text, name: node.id.name.replace(/\$js$/, "") }, node.body);
    else if (node.type === "ClassDeclaration")
      for (const member of node.body.body)
        if (member.value?.type === "FunctionExpression")
          inFunction(found, { file, text, name: `${node.id.name}.${member.key.name}` }, member.value.body);
  }
  return found;
}

function inFunction(found, where, body) {
  visit(found, where, body, body);
  lockMutants(found, where, body);
}

/** `around` is the innermost statement or condition that `node` is part of. */
function visit(found, where, node, around) {
  if (node.type === "CallExpression" && isLeftOutCall(calleeOf(node))) return;
  const add = (operator, edit, context = around) => found.push(mutant(where, operator, [edit], context));
  switch (node.type) {
    case "IfStatement":
    case "WhileStatement":
    case "DoWhileStatement":
    case "ForStatement":
    case "ConditionalExpression":
      if (node.test !== null && !isLeftOutCondition(textOf(where, node.test)))
        add("negate", replaced(node.test, `!(${textOf(where, node.test)})`), node.test);
      break;
    case "ExpressionStatement": {
      const callee = calleeOf(node.expression);
      if (WAKEUPS.has(callee)) add("wakeup", replaced(node, ";"), node);
      else if (!LOCKS.has(callee) && !isLeftOutCall(callee)) add("drop", replaced(node, ";"), node);
      break;
    }
    case "BinaryExpression":
      if (OFF_BY_ONE.has(node.operator)) add("off by one", operatorReplaced(where, node));
      break;
    case "Literal":
      if (typeof node.value === "number") add("off by one", replaced(node, String(node.value + 1)));
      break;
  }
  for (const child of childrenOf(node)) visit(found, where, child, isContext(node, child) ? child : around);
}

/**
 * For each lock of a function: all its calls with that lock are dropped, or take another one. A single call is no mutant of its
 * own, since the next release would be an assertion.
 */
function lockMutants(found, where, body) {
  const byLock = new Map();
  for (const call of callsIn(body)) {
    const index = LOCKS.get(calleeOf(call));
    if (index === undefined || call.arguments.length <= index) continue;
    const kind = calleeOf(call).replace(/Enter|Exit|Lock|Unlock/, "");
    const key = `${kind} ${textOf(where, call.arguments[index])}`;
    byLock.set(key, [...(byLock.get(key) ?? []), call]);
  }
  for (const calls of byLock.values()) {
    const [first] = calls;
    found.push(
      mutant(
        where,
        "lock",
        calls.map((call) => replaced(call, calleeOf(call) === "mutexEnter" ? "[]" : "void 0")),
        first,
      ),
    );
    if (!calleeOf(first).startsWith("spin")) continue;
    const k = textOf(where, first.arguments[0]);
    const lock = textOf(where, first.arguments[1]);
    // Any other lock will do that can be named everywhere.
    const other = lock.endsWith("procLock") ? `${k}.procs.view(1).lock` : `${k}.g.procLock`;
    found.push(
      mutant(
        where,
        "lock",
        calls.map((call) => replaced(call.arguments[1], other)),
        first,
      ),
    );
  }
}

function mutant({ file, text, name }, operator, edits, context) {
  const inContext = edits.filter((e) => e.start >= context.start && e.end <= context.end);
  return {
    file,
    operator,
    at: edits[0].start,
    name,
    edits,
    from: shown(text.slice(context.start, context.end)),
    to: shown(
      edited(
        text.slice(context.start, context.end),
        inContext.map((e) => ({ start: e.start - context.start, end: e.end - context.start, text: e.text })),
      ),
    ),
  };
}

/** The text with its edits, which are in order. */
export function edited(text, edits) {
  let result = text;
  for (const { start, end, text: t } of edits.toReversed())
    result = result.slice(0, start) + t + result.slice(end);
  return result;
}

function replaced({ start, end }, text) {
  return { start, end, text };
}

function operatorReplaced({ text }, { left, operator }) {
  const start = text.indexOf(operator, left.end);
  return { start, end: start + operator.length, text: OFF_BY_ONE.get(operator) };
}

function textOf({ text }, { start, end }) {
  return text.slice(start, end);
}

function shown(text) {
  return text
    .replaceAll(/\/\*.*?\*\/|\/\/.*$/gm, "")
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** Name of the function or method that an expression calls, through `yield*`; "" if it is no call. */
function calleeOf(node) {
  if (node.type === "YieldExpression" && node.argument !== null) return calleeOf(node.argument);
  if (node.type !== "CallExpression") return "";
  const { callee } = node;
  return callee.type === "MemberExpression" ? callee.property.name : (callee.name ?? "");
}

function* callsIn(node) {
  if (node.type === "CallExpression") yield node;
  for (const child of childrenOf(node)) yield* callsIn(child);
}

/** Whether `child` of `node` is a statement of its own, or the condition of one. */
function isContext(node, child) {
  if (/^(?:Expression|Return|Throw)Statement$|^VariableDeclaration$/.test(child.type)) return true;
  if (node.type === "SwitchStatement") return child === node.discriminant;
  return /^(?:If|While|DoWhile|For)Statement$/.test(node.type) && !child.type.endsWith("Statement");
}

function childrenOf(node) {
  return Object.values(node)
    .flat()
    .filter((child) => typeof child?.type === "string");
}
