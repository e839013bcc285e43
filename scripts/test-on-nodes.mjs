// npm run test:nodes [-- 20 24] [-- FILTER...]: runs the compiled tests on several versions of Node.
//
// Each version is npm's package `node`, installed once into build/nodes. Numbers are major versions (20, 22, 24 and 26, if
// there are none), all else filters the test files as `npm test` does.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { root } from "./run-tests.mjs";

const args = process.argv.slice(2).filter((arg) => arg !== "--");
const majors = args.filter((arg) => /^\d+$/.test(arg));
const filters = args.filter((arg) => !/^\d+$/.test(arg));
const failed = [];

for (const major of majors.length > 0 ? majors : ["20", "22", "24", "26"]) {
  const node = install(major);
  process.stdout.write(`\n== ${run(node, ["--version"], "pipe").stdout.toString().trim()}\n`);
  const test = path.join(root, "scripts/test.mjs");
  if (run(node, ["--enable-source-maps", test, ...filters]).status !== 0) failed.push(major);
}
process.stdout.write(failed.length === 0 ? "\nall passed\n" : `\nfailed on Node ${failed.join(", ")}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;

/** The path of this version's `node`. */
function install(major) {
  const folder = path.join(root, "build/nodes", major);
  const node = path.join(folder, "node_modules/node/bin/node");
  if (existsSync(node)) return node;
  mkdirSync(folder, { recursive: true });
  const options = ["--no-audit", "--no-fund", "--no-save", "--silent"];
  const { status } = run("npm", ["install", "--prefix", folder, ...options, `node@${major}`]);
  if (status !== 0) throw new Error(`cannot install node@${major}`);
  return node;
}

function run(command, args, stdio = "inherit") {
  // The versions of Node and npm that run this are not for children.
  const env = { ...process.env, NODE_OPTIONS: "" };
  const result = spawnSync(command, args, { stdio, env });
  if (result.error !== undefined) throw result.error;
  return result;
}
