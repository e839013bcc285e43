/**
 * Step contexts: functions that are called with their words each time and say yield, park or exit.
 *
 * Their whole state is sixteen words of kernel memory, so after any switch they may go on on any CPU. They keep the kernel
 * honest: nothing in it may assume a generator.
 */
import type { Context, Lwp } from "../sys/lwp.js";
import { cur } from "../sys/current.js";
import { lwpStartup } from "../kern/lwpcreate.js";
import { PARK_PENDING, parkBlock, parkUnblock } from "../kern/park.js";
import { BLOCK_SWITCHED } from "../kern/sleepq.js";
import { yieldCpu } from "../kern/switch.js";
import { asksForUserret, RET_EXIT, RET_SIGNAL, RET_SWITCH, userret } from "../kern/userret.js";
import type { Code } from "./beginning.js";
import { failing } from "./body.js";
import { takeFrame } from "./handler.js";
import { sigreturn } from "../kern/signal.js";
import { GeneratorContext, PLAIN_ENDING } from "./generator.js";

/** What a step function sees: its words, and the result of its last park. */
export class StepThread {
  readonly l: Lwp;
  constructor(l: Lwp) {
    this.l = l;
  }
  /** Word `i`, 0..15. */
  get(i: number): number {
    return this.l.w[this.l.words + i];
  }
  set(i: number, value: number): void {
    this.l.w[this.l.words + i] = value;
  }
  /** 0, or the error of the last park. */
  get result(): number {
    return this.l.retval;
  }
  get lid(): number {
    return this.l.lid;
  }
}

/** What a step function wants next; STEP_PARK takes the ticks from word 15, 0 = for ever. */
export const STEP_YIELD = 1;
export const STEP_PARK = 2;
export const STEP_EXIT = 3;
/** Word that holds the ticks of STEP_PARK. */
export const STEP_TICKS_WORD = 15;

export type StepFunction = (t: StepThread) => number;

/** Where a step LWP stands (`l.phase`). */
const NEW = 0;
const CALL = 1;
const RETURNING = 2;
const PARKED = 3;

/** Runs all step LWPs of a realm: it has no state of its own. */
export class StepContext implements Context {
  readonly #functions: readonly StepFunction[];

  constructor(functions: readonly StepFunction[]) {
    this.#functions = functions;
  }

  resume(l: Lwp): boolean {
    for (;;) {
      switch (l.phase) {
        case NEW:
          lwpStartup(l);
          l.phase = asksForUserret(l) ? RETURNING : CALL;
          break;
        case PARKED:
          l.retval = parkUnblock(l, BLOCK_SWITCHED, l.w[l.words + STEP_TICKS_WORD]);
          l.phase = RETURNING;
          break;
        case RETURNING: {
          const r = userret(l);
          if (r === RET_SWITCH) return true;
          if (r === RET_EXIT) return this.#exit(l);
          if (r === RET_SIGNAL) {
            // A handler is a function of some realm, and it has none: the signal has only ended its sleep.
            const { mask } = takeFrame(l);
            sigreturn(l, mask[0], mask[1]);
            break;
          }
          l.phase = CALL;
          break;
        }
        default:
          if (this.#call(l)) return true;
          if (l.phase === CALL) return this.#exit(l);
      }
    }
  }

  /** Calls the function once and does what it says; true when the LWP has been switched out. */
  #call(l: Lwp): boolean {
    const action = this.#functions[l.entry](new StepThread(l));
    if (action === STEP_EXIT) return false;
    if (action === STEP_YIELD) {
      l.phase = RETURNING;
      return yieldCpu(l);
    }
    const ticks = l.w[l.words + STEP_TICKS_WORD];
    // Before the switch: once it is unlocked, another CPU may resume it.
    l.phase = PARKED;
    const how = parkBlock(l, 0, ticks);
    if (how === BLOCK_SWITCHED) return true;
    l.retval = parkUnblock(l, how, how === PARK_PENDING ? 0 : ticks);
    l.phase = RETURNING;
    return false;
  }

  /** The exit may sleep: from here the LWP belongs to this realm. */
  #exit(l: Lwp): boolean {
    l.realm = cur.cpu.realm;
    return new GeneratorContext(NOTHING, PLAIN_ENDING).leave(l);
  }
}

/** It never begins. */
const NOTHING: Code = { make: () => failing(new Error("a step LWP has no code to begin with")) };
