/**
 * `lwp sysctl`: what a machine lets itself be asked, and told.
 *
 * Each call boots a machine of its own, so that the values are those of the boot; `lwp run --sysctl NAME=VALUE` sets one for
 * a program. Exit status: 0, or 1 if a name or a value was refused.
 */
import { LwpError } from "../sys/errno.js";
import { type SysctlEntry, type SysctlValue } from "../kern/sysctl.js";
import { boot, type Machine } from "../machine/machine.js";
import { writeNow } from "../machine/output.js";

export interface SysctlOptions {
  readonly all?: boolean;
  readonly description?: boolean;
  readonly json?: boolean;
}

/** Prints the names asked for, or with `all` every name and what it means. Ends the host process. */
export async function sysctlCommand(names: readonly string[], options: SysctlOptions): Promise<never> {
  const machine = await boot({ cpus: 1, dedicated: true });
  let status = 0;
  try {
    const entries = machine.sysctls();
    const wanted = options.all === true ? entries : names.flatMap((name) => below(entries, name));
    for (const name of options.all === true ? [] : names) {
      if (below(entries, name).length > 0) continue;
      writeNow(2, `lwp: sysctl: there is no name ${name}\n`);
      status = 1;
    }
    if (options.json === true) writeNow(1, `${JSON.stringify(wanted)}\n`);
    else writeNow(1, wanted.map((entry) => `${line(entry, options)}\n`).join(""));
  } finally {
    await machine.shutdown();
  }
  return process.exit(status);
}

/** The entry of a name, or all below it. */
function below(entries: readonly SysctlEntry[], name: string): SysctlEntry[] {
  return entries.filter((entry) => entry.name === name || entry.name.startsWith(`${name}.`));
}

/** Where descriptions begin, behind values. */
const MEANING_COLUMN = 36;

function line({ name, value, description, writable }: SysctlEntry, options: SysctlOptions): string {
  const meaning = writable ? `${description} (may be set)` : description;
  if (options.description === true) return `${name}: ${meaning}`;
  const valued = `${name} = ${text(value)}`;
  return options.all === true ? `${valued.padEnd(MEANING_COLUMN)}  # ${meaning}` : valued;
}

function text(value: SysctlValue): string {
  if (typeof value !== "object") return String(value);
  return value.length === 1 ? "1 entry" : `${value.length} entries`;
}

/** `NAME=VALUE` of the command line. */
export interface Setting {
  readonly name: string;
  readonly value: number;
}

/** Reads a setting; null if it is none. */
export function parseSetting(given: string): Setting | null {
  const match = /^([a-z0-9_.]+)=(-?\d+)$/.exec(given);
  return match === null ? null : { name: match[1], value: Number(match[2]) };
}

/** Makes the settings, in order. Throws the first error with a line that says which it was. */
export function applySettings(machine: Pick<Machine, "sysctl">, settings: readonly Setting[]): void {
  for (const { name, value } of settings) {
    try {
      machine.sysctl(name, value);
    } catch (error) {
      if (error instanceof LwpError) throw new SettingError(`--sysctl ${name}=${value}: ${error.code}`);
      throw error;
    }
  }
}

/** A setting that the kernel refused. */
export class SettingError extends Error {}
