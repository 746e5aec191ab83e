import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { untilProcessEnds } from '../src/os/process-end.ts';
import { descendants } from '../test/support/proc.ts';
import { isOurs } from './subject.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Milliseconds for agents to end their containers. */
const END_MS = 15_000;

function containersLeft(): string[] {
  const list = spawnSync('runc', ['list', '-q'], { encoding: 'utf8' });
  return list.stdout.split('\n').filter(isOurs);
}

function endDescendants(): number[] {
  const pids = descendants(process.pid).map(({ pid }) => pid);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGTERM');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return pids;
}

/** Removes what a run that failed or was interrupted has left; does nothing after a good one. */
export async function removeLeftovers(directory: string): Promise<void> {
  const signal = AbortSignal.timeout(END_MS);
  await Promise.all(endDescendants().map((pid) => untilProcessEnds(pid, { signal })));
  for (const id of containersLeft()) spawnSync('runc', ['delete', '-f', id]);
  rmSync(directory, { recursive: true, force: true });
}

/** The user does not want to wait for the rest. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/**
 * On the first signal ends what is being measured: processes of ours, and what `also` ends. The measure
 * then fails and all is cleaned up.
 */
export class Interruption implements Disposable {
  #happened = false;
  readonly #also: () => void;
  readonly #listener = () => {
    this.#happened = true;
    endDescendants();
    this.#also();
  };

  constructor(also = () => {}) {
    this.#also = also;
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  /** Called between two steps of a measure. */
  check(): void {
    if (this.#happened) throw new Interrupted('interrupted');
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}
