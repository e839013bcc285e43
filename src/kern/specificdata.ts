/**
 * Specificdata: values that parts of the kernel keep with each LWP and each process (MCH-30..36).
 *
 * A part makes a key, once, and names the destructor of its values by its number in `slots.destructors`; a value is a word, 0 is
 * null. Each LWP or process that has a value has a container, sized to the keys there were at the time. The domains of LWPs
 * and of processes are independent.
 *
 * The domain's lock sleeps: it is held while destructors run, which may sleep but must not come back to the same domain. What
 * fits into the caller's own container is read and written without it.
 *
 * Differs from the original: a domain has room for SPECIFIC_KEYS_MAX keys, and one more is EAGAIN; at the exit of a process the
 * destructors run before `proc_lock` is taken, which spins here, so they may take it.
 */
import { cur } from "../sys/current.js";
import { EAGAIN } from "../sys/errno.js";
import type { Kernel } from "../sys/kernel.js";
import type { Lwp } from "../sys/lwp.js";
import type { Proc } from "../sys/proc.js";
import {
  type Container,
  SPD_FIRST,
  SPD_KEYS,
  SPD_LOCK,
  SPD_NKEYS,
  SPECIFIC_KEYS_MAX,
} from "../sys/specificdata.js";
import { IPL_NONE, MUTEX_DEFAULT, mutexEnter, mutexExit, mutexInit } from "./mutex.js";
import { kassert, panic } from "./panic.js";
import { poolGet, poolPut } from "./pool.js";

/** Number of the destructor that does nothing: a key without one is in use all the same. */
export const DTOR_NONE = 1;

/** Sets up an empty domain: at boot. */
export function specificdataInit(k: Kernel, domain: number): void {
  mutexInit(k, domain + SPD_LOCK, MUTEX_DEFAULT, IPL_NONE);
}

/** A new key, the lowest that is free; or -EAGAIN. `dtor` 0 = none. May sleep. */
function* keyCreate(k: Kernel, domain: number, dtor: number): Generator<void, number, void> {
  const { w } = k;
  yield* mutexEnter(k, domain + SPD_LOCK);
  let key = 0;
  while (key < w[domain + SPD_NKEYS] && w[domain + SPD_KEYS + key] !== 0) key++;
  if (key < SPECIFIC_KEYS_MAX) {
    if (key === w[domain + SPD_NKEYS]) w[domain + SPD_NKEYS]++;
    w[domain + SPD_KEYS + key] = dtor === 0 ? DTOR_NONE : dtor;
  } else {
    key = -EAGAIN;
  }
  mutexExit(k, domain + SPD_LOCK);
  return key;
}

/** Destroys all values of a key, then the key; one that was never made is ignored. May sleep. */
function* keyDelete(k: Kernel, domain: number, key: number): Generator<void, void, void> {
  const { w } = k;
  yield* mutexEnter(k, domain + SPD_LOCK);
  if (key >= 0 && key < w[domain + SPD_NKEYS]) {
    for (let i = w[domain + SPD_FIRST]; i !== 0; ) {
      const container = k.containers.view(i);
      if (key < container.nkey) yield* destroy(k, domain, container, key);
      i = container.next;
    }
    w[domain + SPD_KEYS + key] = 0;
  }
  mutexExit(k, domain + SPD_LOCK);
}

/** Runs the destructor of one value, which is null from then on. The domain is locked. May sleep. */
function* destroy(k: Kernel, domain: number, container: Container, key: number): Generator<void, void, void> {
  const at = container.values + key;
  const value = k.w[at];
  if (value === 0) return;
  k.w[at] = 0;
  const dtor = k.w[domain + SPD_KEYS + key];
  kassert(k, dtor !== 0, "specificdata: a value under a key that was deleted");
  const sleeps = k.slots.destructors[dtor](k, value);
  if (sleeps !== undefined) yield* sleeps;
}

/** The value under a key: 0 if there is no container, or none that the key fits into. */
function get(k: Kernel, ref: number, key: number): number {
  if (ref === 0) return 0;
  const container = k.containers.view(ref);
  return key >= 0 && key < container.nkey ? k.w[container.values + key] : 0;
}

/** Whether the value could be stored in the container that is there. */
function setInPlace(k: Kernel, ref: number, key: number, value: number): boolean {
  if (ref === 0) return false;
  const container = k.containers.view(ref);
  if (key < 0 || key >= container.nkey) return false;
  k.w[container.values + key] = value;
  return true;
}

