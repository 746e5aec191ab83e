import { AgentError } from '../errors.ts';
import { type ExitStatus, exitCodeOf } from '../os/process.ts';
import type { WindowSize } from '../os/pty.ts';
import { startTimer } from '../os/timer.ts';
import type { StdioReport, StdioSession } from '../stdio/stdio.ts';

const SIGKILL = 9;

/** What the model needs of a process, whoever started it: a runtime's process or a child of the agent. */
export interface UnderlyingProcess {
  readonly pid: number;
  readonly startTime: number;
  readonly exited: Promise<ExitStatus>;
  readonly status: ExitStatus | undefined;
  /** When it ended, where that is known from before. */
  readonly ended?: { readonly endedAtNs: bigint } | undefined;
  signal(signal: number): boolean;
}

/** What an agent after this one would know a process by. */
export interface ProcessMemory {
  readonly endTold?: boolean;
  tellsEnd?(): void;
  remove(): void;
}

/**
 * One process the host knows by pid. It passes three events, in this order: exited (the reaper has
 * the status), drained (its output was delivered; who waits is answered) and released (at least one
 * waiter got the code and none is left).
 */
export class GuestProcess {
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly startedAt = Date.now();
  /** Settles when the exit code may be told. */
  readonly drained: Promise<ExitStatus>;
  /** Called after each answered wait once nobody waits any more. */
  onReleased: (() => void) | undefined;

  readonly #process: UnderlyingProcess;
  readonly #record: ProcessMemory | undefined;
  #session: StdioSession | undefined;
  #result: ExitStatus | undefined;
  #finishedAt: number | undefined;
  #waiters = 0;
  #answered = false;

  /**
   * @param session streams, or a promise of them when they are made later (init of a created
   * container); it must settle, with undefined for "never had any".
   */
  constructor(
    process: UnderlyingProcess,
    session: StdioSession | undefined | Promise<StdioSession | undefined>,
    record?: ProcessMemory,
  ) {
    this.#record = record;
    this.pid = process.pid;
    this.#process = process;
    if (session instanceof Promise) void session.then((made) => (this.#session = made));
    else this.#session = session;
    this.drained = this.#drain(session);
  }

  async #drain(session: StdioSession | undefined | Promise<StdioSession | undefined>) {
    const status = await this.#process.exited;
    const at = this.#process.ended?.endedAtNs;
    this.#finishedAt = at === undefined ? Date.now() : Number(at / 1_000_000n);
    this.#session = await session;
    if (this.#session !== undefined) {
      this.#session.processExited();
      await this.#session.drained;
    }
    this.#result = status;
    return status;
  }

  /** Settles when it has ended and its streams carry nothing any more. */
  async closed(): Promise<void> {
    await this.drained;
    await this.#session?.closed;
  }

  /** In clock ticks since boot. */
  get startTime(): number {
    return this.#process.startTime;
  }

  /** Settles when its status is known; its output may still be on its way. */
  get exited(): Promise<ExitStatus> {
    return this.#process.exited;
  }

  /** Milliseconds since 1970; undefined while it runs. */
  get finishedAt(): number | undefined {
    return this.#finishedAt;
  }

  get running(): boolean {
    return this.#process.status === undefined;
  }

  get status(): ExitStatus | undefined {
    return this.#process.status;
  }

  /** True once a waiter got the code. */
  get answered(): boolean {
    return this.#answered;
  }

  get waiters(): number {
    return this.#waiters;
  }

  /** Streams' byte counts so far. */
  get streams(): StdioReport {
    return this.#session?.snapshot() ?? {};
  }

  /**
   * The exit code, once drained. A wait that times out or is aborted does not count as answered, so
   * a later one still gets the code.
   */
  async wait(timeoutMs: number | undefined, signal: AbortSignal): Promise<number> {
    this.#waiters++;
    try {
      const status = this.#result ?? (await this.#untilDrained(timeoutMs, signal));
      this.#answered = true;
      return exitCodeOf(status);
    } finally {
      this.#waiters--;
      if (this.#answered && this.#waiters === 0) this.onReleased?.();
    }
  }

  #untilDrained(timeoutMs: number | undefined, signal: AbortSignal): Promise<ExitStatus> {
    const { promise, resolve, reject } = Promise.withResolvers<ExitStatus>();
    const aborted = () =>
      reject(new AgentError('cancelled', `wait for process ${this.pid} was cancelled`));
    if (signal.aborted) {
      aborted();
      return promise;
    }
    const elapsed = () =>
      reject(
        new AgentError('wait-timeout', `process ${this.pid} did not exit within ${timeoutMs} ms`),
      );
    const timer = timeoutMs === undefined ? undefined : startTimer(timeoutMs, elapsed);
    signal.addEventListener('abort', aborted, { once: true });
    this.drained.then(resolve, reject);
    return promise.finally(() => {
      timer?.[Symbol.dispose]();
      signal.removeEventListener('abort', aborted);
    });
  }

  /** Throws 'process-not-found' when it has ended. */
  signal(signal: number): void {
    if (!this.#process.signal(signal)) {
      throw new AgentError('process-not-found', `process ${this.pid} has ended`);
    }
  }

  /** Ends it by SIGKILL; one that has ended, collected or not yet, is left as it is. */
  kill(): void {
    this.#process.signal(SIGKILL);
  }

  resize(size: WindowSize): void {
    if (this.#session?.terminal !== true) {
      throw new AgentError(
        'not-a-terminal',
        `pid: ${this.pid}, is not a tty and cannot be resized`,
      );
    }
    this.#session.resize(size);
  }

  /** No more input: who reads it sees its end. Nothing for a terminal, whose end is typed. */
  closeStdin(): void {
    this.#session?.closeStdin();
  }

  /** Nobody will ask for it any more. Its record goes when who waited has been answered. */
  forget(): void {
    setImmediate(() => this.#record?.remove());
  }

  /** Who follows events was told of its end, maybe by an agent before this one. */
  get endTold(): boolean {
    return this.#record?.endTold === true;
  }

  /** Notes that they were. */
  tellsEnd(): void {
    this.#record?.tellsEnd?.();
  }

  /** Ends its streams now; what was not delivered is lost. */
  abortStreams(): void {
    this.#session?.abort();
  }
}
