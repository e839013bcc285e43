/** Small services about LWPs (LWP-111, 112). */
import { cur } from "../sys/current.js";
import type { Kernel } from "../sys/kernel.js";
import { LwpRecord, type Lwp } from "../sys/lwp.js";

/** How often the caller was switched out: the same before and after means that it was not in between. Source: lwp_pctr. */
export function lwpPctr(): number {
  return cur.lwp.ncsw;
}

/** Sets the private pointer of an LWP: a word that means something to its program alone. Returns 0. Source: lwp_setprivate. */
export function lwpSetprivate(l: Lwp, value: number): number {
  l.private = value;
  return 0;
}

/**
 * Says in which LWP's record an address of kernel memory lies, as a line each; a record stands where the original has the
 * LWP's kernel stack. For debuggers: it takes no lock. Source: lwp_whatis.
 */
export function lwpWhatis(k: Kernel, address: number, print: (line: string) => void): void {
  for (let i = k.g.alllwp; i !== 0; i = k.lwps.view(i).listNext) {
    const l = k.lwps.view(i);
    say(l, address, l.at, LwpRecord.words, print);
    say(l, address, k.lwps.coldAt(i), LwpRecord.coldWords, print);
  }
}

function say(l: Lwp, address: number, base: number, words: number, print: (line: string) => void): void {
  if (address < base || address >= base + words) return;
  print(`${address} is ${base}+${address - base}, LWP ${l.proc.pid}.${l.lid}'s record`);
}
