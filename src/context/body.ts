/** The program's code as an iterator, before a context has it: what it may be, and what stands for what it may not. */
import { RET_EXIT, RET_SIGNAL } from "../kern/userret.js";
import { type Body, ENTER_HANDLER, EXIT_LWP, type Token } from "./token.js";

/** The one `next` of all generators: found here once, not by looking it up on each of their many prototypes. */
export const GENERATOR_NEXT = Object.getPrototypeOf(function* () {}).prototype.next as (
  this: unknown,
) => IteratorResult<Token, unknown>;

/** Whether it is a generator, whose `next` is that of all. */
export function isGenerator(body: unknown): boolean {
  return (body as Partial<Body> | null | undefined)?.next === GENERATOR_NEXT;
}

/** What is yielded for a return to user mode that did not succeed at once: RET_*. */
export function tokenOf(r: number): Token {
  return r === RET_EXIT ? EXIT_LWP : r === RET_SIGNAL ? ENTER_HANDLER : undefined;
}

export function rethrow(error: unknown): never {
  throw error;
}

/** A body whose first step throws. */
export function failing(error: unknown): Body {
  return { next: () => rethrow(error) };
}

/** What a thread's function has returned, or a body that fails for want of one. */
export function bodyFrom(returned: unknown): Body {
  if (typeof (returned as Partial<Body> | null | undefined)?.next === "function") {
    // An asynchronous generator gives promises of steps, and would never come to its end.
    if (!(Symbol.asyncIterator in (returned as object))) return returned as Body;
  }
  const what = returned === null || returned === undefined ? returned : `a value of type ${typeof returned}`;
  return failing(new TypeError(`a thread's function must be a generator function: it returned ${what}`));
}
