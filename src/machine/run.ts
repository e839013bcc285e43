/** `run`: a closure and its threads, on a machine of its own. */
import { boot, type BootOptions } from "./machine.js";
import { type Main, StallError } from "./process.js";

/**
 * Boots a machine, runs `main` on it as a process of this realm, shuts it down, and resolves with what `main` returned: any
 * value, since it stays in the realm. Nothing of the machine is left then.
 *
 * Closures run on the caller's CPU, so the machine has one unless `options.cpus` says otherwise; in between, and while all
 * threads sleep, the caller's event loop goes on.
 *
 * Rejects with what `main` throws, or what another thread of it leaves uncaught; ExitError if the process ends before `main`
 * returns; StallError if no thread can ever go on, and nothing is left in the caller's event loop; MachineError if the machine
 * stops.
 */
export async function run<T>(main: Main<T>, options: BootOptions = {}): Promise<T> {
  if (typeof main !== "function") throw new TypeError("run needs a generator function");
  const machine = await boot({ cpus: 1, ...options });
  try {
    const stalled = new Promise<never>((_, reject) => {
      machine.onStall = (report) => reject(new StallError(report, report.trimEnd()));
    });
    return await Promise.race([machine.run(main), stalled]);
  } finally {
    await machine.shutdown();
  }
}
