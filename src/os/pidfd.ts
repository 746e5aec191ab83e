import { check, hasCode, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { untilReady } from './poll.ts';

/**
 * One particular process, whoever's child it is: a signal through it never reaches another that
 * got the pid later. See pidfd_open(2).
 */
export class Pidfd implements Disposable {
  readonly pid: number;
  readonly #fd: Fd;

  private constructor(pid: number, fd: Fd) {
    this.pid = pid;
    this.#fd = fd;
  }

  /** The process that has this pid now; undefined when there is none. Throws OsError (EMFILE, ENFILE …). */
  static open(pid: number): Pidfd | undefined {
    const result = native().pidfdOpen(pid);
    if (result >= 0) return new Pidfd(pid, new Fd(result));
    const error = new OsError('pidfd_open', -result, `${pid}`);
    if (hasCode(error, 'ESRCH')) return undefined;
    throw error;
  }

  /** False when it has ended and was collected; a zombie takes every signal without an effect. Throws OsError for anything else. */
  signal(signal: number): boolean {
    const result = native().pidfdSignal(this.#fd.raw, signal);
    if (result < 0 && hasCode(new OsError('pidfd_send_signal', -result), 'ESRCH')) return false;
    check('pidfd_send_signal', result, `${signal} to ${this.pid}`);
    return true;
  }

  /** Resolves when it has ended; its status is its parent's to collect. Rejects with the signal's reason. */
  async ended(options: { signal?: AbortSignal } = {}): Promise<void> {
    await untilReady(this.#fd.raw, { read: true }, options);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}
