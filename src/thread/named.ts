/**
 * Named semaphores: those of the machine, which processes find by name.
 *
 * One list, under a lock of its own. A process has references, objects of its own that name the semaphore and count how many of
 * its threads wait through them. The semaphore goes when it has no name any more and no reference; until it is unlinked it
 * stays, though no process has it open.
 */
import { spinEnter, spinExit } from "../kern/spin.js";
import { syncobjAlloc, syncobjFree } from "../kern/syncobj.js";
import { fail } from "../syscall/operation.js";
import { EEXIST, EINVAL, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import { NAMED_COUNT, NAMED_FIRST } from "../sys/shapes.js";
import { SO_NAMED, SO_OPEN, SOF_UNLINKED, type Syncobj } from "../sys/syncobj.js";
import { type Existing, makeObject, onRelease } from "./object.js";

/** Longest name, its slash included; most of them. */
const NAME_MAX = 14;
const NAMED_MAX = 128;

/** How a named semaphore is opened. */
export interface OpenOptions {
  /** Make it if there is none: with `value` permits, 0 unless said. */
  readonly create?: boolean;
  readonly value?: number;
  /** With `create`: EEXIST if there is one. */
  readonly exclusive?: boolean;
}

/** A reference of the caller's process to the semaphore of that name. `value` is checked. */
export function namedOpen(l: Lwp, name: string, options: OpenOptions): Existing {
  const { k } = l;
  const { create = false, exclusive = false, value = 0 } = options;
  checkName(name, "open");
  if (create && !/^\/[\x21-\x2e\x30-\xff]+$/.test(name))
    fail(EINVAL, "Semaphore.open", undefined, "a name is /x…");
  const reference = makeObject(l, "Semaphore", SO_OPEN, { name });
  const fresh = create ? make(l, name, value) : null;
  if (create && fresh === null) {
    syncobjFree(reference.o);
    fail(ENOMEM, "Semaphore.open", undefined, "the table of objects is full");
  }
  let error = 0;
  spinEnter(k, k.namedtab);
  let s = find(k, name);
  if (s !== null) {
    if (create && exclusive) error = EEXIST;
  } else if (fresh === null) {
    error = ENOENT;
  } else if (k.w[k.namedtab + NAMED_COUNT] >= NAMED_MAX) {
    error = ENFILE;
  } else {
    s = fresh;
    s.target = k.w[k.namedtab + NAMED_FIRST];
    k.w[k.namedtab + NAMED_FIRST] = s.index;
    k.w[k.namedtab + NAMED_COUNT]++;
  }
  if (error === 0 && s !== null) {
    s.count++;
    reference.o.target = s.index;
  }
  spinExit(k, k.namedtab);
  if (fresh !== null && fresh !== s) syncobjFree(fresh);
  if (error !== 0) {
    syncobjFree(reference.o);
    fail(error, "Semaphore.open", undefined, `there is ${error === EEXIST ? "one" : "no semaphore"} ${name}`);
  }
  return reference;
}

/** Takes the name away; the semaphore goes with its last reference. */
export function namedUnlink({ k }: Lwp, name: string): void {
  checkName(name, "unlink");
  spinEnter(k, k.namedtab);
  const s = find(k, name);
  if (s !== null) {
    remove(k, s);
    s.flags |= SOF_UNLINKED;
    if (s.count === 0) syncobjFree(s);
  }
  spinExit(k, k.namedtab);
  if (s === null) fail(ENOENT, "Semaphore.unlink", undefined, `there is no semaphore ${name}`);
}

/** A reference goes: nobody waits through it. */
onRelease(SO_OPEN, (reference) => {
  const { k, target } = reference;
  // One that was never finished names nothing.
  if (target === 0) return;
  const s = k.syncobjs.view(target);
  spinEnter(k, k.namedtab);
  s.count--;
  if (s.count === 0 && (s.flags & SOF_UNLINKED) !== 0) syncobjFree(s);
  spinExit(k, k.namedtab);
});

function checkName(name: unknown, call: string): void {
  if (typeof name !== "string") fail(EINVAL, `Semaphore.${call}`, undefined, "the name must be a string");
  if (name.length > NAME_MAX) fail(ENAMETOOLONG, `Semaphore.${call}`);
}

/** The machine's own: no process's. */
function make(l: Lwp, name: string, value: number): Syncobj | null {
  const s = syncobjAlloc(l, SO_NAMED, name);
  if (s === null) return null;
  s.proc = 0;
  s.pid = 0;
  s.value = value | 0;
  return s;
}

/** The one of that name. The list is locked, as below. */
function find(k: Kernel, name: string): Syncobj | null {
  for (let i = k.w[k.namedtab + NAMED_FIRST]; i !== 0; i = k.syncobjs.view(i).target) {
    const s = k.syncobjs.view(i);
    if (s.name === name) return s;
  }
  return null;
}

function remove(k: Kernel, s: Syncobj): void {
  const first = k.namedtab + NAMED_FIRST;
  if (k.w[first] === s.index) {
    k.w[first] = s.target;
  } else {
    let before = k.syncobjs.view(k.w[first]);
    while (before.target !== s.index) before = k.syncobjs.view(before.target);
    before.target = s.target;
  }
  s.target = 0;
  k.w[k.namedtab + NAMED_COUNT]--;
}
