import { type FSWatcher, readFileSync, unlinkSync, watch } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from './errors.ts';
import type { ExitStatus } from './process.ts';
import { statusOfSiginfo } from './wait.ts';

/** How and when a process ended. */
export interface ExitRecord {
  readonly status: ExitStatus;
  /** CLOCK_REALTIME, nanoseconds since the epoch. */
  readonly endedAtNs: bigint;
}

/** Where init puts its records, unless its supervisor form was told otherwise. */
const DEFAULT_RUN = '/run/gcs';

/**
 * What init, or our supervisor, has written about the processes that ended as its children: those
 * of an agent that died before them. A record is a file `<pid>.<start time>`, there before the pid
 * can be another's (native/init/reap.c).
 */
export class ExitRecords {
  readonly directory: string;
  readonly #waiting = new Map<string, Set<() => void>>();
  #watcher: FSWatcher | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Those of the init or supervisor that started this process, which says where in GCS_INIT_RUN. */
  static fromEnvironment(env: Readonly<NodeJS.ProcessEnv> = process.env): ExitRecords {
    return new ExitRecords(join(env.GCS_INIT_RUN ?? DEFAULT_RUN, 'exits'));
  }

  /** Undefined when there is none. `startTime` is field 22 of proc_pid_stat(5). Throws what the file system says (EIO, EACCES …), SyntaxError for a file that is no record. */
  read(pid: number, startTime: number): ExitRecord | undefined {
    const path = join(this.directory, `${pid}.${startTime}`);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
    return parseRecord(text, path);
  }

  /** Resolves when there is one. Rejects with the signal's reason, and with ENOENT where nobody keeps records. */
  async await(
    pid: number,
    startTime: number,
    options: { signal?: AbortSignal } = {},
  ): Promise<ExitRecord> {
    const name = `${pid}.${startTime}`;
    for (;;) {
      options.signal?.throwIfAborted();
      // Listens first and looks then: what comes in between is an event.
      const { promise: changed, resolve: wake, reject } = Promise.withResolvers<void>();
      const abort = (): void => reject(options.signal?.reason);
      this.#listen(name, wake);
      options.signal?.addEventListener('abort', abort, { once: true });
      try {
        const record = this.read(pid, startTime);
        if (record !== undefined) return record;
        await changed;
      } finally {
        options.signal?.removeEventListener('abort', abort);
        this.#unlisten(name, wake);
      }
    }
  }

  /** Removes a record that has been made use of; nothing happens when there is none. */
  forget(pid: number, startTime: number): void {
    try {
      unlinkSync(join(this.directory, `${pid}.${startTime}`));
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }

  #listen(name: string, wake: () => void): void {
    this.#watcher ??= this.#watch();
    const waiters = this.#waiting.get(name);
    if (waiters === undefined) this.#waiting.set(name, new Set([wake]));
    else waiters.add(wake);
  }

  #unlisten(name: string, wake: () => void): void {
    const waiters = this.#waiting.get(name);
    waiters?.delete(wake);
    if (waiters?.size === 0) this.#waiting.delete(name);
    if (this.#waiting.size > 0) return;
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #watch(): FSWatcher {
    const watcher = watch(this.directory, (_event, name) => this.#wake(name));
    // All look again, and fail then with the reason.
    watcher.on('error', () => this.#wake(null));
    return watcher;
  }

  /** `name` null: any of them may be there. */
  #wake(name: string | null): void {
    const all = name === null ? [...this.#waiting.values()] : [this.#waiting.get(name) ?? []];
    for (const waiters of all) for (const wake of waiters) wake();
  }
}

/** "<CLD code> <status> <ns>", sigaction(2)'s si_code and si_status. */
function parseRecord(text: string, path: string): ExitRecord {
  const match = /^(\d+) (\d+) (\d+)\n$/.exec(text);
  if (match === null) throw new SyntaxError(`${path} is no exit record`);
  const [, code, status, time = '0'] = match;
  return {
    status: statusOfSiginfo(Int32Array.of(0, Number(code), Number(status))),
    endedAtNs: BigInt(time),
  };
}
