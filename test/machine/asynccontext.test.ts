/** AsyncLocalStorage: a closure sees the stores of who started it, whatever runs in between. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { boot, Thread, until } from "lwp";

test("threads that are closures see the stores of their spawner, across switches, and nobody else's", async () => {
  const storage = new AsyncLocalStorage<string>();
  await using machine = await boot({ cpus: 1 });
  const seen = (name: string) =>
    function* () {
      const stores = new Set<string | undefined>();
      for (let i = 0; i < 5; i++) {
        stores.add(storage.getStore());
        yield* i === 3 ? until(new Promise<void>((resolve) => setTimeout(resolve, 1))) : Thread.yield();
      }
      const child = yield* Thread.spawn(function* () {
        yield* Thread.yield();
        return storage.getStore();
      });
      const other = storage.run(`${name}'s`, () =>
        Thread.spawn(function* () {
          yield* Thread.sleep(10);
          return storage.getStore();
        })[Symbol.iterator](),
      );
      stores.add(yield* child.join());
      const t = yield* { [Symbol.iterator]: () => other };
      return [...stores, yield* t.join()];
    };
  const main = function* () {
    const threads = [];
    for (const name of ["a", "b"]) {
      const spawned = storage.run(name, () => Thread.spawn(seen(name))[Symbol.iterator]().next());
      threads.push(spawned.value as Thread<(string | undefined)[]>);
    }
    const none = yield* Thread.spawn(seen("none"));
    return [yield* Thread.all(threads), yield* none.join(), storage.getStore()];
  };
  assert.deepEqual(await machine.run(main), [
    [
      ["a", "a"],
      ["b", "b"],
    ],
    [undefined, undefined],
    undefined,
  ]);
  const [[a]] = (await storage.run("outside", () => machine.run(main))) as [string[][]];
  assert.deepEqual(a, ["a", "a"]);
  assert.equal(
    await storage.run("outside", () =>
      machine.run(function* () {
        const before = storage.getStore();
        yield* Thread.sleep(10);
        const t = yield* Thread.spawn(function* () {
          yield* Thread.yield();
          return storage.getStore();
        });
        return `${before} ${storage.getStore()} ${yield* t.join()}`;
      }),
    ),
    "outside outside outside",
  );
});

test("an exception that is thrown into a thread with a store arrives there", async () => {
  const storage = new AsyncLocalStorage<string>();
  await using machine = await boot({ cpus: 1 });
  const told = await storage.run("store", () =>
    machine.run(function* () {
      try {
        yield 1 as never;
      } catch (error) {
        return `${(error as Error).name} ${storage.getStore()}`;
      }
      return "";
    }),
  );
  assert.equal(told, "TypeError store");
});
