/**
 * Which context runs an LWP: filled into the kernel's slot by each realm.
 */
import { cur } from "../sys/current.js";
import { KernelAssertion } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import { type Context, type Lwp, LwpRecord } from "../sys/lwp.js";
import { CTX_CLOSURE, CTX_ENTRY, CTX_KTHREAD, CTX_STEP } from "../sys/param.js";
import { kthreadMain } from "../kern/kthread.js";
import { lwpStartup } from "../kern/lwpcreate.js";
import { panic } from "../kern/panic.js";
import { asksForUserret, RET_USER, userret } from "../kern/userret.js";
import {
  type Body,
  bodyFrom,
  type Ending,
  EXIT_LWP,
  failing,
  GeneratorContext,
  PLAIN_ENDING,
  tokenOf,
} from "./generator.js";
import { handshake, takeFirst, threadBody } from "./polls.js";
import { StepContext, type StepFunction } from "./step.js";

// The words of every start, by address: see kern/runq.ts.
const { ctxkind: CTXKIND, realm: REALM } = LwpRecord.offset;

export interface ContextOptions {
  /** Step functions by id; the same on every CPU. */
  readonly steps?: readonly StepFunction[];
  /** Starts a portable entry in this realm. */
  readonly startEntry?: (l: Lwp) => Body;
  /** The function of an LWP's program that is the portable entry with that number; the number of one, or -1. */
  readonly entryAt?: (l: Lwp, entry: number) => unknown;
  readonly entryOf?: (l: Lwp, f: unknown) => number;
  /** Told of what ends a thread's code. */
  readonly ending?: Ending;
}

/** A closure that an LWP starts with. */
export type ThreadClosure = () => Body;

/** Attaches contexts to this realm's kernel. */
export function attachContexts(k: Kernel, options: ContextOptions): void {
  const steps = new StepContext(options.steps ?? []);
  const ending = options.ending ?? PLAIN_ENDING;
  if (options.entryAt !== undefined) k.slots.entryAt = options.entryAt;
  if (options.entryOf !== undefined) k.slots.entryOf = options.entryOf;
  k.slots.contextFor = (l) => {
    const kind = l.w[l.at + CTXKIND];
    if (kind === CTX_STEP) return steps;
    const body = start(k, l, kind, options);
    const context = new GeneratorContext(body, kind === CTX_KTHREAD ? KERNEL_ENDING : ending);
    l.context = context;
    // R4: a generator belongs to the realm that started it.
    l.w[l.at + REALM] = cur.cpu.realm;
    return context;
  };
}

/** A kernel thread ends by returning. */
const KERNEL_ENDING: Ending = {
  returned: () => EXIT_LWP,
  threw: (l, error) => panic(l.k, `kernel thread "${l.name}": ${String(error)}`),
};

/** First run of a generator LWP (LWP-50); its code begins after a return to user mode. */
function start(k: Kernel, l: Lwp, kind: number, options: ContextOptions): Body {
  lwpStartup(l);
  const body = bodyOf(k, l, kind, options);
  const polls = takeFirst(body);
  if (asksForUserret(l)) return enterUserMode(l, body, polls);
  // The dispatcher resumes it at once.
  handshake.delegated = polls;
  return body;
}

/** Told to exit, suspended or boosted before it ever ran: not a step of its code comes first. */
function* enterUserMode(l: Lwp, body: Body, polls: boolean): Body {
  for (let r = userret(l); r !== RET_USER; r = userret(l)) yield tokenOf(r);
  handshake.delegated = polls;
  return yield* { [Symbol.iterator]: () => bodyFrom(body) };
}

function bodyOf(k: Kernel, l: Lwp, kind: number, options: ContextOptions): Body {
  if (kind === CTX_KTHREAD) return kthreadMain(l);
  try {
    if (kind === CTX_CLOSURE) {
      const closure = l.closure as ThreadClosure;
      l.closure = null;
      const body = closure();
      return handshake.first === body ? body : threadBody(closure, body);
    }
    if (kind === CTX_ENTRY && options.startEntry !== undefined) return options.startEntry(l);
  } catch (error) {
    if (error instanceof KernelAssertion) throw error;
    // Called, as by its parameters, before there is a generator: as if its first line threw.
    return failing(error);
  }
  panic(k, `LWP ${l.proc.pid}.${l.lid} has nothing to run (kind ${kind})`);
}

/** For kernels whose contexts are all of one kind. */
export type { Context };
