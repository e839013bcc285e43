// B3: a token round a ring of threads, by park and unpark.

import { Thread } from "lwp";
import { LwpError, lwpPark, lwpSelf, lwpUnpark, procExit } from "lwp/syscall";
import { Meter, report } from "../measure.js";
import { options, runMain } from "./machine.js";

const { threads, budgetMs } = options;
const meter = new Meter(budgetMs);

/** A wakeup that came before the park counts as one. */
function early(error: unknown) {
  if (!(error instanceof LwpError && error.code === "EALREADY")) throw error;
}

await runMain(function* () {
  const lids: number[] = [];
  const main = yield* lwpSelf();
  let passesLeft = 0;
  let done = false;
  function* member(own: number) {
    const next = (own + 1) % threads;
    for (;;) {
      try {
        yield* lwpPark();
      } catch (error) {
        early(error);
      }
      if (--passesLeft > 0) yield* lwpUnpark(lids[next]);
      else {
        done = true;
        yield* lwpUnpark(main);
      }
    }
  }
  for (let i = 0; i < threads; i++) lids.push((yield* Thread.spawn(member, i)).lid);
  for (const passes of meter) {
    passesLeft = passes;
    done = false;
    // All are parked once this thread has parked and come back.
    meter.begin();
    yield* lwpUnpark(lids[0]);
    while (!done) {
      try {
        yield* lwpPark();
      } catch (error) {
        early(error);
      }
    }
    meter.end(passes);
  }
  report(meter.nsPerOperation);
  yield* procExit(0);
});
