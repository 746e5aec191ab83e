import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import { native } from './native.ts';

/**
 * One file descriptor with one owner. Closing twice is harmless; using it after it was closed or
 * given away throws, so that a recycled number is never touched.
 */
export class Fd implements Disposable {
  #raw: number;

  constructor(raw: number) {
    if (!Number.isInteger(raw) || raw < 0) throw new OsError('fd', constants.errno.EBADF, `${raw}`);
    this.#raw = raw;
  }

  /** The number, for a system call made now. Throws when the descriptor was closed or taken. */
  get raw(): number {
    if (this.#raw < 0) throw new OsError('fd', constants.errno.EBADF, 'used after it was closed');
    return this.#raw;
  }

  /** False once closed or taken. */
  get open(): boolean {
    return this.#raw >= 0;
  }

  /** Gives the number away: from now on the caller closes it. */
  take(): number {
    const raw = this.raw;
    this.#raw = -1;
    return raw;
  }

  /** A second descriptor of the same open file description (F_DUPFD_CLOEXEC). */
  dup(): Fd {
    return new Fd(check('dup', native().dup(this.raw)));
  }

  /**
   * Makes the number `target` a second descriptor of this file in place of what it was (dup3(2)):
   * for a standard stream, whose number must never be free for others. Not close-on-exec.
   */
  dupOnto(target: number): void {
    check('dup3', native().dupOnto(this.raw, target), `${target}`);
  }

  /**
   * Never throws for a descriptor that was open: close(2) has released the number also when it
   * reports an error. EBADF alone is thrown, since it means that somebody else closed ours.
   */
  close(): void {
    if (this.#raw < 0) return;
    const raw = this.#raw;
    this.#raw = -1;
    const result = native().close(raw);
    if (result === -constants.errno.EBADF) check('close', result, `${raw}`);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The number of a descriptor given either way. */
export function rawOf(fd: Fd | number): number {
  return typeof fd === 'number' ? fd : fd.raw;
}
