/**
 * The wait-for graph: who waits for whom. A cycle in it is a deadlock: none of its threads can go on before another of them
 * does, whatever happens elsewhere.
 *
 * A wait that ends by itself after a time is no edge.
 */
import type { LwpInfo, LwpName } from "../machine/observer.js";

const key = (l: LwpName): string => `${l.pid}.${l.lid}`;

/**
 * The cycles of a listing, each as its threads in order: each waits for the next, the last for the first, and the lowest id
 * comes first. A thread is named in one of them at most.
 */
export function cyclesOf(list: readonly LwpInfo[]): LwpInfo[][] {
  const threads = new Map(list.map((l) => [key(l), l]));
  const cycles: LwpInfo[][] = [];
  /** Where a search has been: its number while it is under way, done afterwards. */
  const seen = new Set<string>();
  for (const start of list) {
    const path: LwpInfo[] = [];
    const onPath = new Map<string, number>();
    // Depth first, without recursion: chains may be as long as there are threads.
    const stack: { readonly l: LwpInfo; readonly next: LwpInfo[] }[] = [];
    const enter = (l: LwpInfo): void => {
      seen.add(key(l));
      onPath.set(key(l), path.length);
      path.push(l);
      stack.push({ l, next: successors(l, threads) });
    };
    if (!seen.has(key(start))) enter(start);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const next = top.next.shift();
      if (next === undefined) {
        stack.pop();
        path.pop();
        onPath.delete(key(top.l));
        continue;
      }
      const from = onPath.get(key(next));
      if (from !== undefined) cycles.push(turned(path.slice(from)));
      else if (!seen.has(key(next))) enter(next);
    }
  }
  return disjoint(cycles);
}

function successors(l: LwpInfo, threads: ReadonlyMap<string, LwpInfo>): LwpInfo[] {
  const { waitsFor } = l;
  if (waitsFor === null || waitsFor.secondsLeft !== null) return [];
  return waitsFor.holders.map((h) => threads.get(key(h))).filter((h) => h !== undefined);
}

/** The same cycle, from its lowest id on. */
function turned(cycle: readonly LwpInfo[]): LwpInfo[] {
  const first = cycle.reduce((lowest, l, i) => (l.lid < cycle[lowest].lid ? i : lowest), 0);
  return [...cycle.slice(first), ...cycle.slice(0, first)];
}

function disjoint(cycles: readonly LwpInfo[][]): LwpInfo[][] {
  const named = new Set<LwpInfo>();
  return cycles.filter((cycle) => {
    if (cycle.some((l) => named.has(l))) return false;
    for (const l of cycle) named.add(l);
    return true;
  });
}
