/**
 * What the host lets a machine have: shared memory and workers, or one CPU.
 *
 * Without `SharedArrayBuffer`, or where workers may not or cannot be made, a machine has one CPU, the booting realm, which is
 * its own clock. Everything works there, on one core; whoever asked for more CPUs is told so, once a process.
 */

/** Code of the warning that programs run on one CPU. */
export const ONE_CPU_WARNING = "LWP_ONE_CPU";

/** The machine's workers could not be made, or ended before they were CPUs. */
export class WorkersError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "WorkersError";
  }
}

/** Whether memory can be shared between realms. */
export function hasSharedMemory(): boolean {
  return typeof SharedArrayBuffer !== "undefined";
}

/** Why there cannot be more than one CPU; null = there can. */
export function whyOneCpu(): string | null {
  if (!hasSharedMemory()) return "there is no SharedArrayBuffer here";
  if (process.permission?.has("worker") === false)
    return "Node's permission model refuses workers (--allow-worker)";
  return null;
}

let warned = false;

export function warnOneCpu(why: string): void {
  if (warned) return;
  warned = true;
  process.emitWarning(`programs run on one CPU: ${why}`, { type: "LwpWarning", code: ONE_CPU_WARNING });
}

const FLAGS: Readonly<Record<string, string>> = {
  ChildProcess: "--allow-child-process",
  FileSystemRead: "--allow-fs-read",
  FileSystemWrite: "--allow-fs-write",
  WorkerThreads: "--allow-worker",
};

/** What Node's permission model refused, and which flag allows it; null for any other error. */
export function refusal(error: unknown): string | null {
  const { code, permission, resource } = error as {
    readonly code?: string;
    readonly permission?: string;
    readonly resource?: string;
  };
  if (code !== "ERR_ACCESS_DENIED" || permission === undefined) return null;
  const what = resource === undefined || resource === "" ? "" : ` of ${resource}`;
  const flag = FLAGS[permission];
  const how = flag === undefined ? "" : ` (${flag} allows it)`;
  return `Node's permission model refuses ${permission}${what}${how}`;
}
