/** Output that does not wait for an event loop: written at once, all of it, whatever the descriptor is. */
import { writeSync } from "node:fs";

/** A nap, for a pipe that is full; without shared memory there is none, and the write is merely tried again. */
const nap = typeof SharedArrayBuffer === "undefined" ? null : new Int32Array(new SharedArrayBuffer(4));

/** Writes text or bytes to a file descriptor. Blocks while a pipe is full; a reader that has gone is no error. */
export function writeNow(fd: number, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      if (nap !== null) Atomics.wait(nap, 0, 0, 1);
    }
  }
}

/** From now on this realm's standard output and error are written at once. */
export function writeDirectly(): void {
  divert(process.stdout, 1);
  divert(process.stderr, 2);
}

function divert(stream: NodeJS.WriteStream, fd: number): void {
  stream.write = ((chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding as BufferEncoding) : chunk;
    writeNow(fd, bytes);
    const callback = typeof encoding === "function" ? encoding : done;
    if (typeof callback === "function") queueMicrotask(callback as () => void);
    return true;
  }) as typeof stream.write;
}
