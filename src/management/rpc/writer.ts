import type { Duplex } from 'node:stream';
import { AbstractMessageWriter, type Message } from 'vscode-jsonrpc/node';
import { stringifyJson } from '../../json.ts';
import { headerOf } from './header.ts';

/**
 * Messages to one peer. A write is over when the stream has the bytes: what the peer has not read
 * is `unread`, and bounding it is the session's. Integers of 64 bits are written digit for digit.
 */
export class ExactMessageWriter extends AbstractMessageWriter {
  readonly #stream: Duplex;
  #count = 0;

  constructor(stream: Duplex) {
    super();
    this.#stream = stream;
    stream.on('close', () => this.fireClose());
  }

  /** Bytes the kernel has not taken yet. */
  get unread(): number {
    return this.#stream.writableLength;
  }

  /** Messages written. */
  get count(): number {
    return this.#count;
  }

  async write(message: Message): Promise<void> {
    // Of a peer that has gone nothing more is expected; its requests end with it.
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    const body = Buffer.from(stringifyJson(message));
    this.#count += 1;
    this.#stream.cork();
    this.#stream.write(headerOf(body.length), 'latin1');
    this.#stream.write(body);
    this.#stream.uncork();
  }

  end(): void {
    this.#stream.end();
  }
}
