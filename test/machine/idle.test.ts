/** A real CPU that has nothing to do while others have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { output } from "../support/host.js";

/** Ticks to watch it for. */
const TICKS = 50;

/** Main computes; behind it stands a thread that may run on its CPU alone. How often the other CPU goes round meanwhile. */
const PINNED = `
  import { Thread } from "lwp";
  import * as K from "lwp/kernel";
  export function* main() {
    const { k } = K.cur.lwp;
    const here = K.cur.cpu;
    const other = k.cpus.view(3 - here.index);
    const t = yield* Thread.with({ cpu: here.index - 1, priority: 0 }).spawn(end);
    const { ticks } = k.g;
    const { turns } = other;
    while (k.g.ticks < ticks + ${TICKS});
    const seen = { ticks: k.g.ticks - ticks, turns: other.turns - turns, movable: here.mcount };
    yield* t.join();
    console.log(JSON.stringify(seen));
  }
  function* end() {}
`;

test("SCH-52, SCH-134: an idle CPU goes round at ticks, not all the time, while nobody who is queued may come to it", async () => {
  const { ticks, turns, movable } = (await output(PINNED, 2)) as Record<string, number>;
  assert.equal(movable, 1, "the thread was not queued all the time");
  // Once for the tick; once more if that came when it was about to sleep; and while it looks at the start of the watch.
  assert.ok(turns <= 2 * ticks + 10, `${turns} turns in ${ticks} ticks`);
});
