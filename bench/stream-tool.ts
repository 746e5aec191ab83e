/** Drives native/stream.c, compiled when first needed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { buildTool, toolPath } from './tool.ts';

export const STREAM = toolPath('stream');

export function buildStreamTool(): void {
  buildTool('stream');
}

/** GiB/s from the tool's report; throws when not every byte came. */
export function rateOf(report: string, bytes: number): number {
  const [moved, nanoseconds] = report.trim().split(' ').map(Number);
  if (moved !== bytes || !nanoseconds) {
    throw new Error(`${moved} of ${bytes} bytes were moved: ${report}`);
  }
  return bytes / 2 ** 30 / (nanoseconds / 1e9);
}

/** A sink or source that listens on a socket. */
export class StreamEnd {
  /** GiB/s once the stream has ended. */
  readonly rate: Promise<number>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, bytes: number) {
    this.#child = child;
    const report = child.stderr ? text(child.stderr) : Promise.resolve('');
    this.rate = report.then((line) => rateOf(line, bytes));
    this.rate.catch(() => {});
  }

  /** Resolves when it listens on `path`. */
  static async sink(path: string, bytes: number): Promise<StreamEnd> {
    return await StreamEnd.#start(['sink', path], bytes);
  }

  static async source(path: string, bytes: number, chunk: number): Promise<StreamEnd> {
    return await StreamEnd.#start(['source', String(bytes), String(chunk), path], bytes);
  }

  static async #start(args: string[], bytes: number): Promise<StreamEnd> {
    const child = spawn(STREAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const end = new StreamEnd(child, bytes);
    if (child.stdout) await Promise.race([once(child.stdout, 'data'), end.rate]);
    return end;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
