/** What a thread's code yields to its context: nothing, if it has been switched out, or what is to be done with it. */

/** Yielded to end the LWP. */
export const EXIT_LWP = { exit: "lwp" } as const;
/** Yielded to end the process with the status in `l.retval`. */
export const EXIT_PROC = { exit: "process" } as const;
/** Yielded to have the handler of a signal run first, and to be resumed then. */
export const ENTER_HANDLER = { handler: "signal" } as const;

export type Token = undefined | void | typeof EXIT_LWP | typeof EXIT_PROC | typeof ENTER_HANDLER;

/** The program's code, as the context sees it. */
export type Body = Iterator<Token, unknown, undefined>;
