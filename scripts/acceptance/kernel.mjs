// The kernel on real CPUs: records, locks, LWPs, dispatcher, and programs that run on every core.

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judge, median, numbered } from "./tools.mjs";

const LISTED = {
  LWP: numbered("1-31, 37, 38, 41-61, 63-73, 77-79, 81-87"),
  SCH: numbered("1-4, 6, 10, 20-24, 30-34, 37, 38"),
  BLK: numbered("1-16, 20, 21, 23, 24, 30-33, 38, 40-45, 60-76"),
  SYS: numbered("1-20, 22-31, 33, 70-72, 80-87, 89"),
};

export const lines = [
  {
    name: "npm start prints the digests that sha256sum prints",
    async check({ succeed }) {
      const { stdout } = await succeed("npm", ["start"]);
      const rows = stdout
        .split("\n")
        .flatMap((line) => line.match(/^([0-9a-f]{64})\s+CPU \d+\s+(.*)$/)?.slice(1) ?? []);
      for (let i = 0; i < rows.length; i += 2) {
        const ours = createHash("sha256")
          .update(readFileSync(rows[i + 1]))
          .digest("hex");
        if (ours !== rows[i]) throw new Error(`${rows[i + 1]}: ${rows[i]}, not ${ours}`);
      }
      if (rows.length === 0) throw new Error("it printed no digest");
      return stdout.trimEnd().split("\n").at(-1);
    },
  },
  {
    name: "400 files of 4 MB: both CPUs busy, and at most 0.6 of the time on two",
    async check({ lwp }) {
      const folder = mkdtempSync(join(tmpdir(), "lwp-digest-"));
      try {
        const data = Buffer.alloc(4 << 20, "lwp");
        const files = Array.from({ length: 400 }, (_, i) => {
          data.writeInt32LE(i);
          const file = join(folder, `${i}`);
          // On the disk before the clock starts: else the host writes them out meanwhile.
          writeFileSync(file, data, { flush: true });
          return file;
        });
        const wall = { 1: [], 2: [] };
        let busy = [];
        for (let round = 0; round < 3; round++) {
          for (const cpus of [1, 2]) {
            const args = ["--cpus", `${cpus}`, "--stats", "--json", "examples/digest.ts", ...files];
            const { status, stderr } = await lwp("run", ...args);
            if (status !== 0) throw new Error(stderr);
            const stats = JSON.parse(stderr.trimEnd().split("\n").at(-1));
            wall[cpus].push(stats.wallMs);
            busy = stats.cpus.map((c) => c.busy);
          }
        }
        if (Math.min(...busy) < 0.25 * Math.max(...busy)) throw new Error(`busy: ${busy.join(", ")} s`);
        return judge([["wall time on 2 CPUs beside 1", median(wall[2]) / median(wall[1]), 0.6]]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  },
  {
    name: "a thread that awaits a file, a timer and a server finishes on CPU 1 while CPU 0 is full",
    check: ({ tests }) => tests("machine/threads"),
  },
  {
    name: "every listed statement has its test",
    check: ({ statements }) => statements(LISTED),
  },
  {
    name: "suspend, continue, wakeup and unpark from another CPU, in every state, while step threads migrate",
    check: ({ tests }) => tests("machine/wakes"),
  },
  {
    name: "2,000 random programs on simulated CPUs, all invariants after each step",
    async check({ succeed }) {
      const file = ["--enable-source-maps", "--test", "build/test/property/programs.test.js"];
      const { seconds } = await succeed(process.execPath, file, { env: { LWP_PROPERTY_RUNS: "2000" } });
      return `passed in ${seconds.toFixed(0)} s`;
    },
  },
  {
    name: "every race window in both orders, and every protocol broken on purpose",
    async check({ tests, succeed }) {
      const passed = await tests("lockstep/");
      const { stdout } = await succeed("npm", ["run", "-s", "breakages"]);
      return `${passed}; ${stdout.trimEnd().split("\n").at(-1)}`;
    },
  },
  {
    name: "20 times a million operations on 4 CPUs, of each of two programs",
    async check({ succeed }) {
      const args = ["--ops", "1000000", "--times", "20", "--cpus", "4"];
      const { stdout } = await succeed("npm", ["run", "-s", "stress", "--", ...args]);
      const seconds = [...stdout.matchAll(/in ([\d.]+) s: sound/g)].map((m) => Number(m[1]));
      // 20 times each of two programs.
      if (seconds.length !== 40) throw new Error(stdout);
      const kinds = stdout.replaceAll(/^seed.*\n/gm, "").trimEnd();
      return `${judge([["seconds a run", Math.max(...seconds), 60]])}\n${kinds}`;
    },
  },
  {
    name: "a worker that dies stops the machine with a dump and status 70 within 3 s, 20 times each",
    async check({ succeed }) {
      const { stdout } = await succeed(process.execPath, ["build/stress/death.js", "--times", "20"]);
      return `\n${stdout.trimEnd()}`;
    },
  },
  {
    name: "limits and bad arguments give the documented errors",
    check: ({ tests }) => tests("syscall/", "cli/", "machine/machine"),
  },
  {
    name: "benchmarks, column `first`",
    async check({ bench }) {
      const b = await bench("B1", "B2", "B3", "B7", "B8", "B9", "B12");
      const { async: a1 } = b.B1.peers;
      return judge([
        ["B1 mp, beside async", b.B1.ours.mp / a1, 1.8],
        ["B2 mp, beside async", b.B2.ours.mp / b.B2.peers.async, 2.5],
        ["B3 mp, beside async", b.B3.ours.mp / b.B3.peers.async, 3],
        ["B7 bytes", b.B7.ours.mp, 1300],
        ["B8 beside raw, us", (b.B8.ours.mp - b.B8.peers.raw) / 1000, 4],
        ["B9 beside raw", b.B9.ours.mp / b.B9.peers.raw, 1.2],
        ["B12 mp, ns", b.B12.ours.mp, 60],
      ]);
    },
  },
];
