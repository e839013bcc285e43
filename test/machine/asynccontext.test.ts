/** AsyncLocalStorage: a closure sees the stores of who started it, whatever runs in between. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
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

/** Runs a program in a process in which nobody has entered a store; what it writes. */
function inFreshProcess(program: string): unknown {
  const source = `
    import { execFileSync } from "node:child_process";
import { AsyncLocalStorage } from "node:async_hooks";
    import { boot, Thread } from "lwp";
    const { prototype } = AsyncLocalStorage;
    const own = { ...Object.getOwnPropertyDescriptors(prototype) };
    const asBefore = () => ["run", "enterWith"].every((name) => prototype[name] === own[name].value);
    const storage = new AsyncLocalStorage();
    const child = function* () {
      yield* Thread.yield();
      return storage.getStore() ?? "none";
    };
    const machine = await boot({ cpus: 1 });
    console.log(JSON.stringify(await machine.run(function* () { ${program} })));
    await machine.shutdown();
  `;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", source], { encoding: "utf8" });
  return JSON.parse(out);
}

test("the first store that a realm enters is seen by the next thread; the methods that enter one are then as before", () => {
  const spawnTwice = (enter: string) =>
    inFreshProcess(`
      const before = yield* Thread.spawn(child);
      ${enter}
      return [yield* before.join(), yield* after.join(), asBefore()];
    `);
  // Threads without a context of their own see what their CPU's resource has: it is taken away before they run.
  const enterWith = `
    storage.enterWith("store");
    const after = yield* Thread.spawn(child);
    storage.enterWith(undefined);`;
  assert.deepEqual(spawnTwice(enterWith), ["none", "store", true]);
  const run = `
    const started = storage.run("store", () => Thread.spawn(child)[Symbol.iterator]().next());
    const after = started.value;`;
  assert.deepEqual(spawnTwice(run), ["none", "store", true]);
});

test("a store that somebody else's method enters is seen, and that method stays", () => {
  assert.deepEqual(
    inFreshProcess(`
      const before = yield* Thread.spawn(child);
      const theirs = prototype.enterWith;
      let calls = 0;
      const wrapped = function (store) { calls++; return theirs.call(this, store); };
      prototype.enterWith = wrapped;
      storage.enterWith("store");
      const after = yield* Thread.spawn(child);
      storage.enterWith(undefined);
      return [yield* before.join(), yield* after.join(), prototype.enterWith === wrapped, calls];
    `),
    ["none", "store", true, 2],
  );
});
