import type { Duplex } from 'node:stream';
import { AbstractMessageReader, type DataCallback, type Disposable } from 'vscode-jsonrpc/node';
import { parseJson } from '../../json.ts';
import { type FrameLimits, Frames } from './frames.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Told what the reader makes of the bytes. */
export interface ReaderEvents {
  /** Looks at a JSON value before the connection does; false: it is dealt with. */
  admit(message: unknown): boolean;
  /** A body that is not JSON; the next message is read. */
  unintelligible(error: Error): void;
}

/**
 * Messages of one peer. In place of the library's own reader, which keeps whatever a peer sends
 * until a header ends and takes any length for granted, and whose numbers lose their last digits.
 */
export class LimitedMessageReader extends AbstractMessageReader {
  readonly #stream: Duplex;
  readonly #frames: Frames;
  readonly #events: ReaderEvents;

  constructor(stream: Duplex, limits: FrameLimits, events: ReaderEvents) {
    super();
    this.#stream = stream;
    this.#frames = new Frames(limits);
    this.#events = events;
  }

  listen(callback: DataCallback): Disposable {
    const onData = (chunk: Buffer): void => this.#take(chunk, callback);
    const onClose = (): void => this.fireClose();
    this.#stream.on('data', onData);
    this.#stream.on('close', onClose);
    return {
      dispose: () => {
        this.#stream.off('data', onData);
        this.#stream.off('close', onClose);
      },
    };
  }

  #take(chunk: Buffer, callback: DataCallback): void {
    try {
      for (const body of this.#frames.push(chunk)) this.#deliver(body, callback);
    } catch (error) {
      // Where the next message begins is not known.
      this.#stream.pause();
      this.fireError(error);
    }
  }

  #deliver(body: Buffer, callback: DataCallback): void {
    let message: unknown;
    try {
      message = parseJson(utf8.decode(body));
    } catch (error) {
      this.#events.unintelligible(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#events.admit(message)) callback(message as Parameters<DataCallback>[0]);
  }
}
