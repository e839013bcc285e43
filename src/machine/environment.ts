/**
 * What a machine takes from the environment: the variables of NetBSD's thread library (THR-6).
 *
 * PTHREAD_STACKSIZE has no counterpart: a thread is a generator, whose frames the engine keeps on its heap. Nor has the letter
 * of PTHREAD_DIAGASSERT for the system's log.
 */
import { env } from "node:process";
import { DIAG_ABORT, DIAG_STDERR } from "../sys/param.js";

/** PTHREAD_NSPINS: how often a program's lock looks at an owner that runs; undefined if it does not say. */
export function spinsFromEnvironment(): number | undefined {
  const text = env["PTHREAD_NSPINS"];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** PTHREAD_DIAGASSERT as flags: a letter switches on, its capital off; the later one counts. */
export function diagFromEnvironment(): number {
  let flags = 0;
  for (const letter of env["PTHREAD_DIAGASSERT"] ?? "") {
    if (letter === "a") flags |= DIAG_ABORT;
    else if (letter === "A") flags &= ~DIAG_ABORT;
    else if (letter === "e") flags |= DIAG_STDERR;
    else if (letter === "E") flags &= ~DIAG_STDERR;
  }
  return flags;
}
