// B4: a token round a ring of threads, by one mutex and a condition variable for each.

import { Condition, Mutex, Thread } from "lwp";
import { procExit } from "lwp/syscall";
import { Meter, report } from "../measure.js";
import { options, runMain } from "./machine.js";

const { threads, budgetMs } = options;
const meter = new Meter(budgetMs);

await runMain(function* () {
  const mutex = new Mutex();
  const finished = new Condition();
  const turns = Array.from({ length: threads }, () => new Condition());
  let turn = -1;
  let passesLeft = 0;
  function* member(own: number) {
    const next = (own + 1) % threads;
    if (!mutex.tryLock()) yield* mutex.lock();
    for (;;) {
      while (turn !== own) yield* turns[own].wait(mutex);
      if (--passesLeft > 0) {
        turn = next;
        turns[next].signal();
      } else {
        turn = -1;
        finished.signal();
      }
    }
  }
  for (let i = 0; i < threads; i++) yield* Thread.spawn(member, i);
  yield* mutex.lock();
  for (const passes of meter) {
    meter.begin();
    passesLeft = passes;
    turn = 0;
    turns[0].signal();
    while (turn !== -1) yield* finished.wait(mutex);
    meter.end(passes);
  }
  report(meter.nsPerOperation);
  yield* procExit(0);
});
