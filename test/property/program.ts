/**
 * Random programs: plain data, so that a failing one can be printed, shrunk and run again.
 */
import fc from "fast-check";

/** What a thread can do. Targets are numbers that are taken modulo what exists when the call is made. */
export const CALLS = [
  "lwpCreate",
  "createStep",
  "createAbandoned",
  "lwpExit",
  "lwpSelf",
  "lwpWait",
  "lwpSuspend",
  "lwpContinue",
  "lwpWakeup",
  "lwpDetach",
  "lwpPark",
  "lwpPark until",
  "lwpUnpark",
  "lwpUnparkAll",
  "lwpSetname",
  "lwpGetname",
  "lwpCtl",
  "lwpSetprivate",
  "lwpGetprivate",
  "schedYield",
  "setuid",
  "seteuid",
  "getuid",
  "geteuid",
  "schedSetparam",
  "schedGetparam",
  "schedSetaffinity",
  "schedGetaffinity",
  "sysctl",
  "vfork",
  "lwpReclaim",
  "xcall low",
  "xcall high",
  "kthread",
  "pserializePerform",
  "lwpSpecificKeyCreate",
  "lwpSpecificKeyDelete",
  "lwpSetspecific",
  "lwpGetspecific",
  "procSpecificKeyCreate",
  "procSpecificKeyDelete",
  "procSetspecific",
  "procGetspecific",
  "sigaction",
  "lwpKill",
  "sigprocmask",
  "sigpending",
  "kill",
  "sigtimedwait",
  "sigsuspend",
  "alarm",
  "procExit",
] as const;

export type CallName = (typeof CALLS)[number];

/** A call with two numbers, of which it makes what it needs: a target, flags, a deadline, a hint. */
export type Call = readonly [name: CallName, a: number, b: number];

export interface ProcessSpec {
  readonly uid: number;
  /** Soft RLIMIT_NTHR. */
  readonly nthr: number;
  /** Its LWPs, but the first, have ids of the pid table, as those of Linux threads (LWP_PIDLID). */
  readonly pidlids: boolean;
  /** What its threads do: the first thread the first, created ones any of the others. */
  readonly scripts: readonly (readonly Call[])[];
}

export interface Program {
  readonly cpus: number;
  /** Limit of LWP records of the machine. */
  readonly lwps: number;
  /** Seed of the schedule. */
  readonly seed: number;
  readonly processes: readonly ProcessSpec[];
}

/** How often each call is made, relative to the others, by a thread that may go on after it. */
const WEIGHTS: Readonly<Record<CallName, number>> = {
  lwpCreate: 8,
  createStep: 4,
  createAbandoned: 6,
  lwpExit: 2,
  lwpSelf: 4,
  lwpWait: 7,
  lwpSuspend: 8,
  lwpContinue: 9,
  lwpWakeup: 10,
  lwpDetach: 5,
  lwpPark: 7,
  "lwpPark until": 6,
  lwpUnpark: 7,
  lwpUnparkAll: 4,
  lwpSetname: 4,
  lwpGetname: 4,
  lwpCtl: 4,
  lwpSetprivate: 4,
  lwpGetprivate: 4,
  schedYield: 5,
  setuid: 4,
  seteuid: 4,
  getuid: 4,
  geteuid: 4,
  schedSetparam: 6,
  schedGetparam: 4,
  schedSetaffinity: 6,
  schedGetaffinity: 4,
  sysctl: 4,
  vfork: 5,
  lwpReclaim: 4,
  "xcall low": 4,
  "xcall high": 4,
  kthread: 4,
  pserializePerform: 4,
  lwpSpecificKeyCreate: 4,
  lwpSpecificKeyDelete: 3,
  lwpSetspecific: 5,
  lwpGetspecific: 4,
  procSpecificKeyCreate: 4,
  procSpecificKeyDelete: 3,
  procSetspecific: 5,
  procGetspecific: 4,
  sigaction: 3,
  lwpKill: 7,
  sigprocmask: 4,
  sigpending: 4,
  kill: 4,
  sigtimedwait: 4,
  sigsuspend: 4,
  alarm: 4,
  procExit: 2,
};

const number = fc.nat({ max: 255 });

const anyCall: fc.Arbitrary<Call> = fc
  .tuple(
    fc.oneof(...CALLS.map((name) => ({ weight: WEIGHTS[name], arbitrary: fc.constant(name) }))),
    number,
    number,
  )
  .map(([name, a, b]) => [name, a, b] as const);

const script = fc.array(anyCall, { minLength: 4, maxLength: 26, size: "max" });

/** The first thread begins with three creations: what is to be seen takes several threads. */
const mainScript = fc
  .tuple(fc.array(fc.tuple(number, number), { minLength: 3, maxLength: 3 }), script, number)
  .map(([made, rest, last]): readonly Call[] => [
    ...made.map(([a, b]): Call => ["lwpCreate", a, b]),
    ...rest,
    last % 3 === 0 ? ["lwpExit", 0, 0] : ["procExit", last, 0],
  ]);

const processSpec: fc.Arbitrary<ProcessSpec> = fc.record({
  uid: fc.nat({ max: 2 }),
  nthr: fc.constantFrom(5, 8, 100),
  pidlids: fc.nat({ max: 3 }).map((n) => n === 0),
  scripts: fc
    .tuple(mainScript, fc.array(script, { minLength: 2, maxLength: 4, size: "max" }))
    .map(([main, others]) => [main, ...others]),
});

export const program: fc.Arbitrary<Program> = fc.record({
  cpus: fc.integer({ min: 1, max: 4 }),
  lwps: fc.constantFrom(24, 256),
  seed: fc.integer(),
  processes: fc.array(processSpec, { minLength: 5, maxLength: 7, size: "max" }),
});
