import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../bin/gcs', import.meta.url));

/** The agent of the demonstration, for as long as it lasts. */
export class DemoAgent implements AsyncDisposable {
  /** Rejects, with the agent's log, when it ends. */
  readonly ended: Promise<never>;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  #log = '';

  constructor(path: string) {
    // A session of its own: Ctrl-C is the demonstration's, which ends the agent when it is done.
    const agent = [PROGRAM, '-v4', '-transport', `hybrid:${path}`, '-loglevel', 'warning'];
    // Should the demonstration itself be killed, the agent is told to end, and ends its container.
    this.#child = spawn('setpriv', ['--pdeathsig', 'TERM', ...agent], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    this.#exit = once(this.#child, 'close');
    this.ended = this.#exit.then(() => {
      throw new Error(`the agent ended:\n${this.#log}`);
    });
    this.ended.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#exit;
  }
}
