/** User memory: ranges of pages, handed out and taken back. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import * as K from "lwp/kernel";
import { TestMachine } from "../support/sim.js";

const pages = (userPages: number) => new TestMachine({ limits: { userPages } });

/** Tiles of a machine as text: `3` = three pages in use, `-3` = free. */
const tiles = (k: K.Kernel) => K.umemRanges(k).map(({ pages: n, owner }) => (owner < 0 ? -n : n));

const alloc = (m: TestMachine, n: number, p: K.Proc | null = null) =>
  m.asCpu(() => K.umemAlloc(m.k, p, n, true));

const free = (m: TestMachine, page: number) => m.asCpu(() => K.umemFree(m.k, page, K.umemGen(m.k, page)));

test("at boot all of it is one free range; none of it, where there is none, is handed out", () => {
  assert.deepEqual(tiles(pages(16).k), [-16]);
  const none = pages(0);
  assert.equal(alloc(none, 1), 0);
  assert.deepEqual(K.umemCheck(none.k), []);
});

test("the first range that is long enough is cut; the last page is handed out, and no more", () => {
  const m = pages(8);
  assert.deepEqual([alloc(m, 3), alloc(m, 4), alloc(m, 2), alloc(m, 1), alloc(m, 1)], [1, 4, 0, 8, 0]);
  assert.deepEqual(tiles(m.k), [3, 4, 1]);
  assert.deepEqual(K.umemCheck(m.k), []);
});

test("a range that is handed out zeroed anew is zero, and its neighbours keep what stands there", () => {
  const m = pages(3);
  for (let page = 1; page <= 3; page++) assert.equal(alloc(m, 1), page);
  m.k.ub.fill(7);
  free(m, 2);
  assert.equal(alloc(m, 1), 2);
  const ends = [1, 2, 3].map((page) => [m.k.ub[K.umemByte(page)], m.k.ub[K.umemByte(page + 1) - 1]]);
  assert.deepEqual(ends, [
    [7, 7],
    [0, 0],
    [7, 7],
  ]);
});

describe("a range that is taken back joins its free neighbours", () => {
  for (const [order, expected] of [
    [
      [1, 2, 3],
      [[-1, 1, 1, -1], [-2, 1, -1], [-4]],
    ],
    [
      [3, 2, 1],
      [[1, 1, -2], [1, -3], [-4]],
    ],
    [
      [1, 3, 2],
      [[-1, 1, 1, -1], [-1, 1, -2], [-4]],
    ],
    [
      [2, 1, 3],
      [[1, -1, 1, -1], [-2, 1, -1], [-4]],
    ],
  ] as const) {
    test(`in the order ${order.join(", ")}`, () => {
      const m = pages(4);
      for (let i = 0; i < 3; i++) alloc(m, 1);
      const seen = order.map((page) => {
        free(m, page);
        assert.deepEqual(K.umemCheck(m.k), []);
        return tiles(m.k);
      });
      assert.deepEqual(seen, expected);
    });
  }
});

test("a range is taken back once: an old generation is refused, also when the page serves again", () => {
  const m = pages(4);
  const page = alloc(m, 1);
  const gen = K.umemGen(m.k, page);
  assert.equal(
    m.asCpu(() => K.umemFree(m.k, page, gen)),
    true,
  );
  assert.equal(
    m.asCpu(() => K.umemFree(m.k, page, gen)),
    false,
  );
  assert.equal(alloc(m, 1), page);
  assert.equal(
    m.asCpu(() => K.umemFree(m.k, page, gen)),
    false,
  );
  assert.equal(K.umemIsLive(m.k, page, gen), false);
  assert.equal(free(m, page), true);
});

test("pages that served before are handed out as zeros, unless the caller does not care", () => {
  const m = pages(4);
  const page = alloc(m, 2);
  m.k.ub.fill(7, 0, 2 * K.PAGE_SIZE);
  free(m, page);
  assert.equal(
    m.asCpu(() => K.umemAlloc(m.k, null, 1, false)),
    1,
  );
  assert.equal(m.k.ub[0], 7);
  free(m, 1);
  assert.equal(alloc(m, 3), 1);
  assert.ok(m.k.ub.every((byte) => byte === 0));
});

test("the end of a process takes back its ranges alone", () => {
  const m = pages(32);
  const kept = alloc(m, 2);
  const status = m.runToEnd(function* () {
    const { proc } = K.cur.lwp;
    for (let i = 0; i < 5; i++) K.umemAlloc(m.k, proc, i + 1, true);
    assert.ok(K.umemFree(m.k, 3, K.umemGen(m.k, 3)));
    assert.deepEqual(K.umemCheck(m.k), []);
  });
  assert.equal(status, 0);
  assert.deepEqual(tiles(m.k), [2, -30]);
  free(m, kept);
  assert.deepEqual(K.checkEmpty(m.k), []);
});

test("a reset forgets ranges and bytes", () => {
  const m = pages(8);
  alloc(m, 3);
  m.k.ub.fill(9, 0, 3 * K.PAGE_SIZE);
  m.sim.reset();
  assert.deepEqual(tiles(m.k), [-8]);
  assert.ok(m.k.ub.every((byte) => byte === 0));
  assert.deepEqual(K.checkEmpty(m.k), []);
});

test("by any sequence of requests ranges never overlap, nothing is lost, and what fits is handed out", () => {
  const request = fc.record({ pages: fc.integer({ min: 1, max: 12 }), back: fc.nat(40), take: fc.boolean() });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.array(request, { maxLength: 60 }), (size, requests) => {
      const m = pages(size);
      /** Owner of each page, as the model has it. */
      const model: number[] = new Array<number>(size).fill(0);
      const live: number[] = [];
      let mark = 0;
      for (const { pages: n, back, take } of requests) {
        if (take) {
          const page = alloc(m, n);
          const fits = longestFree(model) >= n;
          assert.equal(page !== 0, fits);
          if (page === 0) continue;
          mark++;
          for (let i = page - 1; i < page - 1 + n; i++) {
            assert.equal(model[i], 0, `page ${i + 1} is handed out twice`);
            model[i] = mark;
          }
          live.push(page);
        } else if (live.length > 0) {
          const [page] = live.splice(back % live.length, 1);
          assert.equal(free(m, page), true);
          const owner = model[page - 1];
          for (const [i, other] of model.entries()) if (other === owner) model[i] = 0;
        }
        assert.deepEqual(K.umemCheck(m.k), []);
        assert.equal(m.k.w[m.k.umem + K.UMEM_INUSE], model.filter((owner) => owner !== 0).length);
      }
      for (const page of live) free(m, page);
      assert.deepEqual(tiles(m.k), [-size]);
    }),
    { numRuns: 200 },
  );
});

/** Pages of the longest run that is free. */
function longestFree(model: readonly number[]): number {
  let [longest, run] = [0, 0];
  for (const owner of model) {
    run = owner === 0 ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}
