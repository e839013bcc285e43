/**
 * A message in a channel, or of a thread that waits to send it. Lock: o = its channel's.
 */
import { area, defineRecord, type Face, f64, i32, ref, View } from "./record.js";

export const messageFields = {
  /** Neighbours in its channel, the oldest first. */
  next: i32("o"),
  prev: i32("o"),
  /** Who waits until there is room for it; null = there is. */
  sender: ref("o", "lwp"),
  /** The process that sends it. */
  pid: i32("~"),
  /** Its value, as in the record of a thread: VALUE_*, and how long or where; a number, with `room` the bytes of a short one. */
  valueKind: i32("~"),
  valueAt: i32("~"),
  number: f64("~"),
  room: area("~", 6),
} as const;

class MessageView extends View {}

export interface Message extends MessageView, Face<typeof messageFields> {}
declare module "./record.js" {
  interface RecordTypes {
    message: Message;
  }
}
export const MessageRecord = defineRecord<Message>("Message", messageFields, MessageView);
