/**
 * What the thread library needs of its realm: the program's entries, values that stay here.
 *
 * One per kernel and realm; the machine sets it up.
 */
import type { Kernel } from "../sys/kernel.js";
import { Decoder } from "./decode.js";
import { Encoder } from "./encode.js";

/** A generator function that threads start with. */
export type ThreadMain = (...args: never[]) => Iterator<unknown, unknown, undefined>;

/** Runs a function in an asynchronous context that was kept. */
export type Enter = <R>(body: () => R) => R;

/** What the machine provides. */
export interface RealmServices {
  /** Number of a portable entry of a program, or -1 for a closure. */
  entryOf(program: number, f: ThreadMain): number;
  /** The entry with that number. */
  entryAt(program: number, entry: number): ThreadMain;
  /** Where a program's spawn site stands: `file:line:column`; undefined if it has none of that number. */
  spawnSite?(program: number, site: number): string | undefined;
  /** What a closure at a program's spawn site closes over, if it could as well be a portable entry; else null. */
  movableClosure?(program: number, site: number): readonly string[] | null;
  /** Tells whoever runs the program what it had better do otherwise. */
  warn?(text: string): void;
  /** An exception that ends a process; reported at once. `spawnedAt` is where its thread was started, "" = unknown. */
  fatal(pid: number, lid: number, error: unknown, spawnedAt: string): void;
  /** A thread that failed, whose process ends and nobody has joined it: reported at once. */
  unjoined(pid: number, lid: number, error: unknown, spawnedAt: string): void;
  /** A misuse, which is to be told besides being thrown (thread/misuse.ts): what was wrong. */
  diagnosed?(pid: number, lid: number, what: string): void;
  /** The asynchronous context of the caller, for a closure that it starts; null if the host has nothing in it. */
  readonly asyncContext?: () => Enter | null;
  /** Keeps the event loop of this realm going, until what it returns is called. */
  readonly holdLoop?: () => () => void;
  /** Answers instead of the host what a thread of a simulated machine awaits: its value, or it throws. */
  readonly awaitHost?: (promise: PromiseLike<unknown>) => unknown;
}

export interface ThreadHost extends RealmServices {
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  /** Values of threads that stay in this realm, by thread index. */
  readonly locals: Map<number, unknown>;
}

export function setThreadHost(k: Kernel, services: RealmServices): void {
  const host: ThreadHost = {
    ...services,
    encoder: new Encoder(k),
    decoder: new Decoder(k),
    locals: new Map(),
  };
  k.threadHost = host;
}

export function threadHost(k: Kernel): ThreadHost {
  if (k.threadHost === null) throw new Error("no thread library is attached to this kernel");
  return k.threadHost as ThreadHost;
}

/** Where a program's spawn site stands; "" = unknown. */
export function spawnedAt(k: Kernel, program: number, site: number): string {
  return site === 0 ? "" : (threadHost(k).spawnSite?.(program, site) ?? "");
}

/** Name of the function that a portable entry is; "" if this realm does not know it. */
export function entryName(k: Kernel, program: number, entry: number): string {
  try {
    return threadHost(k).entryAt(program, entry)?.name ?? "";
  } catch {
    return "";
  }
}
