// B12: lock and unlock of an uncontended kernel mutex.

import * as K from "lwp/kernel";
import { Meter, report } from "../measure.js";
import { options, runMain } from "./machine.js";

const meter = new Meter(options.budgetMs);

await runMain(function* () {
  const { k } = K.cur.lwp;
  const mutex = k.scratch;
  K.mutexInit(k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
  for (const rounds of meter) {
    meter.begin();
    for (let i = 0; i < rounds; i++) {
      yield* K.mutexEnter(k, mutex);
      K.mutexExit(k, mutex);
    }
    meter.end(rounds);
  }
});
report(meter.nsPerOperation);
