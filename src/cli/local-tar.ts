import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { CliError } from './exit-codes.ts';

/** GNU tar of this machine, for one archive over a pipe. Ended with its owner. */
export class LocalTar implements AsyncDisposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #failure: CliError | undefined;
  #said = '';

  constructor(args: readonly string[]) {
    const child = spawn('tar', ['-f', '-', ...args], { stdio: 'pipe' });
    this.#child = child;
    this.stdin = child.stdin;
    this.stdout = child.stdout;
    child.stdin.on('error', () => {}); // Its end says why.
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    this.#ended = once(child, 'close').then(
      ([code, signal]) => {
        if (code !== 0 && signal === null) this.#fail(this.#said.trim());
      },
      (error: Error) => this.#fail(`cannot be run: ${error.message}`),
    );
  }

  /** Rejects with CliError when it failed. */
  async ended(): Promise<void> {
    await this.#ended;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #fail(why: string): void {
    this.#failure ??= new CliError(`tar: ${why.replace(/^tar: /gm, '')}`);
  }
}
