/**
 * Digests of files, one thread a file, on all cores: `lwp run examples/digest.ts [FILES…]`. Without arguments it takes the
 * sources of the project it stands in.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { threadId } from "node:worker_threads";
import { Thread } from "lwp";

interface Digest {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Which realm computed it; 0 is the booting one. */
  readonly realm: number;
}

/** How much of a file is in memory at a time. */
const PART_BYTES = 1 << 16;

export function* main(args: string[]) {
  const files = args.length > 0 ? args : projectFiles();
  const threads: Thread<Digest>[] = [];
  for (const file of files) threads.push(yield* Thread.spawn(digest, file));
  const digests: Digest[] = [];
  for (const thread of threads) {
    digests.push(yield* thread.join());
    showProgress(digests.length, files.length);
  }

  const realms = [...new Set(digests.map((d) => d.realm))].sort((a, b) => a - b);
  for (const d of digests) console.log(`${d.sha256}  CPU ${realms.indexOf(d.realm)}  ${d.file}`);
  const bytes = digests.reduce((sum, d) => sum + d.bytes, 0);
  console.log(
    `${files.length} files, ${bytes} bytes, ${threads.length} threads, ${realms.length} of ${cpus().length} CPUs`,
  );
}

/** A bar on standard error, if that is a terminal; gone at the end. */
function showProgress(done: number, all: number): void {
  if (!process.stderr.isTTY) return;
  const bar = "#".repeat(Math.round((done / all) * 40)).padEnd(40, ".");
  process.stderr.write(done < all ? `\r[${bar}] ${done}/${all}` : "\r\u001b[K");
}

function* digest(file: string) {
  const hash = createHash("sha256");
  const part = Buffer.allocUnsafe(PART_BYTES);
  const fd = openSync(file, "r");
  let bytes = 0;
  try {
    for (let n = -1; n !== 0; bytes += n) {
      n = readSync(fd, part);
      hash.update(part.subarray(0, n));
    }
  } finally {
    closeSync(fd);
  }
  return { file, bytes, sha256: hash.digest("hex"), realm: threadId };
}

/** The TypeScript and Markdown files of this project, sorted. */
function projectFiles(): string[] {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const skip = new Set(["node_modules", "dist", "build", ".git"]);
  const found: string[] = [];
  const visit = (dir: string) => {
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      if (skip.has(name)) continue;
      if (statSync(path).isDirectory()) visit(path);
      else if (/\.(ts|md)$/.test(name)) found.push(relative(process.cwd(), path));
    }
  };
  visit(root);
  return found.sort();
}
