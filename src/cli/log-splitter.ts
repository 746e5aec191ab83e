import { once } from 'node:events';
import { Writable } from 'node:stream';
import type { Io } from './io.ts';

const NEWLINE = 0x0a;
const SPACE = 0x20;

/**
 * Takes a log in the format of the CRI, `TIME STREAM TAG CONTENT` a line, and writes each content
 * to the stream it came from. A part (tag P) is followed by its rest without a line feed between.
 */
export class LogSplitter extends Writable {
  readonly #io: Io;
  readonly #timestamps: boolean;
  readonly #until: number;
  #rest: Buffer = Buffer.alloc(0);
  /** Streams whose last entry was a part: the next one is no new line. */
  readonly #inLine = new Set<string>();

  /** `until`: milliseconds since 1970; entries of this time and later are left out. */
  constructor(io: Io, options: { timestamps: boolean; until?: number | undefined }) {
    super();
    this.#io = io;
    this.#timestamps = options.timestamps;
    this.#until = options.until ?? Number.POSITIVE_INFINITY;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#take(chunk).then(() => done(), done);
  }

  async #take(chunk: Buffer): Promise<void> {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const parts: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
    let from = 0;
    for (let end = data.indexOf(NEWLINE, from); end >= 0; end = data.indexOf(NEWLINE, from)) {
      this.#entry(data.subarray(from, end), parts);
      from = end + 1;
    }
    this.#rest = Buffer.from(data.subarray(from));
    await this.#flush('stdout', parts.stdout);
    await this.#flush('stderr', parts.stderr);
  }

  #entry(line: Buffer, parts: Record<'stdout' | 'stderr', Buffer[]>): void {
    const afterTime = line.indexOf(SPACE);
    const afterStream = line.indexOf(SPACE, afterTime + 1);
    const afterTag = line.indexOf(SPACE, afterStream + 1);
    if (afterTime < 0 || afterStream < 0 || afterTag < 0) return; // No entry of this format.
    const time = line.toString('latin1', 0, afterTime);
    if (Date.parse(time) >= this.#until) return;
    const stream =
      line.toString('latin1', afterTime + 1, afterStream) === 'stderr' ? 'stderr' : 'stdout';
    // Tags are separated by colons; the first says whether the line is complete.
    const partial = line[afterStream + 1] === 0x50;
    const content = line.subarray(afterTag + 1);
    if (this.#timestamps && !this.#inLine.has(stream)) parts[stream].push(Buffer.from(`${time} `));
    parts[stream].push(content);
    if (partial) {
      this.#inLine.add(stream);
    } else {
      this.#inLine.delete(stream);
      parts[stream].push(Buffer.from('\n'));
    }
  }

  async #flush(name: 'stdout' | 'stderr', parts: readonly Buffer[]): Promise<void> {
    if (parts.length === 0) return;
    const stream = this.#io[name];
    if (!stream.write(Buffer.concat(parts))) await once(stream, 'drain');
  }
}
