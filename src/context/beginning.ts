/**
 * The first run of a generator LWP (LWP-50): its code begins after a return to user mode.
 *
 * Invariant: between what the body takes of the handshake (polls.ts) and its first instruction, nothing else begins.
 */
import { cur } from "../sys/current.js";
import { KernelAssertion } from "../sys/errno.js";
import { type Lwp, LwpRecord } from "../sys/lwp.js";
import { lwpStartup } from "../kern/lwpcreate.js";
import { asksForUserret, RET_USER, userret } from "../kern/userret.js";
import { bodyFrom, failing, tokenOf } from "./body.js";
import { handshake, takeFirst } from "./polls.js";
import type { Body } from "./token.js";

// By address: see kern/runq.ts.
const REALM = LwpRecord.offset.realm;

/** What an LWP runs, until it does: stands in its context. */
export interface Code {
  /** Calls it; what this throws the body throws, as if its first line had. */
  make(l: Lwp): Body;
}

/** Makes the body of an LWP that runs for the first time: called once, on its context. */
export function begin(l: Lwp, code: Code): Body {
  lwpStartup(l);
  const body = made(l, code);
  // R4: a generator belongs to the realm that started it.
  l.w[l.at + REALM] = cur.cpu.realm;
  const polls = takeFirst(body);
  if (asksForUserret(l)) return enterUserMode(l, body, polls);
  // It is resumed at once.
  handshake.delegated = polls;
  return body;
}

function made(l: Lwp, code: Code): Body {
  try {
    return code.make(l);
  } catch (error) {
    if (error instanceof KernelAssertion) throw error;
    return failing(error);
  }
}

/** Told to exit, suspended or boosted before it ever ran: not a step of its code comes first. */
function* enterUserMode(l: Lwp, body: Body, polls: boolean): Body {
  for (let r = userret(l); r !== RET_USER; r = userret(l)) yield tokenOf(r);
  handshake.delegated = polls;
  return yield* { [Symbol.iterator]: () => bodyFrom(body) };
}
