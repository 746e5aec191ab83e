import { constants } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path/posix';
import { hasCode } from '../../os/errors.ts';
import { ManagementError } from '../errors.ts';

/**
 * A log and what was rotated of it: `path`, `path.1` (the youngest), `path.2` … It is rotated while it
 * is read, and a rotation moves every file to a higher number. So a file is known by its inode, and
 * its neighbour is right if the file itself has not moved while that was opened.
 */

/**
 * The youngest file of a log; undefined when it has none. That is `path`, or in the middle of a
 * rotation, when the new file has not got its name yet, what was that before.
 */
export async function openYoungestLogFile(path: string): Promise<FileHandle | undefined> {
  for (;;) {
    const file = await openLogFile(path);
    if (file !== undefined) return file;
    const [, name] = await namesOf(path);
    const rotated = name === undefined ? undefined : await openLogFile(name);
    if ((await inodeOf(path)) === undefined) {
      if (name === undefined) return undefined;
      if (rotated !== undefined && (await inodeOf(name)) === (await rotated.stat()).ino)
        return rotated;
    }
    await rotated?.close();
  }
}

/** Undefined when there is no such file. ManagementError for anything but a regular file. */
async function openLogFile(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new ManagementError('not-supported', `${path} is no regular file`);
}

/** All of a log, oldest first, open; empty when there is none. */
export async function openLogFiles(path: string): Promise<FileHandle[]> {
  const files: FileHandle[] = [];
  try {
    let file = await openYoungestLogFile(path);
    while (file !== undefined) {
      files.unshift(file);
      file = await neighbourOf(path, file, 'older');
    }
    return files;
  } catch (error) {
    for (const file of files) await file.close();
    throw error;
  }
}

/**
 * The file that follows one that is no longer `path`; undefined while that still is, and while
 * there is no other yet (somebody has moved it away and not asked for a new one).
 */
export async function nextLogFile(
  path: string,
  current: FileHandle,
): Promise<FileHandle | undefined> {
  return neighbourOf(path, current, 'younger');
}

async function neighbourOf(
  path: string,
  file: FileHandle,
  which: 'older' | 'younger',
): Promise<FileHandle | undefined> {
  const { ino } = await file.stat();
  for (;;) {
    const youngest = await inodeOf(path);
    const own = await nameOf(path, ino);
    if (own === undefined) {
      // Moved elsewhere, or removed because it was the oldest; unless it was moved meanwhile.
      if ((await inodeOf(path)) !== youngest || (await nameOf(path, ino)) !== undefined) continue;
      return which === 'older' ? undefined : openLogFile(path);
    }
    // Listed while it has that name: in a list from before it may be the last and have a neighbour.
    const names = await namesOf(path);
    const name = names[names.indexOf(own) + (which === 'older' ? 1 : -1)];
    const neighbour = name === undefined ? undefined : await openLogFile(name);
    if ((await inodeOf(own)) === ino) return neighbour;
    await neighbour?.close();
  }
}

/** The name that a file of the log has now. */
async function nameOf(path: string, ino: number): Promise<string | undefined> {
  for (const name of await namesOf(path)) if ((await inodeOf(name)) === ino) return name;
  return undefined;
}

/** Youngest first. */
async function namesOf(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const numbers = (await readdir(dirname(path)))
    .filter((name) => name.startsWith(prefix) && /^[1-9]\d{0,4}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
  return [path, ...numbers.map((number) => `${path}.${number}`)];
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
