import type { InputStream } from './input-stream.ts';
import type { OutputStream } from './output-stream.ts';
import { type StdioReport, streamNames } from './stdio.ts';

export interface Streams {
  stdin?: InputStream | undefined;
  stdout?: OutputStream | undefined;
  stderr?: OutputStream | undefined;
}

async function collect(streams: Streams, event: 'drained' | 'closed'): Promise<StdioReport> {
  const all: StdioReport = {};
  const { stdin, stdout, stderr } = streams;
  if (stdin !== undefined) all.stdin = await stdin.closed;
  if (stdout !== undefined) all.stdout = await stdout[event];
  if (stderr !== undefined) all.stderr = await stderr[event];
  return all;
}

/** The relayed streams of one process as a whole: tells all of them what happens, waits for all of them. */
export class StreamGroup {
  readonly drained: Promise<StdioReport>;
  readonly closed: Promise<StdioReport>;
  readonly #streams: Streams;
  readonly #over = Promise.withResolvers<void>();

  constructor(streams: Streams) {
    this.#streams = streams;
    this.drained = this.#over.promise.then(() => collect(streams, 'drained'));
    this.closed = this.#over.promise.then(() => collect(streams, 'closed'));
  }

  processExited(): void {
    this.#streams.stdin?.stop();
    this.#streams.stdout?.processExited();
    this.#streams.stderr?.processExited();
    this.#over.resolve();
  }

  closeStdin(): void {
    this.#streams.stdin?.end();
  }

  abort(): void {
    this.#streams.stdin?.stop();
    this.#streams.stdout?.abort();
    this.#streams.stderr?.abort();
    this.#over.resolve();
  }

  snapshot(): StdioReport {
    const all: StdioReport = {};
    for (const name of streamNames) {
      const stream = this.#streams[name];
      if (stream !== undefined) all[name] = stream.snapshot();
    }
    return all;
  }
}
