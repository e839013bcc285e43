/** Small models of single calls, compared with the kernel over random histories and schedules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import { TestMachine } from "../support/sim.js";

const RUNS = { numRuns: 150, seed: 20120830, includeErrorInReport: true };

/** CPUs and the seed of the schedule. */
const schedule = fc.record({ cpus: fc.integer({ min: 1, max: 4 }), seed: fc.integer() });

function machine(of: { cpus: number; seed: number }): TestMachine {
  return new TestMachine({ cpus: of.cpus, strategy: K.seededStrategy(of.seed) });
}

/** The code of the error that an operation ends with, or "". */
function* outcome(operation: S.Operation<unknown>): Generator<K.Token, string, undefined> {
  try {
    yield* operation;
    return "";
  } catch (error) {
    if (error instanceof S.LwpError) return error.code;
    throw error;
  }
}

test("SYS-23, SYS-27: a wakeup is never lost, and never more than one is remembered", () => {
  const hint = fc.constantFrom(0, 0x100, 0x200);
  const parks = fc.array(hint, { minLength: 1, maxLength: 8 });
  const unparks = fc.array(fc.record({ hint, yields: fc.nat({ max: 3 }) }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(schedule, parks, unparks, (how, hints, calls) => {
      const m = machine(how);
      // The model: what a parker with one token has seen.
      let token = false;
      let asleep = false;
      let ended = 0;
      const results: string[] = [];
      const expected: string[] = [];
      const p = m.spawn(function* () {
        const target = yield* S.lwpCreate(function* () {
          for (const at of hints) {
            if (token) expected.push("EALREADY");
            asleep = !token;
            token = false;
            results.push(yield* outcome(S.lwpPark(null, 0, at)));
            ended++;
          }
        });
        for (const call of calls) {
          for (let i = 0; i < call.yields; i++) yield* S.schedYield();
          // After the last park nobody is there to be woken.
          if (results.length === hints.length) break;
          if (asleep) expected.push("");
          else token = true;
          asleep = false;
          yield* outcome(S.lwpUnpark(target, call.hint));
        }
        yield* S.lwpPark();
      });
      m.run();
      assert.deepEqual(results, expected.slice(0, hints.length));
      const parker = K.procLwps(p).find((l) => l.lid === 2);
      assert.equal(ended < hints.length, parker !== undefined && parker.stat === K.LSSLEEP);
      if (parker !== undefined && parker.stat === K.LSSLEEP) assert.equal(parker.flag & K.LW_UNPARKED, 0);
    }),
    RUNS,
  );
});

test("SYS-23, SYS-28: those who are parked stand last in, first out, and are woken in the order of the call", () => {
  fc.assert(
    fc.property(schedule, fc.integer({ min: 1, max: 6 }), fc.infiniteStream(fc.nat()), (how, n, stream) => {
      const m = machine(how);
      const parked: number[] = [];
      const p = m.spawn(function* () {
        for (let i = 0; i < n; i++) {
          yield* S.lwpCreate(function* () {
            parked.push(K.cur.lwp.lid);
            yield* S.lwpPark(null, 0, 0x100);
          });
        }
        yield* S.lwpPark(null, 0, 0);
        yield* S.lwpUnparkAll(order, 0x100);
      });
      m.run();
      const q = K.bucketQueue(K.sleeptabBucket(m.k.parktab, K.parkChannel(p, 0x100)));
      assert.deepEqual(
        K.sleepqList(m.k, q).map((l) => l.lid),
        parked.toReversed(),
      );
      const order = [...parked];
      for (let i = order.length - 1; i > 0; i--) {
        const j = (stream.next().value as number) % (i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
      K.probeEnable(m.k, ["wakeup"], true);
      const heads = Array.from({ length: how.cpus }, (_, i) => m.cpu(i).traceHead);
      m.asCpu(() => K.unpark(p, 1, 0));
      m.run();
      const woken = heads.flatMap((from, i) => K.traceRead(m.k, m.cpu(i), from).records.map((r) => r.lid));
      assert.deepEqual(
        woken.filter((lid) => lid !== 1),
        order,
      );
    }),
    RUNS,
  );
});

test("LWP-64: each joinable LWP is collected exactly once, by a waiter that asked for it or for any", () => {
  const child = fc.record({ detached: fc.boolean(), yields: fc.nat({ max: 4 }) });
  const waiter = fc.array(fc.nat({ max: 9 }), { maxLength: 4 });
  fc.assert(
    fc.property(
      schedule,
      fc.array(child, { minLength: 1, maxLength: 8 }),
      fc.array(waiter, { maxLength: 3 }),
      (how, children, waiters) => {
        const m = machine(how);
        // The first thread may leave while others wait for any.
        const joinable = new Set([1]);
        const collected: number[] = [];
        m.spawn(function* () {
          const lids: number[] = [];
          for (const c of children) {
            const flags = c.detached ? S.LWP_DETACHED : 0;
            const lid = yield* S.lwpCreate(function* () {
              for (let i = 0; i < c.yields; i++) yield* S.schedYield();
            }, flags);
            lids.push(lid);
            if (!c.detached) joinable.add(lid);
          }
          for (const asks of waiters) {
            yield* S.lwpCreate(function* () {
              for (const n of asks) {
                const wanted = n < lids.length ? lids[n] : 0;
                try {
                  const got = yield* S.lwpWait(wanted);
                  assert.ok(wanted === 0 || got === wanted);
                  collected.push(got);
                } catch (error) {
                  assert.ok(error instanceof S.LwpError && ["ESRCH", "EDEADLK"].includes(error.code));
                }
              }
            }, S.LWP_DETACHED);
          }
          for (;;) {
            try {
              collected.push(yield* S.lwpWait(0));
            } catch (error) {
              assert.ok(error instanceof S.LwpError);
              if (error.code === "ESRCH") return;
              // Everybody waits: let the others go first.
              assert.equal(error.code, "EDEADLK");
              yield* S.schedYield();
            }
          }
        });
        m.run();
        if (!collected.includes(1)) joinable.delete(1);
        assert.deepEqual(
          collected.toSorted((a, b) => a - b),
          [...joinable].sort((a, b) => a - b),
        );
        assert.deepEqual(K.checkEmpty(m.k), []);
      },
    ),
    RUNS,
  );
});

test("LWP-71, LWP-72, LWP-73: a suspended thread makes no progress until it is continued", () => {
  fc.assert(
    fc.property(schedule, fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 6 }), (how, pauses) => {
      const m = machine(how);
      let progress = 0;
      let stop = false;
      m.spawn(function* () {
        const t = yield* S.lwpCreate(function* () {
          while (!stop) {
            progress++;
            yield* S.schedYield();
          }
        });
        for (const pause of pauses) {
          yield* S.lwpSuspend(t);
          const at = progress;
          for (let i = 0; i < pause * 3; i++) yield* S.schedYield();
          assert.equal(progress, at);
          yield* S.lwpContinue(t);
          while (progress === at) yield* S.schedYield();
        }
        stop = true;
        yield* S.lwpWait(t);
      });
      m.run();
      assert.deepEqual(K.checkEmpty(m.k), []);
    }),
    RUNS,
  );
});
