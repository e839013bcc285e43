/**
 * A search on all cores for a number whose SHA-256 digest begins with the digits given (00000 unless said). Whoever finds one
 * first wins; the others are cancelled where they stand, and clean up: `lwp run examples/cancel.ts abcde`.
 */
import { createHash } from "node:crypto";
import { Cancelled, checkpoint, Thread } from "lwp";

const SEARCHERS = 4;

export function* main([digits = "00000"]: string[]) {
  const searchers: Thread<number>[] = [];
  for (let i = 0; i < SEARCHERS; i++) searchers.push(yield* Thread.spawn(search, digits, i));
  const found = yield* Thread.race(searchers);
  // The winner is joined; its handle is used up.
  const others = searchers.filter((searcher) => searcher.isGood);
  for (const searcher of others) yield* searcher.cancel();
  for (const searcher of others) yield* end(searcher);
  console.log(`sha256(${found}) = ${sha256(found)}`);
}

/** Tries every fourth number, from `first` on. */
function* search(digits: string, first: number) {
  let tried = 0;
  try {
    for (let n = first; ; n += SEARCHERS, tried++) {
      if (sha256(n).startsWith(digits)) return n;
      // Where it can be cancelled.
      if (tried % 1000 === 0) yield* checkpoint();
    }
  } finally {
    console.log(`searcher ${first} has tried ${tried} numbers`);
  }
}

/** Waits for a searcher that was cancelled, or has found a number at the same time. */
function* end(searcher: Thread<number>) {
  try {
    yield* searcher.join();
  } catch (error) {
    if (!(error instanceof Cancelled || (error as Error).cause instanceof Cancelled)) throw error;
  }
}

function sha256(n: number): string {
  return createHash("sha256").update(String(n)).digest("hex");
}
