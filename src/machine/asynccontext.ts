/**
 * The asynchronous context of who starts a thread, for `AsyncLocalStorage`: a closure sees the stores of its spawner, as a
 * callback does.
 *
 * Only where a store is in use is a context kept, and entered at each resume of the thread. The host does not say whether one
 * is; so its resources are looked at. Where it keeps the stores in a *frame* (Node 24 and later), a new resource holds the
 * present one; where it keeps them on the resources themselves, a store that was ever entered has left its symbol there.
 *
 * To look through the symbols of a resource costs a tenth of what a thread costs from its start to its join, and no resource has a
 * store before one is entered for the first time. So until then the methods that enter one are watched instead; the first call
 * puts them back as they were.
 */
import { AsyncLocalStorage, AsyncResource, executionAsyncResource } from "node:async_hooks";
import type { Enter } from "../thread/host.js";

type Resource = Record<symbol, unknown>;

/** Where a resource holds the frame; null = the host has none. */
const FRAME = frameSymbol();

/** How to enter the present context later; null if it has no stores. */
export function asyncContext(): Enter | null {
  if (FRAME !== null) {
    const resource = new AsyncResource("LWP");
    return hasStores((resource as unknown as Resource)[FRAME]) ? entering(resource) : null;
  }
  if (used === undefined) used = areUsed() || !watchStores();
  if (!used) return null;
  const here = executionAsyncResource() as Resource;
  for (const symbol of storesOf(here)) {
    if (here[symbol] !== undefined) return entering(new AsyncResource("LWP"));
  }
  return null;
}

/** Whether resources of this realm may have stores; undefined until somebody asks. */
let used: boolean | undefined;

/** Whether a store is in use already: it is handed on to every new resource, also where it is undefined. */
function areUsed(): boolean {
  return storesOf(new AsyncResource("LWP") as unknown as Resource).length > 0;
}

/** The symbols under which a resource holds stores. */
function storesOf(resource: Resource): symbol[] {
  return Object.getOwnPropertySymbols(resource).filter((symbol) => symbol.description === "kResourceStore");
}

/** Lets the first store that is entered set `used`. False: the host does not let us. */
function watchStores(): boolean {
  const { prototype } = AsyncLocalStorage;
  const unwatch = [watchMethod(prototype, "run", entered), watchMethod(prototype, "enterWith", entered)];
  function entered(): void {
    used = true;
    for (const restore of unwatch) restore?.();
  }
  if (!unwatch.includes(null)) return true;
  entered();
  return false;
}

/** Calls `told` before a method is, until the function that it returns is called; null = the method cannot be replaced. */
function watchMethod(prototype: object, name: string, told: () => void): (() => void) | null {
  const own = Object.getOwnPropertyDescriptor(prototype, name);
  const method: unknown = own?.value;
  if (typeof method !== "function" || own?.configurable !== true) return null;
  function watched(this: unknown, ...args: unknown[]): unknown {
    told();
    return Reflect.apply(method as () => unknown, this, args);
  }
  Object.defineProperty(prototype, name, { ...own, value: watched });
  return () => {
    // Somebody may have put his own in its place, which calls ours.
    const now = Object.getOwnPropertyDescriptor(prototype, name);
    if (now?.value === watched) Object.defineProperty(prototype, name, own);
  };
}

function entering(resource: AsyncResource): Enter {
  return (body) => resource.runInAsyncScope(body);
}

/** A frame is a map, of a class of the host's own; a store that was left stays in it as undefined. */
function hasStores(frame: unknown): boolean {
  if (frame === undefined) return false;
  for (const store of Map.prototype.values.call(frame)) if (store !== undefined) return true;
  return false;
}

function frameSymbol(): symbol | null {
  const symbols = Object.getOwnPropertySymbols(new AsyncResource("LWP"));
  const symbol = symbols.find(({ description }) => description === "context_frame");
  if (symbol === undefined) return null;
  // Node 22 has it, and uses it only if told to.
  const storage = new AsyncLocalStorage<boolean>();
  const made = storage.run(true, () => new AsyncResource("LWP")) as unknown as Resource;
  storage.disable();
  try {
    return hasStores(made[symbol]) ? symbol : null;
  } catch {
    return null; // No map: some host to come.
  }
}
