/** The debugger's views (MCH-70..73). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import {
  dbShowAllProcs,
  dbShowCallout,
  dbShowEvent,
  dbShowLock,
  dbShowProc,
  dbShowSchedQs,
  dbWhatis,
} from "#dist/observe/ddb.js";
import { parked, TestMachine } from "../support/sim.js";

/** A process 1 of LWPs 1 (asleep), 2 (suspended, named) and 3 (on a run queue). */
function machine(): { m: TestMachine; p: K.Proc } {
  const m = new TestMachine({ cpus: 2 });
  const p = m.spawn(
    function* () {
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED);
      yield* S.lwpSetname(2, "second");
      yield* S.lwpPark();
    },
    { comm: "prog", uid: 7 },
  );
  m.run();
  m.asCpu(() => {
    const l = m.lwp(p, 1);
    K.cur.lwp = l;
    const l3 = K.lwpCreate(l, p, 0, { kind: K.CTX_CLOSURE, closure: parked }, l.class) as K.Lwp;
    K.lwpStart(l, l3, 0);
  });
  return { m, p };
}

const at = (v: K.View) => `0x${(v.at * 4).toString(16)}`;
const cold = (l: K.Lwp) => `0x${(l.k.lwps.coldAt(l.index) * 4).toString(16)}`;

test("MCH-70: ps /l: its heading, and a line for each LWP of the processes on the live list, in the stated widths", () => {
  const { m, p } = machine();
  const lines = dbShowAllProcs(m.k);
  assert.equal(lines[0], "PID    LID S CPU     FLAGS       STRUCT LWP *               NAME WAIT    ");
  const line = (l: K.Lwp, run: string, wait: string) =>
    `${String(l.proc.pid).padEnd(5)}${run}${String(l.lid).padStart(4)} ${l.stat} ${String(l.cpu.index - 1).padStart(3)} ${(l.flag >>> 0).toString(16).padStart(9)} ${at(l).padStart(18)} ${(l.named === 0 ? l.proc.comm : l.name).padStart(18)} ${wait.padEnd(8)}`;
  assert.deepEqual(lines.slice(1, 4), [
    line(m.lwp(p, 3), " ", ""),
    line(m.lwp(p, 2), " ", ""),
    line(m.lwp(p, 1), " ", "parked"),
  ]);
  // Process 0 last: it is the oldest. Its idle threads run.
  const p0 = m.k.procs.view(1);
  assert.deepEqual(
    lines.slice(4),
    K.procLwps(p0).map((l) => line(l, l.name.startsWith("idle") ? ">" : " ", l.wchan === 0 ? "" : l.wmesg)),
  );
  assert.deepEqual(dbShowAllProcs(m.k, "l"), lines);
  for (const text of lines) assert.equal(text.length, lines[0].length);
});

test("MCH-70: ps /w, /n and /a; anything else tells the usage", () => {
  const { m, p } = machine();
  const l = m.lwp(p, 1);
  const w = dbShowAllProcs(m.k, "w");
  assert.equal(
    w[3],
    `${"1".padEnd(8)}    1             prog   netbsd   ${l.priority} parked   0x${(l.wchan * 4).toString(16)}`,
  );
  const n = dbShowAllProcs(m.k, "n");
  assert.equal(n[1].replace(/ +/g, " "), "1 0 1 7 2 0 3 prog *");
  assert.equal(n[2].replace(/ +/g, " "), `0 -1 0 0 2 2 ${m.k.procs.view(1).nlwps} system *`);
  const a = dbShowAllProcs(m.k, "a");
  assert.equal(a[1].replace(/ +/g, " "), `prog ${at(p)} ${cold(m.lwp(p, 3))} 0x0`);
  for (const mode of ["x", "", "ln"])
    assert.deepEqual(dbShowAllProcs(m.k, mode), ["usage: show all procs [/a] [/l] [/n] [/w]"]);
});

test("MCH-70: with one LWP ps /n tells what it waits for; the parent is the parent's pid (originally the process' own)", () => {
  const m = new TestMachine();
  const p = m.spawn(parked);
  m.run();
  p.parent = p;
  p.pid = 42;
  assert.equal(dbShowAllProcs(m.k, "n")[1].replace(/ +/g, " "), "42 42 42 0 2 0 1 test parked");
  p.pid = 1;
});

test("MCH-71: show proc by pid: the process, then each LWP with state, and wait channel where it has one", () => {
  const { m, p } = machine();
  const l = (lid: number) => m.lwp(p, lid);
  const state = (lid: number) =>
    `    stat ${l(lid).stat} flags ${(l(lid).flag >>> 0).toString(16)} cpu ${l(lid).cpu.index - 1} pri ${l(lid).priority}`;
  assert.deepEqual(dbShowProc(m.k, { pid: 1 }), [
    `prog: pid 1 proc ${at(p)} vmspace/map 0x0 flags 0`,
    `  lwp 3 ${at(l(3))} pcb ${cold(l(3))}`,
    state(3),
    `  lwp 2 [second] ${at(l(2))} pcb ${cold(l(2))}`,
    state(2),
    `  lwp 1 ${at(l(1))} pcb ${cold(l(1))}`,
    state(1),
    `    wmesg parked wchan 0x${(l(1).wchan * 4).toString(16)}`,
  ]);
  assert.match(dbShowProc(m.k, { pid: 0 }).join("\n"), /^> lwp 2 \[idle\/0\]/m);
});

