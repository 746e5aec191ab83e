import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BridgeError, GuestError } from '../client/errors.ts';
import { ManagementConnectionError, ManagementRequestError } from '../client/management/errors.ts';
import { DetachFilter } from './detach-filter.ts';
import { exitCodeOfSignal, Interrupted } from './exit-codes.ts';
import type { Io } from './io.ts';
import type { ForwardedSignal, SignalWatch } from './signals.ts';
import { rawMode, terminalSize, watchTerminalSize } from './terminal.ts';

/** A process with its streams, reached over the bridge or the management door. */
export interface AttachedProcess {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Settles once it has ended and its output is delivered. */
  readonly exited: Promise<number>;
  signal(signal: number): Promise<unknown>;
  resize(size: { width: number; height: number }): Promise<unknown>;
}

export interface AttachOptions {
  readonly io: Io;
  readonly signals: SignalWatch;
  readonly terminal: boolean;
  /** Ends the process for good: the second Ctrl-C, or a signal while the terminal is raw. */
  readonly kill: () => Promise<unknown>;
  /** Keys that leave the process to itself; undefined: there are none. */
  readonly detachKeys?: Buffer | undefined;
  /** False: signals to gcsctl end it alone, and the process goes on. Default true. */
  readonly passSignals?: boolean | undefined;
}

/** The detach keys were typed: the process goes on. */
export const DETACHED = 'detached';

/**
 * Connects a process of the guest with this one's streams, terminal and signals until it has
 * ended. Resolves with its exit code. The terminal is as before on every way out.
 */
export async function attach(process: AttachedProcess, options: AttachOptions): Promise<number> {
  const outcome = await attachUntil(process, { ...options, detachKeys: undefined });
  if (outcome === DETACHED) throw new Error('detached without keys for it');
  return outcome;
}

/** The same; resolves with DETACHED when the keys for it were typed. */
export async function attachUntil(
  process: AttachedProcess,
  options: AttachOptions,
): Promise<number | typeof DETACHED> {
  const { io, signals, terminal, detachKeys } = options;
  const raw = terminal && process.stdin !== undefined && io.stdin.isTTY === true;
  using stack = new DisposableStack();
  const interrupted = Promise.withResolvers<never>();
  const forward = new Forwarder(process, options, raw, (error) => interrupted.reject(error));
  const former = signals.receiver;
  stack.defer(() => {
    signals.receiver = former;
  });
  if (options.passSignals !== false) {
    signals.receiver = (name, signal) => forward.receive(name, signal);
  } else {
    signals.receiver = (name, signal) => interrupted.reject(new Interrupted(name, signal));
  }
  if (raw) stack.use(rawMode(io));
  if (terminal) stack.use(followSize(process, io));
  const detached = Promise.withResolvers<typeof DETACHED>();
  if (process.stdin !== undefined) {
    const filter =
      raw && detachKeys !== undefined
        ? new DetachFilter(detachKeys, () => detached.resolve(DETACHED))
        : undefined;
    stack.use(pumpInput(io, process.stdin, filter));
  }
  const code = Promise.all([
    process.exited,
    copyOut(process.stdout, io.stdout),
    copyOut(process.stderr, io.stderr),
  ]).then(([exitCode]) => exitCode);
  const ended = await Promise.race([code, interrupted.promise, detached.promise]);
  if (ended === DETACHED) code.catch(() => {}); // Nobody waits for it any more.
  return forward.endedBy ?? ended;
}

/** What a signal to gcsctl means for the process. */
class Forwarder {
  /** Exit code when gcsctl itself was told to end while its terminal was raw. */
  endedBy: number | undefined;
  readonly #process: AttachedProcess;
  readonly #options: AttachOptions;
  readonly #raw: boolean;
  readonly #giveUp: (error: Error) => void;
  #requests = 0;

  constructor(
    process: AttachedProcess,
    options: AttachOptions,
    raw: boolean,
    giveUp: (error: Error) => void,
  ) {
    this.#process = process;
    this.#options = options;
    this.#raw = raw;
    this.#giveUp = giveUp;
  }

  receive(name: ForwardedSignal, signal: number): void {
    const toEnd = name === 'SIGINT' || name === 'SIGTERM' || this.#raw;
    if (toEnd) this.#requests += 1;
    // In raw mode keys reach the process as bytes; a signal is somebody ending gcsctl.
    if (this.#raw && this.#requests === 1) {
      this.endedBy = exitCodeOfSignal(signal);
      this.#do(this.#options.kill());
    } else if (!toEnd || this.#requests === 1) {
      this.#do(this.#process.signal(signal));
    } else if (this.#requests === 2 && !this.#raw) {
      this.#do(this.#options.kill());
    } else {
      this.#giveUp(new Interrupted(name, signal));
    }
  }

  // With the bridge the whole attachment fails; a signal that the guest refuses is told and no more.
  #do(action: Promise<unknown>): void {
    action.catch((error: Error) => {
      if (isLoss(error)) return;
      if (!isRefusal(error)) this.#giveUp(error);
      else this.#options.io.stderr.write(`gcsctl: signal not delivered: ${error.message}\n`);
    });
  }
}

function followSize(process: AttachedProcess, io: Io): Disposable {
  const resize = (size: { width: number; height: number }): void => {
    process.resize(size).catch((error: Error) => {
      // The process is ending, or the bridge is lost: both are told of elsewhere.
      if (!(isRefusal(error) || isLoss(error))) throw error;
    });
  };
  const size = terminalSize(io);
  if (size !== undefined) resize(size);
  return watchTerminalSize(io, resize);
}

function isLoss(error: unknown): boolean {
  return error instanceof BridgeError || error instanceof ManagementConnectionError;
}

function isRefusal(error: unknown): boolean {
  return error instanceof GuestError || error instanceof ManagementRequestError;
}

function pumpInput(io: Io, stdin: Writable, filter: DetachFilter | undefined): Disposable {
  const first = filter ?? stdin;
  const stop = (): void => {
    io.stdin.unpipe(first);
    io.stdin.pause();
  };
  stdin.once('close', stop);
  filter?.pipe(stdin);
  io.stdin.pipe(first);
  return { [Symbol.dispose]: stop };
}

async function copyOut(source: Readable | undefined, destination: Writable): Promise<void> {
  if (source === undefined) return;
  try {
    await pipeline(source, destination, { end: false });
  } catch (error) {
    // Our reader has gone: the pipeline has closed the stream, and the process learns it the same way.
    if ((error as { code?: unknown }).code !== 'EPIPE') throw error;
  }
}
