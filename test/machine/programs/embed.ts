/** A script that uses a machine and shuts it down: the process must end by itself. Argument: the number of CPUs. */
import { boot, Thread } from "lwp";

const machine = await boot({ cpus: Number(process.argv[2]) });
const p = machine.spawn(function* () {
  const t = yield* Thread.spawn(function* () {
    return 42;
  });
  return yield* t.join();
});
const { status } = await p.exited;
await machine.shutdown();
console.log(`status ${status}`);
process.on("exit", () => console.log("bye"));
