/**
 * The dining philosophers, who say grace with their left forks in hand, and then all wait for the right ones. Nothing can ever
 * move again: `lwp run examples/philosophers.ts` reports who waits for whom, and ends with status 71. With the argument
 * `patient` one of them takes the right fork first, they say no grace, and everybody eats.
 */
import { Barrier, Mutex, Thread } from "lwp";

const NAMES = ["Aristotle", "Plato", "Socrates", "Hypatia", "Diogenes"];

export function* main([manners]: string[]) {
  const patient = manners === "patient";
  const grace = patient ? null : new Barrier(NAMES.length, { name: "grace" });
  const forks = NAMES.map((_, i) => new Mutex({ name: `fork ${i}` }));
  const guests: Thread<string>[] = [];
  for (const [i, name] of NAMES.entries()) {
    const left = forks[i];
    const right = forks[(i + 1) % forks.length];
    const [first, second] = patient && i === 0 ? [right, left] : [left, right];
    guests.push(yield* Thread.with({ name }).spawn(dine, name, first, second, grace));
  }
  for (const guest of guests) console.log(yield* guest.join());
}

function* dine(name: string, first: Mutex, second: Mutex, grace: Barrier | null) {
  for (let meals = 0; meals < 100; meals++) {
    using _first = yield* first.guard();
    if (grace !== null) yield* grace.wait();
    using _second = yield* second.guard();
  }
  return `${name} has eaten 100 times`;
}
