/**
 * A pipeline: paths go through one channel to threads that read files, and texts through another to threads that count
 * words. The channels hold four values, so no stage runs far ahead of the next. `lwp run examples/pipeline.ts FILES…` prints
 * the ten most frequent words.
 */
import { readFile } from "node:fs/promises";
import { Channel, Thread, until } from "lwp";

const READERS = 2;
const COUNTERS = 4;

export function* main(files: string[]) {
  const paths = new Channel<string>(4);
  const texts = new Channel<string>(4);
  const readers: Thread<void>[] = [];
  const counters: Thread<Map<string, number>>[] = [];
  for (let i = 0; i < READERS; i++) readers.push(yield* Thread.spawn(read, paths, texts));
  for (let i = 0; i < COUNTERS; i++) counters.push(yield* Thread.spawn(count, texts));

  for (const file of files) yield* paths.send(file);
  paths.close();
  for (const reader of readers) yield* reader.join();
  texts.close();

  const all = new Map<string, number>();
  for (const counter of counters) {
    for (const [word, n] of yield* counter.join()) all.set(word, (all.get(word) ?? 0) + n);
  }
  const sorted = [...all].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  for (const [word, n] of sorted.slice(0, 10)) console.log(`${n} ${word}`);
}

function* read(paths: Channel<string>, texts: Channel<string>) {
  for (let next = yield* paths.receive(); !next.done; next = yield* paths.receive()) {
    yield* texts.send(yield* until(readFile(next.value, "utf8")));
  }
}

function* count(texts: Channel<string>) {
  const counts = new Map<string, number>();
  for (let next = yield* texts.receive(); !next.done; next = yield* texts.receive()) {
    for (const [word] of next.value.toLowerCase().matchAll(/\p{L}+/gu)) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}
