/** Has each run of runc timed (native/timed.c), whoever starts it. */
import { copyFileSync, readFileSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { RuntimeProgram } from '../src/runtime/runc/program.ts';
import { buildTool } from './tool.ts';

interface Run {
  verb: string;
  milliseconds: number;
  /** Nanoseconds on CLOCK_MONOTONIC. */
  started: number;
}

/** While it exists, `runc` in PATH is the timed one, for this process and those it starts. */
export class TimedRuntime implements Disposable {
  readonly #times: string;
  readonly #path = process.env.PATH ?? '';

  /** @param directory holds nothing yet, and is left to who made it */
  constructor(directory: string) {
    this.#times = join(directory, 'times');
    copyFileSync(buildTool('timed'), join(directory, 'runc'));
    symlinkSync(new RuntimeProgram('runc').path('bench'), join(directory, 'real'));
    process.env.PATH = `${directory}${delimiter}${this.#path}`;
  }

  /** What each `runc VERB` took, in milliseconds, in the order of their starts. */
  taken(verb: string): number[] {
    return readFileSync(this.#times, 'utf8')
      .trimEnd()
      .split('\n')
      .map(parseRun)
      .filter((run) => run.verb === verb)
      .sort((a, b) => a.started - b.started)
      .map(({ milliseconds }) => milliseconds);
  }

  [Symbol.dispose](): void {
    process.env.PATH = this.#path;
  }
}

function parseRun(line: string): Run {
  const [verb = '', nanoseconds, started] = line.split(' ');
  return { verb, milliseconds: Number(nanoseconds) / 1e6, started: Number(started) };
}
