import {
  CliError,
  EXIT_FAILED,
  EXIT_OK,
  Interrupted,
  ReaderGone,
  UsageError,
} from '../exit-codes.ts';
import { tellFailure } from '../failures.ts';
import type { Io } from '../io.ts';
import type { Door } from './open.ts';

/** The ids that are meant: each is one, or the beginning of just one. Throws CliError otherwise. */
export async function findContainers(door: Door, words: readonly string[]): Promise<string[]> {
  const { containers } = await door.client.call('container.list', {}, { signal: door.signal });
  const ids = containers.map(({ id }) => id);
  return words.map((word) => matchId(word, ids));
}

export async function findContainer(door: Door, word: string): Promise<string> {
  const [id = word] = await findContainers(door, [word]);
  return id;
}

/** Throws CliError when `word` is no id and the beginning of none or of several. */
function matchId(word: string, ids: readonly string[]): string {
  if (ids.includes(word)) return word;
  const matches = word === '' ? [] : ids.filter((id) => id.startsWith(word));
  const [only, second] = matches;
  if (only === undefined) {
    throw new CliError(`no container ${word}: "gcsctl ps -a" lists those there are`);
  }
  if (second !== undefined) {
    throw new CliError(`"${word}" is the beginning of several: ${matches.join(', ')}`);
  }
  return only;
}

/** The containers a command is about. Throws UsageError when none is named. */
export function someIds(positionals: readonly string[]): readonly string[] {
  if (positionals.length === 0) throw new UsageError('the ID of the container is missing');
  return positionals;
}

/**
 * Does `work` for each container that is named, one after the other; a failure of one is told and
 * does not keep the others from their turn. Resolves with the exit code.
 */
export async function forEachContainer(
  door: Door,
  words: readonly string[],
  io: Io,
  work: (id: string) => Promise<unknown>,
): Promise<number> {
  const { containers } = await door.client.call('container.list', {}, { signal: door.signal });
  const ids = containers.map(({ id }) => id);
  let code = EXIT_OK;
  for (const word of words) {
    try {
      await work(matchId(word, ids));
    } catch (error) {
      if (error instanceof Interrupted || error instanceof ReaderGone) throw error;
      const told = tellFailure(error, '');
      if (told === undefined) throw error;
      io.stderr.write(`${told.text}\n`);
      code = EXIT_FAILED;
    }
  }
  return code;
}
