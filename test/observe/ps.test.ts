/** ps and top (MCH-80..82, 108). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import * as S from "lwp/syscall";
import {
  PS_KEYWORDS,
  PS_LWP_COLUMNS,
  psLwps,
  psProcesses,
  psRepresentative,
  topLwps,
} from "#dist/observe/ps.js";
import { lwpState, type ProcFacts, procState, stateLetter, topState } from "#dist/observe/psstate.js";
import { parked, TestMachine } from "../support/sim.js";

const FACTS: ProcFacts = {
  stat: K.LSSLEEP,
  interruptible: true,
  slptime: 0,
  nice: 0,
  traced: false,
  exiting: false,
  vforked: false,
  system: false,
  leader: false,
  nlwps: 1,
  foreground: false,
};

/** State, interruptible, seconds asleep: the letter. */
const LETTERS: [number, boolean, number, string][] = [
  [K.LSIDL, false, 0, "R"],
  [K.LSRUN, false, 0, "R"],
  [K.LSSLEEP, true, 19, "S"],
  [K.LSSLEEP, true, 20, "I"],
  [K.LSSLEEP, false, 0, "D"],
  [K.LSSLEEP, false, 99, "D"],
  [K.LSSTOP, true, 0, "T"],
  [K.LSZOMB, false, 0, "Z"],
  [K.LSDEAD, false, 0, "?"],
  [K.LSONPROC, false, 0, "O"],
  [K.LSSUSPENDED, false, 0, "U"],
  [0, false, 0, "?"],
  [9, false, 0, "?"],
];

test("MCH-80: the letter of every state", () => {
  for (const [stat, interruptible, slptime, letter] of LETTERS)
    assert.equal(stateLetter({ stat, interruptible, slptime }), letter, `${stat}`);
});

test("MCH-80: what follows the letter of a process, each alone and all in order", () => {
  const marks: [Partial<ProcFacts>, string][] = [
    [{ nice: -1 }, "<"],
    [{ nice: 1 }, "N"],
    [{ traced: true }, "X"],
    [{ exiting: true }, "E"],
    [{ vforked: true }, "V"],
    [{ system: true }, "K"],
    [{ leader: true }, "s"],
    [{ nlwps: 2 }, "l"],
    [{ foreground: true }, "+"],
  ];
  for (const [facts, mark] of marks) assert.equal(procState({ ...FACTS, ...facts }), `S${mark}`);
  const all = Object.assign({}, ...marks.slice(1).map(([facts]) => facts)) as Partial<ProcFacts>;
  assert.equal(procState({ ...FACTS, ...all }), "SNXEVKsl+");
});

test("MCH-80: an LWP: K system, - detached; LSDEAD is Z there", () => {
  for (const [system, detached, text] of [
    [false, false, "R"],
    [true, false, "RK"],
    [false, true, "R-"],
    [true, true, "RK-"],
  ] as const) {
    assert.equal(lwpState({ ...FACTS, stat: K.LSRUN, system, detached }), text);
  }
  assert.equal(lwpState({ ...FACTS, stat: K.LSDEAD, system: false, detached: false }), "Z");
});

test("MCH-108: U, RK-, I and SNXl", () => {
  const lwp = { system: false, detached: false };
  assert.equal(lwpState({ ...FACTS, ...lwp, stat: K.LSSUSPENDED }), "U");
  assert.equal(lwpState({ ...FACTS, stat: K.LSRUN, system: true, detached: true }), "RK-");
  assert.equal(lwpState({ ...FACTS, ...lwp, slptime: 25 }), "I");
  assert.equal(procState({ ...FACTS, nice: 4, traced: true, nlwps: 3 }), "SNXl");
});

/** A process of two LWPs, the second named and suspended. */
function machine(): { m: TestMachine; p: K.Proc } {
  const m = new TestMachine({ cpus: 2 });
  const p = m.spawn(
    function* () {
      yield* S.lwpCreate(parked, S.LWP_SUSPENDED | S.LWP_DETACHED);
      yield* S.lwpSetname(2, "second");
      yield* S.lwpPark();
    },
    { comm: "prog", uid: 7 },
  );
  m.run();
  return { m, p };
}

const cells = (line: string) => line.trim().split(/ +/);

