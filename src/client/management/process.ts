import type { Readable, Writable } from 'node:stream';
import type { Result } from '../../management/contract.ts';
import type { CallOptions, ManagementConnection } from './connection.ts';

export type ProcessExit = Result<'process.wait'>;

/** Which streams of a process the client wants. */
export interface WantedStreams {
  readonly stdin?: boolean | undefined;
  readonly stdout?: boolean | undefined;
  readonly stderr?: boolean | undefined;
}

export interface ProcessStreams {
  /** Ending it is the end of the process's input. */
  readonly stdin?: Writable;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
}

/** A process of a container, and this client's streams to it. */
export class ManagedProcess {
  readonly containerId: string;
  readonly processId: string;
  readonly pid: number;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly #rpc: ManagementConnection;

  constructor(
    rpc: ManagementConnection,
    process: { containerId: string; processId: string; pid: number },
    streams: ProcessStreams,
  ) {
    this.#rpc = rpc;
    this.containerId = process.containerId;
    this.processId = process.processId;
    this.pid = process.pid;
    this.stdin = streams.stdin;
    this.stdout = streams.stdout;
    this.stderr = streams.stderr;
  }

  /** Resolves when it has ended and its output is delivered: read stdout and stderr meanwhile. */
  wait(options: CallOptions & { timeoutMs?: number } = {}): Promise<ProcessExit> {
    const { timeoutMs, ...call } = options;
    return this.#rpc.call('process.wait', { ...this.#name, timeoutMs }, call);
  }

  async signal(signal: string | number, options?: CallOptions): Promise<void> {
    await this.#rpc.call('process.signal', { ...this.#name, signal }, options);
  }

  async resize(size: { width: number; height: number }, options?: CallOptions): Promise<void> {
    await this.#rpc.call('process.resize', { ...this.#name, ...size }, options);
  }

  async closeStdin(options?: CallOptions): Promise<void> {
    await this.#rpc.call('process.closeStdin', this.#name, options);
  }

  get #name() {
    return { containerId: this.containerId, processId: this.processId };
  }
}
