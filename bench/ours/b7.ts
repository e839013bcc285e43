// B7: resident bytes of an idle parked thread.

import { schedYield, Thread } from "lwp";
import { lwpPark, procExit } from "lwp/syscall";
import { report, residentBytes } from "../measure.js";
import { options, runMain } from "./machine.js";

const { threads } = options;

await runMain(function* () {
  function* parked() {
    yield* lwpPark();
  }
  for (let i = 0; i < 100; i++) yield* (yield* Thread.spawn(parked)).detach();
  yield* schedYield();
  const before = residentBytes();
  for (let i = 0; i < threads; i++) yield* (yield* Thread.spawn(parked)).detach();
  yield* schedYield();
  report((residentBytes() - before) / threads);
  yield* procExit(0);
});
