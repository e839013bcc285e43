// The whole of kern_lwp.c.

/** All statements of a group but those that signals, scheduling parameters and processor sets bring. */
const except = (numbers) => (name) => !numbers.includes(Number(name.split("-")[1]));
const range = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

const COMPLETE = {
  LWP: except([]),
  MCH: except([111]),
  SYS: except([21, ...range(34, 51), 88, ...range(90, 94)]),
};

/** Mutants, and the minutes that they may take on two quiet cores. */
const MUTANTS = 200;
const MUTANTS_MINUTES = 30;

const LENDING_OPS = 1_000_000;

const lastLine = (text) => text.trimEnd().split("\n").at(-1);

export const lines = [
  {
    name: "all statements of LWP, MCH and SYS have a test, but for signals, scheduling parameters and processor sets",
    check: ({ statements }) => statements(COMPLETE),
  },
  {
    name: "docs/seed.md names the counterpart of every name in kern_lwp.c",
    check: ({ tests }) => tests("docs/seed"),
  },
  {
    name: "the words that an LWP shares with its program, on simulated and on real CPUs",
    check: ({ tests }) => tests("kern/lwpctl", "machine/lwpctl"),
  },
  {
    name: "every race window in both orders, and every protocol broken on purpose",
    async check({ tests, succeed }) {
      const passed = await tests("lockstep/");
      const { stdout } = await succeed("npm", ["run", "-s", "breakages"]);
      return `${passed}; ${lastLine(stdout)}`;
    },
  },
  {
    name: `${MUTANTS} small changes at random places of the kernel, within ${MUTANTS_MINUTES} minutes; survivors are shown`,
    async check({ succeed }) {
      const args = ["--seed", "1", "--count", String(MUTANTS)];
      const { stdout, seconds } = await succeed("npm", ["run", "-s", "mutants", "--", ...args]);
      const tried = Number(/: (\d+) mutants, /.exec(lastLine(stdout))?.[1]);
      if (tried !== MUTANTS || seconds > MUTANTS_MINUTES * 60) throw new Error(`\n${stdout.trimEnd()}`);
      return `\n${stdout.trimEnd()}`;
    },
  },
  {
    name: "lock lending: two threads that all CPUs suspend, continue, wake, re-prioritise and move, a million times",
    async check({ succeed }) {
      const file = "build/stress/lending.js";
      const { stdout } = await succeed(process.execPath, [file, "--ops", String(LENDING_OPS)]);
      const moved = stdout.split("\n").filter((line) => /^seed|moved/.test(line));
      return `\n${moved.join("\n")}`;
    },
  },
  {
    name: "every call and mechanism under stress, each kind at least 2 % of a million operations on 4 CPUs",
    async check({ succeed }) {
      const { stdout } = await succeed("npm", ["run", "-s", "stress", "--", "--ops", "1000000"]);
      const rows = stdout.split("\n").filter((line) => /^seed|rarest/.test(line));
      const shares = rows.flatMap(
        (row) => row.match(/(\d+\.\d) % of them across.*, (\d+\.\d) %$/)?.slice(1, 3) ?? [],
      );
      const seconds = rows.flatMap((row) => row.match(/in ([\d.]+) s: sound/)?.slice(1, 2) ?? []);
      const enough = shares.every((share, i) => Number(share) >= (i % 2 === 0 ? 10 : 2));
      const holds = shares.length === 4 && enough && seconds.every((s) => Number(s) <= 60);
      if (!holds) throw new Error(`\n${rows.join("\n")}`);
      return `\n${rows.join("\n")}`;
    },
  },
];
