/**
 * Which context runs an LWP: filled into the kernel's slot by each realm.
 */
import type { Kernel } from "../sys/kernel.js";
import { type Context, type Lwp, LwpRecord } from "../sys/lwp.js";
import { CTX_CLOSURE, CTX_ENTRY, CTX_KTHREAD, CTX_STEP } from "../sys/param.js";
import { kthreadMain } from "../kern/kthread.js";
import { panic } from "../kern/panic.js";
import type { Code } from "./beginning.js";
import { type Body, type Ending, EXIT_LWP, GeneratorContext, PLAIN_ENDING } from "./generator.js";
import { handshake, threadBody } from "./polls.js";
import { StepContext, type StepFunction } from "./step.js";

// The words of every start, by address: see kern/runq.ts.
const CTXKIND = LwpRecord.offset.ctxkind;

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
  const code = new ByKind(options);
  k.slots.contextFor = (l) => {
    const kind = l.w[l.at + CTXKIND];
    if (kind === CTX_STEP) return steps;
    const context = new GeneratorContext(code, kind === CTX_KTHREAD ? KERNEL_ENDING : ending);
    l.context = context;
    return context;
  };
}

/** A kernel thread ends by returning. */
const KERNEL_ENDING: Ending = {
  returned: () => EXIT_LWP,
  threw: (l, error) => panic(l.k, `kernel thread "${l.name}": ${String(error)}`),
};

/** What an LWP begins with is said by its words, and its closure: one for all of a realm. */
class ByKind implements Code {
  readonly #startEntry: ContextOptions["startEntry"];

  constructor(options: ContextOptions) {
    this.#startEntry = options.startEntry;
  }

  make(l: Lwp): Body {
    const kind = l.w[l.at + CTXKIND];
    if (kind === CTX_KTHREAD) return kthreadMain(l);
    if (kind === CTX_CLOSURE) {
      const closure = l.closure as ThreadClosure;
      l.closure = null;
      const body = closure();
      return handshake.first === body ? body : threadBody(closure, body);
    }
    if (kind === CTX_ENTRY && this.#startEntry !== undefined) return this.#startEntry(l);
    return panic(l.k, `LWP ${l.proc.pid}.${l.lid} has nothing to run (kind ${kind})`);
  }
}

/** For kernels whose contexts are all of one kind. */
export type { Context };
