// The program of HTTP: two threads that compute for ever on each CPU.

import { Thread } from "lwp";

export function* main([cpus]: string[]) {
  const threads = [];
  for (let i = 0; i < 2 * Number(cpus); i++) {
    threads.push(yield* Thread.with({ cpu: i % Number(cpus) }).spawn(compute));
  }
  for (const t of threads) yield* t.join();
}

function* compute() {
  for (let n = 1; n !== 0; n = (n * 48271) % 0x7fffffff);
}
