// What our programs under test share: a machine in the asked-for mode, and one process on it.

import { boot, type Operation } from "lwp";
import { type ProgramOptions, programOptions } from "../measure.js";

export const options: ProgramOptions = programOptions();

/** mp: locks are real, a second CPU idles. up: one CPU. */
export async function runMain(main: () => Generator<unknown, void, undefined>): Promise<void> {
  const machine = await boot({ cpus: options.mode === "up" ? 1 : 2, dedicated: true });
  const exit = await machine.spawn(main as () => Iterator<never, void, undefined>).exited;
  if (exit.status !== 0) throw new Error(`the program ended with ${JSON.stringify(exit)}`);
  await machine.shutdown();
}

/** A generator function whose threads stay on the CPU that spawns them. */
export type Body = () => Generator<unknown, void, undefined>;

export type { Operation };
