import { INFINITE_TIMEOUT, NULL_CONTAINER_ID } from '../bridge/message-types.ts';
import { abortable } from './abortable.ts';
import type { GuestBridge, RpcOptions } from './bridge.ts';
import { BridgeError, GuestError } from './errors.ts';
import type { InputStream } from './input-stream.ts';
import { type OutputStream, QUIET_AFTER_EXIT_MS } from './output-stream.ts';
import type { ProcessStreams } from './stdio.ts';

/** HRESULT of a process that is gone; a signal to one is not an error. */
const PROCESS_NOT_FOUND = 0x80070490;
/** Milliseconds a killed process is given to end when it is disposed of. */
const KILL_GRACE_MS = 10_000;

export interface WaitOptions {
  /** Milliseconds after which the guest answers with a GuestError 0xC0370109 instead; default: no limit. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * A process in the guest: a container's init, an exec in a container or a process of the VM.
 * Disposing of it closes its streams and, when it still runs, kills it and waits for its end.
 */
export class GuestProcess implements AsyncDisposable {
  /** Pid in the guest. */
  readonly pid: number;
  /** Null for a process of the VM. */
  readonly containerId: string | null;
  readonly stdin: InputStream | undefined;
  readonly stdout: OutputStream | undefined;
  readonly stderr: OutputStream | undefined;
  readonly #bridge: GuestBridge;
  #exited: Promise<number> | undefined;
  #exitCode: number | undefined;

  constructor(
    bridge: GuestBridge,
    identity: { pid: number; containerId: string | null },
    streams: ProcessStreams = {},
  ) {
    this.#bridge = bridge;
    this.pid = identity.pid;
    this.containerId = identity.containerId;
    this.stdin = streams.stdin;
    this.stdout = streams.stdout;
    this.stderr = streams.stderr;
  }

  /**
   * The exit code, 128 + N for signal N. The guest sends it after the output was drained: it does
   * not come before stdout and stderr were read to their end (or destroyed).
   */
  get exited(): Promise<number> {
    this.#exited ??= this.#waitForExit();
    return this.#exited;
  }

  /** The exit code when it is known already. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Like `exited`, with a limit. Cancelling ends this wait only. */
  async wait(options: WaitOptions = {}): Promise<number> {
    const { timeoutMs, signal } = options;
    if (timeoutMs === undefined || this.#exitCode !== undefined) {
      return abortable(this.exited, signal);
    }
    const limit = Math.min(Math.max(0, Math.ceil(timeoutMs)), INFINITE_TIMEOUT - 1);
    try {
      return await this.#waitRequest(limit, signal === undefined ? {} : { signal });
    } catch (error) {
      // It ended and was forgotten between our first wait's answer and this request.
      if (isProcessNotFound(error) && this.#exited !== undefined) {
        return abortable(this.#exited, signal);
      }
      throw error;
    }
  }

  /** Sends a signal by its Linux number. False when the process has ended. */
  async signal(signal: number, options: RpcOptions = {}): Promise<boolean> {
    try {
      const request = { ...this.#target(), Options: { Signal: signal } };
      await this.#bridge.rpc('SignalProcess', request, options);
      return true;
    } catch (error) {
      if (isProcessNotFound(error)) return false;
      throw error;
    }
  }

  /** Sets the size of its terminal in characters. */
  async resize(size: { width: number; height: number }, options: RpcOptions = {}): Promise<void> {
    const request = { ...this.#target(), Width: size.width, Height: size.height };
    await this.#bridge.rpc('ResizeConsole', request, options);
  }

  /** Half-closes stdin, which the process reads as end of file; a terminal takes no notice. Resolves when all was written. */
  async closeStdin(): Promise<void> {
    const { stdin } = this;
    if (stdin === undefined || stdin.writableFinished || stdin.destroyed) return;
    await new Promise<void>((resolve, reject) => {
      stdin.end((error?: Error | null) => (error ? reject(error) : resolve()));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#exitCode === undefined && this.#bridge.failure === undefined) {
        const delivered = await this.signal(9);
        this.#closeStreams();
        if (delivered || this.#exited !== undefined) await this.#waitForEnd();
      }
    } finally {
      this.#closeStreams();
    }
  }

  async #waitForEnd(): Promise<void> {
    const limit = AbortSignal.timeout(KILL_GRACE_MS);
    try {
      await abortable(this.exited, limit);
    } catch (error) {
      // With the bridge the process's end is out of reach; what is ours has been released.
      if (error instanceof BridgeError) return;
      throw error;
    }
  }

  #waitForExit(): Promise<number> {
    const exited = this.#waitRequest(INFINITE_TIMEOUT).then((code) => {
      this.#exitCode = code;
      this.stdin?.destroy();
      this.stdout?.processExited(QUIET_AFTER_EXIT_MS);
      this.stderr?.processExited(QUIET_AFTER_EXIT_MS);
      return code;
    });
    // A host that never asks for the code must not be ended by a lost bridge.
    exited.catch((error: Error) => this.#closeStreams(error));
    return exited;
  }

  async #waitRequest(timeoutMs: number, options: RpcOptions = {}): Promise<number> {
    const request = { ...this.#target(), TimeoutInMs: timeoutMs };
    const reply = await this.#bridge.rpc('WaitForProcess', request, options);
    if (reply.ExitCode === undefined) {
      throw this.#bridge.breach(`the reply to WaitForProcess for ${this.pid} has no ExitCode`);
    }
    return reply.ExitCode;
  }

  #target(): { ContainerId: string; ProcessId: number } {
    return { ContainerId: this.containerId ?? NULL_CONTAINER_ID, ProcessId: this.pid };
  }

  #closeStreams(error?: Error): void {
    this.stdin?.destroy();
    this.stdout?.destroy(error);
    this.stderr?.destroy(error);
  }
}

function isProcessNotFound(error: unknown): boolean {
  return error instanceof GuestError && error.hresult === PROCESS_NOT_FOUND;
}
