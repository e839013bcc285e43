/** Primes by their last digits, one thread for each ending: `lwp run examples/primes.ts`. */
import { Thread } from "lwp";

export function* main() {
  const threads = [];
  for (let n = 40; n < 44; n++) threads.push(yield* Thread.spawn(count, n));
  for (const thread of threads) console.log(yield* thread.join());
}

/** Primes below 2^20 that end in the digits of `n`. */
function* count(n: number) {
  let found = 0;
  for (let i = 3; i < 1 << 20; i += 2) if (i % 100 === n && isPrime(i)) found++;
  return `${found} primes end in ${n}`;
}

function isPrime(n: number) {
  for (let d = 3; d * d <= n; d += 2) if (n % d === 0) return false;
  return n % 2 === 1;
}
