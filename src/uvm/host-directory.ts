import { lstatSync, realpathSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isAbsolute, normalize } from 'node:path';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import { mountsBelow } from '../os/mount-table.ts';

/** Below these the agent may remove whatever the host placed for a container; they exist for that. */
const REMOVABLE_ROOTS = ['/run/gcs/', '/run/mounts/', '/mounts/'];

/** Checks a directory path that came from the host: absolute, in normal form, not the root. */
export function checkHostDirectory(path: string, field: string): string {
  const bad = (why: string) =>
    new AgentError('invalid-argument', `${field}: ${JSON.stringify(path)} ${why}`, { field });
  if (path.includes('\0')) throw bad('holds a NUL');
  if (Buffer.byteLength(path) > 4000) throw bad('is too long for a path');
  if (path.split('/').some((name) => Buffer.byteLength(name) > 255)) {
    throw bad('holds a name of more than 255 bytes');
  }
  if (!isAbsolute(path)) throw bad('is not an absolute path');
  const plain = normalize(path).replace(/\/+$/, '');
  if (path.split('/').includes('..')) throw bad("must not contain '..'");
  if (plain === '') throw bad('must not be the root directory');
  return plain;
}

/** Is it, links followed, below one of the roots that hold nothing but container state? */
export function holdsContainersOnly(directory: string): boolean {
  try {
    return isBelowRoots(realpathSync.native(directory));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function isBelowRoots(real: string): boolean {
  return REMOVABLE_ROOTS.some((root) => real.startsWith(root));
}

export type RemoveOutcome = 'removed' | 'absent' | { kept: string };

/**
 * Removes a directory tree the host named, when it is ours to remove: made by the agent, or below
 * one of the roots that hold container state. Never follows a link out of there and never descends
 * into a mount: a disk that is still mounted keeps its content, and the reason is returned.
 */
export async function removeHostDirectory(
  directory: string,
  options: { madeByUs: boolean },
): Promise<RemoveOutcome> {
  let real: string;
  try {
    real = realpathSync.native(directory);
    if (lstatSync(directory).isSymbolicLink()) return { kept: 'is a symbolic link' };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'absent';
    throw error;
  }
  if (!options.madeByUs && !isBelowRoots(real)) {
    return { kept: `was there before and is not below ${REMOVABLE_ROOTS.join(', ')}` };
  }
  const mounts = mountsBelow(real);
  if (mounts.length > 0) return { kept: `${mounts[0]} is still mounted` };
  await rm(real, { recursive: true, force: true });
  return 'removed';
}
