/** A worker that is a CPU: attaches to the machine's memory and runs LWPs until it stops. */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { CpuRecord } from "../sys/cpu.js";
import { ASLEEP_IN_LOOP, ASLEEP_LOOP_EMPTY } from "../sys/param.js";
import { AttachedCpu } from "./attached.js";
import { Keepalive } from "./keepalive.js";
import type { CpuBoot, Letter } from "./letters.js";
import { loadObserver, observer } from "./observer.js";
import { writeDirectly, writeNow } from "./output.js";
import { hostKernel, Realm } from "./realm.js";
import { turnLoop } from "./turn.js";

const boot = workerData as CpuBoot;

// Output of a worker goes through its parents' event loops, which a machine may keep busy or asleep for long.
writeDirectly();

await loadObserver();
// The machine is told of the death of this CPU, but not where it came from.
process.on("uncaughtExceptionMonitor", (error) => {
  const handled = process.listenerCount("uncaughtException") > 0;
  if (!handled) writeNow(2, observer().uncaught(boot.index - 1, error, boot.format));
});
const k = hostKernel(
  boot.limits,
  { mp: true, delays: boot.delays, exact: boot.exact },
  boot.format,
  boot.memory,
  boot.user,
);
warnOfStdin();
const realm = new Realm(k, (news) => boot.port.postMessage(news), { format: boot.format });
const cpu = new AttachedCpu(realm.k.cpus.view(boot.index));
// Letters are read when the CPU looks for them, never by an event: it may be blocked in between.
const nextLetter = (): Letter | null => {
  if (!cpu.hasMail()) return null;
  return (receiveMessageOnPort(boot.port)?.message as Letter | undefined) ?? null;
};
const alive = new Keepalive();
parentPort?.postMessage("online");
await realm.runCpu(
  realm.k.cpus.view(boot.index),
  {
    embedded: () => false,
    listens: false,
    idleSpins: boot.idleSpins,
    turn: turnLoop,
    rest: () => alive.watch(saySoIfEmpty),
    rise: () => alive.hold(),
  },
  nextLetter,
);
alive.close();
boot.port.close();
// Timers and handles that the program left do not keep a halted CPU alive.
process.exit(0);

/** Standard input goes to the booting process alone: who reads it here finds an end at once, and is told why. */
function warnOfStdin(): void {
  const text = `process.stdin is empty on CPU ${boot.index - 1}: read it on CPU 0, as by Thread.with({ cpu: 0 })`;
  const tell = (event: string | symbol): void => {
    if (event !== "data" && event !== "readable" && event !== "end") return;
    process.stdin.off("newListener", tell);
    writeNow(2, observer().warning(text, boot.format));
  };
  process.stdin.on("newListener", tell);
}

/** While the CPU waits in its event loop there is nothing in that any more. */
function saySoIfEmpty(): void {
  realm.giveUpLoading();
  const word = realm.k.cpus.view(boot.index).at + CpuRecord.offset.sleeping;
  Atomics.compareExchange(realm.k.w, word, ASLEEP_IN_LOOP, ASLEEP_LOOP_EMPTY);
}
