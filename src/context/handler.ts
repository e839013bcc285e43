/**
 * Handlers of signals: functions of a program that run on the thread which takes the signal.
 *
 * A handler is a plain function, or a generator function that may use operations. It is put on top of what the thread runs, as
 * a frame on its stack; what it has interrupted is resumed when it has ended, or with the exception that it throws.
 */
import type { Lwp } from "../sys/lwp.js";
import {
  SF_CODE,
  SF_HANDLER,
  SF_LID,
  SF_MASK,
  SF_PID,
  SF_UID,
  SIG_ENTRY,
  type Siginfo,
  SIGNAL_NAMES,
  SIGRTMIN,
} from "../sys/signal.js";
import { sigreturn } from "../kern/signal.js";
import { delegateTo } from "./polls.js";
import type { Body, Token } from "./token.js";

/** What a handler is told of its signal, and who waits for one. */
export interface SignalInfo extends Readonly<Siginfo> {
  /** Its name, "SIGUSR1" of 30; of 33 and up "SIGRTMIN+n". */
  readonly signal: string;
}

/** With the name of the signal. */
export function signalInfo(info: Siginfo): SignalInfo {
  return { signal: signalName(info.signo), ...info };
}

/** Name of a signal by its number. */
export function signalName(sig: number): string {
  return SIGNAL_NAMES[sig] ?? (sig === SIGRTMIN ? "SIGRTMIN" : `SIGRTMIN+${sig - SIGRTMIN}`);
}

/** A handler; what it returns counts only if it is an iterator, which is run then. */
export type SignalHandler = (info: SignalInfo) => unknown;

/** What an LWP is to enter a handler with. */
interface Frame {
  /** As it stands in the action. */
  readonly handler: number;
  readonly info: Siginfo;
  /** The mask to go back to. */
  readonly mask: readonly [number, number];
}

/** Takes the frame that `userret` has spoken of. */
export function takeFrame(l: Lwp): Frame {
  const { w } = l;
  const at = l.sigframe;
  const info: Siginfo = {
    signo: l.sigcaught,
    code: w[at + SF_CODE],
    pid: w[at + SF_PID],
    uid: w[at + SF_UID],
    lid: w[at + SF_LID],
  };
  l.sigcaught = 0;
  return { handler: w[at + SF_HANDLER], info, mask: [w[at + SF_MASK], w[at + SF_MASK + 1]] };
}

/** The function behind the handler of an action, in this realm; undefined if it is a closure of another one. */
export function handlerOf(l: Lwp, sig: number, handler: number): SignalHandler | undefined {
  const p = l.proc;
  if (handler >= SIG_ENTRY) return l.k.slots.entryAt(l, handler - SIG_ENTRY) as SignalHandler;
  return p.handlersGen === p.gen ? (p.handlers?.[sig] as SignalHandler | undefined) : undefined;
}

/** Keeps a closure as the handler of a signal of the caller's process, in this realm. */
export function keepHandler(l: Lwp, sig: number, handler: SignalHandler): void {
  const p = l.proc;
  if (p.handlersGen !== p.gen || p.handlers === null) {
    p.handlers = [];
    p.handlersGen = p.gen;
  }
  p.handlers[sig] = handler;
}

/** What runs on a thread while a handler does. */
export class HandlerFrame implements Body {
  /** What was interrupted, and what its context knew of it. */
  readonly interrupted: Body;
  readonly flags: number;
  readonly #mask: readonly [number, number];
  #handler: SignalHandler | undefined;
  readonly #info: SignalInfo;
  #body: Body | null = null;

  constructor(interrupted: Body, flags: number, handler: SignalHandler, frame: Frame) {
    this.interrupted = interrupted;
    this.flags = flags;
    this.#handler = handler;
    this.#info = signalInfo(frame.info);
    this.#mask = frame.mask;
  }

  next(): IteratorResult<Token, unknown> {
    if (this.#handler !== undefined) this.#begin(this.#handler);
    return this.#body === null ? DONE : this.#body.next();
  }

  #begin(handler: SignalHandler): void {
    this.#handler = undefined;
    const made = handler(this.#info) as Partial<Body> | null | undefined;
    if (typeof made?.next !== "function") return;
    this.#body = made as Body;
    // It is resumed at once, by this frame, and the frame by the context.
    delegateTo(handler, made);
  }

  throw(error: unknown): IteratorResult<Token, unknown> {
    if (this.#body?.throw === undefined) throw error;
    return this.#body.throw(error);
  }

  /** It has ended: back to the mask before it. */
  leave(l: Lwp): void {
    sigreturn(l, this.#mask[0], this.#mask[1]);
  }
}

const DONE: IteratorResult<Token, unknown> = { done: true, value: undefined };

/** The frame for the handler that `l` is to enter, on top of what it runs. */
export function handlerFrame(l: Lwp, interrupted: Body, flags: number): HandlerFrame {
  const frame = takeFrame(l);
  const handler = handlerOf(l, frame.info.signo, frame.handler);
  // An action that was changed in between leaves nothing to run.
  return new HandlerFrame(interrupted, flags, handler ?? (() => undefined), frame);
}
