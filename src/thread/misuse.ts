/**
 * What the library does about a misuse that it diagnoses: unlocking what one does not hold, disposing what is in use.
 *
 * The call throws its error, always. Besides, as a machine is told at boot with the letters of PTHREAD_DIAGASSERT (THR-6), it
 * may be written to standard error (`e`), and end the process as SIGABRT would (`a`), also where the program catches it.
 */
import { LwpError } from "../sys/errno.js";
import type { Lwp } from "../sys/lwp.js";
import { DIAG_ABORT, DIAG_STDERR } from "../sys/param.js";
import { SIGABRT } from "../sys/signal.js";
import { procKill } from "../kern/prockill.js";
import { threadHost } from "./host.js";

/** Throws the error of a misuse. No lock is held. */
export function misuse(l: Lwp, errno: number, syscall: string, detail: string): never {
  const { k } = l;
  const { pid } = l.proc;
  const { diag } = k.g;
  const error = new LwpError(errno, syscall, { pid, lid: l.lid, detail });
  if ((diag & DIAG_STDERR) !== 0) threadHost(k).diagnosed?.(pid, l.lid, error.message);
  if ((diag & DIAG_ABORT) !== 0) procKill(k, pid, SIGABRT);
  throw error;
}
