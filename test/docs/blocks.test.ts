/**
 * Runs every code block of README.md and docs/: what the pages show is what happens.
 *
 * - A `ts` or `js` block is a file of its page, with the name that stands behind the language, if one does. A named one is
 *   run by the commands of a `console` block, or imported; one that no command names is run by itself: with `lwp run` if it
 *   has a `main`, else with Node. It has to end with status 0, and to print what a `text` block right behind it shows.
 * - A `console` block is commands, each behind `$ `, with what they print on both outputs. `…` in a line stands for
 *   any text, and a line of it alone for any lines.
 * - A `sh` block shows how to install or build, and may have nothing but the commands in SHOWN.
 * - A `text` block elsewhere, and any other language, is a picture.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";

const SHOWN = ["npm ci", "npm start", "npm test", "npm install lwp", "npm install --save-dev lwp"];

const root = fileURLToPath(new URL("../../../", import.meta.url));
const work = join(root, "build/docs");

interface Block {
  readonly language: string;
  readonly name: string;
  readonly text: string;
  readonly line: number;
}

/** The fenced blocks of a page, in order. */
function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { language: string; name: string; line: number; lines: string[] } | null = null;
  for (const [i, line] of page.split("\n").entries()) {
    if (open !== null) {
      if (line.trimEnd() === "```") {
        blocks.push({ ...open, text: `${open.lines.join("\n")}\n` });
        open = null;
      } else {
        open.lines.push(line);
      }
    } else if (line.startsWith("```")) {
      const [language = "", name = ""] = line.slice(3).trim().split(/\s+/);
      open = { language, name, line: i + 1, lines: [] };
    }
  }
  assert.equal(open, null, "a block is not closed");
  return blocks;
}

function pages(): string[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" });
  const written = docs.filter((file) => file.endsWith(".md") && !file.startsWith("spec"));
  return ["README.md", ...written.map((file) => join("docs", file)).sort()];
}

/** A folder for a page, with `lwp` and `npx` as the reader has them. */
function folderOf(page: string): string {
  const folder = join(work, page.replaceAll(/[^a-z0-9]+/gi, "-"));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, ".bin"), { recursive: true });
  const command = join(root, "dist/cli/main.js");
  for (const [name, skip] of [
    ["lwp", ""],
    ["npx", "shift; "],
  ]) {
    const shim = join(folder, ".bin", name);
    writeFileSync(shim, `#!/bin/sh\n${skip}exec "${process.execPath}" "${command}" "$@"\n`);
    chmodSync(shim, 0o755);
  }
  return folder;
}

interface Ended {
  readonly status: number | null;
  readonly output: string;
}

function shell(command: string, folder: string): Promise<Ended> {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...inherited } = process.env;
  const path = [join(folder, ".bin"), dirname(process.execPath), process.env["PATH"]].join(":");
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", `exec 2>&1; ${command}`], {
      cwd: folder,
      env: { ...inherited, PATH: path },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
}

/** Whether `shown`, with its `…`, is what was printed. */
function assertShown(printed: string, shown: string, what: string): void {
  const pattern = shown
    .trimEnd()
    .split("\n")
    .map((line) =>
      line.trim() === "…" ? "(?:.*\\n)*?" : `${line.trimEnd().split("…").map(escape).join(".*")} *\\n`,
    )
    .join("");
  if (!new RegExp(`^${pattern}$`).test(`${printed.trimEnd()}\n`)) assert.equal(printed, shown, what);
}

function escape(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Runs the commands of a console block. */
async function runConsole(block: Block, folder: string): Promise<void> {
  for (const part of block.text.split(/^\$ /m).slice(1)) {
    const [command, ...shown] = part.split("\n");
    const { output } = await shell(command, folder);
    assertShown(output, shown.join("\n"), `line ${block.line}: ${command}`);
  }
}

/** Runs a block that no command names. */
async function runAlone(block: Block, file: string, folder: string, shown: string | null): Promise<void> {
  let command = `lwp run ${file}`;
  if (!/export (?:default )?function\* main\b/.test(block.text)) {
    const { code } = await transform(block.text, { loader: "ts", format: "esm", target: "node20" });
    const script = `${file.replace(/\.[a-z]+$/, "")}.run.mjs`;
    writeFileSync(join(folder, script), code);
    command = `node ${script}`;
  }
  const { status, output } = await shell(command, folder);
  assert.equal(status, 0, `line ${block.line} ends with status ${status}:\n${output}`);
  if (shown !== null) assertShown(output, shown, `line ${block.line}`);
}

for (const page of pages()) {
  describe(page, () => {
    const blocks = blocksOf(readFileSync(join(root, page), "utf8"));
    const folder = folderOf(page);
    const code = blocks.filter(({ language }) => language === "ts" || language === "js");
    const commands = blocks.filter(({ language }) => language === "console").map(({ text }) => text);
    const names = new Map(code.map((b) => [b, b.name === "" ? `line${b.line}.${b.language}` : b.name]));
    for (const [block, name] of names) writeFileSync(join(folder, name), block.text);

    for (const [i, block] of blocks.entries()) {
      const where = `${relative(".", page)}:${block.line}`;
      if (block.language === "console") {
        test(`${where}: the commands print what is shown`, () => runConsole(block, folder));
      } else if (block.language === "sh") {
        test(`${where}: only shows how to install or build`, () => {
          const lines = block.text.split(/\n|&&/).map((line) => line.replace(/#.*/, "").trim());
          for (const line of lines) assert.ok(line === "" || SHOWN.includes(line), line);
        });
      } else if (names.has(block)) {
        const name = names.get(block) as string;
        const used = [...commands, ...code.filter((b) => b !== block).map((b) => b.text)];
        if (used.some((text) => text.includes(name))) continue;
        const next = blocks[i + 1];
        test(`${where}: runs`, () => {
          return runAlone(block, name, folder, next?.language === "text" ? next.text : null);
        });
      }
    }
  });
}
