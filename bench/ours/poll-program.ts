// The program of POLL: a loop that does next to nothing. The value is that of the fastest stretch, in nanoseconds a round, since
// the others have been disturbed.

import { performance } from "node:perf_hooks";

const ROUNDS = 100_000;

export function* main([budget]: string[]) {
  let fastest = Number.POSITIVE_INFINITY;
  for (const end = performance.now() + Number(budget); performance.now() < end; ) {
    const start = performance.now();
    yield* loop(ROUNDS);
    fastest = Math.min(fastest, performance.now() - start);
  }
  console.log(JSON.stringify({ value: (fastest * 1e6) / ROUNDS }));
}

function* loop(rounds: number) {
  let sum = 0;
  for (let i = 0; i < rounds; i++) sum = (sum + i * 7) | 0;
  return sum;
}
