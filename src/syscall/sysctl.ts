/** `sysctl` for threads. */
import type { SysctlValue } from "../kern/sysctl.js";
import { sysctl as kernSysctl } from "../kern/sysctl.js";
import { fail, type Operation, quick } from "./operation.js";

/**
 * What stands under a name, such as "kern.maxlwp"; with `value` that is set, and the value before is returned.
 *
 * Errors: ENOENT, ENOTDIR, EISDIR the name; EPERM it cannot be written, or not by the caller's user; EINVAL the value. Source:
 * sysctl(3).
 */
export function sysctl(name: string, value?: number): Operation<SysctlValue> {
  return quick("sysctl", (l) => {
    const uid = l.cred === null ? l.uid : l.cred.euid;
    const result = kernSysctl(l.k, uid, String(name), value);
    if (result.error !== 0) fail(result.error, "sysctl", l.lid, `${name}`);
    return result.value as SysctlValue;
  });
}
