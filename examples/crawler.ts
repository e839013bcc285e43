/**
 * A crawler: one thread a page, on all cores, and at most fifty requests at a time.
 * `lwp run examples/crawler.ts http://127.0.0.1:8080/` visits all pages of that site that its pages link to.
 */
import { Semaphore, Thread, until } from "lwp";

interface Page {
  readonly status: number;
  readonly bytes: number;
  readonly links: readonly string[];
}

export function* main([start]: string[]) {
  const limit = new Semaphore(50);
  const { origin } = new URL(start);
  const seen = new Set([start]);
  let bytes = 0;
  let broken = 0;
  // Who is linked to is known once the pages of one distance have all been read.
  for (let pages = [start]; pages.length > 0; ) {
    const threads: Thread<Page>[] = [];
    for (const url of pages) threads.push(yield* Thread.spawn(visit, url, limit));
    pages = [];
    for (const thread of threads) {
      const page = yield* thread.join();
      bytes += page.bytes;
      if (page.status !== 200) broken++;
      for (const link of page.links) {
        if (seen.has(link) || new URL(link).origin !== origin) continue;
        seen.add(link);
        pages.push(link);
      }
    }
  }
  console.log(`${seen.size} pages, ${bytes} bytes, ${broken} broken links`);
}

/** Reads one page, once it has one of the permits. */
function* visit(url: string, limit: Semaphore) {
  yield* limit.wait();
  try {
    const response = yield* until(fetch(url));
    const text = yield* until(response.text());
    return { status: response.status, bytes: text.length, links: linksOf(text, url) };
  } finally {
    limit.post();
  }
}

function linksOf(html: string, base: string): string[] {
  const links = new Set<string>();
  for (const [, href] of html.matchAll(/<a\s[^>]*href="([^"#]+)/g)) links.add(new URL(href, base).href);
  return [...links];
}
