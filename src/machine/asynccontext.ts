/**
 * The asynchronous context of who starts a thread, for `AsyncLocalStorage`: a closure sees the stores of its spawner, as a
 * callback does.
 *
 * Whether any store is in use is asked of the current resource, since the host has no better answer: a store that was ever
 * entered has left its symbol there. Only then is a context kept, and entered at each resume of the thread.
 */
import { AsyncResource, executionAsyncResource } from "node:async_hooks";
import type { Enter } from "../thread/host.js";

/** How to enter the present context later; null if it has no stores. */
export function asyncContext(): Enter | null {
  const here = executionAsyncResource() as Record<symbol, unknown>;
  for (const symbol of Object.getOwnPropertySymbols(here)) {
    if (symbol.description === "kResourceStore" && here[symbol] !== undefined) return keep();
  }
  return null;
}

function keep(): Enter {
  const resource = new AsyncResource("LWP");
  return (body) => resource.runInAsyncScope(body);
}
