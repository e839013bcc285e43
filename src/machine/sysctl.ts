/** `machine.sysctl`: the kernel's tree, asked as its superuser. */
import { LwpError } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import { asCpu } from "../cpu/dispatcher.js";
import { sysctl, type SysctlEntry, sysctlList, type SysctlValue } from "../kern/sysctl.js";

/** Reads a name, and with `value` sets it then. The realm is CPU 0. Errors: those of `sysctl`, as LwpError. */
export function machineSysctl(k: Kernel, name: string, value?: number): SysctlValue {
  const result = asCpu(k.cpus.view(1), () => sysctl(k, SUPERUSER, name, value));
  if (result.error !== 0) throw new LwpError(result.error, "sysctl", { detail: name });
  return result.value as SysctlValue;
}

/** Everything there is to look at. */
export function machineSysctls(k: Kernel): SysctlEntry[] {
  return asCpu(k.cpus.view(1), () => sysctlList(k, SUPERUSER));
}

const SUPERUSER = 0;
