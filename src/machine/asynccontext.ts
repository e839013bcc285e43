/**
 * The asynchronous context of who starts a thread, for `AsyncLocalStorage`: a closure sees the stores of its spawner, as a
 * callback does.
 *
 * Only where a store is in use is a context kept, and entered at each resume of the thread. The host does not say whether one
 * is; so its resources are looked at. Where it keeps the stores in a *frame* (Node 24 and later), a new resource holds the
 * present one; where it keeps them on the resources themselves, a store that was ever entered has left its symbol there.
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
  const here = executionAsyncResource() as Resource;
  for (const symbol of Object.getOwnPropertySymbols(here)) {
    if (symbol.description === "kResourceStore" && here[symbol] !== undefined) {
      return entering(new AsyncResource("LWP"));
    }
  }
  return null;
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
