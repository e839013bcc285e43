/**
 * What keeps a realm's event loop going while its CPU waits in it, which a pending Atomics.waitAsync does not; and what tells
 * when nothing else does.
 *
 * Only the event loop itself knows what it waits for: a promise that some thread of the host will resolve is on no list. So
 * to find out, the realm lets it run out. Node says so (`beforeExit`) before it would end the realm, and the loop is kept
 * going from there.
 */
const LONG_MS = 1 << 30;

export class Keepalive {
  readonly #timer = setInterval(() => {}, LONG_MS);
  #onEmpty: (() => void) | null = null;
  #closed = false;

  readonly #empty = (): void => {
    const onEmpty = this.#onEmpty;
    this.hold();
    onEmpty?.();
  };

  /** Lets the event loop run out; when it has, it is held again and `onEmpty` called. */
  watch(onEmpty: () => void): void {
    if (this.#closed) return;
    if (this.#onEmpty === null) process.on("beforeExit", this.#empty);
    this.#onEmpty = onEmpty;
    this.#timer.unref();
  }

  /** Keeps it going, whatever it waits for. */
  hold(): void {
    if (this.#onEmpty === null) return;
    this.#onEmpty = null;
    process.removeListener("beforeExit", this.#empty);
    if (!this.#closed) this.#timer.ref();
  }

  /** The realm may end. */
  close(): void {
    this.hold();
    this.#closed = true;
    clearInterval(this.#timer);
  }
}

/** Keeps the event loop of this realm going, until what it returns is called. */
export function holdLoop(): () => void {
  const timer = setInterval(() => {}, LONG_MS);
  return () => clearInterval(timer);
}
