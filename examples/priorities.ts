/**
 * Six threads on one CPU, of three priorities: the highest run first, whatever the order in which they were started, and equals
 * take turns. `lwp run examples/priorities.ts`.
 */
import { Thread } from "lwp";

const order: string[] = [];

export function* main() {
  const threads: Thread<void>[] = [];
  // `local`: all on this CPU, so that they share `order`. Main stays ahead until it waits.
  Thread.self.priority = 63;
  for (const priority of [10, 50, 30]) {
    for (const name of ["a", "b"]) {
      threads.push(yield* Thread.with({ local: true, priority }).spawn(work, `${priority}${name}`));
    }
  }
  yield* Thread.all(threads);
  console.log(order.join(" "));
}

function* work(name: string) {
  for (let step = 1; step <= 3; step++) {
    order.push(`${name}${step}`);
    yield* Thread.yield();
  }
}
