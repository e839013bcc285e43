// The program of B8 and B9: main on CPU 0, a portable thread on CPU 1.

import { performance } from "node:perf_hooks";
import { Thread } from "lwp";
import { LwpError, lwpPark, lwpSelf, lwpUnpark, procExit } from "lwp/syscall";
import * as K from "lwp/kernel";

function* park() {
  try {
    yield* lwpPark();
  } catch (error) {
    if (!(error instanceof LwpError && error.code === "EALREADY")) throw error;
  }
}

/** Answers each wakeup with one. */
export function* pong(main: number) {
  for (;;) {
    yield* park();
    yield* lwpUnpark(main);
  }
}

/** Occupies CPU 0 so that an idle CPU steals what waits here. */
function spinUntil(test: () => boolean) {
  while (!test());
}

export function* main([bench, budget]: string[]) {
  const { k } = K.cur.lwp;
  const me = yield* lwpSelf();
  const other = yield* Thread.spawn(pong, me);
  const ci = k.cpus.view(2);
  spinUntil(() => Atomics.load(k.w, ci.at + k.cpus.type.offset["nlwps"]) > 0);
  const asleep = bench === "B9";
  const end = performance.now() + Number(budget) * 1.5;
  const warm = performance.now() + Number(budget) * 0.5;
  const samples: number[] = [];
  const batch = asleep ? 1 : 1000;
  while (performance.now() < end) {
    if (asleep) spinUntil(() => Atomics.load(k.w, ci.at + k.cpus.type.offset["sleeping"]) === 1);
    if (asleep) spinFor(0.05);
    const t0 = performance.now();
    for (let i = 0; i < batch; i++) {
      yield* lwpUnpark(other.lid);
      yield* park();
    }
    const t1 = performance.now();
    if (t0 > warm) samples.push((t1 - t0) / batch);
  }
  samples.sort((a, b) => a - b);
  const ms = samples[samples.length >> 1];
  const value = asleep ? ms * 1e3 : ms * 1e6;
  console.log(JSON.stringify(asleep ? { value, unit: "us" } : { value }));
  yield* procExit(0);
}

function spinFor(ms: number) {
  const end = performance.now() + ms;
  spinUntil(() => performance.now() >= end);
}
