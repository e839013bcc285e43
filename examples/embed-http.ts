/**
 * Threads inside an HTTP server: they compute in the background, in the server's own realm, and no request waits for them
 * longer than a slice of 2 ms. `npm run build && node build/examples/embed-http.js 8080`, then ask for `/` and
 * `/primes?below=100000`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import { boot, schedYield, Thread } from "lwp";

/** Starts the server, and `threads` threads that never end. `port` 0 is any that is free. */
export async function serve(
  port: number,
  threads = 100,
): Promise<{ server: Server; close(): Promise<void> }> {
  const machine = await boot({ cpus: 1 });
  let rounds = 0;
  const background = machine.spawn(function* () {
    for (let i = 1; i < threads; i++) yield* Thread.spawn(work);
    yield* work();
  });

  /** A loop gives the others their turn, and the event loop its own, at every operation. */
  function* work() {
    for (let n = 3; ; n += 2) {
      isPrime(n % 1_000_003);
      rounds++;
      yield* schedYield();
    }
  }

  function* primes(below: number) {
    let found = 0;
    for (let n = 2; n < below; n++) {
      if (isPrime(n)) found++;
      if (n % 1000 === 0) yield* schedYield();
    }
    return found;
  }

  /** Each request that computes is a process of its own: it can be killed, and cannot harm the others. */
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== "/primes") return void response.end(`${rounds} rounds in the background\n`);
    const below = Number(searchParams.get("below"));
    const found = await machine.run(() => primes(below));
    response.end(`${found} primes below ${below}\n`);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(`${String(error)}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = async (): Promise<void> => {
    background.kill();
    await background.exited;
    await machine.shutdown();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { server, close };
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { server } = await serve(Number(process.argv[2] ?? 8080));
  console.log(server.address());
}
