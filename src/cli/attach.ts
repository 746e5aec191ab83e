import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BridgeError, GuestError } from '../client/errors.ts';
import type { InputStream } from '../client/input-stream.ts';
import type { OutputStream } from '../client/output-stream.ts';
import type { GuestProcess } from '../client/process.ts';
import { exitCodeOfSignal, Interrupted } from './exit-codes.ts';
import type { Io } from './io.ts';
import type { ForwardedSignal, SignalWatch } from './signals.ts';
import { rawMode, terminalSize, watchTerminalSize } from './terminal.ts';

export interface AttachOptions {
  readonly io: Io;
  readonly signals: SignalWatch;
  readonly terminal: boolean;
  /** Ends the process for good: the second Ctrl-C, or a signal while the terminal is raw. */
  readonly kill: () => Promise<unknown>;
}

/**
 * Connects a process of the guest with this one's streams, terminal and signals until it has
 * ended. Resolves with its exit code. The terminal is as before on every way out.
 */
export async function attach(process: GuestProcess, options: AttachOptions): Promise<number> {
  const { io, signals, terminal } = options;
  const raw = terminal && process.stdin !== undefined && io.stdin.isTTY === true;
  using stack = new DisposableStack();
  const interrupted = Promise.withResolvers<never>();
  const forward = new Forwarder(process, options, raw, (error) => interrupted.reject(error));
  const former = signals.receiver;
  stack.defer(() => {
    signals.receiver = former;
  });
  signals.receiver = (name, signal) => forward.receive(name, signal);
  if (raw) stack.use(rawMode(io));
  if (terminal) stack.use(followSize(process, io));
  if (process.stdin !== undefined) stack.use(pumpInput(io, process.stdin));
  const code = Promise.all([
    process.exited,
    copyOut(process.stdout, io.stdout),
    copyOut(process.stderr, io.stderr),
  ]).then(([exitCode]) => exitCode);
  const ended = await Promise.race([code, interrupted.promise]);
  return forward.endedBy ?? ended;
}

/** What a signal to gcsctl means for the process. */
class Forwarder {
  /** Exit code when gcsctl itself was told to end while its terminal was raw. */
  endedBy: number | undefined;
  readonly #process: GuestProcess;
  readonly #options: AttachOptions;
  readonly #raw: boolean;
  readonly #giveUp: (error: Error) => void;
  #requests = 0;

  constructor(
    process: GuestProcess,
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
      if (error instanceof BridgeError) return;
      if (!(error instanceof GuestError)) this.#giveUp(error);
      else this.#options.io.stderr.write(`gcsctl: signal not delivered: ${error.message}\n`);
    });
  }
}

function followSize(process: GuestProcess, io: Io): Disposable {
  const resize = (size: { width: number; height: number }): void => {
    process.resize(size).catch((error: Error) => {
      // The process is ending, or the bridge is lost: both are told of elsewhere.
      if (!(error instanceof GuestError || error instanceof BridgeError)) throw error;
    });
  };
  const size = terminalSize(io);
  if (size !== undefined) resize(size);
  return watchTerminalSize(io, resize);
}

function pumpInput(io: Io, stdin: InputStream): Disposable {
  const stop = (): void => {
    io.stdin.unpipe(stdin);
    io.stdin.pause();
  };
  stdin.once('close', stop);
  io.stdin.pipe(stdin);
  return { [Symbol.dispose]: stop };
}

async function copyOut(source: OutputStream | undefined, destination: Writable): Promise<void> {
  if (source === undefined) return;
  try {
    await pipeline(source, destination, { end: false });
  } catch (error) {
    // Our reader has gone: the pipeline has closed the stream, and the process learns it the same way.
    if ((error as { code?: unknown }).code !== 'EPIPE') throw error;
  }
}
