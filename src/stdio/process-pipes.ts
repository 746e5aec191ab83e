import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { pipe } from '../os/pipe.ts';
import type { StdioKeeper } from './keeper.ts';
import { streamPipeBytes } from './limits.ts';
import { type AgentPipes, type StreamName, streamNames } from './stdio.ts';

/**
 * What a stream nobody asked for becomes. 'dev-null': /dev/null (container exec, processes of the
 * VM). 'closed-pipe': a pipe whose other end is closed, so that reading gives the end of the
 * stream and writing gives EPIPE (the init process of a container).
 */
export type UnusedStream = 'dev-null' | 'closed-pipe';

/**
 * Larger than the 64 KiB of pipe(7), so that the process and the relay's thread take turns less
 * often; a pipe takes memory only for what is in it. Where that much is not allowed (EPERM), the
 * kernel's default serves.
 */
function streamPipe(): { read: Fd; write: Fd } {
  try {
    return pipe({ size: streamPipeBytes });
  } catch (error) {
    if (hasCode(error, 'EPERM')) return pipe();
    throw error;
  }
}

/**
 * The pipes between a process and the agent. The two ends of a pipe have file descriptions of
 * their own: the relay makes the agent's end non-blocking, the process's end stays blocking.
 */
export class ProcessPipes implements Disposable {
  readonly #agent: AgentPipes = { stdin: null, stdout: null, stderr: null };
  readonly #process: Record<StreamName, Fd | null> = { stdin: null, stdout: null, stderr: null };

  /**
   * Throws OsError (EMFILE) with nothing left open.
   *
   * @param keeper keeps the agent's ends.
   */
  constructor(
    wanted: Readonly<Partial<Record<StreamName, boolean>>>,
    unused: UnusedStream,
    keeper?: StdioKeeper,
  ) {
    try {
      for (const name of streamNames) {
        if (wanted[name] !== true && unused === 'dev-null') continue;
        const { read, write } = wanted[name] === true ? streamPipe() : pipe();
        const [mine, theirs] = name === 'stdin' ? [write, read] : [read, write];
        this.#process[name] = theirs;
        if (wanted[name] === true) this.#agent[name] = keeper?.keep(name, 'p', mine) ?? mine;
        else mine.close();
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Descriptors 0 to 2 of the process, for SpawnOptions; null is /dev/null. */
  get stdio(): (number | null)[] {
    return streamNames.map((name) => this.#process[name]?.raw ?? null);
  }

  /** The process's ends, for a runtime; null is /dev/null. They stay owned here. */
  get processEnds(): Readonly<Record<StreamName, Fd | null>> {
    return this.#process;
  }

  /** Gives the agent's ends away, to a PipeRelay. */
  takeAgentEnds(): AgentPipes {
    const ends = { ...this.#agent };
    for (const name of streamNames) this.#agent[name] = null;
    return ends;
  }

  /** To be called as soon as the process has its ends: an end that stays open here hides the end of the stream. */
  closeProcessEnds(): void {
    for (const name of streamNames) {
      this.#process[name]?.close();
      this.#process[name] = null;
    }
  }

  [Symbol.dispose](): void {
    this.closeProcessEnds();
    for (const end of Object.values(this.takeAgentEnds())) end?.close();
  }
}