test("MCH-81: ps -s: a line for each LWP, in the stated columns", () => {
  const { m, p } = machine();
  m.lwp(p, 1).rtime = 61.5;
  const lines = m.asCpu(() => psLwps(m.k));
  assert.deepEqual(cells(lines[0]), [
    "UID",
    "PID",
    "PPID",
    "CPU",
    "LID",
    "NLWP",
    "PRI",
    "NI",
    "VSZ",
    "RSS",
    "WCHAN",
    "STAT",
    "TT",
    "TIME",
    "COMMAND",
  ]);
  assert.equal(PS_LWP_COLUMNS.length, 15);
  assert.equal(lines.length, 1 + p.nlwps + m.k.procs.view(1).nlwps);
  const own = lines.filter((line) => line.endsWith("prog")).map(cells);
  const pri = K.lwpEprio(m.lwp(p, 1)).toString();
  assert.deepEqual(own, [
    ["7", "1", "0", "0", "2", "2", "43", "0", "0", "0", "-", "U-", "-", "0:00.00", "prog"],
    ["7", "1", "0", "0", "1", "2", pri, "0", "0", "0", "parked", "S", "-", "1:01.50", "prog"],
  ]);
});

test("MCH-81: the keywords for LWPs", () => {
  const { m, p } = machine();
  m.lwp(p, 1).slptime = 5;
  const lines = m
    .asCpu(() => psLwps(m.k, [...PS_KEYWORDS, "command"]))
    .filter((line) => line.endsWith("prog"));
  const cpu = (lid: number) => String(m.lwp(p, lid).cpu.index - 1);
  assert.deepEqual(lines.map(cells), [
    ["2", "second", "U-", "2", "1", "43", cpu(2), "-", "0", "prog"],
    ["1", "-", "S", "2", "1", String(K.lwpEprio(m.lwp(p, 1))), cpu(1), "parked", "5", "prog"],
  ]);
});

test("MCH-81: without -s the oldest LWP of the best class stands for its process", () => {
  const { m, p } = machine();
  const lwps = K.procLwps(p);
  const states = [K.LSONPROC, K.LSRUN, K.LSSLEEP, K.LSSTOP, K.LSSUSPENDED];
  m.sim.check = () => {};
  for (const high of states) {
    for (const low of [...states, K.LSZOMB, K.LSIDL]) {
      [lwps[0].stat, lwps[1].stat] = [high, low];
      const expected =
        states.indexOf(low) !== -1 && states.indexOf(low) <= states.indexOf(high) ? lwps[1] : lwps[0];
      assert.equal(psRepresentative(lwps), expected, `${high} ${low}`);
    }
  }
  [lwps[0].stat, lwps[1].stat] = [K.LSSUSPENDED, K.LSSLEEP];
  const lines = m.asCpu(() => psProcesses(m.k, ["pid", "lid", "wchan", "state", "command"]));
  assert.deepEqual(cells(lines[2]), ["1", "1", "parked", "Sl", "prog"]);
});

/** State: its name in top, on one CPU and on two. */
const TOP: [number, string, string, string][] = [
  [K.LSIDL, "", "IDLE", "IDLE/1"],
  [K.LSRUN, "", "RUN", "RUN/1"],
  [K.LSSLEEP, "", "SLEEP", "SLEEP/1"],
  [K.LSSLEEP, "parked", "parked", "parked/1"],
  [K.LSSTOP, "", "STOP", "STOP"],
  [K.LSZOMB, "", "ZOMB", "ZOMB"],
  [K.LSDEAD, "", "DEAD", "DEAD"],
  [K.LSONPROC, "", "CPU", "CPU/1"],
  [K.LSSUSPENDED, "", "SUSP", "SUSP"],
  [9, "", "?", "?"],
];

test("MCH-82: top's states by number; a suspended one has a name here, where the original reads past its table", () => {
  for (const [stat, wmesg, one, two] of TOP)
    assert.deepEqual([topState(stat, wmesg, 1, 1), topState(stat, wmesg, 1, 2)], [one, two]);
});

test("MCH-82: top's thread mode: the columns of each LWP that lives, most CPU first", () => {
  const { m, p } = machine();
  m.lwp(p, 2).pctcpu = 1024;
  const list = m.asCpu(() => topLwps(m.k));
  assert.deepEqual(list[0], {
    pid: 1,
    lid: 2,
    user: 7,
    pri: 43,
    state: "SUSP",
    time: "0:00.00",
    wcpu: 50,
    cpu: 50,
    lname: "second",
    command: "prog",
  });
  const main = list.find(({ pid, lid }) => pid === 1 && lid === 1);
  assert.deepEqual([main?.lname, main?.state], ["-", `parked/${m.lwp(p, 1).cpu.index - 1}`]);
});
