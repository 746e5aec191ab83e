import { chmodSync, mkdirSync, rmdirSync } from 'node:fs';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { fdPath, O_DIRECTORY_PATH, O_PATH, openAt2 } from '../os/openat2.ts';
import { invalid } from './fields.ts';

/** Nothing below the root is followed elsewhere: containers write there. */
const confined = ['beneath', 'no-symlinks', 'no-magic-links'] as const;

/** Directories made on the way to one, for an undo. */
export interface MadeDirectory {
  /** The directory it was made in; owned by whoever holds this. */
  readonly parent: Fd;
  readonly name: string;
}

/**
 * What lies at `path` below the directory `root`, as a descriptor that only stands for it. Missing
 * directories on the way and at its end are made with exactly `mode`, and added to `made`, also
 * when it then fails. `path` is one that {@link checkBelow} passed. AgentError 'invalid-argument'
 * for a link anywhere on the way.
 */
export function openConfined(
  root: string,
  path: string,
  options: { mode: number; field: string; made: MadeDirectory[] },
): Fd {
  const { mode, field, made } = options;
  let here = openAt2(null, root, { flags: O_DIRECTORY_PATH, resolve: ['no-magic-links'] });
  try {
    for (const name of path.split('/').filter((part) => part !== '')) {
      const next = openOrMake(here, name, { mode, made });
      here.close();
      here = next;
    }
    return here;
  } catch (error) {
    here.close();
    if (hasCode(error, 'ELOOP')) throw invalid(field, 'leads through a symbolic link', error);
    if (hasCode(error, 'ENOTDIR')) throw invalid(field, 'leads through a file', error);
    throw error;
  }
}

function openOrMake(
  parent: Fd,
  name: string,
  options: { mode: number; made: MadeDirectory[] },
): Fd {
  try {
    return openAt2(parent, name, { flags: O_PATH, resolve: confined });
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  // Before anything is made that could not be remembered.
  const kept = parent.dup();
  try {
    mkdirSync(`${fdPath(parent)}/${name}`, options.mode);
    options.made.push({ parent: kept, name });
  } catch (error) {
    kept.close();
    // Another container of the pod was faster: what is there now is judged by the open.
    if (!hasCode(error, 'EEXIST')) throw error;
    return openAt2(parent, name, { flags: O_PATH, resolve: confined });
  }
  const directory = openAt2(parent, name, { flags: O_DIRECTORY_PATH, resolve: confined });
  try {
    // The umask took bits off the mode given above.
    chmodSync(fdPath(directory), options.mode);
    return directory;
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** Removes directories that were made, the deepest first; one that somebody uses by now stays. Releases what `made` holds. */
export function removeMade(made: MadeDirectory[]): void {
  for (const { parent, name } of made.reverse()) {
    try {
      rmdirSync(`${fdPath(parent)}/${name}`);
    } catch (error) {
      const left = ['ENOTEMPTY', 'ENOENT', 'ENOTDIR', 'EBUSY'];
      if (!left.some((code) => hasCode(error, code))) throw error;
    } finally {
      parent.close();
    }
  }
  made.length = 0;
}

/** Keeps directories that were made: only lets go of what is held for an undo. */
export function keepMade(made: MadeDirectory[]): void {
  for (const { parent } of made) parent.close();
  made.length = 0;
}
