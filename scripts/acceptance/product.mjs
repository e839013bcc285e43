// The product: linker, thread library, embedding, polls, reports, command line.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judge } from "./tools.mjs";

/** Each of the threads takes every kind of lock, and holds one while it gives way; portable ones run on both CPUs. */
const LOCKS = `
  import { Barrier, Condition, Mutex, RwLock, schedYield, Semaphore, Thread } from "lwp";
  const ROUND = 1_000;
  function* worker(mutex: Mutex, rwlock: RwLock, semaphore: Semaphore, condition: Condition, barrier: Barrier, i: number) {
    yield* mutex.lock();
    yield* schedYield();
    condition.broadcast();
    mutex.unlock();
    yield* i % 10 === 0 ? rwlock.writeLock() : rwlock.readLock();
    yield* schedYield();
    rwlock.unlock();
    yield* semaphore.wait();
    yield* schedYield();
    semaphore.post();
    yield* barrier.wait();
    return 1;
  }
  export function* main() {
    let ended = 0;
    for (let n = 0; n < 100_000; n += ROUND) {
      const objects = [new Mutex(), new RwLock(), new Semaphore(3), new Condition(), new Barrier(ROUND)] as const;
      const threads: Thread<number>[] = [];
      for (let i = 0; i < ROUND; i++) threads.push(yield* Thread.spawn(worker, ...objects, i));
      for (const t of threads) ended += yield* t.join();
      for (const object of objects) object.dispose();
    }
    console.log(ended);
  }
`;

export const lines = [
  {
    name: "every example in the pages and under examples/ runs, and prints what the page says",
    check: ({ tests }) => tests("test/docs/", "test/examples/"),
  },
  {
    name: "the statements of the thread library all have a test",
    check: ({ statements }) => statements({ THR: () => true }),
  },
  {
    name: "the thread library on simulated CPUs, against its models, and on workers",
    check: ({ tests }) => tests("thread/", "property/models", "machine/thread"),
  },
  {
    name: "iterators behave the same with and without polls; stack traces name the program's own lines",
    check: ({ tests }) => tests("machine/instrument", "machine/polls", "machine/link"),
  },
  {
    name: "what travels between CPUs, kind by kind; what cannot is named by its path",
    check: ({ tests }) => tests("machine/passing"),
  },
  {
    name: "100,000 threads with every kind of argument leave nothing",
    async check({ succeed }) {
      return (await succeed(process.execPath, ["build/stress/passing.js"])).stdout.trimEnd();
    },
  },
  {
    name: "100,000 threads with every kind of lock",
    async check({ lwp }) {
      const folder = mkdtempSync(join(tmpdir(), "lwp-locks-"));
      try {
        const file = join(folder, "locks.ts");
        writeFileSync(file, LOCKS);
        const { status, stdout, stderr, seconds } = await lwp("run", "--cpus", "2", file);
        if (status !== 0 || stdout.trim() !== "100000")
          throw new Error(`status ${status}: ${stdout}${stderr}`);
        return `in ${seconds.toFixed(1)} s`;
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  },
  {
    name: "1,000 programs one after the other on one machine leave nothing in its heaps",
    async check({ succeed }) {
      return `\n${(await succeed(process.execPath, ["build/stress/exec.js"])).stdout.trimEnd()}`;
    },
  },
  {
    name: "an operation that is called and not used is an error at its line, and found by the lint rule",
    check: ({ tests }) => tests("machine/forgotten", "test/lint"),
  },
  {
    name: "embedding: closures, simulated machines, events, hosts without workers or shared memory",
    check: ({ tests }) => tests("machine/embed", "machine/asynccontext", "machine/virtual"),
  },
  {
    name: "listings, dumps, stalls and the command line say what is",
    check: ({ tests }) => tests("observe/", "cli/"),
  },
  {
    name: "the package as it would be published installs into an empty project, and works there",
    async check({ succeed }) {
      return (await succeed("npm", ["run", "-s", "test:pack"])).stdout.trimEnd().split("\n").at(-1);
    },
  },
  {
    name: "benchmarks of the library, column `first`",
    async check({ bench }) {
      const b = await bench("B4", "B6", "B10", "B11", "B15");
      const { ours, peers } = b.B15;
      return judge([
        ["B4 mp, beside async", b.B4.ours.mp / b.B4.peers.async, 4],
        ["B6 mp, beside async", b.B6.ours.mp / b.B6.peers.async, 4],
        ["B10 mp, beside the ideal 400 ms", b.B10.ours.mp / 400, 1 / 0.93],
        ["B11 mp, beside postMessage", b.B11.ours.mp / b.B11.peers.postMessage, 1.2],
        ["B15 nobody listening, beside no probes", ours.mp / peers.unprobed, 1.02],
      ]);
    },
  },
  {
    name: "preemption, the event loop's lag and a server's answers while all CPUs are full",
    async check({ bench }) {
      const b = await bench("B14", "POLL", "PREEMPT", "HTTP");
      return judge([
        ["B14 p99 on two CPUs, in slices of 2 ms", b.B14.ours.mp / 2, 2],
        ["a poll, ns", b.POLL.ours.mp - b.POLL.peers.unpolled, 2],
        ["suspend, resume, cancel or kill, p95, ms", b.PREEMPT.ours.mp, 20],
        ["a request, p99, ms more than an idle server's", b.HTTP.ours.mp - b.HTTP.peers.idle, 2],
      ]);
    },
  },
];
