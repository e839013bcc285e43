/**
 * Handles: objects that stand for something of the machine, and travel between threads as themselves.
 *
 * A class whose instances name a record of kernel memory says here how one becomes numbers, and comes out again on whatever CPU
 * as an instance of the same class. What a handle names may be gone by then: the class finds out at use, by the generation.
 */
import type { Kernel } from "../sys/kernel.js";

/** One class of handles. */
export interface HandleKind<T extends object> {
  /** Whether a value is one: by a private field (`#at in value`), so that nothing else passes for it. */
  is(value: object): value is T;
  /**
   * The numbers that name it, at most 255: index and generation above all. Throws an error that says why if it cannot leave
   * its realm, or is of another machine than `k`.
   */
  write(k: Kernel, handle: T): readonly number[];
  /** A handle of this realm with those numbers. */
  read(k: Kernel, numbers: readonly number[]): T;
}

const kinds = new Map<string, HandleKind<object>>();

/** Lets the instances of a class travel. `tag` is the name of the class; called once, where the class is declared. */
export function registerHandle<T extends object>(tag: string, kind: HandleKind<T>): void {
  if (kinds.has(tag)) throw new Error(`handles of ${tag} are registered already`);
  kinds.set(tag, kind as unknown as HandleKind<object>);
}

/** The tag of the class that a value is a handle of; null if of none. */
export function handleTag(value: object): string | null {
  for (const [tag, kind] of kinds) if (kind.is(value)) return tag;
  return null;
}

/** The class with that tag. */
export function handleKind(tag: string): HandleKind<object> {
  const kind = kinds.get(tag);
  if (kind === undefined) throw new Error(`no class ${tag} is loaded in this realm`);
  return kind;
}

/** A class of errors that comes out as itself. Others come out as the nearest such class that they extend. */
export type ErrorClass = { readonly prototype: Error };

const errorClasses = new Map<string, ErrorClass>();
const errorNames = new Map<object, string>();

/** Lets the errors of a class travel as such; `name` is the name of the class. */
export function registerError(name: string, Class: ErrorClass): void {
  errorClasses.set(name, Class);
  errorNames.set(Class.prototype, name);
}

/** The name of the nearest registered class of an error. */
export function errorClassName(error: object): string {
  for (let p: object | null = Object.getPrototypeOf(error); p !== null; p = Object.getPrototypeOf(p)) {
    const name = errorNames.get(p);
    if (name !== undefined) return name;
  }
  return "Error";
}

/** The class registered under that name, or Error. */
export function errorClass(name: string): ErrorClass {
  return errorClasses.get(name) ?? Error;
}
