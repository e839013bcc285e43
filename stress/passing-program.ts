// The program of stress/passing.ts: portable threads that get a value and return it, some of which fail, or are left.

import { SharedBytes, Thread } from "lwp";

const AT_ONCE = 16;

export function* echo(value: unknown, fails: boolean) {
  if (fails) throw Object.assign(new Error("deliberate"), { value });
  return value;
}

export function* main([count]: string[]) {
  using bytes = new SharedBytes(64);
  const values = [
    ...[
      undefined,
      null,
      true,
      -0,
      1.5,
      "short",
      "x".repeat(500),
      "y".repeat(9000),
      2n ** 100n,
      Symbol("refused"),
    ],
    ...[
      [1, [2]],
      new Map([[1, new Set(["a"])]]),
      new Date(5),
      /r/g,
      new Float64Array(1000),
      new Error("e"),
      bytes,
    ],
  ];
  for (let n = 0; n < Number(count); n += AT_ONCE) {
    const threads: Thread[] = [];
    for (let i = 0; i < AT_ONCE; i++) {
      try {
        threads.push(yield* Thread.spawn(echo, values[(n + i) % values.length], i === 3));
      } catch (error) {
        if ((error as Error).name !== "DataCloneError") throw error;
      }
    }
    // One in each round is detached, the others are joined.
    yield* threads.pop()!.detach();
    for (const t of threads) {
      try {
        yield* t.join();
      } catch (error) {
        if (!(error as Error).message.endsWith("deliberate")) throw error;
      }
    }
  }
}
