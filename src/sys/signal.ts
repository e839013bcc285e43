/**
 * Signals: their numbers and properties, what a process does about them, and the details that travel with one (PRC-66, 67).
 *
 * A set of signals is two words; signal `n` is bit (n-1) mod 32 of word (n-1) div 32. All values are NetBSD's.
 */
import { defineRecord, type Face, i32, View } from "./record.js";

/** Signals are 1..63. */
export const NSIG = 64;

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGEMT = 7;
export const SIGFPE = 8;
/** Ends a process, whatever it does. */
export const SIGKILL = 9;
export const SIGBUS = 10;
export const SIGSEGV = 11;
export const SIGSYS = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGURG = 16;
/** Stops a process, whatever it does. */
export const SIGSTOP = 17;
export const SIGTSTP = 18;
export const SIGCONT = 19;
export const SIGCHLD = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIGIO = 23;
export const SIGXCPU = 24;
export const SIGXFSZ = 25;
export const SIGVTALRM = 26;
export const SIGPROF = 27;
export const SIGWINCH = 28;
export const SIGINFO = 29;
export const SIGUSR1 = 30;
export const SIGUSR2 = 31;
export const SIGPWR = 32;
export const SIGRTMIN = 33;
export const SIGRTMAX = 63;

/** The names of 1..32, by number. */
export const SIGNAL_NAMES = [
  "",
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGEMT",
  "SIGFPE",
  "SIGKILL",
  "SIGBUS",
  "SIGSEGV",
  "SIGSYS",
  "SIGPIPE",
  "SIGALRM",
  "SIGTERM",
  "SIGURG",
  "SIGSTOP",
  "SIGTSTP",
  "SIGCONT",
  "SIGCHLD",
  "SIGTTIN",
  "SIGTTOU",
  "SIGIO",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGWINCH",
  "SIGINFO",
  "SIGUSR1",
  "SIGUSR2",
  "SIGPWR",
] as const;

// --- properties --------------------------------------------------------------------------------

/** Ends the process by default; with a dump of it; stops it; does nothing. */
export const SP_KILL = 0x1;
export const SP_CORE = 0x2;
export const SP_STOP = 0x4;
export const SP_TTYSTOP = 0x8;
export const SP_IGNORE = 0x10;
export const SP_CONT = 0x20;
/** Can be neither masked, nor ignored, nor caught. */
export const SP_CANTMASK = 0x40;
/** Its action is not reset when it is taken (SA_RESETHAND). */
export const SP_NORESET = 0x80;
/** Comes from what one LWP did: descriptive only. */
export const SP_TOLWP = 0x100;
/** Acts on all LWPs of a process, whomever it is directed to. */
export const SP_TOALL = 0x200;

const CORE = [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGEMT, SIGFPE, SIGBUS, SIGSEGV, SIGSYS];
const TTYSTOP = [SIGTSTP, SIGTTIN, SIGTTOU];
const STOP = [SIGSTOP, ...TTYSTOP];
const IGNORE = [SIGURG, SIGCONT, SIGCHLD, SIGIO, SIGWINCH, SIGINFO, SIGPWR];
const TOLWP = [SIGILL, SIGTRAP, SIGEMT, SIGFPE, SIGBUS, SIGSEGV, SIGSYS];
const TOALL = [SIGKILL, SIGSTOP, SIGTSTP, SIGCONT, SIGTTIN, SIGTTOU];

/** Properties of each signal, by number. */
export const SIGPROP: readonly number[] = (() => {
  const props = Array.from({ length: NSIG }, (_, sig) =>
    sig === 0 || STOP.includes(sig) || IGNORE.includes(sig) ? 0 : SP_KILL,
  );
  const add = (signals: readonly number[], prop: number): void => {
    for (const sig of signals) props[sig] |= prop;
  };
  add(CORE, SP_CORE);
  add(STOP, SP_STOP);
  add(TTYSTOP, SP_TTYSTOP);
  add(IGNORE, SP_IGNORE);
  add([SIGCONT], SP_CONT);
  add([SIGKILL, SIGSTOP], SP_CANTMASK);
  add([SIGILL, SIGTRAP, SIGPWR], SP_NORESET);
  add(TOLWP, SP_TOLWP);
  add(TOALL, SP_TOALL);
  return props;
})();

// --- actions -----------------------------------------------------------------------------------

/**
 * What stands as the handler of an action: the default one, none, or a program's: number `n` of its portable entries as
 * SIG_ENTRY + n, or a closure of realm `r` as -r, which only LWPs of that realm can run.
 */
export const SIG_DFL = 0;
export const SIG_IGN = 1;
export const SIG_ENTRY = 2;

export const SA_ONSTACK = 0x1;
export const SA_RESTART = 0x2;
export const SA_RESETHAND = 0x4;
export const SA_NOCLDSTOP = 0x8;
export const SA_NODEFER = 0x10;
export const SA_NOCLDWAIT = 0x20;
export const SA_SIGINFO = 0x40;
export const SA_ALLBITS = 0x7f;

/** How `sigprocmask` changes a mask. */
export const SIG_BLOCK = 1;
export const SIG_UNBLOCK = 2;
export const SIG_SETMASK = 3;

/** The actions of a process: of each signal its handler, its flags, the two words of its mask. */
export const SIGACT_HANDLER = 0;
/** As they differ from SA_RESTART, which is what each begins with (PRC-25): so a zeroed table is the default. */
export const SIGACT_FLAGS = NSIG;
export const SIGACT_MASK = 2 * NSIG;
export const SIGACT_WORDS = 4 * NSIG;

// --- details -----------------------------------------------------------------------------------

/** Where a signal came from: `kill`, a timer, `_lwp_kill`; nobody knows. */
export const SI_USER = 0;
export const SI_QUEUE = -1;
export const SI_TIMER = -2;
export const SI_LWP = -5;
export const SI_NOINFO = 32767;

/** What travels with a signal. */
export interface Siginfo {
  signo: number;
  /** SI_* */
  code: number;
  /** Process and effective user of the sender. */
  pid: number;
  uid: number;
  /** The LWP it is directed to; 0 = any. */
  lid: number;
}

export const ksiginfoFields = {
  /** The next one on its queue; 0 = none. */
  next: i32("p"),
  signo: i32("p"),
  code: i32("p"),
  pid: i32("p"),
  uid: i32("p"),
  lid: i32("p"),
} as const;

class KsiginfoView extends View {}

export interface Ksiginfo extends KsiginfoView, Face<typeof ksiginfoFields> {}
declare module "./record.js" {
  interface RecordTypes {
    ksiginfo: Ksiginfo;
  }
}
export const KsiginfoRecord = defineRecord<Ksiginfo>("Ksiginfo", ksiginfoFields, KsiginfoView);

// --- what a handler is entered with, and what `sigtimedwait` is handed ---------------------------

/** Words of `l.sigframe`: the handler, the details but for the number, the mask to go back to. */
export const SF_HANDLER = 0;
export const SF_CODE = 1;
export const SF_PID = 2;
export const SF_UID = 3;
export const SF_LID = 4;
export const SF_MASK = 5;
export const SF_WORDS = 8;