test("MCH-71: show proc by an LWP's address: lwp_t first, then that one and the older ones; no argument, unknown ones", () => {
  const { m, p } = machine();
  const lines = dbShowProc(m.k, { lwp: m.lwp(p, 2).at * 4 });
  assert.equal(lines[0], `lwp_t ${at(m.lwp(p, 2))}`);
  assert.match(lines[1], /^prog: pid 1 /);
  assert.deepEqual(
    lines.flatMap((text) => /^. lwp (\d+)/.exec(text)?.[1] ?? []),
    ["2", "1"],
  );
  assert.deepEqual(dbShowProc(m.k), ["usage: show proc [/p pid] [/a lwp-address]"]);
  for (const which of [{ pid: 99 }, { lwp: 4 }]) assert.deepEqual(dbShowProc(m.k, which), ["bad address"]);
});

test("MCH-72: show sched_qs: the run queue of each CPU with its seven words, highest first; then every LWP", () => {
  const { m, p } = machine();
  const lines = dbShowSchedQs(m.k);
  const l = m.lwp(p, 3);
  const ci = l.cpu;
  const i = lines.indexOf(`Run-queue (CPU = ${ci.index - 1}):`);
  assert.equal(
    lines[i + 1],
    ` pid.lid = 0.${ci.curlwp.lid}, r_count = 1, r_avgcount = 0, maxpri = ${K.lwpEprio(l)}, mlwp = 0x0`,
  );
  const words = [...lines[i + 2].matchAll(/\[([0-9a-f]{8})\]/g)].map((match) =>
    Number.parseInt(match[1], 16),
  );
  assert.equal(words.length, 7);
  const pri = K.lwpEprio(l);
  assert.deepEqual(
    words,
    Array.from({ length: 7 }, (_, n) => (6 - n === pri >> 5 ? (0x80000000 >>> (pri & 31)) >>> 0 : 0)),
  );
  const rows = lines.filter((text) => text.startsWith(" |")).map((text) => text.slice(2).trim().split(/ +/));
  assert.equal(rows.length, p.nlwps + m.k.procs.view(1).nlwps);
  l.targetCpu = m.cpu(1);
  m.sim.check = () => {};
  const [row] = dbShowSchedQs(m.k)
    .filter((text) => text.includes(at(l)))
    .map((text) => text.slice(2).trim().split(/ +/));
  assert.deepEqual(row, [
    "3",
    String(l.priority),
    String(pri),
    "0",
    "RQ",
    at(l),
    String(ci.index - 1),
    "1",
    String(m.k.g.ticks - l.rticks),
  ]);
  const marks = new Map(rows.map((cells) => [cells[5], cells[4]]));
  assert.deepEqual([marks.get(at(m.lwp(p, 1))), marks.get(at(m.lwp(p, 2)))], ["SQ", "-"]);
});

test("MCH-73: show callout tells what is due when, on which list of which CPU", () => {
  const m = new TestMachine();
  m.k.slots.calloutHandlers[9] = () => {};
  const c = m.words(K.CALLOUT_WORDS);
  assert.equal(dbShowCallout(m.k).length, 2);
  m.asCpu(() => {
    K.calloutInit(m.k, c, K.CALLOUT_MPSAFE);
    K.calloutReset(m.k, c, 30, 9, 77);
  });
  assert.deepEqual(dbShowCallout(m.k).slice(2), ["       30 todo/0        77  9"]);
  m.sim.tick();
  const [line] = dbShowCallout(m.k).slice(2);
  assert.match(line, /^ +29 +\d+\/0 +77 {2}9$/);
});

test("MCH-73: show lock, show event and whatis", () => {
  const { m, p } = machine();
  const mutex = m.words(K.MTX_WORDS);
  assert.deepEqual(dbShowLock(m.k, mutex * 4), ["lock not initialized"]);
  K.mutexInit(m.k, mutex, K.MUTEX_DEFAULT, K.IPL_NONE);
  assert.deepEqual(dbShowLock(m.k, mutex * 4), ["type : sleep/adaptive", "owner field  : 0x0 wait: 0"]);
  m.k.w[mutex] = (m.lwp(p, 1).index << 1) | 1;
  assert.deepEqual(dbShowLock(m.k, mutex * 4)[1], `owner field  : ${at(m.lwp(p, 1))} wait: 1`);
  m.k.w[mutex] = 0;
  const spin = m.words(K.MTX_WORDS);
  K.mutexInit(m.k, spin, K.MUTEX_SPIN, K.IPL_VM);
  assert.deepEqual(dbShowLock(m.k, spin * 4), ["type : spin", "held : no"]);
  for (const wrong of [3, -4, 2 ** 40]) assert.deepEqual(dbShowLock(m.k, wrong), ["bad address"]);
  m.k.xc.unicast = 3;
  assert.ok(dbShowEvent(m.k).includes("evcnt type misc: crosscall unicast = 3"));
  const l = m.lwp(p, 1);
  assert.deepEqual(dbWhatis(m.k, l.at * 4 + 8), [
    `0x${(l.at * 4 + 8).toString(16)} is ${at(l)}+8 in pool of Lwp, allocated record ${l.index}`,
  ]);
  const stack = m.k.lwps.coldAt(l.index) * 4 + 4;
  assert.deepEqual(dbWhatis(m.k, stack), [`0x${stack.toString(16)} is ${cold(l)}+4, LWP ${at(l)}'s stack`]);
  assert.deepEqual(dbWhatis(m.k, 4), ["0x4 is nothing that the kernel knows of"]);
});
