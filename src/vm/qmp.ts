import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { VmError } from './errors.ts';

interface QmpMessage {
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly id?: number;
}

interface QmpEvents {
  event: [name: string, data: Readonly<Record<string, unknown>>];
}

/** QEMU's machine protocol (docs/interop/qmp-spec): one JSON object a line, each way. */
export class QmpClient extends EventEmitter<QmpEvents> {
  /** Resolves when QEMU has closed it. */
  readonly closed: Promise<void>;
  readonly #stream: Duplex;
  readonly #greeted = Promise.withResolvers<void>();
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 1;

  /** Owns the stream. */
  constructor(stream: Duplex) {
    super();
    this.#stream = stream;
    this.#greeted.promise.catch(() => {});
    const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on('line', (line) => this.#take(line));
    // A QEMU that ends with something unread resets it; what matters is told by 'close'.
    lines.on('error', () => {});
    const end = Promise.withResolvers<void>();
    this.closed = end.promise;
    stream.on('error', () => {});
    stream.once('close', () => {
      const gone = new VmError('ended', 'QEMU has closed its control connection');
      this.#greeted.reject(gone);
      for (const each of this.#waiting.values()) each.reject(gone);
      this.#waiting.clear();
      end.resolve();
    });
    stream.once('end', () => stream.destroy());
  }

  /** Resolves when QEMU takes commands. */
  async negotiate(): Promise<void> {
    await this.#greeted.promise;
    await this.execute('qmp_capabilities');
  }

  /** Resolves with what the command returns. Rejects with VmError 'refused', or 'ended' when QEMU is gone. */
  execute(command: string, args?: object): Promise<unknown> {
    const id = this.#nextId++;
    const reply = Promise.withResolvers<unknown>();
    if (this.#stream.destroyed) {
      return Promise.reject(new VmError('ended', `QEMU is gone: ${command} cannot be asked`));
    }
    this.#waiting.set(id, reply);
    this.#stream.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    return reply.promise;
  }

  #take(line: string): void {
    const message = JSON.parse(line) as QmpMessage;
    if (message.QMP !== undefined) this.#greeted.resolve();
    if (message.event !== undefined) this.emit('event', message.event, message.data ?? {});
    if (message.id === undefined) return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.return);
    else waiting?.reject(new VmError('refused', `QEMU: ${message.error.desc}`));
  }
}
