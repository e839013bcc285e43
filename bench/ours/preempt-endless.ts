// A program of PREEMPT: computes for ever, and counts where its machine's owner sees it.

import * as K from "lwp/kernel";

export function* main() {
  const { w, scratch } = K.cur.lwp.k;
  for (;;) Atomics.add(w, scratch, 1);
}
