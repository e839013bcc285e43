/**
 * Error numbers: NetBSD's values, Node's shape.
 *
 * Kernel functions return these numbers; only the system-call floor turns one into an `LwpError`.
 * ERESTART never leaves the kernel: the system call is executed again.
 */

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const EDEADLK = 11;
export const ENOMEM = 12;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EPIPE = 32;
export const EAGAIN = 35;
export const EWOULDBLOCK = EAGAIN;
export const EALREADY = 37;
export const ETIMEDOUT = 60;
export const ENAMETOOLONG = 63;
export const EOVERFLOW = 84;
export const ENOTSUP = 86;
export const ECANCELED = 87;
/** Kernel-internal: execute the system call again. */
export const ERESTART = -3;

const TABLE: Record<number, readonly [code: string, text: string]> = {
  [EPERM]: ["EPERM", "operation not permitted"],
  [ENOENT]: ["ENOENT", "no such name"],
  [ESRCH]: ["ESRCH", "no such thread or process"],
  [EINTR]: ["EINTR", "interrupted"],
  [E2BIG]: ["E2BIG", "arguments too large"],
  [ENOEXEC]: ["ENOEXEC", "not a runnable program"],
  [EDEADLK]: ["EDEADLK", "deadlock avoided"],
  [ENOMEM]: ["ENOMEM", "no memory left in a kernel table"],
  [EFAULT]: ["EFAULT", "bad argument"],
  [EBUSY]: ["EBUSY", "busy"],
  [EEXIST]: ["EEXIST", "the name exists"],
  [ENODEV]: ["ENODEV", "not asleep"],
  [ENOTDIR]: ["ENOTDIR", "nothing is below that name"],
  [EISDIR]: ["EISDIR", "that name has no value of its own"],
  [EINVAL]: ["EINVAL", "invalid argument"],
  [ENFILE]: ["ENFILE", "the table of named objects is full"],
  [EPIPE]: ["EPIPE", "closed"],
  [EAGAIN]: ["EAGAIN", "limit reached"],
  [EALREADY]: ["EALREADY", "a wakeup was already pending"],
  [ETIMEDOUT]: ["ETIMEDOUT", "timed out"],
  [ENAMETOOLONG]: ["ENAMETOOLONG", "name too long"],
  [EOVERFLOW]: ["EOVERFLOW", "too large a value"],
  [ENOTSUP]: ["ENOTSUP", "not supported"],
  [ECANCELED]: ["ECANCELED", "cancelled"],
  [ERESTART]: ["ERESTART", "restart the call"],
};

/** The name of an error number, `"ESRCH"` for 3. */
export function errorCode(errno: number): string {
  return TABLE[errno]?.[0] ?? `E${errno}`;
}

/** A short description of an error number. */
export function errorText(errno: number): string {
  return TABLE[errno]?.[1] ?? "unknown error";
}

/**
 * The error of a system call, in Node's shape.
 *
 * `code` is the name (`"ESRCH"`), `errno` NetBSD's number, `syscall` the call that failed.
 */
export class LwpError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly lid: number | undefined;
  readonly pid: number | undefined;

  constructor(errno: number, syscall: string, about?: { lid?: number; pid?: number; detail?: string }) {
    const code = errorCode(errno);
    super(`${syscall}: ${code}: ${about?.detail ?? errorText(errno)}`);
    this.name = "LwpError";
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.lid = about?.lid;
    this.pid = about?.pid;
  }
}

/**
 * A precondition of the kernel was broken. Never delivered to a program: the machine is dead once it
 * is thrown (see `panic` in kern/panic.ts).
 */
export class KernelAssertion extends Error {
  constructor(message: string) {
    super(message);
    this.name = "KernelAssertion";
  }
}
