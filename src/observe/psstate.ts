/**
 * How ps and top write the state of a process or LWP (MCH-80, 82): pure functions of what is known about it, so that whoever
 * has the facts, from whatever listing, writes them alike.
 */
import { LSDEAD, LSIDL, LSONPROC, LSRUN, LSSLEEP, LSSTOP, LSSUSPENDED, LSZOMB } from "../sys/param.js";

/** Seconds of sleep from which on a thread counts as idle. */
export const MAXSLP = 20;

/** What the letter of a state depends on. */
export interface StateFacts {
  /** LSIDL .. LSSUSPENDED */
  readonly stat: number;
  /** Whether its sleep can be interrupted. */
  readonly interruptible: boolean;
  /** Whole seconds asleep. */
  readonly slptime: number;
}

/** T stopped; S asleep, I for long, D where nothing interrupts it; R runnable; O on a CPU; Z dead; U suspended; ? else. */
export function stateLetter({ stat, interruptible, slptime }: StateFacts): string {
  switch (stat) {
    case LSSTOP:
      return "T";
    case LSSLEEP:
      if (!interruptible) return "D";
      return slptime >= MAXSLP ? "I" : "S";
    case LSRUN:
    case LSIDL:
      return "R";
    case LSONPROC:
      return "O";
    case LSZOMB:
      return "Z";
    case LSSUSPENDED:
      return "U";
    default:
      return "?";
  }
}

/** What follows the letter of a process. */
export interface ProcFacts extends StateFacts {
  /** From -20 to 20; 0 is neither nice nor greedy. */
  readonly nice: number;
  readonly traced: boolean;
  readonly exiting: boolean;
  /** Made by vfork, and its parent still waits. */
  readonly vforked: boolean;
  readonly system: boolean;
  readonly leader: boolean;
  readonly nlwps: number;
  readonly foreground: boolean;
}

/** The column STAT of a process. */
export function procState(p: ProcFacts): string {
  const marks: [boolean, string][] = [
    [p.nice < 0, "<"],
    [p.nice > 0, "N"],
    [p.traced, "X"],
    [p.exiting, "E"],
    [p.vforked, "V"],
    [p.system, "K"],
    [p.leader, "s"],
    [p.nlwps > 1, "l"],
    [p.foreground, "+"],
  ];
  return stateLetter(p) + marks.map(([is, mark]) => (is ? mark : "")).join("");
}

/** What follows the letter of an LWP. */
export interface LwpFacts extends StateFacts {
  readonly system: boolean;
  readonly detached: boolean;
}

/** The column STAT of an LWP (`lstate`). */
export function lwpState(l: LwpFacts): string {
  const letter = l.stat === LSDEAD ? "Z" : stateLetter(l);
  return `${letter}${l.system ? "K" : ""}${l.detached ? "-" : ""}`;
}

/** Names of top's states by their numbers. The original has none for 8, and reads past its table. */
const TOP_STATES = ["", "IDLE", "RUN", "SLEEP", "STOP", "ZOMB", "DEAD", "CPU", "SUSP"];
/** States whose CPU top shows where there are several. */
const WITH_CPU: readonly number[] = [LSONPROC, LSRUN, LSSLEEP, LSIDL];

/** The column STATE of top: a sleeper shows what it waits for. */
export function topState(stat: number, wmesg: string, cpu: number, ncpu: number): string {
  const name = stat === LSSLEEP && wmesg !== "" ? wmesg : (TOP_STATES[stat] ?? "?");
  return ncpu > 1 && WITH_CPU.includes(stat) ? `${name}/${cpu}` : name;
}
