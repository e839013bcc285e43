// Deliberate breakages of the kernel's protocols, for scripts/breakages.mjs: at least one for each delay point.
//
// Each replaces one place of a compiled file. White space counts as equal to any other, and the place must be there once.
// `test` is the compiled test file, of which a test of the delay point has to fail.

const locks = "lockstep/locks";
const sleep = "lockstep/sleep";
const cpus = "lockstep/cpus";
const life = "lockstep/life";
const waits = "lockstep/waits";
const objects = "lockstep/objects";
const signals = "lockstep/signals";

export const breakages = [
  {
    point: "lwplock.read",
    name: "an LWP's lock is not read again",
    file: "kern/lwplock.js",
    find: "delayPoint(k, AT_LWPLOCK_TAKEN); if (w[at] === a) return;",
    replace: "delayPoint(k, AT_LWPLOCK_TAKEN); return;",
    test: locks,
  },
  {
    point: "lwplock.taken",
    name: "an LWP's former lock is kept",
    file: "kern/lwplock.js",
    find: "if (w[at] === a) return; spinExit(k, a);",
    replace: "if (w[at] === a) return;",
    test: locks,
  },
  {
    point: "cpu.relax",
    name: "a lock is taken without looking again",
    file: "kern/spin.js",
    find: "atomic.add(a + 1, -1);",
    replace: "atomic.add(a + 1, -1); k.w[a] = me; return;",
    test: locks,
  },
  {
    point: "mutex.held",
    name: "the waiters bit is set without compare-and-exchange",
    file: "kern/mutex.js",
    find: "if (!held || !swapOwner(k, m, word, word | MTX_WAITERS)) {",
    replace: "if (held) k.w[m + MTX_OWNER] = word | MTX_WAITERS; else {",
    test: locks,
  },
  {
    point: "mutex.waiters",
    name: "a release ignores the waiters bit",
    file: "kern/mutex.js",
    find: "if (word === mine && swapOwner(k, m, mine, 0))",
    replace: "if (swapOwner(k, m, word, 0))",
    test: locks,
  },
  {
    point: "mutex.exit",
    name: "a release stores over a waiters bit",
    file: "kern/mutex.js",
    find: "if (word === mine && swapOwner(k, m, mine, 0))",
    replace: "if (word === mine && ((k.w[m + MTX_OWNER] = 0), true))",
    test: locks,
  },
  {
    point: "rwlock.held",
    name: "the bits of a rwlock are set without compare-and-exchange",
    file: "kern/rwlock.js",
    find: "if ((word & admission(op)) === 0 || !atomicCas(k, rw, word, word | wanted)) {",
    replace: "k.w[rw] = word | wanted; if (false) {",
    test: objects,
  },
  {
    point: "rwlock.exit",
    name: "a release of a rwlock stores over its bits",
    file: "kern/rwlock.js",
    find: "if (atomicCas(k, rw, word, left)) return; continue;",
    replace: "k.w[rw] = left; return;",
    test: objects,
  },
  {
    point: "syncobj.enqueued",
    name: "a waiter lets its object go before it is off its CPU",
    file: "kern/syncobj.js",
    find: "sleepqEnqueue(l, q, o.at, wmesg, sobj); delayPoint(l.k, AT_SYNCOBJ_ENQUEUED);",
    replace: `sleepqEnqueue(l, q, o.at, wmesg, sobj);
      const owner = l.w[o.lock];
      Atomics.store(l.w, o.lock, 0);
      delayPoint(l.k, AT_SYNCOBJ_ENQUEUED);
      while (Atomics.compareExchange(l.w, o.lock, 0, owner) !== 0);`,
    test: objects,
  },
  {
    point: "sleep.enqueued",
    name: "a sleeper lets its interlock go before it is queued",
    file: "kern/condvar.js",
    find: "l.cvlock = interlock;",
    replace:
      "l.cvlock = interlock; interlockExit(k, interlock); delayPoint(k, AT_SLEEP_ENQUEUED); spinEnter(k, interlock);",
    test: sleep,
  },
  {
    point: "sleep.released",
    name: "a sleeper lets its queue go before it switches",
    file: "kern/condvar.js",
    find: "interlockExit(k, interlock); delayPoint(k, AT_SLEEP_RELEASED);",
    replace:
      "interlockExit(k, interlock); spinExit(k, lock); delayPoint(k, AT_SLEEP_RELEASED); spinEnter(k, lock);",
    test: sleep,
  },
  {
    point: "sleep.released",
    name: "waking does not ask whether the LWP is still on its CPU",
    file: "kern/sleepq.js",
    find: "if ((w[at + PFLAG] & LP_RUNNING) !== 0) { // BLK-13",
    replace: "if (false) { // BLK-13",
    test: sleep,
  },
  {
    point: "park.enter",
    name: "a park does not look for an unpark that came first",
    file: "kern/park.js",
    find: "if ((l.w[l.at + FLAG] & (LW_CANCELLED | LW_UNPARKED)) !== 0) {",
    replace: "if ((l.w[l.at + FLAG] & LW_CANCELLED) !== 0) {",
    test: sleep,
  },
  {
    point: "unpark.missed",
    name: "an unpark does not look whether the LWP has parked meanwhile",
    file: "kern/park.js",
    find: "if (t.syncobj === SOBJ_PARK) {",
    replace: "if (false) {",
    test: sleep,
  },
  {
    point: "setrunnable.chosen",
    name: "an LWP is handed to a run queue that is not locked",
    file: "kern/sleepq.js",
    find: "w[at + CPU] = ci.index; delayPoint(k, AT_SETRUNNABLE_CHOSEN);",
    replace: "w[at + CPU] = ci.index; w[at + MUTEX] = ci.at + RUNQ; delayPoint(k, AT_SETRUNNABLE_CHOSEN);",
    test: sleep,
  },
  {
    point: "setrunnable.chosen",
    name: "an LWP is queued without the lock of the queue",
    file: "kern/sleepq.js",
    find: "delayPoint(k, AT_SETRUNNABLE_CHOSEN); const runq = ci.at + RUNQ; spinEnter(k, runq);",
    replace: "delayPoint(k, AT_SETRUNNABLE_CHOSEN); const runq = ci.at + RUNQ;",
    test: sleep,
  },
  {
    point: "setrunnable.chosen",
    name: "a continued LWP is handed over before its queue is locked",
    file: "kern/synch.js",
    find: "l.cpu = ci; delayPoint(k, AT_SETRUNNABLE_CHOSEN);",
    replace: "l.cpu = ci; spinExit(k, p.lock); delayPoint(k, AT_SETRUNNABLE_CHOSEN); spinEnter(k, p.lock);",
    test: sleep,
  },
  {
    point: "callout.fired",
    name: "a sleeper does not wait for the handler of its time-out",
    file: "kern/callout.js",
    find: "if (running) {",
    replace: "if (false) {",
    test: sleep,
  },
  {
    point: "switch.unlocked",
    name: "an LWP is let go without the mark that its context is not saved",
    file: "kern/switch.js",
    find: "w[at + CTXSWTCH] = 1;",
    replace: "",
    test: cpus,
  },
  {
    point: "switch.waitctx",
    name: "an LWP is resumed before its context is saved",
    file: "cpu/dispatcher.js",
    find: "delayPoint(k, AT_SWITCH_WAITCTX); waitContextSaved(l);",
    replace: "delayPoint(k, AT_SWITCH_WAITCTX);",
    test: cpus,
  },
  {
    point: "idle.announced",
    name: "a CPU does not look again after saying that it sleeps",
    file: "cpu/loop.js",
    find: "delayPoint2(ci, AT_IDLE_ANNOUNCED); if (hasWork(ci)) {",
    replace: "delayPoint2(ci, AT_IDLE_ANNOUNCED); if (false) {",
    test: cpus,
  },
  {
    point: "idle.announced",
    name: "a CPU reads the count of wake-ups after saying that it sleeps",
    file: "cpu/loop.js",
    find: `const seen = Atomics.load(w, ci.at + WAKE);
      Atomics.store(w, ci.at + SLEEPING, inLoop ? ASLEEP_IN_LOOP : ASLEEP_BLOCKED); delayPoint2(ci, AT_IDLE_ANNOUNCED);`,
    replace: `Atomics.store(w, ci.at + SLEEPING, inLoop ? ASLEEP_IN_LOOP : ASLEEP_BLOCKED);
      delayPoint2(ci, AT_IDLE_ANNOUNCED); const seen = Atomics.load(w, ci.at + WAKE);`,
    test: cpus,
  },
  {
    point: "idle.sleeping",
    name: "a CPU counts the wake-ups only when it falls asleep",
    file: "cpu/loop.js",
    find: "const how = Atomics.wait(w, ci.at + WAKE, seen, Math.min(tick, limit));",
    replace:
      "const how = Atomics.wait(w, ci.at + WAKE, Atomics.load(w, ci.at + WAKE), Math.min(tick, limit));",
    test: cpus,
  },
  {
    point: "kick.pending",
    name: "a CPU that sleeps is not told of its work",
    file: "kern/resched.js",
    find: "k.port.notify(k.cpus.view(i + 1));",
    replace: "",
    test: cpus,
  },
  {
    point: "xcall.asked",
    name: "a cross-call does not wait for the one before it",
    file: "kern/xcall.js",
    find: "while (xc.hiDone !== xc.hiHead) yield* cvWait(k, xc.hiCv, xc.hiLock);",
    replace: "",
    test: cpus,
  },
  {
    point: "steal.chosen",
    name: "a thief takes what it saw before it had the locks",
    file: "kern/placement.js",
    find: "delayPoint(k, AT_STEAL_CHOSEN); spinEnterTwo(k, ci.mutex, victim.mutex); schedCatchlwp(victim);",
    replace: `const seen = runqFirst(victim); delayPoint(k, AT_STEAL_CHOSEN); spinEnterTwo(k, ci.mutex, victim.mutex);
      if (runqFirst(victim) !== seen) { seen.cpu = ci; schedEnqueue(seen, false); spinExit(k, victim.mutex); }
      else schedCatchlwp(victim);`,
    test: cpus,
  },
  {
    point: "migrate.chosen",
    name: "a migration is not looked at again once both queues are locked",
    file: "kern/placement.js",
    find: "if (ci.migrating !== l || l.targetCpu !== target) {",
    replace: "if (false) {",
    test: cpus,
  },
  {
    point: "exit.zombie",
    name: "a dead LWP is freed while it still runs",
    file: "kern/lwpfree.js",
    find: "delayPoint(k, AT_FREE_UNLINKED); waitOffCpu(l);",
    replace: "delayPoint(k, AT_FREE_UNLINKED);",
    test: life,
  },
  {
    point: "exit.away",
    name: "a CPU writes to the record of an LWP that has left it for ever",
    file: "kern/switch.js",
    find: "delayPoint(k, AT_EXIT_AWAY);",
    replace: "delayPoint(k, AT_EXIT_AWAY); l.pflag = flags;",
    test: life,
  },
  {
    point: "exit.away",
    name: "the context of an LWP that has exited is marked as saved",
    file: "context/generator.js",
    find: "if (how === EXIT_DONE) return false;",
    replace: "if (how === EXIT_DONE) return true;",
    test: life,
  },
  {
    point: "free.unlinked",
    name: "an LWP that is being freed can still be found",
    file: "kern/lwpfree.js",
    find: `lidRemove(l);
      if (!last) {
        // Waiters look for deadlock again.
        cvBroadcast(k, p.lwpcv);
        spinExit(k, p.lock);
      }
      delayPoint(k, AT_FREE_UNLINKED);`,
    replace: `if (!last) {
        cvBroadcast(k, p.lwpcv);
        spinExit(k, p.lock);
      }
      delayPoint(k, AT_FREE_UNLINKED);
      lidRemove(l);`,
    test: life,
  },
  {
    point: "create.idle",
    name: "an LWP is started under the lock of its creator's CPU",
    file: "kern/lwpcreate.js",
    find: "spinEnter(k, p.lock); lwpLock(l2); const suspended",
    replace: "spinEnter(k, p.lock); spinEnter(k, l1.cpu.mutex); const suspended",
    test: life,
  },
  {
    point: "create.idle",
    name: "an LWP that is not born can be found",
    file: "kern/lwpref.js",
    find: "return l === null || l.stat === LSIDL || l.stat === LSZOMB ? null : l;",
    replace: "return l === null || l.stat === LSZOMB ? null : l;",
    test: life,
  },
  {
    point: "userret.suspended",
    name: "an LWP that is continued on its CPU is queued",
    file: "kern/synch.js",
    find: "if ((l.pflag & LP_RUNNING) !== 0) {",
    replace: "if (false) {",
    test: life,
  },
  {
    point: "sigswitch.stopped",
    name: "an LWP that stops does not look whether it was continued meanwhile",
    file: "kern/procstop.js",
    find: "lwpLock(l); return miSwitch(l);",
    replace: "lwpLock(l); if (l.stat === LSONPROC) setStat(l, LSSTOP); return miSwitch(l);",
    test: life,
  },
  {
    point: "signal.queued",
    name: "only who sleeps already is told that a signal is pending",
    file: "kern/signal.js",
    find: "l.flag |= LW_PENDSIG; const continues",
    replace: "if (l.stat === LSSLEEP) l.flag |= LW_PENDSIG; const continues",
    test: signals,
  },
  {
    point: "wait.tried",
    name: "who waits for one of several threads does not look once more",
    file: "thread/combine.js",
    find: "if (this.isReady()) {",
    replace: "if (false) {",
    test: waits,
  },
  {
    point: "wait.tried",
    name: "who joins does not look once more",
    file: "thread/join.js",
    find: "if (t.state !== THREAD_RUNNING) { spinExit(l.k, t.lock); return BLOCK_RETRY; }",
    replace: "",
    test: waits,
  },
  {
    point: "wait.tried",
    name: "who is to suspend itself sleeps first",
    file: "kern/sleepq.js",
    find: "if ((l.w[l.at + FLAG] & LW_WSUSPEND) === 0) return sleepqBlock(l, ticks, true);",
    replace: "return sleepqBlock(l, ticks, true);",
    test: waits,
  },
  {
    point: "wait.tried",
    name: "a timed wait sleeps for as many ticks as are left, and for ever if none are",
    file: "thread/wait.js",
    find: "Math.max(this.#left(), 1)",
    replace: "Math.max(this.#left(), 0)",
    test: waits,
  },
];
