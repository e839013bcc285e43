// npm run test:pack: installs the package as it would be published into an empty project, and uses it from there: programs in
// JavaScript and TypeScript with the command, embedding in a script, its types under both usual ways to resolve modules.
//
// Nothing comes from the network: the dependencies are packed from node_modules as well.

import { execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { root } from "./run-tests.mjs";

const folder = realpathSync(mkdtempSync(path.join(tmpdir(), "lwp-pack-")));
process.on("exit", () => rmSync(folder, { recursive: true }));

let checks = 0;

install();
programs();
types();
console.log(`${checks} checks passed`);

function install() {
  const list = execFileSync("npm", ["ls", "--omit=dev", "--all", "--parseable"], { cwd: root });
  const [own, ...dependencies] = list.toString().trim().split("\n");
  const tarballs = path.join(folder, "tarballs");
  mkdirSync(tarballs);
  npm(own, "pack", "--silent", "--pack-destination", tarballs);
  for (const dependency of dependencies)
    npm(own, "pack", "--silent", "--ignore-scripts", "--pack-destination", tarballs, dependency);
  write("package.json", JSON.stringify({ name: "consumer", private: true, type: "module" }));
  const files = readdirSync(tarballs);
  const options = ["--offline", "--no-audit", "--no-fund", "--silent"];
  npm(folder, "install", ...options, ...files.map((file) => `./tarballs/${file}`));
}

function programs() {
  write(
    "program.ts",
    `import { Thread } from "lwp";
     interface Job { readonly n: number }
     export function* main([n]: string[]) {
       const threads: Thread<number>[] = [];
       for (let i = 0; i < Number(n); i++) threads.push(yield* Thread.spawn(work, { n: i }));
       let sum = 0;
       for (const t of threads) sum += yield* t.join();
       console.log(sum);
     }
     function* work(job: Job) { return job.n; }`,
  );
  write(
    "program.js",
    `import { schedYield } from "lwp/syscall";
     export function* main() { yield* schedYield(); console.log("js"); return 3; }`,
  );
  write(
    "embed.mjs",
    `import { boot, run, Thread } from "lwp";
     import { Kernel } from "lwp/kernel";
     const answer = await run(function* () {
       const t = yield* Thread.spawn(function* () { return 42; });
       return yield* t.join();
     });
     const machine = await boot({ cpus: 2 });
     const p = await machine.exec(new URL("program.js", import.meta.url));
     const { status } = await p.exited;
     await machine.shutdown();
     const simulated = await boot({ simulated: { seed: 1 } });
     const q = await simulated.exec("program.ts", ["4"]);
     await q.exited;
     console.log(answer, status, machine.kernel instanceof Kernel);`,
  );
  const lwp = path.join(folder, "node_modules/.bin/lwp");
  expect([lwp, "run", "--cpus", "2", "program.ts", "10"], "45\n");
  expect([lwp, "run", "--cpus", "2", "program.js"], "js\n", 3);
  expect([process.execPath, "embed.mjs"], "js\n6\n42 3 true\n");
}

function types() {
  write(
    "consumer.ts",
    `import { boot, type Exit, type Machine, run, schedYield, Thread, until } from "lwp";
     import { seededStrategy } from "lwp/kernel";
     import { lwpSelf } from "lwp/syscall";

     const text: string = await run(function* () {
       const t = yield* Thread.spawn(function* (n: number) { yield* schedYield(); return n; }, 1);
       const n: number = yield* t.join();
       const lid: number = yield* lwpSelf();
       return \`\${n + lid} \${yield* until(Promise.resolve("x"))}\`;
     });
     const machine: Machine = await boot({ cpus: 1 });
     const exit: Exit = await machine.spawn(function* () { return 3; }).exited;
     for await (const e of machine.events({ types: ["exit", "state"] })) {
       const line: string = e.type === "exit" ? String(e.status) : e.from + e.to;
       console.log(line, text, exit.status, seededStrategy(1));
     }
     // @ts-expect-error: a thread's argument has a type
     void run(function* () { yield* Thread.spawn(function* (n: number) { return n; }, "x"); });
    `,
  );
  const tsc = path.join(root, "node_modules/.bin/tsc");
  const common = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,esnext.disposable,dom"];
  for (const [module, resolution] of [
    ["node16", "node16"],
    ["esnext", "bundler"],
  ]) {
    expect([tsc, ...common, "--module", module, "--moduleResolution", resolution, "consumer.ts"], "");
  }
}

function write(name, text) {
  writeFileSync(path.join(folder, name), text);
}

function npm(cwd, ...args) {
  execFileSync("npm", args, { cwd, stdio: ["ignore", "ignore", "inherit"] });
}

/** Runs a command in the project and checks its output and status. */
function expect([command, ...args], output, status = 0) {
  let got;
  try {
    got = {
      output: execFileSync(command, args, { cwd: folder, stdio: "pipe" }).toString(),
      status: 0,
      errors: "",
    };
  } catch (error) {
    got = { output: String(error.stdout), status: error.status, errors: String(error.stderr) };
  }
  if (got.output !== output || got.status !== status) {
    console.error(
      `${path.basename(command)} ${args.join(" ")}: status ${got.status}\n${got.output}${got.errors}`,
    );
    process.exit(1);
  }
  checks++;
}
