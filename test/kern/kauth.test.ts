/** Authorisation (MCH-112, 113). */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as K from "lwp/kernel";
import { parked, TestMachine } from "../support/sim.js";

const { KAUTH_RESULT_ALLOW: ALLOW, KAUTH_RESULT_DENY: DENY, KAUTH_RESULT_DEFER: DEFER } = K;

function machine(models: string[], verdicts: number[]): TestMachine {
  const m = new TestMachine();
  const { auth } = m.k.slots;
  auth.models = new Set(models);
  auth.listeners = verdicts.map((verdict) => () => verdict);
  return m;
}

/** Verdicts of the listeners: what comes of them with a model loaded, and with none. */
const TABLE: [verdicts: number[], loaded: number, none: number][] = [
  [[], K.EPERM, 0],
  [[DEFER], K.EPERM, 0],
  [[ALLOW], 0, 0],
  [[DENY], K.EPERM, K.EPERM],
  [[DEFER, ALLOW], 0, 0],
  [[ALLOW, DEFER], 0, 0],
  [[ALLOW, DENY], K.EPERM, K.EPERM],
  [[DENY, ALLOW], K.EPERM, K.EPERM],
  [[DEFER, DENY], K.EPERM, K.EPERM],
];

for (const [verdicts, loaded, none] of TABLE) {
  const names = verdicts.map((v) => ["ALLOW", "DENY", "DEFER"][v]).join(", ") || "no listener";
  test(`MCH-112: ${names}: ${loaded === 0 ? "allowed" : "EPERM"}; without a security model ${none === 0 ? "allowed" : "EPERM"}`, () => {
    for (const [models, expected] of [
      [["suser"], loaded],
      [[], none],
    ] as const) {
      const m = machine([...models], verdicts);
      assert.equal(K.kauthAuthorize(m.k, 5, K.KAUTH_SCOPE_PROCESS, "x"), expected);
      assert.equal(K.kauthAuthorize(m.k, K.CRED_KERNEL, K.KAUTH_SCOPE_PROCESS, "x"), 0, "the kernel itself");
    }
  });
}

test("MCH-112: the calls make of a refusal what they say: EAGAIN for LWPs beyond the limit, EPERM for sysctl", () => {
  const m = new TestMachine();
  const p = m.spawn(parked, { uid: 9, nthr: 1 });
  m.run();
  const l = m.lwp(p, 1);
  const create = () =>
    m.asCpu(() => {
      K.cur.lwp = l;
      return K.lwpCreate(l, p, 0, { kind: K.CTX_CLOSURE, closure: parked }, l.class);
    });
  assert.notEqual(create(), null);
  assert.equal(create(), null, "EAGAIN");
  assert.equal(
    m.asCpu(() => K.sysctl(m.k, 9, "kern.maxlwp", 5).error),
    K.EPERM,
  );
  m.k.slots.auth.listeners.push((_k, r) => (r.action === K.KAUTH_PROCESS_RLIMIT_BYPASS ? ALLOW : DEFER));
  assert.notEqual(create(), null, "with the right to pass the limit");
});

test("MCH-113: the policy is asked at each call, about the caller's cached credentials and the target's present ones", () => {
  const m = new TestMachine();
  const [p, q] = [m.spawn(parked, { uid: 9 }), m.spawn(parked, { uid: 9 })];
  m.run();
  const l = m.lwp(p, 1);
  const may = () => K.kauthAuthorizeLwp(l, K.KAUTH_SCOPE_PROCESS, K.KAUTH_PROCESS_STOPFLAG, q) === 0;
  assert.equal(may(), true);
  p.uid = 10;
  assert.equal(may(), true, "the caller still has what it entered with");
  q.uid = 10;
  assert.equal(may(), false, "the target is judged as it is now");
  (l.cred as K.Cred).euid = 10;
  assert.equal(may(), true);
  m.k.slots.auth.listeners.push(() => DENY);
  assert.equal(may(), false, "nothing was remembered");
  m.k.slots.auth.listeners.pop();
  [p.uid, q.uid, (l.cred as K.Cred).euid] = [9, 9, 9];
});
