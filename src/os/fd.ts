/**
 * One file descriptor with one owner. Closing twice is harmless; using it after it was closed or
 * given away throws, so that a recycled number is never touched.
 */
export declare class Fd implements Disposable {
  constructor(raw: number);
  /** The number, for a system call made now. Throws when the descriptor was closed or taken. */
  get raw(): number;
  /** False once closed or taken. */
  get open(): boolean;
  /** Gives the number away: from now on the caller closes it. */
  take(): number;
  /** A second descriptor of the same open file description (F_DUPFD_CLOEXEC). */
  dup(): Fd;
  close(): void;
  [Symbol.dispose](): void;
}