/** Stores a value where there is no container, or too small a one. May sleep. */
function* grow(
  k: Kernel,
  domain: number,
  owner: Lwp | Proc,
  key: number,
  value: number,
): Generator<void, void, void> {
  const { w } = k;
  yield* mutexEnter(k, domain + SPD_LOCK);
  const nkeys = w[domain + SPD_NKEYS];
  if (key < 0 || key >= nkeys) panic(k, `specificdata: there was never a key ${key}`);
  // Another LWP of the process may have made it meanwhile.
  const ref = owner.specdataref;
  let container = ref === 0 ? null : k.containers.view(ref);
  if (container === null) {
    container = poolGet(k.containers);
    // One for each LWP and each process.
    kassert(k, container !== null, "specificdata: no container left");
    const first = w[domain + SPD_FIRST];
    container.next = first;
    if (first !== 0) k.containers.view(first).prev = container.index;
    w[domain + SPD_FIRST] = container.index;
    owner.specdataref = container.index;
  }
  // Every container has room for all keys: growing it is saying so.
  container.nkey = nkeys;
  w[container.values + key] = value;
  mutexExit(k, domain + SPD_LOCK);
}

/** Destroys a container with its values, in the order of their keys, once each. May sleep. */
function* fini(k: Kernel, domain: number, ref: number): Generator<void, void, void> {
  const { w } = k;
  const container = k.containers.view(ref);
  yield* mutexEnter(k, domain + SPD_LOCK);
  if (container.prev === 0) w[domain + SPD_FIRST] = container.next;
  else k.containers.view(container.prev).next = container.next;
  if (container.next !== 0) k.containers.view(container.next).prev = container.prev;
  for (let key = 0; key < container.nkey; key++) yield* destroy(k, domain, container, key);
  mutexExit(k, domain + SPD_LOCK);
  poolPut(k.containers, container);
}

// --- of LWPs ------------------------------------------------------------------------------------------

/** A new key for LWPs, from 0 up; `dtor` 0 = no destructor. -EAGAIN: all are taken. May sleep. Source: specificdata(9). */
export function lwpSpecificKeyCreate(k: Kernel, dtor: number): Generator<void, number, void> {
  return keyCreate(k, k.lwpSpecific, dtor);
}

/** Destroys the key's value of every LWP, and the key. May sleep. Source: specificdata(9). */
export function lwpSpecificKeyDelete(k: Kernel, key: number): Generator<void, void, void> {
  return keyDelete(k, k.lwpSpecific, key);
}

/** A new LWP has no values. */
export function lwpInitspecific(l: Lwp): void {
  l.specdataref = 0;
}

/** At its exit, while it may still sleep: its values are destroyed. May sleep. */
export function* lwpFinispecific(l: Lwp): Generator<void, void, void> {
  const ref = l.specdataref;
  if (ref === 0) return;
  yield* fini(l.k, l.k.lwpSpecific, ref);
  l.specdataref = 0;
}

/** The caller's value under a key; 0 = null. Source: specificdata(9). */
export function lwpGetspecific(key: number): number {
  return lwpGetspecificByLwp(cur.lwp, key);
}

/** The same of an LWP that the caller knows to be neither running nor going away. */
export function lwpGetspecificByLwp(l: Lwp, key: number): number {
  return get(l.k, l.specdataref, key);
}

/** Sets the caller's value; no destructor runs for the one before. May sleep. Source: specificdata(9). */
export function lwpSetspecific(key: number, value: number): Generator<void, void, void> {
  return lwpSetspecificByLwp(cur.lwp, key, value);
}

/** The same for another LWP, as above. May sleep. */
export function* lwpSetspecificByLwp(l: Lwp, key: number, value: number): Generator<void, void, void> {
  const { k } = l;
  if (!setInPlace(k, l.specdataref, key, value)) yield* grow(k, k.lwpSpecific, l, key, value);
}

// --- of processes -------------------------------------------------------------------------------------

/** As for LWPs. May sleep. */
export function procSpecificKeyCreate(k: Kernel, dtor: number): Generator<void, number, void> {
  return keyCreate(k, k.procSpecific, dtor);
}

export function procSpecificKeyDelete(k: Kernel, key: number): Generator<void, void, void> {
  return keyDelete(k, k.procSpecific, key);
}

export function procInitspecific(p: Proc): void {
  p.specdataref = 0;
}

export function* procFinispecific(p: Proc): Generator<void, void, void> {
  const ref = p.specdataref;
  if (ref === 0) return;
  yield* fini(p.k, p.k.procSpecific, ref);
  p.specdataref = 0;
}

export function procGetspecific(p: Proc, key: number): number {
  return get(p.k, p.specdataref, key);
}

export function* procSetspecific(p: Proc, key: number, value: number): Generator<void, void, void> {
  const { k } = p;
  if (!setInPlace(k, p.specdataref, key, value)) yield* grow(k, k.procSpecific, p, key, value);
}
