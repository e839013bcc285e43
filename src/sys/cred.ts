/**
 * Credentials: who a process is (kauth_cred).
 *
 * Shared and counted, and never changed while shared: who changes something does so in a copy of its own, which then takes
 * the place of the old one.
 */
import { defineRecord, type Face, i32, View } from "./record.js";

export const credFields = {
  /** Holders: processes, and LWPs whose copy is no longer their process's (see kern/cred.ts). */
  refcnt: i32("@"),
  /** Real, effective and saved user id. */
  uid: i32("~"),
  euid: i32("~"),
  svuid: i32("~"),
  /** Real, effective and saved group id. */
  gid: i32("~"),
  egid: i32("~"),
  svgid: i32("~"),
} as const;

class CredView extends View {}

export interface Cred extends CredView, Face<typeof credFields> {}
declare module "./record.js" {
  interface RecordTypes {
    cred: Cred;
  }
}
export const CredRecord = defineRecord<Cred>("Cred", credFields, CredView);
